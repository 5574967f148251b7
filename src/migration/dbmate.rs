//! dbmate. A migration that fails is still printed as "Applied"; only its exit code and the history tell.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// dbmate.
pub(super) const DBMATE: Tool = Tool {
    name: "dbmate",
    status: &["dbmate", "--no-dump-schema", "status", "--exit-code"],
    apply: &["dbmate", "--no-dump-schema", "migrate"],
    preview: None,
    failed: &[],
    pending: (&[1], r"^Pending: [1-9]"),
    up_to_date: (0, r"^Pending: 0"),
    names: (r"", r"^\[ \] (\S+)$"),
    success: r"",
    failure: r"^Error: ",
    kept: &[Kept {
        folders: &["db/migrations"],
        shape: Shape::Files(r"^(?P<name>(?P<key>\d+)[^/]*\.sql)$"),
        digest: None,
        table: "schema_migrations",
        postgres: "SELECT version, NULL::text, 'applied', NULL::text, NULL::text FROM {table} ORDER BY version",
        mysql: "SELECT version, NULL, 'applied', NULL, NULL FROM {table} ORDER BY version",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited", "missing"],
        done: "add its row to the history: INSERT INTO schema_migrations (version) VALUES ('{key}')",
        undone: "take back what is left of it, then run again",
        back: r"(?m)^--\s*migrate:down",
        lock: None,
    }],
    hints: &[
        (r"^Error: dial tcp", "the database cannot be reached from the container: look at DATABASE_URL"),
        (
            r"^Error: pq: SSL is not enabled on the server",
            "add `?sslmode=disable` to DATABASE_URL, where the network is your own",
        ),
    ],
};

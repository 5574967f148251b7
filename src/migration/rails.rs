//! Rails' migrations. Recorded with 6.1. `db:migrate:status` ends with 0 whatever is pending; its lines tell.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// Rails' migrations.
pub(super) const RAILS: Tool = Tool {
    name: "rails",
    status: &["bin/rails", "db:migrate:status"],
    apply: &["bin/rails", "db:migrate"],
    preview: None,
    failed: &[(r"\*{10} NO FILE \*{10}", "an applied migration is not among the files")],
    pending: (&[0, 1], r"^\s*down\s+\d+|^Schema migrations table does not exist yet"),
    up_to_date: (0, r"^\s*up\s+\d+"),
    names: (r"", r"^\s*down\s+(\d+)"),
    success: r"",
    failure: r"^rails aborted!",
    kept: &[Kept {
        folders: &["db/migrate"],
        shape: Shape::Files(r"^(?P<key>\d+)_[^/]*\.rb$"),
        digest: None,
        table: "schema_migrations",
        postgres: "SELECT version, NULL::text, 'applied', NULL::text, NULL::text FROM {table} ORDER BY version",
        mysql: "SELECT version, NULL, 'applied', NULL, NULL FROM {table} ORDER BY version",
        reading: Reading::Each,
        late: Late::Applies,
        done: "add its row to the history: INSERT INTO schema_migrations (version) VALUES ('{key}')",
        undone: "take back what is left of it, then run again",
        back: "",
        lock: None,
    }],
    hints: &[(r"ConcurrentMigrationError", "another process migrates this database: wait for it")],
};

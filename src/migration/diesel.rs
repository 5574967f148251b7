//! The Diesel CLI. It takes no lock and keeps no checksum.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// The Diesel CLI.
pub(super) const DIESEL: Tool = Tool {
    name: "diesel",
    status: &["diesel", "migration", "list"],
    apply: &["diesel", "migration", "run"],
    preview: None,
    failed: &[],
    pending: (&[0], r"^\s*\[ \] \S"),
    up_to_date: (0, r"^\s*\[X\] \S"),
    names: (r"", r"^\s*\[ \] (\S+)"),
    success: r"",
    failure: r"^Failed to run",
    kept: &[Kept {
        folders: &["migrations"],
        shape: Shape::Digits(r"^(?P<name>(?P<key>[\d-]+)_[^/]*)/up\.sql$"),
        digest: None,
        table: "__diesel_schema_migrations",
        postgres: "SELECT version, NULL::text, 'applied', date_trunc('second', run_on)::text, NULL::text FROM {table} ORDER BY version",
        mysql: "SELECT version, NULL, 'applied', run_on, NULL FROM {table} ORDER BY version",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited", "missing"],
        done: "add its row to the history: INSERT INTO __diesel_schema_migrations (version) VALUES ('{key}')",
        undone: "take back what is left of it, then run again",
        back: "",
        lock: None,
    }],
    hints: &[(r"^Failed to run migrations", "the SQL of a migration failed: where it is one transaction nothing of it is left")],
};

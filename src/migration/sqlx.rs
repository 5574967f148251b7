//! sqlx-cli. Its errors go to stdout; `info` hides deleted migrations, and calls unfinished ones installed.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// sqlx-cli.
pub(super) const SQLX: Tool = Tool {
    name: "sqlx",
    status: &["sqlx", "migrate", "info"],
    apply: &["sqlx", "migrate", "run"],
    preview: None,
    failed: &[(r"^\d+/installed \(different checksum\)", "an applied migration was edited")],
    pending: (&[0], r"^\d+/pending "),
    up_to_date: (0, r"^\d+/installed "),
    names: (r"", r"^(\d+)/pending "),
    success: r"",
    failure: r"^error: ",
    kept: &[Kept {
        folders: &["migrations"],
        // It reads the version as a number, and prints and records that.
        shape: Shape::Files(r"^0*(?P<key>\d+)_[^/]*?(?P<not>\.down)?\.sql$"),
        digest: Some(Digest::Sha384),
        table: "_sqlx_migrations",
        postgres: "SELECT version::text, encode(checksum, 'hex'), CASE WHEN success THEN 'applied' ELSE 'unfinished' END, date_trunc('second', installed_on)::text, NULL::text FROM {table} ORDER BY version",
        mysql: "SELECT version, LOWER(HEX(checksum)), CASE WHEN success THEN 'applied' ELSE 'unfinished' END, installed_on, NULL FROM {table} ORDER BY version",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &[],
        done: "UPDATE _sqlx_migrations SET success = true WHERE version = {name}",
        undone: "DELETE FROM _sqlx_migrations WHERE version = {name}",
        back: "",
        lock: None,
    }],
    hints: &[
        (
            r"^error: migration \d+ was previously applied but has been modified",
            "bring the file back as it was applied, and put the change into a new migration",
        ),
        (
            r"^error: migration \d+ was previously applied but is missing",
            "the image is older than the database, or a migration file was deleted: bring it back",
        ),
    ],
};

//! Drizzle Kit, 0.31 (a journal; only what is newer than the newest applied one is applied) and 1.0 (a folder each). It has no status command
//! and tells success for nothing: files and history alone prove what it did. Up to 0.31 it prints no reason when it fails.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// Drizzle Kit.
pub(super) const DRIZZLE: Tool = Tool {
    name: "drizzle",
    status: &[],
    apply: &["npx", "drizzle-kit", "migrate"],
    preview: None,
    failed: &[],
    pending: (&[0], r""),
    up_to_date: (0, r""),
    names: (r"", r""),
    success: r"migrations applied successfully!",
    failure: r"Error during migration",
    kept: &[
        Kept {
            folders: &["drizzle"],
            shape: Shape::Journal,
            digest: Some(Digest::Sha256),
            table: "__drizzle_migrations",
            postgres: "SELECT created_at::text, hash, 'applied', NULL::text, NULL::text FROM {table} ORDER BY id",
            mysql: "SELECT created_at, hash, 'applied', NULL, NULL FROM {table} ORDER BY id",
            reading: Reading::Newest,
            late: Late::Skips,
            tolerates: &["edited", "missing", "skipped"],
            done: "add its row to the history: INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('{sha256}', {key})",
            undone: "take back what is left of it, then run again",
            back: "",
            lock: None,
        },
        Kept {
            folders: &["drizzle"],
            shape: Shape::Files(r"^(?P<key>[^/]+)/migration\.sql$"),
            digest: Some(Digest::Sha256),
            table: "__drizzle_migrations",
            postgres: "SELECT name, hash, 'applied', date_trunc('second', applied_at)::text, NULL::text FROM {table} ORDER BY id",
            mysql: "SELECT name, hash, 'applied', applied_at, NULL FROM {table} ORDER BY id",
            reading: Reading::Each,
            late: Late::Applies,
            tolerates: &["edited", "missing", "skipped"],
            done: "add its row to the history: INSERT INTO __drizzle_migrations (hash, created_at, name) VALUES ('{sha256}', UNIX_TIMESTAMP() * 1000, '{name}')",
            undone: "take back what is left of it, then run again",
            back: "",
            lock: None,
        },
    ],
    hints: &[
        (
            r"must upgrade drizzle-kit and run",
            "the files have the layout of an older Drizzle Kit: run `drizzle-kit up` on a development machine and commit what it makes",
        ),
        (
            r"applying migrations\.\.\.$",
            "Drizzle Kit up to 0.31 does not say why it failed: the log of the database server does (`landfall logs SERVICE`, where it is one here)",
        ),
    ],
};

//! Alembic. Its history keeps the current heads only; the order is in the files. `current --check-heads` is known since 1.17.1.

use super::{Kept, Preview, Shape, Tool};
use crate::action::{Late, Reading};

/// Alembic.
pub(super) const ALEMBIC: Tool = Tool {
    name: "alembic",
    status: &["alembic", "current", "--check-heads"],
    apply: &["alembic", "upgrade", "heads"],
    preview: Some(Preview {
        argv: &["alembic", "upgrade", "{applied}:heads", "--sql"],
        named: false,
        begin: r"^-- Running upgrade .*-> (\S+)$",
        lacks: &[],
    }),
    failed: &[(r"Can't locate revision identified by", "the database is at a revision that is not among the files")],
    pending: (&[255, 1], r"Database is not on all head revisions"),
    up_to_date: (0, r"\(head\)"),
    names: (r"", r"^\b$"),
    success: r"",
    failure: r"^FAILED:",
    kept: &[Kept {
        folders: &["migrations/versions", "alembic/versions", "versions"],
        shape: Shape::Revisions,
        digest: None,
        table: "alembic_version",
        postgres: "SELECT version_num, NULL::text, 'applied', NULL::text, NULL::text FROM {table}",
        mysql: "SELECT version_num, NULL, 'applied', NULL, NULL FROM {table}",
        reading: Reading::Heads,
        late: Late::Applies,
        tolerates: &["edited"],
        done: "by hand, in the container (Landfall refuses it as a step): alembic stamp {name}",
        undone: "take back what is left of it, then run again",
        back: r"(?m)^def downgrade\b",
        lock: None,
    }],
    hints: &[
        (
            r"Multiple head revisions are present",
            "two branches of migrations were never merged: `alembic merge heads` on a development machine",
        ),
        (
            r"Can't locate revision identified by",
            "the image is older than the database, or a migration file was deleted: bring it back",
        ),
        (r"Revision \S+ referenced from .* is not present", "a migration comes after one whose file is not there: bring it back"),
        (
            r"unrecognized arguments: --check-heads",
            "Alembic before 1.17.1 does not know `--check-heads`: update it, or say `status` yourself",
        ),
    ],
};

//! Knex. `migrate:status` ends with 0 whatever is pending; its lines tell. On MySQL a killed run leaves its lock behind.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// Knex.
pub(super) const KNEX: Tool = Tool {
    name: "knex",
    status: &["npx", "knex", "migrate:status"],
    apply: &["npx", "knex", "migrate:latest"],
    preview: None,
    failed: &[(r"The migration directory is corrupt", "an applied migration is not among the files")],
    pending: (&[0], r"^Found \d+ Pending Migration"),
    up_to_date: (0, r"^No Pending Migration files Found"),
    names: (r"^Found \d+ Pending Migration", r"^(\S+)$"),
    success: r"^(Batch \d+ run: \d+ migrations|Already up to date)",
    failure: r"",
    kept: &[Kept {
        folders: &["migrations"],
        shape: Shape::Files(r"^(?P<key>[^/]+\.(?:js|cjs|mjs|ts|cts|mts))$"),
        digest: None,
        table: "knex_migrations",
        postgres: "SELECT name, NULL::text, 'applied', date_trunc('second', migration_time)::text, NULL::text FROM {table} ORDER BY id",
        mysql: "SELECT name, NULL, 'applied', migration_time, NULL FROM {table} ORDER BY id",
        reading: Reading::Each,
        late: Late::Applies,
        done: "finish its work by hand, then add its row to the history",
        undone: "take back what is left of it, then run again",
    }],
    hints: &[
        (
            r"Migration table is already locked",
            "another run migrates, or one was killed: when nobody does, `npx knex migrate:unlock`",
        ),
        (
            r"The migration directory is corrupt",
            "the image is older than the database, or a migration file was deleted: bring it back",
        ),
    ],
};

//! Knex. `migrate:status` ends with 0 whatever is pending; its lines tell. On MySQL a killed run leaves its lock behind.

use super::kept::Lock;
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
        // Declarations beside what was compiled migrate nothing: where `loadExtensions` lets them in, Knex fails on them.
        shape: Shape::Files(r"^(?P<key>[^/]+?(?:\.(?:js|cjs|mjs)|(?P<not>\.d)?\.(?:ts|cts|mts)))$"),
        digest: None,
        table: "knex_migrations",
        postgres: "SELECT name, NULL::text, 'applied', date_trunc('second', migration_time)::text, NULL::text FROM {table} ORDER BY id",
        mysql: "SELECT name, NULL, 'applied', migration_time, NULL FROM {table} ORDER BY id",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited"],
        done: "add its row to the history: INSERT INTO knex_migrations (name, batch, migration_time) SELECT '{name}', COALESCE(MAX(batch), 0) + 1, NOW() FROM knex_migrations",
        undone: "take back what is left of it, then run again",
        back: r"\bdown\s*[=:(]",
        lock: Some(Lock { table: "knex_migrations_lock", held: "is_locked = 1", free: "npx knex migrate:unlock" }),
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

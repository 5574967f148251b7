//! Rails' migrations. Tried with 6.1, which Debian 12 has; what 7.1 to 8.1 say in other words is from their source.
//! `db:migrate:status` ends with 0 whatever is pending; its lines tell. `db:migrate` prints nothing where nothing is pending, so there is no
//! line of success.
//!
//! On PostgreSQL, 6.1 keeps its lock in a session of its own, which is over as soon as its process is killed, while the session that
//! migrates works on: another `db:migrate` then begins beside it. Only that Landfall waits for what the database still does prevents that.
//! From 7.1 on both are one session.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// Rails' migrations.
pub(super) const RAILS: Tool = Tool {
    name: "rails",
    status: &["bin/rails", "db:migrate:status"],
    // A variable VERSION, which many an image has, is where to migrate to: `VERSION=42` takes back whatever is newer, in production too.
    apply: &["env", "VERSION=", "bin/rails", "db:migrate"],
    preview: None,
    failed: &[(r"\*{10} NO FILE \*{10}", "an applied migration is not among the files")],
    pending: (&[0, 1], r"^\s*down\s+\d+|^Schema migrations table does not exist yet"),
    up_to_date: (0, r"^\s*up\s+\d+"),
    names: (r"", r"^\s*down\s+0*(\d+)"),
    success: r"",
    failure: r"^(bin/rails|rails|rake) aborted!",
    kept: &[Kept {
        folders: &["db/migrate"],
        // In folders below it, too; of `001_init.rb` the history has `1`, and the status `001`.
        shape: Shape::Files(r"^(?:[^./][^/]*/)*0*(?P<key>\d+)_[^/]*\.rb$"),
        digest: None,
        table: "schema_migrations",
        postgres: "SELECT version, NULL::text, 'applied', NULL::text, NULL::text FROM {table} ORDER BY version",
        mysql: "SELECT version, NULL, 'applied', NULL, NULL FROM {table} ORDER BY version",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited", "missing"],
        done: "add its row to the history: INSERT INTO schema_migrations (version) VALUES ('{key}')",
        undone: "take back what is left of it, then run again",
        back: r"\bdef\s+(self\.)?down\b",
        lock: None,
    }],
    hints: &[
        (r"ConcurrentMigrationError", "another process migrates this database: wait for it"),
        (
            r"ActiveRecord::(ConnectionNotEstablished|DatabaseConnectionError)",
            "the database cannot be reached from the container: look at DATABASE_URL and config/database.yml",
        ),
        (
            r"ActiveRecord::NoDatabaseError",
            "there is no such database, or its login was refused: Rails calls both the same, and what stands behind it tells which",
        ),
        (
            r"Could not load the 'mysql' Active Record adapter|nonexistent '?mysql'? adapter",
            "for Rails a URL of MySQL begins with `mysql2://`: write DATABASE_URL so",
        ),
        (
            r"^Could not load database configuration\. No such file",
            "the image has neither a config/database.yml nor DATABASE_URL: give the service one of them",
        ),
        (
            r"ActiveRecord::(IllegalMigrationName|DuplicateMigrationVersion|DuplicateMigrationName|InvalidMigrationTimestamp)Error",
            "Rails applies none at all while a migration is named like that: rename the file",
        ),
        (
            r"^Tasks: TOP => db:(schema|structure):dump",
            "the migrations are applied; what failed is writing the schema into the image: set `config.active_record.dump_schema_after_migration = false` for production",
        ),
    ],
};

//! Prisma Migrate, versions 6 and 7; Prisma 8 is another tool. Each line was seen in the tool's own output; "migration have" and "migrations have" both occur.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// Prisma Migrate.
pub const PRISMA: Tool = Tool {
    name: "prisma",
    status: &["npx", "prisma", "migrate", "status"],
    apply: &["npx", "prisma", "migrate", "deploy"],
    preview: None,
    failed: &[
        (r"^Following migrations? have failed:", "a migration failed earlier"),
        (
            r"^Your local migration history and the migrations table from your database are different",
            "files and history have parted",
        ),
        (r"^The current database is not managed by Prisma Migrate", "the database has tables but no history (baseline it first)"),
    ],
    pending: (&[1], r"^Following migrations? have not yet been applied:"),
    up_to_date: (0, r"^Database schema is up to date!"),
    names: (r"^Following migrations? have not yet been applied:", r"^(\S+)$"),
    success: r"^(All migrations have been successfully applied\.|No pending migrations to apply\.)$",
    failure: "",
    kept: &[Kept {
        folders: &["prisma/migrations"],
        shape: Shape::Files(r"^(?P<key>[^/]+)/migration\.sql$"),
        digest: Some(Digest::Sha256),
        table: "_prisma_migrations",
        postgres: "SELECT migration_name, checksum, CASE WHEN rolled_back_at IS NOT NULL THEN 'undone' WHEN finished_at IS NULL \
                   THEN 'unfinished' ELSE 'applied' END, date_trunc('second', started_at)::text, left(logs, 1500) FROM {table} \
                   ORDER BY started_at",
        mysql: "SELECT migration_name, checksum, CASE WHEN rolled_back_at IS NOT NULL THEN 'undone' WHEN finished_at IS NULL \
                THEN 'unfinished' ELSE 'applied' END, started_at, LEFT(logs, 1500) FROM {table} ORDER BY started_at",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited", "missing"],
        done: "npx prisma migrate resolve --applied {name}",
        undone: "npx prisma migrate resolve --rolled-back {name}",
        back: "",
        lock: None,
    }],
    hints: &[
        (
            r"No command registered for `migrate`",
            "the image holds Prisma 8, whose migrations are another tool's: say `tool = \"prisma-8\"` in the step",
        ),
        (
            r"\bP1001\b",
            "the database cannot be reached from the container: is its service up and in the same network, and is the host in DATABASE_URL the service's name?",
        ),
        (
            r"\bP1002\b",
            "another migration holds the database's lock, or the database answers too slowly: wait for the other one, or look for a session that hangs",
        ),
        (
            r"\bP3005\b",
            "the database has tables but no migration history: baseline it once with `prisma migrate resolve --applied NAME` for each migration that it already holds",
        ),
        (
            r"\bP3009\b|^Following migrations? have failed:",
            "a migration failed earlier and blocks all others: look at what it left in the database, then settle it with `prisma migrate resolve --applied NAME` or `--rolled-back NAME`",
        ),
        (
            r"\bP3018\b",
            "the migration's SQL failed: what it did before the error may still be there; look before you settle it with `prisma migrate resolve`",
        ),
        (r"\bP2021\b", "a table does not exist: migrate first, or the image is older or newer than the database"),
        (
            r"(?i)segmentation fault",
            "the program crashed: often an engine built for another libc or OpenSSL than the image's; compare `binaryTargets` of the schema with the image",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::PRISMA;
    use regex_lite::Regex;

    fn first<'a>(table: &[(&str, &'a str)], line: &str) -> Option<&'a str> {
        table.iter().find(|(regex, _)| Regex::new(regex).expect("regex").is_match(line)).map(|(_, means)| *means)
    }

    #[test]
    fn reads_what_the_tool_prints() {
        let pending = Regex::new(PRISMA.pending.1).expect("regex");
        assert!(pending.is_match("Following migration have not yet been applied:"));
        assert!(pending.is_match("Following migrations have not yet been applied:"));
        assert!(!pending.is_match("The migration have not yet been applied:"), "a diverged history is not merely pending");
        let done = Regex::new(PRISMA.success).expect("regex");
        assert!(done.is_match("All migrations have been successfully applied."));
        assert!(done.is_match("No pending migrations to apply."));
        assert!(!done.is_match("3 migrations found in prisma/migrations"), "the last line of a run whose engine was killed");
        assert_eq!(first(PRISMA.failed, "Following migration have failed:"), Some("a migration failed earlier"));
        assert!(first(PRISMA.hints, "Error: P1001: Can't reach database server").is_some());
        assert!(first(PRISMA.hints, "Segmentation fault (core dumped)").is_some());
    }
}

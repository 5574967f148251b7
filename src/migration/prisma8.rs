//! Prisma 8 (as of its release candidates), which shares no more than its name with 6 and 7: migrations lead from one contract to another, and
//! all that wait are applied in one transaction. `migration status` would end with 0 whatever it finds, and pass over a way that is missing;
//! the preview of `db migrate` is what that would do, and tells both. People read the apply, so it speaks to them.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// Prisma 8.
pub(super) const PRISMA_8: Tool = Tool {
    name: "prisma-8",
    status: &["npx", "prisma", "db", "migrate", "--show", "--json"],
    apply: &["npx", "prisma", "db", "migrate", "--format", "human"],
    failed: &[
        (
            r#""code":"MIGRATION\.PATH_UNREACHABLE""#,
            "no migration leads from where the database stands to the contract of the image",
        ),
        (
            r#""code":"MIGRATION\.MARKER_MISMATCH""#,
            "the database stands at a contract that the migrations of the image do not know",
        ),
        (r#""code":"MIGRATION\.CONTRACT_SPACE_VIOLATION""#, "the files of a migration were changed after it was made"),
    ],
    pending: (&[0], r#""summary":"\d+ migrations? will run""#),
    up_to_date: (0, r#""summary":"Already up to date"#),
    names: (r"", r#""dirName":"([^"]+)""#),
    success: r"(Applied \d+ migration\(s\)|Already up to date)",
    failure: r"\[[A-Z]+\.[A-Z_]+\] ",
    preview: None,
    kept: &[Kept {
        folders: &["migrations"],
        shape: Shape::Contracts,
        digest: Some(Digest::Package),
        table: "prisma_contract.ledger",
        // Rows without a name are of `db init` and the like, which changed the database without a migration.
        postgres: "SELECT space || '/' || migration_name, migration_hash, 'applied', date_trunc('second', created_at)::text, NULL::text \
                   FROM (SELECT * FROM {table} WHERE migration_name <> '' ORDER BY id) AS applied \
                   UNION ALL SELECT space || '/' || core_hash, NULL, 'stands', NULL, NULL FROM prisma_contract.marker",
        mysql: "SELECT NULL, NULL, NULL, NULL, NULL FROM {table}",
        reading: Reading::Ways,
        late: Late::Aside,
        tolerates: &[],
        done: "by hand, in the container (Landfall refuses it as a step): npx prisma db sign",
        undone: "take back what is left of it, then run again",
        back: "",
        lock: None,
    }],
    hints: &[
        (
            r"\bMIGRATION\.PATH_UNREACHABLE\b",
            "the contract was changed and no migration was made for it, or one was merged late: `prisma migration plan --name NAME` on a development machine, from the contract that the database stands at",
        ),
        (
            r"\bMIGRATION\.MARKER_MISMATCH\b",
            "the image is older than the database, or a migration was deleted, or somebody ran `prisma db update`: bring the migration back",
        ),
        (
            r"\bMIGRATION\.(CONTRACT_SPACE_VIOLATION|CHECK_HASH_MISMATCH)\b",
            "a migration was edited after it was made: bring its folder back as it was, or let its own migration.ts write ops.json anew; `prisma migration check` tells which",
        ),
        (
            r"\bMIGRATION\.(RUNNER_FAILED|EXECUTION_FAILED|PRECHECK_FAILED|POSTCHECK_FAILED|SCHEMA_VERIFY_FAILED)\b",
            "it was rolled back, together with all migrations of this run: make the migration right and run again",
        ),
        (
            r"\bDRIVER\.CONNECTION_FAILED\b",
            "the database cannot be reached from the container: is its service up and in the same network, and is the host in DATABASE_URL the service's name?",
        ),
        (
            r"\bCONFIG\.DB_CONNECTION_REQUIRED\b",
            "DATABASE_URL is not set in the container, or prisma.config.ts does not pass it on",
        ),
        (
            r#"Unknown command "migrate""#,
            "the image holds Prisma 6 or 7, whose migrations are another tool's: say `tool = \"prisma\"` in the step",
        ),
    ],
};

//! Real migration tools on a real PostgreSQL and a real MariaDB, each put into every state that a release can find it in: what is told
//! of it must be true. The tools are in an image of the testbed (`tests/testbed/tools`), a project of two migrations each; what a state
//! needs is mounted over their files. The database is asked, not Landfall.

mod database;
mod files;
mod matrix;
mod programs;

use crate::chance::is_long;
use files::{Files, New};

/// What a tool says and does in the states in which tools differ.
struct Tool {
    /// As a step names it.
    name: &'static str,
    /// The script of the testbed that makes its image.
    image: &'static str,
    /// Its project below the image's working folder, and …
    project: &'static str,
    /// … the folder in there that is mounted over.
    folder: &'static str,
    /// What Landfall calls the two migrations of the image, …
    first: [&'static str; 2],
    /// … and one that comes after them, and …
    third: New,
    /// … one that was written between them, and merged late.
    late: New,
    /// What its history calls the first and the third: that is all that is left to tell of one whose file is gone.
    recorded: [&'static str; 2],
    /// Writes a migration as the tool wants it.
    write: fn(&mut Files, &New, &str),
    /// Writes one that makes `half` and then fails, by the calls of a framework, where migrations are programs.
    calls: Option<fn(&mut Files, &New)>,
    /// How many migrations are applied, by its history; one number.
    count: &'static str,
    /// How many migrations of the framework are applied beside them.
    framework: usize,
    /// What is to be read where the SQL of a migration fails.
    reason: &'static str,
    /// Whether its history keeps digests; else Landfall remembers them.
    digests: bool,
    /// What becomes of the late one.
    when_late: Late,
    /// What settles one that broke off, in SQL, where its history has a row of it.
    settles: Option<&'static str>,
    /// A lock of its own that outlives it where the server does not take it back.
    lock: Option<Lock>,
}

/// A tool's own lock.
struct Lock {
    /// Whether it is held: a number.
    held: &'static str,
    /// What is said of one that is held.
    told: &'static str,
    /// What frees it, in the tool's container.
    remedy: &'static str,
}

/// What becomes of a migration that was merged late.
enum Late {
    /// It is applied.
    Applied,
    /// The run ends with this code, and this is why.
    Refused(i32, &'static str),
}

const DRIZZLE: Tool = Tool {
    name: "drizzle",
    image: "tools",
    project: "drizzle",
    folder: "drizzle",
    first: ["0000_voters", "0001_born"],
    third: New { name: "0002_third", after: "1773844800000" },
    late: New { name: "0003_late", after: "1769000000000" },
    recorded: ["1767603600000", "1773844800000"],
    write: files::drizzle,
    calls: None,
    count: "SELECT count(*) FROM drizzle.__drizzle_migrations",
    framework: 0,
    // It keeps the server's words to itself.
    reason: "Drizzle Kit up to 0.31 does not say why it failed",
    digests: true,
    when_late: Late::Refused(7, "pass it over in silence: 0003_late"),
    settles: None,
    lock: None,
};

const DRIZZLE_NEXT: Tool = Tool {
    project: "drizzle-next",
    first: ["20260105090000_voters", "20260212101500_born"],
    third: New { name: "20260318142000_third", after: "" },
    late: New { name: "20260120080000_late", after: "" },
    recorded: ["20260105090000_voters", "20260318142000_third"],
    write: files::drizzle_next,
    reason: "relation \"nope\" does not exist",
    when_late: Late::Applied,
    ..DRIZZLE
};

const ALEMBIC: Tool = Tool {
    name: "alembic",
    image: "tools",
    project: "alembic",
    folder: "migrations/versions",
    first: ["1111aaaa", "2222bbbb"],
    third: New { name: "3333cccc", after: "2222bbbb" },
    late: New { name: "4444dddd", after: "1111aaaa" },
    recorded: ["1111aaaa", "3333cccc"],
    write: files::alembic,
    calls: Some(files::alembic_calls),
    // Heads stand for all before them.
    count: "SELECT left(max(version_num), 1) FROM alembic_version",
    framework: 0,
    reason: "relation \"nope\" does not exist",
    digests: false,
    when_late: Late::Applied,
    settles: None,
    lock: None,
};

const DJANGO: Tool = Tool {
    name: "django",
    image: "tools",
    project: "django",
    folder: "register/migrations",
    first: ["roll.0001_initial", "roll.0002_born"],
    third: New { name: "roll.0003_third", after: "0002_born" },
    late: New { name: "roll.0002_late", after: "0001_initial" },
    recorded: ["roll.0001_initial", "roll.0003_third"],
    write: files::django,
    calls: Some(files::django_calls),
    count: "SELECT count(*) FROM django_migrations WHERE app = 'roll'",
    framework: 14,
    reason: "relation \"nope\" does not exist",
    digests: false,
    when_late: Late::Refused(1, "multiple leaf nodes"),
    settles: None,
    lock: None,
};

const KNEX: Tool = Tool {
    name: "knex",
    image: "tools",
    project: "knex",
    folder: "migrations",
    first: ["20260105090000_voters.js", "20260212101500_born.js"],
    third: New { name: "20260318142000_third.js", after: "" },
    late: New { name: "20260120080000_late.js", after: "" },
    recorded: ["20260105090000_voters.js", "20260318142000_third.js"],
    write: files::knex,
    calls: Some(files::knex_calls),
    count: "SELECT count(*) FROM knex_migrations",
    framework: 0,
    reason: "relation \"nope\" does not exist",
    digests: false,
    when_late: Late::Applied,
    settles: None,
    lock: Some(Lock {
        held: "SELECT COUNT(*) FROM knex_migrations_lock WHERE is_locked = 1",
        told: "its own lock is held",
        remedy: "npx knex migrate:unlock",
    }),
};

const DBMATE: Tool = Tool {
    name: "dbmate",
    image: "tools",
    project: "dbmate",
    folder: "db/migrations",
    first: ["20260105090000_voters.sql", "20260212101500_born.sql"],
    third: New { name: "20260318142000_third.sql", after: "" },
    late: New { name: "20260120080000_late.sql", after: "" },
    recorded: ["20260105090000", "20260318142000"],
    write: files::dbmate,
    calls: None,
    count: "SELECT count(*) FROM schema_migrations",
    framework: 0,
    reason: "relation \"nope\" does not exist",
    digests: false,
    when_late: Late::Applied,
    settles: None,
    lock: None,
};

const PRISMA_8: Tool = Tool {
    name: "prisma-8",
    project: "prisma-8",
    folder: "migrations",
    first: ["20260105T0900_voters", "20260212T1015_born"],
    third: New { name: "20260318T1420_third", after: "20260212T1015_born" },
    late: New { name: "20260120T0800_late", after: "20260105T0900_voters" },
    recorded: ["app/20260105T0900_voters", "app/20260318T1420_third"],
    write: files::prisma_8,
    count: "SELECT count(*) FROM prisma_contract.ledger",
    framework: 0,
    reason: "relation \"nope\" does not exist",
    digests: true,
    // The contract of the image is the late one's: nothing leads there from where the database stands.
    when_late: Late::Refused(7, "no migration leads from where the database stands to the contract of the image"),
    ..DBMATE
};

#[test]
fn prisma_8_in_every_state() {
    matrix::of(&PRISMA_8);
}

#[test]
fn prisma_8_leaves_aside_what_no_way_leads_through_and_drops_what_was_approved() {
    matrix::aside_and_dropped(&PRISMA_8);
}

const SQLX: Tool = Tool {
    name: "sqlx",
    image: "rust-tools",
    project: "sqlx",
    folder: "migrations",
    first: ["20260105090000", "20260212101500"],
    third: New { name: "20260318142000", after: "" },
    late: New { name: "20260120080000", after: "" },
    recorded: ["20260105090000", "20260318142000"],
    write: files::sqlx,
    calls: None,
    count: "SELECT count(*) FROM _sqlx_migrations WHERE success",
    framework: 0,
    reason: "relation \"nope\" does not exist",
    digests: true,
    when_late: Late::Applied,
    settles: None,
    lock: None,
};

const DIESEL: Tool = Tool {
    name: "diesel",
    project: "diesel",
    first: ["2026-01-05-090000_voters", "2026-02-12-101500_born"],
    third: New { name: "2026-03-18-142000_third", after: "" },
    late: New { name: "2026-01-20-080000_late", after: "" },
    write: files::diesel,
    count: "SELECT count(*) FROM __diesel_schema_migrations",
    digests: false,
    ..SQLX
};

const RAILS: Tool = Tool {
    name: "rails",
    image: "rails",
    project: "rails",
    folder: "db/migrate",
    write: files::rails,
    calls: Some(files::rails_calls),
    count: "SELECT count(*) FROM schema_migrations",
    digests: false,
    ..SQLX
};

const DRIZZLE_MARIA: Tool = Tool { project: "drizzle/mysql", count: "SELECT COUNT(*) FROM __drizzle_migrations", ..DRIZZLE };

const DRIZZLE_NEXT_MARIA: Tool =
    Tool { project: "drizzle-next/mysql", count: "SELECT COUNT(*) FROM __drizzle_migrations", reason: NO_TABLE, ..DRIZZLE_NEXT };

const ALEMBIC_MARIA: Tool = Tool { reason: NO_TABLE, ..ALEMBIC };

const DJANGO_MARIA: Tool = Tool { reason: NO_TABLE, ..DJANGO };

const KNEX_MARIA: Tool = Tool { reason: NO_TABLE, ..KNEX };

const DBMATE_MARIA: Tool = Tool { reason: NO_TABLE, ..DBMATE };

const SQLX_MARIA: Tool =
    Tool { reason: NO_TABLE, settles: Some("DELETE FROM _sqlx_migrations WHERE version = 20260318142000"), ..SQLX };

const RAILS_MARIA: Tool = Tool { reason: NO_TABLE, ..RAILS };

/// What MariaDB says of a table that it does not have.
const NO_TABLE: &str = "Table 'shop.nope' doesn't exist";

/// Those that only the long suite tries.
fn long(test: fn(&'static Tool), tool: &'static Tool) {
    if is_long() {
        test(tool);
    }
}

#[test]
fn drizzle_in_every_state() {
    matrix::of(&DRIZZLE);
}

#[test]
fn drizzle_1_0_in_every_state() {
    matrix::of(&DRIZZLE_NEXT);
}

#[test]
fn alembic_in_every_state() {
    matrix::of(&ALEMBIC);
}

#[test]
fn django_in_every_state() {
    matrix::of(&DJANGO);
}

#[test]
fn knex_in_every_state() {
    matrix::of(&KNEX);
}

#[test]
fn dbmate_in_every_state() {
    matrix::of(&DBMATE);
}

#[test]
fn migrations_of_django_that_were_made_into_one_are_applied_where_all_of_them_are() {
    matrix::made_into_one(&DJANGO);
}

#[test]
fn drizzle_on_mariadb_in_every_state() {
    matrix::of_maria(&DRIZZLE_MARIA);
}

#[test]
fn drizzle_1_0_on_mariadb_in_every_state() {
    long(matrix::of_maria, &DRIZZLE_NEXT_MARIA);
}

#[test]
fn alembic_on_mariadb_in_every_state() {
    long(matrix::of_maria, &ALEMBIC_MARIA);
}

#[test]
fn django_on_mariadb_in_every_state() {
    long(matrix::of_maria, &DJANGO_MARIA);
}

#[test]
fn knex_on_mariadb_in_every_state() {
    long(matrix::of_maria, &KNEX_MARIA);
}

#[test]
fn dbmate_on_mariadb_in_every_state() {
    long(matrix::of_maria, &DBMATE_MARIA);
}

#[test]
fn sqlx_in_every_state() {
    long(matrix::of, &SQLX);
}

#[test]
fn sqlx_on_mariadb_in_every_state() {
    long(matrix::of_maria, &SQLX_MARIA);
}

#[test]
fn diesel_in_every_state() {
    long(matrix::of, &DIESEL);
}

#[test]
fn diesel_is_not_believed_where_it_overlooks_what_it_applied() {
    long(matrix::overlooking, &DIESEL);
}

#[test]
fn rails_in_every_state() {
    long(matrix::of, &RAILS);
}

#[test]
fn rails_on_mariadb_in_every_state() {
    long(matrix::of_maria, &RAILS_MARIA);
}

#[test]
fn rails_knows_migrations_by_number_in_folders_too_and_takes_none_back() {
    long(matrix::by_number, &RAILS);
}

#[test]
fn a_history_may_be_in_another_table() {
    matrix::kept_elsewhere(&DBMATE, "DBMATE_MIGRATIONS_TABLE");
}

#[test]
fn what_parted_on_purpose_may_be_taken_upon_oneself() {
    matrix::parted_on_purpose(&DBMATE);
}

#[test]
fn what_parted_on_purpose_on_mariadb_hides_nothing_that_breaks_off() {
    long(matrix::parted_on_purpose_on_maria, &DBMATE_MARIA);
}

#[test]
fn what_a_failed_run_had_applied_before_is_known_when_it_is_edited() {
    matrix::edited_after_a_failure(&DBMATE);
}

#[test]
fn dbmate_in_its_running_container() {
    matrix::in_its_container(&DBMATE);
}

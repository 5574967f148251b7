//! Each tool's status as it was recorded from the tool itself, read as a host reads it.

use std::collections::BTreeMap;

use super::{PRISMA, Start, Tool, alembic, dbmate, diesel, django, flyway, knex, prisma8, rails, sqlx};
use crate::action::Via;
use crate::facts::Migrations;
use crate::host::read_status;

fn read(tool: &Tool, code: i32, stdout: &str, stderr: &str) -> String {
    let start = Start {
        service: "api".parse().expect("name"),
        via: Via::Run,
        env: BTreeMap::new(),
        status: None,
        apply: None,
        preview: None,
        folder: None,
        history: None,
        lock_timeout_ms: None,
    };
    match read_status(&tool.action(start).reading, Some(code), stdout.as_bytes(), stderr.as_bytes()) {
        Migrations::UpToDate => "up to date".to_owned(),
        Migrations::Pending { names } => format!("pending {}", names.join(" ")),
        Migrations::Failed { why, .. } => format!("failed: {why}"),
        Migrations::NotKnown { .. } => "not known".to_owned(),
    }
}

#[test]
fn prisma() {
    let read = |code, out: &str, err: &str| read(&PRISMA, code, out, err);
    assert_eq!(read(0, "2 migrations found in prisma/migrations\n\nDatabase schema is up to date!\n", ""), "up to date");
    let pending = "2 migrations found in prisma/migrations\nFollowing migration have not yet been applied:\n20240102000000_add_name\n\nTo apply migrations in development run prisma migrate dev.\n";
    assert_eq!(read(1, pending, ""), "pending 20240102000000_add_name");
    let failed = "Following migration have failed:\n20240103000000_bad\n\n";
    assert_eq!(read(1, "", failed), "failed: a migration failed earlier: 20240103000000_bad");
    assert_eq!(read(0, "3 migrations found in prisma/migrations\n", ""), "not known", "its engine was killed");
    assert_eq!(read(1, "", "Error: P1001: Can't reach database server\n"), "not known");
}

#[test]
fn prisma_8() {
    let read = |code, out: &str| read(&prisma8::PRISMA_8, code, out, "");
    let told = |result: &str| {
        format!(
            "{{\"kind\":\"result\",\"envelope\":{{\"ok\":true,\"commandId\":\"db.migrate\",\"result\":{{\"ok\":true,{result}}},\"exitCode\":0,\"diagnostics\":[],\"nextActions\":[]}},\"commandId\":\"db.migrate\",\"timestamp\":\"2026-11-30T22:27:55.544Z\"}}\n"
        )
    };
    let wrong = |error: &str| {
        format!(
            "{{\"kind\":\"result\",\"envelope\":{{\"ok\":false,\"commandId\":\"db.migrate\",\"error\":{{{error}}},\"diagnostics\":[]}}}}\n"
        )
    };
    assert_eq!(read(0, &told(r#""migrations":[],"summary":"Already up to date — nothing to run""#)), "up to date");
    let two = r#""migrations":[{"spaceId":"app","dirName":"20261130T2219_voters","migrationHash":"656d046c","from":"empty","to":"7cdd3280"},{"spaceId":"app","dirName":"20261130T2220_born","migrationHash":"be703682","from":"7cdd3280","to":"1982381a"}],"summary":"2 migrations will run""#;
    assert_eq!(read(0, &told(two)), "pending 20261130T2219_voters 20261130T2220_born");
    let none = r#""code":"MIGRATION.PATH_UNREACHABLE","severity":"error","summary":"No migration path from 371df97cb4f3ec to c0602ed1222d9c in space \"app\".""#;
    assert_eq!(read(2, &wrong(none)), "failed: no migration leads from where the database stands to the contract of the image");
    let down = r#""code":"DRIVER.CONNECTION_FAILED","severity":"error","summary":"Database connection failed","why":"connect ECONNREFUSED 127.0.0.1:55999""#;
    assert_eq!(read(2, &wrong(down)), "not known");
    assert_eq!(read(1, "! Unknown command \"migrate\"\n"), "not known", "Prisma 7");
    assert_eq!(read(0, ""), "not known", "it was killed");
}

/// What people see of `db migrate`, and which hint each failure gets.
#[test]
fn prisma_8_applies() {
    let tool = &prisma8::PRISMA_8;
    let is = |regex: &str, text: &str| text.lines().any(|line| regex_lite::Regex::new(regex).expect("regex").is_match(line));
    let applied = "▸ Running migration plan across spaces\n✔ Running migration plan across spaces\n│  migrations:  migrations\n\n✔ Applied 3 migration(s) (5 operation(s)) across 1 contract space(s)\n";
    let failed = "▸ Running migration plan across spaces\n✘ Running migration plan across spaces\n✘ [MIGRATION.RUNNER_FAILED] Operation dropColumn.voters.name failed during execution: drop column \"name\"\n  why: column \"nope\" of relation \"voters\" does not exist\n";
    assert!(is(tool.success, applied) && !is(tool.failure, applied));
    assert!(is(tool.success, "✔ Already up to date\n"));
    assert!(!is(tool.success, failed) && is(tool.failure, failed));
    assert!(!is(tool.success, "▸ Running migration plan across spaces\n"), "it was killed");
    let hint = |tool: &Tool, text: &str| {
        tool.hints().into_iter().find(|hint| is(&hint.regex, text)).map(|hint| hint.text).unwrap_or_default()
    };
    assert!(hint(tool, failed).starts_with("it was rolled back"));
    assert!(hint(tool, "! Unknown command \"migrate\"").contains("`tool = \"prisma\"`"));
    let other = r#""code":"CLI.UNKNOWN_COMMAND","severity":"error","summary":"No command registered for `migrate`, did you mean `migration`?""#;
    assert!(hint(&PRISMA, other).contains("`tool = \"prisma-8\"`"));
}

#[test]
fn alembic() {
    let read = |code, out: &str, err: &str| read(&alembic::ALEMBIC, code, out, err);
    assert_eq!(read(0, "1111aaaa (head)\n", "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.\n"), "up to date");
    assert_eq!(read(255, "FAILED: Database is not on all head revisions\n", ""), "pending ");
    let deleted = "FAILED: Can't locate revision identified by '2222bbbb'\n";
    assert_eq!(read(255, deleted, ""), "failed: the database is at a revision that is not among the files");
    assert_eq!(read(0, "", ""), "not known");
    assert_eq!(read(1, "", "Traceback (most recent call last):\n"), "not known");
    assert_eq!(read(1, "", "KeyError: '1111aaaa'\n"), "not known", "the file of an older one is gone");
}

#[test]
fn django() {
    let read = |code, out: &str| read(&django::DJANGO, code, out, "");
    assert_eq!(read(0, "[X]  auth.0001_initial\n[X]  shop.0001_initial\n"), "up to date");
    assert_eq!(read(0, "[X]  shop.0001_initial\n[ ]  shop.0002_bad ... (shop.0001_initial)\n"), "pending shop.0002_bad");
    assert_eq!(read(1, ""), "not known");
}

/// Django prints ` OK` when a migration is done, and what that itself prints before.
#[test]
fn django_applies() {
    let succeeded = |text: &str| {
        let success = regex_lite::Regex::new(django::DJANGO.success).expect("regex");
        text.lines().any(|line| success.is_match(line))
    };
    let head = "Operations to perform:\n  Apply all migrations: shop\nRunning migrations:\n";
    for done in [
        "  No migrations to apply.\n",
        "  Applying shop.0002_names... OK\n",
        "  Applying shop.0002_names...3 rows\n OK\n",
        "  Applying shop.0002_names...3 rows OK\n",
        "  Applying shop.0002_names... OK (0.012s)\n",
        "  Applying shop.0001_initial... FAKED\n",
    ] {
        assert!(succeeded(&format!("{head}{done}")), "{done}");
    }
    for open in ["  Applying shop.0002_names...", "  Applying shop.0002_names...all is OK so far\nTraceback\n", "BOOK\n", ""] {
        assert!(!succeeded(&format!("{head}{open}")), "{open}");
    }
}

#[test]
fn knex() {
    let read = |code, out: &str, err: &str| read(&knex::KNEX, code, out, err);
    let done = "Found 1 Completed Migration file/files.\n20240101000000_init.js\n";
    assert_eq!(read(0, &format!("{done}No Pending Migration files Found.\n"), ""), "up to date");
    let pending = format!("{done}Found 1 Pending Migration file/files.\n20240102000000_bad.js\n");
    assert_eq!(read(0, &pending, ""), "pending 20240102000000_bad.js");
    let corrupt = "Error: The migration directory is corrupt, the following files are missing: 20240102000000_bad.js\n";
    assert_eq!(read(1, "", corrupt), "failed: an applied migration is not among the files");
}

#[test]
fn dbmate() {
    let read = |code, out: &str| read(&dbmate::DBMATE, code, out, "");
    assert_eq!(read(0, "[X] 20240101000000_init.sql\n\nApplied: 1\nPending: 0\n"), "up to date");
    assert_eq!(
        read(1, "[X] 20240101000000_init.sql\n[ ] 20240102000000_bad.sql\n\nApplied: 1\nPending: 1\n"),
        "pending 20240102000000_bad.sql"
    );
    assert_eq!(read(2, ""), "not known");
}

#[test]
fn sqlx() {
    let read = |code, out: &str| read(&sqlx::SQLX, code, out, "");
    assert_eq!(read(0, "20240101000000/installed init\n"), "up to date");
    assert_eq!(read(0, "20240101000000/installed init\n20240102000000/pending bad\n"), "pending 20240102000000");
    let edited = "20240101000000/installed (different checksum) init\n";
    assert_eq!(read(0, edited), "failed: an applied migration was edited");
    assert_eq!(read(0, "1/pending init\n3/pending v1.2\n"), "pending 1 3", "`0001_init.sql`, `0003_v1.2.sql`");
    assert_eq!(read(1, "error: error returned from database\n"), "not known");
}

#[test]
fn diesel() {
    let own = |code, out: &str| read(&diesel::DIESEL, code, out, "");
    assert_eq!(own(0, "Migrations:\n  [X] 2024-01-01-000000_init\n"), "up to date");
    assert_eq!(
        own(0, "Migrations:\n  [X] 2024-01-01-000000_init\n  [ ] 2024-01-02-000000_bad\n"),
        "pending 2024-01-02-000000_bad"
    );
}

/// Of 6.1.7; up to 8.1 its source prints the same.
#[test]
fn rails() {
    let own = |code, out: &str, err: &str| read(&rails::RAILS, code, out, err);
    let head =
        "\ndatabase: app\n\n Status   Migration ID    Migration Name\n--------------------------------------------------\n";
    let up = "   up     20260105090000  Voters\n";
    assert_eq!(own(0, &format!("{head}{up}\n"), ""), "up to date");
    assert_eq!(own(0, &format!("{head}{up}  down    20260212101500  Born\n\n"), ""), "pending 20260212101500");
    assert_eq!(own(1, "", "Schema migrations table does not exist yet.\n"), "pending ");
    let gone = format!("{head}   up     20260105090000  ********** NO FILE **********\n   up     20260212101500  Born\n\n");
    assert_eq!(own(0, &gone, ""), "failed: an applied migration is not among the files");
    // The files are `001_old.rb` and `0002_older.rb`, and the history calls them 1 and 2.
    let old = format!("{head}  down    001             Old\n  down    002             Older\n{up}\n");
    assert_eq!(own(0, &old, ""), "pending 1 2");
    // With its log on the error output, where it cannot write its file.
    let log = "Rails Error: Unable to access log file. Please ensure that /app/log/production.log exists and is writable\n  \u{1b}[1m\u{1b}[35m (0.6ms)\u{1b}[0m  \u{1b}[1m\u{1b}[34mSELECT \"schema_migrations\".\"version\" FROM \"schema_migrations\"\u{1b}[0m\n";
    assert_eq!(own(0, &format!("{head}{up}\n"), log), "up to date");
    assert_eq!(own(1, "", &aborted("rails", REFUSED, "db:migrate:status")), "not known");
    let illegal = "ActiveRecord::IllegalMigrationNameError: \n\nIllegal name for migration file: /app/db/migrate/20260401000000_Odd-name.rb\n\t(only lower case letters, numbers, and '_' allowed).\n\n";
    assert_eq!(own(1, head, &aborted("rails", illegal, "db:migrate:status")), "not known");
    assert_eq!(own(0, head, ""), "not known", "no migration at all");
}

const REFUSED: &str = "ActiveRecord::ConnectionNotEstablished: connection to server at \"127.0.0.1\", port 55999 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n\n\nCaused by:\nPG::ConnectionBad: connection to server at \"127.0.0.1\", port 55999 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n";

/// How each failure of Rails begins and ends.
fn aborted(program: &str, why: &str, task: &str) -> String {
    format!("{program} aborted!\n{why}\n\nTasks: TOP => {task}\n(See full trace by running task with --trace)\n")
}

/// What people see of `db:migrate`, and which hint each failure gets: of 6.1.7, where no other version is named.
#[test]
fn rails_applies() {
    let tool = &rails::RAILS;
    let is = |regex: &str, text: &str| text.lines().any(|line| regex_lite::Regex::new(regex).expect("regex").is_match(line));
    let applied = "== 20260105090000 Voters: migrating ===========================================\n-- create_table(:voters)\n   -> 0.0091s\n== 20260105090000 Voters: migrated (0.0092s) ==================================\n\n";
    assert!(tool.success.is_empty() && !is(tool.failure, applied), "where nothing is pending it prints nothing");
    let failed = "StandardError: An error has occurred, this and all later migrations canceled:\n\nPG::UndefinedTable: ERROR:  relation \"nope\" does not exist\n/app/db/migrate/20260318142000_third.rb:3:in `up'\n";
    // The third is that of `bin/rails` from 7.1 on, by its source.
    for program in ["rails", "rake", "bin/rails"] {
        assert!(is(tool.failure, &aborted(program, failed, "db:migrate")), "{program}");
    }
    let hint = |why: &str, task: &str| {
        let text = aborted("rails", why, task);
        tool.hints().into_iter().find(|hint| is(&hint.regex, &text)).map(|hint| hint.text).unwrap_or_default()
    };
    assert_eq!(hint(failed, "db:migrate"), "");
    assert!(hint(REFUSED, "db:migrate").starts_with("the database cannot be reached"));
    let busy = "ActiveRecord::ConcurrentMigrationError: \n\nCannot run migrations because another migration process is currently running.\n\n";
    assert!(hint(busy, "db:migrate").starts_with("another process migrates"));
    let password = "ActiveRecord::NoDatabaseError: connection to server at \"192.0.2.1\", port 5432 failed: FATAL:  password authentication failed for user \"app\"\n";
    assert!(hint(password, "db:migrate").contains("its login was refused"));
    // The other two are of 7.1 and 8.1, from their source.
    for adapter in [
        "LoadError: Could not load the 'mysql' Active Record adapter. Ensure that the adapter is spelled correctly in config/database.yml and that you've added the necessary adapter gem to your Gemfile.\n",
        "ActiveRecord::AdapterNotFound: database configuration specifies nonexistent mysql adapter\n",
        "ActiveRecord::AdapterNotFound: Database configuration specifies nonexistent 'mysql' adapter.\n",
    ] {
        assert!(hint(adapter, "db:migrate => db:load_config").contains("mysql2://"), "{adapter}");
    }
    let none =
        "Cannot load database configuration:\nCould not load database configuration. No such file - [\"config/database.yml\"]\n";
    assert!(hint(none, "db:migrate => db:load_config").contains("neither a config/database.yml nor DATABASE_URL"));
    let twice =
        "ActiveRecord::DuplicateMigrationVersionError: \n\nMultiple migrations have the version number 20260401000000.\n\n";
    assert!(hint(twice, "db:migrate").contains("rename the file"));
    let dump = "Errno::EROFS: Read-only file system @ rb_sysopen - /app/db/schema.rb\n";
    assert!(hint(dump, "db:schema:dump").starts_with("the migrations are applied"));
}

/// From its source (`MigrationInfoDumper`, `AsciiTable`, `MigrationState` of 13.0.0): it was not run.
#[test]
fn flyway() {
    let table = |rows: &[&str]| {
        let rule = "+-----------+---------+-------------+------+--------------+-------+----------+\n";
        let head = "| Category  | Version | Description | Type | Installed On | State | Undoable |\n";
        let rows: Vec<String> = rows.iter().map(|row| format!("| {row} |")).collect();
        format!("Schema version: 1\n\n{rule}{head}{rule}{}\n{rule}", rows.join("\n"))
    };
    let of = |rows: &[&str]| read(&flyway::FLYWAY, 0, &table(rows), "");
    let one = "Versioned  | 1       | init        | SQL  | 2026-01-05 09:00:00 | Success | No      ";
    let row = |category: &str, version: &str, description: &str, state: &str| {
        format!("{category:<10} | {version:<7} | {description:<11} | SQL  |                     | {state} | {:<8}", "No")
    };
    assert_eq!(of(&[one]), "up to date");
    assert_eq!(of(&[one, &row("Versioned", "2.1", "b", "Pending")]), "pending 2.1");
    assert_eq!(of(&[one, "Versioned | 2 | b | SQL | | Pending"]), "pending 2", "before 10 there was one column less");
    assert_eq!(of(&[one, &row("Repeatable", "", "all voters", "Pending")]), "pending all voters");
    let changed = [row("Repeatable", "", "all voters", "Outdated"), row("Repeatable", "", "all voters", "Pending")];
    assert_eq!(of(&[one, &changed[0], &changed[1]]), "pending all voters");
    assert_eq!(of(&[&row("Baseline", "5", "all", "Pending"), &row("Versioned", "1", "init", "Below Baseline")]), "pending 5");
    assert_eq!(
        of(&[one, &row("Versioned", "2", "Pending", "Success"), &row("Versioned", "3", "Failed", "Out of Order")]),
        "up to date"
    );
    for state in ["Missing", "Failed", "Future", "Failed (Future)", "Failed (Missing)"] {
        let told = of(&[one, &row("Versioned", "2", "b", state), &row("Versioned", "3", "c", "Pending")]);
        assert_eq!(told, "failed: a migration failed, or files and history have parted", "{state}");
    }
    assert!(of(&[one, &row("Versioned", "0.9", "b", "Ignored")]).starts_with("failed: Flyway passes over one"));
    assert!(of(&[one, &row("Versioned", "2", "b", "Above Target")]).starts_with("failed: Flyway is told to stop"));
    assert_eq!(of(&[&row("Baseline", "5", "all", "Ignored (Baseline)"), one]), "up to date");
}

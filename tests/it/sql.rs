//! `tool = "sql"` on a real PostgreSQL: files of this folder, applied one by one, and what is told of those that did not come to their
//! end. PostgreSQL is asked, not Landfall.

use crate::droplet::{Droplet, droplet, eventually};
use crate::project::Project;

const STEP: &str =
    "[[steps]]\nkind = \"migrate\"\nname = \"sql\"\ntool = \"sql\"\nmigrations = \"db/migrations\"\nper_host = true\n";

const VOTERS: &str = "-- 2026-03-01: who may vote\nCREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL);\n";
const INDEX: &str = "-- 2026-03-02: voters are looked for by name\n-- landfall: no-transaction\n\
                     CREATE INDEX CONCURRENTLY voters_name ON voters (name);\n";

fn project(droplets: &crate::droplet::Droplets, files: &[(&str, &str)]) -> Project {
    let project = Project::on(droplets);
    project.playbook("sql", STEP);
    for (name, text) in files {
        project.write(&format!("db/migrations/{name}"), text);
    }
    project
}

fn applied(droplet: &Droplet) -> String {
    let query = "SELECT name || ' ' || (applied_at IS NOT NULL) FROM landfall_migrations ORDER BY name";
    droplet.sql(query).replace('\n', ", ")
}

fn there(droplet: &Droplet, relation: &str) -> bool {
    !droplet.sql(&format!("SELECT to_regclass('{relation}')")).is_empty()
}

fn sleeps(droplet: &Droplet) -> bool {
    droplet.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'migration of %' AND wait_event = 'PgSleep'")
        == "1"
}

#[test]
fn what_waits_is_shown_applied_once_and_verified() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, &[("001_voters.sql", VOTERS), ("2_voters_name.sql", INDEX)]);
    let waits = ["001_voters.sql", "CREATE TABLE voters", "2_voters_name.sql", "CREATE INDEX CONCURRENTLY"];
    project.landfall(&["plan", "sql"]).expect(0, &waits);
    project.landfall(&["verify", "sql"]).expect(0, &["0 applied", "001_voters.sql", "pending", "READY TO MERGE"]);
    assert!(!there(droplet, "landfall_migrations"), "a look makes nothing");

    project
        .landfall(&["run", "sql", "--yes"])
        .expect(0, &["db/migrations/001_voters.sql", "2 migrations applied, nothing pending"]);
    assert_eq!(applied(droplet), "001_voters.sql true, 2_voters_name.sql true");
    assert!(there(droplet, "voters_name"));
    let sum = droplet.sql("SELECT sha256 || ' ' || applied_by FROM landfall_migrations WHERE name = '001_voters.sql'");
    let file = std::process::Command::new("sha256sum").arg(project.path("db/migrations/001_voters.sql")).output().unwrap();
    assert!(sum.starts_with(String::from_utf8_lossy(&file.stdout).split(' ').next().unwrap()) && sum.contains(" ana@"), "{sum}");
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["nothing pending"]);

    project.write(
        "db/migrations/10_ages.sql",
        "-- 2026-03-03: their ages\nALTER TABLE voters ADD COLUMN age int;\nDROP TABLE ballots;\n",
    );
    project.landfall(&["plan", "sql"]).expect(7, &["10_ages.sql:3: drop-table"]);
    project.landfall(&["verify", "sql"]).expect(0, &["2 applied, unchanged", "10_ages.sql"]);
    project.landfall(&["verify", "sql", "--apply"]).expect(7, &["nobody is there to confirm"]);
    project.write("db/migrations/10_ages.sql", "-- 2026-03-03: their ages\nALTER TABLE voters ADD COLUMN age int;\n");
    project.landfall(&["verify", "sql", "--apply", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
    assert_eq!(applied(droplet), "001_voters.sql true, 10_ages.sql true, 2_voters_name.sql true");
    project.landfall(&["verify", "sql", "--apply", "--yes"]).expect(0, &["3 applied, unchanged", "READY TO MERGE"]);
    project.landfall(&["verify", "release", "--apply", "--yes"]).expect(7, &["prisma takes its files from the image"]);
    project.playbook("status", &format!("{STEP}mode = \"status\"\n").replace("per_host = true\n", ""));
    project.landfall(&["validate", "status"]).expect(0, &["nothing pending"]);
}

#[test]
fn a_file_that_fails_is_rolled_back_and_named_with_its_line() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let bad = "-- 2026-03-02: cannot be\nCREATE TABLE half (id int PRIMARY KEY);\n\nALTER TABLE nope ADD COLUMN x int;\n";
    let project = project(
        &droplets,
        &[("001_voters.sql", VOTERS), ("002_bad.sql", bad), ("003_more.sql", "CREATE TABLE more (id int PRIMARY KEY);")],
    );
    project.landfall(&["run", "sql", "--yes"]).expect(
        1,
        &[
            "db/migrations/002_bad.sql:4: ERROR:  relation \"nope\" does not exist",
            "nothing of this file was kept",
            "applied before it: 001_voters.sql",
            "still pending: 002_bad.sql, 003_more.sql",
        ],
    );
    assert_eq!(applied(droplet), "001_voters.sql true");
    assert!(there(droplet, "voters") && !there(droplet, "half") && !there(droplet, "more"));
    project.write("db/migrations/002_bad.sql", "-- 2026-03-02: can be\nCREATE TABLE half (id int PRIMARY KEY);\n");
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["2 migrations applied"]);
}

#[test]
fn what_is_killed_without_a_transaction_is_unfinished_until_a_person_settles_it() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let text = "-- 2026-03-01: takes its time\n-- landfall: no-transaction\nCREATE TABLE half (id int PRIMARY KEY);\n\
                SELECT pg_sleep(600);\nCREATE TABLE whole (id int PRIMARY KEY);\n";
    let project = project(&droplets, &[("001_half.sql", text)]);
    let running = project.start(&["run", "sql", "--yes"]);
    eventually("it sleeps", || sleeps(droplet));
    droplet.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    running.finish().expect(1, &["001_half.sql", "began and did not finish"]);
    assert_eq!(applied(droplet), "001_half.sql false");
    let settle = "DELETE FROM landfall_migrations WHERE name = '001_half.sql'";
    project
        .landfall(&["run", "sql", "--yes"])
        .expect(7, &["did not finish", "half-way", "table half", "table whole is not", settle]);
    project.landfall(&["verify", "sql", "--apply", "--yes"]).expect(7, &["failed", "NOT READY"]);
    droplet.sql("DROP TABLE half");
    droplet.sql(settle);
    project.write("db/migrations/001_half.sql", &text.replace("600", "0"));
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["1 migration applied"]);
    assert_eq!(applied(droplet), "001_half.sql true");
}

#[test]
fn a_cancel_ends_what_runs_in_the_server() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let text = "-- 2026-03-01: takes its time\nCREATE TABLE half (id int PRIMARY KEY);\nSELECT pg_sleep(600);\n";
    let project = project(&droplets, &[("001_half.sql", text)]);
    let running = project.start(&["run", "sql", "--yes"]);
    eventually("it sleeps", || sleeps(droplet));
    project.landfall(&["cancel", "--yes"]).expect(0, &[]);
    running.finish().expect(130, &["still pending: 001_half.sql"]);
    assert!(!sleeps(droplet) && !there(droplet, "half"));
    assert_eq!(applied(droplet), "");
}

#[test]
fn a_session_that_outlives_its_run_is_waited_out_and_nothing_is_applied_twice() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let text = "-- 2026-03-01: takes its time\nCREATE TABLE slow (id int PRIMARY KEY);\nSELECT pg_sleep(30);\n";
    let project = project(&droplets, &[("001_slow.sql", text)]);
    let running = project.start(&["run", "sql", "--yes", "--output", "json"]);
    let run = running.run();
    eventually("it sleeps", || sleeps(droplet));
    let (supervisor, clients) = droplet.processes_of(&run);
    droplet.sh(&format!("kill -9 {supervisor} {clients}"));
    let still = ["lost", "its database still works: backend ", "(active): ", "pg_sleep(30)"];
    running.finish().expect(6, &still);
    project.landfall(&["attach", &run]).expect(6, &still);
    project.landfall(&["resolve", &run, "--as", "not-done", "--note", "it was killed", "--yes"]).expect(0, &["settled"]);
    project.landfall(&["run", "sql", "--yes"]).expect(1, &["was not begun: another session still applies migrations"]);
    eventually("it has ended by itself", || !sleeps(droplet));
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["nothing pending"]);
    assert_eq!(droplet.sql("SELECT name || ' ' || run FROM landfall_migrations"), format!("001_slow.sql {run}"));
}

#[test]
fn a_history_that_the_files_do_not_fit_refuses() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, &[("001_voters.sql", VOTERS), ("003_voters_name.sql", INDEX)]);
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["2 migrations applied"]);
    project.write("db/migrations/001_voters.sql", &format!("{VOTERS}-- more\n"));
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["drift", "001_voters.sql"]);
    project.landfall(&["verify", "sql"]).expect(7, &["001_voters.sql", "edited", "NOT READY"]);
    // An entry holds for the file as it is, and ends with its next change.
    let words = ["verify", "sql", "--write-approval", "edited@001_voters.sql", "--by", "Ann", "--reason", "a word more"];
    project.landfall(&words).expect(0, &["wrote one entry"]);
    project.landfall(&["verify", "sql"]).expect(0, &["edited", "Ann took that upon themselves", "READY TO MERGE"]);
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["edited", "Ann", "nothing pending"]);
    project.write("db/migrations/001_voters.sql", &format!("{VOTERS}-- and more\n"));
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["drift", "001_voters.sql"]);
    project.landfall(&["verify", "sql"]).expect(7, &["001_voters.sql", "edited", "NOT READY"]);
    std::fs::remove_file(project.path("db/migrations/001_voters.sql")).unwrap();
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["not among the files in db/migrations: 001_voters.sql"]);
    project.write("db/migrations/001_voters.sql", VOTERS);
    project.write("db/migrations/002_late.sql", "-- 2026-03-02: came late\nCREATE TABLE late (id int PRIMARY KEY);\n");
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["late", "002_late.sql", "next free number"]);
    project.landfall(&["verify", "sql"]).expect(7, &["pending, late"]);
    assert!(!there(droplet, "late"));
    assert_eq!(applied(droplet), "001_voters.sql true, 003_voters_name.sql true");
}

#[test]
fn a_folder_that_cannot_be_applied_is_an_error_before_anything_is_contacted() {
    let droplets = droplet();
    let project = project(&droplets, &[("001_a.sql", "SELECT 1;"), ("1_b.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\n"), ("c.sql", "")]);
    let told =
        ["1_b.sql:1: begins or ends a transaction", "c.sql is not called NUMBER_name.sql", "two files are the migration 1"];
    project.landfall(&["check", "sql"]).expect(2, &told);
    project.landfall(&["run", "sql", "--yes"]).expect(2, &told);
}

#[test]
fn a_database_that_is_reached_by_its_url_gets_the_same_files() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, &[("001_voters.sql", VOTERS), ("002_voters_name.sql", INDEX)]);
    let image = droplet.sh("docker inspect --format '{{.Config.Image}}' deployment-postgres-1");
    let by_url = format!("[database]\nurl = {{ secret = \"DATABASE_URL\" }}\nclient_image = \"{image}\"");
    project.edit("landfall.toml", "[database]\nservice = \"postgres\"", &by_url);
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["2 migrations applied, nothing pending"]);
    assert_eq!(applied(droplet), "001_voters.sql true, 002_voters_name.sql true");
    project.landfall(&["verify", "sql"]).expect(0, &["2 applied, unchanged", "READY TO MERGE"]);
}

#[test]
fn a_history_that_another_login_owns_is_neither_believed_nor_written_to() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, &[("001_voters.sql", VOTERS)]);
    // Whoever owns the table says what was applied, and a trigger of theirs would do what it likes as this login.
    droplet.sql(
        "CREATE ROLE it_app; CREATE SCHEMA it_mine; CREATE TABLE it_mine.landfall_migrations (name text PRIMARY KEY, sha256 text, \
         started_at timestamptz, applied_at timestamptz, run text, applied_by text); ALTER TABLE it_mine.landfall_migrations OWNER TO it_app",
    );
    let told = ["it_mine.landfall_migrations belongs to it_app, so it is neither believed nor written to"];
    let (plan, run) = (project.landfall(&["plan", "sql"]), project.landfall(&["run", "sql", "--yes"]));
    droplet.sql("ALTER TABLE it_mine.landfall_migrations OWNER TO CURRENT_USER; CREATE RULE r AS ON INSERT TO it_mine.landfall_migrations DO ALSO SELECT 1");
    let ruled = project.landfall(&["run", "sql", "--yes"]);
    droplet.sql("DROP SCHEMA it_mine CASCADE; DROP ROLE it_app");
    plan.expect(0, &told);
    run.expect(1, &told);
    ruled.expect(1, &["it_mine.landfall_migrations has triggers or rules"]);
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["1 migration applied"]);
}

//! `tool = "sql"` on a real MariaDB, which takes no change of the schema back: what is told of files that did not come to their end.

use crate::droplet::{Droplets, droplet, eventually};
use crate::mariadb::Maria;
use crate::project::Project;

const STEP: &str =
    "[[steps]]\nkind = \"migrate\"\nname = \"sql\"\ntool = \"sql\"\nmigrations = \"db/migrations\"\nper_host = true\n";

const VOTERS: &str = "-- 2026-03-01: who may vote\nCREATE TABLE voters (id bigint PRIMARY KEY, name varchar(80) NOT NULL);\n";
const NAMES: &str = "-- 2026-03-02: names are kept as they should be\nDELIMITER //\nCREATE TRIGGER voters_name BEFORE INSERT ON voters FOR EACH ROW \
                     BEGIN\n  SET NEW.name = TRIM(NEW.name);\n  SET NEW.name = LOWER(NEW.name);\nEND//\nDELIMITER ;\n\
                     INSERT INTO voters VALUES (1, ' Ana ') -- the first";
/// Takes its time between two tables.
const SLOW: &str = "-- 2026-03-01: takes its time\nCREATE TABLE half (id int PRIMARY KEY);\nSELECT SLEEP(600);\n\
                    CREATE TABLE whole (id int PRIMARY KEY);\n";

fn project(droplets: &Droplets, files: &[(&str, &str)]) -> Project {
    let project = Maria::project(droplets, Maria::SERVICE);
    project.playbook("sql", STEP);
    for (name, text) in files {
        project.write(&format!("db/migrations/{name}"), text);
    }
    project
}

fn applied(maria: &Maria<'_>) -> String {
    let query = "SELECT CONCAT(name, IF(applied_at IS NULL, ' begun', ' applied')) FROM landfall_migrations ORDER BY name";
    maria.sql(query).replace('\n', ", ")
}

#[test]
fn what_waits_is_shown_applied_once_and_verified() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    let project = project(&droplets, &[("001_voters.sql", VOTERS), ("2_names.sql", NAMES)]);
    let waits =
        ["001_voters.sql", "CREATE TABLE voters", "2_names.sql", "CREATE TRIGGER", "mysql < db/migrations/NUMBER_name.sql"];
    project.landfall(&["plan", "sql"]).expect(0, &waits);
    project.landfall(&["verify", "sql"]).expect(0, &["0 applied", "001_voters.sql", "pending", "READY TO MERGE"]);
    assert!(!maria.has("landfall_migrations"), "a look makes nothing");
    project
        .landfall(&["run", "sql", "--yes"])
        .expect(0, &["db/migrations/001_voters.sql", "2 migrations applied, nothing pending"]);
    assert_eq!(applied(&maria), "001_voters.sql applied, 2_names.sql applied");
    assert_eq!(maria.sql("SELECT name FROM voters"), "ana");
    let sum = maria.sql("SELECT CONCAT(sha256, ' ', applied_by) FROM landfall_migrations WHERE name = '001_voters.sql'");
    let file = std::process::Command::new("sha256sum").arg(project.path("db/migrations/001_voters.sql")).output().unwrap();
    assert!(sum.starts_with(String::from_utf8_lossy(&file.stdout).split(' ').next().unwrap()) && sum.contains(" ana@"), "{sum}");
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["nothing pending"]);

    project.write("db/migrations/10_ages.sql", "-- 2026-03-03: their ages\nALTER TABLE voters DROP COLUMN name;\n");
    project.landfall(&["plan", "sql"]).expect(7, &["10_ages.sql:2: drop-column"]);
    project.write("db/migrations/10_ages.sql", "-- 2026-03-03: their ages\nALTER TABLE voters ADD COLUMN age int NULL;\n");
    project.landfall(&["verify", "sql", "--apply", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
    project.landfall(&["verify", "sql", "--apply", "--yes"]).expect(0, &["3 applied, unchanged", "READY TO MERGE"]);
    project.write("db/migrations/001_voters.sql", &format!("{VOTERS}-- more\n"));
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["drift", "001_voters.sql"]);
    // Read as PostgreSQL's they are not taken for MySQL's.
    project.edit("landfall.toml", "engine = \"mariadb\"\n", "");
    for name in ["001_voters.sql", "2_names.sql"] {
        project.write(&format!("db/migrations/{name}"), VOTERS);
    }
    project.landfall(&["run", "sql", "--yes"]).expect(1, &["not read as those of MariaDB 10.", "say `engine = \"mysql\"`"]);
}

#[test]
fn a_file_that_fails_is_named_with_its_line_and_with_what_it_left() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    let bad = "-- 2026-03-02: cannot be\nCREATE TABLE half (id int PRIMARY KEY);\n\nALTER TABLE\n  nope ADD COLUMN x int NULL;\n";
    let project = project(&droplets, &[("001_voters.sql", VOTERS), ("002_bad.sql", bad), ("003_names.sql", NAMES)]);
    let settle = "DELETE FROM landfall_migrations WHERE name = '002_bad.sql'";
    project.landfall(&["run", "sql", "--yes"]).expect(
        1,
        &[
            "db/migrations/002_bad.sql:4: ERROR 1146 (42S02): Table 'shop.nope' doesn't exist",
            "what came before the error stays",
            "applied before it: 001_voters.sql",
            "002_bad.sql began and did not finish",
            "half-way: table half is in the database, column nope.x is not",
            settle,
        ],
    );
    assert_eq!(applied(&maria), "001_voters.sql applied, 002_bad.sql begun");
    project.landfall(&["verify", "sql"]).expect(7, &["failed", "NOT READY"]);
    maria.sql("DROP TABLE half");
    maria.sql(settle);
    project.write("db/migrations/002_bad.sql", "-- 2026-03-02: can be\nCREATE TABLE half (id int PRIMARY KEY);\n");
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["2 migrations applied"]);
}

#[test]
fn what_is_killed_is_half_way_until_a_person_settles_it() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    let project = project(&droplets, &[("001_half.sql", SLOW)]);
    let running = project.start(&["run", "sql", "--yes"]);
    eventually("it sleeps", || maria.works_on("SELECT SLEEP"));
    let connection = maria.root("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'");
    maria.root(&format!("KILL {connection}"));
    running.finish().expect(1, &["001_half.sql", "began and did not finish"]);
    assert_eq!(applied(&maria), "001_half.sql begun");
    let done = "UPDATE landfall_migrations SET applied_at = now() WHERE name = '001_half.sql'";
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["half-way", "table half", "table whole is not", done]);
    maria.sql("CREATE TABLE whole (id int PRIMARY KEY)");
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["seems done", done]);
    maria.sql(done);
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["nothing pending"]);
}

#[test]
fn a_cancel_ends_what_runs_in_the_server() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    let project = project(&droplets, &[("001_half.sql", SLOW)]);
    let running = project.start(&["run", "sql", "--yes"]);
    eventually("it sleeps", || maria.works_on("SELECT SLEEP"));
    project.landfall(&["cancel", "--yes"]).expect(0, &[]);
    running.finish().expect(130, &["001_half.sql began and did not finish"]);
    assert!(!maria.works_on("SELECT SLEEP") && maria.has("half") && !maria.has("whole"));
}

#[test]
fn a_session_that_outlives_its_run_is_told_and_waited_out_and_nothing_is_applied_twice() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    let project = project(&droplets, &[("001_half.sql", &SLOW.replace("600", "30"))]);
    let running = project.start(&["run", "sql", "--yes", "--output", "json"]);
    let run = running.run();
    eventually("it sleeps", || maria.works_on("SELECT SLEEP"));
    let (supervisor, clients) = droplet.processes_of(&run);
    droplet.sh(&format!("kill -9 {supervisor} {clients}"));
    let still = ["lost", "its database still works: connection ", "SELECT SLEEP(30)"];
    running.finish().expect(6, &still);
    project.landfall(&["attach", &run]).expect(6, &still);
    project.landfall(&["resolve", &run, "--as", "not-done", "--note", "it was killed", "--yes"]).expect(0, &["settled"]);
    project.landfall(&["run", "sql", "--yes"]).expect(7, &["001_half.sql began and did not finish"]);
    eventually("it has ended by itself", || applied(&maria) == "001_half.sql applied");
    project.landfall(&["run", "sql", "--yes"]).expect(0, &["nothing pending"]);
    assert_eq!(maria.sql("SELECT CONCAT(name, ' ', run) FROM landfall_migrations"), format!("001_half.sql {run}"));
}

#[test]
fn a_lock_that_the_server_took_back_is_told() {
    let droplets = droplet();
    let maria = Maria::on(&droplets[0]);
    let project = project(&droplets, &[("001_half.sql", &SLOW.replace("600", "3"))]);
    let running = project.start(&["run", "sql", "--yes"]);
    eventually("it sleeps", || maria.works_on("SELECT SLEEP"));
    let session = maria.root("SELECT IS_USED_LOCK('landfall shop')");
    maria.root(&format!("KILL {session}"));
    running.finish().expect(0, &["1 migration applied", "its lock in the database was lost before it was over"]);
    project.write("db/migrations/002_more.sql", "-- 2026-03-02: more\nCREATE TABLE more (id int PRIMARY KEY);\n");
    let next = project.landfall(&["run", "sql", "--yes"]);
    next.expect(0, &["1 migration applied"]);
    assert!(!next.said().contains("was lost"), "{}", next.said());
}

#[test]
fn who_keeps_a_file_waiting_is_told_and_the_wait_has_an_end() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let maria = Maria::on(droplet);
    maria.sql("CREATE TABLE voters (id bigint PRIMARY KEY)");
    let project = project(&droplets, &[("001_ages.sql", "-- 2026-03-01: ages\nALTER TABLE voters ADD COLUMN age int NULL;\n")]);
    // Somebody reads the table and does not end.
    droplet.sh("(echo 'START TRANSACTION; SELECT * FROM voters; SELECT SLEEP(300);' |
          docker exec -i it-maria-maria-1 sh -c 'MYSQL_PWD=$MARIADB_PASSWORD exec mariadb --user=shop shop' >/dev/null 2>&1 &)");
    eventually("it reads", || maria.works_on("SELECT SLEEP"));
    project
        .landfall(&["run", "sql", "--yes"])
        .expect(1, &["001_ages.sql:2: ERROR 1205", "Lock wait timeout exceeded", "somebody else holds the table"]);
    maria.sql("DELETE FROM landfall_migrations");
    project.playbook("sql", &format!("{STEP}lock_timeout = \"5m\"\n"));
    let running = project.start(&["run", "sql", "--yes"]);
    running.until("a statement has waited for a lock for more than 10 s: ALTER TABLE voters");
    let connection = maria.root("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'");
    maria.root(&format!("KILL {connection}"));
    running.finish().expect(0, &["1 migration applied"]);
}

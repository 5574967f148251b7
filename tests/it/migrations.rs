//! Migrations as Landfall sees them for itself, in a real PostgreSQL: drift, what is unfinished, and the look at a working folder.

use std::path::Path;

use crate::droplet::droplet;
use crate::project::Project;

#[test]
fn files_that_are_not_what_was_applied_refuse_before_anything_changes() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sql("UPDATE _prisma_migrations SET checksum = repeat('0', 64) WHERE migration_name = '20260212101500_ballots'");
    project.landfall(&["run", "release", "--yes"]).expect(7, &["drift", "20260212101500_ballots", "help"]);
    droplet.sql(
        "UPDATE _prisma_migrations SET migration_name = '20260212101500_gone' WHERE migration_name = '20260212101500_ballots'",
    );
    project.landfall(&["run", "release", "--yes"]).expect(7, &["20260212101500_gone", "not among the files"]);
    assert_eq!(droplet.sql("SELECT count(*) FROM _prisma_migrations"), "2");
    assert_eq!(droplet.version(), "1");
}

#[test]
fn a_row_without_a_file_may_be_taken_upon_oneself_though_the_tool_calls_it_a_failure() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sql(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count) \
         VALUES ('x', repeat('0', 64), '20250101000000_gone', '2025-01-01', '2025-01-01', 1)",
    );
    project.playbook("only", "[[steps]]\nkind = \"migrate\"\ntool = \"prisma\"\n");
    project.landfall(&["run", "only", "--yes"]).expect(7, &["--approve missing@20250101000000_gone --note TEXT"]);
    let words = ["run", "only", "--yes", "--approve", "missing@20250101000000_gone", "--note", "made into one"];
    project.landfall(&words).expect(0, &["missing", "made into one"]);
}

#[test]
fn an_unfinished_migration_is_told_with_what_of_it_is_there() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let begun = "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, applied_steps_count) \
                 VALUES ('x', 'x', '20260318142000_configurations', now(), 0)";
    droplet.sql(begun);
    let undone = "resolve --rolled-back 20260318142000_configurations";
    project.landfall(&["run", "release", "--yes"]).expect(7, &["did not finish", "table configurations", undone]);
    droplet.sql("CREATE TABLE configurations (key text)");
    let done = "resolve --applied 20260318142000_configurations";
    project.landfall(&["run", "release", "--yes"]).expect(7, &["seems done", done]);
}

#[test]
fn a_working_folder_is_verified_against_the_database() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/images/api/prisma/migrations");
    let folder = project.path("prisma/migrations");
    for name in ["20260105090000_elections", "20260212101500_ballots", "20260318142000_configurations"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::copy(from.join(name).join("migration.sql"), folder.join(name).join("migration.sql")).unwrap();
    }
    project.landfall(&["verify"]).expect(0, &["2 applied, unchanged", "20260318142000_configurations", "READY TO MERGE"]);
    let ballots = folder.join("20260212101500_ballots/migration.sql");
    let text = std::fs::read_to_string(&ballots).unwrap();
    std::fs::write(&ballots, format!("-- a licence\n{text}")).unwrap();
    project.landfall(&["verify"]).expect(7, &["20260212101500_ballots", "edited", "NOT READY: 1 thing"]);
    std::fs::write(&ballots, text).unwrap();
    std::fs::remove_dir_all(folder.join("20260105090000_elections")).unwrap();
    project.landfall(&["verify"]).expect(7, &["20260105090000_elections", "missing"]);
    let junit = project.landfall(&["verify", "--format", "junit"]);
    junit.expect(7, &["<testsuite name=\"droplet-", "failures=\"1\"", "<failure message=\"missing: it is applied", "pending"]);
}

/// What golang-migrate does with `up`, by its source: the program itself is not to be had here. It knows one number and whether the
/// migration of that number came to its end.
const UP: &str = r#"
ask() { psql -qAtX -v ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }
ask -c 'CREATE TABLE IF NOT EXISTS schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)'
[ -z "$(ask -c 'SELECT 1 FROM schema_migrations WHERE dirty')" ] || { echo 'error: Dirty database version' >&2; exit 1; }
now=$(ask -c 'SELECT version FROM schema_migrations')
for file in $(ls /migrations | grep '[.]up[.]sql$' | sort -n); do
  version=${file%%_*}
  [ "$version" -gt "${now:-0}" ] || continue
  ask -c "BEGIN; TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ($version, true); COMMIT"
  ask -f "/migrations/$file" || exit 1
  ask -c 'UPDATE schema_migrations SET dirty = false'
done
"#;

#[test]
fn a_history_of_one_number_is_corrected_by_what_runs_saw() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let image = droplet.sh("docker inspect --format '{{.Image}}' deployment-postgres-1");
    let compose = format!(
        "services:\n  tools:\n    image: {}\n    entrypoint: []\n    env_file: ../.env\n    volumes: [\"/tmp/it-golang:/migrations:ro\"]\n",
        image.trim()
    );
    droplet
        .sh(&format!("rm -rf /tmp/it-golang && mkdir /tmp/it-golang && cat >/tmp/it-golang/compose.yml <<'EOF'\n{compose}EOF"));
    droplet.sh(&format!("cat >/tmp/it-golang/up <<'EOF'{UP}EOF"));
    let files = r#"files = ["docker-compose.prod.yml""#;
    project.edit("landfall.toml", files, &format!("{files}, \"/tmp/it-golang/compose.yml\""));
    let step = "[[steps]]\nkind = \"migrate\"\nname = \"golang\"\ntool = \"golang-migrate\"\nservice = \"tools\"\n\
                migrations = \"/migrations\"\napply = [\"bash\", \"/migrations/up\"]\nper_host = true\n";
    project.playbook("tool", step);
    let make = |name: &str, sql: &str| droplet.sh(&format!("echo '{sql}' >/tmp/it-golang/{name}.up.sql"));
    let run = |more: &[&str]| project.landfall(&[&["run", "tool", "--yes"], more].concat());
    make("001_one", "CREATE TABLE one (id int);");
    make("003_three", "CREATE TABLE three (id int);");
    run(&[]).expect(0, &["2 migrations applied, nothing pending"]);

    // Merged late: for the tool it is applied.
    make("002_two", "CREATE TABLE two (id int);");
    run(&[])
        .expect(7, &["never applied, and the tool would pass it over in silence: 002_two", "--approve skipped@002_two.up.sql"]);
    project.landfall(&["plan", "tool"]).expect(7, &["never applied", "002_two"]);
    let by_hand = ["--approve", "skipped@002_two.up.sql", "--note", "applied by hand"];
    run(&by_hand).expect(0, &["nothing pending"]);
    run(&[]).expect(0, &["nothing pending"]);

    make("003_three", "CREATE TABLE three (id bigint);");
    run(&[]).expect(7, &["drift", "003_three", "saw another text of it applied"]);
    make("003_three", "CREATE TABLE three (id int);");
    droplet.sh("rm /tmp/it-golang/001_one.up.sql");
    run(&[]).expect(7, &["not among the files of the image: 001"]);
    run(&["--approve", "missing@001", "--note", "made into one"]).expect(0, &["nothing pending"]);
    make("004_four", "ALTER TABLE nope ADD COLUMN x int;");
    run(&[]).expect(1, &["004_four began and did not finish"]);
    droplet.sql("UPDATE schema_migrations SET version = 3, dirty = false");
    droplet.sh("rm /tmp/it-golang/004_four.up.sql");
    make("005_five", "CREATE TABLE five (id int);");
    run(&[]).expect(0, &["1 migration applied, nothing pending"]);
    assert_eq!(
        droplet.sql("SELECT string_agg(entry, ' ' ORDER BY entry) FROM landfall.applied WHERE sha256 IS NOT NULL"),
        "002 003 005"
    );
}

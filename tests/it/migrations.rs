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

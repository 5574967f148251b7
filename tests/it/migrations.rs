//! Migrations as Landfall sees them for itself, in a real PostgreSQL: drift, a database that another host migrates, an engine that is
//! killed, and the look at a working folder.

use std::path::Path;

use crate::droplet::{Droplet, droplet, within};
use crate::project::Project;

const SOON: std::time::Duration = std::time::Duration::from_mins(2);

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
fn a_database_that_another_host_migrates_is_left_alone() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    droplet.sh("docker exec -d -e PGAPPNAME='landfall x on droplet-9' deployment-postgres-1 psql -U etally etally \
         -c 'SELECT pg_advisory_lock(1281453668, 1), pg_sleep(300)'");
    within(SOON, "the lock is held", || droplet.sql(held) == "1");
    project.landfall(&["run", "release", "--yes"]).expect(1, &["being migrated already", "landfall x on droplet-9"]);
    assert_eq!(droplet.sql("SELECT count(*) FROM _prisma_migrations"), "2");
    droplet.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted");
    project.landfall(&["run", "release", "--yes"]).expect(0, &[]);
    assert_eq!(droplet.sql(held), "0", "its own lock is gone with it");
}

/// Ends the engine of a migration, as the kernel does for want of memory.
fn kill_the_engine(droplet: &Droplet) {
    droplet.sh(
        "for p in $(grep -lsz schema-engine.mjs /proc/[0-9]*/cmdline); do p=${p%/cmdline}; kill -9 ${p#/proc/} || true; done",
    );
}

#[test]
fn an_engine_that_is_killed_is_never_a_success_and_the_database_is_waited_for() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sh("docker exec -d deployment-postgres-1 psql -U etally etally \
         -c 'BEGIN; LOCK TABLE _prisma_migrations IN EXCLUSIVE MODE; SELECT pg_sleep(300); COMMIT'");
    let held = "SELECT count(*) FROM pg_locks WHERE relation = '_prisma_migrations'::regclass AND mode = 'ExclusiveLock'";
    within(SOON, "migrations are held", || droplet.sql(held) == "1");
    let out = std::thread::scope(|scope| {
        let run = scope.spawn(|| project.events(&["run", "release", "--yes"]));
        let waiting = "SELECT count(*) FROM pg_locks WHERE relation = '_prisma_migrations'::regclass AND NOT granted";
        within(SOON, "the migration waits", || droplet.sql(waiting) == "1");
        kill_the_engine(droplet);
        within(SOON, "the tool is gone", || droplet.sh("docker ps -q --filter name=deployment-landfall").is_empty());
        droplet.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
        );
        run.join().expect("run")
    });
    let migrate = out.finished(None, "migrate");
    assert!(["failed", "unknown"].contains(&migrate["status"].as_str().unwrap()), "{migrate}");
    assert_ne!(out.code, 0);
    assert_eq!(droplet.version(), "1", "nothing was switched");
    let applied = droplet.migrations();
    assert!(!applied.contains("email_templates"), "{applied}");
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
}

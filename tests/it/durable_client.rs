//! The client that goes away: killed, hung up, interrupted while it seeks contact. The run is the droplet's, and anyone may watch it.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::chance::is_long;
use crate::droplet::{Droplet, droplet, eventually, within};
use crate::program::Output;
use crate::project::Project;
use crate::proxy::Proxy;

/// Longer than any part of a release takes, on a busy machine too.
const RELEASE: Duration = Duration::from_mins(10);

/// Holds every migration up from its first write on, until it is dropped.
struct Held<'a>(&'a Droplet);

impl<'a> Held<'a> {
    fn on(droplet: &'a Droplet) -> Self {
        droplet.sh("docker exec -d deployment-postgres-1 psql -U etally etally \
             -c 'BEGIN; LOCK TABLE _prisma_migrations IN EXCLUSIVE MODE; SELECT pg_sleep(1800); COMMIT'");
        let held = "SELECT count(*) FROM pg_locks WHERE relation = '_prisma_migrations'::regclass AND mode = 'ExclusiveLock'";
        eventually("migrations are held", || droplet.sql(held) == "1");
        Self(droplet)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let holder = "query LIKE '%pg_sleep(1800)%' AND pid <> pg_backend_pid()";
        self.0.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {holder}"));
    }
}

fn until_a_migration_is_held(droplet: &Droplet) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = '_prisma_migrations'::regclass AND NOT granted";
    within(RELEASE, "the migration has begun to write", || droplet.sql(waiting) == "1");
}

#[test]
fn a_client_killed_during_a_migration_changes_nothing_about_the_release() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let held = Held::on(droplet);
    let client = project.start(&["run", "release", "--yes", "--output", "json"]);
    let run = client.run();
    until_a_migration_is_held(droplet);
    client.signal(Signal::KILL);
    assert_eq!(client.finish().code, -9);
    // How long the migration goes on alone is what is tried.
    thread::sleep(Duration::from_secs(if is_long() { 20 } else { 3 }));
    assert_eq!(droplet.sql("SELECT count(*) FROM _prisma_migrations"), "2", "nothing else applied it");
    drop(held);
    within(RELEASE, "the rest of the release is done", || droplet.left().is_empty());
    // Once, and whole; a second attempt of the tool would stand in its own table.
    assert_eq!(
        droplet.sql("SELECT count(*), count(DISTINCT migration_name), count(finished_at) FROM _prisma_migrations"),
        "4|4|4"
    );
    assert_eq!(droplet.version(), "2");
    let seen = Project::on(&droplets).events(&["attach", &run]);
    seen.expect(0, &[]);
    for step in ["migrate", "seed configurations", "seed email-templates", "up", "container is healthy", "api answers"] {
        assert_eq!(seen.finished(None, step)["status"], "ok", "{step}");
    }
    assert!(seen.finished(None, "migrate")["duration_ms"].as_u64().unwrap() > 3000);
}

#[test]
fn who_watches_later_sees_the_same_however_many_there_are() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "say",
        "[[steps]]\nkind = \"shell\"\nname = \"say\"\ncommand = \"for i in $(seq 3000); do echo out $i; echo err $i >&2; done; exit 4\"\n",
    );
    let out = project.events(&["run", "say", "--yes"]);
    out.expect(1, &[]);
    let projects: Vec<_> = (0..5).map(|_| Project::on(&droplets)).collect();
    let watchers: Vec<_> = projects.iter().map(|project| project.start(&["attach", "--output", "json"])).collect();
    for seen in watchers.into_iter().map(crate::program::Running::finish) {
        seen.expect(1, &[]);
        for stream in ["stdout", "stderr"] {
            assert!(seen.printed_on(stream) == out.printed_on(stream), "{stream} differs");
        }
        assert_eq!(seen.finished(None, "say"), out.finished(None, "say"));
    }
}

const WAIT: &str = "[[steps]]\nkind = \"shell\"\nname = \"wait\"\ncommand = \"echo waiting; while [ ! -e /tmp/it-go ]; do sleep 0.1; done; echo went\"\n";

fn ends_well(droplet: &Droplet, project: &Project) {
    droplet.sh("touch /tmp/it-go");
    let seen = project.events(&["attach"]);
    seen.expect(0, &[]);
    assert_eq!(seen.printed(), "waiting\nwent\n");
}

/// Contact is lost, and not to be had again yet.
fn without_contact(proxy: &Proxy, client: &crate::program::Running) {
    proxy.silent(true);
    proxy.cut();
    client.until("connection_lost");
}

#[test]
fn a_terminal_that_hangs_up_stops_nothing() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("wait", WAIT);
    let client = project.start(&["run", "wait", "--yes", "--output", "json"]);
    client.until("\"text\":\"waiting\"");
    client.signal(Signal::HUP);
    client.finish().expect(6, &["goes on without you", "landfall attach"]);
    ends_well(&droplets[0], &project);
}

#[test]
fn ctrl_c_while_contact_is_sought_lets_go() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("wait", WAIT);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let client = project.start(&["run", "wait", "--yes", "--output", "json"]);
    client.until("\"text\":\"waiting\"");
    without_contact(&proxy, &client);
    client.signal(Signal::INT);
    let began = Instant::now();
    client.finish().expect(6, &["goes on without you", "landfall attach"]);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    proxy.silent(false);
    ends_well(&droplets[0], &project);
}

#[test]
fn ctrl_c_twice_while_contact_is_sought_cancels_as_soon_as_there_is_any() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("wait", WAIT);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let client = project.start(&["run", "wait", "--yes", "--output", "json"]);
    client.until("\"text\":\"waiting\"");
    without_contact(&proxy, &client);
    client.signal(Signal::INT);
    client.until("once more within 3 s");
    client.signal(Signal::INT);
    client.until("stopping it");
    proxy.silent(false);
    let out: Output = client.finish();
    out.expect(130, &[]);
    assert_eq!(out.finished(None, "wait")["status"], "cancelled");
}

#[test]
fn contact_that_does_not_come_back_in_time_is_unknown_and_the_run_goes_on() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("wait", WAIT);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let client = project.start(&["run", "wait", "--yes", "--output", "json", "--reconnect-for", "3s"]);
    let run = client.run();
    client.until("\"text\":\"waiting\"");
    without_contact(&proxy, &client);
    client.finish().expect(6, &["no contact for 3s", &format!("landfall attach {run}")]);
    proxy.silent(false);
    ends_well(&droplets[0], &project);
}

#[test]
fn contact_that_stood_in_silence_is_sought_again_as_long_as_the_first_time() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("wait", WAIT);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let client = project.start(&["run", "wait", "--yes", "--output", "json", "--reconnect-for", "8s"]);
    client.until("\"text\":\"waiting\"");
    proxy.cut();
    client.until("\"type\":\"reconnected\"");
    // How long nothing is said is what is tried: longer than contact is sought.
    thread::sleep(Duration::from_secs(17));
    proxy.cut();
    eventually("it is back", || client.said().matches("\"type\":\"reconnected\"").count() == 2);
    droplets[0].sh("touch /tmp/it-go");
    client.finish().expect(0, &["went"]);
}

//! Runs that are stopped: by their time, by a person, from elsewhere. And runs that are let go of, and watched later.

use rustix::process::Signal;

use crate::droplet::{Droplet, droplet, droplets, eventually};
use crate::project::Project;
use crate::proxy::Proxy;

const STUBBORN: &str = "trap '' TERM INT; echo begun; while :; do sleep 1; done";

fn stubborn(project: &Project, name: &str, how: &str) {
    project.playbook(
        name,
        &format!(
            "[[steps]]\nkind = \"exec\"\nname = \"stubborn\"\n{how}\ncommand = [\"sh\", \"-c\", \"{STUBBORN}\"]\n\
             [[always]]\nkind = \"shell\"\nname = \"end\"\ncommand = \"touch /tmp/it-ended\"\n"
        ),
    );
}

fn api_lives(droplet: &Droplet, began: &str) {
    let now = droplet.sh("docker inspect --format '{{.State.StartedAt}} {{.State.Status}}' deployment-api-1");
    assert_eq!(now, began, "the service's own processes were touched");
    // The redirection belongs to docker: given to `tr`, it would take the place of the pipe.
    assert_eq!(droplet.sh("docker exec deployment-api-1 cat /proc/1/cmdline </dev/null | tr '\\0' ' '"), "node server.mjs");
}

fn began(droplet: &Droplet) -> String {
    droplet.sh("docker inspect --format '{{.State.StartedAt}} {{.State.Status}}' deployment-api-1")
}

#[test]
fn a_timeout_is_kept_by_the_host_and_confirmed() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    stubborn(&project, "late", "timeout = \"2s\"");
    let out = project.events(&["run", "late", "--yes"]);
    out.expect(1, &[]);
    let finished = out.finished(None, "stubborn");
    assert_eq!(finished["status"], "timed_out", "{finished}");
    assert!(finished["duration_ms"].as_u64().unwrap() < 30_000, "{finished}");
    droplets[0].sh("test -e /tmp/it-ended");
}

#[test]
fn a_timeout_is_kept_when_nobody_is_connected() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    stubborn(&project, "late", "timeout = \"4s\"");
    let client = project.start(&["run", "late", "--yes", "--output", "json"]);
    client.until("begun");
    client.signal(Signal::KILL);
    assert_eq!(client.finish().code, -9);
    eventually("the host ended it", || droplets[0].left().is_empty());
    droplets[0].sh("test -e /tmp/it-ended");
    let seen = project.events(&["attach"]);
    seen.expect(1, &["begun"]);
    assert_eq!(seen.finished(None, "stubborn")["status"], "timed_out");
}

fn cancelled_from_elsewhere(how: &str) {
    let droplets = droplet();
    let droplet = &droplets[0];
    let api = began(droplet);
    let project = Project::on(&droplets);
    stubborn(&project, "stay", how);
    let client = project.start(&["run", "stay", "--yes", "--output", "json"]);
    client.until("begun");
    let other = Project::on(&droplets);
    other.landfall(&["cancel", "--yes"]).expect(0, &["stopped; nothing of it is left"]);
    droplet.assert_nothing_is_left();
    let out = client.finish();
    out.expect(130, &[]);
    assert_eq!(out.finished(None, "stubborn")["status"], "cancelled");
    droplet.sh("test -e /tmp/it-ended");
    let stopped = droplet.sh("pgrep -f 'echo begun' || true");
    assert_eq!(stopped, "", "the step lives on");
    api_lives(droplet, &api);
}

#[test]
fn cancel_from_another_machine_stops_a_container_that_ignores_term() {
    cancelled_from_elsewhere("");
}

#[test]
fn cancel_from_another_machine_stops_an_exec_that_ignores_term() {
    cancelled_from_elsewhere("via = \"exec\"");
}

#[test]
fn ctrl_c_twice_cancels_on_all_hosts() {
    let droplets = droplets(2);
    let project = Project::on(&droplets);
    stubborn(&project, "stay", "");
    let client = project.start(&["run", "stay", "--on", "droplets", "--yes", "--output", "json"]);
    for droplet in droplets.iter() {
        eventually("it runs", || !droplet.sh("docker ps -q --filter label=landfall.run").is_empty());
    }
    client.signal(Signal::INT);
    client.until("once more within 3 s");
    client.signal(Signal::INT);
    let out = client.finish();
    out.expect(130, &[]);
    for droplet in droplets.iter() {
        assert_eq!(out.finished(Some(&droplet.name), "stubborn")["status"], "cancelled");
    }
    assert_eq!(out.of_type("run_finished")[0]["status"], "cancelled");
}

#[test]
fn ctrl_c_once_lets_go_and_attach_shows_everything() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "count",
        "[[steps]]\nkind = \"shell\"\nname = \"count\"\ncommand = \"for i in $(seq 12); do echo line $i; sleep 0.5; done\"\n",
    );
    let client = project.start(&["run", "count", "--yes"]);
    client.until("line 1");
    client.signal(Signal::INT);
    client.finish().expect(6, &["goes on without you", "landfall", "attach"]);
    let seen = Project::on(&droplets).events(&["attach"]);
    seen.expect(0, &[]);
    let lines: Vec<String> = (1..=12).map(|i| format!("line {i}")).collect();
    assert_eq!(seen.printed().trim_end(), lines.join("\n"));
    assert_eq!(seen.of_type("run_started").len(), 1);
    assert_eq!(seen.of_type("run_finished").len(), 1);
}

#[test]
fn sigterm_lets_go_or_cancels_as_told() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    stubborn(&project, "stay", "");
    let client = project.start(&["run", "stay", "--yes", "--cancel-on-term"]);
    client.until("begun");
    client.signal(Signal::TERM);
    client.finish().expect(130, &[]);
    let client = project.start(&["run", "stay", "--yes"]);
    client.until("begun");
    client.signal(Signal::TERM);
    client.finish().expect(6, &["goes on without you"]);
    project.landfall(&["cancel", "--yes"]).expect(0, &[]);
}

const MARK: &str = "[[steps]]\nkind = \"shell\"\nname = \"mark\"\ncommand = \"touch /tmp/it-ended\"\n";

#[test]
fn ctrl_c_during_the_upload_says_that_nothing_was_done() {
    let droplets = droplet();
    let droplet = &droplets[0];
    // One that goes by itself, one that does not wait for a second word, and one that waits for its plan to be looked at.
    for args in [&["run", "mark", "--yes"][..], &["run", "mark", "--yes", "--cancel-on-term"], &["run", "release", "--yes"]] {
        droplet.sh("rm -rf ~/.cache/landfall");
        let project = Project::on(&droplets);
        project.playbook("mark", MARK);
        let proxy = Proxy::before(droplet);
        project.through(droplet, &proxy);
        // Far beyond a login, and far below the program's size: nothing of the run has left this machine by then.
        proxy.silent_after(200_000);
        let client = project.start(args);
        eventually("the upload is under way", || proxy.is_silent());
        client.signal(Signal::INT);
        let out = client.finish();
        out.expect(130, &["interrupted: nothing was done"]);
        assert!(!out.said().contains("goes on"), "{}", out.said());
    }
    let project = Project::on(&droplets);
    assert_eq!(project.landfall(&["runs", "--output", "json"]).stdout, "");
    project.playbook("mark", MARK);
    project.landfall(&["run", "mark", "--yes"]).expect(0, &[]);
    droplet.sh("test -e /tmp/it-ended");
}

#[test]
fn ctrl_c_says_no_such_thing_once_the_run_may_have_left() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("mark", MARK);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let run = || {
        project.landfall(&["run", "mark", "--yes"]).expect(0, &[]);
    };
    run();
    let before = proxy.up();
    run();
    // What one such run sends is known by now; the last of it does not arrive.
    proxy.silent_after(proxy.up() - before - 600);
    let client = project.start(&["run", "mark", "--yes"]);
    eventually("it has left", || proxy.is_silent());
    client.signal(Signal::INT);
    client.finish().expect(6, &["goes on without you"]);
}

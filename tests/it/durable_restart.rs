//! What dies under a run: the droplet, the supervisor, the docker client, the Docker daemon. Nothing is repeated, nothing is taken for
//! done that nobody saw done, and the lock is held exactly as long as something lives.

use crate::droplet::{Droplet, droplet, eventually};
use crate::program::{Output, Running};
use crate::project::Project;

/// Counts that it began, and does not end by itself before it may.
const WAITS: &str = "echo begun; while [ ! -e /tmp/it-go ]; do sleep 0.1; done; echo ended";

fn shell(project: &Project, name: &str) {
    project.playbook(
        name,
        &format!("[[steps]]\nkind = \"shell\"\nname = \"work\"\ncommand = '''echo x >>/tmp/it-count; {WAITS}'''\n"),
    );
}

/// The same in a container. What is outside it cannot let it go on, so it is told by `docker exec`.
fn container(project: &Project, name: &str, code: u8) {
    let script = format!("{WAITS}; exit {code}");
    project.playbook(
        name,
        &format!("[[steps]]\nkind = \"exec\"\nname = \"work\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n[[always]]\nkind = \"shell\"\nname = \"end\"\ncommand = \"echo x >>/tmp/it-end\"\n"),
    );
}

fn let_the_container_go(droplet: &Droplet) {
    // Nobody waits for it: the container may end, and it with it, before it could tell its own end.
    droplet.sh("docker exec -d deployment-landfall touch /tmp/it-go </dev/null");
}

fn begun(project: &Project, playbook: &str) -> (Running, String) {
    let client = project.start(&["run", playbook, "--yes", "--output", "json"]);
    client.until("\"text\":\"begun\"");
    let run = client.run();
    (client, run)
}

fn state_of(project: &Project, run: &str) -> String {
    let runs = project.events(&["runs"]);
    let event = runs.events().into_iter().find(|event| event["run"] == run).unwrap_or_else(|| panic!("{}", runs.said()));
    event["state"].as_str().unwrap().to_owned()
}

/// It is lost, is not repeated, holds no lock, and lets nothing with effects run until a person has settled it.
fn assert_lost_until_settled(droplet: &Droplet, project: &Project, out: &Output, run: &str) {
    out.expect(6, &["lost", "step work was under way, since 20", &format!("landfall resolve {run}")]);
    assert_eq!(state_of(project, run), "lost");
    assert_eq!(droplet.sh("docker ps -q --filter label=landfall.run"), "");
    project.landfall(&["lock", "status"]).expect(0, &[": free", run, "lost"]);
    project.landfall(&["attach", run]).expect(6, &["begun", "lost"]);
    project.playbook("touch", "[[steps]]\nkind = \"shell\"\nname = \"touch\"\ncommand = \"touch /tmp/it-touched\"\n");
    project.landfall(&["run", "touch", "--yes"]).expect(7, &[run, "lost", "step work was under way", "landfall resolve"]);
    droplet.sh("test ! -e /tmp/it-touched");
    project
        .landfall(&["resolve", run, "--as", "not-done", "--note", "the droplet was restarted", "--yes"])
        .expect(0, &["settled"]);
    project.landfall(&["run", "touch", "--yes"]).expect(0, &[]);
    droplet.sh("test -e /tmp/it-touched");
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
}

fn a_restart(orderly: bool, in_a_container: bool) {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    if in_a_container {
        container(&project, "work", 0);
    } else {
        shell(&project, "work");
    }
    let (client, run) = begun(&project, "work");
    droplet.reboot(orderly);
    let out = client.finish();
    if !in_a_container {
        assert_eq!(droplet.sh("cat /tmp/it-count"), "x", "it was repeated");
    }
    assert_lost_until_settled(droplet, &project, &out, &run);
    droplet.sh("test ! -e /tmp/it-end");
}

#[test]
fn a_droplet_restarted_during_a_script_loses_the_run_and_repeats_nothing() {
    a_restart(true, false);
}

#[test]
fn a_droplet_restarted_during_a_container_loses_the_run_and_repeats_nothing() {
    a_restart(true, true);
}

#[test]
fn a_droplet_that_lost_its_power_loses_the_run_and_repeats_nothing() {
    a_restart(false, true);
}

fn orphaned(with_its_client: bool) {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    container(&project, "work", 0);
    let (client, run) = begun(&project, "work");
    let (supervisor, docker) = droplet.processes_of(&run);
    if with_its_client {
        droplet.sh(&format!("kill -9 {supervisor} {docker}"));
    } else {
        droplet.sh(&format!("kill -9 {supervisor}"));
    }
    client.finish().expect(6, &["has lost its supervisor", "container", &format!("landfall cancel {run}")]);
    assert_eq!(state_of(&project, &run), "orphaned");
    project.landfall(&["lock", "status"]).expect(0, &["held by run", &run]);
    project.landfall(&["run", "work", "--yes"]).expect(5, &[&run]);
    project.landfall(&["lock", "break", &run, "--yes"]).expect(7, &["lives"]);
    assert_eq!(droplet.sh("docker ps -q --filter label=landfall.run | wc -l"), "1", "it was touched");
    project.landfall(&["cancel", &run, "--yes"]).expect(0, &["stopped; nothing of it is left"]);
    assert_eq!(state_of(&project, &run), "lost");
    project.landfall(&["resolve", &run, "--as", "not-done", "--note", "killed", "--yes"]).expect(0, &[]);
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
}

#[test]
fn a_run_without_its_supervisor_holds_the_lock_while_its_container_lives() {
    orphaned(false);
}

#[test]
fn a_run_without_supervisor_and_docker_client_holds_the_lock_while_its_container_lives() {
    orphaned(true);
}

#[test]
fn a_docker_client_that_dies_does_not_end_its_step() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    for code in [0, 9] {
        container(&project, "work", code);
        let (client, run) = begun(&project, "work");
        let (_, docker) = droplet.processes_of(&run);
        droplet.sh(&format!("kill -9 {docker}"));
        client.until("output is missing here");
        let_the_container_go(droplet);
        let out = client.finish();
        out.expect(i32::from(code != 0), &[]);
        let end = out.finished(None, "work");
        assert_eq!(
            (end["status"].as_str(), end["exit_code"].as_u64()),
            (Some(if code == 0 { "ok" } else { "failed" }), Some(code.into()))
        );
        assert!(out.printed().ends_with("ended\n"), "{}", out.printed());
    }
}

fn docker_restarts(droplet: &Droplet) {
    droplet.sh("/usr/local/sbin/service stop docker && /usr/local/sbin/service start docker");
}

/// Whether the daemon lets its containers live while it is away. It can be told while it runs.
fn keep_containers(droplet: &Droplet, keep: bool) {
    droplet.sh(&format!(
        "cp -n /etc/docker/daemon.json /tmp/it-daemon.json
         sed '1s/{{/{{ \"live-restore\": {keep},/' /tmp/it-daemon.json >/etc/docker/daemon.json
         kill -HUP $(cat /run/docker.pid)"
    ));
    eventually("it was told", || droplet.sh("docker info --format '{{.LiveRestoreEnabled}}'") == keep.to_string());
}

#[test]
fn a_docker_daemon_that_restarts_and_keeps_its_containers_does_not_end_the_step() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    keep_containers(droplet, true);
    container(&project, "work", 9);
    let (client, _) = begun(&project, "work");
    docker_restarts(droplet);
    eventually("the container lives", || droplet.sh("docker ps -q --filter label=landfall.run | wc -l") == "1");
    let_the_container_go(droplet);
    let out = client.finish();
    keep_containers(droplet, false);
    droplet.sh("cp /tmp/it-daemon.json /etc/docker/daemon.json");
    out.expect(1, &["output is missing here"]);
    assert_eq!(out.finished(None, "work")["exit_code"], 9, "{}", out.said());
    assert_eq!(out.finished(None, "end")["status"], "ok");
}

#[test]
fn a_docker_daemon_that_restarts_and_stops_its_containers_fails_the_step() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    container(&project, "work", 0);
    let (client, _) = begun(&project, "work");
    docker_restarts(droplet);
    let out = client.finish();
    eventually("the api is back", || droplet.try_sh("curl -sf http://127.0.0.1:3000/health").0 == 0);
    let end = out.finished(None, "work");
    // It was killed before its daemon went: that is an end, seen by Docker, and no success.
    assert_eq!((end["status"].as_str(), end["exit_code"].as_u64()), (Some("failed"), Some(137)), "{end}");
    out.expect(1, &[]);
    assert_eq!(out.finished(None, "end")["status"], "ok");
    assert_eq!(droplet.sh("docker ps -aq --filter label=landfall.run"), "");
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
}

#[test]
fn a_container_that_the_kernel_kills_for_its_memory_is_told_apart() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sh("sed -i 's|^  api:|  api:\\n    mem_limit: 64m|' /opt/etally/deployment/docker-compose.prod.yml");
    let eats = "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))";
    project.playbook("eat", &format!("[[steps]]\nkind = \"exec\"\nname = \"eat\"\ncommand = [\"node\", \"-e\", \"{eats}\"]\n"));
    let out = project.events(&["run", "eat", "--yes"]);
    droplet.sh("cp -a /var/lib/testbed/initial/etally/deployment/. /opt/etally/deployment/");
    out.expect(1, &[]);
    let end = out.finished(None, "eat");
    assert_eq!((end["status"].as_str(), end["exit_code"].as_u64()), (Some("failed"), Some(137)), "{end}");
    assert!(end["detail"].as_str().unwrap().contains("want of memory"), "{end}");
}

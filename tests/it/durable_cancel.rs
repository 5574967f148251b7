//! Cancel: at any moment, whatever a step does to stay, in containers too. And the service's own processes live.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::chance::{Dice, rounds};
use crate::droplet::{Droplet, droplet, eventually};
use crate::program::Output;
use crate::project::Project;

/// Ignores TERM, forks, and leaves daemons with a session of their own and nothing in their environment, whose parents are gone.
const HIDES: &str = "trap '' TERM INT HUP; \
    (env -i setsid sh -c '(sleep 7531; :) & (trap \\\"\\\" TERM; while :; do sleep 7531; done) &' >/dev/null 2>&1 &); \
    (setsid sleep 7531 &); sleep 7531 & echo begun; while :; do sleep 1; done";

fn stubborn(project: &Project, name: &str, how: &str) {
    project.playbook(
        name,
        &format!("[[steps]]\nkind = \"exec\"\nname = \"stubborn\"\n{how}\ncommand = [\"sh\", \"-c\", \"{HIDES}\"]\n"),
    );
}

/// What of the service must not be touched: when its container began, and its own process.
fn service(droplet: &Droplet, container: &str) -> String {
    droplet.sh(&format!(
        "docker inspect --format '{{{{.State.StartedAt}}}} {{{{.State.Pid}}}} {{{{.State.Status}}}}' {container}
         pid=$(docker inspect --format '{{{{.State.Pid}}}}' {container})
         cut -d' ' -f1,22 /proc/$pid/stat; tr '\\0' ' ' </proc/$pid/cmdline"
    ))
}

/// Every process that a stubborn step starts.
fn hidden(droplet: &Droplet) -> String {
    droplet.sh("for p in /proc/[0-9]*; do
           c=$(tr '\\0' ' ' <$p/cmdline 2>/dev/null) || continue
           case $c in *'sleep 7531'*) echo ${p#/proc/} $c ;; esac
         done")
}

fn assert_gone(droplet: &Droplet, out: &Output, before: &str) {
    out.expect(130, &[]);
    let left = droplet.left() + &hidden(droplet);
    assert_eq!(left, "", "left behind by {}", out.said());
    assert_eq!(service(droplet, "deployment-api-1"), before, "the service was touched");
    assert_eq!(droplet.sh("docker ps -aq --filter label=com.docker.compose.oneoff=True"), "");
}

fn at_any_moment(via: &str) {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    stubborn(&project, "stay", &format!("via = \"{via}\""));
    let before = service(droplet, "deployment-api-1");
    let mut dice = Dice::new();
    for round in 0..rounds(4, 40) {
        let client = project.start(&["run", "stay", "--yes", "--cancel-on-term", "--output", "json"]);
        client.until("lock_acquired");
        let moment = dice.moment(0, 2000);
        thread::sleep(moment);
        let out = if round % 2 == 0 {
            client.signal(Signal::TERM);
            client.finish()
        } else {
            let told = Project::on(&droplets).landfall(&["cancel", "--yes"]);
            told.expect(0, &["stopped; nothing of it is left"]);
            client.finish()
        };
        println!("{via} cancelled after {moment:?}, over after {:?}", out.took);
        assert_gone(droplet, &out, &before);
    }
}

#[test]
fn a_run_in_a_container_is_cancelled_at_any_moment() {
    at_any_moment("run");
}

#[test]
fn a_command_in_the_services_container_is_cancelled_at_any_moment() {
    at_any_moment("exec");
}

/// The operator is `deploy`, who may use Docker and is not root.
fn as_deploy(droplet: &Droplet, project: &Project) {
    project.edit("landfall.toml", "user = \"root\"", "user = \"deploy\"");
    droplet.sh("install -d -m 2770 -o root -g docker /var/lib/landfall/etally
         chgrp -R docker /opt/etally && chmod 0640 /opt/etally/.env /opt/etally/secrets/* && chmod 0750 /opt/etally/secrets");
}

fn no_longer_deploy(droplet: &Droplet) {
    droplet
        .sh("chmod 0600 /opt/etally/.env /opt/etally/secrets/* && chmod 0700 /opt/etally/secrets && chgrp -R root /opt/etally");
}

fn cancelled(droplet: &Droplet, project: &Project, playbook: &str) -> Output {
    let client = project.start(&["run", playbook, "--yes", "--cancel-on-term", "--output", "json"]);
    client.until("step_started");
    eventually("it runs in the container", || !hidden(droplet).is_empty());
    client.signal(Signal::TERM);
    client.finish()
}

#[test]
fn a_member_of_the_docker_group_cancels_inside_the_container_too() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    as_deploy(droplet, &project);
    stubborn(&project, "stay", "via = \"exec\"");
    let before = service(droplet, "deployment-api-1");
    let out = cancelled(droplet, &project, "stay");
    no_longer_deploy(droplet);
    assert_gone(droplet, &out, &before);
    assert_eq!(out.finished(None, "stubborn")["status"], "cancelled");
}

#[test]
fn a_member_of_the_docker_group_cancels_inside_the_container_when_the_supervisor_is_dead() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    as_deploy(droplet, &project);
    stubborn(&project, "stay", "via = \"exec\"");
    let before = service(droplet, "deployment-api-1");
    let client = project.start(&["run", "stay", "--yes", "--output", "json"]);
    client.until("\"text\":\"begun\"");
    let run = client.run();
    let (supervisor, docker) = droplet.processes_of(&run);
    droplet.sh(&format!("kill -9 {supervisor} {docker}"));
    let lost = client.finish();
    let second = project.landfall(&["run", "stay", "--yes"]);
    let told = project.landfall(&["cancel", &run, "--yes"]);
    let settled = project.landfall(&["resolve", &run, "--as", "not-done", "--note", "killed", "--yes"]);
    no_longer_deploy(droplet);
    lost.expect(6, &["has lost its supervisor", &format!("landfall cancel {run}")]);
    second.expect(5, &[&run]);
    told.expect(0, &["stopped; nothing of it is left"]);
    settled.expect(0, &[]);
    assert_eq!(droplet.left() + &hidden(droplet), "");
    assert_eq!(service(droplet, "deployment-api-1"), before, "the service was touched");
}

/// A service of an image that holds `sleep`, `env` and what they need, and no shell; its processes have another uid.
fn distroless(droplet: &Droplet) -> String {
    droplet.sh(
        "cd / && files=$(for f in /bin/sleep /usr/bin/env; do echo $f; ldd $f | grep -o '/[^ ]*'; done | sort -u)
         tar -chf - $files 2>/dev/null | docker import -c 'USER 1234:1234' -c 'CMD [\"/bin/sleep\", \"86400\"]' - etally/bare >/dev/null
         cd /opt/etally/deployment && sed -i 's|^services:|services:\\n  bare:\\n    image: etally/bare\\n    init: false|' docker-compose.prod.yml
         docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps bare </dev/null 2>&1
         docker inspect --format '{{.State.Status}}' deployment-bare-1",
    );
    service(droplet, "deployment-bare-1")
}

fn drop_distroless(droplet: &Droplet) {
    droplet.sh("docker rm -f deployment-bare-1 >/dev/null; docker rmi etally/bare >/dev/null
         cp -a /var/lib/testbed/initial/etally/deployment/. /opt/etally/deployment/");
}

/// Ignores TERM, by a way that needs no shell.
const BARE: &str = "[[steps]]\nkind = \"exec\"\nname = \"stubborn\"\nvia = \"exec\"\nservice = \"bare\"\n\
    command = [\"/usr/bin/env\", \"--ignore-signal=TERM\", \"/bin/sleep\", \"7531\"]\n";

fn in_a_container_without_a_shell(deploy: bool) {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let before = distroless(droplet);
    project.playbook("stay", BARE);
    if deploy {
        as_deploy(droplet, &project);
    }
    let out = cancelled(droplet, &project, "stay");
    let after = service(droplet, "deployment-bare-1");
    let (left, hidden) = (droplet.left(), hidden(droplet));
    drop_distroless(droplet);
    no_longer_deploy(droplet);
    out.expect(130, &[]);
    assert_eq!((left.as_str(), hidden.as_str()), ("", ""), "{}", out.said());
    assert_eq!(after, before, "the service was touched");
    assert_eq!(out.finished(None, "stubborn")["status"], "cancelled");
}

#[test]
fn root_cancels_in_a_container_without_a_shell() {
    in_a_container_without_a_shell(false);
}

#[test]
fn a_member_of_the_docker_group_cancels_in_a_container_without_a_shell() {
    in_a_container_without_a_shell(true);
}

#[test]
fn last_words_of_a_container_arrive() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    for via in ["run", "exec"] {
        let script = "trap 'echo bye; echo sorry >&2; exit 7' TERM; echo begun; while :; do sleep 0.1; done";
        project.playbook(
            "polite",
            &format!("[[steps]]\nkind = \"exec\"\nname = \"polite\"\nvia = \"{via}\"\ncommand = [\"sh\", \"-c\", \"\"\"{script}\"\"\"]\n"),
        );
        let client = project.start(&["run", "polite", "--yes", "--cancel-on-term", "--output", "json"]);
        client.until("\"text\":\"begun\"");
        client.signal(Signal::TERM);
        let out = client.finish();
        out.expect(130, &[]);
        assert_eq!(out.printed_on("stdout"), "begun\nbye\n", "{via}");
        assert!(out.printed_on("stderr").contains("sorry\n"), "{via}: {}", out.said());
        assert!(out.took < Duration::from_secs(9), "{via} was killed only after its grace: {:?}", out.took);
    }
}

#[test]
fn a_cancel_before_the_first_step_is_no_success() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    stubborn(&project, "stay", "");
    // The lock is taken, the project is being looked at.
    for _ in 0..rounds(2, 10) {
        let client = project.start(&["run", "stay", "--yes", "--cancel-on-term", "--output", "json"]);
        client.until("lock_acquired");
        client.signal(Signal::TERM);
        let out = client.finish();
        out.expect(130, &[]);
        assert_eq!(out.of_type("run_finished")[0]["status"], "cancelled");
    }
}

#[test]
fn a_pull_is_cancelled() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    // A registry that takes the request and never answers it.
    droplet.sh("/usr/local/sbin/service stop registry
         perl -MIO::Socket::INET -e '
           my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1:5000\", Listen => 9, ReuseAddr => 1) or die $!;
           open my $f, \">\", \"/tmp/it-registry\"; print $f $$; close $f; my @all; while (my $c = $s->accept) { push @all, $c }
         ' </dev/null >/dev/null 2>&1 &");
    eventually("the registry is silent", || droplet.try_sh("test -s /tmp/it-registry").0 == 0);
    let client = project.start(&["run", "release", "--yes", "--cancel-on-term", "--output", "json"]);
    client.until("step_started");
    client.signal(Signal::TERM);
    let out = client.finish();
    // A time limit does the same.
    let quick =
        "[[steps]]\nkind = \"shell\"\ncommand = \"true\"\n[[steps]]\nkind = \"pull\"\nname = \"late\"\ntimeout = \"2s\"\n";
    project.playbook("quick", quick);
    let late = project.events(&["run", "quick", "--yes"]);
    droplet.sh("kill $(cat /tmp/it-registry); /usr/local/sbin/service start registry");
    late.expect(1, &[]);
    assert_eq!(late.finished(None, "late")["status"], "timed_out");
    out.expect(130, &[]);
    assert_eq!(out.finished(None, "pull")["status"], "cancelled");
    assert!(out.took < Duration::from_secs(30), "{:?}", out.took);
    assert_eq!(droplet.version(), "1");
}

//! `landfall logs`: what containers print, masked, from several hosts, over connections that break.

use std::time::Duration;

use rustix::process::Signal;

use crate::droplet::{droplet, droplets, eventually, within};
use crate::project::Project;
use crate::proxy::Proxy;

/// Has the API's own container print something, as the application would.
fn say(droplet: &crate::droplet::Droplet, words: &str) {
    droplet.sh(&format!("docker exec deployment-api-1 sh -c '{{ {words}; }} >/proc/1/fd/1' </dev/null"));
}

#[test]
fn a_log_is_read_masked_and_nothing_is_left() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    say(droplet, "echo it-mark-1 $SMTP_PASSWORD; echo it-mark-2");
    let before = droplet.docker_state();
    let output = project.landfall(&["logs", "api", "--tail", "2", "--on", "droplets"]);
    output.expect(0, &[]);
    assert_eq!(output.stdout, "api-1 | it-mark-1 [masked:SMTP_PASSWORD]\napi-1 | it-mark-2\n");
    let json = project.landfall(&["--output", "json", "logs", "api", "--tail", "1"]);
    json.expect(0, &[]);
    let line: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((line["container"].as_str(), line["stream"].as_str()), (Some("api-1"), Some("stdout")));
    assert_eq!(line["text"], "it-mark-2");
    assert_eq!(project.landfall(&["logs", "api", "--since", "1ms"]).expect(0, &[]).stdout, "");
    project.landfall(&["logs", "apy"]).expect(7, &["no service \"apy\"", "did you mean \"api\"?"]);
    for (name, value) in droplet.secrets() {
        assert!(!project.landfall(&["logs", "api"]).said().contains(&value), "{name} left the droplet");
    }
    assert_eq!((before, droplet.landfall_state()), (droplet.docker_state(), String::new()));
}

#[test]
fn following_survives_lost_connections_and_ends_with_ctrl_c() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let proxy = Proxy::before(droplet);
    project.through(droplet, &proxy);
    let follower = project.start(&["logs", "api", "--follow", "--since", "1s", "--on", "droplets"]);
    for round in 0..3 {
        eventually("it follows", || !droplet.try_sh("pgrep -f '^docker logs --timestamps --follow'").1.is_empty());
        let lines: Vec<String> = (0..20).map(|line| format!("echo it-{round}-{line}")).collect();
        say(droplet, &lines.join("; "));
        follower.until(&format!("it-{round}-19"));
        proxy.cut();
        // Written while nobody is connected.
        say(droplet, &format!("echo it-{round}-between"));
        follower.until(&format!("it-{round}-between"));
    }
    follower.signal(Signal::INT);
    let output = follower.finish();
    output.expect(0, &["connecting again", "connected again"]);
    let mut wanted = Vec::new();
    for round in 0..3 {
        wanted.extend((0..20).map(|line| format!("api-1 | it-{round}-{line}")));
        wanted.push(format!("api-1 | it-{round}-between"));
    }
    let told: Vec<&str> = output.stdout.lines().filter(|line| line.contains("it-")).collect();
    assert_eq!(told, wanted, "lines are missing or repeated");
    within(Duration::from_secs(30), "no reader is left", || {
        droplet.try_sh("pgrep -f 'docker logs --timestamps'").1.is_empty() && droplet.left().is_empty()
    });
}

#[test]
fn several_hosts_are_told_apart_and_a_new_container_is_followed() {
    let droplets = droplets(2);
    let project = Project::on(&droplets);
    let follower = project.start(&["logs", "api", "--follow", "--tail", "0"]);
    for droplet in droplets.iter() {
        eventually("it follows", || !droplet.try_sh("pgrep -f '^docker logs --timestamps --follow'").1.is_empty());
        say(droplet, "echo it-here");
        follower.until(&format!("{} api-1 | it-here", droplet.name));
    }
    droplets[0].sh("docker restart -t 1 deployment-api-1 </dev/null");
    follower.until("listening on 3000");
    follower.signal(Signal::INT);
    follower.finish().expect(0, &[]);
}

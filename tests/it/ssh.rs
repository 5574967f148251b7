//! The way to a host, and everything that can be wrong with it: each with its exit code and its words.

use std::net::TcpListener;

use crate::droplet::droplet;
use crate::project::Project;

const TOUCH: &str = "[[steps]]\nkind = \"shell\"\nname = \"touch\"\ncommand = \"echo touched\"\n";

fn project(droplets: &crate::droplet::Droplets) -> Project {
    let project = Project::on(droplets);
    project.playbook("touch", TOUCH);
    project
}

const RUN: [&str; 3] = ["run", "touch", "--yes"];

#[test]
fn a_wrong_host_key_is_refused_with_the_line_that_disagrees() {
    let droplets = droplet();
    let project = project(&droplets);
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    project.write("known_hosts", &format!("# mine\n[127.0.0.1]:{} {other}\n", droplets[0].port));
    let out = project.landfall(&RUN);
    out.expect(3, &["the host key has changed", "known_hosts:2", "landfall trust", "--fingerprint SHA256:"]);
    // A changed key is only replaced against its fingerprint.
    project.landfall(&["trust", &droplets[0].name, "--yes"]).expect(3, &["have changed"]);
    let real = droplets[0].sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2");
    project.landfall(&["trust", &droplets[0].name, "--fingerprint", &real, "--yes"]).expect(0, &["recorded in"]);
    project.landfall(&RUN).expect(0, &["touched"]);
}

#[test]
fn a_revoked_key_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    let known = std::fs::read_to_string(project.path("known_hosts")).unwrap();
    let line = known.lines().find(|line| line.contains(&droplets[0].port.to_string())).unwrap();
    project.write("known_hosts", &format!("{line}\n@revoked {line}\n"));
    project.landfall(&RUN).expect(3, &["is revoked by", "known_hosts:2"]);
}

#[test]
fn an_unknown_host_is_refused_with_the_command_that_mends_it() {
    let droplets = droplet();
    let project = project(&droplets);
    project.write("known_hosts", "");
    let out = project.landfall(&RUN);
    out.expect(3, &["unknown host key"]);
    let command = out.stderr.lines().find_map(|line| line.split_once("then run: ")).unwrap().1.to_owned();
    println!("{command}");
    let mut words: Vec<&str> = command.split_whitespace().skip(1).collect();
    words.push("--yes");
    project.landfall(&words).expect(0, &["SHA256:", "recorded in"]);
    project.landfall(&RUN).expect(0, &["touched"]);
}

#[test]
fn a_wrong_user_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    project.edit("landfall.toml", "user = \"root\"", "user = \"nobody\"");
    project.landfall(&RUN).expect(3, &["login as nobody was refused", "authorized_keys"]);
}

#[test]
fn a_closed_port_is_told() {
    let droplets = droplet();
    let project = project(&droplets);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    project.edit("landfall.toml", &format!("port = {}", droplets[0].port), &format!("port = {free}"));
    project.landfall(&RUN).expect(3, &["refused the connection: nothing listens there", "help:"]);
}

#[test]
fn a_silent_port_is_given_up_after_the_connect_timeout() {
    let droplets = droplet();
    let project = project(&droplets);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    project.edit("landfall.toml", &format!("port = {}", droplets[0].port), &format!("port = {port}"));
    let out = project.landfall(&RUN);
    out.expect(3, &["did not answer within 10s"]);
    assert!((9..14).contains(&out.took.as_secs()), "{:?}", out.took);
    project.edit("landfall.toml", "[ssh]\n", "[ssh]\nconnect_timeout = \"2s\"\n");
    let out = project.landfall(&RUN);
    out.expect(3, &["did not answer within 2s"]);
    assert!((1..6).contains(&out.took.as_secs()), "{:?}", out.took);
}

#[test]
fn one_session_is_enough() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sshd("MaxSessions 1");
    project.landfall(&["run", "release", "--yes"]).expect(0, &[]);
    assert_eq!(droplets[0].version(), "2");
}

#[test]
fn a_noisy_shell_does_no_harm() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sh(
        "(echo 'echo welcome; echo to this host >&2; printf \"no end of line\"'; cat /var/lib/testbed/initial/.bashrc) >/root/.bashrc
         head -1 /root/.bashrc | grep -q welcome",
    );
    let out = project.events(&RUN);
    out.expect(0, &["touched"]);
    assert_eq!(out.printed(), "touched\n");
}

#[test]
fn a_home_that_executes_nothing_is_passed_over() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sh("mount --bind /root /root && mount -o remount,bind,noexec /root");
    project.landfall(&RUN).expect(0, &["touched"]);
    let where_it_is = droplets[0].sh("ls -d /var/lib/landfall/.bin-0/host-*");
    assert!(!where_it_is.is_empty());
}

#[test]
fn a_host_on_which_nothing_executes_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sh(
        "mkdir -p /var/lib/landfall
         for place in /root /var/lib/landfall /var/tmp; do mount --bind $place $place && mount -o remount,bind,noexec $place; done",
    );
    project.landfall(&RUN).expect(7, &["no folder on the host can hold landfall's program", "noexec", "help:"]);
}

#[test]
fn a_key_in_the_environment_is_enough() {
    let droplets = droplet();
    let project = project(&droplets);
    let key = std::fs::read_to_string(project.path("key")).unwrap();
    project.edit("landfall.toml", "identity_file = \"key\"\n", "");
    project.landfall(&RUN).expect(3, &["login as root was refused"]);
    project.start_with(&RUN, &[("LANDFALL_SSH_KEY", &key)]).finish().expect(0, &["touched"]);
}

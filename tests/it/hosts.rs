//! Hosts that are not fit, and users that are not root.

use crate::droplet::{droplet, eventually};
use crate::project::Project;

const TOUCH: &str = "[[steps]]\nkind = \"exec\"\nname = \"touch\"\ncommand = [\"echo\", \"touched\"]\n";
const RUN: [&str; 3] = ["run", "touch", "--yes"];

fn project(droplets: &crate::droplet::Droplets) -> Project {
    let project = Project::on(droplets);
    project.playbook("touch", TOUCH);
    project
}

#[test]
fn a_full_disk_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0]
        .sh("mkdir -p -m 0700 /var/lib/landfall/etally && mount -t tmpfs -o size=1m,mode=0700 none /var/lib/landfall/etally
         head -c 2M /dev/zero >/var/lib/landfall/etally/full 2>/dev/null || true");
    let out = project.landfall(&RUN);
    out.expect(7, &["help:"]);
    assert!(out.stderr.contains("full") || out.stderr.contains("space"), "{}", out.stderr);
    droplets[0].sh("rm /var/lib/landfall/etally/full");
    project.landfall(&RUN).expect(7, &["the disk is full: 10"]);
}

#[test]
fn a_docker_daemon_that_is_stopped_is_named() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sh("/usr/local/sbin/service stop docker");
    let run = project.landfall(&RUN);
    let plan = project.landfall(&["plan", "touch"]);
    let doctor = project.landfall(&["doctor"]);
    droplets[0].sh("/usr/local/sbin/service start docker");
    eventually("the api is back", || droplets[0].try_sh("curl -sf http://127.0.0.1:3000/health").0 == 0);
    for out in [run, plan, doctor] {
        out.expect(7, &["the Docker daemon does not answer: it is down", "systemctl start docker"]);
    }
    project.landfall(&RUN).expect(0, &["touched"]);
}

#[test]
fn a_compose_file_with_an_error_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    droplets[0].sh("echo 'services: [' >/opt/etally/deployment/docker-compose.prod.yml");
    project.landfall(&RUN).expect(7, &["docker compose does not accept docker-compose.prod.yml", "docker compose config"]);
    droplets[0].sh("rm /opt/etally/deployment/docker-compose.prod.yml");
    project.landfall(&RUN).expect(7, &["docker-compose.prod.yml", "[compose]"]);
}

#[test]
fn a_service_that_does_not_exist_is_refused_with_a_suggestion() {
    let droplets = droplet();
    let project = project(&droplets);
    project
        .landfall(&["exec", "apo", "--yes", "--", "true"])
        .expect(7, &["no service \"apo\"", "did you mean \"api\"?", "postgres"]);
}

#[test]
fn a_missing_secrets_file_is_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    project.edit("landfall.toml", "\"../.env\", ", "\"../.env\", \"../.env.extra\", ");
    project.landfall(&RUN).expect(7, &["secrets file", ".env.extra does not exist", "help:"]);
    project.edit("landfall.toml", "../.env.extra", "../nothing/*");
    project.landfall(&RUN).expect(7, &["no secrets file matches", "nothing/*"]);
    project.landfall(&["plan", "touch"]).expect(7, &["no secrets file matches"]);
}

#[test]
fn a_user_that_is_not_root_needs_a_state_folder() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets);
    project.edit("landfall.toml", "user = \"root\"", "user = \"deploy\"");
    droplet
        .sh("chgrp -R docker /opt/etally && chmod 0640 /opt/etally/.env /opt/etally/secrets/* && chmod 0750 /opt/etally/secrets");
    project
        .landfall(&RUN)
        .expect(7, &["the state folder /var/lib/landfall/etally cannot be used", "install -d -m 3770 -o root -g docker"]);

    // Its own.
    project.edit("landfall.toml", "[compose]\n", "[state]\nprivate = true\n\n[compose]\n");
    project.landfall(&RUN).expect(0, &["touched"]);
    droplet.sh("test -d /home/deploy/.local/state/landfall/etally/runs");
    project.landfall(&["attach"]).expect(0, &["touched"]);
    project.edit("landfall.toml", "[state]\nprivate = true\n\n", "");

    // Root has another project there. The folder above both must let everybody through.
    let root = Project::on(&droplets);
    root.playbook("touch", TOUCH);
    root.edit("landfall.toml", "project = \"etally\"", "project = \"other\"");
    root.landfall(&RUN).expect(0, &["touched"]);
    root.edit("landfall.toml", "project = \"other\"", "project = \"etally\"");

    // Shared, by the very command that the refusal named; root and deploy meet in it.
    droplet.sh("install -d -m 3770 -o root -g docker /var/lib/landfall/etally");
    project.landfall(&RUN).expect(0, &["touched"]);
    root.landfall(&["attach"]).expect(0, &["touched"]);
    root.landfall(&RUN).expect(0, &["touched"]);
    project.landfall(&["attach"]).expect(0, &["touched"]);
    let runs = project.landfall(&["runs"]);
    assert_eq!(runs.stdout.lines().count(), 2, "{}", runs.said());
    let modes = droplet.sh("find /var/lib/landfall/etally -perm /007 ! -type l");
    assert_eq!(modes, "", "open to everybody");
    droplet
        .sh("chmod 0600 /opt/etally/.env /opt/etally/secrets/* && chmod 0700 /opt/etally/secrets && chgrp -R root /opt/etally");
}

#[test]
fn a_user_that_may_not_talk_to_docker_is_told() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets);
    project.edit("landfall.toml", "user = \"root\"", "user = \"deploy\"");
    project.edit("landfall.toml", "[compose]\n", "[state]\nprivate = true\n\n[compose]\n");
    project.edit("landfall.toml", "files = [\"../.env\", \"../secrets/*\"]", "files = []");
    droplet.sh("gpasswd -d deploy docker >/dev/null; chmod 0644 /opt/etally/.env; chmod 0755 /opt/etally/secrets");
    let out = project.landfall(&RUN);
    droplet.sh("gpasswd -a deploy docker >/dev/null; chmod 0600 /opt/etally/.env; chmod 0700 /opt/etally/secrets");
    out.expect(7, &["may not talk to Docker", "usermod -aG docker deploy"]);
}

//! Logins that become root by sudo: without a password, with the right one, with a wrong one, and where they may not.

use std::os::unix::fs::PermissionsExt;

use crate::droplet::{Droplets, droplet};
use crate::project::Project;

/// A login of no rights of its own, on a host where only root may do anything.
fn project(droplets: &Droplets, sudoers: &str) -> Project {
    droplets[0].sh(&format!("printf '%s\\n' '{sudoers}' >/etc/sudoers.d/it && chmod 0440 /etc/sudoers.d/it"));
    let project = Project::on(droplets);
    project.edit("landfall.toml", "user = \"root\"", "user = \"deploy\"\nbecome = true");
    project.playbook("who", "[[steps]]\nkind = \"exec\"\nname = \"in\"\ncommand = [\"echo\", \"in the container\"]\n[[steps]]\nkind = \"shell\"\nname = \"who\"\ncommand = \"echo $(id -un) in $HOME\"\n");
    project
}

/// Names the source of sudo's password in the operator's own file.
fn password(project: &Project, login: &str, word: &str) {
    project.write("home/.config/landfall/secrets.toml", &format!("[sudo]\n\"{login}\" = {{ file = \"~/word\" }}\n"));
    project.write("home/word", &format!("{word}\n"));
    for file in ["home/word", "home/.config/landfall/secrets.toml"] {
        std::fs::set_permissions(project.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_login_becomes_root_where_sudo_asks_nothing() {
    let droplets = droplet();
    let project = project(&droplets, "deploy ALL=(root) NOPASSWD: ALL");
    let out = project.events(&["run", "who", "--yes"]);
    out.expect(0, &["in the container", "root in /root"]);
    assert_eq!(droplets[0].sh("stat -c %U /var/lib/landfall/etally/runs/*/log"), "root");
    project.landfall(&["doctor"]).expect(0, &[]);
    project.landfall(&["attach"]).expect(0, &["root in /root"]);
    droplets[0].sh("rm /etc/sudoers.d/it");
}

#[test]
fn a_password_goes_through_the_input_and_nowhere_else() {
    let droplets = droplet();
    let project = project(&droplets, "deploy ALL=(root) ALL");
    let word = format!("w{:x}", std::process::id() * 7919);
    droplets[0].sh(&format!("echo deploy:{word} | chpasswd"));
    let login = format!("deploy@127.0.0.1:{}", droplets[0].port);
    project.landfall(&["run", "who", "--yes"]).expect(7, &["sudo wants a password there", "secrets.toml"]);
    password(&project, &login, "another");
    project.landfall(&["run", "who", "--yes"]).expect(7, &["sudo did not take the password"]);
    password(&project, &login, &word);
    let out = project.landfall(&["run", "who", "--yes"]);
    out.expect(0, &["in the container", "root in /root"]);
    assert!(!out.said().contains(&word));
    // Nor is it where the next one comes in without it.
    password(&project, &login, "another");
    project.landfall(&["runs"]).expect(7, &["sudo did not take the password"]);
    assert_eq!(
        droplets[0].sh(&format!("grep -rl {word} /var/lib/landfall /root/.cache/landfall /var/log 2>/dev/null || true")),
        ""
    );
    assert!(!std::process::Command::new("grep").args(["-rq", &word]).arg(project.path("state")).status().unwrap().success());
    droplets[0].sh("rm /etc/sudoers.d/it; passwd -l deploy >/dev/null; usermod -p '*' deploy");
}

#[test]
fn a_login_that_may_not_is_told_so() {
    let droplets = droplet();
    let project = project(&droplets, "# nobody");
    droplets[0].sh("rm /etc/sudoers.d/it");
    project.landfall(&["run", "who", "--yes"]).expect(7, &["sudo", "help:"]);
}

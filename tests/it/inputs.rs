//! What is wrong with the files and the command line: found before anything is contacted, with the line that it is about.

use crate::droplet::droplet;
use crate::project::Project;

/// A project whose host would not answer: nothing here may contact it.
fn project() -> Project {
    let project = Project::empty();
    project.write(
        "landfall.toml",
        "project = \"etally\"\n\n[compose]\ndir = \"/opt/etally\"\nfiles = [\"compose.yml\"]\nservice = \"api\"\n\n\
         [hosts.droplet-1]\naddress = \"127.0.0.1\"\nport = 1\nuser = \"root\"\ngroups = [\"prod\"]\n",
    );
    project.playbook("good", "[[steps]]\nkind = \"exec\"\ncommand = [\"true\"]\n");
    project
}

#[test]
fn errors_of_files_are_shown_with_their_lines() {
    let project = project();
    project.playbook("keys", "[[steps]]\nkind = \"exec\"\ncomand = [\"true\"]\n\n[[steps]]\nkind = \"sead\"\nseeds = [\"x\"]\n");
    let out = project.landfall(&["run", "keys", "--yes"]);
    out.expect(
        2,
        &[
            "keys.toml:3",
            "comand",
            "did you mean `command`?",
            "keys.toml:6",
            "sead",
            "did you mean \"seed\"?",
            "nothing was contacted",
        ],
    );
    project.landfall(&["check"]).expect(2, &["comand", "sead"]);
    insta::assert_snapshot!(project.plain(&out.stderr), @r#"
    error: an `exec` step needs `command`
     --> DIR/playbooks/keys.toml:1:1
      |
    1 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say what to run: command = ["node", "script.js"]

    error: unknown key `comand` in an `exec` step
     --> DIR/playbooks/keys.toml:3:1
      |
    3 | comand = ["true"]
      | ^^^^^^
      |
      = help: did you mean `command`?

    error: unknown kind "sead"
     --> DIR/playbooks/keys.toml:6:8
      |
    6 | kind = "sead"
      |        ^^^^^^
      |
      = help: did you mean "seed"?

    error: 3 errors were found; nothing was contacted
    "#);
    let json = project.events(&["check", "keys"]);
    json.expect(2, &[]);
    assert_eq!(json.events()[0]["type"], "error");
    assert!(json.events()[0]["diagnostics"].as_array().unwrap().len() >= 2);
}

#[test]
fn unknown_names_are_usage_errors_with_suggestions() {
    let project = project();
    project.landfall(&["run", "good", "--on", "droplet-2", "--yes"]).expect(2, &["droplet-2", "droplet-1"]);
    project.landfall(&["run", "goof", "--yes"]).expect(2, &["goof", "good"]);
    project.landfall(&["run", "good", "--var", "x=1", "--yes"]).expect(2, &["x"]);
    project.landfall(&["seed", "nothing", "--yes"]).expect(2, &["there is no seed `nothing`"]);
    project.landfall(&["trust", "droplet-9"]).expect(2, &["droplet-9"]);
    project.landfall(&["frobnicate"]).expect(2, &["frobnicate"]);
    project.landfall(&["--config", "missing.toml", "check"]).expect(2, &["missing.toml"]);
}

#[test]
fn every_mistake_is_an_error_of_check() {
    let project = project();
    for (text, pieces) in [
        ("[[steps]]\nkind = \"exec\"\ncommand = \"{{ vars.gone }}\"\n", &["gone"][..]),
        (
            "[[steps]]\nkind = \"exec\"\nname = \"a\"\ncommand = [\"true\"]\n[[steps]]\nkind = \"exec\"\nname = \"a\"\ncommand = [\"true\"]\n",
            &["a"],
        ),
        ("[[steps]]\nkind = \"seed\"\nseeds = [\"none\"]\nonce = true\n", &["none"]),
        ("[[steps]]\nkind = \"exec\"\ntimeout = 5\ncommand = [\"true\"]\n", &["timeout"]),
        ("[[steps]]\nkind = \"health\"\nurl = \"https://127.0.0.1/\"\nfrom = \"host\"\n", &["https"]),
        ("[[steps]\n", &["bad.toml:1"]),
        ("", &["steps"]),
    ] {
        project.playbook("bad", text);
        project.landfall(&["check", "bad"]).expect(2, pieces);
    }
}

#[test]
fn a_migration_on_several_hosts_must_say_how_often() {
    let project = project();
    project.edit(
        "landfall.toml",
        "groups = [\"prod\"]\n",
        "groups = [\"prod\"]\n[hosts.droplet-2]\naddress = \"127.0.0.2\"\ngroups = [\"prod\"]\n",
    );
    project.playbook("migrate", "[[steps]]\nkind = \"migrate\"\ntool = \"prisma\"\n");
    project.landfall(&["check", "migrate"]).expect(2, &["once", "per_host"]);
}

#[test]
fn forbidden_commands_are_refused() {
    let project = project();
    for command in ["[\"npx\", \"prisma\", \"db\", \"push\"]", "[\"npx\", \"prisma\", \"migrate\", \"reset\", \"--force\"]"] {
        project.playbook("push", &format!("[[steps]]\nkind = \"exec\"\ncommand = {command}\n"));
        project.landfall(&["run", "push", "--yes"]).expect(7, &["prisma", "help"]);
    }
    project.landfall(&["exec", "api", "--yes", "--", "npx", "prisma", "db", "push"]).expect(7, &["prisma db push"]);
}

#[test]
fn nobody_to_confirm_is_a_refusal() {
    let project = project();
    let out = project.landfall(&["run", "good"]);
    out.expect(7, &[]);
    insta::assert_snapshot!(project.plain(&out.stderr), @r"
    error: nobody is there to confirm: run good on droplet-1
    help: look at `landfall plan good` first; then say --yes
    ");
}

#[test]
fn a_production_group_without_a_terminal_is_refused_before_contact() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.edit("landfall.toml", "production = false", "production = true");
    project.landfall(&["run", "release"]).expect(7, &["nobody is there to confirm"]);
    project.landfall(&["exec", "api", "--", "true"]).expect(7, &["nobody is there to confirm"]);
    assert_eq!(droplets[0].landfall_state(), "");
}

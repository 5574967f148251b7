//! `migrate` with `tool = "sql"`: what it may say, and what travels.

use std::path::Path;

use super::{INVENTORY, Inventory, Playbook, on, resolve_into};
use crate::action::{Action, Client};
use crate::source::{Diags, Sink};

fn resolved(root: &Path, database: &str, step: &str) -> Result<super::ResolvedPlaybook, Diags> {
    let sink = Sink::default();
    let inventory = Inventory::parse(&root.join("landfall.toml"), &format!("{INVENTORY}\n{database}"), &sink);
    let text = format!("[[steps]]\nkind = \"migrate\"\ntool = \"sql\"\n{step}");
    let playbook = Playbook::parse(Path::new("playbooks/release.toml"), &text, &sink);
    let resolved = playbook.map(|playbook| resolve_into(&inventory, &playbook, &on("stage"), &sink));
    sink.finish(resolved).map(|resolved| resolved.expect("a playbook"))
}

fn wrong(database: &str, step: &str) -> String {
    resolved(Path::new("/etc/demo"), database, step).expect_err("something is wrong").to_string()
}

const POSTGRES: &str = "[database]\nservice = \"postgres\"\n";

#[test]
fn the_files_travel_with_the_step() {
    let temp = tempfile::tempdir().expect("folder");
    std::fs::create_dir(temp.path().join("migrations")).expect("folder");
    std::fs::write(temp.path().join("migrations/001_a.sql"), "SELECT 1;\n").expect("file");
    let resolved = resolved(temp.path(), POSTGRES, "").expect("a playbook");
    let step = &resolved.hosts[0].steps[0].step;
    assert_eq!(
        step.shown,
        "psql -v ON_ERROR_STOP=1 -f migrations/NUMBER_name.sql  # each that is not applied, in the order of their numbers"
    );
    let [Action::Migrate(migrate)] = step.actions.as_slice() else { panic!("{:?}", step.actions) };
    let carried = migrate.carried.as_ref().expect("files");
    assert_eq!((migrate.service.as_str(), carried.folder.as_str(), carried.files.len()), ("postgres", "migrations", 1));
    assert_eq!((migrate.status.len(), migrate.apply.len(), migrate.models.len()), (0, 0, 1));
}

#[test]
fn files_for_mysql_are_read_as_such() {
    let temp = tempfile::tempdir().expect("folder");
    std::fs::create_dir(temp.path().join("migrations")).expect("folder");
    let text = "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT `a`; END//\nDELIMITER ;\nSTART TRANSACTION; COMMIT;\n";
    std::fs::write(temp.path().join("migrations/001_a.sql"), text).expect("file");
    let mysql = "[database]\nservice = \"mysql\"\nengine = \"mysql\"\n";
    let resolved = resolved(temp.path(), mysql, "").expect("a playbook");
    let step = &resolved.hosts[0].steps[0].step;
    assert_eq!(step.shown, "mysql < migrations/NUMBER_name.sql  # each that is not applied, in the order of their numbers");
    let [Action::Migrate(migrate)] = step.actions.as_slice() else { panic!("{:?}", step.actions) };
    let carried = migrate.carried.as_ref().expect("files");
    assert_eq!((carried.client, carried.files[0].transaction), (Client::Mysql, false));
}

#[test]
fn what_cannot_be_is_told() {
    insta::assert_snapshot!(wrong(POSTGRES, "migrations = \"db\"\napply = [\"psql\"]\nservice = \"api\"\nsuccess = \"x\"\n"), @r#"
    error: /etc/demo/db cannot be read: No such file or directory (os error 2)
     --> playbooks/release.toml:4:14
      |
    4 | migrations = "db"
      |              ^^^^
      |
      = help: `migrations` is a folder beside landfall.toml: correct its name

    error: `apply` cannot go with `tool = "sql"`
     --> playbooks/release.toml:5:1
      |
    5 | apply = ["psql"]
      | ^^^^^
      |
      = help: leave it out: the files are applied where [database] says, and their history tells how that went

    error: `service` cannot go with `tool = "sql"`
     --> playbooks/release.toml:6:1
      |
    6 | service = "api"
      | ^^^^^^^
      |
      = help: leave it out: they are applied in the database's own service

    error: `success` cannot go with `tool = "sql"`
     --> playbooks/release.toml:7:1
      |
    7 | success = "x"
      | ^^^^^^^
      |
      = help: leave it out: the files are applied where [database] says, and their history tells how that went
    "#);
    insta::assert_snapshot!(wrong("", ""), @r#"
    error: this step needs [database] in landfall.toml
     --> playbooks/release.toml:1:1
      |
    1 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say in landfall.toml where psql runs: [database] with service = "postgres"
    "#);
    insta::assert_snapshot!(wrong(&format!("{POSTGRES}engine = \"mariadb\"\n"), "migrations = \"/db\"\n"), @r#"
    error: "/db" cannot be the folder of migrations
     --> playbooks/release.toml:4:14
      |
    4 | migrations = "/db"
      |              ^^^^^
      |
      = help: write a path relative to landfall.toml: "db/migrations"
    "#);
}

//! The gate before migrations, on a real host: what the rules object to is not applied before somebody took it upon themselves, and then
//! the record tells who.

use crate::droplet::{Droplet, droplet};
use crate::project::Project;

const NAME: &str = "20260501000000_votes";
const DROPS: &str = "DROP TABLE \"ballots\";\n";

/// Only migrates, in the image that is there.
const MIGRATE: &str = "[vars]\nrelease = { description = \"image tag\" }\n\n[[steps]]\nkind = \"migrate\"\ntool = \"prisma\"\n\
                       per_host = true\nneeds = [\"postgres\"]\n";

/// Runs a script of the image's package.json.
const SCRIPT: &str = "[vars]\nrelease = { description = \"image tag\" }\n\n[[steps]]\nkind = \"exec\"\n\
                      command = [\"npm\", \"run\", \"sync\"]\n\n[[steps]]\nkind = \"shell\"\ncommand = \". ./elsewhere\"\n";

const STABLE: &str = "localhost:5000/etally/api:stable";
const GATE: &str = "localhost:5000/etally/api:gate";

/// An image with one more migration than the one that serves, under a tag of its own.
fn image(droplet: &Droplet, sql: &str) {
    droplet.sh(&format!(
        "set -e
         mkdir -p /tmp/it-gate/{NAME}
         cat >/tmp/it-gate/{NAME}/migration.sql <<'SQL'
{sql}SQL"
    ));
    droplet.image_with(STABLE, "/tmp/it-gate/.", "/app/prisma/migrations/", GATE);
}

fn ballots(droplet: &Droplet) -> bool {
    droplet.sql("SELECT to_regclass('ballots') IS NOT NULL") == "t"
}

#[test]
fn what_destroys_is_refused_until_the_command_line_takes_it_upon_itself() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook("gate", MIGRATE);
    image(droplet, DROPS);
    let waiver = format!("drop-table@{NAME}/migration.sql");
    let told = [
        format!("{NAME}/migration.sql:1: drop-table: drops the table `ballots`: the rows are gone"),
        "the safe way: stop using the table".to_owned(),
        format!("landfall lint --write-approval {waiver} --by NAME"),
        format!("--approve {waiver} --note TEXT"),
    ];
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let before = (droplet.migrations(), droplet.docker_state());
    project.landfall(&["plan", "gate", "--var", "release=gate"]).expect(7, &told);
    project.landfall(&["run", "gate", "--yes", "--var", "release=gate"]).expect(7, &told);
    assert_eq!((droplet.migrations(), droplet.docker_state()), before);
    assert!(ballots(droplet));

    let approving = ["run", "gate", "--yes", "--var", "release=gate", "--approve", &waiver];
    project.landfall(&approving).expect(2, &["--note"]);
    let out = project.events(&[&approving[..], &["--note", "counted by hand"]].concat());
    out.expect(0, &[]);
    assert!(!ballots(droplet));
    let approved = out.of_type("approved");
    let [approved] = approved.as_slice() else { panic!("{}", out.said()) };
    let said = ["step", "rule", "reason", "with"].map(|key| approved[key].as_str().unwrap());
    assert_eq!(said, ["migrate", "drop-table", "counted by hand", "--approve"]);
    assert!(approved["by"].as_str().unwrap().starts_with("ana@"), "{approved}");
    // By the host's own record, and in what is made of it.
    assert_eq!(project.events(&["attach"]).of_type("approved").len(), 1);
    project.landfall(&["report", "--format", "markdown"]).expect(0, &["## Approved", "drop-table", "counted by hand"]);
}

#[test]
fn an_approval_beside_the_inventory_holds_for_the_file_as_it_was() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook("gate", MIGRATE);
    project.write(&format!("prisma/migrations/{NAME}/migration.sql"), DROPS);
    let waiver = format!("drop-table@{NAME}/migration.sql");
    project.landfall(&["lint", "--write-approval", &waiver, "--by", "Ada", "--reason", "counted by hand"]).expect(0, &[]);

    image(droplet, &format!("{DROPS}-- and nothing else\n"));
    let run = ["run", "gate", "--yes", "--var", "release=gate"];
    project.landfall(&run).expect(7, &["drop-table", "Ada approved another content of that file"]);
    assert!(ballots(droplet));

    image(droplet, DROPS);
    let told = ["approved: drop-table in ", "by Ada (landfall-approvals.toml): counted by hand"];
    project.landfall(&["plan", "gate", "--var", "release=gate"]).expect(0, &told);
    project.landfall(&run).expect(0, &told);
    assert!(!ballots(droplet));
}

#[test]
fn what_comes_with_the_pulled_image_is_clean_or_expected_by_name() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook("gate", &MIGRATE.replacen("[[steps]]", "[[steps]]\nkind = \"pull\"\n\n[[steps]]", 1));
    image(droplet, "ALTER TABLE \"ballots\" ADD COLUMN \"Odd Name\" TEXT;\n");
    droplet.sh("docker push -q localhost:5000/etally/api:gate </dev/null");
    let run = ["run", "gate", "--yes", "--var", "release=gate"];
    let help = format!("--expect-pending {NAME}");
    project.landfall(&run).expect(7, &["name-not-snake-case", "came with the pulled image", &help]);
    assert!(!droplet.migrations().contains(NAME));
    project.landfall(&[&run[..], &["--expect-pending", NAME]].concat()).expect(0, &[]);
    assert!(droplet.migrations().contains(NAME));
}

#[test]
fn a_command_that_is_refused_is_found_behind_a_script_of_the_image() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook("gate", SCRIPT);
    droplet.sh(r#"set -e
         mkdir -p /tmp/it-gate
         echo '{ "scripts": { "sync": "npm run push -- --force-reset", "push": "prisma db push" } }' >/tmp/it-gate/package.json"#);
    droplet.image_with(STABLE, "/tmp/it-gate/package.json", "/app/package.json", GATE);
    let told = ["the script \"push\" of package.json runs `prisma db push`", "what `. ./elsewhere` runs is not looked at"];
    project.landfall(&["plan", "gate", "--var", "release=gate"]).expect(7, &told);
    let before = droplet.landfall_state();
    project.landfall(&["run", "gate", "--yes", "--var", "release=gate"]).expect(7, &told[..1]);
    assert!(before.is_empty() && droplet.migrations().lines().count() == 2);
}

/// A tool of one's own whose word is that one migration waits, and that it drops a table.
const OWN: &str = r#"
[tools.own]
status = ["sh", "-c", "echo waits 1_votes; exit 1"]
apply = ["true"]
pending_name = "^waits (\\S+)$"
preview = ["sh", "-c", "echo 'DROP TABLE ballots;'"]
"#;

#[test]
fn what_a_tool_of_ones_own_prints_is_judged_in_a_run() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let inventory = std::fs::read_to_string(project.path("landfall.toml")).unwrap();
    project.write("landfall.toml", &format!("{inventory}{OWN}"));
    project.playbook("own", &MIGRATE.replace("\"prisma\"", "\"own\""));
    // A plan runs nothing that comes from here.
    let plan = project.landfall(&["plan", "own"]);
    plan.expect(0, &["the playbook's own status command is only run in a run"]);
    assert!(!plan.said().contains("DROP TABLE"), "{}", plan.said());
    let told = ["preview of own:1: drop-table: drops the table `ballots`", "--approve 'drop-table@preview of own' --note TEXT"];
    project.landfall(&["run", "own", "--yes"]).expect(7, &told);
    let approving = ["run", "own", "--yes", "--approve", "drop-table@preview of own", "--note", "counted"];
    project.landfall(&approving).expect(1, &["drop-table in preview of own:1 is approved by ana@", "still pending: 1_votes"]);

    project.edit("landfall.toml", "echo 'DROP TABLE ballots;'", "echo no >&2; exit 3");
    let told = ["preview of own:1: not-sql: its tool could not print it (exit code 3: no)"];
    project.landfall(&["run", "own", "--yes"]).expect(1, &told);
    project.edit("landfall.toml", "production = false\n", "");
    project.landfall(&["run", "own", "--yes"]).expect(7, &told);

    project.edit("landfall.toml", "preview = [\"sh\", \"-c\", \"echo no >&2; exit 3\"]\n", "");
    let told = ["1_votes:1: not-sql: no SQL of it is seen", "--approve not-sql@1_votes --note TEXT"];
    project.landfall(&["plan", "own"]).expect(0, &["no SQL of what waits is seen: the playbook's own status command"]);
    project.landfall(&["run", "own", "--yes"]).expect(7, &told);
    assert!(ballots(droplet));
}

#[test]
fn a_plan_tells_when_an_approval_came_with_the_migration() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("gate", MIGRATE);
    let file = format!("prisma/migrations/{NAME}/migration.sql");
    project.write(&file, DROPS);
    image(&droplets[0], DROPS);
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"];
        let git = std::process::Command::new("git").arg("-C").arg(project.path(".")).args(who).args(words).output();
        assert!(git.expect("git").status.success(), "{words:?}");
    };
    let plan = |told: &str| {
        let told = ["approved: drop-table in ", "by Ada (landfall-approvals.toml, ", told];
        project.landfall(&["plan", "gate", "--var", "release=gate"]).expect(0, &told);
    };
    git(&["init", "-q"]);
    git(&["add", "playbooks"]);
    git(&["commit", "-qm", "playbooks"]);
    let waiver = format!("drop-table@{NAME}/migration.sql");
    project.landfall(&["lint", "--write-approval", &waiver, "--by", "Ada", "--reason", "counted by hand"]).expect(0, &[]);
    plan("not committed yet): counted by hand");
    git(&["add", "prisma", "landfall-approvals.toml"]);
    git(&["commit", "-qm", "drop, and approve it"]);
    plan("in the migration's own commit ");
    let out = project.events(&["run", "gate", "--yes", "--var", "release=gate"]);
    out.expect(0, &[]);
    assert!(out.of_type("approved")[0]["came"].as_str().unwrap().starts_with("in the migration's own commit "), "{}", out.said());
    project.landfall(&["report", "--format", "markdown"]).expect(0, &["in the migration's own commit"]);
}

//! What the subcommands ask for, the shipped files, and the schemas.

use super::super::{self as playbook, PLAYBOOKS, inventory_schema, playbook_schema};
use super::*;
use crate::protocol::Seen;

/// A folder as `init` leaves it.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("playbooks")).expect("a folder");
    std::fs::write(folder.path().join("landfall.toml"), playbook::INVENTORY).expect("a file");
    for (name, text) in PLAYBOOKS {
        std::fs::write(folder.path().join("playbooks").join(name), text).expect("a file");
    }
    folder
}

fn opened(folder: &tempfile::TempDir) -> Inventory {
    Inventory::read(&folder.path().join("landfall.toml")).expect("an inventory")
}

#[test]
fn the_shipped_files_pass_check() {
    let folder = project();
    let checked = playbook::check(&folder.path().join("landfall.toml"), &[], &Options::default());
    assert_eq!(checked.unwrap_or_else(|diags| panic!("{diags}")).len(), 4);
    let release = playbook::named(&opened(&folder), "release", &Options::default()).expect("fine");
    insta::assert_snapshot!(lines(&release, 0), @r"
    migrate | Success | host | cd /opt/example/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx prisma migrate deploy
    seed configurations | Success | host | cd /opt/example/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/configurations.seed.ts
    up | Success | host | cd /opt/example/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps --wait --wait-timeout 120 api
    api answers | Success | host | curl -sS http://127.0.0.1:3000/health  # expects 200
    last lines of the log | Failure | host | cd /opt/example/deployment && COMPOSE_ENV_FILES=../.env COMPOSE_FILE=docker-compose.prod.yml sh -c 'docker compose logs --tail 50 --no-color api'
    ");
}

#[test]
fn the_lines_that_the_shipped_files_leave_commented_out_are_valid_too() {
    let uncomment = |text: &str| {
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[[") || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => {
                rest.to_owned()
            }
            _ => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let sink = Sink::default();
    let vars = Options { vars: vec![("release".to_owned(), "v2".to_owned())], ..Options::default() };
    let inventory =
        playbook::INVENTORY.replace("# env = ", "env = ").replace("# [ssh]", "[ssh]").replace("# identity", "identity");
    let inventory = Inventory::parse(Path::new("landfall.toml"), &inventory, &sink);
    for (name, text) in PLAYBOOKS {
        let text = uncomment(text);
        let parsed = Playbook::parse(Path::new(name), &text, &sink).expect("a playbook");
        resolve_into(&inventory, &parsed, &vars, &sink);
    }
    sink.finish(()).unwrap_or_else(|diags| panic!("{diags}"));
}

#[test]
fn check_tells_everything_of_all_files() {
    let folder = project();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("landfall.toml", "project = \"x\"\nproduction = true\n[hosts.a]\n");
    write("playbooks/release.toml", "[[steps]]\nkind = \"helth\"\n");
    write("playbooks/seed.toml", "[[steps]]\nkind = \"local\"\ncommand = [\"true\"]\nnmae = \"x\"\n");
    let diags = playbook::check(&folder.path().join("landfall.toml"), &[], &Options::default()).expect_err("wrong");
    insta::assert_snapshot!(diags.to_string().replace(&*folder.path().to_string_lossy(), "DIR"), @r#"
    error: unknown key `production` in landfall.toml
     --> DIR/landfall.toml:2:1
      |
    2 | production = true
      | ^^^^^^^^^^
      |
      = help: its keys are compose, database, groups, hosts, mask, metrics, notify, project, secrets, seeds, ssh, state, tools, vars

    error: unknown kind "helth"
     --> DIR/playbooks/release.toml:2:8
      |
    2 | kind = "helth"
      |        ^^^^^^^
      |
      = help: did you mean "health"?

    error: unknown key `nmae` in a `local` step
     --> DIR/playbooks/seed.toml:4:1
      |
    4 | nmae = "x"
      | ^^^^
      |
      = help: did you mean `name`?

    error: a `container` step needs Docker Compose, and landfall.toml says nothing about it
      --> DIR/playbooks/validate.toml:21:1
       |
    21 | [[steps]]
       | ^^^^^^^^^
       |
       = help: add a [compose] table with `dir` and `files`
    "#);
    let json = serde_json::to_string(&diags.to_json()[0]).expect("json");
    insta::assert_snapshot!(json.replace(&*folder.path().to_string_lossy(), "DIR"), @r#"{"code":2,"file":"DIR/landfall.toml","line":2,"column":1,"message":"unknown key `production` in landfall.toml","help":"its keys are compose, database, groups, hosts, mask, metrics, notify, project, secrets, seeds, ssh, state, tools, vars"}"#);
}

#[test]
fn unknown_playbooks() {
    let folder = project();
    let error = playbook::named(&opened(&folder), "relase", &Options::default()).expect_err("unknown");
    insta::assert_snapshot!(error.to_string().replace(&*folder.path().to_string_lossy(), "DIR"), @r"
    error: there is no playbook `relase` in DIR/playbooks
     |
     = help: did you mean `release`?
    ");
    let error = playbook::named(&opened(&folder), "./nothing.toml", &Options::default()).expect_err("unknown");
    insta::assert_snapshot!(error, @"error: ./nothing.toml cannot be read: No such file or directory (os error 2)");
}

fn seeds_of(folder: &tempfile::TempDir, names: &[&str], options: &Options) -> Result<ResolvedPlaybook, Diags> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    playbook::seeds(&opened(folder), &names, options)
}

#[test]
fn seeds_by_name() {
    let folder = project();
    let asked = seeds_of(&folder, &["configurations"], &Options::default()).expect("fine");
    assert_eq!(asked.name.as_str(), "seed");
    let step = &asked.hosts[0].steps[0].step;
    assert_eq!((step.name.as_str(), step.ledger.as_ref().map(|key| key.seen)), ("seed configurations", Some(Seen::Refuse)));
    let again = seeds_of(&folder, &["configurations"], &Options { again: true, ..Options::default() }).expect("fine");
    assert_eq!(again.hosts[0].steps[0].step.ledger.as_ref().map(|key| key.seen), Some(Seen::Repeat));
    insta::assert_snapshot!(seeds_of(&folder, &["configuration", "x-y-z"], &Options::default()).expect_err("unknown"), @r"
    error: there is no seed `configuration`
     |
     = help: did you mean `configurations`?

    error: there is no seed `x-y-z`
     |
     = help: landfall.toml declares configurations
    ");
    std::fs::remove_file(folder.path().join("playbooks/seed.toml")).expect("a file");
    assert_eq!(seeds_of(&folder, &["configurations"], &Options::default()).expect("made up").hosts[0].steps.len(), 1);
}

#[test]
fn a_seed_playbook_of_ones_own() {
    let folder = project();
    let path = folder.path().join("playbooks/seed.toml");
    let by_var = "[vars]\nseed = {}\n[[steps]]\nkind = \"seed\"\nseeds = [\"{{ vars.seed }}\"]\n";
    std::fs::write(&path, by_var).expect("a file");
    let asked = seeds_of(&folder, &["configurations"], &Options::default()).expect("fine");
    assert_eq!(asked.hosts[0].steps[0].step.name.as_str(), "seed configurations");
    std::fs::write(&path, "[[steps]]\nkind = \"seed\"\nseeds = [\"configurations\"]\n").expect("a file");
    let error = seeds_of(&folder, &["configurations"], &Options::default()).expect_err("takes no names");
    insta::assert_snapshot!(error.to_string().replace(&*folder.path().to_string_lossy(), "DIR"), @r#"
    error: no `seed` step of the playbook `seed` takes the names given
     --> DIR/playbooks/seed.toml:3:1
      |
    3 | seeds = ["configurations"]
      | ^^^^^
      |
      = help: leave `seeds` out of one `seed` step: then it runs the seeds that are named
    "#);
}

#[test]
fn one_command() {
    let folder = project();
    let inventory = opened(&folder);
    let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let resolved = playbook::exec(&inventory, "worker", &argv(&["ls", "a b"]), true, &Options::default()).expect("fine");
    insta::assert_snapshot!(lines(&resolved, 0), @"exec | Success | host | cd /opt/example/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml exec -T worker ls 'a b'");
    let error = playbook::exec(&inventory, "api", &argv(&["npx", "prisma", "db", "push"]), false, &Options::default());
    let error = error.expect_err("refused");
    assert_eq!(error.code(), 7);
    insta::assert_snapshot!(error, @r"
    error: `prisma db push` is refused: it changes the schema without a migration, and may drop data
     |
     = help: make a migration (`prisma migrate dev` on a development machine) and let a `migrate` step apply it
    ");
    insta::assert_snapshot!(playbook::exec(&inventory, "a b", &argv(&["ls"]), false, &Options::default()).expect_err("no name"), @r#"
    error: "a b" is not a service name
     |
     = help: use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit
    "#);
}

#[test]
fn only_what_looks() {
    let folder = project();
    let options = Options { checks_only: true, ..Options::default() };
    let release = playbook::named(&opened(&folder), "release", &options).expect("fine");
    assert_eq!((release.hosts[0].steps.len(), release.hosts[0].effects(), release.hosts[0].pull.len()), (1, false, 0));
    insta::assert_snapshot!(playbook::named(&opened(&folder), "seed", &options).expect_err("nothing"), @r#"
    error: nothing in the playbook `seed` only looks
     |
     = help: add a step that only looks: [[steps]] with kind = "health"
    "#);
}

#[test]
fn schemas_name_the_keys_that_readers_know() {
    let schema = playbook_schema();
    let kinds = schema["$defs"]["Step"]["oneOf"].as_array().expect("kinds");
    for kind in kinds {
        let properties = kind["properties"].as_object().expect("properties");
        let name = properties["kind"]["const"].as_str().expect("a kind");
        let mode = kind["required"].as_array().is_some_and(|required| required.contains(&"mode".into()));
        let mode = if mode { "mode = \"status\"\n" } else { "" };
        let text = format!("[[steps]]\nkind = \"{name}\"\n{mode}no_such_key = 1\n");
        let mut told = wrong(&text);
        // A container's check knows the keys of a request only to say that they do not go together.
        if let Some(at) = told.find("unknown key `no_such_key`") {
            told.drain(..at);
        }
        let keys = told.split_once("its keys are ").expect("keys").1.lines().next().expect("a line");
        let keys: std::collections::BTreeSet<&str> = keys.split(", ").collect();
        let own: std::collections::BTreeSet<&str> =
            properties.keys().map(String::as_str).chain((!properties.contains_key("retry")).then_some("retry")).collect();
        // What cannot go with the mode is known only to be refused.
        let refused = |key: &&str| !mode.is_empty() && ["apply", "preview", "success", "failure", "lock_timeout"].contains(key);
        let keys: std::collections::BTreeSet<&str> = keys.into_iter().filter(|key| !refused(key)).collect();
        assert_eq!(keys, own, "{name}");
        for (key, property) in properties.iter().filter(|(key, _)| *key != "kind") {
            assert!(property.get("description").is_some(), "{name}.{key} has no description");
        }
    }
    let inventory = inventory_schema();
    let keys: Vec<&str> = inventory["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
    let told = wrong_inventory("no_such_key = 1\nproject = \"x\"\n[hosts.a]\n");
    let listed = told.split_once("its keys are ").expect("keys").1.lines().next().expect("a line");
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(listed.split(", ").collect::<Vec<_>>(), sorted);
}

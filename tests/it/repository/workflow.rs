//! The workflow of `examples/github-actions`: what makes it safe, and its steps, as far as they can run without GitHub.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex_lite::Regex;

use super::{assert_accepted, commands, read, root, said};

const WORKFLOW: &str = "examples/github-actions/workflow/release.yml";

/// The scripts of the workflow's steps, by the steps' names. Reads as much YAML as there is in it.
fn scripts(yaml: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut name, mut block) = (String::new(), None::<usize>);
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim_start().trim_start_matches("- ");
        if block.is_some_and(|outer| indent > outer || line.is_empty()) {
            let script: &mut String = found.entry(name.clone()).or_default();
            script.push_str(line.trim_start());
            script.push('\n');
            continue;
        }
        block = None;
        if let Some(named) = text.strip_prefix("name: ") {
            named.clone_into(&mut name);
        } else if text == "run: |" {
            block = Some(indent);
        } else if let Some(run) = text.strip_prefix("run: ") {
            found.insert(name.clone(), format!("{run}\n"));
        }
    }
    found
}

/// Runs a step's script as a runner does, with `landfall` on the path.
fn run(folder: &Path, script: &str, env: &[(&str, &str)]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_landfall"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [program.parent().expect("a folder").to_owned()].into_iter().chain(std::env::split_paths(&path));
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(folder);
    bash.env("PATH", std::env::join_paths(path).expect("a path")).env_remove("LANDFALL_SSH_KEY").env("CI", "true");
    bash.envs([
        ("GITHUB_RUN_ID", "4711"),
        ("GITHUB_SHA", "stable"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "example/etally"),
    ]);
    bash.envs(env.iter().copied()).output().expect("bash runs")
}

#[test]
fn the_workflow_is_one_that_may_touch_production() {
    let yaml = read(WORKFLOW);
    for line in [
        "on:\n  push:\n    branches: [main]\n\n",
        "permissions:\n  contents: read\n",
        "concurrency:\n  group: production\n  cancel-in-progress: false\n",
        "    environment: production\n",
    ] {
        assert!(yaml.contains(line), "the workflow lacks:\n{line}");
    }
    let pinned = Regex::new(r"^[^@]+@[0-9a-f]{40} # v").expect("a regex");
    for (_, action) in yaml.lines().filter_map(|line| line.split_once("uses: ")) {
        assert!(pinned.is_match(action), "{action} is not pinned to a commit");
    }
    // A value that a runner puts into a script's text could be a script itself.
    for (name, script) in scripts(&yaml) {
        assert!(!script.contains("${{"), "{name}: values belong under `env`");
    }
    assert_eq!(yaml.matches("secrets.").count(), yaml.matches("LANDFALL_SSH_KEY: ${{ secrets.LANDFALL_SSH_KEY }}").count());
}

#[test]
fn its_commands_are_taken() {
    let scripts = scripts(&read(WORKFLOW));
    let found: Vec<Vec<String>> = scripts.values().flat_map(|script| commands(script)).collect();
    assert_eq!(found.iter().map(|words| words[1].as_str()).collect::<Vec<_>>(), ["check", "run", "validate"]);
    for words in &found {
        assert_accepted(words);
    }
    let release = &scripts["Release"];
    assert!(release.starts_with("exec landfall run release --yes --key \"$GITHUB_RUN_ID\""), "{release}");
}

#[test]
fn its_check_passes_on_the_project() {
    let output = run(&root().join("examples/github-actions"), &scripts(&read(WORKFLOW))["Check"], &[]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A copy of a testbed's project that, like the workflow, has the key only in the environment; with one of its droplets.
fn project_of(testbed: &Path, droplet: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let inventory = fs::read_to_string(testbed.join("landfall.toml")).expect("an inventory");
    let mut parts = inventory.split("\n[hosts.");
    let head = parts.next().unwrap_or_default().replace("identity_file = \"key\"\n", "");
    let host = parts.find(|part| part.starts_with(&format!("{droplet}]"))).expect("the droplet");
    fs::write(folder.path().join("landfall.toml"), format!("{head}\n[hosts.{host}\n")).expect("an inventory");
    fs::copy(testbed.join("known_hosts"), folder.path().join("known_hosts")).expect("the hosts' keys");
    fs::create_dir(folder.path().join("playbooks")).expect("a folder");
    for name in ["release.toml", "validate.toml"] {
        fs::copy(testbed.join("playbooks").join(name), folder.path().join("playbooks").join(name)).expect("a playbook");
    }
    folder
}

#[test]
fn its_steps_release_and_validate_a_droplet() {
    let droplets = crate::droplet::droplet();
    let testbed = &droplets.testbed;
    let project = project_of(testbed, &droplets[0].name);
    let state = tempfile::tempdir().expect("a folder");
    let key = fs::read_to_string(testbed.join("key")).expect("a key");
    let id = std::process::id().to_string();
    let scripts = scripts(&read(WORKFLOW));
    let step = |name: &str| {
        let state = state.path().to_string_lossy();
        run(project.path(), &scripts[name], &[("LANDFALL_SSH_KEY", &key), ("GITHUB_RUN_ID", &id), ("XDG_STATE_HOME", &state)])
    };
    for name in ["Check", "Release", "Validate"] {
        let output = step(name);
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert!(!said(&output).contains(key.lines().nth(1).expect("a key's second line")), "{name} shows the key");
    }
    let again = step("Release");
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains("the key is known: this is run "), "a job that runs again attaches: {}", said(&again));
}

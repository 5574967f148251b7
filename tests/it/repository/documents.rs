//! What is shipped and what is written about it: every playbook and inventory checks, every command is taken, every list is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use landfall::playbook::{INVENTORY, PLAYBOOKS};
use regex_lite::Regex;

use super::{assert_accepted, assert_sound, commands, files, is, landfall, read, root};

/// A project of some files, in a folder of its own.
fn project<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

/// The fenced blocks of a document in a language, each with its line.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(bool, usize, String)>);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(opening), None) => open = Some((opening == language, number + 2, String::new())),
            (Some(_), Some((true, at, text))) => found.push((at, text)),
            (Some(_), Some(_)) | (None, None) => {}
            (None, Some((ours, at, text))) => open = Some((ours, at, text + line + "\n")),
        }
    }
    found
}

/// The documents for people.
fn documents() -> Vec<String> {
    files("").into_iter().filter(|path| is(path, "md")).collect()
}

/// The first cells of the tables below a heading: what stands between backticks, or the bare number.
fn first_cells(text: &str, heading: &str) -> Vec<String> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.map(str::to_owned).collect()
}

#[test]
fn shipped_playbooks_check_with_the_shipped_inventory() {
    let shipped: BTreeSet<String> = files("playbooks").iter().map(|path| path.replace("playbooks/", "")).collect();
    let written: BTreeSet<String> = PLAYBOOKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(shipped, written, "`landfall init` writes every playbook there is");
    let folder = project([("landfall.toml", INVENTORY.to_owned())]);
    fs::create_dir(folder.path().join("playbooks")).expect("a folder");
    for name in &shipped {
        fs::copy(root().join("playbooks").join(name), folder.path().join("playbooks").join(name)).expect("a copy");
    }
    assert_sound(folder.path(), &[]);
}

#[test]
fn what_is_commented_out_in_shipped_playbooks_checks_too() {
    let step = Regex::new(r"(?m)^# (\[\[?[a-z_]+\]?\]|[a-z_]+ = .*)$").expect("a regex");
    let commented = |text: &str| step.replace_all(text, "$1").into_owned();
    let playbooks = PLAYBOOKS.map(|(name, text)| (format!("playbooks/{name}"), commented(text)));
    let playbooks = playbooks.iter().map(|(path, text)| (path.as_str(), text.clone()));
    assert_sound(project([("landfall.toml", INVENTORY.to_owned())].into_iter().chain(playbooks)).path(), &[]);
}

#[test]
fn every_example_checks() {
    for inventory in files("examples").iter().filter(|path| path.ends_with("landfall.toml")) {
        let folder = root().join(inventory).parent().expect("a folder").to_owned();
        assert_sound(&folder, &["--var", "release=1"]);
    }
}

#[test]
fn the_playbooks_of_the_testbed_check_in_both_layouts() {
    let host = "\n[hosts.droplet-1]\naddress = \"127.0.0.1\"\ngroups = [\"droplets\"]\n";
    for scope in ["per_host = true", "once = true"] {
        let playbooks = files("tests/testbed/playbooks");
        let playbooks = playbooks
            .iter()
            .map(|path| (path.strip_prefix("tests/testbed/").expect("its folder"), read(path).replace("per_host = true", scope)));
        let inventory = ("landfall.toml", read("tests/testbed/landfall.toml") + host);
        assert_sound(project([inventory].into_iter().chain(playbooks)).path(), &[]);
    }
}

#[test]
fn toml_in_documents_checks() {
    let mut checked = 0;
    for document in documents() {
        let blocks = blocks(&read(&document), "toml");
        if blocks.is_empty() {
            continue;
        }
        // The first line of each says which file it is; together they are a project.
        let named: Vec<(String, String)> = blocks
            .into_iter()
            .map(|(line, text)| {
                let first = text.lines().next().and_then(|first| first.strip_prefix("# ")).unwrap_or_default().to_owned();
                assert!(is(&first, "toml"), "{document}:{line}: say which file it is: # playbooks/release.toml");
                (first, text)
            })
            .collect();
        let folder = project(named.iter().map(|(path, text)| (path.as_str(), text.clone())));
        if !folder.path().join("landfall.toml").exists() {
            fs::write(folder.path().join("landfall.toml"), INVENTORY).expect("a file");
        }
        assert_sound(folder.path(), &["--var", "release=1"]);
        checked += 1;
    }
    assert!(checked > 0, "no TOML was found");
}

#[test]
fn commands_in_documents_are_taken() {
    let mut taken = 0;
    let inline = Regex::new(r"`(landfall [a-z][^`]*)`").expect("a regex");
    for document in documents() {
        let text = read(&document);
        let mut found: Vec<Vec<String>> = blocks(&text, "sh").iter().flat_map(|(_, block)| commands(block)).collect();
        // What stands in a text, unless it says what may stand there: `landfall run PLAYBOOK`, `landfall check [PLAYBOOK…]`.
        let placeholder = Regex::new(r"[\[…|]|\b[A-Z]{2,}").expect("a regex");
        let plain = inline.captures_iter(&text).filter(|found| !placeholder.is_match(&found[1]));
        found.extend(plain.flat_map(|found| commands(&found[1])));
        taken += found.iter().map(|words| assert_accepted(words)).count();
    }
    assert!(taken > 10, "the commands were not found");
}

#[test]
fn the_readme_lists_the_commands_and_exit_codes_that_there_are() {
    let help = landfall(Path::new("/"), &["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, list) = help.split_once("\nCommands:\n").expect("a list of commands");
    let list = list.split("\n\n").next().unwrap_or_default();
    let command = Regex::new(r"(?m)^  ([a-z]+) ").expect("a regex");
    let mut there: BTreeSet<String> = command.captures_iter(list).map(|found| found[1].to_owned()).collect();
    there.remove("help");
    let readme = read("README.md");
    let cell = Regex::new(r"`landfall ([a-z]+)").expect("a regex");
    let told: BTreeSet<String> = first_cells(&readme, "Commands")
        .iter()
        .flat_map(|row| cell.captures_iter(row).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, there);

    let (_, codes) = help.split_once("Exit codes:\n").expect("the exit codes");
    let there: Vec<&str> = codes.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let told = first_cells(&readme, "Exit codes");
    assert_eq!(told.iter().filter(|code| code.parse::<u8>().is_ok()).collect::<Vec<_>>(), there);
}

#[test]
fn tests_that_documents_name_are_there() {
    let named = Regex::new(r"`((?:[a-z_0-9]+::)+)([a-z_0-9]+)`").expect("a regex");
    let function = Regex::new(r"(?m)^ *fn ([a-z_0-9]+)\(").expect("a regex");
    let sources: Vec<(String, String)> =
        files("").into_iter().filter(|path| is(path, "rs")).map(|path| (read(&path), path)).collect();
    let mut seen = 0;
    for document in ["SECURITY.md", "CONTRIBUTING.md"] {
        for found in named.captures_iter(&read(document)) {
            seen += 1;
            // `mask::tests::overlaps` is in a file of these names; `secrets::dotenv::tests` is a whole module of tests.
            let modules = found[1].trim_end_matches("::").replace("::", "/").replace("/tests", "");
            let there = sources.iter().any(|(text, path)| {
                path.contains(&modules) && (&found[2] == "tests" || function.captures_iter(text).any(|name| name[1] == found[2]))
            });
            assert!(there, "{document} names {}, which is nowhere", &found[0]);
        }
    }
    assert!(seen > 30, "the names were not found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)[^)]*\)").expect("a regex");
    for document in documents() {
        let folder = root().join(&document).parent().expect("a folder").to_owned();
        for found in link.captures_iter(&read(&document)) {
            let there = found[1].starts_with("https://") || folder.join(&found[1]).exists();
            assert!(there, "{document}: {} leads nowhere", &found[1]);
        }
    }
}

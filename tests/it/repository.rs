//! The repository itself: its layers, its documents, its scripts. Of all this only the steps of the example workflow need a droplet.

mod documents;
mod files;
mod layers;
mod workflow;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, by its path in there.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The paths of all files below a folder, as they are written in the repository; what building leaves behind is passed over.
fn files(below: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder's entry").path();
            let name = path.file_name().unwrap_or_default();
            if path.is_symlink() || [".git", "target", "node_modules", "mutants.out"].iter().any(|passed| name == *passed) {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    found.sort();
    found
}

/// Whether a file's name ends like this.
fn is(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// The text of each file that is text.
fn texts() -> Vec<(String, String)> {
    files("").into_iter().filter_map(|path| Some((path.clone(), fs::read_to_string(root().join(path)).ok()?))).collect()
}

/// Runs `landfall` in a folder, with no inventory, key or configuration of the user's own.
fn landfall(folder: &Path, args: &[&str]) -> Output {
    let mut landfall = Command::new(env!("CARGO_BIN_EXE_landfall"));
    landfall.current_dir(folder).args(args).env_remove("LANDFALL_SSH_KEY").env("NO_COLOR", "1");
    landfall.output().expect("landfall runs")
}

/// What a program said, for a failed assertion.
fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that `landfall check` finds nothing wrong with the project in a folder.
fn assert_sound(folder: &Path, args: &[&str]) -> PathBuf {
    let output = landfall(folder, &[&["check"], args].concat());
    assert!(output.status.success(), "{}: {}", folder.display(), said(&output));
    folder.to_owned()
}

/// Asserts that the command line takes these words, without doing what they say: a `--help` stands where options end.
fn assert_accepted(words: &[String]) {
    let options = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut asked: Vec<&str> = words[..options].iter().skip(1).map(String::as_str).collect();
    asked.push("--help");
    let output = landfall(&std::env::temp_dir(), &asked);
    assert!(output.status.success(), "{}: {}", words.join(" "), said(&output));
}

/// The commands of a script that start `landfall`, in words; comments are left out, variables stay as they are written.
fn commands(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let lines = joined.lines().map(words);
    let begun = lines.map(|words| words.into_iter().skip_while(|word| word == "exec" || word == "$").collect::<Vec<_>>());
    begun.filter(|words| words.first().is_some_and(|word| word == "landfall")).collect()
}

/// The words of one line, as a shell would split it.
fn words(line: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => found.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

#[test]
fn words_are_split_as_a_shell_does() {
    let script = "$ landfall run a --note \"two words\" \\\n  --var x='$y' # why\nexec landfall check\nls landfall\n";
    let found = commands(script);
    assert_eq!(found[0], ["landfall", "run", "a", "--note", "two words", "--var", "x=$y"]);
    assert_eq!(found[1], ["landfall", "check"]);
    assert_eq!(found.len(), 2);
}

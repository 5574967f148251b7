//! What holds for every file: its length, what it must not name, and that a shell can read it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use regex_lite::Regex;

use super::{files, is, root, texts};

const LONGEST: usize = 600;

/// Files that may be longer, and why.
const LONG: [(&str, &str); 6] = [
    ("Cargo.lock", "made by cargo"),
    ("tests/testbed/images/api/package-lock.json", "made by npm"),
    ("tests/testbed/images/tools/package-lock.json", "made by npm"),
    ("tests/testbed/images/tools/drizzle-next/package-lock.json", "made by npm"),
    ("tests/testbed/images/tools/prisma-8/package-lock.json", "made by npm"),
    ("src/playbook/tests/steps.rs", "whole messages, one after the other"),
];

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        let lines = text.lines().count();
        let may = LONG.iter().any(|(long, _)| *long == path) || path.starts_with("LICENSE");
        if lines > LONGEST && !may {
            wrong.push(format!("{path} has {lines} lines: it wants to be two files"));
        } else if lines <= LONGEST && LONG.iter().any(|(long, _)| *long == path) {
            wrong.push(format!("{path} has only {lines} lines: take it off the list"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether an address can be anybody's: of the documentation ranges, private, or this machine.
fn is_nobodys(address: &str) -> bool {
    let parts: Vec<u16> = address.split('.').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        [a, b, c, d] if [a, b, c, d].iter().all(|part| *part < 256) => {
            matches!((a, b, c), (192, 0, 2) | (198, 51, 100) | (203, 0, 113) | (127 | 10, ..) | (192, 168, _) | (0, 0, 0))
                || a == 172 && (16..32).contains(&b)
        }
        // A version, or a number of something else.
        _ => true,
    }
}

/// Whether a file is written by a package manager, which names where it found what.
fn is_lock(path: &str) -> bool {
    path == "Cargo.lock" || path.ends_with("package-lock.json")
}

#[test]
fn addresses_are_of_the_documentation_ranges() {
    // The order of addresses is tested with one that is short.
    const KNOWN: [(&str, &str); 1] = [("src/ssh/tcp.rs", concat!("1.1", ".1.1"))];
    let address = Regex::new(r"(?:^|[^0-9.a-zA-Z])([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?:[^0-9.]|\.?$)").expect("a regex");
    let mut wrong = Vec::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| !is_lock(path)) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.matches('.').count() >= 3) {
            for found in address.captures_iter(line) {
                if !is_nobodys(&found[1]) && !KNOWN.contains(&(path.as_str(), &found[1])) {
                    wrong.push(format!("{path}:{}: {}", number + 1, &found[1]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "addresses outside the documentation ranges:\n{}", wrong.join("\n"));
}

#[test]
fn no_registry_no_machine_and_no_key_is_in_a_file() {
    // Written in pieces, so as not to be found here.
    const NAMES: [&str; 9] = [
        concat!("registry.", "npmjs"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("ghcr", ".io/"),
        concat!("gcr", ".io/"),
        concat!("quay", ".io/"),
        concat!("/wo", "rk/"),
        concat!("/tmp", "/wt"),
        concat!("/Us", "ers/"),
    ];
    let mirror = Regex::new(r"://[a-z0-9.-]*(artifact|nexus|proxy|mirror)[a-z0-9.-]*[:/]").expect("a regex");
    let key = Regex::new(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{60}").expect("a regex");
    let mut wrong = Vec::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| !is_lock(path)) {
        for (number, line) in text.lines().enumerate() {
            let named = NAMES.iter().any(|name| line.contains(name));
            if named || line.contains("://") && mirror.is_match(line) {
                wrong.push(format!("{path}:{}: {line}", number + 1));
            }
        }
        if text.contains("PRIVATE KEY") && key.is_match(&text) {
            wrong.push(format!("{path} holds a private key"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shells_can_read_every_script() {
    let mut seen = 0;
    for (path, text) in texts() {
        let shell = match text.lines().next().unwrap_or_default() {
            "#!/bin/sh" => "sh",
            line if line.starts_with("#!") && line.ends_with("bash") => "bash",
            _ if is(&path, "sh") && text.contains("shellcheck shell=bash") => "bash",
            _ => continue,
        };
        seen += 1;
        let output = Command::new(shell).arg("-n").arg(root().join(&path)).output().expect("a shell");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(seen > 5, "the scripts were not found");
}

#[test]
fn the_first_commands_can_be_started() {
    for path in ["examples/demo/run", "tests/run", ".ci/run", "tests/testbed/up", "tests/testbed/down"] {
        let mode = root().join(path).metadata().unwrap_or_else(|error| panic!("{path}: {error}")).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{path} is not executable");
    }
}

#[test]
fn what_the_package_needs_is_there() {
    let all = files("");
    for path in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(all.iter().any(|known| known == path), "{path} is missing");
    }
}

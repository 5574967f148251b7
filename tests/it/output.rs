//! What is shown, how soon, and to whom nobody listens.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use crate::droplet::droplet;
use crate::project::Project;

#[test]
fn a_line_is_here_within_a_tenth_of_a_second() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "clock",
        "[[steps]]\nkind = \"shell\"\nname = \"clock\"\ncommand = \"for i in $(seq 40); do date +at%s%N; sleep 0.1; done\"\n",
    );
    // Droplet and client have the same clock: they are one machine.
    let out = project.landfall(&["run", "clock", "--yes"]);
    out.expect(0, &[]);
    let delays = out.lines.iter().filter_map(|(came, line)| {
        let (_, digits) = line.split_once("at")?;
        let printed = UNIX_EPOCH + Duration::from_nanos(digits.trim().parse().ok()?);
        Some(came.duration_since(printed).unwrap_or_default())
    });
    let mut delays: Vec<Duration> = delays.collect();
    assert_eq!(delays.len(), 40, "{}", out.said());
    delays.sort();
    println!("median {:?}, worst {:?}", delays[20], delays[39]);
    assert!(delays[20] < Duration::from_millis(100), "median {:?}", delays[20]);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "many",
        "[[steps]]\nkind = \"shell\"\nname = \"many\"\ncommand = \"for i in $(seq 20000); do echo line $i; done; touch /tmp/it-many\"\n",
    );
    for arguments in [&["run", "many", "--yes"][..], &["run", "many", "--yes", "--output", "json"]] {
        let mut child =
            project.command().args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!said.contains("panicked"), "{said}");
        assert!(out.status.code().is_some(), "killed by a signal: {:?} {said}", out.status);
    }
    droplets[0].sh("test -e /tmp/it-many");
}

#[test]
fn odd_output_arrives_whole_and_harmless() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "odd",
        "[[steps]]\nkind = \"shell\"\nname = \"odd\"\ncommand = '''printf 'caf\\303\\251 \\377\\n'; printf 'no end'; printf '\\033[2J\\033]0;title\\007x\\n' >&2; printf '10%%\\r20%%\\r30%%\\n'; head -c 100000 /dev/zero | tr '\\0' a; echo'''\n",
    );
    let out = project.events(&["run", "odd", "--yes"]);
    out.expect(0, &[]);
    let events = out.of_type("output");
    let odd = events.iter().find(|event| event["text"].as_str().unwrap().starts_with("caf")).unwrap();
    assert!(odd["text"].as_str().unwrap().starts_with("café \u{fffd}"), "{odd}");
    assert!(odd["bytes"].is_string(), "bytes that are not UTF-8 come in base64: {odd}");
    let long: usize = events.iter().map(|event| event["text"].as_str().unwrap().matches('a').count()).sum();
    assert!(long >= 100_000, "{long} of 100000");
    // In a pipe it is exact; on a terminal nothing of it does anything.
    let plain = project.landfall(&["attach"]);
    plain.expect(0, &["café", "no end", "\u{1b}[2J\u{1b}]0;title\u{7}x"]);
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qefc", &format!("{} attach", env!("CARGO_BIN_EXE_landfall")), "/dev/null"]);
    terminal.current_dir(project.dir.path()).env("HOME", project.path("home")).env("TERM", "xterm-256color");
    let seen = crate::program::Running::start(terminal).finish();
    seen.expect(0, &["café", "title"]);
    assert!(!seen.stdout.contains("\u{1b}[2J\u{1b}]0;") && !seen.stdout.contains('\u{7}'), "{:?}", seen.stdout);
}

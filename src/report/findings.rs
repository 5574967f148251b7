//! What the rules for migrations found, for CI systems: as JUnit XML, and as annotations for a runner of GitHub. Pure: values in, text out.

use std::fmt::Write as _;

use super::github::{data, property};
use super::junit::{attribute, content};
use super::sanitize::{label, text};
use crate::migration::lint::{Finding, Granted, Judged, Severity};

/// As JUnit XML: a suite a file, and a test case a finding. Who approved one skipped it; a warning fails only where it refuses.
pub fn findings_junit(files: &[&str], judged: &Judged, strict: bool) -> String {
    let fails = |finding: &Finding| strict || finding.severity == Severity::Error;
    let (mut suites, mut total) = (String::new(), Counts::default());
    for (id, file) in files.iter().enumerate() {
        let (mut cases, mut counts) = (String::new(), Counts::default());
        for finding in judged.open.iter().filter(|finding| finding.file == *file) {
            counts.tests += 1;
            counts.failures += usize::from(fails(finding));
            let said = format!("{}\nwhy: {}\nsafe: {}", finding.statement, finding.why, finding.safe);
            let message = attribute(&format!("{}: {}", finding.rule, finding.message));
            let inside = if fails(finding) {
                format!(r#"<failure message="{message}" type="{}">{}</failure>"#, severity(finding), content(&said))
            } else {
                format!("<system-out>{}</system-out>", content(&format!("{}: {}\n{said}", severity(finding), finding.message)))
            };
            case(&mut cases, finding, &inside);
        }
        for (finding, granted) in judged.approved.iter().filter(|(finding, _)| finding.file == *file) {
            counts.tests += 1;
            counts.skipped += 1;
            case(&mut cases, finding, &format!(r#"<skipped message="{}"/>"#, attribute(&by(granted))));
        }
        if counts.tests == 0 {
            counts.tests = 1;
            // Writing to a string does not fail, here and below.
            _ = writeln!(cases, r#"    <testcase name="no findings" classname="{}" time="0"/>"#, attribute(file));
        }
        total.add(&counts);
        _ = writeln!(suites, r#"  <testsuite name="{}" id="{id}" {}>"#, attribute(file), counts.attributes());
        suites.push_str(&cases);
        suites.push_str("  </testsuite>\n");
    }
    let head = format!(r#"<testsuites name="landfall lint" {}>"#, total.attributes());
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{head}\n{suites}</testsuites>\n")
}

/// As workflow commands: an annotation a finding. `folder` is where the files are, as the checkout has it; empty: at its root.
pub fn findings_github(judged: &Judged, folder: &str) -> String {
    let mut out = String::new();
    let mut say = |level: &str, finding: &Finding, message: &str| {
        let file = if folder.is_empty() || finding.file.starts_with('/') {
            finding.file.clone()
        } else {
            format!("{folder}/{}", finding.file)
        };
        let place = format!("file={},line={},col={}", property(&file), finding.line, finding.column);
        let title = property(&format!("landfall lint: {}", finding.rule));
        _ = writeln!(out, "::{level} {place},title={title}::{}", data(&text(message)));
    };
    for finding in &judged.open {
        let message = format!("{}\nwhy: {}\nsafe: {}", finding.message, finding.why, finding.safe);
        say(severity(finding), finding, &message);
    }
    for (finding, granted) in &judged.approved {
        say("notice", finding, &format!("{}: {}", finding.message, by(granted)));
    }
    out
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn by(granted: &Granted) -> String {
    match granted {
        Granted::Entry(approval) => format!("approved by {}: {}", label(&approval.by), label(&approval.reason)),
        Granted::Waiver(_) => "approved on the command line".to_owned(),
    }
}

fn case(out: &mut String, finding: &Finding, inside: &str) {
    let name = attribute(&format!("{} at line {}", finding.rule, finding.line));
    let class = attribute(&finding.file);
    _ = writeln!(out, r#"    <testcase name="{name}" classname="{class}" time="0">{inside}</testcase>"#);
}

#[derive(Debug, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.skipped += other.skipped;
    }

    fn attributes(&self) -> String {
        let Self { tests, failures, skipped } = self;
        format!(r#"tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0""#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::lint::{Approvals, Dialect, Source, Tool, check, gate};

    fn judged() -> Judged {
        let source = |name, text| Source { name, text, dialect: Dialect::Postgres, tool: Tool::Unknown, in_transaction: true };
        let mut findings =
            check(&source("db/1, <a>.sql", "SET lock_timeout = '5s';\nDROP TABLE a; ALTER TABLE b ALTER c DROP DEFAULT;"));
        findings.extend(check(&source("db/2.sql", "TRUNCATE \"x\n::error::y\";")));
        let waiver = "truncate@db/2.sql".parse().unwrap();
        gate(findings, &Approvals::default(), &[waiver], &[])
    }

    #[test]
    fn as_junit() {
        let files = ["db/1, <a>.sql", "db/2.sql", "db/3.sql"];
        insta::assert_snapshot!(findings_junit(&files, &judged(), false));
        assert!(findings_junit(&files, &judged(), true).contains(r#"failures="2""#));
    }

    #[test]
    fn as_annotations() {
        let told = findings_github(&judged(), "apps/api");
        assert!(told.lines().all(|line| line.starts_with("::")), "{told}");
        insta::assert_snapshot!(told);
    }
}

//! What the rules for migrations found, for CI systems: as JUnit XML, and as annotations for a runner of GitHub. Pure: values in, text out.

use std::fmt::Write as _;

use super::github::{data, property};
use super::sanitize::{label, text};
use super::suites::{Case, Verdict, suites_junit};
use crate::migration::lint::{Finding, Granted, Judged, Severity};

/// As JUnit XML: a suite a file, and a test case a finding. Who approved one skipped it; a warning fails only where it refuses.
pub fn findings_junit(files: &[&str], judged: &Judged, strict: bool) -> String {
    let fails = |finding: &Finding| strict || finding.severity == Severity::Error;
    let case = |finding: &Finding, verdict| Case { name: format!("{} at line {}", finding.rule, finding.line), verdict };
    let open = |finding: &Finding| {
        let text = format!("{}\nwhy: {}\nsafe: {}", finding.statement, finding.why, finding.safe);
        let kind = severity(finding);
        let verdict = if fails(finding) {
            Verdict::Fails { message: format!("{}: {}", finding.rule, finding.message), text, kind }
        } else {
            Verdict::Passes(format!("{kind}: {}\n{text}", finding.message))
        };
        case(finding, verdict)
    };
    let suites = files.iter().map(|file| {
        let of = |finding: &&Finding| finding.file == *file;
        let approved = judged.approved.iter().filter(|(finding, _)| of(&finding));
        let approved = approved.map(|(finding, granted)| case(finding, Verdict::Skipped(by(granted))));
        let mut cases: Vec<Case> = judged.open.iter().filter(of).map(open).chain(approved).collect();
        if cases.is_empty() {
            cases.push(Case { name: "no findings".to_owned(), verdict: Verdict::Passes(String::new()) });
        }
        ((*file).to_owned(), cases)
    });
    suites_junit("landfall lint", &suites.collect::<Vec<_>>())
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

//! A run as JUnit XML, for CI systems: a suite a host, a test case a step, and for a check that looks from several sides one for each.
//! Whatever was printed stays text.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::sanitize;
use super::spool::Tail;
use super::story::{Chapter, Part, Story, moment};
use crate::event::{Status, Stream};

/// A test case that is not a step.
struct Case<'a> {
    name: String,
    class: String,
    time: Duration,
    result: Result<(), Bad<'a>>,
}

/// What stands in place of success.
struct Bad<'a> {
    /// `failure`, `error` or `skipped`.
    element: &'static str,
    kind: &'a str,
    message: String,
    text: String,
}

/// Writes the report.
pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let share = story.share();
    let suites: Vec<(&Chapter, Vec<Case<'_>>)> = story
        .parts
        .iter()
        .filter(|part| part.host.is_some() || !part.steps.is_empty())
        .map(|part| (part, others(story, part)))
        .collect();
    let (mut total, mut all) = (Counts::default(), Vec::new());
    for (part, others) in &suites {
        let counts = Counts::of(part, others);
        total.add(&counts);
        all.push(counts);
    }
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    let name = format!("landfall {}", story.playbook);
    let time = story.end.map_or(story.span(), |(_, _, took)| took);
    writeln!(out, r#"<testsuites name="{}" {} time="{}">"#, attribute(&name), total.attributes(), seconds(time))?;
    for (id, ((part, others), counts)) in suites.iter().zip(&all).enumerate() {
        let took = part.end.map_or_else(|| part.steps.iter().map(|step| step.took).sum(), |(_, _, took)| took);
        let began = story.began.map(moment).unwrap_or_default().trim_end_matches(" UTC").replace(' ', "T");
        writeln!(
            out,
            r#"  <testsuite name="{0}" hostname="{0}" id="{id}" package="{1}" timestamp="{began}" {2} time="{3}">"#,
            attribute(part.name()),
            attribute(&story.playbook),
            counts.attributes(),
            seconds(took),
        )?;
        properties(story, part, out)?;
        for case in others {
            write_case(out, case, None)?;
        }
        for step in &part.steps {
            let tail = story.output(step, share);
            write_case(out, &of_step(story, part, step), Some(&tail))?;
            for case in sides(story, part, step) {
                write_case(out, &case, None)?;
            }
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(part: &Chapter, others: &[Case<'_>]) -> Self {
        let mut counts = Self::default();
        for case in others {
            counts.count(case.result.as_ref().err().map(|bad| bad.element));
        }
        for step in &part.steps {
            counts.count(element(step));
            let sides = step.sides();
            for look in sides.iter().filter(|_| sides.len() > 1) {
                counts.count((!look.ok).then_some("failure"));
            }
        }
        counts
    }

    fn count(&mut self, element: Option<&str>) {
        self.tests += 1;
        match element {
            Some("failure") => self.failures += 1,
            Some("error") => self.errors += 1,
            Some(_) => self.skipped += 1,
            None => {}
        }
    }

    fn add(&mut self, other: &Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }

    fn attributes(&self) -> String {
        let Self { tests, failures, errors, skipped } = self;
        format!(r#"tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}""#)
    }
}

fn element(step: &Part) -> Option<&'static str> {
    match step.status {
        Some(Status::Ok) => None,
        Some(Status::Failed | Status::TimedOut) => Some("failure"),
        Some(Status::Skipped) => Some("skipped"),
        None if step.began.is_none() => Some("skipped"),
        Some(Status::Unknown | Status::Cancelled) | None => Some("error"),
    }
}

fn class(story: &Story, part: &Chapter) -> String {
    format!("{}.{}", story.playbook, part.name())
}

fn of_step<'a>(story: &Story, part: &Chapter, step: &'a Part) -> Case<'a> {
    let result = match element(step) {
        None => Ok(()),
        Some(element) => {
            let message = step.reason().unwrap_or_else(|| step.word().to_owned());
            let mut text = format!("{}\n", step.command);
            for look in step.sides().iter().filter(|look| !look.ok) {
                let _ = writeln!(text, "from {}: saw {}, expected {}", look.side, look.observed, look.expected);
            }
            for hint in &step.hints {
                let _ = writeln!(text, "hint: {hint}");
            }
            Err(Bad { element, kind: step.word(), message, text })
        }
    };
    Case { name: step.name.to_string(), class: class(story, part), time: step.took, result }
}

/// Each side of a check by itself, where there are several: so that CI shows which of them disagrees.
fn sides<'a>(story: &Story, part: &Chapter, step: &'a Part) -> Vec<Case<'a>> {
    let sides = step.sides();
    if sides.len() < 2 {
        return Vec::new();
    }
    let case = |look: &&super::story::Look| {
        let bad = || Bad {
            element: "failure",
            kind: "check",
            message: format!("saw {}", look.observed),
            text: format!("saw {}\nexpected {}", look.observed, look.expected),
        };
        Case {
            name: format!("{} ({} from {})", step.name, look.kind, look.side),
            class: class(story, part),
            time: look.latency().map_or(Duration::ZERO, |ms| Duration::from_secs_f64(ms.min(1e9) / 1000.0)),
            result: if look.ok { Ok(()) } else { Err(bad()) },
        }
    };
    sides.iter().map(case).collect()
}

/// What kept a host from its steps.
fn others<'a>(story: &Story, part: &Chapter) -> Vec<Case<'a>> {
    let case = |name: &str, kind: &'a str, message: String, text: String| Case {
        name: name.to_owned(),
        class: class(story, part),
        time: Duration::ZERO,
        result: Err(Bad { element: "error", kind, message, text }),
    };
    let mut cases = Vec::new();
    if let Some(refusal) = &part.refusal {
        cases.push(case("prepare", "refused", refusal.message.clone(), refusal.remedy.clone().unwrap_or_default()));
    }
    if let Some(holder) = &part.locked {
        let message = format!("locked by run {} of {}", holder.run, holder.who);
        cases.push(case("prepare", "locked", message, format!("{} since {}", holder.playbook, holder.since)));
    }
    let bad = story.end.is_some_and(|(status, ..)| status != Status::Ok);
    if bad && cases.is_empty() && part.host.is_some() && part.steps.is_empty() {
        let text = story.stops.join("\n");
        let message = text.lines().next().unwrap_or("it did not begin").to_owned();
        cases.push(case("prepare", "not begun", message, text));
    }
    cases
}

fn properties(story: &Story, part: &Chapter, out: &mut dyn Write) -> io::Result<()> {
    let mut properties = vec![
        ("run".to_owned(), story.run.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("who".to_owned(), story.who.clone()),
        ("plan".to_owned(), story.plan.clone()),
    ];
    properties.extend(story.note.iter().map(|note| ("note".to_owned(), note.clone())));
    for (service, facts) in part.facts.iter().flat_map(|facts| &facts.services) {
        let image = facts.digest.as_ref().or(facts.image_id.as_ref()).map(|id| format!(" {id}")).unwrap_or_default();
        properties.push((format!("image of {service}"), format!("{}{image}", facts.image)));
    }
    properties.extend(part.steps.iter().flat_map(|step| &step.approved).map(|of| ("approved".to_owned(), of.to_string())));
    for change in part.steps.iter().flat_map(|step| &step.changes) {
        let from = change.from.as_ref().map(|from| format!("{from} → ")).unwrap_or_default();
        properties.push((format!("changed: {}", change.what), format!("{from}{}", change.to)));
    }
    writeln!(out, "    <properties>")?;
    for (name, value) in properties {
        writeln!(out, r#"      <property name="{}" value="{}"/>"#, attribute(&name), attribute(&value))?;
    }
    writeln!(out, "    </properties>")
}

fn write_case(out: &mut dyn Write, case: &Case<'_>, tail: Option<&Tail>) -> io::Result<()> {
    write!(
        out,
        r#"    <testcase name="{}" classname="{}" time="{}""#,
        attribute(&case.name),
        attribute(&case.class),
        seconds(case.time)
    )?;
    let tail = tail.filter(|tail| !tail.lines.is_empty());
    if case.result.is_ok() && tail.is_none() {
        return writeln!(out, "/>");
    }
    writeln!(out, ">")?;
    if let Err(Bad { element, kind, message, text }) = &case.result {
        let message = attribute(message);
        if *element == "skipped" {
            writeln!(out, r#"      <skipped message="{message}"/>"#)?;
        } else {
            writeln!(out, r#"      <{element} message="{message}" type="{kind}">{}</{element}>"#, content(text.trim_end()))?;
        }
    }
    if let Some(tail) = tail {
        for (element, stream) in [("system-out", Stream::Stdout), ("system-err", Stream::Stderr)] {
            let mut lines = tail.lines.iter().filter(|line| line.stream == stream).peekable();
            if lines.peek().is_none() {
                continue;
            }
            write!(out, "      <{element}>")?;
            if tail.cut > 0 {
                writeln!(out, "[{} lines before these are left out]", tail.cut)?;
            }
            for line in lines {
                write!(out, "{}", content(&sanitize::line(&line.text, false)))?;
                if line.left_out > 0 {
                    write!(out, " [{} bytes more are left out]", line.left_out)?;
                }
                writeln!(out)?;
            }
            writeln!(out, "</{element}>")?;
        }
    }
    writeln!(out, "    </testcase>")
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text of an attribute, on one line.
pub(super) fn attribute(text: &str) -> String {
    escape(&sanitize::label(text))
}

/// Text between tags, whose lines stay lines.
pub(super) fn content(text: &str) -> String {
    escape(&sanitize::text(text))
}

/// What XML cannot say at all is shown by its number, what it would obey by its name.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples::{self, told};
    use super::*;

    fn junit(events: &[crate::event::Event]) -> String {
        let mut out = Vec::new();
        write(&told(events), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failed_migration() {
        assert_snapshot!(junit(&samples::failed_migration()));
    }

    #[test]
    fn a_check_from_several_sides() {
        assert_snapshot!(junit(&samples::sides()));
    }

    #[test]
    fn hosts_that_did_not_begin() {
        let refused = junit(&samples::refused());
        assert!(
            refused.contains(r#"<testsuites name="landfall release" tests="1" failures="0" errors="1" skipped="0""#),
            "{refused}"
        );
        assert!(refused.contains(r#"<error message="the Docker daemon does not answer" type="refused">start it"#), "{refused}");
        assert!(junit(&samples::lock_busy()).contains(r#"message="locked by run kkkkllllmmmm of bob@ci" type="locked""#));
        assert!(
            junit(&samples::unknown()).contains(r#"<error message="the line that tells success is missing" type="unknown">"#)
        );
    }

    #[test]
    fn hostile_output_stays_text() {
        let text = junit(&samples::hostile());
        assert!(text.contains("::error::owned ]]&gt;&lt;/system-out&gt;"), "{text}");
        assert!(text.contains("\\x00 \\u{ffff} \\u{202e} \\x1b]0;title\\x07"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}')), "{text:?}");
    }
}

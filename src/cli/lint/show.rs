//! What `landfall lint` prints: for people with the lines underlined, for programs a JSON object a line.

use std::fmt::Write as _;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::super::git;
use super::find::Found;
use crate::migration::lint::{Approval, Dialect, Finding, Granted, Judged, Rule, Severity};
use crate::report::{Paint, Tone};

/// When an approval came, in words.
fn came(root: &Path, approval: &Approval) -> String {
    git::came(root, approval).unwrap_or_else(|| "when, is not known".to_owned())
}

/// For people.
pub(super) fn text(found: &Found, judged: &Judged, root: &Path, paint: Paint) -> String {
    let renderer = if paint.colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for finding in &judged.open {
        let text = found.files.iter().find(|file| file.name == finding.file).map_or("", |file| file.text.as_str());
        out.push_str(&one(finding, text, &renderer));
        out.push_str("\n\n");
    }
    for (finding, granted) in &judged.approved {
        let place = format!("{}:{}", finding.file, finding.line);
        let by = match granted {
            Granted::Entry(approval) => format!("by {}: {} ({})", approval.by, approval.reason, came(root, approval)),
            Granted::Waiver(_) => "on the command line".to_owned(),
        };
        _ = writeln!(out, "{} {} {} {}", paint.paint(Tone::Good, "approved"), finding.rule, shown(&place), shown(&by));
    }
    for approval in &judged.stale {
        let what = format!("the approval of {} for {} by {} fits nothing any more", approval.rule, approval.file, approval.by);
        _ = writeln!(out, "{} {}", paint.paint(Tone::Warn, "stale"), shown(&what));
    }
    for waiver in &judged.idle {
        _ = writeln!(out, "{} --approve {} fits nothing", paint.paint(Tone::Bad, "error:"), shown(&waiver.to_string()));
    }
    if found.guessed() > 0 {
        let what = format!(
            "{} read as PostgreSQL, for nothing says otherwise; --dialect mysql reads them as MySQL",
            count(found.guessed(), "file")
        );
        _ = writeln!(out, "{} {what}", paint.paint(Tone::Faint, "note:"));
    }
    let (errors, warnings) = numbers(judged);
    let tone = if errors > 0 {
        Tone::Bad
    } else if warnings > 0 {
        Tone::Warn
    } else {
        Tone::Good
    };
    let sum = format!(
        "{}: {}, {}, {} approved",
        count(found.files.len(), "file"),
        count(errors, "error"),
        count(warnings, "warning"),
        judged.approved.len()
    );
    _ = writeln!(out, "{}", paint.paint(tone, sum));
    if errors > 0 {
        out.push_str("to take one upon yourself: landfall lint --write-approval RULE@FILE --by NAME --reason TEXT\n");
    }
    out
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn numbers(judged: &Judged) -> (usize, usize) {
    let errors = judged.open.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, judged.open.len() - errors)
}

/// A text of a file or a person on one line, harmless to a terminal.
fn shown(text: &str) -> String {
    crate::report::label(text)
}

fn one(finding: &Finding, text: &str, renderer: &Renderer) -> String {
    // Only the lines themselves: the file may be long.
    let start = text.get(..finding.span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let from = finding.span.start.min(text.len());
    let line_end = text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| from + at);
    let line = harmless(text.get(start..line_end).unwrap_or(""));
    let end = finding.span.end.clamp(from, line_end) - start;
    let title = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = harmless(&finding.message);
    let group = title
        .primary_title(message.as_str())
        .id(finding.rule)
        .element(
            Snippet::source(line.as_str())
                .line_start(finding.line)
                .path(finding.file.as_str())
                .annotation(AnnotationKind::Primary.span(from - start..end)),
        )
        .element(Level::NOTE.message(finding.why))
        .element(Level::HELP.message(finding.safe));
    renderer.render(&[group])
}

/// The same number of bytes, without what a terminal would obey or turn around.
fn harmless(text: &str) -> String {
    let odd = |c: char| {
        c.is_control() && c != '\t' || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    text.chars().map(|c| if odd(c) { "?".repeat(c.len_utf8()) } else { c.to_string() }).collect()
}

/// For programs: a line a finding, and the sum.
pub(super) fn json(found: &Found, judged: &Judged, root: &Path, code: u8) -> String {
    let mut out = String::new();
    let mut line = |finding: &Finding, granted: Option<&Granted>| {
        let mut value = serde_json::json!(finding);
        value["v"] = crate::event::VERSION.into();
        value["type"] = "finding".into();
        value["approved"] = match granted {
            None => serde_json::Value::Null,
            Some(Granted::Waiver(_)) => serde_json::json!({ "with": "--approve" }),
            Some(Granted::Entry(approval)) => serde_json::json!({
                "with": "file", "by": approval.by, "reason": approval.reason, "key": approval.key, "came": came(root, approval),
            }),
        };
        _ = writeln!(out, "{value}");
    };
    for finding in &judged.open {
        line(finding, None);
    }
    for (finding, granted) in &judged.approved {
        line(finding, Some(granted));
    }
    let (errors, warnings) = numbers(judged);
    let sum = serde_json::json!({
        "v": crate::event::VERSION, "type": "lint", "files": found.files.len(), "errors": errors, "warnings": warnings,
        "approved": judged.approved.len(), "stale": judged.stale, "idle": judged.idle.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "taken_for_postgres": found.guessed(), "exit_code": code,
    });
    _ = writeln!(out, "{sum}");
    out
}

/// The list of all rules.
pub(super) fn rules(rules: impl Iterator<Item = &'static Rule>) -> String {
    let mut out = String::new();
    for rule in rules {
        let severity = if rule.severity == Severity::Error { "error" } else { "warning" };
        let dialect = match rule.dialects {
            [Dialect::Postgres] => ", PostgreSQL",
            [Dialect::Mysql] => ", MySQL",
            _ => "",
        };
        _ = writeln!(out, "{} ({severity}{dialect})\n    {}\n    safe: {}", rule.id, rule.why, rule.safe);
    }
    out
}

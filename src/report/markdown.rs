//! A run as Markdown, for a ticket, a post-mortem or the summary of a CI job: who, when, what changed, what was seen. Words of hosts
//! stand in code, and fences are longer than anything in them.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::closing;
use super::failure::short;
use super::sanitize::{self, label};
use super::spool::Tail;
use super::story::{Part, Story, moment, status_word};
use super::style::{Paint, duration};
use super::summary::mark;
use crate::event::Status;
use crate::facts::Migrations;

/// The most of one step's output that is shown: a ticket is read by people.
const OUTPUT: u64 = 32 << 10;

/// Writes the report. `program` is what a person types to run Landfall here.
pub(super) fn write(story: &Story, program: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    head(story, &mut text);
    trouble(story, program, &mut text);
    steps(story, &mut text);
    approvals(story, &mut text);
    changes(story, &mut text);
    checks(story, &mut text);
    versions(story, &mut text);
    commands(story, &mut text);
    notes(story, &mut text);
    out.write_all(text.as_bytes())?;
    printed(story, out)
}

fn head(story: &Story, text: &mut String) {
    let (word, status) = story.outcome();
    let hosts: Vec<&str> = story.hosts.iter().map(crate::name::HostName::as_str).collect();
    let shown = if hosts.len() > 5 { format!("{} hosts", hosts.len()) } else { hosts.join(", ") };
    let _ = writeln!(text, "# {} {} on {}: {word}\n", sign(Some(status)), plain(&story.playbook), plain(&shown));
    let mut rows = vec![("Run", code(story.run.as_ref().map_or("", crate::name::RunId::as_str)))];
    rows.extend(story.project.iter().map(|project| ("Project", plain(project))));
    rows.extend(story.began.map(|began| ("Began", moment(began))));
    rows.extend(story.end.map(|(_, _, took)| ("Took", duration(took))));
    rows.push(("By", plain(&story.who)));
    rows.extend(story.note.iter().map(|note| ("Note", plain(note))));
    rows.extend((hosts.len() > 5).then(|| ("Hosts", plain(&hosts.join(", ")))));
    rows.push(("Plan", code(story.plan.get(..16).unwrap_or(&story.plan))));
    rows.extend(story.end.map(|(_, exit, _)| ("Exit code", exit.to_string())));
    table(text, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
}

fn trouble(story: &Story, program: &str, text: &mut String) {
    let closing = closing(&story.summary, program, Paint { colour: false });
    let lines: Vec<String> = closing.into_iter().chain(story.stops.iter().cloned()).collect();
    if !lines.is_empty() {
        text.push_str("## What happened\n\n");
        fenced(text, lines.join("\n").lines().map(label));
    }
}

fn steps(story: &Story, text: &mut String) {
    text.push_str("## Steps\n\n");
    if story.several() {
        let rows = story.parts.iter().filter(|part| part.host.is_some()).map(|part| {
            let count = |ok: bool| part.steps.iter().filter(|step| (step.status == Some(Status::Ok)) == ok).count();
            let took = part.end.map_or_else(|| "-".to_owned(), |(_, _, took)| duration(took));
            let word = format!("{} {}", sign(part.status()), status_word(part.status()));
            vec![plain(part.name()), word, took, format!("{} of {} ok", count(true), part.steps.len())]
        });
        table(text, &["Host", "", "Took", "Steps"], rows);
    }
    let rows = story.steps().map(|(part, step)| {
        let took = if step.began.is_some() && step.status.is_some() { duration(step.took) } else { "-".to_owned() };
        let reason = step.reason().map(|reason| format!(": {}", code(&reason))).unwrap_or_default();
        let began = step.began.zip(story.began).map_or_else(|| "-".to_owned(), |(at, began)| since(at, began));
        let result = format!("{} {}{reason}", sign(step_status(step)), step.word());
        vec![plain(part.name()), code(step.name.as_str()), code(&step.kind), began, took, result]
    });
    table(text, &["Host", "Step", "Kind", "At", "Took", "Result"], rows);
}

fn step_status(step: &Part) -> Option<Status> {
    if step.began.is_none() { Some(Status::Skipped) } else { step.status }
}

fn approvals(story: &Story, text: &mut String) {
    let rows: Vec<Vec<String>> = story
        .steps()
        .flat_map(|(part, step)| step.approved.iter().map(move |of| (part, step, of)))
        .map(|(part, step, of)| {
            let place = code(&format!("{}:{}", of.file, of.line));
            let by = of.came.as_ref().map_or_else(|| of.by.clone(), |came| format!("{} ({came})", of.by));
            vec![plain(part.name()), code(step.name.as_str()), code(&of.rule), place, plain(&by), plain(&of.reason)]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("## Approved\n\n");
        table(text, &["Host", "Step", "Rule", "Where", "By", "Why"], rows);
    }
}

fn changes(story: &Story, text: &mut String) {
    let rows: Vec<Vec<String>> = story
        .steps()
        .flat_map(|(part, step)| step.changes.iter().map(move |change| (part, step, change)))
        .map(|(part, step, change)| {
            let from = change.from.as_deref().map(|from| code(&short(from))).unwrap_or_default();
            vec![plain(part.name()), code(step.name.as_str()), plain(&change.what), from, code(&short(&change.to))]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("## What changed\n\n");
        table(text, &["Host", "Step", "What", "Before", "Now"], rows);
    }
}

fn checks(story: &Story, text: &mut String) {
    let rows: Vec<Vec<String>> = story
        .steps()
        .flat_map(|(part, step)| step.sides().into_iter().map(move |look| (part, step, look)))
        .map(|(part, step, look)| {
            let of: Vec<bool> = step
                .looks
                .iter()
                .filter(|other| other.side == look.side && other.kind == look.kind)
                .map(|other| other.ok)
                .collect();
            let good = of.iter().filter(|ok| **ok).count();
            let sign = sign(Some(if look.ok { Status::Ok } else { Status::Failed }));
            let from = format!("{sign} {} from {}", plain(&look.kind), plain(&look.side));
            let tries = format!("{good} of {}", of.len());
            vec![plain(part.name()), code(step.name.as_str()), from, code(&look.observed), code(&look.expected), tries]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("## Checks\n\n");
        table(text, &["Host", "Check", "", "Seen last", "Expected", "As expected"], rows);
    }
}

fn versions(story: &Story, text: &mut String) {
    let mut rows = Vec::new();
    for (part, facts) in story.parts.iter().filter_map(|part| Some((part, part.facts.as_ref()?))) {
        for (service, of) in &facts.services {
            let id = |id: &Option<String>| id.as_deref().map(|id| code(&short(id))).unwrap_or_default();
            let digest = if of.digest.is_some() { id(&of.digest) } else { id(&of.image_id) };
            rows.push(vec![plain(part.name()), plain(service.as_str()), code(&of.image), digest, id(&of.running)]);
        }
        if let Some(docker) = &facts.docker {
            let version = format!("{}, compose {}", plain(&docker.engine), plain(&docker.compose));
            rows.push(vec![plain(part.name()), "Docker".to_owned(), version, String::new(), String::new()]);
        }
    }
    if !rows.is_empty() {
        text.push_str("## Versions\n\n");
        table(text, &["Host", "", "Image", "Digest", "Served before"], rows);
    }
    let pending = story.parts.iter().filter_map(|part| Some((part, part.facts.as_ref()?))).flat_map(|(part, facts)| {
        facts.migrations.iter().filter_map(move |(step, migrations)| Some((part, step, waiting(migrations)?)))
    });
    let rows: Vec<Vec<String>> =
        pending.map(|(part, step, waiting)| vec![plain(part.name()), code(step.as_str()), waiting]).collect();
    if !rows.is_empty() {
        text.push_str("## Migrations, before\n\n");
        table(text, &["Host", "Step", "Pending"], rows);
    }
}

fn waiting(migrations: &Migrations) -> Option<String> {
    match migrations {
        Migrations::UpToDate => None,
        Migrations::Pending { names } if names.is_empty() => Some("some".to_owned()),
        Migrations::Pending { names } => Some(names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")),
        Migrations::Failed { why, .. } => Some(format!("failed: {}", code(why))),
        Migrations::NotKnown { why } => Some(format!("not known: {}", code(why))),
    }
}

fn commands(story: &Story, text: &mut String) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (_, step) in story.steps() {
        let key = (step.name.as_str(), step.command.as_str());
        if !step.command.is_empty() && !seen.contains(&key) {
            seen.push(key);
        }
    }
    if seen.is_empty() {
        return;
    }
    text.push_str("## Commands\n\n");
    for (name, command) in seen {
        let _ = writeln!(text, "{}:\n", code(name));
        fenced(text, sanitize::text(command).lines().map(str::to_owned));
    }
}

fn notes(story: &Story, text: &mut String) {
    let mut notes: Vec<String> = story.warnings.iter().map(|warning| format!("warning: {}", plain(warning))).collect();
    for part in &story.parts {
        let place = plain(part.name());
        notes.extend(part.warnings.iter().map(|warning| format!("{place}: {}", plain(warning))));
        notes.extend(part.losses.iter().map(|(lost, found)| {
            let at = since(*lost, story.began.unwrap_or(*lost));
            match found {
                Some(found) => {
                    format!("{place}: contact lost at {at}, back after {}", since(*found, *lost).trim_start_matches('+'))
                }
                None => format!("{place}: contact lost at {at}"),
            }
        }));
        for step in &part.steps {
            let of = code(step.name.as_str());
            notes.extend(step.warnings.iter().map(|warning| format!("{place}, {of}: {}", plain(warning))));
            notes.extend(step.hints.iter().map(|hint| format!("{place}, {of}: hint: {}", plain(hint))));
        }
    }
    notes.extend(story.output_failed());
    if !notes.is_empty() {
        text.push_str("## Notes\n\n");
        for note in &notes {
            let _ = writeln!(text, "- {note}");
        }
        text.push('\n');
    }
}

fn printed(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let limit = story.share().min(OUTPUT);
    let mut first = true;
    for (part, step) in story.steps() {
        let Tail { lines, cut } = story.output(step, limit);
        if lines.is_empty() {
            continue;
        }
        let mut text = String::new();
        if std::mem::take(&mut first) {
            text.push_str("## Output\n\n");
        }
        let _ = writeln!(text, "{} on {}{}:\n", code(step.name.as_str()), plain(part.name()), left_out(cut));
        let shown = lines.iter().map(|line| {
            let more = if line.left_out > 0 { format!(" [{} bytes more]", line.left_out) } else { String::new() };
            format!("{}{more}", sanitize::line(&line.text, false))
        });
        fenced(&mut text, shown);
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn left_out(cut: u64) -> String {
    if cut > 0 { format!(" ({cut} lines before these are left out)") } else { String::new() }
}

/// How long after `began` something was.
fn since(at: u64, began: u64) -> String {
    format!("+{}", duration(Duration::from_millis(at.saturating_sub(began))))
}

fn sign(status: Option<Status>) -> &'static str {
    status.map_or("…", |status| match mark(status.as_str()).0 {
        "✓" => "✅",
        "✗" => "❌",
        "?" => "❓",
        other => other,
    })
}

fn table(text: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

/// Lines in a fence that none of them can end.
fn fenced(text: &mut String, lines: impl Iterator<Item = String>) {
    let body: Vec<String> = lines.collect();
    let longest = body.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(text, "{fence}text\n{}\n{fence}\n", body.join("\n"));
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Words of somebody else, as code on one line; fit for a table.
fn code(text: &str) -> String {
    let text = label(text).replace('\t', " ");
    if text.trim().is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let blank = if text.contains('`') { " " } else { "" };
    format!("{ticks}{blank}{}{blank}{ticks}", text.replace('|', "\\|"))
}

/// Words of somebody else, as text on one line: nothing in them is markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in label(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => out.extend(['\\', c]),
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

    fn markdown(events: &[crate::event::Event]) -> String {
        let mut out = Vec::new();
        write(&told(events), "landfall", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_run_that_goes_well() {
        assert_snapshot!(markdown(&samples::ok_run()));
    }

    #[test]
    fn a_failed_migration() {
        assert_snapshot!(markdown(&samples::failed_migration()));
    }

    #[test]
    fn two_hosts_and_a_loss() {
        assert!(markdown(&samples::two_hosts()).contains("| web-002 | ✅ ok | 20.0s | 1 of 1 ok |"));
        assert!(markdown(&samples::lost_connection()).contains("- droplet-1: contact lost at "));
    }

    #[test]
    fn nothing_breaks_out_of_its_fence_or_cell() {
        let text = markdown(&samples::hostile());
        let fence = text.split("## Output\n\n").nth(1).and_then(|rest| rest.lines().nth(2)).unwrap();
        assert_eq!(fence, "`````text", "{text}");
        assert!(text.contains("\n````\n"), "the shorter fence is content: {text}");
        assert_eq!(plain("<img src=x> | [a](b)"), "&lt;img src=x&gt; \\| \\[a\\](b)");
        assert_eq!(code("a `b` | c"), "`` a `b` \\| c ``");
    }
}

//! The steps of each host, folded, and the blocks of data with what they printed.

use std::io::{self, Write};

use super::super::sanitize;
use super::super::story::{Chapter, Part, Story};
use super::super::style::duration;
use super::{lines, look, percent, text};
use crate::event::{Status, Stream};

/// Hosts that went well are open up to so many.
const OPEN: usize = 4;

pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<section id="steps"><div class="title"><h2>Steps and output</h2>
<search class="search"><label class="unseen" for="q">Search in steps and output</label><input id="q" type="search" placeholder="Search steps and output  ( / )" autocomplete="off" spellcheck="false"><output id="found" aria-live="polite"></output></search></div>
<noscript><p class="card">What the steps printed is in this file, and is shown by its script.</p></noscript>"#
    )?;
    let slowest = story.steps().map(|(_, step)| step.took).max().unwrap_or_default();
    let slowest = u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX);
    for (index, part) in story.parts.iter().enumerate().filter(|(_, part)| part.host.is_some() || !part.steps.is_empty()) {
        let (sign, class) = look(part.status());
        let bad = !matches!(part.status(), Some(Status::Ok | Status::Skipped));
        let open = if bad || story.parts.len() <= OPEN { " open" } else { "" };
        let took = part.end.map(|(_, _, took)| duration(took)).unwrap_or_default();
        writeln!(
            out,
            r#"<details class="host card" id="h{index}" data-host="{0}"{open}><summary><span class="mark {class}" aria-hidden="true">{sign}</span><b>{0}</b><small>{1}</small><span class="took">{took}</span></summary>"#,
            text(part.name()),
            text(part.address.as_deref().unwrap_or(if part.host.is_none() { "this machine" } else { "" })),
        )?;
        why(part, out)?;
        for (n, step) in part.steps.iter().enumerate() {
            of_step(step, &format!("h{index}s{n}"), slowest, story.has_output(step), out)?;
        }
        writeln!(out, "</details>")?;
    }
    writeln!(out, "</section>")
}

/// Why a host has no steps to show.
fn why(part: &Chapter, out: &mut dyn Write) -> io::Result<()> {
    if let Some(refusal) = &part.refusal {
        let help = refusal.remedy.as_ref().map(|remedy| format!("<br>help: {}", lines(remedy))).unwrap_or_default();
        writeln!(out, "<p class=\"why bad\">refused: {}{help}</p>", lines(&refusal.message))?;
    }
    if let Some(holder) = &part.locked {
        writeln!(
            out,
            "<p class=\"why bad\">locked by run <code>{}</code>: {} by {} since {}</p>",
            holder.run,
            text(&holder.playbook),
            text(&holder.who),
            text(&holder.since)
        )?;
    }
    Ok(())
}

fn of_step(step: &Part, id: &str, slowest: u64, printed: bool, out: &mut dyn Write) -> io::Result<()> {
    let status = if step.began.is_none() { Some(Status::Skipped) } else { step.status };
    let (sign, class) = look(status);
    let bad = !matches!(status, Some(Status::Ok | Status::Skipped));
    let took = if step.began.is_some() && step.status.is_some() { duration(step.took) } else { String::new() };
    let share = percent(u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX), slowest);
    let said = step.reason().unwrap_or_else(|| if bad || step.began.is_none() { step.word().to_owned() } else { String::new() });
    writeln!(
        out,
        r#"<details class="step {class}" id="{id}"{}><summary><span class="mark {class}" aria-hidden="true">{sign}</span><span class="name"><b>{}</b><i>{}</i></span><span class="said">{}</span><svg class="share" aria-hidden="true"><rect width="{share:.1}%" height="100%" rx="2"/></svg><span class="took">{took}</span></summary>
<div class="body">"#,
        if bad { " open" } else { "" },
        text(step.name.as_str()),
        text(&step.kind),
        text(&said),
    )?;
    // What does not fit into one line above.
    if let Some(reason) = step.reason().filter(|reason| bad && (reason.contains('\n') || reason.len() > 90)) {
        writeln!(out, "<p class=\"reason\">{}</p>", lines(&reason))?;
    }
    for (word, said) in step.hints.iter().map(|hint| ("hint", hint)).chain(step.warnings.iter().map(|said| ("warning", said))) {
        writeln!(out, "<p class=\"hint\"><b>{word}</b> {}</p>", lines(said))?;
    }
    if !step.command.is_empty() {
        writeln!(out, "<pre class=\"command\" tabindex=\"0\">{}</pre>", lines(&step.command))?;
    }
    for side in step.sides() {
        let (sign, class) = look(Some(if side.ok { Status::Ok } else { Status::Failed }));
        writeln!(
            out,
            "<p class=\"seen\"><span class=\"mark {class}\" aria-hidden=\"true\">{sign}</span>{} from {}: <code>{}</code>, expected <code>{}</code></p>",
            text(&side.kind),
            text(&side.side),
            text(&side.observed),
            text(&side.expected)
        )?;
    }
    for approved in &step.approved {
        writeln!(out, "<p class=\"hint\"><b>approved</b> {}</p>", lines(&approved.to_string()))?;
    }
    for change in &step.changes {
        let from = change.from.as_deref().map(|from| format!("<code>{}</code> → ", text(from))).unwrap_or_default();
        writeln!(out, "<p class=\"seen\">~ {}: {from}<code>{}</code></p>", text(&change.what), text(&change.to))?;
    }
    if printed {
        writeln!(out, "<div class=\"printed\" data-of=\"o-{id}\"></div>")?;
    }
    writeln!(out, "</div></details>")
}

/// What the steps printed: one block a step, which a browser neither shows nor runs.
pub(super) fn data(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let share = story.share();
    for (index, part) in story.parts.iter().enumerate() {
        for (n, step) in part.steps.iter().enumerate().filter(|(_, step)| story.has_output(step)) {
            let tail = story.output(step, share);
            write!(out, r#"<script type="application/json" id="o-h{index}s{n}">{{"cut":{},"lines":["#, tail.cut)?;
            for (nth, line) in tail.lines.iter().enumerate() {
                let kind = if line.stream == Stream::Stdout { 'O' } else { 'E' };
                let more = if line.left_out > 0 { format!(" … [{} bytes more]", line.left_out) } else { String::new() };
                let text = format!("{kind}{} {}{more}", line.ms, sanitize::line(&line.text, false));
                // The only character by which a block could end early.
                let json = serde_json::to_string(&text)?.replace('<', "\\u003c");
                write!(out, "{}\n{json}", if nth > 0 { "," } else { "" })?;
            }
            writeln!(out, "]}}</script>")?;
        }
    }
    Ok(())
}

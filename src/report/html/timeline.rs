//! The timeline: a lane a host, a bar a step, as wide as it took.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::super::story::{Chapter, Story};
use super::super::style::duration;
use super::{look, percent, text};
use crate::event::Status;

/// The most looks that are marked on one bar.
const MARKS: usize = 200;

pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let Some(began) = story.began else { return Ok(()) };
    let span = u64::try_from(story.span().as_millis()).unwrap_or(u64::MAX).max(1);
    let lanes: Vec<(usize, &Chapter)> =
        story.parts.iter().enumerate().filter(|(_, part)| part.host.is_some() || !part.steps.is_empty()).collect();
    writeln!(
        out,
        r#"<section class="card" id="timeline"><div class="title"><h2>Timeline</h2>
<p class="legend" aria-hidden="true"><i class="work"></i>work <i class="check"></i>check <i class="bad"></i>failed <i class="warn"></i>not known</p></div>"#
    )?;
    switches(&lanes, out)?;
    writeln!(out, "<div class=\"lanes\">")?;
    axis(span, out)?;
    for (index, part) in lanes {
        let (sign, class) = look(part.status());
        let took = part.end.map(|(_, _, took)| duration(took)).unwrap_or_default();
        let name = text(part.name());
        writeln!(
            out,
            r##"<div class="lane" data-host="{name}"><a class="who" href="#h{index}"><span class="mark {class}" aria-hidden="true">{sign}</span><b>{name}</b><small>{took}</small></a>
<svg class="bars" role="group" aria-label="Steps on {name}">"##
        )?;
        for (n, step) in part.steps.iter().enumerate() {
            let Some(at) = step.began else { continue };
            let whole = u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX);
            let left = percent(at.saturating_sub(began), span).min(99.4);
            // What is not over is as long as it was watched.
            let width = if step.status.is_none() { 100.0 - left } else { percent(whole, span).clamp(0.6, 100.0 - left) };
            let class = match step.status {
                Some(Status::Ok) if step.check => "check",
                Some(Status::Ok) => "work",
                status => look(status).1,
            };
            let (name, word) = (text(step.name.as_str()), step.word());
            let took = if step.status.is_some() { duration(step.took) } else { "so far".to_owned() };
            let mut marks = String::new();
            let every = step.looks.len().div_ceil(MARKS).max(1);
            for look in step.looks.iter().step_by(every).filter(|look| !look.ok) {
                let _ = write!(
                    marks,
                    r#"<rect class="missed" x="{:.2}%" y="85%" width="3" height="15%"/>"#,
                    percent(look.at.saturating_sub(at), whole)
                );
            }
            writeln!(
                out,
                r##"<a href="#h{index}s{n}" aria-label="{name}: {word}, {took}"><svg x="{left:.2}%" y="4" width="{width:.2}%" height="26"><title>{name}: {word}, {took}</title><rect class="bar {class}" width="100%" height="100%" rx="5"/>{marks}<text x="8" y="17">{name}</text></svg></a>"##
            )?;
        }
        for (lost, found) in &part.losses {
            let left = percent(lost.saturating_sub(began), span);
            let width = found.map_or(100.0 - left, |found| percent(found.saturating_sub(*lost), span)).max(0.4);
            writeln!(
                out,
                r#"<rect class="loss" x="{left:.2}%" y="31" width="{width:.2}%" height="3"><title>no contact</title></rect>"#
            )?;
        }
        writeln!(out, "</svg></div>")?;
    }
    writeln!(out, "</div></section>")
}

fn switches(lanes: &[(usize, &Chapter)], out: &mut dyn Write) -> io::Result<()> {
    if lanes.len() < 2 {
        return Ok(());
    }
    writeln!(out, "<fieldset class=\"switches\"><legend>Hosts</legend>")?;
    for (_, part) in lanes {
        let (_, class) = look(part.status());
        let name = text(part.name());
        writeln!(out, r#"<label><input type="checkbox" checked value="{name}"><span class="{class}">{name}</span></label>"#)?;
    }
    writeln!(
        out,
        r#"<button type="button" data-hosts="all">All</button> <button type="button" data-hosts="bad">Only what is not ok</button></fieldset>"#
    )
}

/// Marks at round times: four to eight of them.
fn axis(span: u64, out: &mut dyn Write) -> io::Result<()> {
    const ROUND: [u64; 17] = [
        100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
        7_200_000, 21_600_000,
    ];
    let step = ROUND.into_iter().find(|step| span / step <= 7).unwrap_or_else(|| (span / 6).max(1));
    write!(out, "<svg class=\"axis\" aria-hidden=\"true\">")?;
    for (n, at) in (0..=span).step_by(usize::try_from(step).unwrap_or(usize::MAX)).enumerate() {
        let x = percent(at, span);
        let shown = if at == 0 { "0".to_owned() } else { short(at) };
        let class = if n % 2 == 1 { " class=\"odd\"" } else { "" };
        // The last one would stand outside.
        let anchor = if x > 94.0 { "end" } else { "start" };
        let dx = if x > 94.0 { -4 } else { 4 };
        write!(
            out,
            r#"<g{class}><line x1="{x:.2}%" x2="{x:.2}%" y1="0" y2="100%"/><text x="{x:.2}%" dx="{dx}" y="12" text-anchor="{anchor}">{shown}</text></g>"#
        )?;
    }
    writeln!(out, "</svg>")
}

fn short(millis: u64) -> String {
    let time = Duration::from_millis(millis);
    if !millis.is_multiple_of(1000) {
        return duration(time);
    }
    humantime::format_duration(time).to_string()
}

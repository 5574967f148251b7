//! What checks saw over time: a chart a check and host, a line a side, a mark for each look that was not as expected.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::super::story::{Chapter, Look, Part, Story};
use super::super::style::duration;
use super::{look, percent, text};
use crate::event::Status;

/// The most points of one line.
const POINTS: usize = 240;
/// The most charts: with many hosts those that say something come first.
const CHARTS: usize = 40;

pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let mut all: Vec<(&Chapter, &Part)> = story.steps().filter(|(_, step)| !step.looks.is_empty()).collect();
    if all.is_empty() {
        return Ok(());
    }
    let count = all.len();
    all.sort_by_key(|(_, step)| step.status == Some(Status::Ok));
    all.truncate(CHARTS);
    writeln!(out, "<section class=\"card\" id=\"checks\"><h2>Checks</h2>")?;
    if count > CHARTS {
        writeln!(out, "<p class=\"more\">{CHARTS} of {count}: those that failed first.</p>")?;
    }
    writeln!(out, "<div class=\"charts\">")?;
    for (part, step) in all {
        chart(part, step, out)?;
    }
    writeln!(out, "</div></section>")
}

fn chart(part: &Chapter, step: &Part, out: &mut dyn Write) -> io::Result<()> {
    let (sign, class) = look(step.status);
    let (looks, good) = step.looked;
    let host = text(part.name());
    let first = step.began.into_iter().chain(step.looks.iter().map(|look| look.at)).min().unwrap_or(0);
    let last = step.looks.iter().map(|look| look.at).max().unwrap_or(first);
    let span = (last - first).max(1);
    writeln!(
        out,
        r#"<figure data-host="{host}"><figcaption><span class="mark {class}" aria-hidden="true">{sign}</span><b>{}</b><small>{host}</small><span class="of">{good} of {looks} as expected</span></figcaption>"#,
        text(step.name.as_str())
    )?;
    let slowest = step.looks.iter().filter_map(Look::latency).fold(0.0, f64::max);
    if slowest > 0.0 || step.looks.len() > 3 {
        plot(step, first, span, slowest, out)?;
    }
    writeln!(out, "<ul class=\"sides\">")?;
    for (n, last) in step.sides().into_iter().enumerate() {
        let class = if last.ok { "ok" } else { "bad" };
        let expected = if last.ok { String::new() } else { format!(" <small>expected {}</small>", text(&last.expected)) };
        writeln!(
            out,
            r#"<li class="{class}"><i class="side{}"></i><b>from {}</b> <code>{}</code>{expected}</li>"#,
            n % 4,
            text(&last.side),
            text(&last.observed)
        )?;
    }
    writeln!(out, "</ul></figure>")
}

fn plot(step: &Part, first: u64, span: u64, slowest: f64, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = String::new();
    let mut points = String::new();
    for (n, side) in step.sides().into_iter().enumerate() {
        let of: Vec<&Look> = step.looks.iter().filter(|look| look.side == side.side && look.kind == side.kind).collect();
        let every = of.len().div_ceil(POINTS).max(1);
        let mut line = String::new();
        // Failures are never passed over.
        for (nth, look) in of.iter().enumerate().filter(|(nth, look)| nth % every == 0 || !look.ok).take(POINTS * 4) {
            let x = percent(look.at.saturating_sub(first), span);
            let y = look.latency().filter(|_| slowest > 0.0).map_or(50.0, |ms| 90.0 - 76.0 * ms / slowest);
            let title = format!(
                "+{} {}: {}",
                duration(Duration::from_millis(look.at.saturating_sub(first))),
                text(&look.side),
                text(&look.observed)
            );
            if look.ok {
                let _ = write!(line, "{:.1},{y:.1} ", x * 10.0);
                if of.len() <= 60 || nth + 1 == of.len() {
                    let _ = write!(
                        points,
                        r#"<circle class="side{}" cx="{x:.2}%" cy="{y:.1}%" r="3"><title>{title}</title></circle>"#,
                        n % 4
                    );
                }
            } else {
                let x = x.min(99.4);
                let _ = write!(
                    points,
                    r#"<rect class="missed" x="{x:.2}%" y="0" width="3" height="100%"><title>{title}</title></rect>"#
                );
            }
        }
        let _ = write!(lines, r#"<polyline class="side{}" points="{line}"/>"#, n % 4);
    }
    let top = if slowest > 0.0 { format!(r#"<text x="6" y="13">{slowest:.0} ms</text>"#) } else { String::new() };
    writeln!(
        out,
        r#"<svg class="plot" role="img" aria-label="{} looks over {}"><svg viewBox="0 0 1000 100" preserveAspectRatio="none" width="100%" height="100%">{lines}</svg>{points}{top}<text x="100%" dx="-5" y="86" text-anchor="end">{}</text></svg>"#,
        step.looked.0,
        duration(Duration::from_millis(span)),
        duration(Duration::from_millis(span)),
    )
}

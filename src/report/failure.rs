//! The block that ends a run that did not go well: what happened, what changed, what did not, what serves now, and what to
//! type next. A pure function of what the events told.

use super::sanitize::label;
use super::style::{Paint, Tone};
use super::summary::{Part, Step, Summary};
use crate::command::quoted;
use crate::event::Status;
use crate::name::HostName;

/// The closing block as lines; none for a run that went well. `program` is what a person types to run Landfall here.
pub fn closing(summary: &Summary, program: &str, paint: Paint) -> Vec<String> {
    let Some(code) = summary.end.map_or(summary.run.as_ref().map(|_| 6), |(_, code, _)| Some(code)).filter(|code| *code != 0)
    else {
        return Vec::new();
    };
    let mut block = Block { lines: vec![headline(summary, code, paint)], paint };
    let began = summary.parts.iter().any(|part| part.steps.iter().any(|step| step.started));
    // Rows of one kind stand together, over all hosts.
    let mut rows = |name: &str, of: &dyn Fn(&Part) -> Vec<String>| {
        let of_part =
            |part| of(part).into_iter().map(move |row| if summary.several() { format!("{}: {row}", place(part)) } else { row });
        block.rows(name, summary.parts.iter().flat_map(of_part));
    };
    rows("reason", &|part| {
        if part.has_several_failed_checks() {
            return Vec::new();
        }
        let refusal = part.refusal.iter().map(|refusal| label(&refusal.message));
        part.trouble().map(reasons).unwrap_or_default().into_iter().chain(refusal).collect()
    });
    rows("hint", &|part| {
        let trouble = part.trouble().filter(|_| !part.has_several_failed_checks());
        trouble.iter().flat_map(|step| &step.hints).map(|hint| label(hint)).collect()
    });
    rows("found", &|part| {
        let several = part.failed_checks().filter(|_| part.has_several_failed_checks());
        several
            .flat_map(|step| [finding(step)].into_iter().chain(step.hints.iter().map(|hint| format!("  → {}", label(hint)))))
            .collect()
    });
    rows("help", &|part| part.refusal.iter().filter_map(|refusal| refusal.remedy.as_deref()).map(label).collect());
    rows("held by", &|part| part.locked.iter().map(holder_story).collect());
    if began {
        rows("changed", &changed);
        rows("not run", &|part| {
            let rest: Vec<String> = part.not_run().map(|step| label(step.name.as_str())).collect();
            if rest.is_empty() { rest } else { vec![rest.join(", ")] }
        });
        rows("serves", &serving);
    } else if code != 6 {
        block.rows("changed", ["nothing: no step began".to_owned()]);
    }
    let next = next(summary, code, program);
    let widest = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0).min(56);
    let shown = |(command, why): (String, &str)| {
        format!("{}  {}", console::pad_str(&command, widest, console::Alignment::Left, None), paint.paint(Tone::Faint, why))
    };
    block.rows("next", next.into_iter().map(shown));
    block.lines
}

struct Block {
    lines: Vec<String>,
    paint: Paint,
}

impl Block {
    /// Adds rows under one name, which stands before the first of them.
    fn rows(&mut self, name: &str, rows: impl IntoIterator<Item = String>) {
        for (n, row) in rows.into_iter().enumerate() {
            let name = self.paint.paint(Tone::Strong, format!("{:<9}", if n == 0 { name } else { "" }));
            self.lines.push(format!("  {name} {row}"));
        }
    }
}

fn place(part: &Part) -> &str {
    part.host.as_ref().map_or("here", HostName::as_str)
}

fn headline(summary: &Summary, code: u8, paint: Paint) -> String {
    let what = match code {
        1 => "the run failed",
        3 => "a host could not be reached",
        4 => "a check failed",
        5 => "locked by another run",
        6 if summary.end.is_none() => "the run goes on without this client",
        6 if summary.parts.iter().any(|part| part.lost) => "contact lost: the run may go on without this client",
        6 => "how the run ended is not known",
        7 => "refused",
        130 => "cancelled",
        _ => "the run did not end well",
    };
    let troubles: Vec<String> = summary
        .parts
        .iter()
        .filter_map(|part| {
            let first = part.trouble()?;
            let what = match part.failed_checks().count() {
                0 | 1 => label(first.name.as_str()),
                count => format!("{count} of {} checks", part.steps.iter().filter(|step| step.check).count()),
            };
            Some(format!("{what} on {}", place(part)))
        })
        .collect();
    let tone = if code == 6 { Tone::Warn } else { Tone::Bad };
    let where_ = if troubles.is_empty() { String::new() } else { format!(": {}", troubles.join(", ")) };
    format!("{}{where_}", paint.paint(tone, what))
}

/// One of several failed checks, in a line.
fn finding(step: &Step) -> String {
    let seen = step.seen.as_ref().map(|(observed, expected)| format!("saw {}, expected {}", label(observed), label(expected)));
    let why = step.detail.as_deref().map(label).or(seen).unwrap_or_else(|| "failed".to_owned());
    format!("{}: {why}", label(step.name.as_str()))
}

fn reasons(step: &Step) -> Vec<String> {
    let status = step.status.unwrap_or(Status::Unknown);
    let how = match (status, step.exit_code) {
        (Status::Failed, Some(code)) => Some(format!("exit code {code}")),
        (Status::TimedOut, _) => Some("its time was over; confirmed stopped".to_owned()),
        _ => None,
    };
    let seen = step.seen.as_ref().map(|(observed, expected)| format!("saw {}, expected {}", label(observed), label(expected)));
    how.into_iter().chain(step.detail.as_deref().map(label)).chain(seen).collect()
}

/// True for a step that began and of which no end is known.
fn open(step: &Step) -> bool {
    step.started && matches!(step.status, None | Some(Status::Unknown))
}

/// What is not what it was: as the host told, and steps that may have left something behind.
fn changed(part: &Part) -> Vec<String> {
    let told = part.changes.iter().map(|(what, from, to)| match from {
        Some(from) => format!("{}: {} → {}", label(what), short(from), short(to)),
        None => format!("{}: {}", label(what), short(to)),
    });
    let effects = || part.steps.iter().filter(|step| step.started && !step.check);
    let done: Vec<String> =
        effects().filter(|step| step.status == Some(Status::Ok)).map(|step| label(step.name.as_str())).collect();
    let half = effects().filter(|step| step.status != Some(Status::Ok)).map(|step| {
        let name = label(step.name.as_str());
        if open(step) {
            format!("how {name} ended is not known: it may have done its work, or a part of it")
        } else {
            format!("{name} did not succeed: it may have done a part of its work")
        }
    });
    let mut rows: Vec<String> = told.collect();
    rows.extend((!done.is_empty()).then(|| format!("ran, and not undone: {}", done.join(", "))));
    rows.extend(half);
    if rows.is_empty() && part.host.is_some() {
        rows.push("nothing".to_owned());
    }
    rows
}

/// Which image each service serves: the one it is known to have been replaced by, or the one that was there before.
fn serving(part: &Part) -> Vec<String> {
    let before = if part.steps.iter().any(open) { "as before, as far as is known" } else { "as before" };
    part.services
        .iter()
        .map(|(service, facts)| {
            let what = format!("image of {service}");
            let replaced = part.changes.iter().rev().find(|(changed, ..)| *changed == what).map(|(_, _, to)| to);
            match (replaced, &facts.running) {
                (Some(image), _) => format!("{service}: {}", short(image)),
                (None, Some(id)) if facts.image_id.as_ref() == Some(id) => {
                    format!("{service}: {} ({}), {before}", label(&facts.image), short(id))
                }
                (None, Some(id)) => format!("{service}: {}, {before}", short(id)),
                (None, None) => format!("{service}: nothing, {before}"),
            }
        })
        .collect()
}

/// An image's id, or a digest, as much of it as a person compares.
pub(super) fn short(text: &str) -> String {
    let cut = |text: &str| text.find("sha256:").and_then(|at| text.get(..at + 19)).map(str::to_owned);
    label(&cut(text).unwrap_or_else(|| text.to_owned()))
}

fn holder_story(holder: &crate::facts::LockHolder) -> String {
    let note = holder.note.as_deref().map(|note| format!(", “{}”", label(note))).unwrap_or_default();
    format!(
        "{}: {} by {} since {}{note} ({})",
        holder.run,
        label(&holder.playbook),
        label(&holder.who),
        label(&holder.since),
        label(&holder.state)
    )
}

/// Commands that make sense now, each with what it does.
fn next(summary: &Summary, code: u8, program: &str) -> Vec<(String, &'static str)> {
    let Some(run) = &summary.run else { return Vec::new() };
    let on = |hosts: Vec<&str>| if hosts.is_empty() { String::new() } else { format!(" --on {}", hosts.join(",")) };
    let all = || on(summary.hosts.iter().map(HostName::as_str).collect());
    let which = |wanted: fn(&Part) -> bool| {
        on(summary.parts.iter().filter(|part| wanted(part)).filter_map(|part| part.host.as_ref().map(HostName::as_str)).collect())
    };
    let attach = |why| (format!("{program} attach {run}"), why);
    let plan = (format!("{program} plan {}{}", quoted(&label(&summary.playbook)), all()), "shows what is left to do");
    // A one-off command has no playbook to plan.
    let plan = (summary.playbook != "exec").then_some(plan);
    let mut next = match code {
        3 => vec![(format!("{program} doctor{}", which(|part| !part.connected || part.lost)), "finds out what is in the way")],
        5 => {
            let holder = summary.parts.iter().find_map(|part| part.locked.as_ref());
            let watch = holder.map(|holder| (format!("{program} attach {}", holder.run), "watches the run that holds the lock"));
            watch.into_iter().chain([(format!("{program} lock status{}", all()), "shows who holds it")]).collect()
        }
        6 if summary.end.is_none() || summary.parts.iter().any(|part| part.lost) => {
            vec![attach("goes on watching, from any machine"), (format!("{program} cancel {run}"), "stops it")]
        }
        6 => vec![
            attach("shows all that is known of it"),
            (format!("{program} resolve {run} --as done --note TEXT"), "once you have looked: its work is done"),
            (format!("{program} resolve {run} --as not-done --note TEXT"), "or: its work is to be done again"),
        ],
        7 => vec![(format!("{program} doctor{}", all()), "finds out what is in the way")],
        _ => vec![attach("shows all of its output again")],
    };
    if matches!(code, 1 | 4 | 7 | 130) {
        next.extend(plan);
    }
    next
}

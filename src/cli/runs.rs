//! `landfall runs` and `landfall lock status`: what the hosts remember. Look, and change nothing.

use std::fmt::Write as _;

use super::args::{LockStatusArgs, RunsArgs};
use super::{Context, Failure, found, reach};
use crate::protocol::{Reply, Request, RunState, RunSummary};
use crate::report::{Output, Tone, label};

pub(super) fn run(context: &Context, args: &RunsArgs) -> Result<u8, Failure> {
    let hosts = found::hosts(context, &args.on)?;
    let reach = reach::reach()?;
    let (known, stops) = reach::block_on(async { found::ask(&reach, &hosts).await })?;
    let mut runs: Vec<&RunSummary> = known.iter().flat_map(|host| &host.runs).collect();
    runs.sort_by(|a, b| (&b.since, &a.run).cmp(&(&a.since, &b.run)));
    let mut text = String::new();
    for run in &runs {
        text.push_str(&if context.output == Output::Json { json(run) } else { line(context, run, &runs) });
        text.push('\n');
    }
    super::print(text.as_bytes())?;
    for stop in &stops {
        context.tell(&Failure::from(stop.clone()));
    }
    Ok(crate::run::worst(stops.iter().map(|stop| stop.code)))
}

fn json(run: &RunSummary) -> String {
    let mut value = serde_json::to_value(run).unwrap_or_default();
    // Flat, like events: a state, and an exit code where there is one.
    value["state"] = run.state.as_str().into();
    if let RunState::Done { code, .. } = &run.state {
        value["exit_code"] = (*code).into();
    }
    value.to_string()
}

fn line(context: &Context, run: &RunSummary, all: &[&RunSummary]) -> String {
    let paint = context.display_out();
    let (tone, state) = match &run.state {
        RunState::Running => (Tone::Warn, "running".to_owned()),
        RunState::Done { code: 0, .. } => (Tone::Good, "ok".to_owned()),
        RunState::Done { code, status } => (Tone::Bad, format!("{} ({code})", label(status))),
        other => (Tone::Bad, other.as_str().to_owned()),
    };
    // As many letters stand out as tell the run apart, like in jj.
    let id = run.run.as_str();
    let unique = |length: &usize| all.iter().all(|other| other.run == run.run || !other.run.as_str().starts_with(&id[..*length]));
    let length = (1..id.len()).find(unique).unwrap_or(id.len());
    let id = format!("{}{}", paint.paint(Tone::Strong, &id[..length]), paint.paint(Tone::Faint, &id[length..]));
    let note = run.note.as_ref().map(|note| format!("  {}", paint.paint(Tone::Faint, label(note)))).unwrap_or_default();
    let since = label(run.since.get(..19).unwrap_or(&run.since)).replace('T', " ");
    format!(
        "{id}  {since}  {:<12} {:<12} {}  {}{note}",
        run.host,
        label(&run.playbook),
        label(&run.who),
        paint.paint(tone, &state)
    )
}

pub(super) fn lock_status(context: &Context, args: &LockStatusArgs) -> Result<u8, Failure> {
    let hosts = found::hosts(context, &args.on)?;
    reach::block_on(async {
        let (contacts, mut stops) = reach::contacts(&reach::reach()?, &hosts).await;
        let mut text = String::new();
        for (at, contact) in contacts {
            match contact.ask(&Request::Lock { state: at.state.clone() }).await {
                Ok(Reply::Lock { holder }) if context.output == Output::Json => {
                    text.push_str(&serde_json::json!({ "host": at.name, "holder": holder }).to_string());
                }
                Ok(Reply::Lock { holder: None }) => {
                    let _ = write!(text, "{}: free", at.name);
                }
                // Its run is over; only how it ended is not known, and that stands in the way of the next one.
                Ok(Reply::Lock { holder: Some(holder) }) if !matches!(holder.state.as_str(), "running" | "orphaned") => {
                    let _ = write!(
                        text,
                        "{}: free, but run {} ({}) of {} since {} ended {}: before anything with effects runs, landfall resolve {}",
                        at.name,
                        holder.run,
                        label(&holder.playbook),
                        label(&holder.who),
                        label(&holder.since),
                        label(&holder.state),
                        holder.run
                    );
                }
                Ok(Reply::Lock { holder: Some(holder) }) => {
                    let note = holder.note.as_ref().map(|note| format!(", “{}”", label(note))).unwrap_or_default();
                    let _ = write!(
                        text,
                        "{}: held by run {} ({}) of {} since {}{note}: {}",
                        at.name,
                        holder.run,
                        label(&holder.playbook),
                        label(&holder.who),
                        label(&holder.since),
                        label(&holder.state)
                    );
                }
                Ok(_) => continue,
                Err(stop) => {
                    stops.push(stop);
                    continue;
                }
            }
            text.push('\n');
        }
        super::print(text.as_bytes())?;
        for stop in &stops {
            context.tell(&Failure::from(stop.clone()));
        }
        Ok(crate::run::worst(stops.iter().map(|stop| stop.code)))
    })?
}

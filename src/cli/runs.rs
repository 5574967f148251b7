//! `landfall runs`, `landfall runs diff` and `landfall lock status`: what the hosts remember, and this machine. Look, and change
//! nothing.

use std::fmt::Write as _;

use std::sync::{Arc, Mutex, PoisonError};

use super::args::{LockStatusArgs, RunsArgs, RunsCommand, RunsDiffArgs};
use super::{Context, Failure, exit, found, past, reach};
use crate::copies::{Copies, Told};
use crate::protocol::{Reply, Request, RunState, RunSummary};
use crate::report::{Account, Output, Reporters, Tone, difference_json, difference_text, label};

pub(super) fn run(context: &Context, args: &RunsArgs) -> Result<u8, Failure> {
    match &args.command {
        Some(RunsCommand::Diff(args)) => diff(context, args),
        None if args.all => all(context, args),
        None => of_hosts(context, args),
    }
}

fn diff(context: &Context, args: &RunsDiffArgs) -> Result<u8, Failure> {
    let account = |run: &str| {
        let account = Arc::new(Mutex::new(Account::default()));
        let mut reporters = Reporters::new();
        reporters.add(Arc::clone(&account));
        let code = past::tell(context, &args.on, Some(run), &mut reporters)?;
        Ok::<_, Failure>((account, code))
    };
    let ((one, first), (other, second)) = (account(&args.one)?, account(&args.other)?);
    let (one, other) = (one.lock().unwrap_or_else(PoisonError::into_inner), other.lock().unwrap_or_else(PoisonError::into_inner));
    let text = match context.output {
        Output::Json => format!("{}\n", difference_json(&one, &other)),
        _ => difference_text(&one, &other, context.display_out()),
    };
    super::print(text.as_bytes())?;
    Ok(crate::run::worst([first, second]))
}

/// A run of the hosts or of this machine's copies, the same whoever knows it.
struct Row {
    since: String,
    text: String,
}

/// Who released what where: what the hosts know, and beside it what this machine has a copy of.
fn all(context: &Context, args: &RunsArgs) -> Result<u8, Failure> {
    let own = Copies::open().map(|copies| copies.runs()).unwrap_or_default();
    let asked = found::hosts(context, &args.on).and_then(|hosts| {
        let reach = reach::reach()?;
        reach::block_on(async { found::ask(&reach, &hosts).await })
    });
    let (known, stops, unasked) = match asked {
        Ok((known, stops)) => (known, stops, None),
        // Without an inventory this machine still knows what it did.
        Err(failure) => (Vec::new(), Vec::new(), Some(failure)),
    };
    let runs: Vec<&RunSummary> = known.iter().flat_map(|host| &host.runs).collect();
    let mut rows: Vec<Row> = Vec::new();
    for run in &runs {
        let copied = own.iter().any(|told| told.run == run.run);
        let text = if context.output == Output::Json {
            let mut value: serde_json::Value = serde_json::from_str(&json(run)).unwrap_or_default();
            value["copy"] = copied.into();
            value.to_string()
        } else {
            line(context, run, &runs)
        };
        rows.push(Row { since: run.since.clone(), text });
    }
    for told in own.iter().filter(|told| !runs.iter().any(|run| run.run == told.run)) {
        let text = if context.output == Output::Json { copy_json(told) } else { copy_line(context, told) };
        rows.push(Row { since: told.since.clone(), text });
    }
    rows.sort_by(|a, b| b.since.cmp(&a.since));
    let text: String = rows.into_iter().flat_map(|row| [row.text, "\n".to_owned()]).collect();
    super::print(text.as_bytes())?;
    for stop in &stops {
        context.tell(&Failure::from(stop.clone()));
    }
    if let Some(failure) = unasked {
        context.tell(&failure);
        return Ok(if own.is_empty() { failure.code() } else { exit::DONE });
    }
    Ok(crate::run::worst(stops.iter().map(|stop| stop.code)))
}

fn copy_json(told: &Told) -> String {
    let mut value = serde_json::to_value(told).unwrap_or_default();
    value["copy"] = true.into();
    value["state"] = told.end.map_or("not known", |_| "done").into();
    if let (Some((status, code)), Some(object)) = (told.end, value.as_object_mut()) {
        object.insert("status".to_owned(), status.as_str().into());
        object.insert("exit_code".to_owned(), code.into());
        object.remove("end");
    }
    value.to_string()
}

fn copy_line(context: &Context, told: &Told) -> String {
    let paint = context.display_out();
    let (tone, state) = match told.end {
        Some((_, 0)) => (Tone::Good, "ok".to_owned()),
        Some((status, code)) => (Tone::Bad, format!("{} ({code})", status.as_str())),
        None => (Tone::Warn, "end not known here".to_owned()),
    };
    let hosts = told.hosts.iter().map(crate::name::HostName::as_str).collect::<Vec<_>>().join(",");
    let note = told.note.as_ref().map(|note| format!("  {}", label(note))).unwrap_or_default();
    let since = label(told.since.get(..19).unwrap_or(&told.since)).replace('T', " ");
    let copy = format!("  copy of {}{note}", label(&told.project));
    format!(
        "{}  {since}  {hosts:<12} {:<12} {}  {}{}",
        paint.paint(Tone::Faint, told.run.as_str()),
        label(&told.playbook),
        label(&told.who),
        paint.paint(tone, &state),
        paint.paint(Tone::Faint, copy)
    )
}

fn of_hosts(context: &Context, args: &RunsArgs) -> Result<u8, Failure> {
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

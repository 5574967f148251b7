//! Plays one step of a run: its start and its end in the record, what it needs, the ledger, its actions one after the other, and
//! the wait for what only the driver can tell. Must not know which step comes next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::database::own::Place;
use super::database::{Access, Trouble};
use super::driver;
use super::hold::{hold, tell_if_lost};
use super::kept;
use super::ledger::within::Row;
use super::ledger::{self, Begun};
use super::process::{self, Stopped};
use super::stage::{Outcome, Stage};
use super::{actions, survey};
use crate::action::Action;
use crate::event::{Body, Event, Status, timestamp};
use crate::facts::Story;
use crate::protocol::{HostStep, LedgerKey, Seen};

/// Plays one step, with everything around it.
pub(super) fn play(stage: &mut Stage<'_>, step: &HostStep, index: u32) -> Outcome {
    let began = Instant::now();
    stage.deadline = step.timeout_ms.map(|limit| began + Duration::from_millis(limit));
    let command = stage.masked(&step.shown);
    stage.event(&step.name, Body::StepStarted { kind: step.kind.clone(), command, check: step.check });
    let outcome = match &step.ledger {
        None => start_needs(stage, step).map_or_else(|outcome| outcome, |()| act(stage, step, index)),
        Some(key) => remembered(stage, step, key, index),
    };
    finish(stage, step, outcome, began)
}

/// Writes down how a step ended.
pub(super) fn finish(stage: &mut Stage<'_>, step: &HostStep, outcome: Outcome, began: Instant) -> Outcome {
    let outcome = if std::mem::take(&mut stage.withheld) { outcome.withheld() } else { outcome };
    let body = Body::StepFinished {
        status: outcome.status,
        exit_code: outcome.exit_code,
        signal: outcome.signal.map(signal_name),
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        detail: outcome.detail.clone(),
    };
    stage.event(&step.name, body);
    outcome
}

fn signal_name(number: i32) -> String {
    let known = [
        (1, "HUP"),
        (2, "INT"),
        (3, "QUIT"),
        (4, "ILL"),
        (6, "ABRT"),
        (7, "BUS"),
        (8, "FPE"),
        (9, "KILL"),
        (11, "SEGV"),
        (13, "PIPE"),
        (15, "TERM"),
    ];
    known.iter().find(|(known, _)| *known == number).map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// Starts what a step needs; the error: it did not start.
fn start_needs(stage: &mut Stage<'_>, step: &HostStep) -> Result<(), Outcome> {
    if step.needs.is_empty() {
        return Ok(());
    }
    let outcome = actions::perform(stage, step, &Action::Start { services: step.needs.clone() });
    if outcome.status == Status::Ok {
        return Ok(());
    }
    Err(Outcome { detail: Some(format!("what it needs did not start: {}", outcome.detail.unwrap_or_default())), ..outcome })
}

fn act(stage: &mut Stage<'_>, step: &HostStep, index: u32) -> Outcome {
    // Looked at from both sides at once: neither answers for the other.
    if let [Action::Probe(probe), Action::Barrier] = step.actions.as_slice() {
        return actions::from_both_sides(stage, step, probe, index);
    }
    let mut last = Outcome::ok();
    for action in &step.actions {
        last = match action {
            Action::Barrier => barrier(stage, step, index),
            action => actions::perform(stage, step, action),
        };
        if last.status != Status::Ok {
            break;
        }
    }
    last
}

/// A step that is remembered: told, refused or written down before its first side effect. Where what it leaves is in the database, that
/// is held meanwhile, and remembers it for all its hosts.
fn remembered(stage: &mut Stage<'_>, step: &HostStep, key: &LedgerKey, index: u32) -> Outcome {
    let Some(image) = stage.images.get(&key.service).cloned() else {
        return Outcome::failed(format!("the image of {} is not on this host", key.service));
    };
    let entry = match survey::entry(&stage.dir.run, key, &image) {
        Ok(entry) => entry,
        Err(why) => return Outcome::failed(stage.masked(&why)),
    };
    // Among it may be the database.
    if let Err(outcome) = start_needs(stage, step) {
        return outcome;
    }
    let outcome = match within(stage, step, key) {
        Ok(within) => told_or_run(stage, step, index, &Remembered { key, entry, image, within }),
        Err(outcome) => outcome,
    };
    if let Some(held) = stage.held.take() {
        tell_if_lost(stage, step, &held);
    }
    outcome
}

/// The database that remembers a step, and where in it; it is held from here on. None: the host alone does.
type Within = Option<(Arc<Access>, Place)>;

fn within(stage: &mut Stage<'_>, step: &HostStep, key: &LedgerKey) -> Result<Within, Outcome> {
    if !key.in_database || stage.submission.database.is_none() {
        return Ok(None);
    }
    let alone = |stage: &mut Stage<'_>, why: &str| {
        let text = format!("guarded on this host only: {}", stage.masked(why));
        stage.event(&step.name, Body::Warning { text });
    };
    let access = match stage.database() {
        Ok(access) => access,
        Err(trouble) => {
            alone(stage, &trouble.to_string());
            return Ok(None);
        }
    };
    // It answered: what it then does not do is no reason to go on without it.
    let nothing = |stage: &Stage<'_>, trouble: &Trouble| {
        Outcome::failed(format!("nothing was begun: {}", stage.masked(&trouble.to_string())))
    };
    stage.held = Some(hold(stage, step, &access)?.map_err(|trouble| nothing(stage, &trouble))?);
    match ledger::within::place(&access).map_err(|trouble| nothing(stage, &trouble))? {
        Ok(place) => Ok(Some((access, place))),
        Err(why) => {
            alone(stage, &why);
            Ok(None)
        }
    }
}

/// A step that is remembered, and where.
struct Remembered<'a> {
    key: &'a LedgerKey,
    /// The entry's key in the ledgers.
    entry: String,
    image: String,
    within: Within,
}

/// Tells what became of a step before, or runs it.
fn told_or_run(stage: &mut Stage<'_>, step: &HostStep, index: u32, of: &Remembered<'_>) -> Outcome {
    // What is held is the run's own.
    let database = stage.held.as_ref().and_then(|_| stage.database().ok());
    let database = database.and_then(|access| access.facts.identity.clone());
    let story = match recalled(stage, of, database.as_deref()) {
        Ok(story) => story.filter(|_| of.key.seen != Seen::Repeat),
        Err(outcome) => return outcome,
    };
    if let Some(outcome) = story.and_then(|story| told(stage, of.key, &story)) {
        return outcome;
    }
    if let Err(outcome) = begin(stage, of, database) {
        return outcome;
    }
    let outcome = act(stage, step, index);
    match outcome.status {
        Status::Ok => end(stage, step, of, true),
        Status::Failed | Status::TimedOut | Status::Cancelled => end(stage, step, of, false),
        Status::Unknown | Status::Skipped => {}
    }
    outcome
}

/// What the host's ledger and the database's tell of the step. What the database does not know of this host's is written there now.
fn recalled(stage: &Stage<'_>, of: &Remembered<'_>, database: Option<&str>) -> Result<Option<Story>, Outcome> {
    let own = ledger::of_host(stage.state, &of.entry);
    let Some((access, _)) = of.within.as_ref().filter(|(_, place)| *place == Place::There) else {
        return Ok(ledger::recall(&own, database, None));
    };
    let rows = ledger::within::rows(access, &of.entry)
        .map_err(|trouble| Outcome::failed(format!("nothing was begun: {}", stage.masked(&trouble.to_string()))))?;
    let host = &stage.submission.host;
    for (run, ok) in ledger::unwritten(&own, &rows, host) {
        let _ = ledger::within::end(access, Row { key: &of.entry, run: &run, host }, ok);
    }
    Ok(ledger::recall(&own, database, Some(&rows)))
}

/// Writes down that it is about to run, on the host and then in the database. The error: it may not run.
fn begin(stage: &Stage<'_>, of: &Remembered<'_>, database: Option<String>) -> Result<(), Outcome> {
    let (run, host) = (&stage.dir.run, &stage.submission.host);
    let begun = Begun {
        name: of.key.name.clone(),
        who: stage.masked(&stage.submission.who.to_string()),
        when: timestamp(std::time::SystemTime::now()),
        image: Some(of.image.clone()),
        database,
        within: of.within.is_some(),
    };
    ledger::begin(stage.state, &of.entry, run, &begun)
        .map_err(|error| Outcome::failed(format!("the ledger cannot be written, so nothing was run: {error}")))?;
    let Some((access, place)) = &of.within else { return Ok(()) };
    ledger::within::begin(access, *place, Row { key: &of.entry, run, host }, &begun).map_err(|trouble| {
        ledger::end(stage.state, &of.entry, run, false);
        let why = stage.masked(&trouble.to_string());
        Outcome::failed(format!("the database's ledger cannot be written, so nothing was run: {why}"))
    })
}

/// Writes down how it ended, in both.
fn end(stage: &mut Stage<'_>, step: &HostStep, of: &Remembered<'_>, ok: bool) {
    let (run, host) = (&stage.dir.run, &stage.submission.host);
    ledger::end(stage.state, &of.entry, run, ok);
    let Some((access, _)) = &of.within else { return };
    if let Err(trouble) = ledger::within::end(access, Row { key: &of.entry, run, host }, ok) {
        let why = stage.masked(&trouble.to_string());
        let text = format!(
            "the database's ledger does not say how it ended ({why}): other hosts refuse it until this one is asked again"
        );
        stage.event(&step.name, Body::Warning { text });
    }
}

/// What becomes of a step that ran before; none: it is run.
fn told(stage: &Stage<'_>, key: &LedgerKey, story: &Story) -> Option<Outcome> {
    let on = story.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let told = stage.masked(&format!("in run {} at {} by {}{on}", story.run, story.when, story.who));
    // Side by side with this one.
    let another_of_this_run = story.run == stage.dir.run && story.host.is_some();
    match story.ok {
        Some(true) if another_of_this_run => Some(Outcome::of(Status::Skipped, format!("done{on}, in this very run"))),
        Some(true) if key.seen == Seen::Skip => Some(Outcome::of(Status::Skipped, format!("ran before: {told}"))),
        Some(true) => Some(Outcome::failed(format!("it ran before, {told}: --again runs it again"))),
        None => {
            Some(Outcome::failed(format!("it was begun {told}, and how that ended is not known: landfall resolve {}", story.run)))
        }
        Some(false) => None,
    }
}

/// Waits for what only the driver can tell. Without a driver it waits as long as the submission says, then the outcome is unknown.
pub(super) fn barrier(stage: &mut Stage<'_>, step: &HostStep, index: u32) -> Outcome {
    let patience = Duration::from_millis(stage.submission.answer_within_ms);
    let mut alone_since = None;
    loop {
        stage.inbox.clear();
        if let Some(answer) = driver::answer(stage.dir, index) {
            let answer = kept::answer(answer, &|text| stage.masked(text));
            for event in answer.events {
                stage.log.foreign(&Event { step: Some(step.name.clone()), ..event });
            }
            return Outcome { status: answer.status, exit_code: answer.exit_code, signal: None, detail: answer.detail };
        }
        let now = Instant::now();
        if stage.cancelled() {
            return stage.stopped(Stopped::Cancelled, &[], step);
        }
        if stage.deadline.is_some_and(|deadline| deadline <= now) {
            return stage.stopped(Stopped::TimedOut, &[], step);
        }
        let driver = driver::current(stage.dir).and_then(|owner| owner.ending());
        let give_up = if driver.is_some() {
            alone_since = None;
            None
        } else {
            alone_since.get_or_insert(now).checked_add(patience)
        };
        if give_up.is_some_and(|at| at <= now) {
            return Outcome::unknown("its client is gone, and nobody else took its place");
        }
        let wake = [give_up, stage.deadline].into_iter().flatten().min().map(|at| at.saturating_duration_since(now));
        let mut set = vec![rustix::event::PollFd::new(&stage.inbox, rustix::event::PollFlags::IN)];
        set.extend(driver.iter().map(|fd| rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)));
        let _ = process::wait_any(&mut set, wake);
    }
}

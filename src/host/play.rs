//! Plays one step of a run: its start and its end in the record, what it needs, the ledger, its actions one after the other, and
//! the wait for what only the driver can tell. Must not know which step comes next.

use std::time::{Duration, Instant};

use super::driver;
use super::kept;
use super::ledger;
use super::process::{self, Stopped};
use super::stage::{Outcome, Stage};
use super::{actions, survey};
use crate::action::Action;
use crate::event::{Body, Event, Status, timestamp};
use crate::protocol::{HostStep, LedgerKey, Seen};

/// Plays one step, with everything around it.
pub(super) fn play(stage: &mut Stage<'_>, step: &HostStep, index: u32) -> Outcome {
    let began = Instant::now();
    stage.deadline = step.timeout_ms.map(|limit| began + Duration::from_millis(limit));
    let command = stage.masked(&step.shown);
    stage.event(&step.name, Body::StepStarted { kind: step.kind.clone(), command, check: step.check });
    let outcome = match &step.ledger {
        None => act(stage, step, index),
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

fn act(stage: &mut Stage<'_>, step: &HostStep, index: u32) -> Outcome {
    if !step.needs.is_empty() {
        let outcome = actions::perform(stage, step, &Action::Start { services: step.needs.clone() });
        if outcome.status != Status::Ok {
            return Outcome {
                detail: Some(format!("what it needs did not start: {}", outcome.detail.unwrap_or_default())),
                ..outcome
            };
        }
    }
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

/// A step that the host remembers: told, refused or written down before its first side effect.
fn remembered(stage: &mut Stage<'_>, step: &HostStep, key: &LedgerKey, index: u32) -> Outcome {
    let Some(image) = stage.images.get(&key.service).cloned() else {
        return Outcome::failed(format!("the image of {} is not on this host", key.service));
    };
    let entry = match survey::entry(&stage.dir.run, key, &image) {
        Ok(entry) => entry,
        Err(why) => return Outcome::failed(stage.masked(&why)),
    };
    if let Some(story) = ledger::story(stage.state, &entry).filter(|_| key.seen != Seen::Repeat) {
        let told = format!("in run {} at {} by {}", story.run, story.when, story.who);
        match story.ok {
            Some(true) if key.seen == Seen::Skip => return Outcome::of(Status::Skipped, format!("ran before: {told}")),
            Some(true) => return Outcome::failed(format!("it ran before, {told}: --again runs it again")),
            None => {
                return Outcome::failed(format!(
                    "it was begun {told}, and how that ended is not known: landfall resolve {}",
                    story.run
                ));
            }
            Some(false) => {}
        }
    }
    let (who, when) = (stage.masked(&stage.submission.who.to_string()), timestamp(std::time::SystemTime::now()));
    if let Err(error) = ledger::begin(stage.state, &entry, &stage.dir.run, &key.name, &who, &when, Some(&image)) {
        return Outcome::failed(format!("the ledger cannot be written, so nothing was run: {error}"));
    }
    let outcome = act(stage, step, index);
    match outcome.status {
        Status::Ok => ledger::end(stage.state, &entry, &stage.dir.run, true),
        Status::Failed | Status::TimedOut | Status::Cancelled => ledger::end(stage.state, &entry, &stage.dir.run, false),
        Status::Unknown | Status::Skipped => {}
    }
    outcome
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

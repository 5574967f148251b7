//! Looks until what is seen is as it should be, or for a time; from one side or from several at once. Must not know how a look is
//! taken. Changes nothing.

use std::thread;
use std::time::Instant;

use super::super::look::{self, Sight};
use super::super::play;
use super::super::process::Stopped;
use super::super::stage::{Outcome, Stage};
use super::super::{driver, kept};
use crate::action::{Probe, Watch};
use crate::check::sides::{self, Side, View};
use crate::check::{Attempts, Next, Seen, Watching, watch};
use crate::event::{Body, Status, Stream};
use crate::protocol::HostStep;

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe) -> Outcome {
    match probe {
        Probe::Sides { of } => judged(stage, step, &each(stage, step, of), None),
        Probe::Watch { of, watch } => watched(stage, step, of, *watch),
        probe => {
            let (outcome, seen) = tried(stage, step, probe);
            if let (Status::Failed | Status::TimedOut, Some(sight)) = (outcome.status, &seen) {
                explain(stage, step, sight);
            }
            outcome
        }
    }
}

/// Looks from this host's sides, while the client looks from its own; then the whole is judged.
pub(in super::super) fn from_both_sides(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe, index: u32) -> Outcome {
    let of = match probe {
        Probe::Sides { of } => of.as_slice(),
        one => std::slice::from_ref(one),
    };
    let own = each(stage, step, of);
    let outcome = play::barrier(stage, step, index);
    if !matches!(outcome.status, Status::Ok | Status::Failed) {
        return outcome;
    }
    let here = driver::answer(stage.dir, index).map(|answer| kept::answer(answer, &|text| stage.masked(text)));
    let seen = here.into_iter().flat_map(|answer| answer.events).rev().find_map(|event| match event.body {
        Body::Check { side, ok, observed, expected, .. } if side == Side::Here.as_str() => Some(Seen { ok, observed, expected }),
        _ => None,
    });
    match seen {
        Some(seen) => judged(stage, step, &own, Some(View { side: Side::Here, seen })),
        // It could not look at all, and says why.
        None => outcome,
    }
}

/// Looks from several sides at once.
fn each(stage: &Stage<'_>, step: &HostStep, of: &[Probe]) -> Vec<(Outcome, Option<View>)> {
    let side = |probe: &Probe| {
        let Ok(mut own) = stage.beside(&step.name) else { return (Outcome::failed("the run's folder cannot be watched"), None) };
        let (outcome, sight) = tried(&mut own, step, probe);
        let view = sight.and_then(|sight| Some(View { side: Side::named(probe.side())?, seen: sight.seen }));
        (outcome, view)
    };
    thread::scope(|scope| {
        let looks: Vec<_> = of.iter().map(|probe| scope.spawn(move || side(probe))).collect();
        let lost = || (Outcome::unknown("a look ended early"), None);
        looks.into_iter().map(|look| look.join().unwrap_or_else(|_| lost())).collect()
    })
}

fn judged(stage: &mut Stage<'_>, step: &HostStep, own: &[(Outcome, Option<View>)], here: Option<View>) -> Outcome {
    // One that could not look, or was stopped, says so itself.
    if let Some((outcome, _)) = own.iter().find(|(outcome, view)| outcome.status != Status::Ok && view.is_none()) {
        return outcome.clone();
    }
    if let Some((outcome, _)) = own.iter().find(|(outcome, _)| matches!(outcome.status, Status::Cancelled | Status::Unknown)) {
        return outcome.clone();
    }
    let mut views: Vec<View> = own.iter().filter_map(|(_, view)| view.clone()).chain(here).collect();
    views.sort_by_key(|view| view.side);
    let Some(verdict) = sides::verdict(&views) else { return Outcome::ok() };
    if let Some(text) = sides::meaning(&views) {
        stage.event(&step.name, Body::Hint { text: text.to_owned() });
    }
    let status = own.iter().map(|(outcome, _)| outcome.status).find(|status| *status == Status::TimedOut);
    Outcome::of(status.unwrap_or(Status::Failed), verdict)
}

/// What a person may want to see and to know of what was not well.
fn explain(stage: &mut Stage<'_>, step: &HostStep, sight: &Sight) {
    if !sight.lines.is_empty() {
        stage.show(Stream::Stdout, &sight.lines);
    }
    if let Some(text) = &sight.hint {
        let text = stage.masked(text);
        stage.event(&step.name, Body::Hint { text });
    }
}

fn tell(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe, seen: &Seen) {
    let (side, observed, expected) = (probe.side().to_owned(), seen.observed.clone(), seen.expected.clone());
    stage.event(&step.name, Body::Check { kind: step.kind.clone(), side, ok: seen.ok, observed, expected });
}

/// Looks until it is well, as long as the step may.
fn tried(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe) -> (Outcome, Option<Sight>) {
    let mut attempts = Attempts::begin(step.retry, Instant::now());
    let mut shown = None;
    loop {
        attempts.start(Instant::now());
        let sight = match look::look(stage, probe) {
            Ok(sight) => sight,
            Err(refused) => return (Outcome::failed(refused), None),
        };
        let next = attempts.ended(Instant::now(), sight.seen.ok);
        let last = !matches!(next, Next::Wait(_));
        // One event for each thing that was seen, not for each time it was looked at.
        let key = (sight.seen.ok, sight.seen.observed.split_whitespace().next().map(str::to_owned));
        if last || shown.as_ref() != Some(&key) {
            tell(stage, step, probe, &sight.seen);
            shown = Some(key);
        }
        let told = format!("saw {}, expected {}", sight.seen.observed, sight.seen.expected);
        match next {
            Next::Done => return (Outcome::ok(), Some(sight)),
            Next::GaveUp => {
                let tries = match attempts.made() {
                    1 => String::new(),
                    made => format!(" after {made} tries"),
                };
                return (Outcome::failed(told + &tries), Some(sight));
            }
            Next::Wait(until) => {
                if !stage.pause(until) {
                    return (interrupted(stage, step, &told), Some(sight));
                }
            }
        }
    }
}

/// Looks again and again, until the time is over or more has gone wrong than may.
fn watched(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe, watch: Watch) -> Outcome {
    let mut watching = Watching::begin(watch, Instant::now());
    let mut bad = None;
    loop {
        let began = Instant::now();
        let sight = match look::look(stage, probe) {
            Ok(sight) => sight,
            Err(refused) => return Outcome::failed(refused),
        };
        tell(stage, step, probe, &sight.seen);
        let told = format!("saw {}, expected {}", sight.seen.observed, sight.seen.expected);
        let next = watching.looked(began, Instant::now(), sight.seen.ok);
        bad = if sight.seen.ok { bad } else { Some(sight) };
        match next {
            watch::Next::Held => return Outcome { detail: Some(watching.story()), ..Outcome::ok() },
            watch::Next::Broke => {
                if let Some(sight) = &bad {
                    explain(stage, step, sight);
                }
                return Outcome::failed(format!("{told}: {}", watching.story()));
            }
            watch::Next::Wait(until) => {
                if !stage.pause(until) {
                    return interrupted(stage, step, &told);
                }
            }
        }
    }
}

/// What a cancel or the end of its time means for a look.
fn interrupted(stage: &Stage<'_>, step: &HostStep, told: &str) -> Outcome {
    let stopped = if stage.cancelled() { Stopped::Cancelled } else { Stopped::TimedOut };
    let outcome = stage.stopped(stopped, &[], step);
    match stopped {
        Stopped::Cancelled => outcome,
        Stopped::TimedOut => {
            Outcome { detail: Some(format!("{told}, when its time was over")), status: Status::TimedOut, ..outcome }
        }
    }
}

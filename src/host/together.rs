//! Steps that run at once: looks of a run that changes nothing. Each on a thread of its own, with its own time limit and retries;
//! what each prints stands together in the record. Must not know what a step looks at.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::play::{finish, play};
use super::stage::{Outcome, Stage};
use crate::action::Action;
use crate::event::Status;
use crate::protocol::{HostStep, Submission};

/// So many at once: most of a look is waiting, for the network or for Docker.
const AT_ONCE: usize = 32;

/// How many steps from `index` on may run at once.
pub(super) fn group(submission: &Submission, index: usize) -> usize {
    let steps = &submission.steps[index..];
    let alike = |step: &&HostStep| !submission.effects && step.when == steps[0].when && only_looks(step);
    steps.iter().take_while(alike).count().max(1)
}

fn only_looks(step: &HostStep) -> bool {
    let looks = |action: &Action| matches!(action, Action::Probe(_) | Action::Barrier);
    step.check && step.needs.is_empty() && step.ledger.is_none() && step.actions.iter().all(looks)
}

/// Plays them; gives how each ended, in their order.
pub(super) fn play_all(stage: &Stage<'_>, steps: Range<usize>) -> Vec<Status> {
    let submission: &Submission = stage.submission;
    let next = AtomicUsize::new(steps.start);
    let ended = Mutex::new(vec![Status::Unknown; steps.len()]);
    thread::scope(|scope| {
        for _ in 0..steps.len().min(AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(step) = submission.steps.get(index).filter(|_| index < steps.end) else { break };
                    let status = one(stage, step, index);
                    if let Ok(mut ended) = ended.lock() {
                        ended[index - steps.start] = status;
                    }
                }
            });
        }
    });
    ended.into_inner().unwrap_or_default()
}

fn one(stage: &Stage<'_>, step: &HostStep, index: usize) -> Status {
    let Ok(mut own) = stage.beside(&step.name) else { return Status::Unknown };
    if own.cancelled() {
        return finish(&mut own, step, Outcome::of(Status::Skipped, "not run: the run was cancelled"), Instant::now()).status;
    }
    play(&mut own, step, u32::try_from(index).unwrap_or(u32::MAX)).status
}

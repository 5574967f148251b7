//! The closed instruction set, carried out: one file an action. Each gives an outcome; what it printed is in the log already.

mod backup;
mod image;
mod migrate;
mod probe;
mod restore;
mod service;
mod shell;
mod sql;
mod up;
mod view;

use super::judge::Watcher;
use super::process::Ended;
use super::stage::{Outcome, Stage};
use crate::action::{Action, Judge};
use crate::event::Body;
use crate::protocol::HostStep;

pub(super) use backup::unfit as unfit_for_backups;
pub(super) use migrate::Asking;
pub(super) use probe::from_both_sides;
pub(super) use service::container_name;

/// Carries out one action of a step. A barrier is not an action of the host: it is waited for elsewhere.
pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, action: &Action) -> Outcome {
    let outcome = match action {
        Action::Service(command) => service::perform(stage, step, command),
        Action::Shell(script) => shell::perform(stage, step, script),
        Action::Migrate(migrate) => migrate::perform(stage, step, migrate),
        Action::Pull { services } => image::pull(stage, step, services),
        Action::Start { services } => up::start(stage, step, services),
        Action::Up(up) => up::perform(stage, step, up),
        Action::Backup(backup) => backup::perform(stage, step, backup),
        Action::Restore(restore) => restore::perform(stage, step, restore),
        Action::RequireBackup { within_s } => backup::require(stage, *within_s),
        Action::Probe(probe) => probe::perform(stage, step, probe),
        Action::Barrier => Outcome::unknown("a barrier is answered, not performed"),
    };
    if matches!(action, Action::Start { .. } | Action::Up(_) | Action::Restore(_)) {
        stage.database.forget();
    }
    outcome
}

/// What the end of a command means, once it is known that nobody stopped it.
fn verdict(ended: &Ended, judge: &Judge, watcher: &Watcher) -> Outcome {
    let outcome = match (ended.code, ended.signal) {
        (Some(code), _) if judge.codes.contains(&code) => match watcher.objection() {
            None => Outcome::ok(),
            Some(objection) => Outcome::failed(format!("exit code {code}, but {objection}")),
        },
        (Some(code), _) => Outcome::failed(format!("exit code {code}")),
        (None, Some(signal)) => Outcome::failed(format!("killed by signal {signal}")),
        (None, None) => Outcome::unknown("no exit status"),
    };
    outcome.ended(ended)
}

/// Says the hints that fit, where they are needed.
fn hint(stage: &mut Stage<'_>, step: &HostStep, watcher: &Watcher) {
    for text in watcher.hints() {
        stage.event(&step.name, Body::Hint { text: text.to_owned() });
    }
}

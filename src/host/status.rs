//! What became of a run, told from its folder and from what still lives.

use super::kill;
use super::owner::Owner;
use super::state::{RunDir, State};
use crate::event::timestamp;
use crate::protocol::{RunState, RunSummary};

/// What became of a run.
pub(super) fn of(dir: &RunDir) -> RunState {
    if let Some((code, status)) = dir.rc() {
        return RunState::Done { code, status };
    }
    let Some(owner) = dir.marked("owner") else {
        // Its supervisor has not begun: nothing has happened yet.
        return if began(dir).is_some_and(|at| at.elapsed().is_ok_and(|age| age < STARTING)) {
            RunState::Running
        } else {
            RunState::Lost
        };
    };
    if Owner::parse(&owner).is_some_and(|owner| owner.alive()) {
        return RunState::Running;
    }
    // It may have ended between the two looks.
    if let Some((code, status)) = dir.rc() {
        return RunState::Done { code, status };
    }
    // A submission that cannot be read could have had containers.
    let docker = dir.submission().map_or(true, |submission| submission.compose.is_some());
    let left = kill::alive(&dir.run, docker);
    if left.is_empty() { RunState::Lost } else { RunState::Orphaned { left } }
}

/// How long a supervisor may take from its run's folder to its first mark.
const STARTING: std::time::Duration = std::time::Duration::from_secs(30);

/// Whether a run that ended must be settled by a person before anything else with effects may run.
pub(super) fn is_unsettled(dir: &RunDir, state: &RunState) -> bool {
    let unknown = match state {
        RunState::Lost => dir.marked("owner").is_some() && dir.marked("effects").is_some(),
        RunState::Done { code, .. } => *code == 6 && dir.marked("effects").is_some(),
        RunState::Running | RunState::Orphaned { .. } => false,
    };
    unknown && dir.marked("settled").is_none()
}

fn began(dir: &RunDir) -> Option<std::time::SystemTime> {
    std::fs::metadata(dir.file("submission.json")).ok()?.modified().ok()
}

/// When a run was submitted.
pub(super) fn since(dir: &RunDir) -> String {
    timestamp(began(dir).unwrap_or(std::time::UNIX_EPOCH))
}

/// All runs, newest first.
pub(super) fn list(state: &State) -> Vec<RunSummary> {
    let mut runs: Vec<_> = state.runs().into_iter().filter_map(|dir| summary(&dir)).collect();
    runs.sort_by(|a, b| b.since.cmp(&a.since));
    runs
}

fn summary(dir: &RunDir) -> Option<RunSummary> {
    let submission = dir.submission().ok()?;
    Some(RunSummary {
        run: dir.run.clone(),
        playbook: submission.playbook,
        who: submission.who.to_string(),
        since: since(dir),
        note: submission.note,
        key: submission.key,
        host: submission.host,
        hosts: submission.hosts,
        state: of(dir),
    })
}

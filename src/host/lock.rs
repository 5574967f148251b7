//! The project's lock on this host, by generations: `project.N` names the run that took it. Nobody releases it: it is over when its
//! run is, and held as long as anything of its run lives.

use std::io;

use super::state::{State, mark, read_mark, sync_dir};
use super::status;
use crate::facts::LockHolder;
use crate::name::RunId;
use crate::protocol::RunState;

const PREFIX: &str = "project.";

/// Why a lock was not taken.
#[derive(Debug)]
pub(super) enum Busy {
    /// Another run holds it.
    Held(Box<LockHolder>),
    /// The run that held it last ended in a way that nobody knows: a person must settle it first.
    Unsettled(Box<LockHolder>),
    /// It could not be written.
    Io(io::Error),
}

/// Takes the lock for `run`, and gives its generation. Taking it twice for one run is the same as taking it once.
pub(super) fn acquire(state: &State, run: &RunId) -> Result<u64, Busy> {
    loop {
        let newest = newest(state).map_err(Busy::Io)?;
        if let Some((generation, holder)) = &newest {
            if holder == run {
                return Ok(*generation);
            }
            let dir = state.run(holder);
            match status::of(&dir) {
                RunState::Running | RunState::Orphaned { .. } => {
                    return Err(Busy::Held(Box::new(story(state, *generation, holder))));
                }
                ended if status::is_unsettled(&dir, &ended) => {
                    return Err(Busy::Unsettled(Box::new(story(state, *generation, holder))));
                }
                _ => {}
            }
        }
        let next = newest.map_or(1, |(generation, _)| generation + 1);
        let taken = mark(&state.locks().join(format!("{PREFIX}{next}")), run.as_str()).map_err(Busy::Io)?;
        // Someone who slept since a number was swept away could take it again; only the newest counts.
        if taken
            && self::newest(state).map_err(Busy::Io)?.is_some_and(|(generation, holder)| generation == next && holder == *run)
        {
            sweep(state, next);
            return Ok(next);
        }
    }
}

/// Brings the lock to the disk: a run that is lost with the power must be found behind it.
pub(super) fn sync(state: &State) {
    sync_dir(&state.locks());
}

/// The newest generation and its run. One that names no run is an error: who knows whose it is.
fn newest(state: &State) -> io::Result<Option<(u64, RunId)>> {
    let Some(generation) = generations(state).into_iter().max() else { return Ok(None) };
    let path = state.locks().join(format!("{PREFIX}{generation}"));
    match read_mark(&path).and_then(|run| run.parse().ok()) {
        Some(run) => Ok(Some((generation, run))),
        None => Err(io::Error::other(format!("{} names no run: look at it, and remove it", path.display()))),
    }
}

/// The run that took the lock last, whether it is over or not.
pub(super) fn last(state: &State) -> Option<RunId> {
    newest(state).ok().flatten().map(|(_, run)| run)
}

fn generations(state: &State) -> Vec<u64> {
    let names = std::fs::read_dir(state.locks()).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()).collect()
}

/// Removes generations that nobody can be waiting on any more; a few stay, for people.
fn sweep(state: &State, newest: u64) {
    for old in generations(state).into_iter().filter(|generation| generation + 100 < newest) {
        let _ = std::fs::remove_file(state.locks().join(format!("{PREFIX}{old}")));
    }
}

/// Who holds the lock now: none when it is free.
pub(super) fn holder(state: &State) -> Option<LockHolder> {
    let (generation, run) = newest(state).ok().flatten()?;
    let now = status::of(&state.run(&run));
    let held = matches!(now, RunState::Running | RunState::Orphaned { .. }) || status::is_unsettled(&state.run(&run), &now);
    held.then(|| story(state, generation, &run))
}

/// What can be told of a holder. One whose submission cannot be read (another version's) holds the lock all the same.
fn story(state: &State, generation: u64, run: &RunId) -> LockHolder {
    let dir = state.run(run);
    let submission = dir.submission().ok();
    let unreadable = || "?".to_owned();
    LockHolder {
        run: run.clone(),
        generation,
        who: submission.as_ref().map_or_else(unreadable, |submission| submission.who.to_string()),
        since: status::since(&dir),
        playbook: submission.as_ref().map_or_else(unreadable, |submission| submission.playbook.clone()),
        note: submission.and_then(|submission| submission.note),
        state: status::of(&dir).as_str().to_owned(),
    }
}

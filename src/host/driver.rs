//! Who drives a run: the one client that may answer its barriers. Drivers take turns by generations, like locks do: `driver.N` names
//! the process that serves the client, and a digest of the token that only this client knows.

use std::collections::BTreeMap;
use std::io;

use sha2::{Digest, Sha256};

use super::ledger::hex;
use super::owner::Owner;
use super::state::RunDir;
use crate::event::Approved;
use crate::name::StepName;
use crate::protocol::Answer;

/// What somebody took upon themselves, by step.
pub(super) type ApprovedBySteps = BTreeMap<StepName, Vec<Approved>>;

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// A driver: its turn, the process that serves it, and the digest of its token.
type Turn = (u64, Owner, String);

/// All turns there were, the newest last. One that cannot be read is an error: who knows whose it is.
fn turns(dir: &RunDir) -> io::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for entry in std::fs::read_dir(&dir.path)? {
        let name = entry?.file_name();
        let Some(turn) = name.to_str().and_then(|name| name.strip_prefix("driver.")) else { continue };
        let value = dir.marked(&format!("driver.{turn}"));
        let read = || {
            let (owner, digest) = value.as_deref()?.split_once(' ')?;
            Some((turn.parse().ok()?, Owner::parse(owner)?, digest.to_owned()))
        };
        turns.push(read().ok_or_else(|| io::Error::other(format!("driver.{turn} of run {} is damaged", dir.run)))?);
    }
    turns.sort_by_key(|(turn, ..)| *turn);
    Ok(turns)
}

fn newest(dir: &RunDir) -> Option<Turn> {
    turns(dir).ok()?.pop()
}

/// The process that serves the current driver; none when it is gone.
pub(super) fn current(dir: &RunDir) -> Option<Owner> {
    newest(dir).map(|(_, owner, _)| owner).filter(Owner::alive)
}

/// Whether there was a driver and it is gone.
pub(super) fn is_gone(dir: &RunDir) -> bool {
    newest(dir).is_some_and(|(_, owner, _)| !owner.alive())
}

/// Becomes the driver of a new run, or the same client's again on another connection: also after one who took over and is gone. False
/// when it is another's.
pub(super) fn take(dir: &RunDir, token: &str) -> io::Result<bool> {
    let mine = digest(token);
    succeed(dir, token, |turns, (_, owner, of)| *of == mine || (!owner.alive() && turns.iter().any(|(.., of)| *of == mine)))
}

/// Becomes the driver of a run whose own client is gone. False when it is not.
pub(super) fn take_over(dir: &RunDir, token: &str) -> io::Result<bool> {
    succeed(dir, token, |_, (_, owner, of)| *of == digest(token) || !owner.alive())
}

fn succeed(dir: &RunDir, token: &str, may: impl Fn(&[Turn], &Turn) -> bool) -> io::Result<bool> {
    let Some(me) = Owner::me() else { return Ok(false) };
    loop {
        let turns = turns(dir)?;
        let last = match turns.last() {
            Some(newest) if !may(&turns, newest) => return Ok(false),
            newest => newest.map_or(0, |(turn, ..)| *turn),
        };
        let next = last.checked_add(1).ok_or_else(|| io::Error::other("there is no turn left for a driver"))?;
        if dir.mark(&format!("driver.{next}"), &format!("{me} {}", digest(token)))? {
            return Ok(true);
        }
    }
}

/// Whether a token is that of the driver.
pub(super) fn is_driver(dir: &RunDir, token: &str) -> bool {
    newest(dir).is_some_and(|(_, _, of)| of == digest(token))
}

/// Puts an answer down. The first one stays.
pub(super) fn put_answer(dir: &RunDir, step: u32, answer: &Answer) -> io::Result<bool> {
    dir.write_exclusive(&format!("answer.{step}"), &serde_json::to_vec(answer)?)
}

/// Puts down what somebody took upon themselves of the migrations that wait. What was put down first stays.
pub(super) fn put_approved(dir: &RunDir, approved: &ApprovedBySteps) -> io::Result<bool> {
    dir.write_exclusive("approved", &serde_json::to_vec(approved)?)
}

/// Reads that of a step.
pub(super) fn approved(dir: &RunDir, step: &StepName) -> Vec<Approved> {
    let read = || serde_json::from_slice::<ApprovedBySteps>(&std::fs::read(dir.file("approved")).ok()?).ok();
    read().and_then(|mut steps| steps.remove(step)).unwrap_or_default()
}

/// Reads it.
pub(super) fn answer(dir: &RunDir, step: u32) -> Option<Answer> {
    serde_json::from_slice(&std::fs::read(dir.file(&format!("answer.{step}"))).ok()?).ok()
}

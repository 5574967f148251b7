//! Who drives a run: the one client that may answer its barriers. Drivers take turns by generations, like locks do: `driver.N` names
//! the process that serves the client, and a digest of the token that only this client knows.

use std::io;

use sha2::{Digest, Sha256};

use super::ledger::hex;
use super::owner::Owner;
use super::state::RunDir;
use crate::protocol::Answer;

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn newest(dir: &RunDir) -> Option<(u64, Owner, String)> {
    let names = std::fs::read_dir(&dir.path).into_iter().flatten().flatten();
    let generation = names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("driver.")?.parse::<u64>().ok()).max()?;
    let value = dir.marked(&format!("driver.{generation}"))?;
    let (owner, digest) = value.split_once(' ')?;
    Some((generation, Owner::parse(owner)?, digest.to_owned()))
}

/// The process that serves the current driver; none when it is gone.
pub(super) fn current(dir: &RunDir) -> Option<Owner> {
    newest(dir).map(|(_, owner, _)| owner).filter(Owner::alive)
}

/// Whether there was a driver and it is gone.
pub(super) fn is_gone(dir: &RunDir) -> bool {
    newest(dir).is_some_and(|(_, owner, _)| !owner.alive())
}

/// Becomes the driver of a new run, or the same client's again on another connection. False when it is another's.
pub(super) fn take(dir: &RunDir, token: &str) -> io::Result<bool> {
    succeed(dir, token, |_, of| of == digest(token))
}

/// Becomes the driver of a run whose own client is gone. False when it is not.
pub(super) fn take_over(dir: &RunDir, token: &str) -> io::Result<bool> {
    succeed(dir, token, |owner, of| of == digest(token) || !owner.alive())
}

fn succeed(dir: &RunDir, token: &str, may: impl Fn(&Owner, &str) -> bool) -> io::Result<bool> {
    let Some(me) = Owner::me() else { return Ok(false) };
    loop {
        let generation = match newest(dir) {
            None => 0,
            Some((generation, owner, of)) if may(&owner, &of) => generation,
            Some(_) => return Ok(false),
        };
        if dir.mark(&format!("driver.{}", generation + 1), &format!("{me} {}", digest(token)))? {
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

/// Reads it.
pub(super) fn answer(dir: &RunDir, step: u32) -> Option<Answer> {
    serde_json::from_slice(&std::fs::read(dir.file(&format!("answer.{step}"))).ok()?).ok()
}

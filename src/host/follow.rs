//! Reads a run's record to a follower: what is there, then what comes, woken by the file system; the end of the run and the death of
//! its supervisor are events too. Sends no more than the follower has granted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};

use super::aftermath;
use super::inbox::Watch;
use super::owner::Owner;
use super::process::wait_any;
use super::retention;
use super::state::RunDir;
use super::status;
use crate::protocol::{CREDIT, Reply, RunState};

/// How many bytes of a record may still be sent.
#[derive(Debug)]
pub(super) struct Credit {
    bytes: Mutex<u64>,
    more: Condvar,
}

impl Credit {
    /// What a follower starts with.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(u64::from(CREDIT)), more: Condvar::new() })
    }

    /// Grants more.
    pub(super) fn grant(&self, bytes: u32) {
        let mut credit = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *credit = credit.saturating_add(u64::from(bytes));
        self.more.notify_all();
    }

    /// Takes up to `most`, waiting until there is any.
    pub(super) fn take(&self, most: usize) -> usize {
        let mut credit = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *credit == 0 {
            credit = self.more.wait(credit).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = usize::try_from(*credit).unwrap_or(usize::MAX).min(most);
        *credit -= taken as u64;
        taken
    }

    fn give_back(&self, bytes: usize) {
        let mut credit = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *credit += bytes as u64;
    }
}

/// Reads the record from `offset` on to `send`, until its end, or until somebody says that nobody listens. Before its bytes it
/// tells `opened` how long it is. Gives the last word.
pub(super) fn follow(
    dir: &RunDir,
    offset: u64,
    credit: &Credit,
    opened: &dyn Fn(u64) -> bool,
    send: &mut dyn FnMut(&[u8]) -> bool,
) -> Option<Reply> {
    let refused =
        |error: std::io::Error| Reply::Refused { code: 6, message: format!("the record cannot be read: {error}"), remedy: None };
    // A run that was just accepted may not have its log yet.
    let has_begun = || dir.log().exists() && dir.marked("owner").is_some();
    if !has_begun() {
        let watch = match Watch::entries(&dir.path) {
            Ok(watch) => watch,
            Err(error) => return Some(refused(error)),
        };
        while !has_begun() && matches!(status::of(dir), RunState::Running) {
            let mut set = [PollFd::new(&watch, PollFlags::IN)];
            let _ = wait_any(&mut set, Some(std::time::Duration::from_millis(200)));
            watch.clear();
        }
    }
    let (mut log, watch) = match File::open(dir.log()).and_then(|log| Ok((log, Watch::growth(&dir.log(), &dir.path)?))) {
        Ok(opened) => opened,
        Err(_) if matches!(status::of(dir), RunState::Lost | RunState::Done { .. }) => return Some(end(dir)),
        Err(error) => return Some(refused(error)),
    };
    let length = log.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    if offset > length {
        return Some(Reply::RecordShort { length });
    }
    let _kept = retention::watched(&log);
    if !opened(length) {
        return None;
    }
    if let Err(error) = log.seek(SeekFrom::Start(offset)) {
        return Some(refused(error));
    }
    let owner = dir.marked("owner").and_then(|text| Owner::parse(&text));
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        watch.clear();
        // Looked at before reading: what is written before the end is then read before the end is told.
        let over = dir.rc().is_some() || owner.as_ref().is_none_or(|owner| !owner.alive());
        loop {
            let granted = credit.take(buffer.len());
            let length = match log.read(&mut buffer[..granted]) {
                Ok(length) => length,
                Err(error) => return Some(refused(error)),
            };
            credit.give_back(granted - length);
            if length == 0 {
                break;
            }
            if !send(&buffer[..length]) {
                return None;
            }
        }
        if over {
            return Some(end(dir));
        }
        let ending = owner.as_ref().and_then(Owner::ending);
        let mut set = vec![PollFd::new(&watch, PollFlags::IN)];
        set.extend(ending.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        if ending.is_some() {
            let _ = wait_any(&mut set, None);
        }
    }
}

/// The last word: what became of the run and, where nobody was left to say so, what is known.
fn end(dir: &RunDir) -> Reply {
    let state = status::of(dir);
    let known = if matches!(state, RunState::Lost | RunState::Orphaned { .. }) { aftermath::known(dir) } else { Vec::new() };
    Reply::RecordEnd { state, known }
}

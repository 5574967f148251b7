//! Removes the records of old runs: by number and by age; never one that is alive, unsettled, watched, or the last to hold the lock.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::lock;
use super::state::{RunDir, State};
use super::status;
use crate::protocol::{Retention, RunState};

/// A record stays at least so long after its run, or as long as the run's client may still come back for it: a submission that is
/// repeated must find its run, not begin it again.
const LEAST: Duration = Duration::from_hours(1);

/// Keeps a record from being removed for as long as it lives. None: it cannot be had, and nothing is kept.
pub(super) fn watched(log: &File) -> Option<File> {
    let log = log.try_clone().ok()?;
    flock(&log, FlockOperation::NonBlockingLockShared).ok()?;
    Some(log)
}

/// Removes what need not be kept any more.
pub(super) fn sweep(state: &State, keep: Retention) {
    let mut over: Vec<(SystemTime, RunDir)> = state.runs().into_iter().filter_map(|dir| Some((ended(&dir)?, dir))).collect();
    over.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
    let last = lock::last(state);
    for (index, (ended, dir)) in over.into_iter().enumerate() {
        let age = ended.elapsed().unwrap_or_default();
        let old = index >= keep.runs as usize || age.as_secs() >= keep.seconds;
        if old && age >= least(&dir) && last.as_ref() != Some(&dir.run) {
            remove(state, &dir);
        }
    }
}

/// When a run ended; none while it has not, or must be settled first.
fn ended(dir: &RunDir) -> Option<SystemTime> {
    let (code, status) = dir.rc()?;
    if status::is_unsettled(dir, &RunState::Done { code, status }) {
        return None;
    }
    fs::symlink_metadata(dir.file("rc")).ok()?.modified().ok()
}

fn least(dir: &RunDir) -> Duration {
    let patience = dir.submission().map_or(0, |submission| submission.answer_within_ms);
    LEAST.max(Duration::from_millis(patience))
}

fn remove(state: &State, dir: &RunDir) {
    let Ok(log) = File::open(dir.log()) else { return };
    if flock(&log, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    // First out of sight, whole: nobody finds half a run.
    let gone = state.root().join("runs").join(format!(".{}", dir.run));
    if fs::rename(&dir.path, &gone).is_ok() {
        let _ = fs::remove_dir_all(&gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::RunId;
    use crate::protocol::StateDir;

    struct Case {
        _temp: tempfile::TempDir,
        state: State,
    }

    impl Case {
        fn new() -> Self {
            let temp = tempfile::tempdir().expect("folder");
            let path = temp.path().join("etally").display().to_string();
            let state = State::open(&StateDir { path, private: false }).expect("state");
            Self { _temp: temp, state }
        }

        /// A run that ended so many hours ago.
        fn run(&self, id: u8, hours: u64, rc: &str) -> RunDir {
            let dir = self.state.run(&RunId::from_random([id; 6]));
            dir.write_submission("{}").expect("submission");
            fs::write(dir.log(), "").expect("log");
            dir.mark("effects", "yes").expect("mark");
            dir.mark("rc", rc).expect("mark");
            let then = SystemTime::now() - Duration::from_secs(hours * 3600);
            let then = then.duration_since(SystemTime::UNIX_EPOCH).expect("time");
            let then = rustix::fs::Timespec { tv_sec: then.as_secs().try_into().expect("time"), tv_nsec: 0 };
            let times = rustix::fs::Timestamps { last_access: then, last_modification: then };
            rustix::fs::utimensat(rustix::fs::CWD, dir.file("rc"), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("time");
            dir
        }

        fn sweep(&self, runs: u32, hours: u64) {
            sweep(&self.state, Retention { runs, seconds: hours * 3600 });
        }
    }

    #[test]
    fn too_many_and_too_old_ones_go() {
        let case = Case::new();
        let dirs: Vec<RunDir> = [2, 3, 4, 50, 60].iter().zip(1..).map(|(hours, id)| case.run(id, *hours, "0 ok")).collect();
        let there = || dirs.iter().map(|dir| dir.path.exists()).collect::<Vec<_>>();
        case.sweep(10, 55);
        assert_eq!(there(), [true, true, true, true, false]);
        case.sweep(2, 55);
        assert_eq!(there(), [true, true, false, false, false]);
        let left = fs::read_dir(case.state.root().join("runs")).expect("list").count();
        assert_eq!(left, 2, "nothing hidden is left");
    }

    #[test]
    fn what_somebody_may_still_need_stays() {
        let case = Case::new();
        let unsettled = case.run(1, 90, "6 unknown");
        let watched_one = case.run(2, 90, "0 ok");
        let lock_holder = case.run(3, 90, "0 ok");
        let fresh = case.run(4, 0, "0 ok");
        let alive = case.state.run(&RunId::from_random([5; 6]));
        alive.write_submission("{}").expect("submission");
        lock::acquire(&case.state, &lock_holder.run).expect("lock");
        let held = watched(&File::open(watched_one.log()).expect("log")).expect("watched");
        case.sweep(0, 1);
        for dir in [&unsettled, &watched_one, &lock_holder, &fresh, &alive] {
            assert!(dir.path.exists(), "{}", dir.run);
        }
        drop(held);
        unsettled.mark("settled", "done").expect("mark");
        case.sweep(0, 1);
        assert!(!watched_one.path.exists());
        assert!(!unsettled.path.exists());
    }
}

//! Removes the records of old runs: by number and by age; never one that is alive, unsettled, watched, or the last to hold the lock.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::lock;
use super::state::{RunDir, State};
use super::status;
use crate::name::RunId;
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
    remove_hidden(state);
    let mut over: Vec<(SystemTime, RunDir)> = state.runs().into_iter().filter_map(|dir| Some((ended(&dir)?, dir))).collect();
    over.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
    let last = lock::last(state);
    for (index, (ended, dir)) in over.into_iter().enumerate() {
        let age = ended.elapsed().unwrap_or_default();
        let many = index >= keep.runs as usize && age >= keyed(&dir);
        let old = many || age.as_secs() >= keep.seconds;
        if old && age >= least(&dir) && last.as_ref() != Some(&dir.run) {
            remove(state, &dir);
        }
    }
}

/// When a run ended; none while it has not, or must be settled first. One that was lost ended when it was settled, and one that never
/// began when it was submitted.
fn ended(dir: &RunDir) -> Option<SystemTime> {
    let state = status::of(dir);
    let lives = matches!(state, RunState::Running | RunState::Orphaned { .. });
    if lives || status::is_unsettled(dir, &state) {
        return None;
    }
    let at = |name: &str| fs::symlink_metadata(dir.file(name)).ok()?.modified().ok();
    at("rc").or_else(|| at("settled")).or_else(|| at("submission.json"))
}

/// For how long number alone does not remove a run: one with a key must be found again by it, and a CI runs a job again for weeks.
fn keyed(dir: &RunDir) -> Duration {
    let has_key = dir.submission().is_ok_and(|submission| submission.key.is_some());
    if has_key { Duration::from_hours(35 * 24) } else { Duration::ZERO }
}

/// Removes what a sweep before this one was stopped at.
fn remove_hidden(state: &State) {
    for entry in fs::read_dir(state.root().join("runs")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix('.')).is_some_and(|run| run.parse::<RunId>().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn least(dir: &RunDir) -> Duration {
    let patience = dir.submission().map_or(0, |submission| submission.answer_within_ms);
    LEAST.max(Duration::from_millis(patience))
}

fn remove(state: &State, dir: &RunDir) {
    let log = File::open(dir.log());
    let watched = match &log {
        Ok(log) => flock(log, FlockOperation::NonBlockingLockExclusive).is_err(),
        // One that never began has none.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if watched {
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
            age(&dir, "rc", hours);
            dir
        }

        fn sweep(&self, runs: u32, hours: u64) {
            sweep(&self.state, Retention { runs, seconds: hours * 3600 });
        }
    }

    /// What is kept of a submission without a compose project: nobody asks Docker about such a run.
    fn submitted(dir: &RunDir, key: Option<&str>) -> String {
        let submission = serde_json::json!({
            "v": 1, "run": dir.run, "key": key, "project": "etally", "state": { "path": "/var/lib/landfall/etally" },
            "host": "prod-1", "hosts": ["prod-1"], "playbook": "release", "plan": "", "who": { "user": "me", "machine": "here" },
            "secrets": crate::secret::SecretSources::default(), "effects": true, "approval": "given", "answer_within_ms": 0,
            "approve_within_ms": 0, "steps": [],
        });
        submission.to_string()
    }

    /// Makes a file or mark of a run so many hours old.
    fn age(dir: &RunDir, name: &str, hours: u64) {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        let then = then.duration_since(SystemTime::UNIX_EPOCH).expect("time");
        let then = rustix::fs::Timespec { tv_sec: then.as_secs().try_into().expect("time"), tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: then, last_modification: then };
        rustix::fs::utimensat(rustix::fs::CWD, dir.file(name), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("time");
    }

    #[test]
    fn what_never_ended_by_itself_goes_too_once_nobody_needs_it() {
        let case = Case::new();
        let never = case.state.run(&RunId::from_random([1; 6]));
        never.write_submission(&submitted(&never, None)).expect("submission");
        let settled = case.state.run(&RunId::from_random([2; 6]));
        settled.write_submission(&submitted(&settled, None)).expect("submission");
        fs::write(settled.log(), "").expect("log");
        settled.mark("owner", "1:1:another boot").expect("mark");
        settled.mark("effects", "yes").expect("mark");
        for dir in [&never, &settled] {
            age(dir, "submission.json", 90);
        }
        let hidden = case.state.root().join("runs").join(format!(".{}", never.run));
        fs::create_dir(&hidden).expect("folder");
        case.sweep(0, 1);
        assert!(!never.path.exists() && !hidden.exists());
        assert!(settled.path.exists(), "a person must settle it first");
        settled.mark("settled", "done").expect("mark");
        age(&settled, "settled", 90);
        case.sweep(0, 1);
        assert!(!settled.path.exists());
    }

    #[test]
    fn number_alone_does_not_remove_a_run_that_its_key_must_find() {
        let case = Case::new();
        let dir = case.run(1, 34 * 24, "0 ok");
        dir.replace_submission(&submitted(&dir, Some("release-7"))).expect("submission");
        case.sweep(0, 365 * 24);
        assert!(dir.path.exists());
        age(&dir, "rc", 36 * 24);
        case.sweep(0, 365 * 24);
        assert!(!dir.path.exists());
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

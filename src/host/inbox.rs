//! What others put into a run's folder while its supervisor works: the go, a cancel, answers, drivers. Woken by the file system.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// A watch on a folder or a file. What happened is not told: whoever is woken looks for what he waits for.
#[derive(Debug)]
pub(super) struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Watches a folder for new entries.
    pub(super) fn entries(dir: &Path) -> io::Result<Self> {
        Self::open(&[(dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)])
    }

    /// Watches a log for growth, and its folder for new entries.
    pub(super) fn growth(log: &Path, dir: &Path) -> io::Result<Self> {
        Self::open(&[(log, inotify::WatchFlags::MODIFY), (dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)])
    }

    fn open(what: &[(&Path, inotify::WatchFlags)]) -> io::Result<Self> {
        let watched = || -> rustix::io::Result<OwnedFd> {
            let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
            for (path, flags) in what {
                inotify::add_watch(&fd, *path, *flags)?;
            }
            Ok(fd)
        };
        match watched() {
            Ok(fd) => Ok(Self { fd }),
            // A user has a few hundred watches, and other programs take them too: without one, a clock wakes.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM | Errno::NOSYS) => Ok(Self { fd: clock()? }),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what has woken us. To be called before looking, so that nothing falls between.
    pub(super) fn clear(&self) {
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.fd, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

/// A descriptor that is readable again and again.
fn clock() -> io::Result<OwnedFd> {
    let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let every = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    timerfd_settime(&fd, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every })?;
    Ok(fd)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::host::process::wait_any;
    use rustix::event::{PollFd, PollFlags};

    fn woken(watch: &Watch, limit: Duration) -> bool {
        let mut set = [PollFd::new(watch, PollFlags::IN)];
        wait_any(&mut set, Some(limit)).expect("poll");
        !set[0].revents().is_empty()
    }

    #[test]
    fn a_new_entry_wakes_and_is_forgotten() {
        let temp = tempfile::tempdir().expect("folder");
        let watch = Watch::entries(temp.path()).expect("watch");
        assert!(!woken(&watch, Duration::ZERO));
        std::os::unix::fs::symlink("go", temp.path().join("verdict")).expect("link");
        assert!(woken(&watch, Duration::from_secs(10)));
        watch.clear();
        assert!(!woken(&watch, Duration::ZERO));
    }

    #[test]
    fn without_a_watch_a_clock_wakes_again_and_again() {
        let watch = Watch { fd: clock().expect("clock") };
        let began = Instant::now();
        for _ in 0..3 {
            assert!(woken(&watch, Duration::from_secs(10)));
            watch.clear();
        }
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}

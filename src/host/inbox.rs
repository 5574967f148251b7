//! What others put into a run's folder while its supervisor works: the go, a cancel, answers, drivers. Woken by the file system.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;

/// What mends a system that gives no watch: its users share a small number of them.
pub(super) const REMEDY: &str = "on the host: sysctl fs.inotify.max_user_instances=1024; then run again";

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
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        for (path, flags) in what {
            inotify::add_watch(&fd, *path, *flags)?;
        }
        Ok(Self { fd })
    }

    /// Forgets what has woken us. To be called before looking, so that nothing falls between.
    pub(super) fn clear(&self) {
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.fd, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

//! Which process is which: a process is named by its pid, its start time and the boot, so that a pid that was given away again
//! is never mistaken for the one that had it before.

use std::fs;

use rustix::process::Pid;

/// The kernel's boot id.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// What tells this machine from every other: its machine id, or else its host name.
pub(super) fn machine_id() -> String {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Cloned images may share a machine id, so both count.
    format!("{id}:{name}")
}

/// One line of `/proc/PID/stat`, as far as it is needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// R, S, Z, …
    pub state: u8,
    /// The parent.
    pub parent: i32,
    /// Clock ticks after boot at which it started.
    pub start: u64,
}

/// Reads it; none when there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The command's name may hold anything, `) ` included: what counts comes after the last one.
    let after = line.windows(2).rposition(|pair| pair == b") ")? + 2;
    let text = std::str::from_utf8(&line[after..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start })
}

/// A process, named so that no other ever has the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its pid.
    pub pid: i32,
    start: u64,
    boot: String,
}

impl Owner {
    /// Names a process that lives now.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: stat(pid)?.start, boot: boot_id() })
    }

    /// This process.
    pub(super) fn me() -> Option<Self> {
        Self::of(rustix::process::getpid().as_raw_pid())
    }

    /// Reads what [`Owner::to_string`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let pid = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        Some(Self { pid, start, boot: parts.next()?.to_owned() })
    }

    /// Whether it still lives. A zombie does not.
    pub(super) fn alive(&self) -> bool {
        if self.boot != boot_id() {
            return false;
        }
        match stat(self.pid) {
            Some(stat) => stat.start == self.start && !matches!(stat.state, b'Z' | b'X'),
            // Where /proc hides others' processes (hidepid), one that may not be signalled is there: it cannot be judged, so it lives.
            None => {
                Pid::from_raw(self.pid).is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::PERM))
            }
        }
    }

    /// A descriptor that becomes readable when it ends; none when it has.
    pub(super) fn ending(&self) -> Option<std::os::fd::OwnedFd> {
        let fd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, rustix::process::PidfdFlags::empty()).ok()?;
        self.alive().then_some(fd)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.pid, self.start, self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_confuse() {
        let line = b"42 (evil) R 9 ) S) Z 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(parse_stat(line), Some(Stat { state: b'Z', parent: 7, start: 12345 }));
    }

    #[test]
    fn another_boot_or_start_is_another_process() {
        let me = Owner::me().expect("proc");
        assert!(me.alive());
        assert_eq!(Owner::parse(&me.to_string()), Some(me.clone()));
        assert!(!Owner { boot: "another".into(), ..me.clone() }.alive());
        assert!(!Owner { start: me.start + 1, ..me }.alive());
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let pid = i32::try_from(child.id()).expect("pid");
        let owner = Owner::of(pid).expect("proc");
        let ending = owner.ending();
        if let Some(fd) = &ending {
            let mut set = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut set, None).expect("poll");
        }
        assert!(!owner.alive());
        child.wait().expect("wait");
    }
}

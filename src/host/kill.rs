//! Finds and ends everything that a run started: its containers by label, its processes by descent and by two marks that also cross into
//! `docker exec`: one in their environment, and one in a limit.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::docker::{self, Trouble};
use super::inside::Guest;
use super::owner::{Owner, stat};
use crate::name::RunId;

/// The environment variable that marks what a run started, and the label on its containers.
pub(super) const MARK: &str = "LANDFALL_RUN";
/// The label on a run's containers.
pub(super) const LABEL: &str = "landfall.run";

/// How long the daemon may take to begin what a client asked for before it was killed, …
const SETTLED: Duration = Duration::from_secs(2);
/// … and what it has begun, to become what was asked for. On a host that has hardly a processor left that takes its time.
const MADE: Duration = Duration::from_secs(30);
/// What a process in a container is called until it becomes the command: it has no mark yet that tells whose it is.
const MAKING: &str = "runc:[";

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'))
}

/// The second mark, in KiB: a limit of the resident set, which Linux has long ceased to keep. It goes through every fork, session and
/// exec, `env -i` does not clear it, and every user may read it.
pub(super) fn limit(run: &RunId) -> u64 {
    // The 48 bits of the id, above all that anybody would set.
    run.as_str().bytes().fold(1, |bits, letter| bits << 4 | u64::from(letter - b'k') & 0x0f)
}

/// Marks this process and all that it starts.
pub(super) fn mark_me(run: &RunId) {
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Rss).maximum;
    let limit = rustix::process::Rlimit { current: Some(limit(run) << 10), maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Rss, limit);
}

/// Processes that carry a run's marks. The environment of other users' processes is visible to root only.
fn marked(run: &RunId) -> Vec<i32> {
    let (mark, limit) = (format!("{MARK}={run}").into_bytes(), (limit(run) << 10).to_string());
    let has_limit = |line: &str| {
        line.strip_prefix("Max resident set").and_then(|rest| rest.split_ascii_whitespace().next()) == Some(limit.as_str())
    };
    let carries = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/limits")).is_ok_and(|limits| limits.lines().any(has_limit))
            || fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == mark))
    };
    pids().filter(carries).filter(|pid| is_alive(*pid)).collect()
}

/// Processes that are being made in containers, by pid and start.
fn in_the_making() -> BTreeSet<(i32, u64)> {
    let is_being_made = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(MAKING));
    pids().filter(is_being_made).filter_map(|pid| Some((pid, stat(pid)?.start))).collect()
}

/// Every living descendant of some processes.
fn descendants(roots: &[i32]) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        pids().filter_map(|pid| stat(pid).filter(|stat| stat.state != b'Z').map(|stat| (pid, stat.parent))).collect();
    let mut found = roots.to_vec();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        let new: Vec<i32> = children.filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
        next += 1;
    }
    found.split_off(roots.len())
}

/// Ids of a run's containers: the running ones, or all. An error is not "none": Docker did not say.
pub(super) fn containers(run: &RunId, all: bool) -> Result<Vec<String>, Trouble> {
    let filter = format!("label={LABEL}={run}");
    match docker::run(&["ps", if all { "-aq" } else { "-q" }, "--no-trunc", "--filter", &filter]) {
        Ok(list) => Ok(list.split_whitespace().map(str::to_owned).collect()),
        // Without Docker there are no containers.
        Err(Trouble::Missing) => Ok(Vec::new()),
        Err(trouble) => Err(trouble),
    }
}

/// What of a run is alive, in words; empty when nothing is. For a run whose supervisor is dead.
pub(super) fn alive(run: &RunId, docker: bool) -> Vec<String> {
    describe(&if docker { containers(run, false) } else { Ok(Vec::new()) }, &marked(run))
}

fn describe(containers: &Result<Vec<String>, Trouble>, pids: &[i32]) -> Vec<String> {
    let containers = match containers {
        Ok(containers) => containers.iter().map(|id| format!("container {}", id.get(..12).unwrap_or(id))).collect(),
        Err(_) => vec!["perhaps a container (Docker does not answer)".to_owned()],
    };
    let containers = containers.into_iter();
    let processes = pids.iter().map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} ({})", name.trim())
    });
    containers.chain(processes).collect()
}

fn signal(pid: i32, signal: Signal) {
    // The descriptor names the process that is checked, so that a pid given away meanwhile is never hit.
    let Some((name, before)) = Pid::from_raw(pid).zip(stat(pid)) else { return };
    if let Ok(fd) = rustix::process::pidfd_open(name, rustix::process::PidfdFlags::empty()) {
        if stat(pid).is_some_and(|now| now.start == before.start) {
            let _ = rustix::process::pidfd_send_signal(fd, signal);
        }
    } else {
        let _ = rustix::process::kill_process(name, signal);
    }
}

/// Everything a run's step consists of, seen from its supervisor.
#[derive(Debug)]
pub(super) struct Prey<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The process whose descendants belong to it: its supervisor.
    pub root: Option<i32>,
    /// Whether the step may have containers: without Docker nobody needs to ask it.
    pub docker: bool,
    /// The container of somebody else that the step's command runs in.
    pub guest: Option<&'a Guest>,
}

impl Prey<'_> {
    fn processes(&self) -> Vec<i32> {
        let me = rustix::process::getpid().as_raw_pid();
        let mut found = marked(self.run);
        found.extend(self.root);
        found.extend(descendants(&found));
        found.retain(|pid| Some(*pid) != self.root);
        found.sort_unstable();
        found.dedup();
        found.retain(|pid| *pid != me);
        found
    }

    /// Asks to stop: the containers first, so that the client lives to relay their last words; without one, the processes.
    pub(super) fn terminate(&self) {
        let containers = if self.docker { containers(self.run, false).unwrap_or_default() } else { Vec::new() };
        if containers.is_empty() {
            if !self.guest.is_some_and(|guest| self.terminate_in(guest)) {
                self.processes().into_iter().for_each(|pid| signal(pid, Signal::TERM));
            }
            return;
        }
        for id in &containers {
            let _ = docker::run(&["kill", "-s", "TERM", id]);
        }
    }

    /// Ends what only root could end, in the containers that it lives in; names what was found.
    fn exterminate_inside(&self, processes: &[i32]) -> Vec<String> {
        if rustix::process::geteuid().is_root() {
            return Vec::new();
        }
        let mut guests: Vec<Guest> = self.guest.cloned().into_iter().collect();
        guests.extend(processes.iter().filter_map(|pid| Guest::around(*pid)));
        guests.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        guests.dedup_by(|a, b| a.id() == b.id());
        let hunt = |guest: &Guest| {
            let dark = |_| vec![format!("perhaps a process in container {}, where Docker lets nobody look", guest.id())];
            guest.hunt(self.run, Signal::KILL).unwrap_or_else(dark)
        };
        guests.iter().flat_map(hunt).collect()
    }

    /// Asks what runs in another's container to stop, and lets the client live. False when there is nothing.
    fn terminate_in(&self, guest: &Guest) -> bool {
        if !rustix::process::geteuid().is_root() {
            return guest.hunt(self.run, Signal::TERM).is_ok_and(|found| !found.is_empty());
        }
        let own = self.root.map(|root| descendants(&[root])).unwrap_or_default();
        let found: Vec<i32> = self.processes().into_iter().filter(|pid| !own.contains(pid)).collect();
        for pid in &found {
            signal(*pid, Signal::TERM);
        }
        !found.is_empty()
    }

    /// Ends everything, and says what could not be ended. Repeats until nothing is found, for something may be in the making: what a
    /// docker client asked for before it was killed, the daemon still starts. So where Docker is involved nothing must be found for
    /// a while, and what is being made meanwhile is waited for.
    pub(super) fn exterminate(&self) -> Vec<String> {
        let calm = if self.docker { SETTLED } else { Duration::ZERO };
        let (began, mut making) = (Instant::now(), BTreeSet::new());
        let (mut rounds, mut quiet_since, mut left) = (0, None, Vec::new());
        while rounds < 50 {
            if self.docker {
                let now = in_the_making();
                making.retain(|one| now.contains(one));
                // Later ones are not what a client that is gone asked for.
                if began.elapsed() < SETTLED {
                    making.extend(now);
                }
            }
            let processes = self.processes();
            for pid in &processes {
                signal(*pid, Signal::KILL);
            }
            let containers = if self.docker { containers(self.run, true) } else { Ok(Vec::new()) };
            if let Some(found) = containers.as_ref().ok().filter(|found| !found.is_empty()) {
                let mut args = vec!["rm", "-f", "-v"];
                args.extend(found.iter().map(String::as_str));
                let _ = docker::run(&args);
            }
            left = describe(&containers, &processes);
            left.extend(self.exterminate_inside(&processes));
            if left.is_empty() && !making.is_empty() {
                quiet_since = None;
                if began.elapsed() >= MADE {
                    left.push("perhaps a process that Docker is still making".to_owned());
                    break;
                }
            } else if left.is_empty() {
                if quiet_since.get_or_insert_with(Instant::now).elapsed() >= calm {
                    break;
                }
            } else {
                quiet_since = None;
                // Docker that does not answer will not be asked for ever: each time takes long by itself.
                rounds += if containers.is_err() && processes.is_empty() { 25 } else { 1 };
            }
            // A killed process takes a moment to be gone; there is no event for one that is not a child.
            std::thread::sleep(Duration::from_millis(if rounds < 10 && quiet_since.is_none() { 10 } else { 50 }));
        }
        left
    }
}

/// Signals what a run started in this process namespace, and names it.
pub(super) fn hunt(run: &RunId, how: Signal) -> Vec<String> {
    let found = Prey { run, root: None, docker: false, guest: None }.processes();
    let told = describe(&Ok(Vec::new()), &found);
    for pid in found {
        signal(pid, how);
    }
    told
}

/// Collects children that were adopted and have ended, while `own` runs: a step that leaves thousands behind must not use up the
/// host's process ids.
pub(super) fn reap_adopted(own: i32) {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect::<String>();
    for pid in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != own) {
        if stat(pid).is_some_and(|stat| stat.state == b'Z') {
            let _ = rustix::process::waitpid(Pid::from_raw(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

/// Collects all children that have ended.
pub(super) fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}

/// Removes the containers of a run that is settled: until then they tell a person how they ended.
pub(super) fn tidy_up(run: &RunId) {
    let found = containers(run, true).unwrap_or_default();
    if !found.is_empty() {
        let _ = docker::run(&[&["rm", "-v"], &found.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    }
}

/// Ends what is left of a run whose supervisor is dead.
pub(super) fn clean_up(run: &RunId, supervisor: Option<&Owner>) -> Vec<String> {
    if supervisor.is_some_and(Owner::alive) {
        return vec!["its supervisor".to_owned()];
    }
    Prey { run, root: None, docker: true, guest: None }.exterminate()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_in_a_container_is_in_the_making_until_it_is_called_otherwise() {
        let script = "echo 'runc:[2:INIT]' >/proc/self/comm; echo; read -r _; echo 'made' >/proc/self/comm; echo; read -r _";
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        let pid = i32::try_from(child.id()).expect("pid");
        let (mut stdin, mut stdout) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        let mut said = || std::io::Read::read_exact(&mut stdout, &mut [0]).expect("a line");
        let is_in = || in_the_making().iter().any(|(making, _)| *making == pid);
        said();
        assert!(is_in());
        std::io::Write::write_all(&mut stdin, b"\n").expect("write");
        said();
        assert!(!is_in());
        drop(stdin);
        child.wait().expect("wait");
    }
}

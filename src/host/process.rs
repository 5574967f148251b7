//! Runs one process to its end, or stops it: output by poll, its end by pidfd, a cancel by the run's folder, a deadline by the clock.
//! Knows nothing of steps and masks; what is printed goes to a [`Sink`].

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::inbox::Watch;
use crate::event::Stream;

/// How long a masker may hold back a short partial match before it is let go, while nothing else comes.
const IDLE: Duration = Duration::from_millis(8);
/// How long output is waited for after the end of the process, where something it left behind keeps the pipe open.
const DRAIN: Duration = Duration::from_secs(2);

/// How often children that were adopted are collected.
const REAP: Duration = Duration::from_secs(1);

/// A process to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Spawn {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Where it starts.
    pub dir: Option<PathBuf>,
    /// Added to the plain environment that every process gets.
    pub env: Vec<(String, String)>,
    /// Its standard input; nothing: `/dev/null`.
    pub input: Option<Vec<u8>>,
    /// What follows on its standard input, from where the file stands.
    pub input_file: Option<Arc<File>>,
    /// Where its standard output goes, in place of the sink.
    pub output: Option<Arc<File>>,
}

impl Spawn {
    /// From plain words.
    pub(super) fn new<S: Into<OsString>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn command(&self) -> io::Result<Command> {
        let (program, args) = self.argv.split_first().map_or((OsString::new(), &[][..]), |(first, rest)| (first.clone(), rest));
        let mut command = Command::new(program);
        command.args(args).env_clear();
        // What a login gives, and how Docker is reached; nothing of the SSH session, nothing of the project.
        for key in ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(key) {
                command.env(key, value);
            }
        }
        command.env("npm_config_yes", "false");
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let reads = self.input.is_some() || self.input_file.is_some();
        command.stdin(if reads { Stdio::piped() } else { Stdio::null() });
        command.stdout(match &self.output {
            Some(file) => Stdio::from(file.try_clone()?),
            None => Stdio::piped(),
        });
        command.stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }
}

/// Where output goes.
pub(super) trait Sink {
    /// Bytes as they came.
    fn data(&mut self, stream: Stream, bytes: &[u8]);
    /// Nothing has come for a moment.
    fn idle(&mut self) {}
    /// Whether `idle` has something to do.
    fn waits(&self) -> bool {
        false
    }
    /// A stream is at its end.
    fn end(&mut self, _stream: Stream) {}
}

/// Keeps what comes, up to a bound.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// What was printed on stdout.
    pub stdout: Vec<u8>,
    /// What was printed on stderr.
    pub stderr: Vec<u8>,
}

/// The most that is kept of each stream of a captured process.
pub(super) const CAPTURE: usize = 16 << 20;

impl Sink for Capture {
    fn data(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = if stream == Stream::Stdout { &mut self.stdout } else { &mut self.stderr };
        kept.extend_from_slice(&bytes[..bytes.len().min(CAPTURE - kept.len())]);
    }
}

/// What may end a process before its time, and how.
pub(super) struct Until<'a> {
    /// Its time is over.
    pub deadline: Option<Instant>,
    /// Children that are not this process were adopted, and are collected when they end.
    pub reap: bool,
    /// Wakes when something is put into the run's folder.
    pub inbox: Option<&'a Watch>,
    /// Looks whether that was a cancel.
    pub cancelled: &'a dyn Fn() -> bool,
    /// From the request to stop to force.
    pub grace: Duration,
    /// Asks everything to stop.
    pub terminate: &'a dyn Fn(i32),
    /// Ends everything, and says what is left.
    pub exterminate: &'a dyn Fn(i32) -> Vec<String>,
}

/// A deadline and nothing else: for short looks that belong to no step.
pub(super) fn within(limit: Duration) -> Until<'static> {
    Until {
        deadline: Some(Instant::now() + limit),
        reap: false,
        inbox: None,
        cancelled: &|| false,
        grace: Duration::from_secs(1),
        terminate: &|group| signal_group(group, rustix::process::Signal::TERM),
        exterminate: &|group| {
            signal_group(group, rustix::process::Signal::KILL);
            Vec::new()
        },
    }
}

fn signal_group(group: i32, signal: rustix::process::Signal) {
    if let Some(group) = Pid::from_raw(group) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Why we stopped it, if we did.
    pub stopped: Option<Stopped>,
    /// What could not be stopped.
    pub left: Vec<String>,
}

/// Why a process was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Somebody asked.
    Cancelled,
    /// Its time was over.
    TimedOut,
}

/// Runs a process; gives how it ended, or why it could not be started.
pub(super) fn run(spawn: &Spawn, sink: &mut dyn Sink, until: &Until<'_>) -> io::Result<Ended> {
    let mut child = spawn.command()?.spawn()?;
    let group = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let pid = Pid::from_raw(group).ok_or_else(|| io::Error::other("a process without a pid"))?;
    let ending = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(ending) => ending,
        Err(error) => {
            // What cannot be watched must not run on unwatched.
            let _ = child.kill();
            let _ = child.wait();
            return Err(error.into());
        }
    };
    if let Some(mut stdin) = child.stdin.take() {
        let (input, file) = (spawn.input.clone().unwrap_or_default(), spawn.input_file.clone());
        // On a thread of its own: a process that does not read must not keep us from reading what it prints.
        std::thread::spawn(move || {
            let written = stdin.write_all(&input).and_then(|()| file.map_or(Ok(0), |file| io::copy(&mut &*file, &mut stdin)));
            written.map(drop)
        });
    }
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0u8; 64 << 10];
    let (mut ended, mut drain) = (None::<Ended>, None::<Instant>);
    let (mut stopped, mut force) = (None, None::<Instant>);
    let mut left = Vec::new();
    let mut reap = until.reap.then(|| Instant::now() + REAP);
    while stdout.is_some() || stderr.is_some() || ended.is_none() {
        let now = Instant::now();
        if drain.is_some_and(|end| end <= now) {
            break;
        }
        if reap.is_some_and(|at| at <= now) {
            super::kill::reap_adopted(group);
            reap = Some(Instant::now() + REAP);
        }
        if ended.is_none() {
            if stopped.is_none() {
                stopped = if (until.cancelled)() {
                    Some(Stopped::Cancelled)
                } else {
                    until.deadline.filter(|deadline| *deadline <= now).map(|_| Stopped::TimedOut)
                };
                if stopped.is_some() {
                    (until.terminate)(group);
                    force = Some(Instant::now() + until.grace);
                }
            } else if force.is_some_and(|at| at <= now) {
                left = (until.exterminate)(group);
                force = Some(Instant::now() + until.grace);
            }
        }
        let wake =
            [drain, reap, force.filter(|_| ended.is_none()), until.deadline.filter(|_| stopped.is_none() && ended.is_none())];
        let wake = wake.into_iter().flatten().min().map(|at| at.saturating_duration_since(now));
        let wake = if sink.waits() { Some(wake.map_or(IDLE, |wake| wake.min(IDLE))) } else { wake };
        let ready = wait(stdout.as_ref(), stderr.as_ref(), ended.is_none().then_some(ending.as_fd()), until.inbox, wake)?;
        if let (true, Some(inbox)) = (ready.inbox, until.inbox) {
            inbox.clear();
        }
        if ready.stdout {
            pump(&mut stdout, Stream::Stdout, &mut buffer, sink);
        }
        if ready.stderr {
            pump(&mut stderr, Stream::Stderr, &mut buffer, sink);
        }
        if !ready.stdout && !ready.stderr {
            sink.idle();
        }
        if ready.ended && ended.is_none() {
            ended = Some(collect(pid));
            drain = Some(Instant::now() + DRAIN);
        }
    }
    for (open, stream) in [(stdout.is_some(), Stream::Stdout), (stderr.is_some(), Stream::Stderr)] {
        if open {
            sink.end(stream);
        }
    }
    let mut ended = ended.unwrap_or_default();
    if stopped.is_some() {
        // The process is gone, but what it started may not be.
        left = (until.exterminate)(group);
    }
    Ok(Ended { stopped, left, code: ended.code.take(), signal: ended.signal })
}

fn collect(pid: Pid) -> Ended {
    let status =
        rustix::process::waitpid(Some(pid), WaitOptions::empty()).ok().flatten().map(|(_, status): (Pid, WaitStatus)| status);
    Ended {
        code: status.and_then(rustix::process::WaitStatus::exit_status),
        signal: status.and_then(rustix::process::WaitStatus::terminating_signal),
        ..Ended::default()
    }
}

fn pump<R: Read>(pipe: &mut Option<R>, stream: Stream, buffer: &mut [u8], sink: &mut dyn Sink) {
    match pipe.as_mut().map(|pipe| pipe.read(buffer)) {
        Some(Ok(length)) if length > 0 => sink.data(stream, &buffer[..length]),
        Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
        _ => {
            *pipe = None;
            sink.end(stream);
        }
    }
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools)]
struct Ready {
    stdout: bool,
    stderr: bool,
    ended: bool,
    inbox: bool,
}

fn wait(
    stdout: Option<&impl AsFd>,
    stderr: Option<&impl AsFd>,
    ending: Option<BorrowedFd<'_>>,
    inbox: Option<&Watch>,
    limit: Option<Duration>,
) -> io::Result<Ready> {
    let sources = [stdout.map(AsFd::as_fd), stderr.map(AsFd::as_fd), ending, inbox.map(AsFd::as_fd)];
    let mut set: Vec<_> = sources.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    wait_any(&mut set, limit)?;
    let mut woken = set.iter().map(|fd| !fd.revents().is_empty());
    let mut next = |present: bool| present && woken.next().unwrap_or(false);
    Ok(Ready {
        stdout: next(sources[0].is_some()),
        stderr: next(sources[1].is_some()),
        ended: next(sources[2].is_some()),
        inbox: next(sources[3].is_some()),
    })
}

/// Waits until one of them is ready or the time is over.
pub(super) fn wait_any(set: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    // A little late is better than too early: a wait that ends before its time would spin.
    let limit = limit.map(|limit| rustix::event::Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    match poll(set, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Starts a process whose input stays open behind what it is given; who starts it ends it.
pub(super) fn open(spawn: &Spawn) -> io::Result<std::process::Child> {
    let mut child = spawn.command()?.spawn()?;
    if let (Some(input), Some(stdin)) = (&spawn.input, child.stdin.as_mut()) {
        // Little enough for a pipe: it does not wait for its reader.
        if let Err(error) = stdin.write_all(input).and_then(|()| stdin.flush()) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    }
    Ok(child)
}

/// Waits until a child that was started here has ended, but not for ever.
pub(super) fn await_end(child: &std::process::Child, limit: Duration) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(ending) = pid.and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()) {
        let _ = wait_any(&mut [PollFd::new(&ending, PollFlags::IN)], Some(limit));
    }
}

/// Runs a short process and keeps what it printed.
pub(super) fn capture(spawn: &Spawn, limit: Duration) -> io::Result<(Ended, Capture)> {
    let mut kept = Capture::default();
    let ended = run(spawn, &mut kept, &within(limit))?;
    Ok((ended, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Spawn {
        Spawn::new(["sh", "-c", script])
    }

    #[test]
    fn code_signal_and_streams_are_told_apart() {
        let (ended, kept) = capture(&sh("echo out; echo err >&2; exit 3"), Duration::from_secs(10)).expect("sh");
        assert_eq!((ended.code, ended.signal), (Some(3), None));
        assert_eq!((kept.stdout.as_slice(), kept.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        let (ended, _) = capture(&sh("kill -SEGV $$"), Duration::from_secs(10)).expect("sh");
        assert_eq!((ended.code, ended.signal), (None, Some(11)));
    }

    #[test]
    fn a_deadline_ends_a_process_that_ignores_term() {
        let before = Instant::now();
        let (ended, _) = capture(&sh("trap '' TERM; while :; do sleep 60; done"), Duration::from_millis(200)).expect("sh");
        assert_eq!(ended.stopped, Some(Stopped::TimedOut));
        assert!(before.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_child_left_behind_does_not_hold_the_end() {
        let before = Instant::now();
        let (ended, kept) = capture(&sh("echo done; sleep 4 & exit 0"), Duration::from_secs(20)).expect("sh");
        assert_eq!(ended.code, Some(0));
        assert_eq!(kept.stdout, b"done\n");
        assert!(before.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn input_that_nobody_reads_does_not_hang() {
        let spawn = Spawn { input: Some(vec![b'x'; 1 << 20]), ..sh("echo hi") };
        let (ended, kept) = capture(&spawn, Duration::from_secs(10)).expect("sh");
        assert_eq!((ended.code, kept.stdout.as_slice()), (Some(0), &b"hi\n"[..]));
    }

    #[test]
    fn the_environment_is_not_passed_on() {
        let (_, kept) = capture(&Spawn::new(["env"]), Duration::from_secs(10)).expect("env");
        let text = String::from_utf8(kept.stdout).expect("text");
        assert!(!text.contains("CARGO_"), "{text}");
        assert!(text.contains("npm_config_yes=false"), "{text}");
    }
}

//! Where a run's steps play: what they print goes through the mask into the log, a cancel or a deadline reaches what they started.
//! Knows how to run a command for a step; not which.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compose::Config;
use super::database::{Access, Held, Shared, Trouble};
use super::guard::{Guarded, mask_text};
use super::inbox::Watch;
use super::inside::Guest;
use super::judge::Watcher;
use super::kill::Prey;
use super::log::Log;
use super::mask::Needles;
use super::migrations::Folders;
use super::migrations::watch::Watch as Watching;
use super::process::{self, Capture, Ended, Sink, Spawn, Stopped, Until};
use super::secrets::Loaded;
use super::state::{RunDir, State};
use crate::event::{Body, Status, Stream};
use crate::facts::Migrations;
use crate::name::{ServiceName, StepName};
use crate::protocol::{HostStep, Submission};

/// From the request to stop to force.
const GRACE: Duration = Duration::from_secs(10);

/// A run in the making.
pub(super) struct Stage<'a> {
    /// What was asked for.
    pub submission: &'a Submission,
    /// The project's state on this host.
    pub state: &'a State,
    /// The run's folder.
    pub dir: &'a RunDir,
    /// The run's log.
    pub log: Log,
    /// What is put into the folder meanwhile.
    pub inbox: Watch,
    /// What must not leave the host.
    pub secrets: Arc<Loaded>,
    /// The compose project, once it has been read.
    pub config: Config,
    /// The image ids that steps run in. Fixed by the plan; a later `pull` moves them on.
    pub images: BTreeMap<ServiceName, String>,
    /// What each `migrate` step was found to have to do when the plan was approved.
    pub approved: BTreeMap<StepName, Migrations>,
    /// The hashes of the migrations that each such step's plan showed, where files could be looked at.
    pub looked_at: BTreeMap<StepName, BTreeSet<String>>,
    /// When the step that is running must be over.
    pub deadline: Option<Instant>,
    /// A cancel has been heeded: what runs now must run in any case.
    pub deaf: bool,
    /// Output of the step that is running was withheld, for its mask failed.
    pub withheld: bool,
    /// Looks meanwhile who keeps the database waiting, for this step.
    pub watch: Option<(Watching, StepName)>,
    /// The container of the application in which the step's command runs.
    pub guest: Option<Guest>,
    /// The run's database.
    pub database: Shared,
    /// The lock of the database, where the step holds it as a whole.
    pub held: Option<Arc<Held>>,
    /// Migration files that were looked at.
    pub folders: Folders,
}

/// How an action or a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How.
    pub status: Status,
    /// The command's exit code.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The reason or the story, masked.
    pub detail: Option<String>,
}

impl Outcome {
    /// An end without a command.
    pub(super) fn of(status: Status, detail: impl Into<String>) -> Self {
        Self { status, exit_code: None, signal: None, detail: Some(detail.into()) }
    }

    /// As it should be.
    pub(super) fn ok() -> Self {
        Self { status: Status::Ok, exit_code: None, signal: None, detail: None }
    }

    /// A proven failure.
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::of(Status::Failed, detail)
    }

    /// Neither success nor failure.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::of(Status::Unknown, detail)
    }

    /// The same, where output of it was withheld.
    #[must_use]
    pub(super) fn withheld(mut self) -> Self {
        let why = "its output is withheld, for its mask failed";
        self.detail = Some(self.detail.map_or_else(|| why.to_owned(), |detail| format!("{detail}; {why}")));
        self
    }

    /// The same, with the end of the command that led to it.
    #[must_use]
    pub(super) fn ended(mut self, ended: &Ended) -> Self {
        (self.exit_code, self.signal) = (ended.code, ended.signal);
        self
    }
}

impl Stage<'_> {
    /// The same, for a step that runs beside others.
    pub(super) fn beside(&self, step: &StepName) -> io::Result<Self> {
        Ok(Self {
            log: self.log.beside(step),
            inbox: Watch::entries(&self.dir.path)?,
            secrets: Arc::clone(&self.secrets),
            config: self.config.clone(),
            images: self.images.clone(),
            approved: self.approved.clone(),
            looked_at: self.looked_at.clone(),
            deadline: self.deadline,
            deaf: self.deaf,
            withheld: false,
            guest: None,
            watch: None,
            database: self.database.clone(),
            held: None,
            folders: self.folders.clone(),
            ..*self
        })
    }
}

impl Stage<'_> {
    /// The run's database, which must answer.
    pub(super) fn database(&self) -> Result<Arc<Access>, Trouble> {
        self.database.open(self.submission, &self.config, &self.secrets)
    }

    /// Text as it may leave the host.
    pub(super) fn masked(&self, text: &str) -> String {
        mask_text(&self.secrets.needles, text)
    }

    /// Writes an event of a step.
    pub(super) fn event(&mut self, step: &StepName, body: Body) {
        self.log.event(Some(step), body);
    }

    /// Whether somebody asked the run to stop.
    pub(super) fn cancelled(&self) -> bool {
        is_cancelled(self.dir, self.deaf)
    }

    /// Runs a command of a step. Its output is masked, logged and watched.
    pub(super) fn stream(&mut self, spawn: &Spawn, watcher: &mut Watcher) -> io::Result<Ended> {
        let guest = self.guest.clone();
        let prey =
            Prey { run: &self.dir.run, root: Some(me()), docker: self.submission.compose.is_some(), guest: guest.as_ref() };
        let needles = &self.secrets.needles;
        let mut console = Console {
            log: &mut self.log,
            needles,
            watcher,
            streams: [Masked::new(needles, Stream::Stdout), Masked::new(needles, Stream::Stderr)],
            fresh: false,
            watch: self.watch.as_ref(),
        };
        let dir = self.dir;
        let until = until(&self.inbox, self.deadline, &prey, dir, self.deaf);
        let ended = process::run(&marked(spawn, dir), &mut console, &until.borrow());
        console.watcher.finish();
        self.withheld |= console.streams.iter().any(|stream| stream.mask.has_failed());
        ended
    }

    /// Runs a command of a step and keeps what it printed, unmasked.
    pub(super) fn capture(&mut self, spawn: &Spawn) -> io::Result<(Ended, Capture)> {
        let guest = self.guest.clone();
        let prey =
            Prey { run: &self.dir.run, root: Some(me()), docker: self.submission.compose.is_some(), guest: guest.as_ref() };
        let mut kept = Capture::default();
        let until = until(&self.inbox, self.deadline, &prey, self.dir, self.deaf);
        let ended = process::run(&marked(spawn, self.dir), &mut kept, &until.borrow())?;
        Ok((ended, kept))
    }

    /// Puts text that was kept into the log after all, masked: where it turns out that a person must see it.
    pub(super) fn show(&mut self, stream: Stream, text: &[u8]) {
        let mut masked = Guarded::new(&self.secrets.needles);
        masked.push(text);
        masked.finish();
        self.withheld |= masked.has_failed();
        for line in masked.out.split_inclusive(|byte| *byte == b'\n') {
            self.log.output(stream, line.strip_suffix(b"\n").unwrap_or(line), false);
        }
    }

    /// Waits, but not past a cancel or the step's deadline. False when it was cut short.
    pub(super) fn pause(&mut self, until: Instant) -> bool {
        loop {
            self.inbox.clear();
            let now = Instant::now();
            if self.cancelled() || self.deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            if until <= now {
                return true;
            }
            let wake = self.deadline.map_or(until, |deadline| deadline.min(until));
            let mut set = [rustix::event::PollFd::new(&self.inbox, rustix::event::PollFlags::IN)];
            let _ = process::wait_any(&mut set, Some(wake.saturating_duration_since(now)));
        }
    }

    /// Waits even behind a cancel, for what must be known all the same; another cancel ends it. False when it was cut short.
    pub(super) fn rest(&mut self, until: Instant) -> bool {
        loop {
            self.inbox.clear();
            if self.dir.marked("cancel.again").is_some() {
                return false;
            }
            let now = Instant::now();
            if until <= now {
                return true;
            }
            let mut set = [rustix::event::PollFd::new(&self.inbox, rustix::event::PollFlags::IN)];
            let _ = process::wait_any(&mut set, Some(until.saturating_duration_since(now)));
        }
    }

    /// What a stopped command means for its step.
    pub(super) fn stopped(&self, stopped: Stopped, left: &[String], step: &HostStep) -> Outcome {
        let (status, why) = match stopped {
            Stopped::Cancelled => {
                let who = self.dir.marked("cancel.again").or_else(|| self.dir.marked("cancel")).unwrap_or_default();
                (Status::Cancelled, format!("cancelled by {who}"))
            }
            Stopped::TimedOut => {
                let limit = Duration::from_millis(step.timeout_ms.unwrap_or_default());
                (Status::TimedOut, format!("not done after {}", humantime::format_duration(limit)))
            }
        };
        if left.is_empty() {
            return Outcome::of(status, format!("{why}; nothing of it is left"));
        }
        Outcome::unknown(format!("{why}; still there: {}", left.join(", ")))
    }
}

/// The same with the run's mark, so that it is found even when its supervisor is dead.
fn marked(spawn: &Spawn, dir: &RunDir) -> Spawn {
    let mut spawn = spawn.clone();
    spawn.env.push((super::kill::MARK.into(), dir.run.to_string()));
    spawn
}

/// One who has heeded a cancel hears only the next.
fn is_cancelled(dir: &RunDir, deaf: bool) -> bool {
    dir.marked(if deaf { "cancel.again" } else { "cancel" }).is_some()
}

fn me() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// The closures behind an [`Until`], kept alive beside it.
struct Stopping<'a> {
    inbox: &'a Watch,
    deadline: Option<Instant>,
    cancelled: Box<dyn Fn() -> bool + 'a>,
    terminate: Box<dyn Fn(i32) + 'a>,
    exterminate: Box<dyn Fn(i32) -> Vec<String> + 'a>,
}

impl Stopping<'_> {
    fn borrow(&self) -> Until<'_> {
        Until {
            deadline: self.deadline,
            reap: true,
            inbox: Some(self.inbox),
            cancelled: &self.cancelled,
            grace: GRACE,
            terminate: &self.terminate,
            exterminate: &self.exterminate,
        }
    }
}

fn until<'a>(inbox: &'a Watch, deadline: Option<Instant>, prey: &'a Prey<'a>, dir: &'a RunDir, deaf: bool) -> Stopping<'a> {
    Stopping {
        inbox,
        deadline,
        cancelled: Box::new(move || is_cancelled(dir, deaf)),
        terminate: Box::new(|_| prey.terminate()),
        exterminate: Box::new(|_| prey.exterminate()),
    }
}

/// One output stream on its way through the mask into the log.
struct Masked {
    stream: Stream,
    mask: Guarded,
}

impl Masked {
    fn new(needles: &Arc<Needles>, stream: Stream) -> Self {
        Self { stream, mask: Guarded::new(needles) }
    }

    /// Logs whole lines, and with `all` the rest as a piece of one.
    fn log(&mut self, log: &mut Log, all: bool) {
        let line = &mut self.mask.out;
        let end = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if end > 0 {
            log.lines(self.stream, &line[..end]);
            line.drain(..end);
        }
        if !line.is_empty() && (all || line.len() > crate::record::MAX_TEXT) {
            log.output(self.stream, line, true);
            line.clear();
        }
    }
}

struct Console<'a> {
    log: &'a mut Log,
    needles: &'a Arc<Needles>,
    watcher: &'a mut Watcher,
    streams: [Masked; 2],
    /// Something came since the last idle moment.
    fresh: bool,
    watch: Option<&'a (Watching, StepName)>,
}

/// A partial match of more bytes than this is not let go before it is decided: it may be a secret.
const HARMLESS: usize = 3;

impl Console<'_> {
    fn let_go(&mut self, index: usize) {
        let masked = &mut self.streams[index];
        masked.mask.idle_flush(HARMLESS);
        masked.log(self.log, true);
    }
}

impl Sink for Console<'_> {
    fn data(&mut self, stream: Stream, bytes: &[u8]) {
        self.fresh = true;
        self.watcher.push(stream, bytes);
        let index = usize::from(stream == Stream::Stderr);
        // The other stream spoke before this one: what it said comes first.
        self.let_go(1 - index);
        let masked = &mut self.streams[index];
        masked.mask.push(bytes);
        masked.log(self.log, false);
    }

    fn idle(&mut self) {
        if let Some((watch, step)) = self.watch {
            for text in watch.told() {
                let text = mask_text(self.needles, &text);
                self.log.event(Some(step), Body::Warning { text });
            }
        }
        if std::mem::take(&mut self.fresh) {
            self.let_go(0);
            self.let_go(1);
        }
    }

    fn waits(&self) -> bool {
        self.fresh && self.streams.iter().any(|masked| masked.mask.held() > 0 || !masked.mask.out.is_empty())
    }

    fn end(&mut self, stream: Stream) {
        let masked = &mut self.streams[usize::from(stream == Stream::Stderr)];
        masked.mask.finish();
        masked.log(self.log, true);
    }
}

impl Stage<'_> {
    /// Values for an environment or for headers: as they stand, or looked up among this host's own secrets.
    pub(super) fn values(&self, named: &BTreeMap<String, crate::secret::Value>) -> Result<Vec<(String, String)>, String> {
        named.iter().map(|(key, value)| Ok((key.clone(), self.secrets.resolve(value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Judge;
    use crate::host::mask::Masker;

    #[test]
    fn output_whose_mask_fails_never_reaches_the_record_and_the_end_says_so() {
        let temp = tempfile::tempdir().expect("folder");
        let path = temp.path().join("log");
        let mut log = Log::open(&path, crate::name::RunId::from_random([1; 6]), "droplet-1".parse().expect("name")).expect("log");
        let mut watcher = Watcher::new(&Judge::default(), &[]);
        let failing = Masked { stream: Stream::Stdout, mask: Guarded::of(Masker::failing_at(20)) };
        let sound = Masked::new(&Arc::new(Needles::none()), Stream::Stderr);
        let needles = Arc::new(Needles::none());
        let mut console = Console {
            log: &mut log,
            needles: &needles,
            watcher: &mut watcher,
            streams: [failing, sound],
            fresh: false,
            watch: None,
        };
        console.data(Stream::Stdout, b"before\n");
        console.data(Stream::Stdout, b"the password is x\nand y\n");
        console.data(Stream::Stderr, b"beside\n");
        console.data(Stream::Stdout, b"the password is z\n");
        console.idle();
        console.end(Stream::Stdout);
        console.end(Stream::Stderr);
        assert!(console.streams[0].mask.has_failed() && !console.streams[1].mask.has_failed());
        let written = String::from_utf8(std::fs::read(&path).expect("log")).expect("text");
        assert!(written.contains("before") && written.contains("beside") && !written.contains("password"), "{written}");
        let said = Outcome::failed("exit code 1").withheld().detail;
        assert_eq!(said.as_deref(), Some("exit code 1; its output is withheld, for its mask failed"));
        assert_eq!(Outcome::ok().withheld().detail.as_deref(), Some("its output is withheld, for its mask failed"));
    }
}

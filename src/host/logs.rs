//! The logs of a service's containers for somebody who reads them now: masked, and with the time of each line, so that one who lost
//! the connection can go on. Nothing of it is kept, and nothing of it outlives the connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::docker;
use super::gather;
use super::guard::Guarded;
use super::mask::Needles;
use super::process::{self, Sink, Spawn, Until};
use super::survey;
use crate::event::Stream;
use crate::facts::Refusal;
use crate::name::ServiceName;
use crate::protocol::{ComposeProject, LogLine};
use crate::secret::SecretSources;

/// How often it is looked whether there is a new container.
const LOOK: Duration = Duration::from_secs(2);
/// A partial match of more bytes than this is not let go before it is decided.
const HARMLESS: usize = 3;
/// A line longer than this travels in pieces.
const LINE: usize = 64 << 10;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) compose: ComposeProject,
    pub(super) secrets: SecretSources,
    pub(super) service: ServiceName,
    pub(super) follow: bool,
    pub(super) since: Option<String>,
    pub(super) tail: Option<u32>,
}

/// Takes bytes on their way; false when nobody is there any more.
type Send<'a> = &'a (dyn Fn(&[u8]) -> bool + Sync);

/// Reads the logs to their end; those that are followed, until nobody listens any more.
pub(super) fn read(asked: &Asked, send: Send<'_>) -> Result<(), Refusal> {
    let (mut secrets, config) = gather::of_service(&asked.compose, &asked.secrets, &asked.service)?;
    if !config.services.contains_key(asked.service.as_str()) {
        return Err(survey::unknown_service(&asked.service, &config));
    }
    if asked.since.as_ref().is_some_and(|since| !since.chars().all(|c| c.is_ascii_alphanumeric() || ":.+-".contains(c))) {
        return Err(Refusal { code: 7, message: "a time that is none".to_owned(), remedy: None });
    }
    let turn = Mutex::new(());
    let one_after_the_other = |bytes: &[u8]| {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        send(bytes)
    };
    // Those that are read now, and up to when those were read that ended.
    let open: Mutex<BTreeSet<String>> = Mutex::default();
    let until: Mutex<BTreeMap<String, String>> = Mutex::default();
    let gone = std::sync::atomic::AtomicBool::new(false);
    let mut known: BTreeSet<String> = BTreeSet::new();
    thread::scope(|scope| {
        loop {
            // Docker that is restarted has no containers for a while.
            let there = containers(&config.name, &asked.service).unwrap_or_default();
            if there.is_empty() && !asked.follow {
                let message = format!("there is no container of {}", asked.service);
                return Err(Refusal { code: 7, message, remedy: Some("docker compose ps -a".to_owned()) });
            }
            let busy = |id: &String| open.lock().unwrap_or_else(PoisonError::into_inner).contains(id);
            // One that has ended and was read says no more until it runs again.
            let new: Vec<Container> =
                there.into_iter().filter(|of| !busy(&of.id) && (of.running || !known.contains(&of.id))).collect();
            if !known.is_empty() && new.iter().any(|of| !known.contains(&of.id)) {
                // A new container may have been given new secrets.
                secrets = gather::of_service(&asked.compose, &asked.secrets, &asked.service)?.0;
            }
            for container in new {
                let again = !known.insert(container.id.clone());
                open.lock().unwrap_or_else(PoisonError::into_inner).insert(container.id.clone());
                let needles = Arc::clone(&secrets.needles);
                let (open, until, gone, send) = (&open, &until, &gone, &one_after_the_other);
                scope.spawn(move || {
                    let seen = until.lock().unwrap_or_else(PoisonError::into_inner).get(&container.id).cloned();
                    let since = if again { seen } else { asked.since.clone() };
                    let tail = asked.tail.filter(|_| !again);
                    let mut reading = Reading::new(&container.name, &needles, send);
                    reading.begin();
                    let spawn = command(&container.id, asked.follow, since.as_deref(), tail);
                    let _ = process::run(&spawn, &mut reading, &for_ever());
                    if !reading.alive {
                        gone.store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                    until.lock().unwrap_or_else(PoisonError::into_inner).insert(container.id.clone(), reading.last);
                    open.lock().unwrap_or_else(PoisonError::into_inner).remove(&container.id);
                });
            }
            if !asked.follow || gone.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    })
}

/// A container of the service.
#[derive(Debug)]
struct Container {
    id: String,
    name: String,
    running: bool,
}

fn containers(project: &str, service: &ServiceName) -> Result<Vec<Container>, docker::Trouble> {
    let filters = [
        format!("label=com.docker.compose.project={project}"),
        format!("label=com.docker.compose.service={service}"),
        "label=com.docker.compose.oneoff=False".to_owned(),
    ];
    let mut words = vec!["ps", "-a", "--no-trunc"];
    words.extend(filters.iter().flat_map(|filter| ["--filter", filter.as_str()]));
    words.extend(["--format", "{{.ID}} {{.Label \"com.docker.compose.container-number\"}} {{.State}}"]);
    let list = docker::run(&words)?;
    let container = |line: &str| {
        let mut words = line.split_whitespace();
        let (id, number, state) = (words.next()?, words.next()?, words.next()?);
        Some(Container { id: id.to_owned(), name: format!("{service}-{number}"), running: state == "running" })
    };
    Ok(list.lines().filter_map(container).collect())
}

/// `docker logs`, which ends with the thread that reads it, however that ends.
fn command(id: &str, follow: bool, since: Option<&str>, tail: Option<u32>) -> Spawn {
    let mut argv: Vec<OsString> = vec!["/proc/self/exe".into(), "leash".into(), std::process::id().to_string().into()];
    argv.extend(["docker", "logs", "--timestamps"].map(OsString::from));
    argv.extend(follow.then(|| "--follow".into()));
    argv.extend(since.map(|since| format!("--since={since}").into()));
    argv.extend(tail.map(|tail| format!("--tail={tail}").into()));
    argv.extend(["--".into(), id.into()]);
    Spawn::new(argv)
}

/// The process: `landfall-host leash PARENT COMMAND…`. It becomes the command, which is killed when its parent is gone.
pub(super) fn leash(parent: &str, command: &[&str]) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let held = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let parent_now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    // One that went before it was tied to it would never be missed.
    let ([program, args @ ..], Ok(()), Some(true)) = (command, held, parent_now.map(|now| now == parent)) else {
        return ExitCode::FAILURE;
    };
    let _ = std::process::Command::new(program).args(args).exec();
    ExitCode::from(127)
}

fn for_ever() -> Until<'static> {
    Until {
        deadline: None,
        reap: false,
        inbox: None,
        cancelled: &|| false,
        grace: LOOK,
        terminate: &|_| {},
        exterminate: &|_| Vec::new(),
    }
}

/// One container's log on its way through the mask. Times are taken off before: they would part what a secret is made of.
struct Reading<'a> {
    container: &'a str,
    halves: [Half; 2],
    send: Send<'a>,
    /// The newest time of any line.
    last: String,
    fresh: bool,
    /// Somebody listens.
    alive: bool,
}

struct Half {
    stream: Stream,
    line: Vec<u8>,
    mask: Guarded,
    /// When the newest line of it was written.
    time: String,
    /// When those were that the mask has in hand, the oldest first: a line bears the same time however it is read.
    times: VecDeque<String>,
}

impl<'a> Reading<'a> {
    fn new(container: &'a str, needles: &Arc<Needles>, send: Send<'a>) -> Self {
        let half =
            |stream| Half { stream, line: Vec::new(), mask: Guarded::new(needles), time: String::new(), times: VecDeque::new() };
        let halves = [half(Stream::Stdout), half(Stream::Stderr)];
        Self { container, halves, send, last: String::new(), fresh: false, alive: true }
    }

    /// Says that it is read anew from here on.
    fn begin(&mut self) {
        let begin =
            LogLine { container: self.container.to_owned(), stream: Stream::Stdout, time: String::new(), text: Vec::new() };
        let mut bytes = Vec::new();
        begin.write(&mut bytes);
        self.alive &= (self.send)(&bytes);
    }

    /// Sends the lines that the mask has let go; with `all` also what has no end.
    fn pass(&mut self, index: usize, all: bool) {
        let half = &mut self.halves[index];
        let out = &mut half.mask.out;
        let end = out.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = if all { out.len() } else { end };
        if end == 0 {
            return;
        }
        let mut bytes = Vec::new();
        for line in out[..end].split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
            let time = half.times.pop_front().unwrap_or_else(|| half.time.clone());
            LogLine { container: self.container.to_owned(), stream: half.stream, time, text }.write(&mut bytes);
        }
        out.drain(..end);
        if out.is_empty() && half.mask.held() == 0 {
            // A secret of several lines has become one of them.
            half.times.clear();
        }
        self.alive &= (self.send)(&bytes);
    }

    fn take(&mut self, index: usize) {
        let half = &mut self.halves[index];
        let line = std::mem::take(&mut half.line);
        let blank = line.iter().position(|byte| *byte == b' ').filter(|at| (20..=35).contains(at));
        let (time, text) = blank.map_or((None, line.as_slice()), |at| (std::str::from_utf8(&line[..at]).ok(), &line[at + 1..]));
        if let Some(time) = time {
            time.clone_into(&mut half.time);
            if self.last.as_str() < time {
                time.clone_into(&mut self.last);
            }
        }
        half.times.push_back(half.time.clone());
        half.mask.push(text);
        half.mask.push(b"\n");
        self.pass(index, false);
    }
}

impl Sink for Reading<'_> {
    fn data(&mut self, stream: Stream, bytes: &[u8]) {
        self.fresh = true;
        let index = usize::from(stream == Stream::Stderr);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            self.halves[index].line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if whole || self.halves[index].line.len() > LINE {
                self.take(index);
            }
        }
    }

    fn idle(&mut self) {
        if std::mem::take(&mut self.fresh) {
            for index in 0..2 {
                self.halves[index].mask.idle_flush(HARMLESS);
                self.pass(index, false);
            }
        }
    }

    fn waits(&self) -> bool {
        self.fresh && self.halves.iter().any(|half| half.mask.held() > 0)
    }

    fn end(&mut self, stream: Stream) {
        let index = usize::from(stream == Stream::Stderr);
        if !self.halves[index].line.is_empty() {
            self.take(index);
        }
        self.halves[index].mask.finish();
        self.pass(index, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_and_do_not_part_a_secret() {
        let sent = Mutex::new(Vec::new());
        let send = |bytes: &[u8]| {
            sent.lock().expect("sent").extend_from_slice(bytes);
            true
        };
        let mut secrets = SecretSources::default().read().expect("nothing");
        secrets.add("TOKEN", "first-half\nsecond-half", &super::super::secrets::Origin::Compose("api".to_owned()));
        let loaded = secrets.finish().expect("secrets");
        let mut reading = Reading::new("api-1", &loaded.needles, &send);
        reading.begin();
        reading.data(
            Stream::Stdout,
            b"2026-01-01T00:00:00.000000001Z plain\n2026-01-01T00:00:00.000000002Z first-half\n2026-01-01T",
        );
        reading.data(Stream::Stdout, b"00:00:00.000000003Z second-half\n");
        reading.data(Stream::Stderr, b"2026-01-01T00:00:00.000000009Z beside");
        reading.end(Stream::Stdout);
        reading.end(Stream::Stderr);
        let text = String::from_utf8(sent.lock().expect("sent").clone()).expect("text");
        let lines: Vec<LogLine> = text.lines().filter_map(|line| LogLine::read(line.as_bytes())).collect();
        let texts: Vec<(String, &str)> =
            lines.iter().map(|line| (String::from_utf8_lossy(&line.text).into_owned(), line.time.as_str())).collect();
        assert_eq!(texts[0], (String::new(), ""));
        assert_eq!(texts[1], ("plain".to_owned(), "2026-01-01T00:00:00.000000001Z"));
        assert!(!text.contains("first-half") && !text.contains("second-half"), "{text}");
        assert!(text.contains("[masked:TOKEN]"), "{text}");
        assert_eq!((texts.last().expect("a line").0.as_str(), lines.last().expect("a line").stream), ("beside", Stream::Stderr));
        assert_eq!(reading.last, "2026-01-01T00:00:00.000000009Z");
    }
}

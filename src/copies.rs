//! The client's own copies of runs: each run's events, as they were told to reporters, in a file of the user's state folder. Private to
//! the user, bounded in size, number and age. Knows nothing of hosts, and shows nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::event::{Body, Event, Status, Timestamp, VERSION};
use crate::name::{HostName, RunId};
use crate::report::{Reporter, Sink};

/// The most of one run's output that is copied; the hosts have all of it.
const OUTPUT: u64 = 32 << 20;
/// The most of one run that is copied.
const COPY: u64 = 64 << 20;
/// The longest line that is read back.
const LONGEST: u64 = 2 << 20;
/// What is kept: so many runs, for so long, in so many bytes.
const KEPT: (usize, Duration, u64) = (500, Duration::from_hours(24 * 400), 1 << 30);

/// The folder of the copies.
#[derive(Debug, Clone)]
pub struct Copies {
    dir: PathBuf,
}

/// What a copy says about its run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// The run.
    pub run: RunId,
    /// The project, as the inventory names it.
    pub project: String,
    /// The playbook.
    pub playbook: String,
    /// Who started it.
    pub who: String,
    /// When, RFC 3339.
    pub since: String,
    /// The note given with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// All hosts of the run.
    pub hosts: Vec<HostName>,
    /// How it ended, and its exit code; none: this client did not see the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<(Status, u8)>,
    #[serde(skip)]
    path: PathBuf,
}

/// The first line of a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    v: u32,
    project: String,
    config: PathBuf,
}

impl Copies {
    /// Opens it in the user's state folder.
    pub fn open() -> io::Result<Self> {
        Self::at(&state_folder("runs")?)
    }

    /// Opens it elsewhere.
    pub fn at(dir: &Path) -> io::Result<Self> {
        make_private(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// A reporter that copies a run.
    pub fn recorder(&self, project: &str, config: &Path) -> Recorder {
        let header = Header { v: VERSION, project: project.to_owned(), config: config.to_owned() };
        let recorder =
            Recorder { copies: self.clone(), header, file: None, open: Vec::new(), output: 0, size: 0, cut: false, failed: None };
        self.keep(SystemTime::now());
        recorder
    }

    /// All runs that are here, newest first; what cannot be read is passed over.
    pub fn runs(&self) -> Vec<Told> {
        let mut runs: Vec<Told> = self.files().iter().filter_map(|(path, ..)| told(path)).collect();
        runs.sort_by(|a, b| (&b.since, &a.run).cmp(&(&a.since, &b.run)));
        runs
    }

    /// The files with their times and sizes, newest first.
    fn files(&self) -> Vec<(PathBuf, SystemTime, u64)> {
        let of = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok()?;
            Some((entry.path(), metadata.modified().ok()?, metadata.len()))
        };
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut files: Vec<_> =
            entries.filter_map(of).filter(|(path, ..)| path.extension().is_some_and(|end| end == "jsonl")).collect();
        files.sort_by_key(|(_, at, _)| std::cmp::Reverse(*at));
        files
    }

    /// Removes what is too old or too much.
    fn keep(&self, now: SystemTime) {
        let (runs, age, bytes) = KEPT;
        let mut total = 0;
        for (n, (path, at, size)) in self.files().into_iter().enumerate() {
            total += size;
            if n >= runs || total > bytes || now.duration_since(at).is_ok_and(|passed| passed > age) {
                // Whoever else does the same meanwhile has the same wish.
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Told {
    /// Tells the run's events again, in the order in which they came.
    pub fn play(&self, mut tell: impl FnMut(Event)) -> io::Result<()> {
        let mut lines = BufReader::new(File::open(&self.path)?);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.by_ref().take(LONGEST).read_line(&mut line)? == 0 {
                return Ok(());
            }
            // The header is no event, and a line that was cut off is none either.
            if let Ok(event) = serde_json::from_str::<Event>(&line)
                && event.body != Body::Unknown
            {
                tell(event);
            }
        }
    }
}

fn told(path: &Path) -> Option<Told> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut line = String::new();
    file.by_ref().take(LONGEST).read_line(&mut line).ok()?;
    let header: Header = serde_json::from_str(&line).ok()?;
    line.clear();
    file.by_ref().take(LONGEST).read_line(&mut line).ok()?;
    let first: Event = serde_json::from_str(&line).ok()?;
    let Body::RunStarted { playbook, hosts, who, note, .. } = first.body else { return None };
    // Who watched later began by a later clock than the hosts.
    let mut since = first.time;
    for _ in 0..3 {
        line.clear();
        file.by_ref().take(LONGEST).read_line(&mut line).ok()?;
        since = serde_json::from_str::<Event>(&line).map_or(since.clone(), |event| event.time.min(since));
    }
    let last = last_event(file.get_mut());
    let end = match last.as_ref().map(|last| &last.body) {
        Some(Body::RunFinished { status, exit_code, .. }) => Some((*status, *exit_code)),
        _ => None,
    };
    // One that waited for a lock ends under another id than it began with.
    let run = last.map_or(first.run, |last| last.run);
    Some(Told { run, project: header.project, playbook, who, since: since.to_string(), note, hosts, end, path: path.to_owned() })
}

fn last_event(file: &mut File) -> Option<Event> {
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let last = tail.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(last).ok()
}

/// Copies a run.
#[derive(Debug)]
pub struct Recorder {
    copies: Copies,
    header: Header,
    file: Option<Draft>,
    /// Hosts that have not told their end.
    open: Vec<HostName>,
    output: u64,
    size: u64,
    cut: bool,
    failed: Option<io::Error>,
}

#[derive(Debug)]
struct Draft {
    out: BufWriter<File>,
    path: PathBuf,
    run: RunId,
    ended: bool,
}

impl Recorder {
    fn begin(&mut self, run: &RunId) -> io::Result<Draft> {
        // A run that was watched before is copied anew beside its copy.
        let new = |end: &str| {
            let path = self.copies.dir.join(format!("{run}.{end}"));
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map(|file| (file, path))
        };
        let (file, path) = new("jsonl").or_else(|_| new(&format!("{}.again", std::process::id())))?;
        let mut draft = Draft { out: BufWriter::with_capacity(64 << 10, file), path, run: run.clone(), ended: false };
        serde_json::to_writer(&mut draft.out, &self.header)?;
        draft.out.write_all(b"\n")?;
        Ok(draft)
    }

    fn take(&mut self, event: &Event) -> io::Result<()> {
        match &event.body {
            Body::Output { .. } if self.cut => return Ok(()),
            Body::RunStarted { hosts, .. } => self.open.clone_from(hosts),
            Body::HostFinished { .. } => self.open.retain(|host| Some(host) != event.host.as_ref()),
            // It was handed over, and this client does not see its end.
            Body::RunFinished { status: Status::Ok, .. } if !self.open.is_empty() => return Ok(()),
            _ => {}
        }
        let text = serde_json::to_string(event)?;
        let length = text.len() as u64 + 1;
        let output = matches!(event.body, Body::Output { .. });
        let too_much = output && self.output + length > OUTPUT || self.size + length > COPY;
        // The end is always told.
        if too_much && !matches!(event.body, Body::RunFinished { .. }) {
            if !std::mem::replace(&mut self.cut, true) {
                let text = "not all of this run is kept here: its hosts have the rest".to_owned();
                let warning = Event {
                    step: None,
                    host: None,
                    time: Timestamp::of(SystemTime::now()),
                    body: Body::Warning { text },
                    ..event.clone()
                };
                return self.write(&serde_json::to_string(&warning)?, event);
            }
            return Ok(());
        }
        self.output += if output { length } else { 0 };
        self.write(&text, event)
    }

    fn write(&mut self, text: &str, event: &Event) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.begin(&event.run)?);
        }
        let Some(draft) = &mut self.file else { return Ok(()) };
        draft.out.write_all(text.as_bytes())?;
        draft.out.write_all(b"\n")?;
        self.size += text.len() as u64 + 1;
        draft.run = event.run.clone();
        draft.ended |= matches!(event.body, Body::RunFinished { .. });
        // Whatever happens to this process, not more than the output of one step is missing.
        if !matches!(event.body, Body::Output { .. }) {
            draft.out.flush()?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(mut draft) = self.file.take() else { return Ok(()) };
        draft.out.flush()?;
        let place = self.copies.dir.join(format!("{}.jsonl", draft.run));
        if draft.path == place {
            return Ok(());
        }
        // Of two copies, the first that knows the end stays: it was there when it happened.
        let known = told(&place).is_some_and(|known| known.end.is_some());
        if !known && draft.ended || !place.exists() { fs::rename(&draft.path, place) } else { fs::remove_file(&draft.path) }
    }
}

impl Reporter for Recorder {
    fn event(&mut self, event: &Event) {
        if self.failed.is_none() && event.body != Body::Unknown {
            self.failed = self.take(event).err();
        }
    }

    fn finish(&mut self) {
        let ended = self.end().err();
        if let Some(error) = self.failed.take().or(ended) {
            Sink::stderr().line(&format!("warning: this machine has no whole copy of the run, its hosts have: {error}"));
        }
    }
}

/// A folder of this user's own for what outlives a command (the XDG base directory for state).
pub fn state_folder(name: &str) -> io::Result<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().map_err(|error| io::Error::other(error.to_string()))?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("landfall").join(name))
}

/// Makes a folder that nobody else may look into, where there is none.
pub fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::event::Stream;

    fn event(run: u8, body: Body) -> Event {
        let time = "2026-05-04T10:00:00.000Z";
        Event { v: VERSION, time: time.into(), run: RunId::from_random([run; 6]), host: None, step: None, body }
    }

    fn start(run: u8) -> Event {
        let (plan, who) = (String::new(), "ana@laptop".to_owned());
        event(run, Body::RunStarted { playbook: "release".into(), hosts: vec![], plan, who, note: None })
    }

    fn end(run: u8) -> Event {
        event(run, Body::RunFinished { status: Status::Failed, exit_code: 4, duration_ms: 1 })
    }

    fn line(run: u8, text: String) -> Event {
        event(run, Body::Output { stream: Stream::Stdout, text, bytes: None, partial: false })
    }

    fn copy(copies: &Copies, events: &[Event]) {
        let mut recorder = copies.recorder("etally", Path::new("landfall.toml"));
        for event in events {
            recorder.event(event);
        }
        recorder.finish();
    }

    fn modes(dir: &Path) -> Vec<(String, u32)> {
        let of = |entry: fs::DirEntry| {
            (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().permissions().mode() & 0o777)
        };
        fs::read_dir(dir).unwrap().map(|entry| of(entry.unwrap())).collect()
    }

    #[test]
    fn a_run_comes_back_as_it_was_told() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/runs");
        let copies = Copies::at(&dir).unwrap();
        let events = [start(1), line(1, "x".into()), end(1)];
        copy(&copies, &events);
        let runs = copies.runs();
        assert_eq!((runs.len(), runs[0].end, runs[0].project.as_str()), (1, Some((Status::Failed, 4)), "etally"));
        let mut again = Vec::new();
        runs[0].play(|event| again.push(event)).unwrap();
        assert_eq!(again, events);
        assert_eq!(modes(&dir), [(format!("{}.jsonl", RunId::from_random([1; 6])), 0o600)]);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn of_two_copies_the_one_that_knows_the_end_stays() {
        let temp = tempfile::tempdir().unwrap();
        let copies = Copies::at(temp.path()).unwrap();
        copy(&copies, &[start(1), end(1)]);
        copy(&copies, &[start(1), line(1, "watched for a while".into())]);
        let earlier = Event { time: "2026-05-04T09:00:00.000Z".into(), ..line(1, "watched to its end".into()) };
        copy(&copies, &[start(1), earlier.clone(), end(1)]);
        assert!(copies.runs()[0].end.is_some() && copies.runs()[0].since.contains("T10:00"));
        copy(&copies, &[start(3), Event { run: start(3).run, ..earlier }, end(3)]);
        assert!(copies.runs().iter().any(|run| run.since.contains("T09:00")));
        copy(&copies, &[start(2)]);
        assert_eq!(copies.runs().iter().find(|run| run.run == RunId::from_random([2; 6])).unwrap().end, None);
        copy(&copies, &[start(2), end(2)]);
        assert!(copies.runs().iter().all(|run| run.end.is_some()));
        assert_eq!(modes(temp.path()).len(), 3);
    }

    #[test]
    fn what_was_handed_over_has_no_end_here() {
        let temp = tempfile::tempdir().unwrap();
        let copies = Copies::at(temp.path()).unwrap();
        let (plan, who, hosts) = (String::new(), String::new(), vec!["web-1".parse().unwrap()]);
        let start = event(1, Body::RunStarted { playbook: "release".into(), hosts, plan, who, note: None });
        let finished = event(1, Body::RunFinished { status: Status::Ok, exit_code: 0, duration_ms: 1 });
        copy(&copies, &[start.clone(), finished.clone()]);
        assert_eq!(copies.runs()[0].end, None);
        let host = event(1, Body::HostFinished { status: Status::Ok, exit_code: 0, duration_ms: 1 });
        copy(&copies, &[start, Event { host: "web-1".parse().ok(), ..host }, finished]);
        assert_eq!(copies.runs()[0].end, Some((Status::Ok, 0)));
    }

    #[test]
    fn one_that_waited_for_a_lock_is_known_by_its_last_name() {
        let temp = tempfile::tempdir().unwrap();
        let copies = Copies::at(temp.path()).unwrap();
        copy(&copies, &[start(1), line(2, "x".into()), end(2)]);
        assert_eq!(copies.runs()[0].run, RunId::from_random([2; 6]));
        assert_eq!(modes(temp.path())[0].0, format!("{}.jsonl", RunId::from_random([2; 6])));
    }

    #[test]
    fn much_output_is_cut_and_its_end_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let copies = Copies::at(temp.path()).unwrap();
        let mut recorder = copies.recorder("etally", Path::new("landfall.toml"));
        recorder.event(&start(1));
        let long = line(1, "x".repeat(1 << 20));
        (0..40).for_each(|_| recorder.event(&long));
        recorder.event(&end(1));
        recorder.finish();
        let run = &copies.runs()[0];
        assert!(run.end.is_some() && fs::metadata(&run.path).unwrap().len() < OUTPUT + (1 << 16));
        let mut warned = 0;
        run.play(|event| warned += usize::from(matches!(event.body, Body::Warning { .. }))).unwrap();
        assert_eq!(warned, 1);
    }

    #[test]
    fn old_copies_go() {
        let temp = tempfile::tempdir().unwrap();
        let copies = Copies::at(temp.path()).unwrap();
        copy(&copies, &[start(1), end(1)]);
        copy(&copies, &[start(2), end(2)]);
        let old = SystemTime::now() - KEPT.1 - Duration::from_mins(1);
        File::options().write(true).open(&copies.runs()[1].path).unwrap().set_modified(old).unwrap();
        copies.keep(SystemTime::now());
        assert_eq!(copies.runs().len(), 1);
    }
}

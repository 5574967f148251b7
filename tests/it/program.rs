//! `landfall` as a process: what it printed and when, its signals, its exit code.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest that any run of these tests may take: no measure of Landfall, but of how busy the machine may be.
const LIMIT: Duration = Duration::from_mins(10);
/// The longest that something to come is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

type Lines = Arc<Mutex<Vec<(SystemTime, String)>>>;

/// It, under way.
pub(crate) struct Running {
    child: Child,
    out: Lines,
    err: Lines,
    readers: Vec<JoinHandle<()>>,
    what: String,
}

/// What became of it.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The lines of stdout, each with the moment it came.
    pub(crate) lines: Vec<(SystemTime, String)>,
    pub(crate) took: Duration,
}

fn read(from: impl Read + Send + 'static, into: &Lines) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            into.lock().unwrap().push((SystemTime::now(), text));
            line.clear();
        }
    })
}

fn text(lines: &Lines) -> String {
    lines.lock().unwrap().iter().fold(String::new(), |text, (_, line)| text + line + "\n")
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("landfall");
        let (out, err) = (Lines::default(), Lines::default());
        let readers = vec![read(child.stdout.take().unwrap(), &out), read(child.stderr.take().unwrap(), &err)];
        Self { child, out, err, readers, what: format!("{:?}", command.get_args().collect::<Vec<_>>()) }
    }

    fn told(&self) -> String {
        format!("landfall {}\n--- stdout\n{}--- stderr\n{}", self.what, text(&self.out), text(&self.err))
    }

    /// Waits until a line of stdout or stderr holds this.
    pub(crate) fn until(&self, holds: &str) {
        let end = Instant::now() + PATIENCE;
        let said = |lines: &Lines| lines.lock().unwrap().iter().any(|(_, line)| line.contains(holds));
        while !said(&self.out) && !said(&self.err) {
            assert!(Instant::now() < end, "{holds:?} was not said within {PATIENCE:?} by {}", self.told());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has said on stdout so far.
    pub(crate) fn said(&self) -> String {
        text(&self.out)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// The run's id, once an event has told it.
    pub(crate) fn run(&self) -> String {
        self.until("\"run\":");
        let lines = self.out.lock().unwrap();
        let event: Value = serde_json::from_str(&lines[0].1).expect("event");
        event["run"].as_str().expect("run").to_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signal");
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        let began = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                use std::os::unix::process::ExitStatusExt;
                break status.code().unwrap_or_else(|| -status.signal().unwrap_or(999));
            }
            if began.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("not over within {LIMIT:?}: {}", self.told());
            }
            thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let lines = self.out.lock().unwrap().clone();
        Output { code, stdout: text(&self.out), stderr: text(&self.err), lines, took: began.elapsed() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

impl Output {
    /// Everything it said.
    pub(crate) fn said(&self) -> String {
        format!("exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// Asserts on the exit code and on what was said, piece by piece.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, pieces: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.said());
        let said = self.said();
        for piece in pieces {
            assert!(said.contains(piece), "no {piece:?} in: {said}");
        }
        self
    }

    /// Its events.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Its events of a type.
    #[track_caller]
    pub(crate) fn of_type(&self, of: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["type"] == of).collect()
    }

    /// How a step ended on a host (or on the only one).
    #[track_caller]
    pub(crate) fn finished(&self, host: Option<&str>, step: &str) -> Value {
        let mut found = self.of_type("step_finished").into_iter();
        let found = found.rfind(|event| event["step"] == step && host.is_none_or(|host| event["host"] == host));
        found.unwrap_or_else(|| panic!("step {step} did not end on {host:?}: {}", self.said()))
    }

    /// The run's id.
    #[track_caller]
    pub(crate) fn run(&self) -> String {
        let events = self.events();
        let last = events.iter().rev().find_map(|event| event["run"].as_str());
        last.unwrap_or_else(|| panic!("no run: {}", self.said())).to_owned()
    }

    /// What steps printed on a stream, byte for byte.
    #[track_caller]
    pub(crate) fn printed_on(&self, stream: &str) -> String {
        let mut text = String::new();
        for event in self.of_type("output").iter().filter(|event| event["stream"] == stream) {
            text.push_str(event["text"].as_str().expect("text"));
            text.push_str(if event["partial"] == true { "" } else { "\n" });
        }
        text
    }

    /// What steps printed.
    #[track_caller]
    pub(crate) fn printed(&self) -> String {
        self.of_type("output").iter().fold(String::new(), |text, event| text + event["text"].as_str().unwrap_or_default() + "\n")
    }
}

//! A droplet in a folder: the embedded host program, spoken to over its pipes as a client does, with a state folder of its own.
//! When it goes out of scope, nothing that it started may be left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use landfall::action::{Action, HostScript, Judge, Script};
use landfall::event::Status;
use landfall::name::RunId;
use landfall::protocol::{
    ALIVE, Answer, Approval, Decoder, GREETING, HostStep, Kind, Message, Reply, Request, Retention, RunState, StateDir,
    Submission, VERSION, When, Who, encode,
};
use landfall::record::Reader;
use landfall::runtime::Programs;
use landfall::secret::SecretSources;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) use crate::host_record::Record;

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Looks again and again until there is something, and fails with `what` when there is not.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The embedded program for this machine, unpacked once. Linked into each droplet, never written while others fork.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // For trying a host program that was built alone, in seconds.
        if let Some(own) = std::env::var_os("LANDFALL_TEST_HOST_PROGRAM") {
            return own.into();
        }
        let programs = Programs::embedded();
        let payload = programs.for_arch(std::env::consts::ARCH).unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(payload.name());
        if !path.exists() {
            let draft = path.with_extension(std::process::id().to_string());
            fs::write(&draft, payload.program().unwrap()).unwrap();
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o700)).unwrap();
            fs::rename(&draft, &path).unwrap();
        }
        path
    })
}

/// A host, as far as the host program needs one.
pub(crate) struct Droplet {
    pub(crate) temp: TempDir,
    program: PathBuf,
    /// What its login shells do first.
    pub(crate) login: &'static str,
    /// The environment of its logins.
    pub(crate) env: BTreeMap<&'static str, String>,
}

impl Droplet {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let linked = temp.path().join("landfall-host");
        if fs::hard_link(program(), &linked).is_err() {
            // On another file system. `cp` writes it, for a file that is open for writing anywhere does not execute.
            assert!(Command::new("cp").arg(program()).arg(&linked).status().unwrap().success());
        }
        fs::create_dir(temp.path().join("home")).unwrap();
        let env = BTreeMap::from([
            ("HOME", temp.path().join("home").display().to_string()),
            ("PATH", std::env::var("PATH").unwrap()),
            ("USER", "ann".to_owned()),
            ("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22".to_owned()),
            ("SSH_AUTH_SOCK", "/nonexistent/agent".to_owned()),
            ("LEFT_BY_THE_LOGIN", "x".to_owned()),
        ]);
        Self { program: linked, temp, login: "umask 022", env }
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("etally")
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir { path: self.root().display().to_string(), private: false }
    }

    pub(crate) fn run_dir(&self, run: &RunId) -> PathBuf {
        self.root().join("runs").join(run.as_str())
    }

    /// What a link of a run says.
    pub(crate) fn mark(&self, run: &RunId, name: &str) -> Option<String> {
        Some(fs::read_link(self.run_dir(run).join(name)).ok()?.display().to_string())
    }

    pub(crate) fn supervisor(&self, run: &RunId) -> i32 {
        let owner = eventually("an owner", || self.mark(run, "owner"));
        owner.split(':').next().unwrap().parse().unwrap()
    }

    /// A run of these steps that has effects and needs no approval.
    pub(crate) fn submission(&self, steps: Vec<HostStep>) -> Submission {
        Submission {
            v: VERSION,
            run: new_run(),
            key: None,
            project: "etally".parse().unwrap(),
            state: self.state(),
            host: "droplet-1".parse().unwrap(),
            hosts: vec!["droplet-1".parse().unwrap()],
            playbook: "release".to_owned(),
            plan: "0".repeat(64),
            who: Who { user: "ann".to_owned(), machine: "laptop".to_owned() },
            note: None,
            compose: None,
            database: None,
            secrets: SecretSources { base: self.home().display().to_string(), ..SecretSources::default() },
            effects: true,
            approval: Approval::Given,
            answer_within_ms: 300,
            approve_within_ms: 0,
            lock_wait_ms: 0,
            accepted: Vec::new(),
            pull: vec![],
            pull_hints: vec![],
            retention: Retention::default(),
            steps,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        self.connect_with(|_| ())
    }

    /// A connection whose host program starts as `how` says.
    pub(crate) fn connect_with(&self, how: impl FnOnce(&mut Command)) -> Client {
        let mut command = Command::new("sh");
        let script = format!("{}; exec \"$0\" serve nonce", self.login);
        command.args(["-c", &script]).arg(&self.program).current_dir(self.home());
        command.env_clear().envs(&self.env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        how(&mut command);
        Client::new(command.spawn().unwrap(), self.state())
    }

    /// Plays steps and gives the whole record.
    pub(crate) fn play(&self, steps: Vec<HostStep>) -> Record {
        self.connect().play(&self.submission(steps))
    }

    /// Steps append a line here for each time that they run.
    pub(crate) fn tally(&self) -> PathBuf {
        self.path().join("tally")
    }

    pub(crate) fn tallied(&self) -> usize {
        fs::read_to_string(self.tally()).unwrap_or_default().lines().count()
    }

    /// What lives that was started here.
    pub(crate) fn alive(&self) -> Vec<String> {
        let runs = fs::read_dir(self.root().join("runs")).into_iter().flatten().flatten();
        let marks: Vec<Vec<u8>> = runs.map(|run| format!("LANDFALL_RUN={}", run.file_name().display()).into_bytes()).collect();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let proc = entry.path();
            let Ok(stat) = fs::read_to_string(proc.join("stat")) else { continue };
            if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X'])) {
                continue;
            }
            let inside = |link: &str| fs::read_link(proc.join(link)).is_ok_and(|target| target.starts_with(self.path()));
            let environ = fs::read(proc.join("environ")).unwrap_or_default();
            if inside("cwd") || inside("exe") || environ.split(|byte| *byte == 0).any(|entry| marks.iter().any(|m| m == entry)) {
                found.push(format!("{} {}", entry.file_name().display(), stat.split(") ").next().unwrap_or_default()));
            }
        }
        found
    }
}

impl Drop for Droplet {
    fn drop(&mut self) {
        let end = Instant::now() + if thread::panicking() { Duration::ZERO } else { Duration::from_secs(10) };
        let mut left = self.alive();
        while !left.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            left = self.alive();
        }
        for process in &left {
            signal(process.split(' ').next().unwrap().parse().unwrap(), "KILL");
        }
        let umount = Command::new("umount").arg(self.root()).stderr(Stdio::null()).status();
        drop(umount);
        assert!(left.is_empty() || thread::panicking(), "left behind: {left:#?}");
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: i32, name: &str) {
    let _ = Command::new("kill").args(["-s", name, "--", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Whether a process is there, a zombie not counted.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// A run id that no other test has.
pub(crate) fn new_run() -> RunId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = format!("{} {} {nanos}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    RunId::from_random(Sha256::digest(seed.as_bytes())[..6].try_into().unwrap())
}

/// A step that runs a script by a shell.
pub(crate) fn shell(name: &str, script: impl Into<String>) -> HostStep {
    script_step(name, HostScript { run: Script::Shell(script.into()), env: BTreeMap::new(), judge: Judge::default() })
}

pub(crate) fn script_step(name: &str, script: HostScript) -> HostStep {
    HostStep {
        name: name.parse().unwrap(),
        kind: "shell".to_owned(),
        shown: name.to_owned(),
        when: When::Success,
        check: false,
        timeout_ms: None,
        retry: None,
        ledger: None,
        needs: vec![],
        hints: vec![],
        actions: vec![Action::Shell(script)],
    }
}

/// A step that waits for an answer of the driver.
pub(crate) fn barrier(name: &str) -> HostStep {
    HostStep { kind: "local".to_owned(), actions: vec![Action::Barrier], ..shell(name, "") }
}

pub(crate) fn answer(status: Status) -> Answer {
    Answer { status, exit_code: None, detail: None, events: vec![] }
}

/// A request to begin a run, as the driver of this name.
pub(crate) fn submit(submission: &Submission, driver: &str) -> Request {
    let submission = serde_json::to_string(submission).unwrap();
    Request::Submit { sha256: sha256(&submission), submission, driver: driver.to_owned() }
}

pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

pub(crate) fn frame(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, Kind::Request, 1, &serde_json::to_vec(request).unwrap());
    bytes
}

/// Who waits for messages; none when the connection is gone.
type Waiting = Arc<Mutex<Option<BTreeMap<u32, Sender<Message>>>>>;

/// A client's connection. It is closed, as by a network, when it is dropped.
pub(crate) struct Client {
    pub(crate) serve: Child,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    /// Kept for as long as it says that it is there.
    alive: Option<Arc<()>>,
    streams: Waiting,
    next: u32,
    state: StateDir,
}

impl Client {
    fn new(mut serve: Child, state: StateDir) -> Self {
        let mut stdout = serve.stdout.take().unwrap();
        let streams: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let waiting = Arc::clone(&streams);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            let (mut decoder, mut greeted) = (Decoder::default(), Vec::new());
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                let mut bytes = &buffer[..length];
                while !greeted.ends_with(b"\n") && !bytes.is_empty() {
                    greeted.push(bytes[0]);
                    bytes = &bytes[1..];
                }
                decoder.push(bytes);
                while let Some(message) = decoder.next_message().expect("frames") {
                    if let Some(stream) = waiting.lock().unwrap().as_ref().and_then(|streams| streams.get(&message.stream)) {
                        let _ = stream.send(message);
                    }
                }
            }
            // Whoever waits for more learns that none comes.
            *waiting.lock().unwrap() = None;
            let greeted = String::from_utf8_lossy(&greeted);
            assert!(format!("{GREETING} nonce\n").starts_with(&*greeted), "{greeted}");
        });
        let stdin = Arc::new(Mutex::new(serve.stdin.take()));
        let alive = Arc::new(());
        let (to, while_alive) = (Arc::downgrade(&stdin), Arc::downgrade(&alive));
        thread::spawn(move || {
            let mut frame = Vec::new();
            encode(&mut frame, Kind::Alive, 0, &[]);
            loop {
                thread::sleep(ALIVE);
                let (Some(stdin), Some(_)) = (to.upgrade(), while_alive.upgrade()) else { return };
                let mut stdin = stdin.lock().unwrap();
                let Some(stdin) = stdin.as_mut() else { return };
                let _ = stdin.write_all(&frame).and_then(|()| stdin.flush());
            }
        });
        Self { serve, stdin, alive: Some(alive), streams, next: 1, state }
    }

    /// Says nothing more of itself, like a machine that was put to sleep: its connection stays open.
    pub(crate) fn fall_silent(&mut self) {
        self.alive = None;
    }

    /// Writes bytes as they are. A host program that is gone is no error.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(stdin) = self.stdin.lock().unwrap().as_mut() {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
        }
    }

    /// Sends a request; its replies come to the stream.
    pub(crate) fn open(&mut self, request: &Request) -> Inflow {
        let stream = self.next;
        self.next += 1;
        let (sender, messages) = channel();
        if let Some(streams) = self.streams.lock().unwrap().as_mut() {
            streams.insert(stream, sender);
        }
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Request, stream, &serde_json::to_vec(request).unwrap());
        self.send(&bytes);
        Inflow { stream, messages }
    }

    /// Grants a follower more bytes.
    pub(crate) fn grant(&mut self, stream: u32, bytes: usize) {
        let mut frame = Vec::new();
        encode(&mut frame, Kind::Credit, stream, &u32::try_from(bytes).unwrap().to_be_bytes());
        self.send(&frame);
    }

    /// Asks for one thing.
    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.open(request).reply()
    }

    /// Asks for one thing that is refused, and gives code, reason and remedy.
    pub(crate) fn refused(&mut self, request: &Request) -> (u8, String, String) {
        match self.ask(request) {
            Reply::Refused { code, message, remedy } => (code, message, remedy.unwrap_or_default()),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn submit(&mut self, submission: &Submission) -> Following {
        self.submit_as(submission, "ann's token")
    }

    pub(crate) fn submit_as(&mut self, submission: &Submission, driver: &str) -> Following {
        let inflow = self.open(&submit(submission, driver));
        match inflow.reply() {
            Reply::Accepted { run } => Following::new(inflow, run),
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(crate) fn follow(&mut self, run: &RunId, offset: u64) -> Following {
        let inflow = self.open(&Request::Follow { state: self.state.clone(), run: run.clone(), offset, driver: None });
        Following::new(inflow, run.clone())
    }

    /// Goes on driving a run on a new connection of the same client.
    pub(crate) fn come_back(&mut self, run: &RunId, driver: &str) -> Following {
        let driver = Some(driver.to_owned());
        let inflow = self.open(&Request::Follow { state: self.state.clone(), run: run.clone(), offset: 0, driver });
        Following::new(inflow, run.clone())
    }

    /// Asks for the barriers of a run whose client is gone.
    pub(crate) fn drive(&mut self, run: &RunId, driver: &str, plan: &str) -> Reply {
        let (driver, plan) = (driver.to_owned(), plan.to_owned());
        self.ask(&Request::Drive { state: self.state.clone(), run: run.clone(), driver, plan })
    }

    pub(crate) fn play(&mut self, submission: &Submission) -> Record {
        let mut following = self.submit(submission);
        following.until_the_end(self)
    }

    pub(crate) fn cancel(&mut self, run: &RunId) -> Reply {
        self.cancel_again(run, false)
    }

    pub(crate) fn cancel_again(&mut self, run: &RunId, again: bool) -> Reply {
        self.ask(&Request::Cancel { state: self.state.clone(), run: run.clone(), who: "bob@ci".to_owned(), again })
    }

    pub(crate) fn go(&mut self, run: &RunId) -> Reply {
        self.go_as(run, "ann's token")
    }

    pub(crate) fn go_as(&mut self, run: &RunId, driver: &str) -> Reply {
        self.ask(&Request::Go {
            state: self.state.clone(),
            run: run.clone(),
            driver: driver.to_owned(),
            approved: BTreeMap::new(),
        })
    }

    pub(crate) fn answer(&mut self, run: &RunId, step: u32, driver: &str, answer: Answer) -> Reply {
        let driver = driver.to_owned();
        self.ask(&Request::Answer { state: self.state.clone(), run: run.clone(), step, driver, answer })
    }

    pub(crate) fn resolve(&mut self, run: &RunId, done: bool) -> Reply {
        let (who, note) = ("bob@ci".to_owned(), "looked at it".to_owned());
        self.ask(&Request::Resolve { state: self.state.clone(), run: run.clone(), done, who, note })
    }

    pub(crate) fn break_lock(&mut self, run: &RunId) -> Reply {
        self.ask(&Request::BreakLock { state: self.state.clone(), run: run.clone(), who: "bob@ci".to_owned() })
    }

    /// The run that holds the lock, and the word for its state.
    pub(crate) fn holder(&mut self) -> Option<(RunId, String)> {
        match self.ask(&Request::Lock { state: self.state.clone() }) {
            Reply::Lock { holder } => holder.map(|holder| (holder.run, holder.state)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state_of(&mut self, run: &RunId) -> RunState {
        match self.ask(&Request::Runs { state: self.state.clone() }) {
            Reply::Runs { runs } => runs.into_iter().find(|summary| summary.run == *run).expect("the run").state,
            other => panic!("{other:?}"),
        }
    }

    /// Closes the connection in order, and waits for the host program's end.
    pub(crate) fn close(self) {
        *self.stdin.lock().unwrap() = None;
        let pid = self.pid();
        eventually("the end of serve", || (!lives(pid)).then_some(()));
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.serve.id()).unwrap()
    }

    /// Kills the host program of this connection without a word.
    pub(crate) fn kill(mut self) {
        self.serve.kill().unwrap();
        self.serve.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        *self.stdin.lock().unwrap() = None;
        let end = Instant::now() + Duration::from_secs(10);
        while self.serve.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                self.serve.kill().unwrap();
                let _ = self.serve.wait();
                assert!(thread::panicking(), "serve did not end with its connection");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What comes back on a stream.
pub(crate) struct Inflow {
    pub(crate) stream: u32,
    messages: Receiver<Message>,
}

impl Inflow {
    /// The next message; none when the connection is gone.
    pub(crate) fn next(&self, limit: Duration) -> Option<Message> {
        match self.messages.recv_timeout(limit) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came for {limit:?}"),
        }
    }

    /// Whether something comes within a time.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        matches!(self.messages.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    pub(crate) fn reply(&self) -> Reply {
        let message = self.next(PATIENCE).expect("a reply");
        assert_eq!(message.kind, Kind::Reply);
        serde_json::from_slice(&message.payload).unwrap()
    }
}

/// A record as it comes in.
pub(crate) struct Following {
    pub(crate) inflow: Inflow,
    pub(crate) record: Record,
    /// How long the record was when it was opened.
    pub(crate) length: Option<u64>,
    reader: Option<Reader>,
}

impl Following {
    fn new(inflow: Inflow, run: RunId) -> Self {
        let reader = Some(Reader::new(run.clone(), "droplet-1".parse().unwrap()));
        Self { inflow, record: Record::new(run), length: None, reader }
    }

    /// Takes bytes for what they are, not for frames: for those that do not begin with one.
    pub(crate) fn raw(mut self) -> Self {
        self.reader = None;
        self
    }

    /// Takes the next piece. False when nothing will follow.
    pub(crate) fn advance(&mut self, client: &mut Client) -> bool {
        let Some(message) = self.inflow.next(PATIENCE) else { return false };
        if message.kind == Kind::Data {
            client.grant(self.inflow.stream, message.payload.len());
            if let Some(reader) = &mut self.reader {
                reader.push(&message.payload, &mut self.record.events).expect("a whole record");
            }
            self.record.bytes.extend_from_slice(&message.payload);
            return true;
        }
        let reply = serde_json::from_slice(&message.payload).unwrap();
        if let Reply::Opened { length, .. } = reply {
            self.length = Some(length);
            return true;
        }
        self.record.end = Some(reply);
        false
    }

    /// Reads on until something is there.
    pub(crate) fn until(&mut self, client: &mut Client, what: &str, found: impl Fn(&Record) -> bool) {
        while !found(&self.record) {
            assert!(self.advance(client), "the record ended before {what}: {:#?}", self.record);
        }
    }

    /// Reads on until a step has printed a line.
    pub(crate) fn until_printed(&mut self, client: &mut Client, line: &str) {
        self.until(client, line, |record| record.stdout().contains(line));
    }

    pub(crate) fn until_the_end(&mut self, client: &mut Client) -> Record {
        while self.advance(client) {}
        std::mem::replace(&mut self.record, Record::new(new_run()))
    }
}

//! The host's end of a connection: reads requests from stdin, writes replies to stdout, each request on a thread of its own, so
//! that a follower that reads slowly holds up nobody else. Holds no run: it starts supervisors and reads what they write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::driver;
use super::follow::{Credit, follow};
use super::gather;
use super::kept;
use super::kill;
use super::ledger::hex;
use super::lock;
use super::logs;
use super::owner::{Owner, boot_id, machine_id};
use super::process;
use super::settle;
use super::state::{RunDir, State};
use super::status;
use super::supervise::READY;
use super::survey;
use crate::facts::Refusal;
use crate::name::RunId;
use crate::protocol::{
    Approval, Decoder, GREETING, Kind, Message, Reply, Request, RunState, SILENCE, StateDir, Submission, VERSION, encode,
};

/// What the threads of a connection share.
#[derive(Debug)]
struct Shared {
    stdout: Mutex<std::io::Stdout>,
    credits: Mutex<BTreeMap<u32, Arc<Credit>>>,
}

impl Shared {
    fn send(&self, kind: Kind, stream: u32, payload: &[u8]) -> bool {
        let mut frame = Vec::with_capacity(payload.len() + 16);
        encode(&mut frame, kind, stream, payload);
        let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        stdout.write_all(&frame).and_then(|()| stdout.flush()).is_ok()
    }

    fn reply(&self, stream: u32, reply: &Reply) -> bool {
        self.send(Kind::Reply, stream, &serde_json::to_vec(reply).unwrap_or_default())
    }

    fn credit(&self, stream: u32) -> Arc<Credit> {
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(credits.entry(stream).or_insert_with(Credit::new))
    }
}

/// The process: `landfall-host serve NONCE`.
pub(super) fn main(nonce: &str) -> ExitCode {
    let shared = Arc::new(Shared { stdout: Mutex::new(std::io::stdout()), credits: Mutex::default() });
    {
        let mut stdout = shared.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        if writeln!(stdout, "{GREETING} {nonce}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    let user = std::env::var("USER").unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string());
    shared.reply(0, &Reply::Hello { version: VERSION, boot_id: boot_id(), machine: machine_id(), user });
    let mut decoder = Decoder::default();
    let mut buffer = vec![0u8; 64 << 10];
    let stdin = std::io::stdin();
    let mut heard = Instant::now();
    loop {
        // A connection can be dead for hours before its socket says so: a client whose voice is not heard any more is gone.
        let mut set = [PollFd::new(&stdin, PollFlags::IN)];
        let _ = process::wait_any(&mut set, Some(SILENCE.saturating_sub(heard.elapsed())));
        if set[0].revents().is_empty() {
            if heard.elapsed() >= SILENCE {
                return ExitCode::FAILURE;
            }
            continue;
        }
        heard = Instant::now();
        match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) => return ExitCode::SUCCESS,
            Err(Errno::INTR) => {}
            Err(_) => return ExitCode::FAILURE,
            Ok(length) => {
                decoder.push(&buffer[..length]);
                loop {
                    match decoder.next_message() {
                        Ok(Some(message)) => receive(&shared, message),
                        Ok(None) => break,
                        Err(_) => return ExitCode::FAILURE,
                    }
                }
            }
        }
    }
}

fn receive(shared: &Arc<Shared>, message: Message) {
    match message.kind {
        Kind::Credit => {
            if let Ok(bytes) = <[u8; 4]>::try_from(message.payload.as_slice()) {
                shared.credit(message.stream).grant(u32::from_be_bytes(bytes));
            }
        }
        Kind::Request => {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let stream = message.stream;
                let reply = match serde_json::from_slice::<Request>(&message.payload) {
                    Ok(request) => answer(&shared, stream, request),
                    Err(error) => {
                        Err(Refusal { code: 7, message: format!("a request that is not understood: {error}"), remedy: None })
                    }
                };
                let reply = match reply {
                    Ok(reply) => reply,
                    Err(refusal) => Some(Reply::Refused { code: refusal.code, message: refusal.message, remedy: refusal.remedy }),
                };
                if let Some(reply) = reply {
                    shared.reply(stream, &reply);
                }
            });
        }
        Kind::Alive | Kind::Reply | Kind::Data => {}
    }
}

fn answer(shared: &Shared, stream: u32, request: Request) -> Result<Option<Reply>, Refusal> {
    Ok(Some(match request {
        Request::Submit { sha256, submission, driver } => return submit(shared, stream, &sha256, &submission, &driver),
        Request::Survey { submission } => Reply::Facts { facts: Box::new(look(&parse(&submission)?)) },
        Request::Follow { state, run, offset, driver } => {
            let (_, dir) = find(&state, &run)?;
            let drives = driver.map(|token| driver::take(&dir, &token)).transpose().map_err(|error| io_refusal(&error))?;
            return Ok(to_its_end(shared, stream, &dir, offset, drives.unwrap_or(false)));
        }
        Request::Drive { state, run, driver, plan } => drive(&state, &run, &driver, &plan)?,
        Request::Go { state, run, driver, approved } => {
            let (_, dir) = find(&state, &run)?;
            if !driver::is_driver(&dir, &driver) {
                return Err(Refusal { code: 7, message: format!("another client prepared run {run}"), remedy: None });
            }
            if !approved.is_empty()
                && let Err(error) = driver::put_approved(&dir, &kept::approved(approved, &kept::by_files(&dir)))
            {
                // What cannot be recorded is not done.
                let _ = dir.mark("verdict", "withdrawn");
                return Err(io_refusal(&error));
            }
            let _ = dir.mark("verdict", "go");
            if dir.marked("verdict").as_deref() == Some("go") {
                Reply::Done
            } else {
                return Err(Refusal { code: 7, message: format!("run {run} was withdrawn before it was let go"), remedy: None });
            }
        }
        Request::Answer { state, run, step, driver, answer } => {
            let (_, dir) = find(&state, &run)?;
            if !driver::is_driver(&dir, &driver) {
                return Ok(Some(Reply::Overtaken));
            }
            let answer = kept::answer(answer, &kept::by_files(&dir));
            driver::put_answer(&dir, step, &answer).map_err(|error| io_refusal(&error))?;
            Reply::Done
        }
        Request::Cancel { state, run, who, again } => cancel(&state, &run, &who, again)?,
        Request::Runs { state } => {
            Reply::Runs { runs: State::look(&state)?.map(|state| status::list(&state)).unwrap_or_default() }
        }
        Request::Logs { compose, secrets, service, follow, since, tail } => {
            let credit = shared.credit(stream);
            let asked = logs::Asked { compose, secrets, service, follow, since, tail };
            logs::read(&asked, &|bytes| {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(credit.take(rest.len()));
                    if !shared.send(Kind::Data, stream, now) {
                        return false;
                    }
                    rest = later;
                }
                true
            })?;
            Reply::Done
        }
        Request::Lock { state } => Reply::Lock { holder: State::look(&state)?.as_ref().and_then(lock::holder) },
        Request::BreakLock { state, run, who } => break_lock(&state, &run, &who)?,
        Request::Resolve { state, run, done, who, note } => {
            let (state, dir) = find(&state, &run)?;
            let now = status::of(&dir);
            if !status::is_unsettled(&dir, &now) {
                let message = format!("run {run} is {}: there is nothing to settle", now.as_str());
                return Err(Refusal { code: 7, message, remedy: None });
            }
            settle::run(&state, &dir, done, &format!("{who}: {note}")).map_err(|error| io_refusal(&error))?;
            Reply::Done
        }
    }))
}

fn io_refusal(error: &std::io::Error) -> Refusal {
    Refusal::unfit(format!("the state folder cannot be written: {error}"), "make room, or make it writable")
}

fn parse(text: &str) -> Result<Submission, Refusal> {
    let submission: Submission = serde_json::from_str(text).map_err(|error| Refusal {
        code: 7,
        message: format!("a submission that is not understood: {error}"),
        remedy: None,
    })?;
    if submission.v == VERSION {
        Ok(submission)
    } else {
        Err(Refusal { code: 7, message: format!("a submission of version {}, not {VERSION}", submission.v), remedy: None })
    }
}

fn find(state: &StateDir, run: &RunId) -> Result<(State, RunDir), Refusal> {
    let missing =
        || Refusal { code: 7, message: format!("there is no run {run} on this host"), remedy: Some("landfall runs".into()) };
    let state = State::look(state)?.ok_or_else(missing)?;
    let dir = state.run(run);
    if dir.path.is_dir() { Ok((state, dir)) } else { Err(missing()) }
}

fn look(submission: &Submission) -> crate::facts::Facts {
    let unfit = |refusal| crate::facts::Facts { boot_id: boot_id(), refusals: vec![refusal], ..crate::facts::Facts::default() };
    let state = match State::look(&submission.state) {
        Ok(state) => state,
        Err(refusal) => return unfit(refusal),
    };
    let (loaded, project) = match gather::all(submission) {
        Ok(gathered) => gathered,
        Err(refusal) => return unfit(refusal),
    };
    let mut found = survey::basics(submission, state.as_ref(), &loaded, project);
    let mut loaded = Arc::new(loaded);
    survey::whole(submission, state.as_ref(), &mut loaded, &mut found, false);
    found.facts.secrets.clone_from(&loaded.names);
    found.facts
}

fn submit(shared: &Shared, stream: u32, sha256: &str, text: &str, driver: &str) -> Result<Option<Reply>, Refusal> {
    if hex(&Sha256::digest(text.as_bytes())) != sha256 {
        return Err(Refusal { code: 7, message: "the submission did not arrive whole".into(), remedy: None });
    }
    let submission = parse(text)?;
    let state = State::open(&submission.state)?;
    let (dir, known) = put_down(&state, &submission)?;
    let mut drives = false;
    if !known {
        // Before the supervisor begins: it looks whether the client that drives it is still there.
        drives = driver::take(&dir, driver).map_err(|error| io_refusal(&error))?;
        begin(&state, &dir, text)?;
    }
    if !shared.reply(stream, &Reply::Accepted { run: dir.run.clone() }) {
        return Ok(None);
    }
    Ok(to_its_end(shared, stream, &dir, 0, drives))
}

/// The run that was started with the same key; one that was refused before it did anything does not count.
fn with_key(state: &State, submission: &Submission) -> Option<RunDir> {
    let key = submission.key.as_ref()?;
    let same = status::list(state).into_iter().filter(|run| run.key.as_ref() == Some(key) && run.playbook == submission.playbook);
    let dirs = same.filter(|run| !matches!(run.state, RunState::Done { code: 5 | 7, .. })).map(|run| state.run(&run.run));
    dirs.into_iter().find(|dir| dir.marked("verdict").as_deref() != Some("withdrawn"))
}

/// Puts the run down, or finds the one of its key. True where that is another run.
fn put_down(state: &State, submission: &Submission) -> Result<(RunDir, bool), Refusal> {
    // One at a time where there is a key, so that of two with the same one the second finds the first.
    let turn = submission.key.as_ref().map(|_| {
        File::open(state.locks()).and_then(|locks| {
            rustix::fs::flock(&locks, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(locks)
        })
    });
    let _turn = turn.transpose().map_err(|error| io_refusal(&error))?;
    if let Some(dir) = with_key(state, submission) {
        // A submission that is sent again finds itself.
        let known = dir.run != submission.run;
        return Ok((dir, known));
    }
    let dir = state.run(&submission.run);
    if !dir.is_put_down() {
        let text = kept::before_all_is_known(submission)?;
        dir.write_submission(&text).map_err(|error| io_refusal(&error))?;
    }
    // By whomever it was put down: an id stands for one plan.
    match dir.submission() {
        Ok(there) if there.plan == submission.plan => Ok((dir, false)),
        Ok(_) => Err(Refusal {
            code: 7,
            message: format!("run {} is on this host already, from another plan", submission.run),
            remedy: Some("let Landfall choose the ids of runs".into()),
        }),
        Err(error) => Err(io_refusal(&error)),
    }
}

/// Gives the run's barriers to a client that holds the same plan, when its own client is gone. A run that is over needs no driver; one
/// that nobody has let go gets none, for only its own client knows whether it was approved: it withdraws itself.
fn drive(state: &StateDir, run: &RunId, driver: &str, plan: &str) -> Result<Reply, Refusal> {
    let (_, dir) = find(state, run)?;
    let refuse = |message: String, remedy: &str| Err(Refusal { code: 7, message, remedy: Some(remedy.to_owned()) });
    if !matches!(status::of(&dir), RunState::Running) {
        return Ok(Reply::Done);
    }
    let submission = dir.submission().map_err(|error| Refusal {
        code: 6,
        message: format!("what was submitted of run {run} cannot be read: {error}"),
        remedy: None,
    })?;
    if submission.plan != plan {
        return refuse(
            format!("run {run} was started from another plan than the one here"),
            "use the playbook, inventory and --var values that it was started with; or leave out --drive, to watch it",
        );
    }
    if submission.approval == Approval::Awaited && dir.marked("verdict").as_deref() != Some("go") {
        return Ok(Reply::Done);
    }
    match driver::take_over(&dir, driver) {
        Ok(true) => Ok(Reply::Done),
        Ok(false) => refuse(format!("run {run} is driven by another client, which is there"), "leave out --drive, to watch it"),
        Err(error) => Err(io_refusal(&error)),
    }
}

/// Gives the run a supervisor, and the supervisor the submission: its texts may hold secrets, so they go by no file. Idempotent: the
/// second time there is one already.
fn begin(state: &State, dir: &RunDir, text: &str) -> Result<(), Refusal> {
    if dir.marked("owner").is_some() {
        return Ok(());
    }
    // By this name it starts even when a client of another version has removed the file meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::current_exe().unwrap_or_else(|_| "landfall-host".into()));
    command.arg("supervise").arg(state.root()).arg(dir.run.as_str());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| io_refusal(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended does not read: what became of it is told below.
        let _ = stdin.write_all(text.as_bytes());
    }
    let mut word = String::new();
    let said = child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut word));
    if said.is_some() && word == READY {
        return Ok(());
    }
    let ended = child.wait().map(|status| status.to_string()).unwrap_or_default();
    if dir.marked("owner").is_some_and(|owner| Owner::parse(&owner).is_some()) {
        // Another connection submitted the same run at the same time, or it is over already.
        return Ok(());
    }
    Err(Refusal::unfit(format!("the run's supervisor did not start: {ended}"), "landfall doctor"))
}

fn to_its_end(shared: &Shared, stream: u32, dir: &RunDir, offset: u64, drives: bool) -> Option<Reply> {
    let credit = shared.credit(stream);
    let opened = |length| shared.reply(stream, &Reply::Opened { length, drives });
    follow(dir, offset, &credit, &opened, &mut |bytes| shared.send(Kind::Data, stream, bytes))
}

fn cancel(state: &StateDir, run: &RunId, who: &str, again: bool) -> Result<Reply, Refusal> {
    let (_, dir) = find(state, run)?;
    // What is said twice because a connection broke in between is one cancel, and not the second.
    let mark = if again && dir.marked("heeded").is_some() { "cancel.again" } else { "cancel" };
    dir.mark(mark, &kept::told_of(&dir, who)).map_err(|error| io_refusal(&error))?;
    // A run that nobody supervises any more is ended from here.
    if matches!(status::of(&dir), RunState::Orphaned { .. }) {
        let left = kill::clean_up(run, dir.marked("owner").and_then(|text| Owner::parse(&text)).as_ref());
        if !left.is_empty() {
            return Err(Refusal { code: 6, message: format!("still there: {}", left.join(", ")), remedy: None });
        }
    }
    Ok(Reply::Done)
}

fn break_lock(state: &StateDir, run: &RunId, who: &str) -> Result<Reply, Refusal> {
    let (state, dir) = find(state, run)?;
    let refuse = |message: String, remedy: String| Err(Refusal { code: 7, message, remedy: Some(remedy) });
    match (lock::holder(&state), status::of(&dir)) {
        (None, _) => refuse("nobody holds the lock".to_owned(), "there is nothing to break".to_owned()),
        (Some(holder), _) if holder.run != *run => {
            refuse(format!("the lock is held by {}, not by {run}", holder.run), format!("landfall lock break {}", holder.run))
        }
        (_, RunState::Running) => refuse(format!("run {run} is alive"), format!("landfall cancel {run}")),
        (_, RunState::Orphaned { left }) => {
            refuse(format!("something of run {run} lives: {}", left.join(", ")), format!("landfall cancel {run}"))
        }
        _ => {
            settle::run(&state, &dir, false, &format!("{who}: the lock was broken")).map_err(|error| io_refusal(&error))?;
            Ok(Reply::Done)
        }
    }
}

//! The client's own work in a run: local commands, and looks from here, while the host waits at a barrier. Its events are shown at
//! once and travel with the answer, so that the host's record has them too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::here;
use crate::action::Script;
use crate::event::{Body, Status, Stream};
use crate::hint;
use crate::playbook::{ClientValue, DriverWork, LocalCommand};
use crate::protocol::Answer;
use crate::vault::{Vault, replace_all};

/// The most of the client's own output that travels with an answer; the rest was shown, and is not kept.
const KEPT: usize = 256 << 10;
/// How long output is waited for after the end of a command.
const DRAIN: Duration = Duration::from_secs(2);
/// A line longer than this is cut.
const LINE: usize = 32 << 10;
/// How much of the end of its output hints are looked for in.
const SAID: usize = 64 << 10;

/// Does it. What happens meanwhile goes to `tell`.
pub(super) async fn perform(
    work: &DriverWork,
    kind: &str,
    limit: Option<Duration>,
    vault: &Arc<Vault>,
    tell: mpsc::UnboundedSender<Body>,
) -> Answer {
    let done = async {
        match work {
            DriverWork::Local(command) => local(command, vault, &tell).await,
            DriverWork::Here(probe) => here::look(probe, kind, vault, &tell).await,
        }
    };
    match limit {
        None => done.await,
        Some(limit) => tokio::time::timeout(limit, done).await.unwrap_or_else(|_| {
            let detail = format!("not done after {}", humantime::format_duration(limit));
            Answer { status: Status::TimedOut, exit_code: None, detail: Some(detail), events: Vec::new() }
        }),
    }
}

/// Trims a step's events to what may travel.
pub(super) fn kept(events: Vec<crate::event::Event>) -> Vec<crate::event::Event> {
    let mut size = 0;
    let fits = |event: &crate::event::Event| {
        size += match &event.body {
            Body::Output { text, .. } => text.len() + 160,
            _ => 300,
        };
        size <= KEPT
    };
    events.into_iter().filter(fits).collect()
}

pub(super) fn failed(detail: impl Into<String>) -> Answer {
    Answer { status: Status::Failed, exit_code: None, detail: Some(detail.into()), events: Vec::new() }
}

/// The values of what a step names, and which of them are secret. A source may ask its user, so it gets a thread that may wait.
pub(super) async fn values(named: &BTreeMap<String, ClientValue>, vault: &Arc<Vault>) -> Result<Values, String> {
    let mut values = Values::default();
    for (key, value) in named {
        let text = match value {
            ClientValue::Plain(text) => text.clone(),
            ClientValue::Secret(secret) => {
                let (vault, name) = (Arc::clone(vault), secret.name.clone());
                let fetched = tokio::task::spawn_blocking(move || vault.client_secret(&name)).await;
                let secret = fetched.map_err(|error| error.to_string())?.map_err(|error| format!("{error}: {}", error.remedy))?;
                values.secrets.push(secret.clone());
                secret.expose_secret().to_owned()
            }
        };
        values.all.push((key.clone(), text));
    }
    Ok(values)
}

/// What a step on this machine is given.
#[derive(Default)]
pub(super) struct Values {
    pub(super) all: Vec<(String, String)>,
    pub(super) secrets: Vec<SecretString>,
}

/// Runs a command on the client's machine.
async fn local(command: &LocalCommand, vault: &Arc<Vault>, tell: &mpsc::UnboundedSender<Body>) -> Answer {
    let Values { all: env, secrets } = match values(&command.env, vault).await {
        Ok(values) => values,
        Err(why) => return failed(why),
    };
    let mut process = match &command.run {
        Script::Shell(text) => {
            let mut process = Command::new("sh");
            process.args(["-c", text]);
            process
        }
        Script::Argv(argv) => {
            let mut process = Command::new(argv.first().map_or("", String::as_str));
            process.args(argv.iter().skip(1));
            process
        }
    };
    for variable in vault.variables() {
        process.env_remove(variable);
    }
    process.current_dir(&command.dir).envs(env);
    // A group of its own: a Ctrl-C that lets go of the run must not stop what it waits for.
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("could not be started: {error}")),
    };
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = RefCell::new(String::new());
    let status = {
        let printing = async {
            tokio::join!(
                lines(stdout, Stream::Stdout, &secrets, tell, &said),
                lines(stderr, Stream::Stderr, &secrets, tell, &said)
            )
        };
        tokio::pin!(printing);
        tokio::select! {
            biased;
            status = child.wait() => {
                // Something it left behind may keep its output open for ever.
                let _ = tokio::time::timeout(DRAIN, printing).await;
                status
            }
            _ = &mut printing => child.wait().await,
        }
    };
    drop(group);
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        for text in hint::fitting(&command.hints, &said.borrow()) {
            let _ = tell.send(Body::Hint { text: text.to_owned() });
        }
    }
    match status.map(|status| status.code()) {
        Ok(Some(0)) => Answer { status: Status::Ok, exit_code: Some(0), detail: None, events: Vec::new() },
        Ok(Some(code)) => Answer { exit_code: Some(code), ..failed(format!("exit code {code}")) },
        Ok(None) => failed("killed by a signal"),
        Err(error) => failed(error.to_string()),
    }
}

/// A command and all that it started: gone when this is dropped, by an end, a time limit or an interruption.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
    }
}

/// Adds a line to the end of what was said; of what is long ago, nothing is kept.
fn keep_end(said: &mut String, line: &str) {
    said.push_str(line);
    said.push('\n');
    if said.len() > 2 * SAID {
        let from = said.ceil_char_boundary(said.len() - SAID);
        said.drain(..from);
    }
}

async fn lines(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    secrets: &[SecretString],
    tell: &mpsc::UnboundedSender<Body>,
    said: &RefCell<String>,
) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        let whole = line.strip_suffix(b"\n").unwrap_or(&line);
        // Before it is cut: half a secret would not be found.
        let text = replace_all(&String::from_utf8_lossy(whole), secrets);
        let text: String = text.chars().take(LINE).collect();
        keep_end(&mut said.borrow_mut(), &text);
        let _ = tell.send(Body::Output { stream, text, bytes: None, partial: false });
        line.clear();
    }
}

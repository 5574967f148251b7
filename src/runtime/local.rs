//! Stands in for a connection in tests: commands run by a shell of this machine.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::{ExecError, Host, PipeEvent, PipeGone, PipeReader, PipeWriter};

/// A login shell with an environment of its own.
pub(super) struct Local {
    /// The login shell with its arguments; the command follows as `-c COMMAND`.
    pub(super) shell: Vec<String>,
    /// Its whole environment.
    pub(super) env: Vec<(String, OsString)>,
}

impl Local {
    /// `shell`, with a home in `home` and this machine's programs.
    pub(super) fn new(shell: &[&str], home: &Path) -> Self {
        let path = std::env::var_os("PATH").expect("PATH");
        let env = vec![("HOME".to_owned(), home.into()), ("PATH".to_owned(), path)];
        Self { shell: shell.iter().map(|word| (*word).to_owned()).collect(), env }
    }
}

impl Host for Local {
    type Reader = Output;
    type Writer = Input;

    async fn exec(&self, command: &str) -> Result<(Output, Input), ExecError> {
        let mut shell = Command::new(&self.shell[0]);
        shell.args(&self.shell[1..]).arg("-c").arg(command).env_clear().envs(self.env.iter().cloned());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = shell.spawn().map_err(|error| ExecError { message: error.to_string(), remedy: None })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let input = Input(child.stdin.take());
        Ok((Output { child, out, err, ended: false }, input))
    }
}

pub(super) struct Output {
    child: Child,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    ended: bool,
}

async fn some(pipe: &mut Option<impl AsyncReadExt + Unpin>) -> Option<Bytes> {
    let mut bytes = vec![0; 16 << 10];
    let Some(open) = pipe else { return std::future::pending().await };
    let read = open.read(&mut bytes).await.unwrap_or(0);
    if read == 0 {
        *pipe = None;
        return None;
    }
    bytes.truncate(read);
    Some(bytes.into())
}

impl PipeReader for Output {
    async fn next(&mut self) -> PipeEvent {
        while self.out.is_some() || self.err.is_some() {
            let event = tokio::select! {
                bytes = some(&mut self.out) => bytes.map(PipeEvent::Out),
                bytes = some(&mut self.err) => bytes.map(PipeEvent::Err),
            };
            if let Some(event) = event {
                return event;
            }
        }
        if self.ended {
            return PipeEvent::Closed;
        }
        let status = self.child.wait().await.expect("wait");
        self.ended = true;
        PipeEvent::Ended(status.to_string())
    }
}

pub(super) struct Input(Option<ChildStdin>);

impl PipeWriter for Input {
    async fn write(&mut self, data: Bytes) -> Result<(), PipeGone> {
        self.0.as_mut().ok_or(PipeGone)?.write_all(&data).await.map_err(|_| PipeGone)
    }
}

//! Makes an SSH connection a [`Host`]. Adds nothing of its own: what is bounded, and what ends when, is settled in `ssh`.

use bytes::Bytes;

use super::{ExecError, Host, PipeEvent, PipeGone, PipeReader, PipeWriter};
use crate::ssh::{Connection, ExecEvent, ExecReader, ExecWriter, LostChannel};

impl Host for Connection {
    type Reader = ExecReader;
    type Writer = ExecWriter;

    async fn exec(&self, command: &str) -> Result<(ExecReader, ExecWriter), ExecError> {
        match Self::exec(self, command).await {
            Ok(exec) => Ok(exec.split()),
            Err(error) => Err(ExecError { message: error.to_string(), remedy: error.remedy() }),
        }
    }
}

impl PipeReader for ExecReader {
    async fn next(&mut self) -> PipeEvent {
        match Self::next(self).await {
            ExecEvent::Stdout(bytes) => PipeEvent::Out(bytes),
            ExecEvent::Stderr(bytes) => PipeEvent::Err(bytes),
            ExecEvent::Exit { code } => PipeEvent::Ended(format!("exit code {code}")),
            ExecEvent::Signal { name } => PipeEvent::Ended(format!("signal {name}")),
            // A command that is refused is said in order, and the connection stands.
            ExecEvent::Closed | ExecEvent::Lost(LostChannel::Refused) => PipeEvent::Closed,
            ExecEvent::Lost(why) => PipeEvent::Lost(why.to_string()),
        }
    }
}

impl PipeWriter for ExecWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), PipeGone> {
        Self::write(self, data).await.map_err(|_| PipeGone)
    }
}

//! Where a plan lives while it runs: reaching the host program through a command's channel, and speaking with it. What a channel is
//! made of is behind [`Host`], so that all of it can be tried against a local shell. Knows nothing of playbooks or reports.

pub mod bootstrap;
pub mod departure;
pub mod link;
#[cfg(test)]
mod local;
mod over_ssh;
pub mod payload;

use std::future::Future;

use bytes::Bytes;

pub use bootstrap::{Login, OpenError, Opened};
pub use departure::{CalledOff, Departure};
pub use link::{Hello, Link, LinkError, Lost, OpenFailure, Stream, StreamItem};
pub use payload::{MissingTarget, Payload, Programs};

/// What comes out of a command's channel. The last is `Closed` or `Lost`, and is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipeEvent {
    /// Standard output.
    Out(Bytes),
    /// Standard error.
    Err(Bytes),
    /// The command ended: "exit code 1", "signal KILL". Output may still follow.
    Ended(String),
    /// The channel was closed in order.
    Closed,
    /// The channel is gone without an end, and why.
    Lost(String),
}

/// Nothing written can arrive any more; the reader says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel is gone")]
pub struct PipeGone;

/// Why a command could not be started on a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExecError {
    /// What happened.
    pub message: String,
    /// What mends it.
    pub remedy: Option<String>,
}

/// Runs commands: a connection, or a stand-in for one.
pub trait Host {
    /// What comes out of a command.
    type Reader: PipeReader;
    /// What goes into it.
    type Writer: PipeWriter;
    /// Starts a command by the login shell.
    fn exec(&self, command: &str) -> impl Future<Output = Result<(Self::Reader, Self::Writer), ExecError>> + Send;
}

/// The output of a command. Dropping it closes the channel.
pub trait PipeReader: Send + 'static {
    /// Waits for the next event. May be cancelled without loss.
    fn next(&mut self) -> impl Future<Output = PipeEvent> + Send;
}

/// The input of a command. Dropping it ends the input.
pub trait PipeWriter: Send + 'static {
    /// Writes all of it; ends when the channel does.
    fn write(&mut self, data: Bytes) -> impl Future<Output = Result<(), PipeGone>> + Send;
}

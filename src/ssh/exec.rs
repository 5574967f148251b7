//! A command's channel: reading without ever stalling the connection, writing without ever hanging on a dead one.
//!
//! The library stops the whole connection while one channel's queue is full, and never wakes a writer whose channel is gone.
//! So a pump takes each message off at once and never waits for the reader; what is unread is bounded, and a channel that
//! passes the bound is closed. All that must wait for the session (end of input, close) is done by a second task, the keeper.
//! Must not know what runs in the channel.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::client::Shared;

/// So many bytes may wait for the reader.
pub(super) const UNREAD: usize = 64 << 20;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 128;

/// What comes out of a channel. The last is [`ExecEvent::Closed`] or [`ExecEvent::Lost`], and only `Closed` may be a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// Standard output.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// The command ended by itself. Output may still follow.
    Exit {
        /// Its exit code.
        code: u32,
    },
    /// The command was ended by a signal. Output may still follow.
    Signal {
        /// The signal's name, without `SIG`.
        name: String,
    },
    /// The channel was closed in order.
    Closed,
    /// The channel is gone without an end: nothing is known of the command.
    Lost(LostChannel),
}

/// Says why a channel ended without an end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostChannel {
    /// The connection was lost.
    #[error("connection lost: {0}")]
    Connection(String),
    /// The reader let too much pile up.
    #[error("closed by us: more than {} MiB were left unread", .limit >> 20)]
    Unread {
        /// The bound in bytes.
        limit: usize,
    },
    /// The server refused to run the command.
    #[error("the server refused to run the command")]
    Refused,
}

/// Says that the channel or the connection is gone: nothing written can arrive any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel is gone")]
pub struct WriterGone;

/// A command that was started. Dropping both halves closes the channel; what runs on the host may go on.
#[derive(Debug)]
pub struct Exec {
    reader: ExecReader,
    writer: ExecWriter,
}

impl Exec {
    /// Takes the channel over. The permit is held until the channel is gone.
    pub(super) fn new(
        channel: Channel<Msg>,
        shared: Arc<Shared>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self::with_bound(channel, shared, permit, UNREAD)
    }

    fn with_bound(
        channel: Channel<Msg>,
        shared: Arc<Shared>,
        permit: Option<OwnedSemaphorePermit>,
        limit: usize,
    ) -> Self {
        let (incoming, outgoing) = channel.split();
        let outgoing = Arc::new(outgoing);
        let (told, events) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        let gone = watch::Sender::new(false);
        let (drop_reader, reader_dropped) = oneshot::channel();
        let (drop_writer, writer_dropped) = oneshot::channel();
        let (tell_overrun, overrun) = oneshot::channel();
        let reader = ExecReader {
            events,
            unread: Arc::clone(&unread),
            end: None,
            _dropped: drop_reader,
        };
        let writer = ExecWriter {
            channel: Arc::clone(&outgoing),
            gone: gone.subscribe(),
            open: Some(drop_writer),
        };
        let keeper = Keeper {
            channel: outgoing,
            closed: gone.clone(),
            gone: gone.subscribe(),
            reader_dropped,
            writer_dropped,
            overrun,
        };
        let pump = Pump {
            channel: incoming,
            events: told,
            unread,
            limit,
            closed: gone.subscribe(),
            gone,
            tell_overrun: Some(tell_overrun),
            shared,
        };
        tokio::spawn(keeper.keep());
        tokio::spawn(async move {
            pump.pump().await;
            drop(permit);
        });
        Self { reader, writer }
    }

    #[cfg(test)]
    pub(super) fn bounded(channel: Channel<Msg>, shared: Arc<Shared>, limit: usize) -> Self {
        Self::with_bound(channel, shared, None, limit)
    }

    /// Parts the two directions.
    pub fn split(self) -> (ExecReader, ExecWriter) {
        (self.reader, self.writer)
    }
}

/// Takes messages off the channel; never waits for anything else.
struct Pump {
    channel: ChannelReadHalf,
    events: mpsc::UnboundedSender<ExecEvent>,
    unread: Arc<AtomicUsize>,
    limit: usize,
    /// Told by the keeper that we closed the channel: the library then says nothing more of it.
    closed: watch::Receiver<bool>,
    gone: watch::Sender<bool>,
    tell_overrun: Option<oneshot::Sender<()>>,
    shared: Arc<Shared>,
}

impl Pump {
    async fn pump(mut self) {
        loop {
            let message = tokio::select! {
                biased;
                message = self.channel.wait() => message,
                _ = self.closed.wait_for(|closed| *closed) => return,
            };
            let event = match message {
                Some(ChannelMsg::Data { data }) => ExecEvent::Stdout(data),
                Some(ChannelMsg::ExtendedData { data, .. }) => ExecEvent::Stderr(data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    ExecEvent::Exit { code: exit_status }
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => ExecEvent::Signal {
                    name: signal(signal_name),
                },
                Some(ChannelMsg::Failure) => {
                    self.stop(LostChannel::Refused);
                    continue;
                }
                Some(ChannelMsg::Close) => {
                    self.push(ExecEvent::Closed);
                    break;
                }
                None => {
                    self.push(ExecEvent::Lost(LostChannel::Connection(
                        self.shared.cause(),
                    )));
                    break;
                }
                Some(_) => continue,
            };
            self.push(event);
        }
        self.gone.send_replace(true);
    }

    fn push(&mut self, event: ExecEvent) {
        if self.tell_overrun.is_none() {
            return;
        }
        let cost = cost(&event);
        if self.unread.fetch_add(cost, Ordering::AcqRel) + cost > self.limit && cost > OVERHEAD {
            self.stop(LostChannel::Unread { limit: self.limit });
        } else {
            let _ = self.events.send(event);
        }
    }

    /// Tells the reader that this is the end, has the channel closed, and lets what still comes fall.
    fn stop(&mut self, why: LostChannel) {
        if let Some(tell_overrun) = self.tell_overrun.take() {
            let _ = self.events.send(ExecEvent::Lost(why));
            let _ = tell_overrun.send(());
        }
    }
}

fn cost(event: &ExecEvent) -> usize {
    match event {
        ExecEvent::Stdout(data) | ExecEvent::Stderr(data) => data.len() + OVERHEAD,
        _ => OVERHEAD,
    }
}

fn signal(name: russh::Sig) -> String {
    match name {
        russh::Sig::Custom(name) => name.escape_debug().to_string(),
        known => format!("{known:?}"),
    }
}

/// Sends what must wait for the session, so that the pump does not have to.
struct Keeper {
    channel: Arc<ChannelWriteHalf<Msg>>,
    closed: watch::Sender<bool>,
    gone: watch::Receiver<bool>,
    reader_dropped: oneshot::Receiver<()>,
    writer_dropped: oneshot::Receiver<()>,
    overrun: oneshot::Receiver<()>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut writing = true;
        loop {
            let dropped = tokio::select! {
                _ = self.gone.wait_for(|gone| *gone) => return,
                _ = &mut self.reader_dropped => break,
                overrun = &mut self.overrun => match overrun {
                    Ok(()) => break,
                    // The pump has ended, and the channel with it.
                    Err(_) => return,
                },
                ended = &mut self.writer_dropped, if writing => ended.is_err(),
            };
            writing = false;
            if dropped {
                let _ = until_gone(&mut self.gone, self.channel.eof()).await;
            }
        }
        let _ = until_gone(&mut self.gone, self.channel.close()).await;
        self.closed.send_replace(true);
    }
}

async fn until_gone<T>(
    gone: &mut watch::Receiver<bool>,
    work: impl Future<Output = Result<T, russh::Error>>,
) -> Result<T, WriterGone> {
    tokio::select! {
        biased;
        _ = gone.wait_for(|gone| *gone) => Err(WriterGone),
        done = work => done.map_err(|_| WriterGone),
    }
}

/// Reads from a command. Dropping it closes the channel.
#[derive(Debug)]
pub struct ExecReader {
    events: mpsc::UnboundedReceiver<ExecEvent>,
    unread: Arc<AtomicUsize>,
    end: Option<ExecEvent>,
    _dropped: oneshot::Sender<()>,
}

impl ExecReader {
    /// Waits for the next event; after the last one, returns that one again. May be cancelled without loss.
    pub async fn next(&mut self) -> ExecEvent {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let event = self
            .events
            .recv()
            .await
            .unwrap_or(ExecEvent::Lost(LostChannel::Connection(
                "the connection ended".to_owned(),
            )));
        self.unread.fetch_sub(cost(&event), Ordering::AcqRel);
        if matches!(event, ExecEvent::Closed | ExecEvent::Lost(_)) {
            self.end = Some(event.clone());
        }
        event
    }
}

/// Writes to a command's standard input. Dropping it ends the input.
#[derive(Debug)]
pub struct ExecWriter {
    channel: Arc<ChannelWriteHalf<Msg>>,
    gone: watch::Receiver<bool>,
    /// Taken when the input was ended; dropped, it has the keeper end it.
    open: Option<oneshot::Sender<()>>,
}

impl ExecWriter {
    /// Writes all of it, as the host takes it. Ends with [`WriterGone`] when channel or connection go. When cancelled, a part may have been written.
    pub async fn write(&mut self, data: Bytes) -> Result<(), WriterGone> {
        if self.open.is_none() {
            return Err(WriterGone);
        }
        until_gone(&mut self.gone, self.channel.data_bytes(data)).await
    }

    /// Ends the input.
    pub async fn eof(&mut self) -> Result<(), WriterGone> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let _ = open.send(());
        until_gone(&mut self.gone, self.channel.eof()).await
    }
}

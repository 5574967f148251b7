//! Requests and replies with a host program, side by side over its one channel. One task reads and never waits for a consumer: what
//! can pile up is bounded by the credit that consumers grant as they take. Knows the frames, not what requests mean.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::bootstrap::{self, Login, OpenError, Opened, Said};
use super::departure::Departure;
use super::payload::Programs;
use super::{Host, PipeEvent, PipeReader, PipeWriter};
use crate::protocol::{ALIVE, CREDIT, Decoder, Kind, MAX_PAYLOAD, Message, Reply, Request, VERSION, encode};

/// For the first message of a program that runs already, and for a channel to close after nothing can be written any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// Replies that wait for their consumer, in bytes of a stream.
const UNREAD_REPLIES: usize = 2 * MAX_PAYLOAD;
/// What a reply costs beside its bytes.
const OVERHEAD: usize = 256;
/// Of the program's complaints, the last so many bytes are kept.
const COMPLAINTS: usize = 2 << 10;
/// The number of a link's first stream.
const FIRST: u32 = 1;

/// Why a link gives no more answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is gone; what runs on the host goes on.
    #[error(transparent)]
    Lost(Lost),
    /// The other end does not keep to the protocol.
    #[error("the host's program does not keep to the protocol: {0}")]
    Misbehaved(String),
    /// It speaks another version.
    #[error("the host's program speaks version {0} of the protocol, not {VERSION}")]
    Version(u32),
    /// A request that no frame can hold.
    #[error("a request of {0} bytes is too long to be sent")]
    TooLong(usize),
}

/// How a link was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// With the connection.
    #[error("the connection was lost: {0}")]
    Connection(String),
    /// The host's end of it went away.
    #[error("landfall's program on the host ended: {0}{1}")]
    Program(String, Said),
}

impl LinkError {
    /// What mends it, where that can be said.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Lost(_) => None,
            Self::Misbehaved(_) | Self::Version(_) => {
                Some("remove the folder `landfall` in the host's ~/.cache; it is filled again")
            }
            Self::TooLong(_) => Some("make the playbook smaller, or split it"),
        }
    }
}

/// What a host program says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The kernel's boot id.
    pub boot_id: String,
    /// What tells this machine from every other.
    pub machine: String,
    /// Who the host program runs as.
    pub user: String,
}

/// A piece of what a request brings.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// A message.
    Reply(Reply),
    /// Bytes of a record.
    Data(Vec<u8>),
}

/// A conversation with a host program. Cheap to clone; it ends when all clones and streams are gone.
#[derive(Debug, Clone)]
pub struct Link {
    ends: Arc<Ends>,
    hello: Arc<Hello>,
    uploaded: bool,
}

#[derive(Debug)]
struct Ends {
    state: Arc<Mutex<State>>,
    out: mpsc::UnboundedSender<Bytes>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the newest stream.
    newest: u32,
    streams: HashMap<u32, Slot>,
    ended: Option<LinkError>,
}

/// What the reading task knows of a stream.
#[derive(Debug)]
struct Slot {
    items: mpsc::UnboundedSender<Item>,
    credit: u32,
    unread_replies: usize,
}

#[derive(Debug)]
enum Item {
    Reply(Box<Reply>, usize),
    Data(Vec<u8>),
}

impl Link {
    /// Opens the host program and waits for its first words.
    pub async fn open<H: Host>(host: &H, programs: &Programs, login: &Login) -> Result<Self, OpenFailure> {
        let opened = bootstrap::open(host, programs, login, &Bytes::new(), &Departure::default()).await?;
        Ok(Self::over(opened).await?)
    }

    /// Opens the host program with a first request, which is under way before the program has said a word. Whether the program may
    /// have it, `departure` tells, however this ends.
    pub async fn open_asking<H: Host>(
        host: &H,
        programs: &Programs,
        login: &Login,
        first: &Request,
        departure: &Departure,
    ) -> Result<(Self, Stream), OpenFailure> {
        let frame = framed(Kind::Request, FIRST, &payload(first)?);
        let opened = bootstrap::open(host, programs, login, &frame, departure).await?;
        let (link, begin) = Self::within(PATIENCE, opened).await?;
        let stream = Stream::of(&link.ends, &mut link.ends.state());
        if !departure.has_gone() {
            departure.go().map_err(OpenError::from)?;
            let _ = link.ends.out.send(frame);
        }
        begin();
        Ok((link, stream))
    }

    /// Speaks with a host program that is open already.
    pub async fn over<R: PipeReader, W: PipeWriter>(opened: Opened<R, W>) -> Result<Self, LinkError> {
        let (link, begin) = Self::within(PATIENCE, opened).await?;
        begin();
        Ok(link)
    }

    /// Hears the first words. What follows them is read once the other half of the result is called.
    async fn within<R: PipeReader, W: PipeWriter>(
        patience: Duration,
        opened: Opened<R, W>,
    ) -> Result<(Self, impl FnOnce()), LinkError> {
        let Opened { reader, writer, rest, uploaded, .. } = opened;
        let mut source = Source { reader, decoder: Decoder::default(), ended: None, complaints: Vec::new() };
        source.decoder.push(&rest);
        let first = tokio::time::timeout(patience, source.message()).await;
        let hello = greeting(&first.map_err(|_| LinkError::Misbehaved("no first message".into()))??)?;
        let state = Arc::new(Mutex::new(State::default()));
        let (out, queue) = mpsc::unbounded_channel();
        let link = Self { ends: Arc::new(Ends { state: Arc::clone(&state), out }), hello: Arc::new(hello), uploaded };
        let begin = move || {
            let (tell, written) = oneshot::channel();
            tokio::spawn(async move {
                write(writer, queue).await;
                let _ = tell.send(());
            });
            tokio::spawn(read(source, state, written, patience));
        };
        Ok((link, begin))
    }

    /// What the host program said first.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// True when the program was not on the host before.
    pub fn uploaded(&self) -> bool {
        self.uploaded
    }

    /// Why the link has ended, once it has.
    pub fn ended(&self) -> Option<LinkError> {
        self.ends.state().ended.clone()
    }

    /// Asks, and waits for the first reply. Requests of several callers travel side by side.
    pub async fn call(&self, request: Request) -> Result<Reply, LinkError> {
        let mut stream = self.stream(request)?;
        loop {
            if let StreamItem::Reply(reply) = stream.next().await? {
                return Ok(reply);
            }
        }
    }

    /// Asks for what brings more than one reply, or bytes of a record.
    #[expect(clippy::needless_pass_by_value, reason = "who asks has no further use for it")]
    pub fn stream(&self, request: Request) -> Result<Stream, LinkError> {
        let payload = payload(&request)?;
        let mut state = self.ends.state();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        let stream = Stream::of(&self.ends, &mut state);
        // Under the lock: streams reach the host in the order of their numbers.
        self.ends.send(Kind::Request, stream.id, &payload);
        drop(state);
        Ok(stream)
    }
}

fn payload(request: &Request) -> Result<Vec<u8>, LinkError> {
    let payload = serde_json::to_vec(request).map_err(|error| LinkError::Misbehaved(error.to_string()))?;
    if payload.len() > MAX_PAYLOAD { Err(LinkError::TooLong(payload.len())) } else { Ok(payload) }
}

fn framed(kind: Kind, stream: u32, payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    encode(&mut frame, kind, stream, payload);
    frame.into()
}

impl Ends {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where the writer is gone, the reader says why to everybody.
    fn send(&self, kind: Kind, stream: u32, payload: &[u8]) {
        let _ = self.out.send(framed(kind, stream, payload));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request brings, in order. Dropped, it grants no more: the host sends no more than it was granted.
#[derive(Debug)]
pub struct Stream {
    ends: Arc<Ends>,
    id: u32,
    queue: mpsc::UnboundedReceiver<Item>,
    taken: u32,
}

impl Stream {
    fn of(ends: &Arc<Ends>, state: &mut State) -> Self {
        let (items, queue) = mpsc::unbounded_channel();
        // A link does not live for four thousand million requests.
        state.newest += 1;
        let id = state.newest;
        state.streams.insert(id, Slot { items, credit: CREDIT, unread_replies: 0 });
        Self { ends: Arc::clone(ends), id, queue, taken: 0 }
    }

    /// Waits for the next piece. May be cancelled without loss. A stream has no end of its own: the reply that ends it is known by
    /// who asked.
    pub async fn next(&mut self) -> Result<StreamItem, LinkError> {
        match self.queue.recv().await {
            Some(Item::Reply(reply, cost)) => {
                if let Some(slot) = self.ends.state().streams.get_mut(&self.id) {
                    slot.unread_replies = slot.unread_replies.saturating_sub(cost);
                }
                Ok(StreamItem::Reply(*reply))
            }
            Some(Item::Data(bytes)) => {
                self.grant(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                Ok(StreamItem::Data(bytes))
            }
            None => Err(self.ends.state().ended.clone().unwrap_or_else(|| closed("its channel ended"))),
        }
    }

    /// Grants again what was taken, half a window at a time: neither a frame for each line, nor a host that waits.
    fn grant(&mut self, taken: u32) {
        self.taken += taken;
        if self.taken < CREDIT / 2 {
            return;
        }
        if let Some(slot) = self.ends.state().streams.get_mut(&self.id) {
            slot.credit += self.taken;
        }
        self.ends.send(Kind::Credit, self.id, &self.taken.to_be_bytes());
        self.taken = 0;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ends.state().streams.remove(&self.id);
    }
}

/// Why a link could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum OpenFailure {
    /// The program did not start.
    Program(#[from] OpenError),
    /// It started, and said nothing that could be understood.
    Link(#[from] LinkError),
}

impl OpenFailure {
    /// What mends it, where that can be said.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Program(error) => error.remedy(),
            Self::Link(error) => error.remedy().map(str::to_owned),
        }
    }

    /// Whether it is the connection that went away.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Program(OpenError::Lost(_)) | Self::Link(LinkError::Lost(_)))
    }

    /// The exit code that goes with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Program(error) => error.exit_code(),
            Self::Link(LinkError::Lost(Lost::Connection(_))) => 3,
            Self::Link(_) => 7,
        }
    }
}

fn closed(how: impl Into<String>) -> LinkError {
    LinkError::Lost(Lost::Program(how.into(), Said::default()))
}

fn greeting(message: &Message) -> Result<Hello, LinkError> {
    if message.kind != Kind::Reply || message.stream != 0 {
        return Err(LinkError::Misbehaved("the first message is no greeting".into()));
    }
    let Reply::Hello { version, boot_id, machine, user } = reply(&message.payload)? else {
        return Err(LinkError::Misbehaved("the first message is no greeting".into()));
    };
    if version != VERSION {
        return Err(LinkError::Version(version));
    }
    for text in [&boot_id, &machine, &user] {
        if text.len() > 256 || text.chars().any(char::is_control) {
            return Err(LinkError::Misbehaved("a greeting with an impossible name".into()));
        }
    }
    Ok(Hello { boot_id, machine, user })
}

fn reply(payload: &[u8]) -> Result<Reply, LinkError> {
    serde_json::from_slice(payload).map_err(|error| LinkError::Misbehaved(format!("a reply that cannot be read: {error}")))
}

/// Frames, out of what a channel brings.
struct Source<R> {
    reader: R,
    decoder: Decoder,
    ended: Option<String>,
    complaints: Vec<u8>,
}

impl<R: PipeReader> Source<R> {
    /// May be cancelled without loss.
    async fn message(&mut self) -> Result<Message, LinkError> {
        loop {
            let next = self.decoder.next_message();
            if let Some(message) = next.map_err(|error| LinkError::Misbehaved(error.to_string()))? {
                return Ok(message);
            }
            match self.reader.next().await {
                PipeEvent::Out(bytes) => self.decoder.push(&bytes),
                PipeEvent::Err(bytes) => {
                    self.complaints.extend_from_slice(&bytes);
                    self.complaints.drain(..self.complaints.len().saturating_sub(COMPLAINTS));
                }
                PipeEvent::Ended(how) => self.ended = Some(how),
                PipeEvent::Closed => {
                    let how = self.ended.take().unwrap_or_else(|| "its channel was closed".into());
                    return Err(LinkError::Lost(Lost::Program(how, Said(bootstrap::plain(&self.complaints).trim().to_owned()))));
                }
                PipeEvent::Lost(cause) => return Err(LinkError::Lost(Lost::Connection(cause))),
            }
        }
    }
}

/// Hands frames to their streams until there are no more; then tells everybody why. Waits for nobody but the channel.
async fn read<R: PipeReader>(
    mut source: Source<R>,
    state: Arc<Mutex<State>>,
    mut written: oneshot::Receiver<()>,
    patience: Duration,
) {
    let mut until = None;
    let error = loop {
        let message = tokio::select! {
            message = source.message() => message,
            _ = &mut written, if until.is_none() => {
                until = Some(Instant::now() + patience);
                continue;
            }
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                Err(closed("it takes no more requests"))
            }
        };
        if let Err(error) = message.and_then(|message| lock(&state).deliver(message)) {
            break error;
        }
    };
    let mut state = lock(&state);
    state.ended = Some(error);
    state.streams.clear();
}

impl State {
    fn deliver(&mut self, message: Message) -> Result<(), LinkError> {
        let Message { kind, stream, payload } = message;
        let misbehaved = |what: &str| Err(LinkError::Misbehaved(format!("{what} (stream {stream})")));
        if stream > self.newest {
            return misbehaved("an answer to what nobody asked");
        }
        if stream == 0 {
            return match (kind == Kind::Reply).then(|| reply(&payload)) {
                Some(Ok(Reply::Refused { message, .. })) => Err(LinkError::Misbehaved(bootstrap::plain(message.as_bytes()))),
                Some(Err(error)) => Err(error),
                _ => misbehaved("a message without a request"),
            };
        }
        // Whoever asked has gone: what is still under way is nobody's.
        let Some(slot) = self.streams.get_mut(&stream) else { return Ok(()) };
        let item = match kind {
            Kind::Reply => {
                let cost = payload.len() + OVERHEAD;
                slot.unread_replies += cost;
                if slot.unread_replies > UNREAD_REPLIES {
                    return misbehaved("more replies than anybody can read");
                }
                Item::Reply(Box::new(reply(&payload)?), cost)
            }
            Kind::Data => {
                let left = u32::try_from(payload.len()).ok().and_then(|length| slot.credit.checked_sub(length));
                let Some(left) = left else { return misbehaved("more of a record than was granted") };
                slot.credit = left;
                Item::Data(payload)
            }
            Kind::Request | Kind::Credit | Kind::Alive => return misbehaved("what only a client may say"),
        };
        // A receiver that was dropped meanwhile takes its slot away itself.
        let _ = slot.items.send(item);
        Ok(())
    }
}

/// Writes frames in order, and a sign of life where there are none; ends when nobody can ask any more, or the channel is gone.
/// Dropping the writer ends the input.
async fn write<W: PipeWriter>(mut writer: W, mut queue: mpsc::UnboundedReceiver<Bytes>) {
    loop {
        let frame = match tokio::time::timeout(ALIVE, queue.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => {
                let mut frame = Vec::new();
                encode(&mut frame, Kind::Alive, 0, &[]);
                frame.into()
            }
        };
        if writer.write(frame).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;

//! One host's part of a run, seen from the client: submits it, reads its record into events, reconnects and goes on at the byte,
//! passes on what the run wants of it. Knows nothing of other hosts, and shows nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::contact::{Contact, Reach};
use super::outcome::HostEnd;
use super::stop::Stop;
use crate::event::{Body, Event, VERSION, timestamp};
use crate::facts::Refusal;
use crate::name::{HostName, RunId};
use crate::playbook::Target;
use crate::protocol::{Answer, Reply, Request, RunState, StateDir};
use crate::record::Reader;
use crate::runtime::{LinkError, StreamItem};

/// The pauses between attempts to connect again: they grow, and stay at the last.
const PAUSES: [u64; 6] = [0, 1, 2, 4, 8, 15];

/// What is read from a host.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A new run, by its submission's text.
    Submission(String),
    /// A run that is there.
    Run,
}

/// What there is to know about a host's part.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The host.
    pub host: HostName,
    /// How to reach it.
    pub target: Target,
    /// Where its state is.
    pub state: StateDir,
    /// The run.
    pub run: RunId,
    /// Where its record comes from.
    pub source: Source,
    /// This client's token, if it drives.
    pub driver: Option<String>,
    /// For how long contact is sought again.
    pub reconnect_for: Duration,
}

/// What the run wants of a host. Each may be said twice.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Go.
    Go,
    /// The answer of a barrier.
    Answer {
        /// The index of the step.
        step: u32,
        /// It.
        answer: Box<Answer>,
    },
    /// Stop.
    Cancel {
        /// Who wants it.
        who: String,
    },
}

/// What a host's part tells.
#[derive(Debug)]
pub(super) enum News {
    /// The run is on the host: another one than was submitted where the key was known.
    Accepted(RunId),
    /// It let itself be told to go.
    Gone,
    /// Something happened.
    Event(Box<Event>),
    /// Nothing more will come.
    Ended(HostEnd, Option<Stop>),
}

/// A host's part of a run under way.
pub(super) struct HostRun {
    reach: Arc<Reach>,
    part: Part,
    news: mpsc::Sender<(HostName, News)>,
    wanted: mpsc::UnboundedReceiver<Wanted>,
    unsaid: VecDeque<Wanted>,
    reader: Reader,
    accepted: bool,
}

/// Why reading stopped.
enum Break {
    Ended(HostEnd, Option<Stop>),
    Lost(LinkError),
}

impl HostRun {
    /// A part that is about to begin.
    pub(super) fn new(
        reach: Arc<Reach>,
        part: Part,
        news: mpsc::Sender<(HostName, News)>,
        wanted: mpsc::UnboundedReceiver<Wanted>,
    ) -> Self {
        let reader = Reader::new(part.run.clone(), part.host.clone());
        let accepted = matches!(part.source, Source::Run);
        Self { reach, part, news, wanted, unsaid: VecDeque::new(), reader, accepted }
    }

    /// Plays the part to its end.
    pub(super) async fn play(mut self, contact: Contact) {
        let mut contact = Some(contact);
        let mut lost_since = None;
        let (end, stop) = loop {
            let cause = match contact.take() {
                None => None,
                Some(made) => {
                    if lost_since.take().is_some() {
                        let offset = self.reader.offset();
                        self.tell(Body::Reconnected { offset }).await;
                    }
                    let broken = self.read(&made).await;
                    made.close().await;
                    match broken {
                        Break::Ended(end, stop) => break (end, stop),
                        Break::Lost(error) => Some(error),
                    }
                }
            };
            if let Some(error) = cause {
                self.tell(Body::ConnectionLost { cause: error.to_string() }).await;
            }
            let since = *lost_since.get_or_insert_with(Instant::now);
            match self.again(since).await {
                Ok(made) => contact = Some(made),
                Err(stop) => {
                    let end = if self.accepted { HostEnd::Unknown } else { HostEnd::Unreachable };
                    break (end, Some(stop));
                }
            }
        };
        let _ = self.news.send((self.part.host.clone(), News::Ended(end, stop))).await;
    }

    /// Seeks contact again, with growing pauses, until it stands or the time is over.
    async fn again(&mut self, since: Instant) -> Result<Contact, Stop> {
        let mut last = None;
        for attempt in 0.. {
            let pause = Duration::from_secs(PAUSES[attempt.min(PAUSES.len() - 1)]);
            if since.elapsed() + pause > self.part.reconnect_for {
                break;
            }
            tokio::time::sleep(pause).await;
            match Contact::make(&self.reach, &self.part.host, &self.part.target).await {
                Ok(contact) => return Ok(contact),
                // A host that answers and refuses will not be talked round by trying again, unless it is still starting.
                Err(stop) if stop.code == 2 => return Err(stop),
                Err(stop) => last = Some(stop),
            }
        }
        let why = last.map(|stop| format!(": {}", stop.message)).unwrap_or_default();
        let limit = humantime::format_duration(self.part.reconnect_for);
        let stop = Stop::new(6, format!("{}: no contact for {limit}{why}", self.part.host));
        Err(stop.remedy(format!("the run goes on there; to see it: landfall attach {}", self.part.run)))
    }

    fn request(&self) -> Request {
        match &self.part.source {
            Source::Submission(text) if self.reader.offset() == 0 => Request::Submit {
                sha256: Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")),
                submission: text.clone(),
                driver: self.part.driver.clone().unwrap_or_default(),
            },
            _ => Request::Follow {
                state: self.part.state.clone(),
                run: self.part.run.clone(),
                offset: self.reader.offset(),
                driver: self.part.driver.clone(),
            },
        }
    }

    /// Reads the record over one connection.
    async fn read(&mut self, contact: &Contact) -> Break {
        let mut stream = match contact.link.stream(self.request()) {
            Ok(stream) => stream,
            Err(error) => return Break::Lost(error),
        };
        let mut wanting = true;
        // What was wanted while there was no contact is said now, once the host has the run.
        loop {
            if self.accepted {
                while let Some(wanted) = self.unsaid.front().cloned() {
                    match self.say(contact, &wanted).await {
                        Ok(()) => drop(self.unsaid.pop_front()),
                        Err(broken) => return broken,
                    }
                }
            }
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Err(error) => return Break::Lost(error),
                    Ok(item) => if let Some(broken) = self.take(item).await { return broken },
                },
                wanted = self.wanted.recv(), if wanting => match wanted {
                    Some(wanted) => self.unsaid.push_back(wanted),
                    None => wanting = false,
                },
            }
        }
    }

    async fn say(&self, contact: &Contact, wanted: &Wanted) -> Result<(), Break> {
        let (state, run) = (self.part.state.clone(), self.part.run.clone());
        let request = match wanted {
            Wanted::Go => Request::Go { state, run },
            Wanted::Cancel { who } => Request::Cancel { state, run, who: who.clone() },
            Wanted::Answer { step, answer } => Request::Answer {
                state,
                run,
                step: *step,
                driver: self.part.driver.clone().unwrap_or_default(),
                answer: (**answer).clone(),
            },
        };
        match contact.link.call(request).await {
            Ok(Reply::Refused { message, .. }) => self.tell(Body::Warning { text: message }).await,
            Ok(_) if matches!(wanted, Wanted::Go) => {
                let _ = self.news.send((self.part.host.clone(), News::Gone)).await;
            }
            Ok(_) => {}
            Err(error) => return Err(Break::Lost(error)),
        }
        Ok(())
    }

    async fn take(&mut self, item: StreamItem) -> Option<Break> {
        match item {
            StreamItem::Data(bytes) => {
                let mut events = Vec::new();
                let read = self.reader.push(&bytes, &mut events);
                for event in events {
                    let _ = self.news.send((self.part.host.clone(), News::Event(Box::new(event)))).await;
                }
                let error = read.err()?;
                let stop = Stop::new(6, format!("{}: {error}", self.part.host));
                Some(Break::Ended(HostEnd::Unknown, Some(stop)))
            }
            StreamItem::Reply(Reply::Accepted { run }) => {
                self.accepted = true;
                if run != self.part.run {
                    self.part.run = run.clone();
                    self.reader = Reader::new(run.clone(), self.part.host.clone());
                }
                let _ = self.news.send((self.part.host.clone(), News::Accepted(run))).await;
                None
            }
            StreamItem::Reply(Reply::RecordEnd { state }) => Some(self.ended(state)),
            StreamItem::Reply(Reply::RecordShort { length }) => {
                let text = format!(
                    "{}: the host's record ends at byte {length}, before the {} that were read: it lost its tail",
                    self.part.host,
                    self.reader.offset()
                );
                Some(Break::Ended(HostEnd::Unknown, Some(Stop::new(6, text))))
            }
            StreamItem::Reply(Reply::Refused { code, message, remedy }) => {
                let stop = Stop::from(Refusal { code, message, remedy }).on(&self.part.host);
                // Acknowledged but absent is lost; a refusal before that means that nothing was begun.
                let end = if self.accepted { HostEnd::Unknown } else { HostEnd::Done(code) };
                let stop = if self.accepted { Stop { code: 6, ..stop } } else { stop };
                Some(Break::Ended(end, Some(stop)))
            }
            StreamItem::Reply(_) => None,
        }
    }

    fn ended(&self, state: RunState) -> Break {
        let host = &self.part.host;
        let run = &self.part.run;
        let settle = format!("look at what it did, then: landfall resolve {run} --as done|not-done --note …");
        let (end, stop) = match state {
            RunState::Done { code, .. } => (HostEnd::Done(code), None),
            RunState::Lost => {
                let message =
                    format!("{host}: run {run} is lost: its supervisor died (was the host restarted?), and nothing of it runs");
                (HostEnd::Unknown, Some(Stop::new(6, message).remedy(settle)))
            }
            RunState::Orphaned { left } => {
                let message = format!("{host}: run {run} has lost its supervisor, but this still runs: {}", left.join(", "));
                (HostEnd::Unknown, Some(Stop::new(6, message).remedy(format!("to stop it: landfall cancel {run}"))))
            }
            RunState::Running => (HostEnd::Unknown, Some(Stop::new(6, format!("{host}: the record of run {run} broke off")))),
        };
        Break::Ended(end, stop)
    }

    async fn tell(&self, body: Body) {
        let event = Event {
            v: VERSION,
            time: timestamp(std::time::SystemTime::now()),
            run: self.part.run.clone(),
            host: Some(self.part.host.clone()),
            step: None,
            body,
        };
        let _ = self.news.send((self.part.host.clone(), News::Event(Box::new(event)))).await;
    }
}

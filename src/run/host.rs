//! One host's part of a run, seen from the client: submits it, reads its record into events, reconnects and goes on at the byte,
//! passes on what the run wants of it. Knows nothing of other hosts, and shows nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::contact::{Contact, Reach, Reached, pause};
use super::outcome::HostEnd;
use super::stop::Stop;
use crate::event::{Approved, Body, Event, Timestamp, VERSION};
use crate::facts::Refusal;
use crate::name::{HostName, RunId, StepName};
use crate::playbook::Target;
use crate::protocol::{Answer, Reply, Request, RunState, StateDir};
use crate::record::Reader;
use crate::runtime::{Departure, Stream, StreamItem};

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
    /// Whether a key was given: only then may the host answer with another run than was submitted.
    pub keyed: bool,
}

/// How far contact has come when a part begins.
pub(super) enum Start {
    /// It stands.
    Open(Contact),
    /// The host program is opened with the part's own request, which does not wait for it to greet.
    Reached(Reached),
}

impl Start {
    /// The host's name.
    pub(super) fn host(&self) -> &HostName {
        match self {
            Self::Open(contact) => &contact.host,
            Self::Reached(reached) => &reached.host,
        }
    }
}

/// What the run wants of a host. Each may be said twice.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Go.
    Go {
        /// What somebody took upon themselves, by step: to be recorded.
        approved: BTreeMap<StepName, Vec<Approved>>,
    },
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
    /// Something happened: all that was read in one go, in order.
    Events(Vec<Event>),
    /// The record is open: what is told until it is caught up has happened before.
    Opened {
        /// Whether this client drives the run.
        drives: bool,
    },
    /// Another client drives the run by now.
    Overtaken,
    /// All that was in the record when it was opened has been told.
    CaughtUp,
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
    /// The submission's way out: until it has left, the run can be called off.
    departure: Departure,
    reader: Reader,
    /// The submission left this machine: whether it arrived is only known once the host says so.
    sent: bool,
    accepted: bool,
    /// Something was read since contact was made: a new beginning of seeking it, like contact that stood for a while.
    heard: bool,
    /// How long the record was when it was opened, until it has been read so far.
    history: Option<u64>,
}

/// What the client itself tells of a run is not taken from a host's record.
fn is_the_hosts(body: &Body) -> bool {
    !matches!(
        body,
        Body::RunFinished { .. } | Body::HostConnected { .. } | Body::ConnectionLost { .. } | Body::Reconnected { .. }
    )
}

/// Contact that stood for so long was made, though a quiet step said nothing over it.
const STOOD: Duration = Duration::from_secs(15);

/// A host that has a submission says so at once.
const ANSWER: Duration = Duration::from_mins(1);

/// When an answer that a host could not take is given again.
const AGAIN: Duration = Duration::from_secs(5);

/// Why reading stopped.
enum Break {
    Ended(HostEnd, Option<Stop>),
    /// The contact is gone, and why.
    Lost(String),
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
        let departure = Departure::default();
        if accepted {
            // A run that is there is not called off by anybody who only asks for it.
            let _ = departure.go();
        }
        let unsaid = VecDeque::new();
        Self { reach, part, news, wanted, unsaid, departure, reader, sent: false, accepted, heard: false, history: None }
    }

    /// The submission's way out of this machine.
    pub(super) fn departure(&self) -> Departure {
        self.departure.clone()
    }

    /// Plays the part to its end.
    pub(super) async fn play(mut self, start: Start) {
        let (mut since, mut attempts) = (Instant::now(), 0);
        let mut asked = self.ask(start).await;
        let (end, stop) = loop {
            let made = Instant::now();
            let broken = match asked {
                Ok((contact, stream)) => {
                    let broken = self.read(&contact, stream).await;
                    contact.close().await;
                    broken
                }
                Err(broken) => broken,
            };
            let cause = match broken {
                Break::Ended(end, stop) => break (end, stop),
                Break::Lost(cause) => cause,
            };
            if std::mem::take(&mut self.heard) || made.elapsed() > STOOD {
                (since, attempts) = (Instant::now(), 0);
            }
            self.tell(Body::ConnectionLost { cause }).await;
            asked = match self.again(since, &mut attempts).await {
                Ok(asked) => {
                    let offset = self.reader.offset();
                    self.tell(Body::Reconnected { offset }).await;
                    Ok(asked)
                }
                Err(stop) => {
                    let end = if self.sent || self.accepted { HostEnd::Unknown } else { HostEnd::Unreachable };
                    break (end, Some(stop));
                }
            };
        };
        let _ = self.news.send((self.part.host.clone(), News::Ended(end, stop))).await;
    }

    /// Asks for the record: over a contact that stands, or together with what makes it.
    async fn ask(&mut self, start: Start) -> Result<(Contact, Stream), Break> {
        let request = self.request();
        // What may be there is not called off, whatever becomes of asking for it again.
        let departure = if self.sent || self.accepted { Departure::default() } else { self.departure.clone() };
        let asked = match start {
            Start::Open(contact) => match departure.go().map(|()| contact.link.stream(request)) {
                Ok(Ok(stream)) => Ok((contact, stream)),
                Ok(Err(error)) => {
                    departure.came_back();
                    Err(Break::Lost(error.to_string()))
                }
                Err(called_off) => Err(Break::Ended(HostEnd::NotBegun, Some(Stop::new(130, called_off.to_string())))),
            },
            Start::Reached(reached) => reached.open_asking(&self.reach, &request, &departure).await.map_err(|failure| {
                let unknown = departure.has_gone();
                self.sent |= unknown;
                if failure.is_lost() && unknown {
                    return Break::Lost(failure.to_string());
                }
                let stop = Stop::from(failure).on(&self.part.host);
                if unknown {
                    let message = format!(
                        "{}: whether the run has begun there is not known: landfall attach {}",
                        stop.message, self.part.run
                    );
                    return Break::Ended(HostEnd::Unknown, Some(Stop { code: 6, message, ..stop }));
                }
                let end = if stop.code == 3 { HostEnd::Unreachable } else { HostEnd::Done(stop.code) };
                Break::Ended(end, Some(stop))
            }),
        };
        self.sent |= asked.is_ok();
        asked
    }

    /// Seeks contact again, with growing pauses, until it stands or the time is over.
    async fn again(&mut self, since: Instant, attempts: &mut usize) -> Result<(Contact, Stream), Stop> {
        let mut last = None;
        loop {
            let pause = pause(*attempts);
            *attempts += 1;
            if since.elapsed() + pause > self.part.reconnect_for {
                break;
            }
            tokio::time::sleep(pause).await;
            let reached = match Reached::make(&self.reach, &self.part.host, &self.part.target).await {
                Ok(reached) => reached,
                // The run goes on there, whatever keeps this client away.
                Err(stop) if stop.lasting => return Err(Stop { code: 6, ..stop }),
                Err(stop) => {
                    last = Some(stop.message);
                    continue;
                }
            };
            match self.ask(Start::Reached(reached)).await {
                Ok(asked) => return Ok(asked),
                Err(Break::Lost(cause)) => last = Some(cause),
                Err(Break::Ended(_, stop)) => last = stop.map(|stop| stop.message),
            }
        }
        let why = last.map(|why| format!(": {why}")).unwrap_or_default();
        let limit = humantime::format_duration(self.part.reconnect_for);
        let stop = Stop::new(6, format!("no contact for {limit}{why}")).on(&self.part.host);
        Err(stop.remedy(format!("the run goes on there; to see it: landfall attach {}", self.part.run)))
    }

    fn request(&self) -> Request {
        match &self.part.source {
            Source::Submission(text) if !self.accepted => Request::Submit {
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
    async fn read(&mut self, contact: &Contact, mut stream: Stream) -> Break {
        let mut wanting = true;
        let patience = tokio::time::Instant::now() + ANSWER;
        // When what the host could not take is said again.
        let mut later = None::<tokio::time::Instant>;
        // What was wanted while there was no contact is said now, once the host has the run.
        loop {
            while let Some(wanted) = self.unsaid.front().filter(|_| self.accepted && later.is_none()).cloned() {
                match self.say(contact, &wanted).await {
                    Ok(true) => drop(self.unsaid.pop_front()),
                    Ok(false) => later = Some(tokio::time::Instant::now() + AGAIN),
                    Err(broken) => return broken,
                }
            }
            let pause = async {
                match later {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // First what is wanted: a host that floods must still hear that it is to stop.
                wanted = self.wanted.recv(), if wanting => match wanted {
                    // A stop waits behind nothing: it needs no room on a disk that is too full for an answer.
                    Some(cancel @ Wanted::Cancel { .. }) => {
                        self.unsaid.push_front(cancel);
                        later = None;
                    }
                    Some(wanted) => self.unsaid.push_back(wanted),
                    None => wanting = false,
                },
                item = stream.next() => match item {
                    Err(error) => return Break::Lost(error.to_string()),
                    Ok(item) => if let Some(broken) = self.take(item).await { return broken },
                },
                () = pause => later = None,
                () = tokio::time::sleep_until(patience), if !self.accepted => {
                    return Break::Lost("the host does not say that it has the run".to_owned());
                }
            }
        }
    }

    /// Says it. False when the host could not take it now.
    async fn say(&self, contact: &Contact, wanted: &Wanted) -> Result<bool, Break> {
        let (state, run) = (self.part.state.clone(), self.part.run.clone());
        let request = match wanted {
            Wanted::Go { approved } => {
                Request::Go { state, run, driver: self.part.driver.clone().unwrap_or_default(), approved: approved.clone() }
            }
            Wanted::Cancel { who } => Request::Cancel { state, run, who: who.clone(), again: false },
            Wanted::Answer { step, answer } => Request::Answer {
                state,
                run,
                step: *step,
                driver: self.part.driver.clone().unwrap_or_default(),
                answer: (**answer).clone(),
            },
        };
        match contact.link.call(request).await {
            Ok(Reply::Refused { message, .. }) => {
                self.tell(Body::Warning { text: message }).await;
                return Ok(!matches!(wanted, Wanted::Answer { .. }));
            }
            Ok(Reply::Overtaken) => {
                let _ = self.news.send((self.part.host.clone(), News::Overtaken)).await;
            }
            Ok(_) if matches!(wanted, Wanted::Go { .. }) => {
                let _ = self.news.send((self.part.host.clone(), News::Gone)).await;
            }
            Ok(_) => {}
            Err(error) => return Err(Break::Lost(error.to_string())),
        }
        Ok(true)
    }

    async fn take(&mut self, item: StreamItem) -> Option<Break> {
        match item {
            StreamItem::Data(bytes) => {
                self.heard = true;
                let mut events = Vec::new();
                let read = self.reader.push(&bytes, &mut events);
                events.retain(|event| is_the_hosts(&event.body));
                if !events.is_empty() {
                    let _ = self.news.send((self.part.host.clone(), News::Events(events))).await;
                }
                self.catch_up().await;
                let error = read.err()?;
                let stop = Stop::new(6, format!("{}: {error}", self.part.host));
                Some(Break::Ended(HostEnd::Unknown, Some(stop)))
            }
            StreamItem::Reply(Reply::Accepted { run }) => {
                if run != self.part.run && !self.part.keyed {
                    let stop = Stop::new(7, format!("it answers with run {run}, which is not the one submitted"));
                    return Some(Break::Ended(HostEnd::Done(7), Some(stop.on(&self.part.host))));
                }
                self.accepted = true;
                if run != self.part.run {
                    self.part.run = run.clone();
                    self.reader = Reader::new(run.clone(), self.part.host.clone());
                }
                let _ = self.news.send((self.part.host.clone(), News::Accepted(run))).await;
                None
            }
            StreamItem::Reply(Reply::Opened { length, drives }) => {
                self.history = Some(length);
                let _ = self.news.send((self.part.host.clone(), News::Opened { drives })).await;
                self.catch_up().await;
                None
            }
            StreamItem::Reply(Reply::RecordEnd { state, known }) => Some(self.ended(state, &known)),
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

    async fn catch_up(&mut self) {
        if self.history.is_some_and(|length| length <= self.reader.offset()) {
            self.history = None;
            let _ = self.news.send((self.part.host.clone(), News::CaughtUp)).await;
        }
    }

    fn ended(&self, state: RunState, known: &[String]) -> Break {
        let host = &self.part.host;
        let run = &self.part.run;
        let settle = format!("look at what it did, then: landfall resolve {run} --as done|not-done --note …");
        let (end, stop) = match state {
            RunState::Done { code, .. } => (HostEnd::Done(code), None),
            RunState::Lost => {
                let message =
                    format!("{host}: run {run} is lost: its supervisor died (was the host restarted?), and nothing of it runs");
                let message = [&[message], known].concat().join("\n");
                (HostEnd::Unknown, Some(Stop::new(6, message).remedy(settle)))
            }
            RunState::Orphaned { left } => {
                let message = format!("{host}: run {run} has lost its supervisor, but this still runs: {}", left.join(", "));
                let message = [&[message], known].concat().join("\n");
                (HostEnd::Unknown, Some(Stop::new(6, message).remedy(format!("to stop it: landfall cancel {run}"))))
            }
            RunState::Running => (HostEnd::Unknown, Some(Stop::new(6, format!("{host}: the record of run {run} broke off")))),
        };
        Break::Ended(end, stop)
    }

    async fn tell(&self, body: Body) {
        let event = Event {
            v: VERSION,
            time: Timestamp::of(std::time::SystemTime::now()),
            run: self.part.run.clone(),
            host: Some(self.part.host.clone()),
            step: None,
            body,
        };
        let _ = self.news.send((self.part.host.clone(), News::Events(vec![event]))).await;
    }
}

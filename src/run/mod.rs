//! One run, from a resolved playbook to an exit code: local gates, connections, locks in order, the plan and its approval, batches,
//! barriers, signals. Merges the hosts' records into one stream of events. Shows nothing itself and asks nobody: that is the
//! [`Desk`]'s.

mod attach;
pub mod contact;
mod drive;
mod flight;
mod here;
mod host;
pub mod journal;
mod logs;
mod outcome;
mod signals;
mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use attach::{Past, Watch, attach, drive};
pub use contact::{Contact, Reach, ssh_target};
pub use journal::{Entry, Journal};
pub use logs::{LogNews, LogsWanted, read_logs};
pub use outcome::worst;
pub use stop::Stop;

use crate::event::{Body, Event, Status, Timestamp, VERSION, timestamp};
use crate::facts::{Facts, LockHolder};
use crate::migration::gate::Consent;
use crate::name::{HostName, RunId, StepName};
use crate::plan::{Order, Plan};
use crate::playbook::{DriverWork, LocalStep, ResolvedPlaybook, Work};
use crate::protocol::{Approval, Reply, Request, RunState, Who};
use crate::report::{Reporter, Reporters};
use crate::runtime::StreamItem;
use crate::vault::Vault;

use contact::Reached;
use flight::Flight;
use host::Start;
use signals::Signals;

/// How long a host that is prepared waits for a client that went away before its word: longer than a change of networks, shorter than
/// the patience of the next one in line.
const BLINK: Duration = Duration::from_secs(30);

/// What is said of a run that ended before any host had it, or with everybody's word that it was not begun.
const NOTHING_DONE: &str = "interrupted: nothing was done";

/// How a run is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who starts it.
    pub who: Who,
    /// Why.
    pub note: Option<String>,
    /// A caller's own key: its run is found instead of started anew.
    pub key: Option<String>,
    /// Approved beforehand.
    pub yes: bool,
    /// Hand it over as soon as it goes.
    pub detach: bool,
    /// How long to wait for a lock.
    pub lock_wait: Duration,
    /// For how long contact is sought again.
    pub reconnect_for: Duration,
    /// SIGTERM cancels instead of letting go.
    pub cancel_on_term: bool,
    /// What somebody takes upon themselves of the migrations that wait.
    pub consent: Consent,
    /// The inventory's file, for the journal.
    pub config: std::path::PathBuf,
}

/// The person in front of it, or nobody. Its functions may block; they are called off the runtime's thread.
pub trait Desk: Send + Sync {
    /// Shows the plan.
    fn show(&self, plan: &Plan);
    /// Asks for approval.
    fn confirm(&self, plan: &Plan) -> Result<(), Stop>;
    /// Asks whether to stop a migration that is running.
    fn confirm_cancel(&self) -> bool;
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code.
    pub code: u8,
    /// What is to be said about it.
    pub stops: Vec<Stop>,
}

impl Finished {
    fn stopped(stop: Stop) -> Self {
        Self { code: stop.code, stops: vec![stop] }
    }
}

/// The one stream of events of a run, on its way to the reporters.
pub struct Feed<'a> {
    reporters: &'a mut Reporters,
    run: RunId,
    began: Instant,
    /// The longest that a host's part took, by its own word.
    longest: Option<u64>,
}

impl<'a> Feed<'a> {
    fn new(reporters: &'a mut Reporters, run: RunId) -> Self {
        Self { reporters, run, began: Instant::now(), longest: None }
    }

    /// Passes an event on. Who has no more of them settles.
    fn pass(&mut self, event: &Event) {
        if let Body::HostFinished { duration_ms, .. } = event.body {
            self.longest = self.longest.max(Some(duration_ms));
        }
        self.reporters.event(event);
    }

    /// No more events are at hand.
    fn settle(&mut self) {
        self.reporters.settle();
    }

    /// Makes one of the client's own, and passes it on.
    fn tell(&mut self, host: Option<&HostName>, step: Option<&StepName>, body: Body) -> Event {
        let event = Event {
            v: VERSION,
            time: Timestamp::of(SystemTime::now()),
            run: self.run.clone(),
            host: host.cloned(),
            step: step.cloned(),
            body,
        };
        self.pass(&event);
        self.settle();
        event
    }

    fn finish(&mut self, code: u8) {
        self.end(code, millis(self.began));
    }

    /// The end of a run that was started elsewhere: its hosts know how long it took, not who watched.
    fn finish_watched(&mut self, code: u8) {
        self.end(code, self.longest.unwrap_or_else(|| millis(self.began)));
    }

    fn end(&mut self, code: u8, duration_ms: u64) {
        self.tell(None, None, Body::RunFinished { status: outcome::status(code), exit_code: code, duration_ms });
    }
}

fn millis(since: Instant) -> u64 {
    in_millis(since.elapsed())
}

fn in_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A new run's id, and the token of its driver.
fn random() -> Result<(RunId, String), Stop> {
    let mut bytes = [0u8; 22];
    getrandom::fill(&mut bytes).map_err(|error| Stop::new(6, format!("the system gives no random bytes: {error}")))?;
    let mut id = [0u8; 6];
    id.copy_from_slice(&bytes[..6]);
    Ok((RunId::from_random(id), crate::record::base64(&bytes[6..])))
}

/// Runs a playbook.
pub async fn run(
    playbook: &ResolvedPlaybook,
    options: &Options,
    reach: &Arc<Reach>,
    desk: Arc<dyn Desk>,
    reporters: &mut Reporters,
) -> Finished {
    let (mut id, mut driver) = match random() {
        Ok(made) => made,
        Err(stop) => return Finished::stopped(stop),
    };
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Finished::stopped(Stop::new(6, format!("signals cannot be heard: {error}"))),
    };
    let bare = Plan::new(playbook, BTreeMap::new());
    if let Err(stop) = may_detach(playbook, options) {
        return Finished::stopped(stop);
    }
    let mut feed = Feed::new(reporters, id.clone());
    let started = Body::RunStarted {
        playbook: playbook.name.to_string(),
        hosts: playbook.hosts.iter().map(|host| host.name.clone()).collect(),
        plan: bare.digest.clone(),
        who: options.who.to_string(),
        note: options.note.clone(),
    };
    feed.tell(None, None, started);
    for step in &playbook.before {
        let code = match before(step, &reach.vault, &mut feed, &mut signals).await {
            Status::Ok => continue,
            Status::Cancelled => 130,
            _ => 1,
        };
        feed.finish(code);
        return Finished { code, stops: Vec::new() };
    }
    let patience = Instant::now() + options.lock_wait;
    let finished = loop {
        let attempt = Attempt { playbook, options, reach, desk: &desk, bare: &bare, run: id.clone(), driver: driver.clone() };
        match attempt.fly(&mut feed, &mut signals).await {
            Ended::Locked { host, holder, .. } if Instant::now() < patience => {
                let text = format!("{host}: waiting for run {} ({}, by {})", holder.run, holder.playbook, holder.who);
                feed.tell(None, None, Body::Warning { text });
                if let Err(stop) = wait_for(playbook, reach, &host, &holder, patience, &mut signals).await {
                    break Finished::stopped(stop);
                }
                // A run that was refused is over; the next attempt is a run of its own.
                (id, driver) = match random() {
                    Ok(made) => made,
                    Err(stop) => break Finished::stopped(stop),
                };
                feed.run = id.clone();
            }
            Ended::Over(finished) | Ended::Locked { finished, .. } => break finished,
        }
    };
    feed.finish(finished.code);
    finished
}

fn may_detach(playbook: &ResolvedPlaybook, options: &Options) -> Result<(), Stop> {
    if !options.detach {
        return Ok(());
    }
    let steps = playbook.hosts.iter().flat_map(|host| host.steps.iter().map(move |step| (host, step)));
    let needs = steps.into_iter().find(|(_, step)| step.work != Work::Host);
    if let Some((host, step)) = needs {
        let why = match &step.work {
            Work::Driver(DriverWork::Local(_)) => "runs on this machine".to_owned(),
            Work::Driver(DriverWork::Here(_)) => "looks from this machine".to_owned(),
            Work::Peer { first } => format!("waits on {} for the result of {first}", host.name),
            Work::Host => String::new(),
        };
        let message = format!("this run cannot be handed over: step {:?} {why}", step.step.name.as_str());
        return Err(Stop::new(2, message).remedy("leave out --detach; Ctrl-C lets go of it later, too"));
    }
    if playbook.serial.is_some() {
        let message = "this run cannot be handed over: `serial` lets hosts go in batches, from here";
        return Err(Stop::new(2, message).remedy("leave out --detach"));
    }
    Ok(())
}

/// Runs a leading `local` step: before anything is contacted.
async fn before(step: &LocalStep, vault: &Arc<Vault>, feed: &mut Feed<'_>, signals: &mut Signals) -> Status {
    let began = Instant::now();
    let started = Body::StepStarted { kind: "local".into(), command: step.shown.clone(), check: false };
    feed.tell(None, Some(&step.name), started);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let work = DriverWork::Local(step.command.clone());
    let performing = drive::perform(&work, "local", step.timeout_ms.map(Duration::from_millis), vault, tell);
    tokio::pin!(performing);
    let answer = loop {
        tokio::select! {
            biased;
            Some(body) = told.recv() => drop(feed.tell(None, Some(&step.name), body)),
            answer = &mut performing => break Some(answer),
            _ = signals.wish() => break None,
        }
    };
    while let Ok(body) = told.try_recv() {
        feed.tell(None, Some(&step.name), body);
    }
    let (status, exit_code, detail) = match answer {
        Some(answer) => (answer.status, answer.exit_code, answer.detail),
        None => (Status::Cancelled, None, Some("interrupted".to_owned())),
    };
    let finished = Body::StepFinished { status, exit_code, signal: None, duration_ms: millis(began), detail };
    feed.tell(None, Some(&step.name), finished);
    status
}

/// Waits until the run that holds a lock is over, by following its record.
async fn wait_for(
    playbook: &ResolvedPlaybook,
    reach: &Arc<Reach>,
    host: &HostName,
    holder: &LockHolder,
    patience: Instant,
    signals: &mut Signals,
) -> Result<(), Stop> {
    let Some(of) = playbook.hosts.iter().find(|of| of.name == *host) else { return Ok(()) };
    let contact = Contact::make(reach, host, &of.target).await?;
    let request = Request::Follow { state: of.state.clone(), run: holder.run.clone(), offset: 0, driver: None };
    let mut stream = contact.link.stream(request)?;
    let over = async {
        loop {
            match stream.next().await {
                Ok(StreamItem::Reply(Reply::RecordEnd { state: RunState::Done { .. }, .. })) => return,
                // An orphan holds on, and a lost connection tells nothing: there is no event to wait for, so it is asked again.
                Ok(StreamItem::Reply(Reply::RecordEnd { .. } | Reply::Refused { .. })) | Err(_) => {
                    return tokio::time::sleep(Duration::from_secs(3)).await;
                }
                Ok(StreamItem::Reply(_) | StreamItem::Data(_)) => {}
            }
        }
    };
    tokio::select! {
        () = over => Ok(()),
        () = tokio::time::sleep_until(patience.into()) => Ok(()),
        _ = signals.wish() => Err(Stop::new(130, "interrupted while waiting for the lock: nothing was done")),
    }
}

/// One attempt at a run, under one id.
struct Attempt<'a> {
    playbook: &'a ResolvedPlaybook,
    options: &'a Options,
    reach: &'a Arc<Reach>,
    desk: &'a Arc<dyn Desk>,
    bare: &'a Plan,
    run: RunId,
    driver: String,
}

enum Ended {
    Over(Finished),
    Locked { host: HostName, holder: Box<LockHolder>, finished: Finished },
}

impl Attempt<'_> {
    fn approval(&self) -> Approval {
        let effects = self.playbook.hosts.iter().any(|host| host.steps.iter().any(|step| step.effects) || !host.pull.is_empty());
        let alone = self.playbook.hosts.len() == 1 && !self.playbook.is_gated();
        if alone && (self.options.yes || !effects) { Approval::Given } else { Approval::Awaited }
    }

    fn submission(&self, host: &HostName) -> Result<String, Stop> {
        // In batches a host waits for its turn as long as the others work: there a client that is cut off must find it waiting.
        let in_batches = self.playbook.serial.is_some();
        let approve_within = if in_batches { self.options.reconnect_for } else { self.options.reconnect_for.min(BLINK) };
        let order = Order {
            run: self.run.clone(),
            who: self.options.who.clone(),
            note: self.options.note.clone(),
            key: self.options.key.clone(),
            approval: self.approval(),
            answer_within_ms: in_millis(self.options.reconnect_for),
            approve_within_ms: in_millis(approve_within),
            lock_wait_ms: in_millis(self.options.lock_wait),
            accepted: self.options.consent.accepted(),
        };
        let submission = self.bare.submission(host, &order);
        let text = submission.and_then(|submission| serde_json::to_string(&submission).ok());
        text.ok_or_else(|| Stop::new(2, format!("{host} is not part of the plan")))
    }

    async fn connect(&self, feed: &mut Feed<'_>, signals: &mut Signals) -> Result<Vec<Start>, Finished> {
        let interrupted = || Finished::stopped(Stop::new(130, NOTHING_DONE));
        // Of one host nothing has to be known before it is asked, unless sudo may have a question first.
        if let [host] = &self.playbook.hosts[..]
            && !host.target.sudo
        {
            let reached = tokio::select! {
                reached = Reached::make(self.reach, &host.name, &host.target) => reached.map_err(Finished::stopped)?,
                _ = signals.wish() => return Err(interrupted()),
            };
            let body = Body::HostConnected { address: reached.address.clone(), user: reached.user.clone() };
            feed.tell(Some(&host.name), None, body);
            return Ok(vec![Start::Reached(reached)]);
        }
        let hosts = self.playbook.hosts.iter().map(|host| (host.name.clone(), host.target.clone())).collect();
        let made = tokio::select! {
            made = contact::make_all(self.reach, hosts) => made,
            _ = signals.wish() => return Err(interrupted()),
        };
        let (mut contacts, mut stops) = (Vec::new(), Vec::new());
        for result in made {
            match result {
                Ok(contact) => {
                    let body = Body::HostConnected { address: contact.address.clone(), user: contact.user.clone() };
                    feed.tell(Some(&contact.host), None, body);
                    contacts.push(contact);
                }
                Err(stop) => stops.push(stop),
            }
        }
        if let Some(code) = stops.iter().map(|stop| stop.code).max_by_key(|code| [2, 7, 3].iter().position(|known| known == code))
        {
            return Err(Finished { code, stops });
        }
        let contacts = self.in_order(contacts).map_err(Finished::stopped)?;
        Ok(contacts.into_iter().map(Start::Open).collect())
    }

    /// Sorts by identity: two runs on the same hosts, named in whatever order, take the locks in the same one.
    fn in_order(&self, mut contacts: Vec<Contact>) -> Result<Vec<Contact>, Stop> {
        let state = |contact: &Contact| {
            let host = self.playbook.hosts.iter().find(|host| host.name == contact.host);
            (contact.link.hello().machine.clone(), host.map(|host| host.state.path.clone()))
        };
        contacts.sort_by_key(|contact| state(contact));
        let twins = contacts.windows(2).find(|pair| state(&pair[0]) == state(&pair[1]));
        if let Some(pair) = twins {
            let message = format!(
                "{} and {} are the same machine with the same state folder: the run would meet itself",
                pair[0].host, pair[1].host
            );
            return Err(Stop::new(7, message).remedy("name one of them, or give them different `state_dir`s"));
        }
        Ok(contacts)
    }

    async fn fly(&self, feed: &mut Feed<'_>, signals: &mut Signals) -> Ended {
        let contacts = match self.connect(feed, signals).await {
            Ok(contacts) => contacts,
            Err(finished) => return Ended::Over(finished),
        };
        let entry = Entry {
            run: self.run.clone(),
            when: timestamp(SystemTime::now()),
            config: self.options.config.clone(),
            project: self.playbook.project.to_string(),
            playbook: self.playbook.name.to_string(),
            hosts: self.playbook.hosts.iter().map(|host| host.name.clone()).collect(),
            driver: self.driver.clone(),
            acknowledged: Vec::new(),
        };
        let journal = match Journal::open().and_then(|journal| journal.write(&entry).map(|()| journal)) {
            Ok(journal) => journal,
            Err(error) => {
                let stop = Stop::new(6, format!("the run cannot be written down here first: {error}"));
                return Ended::Over(Finished::stopped(
                    stop.remedy("make room, or set XDG_STATE_HOME to a folder that can be written"),
                ));
            }
        };
        let given = self.approval() == Approval::Given;
        let (reach, desk) = (Arc::clone(self.reach), Arc::clone(self.desk));
        let mut flight = Flight::new(self.playbook, self.options, reach, desk, journal, entry, given);
        // One lock after another, in the order that all clients share: of two runs that want the same hosts, the one that is first at
        // the first of those gets all of them. What comes after the lock, pulling and looking, goes side by side.
        for start in contacts {
            let host = start.host().clone();
            match self.submission(&host) {
                Ok(text) => flight.begin(start, text),
                Err(stop) => return Ended::Over(Finished::stopped(stop)),
            }
            if let Some(ended) = flight.locked(&host, feed, signals).await {
                return ended;
            }
        }
        if let Some(ended) = flight.prepared(feed, signals).await {
            return ended;
        }
        let facts: BTreeMap<HostName, Facts> = flight.facts();
        let plan = Arc::new(Plan::agreed(self.playbook, facts, &self.options.consent));
        if let Some(ended) = self.approve(&plan, &mut flight, feed, signals).await {
            return Ended::Over(ended);
        }
        flight.approve(&plan);
        Ended::Over(flight.fly(feed, signals).await)
    }

    /// Shows the plan and asks; gives an end where it may not be.
    async fn approve(
        &self,
        plan: &Arc<Plan>,
        flight: &mut Flight<'_>,
        feed: &mut Feed<'_>,
        signals: &mut Signals,
    ) -> Option<Finished> {
        if flight.is_found() {
            return None;
        }
        let stops: Vec<Stop> = plan
            .refusals()
            .map(|(host, refusal)| {
                let stop = Stop::from(refusal.clone());
                host.map_or_else(|| stop.clone(), |host| stop.clone().on(host))
            })
            .collect();
        if !stops.is_empty() && self.approval() == Approval::Awaited {
            flight.withdraw(feed).await;
            return Some(Finished { code: stops[0].code, stops });
        }
        let (desk, shown) = (Arc::clone(self.desk), Arc::clone(plan));
        let ask = self.approval() == Approval::Awaited && !self.options.yes && plan.hosts.iter().any(|host| host.effects);
        feed.reporters.pause();
        let asking = tokio::task::spawn_blocking(move || {
            desk.show(&shown);
            if ask { desk.confirm(&shown) } else { Ok(()) }
        });
        let approved = tokio::select! {
            answer = asking => answer.unwrap_or_else(|error| Err(Stop::new(6, error.to_string()))),
            _ = signals.wish(), if self.approval() == Approval::Awaited => return Some(flight.interrupted(feed).await),
        };
        if let Err(stop) = approved {
            flight.withdraw(feed).await;
            return Some(Finished::stopped(stop));
        }
        None
    }
}

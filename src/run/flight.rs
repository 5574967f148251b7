//! A run under way on its hosts: who is prepared, who went, who has ended. Turns news of single hosts into the run's one stream, and
//! wishes of a person into orders to the hosts. What the client owes them at barriers is in `owed`.

mod owed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::contact::{Contact, Reach};
use super::host::{HostRun, News, Part, Source, Start, Wanted};
use super::journal::{Entry, Journal};
use super::outcome::{HostEnd, exit_code};
use super::signals::{Signals, Wish};
use super::stop::Stop;
use super::{Desk, Ended, Feed, Finished, NOTHING_DONE, Options};
use crate::event::{Approved, Body, Event, Status};
use crate::facts::{Facts, LockHolder};
use crate::name::{HostName, RunId, StepName};
use crate::plan::Plan;
use crate::playbook::{ResolvedHost, ResolvedPlaybook};
use crate::protocol::{Answer, When};
use crate::runtime::Departure;

/// News that may wait for the run before a host's reading waits for it.
const NEWS: usize = 16;

/// One host's place in the run.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not hang together, each set by an event of its own")]
struct Seat {
    wanted: mpsc::UnboundedSender<Wanted>,
    /// The submission's way out of this machine.
    departure: Departure,
    facts: Option<Facts>,
    /// It has taken its lock.
    locks: bool,
    /// Its lock is another run's.
    locked: Option<Box<LockHolder>>,
    /// What somebody took upon themselves of its migrations.
    approved: BTreeMap<StepName, Vec<Approved>>,
    /// It has been told to go, or was approved when it was submitted: only from then on does it get anything from this client.
    let_go: bool,
    /// It has heard that.
    gone: bool,
    /// The steps that it has begun.
    begun: BTreeSet<StepName>,
    /// A step that must succeed did not.
    failed: bool,
    end: Option<HostEnd>,
    /// What it tells happened before its record was opened.
    history: bool,
    /// Its own client is gone: what that may have begun is not begun again.
    taken_over: bool,
    /// The steps that it has begun and not ended.
    open: BTreeSet<usize>,
}

impl Seat {
    fn new(wanted: mpsc::UnboundedSender<Wanted>, departure: Departure, let_go: bool) -> Self {
        let (facts, locked, end) = (None, None, None);
        let (approved, begun, open) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let (locks, gone, failed, history, taken_over) = (false, false, false, false, false);
        Self { wanted, departure, facts, locks, locked, approved, let_go, gone, begun, failed, end, history, taken_over, open }
    }
}

/// What the client's own work tells.
enum Told {
    Body(Body),
    Done(Answer),
}

/// A run under way.
pub(super) struct Flight<'a> {
    playbook: &'a ResolvedPlaybook,
    options: &'a Options,
    reach: Arc<Reach>,
    desk: Arc<dyn Desk>,
    journal: Journal,
    entry: Entry,
    seats: BTreeMap<HostName, Seat>,
    tell_news: mpsc::Sender<(HostName, News)>,
    news: mpsc::Receiver<(HostName, News)>,
    tell_own: mpsc::UnboundedSender<(HostName, usize, Told)>,
    told: mpsc::UnboundedReceiver<(HostName, usize, Told)>,
    /// Steps that the client does or did, with what it told of them.
    own: BTreeMap<(HostName, usize), Vec<Event>>,
    /// Those that it does now.
    working: BTreeMap<(HostName, usize), tokio::task::AbortHandle>,
    /// Steps that run now and must not be cut off lightly.
    migrating: BTreeSet<HostName>,
    stops: Vec<Stop>,
    /// It goes on by itself once it is prepared: approved beforehand, and there is one host.
    given: bool,
    /// What the key led to, by host: a run that was there already, or the one that was submitted.
    found: BTreeMap<HostName, RunId>,
    cancelled: bool,
    /// The run's own first event has been told.
    told_start: bool,
}

impl<'a> Flight<'a> {
    pub(super) fn new(
        playbook: &'a ResolvedPlaybook,
        options: &'a Options,
        reach: Arc<Reach>,
        desk: Arc<dyn Desk>,
        journal: Journal,
        entry: Entry,
        given: bool,
    ) -> Self {
        let (tell_news, news) = mpsc::channel(NEWS);
        let (tell_own, told) = mpsc::unbounded_channel();
        Self {
            playbook,
            options,
            reach,
            desk,
            journal,
            entry,
            seats: BTreeMap::new(),
            tell_news,
            news,
            tell_own,
            told,
            own: BTreeMap::new(),
            working: BTreeMap::new(),
            migrating: BTreeSet::new(),
            stops: Vec::new(),
            given,
            found: BTreeMap::new(),
            cancelled: false,
            told_start: false,
        }
    }

    fn host(&self, name: &HostName) -> Option<&'a ResolvedHost> {
        self.playbook.hosts.iter().find(|host| host.name == *name)
    }

    /// Submits a host's part.
    pub(super) fn begin(&mut self, start: Start, submission: String) {
        // Who submits a run has told of it.
        self.told_start = true;
        let Some(host) = self.host(start.host()) else { return };
        let part = Part {
            host: host.name.clone(),
            target: host.target.clone(),
            state: host.state.clone(),
            run: self.entry.run.clone(),
            source: Source::Submission(submission),
            driver: Some(self.entry.driver.clone()),
            reconnect_for: self.options.reconnect_for,
            keyed: self.options.key.is_some(),
        };
        self.seat(part, start, self.given);
    }

    /// Takes a host's part over from a client that is gone: what was let go then is this client's to answer now.
    pub(super) fn take_over(&mut self, contact: Contact) {
        let Some(host) = self.host(&contact.host) else { return };
        let part = Part {
            host: host.name.clone(),
            target: host.target.clone(),
            state: host.state.clone(),
            run: self.entry.run.clone(),
            source: Source::Run,
            driver: Some(self.entry.driver.clone()),
            reconnect_for: self.options.reconnect_for,
            keyed: false,
        };
        let name = part.host.clone();
        self.seat(part, Start::Open(contact), true);
        if let Some(seat) = self.seats.get_mut(&name) {
            seat.taken_over = true;
        }
    }

    fn seat(&mut self, part: Part, start: Start, let_go: bool) {
        let (wanted, orders) = mpsc::unbounded_channel();
        let host = part.host.clone();
        let run = HostRun::new(Arc::clone(&self.reach), part, self.tell_news.clone(), orders);
        self.seats.insert(host, Seat::new(wanted, run.departure(), let_go));
        tokio::task::spawn_local(run.play(start));
    }

    /// Whether the key led to a run that was there already.
    pub(super) fn is_found(&self) -> bool {
        self.found.values().any(|run| *run != self.entry.run)
    }

    /// What the hosts have told of themselves.
    pub(super) fn facts(&self) -> BTreeMap<HostName, Facts> {
        self.seats.iter().filter_map(|(host, seat)| Some((host.clone(), seat.facts.clone()?))).collect()
    }

    /// Waits until a host has taken its lock, where it takes one.
    pub(super) async fn locked(&mut self, host: &HostName, feed: &mut Feed<'_>, signals: &mut Signals) -> Option<Ended> {
        if !self.host(host).is_some_and(ResolvedHost::effects) {
            return None;
        }
        let waits = |flight: &Self| flight.seats.get(host).is_some_and(|seat| !seat.locks && seat.end.is_none());
        self.unless_refused(|flight| waits(flight) && !flight.is_found_on(host), feed, signals).await
    }

    /// Waits until everyone who was asked is prepared. One who is not ends it for all.
    pub(super) async fn prepared(&mut self, feed: &mut Feed<'_>, signals: &mut Signals) -> Option<Ended> {
        let waits = |flight: &Self| {
            let mut seats = flight.seats.iter();
            seats.any(|(host, seat)| seat.facts.is_none() && seat.end.is_none() && !flight.is_found_on(host))
        };
        self.unless_refused(waits, feed, signals).await
    }

    async fn unless_refused(
        &mut self,
        waits: impl Fn(&Self) -> bool,
        feed: &mut Feed<'_>,
        signals: &mut Signals,
    ) -> Option<Ended> {
        while waits(self) {
            tokio::select! {
                Some((host, news)) = self.news.recv() => self.heard(&host, news, feed),
                Some((host, step, told)) = self.told.recv() => self.own_news(&host, step, told, feed),
                // A run that goes by itself may be going already: then a wish means what it means in flight.
                wish = signals.wish() => if self.given {
                    if let Some(finished) = self.wished(wish, feed).await {
                        return Some(Ended::Over(finished));
                    }
                } else {
                    return Some(Ended::Over(self.interrupted(feed).await));
                },
            }
        }
        if self.is_found() {
            let all = self.seats.len() == self.playbook.hosts.len();
            return if all { self.found_apart(feed).await.map(Ended::Over) } else { None };
        }
        let (host, seat) = self.seats.iter().find(|(_, seat)| seat.end.is_some() && seat.facts.is_none())?;
        let (host, locked) = (host.clone(), seat.locked.clone());
        let code = match seat.end {
            Some(HostEnd::Done(code)) => code,
            Some(HostEnd::Unreachable) => 3,
            _ => 6,
        };
        self.withdraw(feed).await;
        let finished = Finished { code, stops: std::mem::take(&mut self.stops) };
        Some(match locked {
            Some(holder) => Ended::Locked { host, holder, finished },
            None => Ended::Over(finished),
        })
    }

    fn is_found_on(&self, host: &HostName) -> bool {
        self.found.get(host).is_some_and(|run| *run != self.entry.run)
    }

    /// A key that leads to different runs, or to one on some hosts only, leads nowhere.
    async fn found_apart(&mut self, feed: &mut Feed<'_>) -> Option<Finished> {
        let runs: BTreeSet<&RunId> = self.found.values().collect();
        if runs.len() < 2 && self.seats.keys().all(|host| self.found.contains_key(host)) {
            return None;
        }
        let told: Vec<String> = self.found.iter().map(|(host, run)| format!("{run} on {host}")).collect();
        let stop = Stop::new(7, format!("the key does not lead to one run on all hosts: {}", told.join(", ")));
        self.withdraw(feed).await;
        Some(Finished::stopped(stop.remedy("give the new run a key of its own, or name the hosts of the old one")))
    }

    /// Ends a run that was not let go yet.
    pub(super) async fn interrupted(&mut self, feed: &mut Feed<'_>) -> Finished {
        let stop = if self.withdraw(feed).await {
            Stop::new(130, NOTHING_DONE)
        } else {
            Stop::new(6, "interrupted, and not everybody has confirmed that nothing was done")
        };
        Finished::stopped(stop)
    }

    /// Takes the run back from everyone who has not gone yet, and waits until they know. False when somebody did not say so.
    pub(super) async fn withdraw(&mut self, feed: &mut Feed<'_>) -> bool {
        // A run that was found is somebody else's.
        let found: Vec<HostName> = self.seats.keys().filter(|host| self.is_found_on(host)).cloned().collect();
        self.seats.retain(|host, _| !found.contains(host));
        for seat in self.seats.values_mut().filter(|seat| seat.end.is_none()) {
            if seat.departure.call_off() {
                seat.end = Some(HostEnd::NotBegun);
            } else {
                let _ = seat.wanted.send(Wanted::Cancel { who: self.options.who.to_string() });
            }
        }
        let all = async {
            while self.seats.values().any(|seat| seat.end.is_none()) {
                let Some((host, news)) = self.news.recv().await else { break };
                match news {
                    News::Ended(end, _) => {
                        if let Some(seat) = self.seats.get_mut(&host) {
                            seat.end = Some(end);
                        }
                    }
                    // What was being pulled ended somehow, too.
                    News::Events(events) => {
                        events.iter().filter(|event| event.step.is_some()).for_each(|event| feed.pass(event));
                        feed.settle();
                    }
                    _ => {}
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(15), all).await.is_err() {
            let left = self.seats.iter().filter(|(_, seat)| seat.end.is_none()).map(|(host, _)| host.as_str());
            let text = format!(
                "{} did not say that the run is withdrawn; without a word to go it ends by itself",
                left.collect::<Vec<_>>().join(", ")
            );
            feed.tell(None, None, Body::Warning { text });
            return false;
        }
        true
    }

    /// Takes over what a plan says was approved: the hosts write it down when they go.
    pub(super) fn approve(&mut self, plan: &Plan) {
        for (host, seat) in &mut self.seats {
            seat.approved = plan.approved(host);
        }
    }

    /// Lets the hosts go, batch by batch, and sees the run to its end.
    pub(super) async fn fly(mut self, feed: &mut Feed<'_>, signals: &mut Signals) -> Finished {
        let order: Vec<HostName> = self.playbook.hosts.iter().map(|host| host.name.clone()).collect();
        let size = self.playbook.serial.map_or(order.len(), |serial| serial.batch(order.len())).max(1);
        let mut before: Vec<&HostName> = Vec::new();
        for batch in order.chunks(size) {
            let end_of = |host: &HostName| self.seats.get(host).and_then(|seat| seat.end.as_ref());
            let failed = before.iter().any(|host| end_of(host) != Some(&HostEnd::Done(0)));
            let found = self.is_found();
            let mut held_back = Vec::new();
            for host in batch {
                let Some(seat) = self.seats.get_mut(host).filter(|seat| seat.end.is_none() && !found) else { continue };
                if self.given && !self.cancelled {
                    // It went when it was prepared: to tell it so would keep what it tells waiting for an answer.
                    seat.gone = true;
                    continue;
                }
                let _ = if failed || self.cancelled {
                    // One that a cancel reached before its first step ended cancelled, which is not the same as nothing to do.
                    if failed {
                        held_back.push(host.clone());
                    }
                    seat.wanted.send(Wanted::Cancel { who: self.options.who.to_string() })
                } else {
                    seat.let_go = true;
                    seat.wanted.send(Wanted::Go { approved: seat.approved.clone() })
                };
            }
            if let Some(finished) = self.until_ended(batch, feed, signals).await {
                return finished;
            }
            for host in &held_back {
                if let Some(seat) = self.seats.get_mut(host).filter(|seat| seat.end == Some(HostEnd::Done(130))) {
                    seat.end = Some(HostEnd::NotBegun);
                }
            }
            before.extend(batch);
        }
        self.finished()
    }

    /// Sees a run to its end that others let go.
    pub(super) async fn see_through(mut self, feed: &mut Feed<'_>, signals: &mut Signals) -> Finished {
        let hosts: Vec<HostName> = self.seats.keys().cloned().collect();
        match self.until_ended(&hosts, feed, signals).await {
            Some(finished) => finished,
            None => self.finished(),
        }
    }

    fn finished(self) -> Finished {
        let ends = self.seats.iter().map(|(host, seat)| (host.clone(), seat.end.clone().unwrap_or(HostEnd::Unknown))).collect();
        Finished { code: exit_code(&ends), stops: self.stops }
    }

    /// Waits until these hosts have ended; gives an end where the person in front of it, or the hand-over, makes one before.
    async fn until_ended(&mut self, hosts: &[HostName], feed: &mut Feed<'_>, signals: &mut Signals) -> Option<Finished> {
        while hosts.iter().any(|host| self.seats.get(host).is_some_and(|seat| seat.end.is_none())) {
            if self.options.detach && self.seats.values().all(|seat| seat.gone || seat.end.is_some()) {
                let text = format!("handed over; to see it: landfall attach {}", self.entry.run);
                feed.tell(None, None, Body::Warning { text });
                return Some(Finished { code: 0, stops: Vec::new() });
            }
            tokio::select! {
                Some((host, news)) = self.news.recv() => self.heard(&host, news, feed),
                Some((host, step, told)) = self.told.recv() => self.own_news(&host, step, told, feed),
                wish = signals.wish() => if let Some(finished) = self.wished(wish, feed).await { return Some(finished) },
            }
        }
        None
    }

    async fn wished(&mut self, wish: Wish, feed: &mut Feed<'_>) -> Option<Finished> {
        // As long as no host may have the run, there is nothing to let go of, and nothing to stop.
        if self.seats.values().all(|seat| seat.end.is_none() && seat.departure.call_off()) {
            return Some(Finished::stopped(Stop::new(130, NOTHING_DONE)));
        }
        let run = &self.entry.run;
        match wish {
            Wish::First if !self.options.cancel_on_term => {
                let text = "Ctrl-C once more within 3 s stops the run; otherwise it goes on without you".to_owned();
                feed.tell(None, None, Body::Warning { text });
                return None;
            }
            Wish::Cancel => {
                if !self.migrating.is_empty() && !self.cancelled {
                    let desk = Arc::clone(&self.desk);
                    let sure = tokio::task::spawn_blocking(move || desk.confirm_cancel()).await.unwrap_or(false);
                    if !sure {
                        return None;
                    }
                }
            }
            Wish::Detach if self.options.cancel_on_term => return None,
            // For CI an interrupt is the first word of the same end as SIGTERM; no second one may come.
            Wish::First | Wish::Terminate if self.options.cancel_on_term => {}
            Wish::First | Wish::Detach | Wish::Terminate => {
                let stop = Stop::new(6, format!("run {run} goes on without you"));
                let stop = stop.remedy(format!("to see it: landfall attach {run}; to stop it: landfall cancel {run}"));
                return Some(Finished::stopped(stop));
            }
        }
        if self.cancelled {
            let stop = Stop::new(6, format!("run {run} was told to stop, and has not confirmed it yet"));
            return Some(Finished::stopped(stop.remedy(format!("to see it: landfall attach {run}"))));
        }
        self.cancelled = true;
        for seat in self.seats.values().filter(|seat| seat.end.is_none()) {
            let _ = seat.wanted.send(Wanted::Cancel { who: self.options.who.to_string() });
        }
        feed.tell(None, None, Body::Warning { text: "stopping it, and waiting until nothing of it is left".to_owned() });
        None
    }

    fn heard(&mut self, host: &HostName, news: News, feed: &mut Feed<'_>) {
        match news {
            News::Accepted(run) => {
                if run != self.entry.run {
                    let text = format!("the key is known: this is run {run}, which was started before");
                    feed.run = run.clone();
                    feed.tell(Some(host), None, Body::Warning { text });
                }
                self.found.insert(host.clone(), run);
                self.entry.acknowledged.push(host.clone());
                // What is lost here is only a convenience: the host knows the run.
                let _ = self.journal.write(&self.entry);
            }
            News::Gone => {
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.gone = true;
                }
            }
            News::Events(events) => {
                for event in &events {
                    self.happened(host, event, feed);
                }
                feed.settle();
            }
            News::Opened { drives } => {
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.history = true;
                }
                if !drives && !self.is_found() {
                    self.overtaken(host, feed);
                }
            }
            News::Overtaken => self.overtaken(host, feed),
            News::CaughtUp => self.caught_up(host),
            News::Ended(end, stop) => {
                self.stops.extend(stop);
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.end = Some(end);
                }
                self.migrating.remove(host);
                self.answer_peers_of(host, None);
            }
        }
    }

    fn happened(&mut self, host: &HostName, event: &Event, feed: &mut Feed<'_>) {
        // Most events are lines of output, and nobody here prints some, too.
        if self.own.is_empty() && matches!(event.body, Body::Output { .. }) {
            return feed.pass(event);
        }
        let index = event.step.as_ref().and_then(|step| self.index(host, step));
        match &event.body {
            // Each host's record begins with it, and a person wants to hear it once.
            Body::RunStarted { .. } => {
                if !std::mem::replace(&mut self.told_start, true) {
                    feed.tell(None, None, event.body.clone());
                }
                return;
            }
            // What the client itself told of its own work comes back in the host's record.
            body if index.is_some_and(|index| self.is_own(host, index, body)) => return,
            Body::Prepared { facts } => {
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.facts = Some((**facts).clone());
                }
            }
            Body::LockAcquired { .. } => {
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.locks = true;
                }
            }
            Body::LockBusy { holder } => {
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.locked = Some(Box::new(holder.clone()));
                }
            }
            Body::StepStarted { kind, check, .. } => {
                let mut history = false;
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.begun.extend(event.step.clone());
                    seat.open.extend(index);
                    history = seat.history;
                }
                if kind == "migrate" && !check {
                    self.migrating.insert(host.clone());
                }
                if let Some(index) = index.filter(|_| !history) {
                    self.work(host, index);
                }
            }
            Body::StepFinished { status, detail, .. } => {
                self.migrating.remove(host);
                if let Some(seat) = self.seats.get_mut(host) {
                    seat.open.retain(|open| Some(*open) != index);
                }
                // Stopped or timed out there: then it is stopped here, too.
                if let Some(work) = index.and_then(|index| self.working.remove(&(host.clone(), index))) {
                    work.abort();
                }
                if let Some(step) = &event.step {
                    self.answer_peers_of(host, Some((step, *status, detail.as_deref())));
                }
                let must =
                    index.and_then(|index| self.host(host)?.steps.get(index)).is_some_and(|step| step.step.when == When::Success);
                if let Some(seat) = self.seats.get_mut(host).filter(|_| must && !matches!(status, Status::Ok | Status::Skipped)) {
                    seat.failed = true;
                }
            }
            _ => {}
        }
        feed.pass(event);
    }

    /// Whether the client itself has told this already. The host may see the same step from its own side.
    fn is_own(&self, host: &HostName, index: usize, body: &Body) -> bool {
        let own = self.own.get(&(host.clone(), index));
        match body {
            Body::Output { .. } => own.is_some(),
            Body::Check { side, .. } => own.is_some() && side == "here",
            Body::Hint { .. } => own.is_some_and(|own| own.iter().any(|event| event.body == *body)),
            _ => false,
        }
    }

    fn index(&self, host: &HostName, step: &StepName) -> Option<usize> {
        self.host(host)?.steps.iter().position(|of| of.step.name == *step)
    }
}

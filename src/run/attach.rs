//! Watches runs that are there: from their first byte, from any machine, with the same exit code; and takes over the barriers of one
//! whose client is gone, by the playbook that is here. Nothing that a host's record says is executed, resolved or sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::contact::{Contact, Reach};
use super::flight::Flight;
use super::host::{HostRun, News, Part, Source, Start};
use super::journal::{Entry, Journal};
use super::outcome::{HostEnd, exit_code};
use super::signals::Signals;
use super::stop::Stop;
use super::{Desk, Feed, Finished, Options, random};
use crate::event::{Body, timestamp};
use crate::name::{HostName, RunId};
use crate::plan;
use crate::playbook::{HostAt, ResolvedPlaybook};
use crate::protocol::Request;
use crate::report::Reporters;

/// Which part of a run's past is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// All of it.
    Whole,
    /// Its steps, without what they printed.
    Steps,
}

/// How a run is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What of its past is shown.
    pub past: Past,
    /// Hosts that are left when their record has been read as far as it goes now.
    pub leave: BTreeSet<HostName>,
    /// For how long contact is sought again.
    pub reconnect_for: Duration,
}

/// Follows a run on its hosts to the end, or as far as it has come.
pub async fn attach(
    reach: &Arc<Reach>,
    run: &RunId,
    hosts: Vec<(HostAt, Contact)>,
    watch: &Watch,
    reporters: &mut Reporters,
) -> Finished {
    let Watch { past, leave, reconnect_for } = watch;
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Finished::stopped(Stop::new(6, format!("signals cannot be heard: {error}"))),
    };
    let mut feed = Feed::new(reporters, run.clone());
    let (sender, mut news) = mpsc::channel(16);
    let mut ends: BTreeMap<HostName, Option<HostEnd>> = BTreeMap::new();
    // Kept so that a watcher's side of the channel stays open; nothing is ever ordered.
    let mut orders = Vec::new();
    let mut in_the_past = BTreeSet::new();
    for (at, contact) in hosts {
        let part = Part {
            host: at.name.clone(),
            target: at.target,
            state: at.state,
            run: run.clone(),
            source: Source::Run,
            driver: None,
            reconnect_for: *reconnect_for,
            keyed: false,
        };
        let (order, wanted) = mpsc::unbounded_channel();
        orders.push(order);
        in_the_past.insert(at.name.clone());
        ends.insert(at.name, None);
        tokio::task::spawn_local(HostRun::new(Arc::clone(reach), part, sender.clone(), wanted).play(Start::Open(contact)));
    }
    let (mut stops, mut started, mut left) = (Vec::new(), false, BTreeSet::new());
    while ends.iter().any(|(host, end)| end.is_none() && !left.contains(host)) {
        tokio::select! {
            Some((host, news)) = news.recv() => match news {
                News::Events(events) => {
                    let hidden = *past == Past::Steps && in_the_past.contains(&host);
                    for event in events {
                        match event.body {
                            // Each host's record begins with it; a person wants to hear it once.
                            Body::RunStarted { .. } if std::mem::replace(&mut started, true) => {}
                            Body::RunStarted { .. } => _ = feed.tell(None, None, event.body),
                            Body::Output { .. } if hidden => {}
                            _ => feed.pass(&event),
                        }
                    }
                    feed.settle();
                }
                News::CaughtUp => {
                    in_the_past.remove(&host);
                    left.extend(leave.contains(&host).then_some(host));
                }
                News::Ended(end, stop) => {
                    stops.extend(stop);
                    ends.insert(host, Some(end));
                }
                News::Accepted(_) | News::Gone | News::Opened { .. } | News::Overtaken => {}
            },
            _ = signals.wish() => {
                let stop = Stop::new(6, format!("no longer watching; run {run} goes on"));
                return Finished::stopped(stop.remedy(format!("to see it: landfall attach {run}; to stop it: landfall cancel {run}")));
            }
        }
    }
    drop(orders);
    if !left.is_empty() {
        // It goes on: there is no end to tell.
        return Finished { code: 0, stops };
    }
    let known = ends.into_iter().filter_map(|(host, end)| Some((host, end?))).collect();
    let code = exit_code(&known);
    feed.finish_watched(code);
    Finished { code, stops }
}

/// Takes over a run whose own client is gone, and sees it to its end. `playbook` is what it was started from, as it is here: a host
/// gives the barriers only to who holds the same plan.
pub async fn drive(
    playbook: &ResolvedPlaybook,
    run: &RunId,
    contacts: Vec<Contact>,
    options: &Options,
    reach: &Arc<Reach>,
    desk: Arc<dyn Desk>,
    reporters: &mut Reporters,
) -> Finished {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Finished::stopped(Stop::new(6, format!("signals cannot be heard: {error}"))),
    };
    let driver = match random() {
        Ok((_, driver)) => driver,
        Err(stop) => return Finished::stopped(stop),
    };
    let journal = match Journal::open() {
        Ok(journal) => journal,
        Err(error) => return Finished::stopped(Stop::new(6, format!("the journal cannot be opened: {error}"))),
    };
    let missing = playbook.hosts.iter().find(|host| !contacts.iter().any(|contact| contact.host == host.name));
    if let Some(host) = missing {
        let stop = Stop::new(7, "does not know of this run: it cannot be driven without it").on(&host.name);
        return Finished::stopped(stop.remedy("leave out --drive, to watch it"));
    }
    let plan = plan::digest(playbook);
    for contact in &contacts {
        let Some(host) = playbook.hosts.iter().find(|host| host.name == contact.host) else {
            return Finished::stopped(Stop::new(7, "is not a host of the playbook as it is here").on(&contact.host));
        };
        let request = Request::Drive { state: host.state.clone(), run: run.clone(), driver: driver.clone(), plan: plan.clone() };
        if let Err(stop) = contact.ask(&request).await {
            return Finished::stopped(stop);
        }
    }
    let entry = Entry {
        run: run.clone(),
        when: timestamp(SystemTime::now()),
        config: options.config.clone(),
        project: playbook.project.to_string(),
        playbook: playbook.name.to_string(),
        hosts: playbook.hosts.iter().map(|host| host.name.clone()).collect(),
        driver,
        acknowledged: Vec::new(),
    };
    let mut feed = Feed::new(reporters, run.clone());
    let mut flight = Flight::new(playbook, options, Arc::clone(reach), desk, journal, entry, true);
    for contact in contacts {
        flight.take_over(contact);
    }
    let finished = flight.see_through(&mut feed, &mut signals).await;
    feed.finish_watched(finished.code);
    finished
}

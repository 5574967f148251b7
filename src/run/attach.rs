//! Watches runs that are there: from their first byte, from any machine, with the same exit code. Drives nothing, and executes,
//! resolves or sends nothing that a host's record says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::contact::{Contact, Reach};
use super::host::{HostRun, News, Part, Source};
use super::outcome::{HostEnd, exit_code};
use super::signals::Signals;
use super::stop::Stop;
use super::{Feed, Finished};
use crate::event::Body;
use crate::name::{HostName, RunId};
use crate::playbook::HostAt;
use crate::report::Reporters;

/// Follows a run on its hosts to the end.
pub async fn attach(
    reach: &Arc<Reach>,
    run: &RunId,
    hosts: Vec<(HostAt, Contact)>,
    reconnect_for: Duration,
    reporters: &mut Reporters,
) -> Finished {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Finished::stopped(Stop::new(6, format!("signals cannot be heard: {error}"))),
    };
    let mut feed = Feed::new(reporters, run.clone());
    let (sender, mut news) = mpsc::channel(256);
    let mut ends: BTreeMap<HostName, Option<HostEnd>> = BTreeMap::new();
    // Kept so that a watcher's side of the channel stays open; nothing is ever ordered.
    let mut orders = Vec::new();
    for (at, contact) in hosts {
        let part = Part {
            host: at.name.clone(),
            target: at.target,
            state: at.state,
            run: run.clone(),
            source: Source::Run,
            driver: None,
            reconnect_for,
            keyed: false,
        };
        let (order, wanted) = mpsc::unbounded_channel();
        orders.push(order);
        ends.insert(at.name, None);
        tokio::task::spawn_local(HostRun::new(Arc::clone(reach), part, sender.clone(), wanted).play(contact));
    }
    let (mut stops, mut started) = (Vec::new(), false);
    while ends.values().any(Option::is_none) {
        tokio::select! {
            Some((host, news)) = news.recv() => match news {
                News::Event(event) if matches!(event.body, Body::RunStarted { .. }) => {
                    // Each host's record begins with it; a person wants to hear it once.
                    if !std::mem::replace(&mut started, true) {
                        feed.tell(None, None, event.body);
                    }
                }
                News::Event(event) => feed.pass(&event),
                News::Ended(end, stop) => {
                    stops.extend(stop);
                    ends.insert(host, Some(end));
                }
                News::Accepted(_) | News::Gone => {}
            },
            _ = signals.wish() => {
                let stop = Stop::new(6, format!("no longer watching; run {run} goes on"));
                return Finished::stopped(stop.remedy(format!("to see it: landfall attach {run}; to stop it: landfall cancel {run}")));
            }
        }
    }
    drop(orders);
    let known = ends.into_iter().filter_map(|(host, end)| Some((host, end?))).collect();
    let code = exit_code(&known);
    feed.finish(code);
    Finished { code, stops }
}

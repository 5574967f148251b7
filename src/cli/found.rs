//! Finds runs on the hosts: all of them, the newest, or the one whose id begins as typed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::args::On;
use super::{Context, Failure, reach};
use crate::name::RunId;
use crate::playbook::{self, HostAt, Inventory};
use crate::protocol::{Reply, Request, RunSummary};
use crate::run::{Contact, Reach, Stop};

/// A host within reach, and the runs it knows.
pub(super) struct HostRuns {
    pub(super) at: HostAt,
    pub(super) contact: Contact,
    pub(super) runs: Vec<RunSummary>,
}

/// The hosts that were named, or all.
pub(super) fn hosts(context: &Context, on: &On) -> Result<Vec<HostAt>, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    Ok(playbook::hosts(&inventory, &on.on)?)
}

/// Asks hosts for their runs. Hosts that cannot be reached are told apart, for what the others say may be enough.
pub(super) async fn ask(reach: &Arc<Reach>, hosts: &[HostAt]) -> (Vec<HostRuns>, Vec<Stop>) {
    let (contacts, mut stops) = reach::contacts(reach, hosts).await;
    let mut found = Vec::new();
    for (at, contact) in contacts {
        match contact.ask(&Request::Runs { state: at.state.clone() }).await {
            Ok(Reply::Runs { runs }) => found.push(HostRuns { at, contact, runs }),
            Ok(_) => stops.push(Stop::new(7, "its answer is not understood").on(&at.name)),
            Err(stop) => stops.push(stop),
        }
    }
    (found, stops)
}

/// A run, and the hosts that know it.
pub(super) struct Found {
    pub(super) run: RunId,
    pub(super) of: Vec<HostRuns>,
    /// Hosts of the run that could not be asked: what is found out is not all of it.
    pub(super) unasked: Vec<Stop>,
}

/// The run whose id begins with `prefix`, or the newest; with the hosts that know it.
pub(super) fn choose(hosts: Vec<HostRuns>, stops: Vec<Stop>, prefix: Option<&str>) -> Result<Found, Failure> {
    let mut known: BTreeMap<RunId, RunSummary> = BTreeMap::new();
    for summary in hosts.iter().flat_map(|host| &host.runs) {
        known.entry(summary.run.clone()).or_insert_with(|| summary.clone());
    }
    let summary = match prefix {
        None => {
            let newest = known.into_values().max_by(|a, b| a.since.cmp(&b.since));
            newest.ok_or_else(|| nothing(stops.first(), "no host knows of any run"))?
        }
        Some(prefix) => {
            let mut matching = known.into_values().filter(|summary| summary.run.as_str().starts_with(prefix));
            match (matching.next(), matching.next()) {
                (Some(only), None) => only,
                (None, _) => return Err(nothing(stops.first(), &format!("no host knows of a run {prefix}"))),
                (Some(one), Some(other)) => {
                    let message = format!("more than one run begins with {prefix}: {}, {}", one.run, other.run);
                    return Err(Failure::usage(message).remedy("type more letters of its id"));
                }
            }
        }
    };
    let of = hosts.into_iter().filter(|host| host.runs.iter().any(|known| known.run == summary.run)).collect();
    let part_of = |stop: &Stop| stop.host.as_ref().is_some_and(|host| summary.hosts.contains(host));
    let unasked = stops.into_iter().filter(part_of).map(|stop| Stop { code: 6, ..stop }).collect();
    Ok(Found { run: summary.run, of, unasked })
}

/// Nothing was found: because nobody could be asked, or because there is nothing.
fn nothing(stop: Option<&Stop>, message: &str) -> Failure {
    match stop {
        Some(stop) => Failure::from(stop.clone()),
        None => Failure::refused(message).remedy("landfall runs lists them"),
    }
}

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

/// The run whose id begins with `prefix`, or the newest; with the hosts that know it.
pub(super) fn choose(hosts: Vec<HostRuns>, prefix: Option<&str>) -> Result<(RunId, Vec<HostRuns>), Failure> {
    let mut known: BTreeMap<RunId, &RunSummary> = BTreeMap::new();
    for summary in hosts.iter().flat_map(|host| &host.runs) {
        known.entry(summary.run.clone()).or_insert(summary);
    }
    let run = match prefix {
        None => {
            let newest = known.values().max_by(|a, b| a.since.cmp(&b.since)).map(|summary| summary.run.clone());
            newest.ok_or_else(|| Failure::refused("no host knows of any run"))?
        }
        Some(prefix) => {
            let mut matching = known.keys().filter(|run| run.as_str().starts_with(prefix));
            match (matching.next(), matching.next()) {
                (Some(only), None) => only.clone(),
                (None, _) => {
                    return Err(Failure::refused(format!("no host knows of a run {prefix}")).remedy("landfall runs lists them"));
                }
                (Some(one), Some(other)) => {
                    let message = format!("more than one run begins with {prefix}: {one}, {other}");
                    return Err(Failure::usage(message).remedy("type more letters of its id"));
                }
            }
        }
    };
    let of = hosts.into_iter().filter(|host| host.runs.iter().any(|summary| summary.run == run)).collect();
    Ok((run, of))
}

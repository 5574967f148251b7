//! `landfall cancel`, `resolve` and `lock break`: something is done to a run that is there, and confirmed by each of its hosts.

use super::args::{CancelArgs, LockBreakArgs, On, ResolveArgs, Settled};
use super::confirm::Question;
use super::found::{self, HostRuns};
use super::{Context, Failure, exit, reach, who};
use crate::name::{HostName, RunId};
use crate::playbook::{self, Inventory};
use crate::protocol::{Reply, Request, RunState};
use crate::report::label;
use crate::run::{Contact, Stop};
use crate::runtime::StreamItem;

pub(super) fn cancel(context: &Context, args: &CancelArgs) -> Result<u8, Failure> {
    let who = who::of_process().to_string();
    act(context, &args.on, args.run.as_deref(), args.yes, "stop run", async |hosts, run| {
        // All of them hear of it before one is waited for.
        let mut stops = Vec::new();
        for host in hosts {
            let request = Request::Cancel { state: host.at.state.clone(), run: run.clone(), who: who.clone(), again: true };
            stops.extend(host.contact.ask(&request).await.err());
        }
        let deaf: Vec<HostName> = stops.iter().filter_map(|stop: &Stop| stop.host.clone()).collect();
        for host in hosts.iter().filter(|host| !deaf.contains(&host.at.name)) {
            let lives = |state: &RunState| matches!(state, RunState::Running | RunState::Orphaned { .. });
            let over = host.runs.iter().find(|known| known.run == *run).is_some_and(|known| !lives(&known.state));
            match stopped(host, run).await {
                Ok(()) if over => super::say(&format!("{}: it had ended before", host.at.name)),
                Ok(()) => super::say(&format!("{}: stopped; nothing of it is left", host.at.name)),
                Err(stop) => stops.push(stop),
            }
        }
        stops
    })
}

/// It is the run's own record that says that nothing is left.
async fn stopped(host: &HostRuns, run: &RunId) -> Result<(), Stop> {
    let follow = |offset| Request::Follow { state: host.at.state.clone(), run: run.clone(), offset, driver: None };
    match ended(&host.contact, follow).await? {
        RunState::Done { code: exit::UNKNOWN, .. } => {
            let stop = Stop::new(exit::UNKNOWN, "not confirmed stopped").on(&host.at.name);
            Err(stop.remedy(format!("landfall attach {run}")))
        }
        // A run without a supervisor was ended by the cancel itself: nothing of it is left.
        RunState::Done { .. } | RunState::Lost => Ok(()),
        state => Err(Stop::new(exit::UNKNOWN, format!("the run is {}", state.as_str())).on(&host.at.name)),
    }
}

/// Waits for the end of a record, of which only that is wanted: a place after all others tells where its bytes stop.
async fn ended(contact: &Contact, follow: impl Fn(u64) -> Request) -> Result<RunState, Stop> {
    let mut stream = contact.link.stream(follow(u64::MAX))?;
    loop {
        match stream.next().await? {
            StreamItem::Reply(Reply::RecordEnd { state, .. }) => return Ok(state),
            StreamItem::Reply(Reply::RecordShort { length }) => stream = contact.link.stream(follow(length))?,
            StreamItem::Reply(Reply::Refused { code, message, .. }) => return Err(Stop::new(code, message)),
            StreamItem::Reply(_) | StreamItem::Data(_) => {}
        }
    }
}

pub(super) fn resolve(context: &Context, args: &ResolveArgs) -> Result<u8, Failure> {
    let who = who::of_process().to_string();
    let done = args.settled == Settled::Done;
    let word = if done { "settle as done: run" } else { "settle as not done: run" };
    act(context, &args.on, Some(&args.run), args.yes, word, async |hosts, run| {
        let request = |host: &HostRuns| Request::Resolve {
            state: host.at.state.clone(),
            run: run.clone(),
            done,
            who: who.clone(),
            note: args.note.clone(),
        };
        where_it_applies(hosts, "settled", request).await
    })
}

pub(super) fn break_lock(context: &Context, args: &LockBreakArgs) -> Result<u8, Failure> {
    let Some(run) = args.run.as_deref() else {
        return Err(Failure::usage("say which run's lock is to be broken").remedy("landfall lock status tells who holds it"));
    };
    let who = who::of_process().to_string();
    act(context, &args.on, Some(run), args.yes, "break the lock of run", async |hosts, run| {
        let request = |host: &HostRuns| Request::BreakLock { state: host.at.state.clone(), run: run.clone(), who: who.clone() };
        where_it_applies(hosts, "the lock is free", request).await
    })
}

/// Does it on each host. Where one host needs it, others may not: they are told, and are no failure.
async fn where_it_applies(hosts: &[HostRuns], said: &str, request: impl Fn(&HostRuns) -> Request) -> Vec<Stop> {
    let (mut done, mut stops) = (false, Vec::new());
    for host in hosts {
        match host.contact.ask(&request(host)).await {
            Ok(_) => {
                done = true;
                super::say(&format!("{}: {said}", host.at.name));
            }
            Err(stop) => stops.push(stop),
        }
    }
    if done {
        for stop in stops.extract_if(.., |stop| stop.code == exit::REFUSED) {
            super::say(&label(&stop.message));
        }
    }
    stops
}

/// Finds the run, asks for confirmation, and does it on its hosts.
fn act(
    context: &Context,
    on: &On,
    prefix: Option<&str>,
    yes: bool,
    word: &str,
    what: impl AsyncFnOnce(&[HostRuns], &RunId) -> Vec<Stop>,
) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let hosts = playbook::hosts(&inventory, &on.on)?;
    reach::block_on(async {
        let (known, stops) = found::ask(&reach::reach()?, &hosts).await;
        let found = found::choose(known, stops, prefix)?;
        let names: Vec<HostName> = found.of.iter().map(|host| host.at.name.clone()).collect();
        let shown = names.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
        let production = playbook::production(&inventory, &names);
        let question = Question { action: format!("{word} {} on {shown}", found.run), production, database: None };
        question.ask(yes, context.paint())?;
        let mut stops = what(&found.of, &found.run).await;
        stops.extend(found.unasked);
        for stop in &stops {
            context.tell(&Failure::from(stop.clone()));
        }
        Ok(crate::run::worst(stops.iter().map(|stop| stop.code)))
    })?
}

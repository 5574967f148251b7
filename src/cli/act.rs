//! `landfall cancel`, `resolve` and `lock break`: something is done to a run that is there, and confirmed by each of its hosts.

use super::args::{CancelArgs, LockBreakArgs, On, ResolveArgs, Settled};
use super::confirm::Question;
use super::found::{self, HostRuns};
use super::{Context, Failure, exit, reach, who};
use crate::name::RunId;
use crate::protocol::{Reply, Request, RunState};
use crate::run::{Contact, Stop};
use crate::runtime::StreamItem;

pub(super) fn cancel(context: &Context, args: &CancelArgs) -> Result<u8, Failure> {
    let who = who::of_process().to_string();
    act(context, &args.on, args.run.as_deref(), args.yes, "stop run", &async |host: &HostRuns, run: &RunId| {
        let state = host.at.state.clone();
        host.contact.ask(&Request::Cancel { state: state.clone(), run: run.clone(), who: who.clone() }).await?;
        // The answer is confirmed: it is the run's own record that says that nothing is left.
        let request = Request::Follow { state, run: run.clone(), offset: 0, driver: None };
        match ended(&host.contact, request).await? {
            RunState::Done { code, .. } if code == exit::UNKNOWN => {
                Err(Stop::new(exit::UNKNOWN, "not confirmed stopped").on(&host.at.name).remedy(format!("landfall attach {run}")))
            }
            RunState::Done { .. } => Ok(format!("{}: stopped; nothing of it is left", host.at.name)),
            state => Err(Stop::new(exit::UNKNOWN, format!("the run is {}", state.as_str())).on(&host.at.name)),
        }
    })
}

async fn ended(contact: &Contact, request: Request) -> Result<RunState, Stop> {
    let mut stream = contact.link.stream(request)?;
    loop {
        match stream.next().await? {
            StreamItem::Reply(Reply::RecordEnd { state }) => return Ok(state),
            StreamItem::Reply(Reply::Refused { code, message, .. }) => return Err(Stop::new(code, message)),
            StreamItem::Reply(_) | StreamItem::Data(_) => {}
        }
    }
}

pub(super) fn resolve(context: &Context, args: &ResolveArgs) -> Result<u8, Failure> {
    let who = who::of_process().to_string();
    let done = args.settled == Settled::Done;
    let word = if done { "settle as done: run" } else { "settle as not done: run" };
    act(context, &args.on, Some(&args.run), args.yes, word, &async |host: &HostRuns, run: &RunId| {
        let state = host.at.state.clone();
        let request = Request::Resolve { state, run: run.clone(), done, who: who.clone(), note: args.note.clone() };
        host.contact.ask(&request).await?;
        Ok(format!("{}: settled", host.at.name))
    })
}

pub(super) fn break_lock(context: &Context, args: &LockBreakArgs) -> Result<u8, Failure> {
    let Some(run) = args.run.as_deref() else {
        return Err(Failure::usage("say which run's lock is to be broken").remedy("landfall lock status tells who holds it"));
    };
    let who = who::of_process().to_string();
    act(context, &args.on, Some(run), args.yes, "break the lock of run", &async |host: &HostRuns, run: &RunId| {
        let request = Request::BreakLock { state: host.at.state.clone(), run: run.clone(), who: who.clone() };
        host.contact.ask(&request).await?;
        Ok(format!("{}: the lock is free", host.at.name))
    })
}

/// Finds the run, asks for confirmation, and does it on each of its hosts.
fn act(
    context: &Context,
    on: &On,
    prefix: Option<&str>,
    yes: bool,
    word: &str,
    each: &impl AsyncFn(&HostRuns, &RunId) -> Result<String, Stop>,
) -> Result<u8, Failure> {
    let hosts = found::hosts(context, on)?;
    reach::block_on(async {
        let (known, mut stops) = found::ask(&reach::reach(), &hosts).await;
        if known.is_empty() {
            for stop in &stops {
                context.tell(&Failure::from(stop.clone()));
            }
            return Ok(stops.first().map_or(exit::REFUSED, |stop| stop.code));
        }
        let (run, of) = found::choose(known, prefix)?;
        let names: Vec<&str> = of.iter().map(|host| host.at.name.as_str()).collect();
        let question = Question { action: format!("{word} {run} on {}", names.join(", ")), production: None };
        question.ask(yes, context.paint())?;
        stops.clear();
        for host in &of {
            match each(host, &run).await {
                Ok(said) => super::say(&said),
                Err(stop) => stops.push(stop),
            }
        }
        for stop in &stops {
            context.tell(&Failure::from(stop.clone()));
        }
        Ok(exit::of_hosts(stops.iter().map(|stop| stop.code)))
    })?
}

//! `landfall plan`: the exact commands and the live facts. Changes nothing.

use std::collections::BTreeMap;

use super::args::{PlanArgs, PlanFormat};
use super::{Context, Failure, check, consent, exit, reach, who};
use crate::facts::Facts;
use crate::migration::gate::Consent;
use crate::name::{HostName, RunId};
use crate::plan::{Order, Plan};
use crate::playbook::{self, HostAt, Inventory, ResolvedPlaybook};
use crate::protocol::{Approval, Reply, Request};
use crate::report::{Output, plan_json, plan_markdown, plan_text};
use crate::run::Stop;

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let resolved = playbook::named(&inventory, &args.playbook, &check::options(&args.selection))?;
    let consent = consent::of_file(&inventory)?;
    let (facts, code) = ask(context, &resolved, &Plan::new(&resolved, BTreeMap::new()), &consent)?;
    if let Some(code) = code {
        return Ok(code);
    }
    let plan = Plan::agreed(&resolved, facts, &consent);
    let format = args.format.unwrap_or(if context.output == Output::Json { PlanFormat::Json } else { PlanFormat::Text });
    let text = match format {
        PlanFormat::Text => plan_text(&plan, context.display_out()),
        PlanFormat::Json => format!("{}\n", plan_json(&plan)),
        PlanFormat::Markdown => plan_markdown(&plan),
    };
    super::print(text.as_bytes())?;
    Ok(plan.refusal_code().unwrap_or(exit::DONE))
}

/// Looks at each host of a plan. A code: one could not be asked, which was told.
pub(super) fn ask(
    context: &Context,
    resolved: &ResolvedPlaybook,
    bare: &Plan,
    consent: &Consent,
) -> Result<(BTreeMap<HostName, Facts>, Option<u8>), Failure> {
    let hosts: Vec<HostAt> = resolved
        .hosts
        .iter()
        .map(|host| HostAt { name: host.name.clone(), target: host.target.clone(), state: host.state.clone() })
        .collect();
    let (facts, stops) = reach::block_on(async {
        let (contacts, mut stops) = reach::contacts(&reach::reach()?, &hosts).await;
        let mut asking = Vec::new();
        for (_, contact) in contacts {
            let submission = bare.submission(&contact.host, &order(consent)?);
            let submission = submission.and_then(|submission| serde_json::to_string(&submission).ok()).unwrap_or_default();
            asking.push(tokio::task::spawn_local(async move {
                let reply = contact.ask(&Request::Survey { submission }).await;
                let host = contact.host.clone();
                contact.close().await;
                (host, reply)
            }));
        }
        let mut facts = BTreeMap::new();
        for task in asking {
            match task.await {
                Ok((host, Ok(Reply::Facts { facts: found }))) => drop(facts.insert(host, *found)),
                Ok((host, Ok(_))) => stops.push(Stop::new(7, "its answer is not understood").on(&host)),
                Ok((_, Err(stop))) => stops.push(stop),
                Err(error) => stops.push(Stop::new(6, error.to_string())),
            }
        }
        Ok::<_, Failure>((facts, stops))
    })??;
    if let Some(code) = stops.iter().map(|stop| stop.code).max_by_key(|code| [2, 7, 3, 6].iter().position(|known| known == code))
    {
        for stop in stops {
            context.tell(&Failure::from(stop));
        }
        return Ok((facts, Some(code)));
    }
    Ok((facts, None))
}

fn order(consent: &Consent) -> Result<Order, Failure> {
    let mut bits = [0u8; 6];
    getrandom::fill(&mut bits).map_err(|error| Failure::new(exit::UNKNOWN, error.to_string()))?;
    Ok(Order {
        run: RunId::from_random(bits),
        who: who::of_process(),
        note: None,
        key: None,
        approval: Approval::Awaited,
        answer_within_ms: 0,
        approve_within_ms: 0,
        lock_wait_ms: 0,
        accepted: consent.accepted(),
    })
}

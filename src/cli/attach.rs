//! `landfall attach`: watches a run from its first byte, from any machine, with the same exit code; or takes it over.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::args::AttachArgs;
use super::confirm::Question;
use super::desk::Terminal;
use super::found::{self, Found, HostRuns};
use super::{Context, Failure, check, exit, past, reach, report, who};
use crate::migration::gate::Consent;
use crate::name::HostName;
use crate::playbook::{self, Inventory, ResolvedPlaybook};
use crate::report::Reporters;
use crate::run::{self, Finished, Past, Reach, Watch};

pub(super) fn run(context: &Context, args: &AttachArgs) -> Result<u8, Failure> {
    if args.replay {
        return past::replay(context, args);
    }
    let hosts = found::hosts(context, &args.selection.on)?;
    let inventory = Inventory::read(&context.inventory()?)?;
    let mut reporters = report::of_watching(context, &args.reports, Some(&inventory))?;
    if !args.from_now {
        report::copy(&mut reporters, &inventory);
    }
    let finished = reach::block_on(async {
        let reach = reach::reach()?;
        let (known, stops) = found::ask(&reach, &hosts).await;
        let Found { run, of, unasked } = found::choose(known, stops, args.run.as_deref())?;
        if let Some(stop) = unasked.first().filter(|_| args.drive) {
            // What the others wait for from it, nobody could tell them.
            return Err(Failure::from(stop.clone()));
        }
        let mut finished = if args.drive {
            let taken = TakenOver { playbook: same_playbook(&inventory, args, &run, &of)?, run, of };
            taken.drive(context, &inventory, args, &reach, &mut reporters).await?
        } else {
            let of = of.into_iter().map(|host| (host.at, host.contact)).collect();
            let past = if args.from_now { Past::Steps } else { Past::Whole };
            let watch = Watch { past, leave: BTreeSet::new(), reconnect_for: args.reconnect.reconnect_for };
            run::attach(&reach, &run, of, &watch, &mut reporters).await
        };
        if !unasked.is_empty() {
            finished.code = exit::UNKNOWN;
            finished.stops.extend(unasked);
        }
        Ok::<_, Failure>(finished)
    })??;
    report::finish(&mut reporters, &finished);
    Ok(context.end(finished))
}

/// The playbook of a run, as it is here. Of what a host tells, only the name is used, as that of a file under playbooks/; the
/// person confirms it, and the hosts compare what it makes.
fn same_playbook(
    inventory: &Inventory,
    args: &AttachArgs,
    run: &crate::name::RunId,
    of: &[HostRuns],
) -> Result<ResolvedPlaybook, Failure> {
    let summary = of.iter().flat_map(|host| &host.runs).find(|known| known.run == *run);
    let summary = summary.ok_or_else(|| Failure::refused(format!("no host knows of run {run}")))?;
    let name: crate::name::PlaybookName = summary.playbook.parse().map_err(|_| {
        Failure::refused(format!("run {run} was not started from a playbook")).remedy("leave out --drive, to watch it")
    })?;
    let mut options = check::options(&args.selection);
    options.on = summary.hosts.iter().map(HostName::to_string).collect();
    Ok(playbook::named(inventory, name.as_str(), &options)?)
}

struct TakenOver {
    playbook: ResolvedPlaybook,
    run: crate::name::RunId,
    of: Vec<HostRuns>,
}

impl TakenOver {
    async fn drive(
        self,
        context: &Context,
        inventory: &Inventory,
        args: &AttachArgs,
        reach: &Arc<Reach>,
        reporters: &mut Reporters,
    ) -> Result<Finished, Failure> {
        let action = format!("take over run {} by playbook {} as it is here", self.run, self.playbook.name);
        let question = Question { action: action.clone(), production: self.playbook.production.clone(), database: None };
        question.ask(args.yes, context.paint())?;
        report::notify_of_the_end(reporters, inventory, &reach.vault);
        let options = run::Options {
            who: who::of_process(),
            note: None,
            key: None,
            yes: true,
            detach: false,
            lock_wait: std::time::Duration::ZERO,
            reconnect_for: args.reconnect.reconnect_for,
            cancel_on_term: false,
            consent: Consent::default(),
            config: inventory.path.clone(),
        };
        let desk = Arc::new(Terminal { mode: context.display.mode, paint: context.paint(), action, database: None });
        let contacts = self.of.into_iter().map(|host| host.contact).collect();
        Ok(run::drive(&self.playbook, &self.run, contacts, &options, reach, desk, reporters).await)
    }
}

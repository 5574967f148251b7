//! `landfall run`, `seed`, `exec` and `validate`: four ways to a resolved playbook, one way from there.

use std::sync::Arc;

use super::args::{ConsentArgs, ExecArgs, RunArgs, SeedArgs, Start, ValidateArgs};
use super::confirm::Asking;
use super::desk::Terminal;
use super::{Context, Failure, check, consent, exit, reach, report, who};
use crate::action::Via;
use crate::command::quoted;
use crate::playbook::{self, Inventory, Options, ResolvedPlaybook};
use crate::run;

pub(super) fn playbook(context: &Context, args: &RunArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let resolved = playbook::named(&inventory, &args.playbook, &check::options(&args.selection))?;
    start(context, &inventory, &resolved, &args.start, &args.consent)
}

pub(super) fn seed(context: &Context, args: &SeedArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let options = Options { again: args.again, ..check::options(&args.selection) };
    start(context, &inventory, &playbook::seeds(&inventory, &args.names, &options)?, &args.start, &ConsentArgs::default())
}

pub(super) fn exec(context: &Context, args: &ExecArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let options = Options { on: args.on.on.clone(), ..Options::default() };
    let in_running = Via::from(args.via) == Via::Exec;
    let resolved = playbook::exec(&inventory, args.service.as_str(), &args.command, in_running, &options)?;
    start(context, &inventory, &resolved, &args.start, &ConsentArgs::default())
}

pub(super) fn validate(context: &Context, args: &ValidateArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let options = Options { checks_only: true, ..check::options(&args.selection) };
    start(context, &inventory, &playbook::named(&inventory, &args.playbook, &options)?, &args.start, &ConsentArgs::default())
}

/// Asks for the confirmation that it needs, and carries it out.
pub(super) fn start(
    context: &Context,
    inventory: &Inventory,
    resolved: &ResolvedPlaybook,
    start: &Start,
    consent: &ConsentArgs,
) -> Result<u8, Failure> {
    let hosts: Vec<&str> = resolved.hosts.iter().map(|host| host.name.as_str()).collect();
    let action = format!("run {} on {}", resolved.name, hosts.join(", "));
    // Nobody to ask is found out before anything is contacted.
    let effects = resolved.hosts.iter().any(playbook::ResolvedHost::effects);
    if effects && Asking::of_process(start.yes) == Asking::Nobody {
        return Err(Failure::refused(format!("nobody is there to confirm: {action}"))
            .remedy(format!("look at `{} plan {}` first; then say --yes", context.display.program, resolved.name)));
    }
    let database = resolved.replaces();
    if let Some(database) = database.as_ref().filter(|name| start.yes && start.confirm_restore.as_ref() != Some(name)) {
        let help = format!("say which, as one would type it: --confirm-restore {}", quoted(database));
        return Err(
            Failure::refused(format!("this run replaces database {database}, and --yes is no answer to that")).remedy(help)
        );
    }
    let consent = consent::of_run(inventory, consent, start)?;
    let options = run::Options {
        who: who::of_process(),
        note: start.note.clone(),
        key: start.key.clone(),
        yes: start.yes,
        detach: start.detach,
        lock_wait: start.lock_wait.unwrap_or_default(),
        reconnect_for: start.reconnect.reconnect_for,
        cancel_on_term: start.cancel_on_term,
        consent,
        config: inventory.path.clone(),
    };
    let desk = Arc::new(Terminal { mode: context.display.mode, paint: context.paint(), action, database });
    let reach = reach::reach()?;
    let mut reporters = report::of_run(context, inventory, resolved, &start.reports, &reach.vault)?;
    let finished = reach::block_on(run::run(resolved, &options, &reach, desk, &mut reporters))?;
    report::finish(&mut reporters, &finished);
    Ok(context.end(finished))
}

impl Context {
    /// Tells what is left to be told of a run, and gives its exit code.
    pub(super) fn end(&self, finished: run::Finished) -> u8 {
        for stop in finished.stops {
            self.tell(&Failure::from(stop));
        }
        if finished.code > exit::REFUSED && finished.code != exit::CANCELLED { exit::UNKNOWN } else { finished.code }
    }
}

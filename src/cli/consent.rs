//! What is said beforehand of migrations that wait: the approvals beside the inventory, and those of the command line.

use super::args::{ConsentArgs, Start};
use super::{Failure, git, lint, who};
use crate::migration::gate::Consent;
use crate::migration::lint::APPROVALS_FILE;
use crate::playbook::Inventory;

/// Of the file alone: what a plan goes by.
pub(super) fn of_file(inventory: &Inventory) -> Result<Consent, Failure> {
    let mut approvals = lint::approvals(&inventory.root.join(APPROVALS_FILE))?;
    git::tell(&inventory.root, &mut approvals);
    Ok(Consent { approvals, by: who::of_process().to_string(), ..Consent::default() })
}

/// Of a run.
pub(super) fn of_run(inventory: &Inventory, args: &ConsentArgs, start: &Start) -> Result<Consent, Failure> {
    let reason = start.note.clone().unwrap_or_default();
    if !args.approve.is_empty() && reason.trim().is_empty() {
        return Err(Failure::usage("an approval needs a reason").remedy("give it with --note TEXT"));
    }
    let (waivers, expected) = (args.approve.clone(), args.expect_pending.clone());
    Ok(Consent { waivers, reason, begun: true, unseen: start.yes, expected, ..of_file(inventory)? })
}

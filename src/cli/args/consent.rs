//! What the command line says of migrations that wait.

use clap::Args;

use super::THIS_RUN;
use crate::migration::lint::Waiver;

/// What shall be written into the file of approvals.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ApprovalArgs {
    /// Write an approval into landfall-approvals.toml, bound to the file as it is now (repeatable)
    #[arg(long, value_name = "RULE@FILE", requires_all = ["by", "reason"])]
    pub(in crate::cli) write_approval: Vec<Waiver>,
    /// Who approves it
    #[arg(long, value_name = "NAME", requires = "write_approval")]
    pub(in crate::cli) by: Option<String>,
    /// Why it may be done
    #[arg(long, value_name = "TEXT", requires = "write_approval")]
    pub(in crate::cli) reason: Option<String>,
}

/// What somebody takes upon themselves for one run.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ConsentArgs {
    /// Apply what a rule for migrations objects to in a file, this once; the reason is --note (repeatable)
    #[arg(long, value_name = "RULE@FILE", requires = "note", help_heading = THIS_RUN)]
    pub(in crate::cli) approve: Vec<Waiver>,
    /// With --yes: apply this migration though it came with the pulled image and the rules warn of it (repeatable)
    #[arg(long, value_name = "MIGRATION", help_heading = THIS_RUN)]
    pub(in crate::cli) expect_pending: Vec<String>,
}

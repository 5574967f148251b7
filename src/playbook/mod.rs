//! Playbooks and the inventory: text in, a [`ResolvedPlaybook`] or a full list of what is wrong out. Contacts nothing.

pub mod inventory;
mod parse;
mod resolved;
mod select;
mod vars;

pub use crate::source::{diag, diag::{Diag, Diags}};
pub use crate::steps::{ClientSecret, ClientValue, DriverWork, HereProbe, LocalCommand};
pub use inventory::Inventory;
pub use parse::{Playbook, RawStep, Var, all, locate};
pub use resolved::{LocalStep, ResolvedHost, ResolvedPlaybook, ResolvedStep, Serial, Target, Work};

//! Playbooks and the inventory: text in, a [`ResolvedPlaybook`] or a full list of what is wrong out. Contacts nothing.

mod commands;
mod database;
pub mod inventory;
mod lower;
pub mod notify;
mod parse;
mod resolve;
mod resolved;
mod select;
mod shipped;
mod vars;

pub use crate::source::{
    diag,
    diag::{Diag, Diags},
};
pub use crate::steps::{ClientSecret, ClientValue, DriverWork, HereHttp, HereLook, HereProbe, LocalCommand};
pub use commands::{check, exec, hosts, logs, named, open, production, seeds};
pub use inventory::Inventory;
pub use parse::{Playbook, RawStep, Var, all, locate};
pub use resolve::{Options, resolve};
pub use resolved::{HostAt, LocalStep, ResolvedHost, ResolvedPlaybook, ResolvedStep, Serial, Target, Work};
pub use shipped::{INVENTORY, PLAYBOOKS, inventory_schema, playbook_schema};

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::too_many_lines)]
pub(crate) mod tests;

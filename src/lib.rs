//! Landfall (chapter to come).

pub mod action;
#[cfg(feature = "client")]
pub mod cli;
pub mod command;
pub mod event;
pub mod facts;
#[cfg(feature = "client")]
pub mod migration;
pub mod name;
#[cfg(feature = "client")]
pub mod plan;
#[cfg(feature = "client")]
pub mod playbook;
pub mod protocol;
pub mod record;
#[cfg(feature = "client")]
pub mod report;
pub mod secret;
#[cfg(feature = "client")]
pub mod source;
#[cfg(feature = "client")]
pub mod steps;

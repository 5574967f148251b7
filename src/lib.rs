//! Landfall (chapter to come).

pub mod action;
pub mod check;
pub mod command;
pub mod event;
pub mod facts;
#[cfg(target_os = "linux")]
pub mod host;
#[cfg(feature = "client")]
pub mod migration;
pub mod name;
#[cfg(feature = "client")]
pub mod plan;
#[cfg(feature = "client")]
pub mod playbook;
pub mod protocol;
pub mod record;
pub mod secret;
#[cfg(feature = "client")]
pub mod source;
#[cfg(feature = "client")]
pub mod ssh;
#[cfg(feature = "client")]
pub mod steps;

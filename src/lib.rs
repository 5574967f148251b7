//! Landfall (chapter to come).

pub mod action;
pub mod check;
pub mod command;
pub mod event;
pub mod facts;
#[cfg(target_os = "linux")]
pub mod host;
pub mod name;
pub mod protocol;
pub mod record;
pub mod secret;
#[cfg(feature = "client")]
pub mod ssh;

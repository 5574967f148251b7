//! Landfall (chapter to come).

pub mod action;
pub mod check;
pub mod command;
pub mod event;
pub mod facts;
pub mod name;
pub mod protocol;
pub mod record;
#[cfg(feature = "client")]
pub mod runtime;
pub mod secret;
#[cfg(feature = "client")]
pub mod ssh;

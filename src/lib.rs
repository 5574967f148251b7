//! Landfall (chapter to come).

#[cfg(feature = "client")]
pub mod ssh;

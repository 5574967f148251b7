//! Landfall (chapter to come).

#[cfg(target_os = "linux")]
pub mod host;

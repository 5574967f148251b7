//! Connections to hosts over SSH: settings, host keys, login, channels.
//!
//! Owns everything that is SSH, and hides the library that speaks it: no type of russh is seen outside. Knows nothing of
//! playbooks, plans or what runs in a channel, and never prints: what a person must be asked goes through [`Ask`].

mod host_key;
pub mod known_hosts;

pub use host_key::{HostKey, HostKeyError};

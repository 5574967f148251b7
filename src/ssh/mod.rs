//! Connections to hosts over SSH: settings, host keys, login, channels.
//!
//! Owns everything that is SSH, and hides the library that speaks it: no type of russh is seen outside. Knows nothing of
//! playbooks, plans or what runs in a channel, and never prints: what a person must be asked goes through [`Ask`].

mod error;
mod expand;
mod host_key;
mod identity;
pub mod known_hosts;
mod openssh;
mod operator;
mod settings;

pub use error::{ChannelError, ConfigError, ConnectError};
pub use host_key::{HostKey, HostKeyError};
pub use operator::{Ask, KEY_VARIABLE, Operator, UnknownKey};
pub use settings::{Origin, Settings, Sourced, Sources, Target, resolve};

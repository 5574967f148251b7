//! Connections to hosts over SSH: settings, host keys, login, channels.
//!
//! Owns everything that is SSH, and hides the library that speaks it: no type of russh is seen outside. Knows nothing of
//! playbooks, plans or what runs in a channel, and never prints: what a person must be asked goes through [`Ask`].
//!
//! The way of a connection: [`Target`] (what the inventory says) → [`resolve`] (with `ssh -G` below it) → [`Settings`] →
//! [`connect`] (jumps, host key, login) → [`Connection`] → [`Connection::exec`] → [`Exec`], which splits into a reader and a
//! writer. Four traps of the library are answered here once, each with a test: a reader that stops reading must not stall the
//! connection (`exec`), a writer must end with its channel (`exec`), the client must not begin a key exchange (`client`), and
//! small packets must not wait for each other (`tcp`).

mod auth;
mod client;
mod connection;
mod error;
mod exec;
mod expand;
mod handshake;
mod host_key;
mod identity;
pub mod known_hosts;
mod openssh;
mod operator;
mod scan;
mod settings;
mod tcp;
#[cfg(test)]
mod tests;
mod tunnel;

pub use connection::{Connection, Facts, connect};
pub use error::{ChannelError, ConfigError, ConnectError};
pub use exec::{Exec, ExecEvent, ExecReader, ExecWriter, LostChannel, WriterGone};
pub use host_key::{HostKey, HostKeyError};
pub use operator::{Ask, Operator, UnknownKey};
pub use scan::host_keys;
pub use settings::{Origin, Settings, Sourced, Sources, Target, resolve};

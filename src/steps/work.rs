//! What the client does for a step, as values: commands on its own machine and requests from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::action::{HttpExpect, Retry, Script};

/// What the client does for a step, while the host waits at a barrier.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub enum DriverWork {
    /// A command on the client's machine.
    Local(LocalCommand),
    /// A look at the application from the client's machine.
    Here(HereProbe),
}

/// A command on the client's machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocalCommand {
    /// A text for `sh -c`, or an argv that passes through no shell.
    pub run: Script,
    /// Where, absolute: the inventory's folder unless said otherwise. Another machine has another path for the same plan.
    #[serde(skip)]
    pub dir: PathBuf,
    /// Added to the client's own environment.
    pub env: BTreeMap<String, ClientValue>,
}

/// A request from the client's machine and what its answer must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HereProbe {
    /// Where to: http or https.
    pub url: String,
    /// GET, HEAD, POST, …
    pub method: String,
    /// Sent along.
    pub headers: BTreeMap<String, ClientValue>,
    /// Sent along.
    pub body: Option<String>,
    /// For one exchange.
    pub timeout_ms: u64,
    /// What the answer must be.
    pub expect: HttpExpect,
    /// How long it may be tried; none: once.
    pub retry: Option<Retry>,
}

/// A value that the client uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientValue {
    /// As it stands.
    Plain(String),
    /// Looked up on the client when it is needed, masked in what is shown.
    Secret(ClientSecret),
}

/// A secret of the client: the environment variable that holds it, and where it may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientSecret {
    /// The environment variable's name.
    pub name: String,
    /// The only origins that it may be sent to (`https://api.example.com`); empty for a `local` step, which sends nothing itself.
    pub origins: Vec<String>,
}

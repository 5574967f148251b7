//! What the client does for a step, as values: commands on its own machine and requests from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::action::{HttpProbe, Retry, Script, TcpProbe, Watch};
use crate::protocol::Hint;

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
    /// What its known failures mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
}

/// A look from the client's machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HereProbe {
    /// What is looked at.
    pub look: HereLook,
    /// Others look from other sides at the same time: what it means is for them together to say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
    /// How long it may be tried; none: once.
    pub retry: Option<Retry>,
    /// Looks again and again, for a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

/// What is looked at from the client's machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "look", rename_all = "snake_case")]
pub enum HereLook {
    /// A request.
    Http(Box<HereHttp>),
    /// A connection that must stand.
    Open(TcpProbe),
    /// One that must not.
    Closed(TcpProbe),
}

/// A request from the client's machine and what its answer must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HereHttp {
    /// What is asked, without headers: http or https.
    pub http: HttpProbe,
    /// Sent along.
    pub headers: BTreeMap<String, ClientValue>,
    /// The server's certificate must be valid for so long still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_ms: Option<u64>,
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

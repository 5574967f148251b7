//! Why a run or a look at a host cannot go on: a message, a remedy, and the exit code that goes with them. One shape for what comes
//! from connecting, from the host program and from the run itself.

use crate::facts::Refusal;
use crate::name::HostName;
use crate::runtime::{LinkError, OpenFailure};
use crate::ssh::{ConfigError, ConnectError};

/// An end before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    /// The exit code.
    pub code: u8,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub remedy: Option<String>,
    /// The host it concerns.
    pub host: Option<HostName>,
    /// Trying again changes nothing until a person has done something.
    pub lasting: bool,
}

impl Stop {
    /// An end with a code and a message.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None, host: None, lasting: false }
    }

    /// The same with what mends it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, said of a host.
    #[must_use]
    pub fn on(mut self, host: &HostName) -> Self {
        self.message = format!("{host}: {}", self.message);
        self.host = Some(host.clone());
        self
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self { remedy: error.remedy(), lasting: true, ..Self::new(2, error.to_string()) }
    }
}

impl From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        let code = if error.is_usage() { 2 } else { 3 };
        let lasting = error.is_usage() || error.is_lasting();
        Self { remedy: error.remedy(), lasting, ..Self::new(code, error.to_string()) }
    }
}

impl From<OpenFailure> for Stop {
    fn from(error: OpenFailure) -> Self {
        Self { remedy: error.remedy(), ..Self::new(error.exit_code(), error.to_string()) }
    }
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        let code = if matches!(error, LinkError::Lost(_)) { 3 } else { 7 };
        Self { remedy: error.remedy().map(str::to_owned), ..Self::new(code, error.to_string()) }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self { remedy: refusal.remedy, ..Self::new(refusal.code, refusal.message) }
    }
}

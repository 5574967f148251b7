//! What happens in a run, as owned values: the one stream that every reporter consumes, live, attached later or replayed.
//! Holds no display settings.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize, Serializer};

use crate::facts::{Facts, LockHolder, Refusal};
use crate::name::{HostName, RunId, StepName};

/// The version of the event format.
pub const VERSION: u32 = 1;

/// One event: one JSON object a line in `--output json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The format's version.
    pub v: u32,
    /// When, by the clock of whoever saw it.
    pub time: Timestamp,
    /// The run it belongs to.
    pub run: RunId,
    /// The host, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The step, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// A moment as it is written: RFC 3339 in UTC. Shared, for many lines of output have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct Timestamp(Arc<str>);

impl Timestamp {
    /// The same of the system's clock, in milliseconds.
    pub fn of(at: SystemTime) -> Self {
        timestamp(at).into()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By the system's clock; none where it is no moment.
    pub fn at(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.0).ok()
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: Into<Arc<str>>> From<T> for Timestamp {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// The first event of a run.
    RunStarted {
        /// The playbook's name.
        playbook: String,
        /// The hosts of the run.
        hosts: Vec<HostName>,
        /// SHA-256 of the plan.
        plan: String,
        /// Who started it, and from where.
        who: String,
        /// The note given with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// A connection stands.
    HostConnected {
        /// Address and port.
        address: String,
        /// The login.
        user: String,
    },
    /// The project's lock is held.
    LockAcquired {
        /// The lock's name: the project's.
        lock: String,
        /// Which taking of it this is.
        generation: u64,
    },
    /// The lock is held by another run.
    LockBusy {
        /// By whom.
        holder: LockHolder,
    },
    /// The host is ready to go; what was found there.
    Prepared {
        /// What the plan is made from.
        facts: Box<Facts>,
    },
    /// The host will not go.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// A step begins.
    StepStarted {
        /// Its kind.
        kind: String,
        /// The exact command, secrets by name.
        command: String,
        /// True for a step that only looks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        check: bool,
    },
    /// Something a step printed, already masked.
    Output {
        /// Where it printed it.
        stream: Stream,
        /// The text, without the line's end; unreadable bytes replaced.
        text: String,
        /// The bytes in base64, where they are not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<String>,
        /// True when the line goes on in the next event of this stream.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// What the rules for migrations object to is done all the same, for somebody took it upon themselves.
    Approved(Approved),
    /// A look at the application.
    Check {
        /// The check's kind: "health", …
        kind: String,
        /// From where: "here", "host", "container", "network".
        side: String,
        /// Whether what was seen is what was expected.
        ok: bool,
        /// What was seen, at most 200 bytes, masked.
        observed: String,
        /// What was expected.
        expected: String,
    },
    /// Something of the application is not what it was.
    Changed {
        /// "image of api", "migrations", …
        what: String,
        /// Before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Now.
        to: String,
    },
    /// A step is over.
    StepFinished {
        /// How.
        status: Status,
        /// The command's exit code, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// The signal that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// How long it took.
        duration_ms: u64,
        /// The story of a step that did not run, or the reason of one that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// What a failure usually means, and what helps.
    Hint {
        /// In words.
        text: String,
    },
    /// Something a person should know.
    Warning {
        /// In words.
        text: String,
    },
    /// The connection to a host is gone; its run goes on.
    ConnectionLost {
        /// Why, as far as it is known.
        cause: String,
    },
    /// The connection is back.
    Reconnected {
        /// The byte of the record at which reading goes on.
        offset: u64,
    },
    /// A host has done its part.
    HostFinished {
        /// How.
        status: Status,
        /// The exit code of this host's part.
        exit_code: u8,
        /// From submission to end.
        duration_ms: u64,
    },
    /// The last event of a run.
    RunFinished {
        /// How.
        status: Status,
        /// The exit code of the whole.
        exit_code: u8,
        /// From start to end.
        duration_ms: u64,
    },
    /// A type of a later version: to be ignored.
    #[serde(other)]
    Unknown,
}

/// What a rule for migrations found, and who took it upon themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// The rule.
    pub rule: String,
    /// The migration's file, in the image.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Who, by their own claim.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Where that was said: the file of approvals, or the option of the command line.
    pub with: String,
    /// When that came, in words, where the repository's history tells: nobody can have approved apart what came in one commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<String>,
}

impl std::fmt::Display for Approved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, file, line, by, reason, with, came } = self;
        let came = came.as_ref().map(|came| format!(", {came}")).unwrap_or_default();
        write!(f, "{rule} in {file}:{line} is approved by {by} ({with}{came}): {reason}")
    }
}

/// The two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should.
    Ok,
    /// Not as it should, and proven so.
    Failed,
    /// It did not run, for a good reason.
    Skipped,
    /// It cannot be told: neither success nor failure.
    Unknown,
    /// Stopped on demand.
    Cancelled,
    /// Stopped because its time was over.
    TimedOut,
}

impl Status {
    /// The word used in events and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// True for a proven failure, after which `on_failure` steps run.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Cancelled)
    }
}

/// A moment as events write it: RFC 3339, UTC, milliseconds.
pub fn timestamp(at: std::time::SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            v: VERSION,
            time: Timestamp::of(std::time::UNIX_EPOCH),
            run: RunId::from_random([0; 6]),
            host: Some("droplet-1".parse().expect("name")),
            step: None,
            body: Body::Output { stream: Stream::Stderr, text: "hi".into(), bytes: None, partial: false },
        };
        let text = serde_json::to_string(&event).expect("json");
        assert_eq!(
            text,
            r#"{"v":1,"time":"1970-01-01T00:00:00.000Z","run":"kkkkkkkkkkkk","host":"droplet-1","type":"output","stream":"stderr","text":"hi"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).expect("event"), event);
    }

    #[test]
    fn a_type_of_a_later_version_is_ignored() {
        let text = r#"{"v":2,"time":"1970-01-01T00:00:00.000Z","run":"kkkkkkkkkkkk","type":"telepathy","x":1}"#;
        assert_eq!(serde_json::from_str::<Event>(text).expect("event").body, Body::Unknown);
    }
}

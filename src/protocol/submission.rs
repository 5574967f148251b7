//! A run's submission to one host: everything the host needs to carry its part to the end alone.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Retry};
use crate::history::drift::Accepted;
use crate::name::{HostName, ProjectName, RunId, ServiceName, StepName};
use crate::secret::SecretSources;

use super::Database;

/// One host's part of a run, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The protocol's version.
    pub v: u32,
    /// The run; chosen and written down by the client before anything is sent.
    pub run: RunId,
    /// A caller's own key (CI): a run with the same key is found instead of started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Names the lock.
    pub project: ProjectName,
    /// Where the host keeps its state.
    pub state: StateDir,
    /// What the host keeps of runs that are over.
    #[serde(default)]
    pub retention: Retention,
    /// The host's name in the inventory.
    pub host: HostName,
    /// All hosts of the run, in the order of the plan; the first is its home.
    pub hosts: Vec<HostName>,
    /// The playbook's name.
    pub playbook: String,
    /// SHA-256 of the plan that all hosts share.
    pub plan: String,
    /// Who started it.
    pub who: Who,
    /// Why, in a person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The compose project; none where no step needs Docker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeProject>,
    /// The project's database; none where the inventory names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// What must never leave the host.
    pub secrets: SecretSources,
    /// Whether anything of it has effects: then it takes the project's lock.
    pub effects: bool,
    /// When to go on after preparing.
    pub approval: Approval,
    /// How long a barrier waits for a driver.
    pub answer_within_ms: u64,
    /// How long a prepared run waits for its driver to come back before it withdraws itself.
    pub approve_within_ms: u64,
    /// How long a step waits for another that works on the same database.
    #[serde(default)]
    pub lock_wait_ms: u64,
    /// What of files and histories that have parted somebody takes upon themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accepted>,
    /// Services whose images are pulled while preparing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull: Vec<ServiceName>,
    /// What known failures of that mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_hints: Vec<Hint>,
    /// In order.
    pub steps: Vec<HostStep>,
}

/// Who started a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The login on the client's machine.
    pub user: String,
    /// The client's machine.
    pub machine: String,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.machine)
    }
}

/// Where a host keeps locks, ledger and records of a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateDir {
    /// An absolute path.
    pub path: String,
    /// Falls back to a folder of the user's own, which locks out only oneself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// Which records of ended runs a host keeps: so many, and none for longer than this. The others are removed after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// So many, the newest.
    pub runs: u32,
    /// For so long, in seconds.
    pub seconds: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { runs: 200, seconds: 90 * 24 * 3600 }
    }
}

/// A compose project on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// An absolute path; the others are relative to it.
    pub dir: String,
    /// Compose files, in order.
    pub files: Vec<String>,
    /// Passed as `--env-file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<String>,
    /// Added to compose's own environment, for interpolation. Not for secrets.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub env: std::collections::BTreeMap<String, String>,
    /// The service of steps that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}

/// When a prepared run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// At once: everything there is to approve has been approved, and there is one host.
    Given,
    /// When the client says so; withdrawn when it goes away before that.
    Awaited,
}

/// Whether a step runs, after what happened before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// While nothing has failed.
    #[default]
    Success,
    /// After a proven failure.
    Failure,
    /// In any case.
    Always,
    /// After an unknown outcome.
    Unknown,
}

/// One step as the host runs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostStep {
    /// Unique in the run.
    pub name: StepName,
    /// The playbook's word for it, for people.
    pub kind: String,
    /// The exact command, for people.
    pub shown: String,
    /// When it runs.
    #[serde(default)]
    pub when: When,
    /// Whether it only looks: then its failure is exit code 4, and it may be tried again.
    #[serde(default)]
    pub check: bool,
    /// How long it may take, retries included; kept by the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// For checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Set where the host remembers that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerKey>,
    /// Services started, never recreated, before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<ServiceName>,
    /// What known failures mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// In order.
    pub actions: Vec<Action>,
}

/// What makes a step the same as one that ran before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The seed's or step's name.
    pub name: String,
    /// The service whose image it runs in.
    pub service: ServiceName,
    /// What runs, in words that are equal only for equal commands.
    pub command: String,
    /// Files in the image whose content counts; empty: the image id counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What to do with one that ran.
    pub seen: Seen,
    /// What it leaves is in the project's database: then it is remembered there, for all hosts of that database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_database: bool,
}

/// What to do with a step that the ledger knows to have succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Skip it, with its story.
    Skip,
    /// Refuse the run.
    Refuse,
    /// Run it again, and record that.
    Repeat,
}

/// What a known failure means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Matches a line of the step's output (regex-lite syntax).
    pub regex: String,
    /// What to say.
    pub text: String,
}

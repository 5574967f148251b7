//! What a host is like right now, as far as a plan needs it: the answer of a survey. Read-only data; no secret has a place here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{HostName, RunId, ServiceName, StepName};
use crate::secret::SecretName;

/// The state of a host that a plan is made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The kernel's boot id: another one means another life of the host.
    pub boot_id: String,
    /// Who the host program runs as.
    pub user: String,
    /// Docker and Compose, where the plan needs them and they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerFacts>,
    /// Each service that the plan touches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceFacts>,
    /// The project's database, where the plan needs it and it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseFacts>,
    /// What each `migrate` step would find.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrations: BTreeMap<StepName, Migrations>,
    /// What Landfall's own look at files and history found, for each `migrate` step where that was possible.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub histories: BTreeMap<StepName, History>,
    /// The scripts of the package.json of services in which a step starts some by name; without those that could not be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<ServiceName, BTreeMap<String, String>>,
    /// Steps that the ledger knows to have run before, with their story.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ledger: BTreeMap<StepName, Story>,
    /// Steps that work on the database, and that only this host's own lock and ledger guard: why the database's cannot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_only: BTreeMap<StepName, String>,
    /// Whether the playbook's leading `pull` has been done: what stands here then is what it brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pulled: bool,
    /// Who holds the project's lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockHolder>,
    /// Free bytes where the state is kept.
    #[serde(default)]
    pub disk_free: u64,
    /// What was looked at for secrets, by name; told to whoever asks, and kept in no record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// How many values will be masked.
    #[serde(default)]
    pub masked_values: usize,
    /// What makes the host unfit: nothing runs while there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// What a person should know before saying yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Versions of Docker's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerFacts {
    /// The engine's.
    pub engine: String,
    /// The compose plugin's.
    pub compose: String,
}

/// A database that answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// "PostgreSQL 15.8", …
    pub server: String,
    /// The database's name.
    pub name: String,
    /// The login.
    pub user: String,
    /// A digest of what the server calls itself, the same wherever it is looked at from; where it does not tell, of the address that
    /// this host reaches it by. And of the database's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A connection pool stands before it, which hands a connection to somebody else after each transaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pooled: bool,
}

/// One service: what its compose file names, what is there, and what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// The image as the compose file names it.
    pub image: String,
    /// The id of that image here; none when it is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Its digest in the registry it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The image id of the container that serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Docker's word for that container: "running", "running (healthy)", …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What a migration tool says about a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Migrations {
    /// Nothing waits.
    UpToDate,
    /// These wait, in the order in which they will be applied.
    Pending {
        /// By name; empty where the tool does not name them.
        names: Vec<String>,
    },
    /// A migration failed, or files and history have parted. Nothing is applied before a person has settled it.
    Failed {
        /// The tool's words or Landfall's own, masked.
        why: String,
        /// What settles it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
    },
    /// It could not be found out.
    NotKnown {
        /// "network missing", "image missing", …
        why: String,
    },
}

/// Files and history of a migration tool, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Why it could not be looked at, so that only the tool's own word counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_known: Option<String>,
    /// The folder of the files, in the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Which of the tool's models they are laid out by.
    #[serde(skip)]
    pub model: usize,
    /// In the order of the tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
    /// What the tool prints of the SQL of those that wait and are programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previews: Vec<Preview>,
    /// Why it printed none, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_preview: Option<String>,
}

/// The SQL that a tool says it would run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The migration; none: all that waits together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// As it was printed, masked.
    pub sql: String,
    /// It goes on, but is too long to be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Whether it begins inside of a transaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_transaction: bool,
    /// Why it is not all that would be done, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

impl History {
    /// Those that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Migration> {
        let waits = |migration: &&Migration| matches!(migration.state, MigrationState::Pending | MigrationState::Skipped);
        self.migrations.iter().filter(waits)
    }

    /// The hashes of those that wait, and of what runs with them.
    pub fn pending(&self) -> impl Iterator<Item = String> {
        let along = self.migrations.iter().filter(|migration| migration.state == MigrationState::Along);
        self.waiting().chain(along).filter_map(|migration| migration.sha256.clone())
    }
}

/// The name of a file in which a migration's SQL stands among other things.
pub const OPERATIONS: &str = "ops.json";

impl Migration {
    /// Whether its text is SQL, as its file has it or taken out of one of operations: those of some tools are programs.
    pub fn is_sql(&self) -> bool {
        let path = std::path::Path::new(self.file.as_deref().unwrap_or(&self.name));
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
            || path.file_name().is_some_and(|name| name == OPERATIONS)
    }
}

/// One migration, as files and history have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// As the tool calls it.
    pub name: String,
    /// What the history calls it, where that is another word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is with it.
    pub state: MigrationState,
    /// It waits, and is older than the newest that is applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// SHA-256 of its file; none where the file is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where its file is, below the folder; none where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The digest that the history recorded, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// The file's text, masked, of one that is not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text goes on, but is too long to be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// When it began, and what the history tells of it, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// By the history it waits, and something is in the database that only it makes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
}

/// What is with a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// The history says so, and nothing speaks against it.
    Applied,
    /// It waits.
    Pending,
    /// It began and did not finish, as the history says or what is in the database.
    Failed,
    /// It is applied, and its file is not the one that was.
    Edited,
    /// It is applied, and its file is gone.
    Missing,
    /// It waits, and the tool will pass it over in silence.
    Skipped,
    /// It is not applied, and the way on from where the database stands does not lead through it.
    Aside,
    /// No migration of its own: it runs with those that are applied, each time.
    Along,
}

impl MigrationState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Edited => "edited",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
            Self::Aside => "aside",
            Self::Along => "along",
        }
    }
}

/// That a step ran before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// The run in which it did.
    pub run: RunId,
    /// When it began, RFC 3339.
    pub when: String,
    /// By whom.
    pub who: String,
    /// On which host, where that is not the one that tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// From which image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How it ended; none: it is not known how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The run.
    pub run: RunId,
    /// Its generation of the lock.
    pub generation: u64,
    /// Who started it, and from where.
    pub who: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Which playbook.
    pub playbook: String,
    /// The note given with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// running, orphaned, … : whether it is alive.
    pub state: String,
}

/// Why a host is not fit for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The exit code that goes with it: 7, or 5 for a lock.
    pub code: u8,
    /// What is wrong, masked.
    pub message: String,
    /// What mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Refusal {
    /// A host that is unfit (exit code 7).
    pub fn unfit(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: 7, message: message.into(), remedy: Some(remedy.into()) }
    }
}

/// A number of bytes, for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((unit, word)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else { return format!("{bytes} bytes") };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{} {word}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let table = [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (u64::MAX, "16777215.9 TiB")];
        for (bytes, shown) in table {
            assert_eq!(size(bytes), shown);
        }
    }
}

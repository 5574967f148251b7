//! The closed instruction set of a host: many step kinds lower to these few actions, as pure data that travels in a submission.
//! Knows nothing of playbooks, and does nothing itself.

mod look;
mod model;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::ServiceName;
use crate::secret::Value;

pub use look::{ContainerProbe, DatabaseProbe, DiskProbe, LogsProbe, Percentile, Since, TcpProbe, Watch};
pub use model::{Carried, CarriedFile, Client, Digest, HistoryTable, Late, Layout, LockTable, Model, Reading};

/// One thing a host does. A step is a list of them, ended by the first that does not succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// A command in a service's image or container.
    Service(ServiceCommand),
    /// A script by `sh -c` on the host itself.
    Shell(HostScript),
    /// Status, apply, status again: a migration that is proven, not believed.
    Migrate(Box<Migrate>),
    /// Brings the images that the compose file names to the host.
    Pull {
        /// Whose images.
        services: Vec<ServiceName>,
    },
    /// Starts services that are absent; never recreates one.
    Start {
        /// Which.
        services: Vec<ServiceName>,
    },
    /// Replaces the containers of services by ones of the current images, and waits until they are healthy.
    Up(Up),
    /// Copies the database into a file on the host, and reads that back.
    Backup(Backup),
    /// Puts a backup in the place of the database.
    Restore(Restore),
    /// Fails unless there is a backup that is young enough.
    RequireBackup {
        /// In seconds.
        within_s: u64,
    },
    /// Looks at the application from the host, its containers or their network.
    Probe(Probe),
    /// Waits for an answer that only the driver can give: a local command, a check from here, another host's result.
    Barrier,
}

impl Action {
    /// The service in which it may start scripts of a package.json: what they are is only known where the image is.
    pub fn starts_scripts(&self) -> Option<&ServiceName> {
        let (service, commands) = match self {
            Self::Service(command) => (&command.service, vec![&command.argv]),
            Self::Migrate(migrate) => (&migrate.service, migrate.commands().collect()),
            _ => return None,
        };
        // Whatever only sounds like it costs no more than a look.
        let may = |word: &String| ["npm", "yarn", "bun"].iter().any(|program| word.contains(program));
        commands.into_iter().flatten().any(may).then_some(service)
    }
}

/// How a command gets into a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A one-off container of the service's image.
    #[default]
    Run,
    /// A process in the service's running container.
    Exec,
}

/// A command in a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceCommand {
    /// The service whose image, environment and networks it gets.
    pub service: ServiceName,
    /// One-off container, or the running one.
    pub via: Via,
    /// Program and arguments; never passes through a shell.
    pub argv: Vec<String>,
    /// Added to the service's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// What counts as success.
    #[serde(default)]
    pub judge: Judge,
}

/// A script on the host: `sh -c`, in the compose folder (or the home folder where there is none).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostScript {
    /// The script's text, or the argv of a command that passes through no shell.
    pub run: Script,
    /// Reaches the script as environment variables; never spliced into its text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// What counts as success.
    #[serde(default)]
    pub judge: Judge,
}

/// The text for a shell, or a command that needs none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// `sh -c TEXT`.
    Shell(String),
    /// Program and arguments.
    Argv(Vec<String>),
}

/// What a command must do to count as successful. Judged on the host, from unmasked text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// Accepted exit codes.
    pub codes: Vec<i32>,
    /// Each must match some line of the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Pattern>,
    /// None may match a line of the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbid: Vec<Pattern>,
}

impl Default for Judge {
    fn default() -> Self {
        Self { codes: vec![0], require: Vec::new(), forbid: Vec::new() }
    }
}

/// A regular expression over one line of output (colours removed), and what it means in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// In the syntax of the `regex-lite` crate.
    pub regex: String,
    /// "the line that tells success", …
    pub means: String,
}

/// A migration by a tool inside a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migrate {
    /// The service whose image holds tool and migrations.
    pub service: ServiceName,
    /// How the tool is started.
    pub via: Via,
    /// The tool's name, for people.
    pub tool: String,
    /// Asks what is pending. Changes nothing.
    pub status: Vec<String>,
    /// `status` comes from the playbook, not from what Landfall knows of the tool: a plan that was only asked for does not run it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_status: bool,
    /// Applies what is pending.
    pub apply: Vec<String>,
    /// Prints the SQL of what is pending; changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Printing>,
    /// Added to the environment of all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Value>,
    /// How to read the answer of `status`.
    pub reading: StatusReading,
    /// What proves that `apply` succeeded, beside nothing pending afterwards.
    pub applied: Judge,
    /// How the tool keeps files and history: the first of these whose files are there. None: only the tool itself can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// The files themselves, where they travel with the plan: then there is neither `status` nor `apply`, and the database's own
    /// client applies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// How long a statement may wait for a lock, where the tool's driver heeds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_timeout_ms: Option<u64>,
}

impl Migrate {
    /// All that it may start in the service.
    pub fn commands(&self) -> impl Iterator<Item = &Vec<String>> {
        [&self.status, &self.apply].into_iter().chain(self.preview.as_ref().map(|printing| &printing.argv))
    }
}

/// How a tool is made to print the SQL of migrations that are programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printing {
    /// The command. `{applied}` in it is the newest applied migration, or `base` where there is none.
    pub argv: Vec<String>,
    /// It comes from the playbook: a plan that was only asked for does not run it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// Whether the names of those that wait are added to the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// The line before the SQL of a migration, whose first group is its name; none: they are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// Lines that tell that something was not printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Pattern>,
}

/// How a status answer is read: the first of these that fits counts; none fits means unknown, never success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReading {
    /// Something failed or diverged: never apply.
    pub failed: Vec<Pattern>,
    /// Migrations wait.
    pub pending: Signs,
    /// Nothing waits.
    pub up_to_date: Signs,
    /// Where the names of the pending ones stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NameList>,
}

/// An exit code and, where the tool prints one, the line that must go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs {
    /// Any of these.
    pub codes: Vec<i32>,
    /// Must match a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// A list inside an output: from the line after `begin` to the first that is blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameList {
    /// The heading line.
    pub begin: String,
    /// An item; its first group is the name.
    pub item: String,
}

/// Replaces containers by ones of the current images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// Which services.
    pub services: Vec<ServiceName>,
    /// Puts the images that were replaced back where the new ones do not become healthy.
    pub back: bool,
    /// How long the new containers may take to become healthy.
    pub wait_ms: u64,
}

/// Copies the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// So many of the database's backups stay, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// None stays for longer than this, in seconds, but the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for_s: Option<u64>,
    /// A public key of `age`: only who has its private one can read the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt_to: Option<String>,
}

/// Puts a backup in the place of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The database's name, as the server says it: any other is left alone.
    pub database: String,
    /// A file of the backups' folder; none: the newest of that database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Services that write, stopped meanwhile; none: all that run but the database's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<ServiceName>>,
}

/// A look at the application; changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "side", rename_all = "snake_case")]
pub enum Probe {
    /// HTTP/1.1 from the host program.
    Host(HttpProbe),
    /// HTTP/1.1 from inside the compose network, in a throw-away container of the service's image.
    Network {
        /// Whose image and network.
        service: ServiceName,
        /// What to ask.
        http: HttpProbe,
    },
    /// Docker's own view of a container.
    Container(ContainerProbe),
    /// A connection, from the host program.
    Tcp(TcpProbe),
    /// A port on which nothing may listen for the world.
    Private {
        /// Which.
        port: u16,
    },
    /// What a service's containers have written to their logs.
    Logs(LogsProbe),
    /// Room on a disk of the host.
    Disk(DiskProbe),
    /// What the database answers.
    Database(DatabaseProbe),
    /// Whether migrations wait or have failed. Never applies one.
    Migrations(Box<Migrate>),
    /// The same question from several sides at once.
    Sides {
        /// What each of them asks.
        of: Vec<Probe>,
    },
    /// A look again and again, for a time.
    Watch {
        /// What is looked at.
        of: Box<Probe>,
        /// How often, for how long, and how much of it may go wrong.
        watch: Watch,
    },
}

/// A request and what its answer must be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Where to.
    pub url: String,
    /// GET, HEAD, POST, …
    pub method: String,
    /// Sent along.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Value>,
    /// Sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// For the whole exchange.
    pub timeout_ms: u64,
    /// Whether it goes on to where a redirect points.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirects: bool,
    /// What the answer must be.
    pub expect: HttpExpect,
}

/// What an answer must be. All of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpExpect {
    /// Any of these.
    pub status: Vec<u16>,
    /// Or any of these hundreds: 2 for 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<u16>,
    /// Each must hold for the body read as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<JsonExpect>,
    /// A regular expression that must match the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The longest the exchange may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// The longest that so many of a hundred exchanges may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<Percentile>,
}

/// A comparison of one place of a JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JsonExpect {
    /// `$`, members and indexes: `$.items[0].name`, `$['odd name']`.
    pub path: String,
    /// How they compare.
    pub op: Compare,
    /// With what.
    pub value: serde_json::Value,
}

/// How a value compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// How long a check may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// From the first attempt on.
    pub for_ms: u64,
    /// From the start of one attempt to the next.
    pub every_ms: u64,
    /// In a row.
    pub successes: u32,
}

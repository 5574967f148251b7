//! A playbook after everything that can be known without contacting a host: which hosts, which steps, with which values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::action::Action;
use crate::name::{GroupName, HostName, PlaybookName, ProjectName, ServiceName, StepName};
use crate::protocol::{ComposeProject, Database, Hint, HostStep, Retention, StateDir};
use crate::secret::SecretSources;
use crate::steps::{DriverWork, LocalCommand};

/// A playbook with its hosts selected, its vars filled in and its steps lowered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResolvedPlaybook {
    /// The stem of its file, or the subcommand that made it up (`exec`).
    pub name: PlaybookName,
    /// For people.
    pub description: Option<String>,
    /// Its file; none for one made up by a subcommand.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// Where its steps stand in its file: the line of each. Of no meaning for what runs.
    #[serde(skip)]
    pub lines: BTreeMap<StepName, usize>,
    /// SHA-256 over the text of its file and the values of its vars, in hex.
    pub digest: String,
    /// Names the lock.
    pub project: ProjectName,
    /// A production group that is touched: its name is the answer that confirms the run.
    pub production: Option<GroupName>,
    /// How many hosts go at once; none: all.
    pub serial: Option<Serial>,
    /// What hosts keep of runs that are over.
    pub retention: Retention,
    /// Leading `local` steps: run on the client before anything is contacted.
    pub before: Vec<LocalStep>,
    /// In the order of the inventory; the first is the run's home.
    pub hosts: Vec<ResolvedHost>,
}

/// How many hosts of a run go side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Serial {
    /// So many.
    Hosts(usize),
    /// So many of a hundred, at least one.
    Percent(u8),
}

impl Serial {
    /// The size of a batch for a run on `hosts` hosts; never 0.
    pub fn batch(self, hosts: usize) -> usize {
        match self {
            Self::Hosts(count) => count.max(1),
            Self::Percent(percent) => (hosts * usize::from(percent) / 100).max(1),
        }
    }
}

/// A host that is only looked at: no playbook is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAt {
    /// Its name in the inventory.
    pub name: HostName,
    /// How to reach it.
    pub target: Target,
    /// Where it keeps its state.
    pub state: StateDir,
}

/// One host's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResolvedHost {
    /// Its name in the inventory.
    pub name: HostName,
    /// How to reach it.
    pub target: Target,
    /// The groups it is in.
    pub groups: Vec<GroupName>,
    /// Where it keeps its state.
    pub state: StateDir,
    /// The compose project; none where no step needs Docker.
    pub compose: Option<ComposeProject>,
    /// The database; none where no step needs it.
    pub database: Option<Database>,
    /// What must never leave it.
    pub secrets: SecretSources,
    /// Services of the leading `pull` steps: their images are pulled while preparing.
    pub pull: Vec<ServiceName>,
    /// Their exact commands.
    pub pull_shown: Vec<String>,
    /// What their known failures mean.
    pub pull_hints: Vec<Hint>,
    /// In order, without the leading `local` and `pull` steps.
    pub steps: Vec<ResolvedStep>,
}

impl ResolvedPlaybook {
    /// Whether what a host finds must pass a gate on the client before it goes: migrations that wait, or scripts of an image.
    pub fn is_gated(&self) -> bool {
        let steps = self.hosts.iter().flat_map(|host| &host.steps).filter(|step| matches!(step.work, Work::Host));
        let gated = |action: &Action| matches!(action, Action::Migrate(_)) || action.starts_scripts().is_some();
        steps.flat_map(|step| &step.step.actions).any(gated)
    }

    /// The database that a `restore` step replaces, by the name that the playbook gives; several with a comma between them.
    pub fn replaces(&self) -> Option<String> {
        let steps = self.hosts.iter().flat_map(|host| &host.steps);
        let names: BTreeSet<&str> = steps
            .flat_map(|step| &step.step.actions)
            .filter_map(|action| if let Action::Restore(restore) = action { Some(restore.database.as_str()) } else { None })
            .collect();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(","))
    }
}

impl ResolvedPlaybook {
    /// Only its `migrate` steps whose files travel with the plan, and nothing that goes before them.
    #[must_use]
    pub fn carried_only(mut self) -> Self {
        let carries = |step: &&ResolvedStep| {
            step.step.actions.iter().any(|action| matches!(action, Action::Migrate(migrate) if migrate.carried.is_some()))
        };
        // Where another host does it, a step of the same name waits for that.
        let names: BTreeSet<StepName> =
            self.hosts.iter().flat_map(|host| host.steps.iter().filter(carries)).map(|step| step.step.name.clone()).collect();
        self.before.clear();
        for host in &mut self.hosts {
            host.pull.clear();
            host.pull_shown.clear();
            host.steps.retain(|step| names.contains(&step.step.name));
        }
        self
    }
}

impl ResolvedHost {
    /// Whether anything of its part changes something: then it takes the project's lock.
    pub fn effects(&self) -> bool {
        !self.pull.is_empty() || self.steps.iter().any(|step| step.effects)
    }
}

/// What the inventory says about reaching a host; what it leaves open is up to `ssh -G`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// An address, or a `Host` alias of `~/.ssh/config`.
    pub address: String,
    /// The login.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// A private key's file, absolute.
    pub identity_file: Option<PathBuf>,
    /// A known-hosts file, absolute.
    pub known_hosts: Option<PathBuf>,
    /// Pinned host keys, as in `known_hosts` without the host: `ssh-ed25519 AAAA…`.
    pub host_keys: Vec<String>,
    /// How long connecting may take.
    pub connect_timeout_ms: Option<u64>,
    /// Whether the host program becomes root by sudo.
    pub sudo: bool,
}

/// A step as one host goes through it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResolvedStep {
    /// What the host does. Where the work is elsewhere its only action is a barrier.
    pub step: HostStep,
    /// Whether it changes anything.
    pub effects: bool,
    /// Who does the work.
    pub work: Work,
}

/// Who does the work of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// The host itself.
    Host,
    /// The client that drives the run.
    Driver(DriverWork),
    /// Another host: this one waits for its result.
    Peer {
        /// Which.
        first: HostName,
    },
}

/// A command that runs on the client before anything is contacted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocalStep {
    /// Its name in the playbook.
    pub name: StepName,
    /// The exact command, for people.
    pub shown: String,
    /// For these hosts; more than one where the command is the same for all of them.
    pub hosts: Vec<HostName>,
    /// What runs.
    pub command: LocalCommand,
    /// How long it may take.
    pub timeout_ms: Option<u64>,
}

//! What a run would do: a [`ResolvedPlaybook`] and the hosts' [`Facts`] in, a [`Plan`] out. What is shown and what is submitted come
//! from this one value.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::{Facts, LockHolder, Refusal, Story};
use crate::name::{GroupName, HostName, PlaybookName, ProjectName, RunId, ServiceName, StepName};
use crate::playbook::{LocalStep, ResolvedPlaybook, Serial};
use crate::protocol::{Approval, Submission, When, Who};

/// What a run would do, host by host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The playbook's name.
    pub playbook: PlaybookName,
    /// For people.
    pub description: Option<String>,
    /// Names the lock.
    pub project: ProjectName,
    /// SHA-256 over what all hosts share, in hex. Facts are not part of it.
    pub digest: String,
    /// A production group that is touched.
    pub production: Option<GroupName>,
    /// How many hosts go at once.
    pub serial: Option<Serial>,
    /// What runs on the client before anything is contacted.
    pub before: Vec<LocalStep>,
    /// In the order of the run.
    pub hosts: Vec<HostPlan>,
    /// Why nothing may run, over all hosts (those of one host are with the host).
    pub refusals: Vec<Refusal>,
    #[serde(skip)]
    resolved: ResolvedPlaybook,
}

/// What a run would do on one host, and what it would find there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostPlan {
    /// Its name in the inventory.
    pub host: HostName,
    /// Its address in the inventory.
    pub address: String,
    /// Whether anything of it has effects: then it takes the lock.
    pub effects: bool,
    /// The services that the plan touches, and their images.
    pub images: Vec<ImageChange>,
    /// In order.
    pub steps: Vec<PlannedStep>,
    /// Who holds the project's lock.
    pub lock: Option<LockHolder>,
    /// Free bytes where the state is kept; none: it was not asked.
    pub disk_free: Option<u64>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
    /// Why nothing may run.
    pub refusals: Vec<Refusal>,
}

/// Which image serves, and which one is to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageChange {
    /// The service.
    pub service: ServiceName,
    /// The image as the compose file names it.
    pub image: String,
    /// The id of the image that serves now.
    pub from: Option<String>,
    /// The id of the image that the compose file names now.
    pub to: Option<String>,
    /// The latter's digest in its registry.
    pub digest: Option<String>,
    /// Whether a step of the plan replaces the one by the other.
    pub replaced: bool,
}

/// A step, and what will happen to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStep {
    /// Its name.
    pub name: StepName,
    /// The playbook's word for it.
    pub kind: String,
    /// The exact command.
    pub shown: String,
    /// When it runs.
    pub when: When,
    /// Whether it only looks.
    pub check: bool,
    /// What will happen to it.
    pub will: Will,
}

/// What will happen to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "will", rename_all = "snake_case")]
pub enum Will {
    /// It runs on the host.
    Run,
    /// The client does it.
    RunHere,
    /// It ran before.
    Skip {
        /// When, by whom, from which image.
        story: Story,
    },
    /// It ran before, and that refuses the run.
    Refuse {
        /// When, by whom, from which image.
        story: Story,
    },
    /// Another host does it.
    WaitFor {
        /// Which.
        host: HostName,
    },
    /// Nothing waits to be applied.
    NothingPending,
    /// These migrations are applied.
    Apply {
        /// By name; empty where the tool does not name them.
        names: Vec<String>,
    },
    /// What it will do could not be found out.
    NotKnown {
        /// Why.
        why: String,
    },
}

/// What a submission says beside the plan itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// Who starts it.
    pub who: Who,
    /// Why.
    pub note: Option<String>,
    /// The caller's own key.
    pub key: Option<String>,
    /// When to go on after preparing.
    pub approval: Approval,
    /// How long a barrier waits for a driver.
    pub answer_within_ms: u64,
}

impl Plan {
    /// Makes the plan of a playbook for hosts as they are now.
    pub fn new(_playbook: &ResolvedPlaybook, _facts: BTreeMap<HostName, Facts>) -> Self {
        unimplemented!("follows")
    }

    /// What the host of this name is asked to do; none when it is not part of the plan.
    pub fn submission(&self, _host: &HostName, _order: &Order) -> Option<Submission> {
        unimplemented!("follows")
    }

    /// Everything that keeps the plan from running, with the host it concerns.
    pub fn refusals(&self) -> impl Iterator<Item = (Option<&HostName>, &Refusal)> {
        let own = self.refusals.iter().map(|refusal| (None, refusal));
        own.chain(self.hosts.iter().flat_map(|plan| plan.refusals.iter().map(|refusal| (Some(&plan.host), refusal))))
    }
}

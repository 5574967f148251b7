//! What a run would do: a [`ResolvedPlaybook`] and the hosts' [`Facts`] in, a [`Plan`] out. What is shown and what is submitted come
//! from this one value.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::action::{Action, HostScript, Script};
use crate::event::Approved;
use crate::facts::{DatabaseFacts, Facts, History, LockHolder, Migrations, Refusal, ServiceFacts, Story};
use crate::history::drift::Accepted;
use crate::migration::behind::{self, Behind};
use crate::migration::gate::{self, Consent, Image, Verdict, Waiting};
use crate::migration::lint::Dialect;
use crate::name::{GroupName, HostName, PlaybookName, ProjectName, RunId, ServiceName, StepName};
use crate::playbook::{LocalStep, ResolvedHost, ResolvedPlaybook, ResolvedStep, Serial, Work, hex};
use crate::protocol::{Approval, Engine, Seen, Submission, VERSION, When, Who};

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
    /// The exact commands that bring images before the steps, while a run is prepared. What they bring is not known before that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pulls: Vec<String>,
    /// In order.
    pub steps: Vec<PlannedStep>,
    /// Who holds the project's lock.
    pub lock: Option<LockHolder>,
    /// Free bytes where the state is kept; none: it was not asked.
    pub disk_free: Option<u64>,
    /// The database, where the plan needs it and it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseFacts>,
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
    /// Of a `migrate` step: what files and history say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What the rules object to in what it applies, and who took that upon themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    /// Of a step that works on the database: why only this host's own lock and ledger guard it. None: the database's do, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_only: Option<String>,
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
    /// How long a prepared host waits for its client to come back.
    pub approve_within_ms: u64,
    /// How long a step waits for another that works on the same database.
    pub lock_wait_ms: u64,
    /// What of files and histories that have parted somebody takes upon themselves.
    pub accepted: Vec<Accepted>,
}

impl Plan {
    /// Makes the plan of a playbook for hosts as they are now. A host without facts was not asked: what its steps will do is not known.
    pub fn new(playbook: &ResolvedPlaybook, facts: BTreeMap<HostName, Facts>) -> Self {
        Self::agreed(playbook, facts, &Consent::default())
    }

    /// The same, where somebody has said beforehand what they take upon themselves.
    pub fn agreed(playbook: &ResolvedPlaybook, mut facts: BTreeMap<HostName, Facts>, consent: &Consent) -> Self {
        let found: Vec<(&ResolvedHost, Option<Facts>)> =
            playbook.hosts.iter().map(|host| (host, facts.remove(&host.name))).collect();
        let refusals = differing_images(&found);
        let production = playbook.production.is_some();
        let mut hosts: Vec<HostPlan> =
            found.into_iter().map(|(host, facts)| host_plan(host, facts, production, consent)).collect();
        tell_idle(&mut hosts, consent);
        Self {
            playbook: playbook.name.clone(),
            description: playbook.description.clone(),
            project: playbook.project.clone(),
            digest: digest(playbook),
            production: playbook.production.clone(),
            serial: playbook.serial,
            before: playbook.before.clone(),
            refusals,
            hosts,
            resolved: playbook.clone(),
        }
    }

    /// What the host of this name is asked to do; none when it is not part of the plan.
    pub fn submission(&self, host: &HostName, order: &Order) -> Option<Submission> {
        let resolved = self.resolved.hosts.iter().find(|resolved| resolved.name == *host)?;
        Some(Submission {
            v: VERSION,
            run: order.run.clone(),
            key: order.key.clone(),
            project: self.project.clone(),
            state: resolved.state.clone(),
            retention: self.resolved.retention,
            host: resolved.name.clone(),
            hosts: self.hosts.iter().map(|plan| plan.host.clone()).collect(),
            playbook: self.playbook.to_string(),
            plan: self.digest.clone(),
            who: order.who.clone(),
            note: order.note.clone(),
            compose: resolved.compose.clone(),
            database: resolved.database.clone(),
            secrets: resolved.secrets.clone(),
            effects: resolved.effects(),
            approval: order.approval,
            answer_within_ms: order.answer_within_ms,
            approve_within_ms: order.approve_within_ms,
            lock_wait_ms: order.lock_wait_ms,
            accepted: order.accepted.clone(),
            pull: resolved.pull.clone(),
            pull_hints: resolved.pull_hints.clone(),
            steps: resolved.steps.iter().map(|step| step.step.clone()).collect(),
        })
    }

    /// What somebody took upon themselves on a host, by step.
    pub fn approved(&self, host: &HostName) -> BTreeMap<StepName, Vec<Approved>> {
        let steps = self.hosts.iter().filter(|plan| plan.host == *host).flat_map(|plan| &plan.steps);
        steps.filter(|step| !step.approved.is_empty()).map(|step| (step.name.clone(), step.approved.clone())).collect()
    }

    /// What the plan was made from.
    pub fn resolved(&self) -> &ResolvedPlaybook {
        &self.resolved
    }

    /// Everything that keeps the plan from running, with the host it concerns.
    pub fn refusals(&self) -> impl Iterator<Item = (Option<&HostName>, &Refusal)> {
        let own = self.refusals.iter().map(|refusal| (None, refusal));
        own.chain(self.hosts.iter().flat_map(|plan| plan.refusals.iter().map(|refusal| (Some(&plan.host), refusal))))
    }

    /// The exit code of a plan that may not run: 5 where only locks are in the way, else 7. None: it may run.
    pub fn refusal_code(&self) -> Option<u8> {
        self.refusals().map(|(_, refusal)| refusal.code).max()
    }

    /// Migrations that will be applied, by name, each once.
    pub fn pending(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for step in self.hosts.iter().flat_map(|host| &host.steps) {
            let Will::Apply { names: own } = &step.will else { continue };
            for name in own {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// SHA-256 over what is to happen, whatever the hosts are like: equal for equal playbooks, vars, hosts and seeds, on any client.
pub fn digest(playbook: &ResolvedPlaybook) -> String {
    let hosts: Vec<_> = playbook
        .hosts
        .iter()
        .map(|host| json!([host.name, host.state, host.compose, host.database, host.secrets, host.pull, host.steps]))
        .collect();
    let whole = json!([VERSION, playbook.name, playbook.digest, playbook.project, playbook.serial, playbook.before, hosts]);
    hex(&Sha256::digest(whole.to_string().as_bytes()))
}

/// A service that is pulled must become the same image everywhere.
fn differing_images(found: &[(&ResolvedHost, Option<Facts>)]) -> Vec<Refusal> {
    let mut by_service: BTreeMap<&ServiceName, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for (host, facts) in found {
        let Some(facts) = facts else { continue };
        for service in &host.pull {
            // The digest tells images of a registry apart; one that was built on the host has only its id.
            let image =
                facts.services.get(service).and_then(|service| service.digest.clone().or_else(|| service.image_id.clone()));
            if let Some(image) = image {
                by_service.entry(service).or_default().entry(image).or_default().push(host.name.as_str());
            }
        }
    }
    let differing = by_service.into_iter().filter(|(_, images)| images.len() > 1);
    let refusal = |(service, images): (&ServiceName, BTreeMap<String, Vec<&str>>)| {
        let each: Vec<String> = images.iter().map(|(image, hosts)| format!("{} on {}", short(image), hosts.join(", "))).collect();
        let message = format!("the hosts do not hold the same image of {service}: {}", each.join("; "));
        Refusal::unfit(
            message,
            "the tag moved between the pulls, or the hosts use different registries: run again, or name the image by its digest",
        )
    };
    differing.map(refusal).collect()
}

/// An image id or digest, short enough for people.
fn short(image: &str) -> &str {
    let hash = image.rsplit_once("sha256:").map_or(image, |(_, hash)| hash);
    hash.get(..12).unwrap_or(hash)
}

/// An approval that is for nothing was probably meant for something.
fn tell_idle(hosts: &mut [HostPlan], consent: &Consent) {
    let used: Vec<Approved> = hosts.iter().flat_map(|host| &host.steps).flat_map(|step| step.approved.clone()).collect();
    let idle = consent.idle(&used.iter().collect::<Vec<_>>());
    if let Some(first) = hosts.first_mut() {
        let text = |waiver| format!("--approve {waiver} approves nothing: it fits no finding, or more than one file");
        first.warnings.extend(idle.into_iter().map(text));
    }
}

fn host_plan(host: &ResolvedHost, facts: Option<Facts>, production: bool, consent: &Consent) -> HostPlan {
    let asked = facts.is_some();
    let facts = facts.unwrap_or_default();
    let mut refusals = facts.refusals.clone();
    for step in &host.steps {
        let name = &step.step.name;
        if let Some(Migrations::Failed { why, remedy }) = facts.migrations.get(name).filter(|_| matches!(step.work, Work::Host)) {
            let usual = "settle it by hand first: look at what the failed migration left in the database, then tell the tool";
            let message = format!("{name}: the database is not in a state to migrate: {why}");
            refusals.push(Refusal::unfit(message, remedy.as_deref().unwrap_or(usual)));
        }
        if let Will::Refuse { story } = will(step, &facts, asked) {
            let (said, remedy) = match story.ok {
                Some(_) => ("ran before", "run it with --again if it is meant to run again"),
                None => (
                    "was started before and how it ended is not known",
                    "find out, then say so: `landfall resolve RUN --as done|not-done --note TEXT`",
                ),
            };
            let on = story.host.as_ref().map(|host| format!(", on {host}")).unwrap_or_default();
            let message = format!("{name} {said} (run {}, {}, by {}{on})", story.run, story.when, story.who);
            // The host may have refused for the same reason already, in its own words.
            if !refusals.iter().any(|refusal| refusal.message.contains(story.run.as_str())) {
                refusals.push(Refusal::unfit(message, remedy));
            }
        }
    }
    let mut warnings = facts.warnings.clone();
    if asked && !host.pull.is_empty() && !facts.pulled {
        let services = host.pull.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
        let text = format!("a run begins by pulling {services}: what that brings, and what is then pending, is not known before");
        warnings.push(text);
    }
    for step in host.steps.iter().filter(|step| asked && matches!(step.work, Work::Host)) {
        look_behind(step, &facts, &mut refusals, &mut warnings);
    }
    let mut steps: Vec<PlannedStep> = host.steps.iter().map(|step| planned(step, &facts, asked)).collect();
    for (step, planned) in host.steps.iter().zip(&mut steps) {
        let Some(verdict) = judged(host, step, &facts, production, consent) else { continue };
        refusals.extend(verdict.refusals);
        warnings.extend(verdict.warnings);
        planned.approved = verdict.approved;
    }
    HostPlan {
        host: host.name.clone(),
        address: host.target.address.clone(),
        effects: host.effects(),
        images: images(host, &facts),
        pulls: host.pull_shown.clone(),
        steps,
        lock: facts.lock,
        disk_free: asked.then_some(facts.disk_free),
        database: facts.database,
        warnings,
        refusals,
    }
}

/// What stands behind a step's commands: in scripts of the image, which are only known there, and where nobody can look.
fn look_behind(step: &ResolvedStep, facts: &Facts, refusals: &mut Vec<Refusal>, warnings: &mut Vec<String>) {
    let name = &step.step.name;
    for action in &step.step.actions {
        let commands: Vec<Behind> = match action {
            Action::Service(command) => vec![behind::look(&command.argv, facts.scripts.get(&command.service))],
            Action::Migrate(migrate) => {
                let scripts = facts.scripts.get(&migrate.service);
                migrate.commands().map(|argv| behind::look(argv, scripts)).collect()
            }
            Action::Shell(HostScript { run: Script::Shell(text), .. }) => vec![behind::look(&[text], None)],
            Action::Shell(HostScript { run: Script::Argv(argv), .. }) => vec![behind::look(argv, None)],
            _ => continue,
        };
        for Behind { forbidden, unread } in commands {
            if let Some((script, forbidden)) = forbidden {
                let message =
                    format!("{name}: the script {script:?} of package.json runs `{}`: {}", forbidden.name, forbidden.why);
                refusals.push(Refusal::unfit(message, forbidden.instead));
            }
            warnings.extend(unread.iter().map(|command| format!("{name}: what `{command}` runs is not looked at")));
        }
    }
}

/// Whose SQL the migrations of a host are: its server says so, and the inventory where that does not answer.
fn dialect(host: &ResolvedHost, facts: &Facts) -> Dialect {
    let declared = host.database.as_ref().and_then(|database| database.engine);
    let is_mysql = facts.database.as_ref().map_or(declared == Some(Engine::Mysql), |database| {
        ["MySQL", "MariaDB"].iter().any(|name| database.server.starts_with(name))
    });
    if is_mysql { Dialect::Mysql } else { Dialect::Postgres }
}

/// What the rules say of the migrations that wait for a step, where it is this host that applies them.
fn judged(host: &ResolvedHost, step: &ResolvedStep, facts: &Facts, production: bool, consent: &Consent) -> Option<Verdict> {
    let name = &step.step.name;
    let migrate = step.step.actions.iter().find_map(|action| match action {
        Action::Migrate(migrate) => Some(migrate),
        _ => None,
    });
    let (migrate, found) = migrate.zip(facts.migrations.get(name)).filter(|_| matches!(step.work, Work::Host))?;
    let unknown = History { not_known: Some("its files were not looked at".to_owned()), ..History::default() };
    let history = facts.histories.get(name).unwrap_or(&unknown);
    let (tool, limited) = (migrate.tool.as_str(), migrate.lock_timeout_ms.is_some());
    let image = match facts.pulled {
        true => Image::Pulled,
        false if host.pull.contains(&migrate.service) => Image::Before,
        false => Image::Here,
    };
    let waiting = Waiting { step: name, tool, dialect: dialect(host, facts), found, history, image, production, limited };
    Some(gate::judge(waiting, consent))
}

fn images(host: &ResolvedHost, facts: &Facts) -> Vec<ImageChange> {
    let replaced = |service: &ServiceName| {
        host.steps.iter().flat_map(|step| &step.step.actions).any(|action| match action {
            Action::Up(up) => up.services.contains(service),
            _ => false,
        })
    };
    let change = |(service, facts): (&ServiceName, &ServiceFacts)| ImageChange {
        service: service.clone(),
        image: facts.image.clone(),
        from: facts.running.clone(),
        to: facts.image_id.clone(),
        digest: facts.digest.clone(),
        replaced: replaced(service) && facts.running != facts.image_id,
    };
    facts.services.iter().map(change).collect()
}

fn planned(step: &ResolvedStep, facts: &Facts, asked: bool) -> PlannedStep {
    PlannedStep {
        name: step.step.name.clone(),
        kind: step.step.kind.clone(),
        shown: step.step.shown.clone(),
        when: step.step.when,
        check: step.step.check,
        will: will(step, facts, asked),
        history: facts.histories.get(&step.step.name).filter(|_| matches!(step.work, Work::Host)).cloned(),
        approved: Vec::new(),
        host_only: facts.host_only.get(&step.step.name).filter(|_| matches!(step.work, Work::Host)).cloned(),
    }
}

fn will(step: &ResolvedStep, facts: &Facts, asked: bool) -> Will {
    match &step.work {
        Work::Peer { first } => return Will::WaitFor { host: first.clone() },
        Work::Driver(_) => return Will::RunHere,
        Work::Host => {}
    }
    let name = &step.step.name;
    let seen = step.step.ledger.as_ref().map(|ledger| ledger.seen);
    if let (Some(seen), Some(story)) = (seen, facts.ledger.get(name)) {
        match (seen, story.ok) {
            // One whose outcome is unknown refuses, unless it is to run whatever was before.
            (Seen::Skip | Seen::Refuse, None) | (Seen::Refuse, Some(true)) => return Will::Refuse { story: story.clone() },
            (Seen::Skip, Some(true)) => return Will::Skip { story: story.clone() },
            _ => {}
        }
    }
    let migrates = step.step.actions.iter().any(|action| matches!(action, Action::Migrate(_)));
    match facts.migrations.get(name) {
        Some(Migrations::UpToDate) => Will::NothingPending,
        Some(Migrations::Pending { names }) => Will::Apply { names: names.clone() },
        Some(Migrations::NotKnown { why }) => Will::NotKnown { why: why.clone() },
        Some(Migrations::Failed { why, .. }) => Will::NotKnown { why: format!("something is in the way: {why}") },
        None if migrates => {
            Will::NotKnown { why: if asked { "its status was not asked" } else { "the host was not asked" }.to_owned() }
        }
        None => Will::Run,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

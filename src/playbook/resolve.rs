//! Everything that can be known of a playbook without contacting a host: its hosts, vars and steps, and who does what.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::action::Action;
use crate::name::{HostName, SeedName, ServiceName, StepName};
use crate::protocol::HostStep;
use crate::source::{Place, Sink, nearest};
use crate::steps::{Body, DriverWork, LocalCommand, Once};

use super::inventory::{Host, Inventory};
use super::lower::{self, Draft, HostView};
use super::parse::Playbook;
use crate::protocol::StateDir;

use super::resolved::{LocalStep, ResolvedHost, ResolvedPlaybook, ResolvedStep, Target, Work};
use super::{select, vars};

/// What the command line says about a playbook.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--on`: hosts and groups, each maybe several with commas.
    pub on: Vec<String>,
    /// `--var`: names and values.
    pub vars: Vec<(String, String)>,
    /// Nothing will be contacted: a playbook that does not say its hosts is read for all of them.
    pub everywhere: bool,
    /// `landfall seed NAME…`: what a `seed` step without `seeds` runs; one that ran before refuses the run.
    pub seeds: Option<Vec<SeedName>>,
    /// `--again`: runs seeds that ran before.
    pub again: bool,
    /// `landfall validate`: only the steps that look.
    pub checks_only: bool,
}

/// Resolves a playbook as far as it goes; what is wrong is told to the sink.
pub fn resolve(inventory: &Inventory, playbook: &Playbook, options: &Options, sink: &Sink) -> ResolvedPlaybook {
    vars::check_given(&options.vars, sink);
    let hosts = select::select(inventory, playbook.hosts.as_deref(), &options.on, options.everywhere, sink);
    // Without hosts the steps are still read, for what is wrong with them.
    let read_for: Vec<&Host> = if hosts.is_empty() { inventory.hosts.iter().take(1).collect() } else { hosts.clone() };
    let views: Vec<HostView> = read_for.iter().map(|host| lower::view(inventory, playbook, host, options, sink)).collect();
    missing_vars(inventory, playbook, &read_for, options, sink);
    unused_vars(playbook, inventory, &views, options, sink);
    once_or_per_host(&views, sink);
    leading_steps(&views, sink);
    if options.checks_only && !views.is_empty() && views.iter().all(|view| view.drafts.is_empty()) {
        let help = "add a step that only looks: [[steps]] with kind = \"health\"".to_owned();
        sink.error(&Place::nowhere(), format!("nothing in the playbook `{}` only looks", playbook.name), Some(help));
    }
    let resolved = read_for.iter().zip(&views).map(|(host, view)| resolve_host(inventory, host, view, &views)).collect();
    ResolvedPlaybook {
        name: playbook.name.clone(),
        description: playbook.description.clone(),
        path: playbook.path.clone(),
        lines: lines(playbook, &views),
        digest: digest(playbook, &views),
        project: inventory.project.clone(),
        production: select::production(inventory, &hosts, &options.on),
        serial: playbook.serial,
        retention: inventory.state.retention,
        before: before(&views),
        hosts: if hosts.is_empty() { Vec::new() } else { resolved },
    }
}

fn missing_vars(inventory: &Inventory, playbook: &Playbook, hosts: &[&Host], options: &Options, sink: &Sink) {
    for var in &playbook.vars {
        let name = &var.name.value;
        let lacks =
            |host: &&&Host| lower::values(inventory, playbook, host, &options.vars).get(name).is_some_and(Option::is_none);
        let without: Vec<&str> = hosts.iter().filter(lacks).map(|host| host.name.as_str()).collect();
        if without.is_empty() {
            continue;
        }
        let of_some = if without.len() < hosts.len() { format!(" on {}", without.join(", ")) } else { String::new() };
        let about = var.description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let help = format!(
            "say --var {name}=VALUE, give it a default here ({name} = \"…\"), or a value in `vars` of a group or host in landfall.toml"
        );
        sink.error(&var.name.place, format!("the var `{name}`{about} has no value{of_some}"), Some(help));
    }
}

fn unused_vars(playbook: &Playbook, inventory: &Inventory, views: &[HostView], options: &Options, sink: &Sink) {
    let declared: Vec<&str> = playbook.vars.iter().map(|var| var.name.value.as_str()).collect();
    let inherited: Vec<&str> = inventory
        .vars
        .iter()
        .chain(inventory.groups.values().flat_map(|group| &group.vars))
        .chain(inventory.hosts.iter().flat_map(|host| &host.vars))
        .map(|(name, _)| name.value.as_str())
        .collect();
    for (name, _) in &options.vars {
        let known = declared.contains(&name.as_str())
            || inherited.contains(&name.as_str())
            || views.iter().any(|view| view.scope.was_used(name));
        if !known {
            let help = nearest(name, declared.iter().chain(&inherited)).map_or_else(
                || format!("declare it under [vars] of the playbook, or leave --var {name} out"),
                |near| format!("did you mean --var {near}=…?"),
            );
            sink.error(&Place::nowhere(), format!("no step uses the var `{name}` of --var"), Some(help));
        }
    }
}

fn once_or_per_host(views: &[HostView], sink: &Sink) {
    for draft in views.iter().flat_map(|view| &view.drafts).filter(|draft| draft.kind.once_or_per_host && draft.applies) {
        let hosts = hosts_of(draft.id, views);
        let said = draft.common.once.is_some() || draft.common.per_host.as_ref().is_some_and(|flag| flag.value);
        if hosts.len() > 1 && !said {
            let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            let help = "say `once = true` if they share a database, `per_host = true` if each has its own".to_owned();
            let message = format!("a `{}` step on several hosts ({}) must say how", draft.kind.name, names.join(", "));
            sink.error(&draft.place, message, Some(help));
        }
    }
}

/// The hosts that go through a step, in the order of the run.
fn hosts_of(id: (usize, usize), views: &[HostView]) -> Vec<&HostName> {
    let goes = |view: &&HostView| view.drafts.iter().any(|draft| draft.id == id && draft.applies);
    views.iter().filter(goes).map(|view| &view.name).collect()
}

/// How many of a host's first steps run on the client before anything is contacted, and how many after them are pulls.
fn leading(drafts: &[Draft]) -> (usize, usize) {
    let runs = |draft: &&Draft, kind: &str| draft.kind.name == kind && draft.when == crate::protocol::When::Success;
    let locals = drafts.iter().take_while(|draft| runs(draft, "local")).count();
    let pulls = drafts[locals..].iter().take_while(|draft| runs(draft, "pull")).count();
    (locals, pulls)
}

/// Leading steps have no host step that could keep a time or start services.
fn leading_steps(views: &[HostView], sink: &Sink) {
    for view in views {
        let (locals, pulls) = leading(&view.drafts);
        for draft in &view.drafts[..locals + pulls] {
            let timeout =
                draft.common.timeout.as_ref().filter(|_| draft.kind.name == "pull").map(|timeout| ("timeout", &timeout.place));
            let needs = draft.common.needs.as_ref().and_then(|needs| needs.first()).map(|needs| ("needs", &needs.place));
            for (key, place) in timeout.into_iter().chain(needs) {
                let message = format!("a leading `{}` cannot have `{key}`", draft.kind.name);
                let help = "it runs before the first step; leave the key out, or put the step behind another one".to_owned();
                sink.error(place, message, Some(help));
            }
        }
    }
}

fn before(views: &[HostView]) -> Vec<LocalStep> {
    let mut steps: Vec<LocalStep> = Vec::new();
    for view in views {
        let (locals, _) = leading(&view.drafts);
        for draft in view.drafts[..locals].iter().filter(|draft| draft.applies) {
            let Body::Driver(DriverWork::Local(command)) = &draft.lowered.body else { continue };
            let command = LocalCommand { hints: draft.hints(), ..command.clone() };
            match steps.iter_mut().find(|step| step.name == draft.name && step.command == command) {
                Some(step) => step.hosts.push(view.name.clone()),
                None => steps.push(LocalStep {
                    name: draft.name.clone(),
                    shown: draft.lowered.shown.clone(),
                    hosts: vec![view.name.clone()],
                    command,
                    timeout_ms: draft.common.timeout_ms(draft.kind),
                }),
            }
        }
    }
    steps
}

fn resolve_host(inventory: &Inventory, host: &Host, view: &HostView, views: &[HostView]) -> ResolvedHost {
    let (locals, pulls) = leading(&view.drafts);
    let applied = |drafts: &'_ [Draft]| -> Vec<usize> { (0..drafts.len()).filter(|at| drafts[*at].applies).collect() };
    let (mut pull, mut pull_shown): (Vec<ServiceName>, Vec<String>) = (Vec::new(), Vec::new());
    let leading_pulls = &view.drafts[locals..locals + pulls];
    let pull_hints = applied(leading_pulls).into_iter().flat_map(|at| leading_pulls[at].hints()).collect();
    for at in applied(leading_pulls) {
        if let Body::Host(Action::Pull { services }) = &leading_pulls[at].lowered.body {
            let new: Vec<ServiceName> = services.iter().filter(|service| !pull.contains(service)).cloned().collect();
            pull.extend(new);
            pull_shown.push(leading_pulls[at].lowered.shown.clone());
        }
    }
    let rest = &view.drafts[locals + pulls..];
    let steps = applied(rest).into_iter().map(|at| resolve_step(&rest[at], &view.name, views)).collect();
    ResolvedHost {
        name: host.name.clone(),
        target: target(inventory, host),
        groups: host.groups.clone(),
        state: view.state.clone(),
        compose: view.compose.clone(),
        database: view.database.clone(),
        secrets: view.secrets.clone(),
        pull,
        pull_shown,
        pull_hints,
        steps,
    }
}

/// How to reach a host.
pub(super) fn target(inventory: &Inventory, host: &Host) -> Target {
    Target {
        address: host.address.clone(),
        user: host.user.clone(),
        port: host.port,
        identity_file: inventory.ssh.identity_file.clone(),
        known_hosts: inventory.ssh.known_hosts.clone(),
        host_keys: host.host_keys.clone(),
        sudo: host.sudo.unwrap_or(inventory.ssh.sudo),
        connect_timeout_ms: inventory.ssh.connect_timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// Where a host keeps its state.
pub(super) fn state(inventory: &Inventory, host: &Host) -> StateDir {
    let path = host.state_dir.clone().unwrap_or_else(|| format!("/var/lib/landfall/{}", inventory.project));
    StateDir { path, private: inventory.state.private }
}

fn resolve_step(draft: &Draft, host: &HostName, views: &[HostView]) -> ResolvedStep {
    let once = draft.common.once.as_ref().map(|once| once.value);
    let first = once.and_then(|_: Once| hosts_of(draft.id, views).first().map(|first| (*first).clone()));
    let work = match (first.filter(|first| first != host), &draft.lowered.body) {
        (Some(first), _) => Work::Peer { first },
        (None, Body::Host(_)) => Work::Host,
        (None, Body::Driver(DriverWork::Here(probe)) | Body::Sides(_, probe)) => {
            let retry = draft.common.retry.as_ref().map(|retry| retry.value);
            Work::Driver(DriverWork::Here(crate::steps::HereProbe { retry, ..probe.clone() }))
        }
        (None, Body::Driver(DriverWork::Local(command))) => {
            Work::Driver(DriverWork::Local(LocalCommand { hints: draft.hints(), ..command.clone() }))
        }
    };
    let peer = matches!(work, Work::Peer { .. });
    let here = matches!(work, Work::Host) || (!peer && matches!(draft.lowered.body, Body::Sides(..)));
    let actions = match &draft.lowered.body {
        Body::Host(action) if here => vec![action.clone()],
        Body::Sides(probe, _) if here => vec![Action::Probe(probe.clone()), Action::Barrier],
        _ => vec![Action::Barrier],
    };
    let gate = draft.common.require_backup.as_ref().filter(|_| here);
    let gate = gate.map(|within| Action::RequireBackup { within_s: within.value.as_secs() });
    let needs = draft.common.needs.iter().flatten().map(|needs| needs.value.clone());
    let step = HostStep {
        name: draft.name.clone(),
        kind: draft.kind.name.to_owned(),
        shown: draft.lowered.shown.clone(),
        when: draft.when,
        check: draft.kind.check,
        // The host that does the work keeps the time; who waits for it must not end before it.
        timeout_ms: if peer { None } else { timeout_ms(draft) },
        retry: draft.common.retry.as_ref().map(|retry| retry.value).filter(|_| here),
        ledger: draft.lowered.ledger.clone().filter(|_| here),
        needs: if peer { Vec::new() } else { needs.collect() },
        hints: if here { draft.hints() } else { Vec::new() },
        actions: gate.into_iter().chain(actions).collect(),
    };
    ResolvedStep { step, effects: !draft.kind.check, work }
}

/// A watch takes the time that it takes, and a little.
fn timeout_ms(draft: &Draft) -> Option<u64> {
    let watched = draft.lowered.body.watches_for_ms().filter(|_| draft.common.timeout.is_none());
    watched.map_or_else(|| draft.common.timeout_ms(draft.kind), |for_ms| Some(for_ms.saturating_add(30_000)))
}

fn lines(playbook: &Playbook, views: &[HostView]) -> BTreeMap<StepName, usize> {
    if playbook.path.is_none() {
        return BTreeMap::new();
    }
    let line = |draft: &Draft| 1 + playbook.text.bytes().take(draft.place.span.start).filter(|byte| *byte == b'\n').count();
    views.iter().flat_map(|view| &view.drafts).map(|draft| (draft.name.clone(), line(draft))).collect()
}

/// What makes two resolved playbooks the same: the text, and the values of the vars.
fn digest(playbook: &Playbook, views: &[HostView]) -> String {
    let vars: BTreeMap<&str, BTreeMap<String, String>> =
        views.iter().map(|view| (view.name.as_str(), view.scope.values())).collect();
    let mut hash = Sha256::new();
    hash.update(playbook.text.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(&vars).unwrap_or_default());
    super::hex(&hash.finalize())
}

//! One host's view of a playbook: the vars in force there, its compose project, and its steps, named and lowered.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::Action;
use crate::name::{HostName, StepName};
use crate::protocol::{ComposeProject, Database, Hint, LedgerKey, Seen, StateDir, When};
use crate::secret::SecretSources;
use crate::source::{Place, Placed, Reader, Scope, Sink};
use crate::steps::{Body, Common, Cx, Kind, Lowered, Once};

use super::inventory::{Host, Inventory};
use super::parse::Playbook;
use super::resolve::Options;
use super::{select, vars};

/// A step of one host, before it is known what other hosts do.
#[derive(Debug)]
pub(super) struct Draft {
    /// The entry of the playbook, and the how manieth of what it becomes.
    pub(super) id: (usize, usize),
    pub(super) place: Place,
    pub(super) kind: &'static Kind,
    pub(super) common: Common,
    pub(super) when: When,
    pub(super) name: StepName,
    pub(super) lowered: Lowered,
    /// Whether this host goes through it.
    pub(super) applies: bool,
}

impl Draft {
    /// What its known failures mean, by the playbook's own word first.
    pub(super) fn hints(&self) -> Vec<Hint> {
        self.common.hints.iter().chain(&self.lowered.hints).cloned().collect()
    }
}

/// One host's view of a playbook.
#[derive(Debug)]
pub(super) struct HostView {
    pub(super) name: HostName,
    pub(super) scope: Scope,
    pub(super) compose: Option<ComposeProject>,
    pub(super) database: Option<Database>,
    pub(super) secrets: SecretSources,
    pub(super) state: StateDir,
    pub(super) drafts: Vec<Draft>,
}

/// The values of vars on a host: playbook, inventory, groups, host, `--var`; the later wins. None: it has no value.
pub(super) fn values(
    inventory: &Inventory,
    playbook: &Playbook,
    host: &Host,
    given: &[(String, String)],
) -> BTreeMap<String, Option<Placed<String>>> {
    let mut values: BTreeMap<String, Option<Placed<String>>> =
        playbook.vars.iter().map(|var| (var.name.value.clone(), var.default.clone())).collect();
    let groups = host.groups.iter().filter_map(|group| inventory.groups.get(group)).flat_map(|group| &group.vars);
    for (name, value) in inventory.vars.iter().chain(groups).chain(&host.vars) {
        values.insert(name.value.clone(), Some(value.clone()));
    }
    for (name, value) in given {
        values.insert(name.clone(), Some(Placed::nowhere(value.clone())));
    }
    values
}

/// Reads everything that a host would go through.
pub(super) fn view(inventory: &Inventory, playbook: &Playbook, host: &Host, options: &Options, sink: &Sink) -> HostView {
    let scope = vars::scope(&values(inventory, playbook, host, &options.vars), sink);
    // What compose's own environment lacks is an error only where something is started from it.
    let unset = Sink::default();
    let compose = compose_project(inventory, host, &scope, sink, &unset);
    let cx = Cx {
        compose: compose.as_ref(),
        has_secrets: !inventory.secrets.files.is_empty(),
        database: inventory.database.as_ref(),
        seeds: &inventory.seeds,
        tools: &inventory.tools,
        asked_seeds: options.seeds.as_deref(),
        seen: match (&options.seeds, options.again) {
            (_, true) => Seen::Repeat,
            (Some(_), false) => Seen::Refuse,
            (None, false) => Seen::Skip,
        },
        root: &inventory.root,
    };
    let mut drafts = drafts(inventory, playbook, host, &cx, &scope, sink);
    name_all(&mut drafts, sink);
    if options.checks_only {
        drafts.retain(|draft| draft.kind.check);
    }
    let starts = |draft: &Draft| draft.applies && (!draft.kind.check && needs_docker(draft));
    if drafts.iter().any(starts) {
        unset.pour_into(sink);
    }
    let needed = drafts.iter().any(|draft| draft.applies && needs_docker(draft));
    let secrets = secret_sources(inventory, host, compose.as_ref(), &scope, sink);
    HostView {
        name: host.name.clone(),
        state: super::resolve::state(inventory, host),
        secrets,
        compose: compose.filter(|_| needed),
        database: inventory.database.clone().filter(|_| drafts.iter().any(|draft| draft.applies && needs_database(draft))),
        drafts,
        scope,
    }
}

/// Whether a step touches the compose project.
fn needs_docker(draft: &Draft) -> bool {
    let needs = draft.common.needs.as_ref().is_some_and(|needs| !needs.is_empty());
    needs
        || match &draft.lowered.body {
            Body::Host(Action::Probe(probe)) | Body::Sides(probe, _) => !probe.services().is_empty() || probe.asks_database(),
            Body::Host(action) => *action != Action::Barrier,
            Body::Driver(_) => false,
        }
}

/// Whether a step looks at the database itself, or is guarded there.
fn needs_database(draft: &Draft) -> bool {
    draft.common.require_backup.is_some()
        || draft.lowered.ledger.as_ref().is_some_and(|ledger| ledger.in_database)
        || match &draft.lowered.body {
            Body::Host(Action::Migrate(_) | Action::Backup(_) | Action::Restore(_)) => true,
            Body::Host(Action::Probe(probe)) => probe.asks_database(),
            _ => false,
        }
}

fn compose_project(inventory: &Inventory, host: &Host, scope: &Scope, sink: &Sink, unset: &Sink) -> Option<ComposeProject> {
    let compose = inventory.compose_of(host)?;
    let mut env = BTreeMap::new();
    for (key, value) in &compose.env {
        let known = unset.len();
        let filled = scope.fill(value, unset);
        if unset.len() == known && !filled.contains("{{ vars.") {
            env.insert(key.value.clone(), filled);
        }
    }
    Some(ComposeProject {
        dir: scope.fill(&compose.dir?, sink),
        files: compose.files?.iter().map(|file| scope.fill(file, sink)).collect(),
        env_file: compose.env_file.map(|file| scope.fill(&file, sink)),
        env,
        service: compose.service,
    })
}

fn secret_sources(
    inventory: &Inventory,
    host: &Host,
    compose: Option<&ComposeProject>,
    scope: &Scope,
    sink: &Sink,
) -> SecretSources {
    let mut known: BTreeSet<String> = [inventory.project.to_string(), host.name.to_string(), host.address.clone()].into();
    known.extend(host.user.clone());
    known.extend(host.groups.iter().map(ToString::to_string));
    known.extend(inventory.database.iter().flat_map(super::database::words));
    known.extend(inventory.seeds.iter().map(|(name, _)| name.to_string()));
    if let Some(compose) = compose {
        known.insert(compose.dir.clone());
        known.extend(compose.files.iter().cloned());
        known.extend(compose.service.iter().map(ToString::to_string));
    }
    SecretSources {
        files: inventory.secrets.files.iter().map(|file| scope.fill(file, sink)).collect(),
        base: compose.map(|compose| compose.dir.clone()).unwrap_or_default(),
        public: inventory.secrets.public.clone(),
        accept_short: inventory.secrets.accept_short.clone(),
        known_plain: known.into_iter().collect(),
        patterns: inventory.mask.clone(),
    }
}

fn drafts(inventory: &Inventory, playbook: &Playbook, host: &Host, cx: &Cx<'_>, scope: &Scope, sink: &Sink) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (entry, raw) in playbook.steps.iter().enumerate() {
        let unread = Reader::new(&raw.table, "a step", Some(scope), sink);
        let Some(kind) = Kind::of(&unread) else { continue };
        let reader = Reader::new(&raw.table, kind.a_step(), Some(scope), sink);
        reader.entry("kind");
        let common = Common::read(&reader, kind);
        let lowered = kind.read(&reader, cx);
        check_common(&reader, kind, &common, cx);
        let when = when(&reader, raw.when, &common);
        if entry == 0 && matches!(when, When::Failure | When::Unknown) && raw.when.is_none() {
            let help = "nothing comes before it that could fail; put it behind the step that it is for";
            reader.error(&reader.place_of("when"), "this step can never run", help);
        }
        let applies = applies(inventory, playbook, host, &common, sink);
        let place = raw.table.place.clone();
        reader.finish();
        for (number, mut lowered) in lowered.into_iter().flatten().enumerate() {
            let name = common.name.as_ref().map_or_else(|| default_name(kind), |name| Some(name.value.clone()));
            let Some(name) = name else { continue };
            remember(&mut lowered, kind, &common, cx, &place, sink);
            let common = common.clone();
            drafts.push(Draft { id: (entry, number), place: place.clone(), kind, common, when, name, lowered, applies });
        }
    }
    drafts
}

fn default_name(kind: &Kind) -> Option<StepName> {
    kind.name.parse().ok()
}

/// When a step runs: what it says, unless its list says it already.
fn when(reader: &Reader<'_>, list: Option<When>, common: &Common) -> When {
    let own = common.when.as_ref();
    match (list, own) {
        (Some(list), Some(own)) if own.value != list => {
            let word = if list == When::Failure { "[[on_failure]]" } else { "[[always]]" };
            let help = format!("leave it out: steps of {word} have theirs; with another `when` put the step among [[steps]]");
            reader.error(&own.place, format!("`when` contradicts {word}"), help);
            list
        }
        (Some(list), _) => list,
        (None, own) => own.map(|own| own.value).unwrap_or_default(),
    }
}

fn applies(inventory: &Inventory, playbook: &Playbook, host: &Host, common: &Common, sink: &Sink) -> bool {
    let Some(names) = &common.hosts else { return true };
    let expand = |names: &[Placed<String>]| -> Vec<HostName> {
        names.iter().flat_map(|name| select::hosts_of(inventory, name, sink)).collect()
    };
    let own = expand(names);
    if let (Some(said), Some(first)) = (playbook.hosts.as_deref().map(expand), names.first())
        && !own.is_empty()
        && !own.iter().any(|host| said.contains(host))
    {
        let help = "none of its `hosts` is among those of the playbook: add them there, or drop the step".to_owned();
        sink.error(&first.place, "this step can never run", Some(help));
    }
    own.contains(&host.name)
}

fn check_common(reader: &Reader<'_>, kind: &Kind, common: &Common, cx: &Cx<'_>) {
    if let Some(once) = &common.once {
        if kind.name == "pull" {
            let help = "leave it out: every host needs the image that it is to run";
            reader.error(&once.place, "`once` cannot go with `pull`", help);
        } else if once.value == Once::Release && (kind.check || kind.name == "local") {
            let help = "the ledger keeps what ran from an image on the host; use `once = true`";
            reader.error(&once.place, format!("`once = \"release\"` cannot go with `{}`", kind.name), help);
        }
    }
    if let Some(within) = common.require_backup.as_ref().filter(|_| cx.database.is_none()) {
        let help = "say in landfall.toml where psql runs: [database] with service = \"postgres\"";
        reader.error(&within.place, "`require_backup` needs [database] in landfall.toml", help);
    }
    if let Some(needs) = common.needs.as_ref().and_then(|needs| needs.first())
        && cx.compose.is_none()
    {
        reader.error(
            &needs.place,
            "`needs` names services, and landfall.toml has no [compose]",
            "add [compose] with `dir` and `files`",
        );
    }
}

/// What the ledger keeps of a step; it is named with the step.
fn remember(lowered: &mut Lowered, kind: &Kind, common: &Common, cx: &Cx<'_>, place: &Place, sink: &Sink) {
    let release = matches!(common.once, Some(Placed { value: Once::Release, .. }));
    let repeat = common.repeat.as_ref().filter(|repeat| repeat.value);
    if release && lowered.ledger.is_none() && !kind.check {
        let service = lowered.service.clone().or_else(|| cx.compose.and_then(|compose| compose.service.clone()));
        let Some(service) = service else {
            let help = "say `service` under [compose] in landfall.toml: its image tells releases apart";
            sink.error(place, "`once = \"release\"` needs a service", Some(help.to_owned()));
            return;
        };
        let command = match &lowered.body {
            Body::Host(action) => serde_json::to_string(action).unwrap_or_else(|_| lowered.shown.clone()),
            Body::Driver(_) | Body::Sides(..) => lowered.shown.clone(),
        };
        // A command of the application works on its database; what a script does on a host is that host's own.
        let in_database = matches!(lowered.body, Body::Host(Action::Service(_) | Action::Migrate(_)));
        lowered.ledger = Some(LedgerKey { name: String::new(), service, command, files: Vec::new(), seen: cx.seen, in_database });
    }
    match (&mut lowered.ledger, repeat) {
        (Some(ledger), Some(_)) => ledger.seen = Seen::Repeat,
        (None, Some(repeat)) => {
            let help =
                "leave it out: only seeds and steps with `once = \"release\"` are kept in the ledger; this one always runs";
            sink.error(&repeat.place, "`repeat` means nothing here", Some(help.to_owned()));
        }
        _ => {}
    }
}

/// Gives each step the name that nobody else has.
fn name_all(drafts: &mut [Draft], sink: &Sink) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let siblings: BTreeMap<usize, usize> = drafts.iter().fold(BTreeMap::new(), |mut counts, draft| {
        *counts.entry(draft.id.0).or_default() += 1;
        counts
    });
    let full = |draft: &Draft| {
        let several = siblings.get(&draft.id.0).is_some_and(|count| *count > 1);
        match &draft.lowered.suffix {
            Some(suffix) if several || draft.common.name.is_none() => format!("{} {suffix}", draft.name),
            _ => draft.name.to_string(),
        }
    };
    for draft in drafts.iter_mut().filter(|draft| draft.common.name.is_some()) {
        let (name, place) = (full(draft), draft.common.name.as_ref().map_or(&draft.place, |name| &name.place));
        if !taken.insert(name.clone()) {
            sink.error(place, format!("two steps are named `{name}`"), Some("give each its own name".to_owned()));
        }
        match name.parse() {
            Ok(name) => draft.name = name,
            Err(error) => sink.error(place, error.to_string(), Some("shorten the name".to_owned())),
        }
    }
    for draft in drafts.iter_mut().filter(|draft| draft.common.name.is_none()) {
        let base = full(draft);
        let numbered = std::iter::once(base.clone()).chain((2..).map(|number| format!("{base} {number}")));
        if let Some(name) = numbered.into_iter().find(|name| !taken.contains(name)) {
            taken.insert(name.clone());
            if let Ok(name) = name.parse() {
                draft.name = name;
            }
        }
    }
    for draft in drafts {
        if let Some(ledger) = draft.lowered.ledger.as_mut().filter(|ledger| ledger.name.is_empty()) {
            ledger.name = draft.name.to_string();
        }
    }
}

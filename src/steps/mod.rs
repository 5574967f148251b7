//! The step kinds, one file each: their fields, checks and lowering to actions. Only this file names them all.

mod address;
mod backup;
mod common;
mod container;
mod database;
mod disk;
mod exec;
mod expect;
mod health;
mod local;
mod logs;
mod migrate;
mod migrate_sql;
mod migrate_status;
mod own_tool;
mod port_closed;
mod pull;
mod restore;
mod seed;
mod shell;
mod shown;
mod tcp;
mod up;
mod values;
mod watch;
mod work;

use std::path::Path;

use schemars::{Schema, SchemaGenerator};

use crate::action::{Action, Probe, Via};
use crate::migration::forbidden;
use crate::name::{SeedName, ServiceName, ToolName};
use crate::protocol::{ComposeProject, Database, Hint, LedgerKey, Seen, Way};
use crate::source::{Node, Placed, Reader, Sink, nearest};

pub use common::{Common, Once};
pub use own_tool::OwnTool;
pub(crate) use own_tool::OwnToolWords;
pub use seed::Seed;
pub use shown::{expected, shown};
pub use work::{ClientSecret, ClientValue, DriverWork, HereHttp, HereLook, HereProbe, LocalCommand};

/// A kind of step.
#[derive(Debug)]
pub struct Kind {
    /// The word for it in playbooks.
    pub name: &'static str,
    /// Whether it only looks: then it may be tried again, and its failure is exit code 4.
    pub check: bool,
    /// Whether it must say how it goes about several hosts, for they may share a database.
    pub once_or_per_host: bool,
    read: fn(&Reader<'_>, &Cx<'_>) -> Option<Vec<Lowered>>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// All kinds.
pub const KINDS: [Kind; 17] = [
    Kind { name: "pull", check: false, once_or_per_host: false, read: pull::read, schema: schema_of::<pull::Pull> },
    Kind { name: "up", check: false, once_or_per_host: false, read: up::read, schema: schema_of::<up::Up> },
    Kind { name: "migrate", check: false, once_or_per_host: true, read: migrate::read, schema: schema_of::<migrate::Migrate> },
    Kind { name: "seed", check: false, once_or_per_host: true, read: seed::read, schema: schema_of::<seed::SeedStep> },
    Kind { name: "exec", check: false, once_or_per_host: false, read: exec::read, schema: schema_of::<exec::Exec> },
    Kind { name: "backup", check: false, once_or_per_host: true, read: backup::read, schema: schema_of::<backup::Backup> },
    Kind { name: "restore", check: false, once_or_per_host: true, read: restore::read, schema: schema_of::<restore::Restore> },
    Kind { name: "shell", check: false, once_or_per_host: false, read: shell::read, schema: schema_of::<shell::Shell> },
    Kind { name: "local", check: false, once_or_per_host: false, read: local::read, schema: schema_of::<local::Local> },
    look("health", health::read, schema_of::<health::Health>),
    look("container", container::read, schema_of::<container::Container>),
    look("logs", logs::read, schema_of::<logs::Logs>),
    look("tcp", tcp::read, schema_of::<tcp::Tcp>),
    look("port_closed", port_closed::read, schema_of::<port_closed::PortClosed>),
    look("database", database::read, schema_of::<database::Database>),
    look("disk", disk::read, schema_of::<disk::Disk>),
    look("watch", watch::read, schema_of::<watch::WatchStep>),
];

/// What `migrate` is with `mode = "status"`: it only looks.
static MIGRATE_STATUS: Kind = look("migrate", migrate_status::read, schema_of::<migrate_status::MigrateStatus>);

const fn look(
    name: &'static str,
    read: fn(&Reader<'_>, &Cx<'_>) -> Option<Vec<Lowered>>,
    schema: fn(&mut SchemaGenerator) -> Schema,
) -> Kind {
    Kind { name, check: true, once_or_per_host: false, read, schema }
}

fn schema_of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// What a step is read against: the host's part of the inventory, and what the command line says about seeds.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The compose project.
    pub compose: Option<&'a ComposeProject>,
    /// Whether the inventory names files that hold secrets.
    pub has_secrets: bool,
    /// The project's database.
    pub database: Option<&'a Database>,
    /// The seeds that the inventory declares.
    pub seeds: &'a [(SeedName, Seed)],
    /// The migration tools that it declares.
    pub tools: &'a [(ToolName, OwnTool)],
    /// The seeds named on the command line: what a `seed` step without `seeds` runs.
    pub asked_seeds: Option<&'a [SeedName]>,
    /// What to do with a seed that ran before.
    pub seen: Seen,
    /// The inventory's folder.
    pub root: &'a Path,
}

/// A step, lowered: what one entry of a playbook becomes. Several for a `seed` of several seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// Added to the step's name ("configurations").
    pub suffix: Option<String>,
    /// The exact command, for people.
    pub shown: String,
    /// What the ledger keeps of it, where it does anyway.
    pub ledger: Option<LedgerKey>,
    /// The service that it runs in, or looks at.
    pub service: Option<ServiceName>,
    /// What known failures mean.
    pub hints: Vec<Hint>,
    /// The work.
    pub body: Body,
}

/// The work of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// On the host.
    Host(Action),
    /// On the client.
    Driver(DriverWork),
    /// On both at once, judged together.
    Sides(Probe, HereProbe),
}

impl Body {
    /// How long it watches something.
    pub fn watches_for_ms(&self) -> Option<u64> {
        match self {
            Self::Host(Action::Probe(Probe::Watch { watch, .. }))
            | Self::Driver(DriverWork::Here(HereProbe { watch: Some(watch), .. })) => Some(watch.for_ms),
            _ => None,
        }
    }
}

impl Lowered {
    fn host(action: Action, service: Option<ServiceName>, cx: &Cx<'_>) -> Self {
        let shown = shown(&action, cx.compose);
        Self { suffix: None, shown, ledger: None, service, hints: Vec::new(), body: Body::Host(action) }
    }
}

impl Kind {
    /// The kind of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        static ALL: [Kind; 17] = KINDS;
        ALL.iter().find(|kind| kind.name == name)
    }

    /// A step of this kind, in words.
    pub fn a_step(&self) -> String {
        let article = if self.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} `{}` step", self.name)
    }

    /// Reads and lowers a step of this kind. None: something is wrong with it, and was told.
    pub fn read(&self, reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
        (self.read)(reader, cx)
    }

    /// The kind that a step's table names.
    pub fn of(reader: &Reader<'_>) -> Option<&'static Self> {
        let names = || KINDS.iter().map(|kind| kind.name);
        if reader.entry("kind").is_none() {
            reader.missing("kind", format!("say which: kind = \"…\", one of {}", names().collect::<Vec<_>>().join(", ")));
            return None;
        }
        let name = reader.text("kind")?;
        let kind = Self::named(&name.value);
        if kind.is_none() {
            let help = nearest(&name.value, names()).map_or_else(
                || format!("the kinds are {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            reader.error(&name.place, format!("unknown kind {:?}", name.value), help);
        }
        let mode = reader.entry("mode").map(|entry| &entry.value.value);
        if kind.is_some_and(|kind| kind.name == "migrate") && mode == Some(&Node::Text("status".to_owned())) {
            return Some(&MIGRATE_STATUS);
        }
        kind
    }
}

/// The JSON Schema of one step, of any kind.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    let common = schema_of::<Common>(generator);
    let kinds: Vec<serde_json::Value> = KINDS
        .iter()
        .chain([&MIGRATE_STATUS])
        .map(|kind| {
            let mut schema = (kind.schema)(generator);
            let object = schema.ensure_object();
            let mut properties = common.get("properties").and_then(|own| own.as_object().cloned()).unwrap_or_default();
            properties.remove(if kind.check { "hints" } else { "retry" });
            if let Some(own) = object.get("properties").and_then(|own| own.as_object()) {
                properties.extend(own.clone());
            }
            properties.insert("kind".to_owned(), serde_json::json!({ "const": kind.name }));
            object.insert("properties".to_owned(), properties.into());
            let required = object.entry("required").or_insert_with(|| serde_json::json!([]));
            if let Some(required) = required.as_array_mut() {
                required.insert(0, "kind".into());
            }
            object.insert("additionalProperties".to_owned(), false.into());
            schema.to_value()
        })
        .collect();
    schemars::json_schema!({ "oneOf": kinds })
}

/// Tells that a step cannot do without [database]. None: told.
fn needs_database(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<()> {
    if cx.database.is_none() {
        let help = "say in landfall.toml where psql runs: [database] with service = \"postgres\"";
        reader.error(reader.place(), "this step needs [database] in landfall.toml", help);
    }
    docker(reader, cx)?;
    cx.database.map(drop)
}

/// The database's own service, where it has one in the project.
fn database_service(cx: &Cx<'_>) -> Option<ServiceName> {
    match &cx.database?.way {
        Way::Service(service) => Some(service.clone()),
        Way::Url { .. } => None,
    }
}

/// The service of a step: its own, or the project's default. None: told.
fn service(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<ServiceName> {
    let named = reader.entry("service").is_some();
    let own = reader.name("service").map(|name| name.value);
    docker(reader, cx)?;
    let service = own.or_else(|| if named { None } else { cx.compose?.service.clone() });
    if service.is_none() && !named {
        reader.missing("service", "say `service = \"api\"` here, or once for all under [compose] in landfall.toml");
    }
    service
}

/// The services of a step: its own, or the project's default one. None: told.
fn services(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<ServiceName>> {
    docker(reader, cx)?;
    if let Some(entry) = reader.entry("services") {
        let names: Vec<ServiceName> = reader.names("services")?.into_iter().map(|name| name.value).collect();
        if names.is_empty() && entry.value.value == crate::source::Node::List(Vec::new()) {
            reader.error(&entry.value.place, "`services` is empty", "name a service, or leave the key out for the default one");
        }
        return (!names.is_empty()).then_some(names);
    }
    let default = cx.compose?.service.clone();
    if default.is_none() {
        reader.missing("services", "say `services = [\"api\"]` here, or `service = \"api\"` under [compose] in landfall.toml");
    }
    default.map(|service| vec![service])
}

fn docker(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<()> {
    if cx.compose.is_none() {
        let message = format!("{} needs Docker Compose, and landfall.toml says nothing about it", reader.what());
        reader.error(reader.place(), message, "add a [compose] table with `dir` and `files`");
    }
    cx.compose.map(|_| ())
}

fn via(reader: &Reader<'_>) -> Via {
    reader.choice("via", &[("run", Via::Run), ("exec", Via::Exec)]).map(|via| via.value).unwrap_or_default()
}

/// A command's words, unless it is one that is refused by name.
fn words(words: &[Placed<String>], sink: &Sink) -> Vec<String> {
    let plain: Vec<String> = words.iter().map(|word| word.value.clone()).collect();
    if let Some(first) = words.first() {
        let last = words.last().unwrap_or(first);
        let mut place = first.place.clone();
        place.span.end = last.place.span.end.max(place.span.end);
        refuse_forbidden(&Placed::new(plain.clone(), place), sink);
    }
    plain
}

fn refuse_forbidden(words: &Placed<Vec<String>>, sink: &Sink) {
    if let Some(forbidden) = forbidden::find(&words.value) {
        let message = format!("`{}` is refused: {}", forbidden.name, forbidden.why);
        sink.refuse(&words.place, message, Some(forbidden.instead.to_owned()));
    }
}

//! `seed`: runs seeds that the inventory declares, each as a step of its own. The ledger remembers which ran.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, Judge, Pattern, ServiceCommand};
use crate::command::shell_line;
use crate::migration::client_hints;
use crate::name::{SeedName, ServiceName};
use crate::protocol::LedgerKey;
use crate::source::{Placed, Reader, Scope, nearest};

use super::values::{HostValueWords, Keys, on_host};
use super::{Cx, Lowered, docker, via, words};

/// Runs seeds declared under [seeds.NAME] in landfall.toml, one after the other. One that succeeded before, with the same command and
/// the same files, is skipped.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct SeedStep {
    /// Which, in order. Left out: those named by `landfall seed NAME…`, else every declared one.
    seeds: Option<Vec<String>>,
    /// Whose image; default: the seed's own `service`, else that of `[compose]`.
    service: Option<String>,
    /// "run" (default): in a one-off container of the service's image; "exec": in its running container.
    via: Option<String>,
    /// Added to the environment.
    env: Option<BTreeMap<String, HostValueWords>>,
}

/// A seed as the inventory declares it.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub struct Seed {
    /// Program and arguments; never passes through a shell.
    #[schemars(with = "Vec<String>")]
    pub command: Vec<Placed<String>>,
    /// Files in the image: while the command and their content stay the same, the seed has run already. None: the image counts.
    #[schemars(with = "Option<Vec<String>>")]
    pub files: Vec<Placed<String>>,
    /// Whose image; default: the `service` of `[compose]`.
    #[schemars(with = "Option<String>")]
    pub service: Option<ServiceName>,
}

impl Seed {
    /// Reads a seed of the inventory.
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        if reader.entry("command").is_none() {
            reader.missing("command", "say what to run: command = [\"npx\", \"tsx\", \"prisma/seeds/NAME.seed.ts\"]");
        }
        let command = reader.command("command");
        if let Some(command) = &command {
            words(command, reader.sink());
        }
        let files = reader.texts("files").unwrap_or_default();
        let service = reader.name("service").map(|name| name.value);
        Some(Self { command: command?, files, service })
    }
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let names = names(reader, cx);
    let own: Option<Placed<ServiceName>> = reader.name("service");
    let via = via(reader);
    let env = on_host(reader, "env", Keys::Env, cx);
    docker(reader, cx)?;
    let unfilled = Scope::default();
    let scope = reader.scope().unwrap_or(&unfilled);
    let fill = |texts: &[Placed<String>]| -> Vec<Placed<String>> {
        texts.iter().map(|text| text.with(scope.fill(text, reader.sink()))).collect()
    };
    let lower = |name: &Placed<SeedName>| {
        let seed = cx.seeds.iter().find(|(seed, _)| *seed == name.value).map(|(_, seed)| seed)?;
        let default = || cx.compose.and_then(|compose| compose.service.clone());
        let service = own.as_ref().map(|own| own.value.clone()).or_else(|| seed.service.clone()).or_else(default);
        let Some(service) = service else {
            let help = format!("say `service = \"api\"` here, under [seeds.{}] or under [compose] in landfall.toml", name.value);
            reader.error(&name.place, format!("the seed `{}` has no service to run in", name.value), help);
            return None;
        };
        let argv = words(&fill(&seed.command), reader.sink());
        let ledger = LedgerKey {
            name: name.value.to_string(),
            service: service.clone(),
            command: shell_line(&argv),
            files: fill(&seed.files).into_iter().map(|file| file.value).collect(),
            seen: cx.seen,
            in_database: true,
        };
        let unset = Pattern { regex: "No seed command configured".to_owned(), means: "there is no seed to run".to_owned() };
        let judge = Judge { forbid: vec![unset], ..Judge::default() };
        let action = Action::Service(ServiceCommand { service: service.clone(), via, argv, env: env.clone(), judge });
        Some(Lowered {
            suffix: Some(name.value.to_string()),
            ledger: Some(ledger),
            hints: client_hints(),
            ..Lowered::host(action, Some(service), cx)
        })
    };
    Some(names?.iter().filter_map(lower).collect())
}

/// Which seeds: all of them declared, none of them twice.
fn names(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Placed<SeedName>>> {
    let place = reader.place().clone();
    let Some(entry) = reader.entry("seeds") else {
        let names: Vec<SeedName> =
            cx.asked_seeds.map_or_else(|| cx.seeds.iter().map(|(name, _)| name.clone()).collect(), <[_]>::to_vec);
        if names.is_empty() {
            reader.missing("seeds", "landfall.toml declares no seeds: add [seeds.NAME] with a `command`");
        }
        return Some(names.into_iter().map(|name| Placed::new(name, place.clone())).collect());
    };
    let names: Vec<Placed<SeedName>> = reader.names("seeds")?;
    if matches!(&entry.value.value, crate::source::Node::List(items) if items.is_empty()) {
        reader.error(&entry.value.place, "`seeds` is empty", "name a seed, or leave the key out for every declared one");
    }
    for (at, name) in names.iter().enumerate() {
        if !cx.seeds.iter().any(|(seed, _)| *seed == name.value) {
            let help = nearest(name.value.as_str(), cx.seeds.iter().map(|(name, _)| name)).map_or_else(
                || format!("declare it in landfall.toml: [seeds.{}] with a `command`", name.value),
                |near| format!("did you mean `{near}`?"),
            );
            reader.error(&name.place, format!("there is no seed `{}`", name.value), help);
        }
        if names[..at].iter().any(|earlier| earlier.value == name.value) {
            reader.error(&name.place, format!("the seed `{}` is named twice", name.value), "name it once");
        }
    }
    Some(names)
}

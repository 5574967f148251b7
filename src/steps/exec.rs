//! `exec`: a command in a service's image or container.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, Judge, ServiceCommand};
use crate::migration::client_hints;
use crate::source::Reader;

use super::values::{HostValueWords, Keys, on_host};
use super::{Cx, Lowered, service, via, words};

/// Runs a command in a service's image or container. It never passes through a shell.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Exec {
    /// Program and arguments.
    command: Vec<String>,
    /// Whose image; default: the `service` of [compose].
    service: Option<String>,
    /// "run" (default): in a one-off container of the service's image; "exec": in its running container.
    via: Option<String>,
    /// Added to the environment.
    env: Option<BTreeMap<String, HostValueWords>>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    if reader.entry("command").is_none() {
        reader.missing("command", "say what to run: command = [\"node\", \"script.js\"]");
    }
    let argv = reader.command("command").map(|command| words(&command, reader.sink()));
    let via = via(reader);
    let env = on_host(reader, "env", Keys::Env, cx);
    let service = service(reader, cx)?;
    let command = ServiceCommand { service: service.clone(), via, argv: argv?, env, judge: Judge::default() };
    Some(vec![Lowered { hints: client_hints(), ..Lowered::host(Action::Service(command), Some(service), cx) }])
}

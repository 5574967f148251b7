//! `local`: a command on the client's machine. Leading ones run before anything is contacted, and gate the run.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::Script;
use crate::command::{quoted, shell_line};
use crate::source::{Node, Reader, Scope};

use super::shell::script;
use super::values::{ClientValueWords, Keys, on_client};
use super::{Body, ClientValue, Cx, DriverWork, LocalCommand, Lowered, words};

/// Runs a command on this machine. Leading ones run before anything is contacted: if one fails, nothing has happened.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Local {
    /// A list (program and arguments, through no shell) or one string (by `sh -c`).
    command: CommandWords,
    /// Where, relative to the inventory's folder, which is the default.
    dir: Option<String>,
    /// Added to the environment.
    env: Option<BTreeMap<String, ClientValueWords>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum CommandWords {
    Shell(String),
    List(Vec<String>),
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let own = on_client(reader, "env", Keys::Env, None);
    let dir = reader.text("dir");
    let mut env = BTreeMap::new();
    let run = match reader.entry("command").map(|entry| &entry.value.value) {
        None => {
            reader.missing("command", "say what to run: command = [\"npm\", \"test\"]");
            return None;
        }
        Some(Node::Text(_)) => {
            let vars = reader.scope().map(Scope::values).unwrap_or_default();
            env.extend(vars.into_iter().map(|(name, value)| (name, ClientValue::Plain(value))));
            Script::Shell(script(reader)?)
        }
        Some(_) => Script::Argv(words(&reader.command("command")?, reader.sink())),
    };
    env.extend(own);
    let line = match &run {
        Script::Argv(argv) => shell_line(argv),
        Script::Shell(text) => shell_line(&["sh", "-c", text]),
    };
    let shown = dir.as_ref().map_or(line.clone(), |dir| format!("cd {} && {line}", quoted(&dir.value)));
    let dir = dir.map_or_else(|| cx.root.to_path_buf(), |dir| cx.root.join(dir.value));
    let body = Body::Driver(DriverWork::Local(LocalCommand { run, dir, env, hints: Vec::new() }));
    Some(vec![Lowered { suffix: None, shown, ledger: None, service: None, hints: Vec::new(), body }])
}

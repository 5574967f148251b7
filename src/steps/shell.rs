//! `shell`: a script on the host itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, HostScript, Judge, Script};
use crate::secret::Value;
use crate::source::{Node, Placed, Reader, Scope, mentions_var};

use super::values::{HostValueWords, Keys, on_host};
use super::{Cx, Lowered, refuse_forbidden};

/// Runs a script on the host by `sh -c`, in the compose folder (the home folder where there is none), with `COMPOSE_FILE`,
/// `COMPOSE_ENV_FILES` and `COMPOSE_PROJECT_NAME` set. Vars reach it as environment variables: `"$release"`.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Shell {
    /// The script's text.
    command: String,
    /// Added to the environment.
    env: Option<BTreeMap<String, HostValueWords>>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    if reader.entry("command").is_none() {
        reader.missing("command", "say what to run: command = \"docker compose logs --tail 50 api\"");
    }
    let own = on_host(reader, "env", Keys::Env, cx);
    if let Some(entry) = reader.entry("command").filter(|entry| matches!(entry.value.value, Node::List(_))) {
        let help =
            "write the script as one string; a list, which passes through no shell, is for `exec` (in a service) and `local`";
        reader.error(&entry.value.place, "`command` of a `shell` step must be a string, not a list", help);
        return None;
    }
    let text = script(reader)?;
    let mut env: BTreeMap<String, Value> =
        reader.scope().map(Scope::values).unwrap_or_default().into_iter().map(|(k, v)| (k, Value::Plain(v))).collect();
    env.extend(own);
    let action = Action::Shell(HostScript { run: Script::Shell(text), env, judge: Judge::default() });
    Some(vec![Lowered::host(action, None, cx)])
}

/// The text for a shell: no var is ever spliced into it.
pub(super) fn script(reader: &Reader<'_>) -> Option<String> {
    let text = reader.raw_text("command")?;
    if let Some((whole, name)) = mentions_var(&text.value) {
        let place = reader.sink().within(&text.place, whole);
        let help =
            format!("use \"${name}\": vars reach a shell as environment variables, so that nothing in them can become a command");
        reader.error(&place, format!("`{whole}` is not filled in in a text for the shell"), help);
    }
    if text.value.trim().is_empty() {
        reader.error(&text.place, "`command` is empty", "say what to run");
        return None;
    }
    if let Some(word) = ends_the_host(&text.value) {
        let place = reader.sink().within(&text.place, word);
        let help = "leave it out: the run would go down with the host, and how it ended could never be known";
        reader.error(&place, format!("after `{word}` nothing can run"), help);
    }
    refuse_forbidden(&Placed::new(vec![text.value.clone()], text.place), reader.sink());
    Some(text.value)
}

/// The word of a script that takes the host down, if it has one.
fn ends_the_host(text: &str) -> Option<&str> {
    let down = regex_lite::Regex::new(r"(?:^|[;&|\n(]|\bsudo)\s*((?:systemctl\s+)?(?:reboot|poweroff|halt)|shutdown)\b").ok()?;
    Some(down.captures(text)?.get(1)?.as_str())
}

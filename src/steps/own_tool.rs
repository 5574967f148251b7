//! A migration tool that Landfall does not know, in the words of who does: keys of `[tools.NAME]` in the inventory, or of a step itself.

use schemars::JsonSchema;

use crate::migration::{Custom, Tool};
use crate::source::{Placed, Reader, Scope};

use super::words;

/// A migration tool as the inventory declares it: a step names it by `tool`.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnTool {
    /// Asks what is pending; changes nothing.
    pub(super) status: Vec<Placed<String>>,
    /// Applies what is pending.
    pub(super) apply: Vec<Placed<String>>,
    /// Prints the SQL of what is pending; changes nothing.
    pub(super) preview: Option<Vec<Placed<String>>>,
    /// How their answers are read; without commands.
    pub(super) answers: Custom,
}

/// `[tools.NAME]`: a migration tool of your own.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
pub(crate) struct OwnToolWords {
    /// The command that asks what is pending and changes nothing.
    status: Vec<String>,
    /// The command that applies what is pending.
    apply: Vec<String>,
    /// The command that prints the SQL of what is pending and changes nothing: what it prints is shown, and judged by the rules for
    /// migrations, before anything is applied. A run asks for it; a plan does not.
    preview: Option<Vec<String>>,
    /// The exit code of `status` when migrations wait; default 1.
    pending_code: Option<i32>,
    /// A regular expression for a line of `status` that must go with that code.
    pending: Option<String>,
    /// One for a line of `status` that names a migration that waits; its first group is the name.
    pending_name: Option<String>,
    /// One for a line that must go with exit code 0 when nothing waits.
    up_to_date: Option<String>,
    /// One for a line of `status` that tells of a failed migration; then nothing is applied.
    failed: Option<String>,
    /// One for a line that `apply` must print.
    success: Option<String>,
    /// One for a line of `apply` that tells of a failure, whatever its exit code.
    failure: Option<String>,
}

/// The keys that say how answers are read.
pub(super) const ANSWERS: [&str; 7] = ["pending_code", "pending", "pending_name", "up_to_date", "failed", "success", "failure"];

impl OwnTool {
    /// Reads `[tools.NAME]`.
    pub fn read(name: &str, reader: &Reader<'_>) -> Option<Self> {
        for key in ["status", "apply"].iter().filter(|key| reader.entry(key).is_none()) {
            reader.missing(key, "give both `status` and `apply` as lists");
        }
        if Tool::is_known(name) {
            let message = format!("Landfall knows a tool {name:?}, and this would be another one");
            reader.error(reader.place(), message, "choose another name, or leave it out");
        }
        let (status, apply, preview) = (reader.command("status"), reader.command("apply"), reader.command("preview"));
        let answers = answers(reader, name);
        Some(Self { status: status?, apply: apply?, preview, answers })
    }

    pub(super) fn name(&self) -> &str {
        &self.answers.name
    }

    /// The tool for one host, where a step may say other commands.
    pub(super) fn with(
        &self,
        status: Option<Vec<String>>,
        apply: Option<Vec<String>>,
        preview: Option<Vec<String>>,
        reader: &Reader<'_>,
    ) -> Custom {
        let unfilled = Scope::default();
        let scope = reader.scope().unwrap_or(&unfilled);
        let own = |command: &[Placed<String>]| {
            let filled: Vec<_> = command.iter().map(|word| word.with(scope.fill(word, reader.sink()))).collect();
            words(&filled, reader.sink())
        };
        Custom {
            status: status.unwrap_or_else(|| own(&self.status)),
            apply: apply.unwrap_or_else(|| own(&self.apply)),
            preview: preview.or_else(|| self.preview.as_deref().map(own)),
            ..self.answers.clone()
        }
    }
}

/// How the answers of somebody's own commands are read.
pub(super) fn answers(reader: &Reader<'_>, name: &str) -> Custom {
    let code: Option<Placed<i64>> = reader.whole("pending_code", 0..=255);
    let pending = reader.regex("pending");
    if let Some(code) = code.as_ref().filter(|code| code.value == 0 && pending.is_none()) {
        let help =
            "exit code 0 is also that of nothing pending: add `pending`, a regular expression for the line that tells them apart";
        reader.error(&code.place, "`pending_code = 0` needs `pending`", help);
    }
    let regex = |key| reader.regex(key).map(|regex| regex.value);
    Custom {
        name: name.to_owned(),
        status: Vec::new(),
        apply: Vec::new(),
        preview: None,
        pending_code: code.and_then(|code| i32::try_from(code.value).ok()).unwrap_or(1),
        pending: pending.map(|regex| regex.value),
        pending_name: regex("pending_name"),
        up_to_date: regex("up_to_date"),
        failed: regex("failed"),
        success: regex("success"),
        failure: regex("failure"),
    }
}

/// Where a tool is named, what it prints is known already.
pub(super) fn refuse_answers(reader: &Reader<'_>, tool: &str) {
    for key in ANSWERS {
        if reader.entry(key).is_some() {
            let message = format!("`{key}` cannot go with `tool`: what {tool} prints is known");
            reader.error(&reader.place_of(key), message, "leave the one or the other out");
        }
    }
}

//! `migrate`: applies what is pending with a migration tool inside a service, and proves it.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{self, Action};
use crate::migration::{BY_FILES, CARRIED, Custom, Start, TOOLS, Tool, client_hints};
use crate::protocol::Hint;
use crate::source::{Node, Reader};

use super::common::milliseconds;
use super::own_tool::{self, OwnTool};
use super::values::{HostValueWords, Keys, on_host};
use super::{Cx, Lowered, migrate_sql, service, via, words};

/// Applies pending migrations: asks what is pending, applies it, and asks again. It succeeded only with the accepted exit code, the
/// line that tells success, and nothing pending afterwards.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Migrate {
    /// "apply" (default). With "status" the step only asks, and is a check.
    mode: Option<ApplyWord>,
    /// The tool: "prisma" (6 and 7), "prisma-8", "drizzle", "alembic", "django", "knex", "dbmate", "sqlx", "diesel", "rails", "flyway",
    /// "golang-migrate" with commands of your own, one of [tools.NAME], or "sql": files NUMBER_name.sql of this folder, applied by psql or mysql
    /// where [database] says. Without it `status` and `apply` are needed.
    tool: Option<String>,
    /// The command that asks what is pending and changes nothing; in place of the tool's own.
    status: Option<Vec<String>>,
    /// The command that applies what is pending; in place of the tool's own.
    apply: Option<Vec<String>>,
    /// The command that prints the SQL of what is pending and changes nothing; in place of the tool's own (Alembic and Django have
    /// one). A run asks for it, shows what it prints, and judges that by the rules for migrations, before anything is applied.
    preview: Option<Vec<String>>,
    /// Without a tool: the exit code of `status` when migrations wait; default 1.
    pending_code: Option<i32>,
    /// Without a tool: a regular expression for a line of `status` that must go with that code.
    pending: Option<String>,
    /// Without a tool: one for a line of `status` that names a migration that waits; its first group is the name.
    pending_name: Option<String>,
    /// Without a tool: one for a line that must go with exit code 0 when nothing waits.
    up_to_date: Option<String>,
    /// Without a tool: one for a line of `status` that tells of a failed migration; then nothing is applied.
    failed: Option<String>,
    /// Without a tool: one for a line that `apply` must print.
    success: Option<String>,
    /// Without a tool: one for a line of `apply` that tells of a failure, whatever its exit code.
    failure: Option<String>,
    /// With a tool: the folder of the migration files in the image, relative to its working folder; default: the tool's usual one.
    /// With "sql": the folder here, relative to landfall.toml; default "migrations".
    migrations: Option<String>,
    /// With a tool: the table of its history, as "TABLE" or "SCHEMA.TABLE", where its configuration names another one than it usually has, or
    /// where several schemas hold one of that name.
    history: Option<String>,
    /// With a tool: how long a statement may wait for a lock of PostgreSQL, such as "5s", which is the default; "off": for ever.
    /// It reaches the tool by PGOPTIONS, which most drivers heed. With "sql" also of MySQL, there in whole seconds.
    lock_timeout: Option<String>,
    /// Whose image holds tool and migrations; default: the `service` of [compose].
    service: Option<String>,
    /// "run" (default): in a one-off container of the service's image; "exec": in its running container.
    via: Option<String>,
    /// Added to the environment of both commands.
    env: Option<BTreeMap<String, HostValueWords>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum ApplyWord {
    Apply,
}

/// A tool as a step names it.
#[derive(Debug, Clone, Copy)]
enum Named<'a> {
    Known(&'static Tool),
    Declared(&'a OwnTool),
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let (migrate, hints) = action(reader, cx, true)?;
    let service = migrate.service.clone();
    Some(vec![Lowered { hints, ..Lowered::host(Action::Migrate(Box::new(migrate)), Some(service), cx) }])
}

/// What a step says of a tool, or of commands in place of one. Not everybody applies what is pending.
pub(super) fn action(reader: &Reader<'_>, cx: &Cx<'_>, applies: bool) -> Option<(action::Migrate, Vec<Hint>)> {
    reader.choice("mode", &[("apply", ()), ("status", ())]);
    let known = TOOLS.iter().chain(&BY_FILES).chain(&CARRIED).map(|tool| (tool.name, Named::Known(tool)));
    let declared = cx.tools.iter().map(|(name, tool)| (name.as_str(), Named::Declared(tool)));
    let tool_given = reader.entry("tool").is_some();
    let (tool, declared) = match reader.choice("tool", &known.chain(declared).collect::<Vec<_>>()).map(|tool| tool.value) {
        Some(Named::Known(tool)) => (Some(tool), None),
        Some(Named::Declared(tool)) => (None, Some(tool)),
        None => (None, None),
    };
    if let Some(tool) = tool.filter(|tool| CARRIED.iter().any(|carried| carried.name == tool.name)) {
        return migrate_sql::action(reader, cx, tool, lock_timeout(reader));
    }
    let command = |key| reader.command(key).map(|command| words(&command, reader.sink()));
    let (status, apply, preview) = (command("status"), command("apply"), command("preview"));
    let own = own_tool::answers(reader, "custom");
    if let Some(name) = tool.map(|tool| tool.name).or_else(|| declared.map(OwnTool::name)) {
        own_tool::refuse_answers(reader, name);
    }
    if !tool_given {
        let (keys, help) = if applies {
            (&["status", "apply"][..], "name a tool (tool = \"prisma\"), or give both `status` and `apply` as lists")
        } else {
            (&["status"][..], "name a tool (tool = \"prisma\"), or give `status` as a list")
        };
        for key in keys.iter().filter(|key| reader.entry(key).is_none()) {
            reader.missing(key, help);
        }
    }
    if let Some(tool) = tool.filter(|tool| applies && tool.apply.is_empty() && apply.is_none()) {
        reader.missing(
            "apply",
            format!("say how {} applies what is pending: its command holds the URL, so only you can", tool.name),
        );
        return None;
    }
    let (folder, history, lock_timeout_ms) = (folder(reader, tool), history(reader, tool), lock_timeout(reader));
    let via = via(reader);
    let env = on_host(reader, "env", Keys::Env, cx);
    let service = service(reader, cx)?;
    let start = |status, apply, preview| Start {
        service: service.clone(),
        via,
        env,
        status,
        apply,
        preview,
        folder,
        history,
        lock_timeout_ms,
    };
    let apply = if applies { apply } else { apply.or_else(|| Some(Vec::new())) };
    if let Some(tool) = tool {
        return Some((tool.action(start(status, apply, preview)), tool.hints()));
    }
    let custom = match declared {
        Some(declared) => declared.with(status, apply, preview, reader),
        None if tool_given => return None,
        None => Custom { status: status?, apply: apply?, preview, ..own },
    };
    Some((custom.action(start(None, None, None)), client_hints()))
}

fn folder(reader: &Reader<'_>, tool: Option<&Tool>) -> Option<String> {
    let folder = reader.text("migrations")?;
    if tool.is_none_or(|tool| tool.kept.is_empty()) {
        reader.error(&reader.place_of("migrations"), "`migrations` goes with a tool that Landfall knows", "leave it out");
    }
    if folder.value.is_empty() || folder.value.split('/').any(|part| part == "..") {
        let help = "write a path inside the image: \"prisma/migrations\"";
        reader.error(&folder.place, format!("{:?} cannot be the folder of migrations", folder.value), help);
    }
    Some(folder.value)
}

fn history(reader: &Reader<'_>, tool: Option<&Tool>) -> Option<String> {
    let table = reader.text("history")?;
    if tool.is_none_or(|tool| tool.kept.is_empty()) {
        reader.error(&reader.place_of("history"), "`history` goes with a tool that Landfall knows", "leave it out");
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_control() || matches!(c, '"' | '`' | '\''));
    if table.value.split('.').count() > 2 || !table.value.split('.').all(is_name) {
        let help = "write TABLE or SCHEMA.TABLE, as the server has it: \"public.my_migrations\"";
        reader.error(&table.place, format!("{:?} cannot be the table of a history", table.value), help);
    }
    Some(table.value)
}

/// Five seconds, unless the step says otherwise.
fn lock_timeout(reader: &Reader<'_>) -> Option<u64> {
    match reader.entry("lock_timeout") {
        None => Some(5000),
        Some(entry) if entry.value.value == Node::Text("off".to_owned()) => None,
        Some(_) => reader.duration("lock_timeout").map(|limit| milliseconds(limit.value)),
    }
}

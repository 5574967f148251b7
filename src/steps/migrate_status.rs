//! `migrate` with `mode = "status"`: whether migrations wait or have failed. Applies nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, Probe};
use crate::source::Reader;

use super::values::HostValueWords;
use super::{Cx, Lowered, migrate};

/// Asks a migration tool for its status, and applies nothing: it is well when nothing waits and nothing has failed.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct MigrateStatus {
    /// "status": only asks.
    mode: StatusWord,
    /// The tool: "prisma", "drizzle", "alembic", "sql", … Without it `status` is needed.
    tool: Option<String>,
    /// The command that asks what is pending and changes nothing; in place of the tool's own.
    status: Option<Vec<String>>,
    /// Without a tool: the exit code of `status` when migrations wait; default 1.
    pending_code: Option<i32>,
    /// Without a tool: a regular expression for a line of `status` that must go with that code.
    pending: Option<String>,
    /// Without a tool: one for a line of `status` that names a migration that waits; its first group is the name.
    pending_name: Option<String>,
    /// Without a tool: one for a line that must go with exit code 0 when nothing waits.
    up_to_date: Option<String>,
    /// Without a tool: one for a line of `status` that tells of a failed migration.
    failed: Option<String>,
    /// The folder of the migrations in the image; default: where the tool looks. With "sql": the folder here.
    migrations: Option<String>,
    /// The table of the tool's history, as "TABLE" or "SCHEMA.TABLE", where it is another one than usual.
    history: Option<String>,
    /// Whose image holds tool and migrations; default: the `service` of [compose].
    service: Option<String>,
    /// "run" (default): in a one-off container of the service's image; "exec": in its running container.
    via: Option<String>,
    /// Added to the environment of the command.
    env: Option<BTreeMap<String, HostValueWords>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum StatusWord {
    Status,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    for key in ["apply", "preview", "success", "lock_timeout"] {
        if let Some(entry) = reader.entry(key) {
            let help = "leave it out: with `mode = \"status\"` nothing is applied";
            reader.error(&entry.key.place, format!("`{key}` cannot go with `mode = \"status\"`"), help);
        }
    }
    let (migrate, hints) = migrate::action(reader, cx, false)?;
    let service = migrate.service.clone();
    Some(vec![Lowered { hints, ..Lowered::host(Action::Probe(Probe::Migrations(Box::new(migrate))), Some(service), cx) }])
}

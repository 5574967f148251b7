//! `migrate` with `tool = "sql"`: the files are the client's, and travel with the step.

use crate::action::{self, Client, Via};
use crate::migration::{Start, Tool, sql};
use crate::protocol::{Engine, Hint};
use crate::source::Reader;

use super::own_tool::ANSWERS;
use super::{Cx, database_service, needs_database, service};

/// What the step says of the files; `lock_timeout_ms` was read already.
pub(super) fn action(
    reader: &Reader<'_>,
    cx: &Cx<'_>,
    tool: &Tool,
    lock_timeout_ms: Option<u64>,
) -> Option<(action::Migrate, Vec<Hint>)> {
    for key in ["status", "apply", "preview", "history", "via", "env"].into_iter().chain(ANSWERS) {
        if let Some(entry) = reader.entry(key) {
            let help = "leave it out: the files are applied where [database] says, and their history tells how that went";
            reader.error(&entry.key.place, format!("`{key}` cannot go with `tool = \"sql\"`"), help);
        }
    }
    needs_database(reader, cx)?;
    let mysql = cx.database.is_some_and(|database| database.engine == Some(Engine::Mysql));
    let client = if mysql { Client::Mysql } else { Client::Psql };
    let service = match database_service(cx) {
        Some(own) => {
            if let Some(entry) = reader.entry("service") {
                let help = "leave it out: they are applied in the database's own service";
                reader.error(&entry.key.place, "`service` cannot go with `tool = \"sql\"`", help);
            }
            own
        }
        None => service(reader, cx)?,
    };
    let folder = reader.text("migrations");
    let place = folder.as_ref().map_or_else(|| reader.place_of("tool"), |folder| folder.place.clone());
    let folder = folder.map_or_else(|| "migrations".to_owned(), |folder| folder.value.trim_end_matches('/').to_owned());
    if folder.is_empty() || folder.starts_with('/') {
        let help = "write a path relative to landfall.toml: \"db/migrations\"";
        reader.error(&place, format!("{folder:?} cannot be the folder of migrations"), help);
        return None;
    }
    let carried = match sql::carried(cx.root, &folder, client) {
        Ok(carried) => carried,
        Err(all) => {
            for wrong in all {
                reader.error(&place, wrong.message, wrong.help);
            }
            return None;
        }
    };
    let start = Start {
        service,
        // Where the database runs there is no image of ours, and none is asked for.
        via: Via::Exec,
        env: std::collections::BTreeMap::new(),
        status: None,
        apply: None,
        preview: None,
        folder: Some(folder),
        history: None,
        lock_timeout_ms,
    };
    let migrate = action::Migrate { carried: Some(carried), ..tool.action(start) };
    Some((migrate, tool.hints()))
}

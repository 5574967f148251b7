//! `restore`: puts a backup in the place of the database.

use schemars::JsonSchema;

use crate::action::{self, Action};
use crate::source::Reader;

use super::{Cx, Lowered, database_service, needs_database};

/// Puts a backup in the place of the database. The services that write are stopped before and started again after, whatever happens.
/// What is replaced is kept: PostgreSQL's database under another name, MySQL's in a backup of its own. Confirmed by typing the
/// database's name, or by --confirm-restore.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Restore {
    /// The database's name, as its server says it: no other is touched.
    database: String,
    /// A file in the folder of the backups; default: the newest of that database.
    from: Option<String>,
    /// The services that write to it; default: all that run, but the database's own.
    stop: Option<Vec<String>>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let database = reader.text("database");
    if reader.entry("database").is_none() {
        reader.missing("database", "say which is meant, by its name on the server: database = \"etally\"");
    }
    let from = reader.text("from");
    if let Some(from) = from.as_ref().filter(|from| from.value.contains('/')) {
        let help = "write the file's name alone: backups are looked for in one folder, `backups` of [database]";
        reader.error(&from.place, "`from` is a path", help);
    }
    let stop = reader.names("stop").map(|names| names.into_iter().map(|name| name.value).collect());
    needs_database(reader, cx)?;
    let restore = action::Restore { database: database?.value, from: from.map(|from| from.value), stop };
    Some(vec![Lowered::host(Action::Restore(restore), database_service(cx), cx)])
}

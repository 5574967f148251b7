//! Looks in the database for what a migration makes: whether one that should wait has begun, and which of the tool's own commands fits
//! one that did not finish. Decides nothing.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::action::{Layout, Model};
use crate::facts::{Migration, MigrationState as State};
use crate::host::database::Access;
use crate::protocol::Engine;

use super::made::{self, Made, Reading};

/// MySQL takes no change of the schema back, and the history of many a tool has no row for a migration that broke off: by it, that one
/// waits. The first that waits, of each application where there are several, is such a one where something is in the database that only
/// it makes; unless somebody has said that it was there before.
pub(super) fn mark_begun(access: &Access, model: &Model, migrations: &mut [Migration], accepted: &dyn Fn(&Migration) -> bool) {
    if access.engine() != Engine::Mysql || model.history.tells_unfinished() {
        return;
    }
    let app = |name: &str| match model.layout {
        Layout::Apps => name.split('.').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let mut seen = BTreeSet::new();
    let first = migrations.iter_mut().filter(|found| found.state == State::Pending && seen.insert(app(&found.name)));
    for first in first {
        let found = first.text.as_deref().and_then(|text| find(access, made::of(first, forward(model, text))));
        let present = found.map(|found| list(&found.present)).unwrap_or_default();
        first.begun = !present.is_empty();
        if first.begun && !accepted(first) {
            first.state = State::Failed;
            first.told = Some(format!("by the history it waits, but {present} is in the database, which it makes"));
        }
    }
}

/// What was found, and which command fits.
pub(super) fn remedy(access: Option<&Access>, model: &Model, failed: &Migration) -> String {
    let key = failed.key.as_ref().unwrap_or(&failed.name);
    let sha256 = failed.sha256.as_deref().unwrap_or("the SHA-256 of its file");
    let values =
        [("{name}", failed.name.as_str()), ("{words}", &failed.name.replacen('.', " ", 1)), ("{key}", key), ("{sha256}", sha256)];
    let of = |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let (done, undone) = (of(&model.done), of(&model.undone));
    let both = format!("look at what it left in the database; if all of it is there: {done}; if nothing of it is: {undone}");
    let (Some(access), Some(text)) = (access, &failed.text) else { return both };
    let Some(found) = find(access, made::of(failed, forward(model, text))) else { return both };
    let (present, absent) = (list(&found.present), list(&found.absent));
    match (present.is_empty(), absent.is_empty()) {
        (true, true) => both,
        (false, true) if found.more => {
            format!("what it makes is in the database ({present}), and what else it does cannot be looked for: {both}")
        }
        (false, true) => {
            format!("all that it makes is in the database ({present}), so it seems done: look at the rest of it, then {done}")
        }
        (true, false) if found.more => {
            format!("nothing of it that can be looked for is in the database ({absent}), but it may have done more: {both}")
        }
        (true, false) => format!(
            "nothing that it makes is in the database ({absent}), so it seems undone: look at the rest of it, then {undone}"
        ),
        (false, false) => format!(
            "it stopped half-way: {present} is in the database, {absent} is not. Finish it by hand, then {done}; or take back what is there, then {undone}"
        ),
    }
}

/// What of a migration is in the database.
struct Found {
    present: Vec<Made>,
    absent: Vec<Made>,
    /// It may have done more, which nobody looked for.
    more: bool,
}

/// Looks for what a migration makes; none where that cannot be asked.
fn find(access: &Access, reading: Reading) -> Option<Found> {
    let Reading { mut made, perhaps, more } = reading;
    let sure = made.len();
    made.extend(perhaps);
    let there = are_there(access, &made)?;
    let mut found = Found { present: Vec::new(), absent: Vec::new(), more };
    for (at, (made, there)) in made.into_iter().zip(there).enumerate() {
        match there {
            true => found.present.push(made),
            false if at < sure => found.absent.push(made),
            false => found.more = true,
        }
    }
    Some(found)
}

/// So many are named.
const MANY: usize = 10;

fn list(made: &[Made]) -> String {
    let mut named: Vec<String> = made.iter().map(ToString::to_string).collect();
    let more = named.len().saturating_sub(MANY);
    if more > 0 {
        named.truncate(MANY);
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

/// A file without the part that takes it back.
fn forward<'t>(model: &Model, text: &'t str) -> &'t str {
    let back = model.back.as_deref().and_then(|back| Regex::new(back).ok());
    back.and_then(|back| back.find(text)).map_or(text, |found| &text[..found.start()])
}

/// Of each, whether it is in the database; none where that cannot be asked, or where only another schema has one that is called so.
fn are_there(access: &Access, made: &[Made]) -> Option<Vec<bool>> {
    if made.is_empty() {
        return Some(Vec::new());
    }
    let each: Vec<String> = made.iter().map(|made| format!("({})", counted(access.engine(), made))).collect();
    let row = access.query(&format!("SELECT {}", each.join(", "))).ok()?.into_iter().next()?;
    let there = |count: Option<String>| {
        let count = count?;
        let (here, anywhere) = count.split_once('/')?;
        ((here == "0") == (anywhere == "0")).then_some(here != "0")
    };
    let there: Option<Vec<bool>> = row.into_iter().map(there).collect();
    there.filter(|there| there.len() == made.len())
}

/// How many of the database are called so: where this login's names are looked up, and anywhere. Names are of word characters alone.
fn counted(engine: Engine, made: &Made) -> String {
    let (from, schema, holds) = match (made, engine) {
        (Made::Table(name), _) => ("information_schema.tables", "table_schema", format!("lower(table_name) = lower('{name}')")),
        (Made::Column(table, name), _) => (
            "information_schema.columns",
            "table_schema",
            format!("lower(table_name) = lower('{table}') AND lower(column_name) = lower('{name}')"),
        ),
        (Made::Index(_, name), Engine::Postgres) => (
            "pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid",
            "c.relnamespace::regnamespace::text",
            format!("i.indisvalid AND lower(c.relname) = lower('{name}')"),
        ),
        (Made::Index(table, name), Engine::Mysql) => (
            "information_schema.statistics",
            "table_schema",
            format!("lower(table_name) = lower('{table}') AND lower(index_name) = lower('{name}')"),
        ),
    };
    match engine {
        Engine::Postgres => format!(
            "SELECT COUNT(*) FILTER (WHERE {schema}::text = ANY (current_schemas(false)::text[])) || '/' || COUNT(*) FROM {from} \
             WHERE {schema} NOT IN ('pg_catalog', 'information_schema') AND {holds}"
        ),
        Engine::Mysql => format!("SELECT CONCAT(COUNT(*), '/', COUNT(*)) FROM {from} WHERE {schema} = DATABASE() AND {holds}"),
    }
}

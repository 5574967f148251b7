//! Looks in the database for what an unfinished migration makes, so that a person knows which of the tool's own commands fits. Decides
//! nothing.

use regex_lite::Regex;

use crate::action::Model;
use crate::facts::Migration;
use crate::host::database::Access;
use crate::protocol::Engine;

/// Something that a migration makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    Table(String),
    Index(String),
    Column(String, String),
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Index(name) => write!(f, "index {name}"),
            Self::Column(table, name) => write!(f, "column {table}.{name}"),
        }
    }
}

/// What was found, and which command fits.
pub(super) fn remedy(access: Option<&Access>, model: &Model, failed: &Migration) -> String {
    let of = |text: &str| text.replace("{name}", &failed.name);
    let (done, undone) = (of(&model.done), of(&model.undone));
    let both = format!("look at what it left in the database; if all of it is there: {done}; if nothing of it is: {undone}");
    let (Some(access), Some(text)) = (access, &failed.text) else { return both };
    let made = made(text);
    let there: Vec<Option<bool>> = made.iter().map(|made| is_there(access, made)).collect();
    if made.is_empty() || there.iter().any(Option::is_none) {
        return both;
    }
    let list = |wanted: bool| {
        let each = made.iter().zip(&there).filter(|(_, there)| **there == Some(wanted)).map(|(made, _)| made.to_string());
        each.collect::<Vec<_>>().join(", ")
    };
    let (present, absent) = (list(true), list(false));
    match (present.is_empty(), absent.is_empty()) {
        (false, true) => {
            format!("all that it makes is in the database ({present}), so it seems done: look at the rest of it, then {done}")
        }
        (true, _) => format!(
            "nothing that it makes is in the database ({absent}), so it seems undone: look at the rest of it, then {undone}"
        ),
        (false, false) => format!(
            "it stopped half-way: {present} is in the database, {absent} is not. Finish it by hand, then {done}; or take back what is there, then {undone}"
        ),
    }
}

fn made(text: &str) -> Vec<Made> {
    const NAME: &str = r#"(?:["`]?\w+["`]?\.)?["`]?(\w+)["`]?"#;
    let each = |pattern: String| Regex::new(&pattern).ok();
    let plain = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut made = Vec::new();
    if let Some(regex) = each(format!(r"(?i)\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}")) {
        made.extend(regex.captures_iter(&plain).map(|found| Made::Table(found[1].to_owned())));
    }
    if let Some(regex) =
        each(format!(r"(?i)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{NAME}\s+ON\b"))
    {
        made.extend(regex.captures_iter(&plain).map(|found| Made::Index(found[1].to_owned())));
    }
    let alter = each(format!(r"(?i)\bALTER\s+TABLE\s+(?:ONLY\s+)?(?:IF\s+EXISTS\s+)?{NAME}([^;]*)"));
    let key = each(r#"(?i)\bADD\s+(?:UNIQUE\s+)?(?:INDEX|KEY)\s+(?:IF\s+NOT\s+EXISTS\s+)?["`]?(\w+)["`]?"#.to_owned());
    let column = each(r#"(?i)\bADD\s+COLUMN\s+(?:IF\s+NOT\s+EXISTS\s+)?["`]?(\w+)["`]?"#.to_owned());
    if let (Some(alter), Some(column), Some(key)) = (alter, column, key) {
        for table in alter.captures_iter(&plain) {
            made.extend(key.captures_iter(&table[2]).map(|found| Made::Index(found[1].to_owned())));
            made.extend(column.captures_iter(&table[2]).map(|found| Made::Column(table[1].to_owned(), found[1].to_owned())));
        }
    }
    made.sort();
    made.dedup();
    made
}

fn is_there(access: &Access, made: &Made) -> Option<bool> {
    // Names are of word characters alone.
    let here = match access.engine() {
        Engine::Postgres => "table_schema NOT IN ('pg_catalog', 'information_schema')",
        Engine::Mysql => "table_schema = DATABASE()",
    };
    let query = match (made, access.engine()) {
        (Made::Table(name), _) => {
            format!("SELECT COUNT(*) FROM information_schema.tables WHERE {here} AND lower(table_name) = lower('{name}')")
        }
        (Made::Column(table, name), _) => format!(
            "SELECT COUNT(*) FROM information_schema.columns WHERE {here} AND lower(table_name) = lower('{table}') AND lower(column_name) = lower('{name}')"
        ),
        (Made::Index(name), Engine::Postgres) => format!(
            "SELECT COUNT(*) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid AND lower(c.relname) = lower('{name}')"
        ),
        (Made::Index(name), Engine::Mysql) => {
            format!("SELECT COUNT(*) FROM information_schema.statistics WHERE {here} AND lower(index_name) = lower('{name}')")
        }
    };
    let rows = access.query(&query).ok()?;
    Some(rows.first()?.first()?.as_deref()? != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_a_migration_makes() {
        let text = "-- CREATE TABLE x\nCREATE TABLE \"public\".\"Order\" (id int);\nCREATE UNIQUE INDEX CONCURRENTLY \"Order_id\" ON \"Order\"(id);\nALTER TABLE users ADD COLUMN a int,\n ADD COLUMN \"b\" text;\nDROP TABLE y;";
        let told = made(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(told, "table Order, index Order_id, column users.a, column users.b");
        let text = "CREATE TABLE `shop`.`a` (id int);\nALTER TABLE `shop`.`a` ADD COLUMN `b` int, ADD UNIQUE KEY `a_b` (`b`);";
        let told = made(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(told, "table a, index a_b, column a.b");
    }
}

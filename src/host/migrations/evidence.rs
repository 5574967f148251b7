//! Looks in the database for what a migration makes: whether one that should wait has begun, and which of the tool's own commands fits
//! one that did not finish. Decides nothing.

use regex_lite::{Captures, Regex};

use crate::action::Model;
use crate::facts::{Migration, MigrationState as State};
use crate::host::database::Access;
use crate::protocol::Engine;

/// Something that a migration makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    Table(String),
    /// Of a table.
    Index(String, String),
    /// Of a table.
    Column(String, String),
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Index(_, name) => write!(f, "index {name}"),
            Self::Column(table, name) => write!(f, "column {table}.{name}"),
        }
    }
}

/// MySQL takes no change of the schema back, and the history of many a tool has no row for a migration that broke off: by it, that one
/// waits. The first that waits is such a one where something is in the database that only it makes.
pub(super) fn mark_begun(access: &Access, model: &Model, migrations: &mut [Migration]) {
    if access.engine() != Engine::Mysql || model.history.tells_unfinished() {
        return;
    }
    let Some(first) = migrations.iter_mut().find(|migration| migration.state == State::Pending) else { return };
    let made = first.text.as_deref().map(|text| made(&only_by_it(forward(model, text)))).unwrap_or_default();
    let present = are_there(access, &made).map(|there| list(&made, &there, true)).unwrap_or_default();
    if !present.is_empty() {
        first.state = State::Failed;
        first.told = Some(format!("by the history it waits, but {present} is in the database, which it makes"));
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
    let made = made(&only_by_it(forward(model, text)));
    let Some(there) = are_there(access, &made) else { return both };
    let (present, absent) = (list(&made, &there, true), list(&made, &there, false));
    match (present.is_empty(), absent.is_empty()) {
        (true, true) => both,
        // What it did to rows nobody sees.
        (false, true) if failed.is_sql() && has_unseen(forward(model, text)) => {
            format!("what it makes is in the database ({present}), and what else it does leaves nothing to look for: {both}")
        }
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

/// So many are named.
const MANY: usize = 10;

/// Those of which this holds.
fn list(made: &[Made], there: &[bool], wanted: bool) -> String {
    let each = made.iter().zip(there).filter(|(_, there)| **there == wanted).map(|(made, _)| made.to_string());
    let mut named: Vec<String> = each.collect();
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

/// The statements that must have been carried out where what they make is there: not those that also pass where it was there before, nor
/// those that make what others of them take away.
fn only_by_it(text: &str) -> String {
    let says =
        |statement: &str, words: &str| statement.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ").contains(words);
    let takes = |statement: &str| ["DROP ", "RENAME ", "CHANGE "].iter().any(|word| says(statement, word));
    let taken: Vec<&str> = text.split(';').filter(|statement| takes(statement)).collect();
    let names = |statement: &str| made(statement).iter().any(|made| taken.iter().any(|taken| made.is_named_in(taken)));
    let only = text.split(';').filter(|statement| !says(statement, "IF NOT EXISTS") && !names(statement));
    only.collect::<Vec<_>>().join(";")
}

/// Whether it also does what makes nothing that could be looked for.
fn has_unseen(text: &str) -> bool {
    const LOOKS: [&str; 5] = ["BEGIN", "COMMIT", "SELECT", "SET", "START"];
    let plain = without_comments(text);
    let statements = plain.split(';').filter_map(|statement| Some((statement, statement.split_whitespace().next()?)));
    let acts = |word: &str| !LOOKS.iter().any(|look| look.eq_ignore_ascii_case(word));
    statements.filter(|(_, word)| acts(word)).any(|(statement, _)| made(statement).is_empty())
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

impl Made {
    fn is_named_in(&self, text: &str) -> bool {
        let (Self::Table(name) | Self::Index(_, name) | Self::Column(_, name)) = self;
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word.eq_ignore_ascii_case(name))
    }
}

fn made(text: &str) -> Vec<Made> {
    // Quoted or plain; one with other letters in it is not looked for.
    const NAME: &str = r#"(?:["`]?\w+["`]?\.)?(?:["`](\w+)["`]|(\w+))"#;
    let name = |found: &Captures<'_>, at: usize| found.get(at).or(found.get(at + 1)).map_or("", |name| name.as_str()).to_owned();
    let each = |pattern: String| Regex::new(&pattern).ok();
    let plain = without_comments(text);
    let mut made = Vec::new();
    if let Some(regex) = each(format!(r"(?i)\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}")) {
        made.extend(regex.captures_iter(&plain).map(|found| Made::Table(name(&found, 1))));
    }
    if let Some(regex) = each(format!(
        r"(?i)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{NAME}\s+ON\s+(?:ONLY\s+)?{NAME}"
    )) {
        made.extend(regex.captures_iter(&plain).map(|found| Made::Index(name(&found, 3), name(&found, 1))));
    }
    let alter = each(format!(r"(?i)\bALTER\s+TABLE\s+(?:ONLY\s+)?(?:IF\s+EXISTS\s+)?{NAME}([^;]*)"));
    let key = each(r#"(?i)\bADD\s+(?:UNIQUE\s+)?(?:INDEX|KEY)\s+(?:IF\s+NOT\s+EXISTS\s+)?["`]?(\w+)["`]?"#.to_owned());
    let column = each(r#"(?i)\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(["`]?)(\w+)["`]?"#.to_owned());
    if let (Some(alter), Some(column), Some(key)) = (alter, column, key) {
        for table in alter.captures_iter(&plain) {
            let of = |column: &str| (name(&table, 1), column.to_owned());
            made.extend(key.captures_iter(&table[3]).map(|found| of(&found[1])).map(|(of, name)| Made::Index(of, name)));
            // The word COLUMN may be left out; what else can be added has a word of its own.
            let columns = column
                .captures_iter(&table[3])
                .filter(|found| !found[1].is_empty() || !NO_COLUMN.iter().any(|word| word.eq_ignore_ascii_case(&found[2])));
            made.extend(columns.map(|found| of(&found[2])).map(|(of, name)| Made::Column(of, name)));
        }
    }
    made.sort();
    made.dedup();
    made
}

/// What a table may be given beside columns.
const NO_COLUMN: [&str; 15] = [
    "CHECK",
    "COLUMN",
    "CONSTRAINT",
    "EXCLUDE",
    "FOREIGN",
    "FULLTEXT",
    "GENERATED",
    "IF",
    "INDEX",
    "KEY",
    "PARTITION",
    "PERIOD",
    "PRIMARY",
    "SPATIAL",
    "UNIQUE",
];

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

    #[test]
    fn the_word_column_may_be_left_out() {
        let text = "ALTER TABLE `a` ADD `b` int;\nALTER TABLE a ADD c int, ADD CONSTRAINT d UNIQUE(c), ADD PRIMARY KEY (c), ADD `key` int;";
        let told = made(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(told, "column a.b, column a.c, column a.key");
    }

    #[test]
    fn a_name_with_other_letters_is_not_cut() {
        let told = |text: &str| made(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(
            told("CREATE TABLE \"user-sessions\" (id int); CREATE TABLE `a b` (id int); CREATE TABLE user_sessions (id int);"),
            "table user_sessions"
        );
    }

    #[test]
    fn what_is_done_to_rows_is_not_seen() {
        assert!(!has_unseen("-- a\nCREATE TABLE a (id int);\nALTER TABLE a ADD COLUMN b int;\n"));
        assert!(!has_unseen("SET lock_timeout = 1; CREATE TABLE a (id int); SELECT 1;"));
        assert!(has_unseen("ALTER TABLE a ADD COLUMN b int;\nUPDATE a SET b = 1;\n"));
    }

    #[test]
    fn what_may_have_been_there_before_proves_nothing() {
        let of = |text: &str| made(&only_by_it(text)).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(of("CREATE TABLE a (id int); CREATE TABLE IF NOT EXISTS b (id int)"), "table a");
        assert_eq!(of("DROP TABLE IF EXISTS a; CREATE TABLE a (id int); CREATE TABLE b (id int)"), "table b");
        assert_eq!(of("ALTER TABLE a DROP COLUMN b, ADD COLUMN c int; ALTER TABLE a ADD COLUMN b int"), "");
        assert_eq!(of("RENAME TABLE a TO old; CREATE TABLE a (id int)"), "");
        assert_eq!(of("ALTER TABLE a CHANGE b old int; ALTER TABLE a ADD COLUMN b int"), "");
    }
}

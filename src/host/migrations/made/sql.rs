//! What SQL makes.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

use super::Made;

/// The statements that must have been carried out where what they make is there: not those that also pass where it was there before, nor
/// those that make what others of them take away.
pub(super) fn only_by_it(text: &str) -> String {
    // What is done only where it is not there yet, in the ways that MySQL leaves for that.
    const ASKS: [&str; 4] = ["INFORMATION_SCHEMA", "HANDLER", "PREPARE", "PROCEDURE"];
    let loud = text.to_uppercase();
    if ASKS.iter().any(|word| loud.contains(word)) {
        return String::new();
    }
    let text = &without_comments(text);
    let taken = taking(text);
    let names = |statement: &str| made(statement).iter().any(|made| made.is_named_in(&taken));
    let only = text.split(';').filter(|statement| !says(statement, "IF NOT EXISTS") && !names(statement));
    only.collect::<Vec<_>>().join(";")
}

/// The statements that take something away, or rename it.
pub(super) fn taking(text: &str) -> String {
    let takes = |statement: &&str| ["DROP ", "RENAME ", "CHANGE "].iter().any(|word| says(statement, word));
    text.split(';').filter(takes).collect::<Vec<_>>().join(";")
}

fn says(statement: &str, words: &str) -> bool {
    statement.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ").contains(words)
}

/// Whether it also does what makes nothing that could be looked for.
pub(super) fn has_unseen(text: &str) -> bool {
    const LOOKS: [&str; 5] = ["BEGIN", "COMMIT", "SELECT", "SET", "START"];
    let plain = without_comments(text);
    let statements = plain.split(';').filter_map(|statement| Some((statement, statement.split_whitespace().next()?)));
    let acts = |word: &str| !LOOKS.iter().any(|look| look.eq_ignore_ascii_case(word));
    statements.filter(|(_, word)| acts(word)).any(|(statement, _)| made(statement).is_empty())
}

/// Whether it changes rows.
pub(super) fn changes_rows(text: &str) -> bool {
    const ROWS: [&str; 8] = ["CALL", "DELETE", "INSERT", "LOAD", "REPLACE", "TRUNCATE", "UPDATE", "WITH"];
    let words = |statement: &str| statement.split_whitespace().next().map(str::to_uppercase);
    text.split(';').filter_map(words).any(|word| ROWS.contains(&word.as_str()))
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, behind)| behind);
    }
    out.push_str(rest);
    let plain =
        |line: &str| if line.trim_start().starts_with('#') { "" } else { line.split("--").next().unwrap_or_default() }.to_owned();
    out.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// What a text makes, wherever in it that stands.
pub(super) fn made(text: &str) -> Vec<Made> {
    static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(Patterns::new);
    let Some(Patterns { table, index, alter, key, column }) = &*PATTERNS else { return Vec::new() };
    let name = |found: &Captures<'_>, at: usize| found.get(at).or(found.get(at + 1)).map_or("", |name| name.as_str()).to_owned();
    let plain = without_comments(text);
    let mut made: Vec<Made> = table.captures_iter(&plain).map(|found| Made::Table(name(&found, 1))).collect();
    made.extend(index.captures_iter(&plain).map(|found| Made::Index(name(&found, 3), name(&found, 1))));
    for table in alter.captures_iter(&plain) {
        let of = |column: &str| (name(&table, 1), column.to_owned());
        made.extend(key.captures_iter(&table[3]).map(|found| of(&found[1])).map(|(of, name)| Made::Index(of, name)));
        // The word COLUMN may be left out; what else can be added has a word of its own.
        let columns = column
            .captures_iter(&table[3])
            .filter(|found| !found[1].is_empty() || !NO_COLUMN.iter().any(|word| word.eq_ignore_ascii_case(&found[2])));
        made.extend(columns.map(|found| of(&found[2])).map(|(of, name)| Made::Column(of, name)));
    }
    made.sort();
    made.dedup();
    made
}

/// A file may hold thousands of statements, each of which is looked at.
struct Patterns {
    table: Regex,
    index: Regex,
    alter: Regex,
    key: Regex,
    column: Regex,
}

impl Patterns {
    fn new() -> Option<Self> {
        // Quoted or plain; one with other letters in it is not looked for.
        const NAME: &str = r#"(?:["`]?\w+["`]?\.)?(?:["`](\w+)["`]|(\w+))"#;
        let each = |pattern: String| Regex::new(&pattern).ok();
        Some(Self {
            table: each(format!(r"(?i)\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}"))?,
            index: each(format!(
                r"(?i)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{NAME}\s+ON\s+(?:ONLY\s+)?{NAME}"
            ))?,
            alter: each(format!(r"(?i)\bALTER\s+TABLE\s+(?:ONLY\s+)?(?:IF\s+EXISTS\s+)?{NAME}([^;]*)"))?,
            key: each(r#"(?i)\bADD\s+(?:UNIQUE\s+)?(?:INDEX|KEY)\s+(?:IF\s+NOT\s+EXISTS\s+)?["`]?(\w+)["`]?"#.to_owned())?,
            column: each(r#"(?i)\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(["`]?)(\w+)["`]?"#.to_owned())?,
        })
    }
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
        assert_eq!(of("DROP TABLE s; CREATE TABLE s (u int); CREATE INDEX i ON s (u); CREATE TABLE t (id int)"), "table t");
        assert_eq!(of("/* CREATE TABLE a (id int); */\n# CREATE TABLE b (id int);\nCREATE TABLE c (id int)"), "table c");
        assert_eq!(
            of(
                "SET @s = IF((SELECT COUNT(*) FROM information_schema.columns) > 0, 'SELECT 1', 'ALTER TABLE a ADD b int'); PREPARE x FROM @s"
            ),
            ""
        );
    }
}

//! Files of plain SQL: `NUMBER_name.sql`, and a comment at the top that says when and what for.

use super::Check::{End, Reading};
use super::{BOTH, Rule};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::{Source, Tool};

/// A file's name without its folder.
pub(super) fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The number that a file's name begins with, without leading zeros.
pub(in crate::migration::lint) fn number(name: &str) -> Option<&str> {
    let (digits, rest) = base(name).split_once('_')?;
    let well = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
    well.then(|| digits.trim_start_matches('0'))
}

fn well_named(name: &str) -> bool {
    let words = |stem: &str| stem.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    number(name).is_some() && base(name).strip_suffix(".sql").is_some_and(words)
}

/// The comment that a file begins with, without what marks it as one.
fn header(text: &str) -> String {
    let mut out = String::new();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if let Some(block) = text.strip_prefix("/*") {
        return block.split("*/").next().unwrap_or("").to_owned();
    }
    for line in text.lines().map(str::trim).take_while(|line| line.starts_with("--") || line.is_empty()) {
        out.push_str(line.trim_start_matches('-'));
        out.push('\n');
    }
    out
}

fn has_date(text: &str) -> bool {
    text.as_bytes().windows(10).any(|window| {
        window.iter().enumerate().all(|(i, byte)| if i == 4 || i == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
    })
}

/// Whether there is a purpose: two words that are more than the labels.
fn has_purpose(text: &str) -> bool {
    let labels = ["date", "purpose", "author", "migration", "landfall", "transaction"];
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 2);
    words.filter(|word| !labels.contains(&word.to_lowercase().as_str())).count() >= 2
}

fn of_sql(source: &Source<'_>) -> bool {
    source.tool == Tool::Sql
}

pub(super) const RULES: [Rule; 3] = [
    Rule {
        id: "file-name",
        severity: Error,
        dialects: BOTH,
        why: "files are applied in the order of their numbers, and a name tells what one is for",
        safe: "name it NUMBER_name.sql, like 014_add_invoice_due_date.sql: a number, small letters, digits and underscores",
        check: End(|_, source, hits| {
            if of_sql(source) && !well_named(source.name) {
                hits.add(&(0..0), format!("the file `{}` is not called NUMBER_name.sql", base(source.name)));
            }
        }),
        bad: &[
            "-- file: add_users.sql\nSELECT 1;",
            "-- file: db/1-users.sql\nSELECT 1;",
            "-- file: 001_Add Users.sql\nSELECT 1;",
        ],
        good: &["-- file: db/migrations/001_add_users.sql\nSELECT 1;"],
    },
    Rule {
        id: "file-number-twice",
        severity: Error,
        dialects: BOTH,
        why: "which of the two comes first is left to chance",
        safe: "give the newer one the next free number",
        check: Reading,
        bad: &["-- file: m/001_a.sql\nSELECT 1;\n-- file: m/1_b.sql\nSELECT 1;"],
        good: &[
            "-- file: m/001_a.sql\nSELECT 1;\n-- file: m/002_a.sql\nSELECT 1;",
            "-- file: m/001_a.sql\nSELECT 1;\n-- file: n/001_a.sql\nSELECT 1;",
        ],
    },
    Rule {
        id: "file-header",
        severity: Warning,
        dialects: BOTH,
        why: "who reads it in a year wants to know when and why",
        safe: "begin the file with `-- 2026-03-14: adds the due date of invoices`",
        check: End(|_, source, hits| {
            let header = header(source.text);
            if of_sql(source) && !(has_date(&header) && has_purpose(&header)) {
                let lacks = if has_date(&header) { "says no purpose" } else { "has no date" };
                hits.add(&(0..0), format!("the comment at the top {lacks}"));
            }
        }),
        bad: &[
            "-- file: 001_a.sql\nSELECT 1;",
            "-- file: 001_a.sql\n-- adds the users\nSELECT 1;",
            "-- file: 001_a.sql\n-- Date: 2026-01-02\nSELECT 1;",
        ],
        good: &[
            "-- file: 001_a.sql\n-- 2026-01-02: adds the users\nSELECT 1;",
            "-- file: 001_a.sql\n/* Date: 2026-01-02\n Purpose: adds the users */\nSELECT 1;",
        ],
    },
];

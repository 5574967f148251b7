//! What the forward half of a migration makes in the database, by its text alone: SQL, or a program that uses its framework's own calls. Of a
//! program only names that stand there as they are count; what it computes is not looked for. Pure.

mod program;
mod sql;
mod tokens;

use crate::facts::Migration;

/// Something that a migration makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Made {
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

impl Made {
    /// Whether a text names it, or the table that it is of: of one that is made anew the old one may have had it, too.
    fn is_named_in(&self, text: &str) -> bool {
        let (table, name) = match self {
            Self::Table(name) => (name, name),
            Self::Index(table, name) | Self::Column(table, name) => (table, name),
        };
        let is = |word: &str| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(table);
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(is)
    }
}

/// What was read of a migration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// What is only there when this migration made it.
    pub(super) made: Vec<Made>,
    /// The same, in tables that may have another name than the program lets one think: where it is not there, that says nothing.
    pub(super) perhaps: Vec<Made>,
    /// It also does what cannot be looked for: something to rows, or to what has no plain name.
    pub(super) more: bool,
}

/// Reads the forward half of a migration.
pub(super) fn of(migration: &Migration, text: &str) -> Reading {
    if migration.is_sql() {
        return Reading { made: sql::made(&sql::only_by_it(text)), more: sql::has_unseen(text), ..Reading::default() };
    }
    let path = std::path::Path::new(migration.file.as_deref().unwrap_or(&migration.name));
    let app = migration.name.split_once('.').map_or("", |(app, _)| app);
    let program = path.extension().and_then(|kind| program::read(&kind.to_string_lossy(), app, text));
    let mut reading = program.unwrap_or_else(|| Reading { more: true, ..Reading::default() });
    reading.made.sort();
    reading.made.dedup();
    reading
}

#[cfg(test)]
mod tests;

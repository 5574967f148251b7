//! Knex's calls.

use super::super::tokens::{Language, Token};
use super::{Call, Made, Read, Reader, call, does, name};

/// What takes the name of a column of its own first.
const KNEX: [&str; 31] = [
    "bigIncrements",
    "bigInteger",
    "bigint",
    "binary",
    "boolean",
    "date",
    "dateTime",
    "datetime",
    "decimal",
    "double",
    "enu",
    "enum",
    "float",
    "geography",
    "geometry",
    "increments",
    "int",
    "integer",
    "json",
    "jsonb",
    "mediumint",
    "point",
    "smallint",
    "specificType",
    "string",
    "text",
    "time",
    "timestamp",
    "tinyint",
    "uuid",
    "varchar",
];

impl<'t> Reader<'t> {
    pub(super) fn of_knex(&mut self, call: &Call<'t>) -> Option<Read> {
        match call.name {
            "createTable" => self.table(call)?,
            "alterTable" => self.columns_of_knex(call)?,
            "table" if call.arguments.len() > 1 => self.columns_of_knex(call)?,
            _ if does(call.name) => return None,
            _ => return Some(Read::Into),
        }
        Some(Read::Whole)
    }

    /// `alterTable('x', (t) => { t.string('c'); })`
    fn columns_of_knex(&mut self, call: &Call<'t>) -> Option<()> {
        let table = self.named(call, 0, "")?;
        let body = self.argument(call, 1)?;
        let word = |token: &Token<'t>| match token {
            Token::Word(word) if !["async", "function"].contains(word) => Some(*word),
            _ => None,
        };
        let variable = body.iter().find_map(word)?;
        let begins = |at: &usize| body.get(*at..*at + 2).is_some_and(|two| two == [Token::Word(variable), Token::Mark('.')]);
        let starts: Vec<usize> = (0..body.len()).filter(begins).collect();
        for (at, start) in starts.iter().enumerate() {
            let statement = &body[start + 2..starts.get(at + 1).copied().unwrap_or(body.len())];
            let made = of_builder(self.language, &table, statement);
            self.reading.more |= made.is_none();
            self.reading.made.extend(made);
        }
        (!starts.is_empty()).then_some(())
    }
}

/// What a call of Knex's builder makes; none where it makes nothing that has a plain name.
fn of_builder(language: Language, table: &str, statement: &[Token<'_>]) -> Option<Made> {
    let call = call(language, statement, 0)?;
    let argument = |at: usize| call.arguments.get(at).and_then(|range| name(&statement[range.start..range.end]));
    let plain = |name: &String| !name.contains(|c: char| c.is_ascii_uppercase());
    match call.name {
        // It was there before.
        _ if statement.contains(&Token::Word("alter")) => None,
        "index" | "unique" => argument(1).filter(plain).map(|index| Made::Index(table.to_owned(), index)),
        kind if KNEX.contains(&kind) => argument(0).filter(plain).map(|column| Made::Column(table.to_owned(), column)),
        _ => None,
    }
}

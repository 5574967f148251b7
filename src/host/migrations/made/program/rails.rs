//! Rails' calls.

use super::super::tokens::Token;
use super::{Call, Made, Read, Reader, call, does, name};

/// What takes the names of columns of its own.
const RAILS: [&str; 16] = [
    "bigint",
    "binary",
    "blob",
    "boolean",
    "date",
    "datetime",
    "decimal",
    "float",
    "integer",
    "json",
    "numeric",
    "string",
    "text",
    "time",
    "timestamp",
    "tinyint",
];

impl<'t> Reader<'t> {
    pub(super) fn of_rails(&mut self, call: &Call<'t>) -> Option<Read> {
        match call.name {
            "create_table" => self.table(call)?,
            "add_column" | "add_reference" | "add_belongs_to" => {
                let (table, column) = (self.named(call, 0, "")?, self.named(call, 1, "")?);
                self.only(call)?;
                let column = if call.name == "add_column" { column } else { format!("{column}_id") };
                self.reading.made.push(Made::Column(table, column));
            }
            "add_index" => {
                let made = Made::Index(self.named(call, 0, "")?, self.index_of_rails(call)?);
                self.only(call)?;
                self.reading.made.push(made);
            }
            "change_table" => self.block_of_rails(call)?,
            _ if does(call.name) => return None,
            _ => return Some(Read::Into),
        }
        Some(Read::Whole)
    }

    fn index_of_rails(&self, call: &Call<'_>) -> Option<String> {
        let named = |argument: &[Token<'_>]| match argument {
            [Token::Word("name"), Token::Mark(':'), given @ ..] => name(given),
            _ => None,
        };
        (0..call.arguments.len()).find_map(|at| named(without_lines(self.argument(call, at)?)))
    }

    /// `change_table :x do |t| … end`
    fn block_of_rails(&mut self, call: &Call<'t>) -> Option<()> {
        let table = self.named(call, 0, "")?;
        let [Token::Word("do") | Token::Mark('{'), Token::Mark('|'), Token::Word(variable), Token::Mark('|'), body @ ..] =
            &self.tokens[call.end..]
        else {
            return None;
        };
        let end = body.iter().position(|token| *token == Token::Word("end") || token.is('}')).unwrap_or(body.len());
        let from = call.end + 4;
        for at in from..from + end {
            let line = self.tokens.get(at..at + 2).is_some_and(|two| two == [Token::Word(variable), Token::Mark('.')]);
            if let (true, Some(Token::Word(_))) = (line, self.tokens.get(at + 2)) {
                self.line_of_rails(&table, at + 2);
            }
        }
        Some(())
    }

    /// `t.string :a, :b, null: false`
    fn line_of_rails(&mut self, table: &str, at: usize) {
        let made = self.in_line_of_rails(table, at).unwrap_or_default();
        self.reading.more |= made.is_empty();
        self.reading.made.extend(made);
    }

    fn in_line_of_rails(&self, table: &str, at: usize) -> Option<Vec<Made>> {
        let call = call(self.language, self.tokens, at)?;
        self.only(&call)?;
        let (most, suffix) = match call.name {
            "index" => return Some(vec![Made::Index(table.to_owned(), self.index_of_rails(&call)?)]),
            // Behind the one name stands its type.
            "column" => (1, ""),
            "references" | "belongs_to" => (call.arguments.len(), "_id"),
            kind if RAILS.contains(&kind) => (call.arguments.len(), ""),
            _ => return None,
        };
        let columns = (0..most).map_while(|at| Some(self.named(&call, at, "")? + suffix));
        Some(columns.map(|column| Made::Column(table.to_owned(), column)).collect())
    }
}

fn without_lines<'a, 't>(argument: &'a [Token<'t>]) -> &'a [Token<'t>] {
    let from = argument.iter().position(|token| !token.is('\n')).unwrap_or(0);
    &argument[from..]
}

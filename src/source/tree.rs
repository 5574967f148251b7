//! The tree of a TOML file, owned, with the place of every key and value, in the order of the text.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diag::{Place, Placed, Sink};

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its header, or all of it where it is inline.
    pub place: Place,
    /// Its keys and values, in the order of the text.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Placed<String>,
    /// Its value.
    pub value: Placed<Node>,
}

/// A value of any type.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A string.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Float(f64),
    /// A boolean.
    Flag(bool),
    /// A date or a time.
    Date(String),
    /// A list.
    List(Vec<Placed<Node>>),
    /// A table.
    Table(Table),
}

impl Node {
    /// What it is, in words.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Flag(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// A table that stands in no file.
    pub fn made_of(entries: impl IntoIterator<Item = (&'static str, Node)>) -> Self {
        let entry = |(key, node): (&str, Node)| Entry { key: Placed::nowhere(key.to_owned()), value: Placed::nowhere(node) };
        Self { place: Place::nowhere(), entries: entries.into_iter().map(entry).collect() }
    }
}

/// Reads a file's text. What cannot be read is left out, and told.
pub fn parse(file: &Arc<str>, text: &str, sink: &Sink) -> Table {
    sink.source(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = Place { file: file.clone(), span: error.span().unwrap_or(0..0) };
        sink.error(&place, error.message(), Some("this is not TOML (https://toml.io)".to_owned()));
    }
    let span = table.span();
    convert_table(file, table.get_ref(), Place { file: file.clone(), span })
}

fn convert_table(file: &Arc<str>, table: &DeTable<'_>, place: Place) -> Table {
    let place_of = |span| Place { file: file.clone(), span };
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: Placed::new(key.get_ref().clone().into_owned(), place_of(key.span())),
            value: convert(file, value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key.place.span.start);
    Table { place, entries }
}

fn convert(file: &Arc<str>, value: &Spanned<DeValue<'_>>) -> Placed<Node> {
    let place = Place { file: file.clone(), span: value.span() };
    let node = match value.get_ref() {
        DeValue::String(text) => Node::Text(text.clone().into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).map_or(Node::Float(f64::INFINITY), Node::Whole)
        }
        DeValue::Float(number) => Node::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Node::Flag(*flag),
        DeValue::Datetime(date) => Node::Date(date.to_string()),
        DeValue::Array(items) => Node::List(items.iter().map(|item| convert(file, item)).collect()),
        DeValue::Table(table) => Node::Table(convert_table(file, table, place.clone())),
    };
    Placed::new(node, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_places() {
        let text = "b = 1\na = 'x'\n[t]\nk = [1, 2]\n[[s]]\nz = 1\n[[s]]\n";
        let sink = Sink::default();
        let table = parse(&Arc::from("f"), text, &sink);
        assert!(sink.is_empty());
        let keys: Vec<&str> = table.entries.iter().map(|entry| entry.key.value.as_str()).collect();
        assert_eq!(keys, ["b", "a", "t", "s"]);
        let shown = |place: &Place| text[place.span.clone()].to_owned();
        assert_eq!(shown(&table.entries[1].value.place), "'x'");
        let Node::Table(inner) = &table.entries[2].value.value else { panic!("a table") };
        assert_eq!(shown(&inner.place), "[t]");
        let Node::List(items) = &table.entries[3].value.value else { panic!("a list") };
        assert_eq!(items.iter().map(|item| shown(&item.place)).collect::<Vec<_>>(), ["[[s]]", "[[s]]"]);
    }

    #[test]
    fn several_syntax_errors_are_told_at_once() {
        let sink = Sink::default();
        parse(&Arc::from("f.toml"), "a = \nb = 1\nc = [1,\n", &sink);
        insta::assert_snapshot!(sink.finish(()).expect_err("errors"), @r"
        error: string values must be quoted, expected literal string
         --> f.toml:1:5
          |
        1 | a = 
          |     ^
          |
          = help: this is not TOML (https://toml.io)

        error: unclosed array, expected `]`
         --> f.toml:3:8
          |
        3 | c = [1,
          |        ^
          |
          = help: this is not TOML (https://toml.io)
        ");
    }
}

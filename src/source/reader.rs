//! Typed reading from a table: each key is asked for by name, what is wrong with its value is told with its place, and whatever
//! nobody asked for is an unknown key. The one place that does so, for inventory, playbook and each step kind.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use regex_lite::Regex;

use super::diag::{Place, Placed, Sink};
use super::scope::Scope;
use super::suggest::nearest;
use super::tree::{Entry, Node, Table};

/// What is said of a regular expression that cannot be read.
pub const REGEX_HELP: &str = "the syntax is that of the regex-lite crate: no look-around, no back-references, no \\p{…}; \
                              in TOML write it in single quotes";

/// Reads one table.
#[derive(Debug)]
pub struct Reader<'a> {
    table: &'a Table,
    what: String,
    scope: Option<&'a Scope>,
    sink: &'a Sink,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    /// Reads a table; `what` names it in messages ("a `seed` step"). With a scope, strings have their vars filled in.
    pub fn new(table: &'a Table, what: impl Into<String>, scope: Option<&'a Scope>, sink: &'a Sink) -> Self {
        Self { table, what: what.into(), scope, sink, known: RefCell::default() }
    }

    /// Where the table is.
    pub fn place(&self) -> &'a Place {
        &self.table.place
    }

    /// Where errors go.
    pub fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// The vars in force.
    pub fn scope(&self) -> Option<&'a Scope> {
        self.scope
    }

    /// What the table is, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The keys that were asked for.
    pub fn known(&self) -> Vec<&'static str> {
        self.known.borrow().clone()
    }

    /// Adds an error.
    pub fn error(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.sink.error(place, message, Some(help.into()));
    }

    /// The key and its value, whatever it is.
    pub fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
        self.table.get(key)
    }

    /// Where a key is written, or where it would have to be.
    pub fn place_of(&self, key: &str) -> Place {
        self.table.get(key).map_or_else(|| self.table.place.clone(), |entry| entry.key.place.clone())
    }

    /// Says that a key is missing.
    pub fn missing(&self, key: &str, help: impl Into<String>) {
        self.error(&self.table.place, format!("{} needs `{key}`", self.what), help);
    }

    fn wrong(&self, key: &str, found: &Placed<Node>, expected: &str) {
        let help = match &found.value {
            Node::Text(text) if key == "command" || key == "status" || key == "apply" => {
                format!(
                    "write each word by itself, it passes through no shell: `{key} = {:?}`",
                    text.split_whitespace().collect::<Vec<_>>()
                )
            }
            Node::Text(text) if expected.starts_with("a list") => format!("put it in brackets: `{key} = [{text:?}]`"),
            Node::Whole(number) if expected.starts_with("a duration") => format!("say the unit: `{key} = \"{number}s\"`"),
            Node::Whole(_) | Node::Float(_) | Node::Flag(_) | Node::Date(_) if expected.starts_with("a string") => {
                "put it in quotes".to_owned()
            }
            Node::Text(_) if expected == "true or false" => "write it without quotes".to_owned(),
            Node::Text(text) if expected.starts_with("a whole number") && text.parse::<i64>().is_ok() => {
                "write it without quotes".to_owned()
            }
            _ => format!("write `{key} = …` with {expected}"),
        };
        self.error(&found.place, format!("`{key}` must be {expected}, not {}", found.value.what()), help);
    }

    fn filled(&self, text: &str, place: &Place) -> Placed<String> {
        let placed = Placed::new(text.to_owned(), place.clone());
        match self.scope {
            Some(scope) => placed.with(scope.fill(&placed, self.sink)),
            None => placed,
        }
    }

    fn node_text(&self, key: &str, node: &Placed<Node>, expected: &str) -> Option<Placed<String>> {
        let Node::Text(text) = &node.value else {
            self.wrong(key, node, expected);
            return None;
        };
        Some(self.filled(text, &node.place))
    }

    /// A string.
    pub fn text(&self, key: &'static str) -> Option<Placed<String>> {
        self.node_text(key, &self.entry(key)?.value, "a string")
    }

    /// A string in which vars are not filled in.
    pub fn raw_text(&self, key: &'static str) -> Option<Placed<String>> {
        let node = &self.entry(key)?.value;
        let Node::Text(text) = &node.value else {
            self.wrong(key, node, "a string");
            return None;
        };
        Some(node.with(text.clone()))
    }

    /// A list of strings.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let node = &self.entry(key)?.value;
        let Node::List(items) = &node.value else {
            self.wrong(key, node, "a list of strings");
            return None;
        };
        Some(items.iter().filter_map(|item| self.node_text(key, item, "a list of strings")).collect())
    }

    /// One string, or a list of them.
    pub fn text_or_texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        match &self.entry(key)?.value.value {
            Node::Text(_) => self.text(key).map(|text| vec![text]),
            _ => self.texts(key),
        }
    }

    /// A command: a list of strings with at least one word.
    pub fn command(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let words = self.texts(key)?;
        if words.first().is_none_or(|word| word.value.is_empty()) {
            let help = format!("name a program and its arguments: `{key} = [\"npx\", \"tsx\", \"seed.ts\"]`");
            self.error(&self.table.get(key)?.value.place, format!("`{key}` is empty"), help);
            return None;
        }
        Some(words)
    }

    /// A name.
    pub fn name<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Placed<T>> {
        self.parsed(&self.text(key)?)
    }

    /// A list of names.
    pub fn names<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Vec<Placed<T>>> {
        Some(self.texts(key)?.iter().filter_map(|text| self.parsed(text)).collect())
    }

    /// A text as a name.
    pub fn parsed<T: FromStr<Err: Display>>(&self, text: &Placed<String>) -> Option<Placed<T>> {
        match text.value.parse() {
            Ok(name) => Some(text.with(name)),
            Err(_) if text.value.contains("{{ ") => None,
            Err(error) => {
                let error: T::Err = error;
                let told = error.to_string();
                let (message, help) = told.split_once(": ").unwrap_or((&told, "use another name"));
                self.error(&text.place, message, help);
                None
            }
        }
    }

    /// True or false.
    pub fn flag(&self, key: &'static str) -> Option<Placed<bool>> {
        let node = &self.entry(key)?.value;
        let Node::Flag(flag) = node.value else {
            self.wrong(key, node, "true or false");
            return None;
        };
        Some(node.with(flag))
    }

    /// A whole number within bounds.
    pub fn whole(&self, key: &'static str, bounds: RangeInclusive<i64>) -> Option<Placed<i64>> {
        let node = &self.entry(key)?.value;
        match node.value {
            Node::Whole(number) if bounds.contains(&number) => Some(node.with(number)),
            Node::Whole(number) => {
                let help = format!("use a number from {} to {}", bounds.start(), bounds.end());
                self.error(&node.place, format!("`{key}` cannot be {number}"), help);
                None
            }
            _ => {
                self.wrong(key, node, "a whole number");
                None
            }
        }
    }

    /// A duration longer than nothing.
    pub fn duration(&self, key: &'static str) -> Option<Placed<Duration>> {
        let node = &self.entry(key)?.value;
        let text = self.node_text(key, node, "a duration such as \"30s\" or \"2m\"")?;
        match humantime::parse_duration(&text.value) {
            Ok(Duration::ZERO) => self.error(&text.place, format!("`{key}` cannot be nothing"), "use a duration such as \"30s\""),
            Ok(duration) => return Some(text.with(duration)),
            Err(error) => self.error(
                &text.place,
                format!("{:?} is not a duration: {error}", text.value),
                "use a number and a unit, such as \"500ms\", \"30s\", \"2m\" or \"1h 30m\"",
            ),
        }
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Placed<T>> {
        let text = self.text(key)?;
        self.choice_of(key, &text, words).map(|value| text.with(value))
    }

    /// The same for a text that was read, such as one of a list.
    pub fn choice_of<T: Copy>(&self, key: &str, text: &Placed<String>, words: &[(&str, T)]) -> Option<T> {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let help = match nearest(&text.value, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use {}{}", if all.len() > 1 { "one of " } else { "" }, all.join(", ")),
        };
        self.error(&text.place, format!("`{key}` cannot be {:?}", text.value), help);
        None
    }

    /// A regular expression that the host can run.
    pub fn regex(&self, key: &'static str) -> Option<Placed<String>> {
        let text = self.text(key)?;
        match Regex::new(&text.value) {
            Ok(_) => Some(text),
            Err(error) => {
                self.error(&text.place, format!("`{key}` is not a regular expression: {error}"), REGEX_HELP);
                None
            }
        }
    }

    /// A table, to be read on.
    pub fn table(&self, key: &'static str, what: impl Into<String>) -> Option<Reader<'a>> {
        let node = &self.entry(key)?.value;
        self.node_table(key, node).map(|table| Reader::new(table, what, self.scope, self.sink))
    }

    /// A table whose keys are names of the user's choice.
    pub fn map(&self, key: &'static str) -> Option<&'a Table> {
        self.node_table(key, &self.entry(key)?.value)
    }

    fn node_table(&self, key: &str, node: &'a Placed<Node>) -> Option<&'a Table> {
        let Node::Table(table) = &node.value else {
            self.wrong(key, node, "a table");
            return None;
        };
        Some(table)
    }

    /// A list of tables (`[[key]]`).
    pub fn tables(&self, key: &'static str) -> Vec<&'a Table> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let items = match &entry.value.value {
            Node::List(items) => items,
            Node::Table(_) => {
                let help = format!("write `[[{key}]]` with two brackets: there can be several");
                self.error(&entry.value.place, format!("`{key}` must be a list of tables, not one table"), help);
                return Vec::new();
            }
            _ => {
                self.wrong(key, &entry.value, "a list of tables");
                return Vec::new();
            }
        };
        items.iter().filter_map(|item| self.node_table(key, item)).collect()
    }

    /// A table of strings with keys of the user's choice.
    pub fn text_map(&self, key: &'static str) -> Vec<(Placed<String>, Placed<String>)> {
        let entries = self.map(key).map(|table| table.entries.as_slice()).unwrap_or_default();
        let text = |entry: &Entry| Some((entry.key.clone(), self.node_text(&entry.key.value, &entry.value, "a string")?));
        entries.iter().filter_map(text).collect()
    }

    /// Tells each key that nobody asked for.
    pub fn finish(self) {
        let known = self.known.into_inner();
        for entry in self.table.entries.iter().filter(|entry| !known.contains(&entry.key.value.as_str())) {
            let key = &entry.key.value;
            let help = nearest(key, &known).map_or_else(
                || {
                    let mut all = known.clone();
                    all.sort_unstable();
                    if all.is_empty() { "it has no keys".to_owned() } else { format!("its keys are {}", all.join(", ")) }
                },
                |near| format!("did you mean `{near}`?"),
            );
            self.sink.error(&entry.key.place, format!("unknown key `{key}` in {}", self.what), Some(help));
        }
    }
}

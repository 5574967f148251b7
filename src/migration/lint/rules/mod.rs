//! The rules: an open table, a family a file. A rule sees one thing that is done at a time, or a whole file at its end; it knows no
//! parser and no other rule. Its examples are its tests.

mod breaking;
mod columns;
mod constraints;
mod destructive;
mod files;
mod locking;
mod missing;
mod mysql;
mod naming;
mod rows;
mod unclear;

pub(super) use files::number;

use std::ops::Range;

use super::body::Within;
use super::op::{Action, Op};
use super::token::Name;
use super::world::World;
use super::{Dialect, Severity, Source, Tool};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name, in findings and approvals.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// Where it applies.
    pub dialects: &'static [Dialect],
    /// Why it is there.
    pub why: &'static str,
    /// The safe way to do the same.
    pub safe: &'static str,
    pub(super) check: Check,
    /// Files that break it.
    pub bad: &'static [&'static str],
    /// Files that resemble those, and do not.
    pub good: &'static [&'static str],
}

const POSTGRES: &[Dialect] = &[Dialect::Postgres];
const MYSQL: &[Dialect] = &[Dialect::Mysql];
const BOTH: &[Dialect] = &[Dialect::Postgres, Dialect::Mysql];

/// How a rule looks.
#[derive(Debug)]
pub(super) enum Check {
    /// At one thing that is done.
    Each(fn(&Look<'_>, &mut Hits)),
    /// At a file's end.
    End(fn(&World, &Source<'_>, &mut Hits)),
    /// Not at all: the reading itself tells.
    Reading,
}

/// One thing that is done, and what is known when it is.
pub(super) struct Look<'l> {
    pub(super) op: &'l Op,
    pub(super) span: &'l Range<usize>,
    pub(super) within: Within,
    pub(super) dialect: Dialect,
    pub(super) tool: Tool,
    pub(super) world: &'l World,
}

/// What a rule found: where, and in words.
#[derive(Debug, Default)]
pub(super) struct Hits(pub(super) Vec<(Range<usize>, String)>);

impl Hits {
    fn add(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.0.push((span.clone(), message.into()));
    }
}

impl<'l> Look<'l> {
    /// The actions of an `ALTER TABLE` of a table that is in use.
    fn actions(&self) -> impl Iterator<Item = (&'l Name, &'l Action, &'l Range<usize>)> {
        let (table, actions) = match self.op {
            Op::AlterTable { table, actions } if !self.world.is_new(table) => (Some(table), actions.as_slice()),
            _ => (None, [].as_slice()),
        };
        actions.iter().filter_map(move |(action, span)| table.map(|table| (table, action, span)))
    }
}

const FAMILIES: [&[Rule]; 11] = [
    &destructive::RULES,
    &rows::RULES,
    &locking::RULES,
    &constraints::RULES,
    &columns::RULES,
    &breaking::RULES,
    &missing::RULES,
    &mysql::RULES,
    &naming::RULES,
    &files::RULES,
    &unclear::RULES,
];

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.into_iter().flatten()
}

/// The rule of this name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}

/// A name in a sentence; something is dropped even where its name cannot be read.
fn called(name: &Name) -> String {
    if name.parts.is_empty() { "(name unknown)".to_owned() } else { format!("`{name}`") }
}

fn all_called(names: &[Name]) -> String {
    if names.is_empty() { "(name unknown)".to_owned() } else { names.iter().map(called).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::migration::lint::{Tool, check_each, guess, is_program};

    /// What is found in an example: one file, or several that begin with `-- file: NAME`.
    fn found(rule: &Rule, text: &str) -> BTreeSet<&'static str> {
        let dialect = if text.contains("-- mysql") { Dialect::Mysql } else { rule.dialects[0] };
        let usual = if rule.id.starts_with("file-") { Tool::Sql } else { Tool::Unknown };
        let tool = |name: &str, text: &str| if is_program(name) { guess(name, text, dialect, None).tool } else { usual };
        let files: Vec<(&str, &str)> = match text.strip_prefix("-- file: ") {
            Some(rest) => rest.split("-- file: ").filter_map(|file| file.split_once('\n')).collect(),
            None => vec![("001_x.sql", text)],
        };
        let source = |(name, text)| Source { name, text, dialect, tool: tool(name, text), in_transaction: true };
        let sources: Vec<Source<'_>> = files.into_iter().map(source).collect();
        check_each(&sources).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn each_has_its_own_name_and_says_what_to_do() {
        let mut seen = BTreeSet::new();
        for rule in rules() {
            assert!(seen.insert(rule.id), "{} stands twice", rule.id);
            assert!(rule.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", rule.id);
            assert!(!rule.why.is_empty() && !rule.safe.is_empty(), "{}", rule.id);
            assert!(!rule.bad.is_empty() && !rule.good.is_empty(), "{} has no examples", rule.id);
        }
    }

    #[test]
    fn each_finds_its_bad_examples_and_leaves_its_good_ones() {
        let mut wrong = Vec::new();
        for rule in rules() {
            for text in rule.bad.iter().filter(|text| !found(rule, text).contains(rule.id)) {
                wrong.push(format!("{} misses {text}\n  found {:?}", rule.id, found(rule, text)));
            }
            for text in rule.good.iter().filter(|text| found(rule, text).contains(rule.id)) {
                wrong.push(format!("{} objects to {text}", rule.id));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

//! Names of tables, columns and indexes.

use super::Check::Each;
use super::{BOTH, Look, Rule};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Op};
use crate::migration::lint::{Dialect, Tool};

/// The names that a statement gives to tables, columns and indexes; with `all`, to constraints too.
fn given(look: &Look<'_>, all: bool) -> Vec<String> {
    let mut names = Vec::new();
    match look.op {
        Op::CreateTable(table) => {
            names.push(table.name.last().to_owned());
            names.extend(table.columns.iter().map(|column| column.name.last().to_owned()));
            let constraints = table.constraints.iter().filter_map(|(constraint, _)| constraint.name.as_ref());
            names.extend(constraints.filter(|_| all).map(|name| name.last().to_owned()));
        }
        Op::CreateIndex(index) => names.extend(index.name.as_ref().map(|name| name.last().to_owned())),
        Op::RenameTables(pairs) => names.extend(pairs.iter().map(|(_, to)| to.last().to_owned())),
        Op::AlterTable { actions, .. } => {
            for (action, _) in actions {
                match action {
                    Action::AddColumn(column) => names.push(column.name.last().to_owned()),
                    Action::RenameTable(to) => names.push(to.last().to_owned()),
                    Action::Redefine { old, column } if old.last() != column.name.last() => {
                        names.push(column.name.last().to_owned());
                    }
                    Action::AddConstraint(constraint) if all => {
                        names.extend(constraint.name.as_ref().map(|name| name.last().to_owned()));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    names
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

pub(super) const RULES: [Rule; 2] = [
    Rule {
        id: "name-not-snake-case",
        severity: Warning,
        dialects: BOTH,
        why: "such a name must be quoted wherever it is written, or means another on another system",
        safe: "use small letters, digits and underscores",
        check: Each(|look, hits| {
            // Prisma gives its models' own names, and quotes them wherever it writes them.
            let given_by_tool =
                |name: &str| look.tool == Tool::Prisma && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let is_odd = |name: &String| !name.is_empty() && !is_snake(name) && !given_by_tool(name);
            let odd: Vec<String> = given(look, false).into_iter().filter(is_odd).collect();
            if !odd.is_empty() {
                hits.add(look.span, format!("{} is not in snake_case", quoted(&odd)));
            }
        }),
        bad: &[
            "CREATE TABLE \"Users\" (id int primary key);",
            "ALTER TABLE a ADD \"createdAt\" int;",
            "CREATE INDEX CONCURRENTLY \"my index\" ON a (b);",
            "-- mysql\nCREATE TABLE Users (id int primary key);",
        ],
        good: &["CREATE TABLE Users (id int primary key);", "CREATE TABLE \"users_2\" (id int primary key);"],
    },
    Rule {
        id: "name-too-long",
        severity: Error,
        dialects: BOTH,
        why: "PostgreSQL cuts names after 63 bytes, in silence, and two may become one; MySQL refuses more than 64 characters",
        safe: "use a shorter name",
        check: Each(|look, hits| {
            let long = |name: &String| match look.dialect {
                Dialect::Postgres => name.len() > 63,
                Dialect::Mysql => name.chars().count() > 64,
            };
            let names: Vec<String> = given(look, true).into_iter().filter(long).collect();
            if !names.is_empty() {
                hits.add(look.span, format!("{} is too long", quoted(&names)));
            }
        }),
        bad: &["CREATE INDEX CONCURRENTLY an_index_whose_name_is_longer_than_what_postgresql_keeps_of_a_name ON a (b);"],
        good: &["CREATE INDEX CONCURRENTLY an_index_whose_name_is_as_long_as_what_postgresql_keeps_of_it__ ON a (b);"],
    },
];

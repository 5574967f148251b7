//! `database`: what the project's database answers. Changes nothing: it asks in a transaction that only reads.

use schemars::JsonSchema;

use crate::action::{Action, DatabaseProbe, Probe};
use crate::source::Reader;

use super::expect::comparisons;
use super::{Cx, Lowered, needs_database};

/// What the project's database ([database] of landfall.toml) answers: the value of a query, or that tables are there. It is asked in a
/// transaction that only reads.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Database {
    /// One query; the first value of its first row counts.
    query: Option<String>,
    /// What that must be: a value, or a comparison such as `{ ge = 1 }` (eq, ne, lt, le, gt, ge). Default: there is one.
    expect: Option<serde_json::Value>,
    /// In place of `query`: tables that must be there, as "orders" or "shop.orders".
    tables: Option<Vec<String>>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let query = reader.text("query");
    let expect = reader.entry("expect").map(|entry| comparisons(reader, &entry.value)).unwrap_or_default();
    let tables: Vec<String> = reader.texts("tables").unwrap_or_default().into_iter().map(|table| table.value).collect();
    if query.is_none() && tables.is_empty() && reader.entry("query").is_none() {
        reader.missing("query", "say what is asked, `query = \"SELECT count(*) FROM orders\"`; or `tables = [\"orders\"]`");
        return None;
    }
    if query.is_some() && !tables.is_empty() {
        reader.error(&reader.place_of("tables"), "`tables` cannot go with `query`", "give it a step of its own");
    }
    if query.is_none() && reader.entry("expect").is_some() {
        reader.error(&reader.place_of("expect"), "`expect` is for the value of a `query`", "add the query, or leave it out");
    }
    if let Some(query) = &query
        && let Some(rest) = query.value.trim().trim_end_matches(';').find(';').filter(|_| !query.value.contains('\''))
        && rest > 0
    {
        reader.error(&query.place, "`query` holds more than one statement", "one a check: give the other a step of its own");
    }
    needs_database(reader, cx)?;
    let probe = DatabaseProbe { query: query.map(|query| query.value), expect, tables };
    Some(vec![Lowered::host(Action::Probe(Probe::Database(probe)), None, cx)])
}

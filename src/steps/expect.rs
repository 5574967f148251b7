//! What the answer to a request must be: `expect` of a health check. Must not know where the request is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Compare, HttpExpect, JsonExpect, Percentile};
use crate::source::{Entry, Node, Placed, Reader};

use super::common::milliseconds;

#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct ExpectWords {
    /// One status, a hundred of them ("2xx"), or a list of both; default 200.
    status: Option<StatusWords>,
    /// Places of the body read as JSON (`$.items[0].name`), each with a value, or a comparison such as `{ ge = 3 }`
    /// (eq, ne, lt, le, gt, ge).
    json: Option<BTreeMap<String, serde_json::Value>>,
    /// A regular expression that must match the body.
    body: Option<String>,
    /// The longest the exchange may take: "500ms". Or, over many exchanges, so many of a hundred: `{ p95 = "300ms", samples = 20 }`.
    latency: Option<LatencyWords>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum StatusWords {
    One(StatusWord),
    Several(Vec<StatusWord>),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum StatusWord {
    Code(u16),
    Class(String),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum LatencyWords {
    One(String),
    Percentile(PercentileWords),
}

/// One of the percentiles, and how many exchanges there are.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct PercentileWords {
    /// Half of them take no longer.
    p50: Option<String>,
    /// 75 of a hundred.
    p75: Option<String>,
    /// 90 of a hundred.
    p90: Option<String>,
    /// 95 of a hundred.
    p95: Option<String>,
    /// 99 of a hundred.
    p99: Option<String>,
    /// How many exchanges there are, one after the other; default 20.
    samples: Option<u32>,
}

const PERCENTILES: [(&str, u8); 5] = [("p50", 50), ("p75", 75), ("p90", 90), ("p95", 95), ("p99", 99)];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const COMPARE: [(&str, Compare); 6] = [
    ("eq", Compare::Eq),
    ("ne", Compare::Ne),
    ("lt", Compare::Lt),
    ("le", Compare::Le),
    ("gt", Compare::Gt),
    ("ge", Compare::Ge),
];

pub(super) fn expect(reader: &Reader<'_>) -> Option<HttpExpect> {
    if reader.entry("expect").is_none() {
        return Some(HttpExpect { status: vec![200], ..HttpExpect::default() });
    }
    let table = reader.table("expect", "`expect`")?;
    let status = status(&table);
    let json = json(&table);
    let body = table.regex("body").map(|regex| regex.value);
    let (latency_ms, percentile) = match table.entry("latency").map(|entry| &entry.value.value) {
        Some(Node::Table(_)) => (None, percentile(&table)),
        _ => (table.duration("latency").map(|latency| milliseconds(latency.value)), None),
    };
    table.finish();
    let (status, classes) = status?;
    Some(HttpExpect { status, classes, json, body, latency_ms, percentile })
}

/// `{ p95 = "300ms", samples = 20 }`.
fn percentile(table: &Reader<'_>) -> Option<Percentile> {
    let latency = table.table("latency", "`latency`")?;
    let said = PERCENTILES.map(|(key, percent)| latency.duration(key).map(|within| (percent, milliseconds(within.value))));
    let samples = latency.whole("samples", 2..=1000);
    let mut said = said.into_iter().flatten();
    let wanted = said.next();
    if wanted.is_none() && PERCENTILES.iter().all(|(key, _)| latency.entry(key).is_none()) {
        latency.missing("p95", "say how long so many of a hundred requests may take: `{ p95 = \"300ms\", samples = 20 }`");
    }
    if said.next().is_some() {
        latency.error(latency.place(), "`latency` names two percentiles", "one a check: give the other a check of its own");
    }
    latency.finish();
    let (percent, within_ms) = wanted?;
    let samples = samples.and_then(|samples| u32::try_from(samples.value).ok()).unwrap_or(20);
    Some(Percentile { percent, within_ms, samples })
}

/// Single statuses, and hundreds of them.
fn status(table: &Reader<'_>) -> Option<(Vec<u16>, Vec<u16>)> {
    let Some(entry) = table.entry("status") else { return Some((vec![200], Vec::new())) };
    let items = match &entry.value.value {
        Node::List(items) if !items.is_empty() => items.clone(),
        Node::List(_) => {
            table.error(&entry.value.place, "`status` is empty", "name a status, such as 200");
            return None;
        }
        _ => vec![entry.value.clone()],
    };
    let (mut codes, mut classes) = (Vec::new(), Vec::new());
    for item in &items {
        let code = match &item.value {
            Node::Whole(number) => u16::try_from(*number).ok().filter(|code| (100..600).contains(code)),
            _ => None,
        };
        let class = match &item.value {
            Node::Text(text) => CLASSES.iter().position(|class| class == text).and_then(|at| u16::try_from(at + 1).ok()),
            _ => None,
        };
        match (code, class) {
            (Some(code), _) => codes.push(code),
            (None, Some(class)) => classes.push(class),
            (None, None) => {
                let shown = match &item.value {
                    Node::Whole(number) => number.to_string(),
                    Node::Text(text) => format!("{text:?}"),
                    other => other.what().to_owned(),
                };
                table.error(
                    &item.place,
                    format!("`status` must be a number from 100 to 599, \"2xx\" or a list of them, not {shown}"),
                    "such as `status = 200`",
                );
                return None;
            }
        }
    }
    Some((codes, classes))
}

fn json(table: &Reader<'_>) -> Vec<JsonExpect> {
    let entries = table.map("json").map(|json| json.entries.as_slice()).unwrap_or_default();
    entries.iter().flat_map(|entry| json_place(table, entry)).collect()
}

fn json_place(table: &Reader<'_>, entry: &Entry) -> Vec<JsonExpect> {
    let path = &entry.key;
    if !is_json_path(&path.value) {
        let help = "start with `$`, then members and indexes: \"$.status\", \"$.items[0].name\", \"$['odd name']\"";
        table.error(&path.place, format!("{:?} is not a place in a JSON document", path.value), help);
        return Vec::new();
    }
    let found = comparisons(table, &entry.value);
    found.into_iter().map(|(op, value)| JsonExpect { path: path.value.clone(), op, value }).collect()
}

/// A value, or a table of comparisons with values.
pub(super) fn comparisons(table: &Reader<'_>, with: &Placed<Node>) -> Vec<(Compare, serde_json::Value)> {
    let Node::Table(comparisons) = &with.value else {
        return scalar(table, with).map(|value| (Compare::Eq, value)).into_iter().collect();
    };
    let mut found = Vec::new();
    for comparison in &comparisons.entries {
        let word = comparison.key.value.as_str();
        let Some((_, op)) = COMPARE.iter().find(|(name, _)| *name == word) else {
            let message = format!("unknown comparison `{word}`");
            table.error(&comparison.key.place, message, "the comparisons are eq, ne, lt, le, gt and ge");
            continue;
        };
        let Some(value) = scalar(table, &comparison.value) else { continue };
        if !matches!(op, Compare::Eq | Compare::Ne) && !value.is_number() {
            table.error(&comparison.value.place, format!("`{word}` compares numbers"), "write a number without quotes");
            continue;
        }
        found.push((*op, value));
    }
    if comparisons.entries.is_empty() {
        table.error(&with.place, "nothing to compare with", "write a value, or a comparison such as `{ ge = 3 }`");
    }
    found
}

fn scalar(table: &Reader<'_>, value: &Placed<Node>) -> Option<serde_json::Value> {
    match &value.value {
        Node::Text(text) => {
            let placed = value.with(text.clone());
            Some(table.scope().map_or_else(|| text.clone(), |scope| scope.fill(&placed, table.sink())).into())
        }
        Node::Whole(number) => Some((*number).into()),
        Node::Float(number) if number.is_finite() => Some((*number).into()),
        Node::Flag(flag) => Some((*flag).into()),
        other => {
            let message = format!("a JSON value must be a string, a number or a boolean here, not {}", other.what());
            table.error(&value.place, message, "compare its members one by one: \"$.list[0]\" = \"x\"");
            None
        }
    }
}

/// `$`, then `.member`, `[0]` or `['member']`.
fn is_json_path(path: &str) -> bool {
    let segment = r#"(\.[^.\[\]'"\s]+|\[[0-9]+\]|\['[^']*'\]|\["[^"]*"\])"#;
    regex_lite::Regex::new(&format!(r"^\${segment}*$")).is_ok_and(|shape| shape.is_match(path))
}

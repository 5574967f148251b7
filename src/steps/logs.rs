//! `logs`: lines that should not be in a service's log. Changes nothing.

use std::time::Duration;

use regex_lite::Regex;
use schemars::JsonSchema;

use crate::action::{Action, LogsProbe, Probe, Since};
use crate::source::Reader;

use super::common::milliseconds;
use super::{Cx, Lowered, service};

/// Lines that should not be in the log of a service's containers. They are looked for on the host; those found are shown masked.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Logs {
    /// Whose log; default: the `service` of [compose].
    service: Option<String>,
    /// Regular expressions; a line that matches any of them counts.
    patterns: Vec<String>,
    /// Regular expressions; a line that matches any of them does not count.
    exclude: Option<Vec<String>>,
    /// From when on: "up" (default; since the container was started), "run" (since this run began), or for so long: "10m".
    since: Option<String>,
    /// So many lines are accepted; default 0.
    at_most: Option<u32>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    if reader.entry("patterns").is_none() {
        reader.missing("patterns", "say what should not be there: patterns = ['(?i)\\berror\\b', 'panic']");
    }
    let patterns = regexes(reader, "patterns");
    if patterns.as_ref().is_some_and(Vec::is_empty) {
        reader.error(&reader.place_of("patterns"), "`patterns` is empty", "name a regular expression, such as '(?i)error'");
    }
    let exclude = if reader.entry("exclude").is_some() { regexes(reader, "exclude") } else { Some(Vec::new()) };
    let since = since(reader);
    let at_most = reader.whole("at_most", 0..=1_000_000).and_then(|most| u32::try_from(most.value).ok()).unwrap_or_default();
    let service = service(reader, cx)?;
    let (patterns, exclude, since) = (patterns?, exclude?, since?);
    let probe = LogsProbe { service: service.clone(), patterns, exclude, since, at_most };
    Some(vec![Lowered::host(Action::Probe(Probe::Logs(probe)), Some(service), cx)])
}

fn since(reader: &Reader<'_>) -> Option<Since> {
    let Some(_) = reader.entry("since") else { return Some(Since::Up) };
    let text = reader.text("since")?;
    match text.value.as_str() {
        "up" => Some(Since::Up),
        "run" => Some(Since::Run),
        other => match humantime::parse_duration(other) {
            Ok(ago) if ago > Duration::ZERO => Some(Since::Ago(milliseconds(ago))),
            _ => {
                let help =
                    "use \"up\" (since the container was started), \"run\" (since this run began), or a duration such as \"10m\"";
                reader.error(&text.place, format!("`since` cannot be {other:?}"), help);
                None
            }
        },
    }
}

/// Regular expressions that the host can run.
fn regexes(reader: &Reader<'_>, key: &'static str) -> Option<Vec<String>> {
    let texts = reader.texts(key)?;
    let mut found = Vec::new();
    for text in texts {
        if let Err(error) = Regex::new(&text.value) {
            let help = "the syntax is that of the regex-lite crate: no look-around, no back-references, no \\p{…}; in TOML write it \
                        in single quotes";
            reader.error(&text.place, format!("`{key}` holds what is not a regular expression: {error}"), help);
            return None;
        }
        found.push(text.value);
    }
    Some(found)
}

//! `health`: looks at the application, from one of four sides. Changes nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, Compare, HttpExpect, HttpProbe, JsonExpect, Probe, Retry};
use crate::source::{Entry, Node, Placed, Reader};

use super::common::milliseconds;
use super::shown::request;
use super::values::{AnyValueWords, Keys, on_client, on_host};
use super::{Body, ClientValue, Cx, DriverWork, HereProbe, Lowered, service};

/// Looks at the application: an HTTP request and what its answer must be, or Docker's own view of a container's health.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Health {
    /// From where: "host" (default, HTTP), "here" (this machine, HTTP or HTTPS), "network" (inside the compose network, HTTP), or
    /// "container" (Docker's health status).
    from: Option<String>,
    /// What to ask; not for "container".
    url: Option<String>,
    /// GET (default), HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    method: Option<String>,
    /// Sent along. Secrets by name: `{ secret = "NAME" }`, from here `{ client_secret = "NAME" }`.
    headers: Option<BTreeMap<String, AnyValueWords>>,
    /// Sent along.
    body: Option<String>,
    /// What the answer must be; default: status 200.
    expect: Option<ExpectWords>,
    /// For "network" and "container"; default: the `service` of [compose].
    service: Option<String>,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct ExpectWords {
    /// One status, or a list of them; default 200.
    status: Option<StatusWords>,
    /// Places of the body read as JSON (`$.items[0].name`), each with a value, or a comparison such as `{ ge = 3 }`
    /// (eq, ne, lt, le, gt, ge).
    json: Option<BTreeMap<String, serde_json::Value>>,
    /// A regular expression that must match the body.
    body: Option<String>,
    /// The longest the exchange may take: "500ms".
    latency: Option<String>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum StatusWords {
    One(u16),
    Several(Vec<u16>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Host,
    Here,
    Container,
    Network,
}

const SIDES: [(&str, From); 4] =
    [("host", From::Host), ("here", From::Here), ("container", From::Container), ("network", From::Network)];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const COMPARE: [(&str, Compare); 6] = [
    ("eq", Compare::Eq),
    ("ne", Compare::Ne),
    ("lt", Compare::Lt),
    ("le", Compare::Le),
    ("gt", Compare::Gt),
    ("ge", Compare::Ge),
];
/// For one exchange.
const TIMEOUT_MS: u64 = 10_000;

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let side = reader.choice("from", &SIDES);
    if side.is_none() && reader.entry("from").is_some() {
        return None;
    }
    let side = side.map_or(From::Host, |side| side.value);
    if side == From::Container {
        return container(reader, cx);
    }
    if side != From::Network
        && let Some(entry) = reader.entry("service")
    {
        reader.error(
            &entry.key.place,
            "`service` is for `from = \"container\"` and `from = \"network\"`",
            "leave it out, or say from where",
        );
    }
    let url = checked_url(reader, side);
    let method = method(reader);
    let body = reader.text("body").map(|body| body.value);
    let expect = expect(reader);
    if side == From::Here {
        let headers = on_client(reader, "headers", Keys::Headers, url.as_ref());
        let (url, method, expect) = (url?.value, method?, expect?);
        let texts: BTreeMap<String, String> = headers.iter().map(|(name, value)| (name.clone(), by_name(value))).collect();
        let shown = request(&method, &url, &texts, body.as_deref(), &expect);
        let probe = HereProbe { url, method, headers, body, timeout_ms: TIMEOUT_MS, expect, retry: None::<Retry> };
        let body = Body::Driver(DriverWork::Here(probe));
        return Some(vec![Lowered { suffix: None, shown, ledger: None, service: None, hints: Vec::new(), body }]);
    }
    let headers = on_host(reader, "headers", Keys::Headers, cx);
    let service = if side == From::Network { Some(service(reader, cx)?) } else { None };
    let http = HttpProbe { url: url?.value, method: method?, headers, body, timeout_ms: TIMEOUT_MS, expect: expect? };
    let probe = match service.clone() {
        Some(service) => Probe::Network { service, http },
        None => Probe::Host(http),
    };
    Some(vec![Lowered::host(Action::Probe(probe), service, cx)])
}

fn container(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    for key in ["url", "method", "headers", "body", "expect"] {
        if let Some(entry) = reader.entry(key) {
            let help =
                "leave it out: `from = \"container\"` asks Docker for the container's health; for a request use \"network\"";
            reader.error(&entry.key.place, format!("`{key}` cannot go with `from = \"container\"`"), help);
        }
    }
    let service = service(reader, cx)?;
    Some(vec![Lowered::host(Action::Probe(Probe::Container { service: service.clone() }), Some(service), cx)])
}

fn by_name(value: &ClientValue) -> String {
    match value {
        ClientValue::Plain(text) => text.clone(),
        ClientValue::Secret(secret) => format!("[secret:{}]", secret.name),
    }
}

fn method(reader: &Reader<'_>) -> Option<String> {
    let words: Vec<(&str, &str)> = METHODS.map(|method| (method, method)).to_vec();
    if reader.entry("method").is_none() {
        return Some("GET".to_owned());
    }
    reader.choice("method", &words).map(|method| method.value.to_owned())
}

/// The URL, if the side that asks can ask it.
fn checked_url(reader: &Reader<'_>, side: From) -> Option<Placed<String>> {
    if reader.entry("url").is_none() {
        reader.missing("url", "say what to ask: url = \"http://127.0.0.1:3000/health\"");
    }
    let url = reader.text("url")?;
    let Some((scheme, rest)) = url.value.split_once("://").filter(|(scheme, _)| !scheme.contains("{{")) else {
        if !url.value.starts_with("{{") {
            reader.error(&url.place, format!("{:?} is not a URL", url.value), "write it whole: \"http://127.0.0.1:3000/health\"");
        }
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let https_here = "only `from = \"here\"` speaks https; the host asks the application itself, by http";
    match scheme {
        "http" => {}
        "https" if side == From::Here => {}
        "https" => {
            reader.error(&url.place, "https cannot be asked from the host or the compose network", https_here);
            return None;
        }
        other => {
            reader.error(
                &url.place,
                format!("a health check cannot speak {other:?}"),
                "use http, or https with `from = \"here\"`",
            );
            return None;
        }
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let unfilled = authority.contains("{{");
    let wrong = if authority.contains('@') {
        Some("credentials do not belong in a URL: use a header with `{ secret = \"NAME\" }`")
    } else if host.is_empty() {
        Some("it names no host")
    } else if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) && !unfilled {
        Some("its port is not one from 1 to 65535")
    } else if url.value.contains(|c: char| c.is_whitespace() || c.is_control()) && !url.value.contains("{{") {
        Some("it contains a blank: write %20")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        let shown = if authority.contains('@') { "this".to_owned() } else { format!("{:?}", url.value) };
        reader.error(&url.place, format!("{shown} is not a URL to ask"), wrong);
        return None;
    }
    Some(url)
}

fn expect(reader: &Reader<'_>) -> Option<HttpExpect> {
    if reader.entry("expect").is_none() {
        return Some(HttpExpect { status: vec![200], ..HttpExpect::default() });
    }
    let table = reader.table("expect", "`expect`")?;
    let status = status(&table);
    let json = json(&table);
    let body = table.regex("body").map(|regex| regex.value);
    let latency_ms = table.duration("latency").map(|latency| milliseconds(latency.value));
    table.finish();
    Some(HttpExpect { status: status?, json, body, latency_ms })
}

fn status(table: &Reader<'_>) -> Option<Vec<u16>> {
    let Some(entry) = table.entry("status") else { return Some(vec![200]) };
    let items = match &entry.value.value {
        Node::List(items) if !items.is_empty() => items.clone(),
        Node::List(_) => {
            table.error(&entry.value.place, "`status` is empty", "name a status, such as 200");
            return None;
        }
        _ => vec![entry.value.clone()],
    };
    let code = |item: &Placed<Node>| {
        let code = match item.value {
            Node::Whole(number) => u16::try_from(number).ok().filter(|code| (100..600).contains(code)),
            _ => None,
        };
        if code.is_none() {
            let shown = match &item.value {
                Node::Whole(number) => number.to_string(),
                other => other.what().to_owned(),
            };
            table.error(
                &item.place,
                format!("`status` must be a number from 100 to 599 or a list of them, not {shown}"),
                "such as `status = 200`",
            );
        }
        code
    };
    items.iter().map(code).collect()
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
    let Node::Table(comparisons) = &entry.value.value else {
        let value = scalar(table, &entry.value);
        return value.map(|value| JsonExpect { path: path.value.clone(), op: Compare::Eq, value }).into_iter().collect();
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
        found.push(JsonExpect { path: path.value.clone(), op: *op, value });
    }
    if comparisons.entries.is_empty() {
        table.error(&entry.value.place, "nothing to compare with", "write a value, or a comparison such as `{ ge = 3 }`");
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

//! `health`: looks at the application, from one of four sides or from several at once. Changes nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::action::{Action, ContainerProbe, HttpProbe, Probe};
use crate::source::{Node, Placed, Reader};

use super::common::milliseconds;
use super::expect::{ExpectWords, expect};
use super::shown::{request, shown};
use super::values::{AnyValueWords, Keys, on_client, on_host};
use super::{Body, ClientValue, Cx, DriverWork, HereHttp, HereLook, HereProbe, Lowered, service};

/// Looks at the application: an HTTP request and what its answer must be, or Docker's own view of a container's health. From several
/// sides at once it names the side that disagrees.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Health {
    /// From where: "host" (default, HTTP), "here" (this machine, HTTP or HTTPS), "network" (inside the compose network, HTTP), or
    /// "container" (Docker's health status). Or several of them, as a list.
    from: Option<FromWords>,
    /// What to ask; not for "container".
    url: Option<String>,
    /// What to ask from each side, where that is not the same: `{ here = "https://…", host = "http://127.0.0.1:3000/health" }`.
    urls: Option<UrlWords>,
    /// GET (default), HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    method: Option<String>,
    /// Sent along. Secrets by name: `{ secret = "NAME" }`, from here `{ client_secret = "NAME" }`.
    headers: Option<BTreeMap<String, AnyValueWords>>,
    /// Sent along.
    body: Option<String>,
    /// Whether it goes on to where a redirect points: "refuse" (default) or "follow".
    redirects: Option<String>,
    /// What the answer must be; default: status 200.
    expect: Option<ExpectWords>,
    /// From here, by https: the server's certificate must be valid for so long still, such as "14d".
    certificate: Option<String>,
    /// For "network" and "container"; default: the `service` of [compose].
    service: Option<String>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum FromWords {
    One(String),
    Several(Vec<String>),
}

/// A URL for each side.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct UrlWords {
    /// From this machine.
    here: Option<String>,
    /// From the host.
    host: Option<String>,
    /// From inside the compose network.
    network: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Host,
    Here,
    Container,
    Network,
}

impl From {
    fn key(self) -> &'static str {
        SIDES.iter().find(|(_, side)| *side == self).map_or("", |(key, _)| *key)
    }
}

const SIDES: [(&str, From); 4] =
    [("host", From::Host), ("here", From::Here), ("container", From::Container), ("network", From::Network)];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// For one exchange.
const TIMEOUT_MS: u64 = 10_000;

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let sides = sides(reader)?;
    if sides == [From::Container] {
        return container(reader, cx);
    }
    let inside = |side: &From| matches!(side, From::Network | From::Container);
    if !sides.iter().any(inside)
        && let Some(entry) = reader.entry("service")
    {
        reader.error(
            &entry.key.place,
            "`service` is for `from = \"container\"` and `from = \"network\"`",
            "leave it out, or say from where",
        );
    }
    let urls = urls(reader, &sides);
    let method = method(reader);
    let body = reader.text("body").map(|body| body.value);
    let redirects = reader.choice("redirects", &[("refuse", false), ("follow", true)]).is_some_and(|redirects| redirects.value);
    let expect = expect(reader);
    let here = sides.contains(&From::Here);
    let certificate_ms = certificate(reader, urls.iter().find(|(side, _)| *side == From::Here).map(|(_, url)| url));
    let at_host = sides.iter().any(|side| matches!(side, From::Host | From::Network));
    let host_headers = if at_host { on_host(reader, "headers", Keys::Headers, cx) } else { BTreeMap::new() };
    let here_url = urls.iter().find(|(side, _)| *side == From::Here).map(|(_, url)| url);
    let here_headers = if here { on_client(reader, "headers", Keys::Headers, here_url) } else { BTreeMap::new() };
    let service = if sides.iter().any(inside) { Some(service(reader, cx)?) } else { None };
    let (method, expect) = (method?, expect?);
    let http = |side| {
        let url = urls.iter().find(|(of, _)| *of == side).map(|(_, url)| url.value.clone())?;
        let (method, expect, body) = (method.clone(), expect.clone(), body.clone());
        Some(HttpProbe { url, method, headers: BTreeMap::new(), body, timeout_ms: TIMEOUT_MS, redirects, expect })
    };
    let on_host = |side: &From| {
        Some(match side {
            From::Host => Probe::Host(HttpProbe { headers: host_headers.clone(), ..http(*side)? }),
            From::Network => {
                let http = HttpProbe { headers: host_headers.clone(), ..http(*side)? };
                Probe::Network { service: service.clone()?, http }
            }
            From::Container => Probe::Container(healthy(service.clone()?)),
            From::Here => return None,
        })
    };
    let looks = sides.iter().filter(|side| **side != From::Here);
    let of: Vec<Probe> = looks.map(on_host).collect::<Option<_>>()?;
    let probe = if here {
        let http = http(From::Here)?;
        let shown = shown_here(&http, &here_headers);
        let look = HereLook::Http(Box::new(HereHttp { http, headers: here_headers, certificate_ms }));
        Some((HereProbe { look, beside: !of.is_empty(), retry: None, watch: None }, shown))
    } else {
        None
    };
    let lowered = |shown, body| Lowered { suffix: None, shown, ledger: None, service: service.clone(), hints: Vec::new(), body };
    let both = |probe: Probe| (shown(&Action::Probe(probe.clone()), cx.compose), probe);
    Some(vec![match (probe, of.len()) {
        (Some((here, shown)), 0) => lowered(shown, Body::Driver(DriverWork::Here(here))),
        (Some((here, shown_here)), _) => {
            let (shown, probe) = both(Probe::Sides { of });
            lowered(format!("{shown_here}, from here; {shown}"), Body::Sides(probe, here))
        }
        (None, 1) => Lowered::host(Action::Probe(of.into_iter().next()?), service.clone(), cx),
        (None, _) => Lowered::host(Action::Probe(Probe::Sides { of }), service.clone(), cx),
    }])
}

fn shown_here(http: &HttpProbe, headers: &BTreeMap<String, ClientValue>) -> String {
    let texts: BTreeMap<String, String> = headers.iter().map(|(name, value)| (name.clone(), by_name(value))).collect();
    request(http, &texts)
}

/// The sides that it looks from, each once.
fn sides(reader: &Reader<'_>) -> Option<Vec<From>> {
    let Some(entry) = reader.entry("from") else { return Some(vec![From::Host]) };
    if !matches!(entry.value.value, Node::List(_)) {
        return Some(vec![reader.choice("from", &SIDES)?.value]);
    }
    let mut sides = Vec::new();
    for text in reader.texts("from")? {
        let side = reader.choice_of("from", &text, &SIDES)?;
        if sides.contains(&side) {
            reader.error(&text.place, format!("`from` names {:?} twice", text.value), "name each side once");
            return None;
        }
        sides.push(side);
    }
    if sides.is_empty() {
        reader.error(&entry.value.place, "`from` is empty", "name a side, such as \"host\", or leave the key out");
        return None;
    }
    Some(sides)
}

/// What each side asks, where it asks something.
fn urls(reader: &Reader<'_>, sides: &[From]) -> Vec<(From, Placed<String>)> {
    let one = reader.text("url");
    let said = reader.entry("urls").is_some();
    let table = reader.table("urls", "`urls`");
    let mut found = Vec::new();
    for side in [From::Here, From::Host, From::Network] {
        let own = table.as_ref().and_then(|table| table.text(side.key()));
        if !sides.contains(&side) {
            if let Some(url) = own {
                let help = format!("add {:?} to `from`, or drop it here", side.key());
                reader.error(&url.place, format!("nobody asks from {:?}", side.key()), help);
            }
            continue;
        }
        let missing = own.is_none() && one.is_none();
        if missing && said && table.as_ref().is_some_and(|table| table.entry(side.key()).is_none()) {
            reader.missing(side.key(), format!("say in `urls` what to ask from {:?}, or for all sides by `url`", side.key()));
        } else if missing && !said && reader.entry("url").is_none() {
            reader.missing("url", "say what to ask: url = \"http://127.0.0.1:3000/health\"");
        }
        if let Some(url) = own.or_else(|| one.clone()).and_then(|url| checked_url(reader, url, side)) {
            found.push((side, url));
        }
    }
    if let Some(table) = table {
        table.finish();
    }
    found
}

/// How long the certificate must be valid still.
fn certificate(reader: &Reader<'_>, url: Option<&Placed<String>>) -> Option<u64> {
    let left = reader.duration("certificate")?;
    if url.is_none_or(|url| !url.value.starts_with("https://") && !url.value.starts_with("{{")) {
        let help = "it is looked at from here, by https: `from = \"here\"`, `url = \"https://…\"`";
        reader.error(&reader.place_of("certificate"), "there is no certificate to look at", help);
    }
    Some(milliseconds(left.value))
}

fn healthy(service: crate::name::ServiceName) -> ContainerProbe {
    ContainerProbe { service, healthy: false, restarts: None, uptime_ms: None, deployed: false }
}

fn container(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    for key in ["url", "urls", "method", "headers", "body", "redirects", "expect", "certificate"] {
        if let Some(entry) = reader.entry(key) {
            let help =
                "leave it out: `from = \"container\"` asks Docker for the container's health; for a request use \"network\"";
            reader.error(&entry.key.place, format!("`{key}` cannot go with `from = \"container\"`"), help);
        }
    }
    let service = service(reader, cx)?;
    Some(vec![Lowered::host(Action::Probe(Probe::Container(healthy(service.clone()))), Some(service), cx)])
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
fn checked_url(reader: &Reader<'_>, url: Placed<String>, side: From) -> Option<Placed<String>> {
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

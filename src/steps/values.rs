//! Values of `env` and `headers`: written down, or named and resolved where the secret lives.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::secret::{SecretRef, Value};
use crate::source::{Entry, Node, Placed, Reader, is_var_name};

use super::Cx;
use super::work::{ClientSecret, ClientValue};

/// A value on the host: a string, or `{ secret = "NAME" }`, which the host looks up among its own secrets.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum HostValueWords {
    /// As it stands.
    Plain(String),
    /// By name.
    Secret {
        /// A key of one of the host's env files, or the name of a secrets file without its ending.
        secret: String,
    },
}

/// A value on this machine: a string, or `{ client_secret = "NAME" }`, an environment variable of this machine.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum ClientValueWords {
    /// As it stands.
    Plain(String),
    /// By name.
    Secret {
        /// The environment variable.
        client_secret: String,
        /// The only origins it may be sent to: `["https://api.example.com"]`.
        origins: Option<Vec<String>>,
    },
}

/// A value of either side.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(super) enum AnyValueWords {
    /// For what runs on the host.
    Host(HostValueWords),
    /// For what runs on this machine.
    Client(ClientValueWords),
}

/// What the keys of a table of values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    Env,
    Headers,
}

impl Keys {
    fn check(self, key: &Placed<String>, reader: &Reader<'_>) -> bool {
        let token =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
        let (fits, what, rule) = match self {
            Self::Env => {
                (is_var_name(&key.value), "an environment variable", "use letters, digits and `_`, not starting with a digit")
            }
            Self::Headers => (token(&key.value), "a header", "use letters, digits and `-`"),
        };
        if !fits {
            reader.error(&key.place, format!("{:?} cannot be the name of {what}", key.value), rule);
        }
        fits
    }
}

/// Values for what runs on the host.
pub(super) fn on_host(reader: &Reader<'_>, key: &'static str, keys: Keys, cx: &Cx<'_>) -> BTreeMap<String, Value> {
    let side =
        "`{ client_secret = … }` is for `local` steps and checks from here: what runs on the host takes `{ secret = \"NAME\" }`";
    each(reader, key, keys, |entry| {
        let secret = match by_name(entry, reader, "secret", "client_secret", side)? {
            Named::Plain(text) => return Some(Value::Plain(text)),
            Named::Secret(name, table) => {
                table.finish();
                name
            }
        };
        if !cx.has_secrets {
            let help = "list the files that hold it: `files = [\"../.env\"]` under [secrets] in landfall.toml";
            reader.error(&secret.place, "the inventory names no files that hold secrets", help);
        }
        Some(Value::Secret(SecretRef(secret.value)))
    })
}

/// Values for what runs on the client. `url`: where they are sent, if anywhere.
pub(super) fn on_client(
    reader: &Reader<'_>,
    key: &'static str,
    keys: Keys,
    url: Option<&Placed<String>>,
) -> BTreeMap<String, ClientValue> {
    let side = "`{ secret = … }` never leaves the host: here use `{ client_secret = \"NAME\" }`, an environment variable of this machine";
    each(reader, key, keys, |entry| {
        let (name, table) = match by_name(entry, reader, "client_secret", "secret", side)? {
            Named::Plain(text) => return Some(ClientValue::Plain(text)),
            Named::Secret(name, table) => (name, table),
        };
        let origins = origins(&table, url, &name);
        table.finish();
        Some(ClientValue::Secret(ClientSecret { name: name.value, origins: origins? }))
    })
}

/// Where a client's secret may be sent. Said outright, or the origin that the playbook itself spells out: never one made of vars.
fn origins(table: &Reader<'_>, url: Option<&Placed<String>>, name: &Placed<String>) -> Option<Vec<String>> {
    let said = table.texts("origins");
    let Some(url) = url else {
        if table.entry("origins").is_some() {
            table.error(&table.place_of("origins"), "a `local` step sends nothing itself", "leave `origins` out");
        }
        return Some(Vec::new());
    };
    let target = origin(&url.value);
    if let Some(said) = said {
        let origins: Vec<String> = said.iter().filter_map(|text| origin(&text.value)).collect();
        for wrong in said.iter().filter(|text| origin(&text.value).as_deref() != Some(text.value.trim_end_matches('/'))) {
            table.error(
                &wrong.place,
                format!("{:?} is not an origin", wrong.value),
                "use scheme, host and port only: \"https://api.example.com\"",
            );
        }
        if target.as_ref().is_some_and(|target| !origins.contains(target)) {
            let help = format!("add {:?} to `origins`, if the secret may go there", target.unwrap_or_default());
            table.error(&name.place, format!("`{}` may not be sent to {}", name.value, url.value), help);
        }
        return Some(origins);
    }
    let spelt_out = table.sink().text_at(&url.place).is_none_or(|raw| !raw.split('?').next().unwrap_or("").contains("{{"));
    if !spelt_out {
        let help =
            "the URL is made of vars: say where the secret may go, `{ client_secret = \"NAME\", origins = [\"https://…\"] }`";
        table.error(&name.place, format!("`{}` needs `origins`", name.value), help);
        return None;
    }
    Some(target.into_iter().collect())
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    (!host.is_empty()).then(|| format!("{scheme}://{host}").to_lowercase())
}

fn each<T>(reader: &Reader<'_>, key: &'static str, keys: Keys, mut read: impl FnMut(&Entry) -> Option<T>) -> BTreeMap<String, T> {
    let Some(table) = reader.map(key) else { return BTreeMap::new() };
    let entries = table.entries.iter().filter(|entry| keys.check(&entry.key, reader));
    entries.filter_map(|entry| Some((entry.key.value.clone(), read(entry)?))).collect()
}

enum Named<'a> {
    Plain(String),
    Secret(Placed<String>, Reader<'a>),
}

fn by_name<'a>(entry: &'a Entry, reader: &Reader<'a>, own: &'static str, other: &str, side: &str) -> Option<Named<'a>> {
    let key = &entry.key.value;
    match &entry.value.value {
        Node::Text(text) => {
            let placed = Placed::new(text.clone(), entry.value.place.clone());
            let filled = reader.scope().map_or_else(|| text.clone(), |scope| scope.fill(&placed, reader.sink()));
            if filled.contains(['\n', '\r', '\0']) && key.contains('-') {
                reader.error(&placed.place, format!("`{key}` cannot hold a line's end"), "write it on one line");
            }
            Some(Named::Plain(filled))
        }
        Node::Table(table) => {
            let inner = Reader::new(table, format!("`{key}`"), reader.scope(), reader.sink());
            if let Some(wrong) = table.get(other) {
                reader.error(&wrong.key.place, format!("`{other}` cannot be used here"), side);
                return None;
            }
            let Some(name) = inner.raw_text(own) else {
                if table.entries.is_empty() {
                    inner.missing(own, format!("write `{key} = {{ {own} = \"NAME\" }}`"));
                }
                inner.finish();
                return None;
            };
            if !is_secret_name(&name.value) {
                reader.error(
                    &name.place,
                    "this is not the name of a secret",
                    "use the key of an env file, or a file's name without its ending",
                );
                return None;
            }
            Some(Named::Secret(name, inner))
        }
        other => {
            let help = format!("write `{key} = \"…\"`, or `{key} = {{ {own} = \"NAME\" }}`");
            reader.error(&entry.value.place, format!("`{key}` must be a string or a secret's name, not {}", other.what()), help);
            None
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

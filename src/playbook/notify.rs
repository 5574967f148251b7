//! `[notify.NAME]` and `[metrics]`: who is told of a run by this machine, beside the person in front of it. Sends nothing.

use schemars::JsonSchema;

use crate::source::{Node, Placed, Reader};

/// `[notify.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Its name.
    pub name: String,
    /// The client's secret that holds the URL.
    pub secret: String,
    /// The only origins that the URL may have; empty: any.
    pub origins: Vec<String>,
    /// What the body looks like.
    pub format: Format,
    /// The body, where it is JSON of one's own.
    pub template: Option<String>,
    /// When.
    pub on: Vec<Moment>,
}

/// What a body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All that may be told, as one object.
    Json,
    /// What Slack reads.
    Slack,
    /// What Discord reads.
    Discord,
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A run begins.
    Start,
    /// It did not end well, or how it ended is not known.
    Failure,
    /// It ended well.
    Success,
}

impl Moment {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Failure => "failure",
            Self::Success => "success",
        }
    }
}

/// What a template may name, as `{{ name }}`.
pub const FIELDS: [&str; 11] =
    ["event", "project", "playbook", "run", "who", "note", "hosts", "outcome", "exit_code", "duration", "text"];

/// Replaces what a template names; a name that is none of the fields comes back as the error.
pub fn fill(template: &str, value: impl Fn(&str) -> String) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| "}}".to_owned())?;
        let name = name.trim();
        if !FIELDS.contains(&name) {
            return Err(name.to_owned());
        }
        out.push_str(before);
        // Inside of quotes, so a text without them.
        let quoted = serde_json::Value::from(value(name)).to_string();
        out.push_str(&quoted[1..quoted.len() - 1]);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

const URL: &str =
    "name the secret that holds the URL: url = { client_secret = \"NAME\" }, an environment variable of this machine";

pub(super) fn read(name: String, reader: &Reader<'_>) -> Notify {
    let moments = [("start", Moment::Start), ("failure", Moment::Failure), ("success", Moment::Success)];
    let formats = [("json", Format::Json), ("slack", Format::Slack), ("discord", Format::Discord)];
    let (secret, origins) = url(reader).unwrap_or_default();
    let format = reader.choice("format", &formats).map_or(Format::Json, |format| format.value);
    let template = reader.raw_text("template").filter(|template| fits(reader, format, template)).map(|template| template.value);
    let mut on = Vec::new();
    for word in reader.texts("on").unwrap_or_else(|| ["failure", "success"].map(|word| Placed::nowhere(word.to_owned())).to_vec())
    {
        match moments.iter().find(|(known, _)| *known == word.value) {
            Some((_, moment)) if !on.contains(moment) => on.push(*moment),
            Some(_) => {}
            None => reader.error(
                &word.place,
                format!("`on` cannot be {:?}", word.value),
                "use \"start\", \"failure\" and \"success\"",
            ),
        }
    }
    Notify { name, secret, origins, format, template, on }
}

fn url(reader: &Reader<'_>) -> Option<(String, Vec<String>)> {
    let Some(entry) = reader.entry("url") else {
        reader.missing("url", URL);
        return None;
    };
    let Node::Table(table) = &entry.value.value else {
        reader.error(&entry.value.place, "`url` must be a secret's name: whoever knows such a URL may write there", URL);
        return None;
    };
    let inner = Reader::new(table, "`url`", None, reader.sink());
    let secret = inner.raw_text("client_secret");
    if inner.entry("client_secret").is_none() {
        inner.missing("client_secret", URL);
    }
    let origins = inner.texts("origins").unwrap_or_default();
    for wrong in origins.iter().filter(|text| origin(&text.value).as_deref() != Some(text.value.trim_end_matches('/'))) {
        let help = "use scheme, host and port only: \"https://hooks.example.com\"";
        inner.error(&wrong.place, format!("{:?} is not an origin", wrong.value), help);
    }
    inner.finish();
    Some((secret?.value, origins.iter().filter_map(|text| origin(&text.value)).collect()))
}

/// Scheme, host and port of a URL.
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    (!host.is_empty()).then(|| format!("{scheme}://{host}").to_lowercase())
}

fn fits(reader: &Reader<'_>, format: Format, template: &Placed<String>) -> bool {
    if format != Format::Json {
        reader.error(&template.place, "`template` is for `format = \"json\"`", "leave one of them out");
        return false;
    }
    match fill(&template.value, |_| "x".to_owned()).map(|text| serde_json::from_str::<serde::de::IgnoredAny>(&text)) {
        Ok(Ok(_)) => return true,
        Ok(Err(error)) => {
            let help = "what is named stands inside of quotes: '{\"text\": \"{{ playbook }}: {{ outcome }}\"}'";
            reader.error(&template.place, format!("`template` is not JSON: {error}"), help);
        }
        Err(name) if name == "}}" => reader.error(&template.place, "`template` has a `{{` without its `}}`", "close it"),
        Err(name) => {
            let help = format!("it may name {}", FIELDS.join(", "));
            reader.error(&template.place, format!("`template` names `{name}`, which is not known"), help);
        }
    }
    false
}

/// `[notify.NAME]`: who is told when a run begins and ends, by this machine; without any output.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct NotifyWords {
    /// The client's secret that holds the URL: `{ client_secret = "NAME" }`.
    url: UrlWords,
    /// What the body looks like; default "json".
    format: Option<FormatWords>,
    /// JSON of one's own, with {{ event }}, {{ playbook }}, {{ outcome }} and others.
    template: Option<String>,
    /// When: "start", "failure", "success"; default the last two.
    on: Option<Vec<MomentWords>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct UrlWords {
    /// An environment variable of this machine, or what secrets.toml says of it.
    client_secret: String,
    /// The only origins that the URL may have: `["https://hooks.example.com"]`.
    origins: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum FormatWords {
    Json,
    Slack,
    Discord,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum MomentWords {
    Start,
    Failure,
    Success,
}

/// `[metrics]`: what is measured of a run, for the textfile collector of node_exporter on this machine.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
pub(super) struct MetricsWords {
    /// The file, relative to the inventory; name it *.prom.
    file: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_and_stays_json() {
        let filled = fill(r#"{"a": "{{ note }} by {{who}}"}"#, |name| format!("{name} \"quoted\"\n")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(value["a"], "note \"quoted\"\n by who \"quoted\"\n");
        assert_eq!(fill("{{ output }}", |_| String::new()), Err("output".to_owned()));
        assert_eq!(fill("{{ note", |_| String::new()), Err("}}".to_owned()));
    }
}

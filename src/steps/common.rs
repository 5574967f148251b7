//! What every step may say, whatever its kind.

use std::collections::BTreeMap;
use std::time::Duration;

use regex_lite::Regex;
use schemars::JsonSchema;

use crate::action::Retry;
use crate::name::{ServiceName, StepName};
use crate::protocol::{Hint, When};
use crate::source::{Placed, REGEX_HELP, Reader};

use super::Kind;

/// What every step may say.
#[derive(Debug, Clone, Default, JsonSchema)]
#[allow(clippy::struct_excessive_bools)]
pub struct Common {
    /// Unique in the playbook; default: the kind, numbered when there are several.
    #[schemars(with = "Option<String>")]
    pub name: Option<Placed<StepName>>,
    /// How long it may take, retries included, such as "10m". Default: none for `migrate`, `for` and a little for checks, 1h for others.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Placed<Duration>>,
    /// Only on these of the playbook's hosts: names of hosts or groups.
    #[schemars(with = "Option<Vec<String>>")]
    pub hosts: Option<Vec<Placed<String>>>,
    /// When it runs: "success" (default), "failure", "always", or "unknown" (after an outcome that is not known).
    #[schemars(with = "Option<WhenWord>")]
    pub when: Option<Placed<When>>,
    /// On the first host of the run only; the others wait for its result. "release": also never again for the same image.
    #[schemars(with = "Option<OnceWord>")]
    pub once: Option<Placed<Once>>,
    /// On each host by itself: the opposite of `once`.
    #[schemars(with = "Option<bool>")]
    pub per_host: Option<Placed<bool>>,
    /// Services started before it where they are absent; never recreated.
    #[schemars(with = "Option<Vec<String>>")]
    pub needs: Option<Vec<Placed<ServiceName>>>,
    /// Only with a backup of the database that is no older than this: "24h". One that the run makes before counts.
    #[schemars(with = "Option<String>")]
    pub require_backup: Option<Placed<Duration>>,
    /// What its known failures mean, by a line of its output: `{ 'a regular expression' = "what helps" }`. Said when it fails, before
    /// what Landfall knows itself.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub hints: Vec<Hint>,
    /// Runs it even if the ledger knows that it succeeded before.
    #[schemars(with = "Option<bool>")]
    pub repeat: Option<Placed<bool>>,
    /// Tries a check again: `{ for = "2m", every = "2s", successes = 3 }`; only `for` is needed.
    #[schemars(with = "Option<RetryWords>")]
    pub retry: Option<Placed<Retry>>,
}

/// How often a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// On the first host of the run only.
    Run,
    /// Also never again for the same image.
    Release,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum WhenWord {
    Success,
    Failure,
    Always,
    Unknown,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum OnceWord {
    Flag(bool),
    Release(ReleaseWord),
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)]
enum ReleaseWord {
    Release,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct RetryWords {
    /// From the first attempt on: "2m".
    r#for: String,
    /// From the start of one attempt to the next; default "2s".
    every: Option<String>,
    /// In a row; default 1.
    successes: Option<u32>,
}

const WHEN: [(&str, When); 4] =
    [("success", When::Success), ("failure", When::Failure), ("always", When::Always), ("unknown", When::Unknown)];

impl Common {
    /// Reads what every step may say.
    pub fn read(reader: &Reader<'_>, kind: &Kind) -> Self {
        let common = Self {
            name: reader.name("name"),
            timeout: reader.duration("timeout"),
            hosts: reader.text_or_texts("hosts"),
            when: reader.choice("when", &WHEN),
            once: once(reader),
            per_host: reader.flag("per_host"),
            needs: reader.names("needs"),
            require_backup: reader.duration("require_backup"),
            // A check tells by itself what it found.
            hints: if kind.check { Vec::new() } else { hints(reader) },
            repeat: reader.flag("repeat"),
            retry: if kind.check { retry(reader) } else { refuse_retry(reader) },
        };
        if let (Some(_), Some(per_host)) = (&common.once, common.per_host.as_ref().filter(|flag| flag.value)) {
            reader.error(&per_host.place, "`once` and `per_host` are opposites", "keep the one that is meant");
        }
        if let (Some(timeout), Some(retry)) = (&common.timeout, &common.retry)
            && u128::from(retry.value.for_ms) > timeout.value.as_millis()
        {
            let help = "`for` counts within `timeout`: raise the one or lower the other";
            reader.error(&timeout.place, "`timeout` ends before `retry.for` does", help);
        }
        if common.hosts.as_ref().is_some_and(Vec::is_empty) {
            reader.error(
                &reader.place_of("hosts"),
                "`hosts` is empty: the step could run nowhere",
                "name a host or group, or leave it out",
            );
        }
        common
    }

    /// How long the step may take.
    pub fn timeout_ms(&self, kind: &Kind) -> Option<u64> {
        match (&self.timeout, &self.retry) {
            (Some(timeout), _) => Some(milliseconds(timeout.value)),
            (None, _) if kind.name == "migrate" && !kind.check => None,
            (None, Some(retry)) => Some(retry.value.for_ms + 15_000),
            (None, None) => Some(if kind.check { 30_000 } else { 3_600_000 }),
        }
    }
}

/// A duration as it travels.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn once(reader: &Reader<'_>) -> Option<Placed<Once>> {
    use crate::source::Node;
    let value = &reader.entry("once")?.value;
    match &value.value {
        Node::Flag(true) => return Some(value.with(Once::Run)),
        Node::Flag(false) => {}
        Node::Text(text) if text == "release" => return Some(value.with(Once::Release)),
        other => {
            let message = match other {
                Node::Text(text) => format!("`once` cannot be {text:?}"),
                other => format!("`once` must be true or \"release\", not {}", other.what()),
            };
            let help = "use `true` (on the first host only) or \"release\" (also never again for the same image)";
            reader.error(&value.place, message, help);
        }
    }
    None
}

fn hints(reader: &Reader<'_>) -> Vec<Hint> {
    let mut hints = Vec::new();
    for (regex, text) in reader.text_map("hints") {
        match Regex::new(&regex.value) {
            Ok(_) => hints.push(Hint { regex: regex.value, text: text.value }),
            Err(error) => reader.error(&regex.place, format!("this is not a regular expression: {error}"), REGEX_HELP),
        }
    }
    hints
}

fn refuse_retry(reader: &Reader<'_>) -> Option<Placed<Retry>> {
    let entry = reader.entry("retry")?;
    let message = format!("{} cannot have `retry`: a step with effects is never retried by itself", reader.what());
    reader.error(&entry.key.place, message, "leave it out; only checks, such as `health`, are tried again");
    None
}

fn retry(reader: &Reader<'_>) -> Option<Placed<Retry>> {
    let place = reader.entry("retry")?.value.place.clone();
    let table = reader.table("retry", "`retry`")?;
    let whole = table.duration("for");
    if table.entry("for").is_none() {
        table.missing("for", "say how long to try: retry = { for = \"2m\" }");
    }
    let every = table.duration("every");
    let successes = table.whole("successes", 1..=1000);
    if let (Some(whole), Some(every)) = (&whole, &every)
        && every.value > whole.value
    {
        table.error(
            &every.place,
            "`every` is longer than `for`: there would be no second attempt",
            "lower `every`, or raise `for`",
        );
    }
    let result = whole.map(|whole| Retry {
        for_ms: milliseconds(whole.value),
        every_ms: every.map_or(2000, |every| milliseconds(every.value)),
        successes: successes.and_then(|count| u32::try_from(count.value).ok()).unwrap_or(1),
    });
    table.finish();
    result.map(|retry| Placed::new(retry, place))
}

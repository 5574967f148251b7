//! Two runs beside each other: what one did and the other did not, and how long each took for it. Tells, and judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::Reporter;
use super::failure::short;
use super::sanitize::label;
use super::story::{Part, Printed, Story, moment};
use super::style::{Paint, Tone, duration};
use super::summary::mark;
use crate::event::{Event, Status};
use crate::facts::Migrations;

/// What one run was.
#[derive(Debug)]
pub struct Account(Story);

impl Default for Account {
    fn default() -> Self {
        Self(Story::new(Printed::None))
    }
}

impl Reporter for Account {
    fn event(&mut self, event: &Event) {
        self.0.push(event);
    }

    fn finish(&mut self) {}
}

/// Something of both runs: by host and name, what it was in each.
type Both<T> = BTreeMap<(String, String), [Option<T>; 2]>;

fn both<T>(runs: [&Story; 2], of: impl Fn(&Story) -> Vec<((String, String), T)>) -> Both<T> {
    let mut all = Both::new();
    for (n, story) in runs.into_iter().enumerate() {
        for (key, value) in of(story) {
            all.entry(key).or_insert([None, None])[n] = Some(value);
        }
    }
    all
}

/// The image that each service was to serve after the run.
fn images(story: &Story) -> Vec<((String, String), String)> {
    let facts = story.parts.iter().filter_map(|part| Some((part.name(), part.facts.as_ref()?)));
    facts
        .flat_map(|(host, facts)| facts.services.iter().map(move |(service, of)| (host, service, of)))
        .filter_map(|(host, service, of)| {
            let id = of.digest.as_ref().or(of.image_id.as_ref())?;
            Some(((host.to_owned(), service.to_string()), id.clone()))
        })
        .collect()
}

/// The migrations that were pending when a host was prepared, each by itself.
fn migrations(story: &Story) -> Vec<((String, String), ())> {
    let facts = story.parts.iter().filter_map(|part| Some((part.name(), part.facts.as_ref()?)));
    let names = facts.flat_map(|(host, facts)| {
        facts.migrations.values().filter_map(move |of| match of {
            Migrations::Pending { names } => Some((host, names)),
            _ => None,
        })
    });
    names.flat_map(|(host, names)| names.iter().map(move |name| ((host.to_owned(), name.clone()), ()))).collect()
}

/// The steps in the order of the newer run, those that only the older one has after them.
fn steps<'a>(runs: [&'a Story; 2]) -> Vec<(String, String, [Option<&'a Part>; 2])> {
    let of = |story: &'a Story, host: &str, name: &str| {
        story.steps().find(|(part, step)| part.name() == host && step.name.as_str() == name).map(|(_, step)| step)
    };
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for story in [runs[1], runs[0]] {
        for (part, step) in story.steps() {
            let key = (part.name().to_owned(), step.name.to_string());
            if seen.insert(key.clone()) {
                let both = [of(runs[0], &key.0, &key.1), of(runs[1], &key.0, &key.1)];
                rows.push((key.0, key.1, both));
            }
        }
    }
    rows
}

fn took(story: &Story) -> Duration {
    story.end.map_or(story.span(), |(_, _, took)| took)
}

/// How much longer the second took, or shorter: `+1.2s`.
fn delta(one: Duration, other: Duration) -> String {
    let sign = if other >= one { '+' } else { '-' };
    format!("{sign}{}", duration(other.abs_diff(one)))
}

/// The two for people.
pub fn difference_text(one: &Account, other: &Account, paint: Paint) -> String {
    let runs = [&one.0, &other.0];
    let mut text = String::new();
    let column = |text: &str| console::pad_str(&label(text), 28, console::Alignment::Left, Some("…")).into_owned();
    let mut row = |name: &str, of: &dyn Fn(&Story) -> String, more: &str| {
        let [a, b] = runs.map(|story| column(&of(story)));
        let differs = a != b;
        let name = if differs {
            paint.paint(Tone::Strong, format!("{name:<10}"))
        } else {
            paint.paint(Tone::Faint, format!("{name:<10}"))
        };
        let _ = writeln!(text, "{}", format!("{name} {a} {b} {more}").trim_end());
    };
    row("run", &|story| story.run.as_ref().map(ToString::to_string).unwrap_or_default(), "");
    row("playbook", &|story| story.playbook.clone(), "");
    row("began", &|story| story.began.map(moment).unwrap_or_default(), "");
    row("by", &|story| story.who.clone(), "");
    row("note", &|story| story.note.clone().unwrap_or_default(), "");
    row("plan", &|story| story.plan.get(..12).unwrap_or_default().to_owned(), "");
    row("ended", &|story| story.outcome().0.to_owned(), "");
    row("took", &|story| duration(took(story)), &delta(took(runs[0]), took(runs[1])));
    let steps = steps(runs);
    if !steps.is_empty() {
        let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, "steps"));
    }
    for (host, name, both) in &steps {
        let [a, b] = both.map(|step| state(step, paint));
        let more = match both {
            [Some(a), Some(b)] if ended(a) && ended(b) => delta(a.took, b.took),
            _ => String::new(),
        };
        let pad = |text: &str, width| console::pad_str(text, width, console::Alignment::Left, Some("…")).into_owned();
        let line = format!("  {} {} {} {} {more}", pad(&label(host), 14), pad(&label(name), 24), pad(&a, 20), pad(&b, 20));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let images: Vec<_> = both(runs, images).into_iter().filter(|(_, [a, b])| a != b).collect();
    if !images.is_empty() {
        let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, "images"));
    }
    for ((host, service), both) in images {
        let [a, b] = both.map(|id| id.map_or_else(|| "not there".to_owned(), |id| short(&id)));
        let _ = writeln!(text, "  {} {}: {a} → {b}", label(&host), label(&service));
    }
    let pending: Vec<_> = both(runs, migrations).into_iter().filter(|(_, [a, b])| a != b).collect();
    if !pending.is_empty() {
        let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, "migrations that waited"));
    }
    for ((host, name), [a, _]) in pending {
        let which = if a.is_some() { "only before the first" } else { "only before the second" };
        let _ = writeln!(text, "  {} {}: {which}", label(&host), label(&name));
    }
    text
}

fn ended(step: &Part) -> bool {
    step.began.is_some() && step.status.is_some()
}

fn state(step: Option<&Part>, paint: Paint) -> String {
    let Some(step) = step else { return paint.paint(Tone::Faint, "not there") };
    let (sign, tone) =
        if step.began.is_none() { ("-", Tone::Faint) } else { mark(step.status.map_or("unknown", Status::as_str)) };
    let time = if ended(step) { duration(step.took) } else { String::new() };
    let word = if step.status == Some(Status::Ok) { "" } else { step.word() };
    format!(
        "{} {}",
        paint.paint(tone, sign),
        [time.as_str(), word].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    )
}

/// The two for programs.
pub fn difference_json(one: &Account, other: &Account) -> Value {
    let runs = [&one.0, &other.0];
    let [a, b] = runs.map(|story| {
        json!({
            "run": story.run,
            "playbook": story.playbook,
            "began": story.began.map(moment),
            "who": story.who,
            "note": story.note,
            "plan": story.plan,
            "outcome": story.outcome().0,
            "exit_code": story.end.map(|(_, code, _)| code),
            "duration_ms": u64::try_from(took(story).as_millis()).unwrap_or(u64::MAX),
        })
    });
    let step = |step: Option<&Part>| {
        step.map(|step| {
            let ms = u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX);
            json!({ "status": step.status.map(Status::as_str), "duration_ms": ms })
        })
    };
    let steps: Vec<Value> = steps(runs)
        .into_iter()
        .map(|(host, name, [a, b])| json!({ "host": host, "step": name, "a": step(a), "b": step(b) }))
        .collect();
    let images: Vec<Value> = both(runs, images)
        .into_iter()
        .filter(|(_, [a, b])| a != b)
        .map(|((host, service), [a, b])| json!({ "host": host, "service": service, "a": a, "b": b }))
        .collect();
    let waited: Vec<Value> = both(runs, migrations)
        .into_iter()
        .filter(|(_, [a, b])| a != b)
        .map(|((host, name), [a, b])| json!({ "host": host, "migration": name, "a": a.is_some(), "b": b.is_some() }))
        .collect();
    json!({ "v": 1, "a": a, "b": b, "steps": steps, "images": images, "migrations": waited })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples;
    use super::*;

    fn account(events: &[Event]) -> Account {
        let mut account = Account::default();
        for event in events {
            account.event(event);
        }
        account
    }

    #[test]
    fn a_run_that_went_well_and_one_that_did_not() {
        let (good, bad) = (account(&samples::ok_run()), account(&samples::failed_migration()));
        assert_snapshot!(difference_text(&good, &bad, Paint { colour: false }));
        let json = difference_json(&good, &bad);
        assert_eq!(json["b"]["outcome"], "failed");
        assert_eq!(json["steps"].as_array().unwrap().len(), 5);
        assert_eq!(json["images"], json!([]));
    }
}

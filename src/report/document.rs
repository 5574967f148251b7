//! A run as one JSON document, for programs that want it whole: what the events said, put together by host and step.

use std::io::{self, Write};
use std::time::Duration;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::story::{Chapter, Look, Part, Story, moment};
use crate::event::{Approved, Stream};
use crate::facts::{Facts, LockHolder, Refusal};

/// The version of the document's form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    v: u32,
    run: Option<&'a str>,
    playbook: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    who: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    plan: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stops: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_incomplete: Option<String>,
    hosts: Vec<Host<'a>>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the words of events")]
struct Host<'a> {
    /// None: this machine.
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_by: Option<&'a LockHolder>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact_lost: Vec<Loss>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<&'a Facts>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Loss {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the words of events")]
struct Step<'a> {
    step: &'a str,
    kind: &'a str,
    check: bool,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hints: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    approved: &'a [Approved],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change<'a>>,
    /// How many looks there were; `checks` may hold fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    looks: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Printout<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    to: &'a str,
}

#[derive(Serialize)]
struct Check<'a> {
    at: String,
    kind: &'a str,
    side: &'a str,
    ok: bool,
    observed: &'a str,
    expected: &'a str,
}

/// What a step printed: read while it is written, so that there is never more than one of them in memory.
struct Printout<'a> {
    story: &'a Story,
    step: &'a Part,
    limit: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Piece<'a> {
    Cut {
        lines_left_out: u64,
    },
    Line {
        stream: Stream,
        ms: u64,
        text: std::borrow::Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_left_out: Option<u64>,
    },
}

impl Serialize for Printout<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tail = self.story.output(self.step, self.limit);
        let mut seq = serializer.serialize_seq(None)?;
        if tail.cut > 0 {
            seq.serialize_element(&Piece::Cut { lines_left_out: tail.cut })?;
        }
        for line in &tail.lines {
            seq.serialize_element(&Piece::Line {
                stream: line.stream,
                ms: line.ms,
                text: String::from_utf8_lossy(&line.text),
                bytes_left_out: (line.left_out > 0).then_some(line.left_out),
            })?;
        }
        seq.end()
    }
}

/// Writes the report.
pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let limit = story.share();
    let document = Document {
        v: VERSION,
        run: story.run.as_ref().map(crate::name::RunId::as_str),
        playbook: &story.playbook,
        project: story.project.as_deref(),
        who: &story.who,
        note: story.note.as_deref(),
        plan: &story.plan,
        began: story.began.map(time),
        outcome: story.outcome().0,
        status: story.end.map(|(status, ..)| status.as_str()),
        exit_code: story.end.map(|(_, code, _)| code),
        duration_ms: ms(story.end.map_or(story.span(), |(_, _, took)| took)),
        stops: &story.stops,
        warnings: &story.warnings,
        output_incomplete: story.output_failed(),
        hosts: story.parts.iter().map(|part| host(story, part, limit)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

fn host<'a>(story: &'a Story, part: &'a Chapter, limit: u64) -> Host<'a> {
    Host {
        host: part.host.as_ref().map(crate::name::HostName::as_str),
        address: part.address.as_deref(),
        status: part.status().map(crate::event::Status::as_str),
        exit_code: part.end.map(|(_, code, _)| code),
        duration_ms: part.end.map(|(_, _, took)| ms(took)),
        refused: part.refusal.as_ref(),
        locked_by: part.locked.as_ref(),
        warnings: &part.warnings,
        contact_lost: part.losses.iter().map(|(at, until)| Loss { at: time(*at), until: until.map(time) }).collect(),
        facts: part.facts.as_deref(),
        steps: part.steps.iter().map(|step| of_step(story, step, limit)).collect(),
    }
}

fn of_step<'a>(story: &'a Story, step: &'a Part, limit: u64) -> Step<'a> {
    let change = |change: &'a super::story::Change| Change { what: &change.what, from: change.from.as_deref(), to: &change.to };
    Step {
        step: step.name.as_str(),
        kind: &step.kind,
        check: step.check,
        command: &step.command,
        began: step.began.map(time),
        status: step.status.map(crate::event::Status::as_str),
        exit_code: step.exit_code,
        signal: step.signal.as_deref(),
        duration_ms: ms(step.took),
        detail: step.detail.as_deref(),
        hints: &step.hints,
        warnings: &step.warnings,
        approved: &step.approved,
        changes: step.changes.iter().map(change).collect(),
        looks: (step.looked.0 > 0).then_some(step.looked.0),
        checks: step.looks.iter().map(check).collect(),
        output: story.shows(step).then_some(Printout { story, step, limit }),
    }
}

fn check(look: &Look) -> Check<'_> {
    let Look { at, kind, side, ok, observed, expected } = look;
    Check { at: time(*at), kind, side, ok: *ok, observed, expected }
}

fn time(millis: u64) -> String {
    moment(millis).trim_end_matches(" UTC").replace(' ', "T") + "Z"
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::Value;

    use super::super::samples::{self, told};
    use super::*;

    fn document(events: &[crate::event::Event]) -> String {
        let mut out = Vec::new();
        write(&told(events), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failed_check() {
        assert_snapshot!(document(&samples::failed_check()));
    }

    #[test]
    fn output_is_exact_and_cut() {
        let value: Value = serde_json::from_str(&document(&samples::hostile())).unwrap();
        let output = value["hosts"][0]["steps"][0]["output"].as_array().unwrap();
        assert_eq!(output[0]["text"], "::error::owned ]]></system-out>");
        assert_eq!(output[6]["text"], "\u{fffd}\0\u{fffd}");
        assert_eq!(output[7]["bytes_left_out"], (10 << 20) - (8 << 10));
    }
}

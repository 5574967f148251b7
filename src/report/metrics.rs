//! A run as `OpenMetrics` text, for the textfile collector of `node_exporter`: times, codes and what checks said. No output.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::story::{Story, status_word};
use crate::event::Status;

struct Family {
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// Writes the metrics.
pub(super) fn write(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for family in families(story).iter().filter(|family| !family.samples.is_empty()) {
        let Family { name, help, unit, samples } = family;
        let _ = writeln!(text, "# TYPE {name} gauge");
        if !unit.is_empty() {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(text, "# HELP {name} {help}");
        for (labels, value) in samples {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
            let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
        }
    }
    text.push_str("# EOF\n");
    out.write_all(text.as_bytes())
}

fn families(story: &Story) -> Vec<Family> {
    let project = story.project.clone().unwrap_or_default();
    let run = || vec![("project", project.clone()), ("playbook", story.playbook.clone())];
    let with = |more: Vec<(&'static str, String)>| run().into_iter().chain(more).collect::<Vec<_>>();
    let family = |name, unit, help, samples| Family { name, help, unit, samples };
    let (_, status) = story.outcome();
    let id = story.run.as_ref().map(ToString::to_string).unwrap_or_default();
    let about = with(vec![("run", id), ("who", story.who.clone()), ("status", status_word(Some(status)).to_owned())]);
    let hosts = || story.parts.iter().filter_map(|part| Some((part.host.as_ref()?.to_string(), part)));
    let steps =
        || story.steps().map(|(part, step)| (vec![("host", part.name().to_owned()), ("step", step.name.to_string())], step));
    let took = story.end.map_or(story.span(), |(_, _, took)| took);
    let finished = story.began.map(|began| seconds(began) + took.as_secs_f64());
    let checks = steps().flat_map(|(labels, step)| {
        let of = move |look: &super::story::Look| {
            let more = [("check", look.kind.clone()), ("side", look.side.clone())];
            labels.iter().cloned().chain(more).collect::<Vec<_>>()
        };
        step.sides().into_iter().map(move |look| (of(look), look)).collect::<Vec<_>>()
    });
    let checks: Vec<(Vec<(&'static str, String)>, &super::story::Look)> = checks.collect();
    let latency = checks.iter().filter_map(|(labels, look)| Some((with(labels.clone()), look.latency()? / 1000.0)));
    vec![
        family("landfall_run_info", "", "The last run, by its id, its starter and its end.", vec![(about, 1.0)]),
        family(
            "landfall_run_finished_timestamp_seconds",
            "seconds",
            "When the last run ended.",
            finished.map(|at| (run(), at)).into_iter().collect(),
        ),
        family("landfall_run_duration_seconds", "seconds", "How long the last run took.", vec![(run(), took.as_secs_f64())]),
        family(
            "landfall_run_exit_code",
            "",
            "The exit code of the last run; 0 is done and verified.",
            story.end.map(|(_, code, _)| (run(), f64::from(code))).into_iter().collect(),
        ),
        family(
            "landfall_host_duration_seconds",
            "seconds",
            "How long each host's part took.",
            hosts().filter_map(|(host, part)| Some((with(vec![("host", host)]), part.end?.2.as_secs_f64()))).collect(),
        ),
        family(
            "landfall_host_success",
            "",
            "Whether each host's part ended well.",
            hosts().filter_map(|(host, part)| Some((with(vec![("host", host)]), flag(part.status()? == Status::Ok)))).collect(),
        ),
        family(
            "landfall_step_duration_seconds",
            "seconds",
            "How long each step took on each host.",
            steps()
                .filter(|(_, step)| step.began.is_some() && step.status.is_some())
                .map(|(labels, step)| {
                    (with(labels.into_iter().chain([("kind", step.kind.clone())]).collect()), step.took.as_secs_f64())
                })
                .collect(),
        ),
        family(
            "landfall_step_success",
            "",
            "Whether each step that ran ended well.",
            steps()
                .filter(|(_, step)| step.began.is_some())
                .filter_map(|(labels, step)| Some((with(labels), flag(step.status? == Status::Ok))))
                .collect(),
        ),
        family(
            "landfall_check_success",
            "",
            "What each check said last, by the side that it looked from.",
            checks.iter().map(|(labels, look)| (with(labels.clone()), flag(look.ok))).collect(),
        ),
        family("landfall_check_latency_seconds", "seconds", "How long the last answer took.", latency.collect()),
    ]
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn escape(text: &str) -> String {
    super::sanitize::label(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples::{self, told};
    use super::*;

    fn metrics(events: &[crate::event::Event]) -> String {
        let mut out = Vec::new();
        write(&told(events), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_run_that_goes_well() {
        assert_snapshot!(metrics(&samples::ok_run()));
    }

    #[test]
    fn names_cannot_break_a_line() {
        let text = metrics(&samples::hostile());
        assert!(text.contains(r#"step="a <b> `c` | ::error::d""#), "{text}");
        let sample = regex_lite::Regex::new(r#"^[a-z_]+\{([a-z]+="([^"\\]|\\.)*",?)*\} -?[0-9.e]+$"#).unwrap();
        assert!(text.lines().all(|line| line.starts_with("# ") || sample.is_match(line)), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
    }
}

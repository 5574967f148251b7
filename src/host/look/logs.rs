//! Lines of a service's log that should not be there. They are found in the unmasked text; what is shown of them is masked.

use std::time::{Duration, SystemTime};

use regex_lite::Regex;

use super::super::compose;
use super::super::docker;
use super::super::judge::plain;
use super::super::process::{self, CAPTURE};
use super::super::stage::Stage;
use super::Sight;
use crate::action::{LogsProbe, Since};
use crate::check::{Seen, shortened};

/// How long Docker may take to bring the log.
const LIMIT: Duration = Duration::from_mins(1);
/// So many of the lines found are shown,
const SHOWN: usize = 10;
/// and so much of each.
const WIDTH: usize = 300;

pub(super) fn look(stage: &Stage<'_>, probe: &LogsProbe) -> Result<Sight, String> {
    let Some(project) = &stage.submission.compose else { return Err("the plan names no compose project".to_owned()) };
    let (ago, words) = match probe.since {
        Since::Run => (Duration::from_millis(stage.log.elapsed_ms()), "since the run began".to_owned()),
        Since::Ago(ms) => {
            let ago = Duration::from_millis(ms);
            (ago, format!("in the last {}", humantime::format_duration(ago)))
        }
        Since::Up => (up_for(stage, probe), "since it was started".to_owned()),
    };
    let expected = match probe.at_most {
        0 => format!("no line like {} {words}", patterns(&probe.patterns)),
        most => format!("at most {most} lines like {} {words}", patterns(&probe.patterns)),
    };
    let not_seen = |why: String| Seen { ok: false, observed: shortened(&stage.masked(&why)), expected: expected.clone() };
    // Docker takes a duration for one before its own now.
    let since = format!("{}ms", ago.as_millis().max(1));
    let spawn = compose::command(project, &["logs", "--no-color", "--no-log-prefix", "--since", &since, probe.service.as_str()]);
    let (ended, kept) = match process::capture(&spawn, LIMIT) {
        Err(error) => return Ok(not_seen(format!("the log cannot be read: {error}")).into()),
        Ok((ended, kept)) if ended.code != Some(0) => {
            let said = String::from_utf8_lossy(&kept.stderr).into_owned();
            let why = format!("the log cannot be read: {:?} {}", ended.code, said.lines().last().unwrap_or_default());
            return Ok(not_seen(why).into());
        }
        Ok(read) => read,
    };
    drop(ended);
    let all = [kept.stdout.as_slice(), kept.stderr.as_slice()];
    let found: Vec<String> = all.iter().flat_map(|text| matching(text, probe)).collect();
    let mut observed = match found.len() {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    };
    if all.iter().any(|text| text.len() >= CAPTURE) {
        observed.push_str(" in the first 16 MiB");
    }
    let ok = found.len() <= probe.at_most as usize;
    let seen = Seen { ok, observed, expected };
    if ok {
        return Ok(seen.into());
    }
    let mut lines: Vec<u8> = found.iter().take(SHOWN).flat_map(|line| format!("{}\n", short(line)).into_bytes()).collect();
    if found.len() > SHOWN {
        lines.extend(format!("… and {} more\n", found.len() - SHOWN).into_bytes());
    }
    let hint = format!("to see them in their place: landfall logs {}", probe.service);
    Ok(Sight { seen, lines, hint: Some(hint) })
}

fn patterns(all: &[String]) -> String {
    all.iter().map(|pattern| format!("/{pattern}/")).collect::<Vec<_>>().join(" or ")
}

/// How long its container has been running; all that there is where that is not known.
fn up_for(stage: &Stage<'_>, probe: &LogsProbe) -> Duration {
    let started = docker::services(&stage.config.name)
        .ok()
        .and_then(|mut containers| containers.remove(&probe.service))
        .and_then(|container| humantime::parse_rfc3339(&container.state.started_at).ok());
    let ago = started.and_then(|at| SystemTime::now().duration_since(at).ok());
    ago.map_or(Duration::from_hours(24 * 365), |ago| ago + Duration::from_millis(1))
}

/// The lines that count, without colours.
fn matching(text: &[u8], probe: &LogsProbe) -> Vec<String> {
    let compiled = |all: &[String]| all.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect::<Vec<_>>();
    let (wanted, excluded) = (compiled(&probe.patterns), compiled(&probe.exclude));
    let any = |all: &[Regex], line: &str| all.iter().any(|regex| regex.is_match(line));
    let lines = text.split(|byte| *byte == b'\n').map(plain);
    lines.filter(|line| any(&wanted, line) && !any(&excluded, line)).collect()
}

fn short(line: &str) -> &str {
    &line[..line.floor_char_boundary(WIDTH)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_by_patterns_and_exceptions() {
        let probe = LogsProbe {
            service: "api".parse().expect("name"),
            patterns: vec!["(?i)error".to_owned(), "panic".to_owned()],
            exclude: vec!["ErrorReporter started".to_owned()],
            since: Since::Up,
            at_most: 0,
        };
        let text = b"listening\n\x1b[31mERROR\x1b[0m: no route\nErrorReporter started\npanic!\nerr\n";
        assert_eq!(matching(text, &probe), ["ERROR: no route", "panic!"]);
        assert_eq!(matching(b"", &probe), Vec::<String>::new());
        assert_eq!(patterns(&probe.patterns), "/(?i)error/ or /panic/");
    }
}

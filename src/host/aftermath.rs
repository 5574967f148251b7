//! What can still be found out about a run whose supervisor died: the step that was under way, what became of its containers, and
//! whether the database still works on it.
//! Looks, and concludes nothing: how the run ended is for a person to say.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use super::database::Access;
use super::docker::{self, Container};
use super::gather;
use super::guard::mask_text;
use super::kill;
use super::migrations::watch;
use super::secrets::Loaded;
use super::state::{RunDir, State};
use super::{status, survey};
use crate::event::{Body, Timestamp};
use crate::facts::{LockHolder, Refusal};
use crate::name::StepName;
use crate::protocol::RunState;
use crate::record;

/// What is known, a sentence each, in words that may leave the host.
pub(super) fn known(dir: &RunDir) -> Vec<String> {
    let under_way = under_way(dir);
    let mut known = vec![match &under_way {
        Some(Seen { step, time }) => format!("step {step} was under way, since {time}"),
        None => "no step was under way".to_owned(),
    }];
    if dir.submission().map_or(true, |submission| submission.compose.is_some()) {
        known.extend(containers(dir));
    }
    known.extend(under_way.and_then(|seen| in_database(dir, seen.time.as_str())));
    known
}

/// Why nothing with effects runs after a run that nobody has settled, with its story.
pub(super) fn unsettled(state: &State, holder: &LockHolder) -> Refusal {
    let dir = state.run(&holder.run);
    let LockHolder { run, playbook, who, since, state, .. } = holder;
    let mut story =
        vec![format!("run {run} ({playbook}, by {who} at {since}) ended {state}: whether its work is done is not known")];
    if status::of(&dir) == RunState::Lost {
        story.extend(known(&dir));
    }
    Refusal::unfit(
        story.join("\n"),
        format!("look at it: landfall attach {run}; then say: landfall resolve {run} --as done|not-done --note …"),
    )
}

/// A step that began.
struct Seen {
    step: StepName,
    time: Timestamp,
}

/// The step that began last and did not end, by the record.
fn under_way(dir: &RunDir) -> Option<Seen> {
    let mut last = None;
    let mut log = BufReader::new(File::open(dir.log()).ok()?);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(event) = record::event(&line) {
            match event.body {
                Body::StepStarted { .. } => last = event.step.map(|step| Seen { step, time: event.time }),
                Body::StepFinished { .. } => last = None,
                _ => {}
            }
        }
        line.clear();
    }
    last
}

fn containers(dir: &RunDir) -> Vec<String> {
    let found = match kill::containers(&dir.run, true) {
        Ok(found) if found.is_empty() => return vec!["none of its containers is left: how they ended went with them".to_owned()],
        Ok(found) => found,
        Err(_) => return vec!["Docker does not answer: what became of its containers is not known".to_owned()],
    };
    found.iter().filter_map(|id| docker::container(id).ok().flatten()).map(|container| told(&container)).collect()
}

/// What the database does that began after a moment: a statement goes on there when its client is gone. None where the inventory names
/// no database.
fn in_database(dir: &RunDir, since: &str) -> Option<String> {
    dir.submission().ok().filter(|submission| submission.database.is_some())?;
    let left = database(dir).and_then(|(access, secrets)| Some((watch::at_work_since(&access, since)?, secrets)));
    Some(match left {
        None => "whether its database still works on it is not known: it cannot be asked, or does not show it to this login"
            .to_owned(),
        Some((left, _)) if left.is_empty() => "its database works on nothing that began since then".to_owned(),
        Some((left, secrets)) => mask_text(&secrets.needles, &format!("its database still works: {}", left.join("; "))),
    })
}

/// The database of a run that is over, where it can be reached from what is kept of the run.
pub(super) fn database(dir: &RunDir) -> Option<(Arc<Access>, Loaded)> {
    let submission = dir.submission().ok()?;
    let (secrets, look) = gather::all(&submission).ok()?;
    let survey = survey::basics(&submission, None, &secrets, look);
    let access = survey.database.open(&submission, &survey.config, &secrets).ok()?;
    Some((access, secrets))
}

/// Docker's word on one container. Its own error text is left out: it may quote what nobody masked.
fn told(container: &Container) -> String {
    let (state, id) = (&container.state, container.id.get(..12).unwrap_or(&container.id));
    let started = !state.started_at.is_empty() && !state.started_at.starts_with("0001-");
    match state.status.as_str() {
        _ if !started => format!("container {id} was created and never ran"),
        "exited" | "dead" if state.oom_killed => {
            format!("container {id} ended with code {}: the kernel killed it for want of memory", state.exit_code)
        }
        "exited" | "dead" => format!("container {id} ended at {} with code {}", second(&state.finished_at), state.exit_code),
        other => format!("container {id} is {other}"),
    }
}

/// Docker writes nanoseconds.
fn second(time: &str) -> String {
    time.get(..19).map_or_else(|| "a time that is not known".to_owned(), |second| format!("{second}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: &str) -> Container {
        let text = format!(r#"{{"Id":"0123456789abcdef","Image":"sha256:1","State":{state},"Config":{{}}}}"#);
        serde_json::from_str(&text).expect("container")
    }

    #[test]
    fn a_container_tells_how_it_ended() {
        let ended =
            r#"{"Status":"exited","ExitCode":3,"StartedAt":"2026-01-02T03:04:05.6Z","FinishedAt":"2026-01-02T03:04:07.89Z"}"#;
        assert_eq!(told(&container(ended)), "container 0123456789ab ended at 2026-01-02T03:04:07Z with code 3");
        let killed = r#"{"Status":"exited","ExitCode":137,"OOMKilled":true,"StartedAt":"2026-01-02T03:04:05Z"}"#;
        assert!(told(&container(killed)).ends_with("with code 137: the kernel killed it for want of memory"));
        let never = r#"{"Status":"created","StartedAt":"0001-01-01T00:00:00Z","Error":"secret"}"#;
        assert_eq!(told(&container(never)), "container 0123456789ab was created and never ran");
        let lives = r#"{"Status":"running","StartedAt":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(told(&container(lives)), "container 0123456789ab is running");
    }
}

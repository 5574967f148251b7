//! A command in a service: a one-off container of its image, or a process in its running container. The client's exit code is
//! only believed where Docker's own record of the container says the same.

use std::time::{Duration, Instant};

use super::super::compose::{self, OneOff};
use super::super::docker::{self, Trouble};
use super::super::inside::Guest;
use super::super::judge::Watcher;
use super::super::kill::LABEL;
use super::super::process::{Ended, Spawn};
use super::super::stage::{Outcome, Stage};
use super::super::status;
use super::{hint, verdict};
use crate::action::{ServiceCommand, Via};
use crate::event::{Body, Status};
use crate::name::RunId;
use crate::protocol::{HostStep, RunState};
use crate::secret::Value;

/// The name of the one container with effects that a project may have at a time: the daemon refuses a second one, whoever asks,
/// so it is a second line of defence behind the lock.
pub(crate) fn container_name(project: &str, run: Option<&RunId>) -> String {
    run.map_or_else(|| format!("{project}-landfall"), |run| format!("{project}-landfall-{run}"))
}

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, command: &ServiceCommand) -> Outcome {
    let env = match stage.values(&command.env) {
        Ok(env) => env.into_iter().collect(),
        Err(refused) => return Outcome::failed(refused),
    };
    let Some(project) = stage.submission.compose.clone() else { return Outcome::failed("the plan names no compose project") };
    let mut watcher = Watcher::new(&command.judge, &step.hints);
    let outcome = match command.via {
        Via::Exec if command.env.values().any(|value| matches!(value, Value::Secret(_))) => Outcome::failed(
            "a secret cannot be handed to a command in a running container: its value would stand in a process list",
        ),
        Via::Exec => {
            stage.guest = Guest::of(&stage.config.name, &command.service);
            let shell = stage.guest.as_ref().is_some_and(|guest| guest.shell);
            let spawn = compose::exec(&project, &stage.dir.run, &command.service, &command.argv, &env, shell);
            let ended = stage.stream(&spawn, &mut watcher);
            stage.guest = None;
            match ended {
                Err(error) => Outcome::failed(format!("could not be started: {error}")),
                Ok(ended) => match ended.stopped {
                    Some(stopped) => stage.stopped(stopped, &ended.left, step).ended(&ended),
                    // Only the client died; the process inside may live.
                    None if ended.signal.is_some() => Outcome::unknown("the docker client was killed").ended(&ended),
                    None => verdict(&ended, &command.judge, &watcher),
                },
            }
        }
        Via::Run => {
            let name = container_name(&stage.config.name, None);
            let Some(image) = stage.images.get(&command.service).cloned() else {
                return Outcome::failed(format!("the image of {} is not on this host", command.service));
            };
            if let Err(refused) = make_way(stage, &name) {
                return Outcome::failed(refused);
            }
            let one = OneOff {
                service: &command.service,
                name: &name,
                run: &stage.dir.run.clone(),
                image: &image,
                argv: &command.argv,
                env: &env,
            };
            let spawn = compose::run(&project, &one);
            match stage.stream(&spawn, &mut watcher) {
                Err(error) => Outcome::failed(format!("could not be started: {error}")),
                Ok(ended) => match ended.stopped {
                    Some(stopped) => stage.stopped(stopped, &ended.left, step).ended(&ended),
                    None => settle(stage, step, command, &name, &ended, &mut watcher),
                },
            }
        }
    };
    if outcome.status != Status::Ok {
        hint(stage, step, &watcher);
    }
    outcome
}

/// Removes a container of that name which a dead run left behind; refuses to touch one that lives or that is somebody else's.
fn make_way(stage: &Stage<'_>, name: &str) -> Result<(), String> {
    let Ok(Some(container)) = docker::container(name) else { return Ok(()) };
    let short = container.id.get(..12).unwrap_or(&container.id);
    let Some(run) = container.config.label(LABEL).and_then(|run| run.parse::<RunId>().ok()) else {
        return Err(format!("the container name {name} is taken by {short}, which is not Landfall's"));
    };
    if !matches!(container.state.status.as_str(), "created" | "exited" | "dead") {
        return Err(format!("container {short} of run {run} still lives: it is not touched"));
    }
    if run != stage.dir.run && matches!(status::of(&stage.state.run(&run)), RunState::Running | RunState::Orphaned { .. }) {
        return Err(format!("container {short} belongs to run {run}, which still lives"));
    }
    docker::remove(&container.id).map_err(|_| format!("the container {short} that run {run} left cannot be removed"))
}

/// What became of the container, once the client has ended.
fn settle(
    stage: &mut Stage<'_>,
    step: &HostStep,
    command: &ServiceCommand,
    name: &str,
    client: &Ended,
    watcher: &mut Watcher,
) -> Outcome {
    let mut gap = false;
    // Docker may be restarting: its word is worth a wait.
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let container = match docker::container(name) {
            Ok(Some(container)) => container,
            // What the client itself says when it never came to a container; codes of a command's own end are higher.
            Ok(None) if client.code.is_some_and(|code| (1..=125).contains(&code)) => {
                return Outcome::failed("the container was not created").ended(client);
            }
            Ok(None) => return Outcome::unknown("the container is gone, and how it ended with it").ended(client),
            Err(_) if Instant::now() < patience && stage.pause(Instant::now() + Duration::from_secs(2)) => continue,
            Err(trouble) => {
                let why = match trouble {
                    Trouble::Missing => "docker is gone".to_owned(),
                    Trouble::Failed(said) => stage.masked(&said),
                };
                return Outcome::unknown(format!("Docker does not tell how the container ended: {why}")).ended(client);
            }
        };
        let state = &container.state;
        let started = !state.started_at.is_empty() && !state.started_at.starts_with("0001-");
        if matches!(state.status.as_str(), "running" | "paused" | "restarting") {
            // Only the client died. The container's output is picked up where it is now; what was missed is a gap.
            if !std::mem::replace(&mut gap, true) {
                let text = "the docker client ended but its container lives: output is missing here".to_owned();
                stage.event(&step.name, Body::Warning { text });
            }
            let attach = Spawn::new(["docker", "attach", "--no-stdin", "--sig-proxy=false", name]);
            match stage.stream(&attach, watcher) {
                // A paused container cannot be attached to; there is no event of its going on.
                Ok(ended) if ended.stopped.is_none() => {
                    if state.status == "running" || stage.pause(Instant::now() + Duration::from_secs(2)) {
                        continue;
                    }
                    return Outcome::unknown(format!("its container is {}", state.status));
                }
                Ok(ended) => {
                    let stopped = ended.stopped.unwrap_or(super::super::process::Stopped::Cancelled);
                    return stage.stopped(stopped, &ended.left, step);
                }
                Err(error) => return Outcome::unknown(format!("the container lives and cannot be followed: {error}")),
            }
        }
        let _ = docker::remove(&container.id);
        if !started || state.status == "created" {
            let why = if state.error.is_empty() { "it was created and never started" } else { &stage.masked(&state.error) };
            return Outcome::failed(format!("the container did not run: {why}"));
        }
        if !gap && client.code != Some(state.exit_code) {
            // The client did not see the end, so it has not told all that came before it either.
            gap = true;
            let text = "the docker client ended before its container: output is missing here".to_owned();
            stage.event(&step.name, Body::Warning { text });
        }
        let ended = Ended { code: Some(state.exit_code), ..Ended::default() };
        let mut outcome = verdict(&ended, &command.judge, watcher);
        if state.oom_killed {
            outcome.detail = Some(format!("exit code {}: the kernel killed it for want of memory", state.exit_code));
        }
        if gap && command.judge.codes.contains(&state.exit_code) && !command.judge.require.is_empty() {
            let why = format!("exit code {}, but output that would prove it was missed", state.exit_code);
            outcome = Outcome::unknown(why).ended(&ended);
        }
        return outcome;
    }
}

//! Looks at the application from the host, from inside the compose network, and through Docker's own health check. Changes nothing.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::super::docker;
use super::super::process::{self, Spawn};
use super::super::stage::{Outcome, Stage};
use crate::action::{HttpProbe, Probe};
use crate::check::{self, Next, Seen};
use crate::event::{Body, Status};
use crate::name::ServiceName;
use crate::protocol::HostStep;

/// How long a throw-away container may take beside the request itself.
const CONTAINER: Duration = Duration::from_secs(30);

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, probe: &Probe) -> Outcome {
    let mut attempts = check::Attempts::begin(step.retry, Instant::now());
    let mut shown = None;
    loop {
        attempts.start(Instant::now());
        let seen = match look(stage, probe) {
            Ok(seen) => seen,
            Err(refused) => return Outcome::failed(refused),
        };
        let next = attempts.ended(Instant::now(), seen.ok);
        let last = !matches!(next, Next::Wait(_));
        // One event for each thing that was seen, not for each time it was looked at.
        let key = (seen.ok, seen.observed.split_whitespace().next().map(str::to_owned));
        if last || shown.as_ref() != Some(&key) {
            let side = side(probe).to_owned();
            let (observed, expected) = (seen.observed.clone(), seen.expected.clone());
            stage.event(&step.name, Body::Check { kind: step.kind.clone(), side, ok: seen.ok, observed, expected });
            shown = Some(key);
        }
        match next {
            Next::Done => return Outcome::ok(),
            Next::GaveUp => {
                let tries = match attempts.made() {
                    1 => String::new(),
                    made => format!(" after {made} tries"),
                };
                return Outcome::failed(format!("saw {}, expected {}{tries}", seen.observed, seen.expected));
            }
            Next::Wait(until) => {
                if !stage.pause(until) {
                    let stopped = if stage.cancelled() { process::Stopped::Cancelled } else { process::Stopped::TimedOut };
                    let outcome = stage.stopped(stopped, &[], step);
                    return match stopped {
                        process::Stopped::Cancelled => outcome,
                        process::Stopped::TimedOut => Outcome {
                            detail: Some(format!("saw {}, expected {}, when its time was over", seen.observed, seen.expected)),
                            status: Status::TimedOut,
                            ..outcome
                        },
                    };
                }
            }
        }
    }
}

fn side(probe: &Probe) -> &'static str {
    match probe {
        Probe::Host(_) => "host",
        Probe::Network { .. } => "network",
        Probe::Container { .. } => "container",
    }
}

fn look(stage: &Stage<'_>, probe: &Probe) -> Result<Seen, String> {
    match probe {
        Probe::Host(http) => {
            let headers = stage.values(&http.headers)?;
            Ok(match check::http::fetch(http, &headers) {
                Ok(answer) => check::judge(&answer, &http.expect, |text| stage.masked(&text)),
                Err(error) => check::unanswered(error, &http.expect, |text| stage.masked(&text)),
            })
        }
        Probe::Container { service } => Ok(container(stage, service)),
        Probe::Network { service, http } => network(stage, service, http),
    }
}

fn container(stage: &Stage<'_>, service: &ServiceName) -> Seen {
    let expected = "running and healthy".to_owned();
    match docker::services(&stage.config.name) {
        Err(_) => Seen { ok: false, observed: "Docker does not answer".into(), expected },
        Ok(mut containers) => match containers.remove(service) {
            None => Seen { ok: false, observed: "no container".into(), expected },
            Some(container) => {
                let health = container.state.health.map(|health| health.status);
                let running = container.state.status == "running";
                let ok = running && health.as_deref().is_none_or(|health| health == "healthy");
                let observed = match health {
                    Some(health) => format!("{} ({health})", container.state.status),
                    None => format!("{} (it has no health check)", container.state.status),
                };
                Seen { ok, observed, expected }
            }
        },
    }
}

/// What the host program is told, and says, when it runs inside a container for a look at its network.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    http: HttpProbe,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Answer { status: u16, body: Vec<u8>, cut: bool, latency: Duration },
    Unanswered(String),
}

fn network(stage: &Stage<'_>, service: &ServiceName, http: &HttpProbe) -> Result<Seen, String> {
    let headers = stage.values(&http.headers)?;
    let Some(image) = stage.images.get(service) else { return Err(format!("the image of {service} is not on this host")) };
    let networks = stage.config.networks_of(service);
    let Some(network) = networks.first() else { return Err(format!("{service} is in no network")) };
    let program = std::env::current_exe().map_err(|error| format!("the host program cannot find itself: {error}"))?;
    let errand = serde_json::to_vec(&Errand { http: http.clone(), headers }).map_err(|error| error.to_string())?;
    let label = format!("{}={}", super::super::kill::LABEL, stage.dir.run);
    let mount = format!("type=bind,source={},target=/landfall-host,readonly", program.display());
    let words = [
        "docker",
        "run",
        "--rm",
        "-i",
        "--pull",
        "never",
        "--log-driver",
        "none",
        "--label",
        &label,
        "--network",
        network,
        "--user",
        "0",
        "--mount",
        &mount,
        "--entrypoint",
        "/landfall-host",
        image,
        "errand",
    ];
    let spawn = Spawn { input: Some(errand), ..Spawn::new(words) };
    let limit = Duration::from_millis(http.timeout_ms) + CONTAINER;
    let mask = |text: String| stage.masked(&text);
    let (ended, kept) = process::capture(&spawn, limit).map_err(|error| error.to_string())?;
    Ok(match serde_json::from_slice(&kept.stdout) {
        Ok(Report::Answer { status, body, cut, latency }) => {
            check::judge(&check::Answer { status, body, cut, latency }, &http.expect, mask)
        }
        Ok(Report::Unanswered(why)) => check::unanswered(why, &http.expect, mask),
        Err(_) => {
            let said = String::from_utf8_lossy(&kept.stderr);
            let said = said.lines().last().unwrap_or("it printed nothing");
            check::unanswered(format!("the look from inside the network ended with {:?}: {said}", ended.code), &http.expect, mask)
        }
    })
}

/// The errand itself: reads what to ask from stdin, and writes what it heard to stdout.
pub(crate) fn errand() -> std::process::ExitCode {
    let mut text = Vec::new();
    let heard = std::io::stdin().read_to_end(&mut text).map_err(|error| error.to_string());
    let heard = heard.and_then(|_| serde_json::from_slice::<Errand>(&text).map_err(|error| error.to_string()));
    let report = match heard.map(|errand| check::http::fetch(&errand.http, &errand.headers)) {
        Ok(Ok(answer)) => Report::Answer { status: answer.status, body: answer.body, cut: answer.cut, latency: answer.latency },
        Ok(Err(error)) => Report::Unanswered(error.to_string()),
        Err(error) => Report::Unanswered(error),
    };
    let text = serde_json::to_vec(&report).unwrap_or_default();
    match std::io::stdout().write_all(&text) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

//! A request from inside the compose network: the host program itself, in a throw-away container of the service's image.

use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::process::{self, Spawn};
use super::super::stage::Stage;
use super::Sight;
use crate::action::HttpProbe;
use crate::check;
use crate::name::ServiceName;

/// How long a throw-away container may take beside the request itself.
const CONTAINER: Duration = Duration::from_secs(30);

/// What the host program is told, and says, when it runs inside a container for a look at its network.
#[derive(Debug, Serialize, Deserialize)]
struct Errand {
    http: HttpProbe,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Answer { status: u16, body: Vec<u8>, cut: bool, latency: Duration, latencies: Vec<Duration> },
    Unanswered(String, Option<String>),
}

/// Asks from a throw-away container of the service's image, in its network.
pub(super) fn look(stage: &Stage<'_>, service: &ServiceName, http: &HttpProbe) -> Result<Sight, String> {
    let headers = stage.values(&http.headers)?;
    let image = super::image(stage, service)?;
    let networks = stage.config.networks_of(service);
    let Some(network) = networks.first() else { return Err(format!("{service} is in no network")) };
    let program = std::env::current_exe().map_err(|error| format!("the host program cannot find itself: {error}"))?;
    let errand = serde_json::to_vec(&Errand { http: http.clone(), headers }).map_err(|error| error.to_string())?;
    let label = format!("{}={}", crate::host::kill::LABEL, stage.dir.run);
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
        &image,
        "errand",
    ];
    let spawn = Spawn { input: Some(errand), ..Spawn::new(words) };
    let exchanges = http.expect.percentile.map_or(1, |wanted| wanted.samples.max(1));
    let limit = Duration::from_millis(http.timeout_ms) * exchanges + CONTAINER;
    let mask = |text: String| stage.masked(&text);
    let (ended, kept) = process::capture(&spawn, limit).map_err(|error| error.to_string())?;
    Ok(match serde_json::from_slice(&kept.stdout) {
        Ok(Report::Answer { status, body, cut, latency, latencies }) => {
            check::judge(&check::Answer { status, body, cut, latency, latencies }, &http.expect, mask).into()
        }
        Ok(Report::Unanswered(why, hint)) => Sight::of(check::unanswered(why, &http.expect, mask), hint),
        Err(_) => {
            let said = String::from_utf8_lossy(&kept.stderr);
            let said = said.lines().last().unwrap_or("it printed nothing");
            let why = format!("the look from inside the network ended with {:?}: {said}", ended.code);
            check::unanswered(why, &http.expect, mask).into()
        }
    })
}

/// The errand itself: reads what to ask from stdin, and writes what it heard to stdout.
pub(in crate::host) fn errand() -> std::process::ExitCode {
    let mut text = Vec::new();
    let heard = std::io::stdin().read_to_end(&mut text).map_err(|error| error.to_string());
    let heard = heard.and_then(|_| serde_json::from_slice::<Errand>(&text).map_err(|error| error.to_string()));
    let report = match heard.map(|errand| check::http::fetch(&errand.http, &errand.headers)) {
        Ok(Ok(check::Answer { status, body, cut, latency, latencies })) => {
            Report::Answer { status, body, cut, latency, latencies }
        }
        Ok(Err(error)) => Report::Unanswered(error.to_string(), error.remedy().map(str::to_owned)),
        Err(error) => Report::Unanswered(error, None),
    };
    let text = serde_json::to_vec(&report).unwrap_or_default();
    match std::io::stdout().write_all(&text) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}

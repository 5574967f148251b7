//! A service's container as Docker sees it: running, healthy, how often it was started anew, of which image, for how long.

use std::time::{Duration, SystemTime};

use super::super::docker::{self, Container};
use super::super::stage::Stage;
use super::Sight;
use crate::action::ContainerProbe;
use crate::check::{Seen, shortened};

pub(super) fn look(stage: &Stage<'_>, wanted: &ContainerProbe) -> Sight {
    let expected = expectation(wanted);
    let bad = |observed: &str, hint: &str| {
        Sight::of(Seen { ok: false, observed: observed.to_owned(), expected: expected.clone() }, Some(hint.to_owned()))
    };
    match docker::services(&stage.config.name) {
        Err(_) => bad("Docker does not answer", "on the host: systemctl status docker"),
        Ok(mut containers) => match containers.remove(&wanted.service) {
            None => bad("no container", "it was never started, or was removed: docker compose ps -a"),
            Some(container) => {
                let deployed = stage.images.get(&wanted.service).map(String::as_str);
                let (ok, observed, hint) = judge(&container, wanted, deployed, SystemTime::now());
                let observed = shortened(&stage.masked(&observed));
                Sight::of(Seen { ok, observed, expected }, hint.map(str::to_owned))
            }
        },
    }
}

fn expectation(wanted: &ContainerProbe) -> String {
    let mut parts = vec!["running and healthy".to_owned()];
    parts.extend(wanted.restarts.map(|count| format!("restarted at most {count} times")));
    parts.extend(wanted.uptime_ms.map(|ms| format!("up for {}", humantime::format_duration(Duration::from_millis(ms)))));
    if wanted.deployed {
        parts.push("of the image that the compose file names".to_owned());
    }
    parts.join(", ")
}

/// Whether it is as it must be, what it is like, and what usually mends it.
fn judge(
    container: &Container,
    wanted: &ContainerProbe,
    deployed: Option<&str>,
    now: SystemTime,
) -> (bool, String, Option<&'static str>) {
    let state = &container.state;
    let running = state.status == "running";
    let mut problems: Vec<&'static str> = Vec::new();
    let mut seen = match &state.health {
        Some(health) => format!("{} ({})", state.status, health.status),
        None if running => format!("{} (it has no health check)", state.status),
        None => state.status.clone(),
    };
    if !running {
        problems.push(if state.oom_killed {
            "the kernel killed it for its memory: raise its limit, or look at what it needs"
        } else if state.status == "restarting" {
            "it ends again and again after its start: docker compose logs --tail 50"
        } else {
            "it has ended and is not started again: docker compose logs --tail 50"
        });
        if matches!(state.status.as_str(), "exited" | "dead" | "restarting") {
            seen = format!("{seen} with code {}", state.exit_code);
        }
        if state.oom_killed {
            seen.push_str(", killed for its memory");
        }
    }
    match &state.health {
        Some(health) if health.status != "healthy" && running => {
            problems.push("its own health check fails: docker inspect tells what that printed");
        }
        None if wanted.healthy && running => problems.push("give the service a `healthcheck` in the compose file"),
        _ => {}
    }
    if wanted.restarts.is_some() || container.restart_count > 0 {
        seen = format!("{seen}, restarted {} times", container.restart_count);
    }
    if wanted.restarts.is_some_and(|most| container.restart_count > most) {
        problems.push("it ended and was started anew by Docker: look for the reason in its log");
    }
    if let Some(least) = wanted.uptime_ms.filter(|_| running) {
        let began = humantime::parse_rfc3339(&state.started_at).ok();
        let up = began.and_then(|began| now.duration_since(began).ok()).unwrap_or_default();
        seen = format!("{seen}, up for {}", humantime::format_duration(Duration::from_secs(up.as_secs())));
        if up < Duration::from_millis(least) {
            problems.push("it was started only now: somebody released meanwhile, or it ended and came back");
        }
    }
    if wanted.deployed && deployed != Some(container.image.as_str()) {
        let short = |id: &str| id.get(..19).unwrap_or(id).to_owned();
        let named = deployed.map_or_else(|| "one that is not here".to_owned(), short);
        seen = format!("{seen}, of image {}, the compose file names {named}", short(&container.image));
        problems.push("another image was pulled or built since it was started: release it, or set the tag back");
    }
    (problems.is_empty(), seen, problems.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(text: &str) -> Container {
        let text = format!(r#"{{"Id":"c","Image":"sha256:aaaaaaaaaaaaaaaa","Config":{{}},{text}}}"#);
        serde_json::from_str(&text).expect("a container")
    }

    fn wanted() -> ContainerProbe {
        let service = "api".parse().expect("name");
        ContainerProbe { service, healthy: false, restarts: None, uptime_ms: None, deployed: false }
    }

    #[test]
    fn a_container_by_table() {
        let now = humantime::parse_rfc3339("2026-01-01T00:01:00Z").expect("time");
        let running =
            r#""RestartCount":2,"State":{"Status":"running","StartedAt":"2026-01-01T00:00:00.5Z","Health":{"Status":"healthy"}}"#;
        let bare = r#""State":{"Status":"running"}"#;
        let killed = r#""State":{"Status":"exited","ExitCode":137,"OOMKilled":true}"#;
        let sick = r#""State":{"Status":"running","Health":{"Status":"unhealthy"}}"#;
        let asked =
            |restarts, uptime_ms, deployed, healthy| ContainerProbe { healthy, restarts, uptime_ms, deployed, ..wanted() };
        for (text, wanted, deployed, ok, observed) in [
            (running, wanted(), None, true, "running (healthy), restarted 2 times"),
            (running, asked(Some(1), None, false, true), None, false, "running (healthy), restarted 2 times"),
            (running, asked(Some(2), Some(59_000), false, true), None, true, "running (healthy), restarted 2 times, up for 59s"),
            (running, asked(None, Some(60_000), false, false), None, false, "running (healthy), restarted 2 times, up for 59s"),
            (
                running,
                asked(None, None, true, false),
                Some("sha256:aaaaaaaaaaaaaaaa"),
                true,
                "running (healthy), restarted 2 times",
            ),
            (
                running,
                asked(None, None, true, false),
                Some("sha256:bbbbbbbbbbbbbbbb"),
                false,
                "running (healthy), restarted 2 times, of image sha256:aaaaaaaaaaaa, the compose file names sha256:bbbbbbbbbbbb",
            ),
            (bare, wanted(), None, true, "running (it has no health check)"),
            (bare, asked(None, None, false, true), None, false, "running (it has no health check)"),
            (killed, wanted(), None, false, "exited with code 137, killed for its memory"),
            (sick, wanted(), None, false, "running (unhealthy)"),
        ] {
            let (found, seen, hint) = judge(&container(text), &wanted, deployed, now);
            assert_eq!((found, seen.as_str(), hint.is_some()), (ok, observed, !ok), "{wanted:?}");
        }
    }
}

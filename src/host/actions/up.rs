//! Starts services, and replaces their containers by ones of the current images; puts the images that were replaced back where
//! the new ones do not become healthy.

use std::collections::BTreeMap;

use super::super::compose;
use super::super::docker;
use super::super::judge::Watcher;
use super::super::stage::{Outcome, Stage};
use super::verdict;
use crate::action::{Judge, Up};
use crate::event::{Body, Status};
use crate::name::ServiceName;
use crate::protocol::HostStep;

pub(super) fn start(stage: &mut Stage<'_>, step: &HostStep, services: &[ServiceName]) -> Outcome {
    compose_up(stage, step, &["--no-recreate"], services)
}

fn compose_up(stage: &mut Stage<'_>, step: &HostStep, options: &[&str], services: &[ServiceName]) -> Outcome {
    let Some(project) = stage.submission.compose.clone() else { return Outcome::failed("the plan names no compose project") };
    let mut words = vec!["up", "-d", "--no-deps", "--no-build", "--pull", "never", "--wait"];
    words.extend(options);
    words.extend(services.iter().map(ServiceName::as_str));
    let judge = Judge::default();
    let mut watcher = Watcher::new(&judge, &step.hints);
    let outcome = match stage.stream(&compose::command(&project, &words), &mut watcher) {
        Err(error) => Outcome::failed(format!("could not be started: {error}")),
        Ok(ended) => match ended.stopped {
            Some(stopped) => stage.stopped(stopped, &ended.left, step).ended(&ended),
            None => verdict(&ended, &judge, &watcher),
        },
    };
    if outcome.status != Status::Ok {
        super::hint(stage, step, &watcher);
    }
    outcome
}

/// The image ids that serve now.
fn serving(stage: &Stage<'_>) -> BTreeMap<ServiceName, String> {
    let containers = docker::services(&stage.config.name).unwrap_or_default();
    containers.into_iter().map(|(service, container)| (service, container.image)).collect()
}

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, up: &Up) -> Outcome {
    let before = serving(stage);
    if let Some(outcome) = moved_tag(stage, up) {
        return outcome;
    }
    let wait = up.wait_ms.div_ceil(1000).to_string();
    let outcome = compose_up(stage, step, &["--wait-timeout", &wait], &up.services);
    let after = serving(stage);
    tell_changes(stage, step, up, &before, &after);
    if !matches!(outcome.status, Status::Failed | Status::TimedOut) || !up.back {
        return outcome;
    }
    // A cancel or a deadline that struck meanwhile must not stop the old version from coming back.
    let (deadline, deaf) = (stage.deadline.take(), std::mem::replace(&mut stage.deaf, true));
    let back = put_back(stage, step, up, &before, &wait);
    (stage.deadline, stage.deaf) = (deadline, deaf);
    let serving_now = serving(stage);
    tell_changes(stage, step, up, &after, &serving_now);
    let why = outcome.detail.unwrap_or_default();
    match back {
        Ok(()) => Outcome {
            detail: Some(format!("the new containers did not become healthy ({why}); the images they replaced are back")),
            ..outcome
        },
        Err(error) => Outcome {
            detail: Some(format!(
                "the new containers did not become healthy ({why}), and the old images did not come back: {error}"
            )),
            ..outcome
        },
    }
}

/// A tag that points elsewhere than when the plan was made would start what nobody approved.
fn moved_tag(stage: &Stage<'_>, up: &Up) -> Option<Outcome> {
    up.services.iter().find_map(|service| {
        let (planned, name) = (stage.images.get(service)?, stage.config.image(service)?);
        let now = docker::image(&name).ok().flatten()?;
        (now.id != *planned)
            .then(|| Outcome::failed(format!("{name} is no longer the image of the plan: {} instead of {planned}", now.id)))
    })
}

fn tell_changes(
    stage: &mut Stage<'_>,
    step: &HostStep,
    up: &Up,
    before: &BTreeMap<ServiceName, String>,
    after: &BTreeMap<ServiceName, String>,
) {
    for service in &up.services {
        let (from, to) = (before.get(service), after.get(service));
        if let Some(to) = to.filter(|_| from != to) {
            let body = Body::Changed { what: format!("image of {service}"), from: from.cloned(), to: to.clone() };
            stage.event(&step.name, body);
        }
    }
}

/// Points the tags at the images that served before and recreates the services. A later `docker compose up -d` by hand then
/// changes nothing, because the tag says the same as what runs.
fn put_back(
    stage: &mut Stage<'_>,
    step: &HostStep,
    up: &Up,
    before: &BTreeMap<ServiceName, String>,
    wait: &str,
) -> Result<(), String> {
    let mut services = Vec::new();
    for service in &up.services {
        let Some(old) = before.get(service) else { continue };
        let name = stage.config.image(service).unwrap_or_default();
        if name.contains('@') {
            return Err(format!("{service} names its image by digest, which cannot be pointed back"));
        }
        docker::tag(old, &name).map_err(|_| format!("{name} could not be pointed back at {old}"))?;
        stage.images.insert(service.clone(), old.clone());
        services.push(service.clone());
    }
    if services.is_empty() {
        return Err("nothing served before".to_owned());
    }
    let outcome = compose_up(stage, step, &["--wait-timeout", wait], &services);
    if outcome.status == Status::Ok { Ok(()) } else { Err(outcome.detail.unwrap_or_default()) }
}

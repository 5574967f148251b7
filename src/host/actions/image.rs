//! Brings images to the host, and fixes the ids that later steps run in.

use super::super::compose;
use super::super::docker;
use super::super::gather;
use super::super::judge::Watcher;
use super::super::stage::{Outcome, Stage};
use super::verdict;
use crate::action::Judge;
use crate::event::{Body, Status};
use crate::name::ServiceName;
use crate::protocol::HostStep;

pub(super) fn pull(stage: &mut Stage<'_>, step: &HostStep, services: &[ServiceName]) -> Outcome {
    let Some(project) = stage.submission.compose.clone() else { return Outcome::failed("the plan names no compose project") };
    let mut words = vec!["pull"];
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
        return outcome;
    }
    // What is pending in the new images is another set than the one that was looked at.
    stage.approved.clear();
    for service in services {
        let Some(name) = stage.config.image(service) else { continue };
        let Ok(Some(image)) = docker::image(&name) else {
            return Outcome::failed(format!("{name} was pulled but is not here"));
        };
        if let Err(refusal) = gather::of_image(&mut stage.secrets, &name, &image) {
            return Outcome::failed(refusal.message);
        }
        if let Some(before) = stage.images.insert(service.clone(), image.id.clone())
            && before != image.id
        {
            let what = format!("image that steps of {service} run in");
            stage.event(&step.name, Body::Changed { what, from: Some(before), to: image.id });
        }
    }
    outcome
}

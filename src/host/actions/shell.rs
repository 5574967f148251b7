//! A script on the host: `sh -c`, with the compose project named in its environment and nothing of its secrets.

use super::super::judge::Watcher;
use super::super::process::Spawn;
use super::super::stage::{Outcome, Stage};
use super::{hint, verdict};
use crate::action::{HostScript, Script};
use crate::protocol::HostStep;

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, script: &HostScript) -> Outcome {
    let mut spawn = match &script.run {
        Script::Shell(text) => Spawn::new(["sh", "-c", text]),
        Script::Argv(argv) => Spawn::new(argv),
    };
    if let Some(compose) = &stage.submission.compose {
        let dir = std::path::Path::new(&compose.dir);
        let files: Vec<String> = compose.files.iter().map(|file| dir.join(file).display().to_string()).collect();
        spawn.env.extend(compose.env.clone());
        spawn.env.push(("COMPOSE_FILE".into(), files.join(":")));
        if let Some(file) = &compose.env_file {
            spawn.env.push(("COMPOSE_ENV_FILES".into(), dir.join(file).display().to_string()));
        }
        if !stage.config.name.is_empty() {
            spawn.env.push(("COMPOSE_PROJECT_NAME".into(), stage.config.name.clone()));
        }
        spawn.dir = Some(dir.to_owned());
    } else {
        spawn.dir = std::env::var_os("HOME").map(Into::into);
    }
    match stage.values(&script.env) {
        Ok(values) => spawn.env.extend(values),
        Err(refused) => return Outcome::failed(refused),
    }
    let mut watcher = Watcher::new(&script.judge, &step.hints);
    let ended = match stage.stream(&spawn, &mut watcher) {
        Ok(ended) => ended,
        Err(error) => return Outcome::failed(format!("could not be started: {error}")),
    };
    if let Some(stopped) = ended.stopped {
        return stage.stopped(stopped, &ended.left, step).ended(&ended);
    }
    let outcome = verdict(&ended, &script.judge, &watcher);
    if outcome.status != crate::event::Status::Ok {
        hint(stage, step, &watcher);
    }
    outcome
}

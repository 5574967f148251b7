//! A migration: ask what is pending, apply it, ask again. Success needs all three: the exit code, the tool's success line, and
//! nothing pending and nothing failed afterwards, by Landfall's own view, or by the tool's where that is the only one; an exit code
//! alone is not proof.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::compose::{self, Config, OneOff};
use super::super::docker;
use super::super::driver;
use super::super::hold::tell_if_lost;
use super::super::judge;
use super::super::kept;
use super::super::migrations::shown;
use super::super::process::{self, Capture, Ended, Spawn};
use super::super::stage::{Outcome, Stage};
use super::view::{Rest, View, advise};
use super::{container_name, service, sql};
use crate::action::{Judge, Migrate, ServiceCommand, Via};
use crate::event::{Body, Status, Stream};
use crate::facts::Migrations;
use crate::name::RunId;
use crate::protocol::{ComposeProject, HostStep};

/// How long a tool may take to tell its status, or what it would run, while a plan is made.
const STATUS: Duration = Duration::from_mins(2);

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate) -> Outcome {
    let view = View::open(stage, step);
    let held = match view.hold(stage, step) {
        // A tool may have a lock of its own; files that Landfall applies have this one alone.
        Ok(None) if migrate.carried.is_some() && view.access().is_some() => {
            return Outcome::failed("nothing was applied: no lock can be held in the database");
        }
        Ok(held) => held,
        Err(outcome) => return outcome,
    };
    let pending = pending(stage, step, migrate, &view);
    if pending.is_ok() {
        view.remember(stage, step, migrate, held.as_deref());
        view.warn_of_forgetting(stage, step);
        for of in driver::approved(stage.dir, &step.name) {
            let body = Body::Approved(kept::approval(&of, &|text| stage.masked(text)));
            stage.event(&step.name, body);
        }
    }
    let pending = match pending {
        Ok(Some(pending)) => pending,
        Ok(None) => return Outcome { detail: Some("nothing pending".into()), ..Outcome::ok() },
        Err(outcome) => return outcome,
    };
    if let Err(outcome) = view.as_shown(stage, step, migrate, &pending) {
        return outcome;
    }
    let since = view.now();
    let apply = ServiceCommand {
        service: migrate.service.clone(),
        via: migrate.via,
        argv: migrate.apply.clone(),
        env: view.env(stage, migrate),
        judge: migrate.applied.clone(),
    };
    stage.watch = view.watch(step);
    let applied = match (&migrate.carried, view.access()) {
        (None, _) => service::perform(stage, step, &apply),
        (Some(_), None) => Outcome::failed("nothing was applied: the database cannot be reached"),
        (Some(carried), Some(access)) => sql::apply(stage, step, &sql::Batch { access, carried, migrate, pending: &pending }),
    };
    stage.watch = None;
    if let Some(held) = &held {
        tell_if_lost(stage, step, held);
    }
    let rest = if applied.status == Status::Ok { Rest::Nothing } else { view.wait(stage, step, since.as_deref()) };
    if matches!(applied.status, Status::Cancelled | Status::TimedOut | Status::Unknown) {
        let outcome = broken_off(stage, step, migrate, &view, applied, &rest);
        view.remember(stage, step, migrate, held.as_deref());
        return outcome;
    }
    if let Rest::Goes(left) = &rest {
        let detail = format!("{}, and the database still works on it: {left}", applied.detail.clone().unwrap_or_default());
        return Outcome::unknown("").with(&applied, detail);
    }
    let after = match view.verdict(stage, migrate, None).filter(|_| applied.status == Status::Ok) {
        // It has said by its exit code and its words that it is done, and files and history say the same.
        Some(Migrations::UpToDate) => Ok(Migrations::UpToDate),
        _ => status(stage, step, migrate, &view),
    };
    // Also of a run that failed: what came before that is applied.
    view.remember(stage, step, migrate, held.as_deref());
    match (applied.status, after) {
        (Status::Ok, Ok(Migrations::UpToDate)) => {
            let to = if pending.is_empty() { "applied".to_owned() } else { pending.join(", ") };
            stage.event(&step.name, Body::Changed { what: "migrations".into(), from: None, to });
            Outcome { detail: Some(format!("{} applied, nothing pending", count(pending.len()))), ..applied }
        }
        (Status::Ok, Ok(Migrations::Pending { names })) => Outcome { detail: None, ..Outcome::failed("") }
            .with(&applied, format!("it reported success, but still pending: {}", names.join(", "))),
        (Status::Ok, Ok(Migrations::Failed { why, remedy })) => {
            advise(stage, step, remedy);
            Outcome::failed("").with(&applied, format!("it reported success, but {why}"))
        }
        (Status::Ok, Ok(Migrations::NotKnown { why })) => {
            Outcome::unknown("").with(&applied, format!("it reported success, but its status is not known afterwards: {why}"))
        }
        (Status::Ok, Err(outcome)) => outcome,
        (_, after) => {
            // It failed; what the database looks like now is worth a line.
            let now = after.map(|after| view.told(stage, step, after)).unwrap_or_default();
            let detail = format!("{}{now}", applied.detail.clone().unwrap_or_default());
            Outcome { detail: Some(detail), ..applied }
        }
    }
}

/// What is to be applied, and was approved; none: nothing is pending.
fn pending(stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate, view: &View) -> Result<Option<Vec<String>>, Outcome> {
    let found = unchanged(stage, step, migrate, view).map_or_else(|| status(stage, step, migrate, view), Ok)?;
    let names = match found {
        Migrations::UpToDate => return Ok(None),
        Migrations::Pending { names } => names,
        Migrations::Failed { why, remedy } => {
            advise(stage, step, remedy);
            return Err(Outcome::failed(format!("nothing was applied: {why}")));
        }
        Migrations::NotKnown { why } => {
            return Err(Outcome::failed(format!("nothing was applied, for the status is not known: {why}")));
        }
    };
    // What was approved is what runs.
    let approved = match stage.approved.get(&step.name) {
        Some(Migrations::Pending { names: approved }) if *approved != names => approved.join(", "),
        Some(Migrations::UpToDate) => "nothing".to_owned(),
        _ => return Ok(Some(names)),
    };
    Err(Outcome::failed(format!("nothing was applied: pending now is {}, approved was {approved}", names.join(", "))))
}

/// What is said of a tool that did not come to its end by itself: its statement may have.
fn broken_off(stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate, view: &View, applied: Outcome, rest: &Rest) -> Outcome {
    let said = applied.detail.clone().unwrap_or_default();
    let detail = match rest {
        Rest::Goes(left) => format!("{said}; the database still works on it: {left}"),
        Rest::Unseen => return applied,
        Rest::Nothing => {
            // A look at files and history alone: the tool is not started again behind a cancel.
            match view.verdict(stage, migrate, None) {
                Some(after) => format!("{said}{}", view.told(stage, step, after)),
                None => said,
            }
        }
    };
    // What goes on in the database is neither cancelled nor over.
    let status = if matches!(rest, Rest::Goes(_)) { Status::Unknown } else { applied.status };
    Outcome { status, detail: Some(detail), ..applied }
}

fn count(names: usize) -> String {
    match names {
        0 => "all".to_owned(),
        1 => "1 migration".to_owned(),
        more => format!("{more} migrations"),
    }
}

impl Outcome {
    fn with(self, of: &Outcome, detail: String) -> Self {
        Self { exit_code: of.exit_code, signal: of.signal, detail: Some(detail), ..self }
    }
}

/// What was approved, where files and history still say the same: what the tool makes of them it has said then, and it is slow.
fn unchanged(stage: &Stage<'_>, step: &HostStep, migrate: &Migrate, view: &View) -> Option<Migrations> {
    let approved = stage.approved.get(&step.name)?;
    view.verdict(stage, migrate, None).filter(|now| now == approved)
}

/// Asks for the status as part of a step. What the tool printed is shown where it is not good.
fn status(stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate, view: &View) -> Result<Migrations, Outcome> {
    let told = if migrate.status.is_empty() { None } else { Some(told_by_tool(stage, step, migrate)?) };
    let mask = |stage: &Stage<'_>, found| shown::migrations(found, &|text| stage.masked(text));
    match view.verdict(stage, migrate, told.clone()) {
        Some(found) => Ok(found),
        None => told.map(|told| mask(stage, told)).ok_or_else(|| {
            Outcome::failed("nothing was applied: the tool has no status of its own, and the database cannot be looked at")
        }),
    }
}

fn told_by_tool(stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate) -> Result<Migrations, Outcome> {
    let Some(project) = stage.submission.compose.clone() else {
        return Err(Outcome::failed("the plan names no compose project"));
    };
    let env = stage.values(&migrate.env).map_err(Outcome::failed)?;
    let Some(image) = stage.images.get(&migrate.service).cloned() else {
        return Err(Outcome::failed(format!("the image of {} is not on this host", migrate.service)));
    };
    let run = stage.dir.run.clone();
    let env = env.into_iter().collect();
    let asking =
        Asking { project: &project, config: &stage.config, run: &run, migrate, image: &image, env: &env }.spawn(&migrate.status);
    let (ended, kept) = stage.capture(&asking).map_err(|error| Outcome::failed(format!("could not be started: {error}")))?;
    let _ = docker::remove(&container_name(&stage.config.name, Some(&run)));
    if let Some(stopped) = ended.stopped {
        return Err(stage.stopped(stopped, &ended.left, step));
    }
    let found = read(migrate, &ended, &kept);
    if matches!(found, Migrations::Failed { .. } | Migrations::NotKnown { .. }) {
        stage.show(Stream::Stdout, &kept.stdout);
        stage.show(Stream::Stderr, &kept.stderr);
        let mut watcher = judge::Watcher::new(&Judge::default(), &step.hints);
        watcher.push(Stream::Stdout, &kept.stdout);
        watcher.push(Stream::Stderr, &kept.stderr);
        watcher.finish();
        super::hint(stage, step, &watcher);
    }
    Ok(found)
}

fn read(migrate: &Migrate, ended: &Ended, kept: &Capture) -> Migrations {
    judge::read_status(&migrate.reading, ended.code, &kept.stdout, &kept.stderr)
}

/// Whom a tool is asked by, and where: in a throw-away container, or in that of its service.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The compose project, …
    pub(crate) project: &'a ComposeProject,
    /// … and as Compose reads it.
    pub(crate) config: &'a Config,
    /// Whose container it is.
    pub(crate) run: &'a RunId,
    /// The tool.
    pub(crate) migrate: &'a Migrate,
    /// The id of the image.
    pub(crate) image: &'a str,
    /// Environment beside the service's own.
    pub(crate) env: &'a BTreeMap<String, String>,
}

impl Asking<'_> {
    /// Asks for the status while a plan is made. Its texts are unmasked.
    pub(crate) fn status(self) -> Migrations {
        match self.ask(&self.migrate.status) {
            Err(why) => Migrations::NotKnown { why },
            Ok((ended, _)) if ended.stopped.is_some() => {
                Migrations::NotKnown { why: format!("its status command did not end within {} s", STATUS.as_secs()) }
            }
            Ok((ended, kept)) => read(self.migrate, &ended, &kept),
        }
    }

    /// Runs a command of the tool that changes nothing while a plan is made; its container is gone afterwards.
    pub(crate) fn ask(self, argv: &[String]) -> Result<(Ended, Capture), String> {
        let Self { config, run, migrate, .. } = self;
        for network in config.networks_of(&migrate.service) {
            if docker::has_network(&network) != Ok(true) {
                return Err(format!("network {network} is missing"));
            }
        }
        let answer = process::capture(&self.spawn(argv), STATUS);
        let _ = docker::remove(&container_name(&config.name, Some(run)));
        answer.map_err(|error| error.to_string())
    }

    fn spawn(self, argv: &[String]) -> Spawn {
        let Self { project, config, run, migrate, image, env } = self;
        if migrate.via == Via::Exec {
            return compose::exec(project, run, &migrate.service, argv, env, false);
        }
        let name = container_name(&config.name, Some(run));
        compose::run(project, &OneOff { service: &migrate.service, name: &name, run, image, argv, env })
    }
}

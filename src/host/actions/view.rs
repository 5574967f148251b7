//! What a `migrate` step sees of its database: files and history, its lock there, and who works on it. Where the database cannot be
//! reached only the tool's own word counts, and that is said.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::database::own::Place;
use super::super::database::{Access, Held};
use super::super::hold::hold;
use super::super::migrations::watch::{self, Watch};
use super::super::migrations::{self, Look, Sight, applied, shown};
use super::super::stage::{Outcome, Stage};
use crate::action::Migrate;
use crate::event::Body;
use crate::facts::Migrations;
use crate::history::remembered::Due;
use crate::name::StepName;
use crate::protocol::{Engine, HostStep};
use crate::secret::Value;

/// How long the database may go on with what its client has left.
const PATIENCE: Duration = Duration::from_mins(5);

/// The database of a step.
pub(super) struct View {
    access: Result<Arc<Access>, String>,
    /// The inventory names one.
    named: bool,
    /// What the last look found to be written down, and by which of the tool's models.
    due: RefCell<Option<(usize, Place, Due)>>,
    /// Why nothing can be.
    forgets: RefCell<Option<String>>,
}

/// What the database still does when its client is gone.
pub(super) enum Rest {
    /// Nothing more.
    Nothing,
    /// It cannot be looked.
    Unseen,
    /// This, masked.
    Goes(String),
}

impl View {
    /// Opens the database, where there is one.
    pub(super) fn open(stage: &mut Stage<'_>, step: &HostStep) -> Self {
        let named = stage.submission.database.is_some();
        let access = stage.database().map_err(|trouble| trouble.to_string());
        if let Err(why) = &access
            && named
        {
            let text =
                format!("only the tool's own word counts, and this host's lock alone guards the database: {}", stage.masked(why));
            stage.event(&step.name, Body::Warning { text });
        }
        Self { access, named, due: RefCell::default(), forgets: RefCell::default() }
    }

    /// The database, where it answers.
    pub(super) fn access(&self) -> Option<&Arc<Access>> {
        self.access.as_ref().ok()
    }

    /// Takes the lock in the database itself, so that no other host works on the same one meanwhile.
    pub(super) fn hold(&self, stage: &mut Stage<'_>, step: &HostStep) -> Result<Option<Arc<Held>>, Outcome> {
        let Ok(access) = &self.access else { return Ok(None) };
        match hold(stage, step, access)? {
            Ok(held) => Ok(Some(held)),
            Err(trouble) => {
                let text = format!("this host's lock alone guards the database: {}", stage.masked(&trouble.to_string()));
                stage.event(&step.name, Body::Warning { text });
                Ok(None)
            }
        }
    }

    fn sight<'a>(&'a self, stage: &'a Stage<'_>, migrate: &'a Migrate, image: &'a str) -> Sight<'a> {
        let access = self.access.as_deref().map_err(String::as_str);
        let (config, folders) = (&stage.config, &stage.folders);
        Sight { access, config, folders, run: &stage.dir.run, migrate, image, accepted: &stage.submission.accepted }
    }

    /// The verdict of files, history and what the tool says, masked; none where only the tool can tell.
    pub(super) fn verdict(&self, stage: &Stage<'_>, migrate: &Migrate, told: Option<Migrations>) -> Option<Migrations> {
        if !self.named || migrate.models.is_empty() {
            return None;
        }
        let carried = migrate.carried.as_ref().map(|_| String::new());
        let image = carried.as_ref().or_else(|| stage.images.get(&migrate.service))?;
        let sight = self.sight(stage, migrate, image);
        let Look { history: own, due, forgets, .. } = migrations::look(sight);
        *self.due.borrow_mut() = due.map(|(place, due)| (own.model, place, due));
        self.forgets.replace(forgets);
        if own.not_known.is_some() && told.is_none() && !migrate.status.is_empty() {
            return None;
        }
        Some(shown::migrations(migrations::verdict(sight, &own, told), &|text| stage.masked(text)))
    }

    /// Remembers in the database what the files were that the last look saw applied, where the tool itself does not. Only under its lock.
    pub(super) fn remember(&self, stage: &mut Stage<'_>, step: &HostStep, migrate: &Migrate, held: Option<&Held>) {
        let (Ok(access), Some(_)) = (&self.access, held.filter(|held| !held.is_lost())) else { return };
        let Some((model, place, due)) = self.due.borrow_mut().take() else { return };
        let Some(model) = migrate.models.get(model) else { return };
        if let Err(trouble) = applied::write_down(access, place, model, &due, &stage.dir.run) {
            tell_forgets(stage, step, &trouble.to_string());
        }
    }

    /// Says where an edit of a file that is applied now would never be noticed.
    pub(super) fn warn_of_forgetting(&self, stage: &mut Stage<'_>, step: &HostStep) {
        if let Some(why) = self.forgets.borrow_mut().take() {
            tell_forgets(stage, step, &why);
        }
    }

    /// Whether the files of what waits are those that the plan showed, and the gate judged: an image may have been pulled since, or a
    /// mounted folder changed.
    pub(super) fn as_shown(
        &self,
        stage: &Stage<'_>,
        step: &HostStep,
        migrate: &Migrate,
        names: &[String],
    ) -> Result<(), Outcome> {
        let looked_at = stage.looked_at.get(&step.name).filter(|hashes| !hashes.is_empty());
        let Some(image) = stage.images.get(&migrate.service).filter(|_| !migrate.models.is_empty()) else { return Ok(()) };
        let sight = self.sight(stage, migrate, image);
        let files = match migrations::hashes(sight, &|name| names.contains(&stage.masked(name))) {
            Ok(files) => files,
            // They could not be looked at for the plan either, and it said so.
            Err(_) if looked_at.is_none() => return Ok(()),
            Err(why) => return Err(Outcome::failed(format!("nothing was applied: {}", stage.masked(&why)))),
        };
        let seen = |hash: &String| looked_at.is_some_and(|hashes| hashes.contains(hash));
        match files.iter().find(|(_, hash)| !seen(hash)) {
            None => Ok(()),
            Some((name, _)) => Err(Outcome::failed(format!(
                "nothing was applied: {} is not what the plan showed; begin the playbook with `pull`, and run again",
                stage.masked(name)
            ))),
        }
    }

    /// The environment of the tool: with a limit on waiting for locks, where its driver may heed one and no pool refuses it.
    pub(super) fn env(&self, stage: &Stage<'_>, migrate: &Migrate) -> BTreeMap<String, Value> {
        let mut env = migrate.env.clone();
        let own =
            stage.config.services.get(migrate.service.as_str()).is_some_and(|service| service.environment.contains_key(OPTIONS));
        if let (Ok(access), Some(limit)) = (&self.access, migrate.lock_timeout_ms)
            && access.engine() == Engine::Postgres
            && !access.facts.pooled
            && !own
        {
            env.entry(OPTIONS.to_owned()).or_insert_with(|| Value::Plain(format!("-c lock_timeout={limit}")));
        }
        env
    }

    /// Begins to look who keeps the database waiting.
    pub(super) fn watch(&self, step: &HostStep) -> Option<(Watch, StepName)> {
        self.access.as_ref().ok().map(|access| (Watch::begin(access), step.name.clone()))
    }

    /// The moment by the database's clock.
    pub(super) fn now(&self) -> Option<String> {
        self.access.as_ref().ok().and_then(|access| watch::now(access))
    }

    /// Waits until nothing that began since then works on the database: a statement goes on when its client is gone.
    pub(super) fn wait(&self, stage: &mut Stage<'_>, step: &HostStep, since: Option<&str>) -> Rest {
        let (Ok(access), Some(since)) = (&self.access, since) else { return Rest::Unseen };
        let end = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            let Some(left) = watch::at_work(access, since) else { return Rest::Unseen };
            if left.is_empty() {
                return Rest::Nothing;
            }
            let left = stage.masked(&left.join("; "));
            if !std::mem::replace(&mut told, true) {
                let text = format!("its tool is gone, but the database still works on it; waiting for that to end: {left}");
                stage.event(&step.name, Body::Warning { text });
            }
            // A cancel that ended the tool must not end this look, but nobody waits for ever.
            if Instant::now() >= end {
                return Rest::Goes(left);
            }
            let next = Instant::now() + Duration::from_secs(1);
            if !stage.pause(next) && !stage.rest(next) {
                return Rest::Goes(left);
            }
        }
    }

    /// What a status after a failure is worth saying.
    pub(super) fn told(&self, stage: &mut Stage<'_>, step: &HostStep, after: Migrations) -> String {
        match after {
            Migrations::Failed { why, remedy } => {
                advise(stage, step, remedy);
                format!("; now {why}")
            }
            Migrations::Pending { names } if !names.is_empty() => format!("; still pending: {}", names.join(", ")),
            Migrations::UpToDate if self.access.is_ok() => "; yet by files and history nothing is pending".to_owned(),
            _ => String::new(),
        }
    }
}

fn tell_forgets(stage: &mut Stage<'_>, step: &HostStep, why: &str) {
    let why = stage.masked(why);
    let text = format!("what was applied is not remembered, so nobody will know whether a file is edited later: {why}");
    stage.event(&step.name, Body::Warning { text });
}

/// Says what settles it, where that is known.
pub(super) fn advise(stage: &mut Stage<'_>, step: &HostStep, remedy: Option<String>) {
    if let Some(text) = remedy {
        stage.event(&step.name, Body::Hint { text });
    }
}

const OPTIONS: &str = "PGOPTIONS";

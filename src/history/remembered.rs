//! What the files of migrations were when a run of Landfall saw them applied: the digests that the history of many a tool lacks. By it an
//! edited file is known, and where the history is one number, one that was merged late or is gone. Pure.

use super::Recorded;
use super::compare::{migration, without_file};
use super::layout::{Known, order};
use crate::action::{Model, Reading};
use crate::facts::{Migration, MigrationState as State};

/// A file that was applied, as a run saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The migration.
    pub key: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// The run, and when it was; RFC 3339, by the database's clock.
    pub run: String,
    /// See `run`.
    pub at: String,
}

impl Remembered {
    fn told(&self, what: &str) -> String {
        format!("run {} of {} {what}", self.run, self.at.get(..10).unwrap_or(&self.at))
    }
}

/// Whether the files of a tool are to be remembered: where its history holds no digest.
pub fn is_needed(model: &Model) -> bool {
    model.digest.is_none()
}

/// What is to be written once a run has looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Applied, and not remembered yet: key and SHA-256.
    pub learn: Vec<(String, String)>,
    /// Remembered, and not applied any more: it may come again as another text.
    pub forget: Vec<String>,
}

impl Due {
    /// What somebody took upon themselves is remembered as it is, so that it is asked for once.
    pub fn accept(&mut self, model: &Model, migration: &Migration) {
        let key = migration.key.as_ref().unwrap_or(&migration.name);
        let by_one_number = matches!(model.reading, Reading::Last);
        match (migration.state, &migration.sha256) {
            (State::Edited, Some(sha256)) if is_needed(model) => self.learn.push((key.clone(), sha256.clone())),
            (State::Skipped, Some(sha256)) if by_one_number => self.learn.push((key.clone(), sha256.clone())),
            (State::Missing, _) if by_one_number => self.forget.push(key.clone()),
            _ => {}
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.learn.is_empty() && self.forget.is_empty()
    }
}

/// Corrects what was compared by what is remembered, and tells what is due. `rows` are the history's.
pub fn correct(
    model: &Model,
    files: &[Known],
    rows: &[Recorded],
    remembered: &[Remembered],
    migrations: &mut Vec<Migration>,
) -> Due {
    let by_one_number = matches!(model.reading, Reading::Last);
    let same = |a: &str, b: &str| order(a, b).is_eq();
    let newest = remembered.iter().max_by(|a, b| order(&a.key, &b.key));
    let mut due = Due::default();
    for found in migrations.iter_mut() {
        let key = found.key.clone().unwrap_or_else(|| found.name.clone());
        let Some(file) = files.iter().find(|file| file.key == key) else { continue };
        let own = remembered.iter().find(|one| same(&one.key, &key));
        let newer = newest.filter(|newest| by_one_number && order(&key, &newest.key).is_lt());
        match (found.state, own, newer) {
            (State::Applied, Some(own), _) => {
                let edited = !file.is_recorded_as(model, &own.sha256);
                *found = Migration {
                    recorded: Some(own.sha256.clone()),
                    told: edited.then(|| own.told("saw another text of it applied")),
                    ..migration(file, if edited { State::Edited } else { State::Applied }, None)
                };
            }
            // All that is older counts as applied for the tool, whether it was there then or not.
            (State::Applied, None, Some(newer)) => {
                let told = Some(newer.told("saw newer ones applied, and not this one"));
                *found = Migration { late: true, told, ..migration(file, State::Skipped, None) };
            }
            (State::Applied, None, None) => due.learn.push((key, file.sha256.clone())),
            (State::Pending, Some(own), _) => due.forget.push(own.key.clone()),
            _ => {}
        }
    }
    if let Some(last) = rows.last().filter(|_| by_one_number) {
        for gone in remembered.iter().filter(|one| !files.iter().any(|file| same(&file.key, &one.key))) {
            if order(&gone.key, &last.key).is_gt() {
                due.forget.push(gone.key.clone());
                continue;
            }
            // That the row's own file is gone is known without.
            let known = migrations.iter().any(|found| same(&found.name, &gone.key));
            let row = Recorded { key: gone.key.clone(), digest: Some(gone.sha256.clone()), ..Recorded::default() };
            migrations.extend((!known).then(|| without_file(&row)));
        }
    }
    due
}

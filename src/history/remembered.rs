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
    /// Applied, and not remembered so: key and SHA-256.
    pub learn: Vec<(String, String)>,
    /// Remembered, and not applied any more: it may come again as another text.
    pub forget: Vec<String>,
}

impl Due {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.learn.is_empty() && self.forget.is_empty()
    }
}

/// What is known beside the files.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// The rows of the tool's history.
    pub rows: &'a [Recorded],
    /// What runs saw.
    pub remembered: &'a [Remembered],
    /// What somebody takes upon themselves; it is then remembered as it is, so that it is asked for once.
    pub accepted: &'a dyn Fn(&Migration) -> bool,
}

/// Corrects what was compared by what is remembered, and tells what is due.
pub fn correct(model: &Model, files: &[Known], beside: Beside<'_>, migrations: &mut Vec<Migration>) -> Due {
    let Beside { rows, remembered, accepted } = beside;
    let by_one_number = matches!(model.reading, Reading::Last);
    let last = rows.last().map(|row| row.key.as_str());
    // Where the history is one number, what stands above it is not applied, or not any more.
    let is_reached = |one: &&Remembered| !by_one_number || last.is_some_and(|last| order(&one.key, last).is_le());
    let newest = remembered.iter().filter(is_reached).max_by(|a, b| order(&a.key, &b.key)).filter(|_| by_one_number);
    let mut due = Due::default();
    for found in migrations.iter_mut() {
        let key = found.key.clone().unwrap_or_else(|| found.name.clone());
        let own: Vec<&Remembered> = remembered.iter().filter(|one| order(&one.key, &key).is_eq()).collect();
        let newer = newest.filter(|newest| order(&key, &newest.key).is_lt());
        let Some(file) = files.iter().find(|file| file.key == key) else {
            if let Some(own) = own.first().filter(|_| found.state == State::Missing && found.recorded.is_none()) {
                found.recorded = Some(own.sha256.clone());
            }
            continue;
        };
        let learn = (key.clone(), file.remembered(model));
        match (found.state, own.first(), newer) {
            (State::Applied, Some(first), _) => {
                let same = own.iter().find(|one| file.is_recorded_as(model, &one.sha256));
                let edited = same.is_none().then(|| first.told("saw another text of it applied"));
                let state = if edited.is_some() { State::Edited } else { State::Applied };
                *found = Migration {
                    recorded: Some(same.unwrap_or(first).sha256.clone()),
                    told: edited,
                    ..migration(file, state, None)
                };
                if state == State::Edited && accepted(found) {
                    due.forget.extend(own.iter().map(|one| one.key.clone()).filter(|own| *own != key));
                    due.learn.push(learn);
                }
            }
            // All that is older counts as applied for the tool, whether it was there then or not.
            (State::Applied, None, Some(newer)) => {
                let told = Some(newer.told("saw newer ones applied, and not this one"));
                *found = Migration { late: true, told, ..migration(file, State::Skipped, None) };
                if accepted(found) {
                    due.learn.push(learn);
                }
            }
            (State::Applied, None, None) => due.learn.push(learn),
            (State::Pending, Some(_), _) => due.forget.extend(own.iter().map(|one| one.key.clone())),
            _ => {}
        }
    }
    if by_one_number {
        by_memory_alone(files, last, beside, migrations, &mut due);
    }
    due
}

/// Where the history is one number, those that only the memory tells of: their files are gone.
fn by_memory_alone(files: &[Known], last: Option<&str>, beside: Beside<'_>, migrations: &mut Vec<Migration>, due: &mut Due) {
    let same = |a: &str, b: &str| order(a, b).is_eq();
    for gone in beside.remembered.iter().filter(|one| !files.iter().any(|file| same(&file.key, &one.key))) {
        if last.is_none_or(|last| order(&gone.key, last).is_gt()) {
            due.forget.push(gone.key.clone());
            continue;
        }
        let row = Recorded { key: gone.key.clone(), digest: Some(gone.sha256.clone()), ..Recorded::default() };
        let told = migrations.iter().position(|found| found.file.is_none() && same(&found.name, &gone.key));
        let at = told.unwrap_or_else(|| {
            migrations.push(without_file(&row));
            migrations.len() - 1
        });
        if (beside.accepted)(&migrations[at]) {
            due.forget.push(gone.key.clone());
        }
    }
}

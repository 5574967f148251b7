//! Files and history, compared: what is with each migration. Pure, and the same for every tool.

use std::collections::BTreeSet;

use super::contracts;
use super::layout::{Known, Start, comes_again, is_ordered, order, order_in};
use crate::action::{Late, Layout, Model, Reading};
use crate::facts::{Migration, MigrationState as State};

/// A row of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The migration.
    pub key: String,
    /// Of the file that was applied.
    pub digest: Option<String>,
    /// How far it came.
    pub state: Began,
    /// When it began.
    pub at: Option<String>,
    /// What the tool wrote down of it.
    pub told: Option<String>,
}

/// How far one came, by the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Began {
    /// To its end.
    #[default]
    Applied,
    /// It did not end, or not well.
    Unfinished,
    /// It was taken back.
    Undone,
    /// No migration: the contract that the database stands at, or the version that its history begins behind.
    Stands,
}

/// What is with each migration, in the tool's order; those without a file come last. An error tells why files and history leave that open.
pub fn compare(model: &Model, files: &[Known], rows: &[Recorded]) -> Result<Vec<Migration>, String> {
    let begun: Vec<&Recorded> = rows.iter().filter(|row| !matches!(row.state, Began::Undone | Began::Stands)).collect();
    // Without files and rows of their own.
    let mut gone: Vec<Recorded> = Vec::new();
    let mut found = match model.reading {
        Reading::Each => {
            let start = Start::of(&model.layout, files, rows);
            let used = files.iter().filter(|file| is_used(file, files, &begun));
            used.map(|file| of_rows(model, file, &begun, &start)).collect::<Result<Vec<_>, _>>()?
        }
        Reading::Newest => files.iter().map(|file| of_newest(model, file, files, &begun)).collect(),
        Reading::Ways => contracts::compare(files, rows)?,
        Reading::Last => files.iter().map(|file| of_last(file, &begun)).collect(),
        Reading::Heads => {
            let applied = ancestors(files, &begun);
            let known = |key: &str| files.iter().any(|file| file.key == key) || begun.iter().any(|row| row.key == key);
            let unknown = applied.iter().filter(|key| !known(key));
            gone = unknown.map(|key| Recorded { key: (*key).to_owned(), ..Recorded::default() }).collect();
            let state = |file: &Known| if applied.contains(file.key.as_str()) { State::Applied } else { State::Pending };
            files.iter().map(|file| migration(file, state(file), None)).collect()
        }
    };
    if matches!(model.reading, Reading::Each) && !matches!(model.layout, Layout::Apps) {
        mark_late(model, files, &begun, &mut found);
    }
    found.extend(begun.iter().filter(|row| is_missing(model, files, row)).map(|row| without_file(row)));
    found.extend(gone.iter().map(without_file));
    Ok(found)
}

/// Several migrations and the one that they were made into do not go together: where some of them are applied the one is passed over,
/// and where none is, they are.
fn is_used(file: &Known, files: &[Known], begun: &[&Recorded]) -> bool {
    let is_applied = |key: &String| begun.iter().any(|row| row.key == *key);
    let some = |one: &Known| one.replaces.iter().any(is_applied);
    let all = |one: &Known| one.replaces.iter().all(is_applied);
    let stood_for = files.iter().any(|one| !some(one) && one.replaces.contains(&file.key));
    !stood_for && (!some(file) || all(file))
}

fn of_rows(model: &Model, file: &Known, begun: &[&Recorded], start: &Start) -> Result<Migration, String> {
    let own = || begun.iter().filter(|row| same(&row.key, &file.key));
    if let Some(row) = own().find(|row| row.state == Began::Unfinished) {
        return Ok(migration(file, State::Failed, Some(row)));
    }
    let Some(row) = own().next_back() else {
        let replaced = !file.replaces.is_empty() && file.replaces.iter().all(|key| begun.iter().any(|row| row.key == *key));
        let state = if replaced { State::Applied } else { start.state(&model.layout, &file.key) };
        return Ok(migration(file, state, None));
    };
    let edited = file.digest.is_some() && row.digest.as_ref().is_some_and(|digest| !file.is_recorded_as(model, digest));
    let again = edited && comes_again(&model.layout, &file.key);
    // Its digest is recorded of what they were replaced by.
    if again && file.bytes.windows(2).any(|two| two == b"${") {
        return Err(format!("{} has placeholders, so that nobody but the tool can tell whether it was changed", file.path));
    }
    Ok(migration(file, if again { State::Pending } else { applied(edited) }, Some(row)))
}

fn applied(edited: bool) -> State {
    if edited { State::Edited } else { State::Applied }
}

fn of_newest(model: &Model, file: &Known, files: &[Known], begun: &[&Recorded]) -> Migration {
    let newest = begun.iter().map(|row| row.key.as_str()).max_by(|a, b| order(a, b));
    let fits = |row: &Recorded| row.digest.as_ref().is_some_and(|digest| file.is_recorded_as(model, digest));
    if let Some(row) = begun.iter().find(|row| same(&row.key, &file.key)) {
        return migration(file, applied(!fits(row)), Some(row));
    }
    // Its time in the journal may have been changed since; two migrations may well have one text.
    let is_anothers = |row: &Recorded| files.iter().any(|other| same(&other.key, &row.key));
    if let Some(row) = begun.iter().find(|row| !is_anothers(row) && fits(row)) {
        return migration(file, State::Applied, Some(row));
    }
    let waits = newest.is_none_or(|newest| order(newest, &file.key).is_lt());
    migration(file, if waits { State::Pending } else { State::Skipped }, None)
}

fn of_last(file: &Known, begun: &[&Recorded]) -> Migration {
    let Some(row) = begun.last() else { return migration(file, State::Pending, None) };
    let state = match order(&file.key, &row.key) {
        std::cmp::Ordering::Greater => State::Pending,
        std::cmp::Ordering::Equal if row.state == Began::Unfinished => State::Failed,
        _ => State::Applied,
    };
    migration(file, state, Some(row).filter(|_| state == State::Failed).copied())
}

/// The heads that are applied, and all that they come after.
fn ancestors<'a>(files: &'a [Known], heads: &[&'a Recorded]) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut ahead: Vec<&str> = heads.iter().map(|row| row.key.as_str()).collect();
    while let Some(key) = ahead.pop() {
        if found.insert(key) {
            ahead.extend(files.iter().filter(|file| file.key == key).flat_map(|file| file.after.iter().map(String::as_str)));
        }
    }
    found
}

fn mark_late(model: &Model, files: &[Known], begun: &[&Recorded], found: &mut [Migration]) {
    let ordered = |key: &str| is_ordered(&model.layout, key);
    let newest = begun.iter().filter(|row| row.state == Began::Applied && ordered(&row.key)).map(|row| row.key.as_str());
    let newest = newest.max_by(|a, b| order_in(&model.layout, a, b));
    for (file, migration) in files.iter().zip(found).filter(|(file, _)| ordered(&file.key)) {
        if migration.state == State::Pending && newest.is_some_and(|newest| order_in(&model.layout, &file.key, newest).is_lt()) {
            migration.late = true;
            if model.late == Late::Skips {
                migration.state = State::Skipped;
            }
        }
    }
}

fn is_missing(model: &Model, files: &[Known], row: &Recorded) -> bool {
    let named = files.iter().any(|file| same(&file.key, &row.key) || file.replaces.contains(&row.key));
    match (&model.layout, model.reading) {
        // Applications that were installed with the framework have their files elsewhere.
        (Layout::Apps, _) => {
            let app = |key: &str| key.split_once('.').map(|(app, _)| app.to_owned());
            !named && files.iter().any(|file| app(&file.key) == app(&row.key))
        }
        (_, Reading::Newest | Reading::Ways) => {
            !named && !files.iter().any(|file| row.digest.as_ref().is_some_and(|digest| file.is_recorded_as(model, digest)))
        }
        _ => !named,
    }
}

/// Numbers are the same whatever zeros they begin with, and versions whether their parts are told apart by `.` or `_`.
fn same(a: &str, b: &str) -> bool {
    order(a, b).is_eq()
}

pub(super) fn migration(file: &Known, state: State, row: Option<&Recorded>) -> Migration {
    let shown = matches!(state, State::Pending | State::Failed | State::Edited | State::Skipped | State::Along);
    Migration {
        name: file.name.clone(),
        key: (file.key != file.name).then(|| file.key.clone()),
        state,
        late: false,
        sha256: Some(file.sha256.clone()),
        file: Some(file.path.clone()),
        recorded: row.and_then(|row| row.digest.clone()),
        text: shown.then(|| file.text()),
        cut: false,
        told: row.filter(|_| state != State::Applied).and_then(told),
        begun: false,
    }
}

pub(super) fn without_file(row: &Recorded) -> Migration {
    let state = if row.state == Began::Unfinished { State::Failed } else { State::Missing };
    Migration {
        name: row.key.clone(),
        key: None,
        state,
        late: false,
        sha256: None,
        file: None,
        recorded: row.digest.clone(),
        text: None,
        cut: false,
        told: told(row),
        begun: false,
    }
}

fn told(row: &Recorded) -> Option<String> {
    let at = row.at.as_ref().map(|at| format!("it began at {at}"));
    let said = row.told.as_ref().map(|said| said.trim().to_owned()).filter(|said| !said.is_empty());
    let parts: Vec<String> = at.into_iter().chain(said).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

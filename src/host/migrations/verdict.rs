//! What files, history and the tool's own status come to. The tool is a second witness; where the two disagree, nothing is applied.

use std::collections::BTreeSet;

use crate::action::{Layout, Migrate, Model};
use crate::command::quoted;
use crate::facts::{History, Migration, MigrationState as State, Migrations};
use crate::history::drift;
use crate::history::remembered;
use crate::host::database::ident;

use super::{Sight, evidence};

/// That the tool's own lock is held, and what frees it. On MySQL one that was killed leaves it behind; elsewhere its server takes it back.
fn locked(sight: Sight<'_>, own: &History) -> Option<(String, String)> {
    let (lock, access) = (sight.migrate.models.get(own.model)?.lock.as_ref()?, sight.access.ok()?);
    let table = ident(access.engine(), &lock.table);
    // Where there is no such table nobody has ever migrated.
    let held = access.query(&format!("SELECT COUNT(*) FROM {table} WHERE {}", lock.held)).ok()?;
    if held.first()?.first()?.as_deref()? == "0" {
        return None;
    }
    let why = format!("its own lock is held (table {}): another run of it migrates, or one was killed", lock.table);
    Some((why, format!("when nobody migrates any more, free it: {}", lock.free)))
}

/// What files, history and the tool's own word come to. Both witnesses must say the same, and neither that something is wrong.
pub(in crate::host) fn verdict(sight: Sight<'_>, own: &History, told: Option<Migrations>) -> Migrations {
    if let Some(why) = &own.not_known {
        return told.unwrap_or_else(|| Migrations::NotKnown {
            why: if sight.migrate.carried.is_some() {
                why.clone()
            } else {
                format!("the tool has no status of its own, and {why}")
            },
        });
    }
    // Before the tool's own word: some end with no more than a stack of calls where a file is gone.
    if let Some(wrong) = wrong(sight, own, told.as_ref()) {
        return wrong;
    }
    // What somebody took upon themselves the tool may well call a failure, and go on all the same.
    let model = sight.migrate.models.get(own.model);
    let accepted = model.is_some_and(|model| own.migrations.iter().any(|found| is_accepted(sight, model, found)));
    let told = told.filter(|told| !(accepted && matches!(told, Migrations::Failed { .. })));
    // A tool that could not be asked is no witness.
    if let Some(unknown @ Migrations::NotKnown { .. }) = told {
        return unknown;
    }
    let pending: Vec<String> = of(own, State::Pending).map(|migration| migration.name.clone()).collect();
    if !pending.is_empty()
        && let Some((why, remedy)) = locked(sight, own)
    {
        return Migrations::Failed { why, remedy: Some(remedy) };
    }
    let disagree = |said: String| Migrations::Failed {
        why: format!(
            "the tool says that {said}, but by files and history {}",
            if pending.is_empty() { "nothing is pending".to_owned() } else { format!("pending is {}", pending.join(", ")) }
        ),
        remedy: Some(
            "find out which is right: is [database] the one that the tool uses, and `migrations` the folder that it reads?"
                .to_owned(),
        ),
    };
    match told {
        Some(failed @ (Migrations::Failed { .. } | Migrations::NotKnown { .. })) => failed,
        Some(Migrations::UpToDate) if !pending.is_empty() => disagree("nothing is pending".to_owned()),
        Some(Migrations::Pending { names })
            if !names.is_empty() && !names.iter().any(|name| is_ours(sight.migrate, own, name)) =>
        {
            if pending.is_empty() {
                Migrations::Pending { names }
            } else {
                disagree(format!("pending is {}", names.join(", ")))
            }
        }
        Some(Migrations::Pending { names }) if pending.is_empty() => disagree(match names.as_slice() {
            [] => "something is pending".to_owned(),
            names => format!("pending is {}", names.join(", ")),
        }),
        Some(Migrations::Pending { names }) if !names.is_empty() => {
            let set = |names: &[String]| {
                names.iter().filter(|name| is_ours(sight.migrate, own, name)).cloned().collect::<BTreeSet<String>>()
            };
            if set(&names) == set(&pending) {
                Migrations::Pending { names }
            } else {
                disagree(format!("pending is {}", names.join(", ")))
            }
        }
        _ if pending.is_empty() => Migrations::UpToDate,
        _ => Migrations::Pending { names: pending },
    }
}

/// Whether files could tell of a migration that the tool names: those of a framework's own applications are elsewhere.
fn is_ours(migrate: &Migrate, own: &History, name: &str) -> bool {
    let apps = migrate.models.first().is_some_and(|model| model.layout == Layout::Apps);
    let app = |name: &str| name.split_once('.').map(|(app, _)| app.to_owned());
    !apps || own.migrations.iter().any(|migration| app(&migration.name) == app(name))
}

fn of(own: &History, state: State) -> impl Iterator<Item = &Migration> {
    own.migrations.iter().filter(move |migration| migration.state == state)
}

/// What is wrong with files and history, whatever the tool says.
fn wrong(sight: Sight<'_>, own: &History, told: Option<&Migrations>) -> Option<Migrations> {
    let model = sight.migrate.models.get(own.model)?;
    if let Some(failed) = of(own, State::Failed).next() {
        let what = failed.told.as_ref().map(|told| format!(" ({told})")).unwrap_or_default();
        let own_words = match told {
            Some(Migrations::Failed { why, .. }) => format!("{why}; "),
            _ => String::new(),
        };
        let began =
            if model.history.tells_unfinished() { "began and did not finish" } else { "seems to have begun and not finished" };
        let mut why = format!("{own_words}{} {began}{what}", failed.name);
        let mut remedy = evidence::remedy(sight.access.ok(), model, failed);
        if let Some(way) = meant(model, &[failed]).filter(|_| failed.begun) {
            remedy = format!("{remedy}. Or it was there before: {way}");
        }
        if let Some((locked, free)) = locked(sight, own) {
            why = format!("{why}, and {locked}");
            remedy = format!("{remedy}; {free}");
        }
        return Some(Migrations::Failed { why, remedy: Some(remedy) });
    }
    if let Some(parted) = parted(sight, model, own) {
        return Some(parted);
    }
    let doubtful = of(own, State::Pending).find_map(|migration| Some((&migration.name, migration.told.as_ref()?)));
    if let Some((name, told)) = doubtful {
        return Some(Migrations::Failed {
            why: format!("{name} was changed after it was made: {told}"),
            remedy: Some("bring it back as it was made, or make it anew with the tool".to_owned()),
        });
    }
    // Others refuse by themselves; here nobody else would.
    let late = own.migrations.iter().filter(|migration| migration.late && sight.migrate.carried.is_some());
    let late = late.map(|migration| migration.name.as_str()).collect::<Vec<_>>().join(", ");
    if !late.is_empty() {
        return Some(Migrations::Failed {
            why: format!("late: not applied, but older than the newest that is: {late}"),
            remedy: Some("give it the next free number, so that every database gets the same order".to_owned()),
        });
    }
    None
}

/// Whether somebody takes upon themselves what is with a migration. Where the tool itself would not go on, nobody can.
pub(super) fn is_accepted(sight: Sight<'_>, model: &Model, migration: &Migration) -> bool {
    is_tolerated(model, migration) && drift::is_accepted(migration, sight.accepted)
}

fn is_tolerated(model: &Model, migration: &Migration) -> bool {
    migration.begun || drift::rule(migration).is_some_and(|rule| model.tolerates.iter().any(|tolerated| tolerated == rule))
}

/// Where files and history have parted, and nobody has taken that upon themselves.
fn parted(sight: Sight<'_>, model: &Model, own: &History) -> Option<Migrations> {
    let open = |state| of(own, state).filter(|migration| !is_accepted(sight, model, migration)).collect::<Vec<_>>();
    let names = |open: &[&Migration]| open.iter().map(|migration| migration.name.as_str()).collect::<Vec<_>>().join(", ");
    let (edited, missing, skipped) = (open(State::Edited), open(State::Missing), open(State::Skipped));
    let (mut why, mut remedies) = (Vec::new(), Vec::new());
    if !edited.is_empty() {
        let told = edited.iter().find_map(|migration| migration.told.as_deref().filter(|_| remembered::is_needed(model)));
        let witness = told.unwrap_or("the digest in the history is another one");
        why.push(format!("drift: what was applied is not what the files say now: {} ({witness})", names(&edited)));
        remedies.push(
            "bring the file back as it was applied (`landfall verify` looks for it in the git history), and put the change into a new migration"
                .to_owned(),
        );
    }
    if !missing.is_empty() {
        let (place, old) = match &sight.migrate.carried {
            Some(carried) => (format!("in {}", carried.folder), "this checkout"),
            None => ("of the image".to_owned(), "the image"),
        };
        why.push(format!("drift: applied, but not among the files {place}: {}", names(&missing)));
        remedies.push(format!("{old} is older than the database, or the file was deleted: bring it back"));
    }
    if !skipped.is_empty() {
        let told = skipped.iter().find_map(|migration| migration.told.as_deref());
        let witness = told.map(|told| format!(" ({told})")).unwrap_or_default();
        why.push(format!("never applied, and the tool would pass it over in silence: {}{witness}", names(&skipped)));
        remedies.push("make it anew, later than the newest that is applied, or apply it by hand".to_owned());
    }
    let all: Vec<&Migration> = [edited, missing, skipped].concat();
    remedies.extend(meant(model, &all));
    (!why.is_empty()).then(|| Migrations::Failed { why: why.join("; and "), remedy: Some(remedies.join("; ")) })
}

/// How it is taken upon oneself, where the tool would go on.
fn meant(model: &Model, open: &[&Migration]) -> Option<String> {
    let waiver = |migration: &&&Migration| Some(quoted(&format!("{}@{}", drift::rule(migration)?, drift::file(migration))));
    if open.iter().any(|migration| !is_tolerated(model, migration)) {
        return (!open.is_empty())
            .then(|| "nobody can take that upon themselves, for the tool itself would not go on".to_owned());
    }
    let waivers: Vec<String> = open.iter().filter_map(|migration| waiver(&migration)).collect();
    let all = |option: &str| waivers.iter().fold(String::new(), |all, waiver| all + " " + option + " " + waiver);
    (!waivers.is_empty()).then(|| {
        format!(
            "if it is meant to be so, for this run:{} --note TEXT; for good: landfall verify PLAYBOOK{} --by NAME --reason TEXT",
            all("--approve"),
            all("--write-approval")
        )
    })
}

//! Landfall's own view of migrations: the files that would run and the history in the database, compared here. A tool's own status is
//! a second witness; where the two disagree, nothing is applied. Knows no tool by name: all that tells them apart is in the model.

pub(super) mod applied;
mod evidence;
mod files;
mod made;
pub(super) mod preview;
pub(super) mod shown;
pub(super) mod tar;
pub(super) mod watch;

use std::collections::BTreeSet;

use crate::action::{Carried, Client, Layout, Migrate, Model};
use crate::command::quoted;
use crate::facts::{History, Migration, MigrationState as State, Migrations};
use crate::history::drift::{self, Accepted};
use crate::history::remembered::{self, Due, Remembered};
use crate::history::{self, Began, Recorded, own};
use crate::name::RunId;
use crate::protocol::Engine;

use super::compose::Config;
use super::database::own::{Place, Table};
use super::database::{Access, Row, Trouble, ident, literal};

pub(super) use files::Folders;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    /// The database; or why it cannot be asked.
    pub access: Result<&'a Access, &'a str>,
    /// The compose project.
    pub config: &'a Config,
    /// Folders that were looked at before.
    pub folders: &'a Folders,
    /// Whose containers are made.
    pub run: &'a RunId,
    /// The step's work.
    pub migrate: &'a Migrate,
    /// The id of the image that will run.
    pub image: &'a str,
    /// What somebody takes upon themselves.
    pub accepted: &'a [Accepted],
}

/// What was seen. Its texts are unmasked.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Files and history of a step's tool, compared. Where the database cannot be asked there are the files, as if none had been applied:
    /// what will run is looked at all the same.
    pub history: History,
    /// What the tool's history calls those that are applied.
    pub applied: Vec<String>,
    /// What a run is to write down of it, and where; none where there is nothing to write, or no place for it.
    pub due: Option<(Place, Due)>,
}

/// Looks at files and history.
pub(super) fn look(sight: Sight<'_>) -> Look {
    seen(sight).unwrap_or_else(|why| Look { history: History { not_known: Some(why), ..History::default() }, ..Look::default() })
}

fn seen(sight: Sight<'_>) -> Result<Look, String> {
    let Sight { access, migrate, .. } = sight;
    if migrate.models.is_empty() {
        return Err("Landfall does not know how this tool keeps its history".to_owned());
    }
    let fetched = files(sight);
    // Why the database cannot be asked says more than what follows from it.
    let (model, folder, files) = match access {
        Ok(access) if migrate.carried.as_ref().is_some_and(|carried| !fits(carried, access.engine())) => {
            return Err(misread(access));
        }
        Ok(access) if migrate.carried.is_some() && access.engine() == Engine::Postgres => {
            own_schema(access)?;
            fetched?
        }
        Ok(_) => fetched?,
        Err(why) => fetched.map_err(|_| why)?,
    };
    let known = history::known(model, &files)?;
    // No other witness would say that this is the wrong folder.
    if known.is_empty() && migrate.carried.is_none() && migrate.status.is_empty() {
        return Err(format!(
            "there are no migrations of {} in {folder} of the image: say `migrations = \"…\"` in the step",
            migrate.tool
        ));
    }
    let (told, not_known) = match access.map_err(str::to_owned).and_then(|access| told(access, model)) {
        Ok(told) => (told, None),
        Err(why) => (Told::default(), Some(why)),
    };
    let Told { rows, place, remembered } = told;
    let (mut migrations, not_known) = match history::compare(model, &known, &rows) {
        Ok(migrations) => (migrations, not_known),
        Err(why) => (history::compare(model, &known, &[]).unwrap_or_default(), not_known.or(Some(why))),
    };
    let due = place.map(|place| {
        let mut due = remembered::correct(model, &known, &rows, &remembered, &mut migrations);
        for migration in migrations.iter().filter(|migration| drift::is_accepted(migration, sight.accepted)) {
            due.accept(model, migration);
        }
        (place, due)
    });
    let due = due.filter(|(_, due)| not_known.is_none() && !due.is_empty());
    // Where files are gone, what waits may well have been applied: that they have parted is what must be told.
    let parted = migrations.iter().any(|migration| matches!(migration.state, State::Missing | State::Edited));
    if let (Ok(access), None, false) = (access, &not_known, parted) {
        evidence::mark_begun(access, model, &mut migrations);
    }
    let applied = rows.into_iter().filter(|row| row.state == Began::Applied).map(|row| row.key).collect();
    let model = migrate.models.iter().position(|one| std::ptr::eq(one, model)).unwrap_or_default();
    Ok(Look { history: History { not_known, folder, model, migrations, ..History::default() }, applied, due })
}

/// The files that would run, with what they are to be read as and their folder: those that the plan carries, or the image's.
fn files(sight: Sight<'_>) -> Result<(&Model, String, Vec<history::File>), String> {
    let Sight { config, folders, run, migrate, image, .. } = sight;
    match &migrate.carried {
        Some(carried) => files::carried(carried, &migrate.models),
        None => files::fetch(&files::Place { config, folders, run, migrate, image }, &migrate.models),
    }
}

/// The files that would run now, of those that are named and of what runs with them: the name and the SHA-256 of each.
pub(super) fn hashes(sight: Sight<'_>, named: &dyn Fn(&str) -> bool) -> Result<Vec<(String, String)>, String> {
    let (model, _, files) = files(sight)?;
    let known = history::known(model, &files)?.into_iter();
    let runs = known.filter(|known| named(&known.name) || history::runs_along(&model.layout, &known.key));
    Ok(runs.map(|known| (known.name, known.sha256)).collect())
}

/// Whether the files were read as those of this kind of server.
fn fits(carried: &Carried, engine: Engine) -> bool {
    carried.client == if engine == Engine::Postgres { Client::Psql } else { Client::Mysql }
}

/// The schema, quoted, of the history that Landfall keeps of files in PostgreSQL; or why what is there is not to be used.
pub(super) fn own_schema(access: &Access) -> Result<String, String> {
    let rows = access.query(own::SCHEMA).map_err(|trouble| trouble.to_string())?;
    let [schema, wrong] = rows.into_iter().next().unwrap_or_default().try_into().unwrap_or([const { None }; 2]);
    let schema = schema.ok_or("the search_path of this login names no schema to keep the history in: create one, or grant it")?;
    let table = format!("{schema}.{}", own::TABLE);
    match wrong {
        None => Ok(schema),
        Some(wrong) => {
            Err(format!("{table} {wrong}, so it is neither believed nor written to: make it this login's own, or drop it"))
        }
    }
}

fn misread(access: &Access) -> String {
    let (server, engine) = (&access.facts.server, access.engine().as_str().to_lowercase());
    format!("its files were not read as those of {server}: say `engine = {engine:?}` under [database]")
}

/// What the database tells.
#[derive(Debug, Default)]
struct Told {
    /// The tool's history.
    rows: Vec<Recorded>,
    /// Where it is remembered what its files were, …
    place: Option<Place>,
    /// … and what they were.
    remembered: Vec<Remembered>,
}

fn told(access: &Access, model: &Model) -> Result<Told, String> {
    let history = &model.history;
    let engine = access.engine();
    let (fixed, table) =
        history.table.split_once('.').map_or((None, history.table.as_str()), |(schema, table)| (Some(schema), table));
    let name = literal(engine, table);
    let failed = |trouble: Trouble| format!("its history cannot be read: {trouble}");
    let (find, query) = match engine {
        Engine::Postgres => (
            format!("SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename = {name} ORDER BY schemaname"),
            &history.postgres,
        ),
        Engine::Mysql => (
            format!("SELECT table_schema FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = {name}"),
            &history.mysql,
        ),
    };
    let mut finds = vec![find];
    finds.extend(remembered::is_needed(model).then(|| Table::Applied.look(engine)));
    let mut found = ask(access, &finds).map_err(failed)?.into_iter();
    let mut schemas: Vec<String> = found.next().unwrap_or_default().into_iter().flatten().flatten().collect();
    let place = found.next().and_then(|found| Table::Applied.place(engine, found).ok());
    schemas.retain(|schema| fixed.is_none_or(|fixed| schema == fixed));
    let whole = match schemas.as_slice() {
        // Nothing was ever applied.
        [] => None,
        [only] => Some(format!("{}.{}", ident(engine, only), ident(engine, table))),
        several => {
            let which = format!("say which in the step: history = \"{}.{table}\"", several[0]);
            return Err(format!("several schemas hold a table {table}: {}; {which}", several.join(", ")));
        }
    };
    let kept = (place == Some(Place::There)).then(|| applied::query(access, model));
    let queries: Vec<String> = whole.iter().map(|whole| query.replace("{table}", whole)).chain(kept).collect();
    let mut sets = if queries.is_empty() { Vec::new() } else { ask(access, &queries).map_err(failed)? }.into_iter();
    let rows = whole.and_then(|_| sets.next()).unwrap_or_default();
    let remembered = sets.next().map(applied::remembered).unwrap_or_default();
    Ok(Told { rows: rows.into_iter().map(recorded).collect::<Result<_, _>>()?, place, remembered })
}

fn ask(access: &Access, queries: &[String]) -> Result<Vec<Vec<Row>>, Trouble> {
    access.queries(&queries.iter().map(String::as_str).collect::<Vec<_>>())
}

fn recorded(row: Row) -> Result<Recorded, String> {
    let [key, digest, state, at, told]: [Option<String>; 5] =
        row.try_into().map_err(|_| "its history has other columns than are known".to_owned())?;
    let state = match state.as_deref() {
        Some("applied") => Began::Applied,
        Some("unfinished") => Began::Unfinished,
        Some("undone") => Began::Undone,
        Some("stands") => Began::Stands,
        _ => return Err("its history has a row whose state is not understood".to_owned()),
    };
    Ok(Recorded { key: key.ok_or("its history has a row without a name")?, digest, state, at, told })
}

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
pub(super) fn verdict(sight: Sight<'_>, own: &History, told: Option<Migrations>) -> Migrations {
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
    let open = |state| of(own, state).filter(|migration| !drift::is_accepted(migration, sight.accepted));
    let names = |state| open(state).map(|migration| migration.name.as_str()).collect::<Vec<_>>().join(", ");
    let meant = |state| {
        let waiver = |migration| Some(quoted(&format!("{}@{}", drift::rule(migration)?, drift::file(migration))));
        let waivers: Vec<String> = open(state).filter_map(waiver).collect();
        let each = if waivers.len() == 1 { "" } else { ", for each" };
        format!(
            "if it is meant to be so, for one run: --approve {} --note TEXT; for good{each}: \
             landfall verify PLAYBOOK --write-approval {} --by NAME --reason TEXT",
            waivers.join(" --approve "),
            waivers.first().map_or("", String::as_str)
        )
    };
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
        if let Some((locked, free)) = locked(sight, own) {
            why = format!("{why}, and {locked}");
            remedy = format!("{remedy}; {free}");
        }
        return Some(Migrations::Failed { why, remedy: Some(remedy) });
    }
    let edited = names(State::Edited);
    if !edited.is_empty() {
        let told =
            of(own, State::Edited).find_map(|migration| migration.told.as_deref().filter(|_| remembered::is_needed(model)));
        let witness = told.unwrap_or("the digest in the history is another one");
        return Some(Migrations::Failed {
            why: format!("drift: what was applied is not what the files say now: {edited} ({witness})"),
            remedy: Some(format!(
                "bring the file back as it was applied (`landfall verify` looks for it in the git history), and put the change into a new migration; {}",
                meant(State::Edited)
            )),
        });
    }
    let missing = names(State::Missing);
    if !missing.is_empty() {
        let (place, old) = match &sight.migrate.carried {
            Some(carried) => (format!("in {}", carried.folder), "this checkout"),
            None => ("of the image".to_owned(), "the image"),
        };
        return Some(Migrations::Failed {
            why: format!("drift: applied, but not among the files {place}: {missing}"),
            remedy: Some(format!(
                "{old} is older than the database, or the file was deleted: bring it back; {}",
                meant(State::Missing)
            )),
        });
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
    let skipped = names(State::Skipped);
    (!skipped.is_empty()).then(|| Migrations::Failed {
        why: format!("never applied, and the tool would pass it over in silence: {skipped}"),
        remedy: Some(format!("give it a date after the newest applied one, or apply it by hand; {}", meant(State::Skipped))),
    })
}

//! Landfall's own view of migrations: the files that would run and the history in the database, compared here. Knows no tool by name: all
//! that tells them apart is in the model.

pub(super) mod applied;
mod evidence;
mod files;
mod made;
pub(super) mod preview;
pub(super) mod shown;
pub(super) mod tar;
mod verdict;
pub(super) mod watch;

use crate::action::{Carried, Client, Migrate, Model};
use crate::facts::{History, Migration, MigrationState as State};
use crate::history::drift::Accepted;
use crate::history::remembered::{self, Due, Remembered};
use crate::history::{self, Began, Recorded, own};
use crate::name::RunId;
use crate::protocol::Engine;

use super::compose::Config;
use super::database::own::{Closed, Place, Table};
use super::database::{Access, Row, Trouble, ident, literal};

pub(super) use files::Folders;
use verdict::is_accepted;
pub(super) use verdict::verdict;

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
    /// Why what the files are now will not be remembered, though the tool does not do it.
    pub forgets: Option<String>,
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
    let accepted = |migration: &Migration| is_accepted(sight, model, migration);
    let beside = remembered::Beside { rows: &rows, remembered: &remembered, accepted: &accepted };
    let due = if place.is_some() { remembered::correct(model, &known, beside, &mut migrations) } else { Due::default() };
    let (due, forgets) = match place {
        Some(Ok(place)) if not_known.is_none() && !due.is_empty() => (Some((place, due)), None),
        Some(Err(closed)) => (None, Some(closed.why)),
        _ => (None, None),
    };
    // Where files are gone, what waits may well have been applied: that they have parted is what must be told.
    let parted =
        migrations.iter().any(|found| matches!(found.state, State::Missing | State::Edited) && !is_accepted(sight, model, found));
    if let (Ok(access), None, false) = (access, &not_known, parted) {
        evidence::mark_begun(access, model, &mut migrations, &accepted);
    }
    let applied = rows.into_iter().filter(|row| row.state == Began::Applied).map(|row| row.key).collect();
    let model = migrate.models.iter().position(|one| std::ptr::eq(one, model)).unwrap_or_default();
    Ok(Look { history: History { not_known, folder, model, migrations, ..History::default() }, applied, due, forgets })
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
    place: Option<Result<Place, Closed>>,
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
    let place = found.next().map(|found| Table::Applied.place(engine, found));
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
    let readable = match &place {
        Some(Ok(place)) => *place == Place::There,
        Some(Err(closed)) => closed.readable,
        None => false,
    };
    let kept = readable.then(|| applied::query(access, model));
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

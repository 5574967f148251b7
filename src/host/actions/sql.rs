//! Applies the files that came with a plan: one after the other, by psql or mysql where the database is, each with its row in the
//! history. Decides nothing about what is to be applied.

use std::sync::Arc;

use super::super::database::{Access, MYSQL, MYSQL_FILE, PSQL, Trouble, ident};
use super::super::judge::Watcher;
use super::super::migrations;
use super::super::stage::{Outcome, Stage};
use super::hint;
use crate::action::{Carried, CarriedFile, Judge, Migrate};
use crate::event::Stream;
use crate::history::own::{self, Work, mysql};
use crate::protocol::{Engine, HostStep};

/// What is applied, and where.
pub(super) struct Batch<'a> {
    /// The database.
    pub(super) access: &'a Arc<Access>,
    /// The files.
    pub(super) carried: &'a Carried,
    /// The step's work.
    pub(super) migrate: &'a Migrate,
    /// Those that wait, by name, in order.
    pub(super) pending: &'a [String],
}

/// Applies what waits, up to the first that does not succeed.
pub(super) fn apply(stage: &mut Stage<'_>, step: &HostStep, batch: &Batch<'_>) -> Outcome {
    let schema = match schema(batch.access) {
        Ok(schema) => schema,
        Err(why) => return Outcome::failed(format!("nothing was applied: {}", stage.masked(&why))),
    };
    let mut done: Vec<&str> = Vec::new();
    for name in batch.pending {
        // A name that was masked is not the file's: then nothing is taken for it.
        let Some(file) = batch.carried.files.iter().find(|file| file.name == *name) else {
            return Outcome::failed(format!("{name} is not among the files of the plan"));
        };
        let ended = one(stage, step, batch, file, &schema);
        if ended.status != crate::event::Status::Ok {
            let before = if done.is_empty() { String::new() } else { format!("; applied before it: {}", done.join(", ")) };
            return Outcome { detail: ended.detail.clone().map(|detail| detail + &before), ..ended };
        }
        done.push(name);
    }
    Outcome::ok()
}

/// Where the history is; it is made where it is not there.
fn schema(access: &Access) -> Result<String, String> {
    let kept = |made: Result<Vec<u8>, Trouble>| made.map_err(|trouble| format!("its history cannot be kept: {trouble}"));
    if access.engine() == Engine::Mysql {
        let schema = ident(Engine::Mysql, &access.facts.name);
        kept(access.look(&MYSQL, mysql::create(&schema).as_bytes()))?;
        return Ok(schema);
    }
    let schema = migrations::own_schema(access)?;
    kept(access.look(&PSQL, own::create(&schema).as_bytes()))?;
    Ok(schema)
}

fn one(stage: &mut Stage<'_>, step: &HostStep, batch: &Batch<'_>, file: &CarriedFile, schema: &str) -> Outcome {
    let path = format!("{}/{}", batch.carried.folder, file.name);
    let (run, who) = (stage.dir.run.clone(), stage.masked(&stage.submission.who.to_string()));
    let work = Work {
        schema,
        name: &file.name,
        text: &file.text,
        sha256: &own::digest(&file.text),
        transaction: file.transaction,
        run: run.as_str(),
        who: &who,
        lock_timeout_ms: batch.migrate.lock_timeout_ms,
    };
    stage.show(Stream::Stdout, format!("{path}\n").as_bytes());
    let mut watcher = Watcher::new(&Judge::default(), &step.hints);
    let engine = batch.access.engine();
    let (client, words, script) = match engine {
        Engine::Postgres => ("psql", &PSQL[..], work.script()),
        Engine::Mysql => ("mysql", &MYSQL_FILE[..], mysql::script(&work)),
    };
    let ended = match stage.stream(&batch.access.client(words, script.as_bytes()), &mut watcher) {
        Err(error) => return Outcome::failed(format!("{path}: {client} could not be started: {error}")),
        Ok(ended) => ended,
    };
    if let Some(stopped) = ended.stopped {
        // The client is gone; its session would go on to the end of the file.
        end_sessions(batch.access, run.as_str());
        return stage.stopped(stopped, &ended.left, step).ended(&ended);
    }
    if ended.code == Some(0) {
        return Outcome::ok().ended(&ended);
    }
    hint(stage, step, &watcher);
    let error = match engine {
        Engine::Postgres => own::error(&watcher.complaints()).map(|(line, words)| (line, words.to_owned())),
        Engine::Mysql => mysql::error(&watcher.complaints()),
    };
    let outcome = match error {
        Some(error) if is_busy(engine, &error) => Outcome::failed(format!("{path} was not begun: {}", own::BUSY)),
        Some((line, words)) => Outcome::failed(stage.masked(&format!("{path}:{line}: {words}{}", kept(file, &words)))),
        None if ended.signal.is_some() => Outcome::unknown(format!("{path}: the docker client was killed")),
        None => Outcome::failed(format!("{path}: {client} ended with code {}", ended.code.unwrap_or(-1))),
    };
    outcome.ended(&ended)
}

/// Whether another session applies files already.
fn is_busy(engine: Engine, error: &(usize, String)) -> bool {
    match engine {
        Engine::Postgres => error.1.contains(own::BUSY),
        Engine::Mysql => mysql::is_busy(error),
    }
}

/// Ends what a run's client has left in the server.
fn end_sessions(access: &Access, run: &str) {
    if access.engine() == Engine::Postgres {
        let _ = access.query(&own::end_sessions(run));
    } else if let Ok(rows) = access.query(&mysql::session(run))
        && let Some(connection) = rows.into_iter().flatten().flatten().find_map(|id| id.parse().ok())
    {
        let _ = access.look(&MYSQL, mysql::end(connection).as_bytes());
    }
}

/// What is left of a file that ended with an error; of one whose connection broke only the history can tell.
fn kept(file: &CarriedFile, words: &str) -> &'static str {
    // Numbers from 2000 on are those of mysql itself: it lost its server.
    let of_server = words.starts_with("ERROR") && !words.starts_with("ERROR 2");
    match (of_server, file.transaction) {
        (true, true) => "; nothing of this file was kept",
        (true, false) => "; it runs in no transaction, so what came before the error stays",
        (false, _) => "",
    }
}

//! The ledger that a database itself holds: a row for each time that a step worked on it, read by every host that reaches it.
//!
//! It is a table of Landfall's own, as the history of plain SQL is one. Hosts that told each other of it by way of the client would know
//! only of runs they were part of, and nothing of one whose host is gone; and none of them would notice that the data was put back to
//! a day before.

use std::sync::atomic::Ordering;

use super::super::database::own::{Place, Table, now, write};
use super::super::database::{Access, Trouble, literal};
use super::Begun;
use crate::facts::Story;
use crate::name::{HostName, RunId};
use crate::protocol::Engine;

/// Looks for it, once. Inner error: why there can be none.
pub(in crate::host) fn place(access: &Access) -> Result<Result<Place, String>, Trouble> {
    if access.remembers.load(Ordering::Relaxed) {
        return Ok(Ok(Place::There));
    }
    let place = Table::Ledger.place(access.engine(), access.query(&Table::Ledger.look(access.engine()))?);
    if place == Ok(Place::There) {
        access.remembers.store(true, Ordering::Relaxed);
    }
    Ok(place.map_err(|closed| closed.why))
}

fn table(access: &Access) -> String {
    Table::Ledger.of(access)
}

/// The rows of a step, unmasked.
pub(in crate::host) fn rows(access: &Access, key: &str) -> Result<Vec<Story>, Trouble> {
    let key = literal(access.engine(), key);
    let rows =
        access.query(&format!("SELECT run, host, who, began, image, outcome FROM {} WHERE entry = {key}", table(access)))?;
    let read = |row| story(row).ok_or_else(|| Trouble::Client("its ledger holds a row that is not Landfall's".to_owned()));
    rows.into_iter().map(read).collect()
}

fn story(row: Vec<Option<String>>) -> Option<Story> {
    let [run, host, who, when, image, ok] = row.try_into().ok()?;
    let ok = match ok.as_deref() {
        None => None,
        Some("ok") => Some(true),
        Some("failed") => Some(false),
        Some(_) => return None,
    };
    // Others may write to it, too: what is told of a row is no longer than it should be.
    let (when, image) = (when.filter(|when| humantime::parse_rfc3339(when).is_ok())?, image.filter(|id| id.len() <= 200));
    let who = who?.chars().take(200).collect();
    Some(Story { run: run?.parse().ok()?, when, who, host: Some(host?.parse().ok()?), image, ok })
}

/// Whose row it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) struct Row<'a> {
    /// The entry's key.
    pub(in crate::host) key: &'a str,
    /// The run.
    pub(in crate::host) run: &'a RunId,
    /// The host.
    pub(in crate::host) host: &'a HostName,
}

/// Writes down that a step is about to run. The database's lock must be held. Kept by the server when this returns.
pub(in crate::host) fn begin(access: &Access, place: Place, row: Row<'_>, begun: &Begun) -> Result<(), Trouble> {
    let text = |text: &str| literal(access.engine(), text);
    let Begun { name, who, image, .. } = begun;
    let (key, run, host) = (text(row.key), text(row.run.as_str()), text(row.host.as_str()));
    let image = image.as_deref().map_or_else(|| "NULL".to_owned(), text);
    let now = now(access.engine());
    let again = match access.engine() {
        Engine::Postgres => "ON CONFLICT (entry, run, host) DO UPDATE SET began = EXCLUDED.began, outcome = NULL",
        Engine::Mysql => "ON DUPLICATE KEY UPDATE began = VALUES(began), outcome = NULL",
    };
    let insert = format!(
        "INSERT INTO {} (entry, run, host, name, who, began, image) VALUES ({key}, {run}, {host}, {}, {}, {now}, {image}) {again};\n",
        table(access),
        text(name),
        text(who)
    );
    write(access, &(if place == Place::Free { create(access) } else { String::new() } + &insert))
}

/// Writes down how it ended.
pub(in crate::host) fn end(access: &Access, row: Row<'_>, ok: bool) -> Result<(), Trouble> {
    let entry = format!(" AND entry = {}", literal(access.engine(), row.key));
    write(access, &ended(access, row.run, row.host, ok, &entry))
}

/// Settles every row of a run on a host that has no end, as a person said.
pub(in crate::host) fn settle(access: &Access, run: &RunId, host: &HostName, done: bool) -> Result<(), Trouble> {
    write(access, &ended(access, run, host, done, ""))
}

/// The same by a person, where nobody can ask the host any more.
pub(in crate::host) fn by_hand(access: &Access, run: &RunId) -> String {
    format!("UPDATE {} SET outcome = 'ok' WHERE run = '{run}' AND outcome IS NULL (not done: 'failed')", table(access))
}

fn ended(access: &Access, run: &RunId, host: &HostName, ok: bool, and: &str) -> String {
    let text = |text: &str| literal(access.engine(), text);
    let (run, host) = (text(run.as_str()), text(host.as_str()));
    let outcome = if ok { "ok" } else { "failed" };
    format!("UPDATE {} SET outcome = '{outcome}' WHERE run = {run} AND host = {host} AND outcome IS NULL{and};\n", table(access))
}

fn create(access: &Access) -> String {
    let key = match access.engine() {
        Engine::Postgres => "text",
        Engine::Mysql => "varchar(64)",
    };
    let columns = format!(
        "\x20 entry {key} NOT NULL,\n\
         \x20 run {key} NOT NULL,\n\
         \x20 host {key} NOT NULL,\n\
         \x20 name text NOT NULL,\n\
         \x20 who text NOT NULL,\n\
         \x20 began text NOT NULL,\n\
         \x20 image text,\n\
         \x20 outcome {key},\n\
         \x20 PRIMARY KEY (entry, run, host)\n"
    );
    Table::Ledger.create(access, &columns)
}

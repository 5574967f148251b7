//! The ledger that a database itself holds: a row for each time that a step worked on it, read by every host that reaches it.
//!
//! It is a table of Landfall's own, as the history of plain SQL is one. Hosts that told each other of it by way of the client would know
//! only of runs they were part of, and nothing of one whose host is gone; and none of them would notice that the data was put back to
//! a day before. PostgreSQL has it in a schema of its own, so that a migration tool finds nothing in its schema that it did not make; MySQL,
//! whose schemas are databases, beside the application's tables. It is made by the first step that is to be remembered in it: whoever
//! only looks makes nothing.

use std::sync::atomic::Ordering;

use super::super::database::{Access, LOCAL, MYSQL, PSQL, Trouble, ident, literal};
use super::Begun;
use crate::facts::Story;
use crate::name::{HostName, RunId};
use crate::protocol::Engine;

/// Whether the database holds a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Place {
    /// It does, and this login may read and write it.
    There,
    /// It may be made.
    Free,
}

/// Looks for it, once. Inner error: why there can be none.
pub(in crate::host) fn place(access: &Access) -> Result<Result<Place, String>, Trouble> {
    if access.remembers.load(Ordering::Relaxed) {
        return Ok(Ok(Place::There));
    }
    let query = match access.engine() {
        Engine::Postgres => POSTGRES,
        Engine::Mysql => MYSQL_PLACE,
    };
    let found = access.query(query)?.into_iter().flatten().flatten().next();
    Ok(match (found.as_deref(), access.engine()) {
        (Some("there"), _) => {
            access.remembers.store(true, Ordering::Relaxed);
            Ok(Place::There)
        }
        (Some("free"), _) => Ok(Place::Free),
        (Some("standby"), _) => Err("the server only reads: it is a standby, or was told so".to_owned()),
        (Some("foreign"), _) => {
            Err("the table landfall.ledger belongs to another login, which could write into it what it likes".to_owned())
        }
        (_, Engine::Postgres) => Err("this login may neither use nor make the schema landfall there".to_owned()),
        (_, Engine::Mysql) => Err("this login may neither use nor make the table landfall_ledger there".to_owned()),
    })
}

const POSTGRES: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' THEN 'standby' \
     WHEN pg_get_userbyid(c.relowner) <> current_user AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = c.relowner) THEN 'foreign' \
     WHEN c.oid IS NOT NULL THEN CASE WHEN has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
     AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') THEN 'there' ELSE 'closed' END \
     WHEN n.oid IS NOT NULL THEN CASE WHEN has_schema_privilege(n.oid, 'CREATE') THEN 'free' ELSE 'closed' END \
     WHEN has_database_privilege(current_database(), 'CREATE') THEN 'free' ELSE 'closed' END \
     FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'landfall' \
     LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'ledger'";

/// MySQL tells a login of its own grants; those that come by a role are not among them.
const MYSQL_PLACE: &str = "SELECT CASE WHEN @@GLOBAL.read_only <> 0 THEN 'standby' \
     WHEN EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'landfall_ledger') THEN 'there' \
     WHEN EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema AND privilege_type = 'CREATE') \
     OR EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'CREATE') THEN 'free' ELSE 'closed' END";

fn table(access: &Access) -> String {
    match access.engine() {
        Engine::Postgres => "landfall.ledger".to_owned(),
        Engine::Mysql => format!("{}.landfall_ledger", ident(Engine::Mysql, &access.facts.name)),
    }
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
    // By the server's clock: which of two hosts was the later one, theirs may not say.
    let now = match access.engine() {
        Engine::Postgres => r#"to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#,
        Engine::Mysql => "DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%fZ')",
    };
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
    let (key, text) = match access.engine() {
        Engine::Postgres => ("text", "text"),
        Engine::Mysql => ("varchar(64)", "text"),
    };
    let schema = match access.engine() {
        Engine::Postgres => {
            "SET LOCAL client_min_messages = warning;\nDO $landfall$ BEGIN IF to_regnamespace('landfall') IS NULL THEN CREATE SCHEMA landfall; \
             END IF; END $landfall$;\n"
        }
        Engine::Mysql => "",
    };
    format!(
        "{schema}CREATE TABLE IF NOT EXISTS {} (\n\
         \x20 entry {key} NOT NULL,\n\
         \x20 run {key} NOT NULL,\n\
         \x20 host {key} NOT NULL,\n\
         \x20 name {text} NOT NULL,\n\
         \x20 who {text} NOT NULL,\n\
         \x20 began {text} NOT NULL,\n\
         \x20 image {text},\n\
         \x20 outcome {key},\n\
         \x20 PRIMARY KEY (entry, run, host)\n\
         );\n",
        table(access)
    )
}

fn write(access: &Access, sql: &str) -> Result<(), Trouble> {
    match access.engine() {
        // A backslash is a backslash, whatever the server's settings for strings are.
        Engine::Postgres => {
            let begin = format!("BEGIN;\n{LOCAL}SET LOCAL standard_conforming_strings = on;\n");
            access.look(&PSQL, format!("{begin}{sql}COMMIT;\n").as_bytes())
        }
        Engine::Mysql => access.look(&MYSQL, sql.as_bytes()),
    }
    .map(drop)
}

//! `restore`: puts a backup in the place of the database. The services that write are stopped and started again whatever happens, and
//! what is replaced is kept: under another name where the server can rename a database, in a backup of its own where it cannot.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::super::backups::{self, Backup, Backups};
use super::super::compose;
use super::super::database::{Access, MYSQL, PSQL, Trouble, ident, literal};
use super::super::docker;
use super::super::judge::Watcher;
use super::super::process::Spawn;
use super::super::stage::{Outcome, Stage};
use super::backup;
use crate::action::{self, Judge, Restore};
use crate::event::{Body, Status};
use crate::name::{RunId, ServiceName};
use crate::protocol::{Engine, HostStep};

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, restore: &Restore) -> Outcome {
    match prepared(stage, restore) {
        Err(outcome) => outcome,
        Ok((access, backups, from)) => {
            let services = restore.stop.clone().unwrap_or_else(|| writing(stage, &access));
            let stopped = stop(stage, step, &services);
            let outcome = if stopped.status == Status::Ok { bring_back(stage, step, &access, &backups, &from) } else { stopped };
            // A cancel or a deadline that struck meanwhile must not leave the application down.
            let (deadline, deaf) = (stage.deadline.take(), std::mem::replace(&mut stage.deaf, true));
            let started = if services.is_empty() { Outcome::ok() } else { super::up::start(stage, step, &services) };
            (stage.deadline, stage.deaf) = (deadline, deaf);
            match (outcome.status, started.status) {
                (_, Status::Ok) => outcome,
                (Status::Ok, _) => {
                    let why = started.detail.unwrap_or_default();
                    Outcome {
                        detail: Some(format!("the database is restored, but its services did not start again: {why}")),
                        ..started
                    }
                }
                _ => {
                    let why = outcome.detail.clone().unwrap_or_default();
                    Outcome { detail: Some(format!("{why}; and the services that were stopped did not start again")), ..outcome }
                }
            }
        }
    }
}

/// Everything that can be found out before anything is stopped.
fn prepared(stage: &Stage<'_>, restore: &Restore) -> Result<(Arc<Access>, Backups, Backup), Outcome> {
    let access = backup::open(stage)?;
    let backups = Backups::look(stage.state.root(), backup::named(stage)?);
    let from = chosen(&backups, &access, restore).map_err(|(why, _)| Outcome::failed(stage.masked(&why)))?;
    let content = backups::read_back(&backups.path(&from.file))
        .map_err(|error| Outcome::failed(format!("the backup cannot be read: {error}")))?;
    if content.sha256 != from.sha256 {
        return Err(Outcome::failed(format!("{} is not the file that was written: its SHA-256 is another", from.file)));
    }
    if access.engine() == Engine::Mysql
        && let Some(owner) = others_in_mysql(&access).map_err(|trouble| backup::failed(stage, &trouble))?
    {
        return Err(Outcome::failed(stage.masked(&format!(
            "nothing was touched: views, triggers or routines are {owner}'s, and this login could not make them again (say another `user` under [database])"
        ))));
    }
    Ok((access, backups, from))
}

/// Why no backup can be brought back, and what mends it. `coming` is one that the run takes itself before this step: the newest by
/// then.
pub(super) fn unfit(
    backups: &Backups,
    access: &Access,
    restore: &Restore,
    coming: Option<&action::Backup>,
) -> Option<(String, &'static str)> {
    let Some(coming) = coming.filter(|_| restore.from.is_none()) else { return chosen(backups, access, restore).err() };
    let encrypted = || coming.encrypt_to.as_ref().map(|_| encrypted("the backup that the step before takes"));
    meant(access, restore).err().or_else(encrypted)
}

/// The backup that is brought back; or why none can be, and what mends it.
fn chosen(backups: &Backups, access: &Access, restore: &Restore) -> Result<Backup, (String, &'static str)> {
    meant(access, restore)?;
    let found = match &restore.from {
        Some(file) => backups.all().into_iter().find(|backup| backup.file == *file),
        None => backups.newest(&access.facts),
    };
    let Some(from) = found else {
        let path = backups.path(restore.from.as_deref().unwrap_or("any backup of it"));
        return Err((format!("there is no backup {}", path.display()), "look at the folder's files; `from` names one of them"));
    };
    if from.encrypted {
        return Err(encrypted(&from.file));
    }
    if from.engine != access.engine() {
        return Err((format!("{} is a backup of {}", from.file, from.server), "choose a backup of this kind of server"));
    }
    Ok(from)
}

/// Whether the step names the database that is there.
fn meant(access: &Access, restore: &Restore) -> Result<(), (String, &'static str)> {
    let name = &access.facts.name;
    if *name == restore.database {
        return Ok(());
    }
    Err((
        format!("the step restores database {:?}, and the one of [database] is {name:?}", restore.database),
        "correct the one or the other: nothing else is touched",
    ))
}

fn encrypted(what: &str) -> (String, &'static str) {
    (
        format!("{what} is encrypted, and its private key is not on this host"),
        "decrypt it with age where the key is, and restore the file by hand",
    )
}

/// The services that run, but the database's own.
fn writing(stage: &Stage<'_>, access: &Access) -> Vec<ServiceName> {
    let running = docker::services(&stage.config.name).unwrap_or_default().into_iter();
    let writes = |name: &ServiceName| name.as_str() != access.host();
    running.filter(|(name, container)| writes(name) && container.state.status == "running").map(|(name, _)| name).collect()
}

fn stop(stage: &mut Stage<'_>, step: &HostStep, services: &[ServiceName]) -> Outcome {
    let Some(project) = stage.submission.compose.clone().filter(|_| !services.is_empty()) else { return Outcome::ok() };
    let words: Vec<&str> = std::iter::once("stop").chain(services.iter().map(ServiceName::as_str)).collect();
    let judge = Judge::default();
    let mut watcher = Watcher::new(&judge, &step.hints);
    match stage.stream(&compose::command(&project, &words), &mut watcher) {
        Err(error) => Outcome::failed(format!("the services could not be stopped: {error}")),
        Ok(ended) => {
            if let Some(stopped) = ended.stopped {
                return stage.stopped(stopped, &ended.left, step).ended(&ended);
            }
            let outcome = super::verdict(&ended, &judge, &watcher);
            if outcome.status != Status::Ok {
                super::hint(stage, step, &watcher);
            }
            outcome
        }
    }
}

fn bring_back(stage: &mut Stage<'_>, step: &HostStep, access: &Access, backups: &Backups, from: &Backup) -> Outcome {
    let path = backups.path(&from.file);
    let kept = match access.engine() {
        Engine::Postgres => into_postgres(stage, step, access, from, &path),
        Engine::Mysql => into_mysql(stage, step, access, backups, &path),
    };
    match kept {
        Err(outcome) => outcome,
        Ok(kept) => {
            let to =
                stage.masked(&format!("{} of {} ({} tables); what it replaced is {kept}", from.file, from.taken, from.tables));
            let what = stage.masked(&format!("database {}", access.facts.name));
            stage.event(&step.name, Body::Changed { what, from: None, to });
            Outcome::ok()
        }
    }
}

fn load(stage: &mut Stage<'_>, step: &HostStep, access: &Access, words: &[&str], path: &Path) -> Result<(), Outcome> {
    let file = File::open(path).map_err(|error| Outcome::failed(format!("the backup cannot be read: {error}")))?;
    let spawn = Spawn { input_file: Some(Arc::new(file)), ..access.client(words, b"") };
    backup::client(stage, step, access, &spawn).map(drop)
}

/// Into a database of its own first; only when all of it is there do the two change their names, in one transaction.
fn into_postgres(stage: &mut Stage<'_>, step: &HostStep, access: &Access, from: &Backup, path: &Path) -> Result<String, Outcome> {
    let name = &access.facts.name;
    let (new, old) = (beside(name, "restore", &stage.dir.run), beside(name, "before", &stage.dir.run));
    let on = |database: &str, sql: &str| {
        let mut words = PSQL.to_vec();
        words.extend(["-d", database]);
        access.look(&words, sql.as_bytes())
    };
    let untouched = |outcome: Outcome| {
        let why = outcome.detail.clone().unwrap_or_default();
        Outcome { detail: Some(format!("{why}; the database is as it was")), ..outcome }
    };
    let made = on(name, &create_like(&new)).map_err(|trouble| backup::failed(stage, &trouble)).map(drop);
    let loaded = made
        .and_then(|()| load(stage, step, access, &["pg_restore", "--exit-on-error", "--no-password", "--dbname", &new], path))
        .and_then(|()| match on(&new, TABLES).map_err(|trouble| backup::failed(stage, &trouble)) {
            Ok(count) => match String::from_utf8_lossy(&count).trim().parse::<u64>() {
                Ok(count) if count >= from.tables => Ok(()),
                _ => Err(Outcome::failed("not all tables of the backup came back")),
            },
            Err(outcome) => Err(outcome),
        })
        .and_then(|()| on(name, &like_in_rights(&new)).map(drop).map_err(|trouble| backup::failed(stage, &trouble)))
        .and_then(|()| {
            // What still writes in this moment is cut off; the name changes under it otherwise.
            let swapped = on("template1", &swap(name, &new, &old));
            swapped.map(drop).map_err(|trouble| {
                let _ = on("template1", &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true;\n", ident(Engine::Postgres, name)));
                backup::failed(stage, &trouble)
            })
        });
    if loaded.is_err() {
        let _ = on("template1", &format!("DROP DATABASE IF EXISTS {};\n", ident(Engine::Postgres, &new)));
    }
    loaded.map_err(untouched).map(|()| format!("database {old}"))
}

/// How many tables hold rows of the application.
const TABLES: &str = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
                      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema';\n";

/// Makes a database like the one that is asked: how its texts are ordered can only be said now. What servers of other versions know of it
/// is read as JSON, in which a column that is not there is null.
fn create_like(new: &str) -> String {
    format!(
        "SELECT format('CREATE DATABASE %I WITH TEMPLATE template0 OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L', {}, \
         pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype) \
         || CASE j->>'datlocprovider' \
         WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(j->>'datlocale', j->>'daticulocale')) \
         || coalesce(format(' ICU_RULES %L', j->>'daticurules'), '') \
         WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', j->>'datlocale') ELSE '' END \
         || format(' TABLESPACE %I CONNECTION LIMIT %s', t.spcname, d.datconnlimit) \
         FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace, to_jsonb(d) j \
         WHERE d.datname = current_database() \\gexec\n",
        literal(Engine::Postgres, new)
    )
}

/// Gives it what belongs to the database and is in no dump of it: its settings, also those of a role in it, and who may connect.
fn like_in_rights(new: &str) -> String {
    let new = literal(Engine::Postgres, new);
    // The value of a setting that is a list of names is kept as it is written.
    format!(
        "SELECT format('ALTER %s SET %I TO ', CASE WHEN s.setrole = 0 THEN format('DATABASE %I', {new}) \
         ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), {new}) END, split_part(c, '=', 1)) \
         || CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') \
         THEN coalesce(nullif(substr(c, strpos(c, '=') + 1), ''), '''''') ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END \
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
         WHERE d.datname = current_database() \\gexec\n\
         SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {new}) FROM pg_database \
         WHERE datname = current_database() AND datacl IS NOT NULL \\gexec\n\
         SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, {new}, \
         CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
         FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database() \\gexec\n"
    )
}

fn swap(name: &str, new: &str, old: &str) -> String {
    let ident = |name| ident(Engine::Postgres, name);
    let (plain, quoted, new, old) = (literal(Engine::Postgres, name), ident(name), ident(new), ident(old));
    format!(
        "ALTER DATABASE {quoted} ALLOW_CONNECTIONS false;\n\
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {plain} AND pid <> pg_backend_pid();\n\
         BEGIN;\n\
         ALTER DATABASE {quoted} RENAME TO {old};\n\
         ALTER DATABASE {new} RENAME TO {quoted};\n\
         COMMIT;\n\
         ALTER DATABASE {old} ALLOW_CONNECTIONS true;\n"
    )
}

/// These servers cannot rename a database: what is there is backed up, then taken away.
fn into_mysql(
    stage: &mut Stage<'_>,
    step: &HostStep,
    access: &Access,
    backups: &Backups,
    path: &Path,
) -> Result<String, Outcome> {
    let (_, before) = backup::take(stage, step, access, None)?;
    let kept = backups.path(&before.file);
    empty_mysql(stage, access)?;
    let Err(outcome) = load(stage, step, access, &MYSQL, path) else {
        return Ok(format!("in {}", kept.display()));
    };
    // As it was, whatever stopped this.
    let (deadline, deaf) = (stage.deadline.take(), std::mem::replace(&mut stage.deaf, true));
    let back = empty_mysql(stage, access).and_then(|()| load(stage, step, access, &MYSQL, &kept));
    (stage.deadline, stage.deaf) = (deadline, deaf);
    let why = outcome.detail.clone().unwrap_or_default();
    match back {
        Ok(()) => Err(Outcome { detail: Some(format!("{why}; the database is as it was")), ..outcome }),
        Err(_) => Err(Outcome::unknown(format!("{why}; the database is not whole, what it held is in {}", kept.display()))),
    }
}

/// Whose what is in the database besides tables, if this login could not make it again: what was taken away would not come back.
fn others_in_mysql(access: &Access) -> Result<Option<String>, Trouble> {
    let definers = [("triggers", "trigger"), ("views", "table"), ("routines", "routine"), ("events", "event")]
        .map(|(kind, of)| format!("SELECT definer FROM information_schema.{kind} WHERE {of}_schema = DATABASE()"));
    let query = format!(
        "SELECT definer FROM ({}) AS made WHERE definer <> CURRENT_USER() AND NOT EXISTS (SELECT 1 FROM information_schema.user_privileges \
         WHERE grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') \
         AND privilege_type IN ('SUPER', 'SET USER', 'SET_USER_ID', 'SET_ANY_DEFINER')) LIMIT 1",
        definers.join(" UNION ")
    );
    Ok(access.query(&query)?.into_iter().flatten().flatten().next())
}

fn empty_mysql(stage: &Stage<'_>, access: &Access) -> Result<(), Outcome> {
    let name = ident(Engine::Mysql, &access.facts.name);
    let like = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
                WHERE schema_name = DATABASE()";
    let rows = access.query(like).map_err(|trouble| backup::failed(stage, &trouble))?;
    let [Some(set), Some(collation)] = rows.into_iter().next().unwrap_or_default().try_into().unwrap_or([const { None }; 2])
    else {
        return Err(Outcome::failed("the server does not say which characters the database holds"));
    };
    let sql = format!("DROP DATABASE {name};\nCREATE DATABASE {name} CHARACTER SET {set} COLLATE {collation};\n");
    access.look(&MYSQL, sql.as_bytes()).map(drop).map_err(|trouble| backup::failed(stage, &trouble))
}

/// A name that no database has yet, no longer than a server takes.
fn beside(name: &str, what: &str, run: &RunId) -> String {
    let end = format!("_{what}_{run}");
    let mut begin = name.to_owned();
    while begin.len() + end.len() > 63 {
        begin.pop();
    }
    begin + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_short_enough() {
        let run = RunId::from_random([0; 6]);
        assert_eq!(beside("shop", "before", &run), "shop_before_kkkkkkkkkkkk");
        assert_eq!(beside(&"ä".repeat(40), "restore", &run).len(), 63);
        insta::assert_snapshot!(swap("o'\"x", "n", "b"), @r#"
        ALTER DATABASE "o'""x" ALLOW_CONNECTIONS false;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'o''"x' AND pid <> pg_backend_pid();
        BEGIN;
        ALTER DATABASE "o'""x" RENAME TO "b";
        ALTER DATABASE "n" RENAME TO "o'""x";
        COMMIT;
        ALTER DATABASE "b" ALLOW_CONNECTIONS true;
        "#);
    }
}

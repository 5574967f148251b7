//! `backup`: copies the database into a file on the host that nobody else may read, reads it back, and only then lets it count.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::backups::{self, Backup, Backups, Content};
use super::super::database::{Access, DIRECT, Trouble};
use super::super::process::{self, Ended, Spawn};
use super::super::secrets::Loaded;
use super::super::stage::{Outcome, Stage};
use super::super::state::State;
use crate::action::{self, Action};
use crate::event::{Body, Stream};
use crate::facts::{DatabaseFacts, Refusal, size};
use crate::protocol::{Database, Engine, HostStep, Submission, When};

/// Room that is left on the disk whatever the database's size.
const SPARE: u64 = 64 << 20;

pub(super) fn perform(stage: &mut Stage<'_>, step: &HostStep, backup: &action::Backup) -> Outcome {
    let access = match open(stage) {
        Ok(access) => access,
        Err(outcome) => return outcome,
    };
    match take(stage, step, &access, backup.encrypt_to.as_deref()) {
        Err(outcome) => outcome,
        Ok((backups, _)) => {
            let gone = backups.prune(&access.facts, backup.keep, backup.keep_for_s.map(Duration::from_secs));
            if gone > 0 {
                stage.show(Stream::Stdout, format!("{gone} old backup(s) removed\n").as_bytes());
            }
            Outcome::ok()
        }
    }
}

/// Whether there is a backup that is young enough.
pub(super) fn require(stage: &Stage<'_>, within_s: u64) -> Outcome {
    let found = named(stage).and_then(|database| Ok((Backups::look(stage.state.root(), database), open(stage)?)));
    match found {
        Err(outcome) => outcome,
        Ok((backups, access)) => {
            backups.too_old(&access.facts, Duration::from_secs(within_s)).map_or_else(Outcome::ok, Outcome::failed)
        }
    }
}

/// The database as the inventory names it.
pub(super) fn named<'a>(stage: &Stage<'a>) -> Result<&'a Database, Outcome> {
    stage.submission.database.as_ref().ok_or_else(|| failed(stage, &Trouble::NotNamed))
}

/// The database of the run, which must answer.
pub(super) fn open(stage: &Stage<'_>) -> Result<Arc<Access>, Outcome> {
    stage.database().map_err(|trouble| failed(stage, &trouble))
}

pub(super) fn failed(stage: &Stage<'_>, trouble: &Trouble) -> Outcome {
    Outcome::failed(format!("{} ({})", stage.masked(&trouble.to_string()), trouble.remedy()))
}

/// Takes a backup, and tells of it.
pub(super) fn take(
    stage: &mut Stage<'_>,
    step: &HostStep,
    access: &Access,
    encrypt_to: Option<&str>,
) -> Result<(Backups, Backup), Outcome> {
    let backups = Backups::open(stage.state, named(stage)?).map_err(|error| unusable(&error))?;
    let needed = bytes_of(access).map_err(|trouble| failed(stage, &trouble))?;
    if backups.room() < needed.saturating_add(SPARE) {
        let (needed, room) = (size(needed), size(backups.room()));
        return Err(Outcome::failed(format!("no room for a backup: the database has {needed}, and {room} are free")));
    }
    let now = SystemTime::now();
    let taken = humantime::format_rfc3339_seconds(now).to_string();
    let file = file_name(access, &taken, stage.dir.run.as_str(), encrypt_to.is_some());
    let part = format!("{file}.part");
    let made = dump(stage, step, access, &backups, &part)
        .and_then(|()| verified(stage, step, access, &backups.path(&part)))
        .and_then(|tables| finish(stage, step, &backups, &part, &file, encrypt_to).map(|()| tables))
        .and_then(|tables| {
            let Content { bytes, sha256, .. } = backups::read_back(&backups.path(&file)).map_err(|error| unusable(&error))?;
            let DatabaseFacts { name: database, server, identity, .. } = access.facts.clone();
            let (engine, run, encrypted) = (access.engine(), stage.dir.run.clone(), encrypt_to.is_some());
            let backup =
                Backup { file: file.clone(), database, server, identity, engine, taken, run, bytes, sha256, tables, encrypted };
            backups.keep(&backup).map_err(|error| unusable(&error))?;
            Ok(backup)
        });
    let _ = fs::remove_file(backups.path(&part));
    match made {
        Ok(backup) => {
            let path = backups.path(&backup.file);
            let to = format!("{} ({}, {} tables, sha256 {})", path.display(), size(backup.bytes), backup.tables, backup.sha256);
            let (what, to) = (stage.masked(&format!("backup of {}", backup.database)), stage.masked(&to));
            stage.show(Stream::Stdout, format!("{what}: {to}\n").as_bytes());
            stage.event(&step.name, Body::Changed { what, from: None, to });
            Ok((backups, backup))
        }
        Err(outcome) => {
            let _ = fs::remove_file(backups.path(&file));
            Err(outcome)
        }
    }
}

fn unusable(error: &std::io::Error) -> Outcome {
    Outcome::failed(format!("the backup cannot be kept: {error}"))
}

/// The size of the database on its server's disk: no copy of its rows is larger by much.
fn bytes_of(access: &Access) -> Result<u64, Trouble> {
    let rows = access.query(match access.engine() {
        Engine::Postgres => "SELECT pg_database_size(current_database())",
        Engine::Mysql => {
            "SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE()"
        }
    })?;
    let bytes = rows.into_iter().flatten().flatten().next().and_then(|bytes| bytes.parse().ok());
    bytes.ok_or_else(|| Trouble::Client("it did not say how large the database is".to_owned()))
}

fn file_name(access: &Access, taken: &str, run: &str, encrypted: bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let name: String = access.facts.name.chars().map(plain).collect();
    let time: String = taken.chars().filter(|c| *c != '-' && *c != ':').collect();
    let kind = if access.engine() == Engine::Postgres { "dump" } else { "sql" };
    format!("{name}-{time}-{run}.{kind}{}", if encrypted { ".age" } else { "" })
}

fn dump(stage: &mut Stage<'_>, step: &HostStep, access: &Access, backups: &Backups, part: &str) -> Result<(), Outcome> {
    let words: &[&str] = match access.engine() {
        Engine::Postgres => &["pg_dump", "--format=custom", "--no-password", "--lock-wait-timeout=10s"],
        Engine::Mysql => &[
            "mysqldump",
            "--single-transaction",
            "--quick",
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
        ],
    };
    let file = backups.create(part).map_err(|error| unusable(&error))?;
    let spawn = Spawn { output: Some(Arc::new(file)), ..access.client(words, b"") };
    client(stage, step, access, &spawn).map(drop)
}

/// Runs a client of the database as a part of the step; what it complains of is shown, and gives what it printed.
pub(super) fn client(stage: &mut Stage<'_>, step: &HostStep, access: &Access, spawn: &Spawn) -> Result<Vec<u8>, Outcome> {
    let (ended, kept) = stage.capture(spawn).map_err(|error| Outcome::failed(format!("could not be started: {error}")))?;
    stage.show(Stream::Stderr, Trouble::complaint(&kept).as_bytes());
    if let Some(stopped) = ended.stopped {
        return Err(stage.stopped(stopped, &ended.left, step));
    }
    match access.trouble(&ended, &kept) {
        Some(trouble) => Err(failed(stage, &trouble).ended(&ended)),
        None => Ok(kept.stdout),
    }
}

/// Reads the whole file as who brings it back would; gives how many tables are in it.
fn verified(stage: &mut Stage<'_>, step: &HostStep, access: &Access, path: &Path) -> Result<u64, Outcome> {
    let unreadable = |error: &std::io::Error| Outcome::failed(format!("the backup cannot be read back: {error}"));
    if access.engine() == Engine::Mysql {
        let Content { tables, tail, .. } = backups::read_back(path).map_err(|error| unreadable(&error))?;
        let ends = String::from_utf8_lossy(&tail).lines().any(|line| line.starts_with("-- Dump completed"));
        return if ends { Ok(tables) } else { Err(Outcome::failed("the backup is cut off: its last line is missing")) };
    }
    let mut read = |words: &[&str]| {
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let spawn = Spawn { input_file: Some(Arc::new(file)), ..access.client(words, b"") };
        client(stage, step, access, &spawn)
    };
    // The list alone would not meet the rows.
    read(&["pg_restore", "--file=/dev/null"])?;
    let list = read(&["pg_restore", "--list"])?;
    let tables = String::from_utf8_lossy(&list).lines().filter(|line| line.contains(" TABLE DATA ")).count();
    Ok(tables as u64)
}

/// Gives the file its name; encrypted, where that is wanted, the readable one is gone.
fn finish(
    stage: &mut Stage<'_>,
    step: &HostStep,
    backups: &Backups,
    part: &str,
    file: &str,
    encrypt_to: Option<&str>,
) -> Result<(), Outcome> {
    let (from, to) = (backups.path(part), backups.path(file));
    let Some(key) = encrypt_to else { return fs::rename(from, to).map_err(|error| unusable(&error)) };
    let input = File::open(from).map_err(|error| unusable(&error))?;
    let output = backups.create(file).map_err(|error| unusable(&error))?;
    let (input_file, output) = (Some(Arc::new(input)), Some(Arc::new(output)));
    let spawn = Spawn { input_file, output, ..Spawn::new(["age", "--encrypt", "--recipient", key]) };
    let (ended, kept) = stage.capture(&spawn).map_err(|error| Outcome::failed(format!("age could not be started: {error}")))?;
    stage.show(Stream::Stderr, &kept.stderr);
    match ended {
        Ended { stopped: Some(stopped), left, .. } => Err(stage.stopped(stopped, &left, step)),
        Ended { code: Some(0), .. } => Ok(()),
        ended => Err(Outcome::failed("age could not encrypt the backup").ended(&ended)),
    }
}

fn is_missing(program: &str) -> bool {
    let tried = process::capture(&Spawn::new([program, "--version"]), Duration::from_secs(10));
    tried.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Why the programs that back up and bring back cannot do that for this server.
fn unable(access: &Access) -> Option<(String, String)> {
    let major = |version: &str| version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let (server, place) = (access.facts.server.trim_start_matches("PostgreSQL "), access.place());
    match access.dumps_with()? {
        Err(trouble) => Some((format!("{place} cannot back the database up: {trouble}"), trouble.remedy().to_owned())),
        Ok(own) if major(&own) < major(server) => Some((
            format!(
                "the pg_dump of {place} is of PostgreSQL {own}, and the server is {server}: it refuses one that is newer than itself"
            ),
            format!("name a `client_image` of PostgreSQL {} or later", major(server).unwrap_or_default()),
        )),
        Ok(_) => None,
    }
}

/// What of the backups that a run needs or makes is not as it must be, before anything is done.
pub(crate) fn unfit(
    submission: &Submission,
    state: Option<&State>,
    access: Result<&Access, &str>,
    secrets: &Loaded,
) -> Vec<Refusal> {
    let Some(database) = &submission.database else { return Vec::new() };
    let mut actions = submission.steps.iter().flat_map(|step| &step.actions);
    let copies = actions.any(|action| matches!(action, Action::Backup(_) | Action::Restore(_)));
    if copies && access.is_ok_and(|access| access.facts.pooled) {
        // pg_dump empties the search_path of its session, for one.
        let why =
            "backup and restore do not go through a connection pool: their settings would stay on the application's connections";
        return vec![Refusal::unfit(why, DIRECT)];
    }
    let mask = |text: String| super::super::guard::mask_text(&secrets.needles, &text);
    let mut refusals = Vec::new();
    if copies && let Some((why, remedy)) = access.ok().and_then(unable) {
        refusals.push(Refusal::unfit(mask(why), remedy));
    }
    let backups = Backups::look(state.map_or(Path::new(&submission.state.path), State::root), database);
    // What the run takes itself before it comes to a step.
    let mut coming = None;
    for (step, action) in submission.steps.iter().flat_map(|step| step.actions.iter().map(move |action| (step, action))) {
        let needs = matches!(action, Action::Backup(_) | Action::Restore(_) | Action::RequireBackup { .. });
        if !needs {
            continue;
        }
        let access = match access {
            Ok(access) => access,
            Err(why) => {
                let why = format!("the database is to be backed up or restored, and it does not answer: {why}");
                return vec![Refusal::unfit(mask(why), "correct [database], or start it")];
            }
        };
        match action {
            Action::Backup(backup) => {
                if matches!(step.when, When::Success | When::Always) {
                    coming = Some(backup);
                }
                if backup.encrypt_to.is_some() && is_missing("age") {
                    refusals.push(Refusal::unfit("age, which encrypts backups, is not on the host", "apt-get install age"));
                }
            }
            Action::RequireBackup { within_s } if coming.is_none() => {
                let why = backups.too_old(&access.facts, Duration::from_secs(*within_s));
                refusals.extend(why.map(|why| Refusal::unfit(mask(why), "put a `backup` step before it, or run one first")));
            }
            Action::Restore(restore) => {
                let unfit = super::restore::unfit(&backups, access, restore, coming);
                refusals.extend(unfit.map(|(why, remedy)| Refusal::unfit(mask(why), remedy)));
            }
            _ => {}
        }
    }
    refusals
}

//! What is remembered: which seeds and `once = "release"` steps ran, when, by whom, from which image, with which result.
//!
//! The host keeps an entry for each, on its disk: begun before the step's first side effect, and ended by a link. One that was begun and
//! never ended has an outcome that nobody knows. What leaves something in the project's database is remembered there as well
//! ([`within`]), by the same key: three hosts on one database are one database, and a row goes where the data goes, also with a backup
//! that is restored, which no host's disk does.
//!
//! Where both are there they are put together ([`recall`]). An entry says which database it was for: of another one it tells nothing.
//! Where the database was to hold the entry too, the row is what counts, so data from before it is data that the step has not worked on.
//! Entries that name no database, of an earlier version or of one that did not answer, count whatever the host points to now: better
//! a step that a person must ask for again than one that runs twice.

pub(super) mod within;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::state::{State, make_file, mark, read_mark, sync_dir};
use super::status;
use crate::event::timestamp;
use crate::facts::Story;
use crate::name::{HostName, RunId};
use crate::protocol::RunState;

/// What is written down of a step that is about to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The seed's or the step's name.
    pub(super) name: String,
    /// Who started the run, masked.
    pub(super) who: String,
    /// When it began, RFC 3339.
    pub(super) when: String,
    /// From which image.
    pub(super) image: Option<String>,
    /// The identity of the database that it works on, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<String>,
    /// The database holds a row of it, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) within: bool,
}

/// What this host knows of one time that a step ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// What is told of it.
    pub(super) story: Story,
    database: Option<String>,
    within: bool,
}

/// An entry's key: equal only for the same name, command and content.
pub(super) fn key(name: &str, command: &str, content: &str) -> String {
    let mut hash = Sha256::new();
    for part in [name, command, content] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())[..32].to_owned()
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn path(state: &State, key: &str, run: &RunId, what: &str) -> PathBuf {
    state.ledger().join(format!("{key}.{run}.{what}"))
}

/// Writes down that a step is about to run. On the disk when this returns.
pub(super) fn begin(state: &State, key: &str, run: &RunId, begun: &Begun) -> io::Result<()> {
    let path = path(state, key, run, "begun");
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = make_file(&draft, 0o640)?;
    file.write_all(&serde_json::to_vec(begun)?)?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    sync_dir(&state.ledger());
    Ok(())
}

/// Writes down how it ended.
pub(super) fn end(state: &State, key: &str, run: &RunId, ok: bool) {
    let _ = mark(&path(state, key, run, "ended"), if ok { "ok" } else { "failed" });
    sync_dir(&state.ledger());
}

/// Settles every entry of a run that has no end, as a person said.
pub(super) fn settle(state: &State, run: &RunId, done: bool) {
    for (key, of) in entries(state) {
        if of == *run {
            end(state, &key, run, done);
        }
    }
}

fn entries(state: &State) -> Vec<(String, RunId)> {
    let names = fs::read_dir(state.ledger()).into_iter().flatten().flatten();
    let parse = |name: &str| {
        let (key, run) = name.strip_suffix(".begun")?.rsplit_once('.')?;
        Some((key.to_owned(), run.parse().ok()?))
    };
    names.filter_map(|entry| parse(entry.file_name().to_str()?)).collect()
}

/// Whether a database holds rows of a run.
pub(super) fn is_within(state: &State, run: &RunId) -> bool {
    let read = |key: &str| serde_json::from_slice::<Begun>(&fs::read(path(state, key, run, "begun")).ok()?).ok();
    entries(state).iter().any(|(key, of)| of == run && read(key).is_some_and(|begun| begun.within))
}

/// What this host knows of a key. A run that is still at it has no end yet.
pub(super) fn of_host(state: &State, key: &str) -> Vec<Entry> {
    let runs = entries(state).into_iter().filter(|(of, _)| of == key).map(|(_, run)| run);
    let entry = |run: RunId| {
        let file = path(state, key, &run, "begun");
        let begun = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Begun>(&bytes).ok());
        // That it ran counts, also where it cannot be read by whom.
        let begun = begun.unwrap_or_else(|| {
            let at = fs::symlink_metadata(&file).and_then(|metadata| metadata.modified()).unwrap_or(std::time::UNIX_EPOCH);
            let (unknown, when) = (|| "?".to_owned(), timestamp(at));
            Begun { name: unknown(), who: unknown(), when, image: None, database: None, within: false }
        });
        let ok = read_mark(&path(state, key, &run, "ended")).map(|end| end == "ok");
        let story = Story { run, when: begun.when, who: begun.who, host: None, image: begun.image, ok };
        Entry { story, database: begun.database, within: begun.within }
    };
    runs.map(entry).collect()
}

/// The newest story of a step, from what this host knows and from the rows of the database; none when it never ran. `database` is the
/// identity of the one that the host points to now, none where that is not known; `rows` are none where it holds no ledger.
pub(super) fn recall(own: &[Entry], database: Option<&str>, rows: Option<&[Story]>) -> Option<Story> {
    let of_it = |entry: &&Entry| entry.database.is_none() || database.is_none() || entry.database.as_deref() == database;
    let by_row = |entry: &&Entry| entry.within && entry.database.is_some() && database.is_some() && rows.is_some();
    let own_only = own.iter().filter(of_it).filter(|entry| !by_row(entry)).map(|entry| entry.story.clone());
    let known = own_only.chain(rows.into_iter().flatten().map(|row| match own.iter().find(|entry| entry.story.run == row.run) {
        // How a run of its own ended this host knows best: a person may have said so to it.
        Some(entry) => Story { host: None, ok: row.ok.or(entry.story.ok), ..row.clone() },
        None => row.clone(),
    }));
    known.max_by(|a, b| a.when.cmp(&b.when))
}

/// Runs of this host whose row lacks the end that the host knows.
pub(super) fn unwritten(own: &[Entry], rows: &[Story], host: &HostName) -> Vec<(RunId, bool)> {
    let lacks =
        |entry: &&Entry| rows.iter().any(|row| row.run == entry.story.run && row.host.as_ref() == Some(host) && row.ok.is_none());
    own.iter().filter(lacks).filter_map(|entry| Some((entry.story.run.clone(), entry.story.ok?))).collect()
}

/// Whether the run of a story is still at it.
pub(super) fn is_under_way(state: &State, story: &Story) -> bool {
    story.ok.is_none() && status::of(&state.run(&story.run)) == RunState::Running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::StateDir;

    #[test]
    fn a_key_tells_apart_what_runs_together() {
        assert_ne!(key("a", "bc", ""), key("ab", "c", ""));
        assert_ne!(key("a", "b", "1"), key("a", "b", "2"));
    }

    fn begun(when: &str) -> Begun {
        let (name, who) = ("configurations".to_owned(), "ann@laptop".to_owned());
        Begun { name, who, when: when.to_owned(), image: Some("sha256:1".to_owned()), database: None, within: false }
    }

    fn run(of: u8) -> RunId {
        RunId::from_random([of; 6])
    }

    #[test]
    fn an_entry_without_an_end_is_unknown_until_somebody_settles_it() {
        let temp = tempfile::tempdir().expect("folder");
        let state = State::open(&StateDir { path: temp.path().join("p").display().to_string(), private: false }).expect("state");
        let (first, second) = (run(1), run(2));
        let key = key("configurations", "npx tsx", "");
        let ok = || recall(&of_host(&state, &key), None, None).map(|story| (story.run, story.ok));
        assert_eq!(ok(), None);
        begin(&state, &key, &first, &begun("2026-01-01T00:00:00Z")).expect("begin");
        assert_eq!(ok(), Some((first.clone(), None)));
        settle(&state, &first, true);
        assert_eq!(ok(), Some((first.clone(), Some(true))));
        end(&state, &key, &first, false);
        assert_eq!(ok(), Some((first.clone(), Some(true))), "the first end stays");
        assert!(!is_within(&state, &first));
        let within = Begun { within: true, database: Some("d".to_owned()), ..begun("2026-01-02T00:00:00Z") };
        begin(&state, &key, &second, &within).expect("begin");
        end(&state, &key, &second, false);
        assert_eq!(ok(), Some((second.clone(), Some(false))));
        assert!(is_within(&state, &second));
        // What cannot be read was begun all the same.
        let third = run(3);
        fs::write(path(&state, &key, &third, "begun"), b"{\"name\"").expect("write");
        assert_eq!(ok(), Some((third, None)));
    }

    #[test]
    fn an_entry_of_an_earlier_version_is_read() {
        let temp = tempfile::tempdir().expect("folder");
        let state = State::open(&StateDir { path: temp.path().join("p").display().to_string(), private: false }).expect("state");
        let text = r#"{"name":"configurations","who":"ann@laptop","when":"2026-01-01T00:00:00Z","image":"sha256:1"}"#;
        fs::write(path(&state, "k", &run(1), "begun"), text).expect("write");
        end(&state, "k", &run(1), true);
        let told = recall(&of_host(&state, "k"), Some("whatever the host points to"), Some(&[])).expect("a story");
        assert_eq!((told.who.as_str(), told.ok, told.host), ("ann@laptop", Some(true), None));
    }

    /// An entry of this host: which run, for which database, whether there is to be a row, how it ended.
    fn own(of: u8, database: Option<&str>, within: bool, ok: Option<bool>) -> Entry {
        let when = format!("2026-01-0{of}T00:00:00Z");
        let story = Story { run: run(of), when, who: "ann@laptop".into(), host: None, image: None, ok };
        Entry { story, database: database.map(str::to_owned), within }
    }

    fn row(of: u8, host: &str, ok: Option<bool>) -> Story {
        Story { host: Some(host.parse().expect("name")), who: "bob@ci".into(), ..own(of, None, false, ok).story }
    }

    #[test]
    fn what_host_and_database_know_is_put_together() {
        let told = |own: &[Entry], database: Option<&str>, rows: Option<Vec<Story>>| {
            let story = recall(own, database, rows.as_deref())?;
            Some(format!(
                "{} {:?}{}",
                &story.when[8..10],
                story.ok,
                story.host.map(|host| format!(" {host}")).unwrap_or_default()
            ))
        };
        let some = |text: &str| Some(text.to_owned());
        let ran = own(1, Some("d"), false, Some(true));
        assert_eq!(told(std::slice::from_ref(&ran), Some("d"), None), some("01 Some(true)"));
        assert_eq!(told(std::slice::from_ref(&ran), Some("restored"), Some(vec![])), None, "it was another database");
        assert_eq!(
            told(std::slice::from_ref(&ran), None, None),
            some("01 Some(true)"),
            "it does not answer: that is no reason to forget"
        );
        let older = own(1, None, false, Some(true));
        assert_eq!(told(&[older], Some("restored"), Some(vec![])), some("01 Some(true)"), "an entry that names no database");
        // The row is what counts where there was one.
        let shared = own(1, Some("d"), true, Some(true));
        assert_eq!(told(std::slice::from_ref(&shared), Some("d"), Some(vec![])), None, "data from before it");
        assert_eq!(told(std::slice::from_ref(&shared), Some("d"), None), some("01 Some(true)"), "the whole ledger is gone");
        assert_eq!(told(&[shared], Some("d"), Some(vec![row(1, "prod-1", Some(true))])), some("01 Some(true)"));
        // Other hosts.
        assert_eq!(told(&[], Some("d"), Some(vec![row(2, "prod-2", Some(true))])), some("02 Some(true) prod-2"));
        assert_eq!(told(&[], Some("d"), Some(vec![row(2, "prod-2", None)])), some("02 None prod-2"));
        let rows = vec![row(1, "prod-1", Some(true)), row(3, "prod-3", Some(false)), row(2, "prod-2", None)];
        assert_eq!(told(&[], Some("d"), Some(rows)), some("03 Some(false) prod-3"), "the newest");
        // A person has settled it here.
        let (settled, open) = (own(2, Some("d"), true, Some(true)), row(2, "prod-1", None));
        assert_eq!(told(std::slice::from_ref(&settled), Some("d"), Some(vec![open.clone()])), some("02 Some(true)"));
        let me = "prod-1".parse().expect("name");
        assert_eq!(unwritten(&[settled], &[open, row(3, "prod-2", None)], &me), [(run(2), true)]);
    }
}

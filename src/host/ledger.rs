//! What the host remembers: which seeds and `once = "release"` steps ran, when, by whom, from which image, with which result.
//! An entry is begun, and on the disk, before the step's first side effect; it is ended by a link. One that was begun and never
//! ended has an outcome that nobody knows.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::state::{State, make_file, mark, read_mark, sync_dir};
use super::status;
use crate::event::timestamp;
use crate::facts::Story;
use crate::name::RunId;
use crate::protocol::RunState;

#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    name: String,
    who: String,
    when: String,
    image: Option<String>,
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
pub(super) fn begin(
    state: &State,
    key: &str,
    run: &RunId,
    name: &str,
    who: &str,
    when: &str,
    image: Option<&str>,
) -> io::Result<()> {
    let entry = Begun { name: name.into(), who: who.into(), when: when.into(), image: image.map(str::to_owned) };
    let path = path(state, key, run, "begun");
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = make_file(&draft, 0o640)?;
    file.write_all(&serde_json::to_vec(&entry)?)?;
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

/// The newest story of a key, none when it never ran. A run that is still at it has no end yet.
pub(super) fn story(state: &State, key: &str) -> Option<Story> {
    let runs = entries(state).into_iter().filter(|(of, _)| of == key).map(|(_, run)| run);
    let stories = runs.map(|run| {
        let file = path(state, key, &run, "begun");
        let begun = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Begun>(&bytes).ok());
        // That it ran counts, also where it cannot be read by whom.
        let begun = begun.unwrap_or_else(|| {
            let at = fs::symlink_metadata(&file).and_then(|metadata| metadata.modified()).unwrap_or(std::time::UNIX_EPOCH);
            Begun { name: "?".into(), who: "?".into(), when: timestamp(at), image: None }
        });
        let ok = read_mark(&path(state, key, &run, "ended")).map(|end| end == "ok");
        Story { run, when: begun.when, who: begun.who, image: begun.image, ok }
    });
    stories.max_by(|a, b| a.when.cmp(&b.when))
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

    #[test]
    fn an_entry_without_an_end_is_unknown_until_somebody_settles_it() {
        let temp = tempfile::tempdir().expect("folder");
        let state = State::open(&StateDir { path: temp.path().join("p").display().to_string(), private: false }).expect("state");
        let (first, second) = (RunId::from_random([1; 6]), RunId::from_random([2; 6]));
        let key = key("configurations", "npx tsx", "");
        assert_eq!(story(&state, &key), None);
        begin(&state, &key, &first, "configurations", "ann@laptop", "2026-01-01T00:00:00Z", Some("sha256:1")).expect("begin");
        let ok = || story(&state, &key).map(|story| (story.run, story.ok));
        assert_eq!(ok(), Some((first.clone(), None)));
        settle(&state, &first, true);
        assert_eq!(ok(), Some((first.clone(), Some(true))));
        end(&state, &key, &first, false);
        assert_eq!(ok(), Some((first, Some(true))), "the first end stays");
        begin(&state, &key, &second, "configurations", "bob@ci", "2026-01-02T00:00:00Z", None).expect("begin");
        end(&state, &key, &second, false);
        assert_eq!(ok(), Some((second, Some(false))));
        // What cannot be read was begun all the same.
        let third = RunId::from_random([3; 6]);
        fs::write(path(&state, &key, &third, "begun"), b"{\"name\"").expect("write");
        assert_eq!(ok(), Some((third, None)));
    }
}

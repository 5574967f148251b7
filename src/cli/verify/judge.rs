//! Local files against what a host found: what is with each migration, and whether that is in the way of a merge. Pure but for the look
//! into the past, which is handed in.

use serde::Serialize;

use crate::action::{Late, Layout, Model};
use crate::facts::{History, Migration, MigrationState as State};
use crate::history::{self, Known, order};
use crate::report::{Paint, Tone, label};

/// One migration, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Judged {
    /// As the tool calls it.
    pub(super) name: String,
    /// What is with it.
    pub(super) state: &'static str,
    /// Whether it is in the way.
    pub(super) wrong: bool,
    /// What a person should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    /// What was applied is known by its digest, and not by the image's file alone.
    #[serde(skip)]
    pub(super) sure: bool,
    /// Where a file here and the history have parted: the history's, with the file as it is here.
    #[serde(skip)]
    pub(super) parted: Option<Migration>,
}

fn parted(state: &str, there: &Migration, here: Option<&Known>) -> Option<Migration> {
    let state = match state {
        "edited" => State::Edited,
        "missing" => State::Missing,
        "skipped" => State::Skipped,
        "failed" if there.begun => State::Failed,
        _ => return None,
    };
    let (sha256, file) = (here.map(|known| known.sha256.clone()), here.map(|known| known.path.clone()));
    Some(Migration { state, sha256, file, text: None, ..there.clone() })
}

/// All of them, local ones first in the order of the tool. `past` tells what is known of an edited file and the digest it had.
pub(super) fn judge(
    model: &Model,
    local: &[Known],
    found: &History,
    past: impl Fn(&Known, &str) -> Option<String>,
) -> Vec<Judged> {
    if found.not_known.is_some() {
        return Vec::new();
    }
    let ordered = |known: &Known| history::is_ordered(&model.layout, &known.key);
    let is_there = |known: &Known| ordered(known) && of(found, known).is_some_and(|there| is_applied(there.state));
    let applied = || local.iter().enumerate().filter(|(_, known)| is_there(known));
    // A journal has its own order, and its times say what the tool takes for older.
    let is_late = |at: usize, known: &Known| match model.layout {
        Layout::Journal => applied().any(|(_, newer)| order(&known.key, &newer.key).is_lt()),
        _ => ordered(known) && applied().next_back().is_some_and(|(newest, _)| at < newest),
    };
    let each = local.iter().enumerate().map(|(at, known)| {
        let (state, wrong, note) = match of(found, known) {
            None => pending(model, is_late(at, known), Some("the image of the host does not have it yet".to_owned())),
            Some(there) => here_and_there(model, known, there, &past),
        };
        let there = of(found, known);
        let sure = there.is_some_and(|there| there.recorded.is_some());
        let parted = there.and_then(|there| parted(state, there, Some(known)));
        Judged { name: known.name.clone(), state, wrong, note, sure, parted }
    });
    let gone = found.migrations.iter().filter(|there| !local.iter().any(|known| is_same(known, there)));
    let gone = gone.map(|there| {
        let (state, note) = match there.state {
            State::Pending | State::Skipped | State::Aside | State::Along => {
                ("only in the image", "it waits there, and its file is not here".to_owned())
            }
            State::Failed => ("failed", "it began and did not finish, and its file is not here".to_owned()),
            _ => ("missing", "it is applied, and its file is not here: bring it back".to_owned()),
        };
        Judged { name: there.name.clone(), state, wrong: true, note: Some(note), sure: false, parted: parted(state, there, None) }
    });
    each.chain(gone).collect()
}

fn is_applied(state: State) -> bool {
    matches!(state, State::Applied | State::Edited | State::Missing)
}

fn is_same(known: &Known, there: &Migration) -> bool {
    there.name == known.name || (there.sha256.is_none() && there.name == known.key)
}

fn of<'a>(found: &'a History, known: &Known) -> Option<&'a Migration> {
    // A baseline has the name of the version that it stands for.
    let exact = |there: &&Migration| there.key.as_ref().unwrap_or(&there.name) == &known.key;
    found.migrations.iter().filter(|there| is_same(known, there)).max_by_key(exact)
}

fn pending(model: &Model, late: bool, note: Option<String>) -> (&'static str, bool, Option<String>) {
    let late = late.then_some(match model.late {
        Late::Applies => (false, "older than the newest that is applied; the tool applies it all the same"),
        Late::Skips => (true, "older than the newest that is applied: the tool would never apply it; give it a later date"),
        Late::Refuses => (true, "older than the newest that is applied: the tool would refuse; give it a later date"),
        Late::Aside => {
            (true, "older than the newest that is applied: no way leads through it; plan it anew from the newest contract")
        }
    });
    let (wrong, said) = late.unwrap_or((false, ""));
    let notes: Vec<String> = note.into_iter().chain((!said.is_empty()).then(|| said.to_owned())).collect();
    (if late.is_some() { "pending, late" } else { "pending" }, wrong, (!notes.is_empty()).then(|| notes.join("; ")))
}

fn here_and_there(
    model: &Model,
    known: &Known,
    there: &Migration,
    past: &impl Fn(&Known, &str) -> Option<String>,
) -> (&'static str, bool, Option<String>) {
    let recorded = there.recorded.as_ref();
    let edited = match recorded.filter(|_| known.digest.is_some() || model.digest.is_none()) {
        Some(recorded) => !known.is_recorded_as(model, recorded),
        // Without a recorded digest the image's file is the nearest witness of what was applied.
        _ => there.sha256.as_ref().is_some_and(|image| *image != known.sha256),
    };
    match there.state {
        State::Failed => ("failed", true, Some(there.told.clone().unwrap_or_else(|| "it began and did not finish".to_owned()))),
        State::Skipped => {
            ("skipped", true, Some("never applied, and the tool passes it over in silence: give it a later date".to_owned()))
        }
        State::Aside => {
            ("aside", false, Some("not applied: the way on from where the database stands does not lead through it".to_owned()))
        }
        State::Along => ("along", false, Some("no migration: it runs whenever one is applied".to_owned())),
        State::Pending if there.sha256.as_ref().is_some_and(|image| *image != known.sha256) => {
            pending(model, there.late, Some("the image of the host has another text of it".to_owned()))
        }
        State::Applied if edited && history::comes_again(&model.layout, &known.key) => {
            pending(model, false, Some("the image of the host has another text of it".to_owned()))
        }
        State::Pending => pending(model, there.late, None),
        State::Applied | State::Edited | State::Missing if edited => {
            let witness = recorded.or(there.sha256.as_ref());
            let usual = || {
                "its text is another one than was applied; that text is neither in the history of this repository nor here"
                    .to_owned()
            };
            ("edited", true, Some(witness.and_then(|digest| past(known, digest)).unwrap_or_else(usual)))
        }
        State::Missing => ("applied", false, Some("the image of the host does not have it".to_owned())),
        State::Edited => ("applied", false, Some("the image of the host has another text of it than was applied".to_owned())),
        State::Applied => ("applied", false, None),
    }
}

/// As lines of a table; what is applied and sound is only counted. Without digests nobody knows that it is unchanged.
pub(super) fn table(rows: &[Judged], digests: bool, paint: Paint) -> Vec<String> {
    let quiet = |row: &&Judged| row.state == "applied" && row.note.is_none();
    let applied = rows.iter().filter(quiet).count();
    let unsure = rows.iter().filter(quiet).filter(|row| !digests && !row.sure).count();
    let sure = match unsure {
        0 => "unchanged".to_owned(),
        some => {
            let which = if some == applied { "one".to_owned() } else { format!("one of {some}") };
            format!(
                "as in the image; whether {which} was edited since cannot be known: the tool keeps no digest, and no run of Landfall saw it before"
            )
        }
    };
    let mut lines = vec![format!("  {applied} applied, {sure}")];
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    for row in rows.iter().filter(|row| !quiet(row)) {
        let tone = if row.wrong { Tone::Bad } else { Tone::Faint };
        lines.push(format!("  {:width$}  {}", label(&row.name), paint.paint(tone, row.state)));
        let note = row.note.as_deref().unwrap_or_default();
        lines.extend(note.lines().map(|line| format!("      {}", label(line))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Digest, HistoryTable, Layout, Reading};

    fn model(late: Late) -> Model {
        Model {
            folders: vec![],
            layout: Layout::Files { pattern: String::new(), digits: false },
            digest: Some(Digest::Sha256),
            history: HistoryTable { table: String::new(), postgres: String::new(), mysql: String::new() },
            reading: Reading::Each,
            late,
            done: String::new(),
            undone: String::new(),
            back: None,
            tolerates: vec![],
            lock: None,
        }
    }

    #[test]
    fn what_comes_again_is_not_late_and_not_edited() {
        let model = Model { layout: Layout::Versions, ..model(Late::Refuses) };
        let again = Known { key: "R__all voters".into(), ..known("all voters") };
        let hook = Known { key: "beforeMigrate".into(), ..known("beforeMigrate.sql") };
        let local = [known("1"), known("2"), again, hook];
        let own = |name: &str, state| there(name, state, Some(&format!("digest of {name}")));
        let of = |found: Vec<Migration>| {
            let found = History { migrations: found, ..History::default() };
            let rows = judge(&model, &local, &found, |_, _| None);
            rows.iter().map(|row| format!("{} {}", row.state, row.wrong)).collect::<Vec<_>>().join(", ")
        };
        let all = [own("1", State::Applied), own("2", State::Applied), own("all voters", State::Applied)];
        assert_eq!(of(all.to_vec()), "applied false, applied false, applied false, pending false");
        let hook = there("beforeMigrate.sql", State::Along, None);
        let old = there("all voters", State::Applied, Some("another"));
        assert_eq!(of(vec![own("1", State::Applied), old, hook]), "applied false, pending false, pending false, along false");
    }

    fn known(name: &str) -> Known {
        let digest = format!("digest of {name}");
        Known {
            key: name.into(),
            name: name.into(),
            sha256: digest.clone(),
            digest: Some(digest),
            path: name.into(),
            bytes: vec![],
            after: vec![],
            replaces: vec![],
            leads: None,
        }
    }

    fn there(name: &str, state: State, recorded: Option<&str>) -> Migration {
        Migration {
            name: name.into(),
            key: None,
            state,
            late: false,
            sha256: (state != State::Missing).then(|| format!("digest of {name}")),
            file: None,
            recorded: recorded.map(str::to_owned),
            text: None,
            cut: false,
            told: None,
            begun: false,
        }
    }

    fn told(late: Late, local: &[&str], found: Vec<Migration>) -> String {
        let local: Vec<Known> = local.iter().map(|name| known(name)).collect();
        let found = History { migrations: found, ..History::default() };
        let rows = judge(&model(late), &local, &found, |_, digest| Some(format!("it was {digest}")));
        rows.iter()
            .map(|row| format!("{} {}{}", row.name, row.state, if row.wrong { "!" } else { "" }))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn every_state() {
        let own = |name: &str| there(name, State::Applied, Some(&format!("digest of {name}")));
        let all = Late::Applies;
        assert_eq!(told(all, &["1", "2"], vec![own("1")]), "1 applied, 2 pending");
        assert_eq!(told(all, &["1", "2"], vec![there("1", State::Applied, Some("x"))]), "1 edited!, 2 pending");
        assert_eq!(
            told(all, &["1"], vec![there("1", State::Edited, Some("digest of 1"))]),
            "1 applied",
            "the image is not what is merged"
        );
        assert_eq!(told(all, &["1"], vec![there("1", State::Missing, Some("digest of 1"))]), "1 applied");
        assert_eq!(told(all, &["2"], vec![own("1"), own("2")]), "2 applied, 1 missing!");
        assert_eq!(told(all, &["1"], vec![there("1", State::Failed, None)]), "1 failed!");
        assert_eq!(told(all, &["1", "2"], vec![own("2")]), "1 pending, late, 2 applied");
        assert_eq!(told(Late::Skips, &["1", "2"], vec![own("2")]), "1 pending, late!, 2 applied");
        assert_eq!(told(all, &["1"], vec![own("1"), there("2", State::Pending, None)]), "1 applied, 2 only in the image!");
    }

    #[test]
    fn a_journal_lists_one_last_that_is_older_than_what_is_applied() {
        let model = Model { layout: Layout::Journal, reading: Reading::Newest, ..model(Late::Skips) };
        let local = ["100", "300", "200"].map(known);
        let own = |name: &str| there(name, State::Applied, Some(&format!("digest of {name}")));
        let found = History { migrations: vec![own("100"), own("300")], ..History::default() };
        let rows = judge(&model, &local, &found, |_, _| None);
        let last = rows.iter().find(|row| row.name == "200").expect("the last");
        assert_eq!((last.state, last.wrong), ("pending, late", true));
    }
}

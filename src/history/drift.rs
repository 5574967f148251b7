//! Where files and history have parted in a way that somebody may take upon themselves: old files that were made into one, a file that
//! was reformatted, one that was applied by hand, a table that was there before the migration that makes it. Pure: who does so, and why, is the client's affair.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use crate::facts::{Migration, MigrationState as State};

/// What it is called, as rules are.
pub const RULES: [&str; 4] = ["edited", "missing", "skipped", "begun"];

/// Something that is taken upon oneself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// One of [`RULES`].
    pub rule: String,
    /// The migration's file, or its name where it has none; or the end of that. For people, where it is bound.
    pub file: String,
    /// What it holds for; none: for whatever is with that file, in one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// What an approval is bound to, so that it ends with the next change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// SHA-256 of the file as it is now; of nothing, where it is gone.
    pub sha256: String,
    /// SHA-256 of what the history has of it.
    pub recorded: String,
}

/// The rule's name for what is with a migration, where that is one of them.
pub fn rule(migration: &Migration) -> Option<&'static str> {
    match migration.state {
        State::Edited => Some("edited"),
        State::Missing => Some("missing"),
        State::Skipped => Some("skipped"),
        // What it makes may have been there before.
        State::Pending | State::Failed if migration.begun => Some("begun"),
        _ => None,
    }
}

/// What an approval of it is bound to.
pub fn bound(rule: &str, migration: &Migration) -> Bound {
    let digest = |text: &str| hex(&Sha256::digest(text.as_bytes()));
    let key = migration.key.as_ref().unwrap_or(&migration.name);
    let recorded = digest(&format!("{rule} {key} {}", migration.recorded.as_deref().unwrap_or_default()));
    Bound { sha256: migration.sha256.clone().unwrap_or_else(|| digest("")), recorded }
}

/// Its file below the folder, or its name.
pub fn file(migration: &Migration) -> &str {
    migration.file.as_deref().unwrap_or(&migration.name)
}

/// Whether it was taken upon somebody.
pub fn is_accepted(migration: &Migration, accepted: &[Accepted]) -> bool {
    let Some(rule) = rule(migration) else { return false };
    accepted.iter().any(|one| {
        one.rule == rule
            && one.bound.as_ref().map_or_else(|| same_file(&one.file, file(migration)), |own| *own == bound(rule, migration))
    })
}

/// Whether two paths mean one file: the shorter is the end of the longer.
pub fn same_file(one: &str, other: &str) -> bool {
    let plain = |path: &str| path.trim_start_matches("./").to_owned();
    let (one, other) = (plain(one), plain(other));
    let ends = |long: &str, short: &str| !short.is_empty() && (long == short || long.ends_with(&format!("/{short}")));
    ends(&one, &other) || ends(&other, &one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(state: State, recorded: &str) -> Migration {
        Migration {
            name: "1_a".into(),
            key: Some("1".into()),
            state,
            late: false,
            sha256: (state != State::Missing).then(|| "0a".repeat(32)),
            file: (state != State::Missing).then(|| "db/1_a.sql".into()),
            recorded: Some(recorded.into()),
            text: None,
            cut: false,
            told: None,
            begun: false,
        }
    }

    #[test]
    fn what_is_accepted_is_that_alone() {
        let edited = migration(State::Edited, "x");
        let by = |rule: &str, file: &str, bound: Option<Bound>| Accepted { rule: rule.into(), file: file.into(), bound };
        assert!(is_accepted(&edited, &[by("edited", "1_a.sql", None)]));
        assert!(!is_accepted(&edited, &[by("missing", "1_a.sql", None), by("edited", "a.sql", None), by("edited", "", None)]));
        let own = bound("edited", &edited);
        assert!(is_accepted(&edited, &[by("edited", "app/db/1_a.sql", Some(own.clone()))]));
        assert!(!is_accepted(&migration(State::Edited, "y"), &[by("edited", "1_a.sql", Some(own.clone()))]), "another history");
        let again = Migration { sha256: Some("0b".repeat(32)), ..edited };
        assert!(!is_accepted(&again, &[by("edited", "1_a.sql", Some(own))]), "edited once more");
        let gone = migration(State::Missing, "x");
        assert!(is_accepted(&gone, &[by("missing", "1_a", Some(bound("missing", &gone)))]));
        assert!(!is_accepted(&migration(State::Applied, "x"), &[by("edited", "1_a.sql", None)]));
    }
}

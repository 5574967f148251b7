//! Files that are told apart by how their names begin: `V1_2__name.sql` is applied once, in the order of versions; `R__name.sql` whenever
//! it was changed; `B5__name.sql` stands for all versions up to its own where nothing was applied yet; and what is named like an event
//! (`beforeMigrate__name.sql`) runs with each migration. They may lie in folders of folders.

use super::{File, Known, Layout, Model, of, order, parts};
use crate::facts::MigrationState as State;
use crate::history::{Began, Recorded};

/// The key of one that comes again begins so: its description could be taken for a version.
const AGAIN: &str = "R__";

/// The migrations among files, and what runs with them.
pub(super) fn versions(model: &Model, files: &[File]) -> Vec<Known> {
    let each = files.iter().filter_map(|file| {
        let (key, name) = named(&file.path)?;
        Some(of(model, key, &name, file))
    });
    each.collect()
}

/// What the history calls a file, and what the tool does.
fn named(path: &str) -> Option<(String, String)> {
    let file = path.rsplit('/').next()?;
    let at = file.len().checked_sub(".sql".len())?;
    let (stem, suffix) = (file.get(..at)?, file.get(at..)?);
    if !suffix.eq_ignore_ascii_case(".sql") {
        return None;
    }
    let (head, description) = stem.split_once("__").unwrap_or((stem, ""));
    let version = |letter: char| Some(head.strip_prefix(letter)?.replace('_', ".")).filter(|version| parts(version).is_some());
    if head == "R" {
        let description = description.replace('_', " ");
        return Some((format!("{AGAIN}{description}"), description));
    }
    if let Some(version) = version('V') {
        return Some((version.clone(), version));
    }
    if let Some(version) = version('B') {
        return Some((format!("B{version}"), version));
    }
    is_event(head).then(|| (stem.to_owned(), file.to_owned()))
}

/// Whether a file is a migration by its name alone, in whatever folder: one that has a description.
pub fn is_version(file: &str) -> bool {
    let own = |key: &str| !runs_along(&Layout::Versions, key);
    file.contains("__") && named(file).is_some_and(|(key, _)| own(&key))
}

/// `beforeMigrate`, `afterEachMigrate`, `createSchema`; there were more with each version of the tool.
fn is_event(head: &str) -> bool {
    let rest = ["before", "after", "create"].iter().find_map(|verb| head.strip_prefix(verb));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Whether a key has its place in the order of all: what comes again, and what only runs with others, has none.
pub fn is_ordered(layout: &Layout, key: &str) -> bool {
    *layout != Layout::Versions || parts(key).is_some()
}

/// Whether it is applied again when its file was changed.
pub fn comes_again(layout: &Layout, key: &str) -> bool {
    *layout == Layout::Versions && key.starts_with(AGAIN)
}

/// Whether it is no migration, and runs with each.
pub fn runs_along(layout: &Layout, key: &str) -> bool {
    *layout == Layout::Versions && !comes_again(layout, key) && baseline(key).is_none() && parts(key).is_none()
}

/// Where a history of versions begins.
#[derive(Debug, Default)]
pub(in crate::history) struct Start {
    /// All up to here was there before it.
    stands: Option<String>,
    /// It is still empty, and would begin with this.
    begins: Option<String>,
}

impl Start {
    pub(in crate::history) fn of(layout: &Layout, files: &[Known], rows: &[Recorded]) -> Self {
        if *layout != Layout::Versions {
            return Self::default();
        }
        let rows = |state| rows.iter().filter(move |row| row.state == state && is_ordered(layout, &row.key));
        let newest = |keys: &mut dyn Iterator<Item = &str>| keys.max_by(|a, b| order(a, b)).map(str::to_owned);
        let stands = newest(&mut rows(Began::Stands).map(|row| row.key.as_str()));
        let empty = stands.is_none() && rows(Began::Applied).next().is_none();
        let begins = newest(&mut files.iter().filter_map(|file| baseline(&file.key))).filter(|_| empty);
        Self { stands, begins }
    }

    /// What is with a file that has no row of its own.
    pub(in crate::history) fn state(&self, layout: &Layout, key: &str) -> State {
        let to = |version: &str, mark: &Option<String>| mark.as_ref().map(|mark| order(version, mark));
        if *layout != Layout::Versions || comes_again(layout, key) {
            State::Pending
        } else if runs_along(layout, key) {
            State::Along
        } else if let Some(version) = baseline(key) {
            match (to(version, &self.stands), to(version, &self.begins)) {
                (Some(order), _) if order.is_eq() => State::Applied,
                (_, Some(order)) if order.is_eq() => State::Pending,
                _ => State::Aside,
            }
        } else if to(key, &self.stands).is_some_and(std::cmp::Ordering::is_le) {
            State::Applied
        } else if to(key, &self.begins).is_some_and(std::cmp::Ordering::is_le) {
            State::Aside
        } else {
            State::Pending
        }
    }
}

/// The version of a baseline among the files.
fn baseline(key: &str) -> Option<&str> {
    key.strip_prefix('B').filter(|version| parts(version).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_tool_reads_them() {
        let of = |path: &str| named(path).map_or_else(|| "-".to_owned(), |(key, name)| format!("{key} = {name}"));
        for (path, is) in [
            ("V1__init.sql", "1 = 1"),
            ("V2_1__more.sql", "2.1 = 2.1"),
            ("2024/q1/V003.10__more__yet.SQL", "003.10 = 003.10"),
            ("V4.sql", "4 = 4"),
            ("R__all_voters.sql", "R__all voters = all voters"),
            ("R__2.sql", "R__2 = 2"),
            ("B5__all.sql", "B5 = 5"),
            ("beforeMigrate.sql", "beforeMigrate = beforeMigrate.sql"),
            ("hooks/afterEachMigrate__grant.sql", "afterEachMigrate__grant = afterEachMigrate__grant.sql"),
            ("createSchema.sql", "createSchema = createSchema.sql"),
            ("U1__init.sql", "-"),
            ("README.sql", "-"),
            ("V1a__init.sql", "-"),
            ("Vote__init.sql", "-"),
            ("afterthought.sql", "-"),
            ("V1__init.sql.conf", "-"),
            ("sql", "-"),
        ] {
            assert_eq!(of(path), is, "{path}");
        }
    }
}

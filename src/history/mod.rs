//! Migration files and the history in a database, compared by the model of a tool: the same on a host, for the files that would run, and
//! on the client, for those of a working folder. Pure; knows no tool by name.

mod compare;
mod contracts;
pub mod drift;
mod layout;
pub mod ops;
pub mod own;
pub mod remembered;

pub use compare::{Began, Recorded, compare};
pub use contracts::package_digest;
pub use layout::{Known, Leads, comes_again, is_of_app, is_ordered, is_version, known, number, order, runs_along};

/// A file below a model's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Folders of what others wrote, and git's own: a project's migrations are in none of them.
const FOREIGN: [&str; 6] = [".git", ".venv", "venv", "node_modules", "site-packages", "dist-packages"];

/// Whether a path below a model's folder leads through one that holds nothing of the project.
pub fn is_foreign(path: &str) -> bool {
    path.split('/').any(|part| FOREIGN.contains(&part))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;

//! What a host must know of a migration tool to see for itself what is applied: where its files are, how they are named, and what its
//! history says. Data; a closed set of layouts, readings and digests.

use serde::{Deserialize, Serialize};

/// How a tool keeps files and history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Where the files are, in the image, relative to its working folder: the first folder that is there counts.
    pub folders: Vec<String>,
    /// How the files are laid out.
    pub layout: Layout,
    /// What the history records of a file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The table that keeps the history.
    pub history: HistoryTable,
    /// How the rows of the history are meant.
    pub reading: Reading,
    /// What the tool does with one that waits and is older than the newest that is applied.
    pub late: Late,
    /// Where files and history have parted ("edited", "missing", "skipped"): with what of that it goes on by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerates: Vec<String>,
    /// The tool's own way to say of one that began and did not finish that its work is done; `{name}` stands for it.
    pub done: String,
    /// The same to say that nothing of it is left.
    pub undone: String,
    /// A regular expression: where in a file the part begins that takes the migration back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
    /// The tool's own lock, where it is a row of a table: one that was killed may leave it behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockTable>,
}

/// How files are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One file a migration.
    Files {
        /// Over the path below the folder; the group `key` is what the history calls it, `name` (or else the same) what people do. What
        /// has a group `not` is none.
        pattern: String,
        /// The key is made of its digits only.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        digits: bool,
    },
    /// `NUMBER_name.sql`, in the order of their numbers; the history has their names.
    Numbered,
    /// `meta/_journal.json` lists the files, with the moments that are their keys.
    Journal,
    /// Python files that name themselves (`revision`) and what they come after (`down_revision`).
    Revisions,
    /// `APP/migrations/NAME.py` anywhere below the folder.
    Apps,
    /// `V1_2__name.sql`, `R__name.sql`, `B5__name.sql` and what is named like an event, anywhere below the folder.
    Versions,
    /// `SPACE/NAME/migration.json`, which says from which contract to which it leads, and beside it the operations in `ops.json`.
    Contracts,
}

/// Migration files that travel with the plan: the database's own client applies them, not a tool in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Where they were read, relative to the inventory; for people.
    pub folder: String,
    /// Whose SQL they were read as.
    #[serde(default)]
    pub client: Client,
    /// In the order of their names.
    pub files: Vec<CarriedFile>,
}

/// The program that is given the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// PostgreSQL's.
    #[default]
    Psql,
    /// That of MySQL and MariaDB.
    Mysql,
}

/// A file that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedFile {
    /// Its name in the folder.
    pub name: String,
    /// All of it.
    pub text: String,
    /// Whether it is applied in one transaction, together with its row in the history.
    pub transaction: bool,
}

/// A digest of a file's content, as a history records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// SHA-256 in hex.
    Sha256,
    /// SHA-384 in hex.
    Sha384,
    /// CRC-32 over the lines without their ends, as a signed number.
    Crc32Lines,
    /// SHA-256 in hex over what a manifest and its operations say, however they are written.
    Package,
}

/// The table of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryTable {
    /// Its name; with its schema, where the tool always takes the same one.
    pub table: String,
    /// What is selected from `{table}` in PostgreSQL: key, digest, state ("applied", "unfinished", "undone"; "stands" where the key is a
    /// contract, or the version that the history begins behind), when it began, what it said.
    pub postgres: String,
    /// The same in MySQL and MariaDB.
    pub mysql: String,
}

impl HistoryTable {
    /// Whether there is a row of one that began and did not finish, so that nobody has to guess.
    pub fn tells_unfinished(&self) -> bool {
        self.mysql.contains("'unfinished'")
    }
}

/// The table of a tool's own lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTable {
    /// Its name.
    pub table: String,
    /// A condition that holds of its row while the lock is held.
    pub held: String,
    /// The tool's own way to free it.
    pub free: String,
}

/// How the rows of a history are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// A row for each migration that was begun.
    Each,
    /// A row for each, but the tool only looks at the newest: what is older and has no row is never applied.
    Newest,
    /// One row: the newest migration, and all before it are applied.
    Last,
    /// A row for each head: it and all that it comes after are applied.
    Heads,
    /// A row for each that was applied, and one for the contract that the database stands at: the way on from there is what waits.
    Ways,
}

/// What a tool does with a migration that waits and is older than the newest that is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// Applies it.
    Applies,
    /// Passes it over in silence.
    Skips,
    /// Refuses to go on.
    Refuses,
    /// Leaves it aside: no way leads through it.
    Aside,
}

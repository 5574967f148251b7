//! Where a host keeps copies of its database: their names, what is written down of each, which is the newest, which are old. Must not
//! know how a copy is made or brought back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ledger::hex;
use super::state::{State, sync_dir};
use super::survey::free_at;
use crate::facts::DatabaseFacts;
use crate::name::RunId;
use crate::protocol::{Database, Engine};

/// The folder of a project's backups, checked.
#[derive(Debug)]
pub(super) struct Backups {
    dir: PathBuf,
}

/// What is written down of a backup, beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Backup {
    /// The file's name, in the same folder.
    pub file: String,
    /// Whose tables they are.
    pub database: String,
    /// "PostgreSQL 17.2", …
    pub server: String,
    /// What tells the server from others, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Its format follows from it.
    pub engine: Engine,
    /// When it was begun, RFC 3339.
    pub taken: String,
    /// By which run.
    pub run: RunId,
    /// The file's length.
    pub bytes: u64,
    /// The file's SHA-256, in hex.
    pub sha256: String,
    /// How many tables are in it.
    pub tables: u64,
    /// Only who has the private key can read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
}

impl Backup {
    /// Since when it is there.
    fn taken(&self) -> SystemTime {
        humantime::parse_rfc3339(&self.taken).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Whether it is one of this database.
    fn is_of(&self, facts: &DatabaseFacts) -> bool {
        self.database == facts.name && (self.identity.is_none() || facts.identity.is_none() || self.identity == facts.identity)
    }
}

impl Backups {
    /// Opens the folder, and makes it where it is missing. Others may not even look into it.
    pub(super) fn open(state: &State, database: &Database) -> io::Result<Self> {
        let backups = Self::look(state.root(), database);
        if !backups.dir.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(&backups.dir)?;
        }
        let metadata = fs::symlink_metadata(&backups.dir)?;
        let refuse =
            |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", backups.dir.display())));
        if !metadata.is_dir() {
            return refuse("it is not a folder");
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user");
        }
        if metadata.mode() & 0o077 != 0 {
            return refuse("others may look into it: chmod 700");
        }
        Ok(backups)
    }

    /// The folder as it is, to look for what is there; below one that may be missing, for where nothing ever ran there is none.
    pub(super) fn look(root: &Path, database: &Database) -> Self {
        Self { dir: database.backups.as_ref().map_or_else(|| root.join("backups"), PathBuf::from) }
    }

    /// Free bytes for this user.
    pub(super) fn room(&self) -> u64 {
        free_at(&self.dir)
    }

    /// Where a file of it is.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// A new file that nobody else may read; one that a run before left half done is no obstacle.
    pub(super) fn create(&self, file: &str) -> io::Result<File> {
        let path = self.path(file);
        let _ = fs::remove_file(&path);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Writes down what a backup is. From then on it counts.
    pub(super) fn keep(&self, backup: &Backup) -> io::Result<()> {
        File::open(self.path(&backup.file))?.sync_all()?;
        let (name, part) = (format!("{}.json", backup.file), format!("{}.json.part", backup.file));
        let mut file = self.create(&part)?;
        file.write_all(serde_json::to_string_pretty(backup)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(self.path(&part), self.path(&name))?;
        sync_dir(&self.dir);
        Ok(())
    }

    /// All that count, newest first. A file that has another length than was written down is none.
    pub(super) fn all(&self) -> Vec<Backup> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let manifests = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".json"));
        let mut all: Vec<Backup> = manifests
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .filter(|backup| self.is_whole(backup))
            .collect();
        all.sort_by_key(|backup| std::cmp::Reverse(backup.taken()));
        all
    }

    fn is_whole(&self, backup: &Backup) -> bool {
        let plain = !backup.file.contains('/');
        plain && fs::symlink_metadata(self.path(&backup.file)).is_ok_and(|file| file.is_file() && file.len() == backup.bytes)
    }

    /// The newest of a database.
    pub(super) fn newest(&self, of: &DatabaseFacts) -> Option<Backup> {
        self.all().into_iter().find(|backup| backup.is_of(of))
    }

    /// Why there is no backup of a database that is young enough; none when there is one.
    pub(super) fn too_old(&self, of: &DatabaseFacts, within: Duration) -> Option<String> {
        let limit = humantime::format_duration(within);
        let Some(newest) = self.newest(of) else {
            return Some(format!(
                "there is no backup of {} in {}; one of the last {limit} is required",
                of.name,
                self.dir.display()
            ));
        };
        let age = newest.taken().elapsed().unwrap_or_default();
        (age > within).then(|| {
            let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
            format!("the newest backup of {} is {age} old; one of the last {limit} is required", of.name)
        })
    }

    /// Removes old backups of a database: what is beyond `keep` in number, and what is older than `keep_for`; never the newest. Gives how
    /// many went.
    pub(super) fn prune(&self, of: &DatabaseFacts, keep: Option<u32>, keep_for: Option<Duration>) -> usize {
        let old = |index: usize, backup: &Backup| {
            let many = keep.is_some_and(|keep| index >= keep as usize);
            many || keep_for.is_some_and(|limit| backup.taken().elapsed().is_ok_and(|age| age > limit))
        };
        let own = self.all().into_iter().filter(|backup| backup.is_of(of)).enumerate();
        let gone = own.filter(|(index, backup)| *index > 0 && old(*index, backup)).map(|(_, backup)| backup);
        gone.filter(|backup| {
            // First the word that it counts, so that a half removed one does not.
            fs::remove_file(self.path(&format!("{}.json", backup.file))).is_ok()
                && fs::remove_file(self.path(&backup.file)).is_ok()
        })
        .count()
    }
}

/// What one reading of a whole file tells.
#[derive(Debug)]
pub(super) struct Content {
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// How many lines begin as the definition of a table does in a dump of text.
    pub tables: u64,
    /// Its last bytes.
    pub tail: Vec<u8>,
}

/// Reads a whole file.
pub(super) fn read_back(path: &Path) -> io::Result<Content> {
    const MARK: &[u8] = b"CREATE TABLE ";
    const TAIL: usize = 256;
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut length, mut tables, mut tail) = (0, 0, Vec::new());
    let mut buffer = vec![0; 1 << 20];
    // What was read of the line that is not over yet, as far as the mark goes.
    let mut line: Option<Vec<u8>> = Some(Vec::new());
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Content { bytes: length, sha256: hex(&hash.finalize()), tables, tail });
        }
        let bytes = &buffer[..read];
        length += read as u64;
        hash.update(bytes);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(begun) = &mut line {
                begun.extend_from_slice(&part[..part.len().min(MARK.len() - begun.len())]);
                if begun.len() >= MARK.len() {
                    tables += u64::from(begun == MARK);
                    line = None;
                }
            }
            if part.ends_with(b"\n") {
                line = Some(Vec::new());
            }
        }
        tail.extend_from_slice(&bytes[read.saturating_sub(TAIL)..]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn backups() -> (tempfile::TempDir, Backups) {
        let temp = tempfile::tempdir().expect("folder");
        let database = serde_json::json!({ "way": { "service": "postgres" }, "backups": temp.path().join("kept") });
        let database: Database = serde_json::from_value(database).expect("database");
        let backups = Backups::open(&State::at(temp.path()), &database).expect("backups");
        (temp, backups)
    }

    fn facts() -> DatabaseFacts {
        let (server, name, user) = ("PostgreSQL 17.2".into(), "shop".into(), "shop".into());
        DatabaseFacts { server, name, user, identity: Some("a".into()), pooled: false }
    }

    fn put(backups: &Backups, id: u8, hours: u64) -> Backup {
        let taken = humantime::format_rfc3339_seconds(SystemTime::now() - Duration::from_secs(hours * 3600)).to_string();
        let file = format!("shop-{id}.dump");
        backups.create(&file).expect("file").write_all(b"data").expect("write");
        let backup = Backup {
            file,
            database: "shop".into(),
            server: "PostgreSQL 17.2".into(),
            identity: Some("a".into()),
            engine: Engine::Postgres,
            taken,
            run: RunId::from_random([id; 6]),
            bytes: 4,
            sha256: String::new(),
            tables: 1,
            encrypted: false,
        };
        backups.keep(&backup).expect("keep");
        backup
    }

    #[test]
    fn the_newest_whole_one_counts() {
        let (_temp, backups) = backups();
        assert!(backups.too_old(&facts(), Duration::from_hours(24)).expect("none").starts_with("there is no backup of shop in "));
        put(&backups, 1, 30);
        let old = backups.too_old(&facts(), Duration::from_hours(24)).expect("old");
        assert!(old.starts_with("the newest backup of shop is 1day 6h"), "{old}");
        let young = put(&backups, 2, 2);
        assert_eq!(backups.newest(&facts()), Some(young.clone()));
        assert_eq!(backups.too_old(&facts(), Duration::from_hours(24)), None);
        let other = DatabaseFacts { identity: Some("b".into()), ..facts() };
        assert!(backups.too_old(&other, Duration::from_hours(24)).is_some(), "another server's database of the same name");
        fs::write(backups.path(&young.file), "cut").expect("write");
        assert!(backups.too_old(&facts(), Duration::from_hours(24)).is_some());
        let mode = fs::metadata(backups.path("shop-1.dump")).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn old_ones_go_and_the_newest_stays() {
        let (_temp, backups) = backups();
        for (id, hours) in [(1, 100), (2, 50), (3, 40), (4, 30)] {
            put(&backups, id, hours);
        }
        assert_eq!(backups.prune(&facts(), Some(3), None), 1);
        assert_eq!(backups.prune(&facts(), None, Some(Duration::from_hours(45))), 1);
        assert_eq!(backups.prune(&facts(), Some(0), Some(Duration::ZERO)), 1);
        let left: Vec<_> = fs::read_dir(&backups.dir).expect("list").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!((backups.all().len(), left.len()), (1, 2), "{left:?}");
    }

    #[test]
    fn a_folder_that_others_may_look_into_is_refused() {
        let (temp, backups) = backups();
        fs::set_permissions(&backups.dir, fs::Permissions::from_mode(0o750)).expect("mode");
        let database = serde_json::json!({ "way": { "service": "postgres" }, "backups": backups.dir });
        let error = Backups::open(&State::at(temp.path()), &serde_json::from_value(database).expect("database"));
        assert!(error.expect_err("open").to_string().ends_with("chmod 700"));
    }

    #[test]
    fn a_file_is_read_back_in_one_go() {
        let temp = tempfile::tempdir().expect("folder");
        let path = temp.path().join("dump");
        let text = format!("CREATE TABLE a\n{}\nCREATE TABLE b\nxCREATE TABLE c\nCREA", "x".repeat(3 << 20));
        fs::write(&path, &text).expect("write");
        let content = read_back(&path).expect("read");
        assert_eq!((content.bytes, content.tables), (text.len() as u64, 2));
        assert_eq!(content.sha256, hex(&Sha256::digest(text.as_bytes())));
        assert!(content.tail.ends_with(b"\nCREA") && content.tail.len() == 256);
    }
}

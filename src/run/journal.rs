//! What the client writes down of its runs before the first byte is sent: whatever happens then, their ids are known here. No secret
//! of a host ever gets here; the driver's token is for this client's eyes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::copies;
use crate::name::{HostName, RunId};

/// One run of this client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The run.
    pub run: RunId,
    /// When it was written, RFC 3339.
    pub when: String,
    /// The inventory's file.
    pub config: PathBuf,
    /// The project.
    pub project: String,
    /// The playbook's name.
    pub playbook: String,
    /// The hosts, the home first.
    pub hosts: Vec<HostName>,
    /// Proves to the hosts that this client drives the run.
    pub driver: String,
    /// Hosts that have said that the run is theirs: there it is never begun again.
    #[serde(default)]
    pub acknowledged: Vec<HostName>,
}

/// The folder of the journal.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// Opens the journal in the user's state folder, private to the user.
    pub fn open() -> io::Result<Self> {
        Self::at(&copies::state_folder("journal")?)
    }

    /// Opens it elsewhere.
    pub fn at(dir: &Path) -> io::Result<Self> {
        copies::make_private(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Writes an entry, whole, and brings it to the disk.
    pub fn write(&self, entry: &Entry) -> io::Result<()> {
        let path = self.dir.join(format!("{}.json", entry.run));
        let draft = path.with_extension("draft");
        let mut options = fs::OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create(true).truncate(true).open(&draft)?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// All entries, newest first; what cannot be read is passed over.
    pub fn entries(&self) -> Vec<Entry> {
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let read = |path: PathBuf| serde_json::from_slice::<Entry>(&fs::read(path).ok()?).ok();
        let json = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        let mut entries: Vec<Entry> = json.filter_map(read).collect();
        entries.sort_by(|a, b| b.when.cmp(&a.when));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_newest_first() {
        let temp = tempfile::tempdir().expect("folder");
        let journal = Journal::at(&temp.path().join("a/b")).expect("journal");
        for (byte, when) in [(1, "2026-01-01T00:00:00Z"), (2, "2026-01-02T00:00:00Z")] {
            let entry = Entry {
                run: RunId::from_random([byte; 6]),
                when: when.into(),
                config: "landfall.toml".into(),
                project: "etally".into(),
                playbook: "release".into(),
                hosts: vec![],
                driver: "t".into(),
                acknowledged: vec![],
            };
            journal.write(&entry).expect("write");
        }
        fs::write(temp.path().join("a/b/x.json"), "{").expect("garbage");
        let runs: Vec<_> = journal.entries().into_iter().map(|entry| entry.run).collect();
        assert_eq!(runs, [RunId::from_random([2; 6]), RunId::from_random([1; 6])]);
    }
}

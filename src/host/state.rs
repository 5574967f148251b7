//! Where a host keeps what must outlive everything: run folders, locks, ledger; who may own them; and how they reach the disk.
//!
//! ```text
//! ROOT/runs/RUN/   submission.json  log  owner@  effects@  verdict@  cancel@  heeded@  cancel.again@  driver.N@  approved  answer.N  rc@  settled@
//! ROOT/locks/      project.N@
//! ROOT/ledger/     KEY.RUN.begun  KEY.RUN.ended@
//! ```
//!
//! What is marked `@` is a symbolic link whose target is the value: making one is atomic and exclusive, and needs no data block,
//! so it works on a full disk too. Nothing is ever released, so nothing can be left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::facts::Refusal;
use crate::name::RunId;
use crate::protocol::{StateDir, Submission};

/// The state folder of a project, checked.
#[derive(Debug, Clone)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// Opens the folder, and makes it where the user may.
    pub(super) fn open(dir: &StateDir) -> Result<Self, Refusal> {
        let shared = Path::new(&dir.path);
        if !shared.is_absolute() {
            return Err(Refusal::unfit(
                format!("state folder {} is not absolute", dir.path),
                "give `state_dir` an absolute path",
            ));
        }
        let root = match ensure(shared, true) {
            Ok(()) => shared.to_owned(),
            Err(_) if dir.private => {
                let own = private_root(shared);
                ensure(&own, true).map_err(|error| unusable(&own, &error))?;
                own
            }
            Err(error) => return Err(unusable(shared, &error)),
        };
        let state = Self { root };
        for part in ["runs", "locks", "ledger"] {
            ensure(&state.root.join(part), false).map_err(|error| unusable(&state.root, &error))?;
        }
        Ok(state)
    }

    /// Opens the folder to look at it; none when it was never made. One that may not be read is refused: it is not empty.
    pub(super) fn look(dir: &StateDir) -> Result<Option<Self>, Refusal> {
        let shared = PathBuf::from(&dir.path);
        let own = private_root(&shared);
        for root in [Some(shared), dir.private.then_some(own)].into_iter().flatten() {
            match fs::read_dir(root.join("runs")) {
                Ok(_) => {
                    check_owner(&root, true, false).map_err(|error| unusable(&root, &error))?;
                    return Ok(Some(Self { root }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound || dir.private => {}
                Err(error) => return Err(unusable(&root, &error)),
            }
        }
        Ok(None)
    }

    /// A folder that was opened before, by its path.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the lock generations.
    pub(super) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The folder of the ledger.
    pub(super) fn ledger(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The folder of a run, whether it exists or not.
    pub(super) fn run(&self, run: &RunId) -> RunDir {
        RunDir { path: self.root.join("runs").join(run.as_str()), run: run.clone() }
    }

    /// All runs, in no order.
    pub(super) fn runs(&self) -> Vec<RunDir> {
        let names = fs::read_dir(self.root.join("runs")).into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(|run| self.run(&run)).collect()
    }
}

fn private_root(shared: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from);
    home.join(".local/state/landfall").join(shared.file_name().unwrap_or_default())
}

fn unusable(path: &Path, error: &io::Error) -> Refusal {
    let path = path.display();
    Refusal::unfit(
        format!("the state folder {path} cannot be used: {error}"),
        format!(
            "as root on the host: install -d -m 3770 -o root -g docker {path}; or set `[state] private = true`, which locks out only yourself"
        ),
    )
}

fn ensure(dir: &Path, top: bool) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Ok(_) => check_owner(dir, top, true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Others must be able to pass through the folders above: a shared one may be put beside this one later.
            if let Some(above) = dir.parent().filter(|above| top && !above.exists()) {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(above)?;
                fs::set_permissions(above, fs::Permissions::from_mode(0o755))?;
            }
            make_dir(dir)?;
            sync_dir(dir.parent().unwrap_or(dir));
            check_owner(dir, top, true)
        }
        Err(error) => Err(error),
    }
}

/// Makes a folder: shared with the group where the one above is (its setgid bit comes down), private otherwise. The umask, which is
/// the login's and meant for what its steps make, has no say.
fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        // Another connection made it in the same moment; what it is, is checked like one that was there.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    // Sticky: what a member of the group has put there, no other can take away or put something else in its place.
    let mode = if is_shared(dir) { 0o3770 } else { 0o700 };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

/// Makes a file to append to, never through a link and never one that is there already: with the mode `shared` in a shared folder, private otherwise.
pub(super) fn make_file(path: &Path, shared: u32) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    if path.parent().is_some_and(is_shared) {
        file.set_permissions(fs::Permissions::from_mode(shared))?;
    }
    Ok(file)
}

fn is_shared(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o2000 != 0)
}

/// Refuses what another user could have put there or could change; and, to write to it, what cannot be written to.
fn check_owner(dir: &Path, top: bool, write: bool) -> io::Result<()> {
    let metadata = fs::symlink_metadata(dir)?;
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    let me = rustix::process::geteuid().as_raw();
    let shared = metadata.mode() & 0o2020 == 0o2020;
    if metadata.is_symlink() {
        refuse("it is a symbolic link")
    } else if !metadata.is_dir() {
        refuse("it is not a folder")
    } else if metadata.uid() != me && metadata.uid() != 0 && (top || !shared) {
        refuse("it belongs to another user")
    } else if metadata.mode() & 0o002 != 0 {
        refuse("everybody may write to it")
    } else if metadata.mode() & 0o020 != 0 && metadata.mode() & 0o2000 == 0 {
        refuse("its group may write to it, but it is not setgid")
    } else {
        let look = rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
        Ok(rustix::fs::access(dir, if write { look | rustix::fs::Access::WRITE_OK } else { look })?)
    }
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub(super) struct RunDir {
    /// Where it is.
    pub path: PathBuf,
    /// Which run.
    pub run: RunId,
}

impl RunDir {
    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The log.
    pub(super) fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// Whether the submission was put down.
    pub(super) fn is_put_down(&self) -> bool {
        self.file("submission.json").exists()
    }

    /// Puts the submission down, whole or not at all. Idempotent.
    pub(super) fn write_submission(&self, text: &str) -> io::Result<()> {
        match make_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if self.is_put_down() {
            return Ok(());
        }
        self.write_exclusive("submission.json", text.as_bytes()).map(drop)
    }

    /// Reads the submission back.
    pub(super) fn submission(&self) -> io::Result<Submission> {
        // In a shared folder others could have put a link there, to have us show a file of ours.
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(no_link).open(self.file("submission.json"))?;
        Ok(serde_json::from_reader(io::BufReader::new(file))?)
    }

    /// Puts another text in the place of the submission, for its run alone. No reader ever sees half of it.
    pub(super) fn replace_submission(&self, text: &str) -> io::Result<()> {
        let draft = self.file(".submission.json.new");
        let _ = fs::remove_file(&draft);
        let mut file = make_file(&draft, 0o660)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, self.file("submission.json"))
    }

    /// Makes a file that no reader ever sees half written. False when it was there already: the first one stays.
    pub(super) fn write_exclusive(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        // A name of this writer alone: two threads that wrote to one draft could link what the other has not finished.
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = self.file(&format!(".{name}.{}.{number}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut file = make_file(&draft, 0o660)?;
        let written = file.write_all(bytes).and_then(|()| fs::hard_link(&draft, self.file(name)));
        let _ = fs::remove_file(&draft);
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records a value once and for ever. False when there is one already.
    pub(super) fn mark(&self, name: &str, value: &str) -> io::Result<bool> {
        mark(&self.file(name), value)
    }

    /// Reads a recorded value.
    pub(super) fn marked(&self, name: &str) -> Option<String> {
        read_mark(&self.file(name))
    }

    /// Puts by what the last mark will need: where no file can be made any more, the code of the run is recorded all the same.
    pub(super) fn reserve(&self) {
        let _ = self.mark("reserve", "-");
    }

    /// Records exit code and status.
    pub(super) fn conclude(&self, code: u8, status: &str) {
        let rc = format!("{code} {status}");
        let recorded = self.mark("rc", &rc);
        let _ = fs::remove_file(self.file("reserve"));
        if recorded.is_err() {
            let _ = self.mark("rc", &rc);
        }
        self.sync();
    }

    /// Exit code and status of an ended run.
    pub(super) fn rc(&self) -> Option<(u8, String)> {
        let rc = self.marked("rc")?;
        let (code, status) = rc.split_once(' ')?;
        Some((code.parse().ok()?, status.to_owned()))
    }

    /// Brings all of it to the disk but the log, which has its own pace. Done before anything that may not happen twice, and not
    /// before that: what is lost with the power until then was not begun.
    pub(super) fn sync(&self) {
        for name in ["submission.json", "settled.note"] {
            if let Ok(file) = File::open(self.file(name)) {
                let _ = file.sync_all();
            }
        }
        sync_dir(&self.path);
        sync_dir(self.path.parent().unwrap_or(&self.path));
    }
}

/// Makes a symbolic link that holds a value. False when the name is taken.
pub(super) fn mark(path: &Path, value: &str) -> io::Result<bool> {
    match symlink(value, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the value of such a link.
pub(super) fn read_mark(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.into_os_string().into_string().ok()
}

/// Flushes a folder's entries to the disk. A file system that cannot is no reason to stop.
pub(super) fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(dir: &Path) -> Result<State, Refusal> {
        State::open(&StateDir { path: dir.join("etally").display().to_string(), private: false })
    }

    #[test]
    fn a_new_folder_is_private() {
        let temp = tempfile::tempdir().expect("folder");
        let state = state(temp.path()).expect("state");
        assert_eq!(fs::metadata(state.root()).expect("metadata").mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_folder_that_others_could_change_is_refused() {
        let temp = tempfile::tempdir().expect("folder");
        for mode in [0o777, 0o770] {
            let root = temp.path().join("etally");
            let _ = fs::create_dir(&root);
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).expect("mode");
            let refusal = state(temp.path()).expect_err("refused");
            assert_eq!(refusal.code, 7);
            assert!(refusal.remedy.is_some_and(|remedy| remedy.contains("install -d -m 3770")), "{mode:o}");
        }
        let link = temp.path().join("link");
        symlink(temp.path(), &link).expect("link");
        assert!(ensure(&link, true).is_err());
    }

    #[test]
    fn marks_and_files_are_taken_once() {
        let temp = tempfile::tempdir().expect("folder");
        let run = state(temp.path()).expect("state").run(&RunId::from_random([1; 6]));
        run.write_submission("{}").expect("submission");
        assert!(run.mark("rc", "0 ok").expect("mark"));
        assert!(!run.mark("rc", "1 failed").expect("mark"));
        assert_eq!(run.rc(), Some((0, "ok".to_owned())));
        assert!(run.write_exclusive("answer.1", b"a").expect("write"));
        assert!(!run.write_exclusive("answer.1", b"b").expect("write"));
        assert_eq!(fs::read(run.file("answer.1")).expect("read"), b"a");
        assert_eq!(fs::read_dir(&run.path).expect("list").count(), 3, "no draft is left");
    }
}

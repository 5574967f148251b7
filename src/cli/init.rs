//! `landfall init`: the files to begin with. Writes only what is not there, and never through a link.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::{Context, Failure, exit};
use crate::playbook::{INVENTORY, PLAYBOOKS};
use crate::report::Tone;

pub(super) fn run(context: &Context, _args: &InitArgs) -> Result<u8, Failure> {
    let inventory = context.config.clone().unwrap_or_else(|| PathBuf::from("landfall.toml"));
    let done = write_all(&inventory)?;
    for (path, written) in &done {
        let (word, tone) = if *written { ("wrote", Tone::Good) } else { ("kept", Tone::Faint) };
        let why = if *written { "" } else { " (it was there before)" };
        super::say(&format!("{} {}{why}", context.paint().paint(tone, format!("{word:>7}")), path.display()));
    }
    if done.iter().all(|(_, written)| !written) {
        return Err(Failure::usage("all files are there already; nothing was written"));
    }
    super::say(&format!("Now say in {} which hosts there are; then: {} check", inventory.display(), context.display.program));
    Ok(exit::DONE)
}

/// Writes the files that are missing, and tells of each whether it was written.
fn write_all(inventory: &Path) -> Result<Vec<(PathBuf, bool)>, Failure> {
    let folder = inventory.with_file_name("playbooks");
    let playbooks = PLAYBOOKS.iter().map(|(name, text)| (folder.join(name), *text));
    let files = [(inventory.to_owned(), INVENTORY)].into_iter().chain(playbooks);
    files
        .map(|(path, text)| match write_new(&path, text) {
            Ok(written) => Ok((path, written)),
            Err(error) => Err(Failure::usage(format!("failed to write {}: {error}", path.display()))),
        })
        .collect()
}

/// Writes a file that is not there yet; false where something of that name is.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("playbooks")).unwrap();
        fs::write(at("playbooks/seed.toml"), "mine").unwrap();
        std::os::unix::fs::symlink("elsewhere", at("playbooks/validate.toml")).unwrap();
        let done = write_all(&at("landfall.toml")).unwrap();
        assert_eq!(done.iter().map(|(_, written)| *written).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(fs::read_to_string(at("landfall.toml")).unwrap(), INVENTORY);
        assert_eq!(fs::read_to_string(at("playbooks/seed.toml")).unwrap(), "mine");
        assert!(!at("playbooks/elsewhere").exists());
        assert!(write_all(&at("landfall.toml")).unwrap().iter().all(|(_, written)| !written));
    }

    #[test]
    fn a_fresh_project_passes_its_check() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = dir.path().join("landfall.toml");
        write_all(&inventory).unwrap();
        let checked = crate::playbook::check(&inventory, &[], &crate::playbook::Options::default()).unwrap();
        assert_eq!(checked.len(), 4);
    }
}

//! Finds and reads the declared files. Must not know what is in them.

use super::SourceError;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Nothing that large is a secret, and its needles would take the host program's memory.
pub(super) const LARGEST: u64 = 128 * 1024;

/// The files that a declared path or pattern stands for, relative to `base` if declared so. At least one.
pub(super) fn find(base: &Path, declared: &str) -> Result<BTreeSet<PathBuf>, SourceError> {
    if !is_pattern(declared) || fs::metadata(base.join(declared)).is_ok() {
        return Ok(BTreeSet::from([PathBuf::from(declared)]));
    }
    let mut found = BTreeSet::from([PathBuf::new()]);
    for component in Path::new(declared).components() {
        found = match component {
            Component::Normal(name) if is_pattern(&name.to_string_lossy()) => expand(base, &found, &name.to_string_lossy())?,
            other => found.iter().map(|folder| folder.join(other)).collect(),
        };
    }
    found.retain(|path| fs::symlink_metadata(base.join(path)).is_ok() && !base.join(path).is_dir());
    if found.is_empty() {
        return Err(SourceError::NoMatch { pattern: declared.to_owned() });
    }
    Ok(found)
}

/// The entries of the folders that match. A folder that cannot be listed may hold secrets, so it is an error.
fn expand(base: &Path, folders: &BTreeSet<PathBuf>, pattern: &str) -> Result<BTreeSet<PathBuf>, SourceError> {
    let mut found = BTreeSet::new();
    for folder in folders {
        let unreadable = |source| SourceError::Unreadable { path: folder.clone(), source };
        let entries = match fs::read_dir(base.join(folder).join(".")) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            entries => entries.map_err(unreadable)?,
        };
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            if matches_entry(pattern, &name) {
                found.insert(folder.join(name));
            }
        }
    }
    Ok(found)
}

/// As in a shell, a leading dot must be written out.
fn matches_entry(pattern: &str, name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    (!name.starts_with('.') || pattern.starts_with('.')) && matches(pattern, &name)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether `name` matches: `*` stands for any text, `?` for one character. Only the last `*` is ever tried again, so it cannot
/// blow up.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut retry = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                at = after;
                seen = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

/// Reads a whole file. A pipe or device is refused before it can block.
pub(super) fn read(base: &Path, path: &Path) -> Result<Vec<u8>, SourceError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { path: path.to_owned() },
        _ => SourceError::Unreadable { path: path.to_owned(), source },
    };
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(base.join(path)).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(SourceError::NotAFile { path: path.to_owned() });
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > LARGEST {
        return Err(SourceError::TooLarge { path: path.to_owned(), limit: LARGEST });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.bak", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxaxb", true),
            ("NEXT_PUBLIC_*", "NEXT_PUBLIC_URL", true),
            ("APP_ENV", "APP_ENV", true),
            ("APP_ENV", "APP_ENVS", false),
            ("*", "", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(5000).replace("aaaaa", "aaaab")));
    }
}

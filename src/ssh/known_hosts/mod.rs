//! Which keys a host is known by: the reader and the writer of `known_hosts` files.
//!
//! Owns the format and the verdict on a key. Must not know connections, prompts or the inventory. It fails closed: a key
//! marked `@revoked` loses against any other line, a host known by another key is [`Verdict::Changed`] whatever the type of
//! that key, a line that cannot be read counts for nothing (and only that line), and a file that exists but cannot be read is
//! an error. `@cert-authority` lines are recognised and never taken for host keys.

mod pattern;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::host_key::HostKey;
pub use write::{Names, add, replace};

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line's number.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What the files say about a key that a host presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The host is known by this very key.
    Known(Place),
    /// The key is marked `@revoked` for the host.
    Revoked(Place),
    /// The host is known, but by another key; the first line that says so.
    Changed(Place),
    /// The host is only covered by an `@cert-authority` line, and host certificates are not supported.
    OnlyAuthority(Place),
    /// No line names the host.
    Unknown,
}

/// Says which file could not be read, or written.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}", file = .file.display())]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    pub(super) fn new(file: &Path, source: io::Error) -> Self {
        Self {
            file: file.to_owned(),
            source,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    marker: Marker,
    names: String,
    key: HostKey,
}

/// The readable lines of several files, in order.
#[derive(Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

impl KnownHosts {
    /// Reads the files in order. One that does not exist is empty; one that cannot be read is an error.
    pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Self, FileError> {
        let mut all = Self::default();
        for file in files {
            let file = file.as_ref();
            match std::fs::read(file) {
                Ok(bytes) => all.parse(file, &bytes),
                Err(e)
                    if e.kind() == io::ErrorKind::NotFound
                        || e.kind() == io::ErrorKind::NotADirectory => {}
                Err(e) => return Err(FileError::new(file, e)),
            }
        }
        Ok(all)
    }

    fn parse(&mut self, file: &Path, bytes: &[u8]) {
        for (index, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let Some((marker, names, key)) = std::str::from_utf8(line).ok().and_then(parse_line)
            else {
                continue;
            };
            let place = Place {
                file: file.to_owned(),
                line: index + 1,
            };
            self.entries.push(Entry {
                place,
                marker,
                names: names.to_owned(),
                key,
            });
        }
    }

    /// Judges the key that `host` presented on `port`.
    pub fn judge(&self, host: &str, port: u16, key: &HostKey) -> Verdict {
        let name = pattern::lookup_name(host, port);
        let bare = pattern::lookup_name(host, 22);
        // The bare name of a host on another port counts only to revoke and to recognise, as with OpenSSH.
        let of_name = |e: &&Entry| pattern::covers(&e.names, &name);
        let of_bare = |e: &&Entry| pattern::covers(&e.names, &bare);
        let plain = |e: &&Entry| e.marker == Marker::None;
        let found = |e: &Entry| e.place.clone();

        let revoked = |e: &&Entry| e.marker == Marker::Revoked && e.key == *key;
        if let Some(e) = self
            .entries
            .iter()
            .filter(revoked)
            .find(|e| of_name(e) || of_bare(e))
        {
            return Verdict::Revoked(found(e));
        }
        if let Some(e) = self
            .entries
            .iter()
            .filter(plain)
            .filter(of_name)
            .find(|e| e.key == *key)
        {
            return Verdict::Known(found(e));
        }
        if let Some(e) = self.entries.iter().filter(plain).find(of_name) {
            return Verdict::Changed(found(e));
        }
        if let Some(e) = self
            .entries
            .iter()
            .filter(plain)
            .filter(of_bare)
            .find(|e| e.key == *key)
        {
            return Verdict::Known(found(e));
        }
        match self
            .entries
            .iter()
            .find(|e| e.marker == Marker::CertAuthority && of_name(e))
        {
            Some(e) => Verdict::OnlyAuthority(found(e)),
            None => Verdict::Unknown,
        }
    }

    /// Says whether the key is marked `@revoked` for the host, and where. Pins do not undo that.
    pub fn revoked(&self, host: &str, port: u16, key: &HostKey) -> Option<Place> {
        match self.judge(host, port, key) {
            Verdict::Revoked(place) => Some(place),
            _ => None,
        }
    }

    /// Returns the keys that the host is known by, in the order of the files.
    pub fn keys(&self, host: &str, port: u16) -> Vec<&HostKey> {
        let of = |name: String| -> Vec<&HostKey> {
            let plain = self.entries.iter().filter(|e| e.marker == Marker::None);
            plain
                .filter(|e| pattern::covers(&e.names, &name))
                .map(|e| &e.key)
                .collect()
        };
        let keys = of(pattern::lookup_name(host, port));
        if keys.is_empty() && port != 22 {
            of(pattern::lookup_name(host, 22))
        } else {
            keys
        }
    }

    /// Returns the places of the lines that name the host exactly as `ssh-keygen -F` finds them: for tests and for `doctor`.
    pub fn places(&self, host: &str, port: u16) -> Vec<&Place> {
        let name = pattern::lookup_name(host, port);
        self.entries
            .iter()
            .filter(|e| pattern::covers(&e.names, &name))
            .map(|e| &e.place)
            .collect()
    }
}

/// Splits off the first field; fields are parted by blanks and tabs.
fn field(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    if text.is_empty() {
        return None;
    }
    Some(text.split_at(text.find([' ', '\t']).unwrap_or(text.len())))
}

fn parse_line(line: &str) -> Option<(Marker, &str, HostKey)> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (mut first, mut rest) = field(line)?;
    if first.starts_with('#') {
        return None;
    }
    let marker = match first {
        "@cert-authority" => Marker::CertAuthority,
        "@revoked" => Marker::Revoked,
        other if other.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        (first, rest) = field(rest)?;
    }
    Some((marker, first, HostKey::parse(rest).ok()?))
}

#[cfg(test)]
mod tests;

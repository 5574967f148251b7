//! Adds and replaces a host's keys in a `known_hosts` file.
//!
//! Writers exclude each other by a lock on the file, append with one write, and reach the disk before they return.
//! Replacing goes through a new file and a rename, so that a reader never sees half a file. Lines with patterns, markers or
//! other hosts stay as they are.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::super::host_key::HostKey;
use super::{FileError, Marker, parse_line, pattern};

/// How a host's name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As it is: for a file that people read and commit.
    Plain,
    /// Hashed, as `HashKnownHosts yes` of OpenSSH asks.
    Hashed,
}

/// Appends the keys of a host that the file does not hold yet. Makes the file (0600) and its folders (0700) where they are missing.
pub fn add(
    file: &Path,
    host: &str,
    port: u16,
    keys: &[HostKey],
    names: Names,
) -> Result<(), FileError> {
    (|| {
        let mut locked = lock(file)?;
        let mut text = Vec::new();
        locked.read_to_end(&mut text)?;
        let new: Vec<&HostKey> = keys
            .iter()
            .filter(|key| !holds(&text, host, port, key))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        if text.last().is_some_and(|&b| b != b'\n') {
            lines.push('\n');
        }
        for key in new {
            lines.push_str(&line(host, port, key, names)?);
        }
        locked.write_all(lines.as_bytes())?;
        locked.sync_all()
    })()
    .map_err(|e| FileError::new(file, e))
}

/// Replaces all keys of a host by the given ones. A line that names other hosts too keeps them; patterns and marked lines stay.
pub fn replace(
    file: &Path,
    host: &str,
    port: u16,
    keys: &[HostKey],
    names: Names,
) -> Result<(), FileError> {
    (|| {
        let mut locked = lock(file)?;
        let mut text = Vec::new();
        locked.read_to_end(&mut text)?;
        let mut new = without(&text, &pattern::lookup_name(host, port));
        if new.last().is_some_and(|&b| b != b'\n') {
            new.push(b'\n');
        }
        for key in keys {
            new.extend_from_slice(line(host, port, key, names)?.as_bytes());
        }
        let real = std::fs::canonicalize(file)?;
        let temporary = real.with_extension(format!("landfall-{}", std::process::id()));
        let mode = locked.metadata()?.permissions().mode() & 0o777;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .and_then(|mut f| {
                f.write_all(&new)?;
                f.sync_all()?;
                std::fs::rename(&temporary, &real)
            });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written?;
        real.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    })()
    .map_err(|e| FileError::new(file, e))
}

/// Opens the file with an exclusive lock; once more when it was replaced while we waited for it.
fn lock(file: &Path) -> io::Result<File> {
    if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?;
        opened.lock()?;
        let (ours, now) = (opened.metadata()?, std::fs::metadata(file));
        if now.is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
            return Ok(opened);
        }
    }
}

fn holds(text: &[u8], host: &str, port: u16, key: &HostKey) -> bool {
    let name = pattern::lookup_name(host, port);
    let lines = text
        .split(|&b| b == b'\n')
        .filter_map(|l| parse_line(std::str::from_utf8(l).ok()?));
    lines.into_iter().any(|(marker, names, k)| {
        marker == Marker::None && k == *key && pattern::covers(names, &name)
    })
}

fn line(host: &str, port: u16, key: &HostKey, names: Names) -> io::Result<String> {
    let name = pattern::lookup_name(host, port);
    if name.contains([' ', '\t', '\n', ',', '*', '?', '!', '|', '#', '@']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} cannot stand in a known_hosts file"),
        ));
    }
    let name = match names {
        Names::Plain => name,
        Names::Hashed => {
            let mut salt = [0; 20];
            getrandom::fill(&mut salt).map_err(io::Error::other)?;
            pattern::hashed(&name, &salt).ok_or_else(|| io::Error::other("hashing failed"))?
        }
    };
    Ok(format!("{name} {key}\n"))
}

/// Returns the text without the plain lines of exactly this name.
fn without(text: &[u8], name: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&b| b == b'\n') {
        let parsed = std::str::from_utf8(line)
            .ok()
            .and_then(|l| Some((l, parse_line(l.trim_end_matches('\n'))?)));
        let Some((line_text, (Marker::None, names, _))) = parsed else {
            kept.extend_from_slice(line);
            continue;
        };
        if names.starts_with('|') {
            if !pattern::covers(names, name) {
                kept.extend_from_slice(line);
            }
            continue;
        }
        let others: Vec<&str> = names
            .split(',')
            .filter(|n| !n.eq_ignore_ascii_case(name))
            .collect();
        if others.len() == names.split(',').count() {
            kept.extend_from_slice(line);
        } else if others.iter().any(|n| !n.is_empty() && !n.starts_with('!')) {
            kept.extend_from_slice(line_text.replacen(names, &others.join(","), 1).as_bytes());
        }
    }
    kept
}

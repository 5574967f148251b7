//! Reads the files of a tar stream as `docker cp` writes it, within bounds. Nothing in it is ever written anywhere.

use crate::history::File;
use crate::host::process::CAPTURE;

/// The regular files of a stream that is there as a whole.
pub(in crate::host) fn files(stream: &[u8]) -> Result<Vec<File>, String> {
    let mut reader = Reader::new(|_| true);
    reader.push(stream);
    reader.finish()
}

/// Reads a stream as it comes, and keeps the regular files in it that are wanted, and the first link where there is one among them; devices
/// and folders are passed over. Paths are without what leads out of the stream. What is not wanted takes no room.
pub(super) struct Reader<W> {
    wanted: W,
    files: Vec<File>,
    /// What it leads to is not in the stream.
    link: Option<String>,
    /// The bytes of those.
    size: usize,
    /// What came, and is not understood yet.
    held: Vec<u8>,
    /// So many bytes to come are passed over.
    skip: usize,
    /// What an extension header says of the next entry.
    long: Option<String>,
    size_of_next: Option<usize>,
    end: Option<Result<(), String>>,
}

impl<W: Fn(&str) -> bool> Reader<W> {
    pub(super) fn new(wanted: W) -> Self {
        let (files, held, end) = (Vec::new(), Vec::new(), None);
        Self { wanted, files, link: None, size: 0, held, skip: 0, long: None, size_of_next: None, end }
    }

    /// More of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(&bytes[skipped..]);
        let mut at = 0;
        while at < held.len() {
            let Some(used) = self.entry(&held[at..]) else { break };
            at = at.saturating_add(used);
        }
        self.skip += at.saturating_sub(held.len());
        held.drain(..at.min(held.len()));
        self.held = held;
    }

    /// The files, where nothing is missing: two empty blocks at the end say so.
    pub(super) fn finish(self) -> Result<Vec<File>, String> {
        self.end.unwrap_or_else(|| Err(BROKEN.to_owned())).map(|()| self.files)
    }

    /// The path of a link that is wanted, as far as the stream has come.
    pub(super) fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Takes the entry that begins here, and says how long it is; none where more must come, or nothing comes any more.
    fn entry(&mut self, rest: &[u8]) -> Option<usize> {
        if self.end.is_some() || rest.len() < BLOCK {
            return None;
        }
        let (header, rest) = rest.split_at(BLOCK);
        if header.iter().all(|byte| *byte == 0) {
            self.end = Some(Ok(()));
            return None;
        }
        let sizes = self.size_of_next.or_else(|| number(&header[124..136]));
        let sizes = sizes.and_then(|size| Some((size, size.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)?)));
        let Some((size, whole)) = sizes else {
            self.end = Some(Err(BROKEN.to_owned()));
            return None;
        };
        let kind = header[156];
        let path = self.long.clone().unwrap_or_else(|| short(header));
        let extends = matches!(kind, b'L' | b'x');
        let file = matches!(kind, b'0' | 0).then(|| inside(&path)).filter(|path| (self.wanted)(path));
        if extends || file.is_some() {
            if self.size.saturating_add(size) > CAPTURE {
                self.end = Some(Err(format!("more than {} MiB", CAPTURE >> 20)));
                return None;
            }
            if rest.len() < size {
                return None;
            }
        }
        self.size_of_next = None;
        match kind {
            b'L' => self.long = Some(text(&rest[..size])),
            b'x' => {
                for (key, value) in records(&rest[..size]) {
                    match key {
                        "path" => self.long = Some(value.to_owned()),
                        "size" => self.size_of_next = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            b'g' => {}
            _ => self.long = None,
        }
        if matches!(kind, b'1' | b'2') && self.link.is_none() {
            self.link = Some(inside(&path)).filter(|path| (self.wanted)(path));
        }
        if let Some(path) = file {
            self.size += size;
            self.files.push(File { path, bytes: rest[..size].to_vec() });
        }
        Some(whole)
    }
}

const BROKEN: &str = "the files of the image are not in the form that docker writes";

const BLOCK: usize = 512;

/// The path that has room in the header itself.
fn short(header: &[u8]) -> String {
    match text(&header[345..500]) {
        prefix if !prefix.is_empty() && header[257..].starts_with(b"ustar\0") => format!("{prefix}/{}", text(&header[..100])),
        _ => text(&header[..100]),
    }
}

fn inside(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect::<Vec<_>>().join("/")
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// An octal number, or a big one in base 256.
fn number(field: &[u8]) -> Option<usize> {
    if field.first()? & 0x80 != 0 {
        return field[1..].iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)));
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() { Some(0) } else { usize::from_str_radix(digits, 8).ok() }
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`.
fn records(content: &[u8]) -> Vec<(&str, &str)> {
    let mut rest = content;
    let mut found = Vec::new();
    while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.filter(|length| *length > blank + 1).and_then(|length| rest.get(blank + 1..length - 1)) else {
            break;
        };
        if let Some(pair) = std::str::from_utf8(record).ok().and_then(|record| record.split_once('=')) {
            found.push(pair);
        }
        rest = &rest[record.len() + blank + 2..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_real_tar_writes() {
        let folder = tempfile::tempdir().expect("folder");
        let deep = "a-name-of-a-migration-that-is-much-longer-than-the-hundred-bytes-which-an-old-header-has-room-for-alone";
        std::fs::create_dir_all(folder.path().join("migrations").join(deep)).expect("folder");
        std::fs::write(folder.path().join("migrations").join(deep).join("migration.sql"), "SELECT 1;\n").expect("file");
        std::fs::write(folder.path().join("migrations/empty"), "").expect("file");
        std::fs::write(folder.path().join("migrations/big"), vec![b'x'; 1500]).expect("file");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("migrations/link")).expect("link");
        for format in ["gnu", "pax"] {
            let tar = std::process::Command::new("tar")
                .args(["--format", format, "-C"])
                .arg(folder.path())
                .args(["-cf", "-", "migrations"])
                .output()
                .expect("tar");
            let mut reader = Reader::new(|_: &str| true);
            reader.push(&tar.stdout);
            assert_eq!(reader.link(), Some("migrations/link"), "{format}");
            let mut found = reader.finish().expect("files");
            found.sort_by(|a, b| a.path.cmp(&b.path));
            let told: Vec<(&str, usize)> = found.iter().map(|file| (file.path.as_str(), file.bytes.len())).collect();
            let long = format!("migrations/{deep}/migration.sql");
            assert_eq!(told, [(long.as_str(), 10), ("migrations/big", 1500), ("migrations/empty", 0)], "{format}");
            for piece in [1, 100, 513] {
                let mut reader = Reader::new(|path: &str| path.ends_with("/migration.sql"));
                tar.stdout.chunks(piece).for_each(|bytes| reader.push(bytes));
                let read = reader.finish().expect("files");
                assert_eq!(read.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [long.as_str()], "{format}");
            }
            for cut in [1, 600, tar.stdout.len() / 2] {
                assert!(files(&tar.stdout[..cut]).is_err(), "{format} cut at {cut}");
            }
        }
    }

    /// As the header of a file that is as long as this.
    fn header(path: &str, size: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = b'0';
        header
    }

    #[test]
    fn what_is_not_wanted_takes_no_room() {
        let much = CAPTURE + BLOCK;
        let read = |wanted: fn(&str) -> bool| {
            let mut reader = Reader::new(wanted);
            reader.push(&header("app/.venv/big", much));
            vec![b'x'; much].chunks(1 << 16).for_each(|bytes| reader.push(bytes));
            let small = [header("app/small", 1), vec![b'a'; BLOCK], vec![0; 2 * BLOCK]].concat();
            reader.push(&small);
            reader.finish()
        };
        let small = File { path: "app/small".into(), bytes: b"a".to_vec() };
        assert_eq!(read(|path| path != "app/.venv/big"), Ok(vec![small]));
        assert_eq!(read(|_| true), Err("more than 16 MiB".to_owned()));
    }
}

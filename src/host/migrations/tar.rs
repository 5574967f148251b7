//! Reads the files of a tar stream as `docker cp` writes it, within bounds. Nothing in it is ever written anywhere.

use crate::history::File;

/// The regular files of a stream; links, devices and folders are passed over. Paths are without what leads out of the stream.
pub(in crate::host) fn files(mut stream: &[u8]) -> Result<Vec<File>, String> {
    let broken = || "the files of the image are not in the form that docker writes".to_owned();
    let mut files = Vec::new();
    // What an extension header says of the next entry.
    let (mut long, mut size_of_next) = (None::<String>, None::<usize>);
    while stream.len() >= BLOCK {
        let (header, rest) = stream.split_at(BLOCK);
        if header.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        let size = size_of_next.take().or_else(|| number(&header[124..136])).ok_or_else(broken)?;
        let padded = size.checked_next_multiple_of(BLOCK).ok_or_else(broken)?;
        if rest.len() < size {
            return Err(broken());
        }
        let content = &rest[..size];
        match header[156] {
            b'L' => long = Some(text(content)),
            b'x' => {
                for (key, value) in records(content) {
                    match key {
                        "path" => long = Some(value.to_owned()),
                        "size" => size_of_next = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            b'g' => {}
            kind => {
                let short = match text(&header[345..500]) {
                    prefix if !prefix.is_empty() && header[257..].starts_with(b"ustar\0") => {
                        format!("{prefix}/{}", text(&header[..100]))
                    }
                    _ => text(&header[..100]),
                };
                let path = long.take().unwrap_or(short);
                if matches!(kind, b'0' | 0) {
                    let inside = path.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
                    files.push(File { path: inside.collect::<Vec<_>>().join("/"), bytes: content.to_vec() });
                }
            }
        }
        stream = rest.get(padded..).unwrap_or_default();
    }
    // The two empty blocks at the end say that nothing is missing.
    Err(broken())
}

const BLOCK: usize = 512;

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
            let mut found = files(&tar.stdout).expect("files");
            found.sort_by(|a, b| a.path.cmp(&b.path));
            let told: Vec<(&str, usize)> = found.iter().map(|file| (file.path.as_str(), file.bytes.len())).collect();
            let long = format!("migrations/{deep}/migration.sql");
            assert_eq!(told, [(long.as_str(), 10), ("migrations/big", 1500), ("migrations/empty", 0)], "{format}");
            for cut in [1, 600, tar.stdout.len() / 2] {
                assert!(files(&tar.stdout[..cut]).is_err(), "{format} cut at {cut}");
            }
        }
    }
}

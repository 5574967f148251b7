//! From files to migrations: keys, names, digests and order, by the layout that a model says. Pure.

mod apps;
mod versions;

use regex_lite::Regex;
use sha2::{Digest as _, Sha256, Sha384};

use super::{File, contracts, hex, ops};
use crate::action::{Digest, Layout, Model};

pub use apps::is_of_app;
pub(super) use versions::Start;
pub use versions::{comes_again, is_ordered, is_version, runs_along};

/// A migration that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the history calls it.
    pub key: String,
    /// What the tool and people call it.
    pub name: String,
    /// Of its file.
    pub sha256: String,
    /// The digest that the history would record.
    pub digest: Option<String>,
    /// Where its file is, below the folder.
    pub path: String,
    /// Its file.
    pub bytes: Vec<u8>,
    /// The keys that it comes after, where the files say.
    pub after: Vec<String>,
    /// The keys that it stands for, where the files say: several migrations that were made into one.
    pub replaces: Vec<String>,
    /// The contracts that it leads from and to, where the files say.
    pub leads: Option<Leads>,
}

/// Between which contracts a migration leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leads {
    /// What the database must be like.
    pub from: String,
    /// What it is like then.
    pub to: String,
    /// Whether the digest that the files state is that of their content.
    pub sealed: bool,
}

impl Known {
    /// What it does, as text: its file, or the SQL that the file holds.
    pub fn text(&self) -> String {
        if ops::is_ops(&self.path) { ops::sql(&self.bytes) } else { String::from_utf8_lossy(&self.bytes).into_owned() }
    }

    /// The same with the digest that belongs to its bytes, where it is theirs alone.
    #[must_use]
    pub fn with_digest(self, model: &Model) -> Self {
        Self { digest: model.digest.map(|digest| recorded(digest, &self.bytes)), ..self }
    }

    /// SHA-256 by which Landfall itself remembers it.
    pub fn remembered(&self, model: &Model) -> String {
        hex(&Sha256::digest(self.own_text(model)))
    }

    /// Its file, as far as that says what it does.
    fn own_text(&self, model: &Model) -> Vec<u8> {
        if model.layout == Layout::Apps { apps::without_places(&self.bytes) } else { self.bytes.clone() }
    }

    /// Whether a recorded digest is that of its file. Where it is a SHA-256 of the text, as it is where Landfall remembered it, line ends
    /// make no other text of it: git changes them, and Prisma takes them for equal, too, as well as what its early versions wrote of a
    /// byte below 16.
    pub fn is_recorded_as(&self, model: &Model, digest: &str) -> bool {
        let is = |own: &str| own.eq_ignore_ascii_case(digest);
        let own = self.digest.as_deref().is_some_and(is);
        if own || !matches!(model.digest, None | Some(Digest::Sha256)) {
            return own;
        }
        let bytes = self.own_text(model);
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        [bytes.clone(), text.replace('\n', "\r\n").into_bytes(), text.into_bytes()].iter().any(|form| {
            let sum = Sha256::digest(form);
            is(&hex(&sum)) || is(&sum.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:x}")))
        })
    }
}

/// The migrations of some files, in the tool's order. Paths are below the model's folder.
pub fn known(model: &Model, files: &[File]) -> Result<Vec<Known>, String> {
    let mut found = match &model.layout {
        Layout::Files { pattern, digits } => {
            let regex = Regex::new(pattern).map_err(|error| format!("the pattern of its files is none: {error}"))?;
            let each = files.iter().filter_map(|file| {
                let groups = regex.captures(&file.path).filter(|groups| groups.name("not").is_none())?;
                let key = groups.name("key")?.as_str();
                let name = groups.name("name").map_or(key, |name| name.as_str());
                let key = if *digits { key.chars().filter(char::is_ascii_digit).collect() } else { key.to_owned() };
                Some(of(model, key, name, file))
            });
            each.collect()
        }
        Layout::Numbered => files.iter().filter(|file| number(&file.path).is_some()).map(|file| of_name(model, file)).collect(),
        Layout::Journal => journal(model, files)?,
        Layout::Revisions => revisions(model, files),
        Layout::Contracts => contracts::packages(files)?,
        Layout::Apps => apps::apps(model, files)?,
        Layout::Versions => versions::versions(model, files),
    };
    if !matches!(model.layout, Layout::Journal) {
        found.sort_by(|a: &Known, b| order_in(&model.layout, &a.key, &b.key));
    }
    if matches!(model.layout, Layout::Revisions | Layout::Contracts) {
        found = by_descent(found);
    }
    let same = |a: &Known, b: &Known| order_in(&model.layout, &a.key, &b.key).is_eq();
    if let Some(twice) = found.windows(2).find(|pair| same(&pair[0], &pair[1])) {
        let key = number(&twice[0].key).filter(|_| model.layout == Layout::Numbered).map(|number| number.to_string());
        let key = key.as_ref().unwrap_or(&twice[0].key);
        return Err(format!("two files are the migration {key}: {} and {}", twice[0].path, twice[1].path));
    }
    Ok(found)
}

/// The order of two keys: numbers by their value and versions part by part, others as texts.
pub fn order(a: &str, b: &str) -> std::cmp::Ordering {
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// The numbers of a version, whether `.` or `_` tells them apart; zeros at its end make no other of it.
fn parts(key: &str) -> Option<Vec<u128>> {
    let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    let mut parts: Vec<u128> = key.split(['.', '_']).map(number).collect::<Option<_>>()?;
    while parts.len() > 1 && parts.last() == Some(&0) {
        parts.pop();
    }
    Some(parts)
}

/// The same as keys of a layout are ordered.
pub(super) fn order_in(layout: &Layout, a: &str, b: &str) -> std::cmp::Ordering {
    match layout {
        Layout::Numbered => number(a).cmp(&number(b)),
        _ => order(a, b),
    }
}

/// The number of a file `NUMBER_name.sql`.
pub fn number(name: &str) -> Option<u128> {
    let (number, rest) = name.strip_suffix(".sql")?.split_once('_')?;
    let plain = !rest.is_empty() && !rest.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if plain && digits { number.parse().ok() } else { None }
}

fn of_name(model: &Model, file: &File) -> Known {
    of(model, file.path.clone(), &file.path, file)
}

fn of(model: &Model, key: String, name: &str, file: &File) -> Known {
    Known {
        key,
        name: name.to_owned(),
        sha256: hex(&Sha256::digest(&file.bytes)),
        digest: model.digest.map(|digest| recorded(digest, &file.bytes)),
        path: file.path.clone(),
        bytes: file.bytes.clone(),
        after: Vec::new(),
        replaces: Vec::new(),
        leads: None,
    }
}

fn recorded(digest: Digest, bytes: &[u8]) -> String {
    match digest {
        Digest::Sha256 => hex(&Sha256::digest(bytes)),
        Digest::Sha384 => hex(&Sha384::digest(bytes)),
        // It is over more than one file.
        Digest::Package => String::new(),
        Digest::Crc32Lines => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            crc32(lines.flatten()).cast_signed().to_string()
        }
    }
}

fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn journal(model: &Model, files: &[File]) -> Result<Vec<Known>, String> {
    let Some(journal) = files.iter().find(|file| file.path == "meta/_journal.json") else { return Ok(Vec::new()) };
    let journal: serde_json::Value =
        serde_json::from_slice(&journal.bytes).map_err(|error| format!("meta/_journal.json cannot be read: {error}"))?;
    let entries = journal["entries"].as_array().ok_or("meta/_journal.json has no entries")?;
    let mut found = Vec::new();
    for entry in entries {
        let (Some(tag), Some(when)) = (entry["tag"].as_str(), entry["when"].as_i64()) else {
            return Err("an entry of meta/_journal.json has no `tag` or `when`".to_owned());
        };
        let file = files.iter().find(|file| file.path.strip_suffix(".sql") == Some(tag));
        let file = file.ok_or_else(|| format!("meta/_journal.json names {tag}, and {tag}.sql is not there"))?;
        found.push(of(model, when.to_string(), tag, file));
    }
    Ok(found)
}

fn revisions(model: &Model, files: &[File]) -> Vec<Known> {
    let (mut found, depends): (Vec<Known>, Vec<Vec<String>>) = files.iter().filter_map(|file| revision(model, file)).unzip();
    // What a revision depends on may be said by the label of a branch, too.
    let keys: Vec<String> = found.iter().map(|known| known.key.clone()).collect();
    for (known, depends) in found.iter_mut().zip(depends) {
        known.after.extend(depends.into_iter().filter(|key| keys.contains(key)));
    }
    found
}

/// A revision that comes after others, and what it depends on beside them.
fn revision(model: &Model, file: &File) -> Option<(Known, Vec<String>)> {
    let text = std::str::from_utf8(&file.bytes).ok()?;
    if std::path::Path::new(&file.path).extension().is_none_or(|extension| extension != "py") {
        return None;
    }
    // `revision = "…"`, `revision: str = "…"`; what it comes after may be None, one, or several in brackets.
    let assigned = |name: &str| {
        let regex = Regex::new(&format!(r"(?ms)^{name}(?:\s*:[^=\n]*)?\s*=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]*)")).ok()?;
        Some(regex.captures(text)?.get(1)?.as_str().to_owned())
    };
    let quoted = |value: &str| -> Vec<String> {
        let Ok(regex) = Regex::new(r#"["']([^"']+)["']"#) else { return Vec::new() };
        regex.captures_iter(value).map(|found| found[1].to_owned()).collect()
    };
    let key = quoted(&assigned("revision")?).into_iter().next()?;
    let mut known = of(model, key.clone(), &key, file);
    let keys = |name: &str| assigned(name).map(|value| quoted(&value)).unwrap_or_default();
    known.after = keys("down_revision");
    Some((known, keys("depends_on")))
}

/// Each after all that it comes after.
fn by_descent(mut rest: Vec<Known>) -> Vec<Known> {
    let mut sorted: Vec<Known> = Vec::new();
    while !rest.is_empty() {
        let waits = |known: &Known, rest: &[Known]| known.after.iter().any(|key| rest.iter().any(|other| other.key == *key));
        // A circle has no order: it is taken as it stands.
        let at = rest.iter().position(|known| !waits(known, &rest)).unwrap_or(0);
        sorted.push(rest.remove(at));
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_tools() {
        assert_eq!(
            recorded(Digest::Crc32Lines, b"\xef\xbb\xbf12345\r\n6789\n"),
            crc32(b"123456789".iter()).cast_signed().to_string()
        );
        assert_eq!(crc32(b"123456789".iter()), 0xcbf4_3926);
        assert!(recorded(Digest::Sha384, b"abc").starts_with("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"));
    }

    #[test]
    fn a_revision_tells_what_it_comes_after() {
        let text = b"\"\"\"x\n\nRevision ID: 2222bbbb\n\"\"\"\nfrom typing import Union\nrevision: str = '2222bbbb'\ndown_revision: Union[str, None] = (\n    '1111aaaa',\n    \"0000\",\n)\ndepends_on = None\n";
        let model = crate::history::tests::model(Layout::Revisions);
        let (known, _) = revision(&model, &File { path: "2222bbbb_x.py".into(), bytes: text.to_vec() }).expect("revision");
        assert_eq!((known.key.as_str(), known.after), ("2222bbbb", vec!["1111aaaa".to_owned(), "0000".to_owned()]));
    }
}

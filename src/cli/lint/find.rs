//! Finds the files that `landfall lint` looks at, and what their surroundings tell: the dialect, the tool. Judges nothing.

use std::path::{Path, PathBuf};

use super::super::Failure;
use crate::history::ops;
use crate::migration::lint::{
    Dialect, Finding, Layout, Source, Tool, digest, guess, is_down, is_migration, is_program, well_known,
};

/// Larger than any migration.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// How deep folders are searched.
const DEEPEST: usize = 12;

/// A file that was found.
#[derive(Debug)]
pub(super) struct File {
    /// As it is shown.
    pub(super) name: String,
    /// All of it, or the SQL that it holds.
    pub(super) text: String,
    /// Of the file itself.
    sha256: String,
    dialect: Dialect,
    layout: Layout,
    /// Whether nothing told the dialect.
    guessed: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) files: Vec<File>,
}

impl Found {
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let source = |file: &'_ File| Source {
            name: "",
            text: "",
            dialect: file.dialect,
            tool: file.layout.tool,
            in_transaction: file.layout.in_transaction,
        };
        self.files.iter().map(|file| Source { name: &file.name, text: &file.text, ..source(file) }).collect()
    }

    /// Binds findings to the files themselves, also where the text was taken out of one.
    pub(super) fn bind(&self, findings: &mut [Finding]) {
        for finding in findings {
            if let Some(file) = self.files.iter().find(|file| file.name == finding.file) {
                finding.sha256.clone_from(&file.sha256);
            }
        }
    }

    /// How many were taken for PostgreSQL because nothing says otherwise.
    pub(super) fn guessed(&self) -> usize {
        self.files.iter().filter(|file| file.guessed).count()
    }
}

/// The files that were named, or those of the well-known layouts below the root.
pub(super) fn files(root: &Path, paths: &[PathBuf], dialect: Option<Dialect>) -> Result<Found, Failure> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, 0, &mut found, &|path| is_wanted(path) && !is_down(&slashed(path)))?;
        } else {
            found.push(path.clone());
        }
    }
    if paths.is_empty() {
        let known = |path: &Path| well_known(&slashed(path.strip_prefix(root).unwrap_or(path)));
        walk(root, 0, &mut found, &|path| known(path) && is_wanted(path))?;
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        let what = if paths.is_empty() {
            format!("no migrations were found below {}", root.display())
        } else {
            "there are no migrations there".to_owned()
        };
        return Err(Failure::usage(what).remedy("name files or folders: landfall lint db/migrations"));
    }
    let files = found.iter().map(|path| read(root, path, dialect)).collect::<Result<_, _>>()?;
    Ok(Found { files })
}

/// SQL, a file of operations, or a program that says that it is a migration.
fn is_wanted(path: &Path) -> bool {
    let name = slashed(path);
    let says = || std::fs::read_to_string(path).is_ok_and(|text| is_migration(&name, &text));
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
        || ops::is_ops(&name)
        || (is_program(&name) && says())
}

fn slashed(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Files below a folder. Links are not followed, and nothing hidden is entered.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) -> Result<(), Failure> {
    let unread = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", folder.display()));
    if depth > DEEPEST {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let kind = entry.file_type().map_err(unread)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if kind.is_dir() && !name.starts_with('.') && !matches!(name.as_str(), "node_modules" | "site-packages" | "target") {
            walk(&path, depth + 1, found, wanted)?;
        } else if (kind.is_file() || kind.is_symlink() && path.is_file()) && wanted(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path, dialect: Option<Dialect>) -> Result<File, Failure> {
    let unread = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let full = std::path::absolute(path).map_err(unread)?;
    let size = std::fs::metadata(&full).map_err(unread)?.len();
    if size > MOST_BYTES {
        return Err(Failure::usage(format!("{} has {size} bytes: no migration is that large", path.display())));
    }
    let bytes = std::fs::read(&full).map_err(unread)?;
    let sha256 = digest(&bytes);
    let name = full.strip_prefix(root).map_or_else(|_| path.display().to_string(), slashed);
    let operations = ops::is_ops(&name);
    let text = decoded(bytes);
    let text = if operations { ops::sql(text.as_bytes()) } else { text };
    let told = dialect.or_else(|| beside(&full)).or_else(|| operations.then_some(Dialect::Postgres)).or_else(|| named(&name));
    let dialect = told.unwrap_or(Dialect::Postgres);
    let metadata = full.parent().and_then(|folder| std::fs::read_to_string(folder.join("metadata.toml")).ok());
    let layout = guess(&slashed(&full), &text, dialect, metadata.as_deref());
    let program = matches!(layout.tool, Tool::Program { .. });
    Ok(File { name, text, sha256, dialect, layout, guessed: told.is_none() && !program })
}

/// A file's text as far as it can be read. What is no UTF-8 holds a replacement character, which is a finding.
fn decoded(bytes: Vec<u8>) -> String {
    let wide = |order: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
        let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        text.chain([char::REPLACEMENT_CHARACTER]).collect()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned()),
    }
}

/// The dialect that a path names: by a folder, or between the dots of the file's name.
fn named(path: &str) -> Option<Dialect> {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let words: Vec<String> = folders.split('/').chain(file.split('.').skip(1)).map(str::to_lowercase).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    match (has(&["mysql", "mariadb"]), has(&["postgres", "postgresql", "pg"])) {
        (true, false) => Some(Dialect::Mysql),
        (false, true) => Some(Dialect::Postgres),
        _ => None,
    }
}

/// The dialect that Prisma's or Drizzle's own files say.
fn beside(path: &Path) -> Option<Dialect> {
    let folder = path.parent()?;
    let lock = folder.parent().map(|above| above.join("migration_lock.toml"));
    let texts = [lock, Some(folder.join("meta/_journal.json"))];
    let word = |text: String| {
        let value = text.lines().find_map(|line| {
            let line = line.trim();
            line.strip_prefix("provider").or_else(|| line.strip_prefix("\"dialect\"")).map(str::to_lowercase)
        })?;
        match () {
            () if value.contains("mysql") => Some(Dialect::Mysql),
            () if value.contains("postgres") => Some(Dialect::Postgres),
            () => None,
        }
    };
    texts.into_iter().flatten().find_map(|path| std::fs::read_to_string(path).ok().and_then(word))
}

//! All that is looked for: each secret, what it holds inside, and the encodings that no view undoes. Immutable once built. Must
//! not know where secrets are read from.

use super::automaton::{Automaton, Needle, WORD_LENGTHS};
use super::decode::{Escapes, decode};
use super::encode;
use super::patterns::Patterns;
use super::rules::{ANYWHERE, Plain, is_secret_key};
use super::scanner::Scanner;
use super::sieve::Sieve;
use std::fmt;
use std::sync::Arc;

/// A value to mask and the name to show for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    value: Vec<u8>,
    strict: bool,
}

impl Secret {
    /// `strict`: it comes from a secrets file, or its key looks secret; a step whose text contains it is refused.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>, strict: bool) -> Self {
        Self { name: name.into(), value: value.into(), strict }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value itself, for a step that asks for it by name.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.value.fill(0);
    }
}

/// A secret that a text contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<'a> {
    /// The secret's name.
    pub name: &'a str,
    /// Whether the text must be refused; otherwise a warning is enough.
    pub strict: bool,
}

/// A line of a value that has several is looked for on its own from this length on.
const LINE: usize = 8;
/// A value without white space is looked for across line breaks from this length on: a shorter one is too often part of two
/// words.
const WRAPPED: usize = 16;

/// All that is looked for; shared by the streams of a run.
pub struct Needles {
    plain: Automaton,
    squeezed: Automaton,
    sieve: Option<Sieve>,
    names: Vec<String>,
    masks: Vec<Vec<u8>>,
    patterns: Arc<Patterns>,
}

impl Needles {
    /// Works out all needles of the secrets, except those that would ruin the output.
    pub fn new(secrets: &[Secret], plain: &Plain) -> Self {
        let mut draft = Draft { ordinary: plain, plain: Vec::new(), squeezed: Vec::new(), label: 0, strict: false };
        let mut names: Vec<String> = Vec::new();
        for secret in secrets {
            let known = names.iter().position(|name| *name == secret.name);
            let index = known.unwrap_or_else(|| {
                names.push(secret.name.clone());
                names.len() - 1
            });
            draft.label = u32::try_from(index * 2).unwrap_or(u32::MAX);
            draft.strict = secret.strict;
            draft.add_secret(&secret.value);
        }
        let masks = names.iter().map(|name| format!("[masked:{}]", printable(name)).into_bytes()).collect();
        Self {
            plain: Automaton::new(&draft.plain, |byte| byte),
            squeezed: Automaton::new(&draft.squeezed, encode::fold_base64),
            sieve: Sieve::new(&draft.plain, &draft.squeezed, encode::fold_base64),
            names,
            masks,
            patterns: Arc::default(),
        }
    }

    /// The same, with the forms of personal data.
    #[must_use]
    pub fn with(mut self, patterns: Patterns) -> Self {
        self.patterns = Arc::new(patterns);
        self
    }

    /// The forms of personal data, where there are any.
    pub(super) fn patterns(&self) -> Option<&Arc<Patterns>> {
        Some(&self.patterns).filter(|patterns| patterns.any())
    }

    /// The same, but every byte is looked at closely.
    #[cfg(test)]
    pub(super) fn without_sieve(secrets: &[Secret], plain: &Plain) -> Self {
        Self { sieve: None, ..Self::new(secrets, plain) }
    }

    /// Nothing to look for.
    pub fn none() -> Self {
        Self::new(&[], &Plain::default())
    }

    /// The names that masks may show.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A secret that the text contains in whatever form: one that forbids the text, if there is such, else the first.
    pub fn contains_secret(&self, text: &[u8]) -> Option<Found<'_>> {
        let mut scanner = Scanner::new();
        let mut hits = Vec::new();
        scanner.read(self, text, 0, &mut hits);
        scanner.finish(self, &mut hits);
        let hit = hits.iter().min_by_key(|hit| (!is_strict(hit.label), hit.start))?;
        Some(Found { name: self.names.get(name_of(hit.label))?, strict: is_strict(hit.label) })
    }

    pub(super) fn plain(&self) -> &Automaton {
        &self.plain
    }

    pub(super) fn squeezed(&self) -> &Automaton {
        &self.squeezed
    }

    /// What tells where a needle may begin, where that can be told.
    pub(super) fn sieve(&self) -> Option<&Sieve> {
        self.sieve.as_ref()
    }

    /// What is written in place of a hit with this label.
    pub(super) fn mask(&self, label: u32) -> &[u8] {
        self.masks.get(name_of(label)).map_or(b"[masked]", Vec::as_slice)
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.plain.states() + self.squeezed.states();
        f.debug_struct("Needles").field("names", &self.names).field("states", &states).finish_non_exhaustive()
    }
}

/// A label is the index of a name and whether this very needle is strict: a password inside a harmless URL is.
fn name_of(label: u32) -> usize {
    (label / 2) as usize
}

fn is_strict(label: u32) -> bool {
    label % 2 == 1
}

fn printable(name: &str) -> String {
    name.chars().map(|character| if character.is_control() || "[]".contains(character) { '_' } else { character }).collect()
}

/// The needles as they come together.
struct Draft<'a> {
    ordinary: &'a Plain,
    plain: Vec<Needle>,
    squeezed: Vec<Needle>,
    label: u32,
    strict: bool,
}

impl Draft<'_> {
    fn add_secret(&mut self, value: &[u8]) {
        let strict = self.strict;
        for variant in variants(value) {
            self.strict = strict;
            self.add_value(&variant);
            self.add_json_leaves(&variant);
            self.strict = true;
            for inner in credentials(&variant) {
                self.add_value(&inner);
            }
        }
    }

    fn add_json_leaves(&mut self, value: &[u8]) {
        let trimmed = value.trim_ascii();
        if !matches!(trimmed.first(), Some(b'{' | b'[' | b'"')) {
            return;
        }
        let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(trimmed) else { return };
        let strict = self.strict;
        let mut leaves = Vec::new();
        collect_leaves("", parsed, &mut leaves);
        for (key, leaf) in leaves {
            self.strict = is_secret_key(&key);
            if leaf.len() >= ANYWHERE || self.strict {
                self.add_value(leaf.as_bytes());
                for inner in credentials(leaf.as_bytes()) {
                    self.strict = true;
                    self.add_value(&inner);
                }
            }
        }
        self.strict = strict;
    }

    /// Adds a value, its lines and its encodings, if it is worth masking. White space around it is not part of it: a mask must
    /// not take the end of the line along.
    fn add_value(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        if self.ordinary.why_not(value).is_some() || value.len() < *WORD_LENGTHS.start() {
            return;
        }
        if value.len() < ANYWHERE {
            if self.strict {
                self.add_plain(value.to_vec());
            }
            return;
        }
        let encodings = [
            vec![
                value.to_vec(),
                encode::percent(value),
                encode::percent_lower(value),
                encode::form(value),
                encode::doubled(value, b'\''),
                encode::doubled(value, b'"'),
                encode::doubled(value, b'$'),
            ],
            encode::shell(value).to_vec(),
            encode::html(value),
        ];
        for encoding in encodings.into_iter().flatten() {
            self.add_plain(encoding);
        }
        if value.contains(&b'\n') {
            for line in value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
                if line.len() >= LINE && !line.starts_with(b"-----") && self.ordinary.why_not(line).is_none() {
                    self.add_plain(line.to_vec());
                }
            }
        }
        let squeezed = encode::squeezed(value);
        if squeezed.len() >= WRAPPED || (squeezed.len() >= LINE && squeezed.len() < value.len()) {
            self.add_squeezed(squeezed);
        }
        for base64 in encode::base64_inside(value) {
            self.add_squeezed(base64);
        }
        let hex = encode::hex(value);
        self.add_squeezed(hex.to_ascii_uppercase());
        self.add_squeezed(hex);
    }

    fn add_plain(&mut self, bytes: Vec<u8>) {
        let needle = self.needle(bytes);
        self.plain.push(needle);
    }

    fn add_squeezed(&mut self, bytes: Vec<u8>) {
        let needle = self.needle(bytes);
        self.squeezed.push(needle);
    }

    fn needle(&self, bytes: Vec<u8>) -> Needle {
        Needle { bytes, label: self.label + u32::from(self.strict), strict: self.strict }
    }
}

/// The value as it stands, with compose's `$$` undone, and with `\n` as a line break: programs that take a key from the
/// environment often do the latter.
fn variants(value: &[u8]) -> Vec<Vec<u8>> {
    let mut variants = vec![value.to_vec(), encode::undollared(value)];
    if value.windows(2).any(|pair| pair == br"\n") {
        variants.push(decode(Escapes::Backslash, value));
    }
    variants.sort();
    variants.dedup();
    variants
}

fn collect_leaves(key: &str, value: serde_json::Value, leaves: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::String(leaf) => leaves.push((key.to_owned(), leaf)),
        serde_json::Value::Array(items) => items.into_iter().for_each(|item| collect_leaves(key, item, leaves)),
        serde_json::Value::Object(fields) => fields.into_iter().for_each(|(key, item)| collect_leaves(&key, item, leaves)),
        serde_json::Value::Number(number) => leaves.push((key.to_owned(), number.to_string())),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}

/// The passwords inside a value: of the URLs in it, and of its `password=…` parts; as written and percent-decoded.
fn credentials(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<&[u8]> = Vec::new();
    for word in value.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',' | b'<' | b'>')) {
        found.extend(url_password(word));
    }
    for part in value.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'&' | b';' | b'?')) {
        if let Some(equals) = part.iter().position(|&byte| byte == b'=') {
            let key = String::from_utf8_lossy(&part[..equals]);
            if is_secret_key(&key) {
                found.push(part[equals + 1..].trim_ascii());
            }
        }
    }
    found.iter().flat_map(|password| [password.to_vec(), decode(Escapes::Percent, password)]).collect()
}

/// The password of a URL; the whole user part if it has no password, as tokens are written.
fn url_password(word: &[u8]) -> Option<&[u8]> {
    let scheme = word.windows(3).position(|window| window == b"://")?;
    let rest = &word[scheme + 3..];
    let authority = rest.iter().position(|byte| b"/?#".contains(byte)).map_or(rest, |end| &rest[..end]);
    // Some drivers take passwords with a bare `/`, which ends the authority for everyone else.
    let userinfo = match authority.iter().rposition(|&byte| byte == b'@') {
        Some(at) => &authority[..at],
        None => rest.iter().position(|&byte| byte == b'@').map(|at| &rest[..at]).filter(|user| user.contains(&b':'))?,
    };
    Some(userinfo.iter().position(|&byte| byte == b':').map_or(userinfo, |colon| &userinfo[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls() {
        for (url, password) in [
            ("postgres://app:hunter22@db:5432/shop", Some("hunter22")),
            ("postgres://app:p@ss@db/shop", Some("p@ss")),
            ("postgres://app:a/b@db/shop", Some("a/b")),
            ("https://ghp_token@github.com/x", Some("ghp_token")),
            ("redis://:secret@cache", Some("secret")),
            ("https://example.org/a@b", None),
            ("no url", None),
        ] {
            assert_eq!(url_password(url.as_bytes()), password.map(str::as_bytes), "{url}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_value() {
        let secret = Secret::new("DB_PASSWORD", "hunter22", true);
        let needles = Needles::new(std::slice::from_ref(&secret), &Plain::default());
        assert_eq!(format!("{secret:?} {secret}"), "Secret(DB_PASSWORD) DB_PASSWORD");
        assert!(!format!("{needles:?}").contains("hunter22"));
    }

    #[test]
    fn a_strict_secret_inside_a_harmless_one_is_found() {
        let secrets = [Secret::new("DATABASE_URL", "postgres://app:hunter22@db/shop", false)];
        let needles = Needles::new(&secrets, &Plain::default());
        let found = |text: &str| needles.contains_secret(text.as_bytes());
        assert_eq!(found("psql postgres://app:hunter22@db/shop"), Some(Found { name: "DATABASE_URL", strict: true }));
        assert_eq!(found("echo hunter%322"), Some(Found { name: "DATABASE_URL", strict: true }));
        assert_eq!(found("echo hunter"), None);

        let secrets = [Secret::new("GREETING", "hello-hunter22", false), Secret::new("PASSWORD", "hunter22", true)];
        let needles = Needles::new(&secrets, &Plain::default());
        assert_eq!(needles.contains_secret(b"hello-hunter22"), Some(Found { name: "PASSWORD", strict: true }));
        let needles = Needles::new(&secrets[..1], &Plain::default());
        assert_eq!(needles.contains_secret(b"hello-hunter22"), Some(Found { name: "GREETING", strict: false }));
    }
}

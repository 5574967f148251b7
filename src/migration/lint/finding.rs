//! What a rule says of a place.

use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Needs approval.
    Error,
    /// To be known.
    Warning,
}

/// One thing that is to be said of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the source was named.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Bytes of the file's text.
    #[serde(skip)]
    pub span: Range<usize>,
    /// The statement or the part of it, on one line and shortened.
    pub statement: String,
    /// The SHA-256 of the whole statement: what an approval is bound to.
    #[serde(rename = "statement_sha256")]
    pub digest: String,
    /// What is done here.
    pub message: String,
    /// Why that is bad.
    pub why: &'static str,
    /// The safe way.
    pub safe: &'static str,
}

/// A text on one line, and not all of a long one.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !c.is_control()).take(MOST));
        if out.chars().count() > MOST {
            let mut short: String = out.chars().take(MOST - 1).collect();
            short.push('…');
            return short;
        }
    }
    out
}

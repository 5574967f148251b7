//! A secret's name, and where the host finds secrets. Has no field that could hold a value.

use serde::{Deserialize, Serialize};

/// The name of a secret that the host looks up among its own sources: a key of an env file, or the stem of a secrets file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(pub String);

/// A value that is either written down, or named and resolved where the secret lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// As it stands.
    Plain(String),
    /// On the host, by the host.
    Secret(SecretRef),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret(name) => write!(f, "[secret:{}]", name.0),
        }
    }
}

/// Where a host's secrets are, as the inventory declares it. Paths are on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSources {
    /// Files and globs, relative to `base`. Each must exist and be readable, a glob must match something.
    pub files: Vec<String>,
    /// What relative paths start from: the compose folder.
    pub base: String,
    /// Keys whose values may be shown.
    pub public: Vec<String>,
    /// Names of secrets that are too short to mask, accepted as they are.
    pub accept_short: Vec<String>,
    /// Words that Landfall itself is configured with (project, services, hosts, folders): never secret.
    pub known_plain: Vec<String>,
    /// Personal data that is masked wherever it is printed.
    #[serde(default)]
    pub patterns: Vec<Pattern>,
}

/// What personal data looks like: no value is known before it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// E-mail addresses.
    Email,
    /// What a regular expression finds, within a line.
    Regex(String),
}

/// A value that a host looked at, for `doctor` to list. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretName {
    /// The key, or the stem of the file's name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Whether it is masked.
    pub masked: bool,
    /// Why not, if it is not.
    pub why_not: Option<String>,
    /// It is masked, but looks as if it could be shown.
    pub may_be_public: bool,
}

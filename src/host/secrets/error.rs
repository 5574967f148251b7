//! Why the secrets of a run could not be collected, and what to do about it. Holds names and paths, never a value.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A secret that is too short to mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortSecret {
    /// The key, or the stem of the file's name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
}

impl fmt::Display for ShortSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}

/// A source of secrets that cannot be used as it is. The step that needs it must not start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A declared file does not exist.
    #[error("secrets file {} does not exist", path.display())]
    Missing {
        /// As declared.
        path: PathBuf,
    },
    /// A pattern that matches no file.
    #[error("no secrets file matches {pattern}")]
    NoMatch {
        /// As declared.
        pattern: String,
    },
    /// A file that cannot be read.
    #[error("failed to read secrets file {}", path.display())]
    Unreadable {
        /// As declared.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pattern of `[mask]` that is no regular expression.
    #[error("the mask pattern {0}")]
    Pattern(String),
    /// A folder, a device or a pipe.
    #[error("secrets file {} is not a regular file", path.display())]
    NotAFile {
        /// As declared.
        path: PathBuf,
    },
    /// A file that is not what it should be.
    #[error("{} is not understood at line {line}", path.display())]
    NotUnderstood {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A file beyond the limit.
    #[error("secrets file {} has more than {limit} bytes", path.display())]
    TooLarge {
        /// As declared.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// The host's policy cannot be trusted or understood.
    #[error("the host's policy {} is not heeded: {why}", path.display())]
    Policy {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Secrets that cannot be masked.
    #[error("too short to mask{}: {}", if *forbidden { ", and the host's policy does not let that be accepted" } else { "" }, list(secrets))]
    TooShort {
        /// All of them.
        secrets: Vec<ShortSecret>,
        /// The inventory accepts some of them, but the host's policy does not allow it.
        forbidden: bool,
    },
}

impl SourceError {
    /// What the operator can do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing { path } => format!("create {} on the host, or take it out of the secrets files", path.display()),
            Self::NoMatch { pattern } => format!("create a file that matches {pattern} on the host, or take the pattern out"),
            Self::Unreadable { path, .. } => {
                format!("let the user that runs the steps read {} (owner, group or mode), or use become", path.display())
            }
            Self::Pattern(_) => "correct `patterns` of [mask] in landfall.toml".to_owned(),
            Self::NotAFile { path } => format!("name the files in {}, for example with {}/*", path.display(), path.display()),
            Self::NotUnderstood { path, .. } => format!("correct {} on the host, or remove it", path.display()),
            Self::TooLarge { path, .. } => {
                format!("name only files that hold secrets; {} is too large to be one", path.display())
            }
            Self::Policy { path, .. } => format!(
                "as root on the host: correct {}, or remove it; chown root, chmod 644, its folder chmod 755",
                path.display()
            ),
            Self::TooShort { forbidden: true, .. } => {
                "make them at least four bytes long, or let root name them under allow_short in the policy".to_owned()
            }
            Self::TooShort { secrets, .. } => {
                let names: Vec<String> = secrets.iter().map(|secret| format!("{:?}", secret.name)).collect();
                let names = names.join(", ");
                format!("make them at least four bytes long, or list them: accept_short = [{names}], or public = [{names}]")
            }
        }
    }
}

fn list(secrets: &[ShortSecret]) -> String {
    secrets.iter().map(ShortSecret::to_string).collect::<Vec<_>>().join(", ")
}

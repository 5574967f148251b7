//! Names with one meaning each, checked where they enter the program, and shared: every event carries some. Knows no other module.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct NameError {
    /// What the name would have named: "host name", "service name", …
    pub kind: &'static str,
    /// The offending text.
    pub text: String,
    /// The rule it breaks, in words that tell how to mend it.
    pub rule: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $valid:path, $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { kind: $kind, text: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

names! {
    /// A project: names the lock and the state folder on the host.
    ProjectName, "project name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A host of the inventory (`[hosts.NAME]`).
    HostName, "host name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A group of hosts.
    GroupName, "group name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A service of the compose project.
    ServiceName, "service name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A seed declared under `[seeds.NAME]`.
    SeedName, "seed name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A migration tool declared under `[tools.NAME]`.
    ToolName, "tool name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A playbook, by its file stem.
    PlaybookName, "playbook name", is_word, "use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit";
    /// A step, unique in its playbook. Shown to people, so blanks are welcome.
    StepName, "step name", is_label, "use 1 to 80 printable characters, with no blank at either end";
    /// A run. Twelve letters from k to z (48 random bits), so that a prefix addresses it and no digit is misread.
    RunId, "run id", is_run_id, "a run id is 12 letters from k to z";
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.chars().count() <= 80 && !text.chars().any(char::is_control)
}

fn is_run_id(text: &str) -> bool {
    text.len() == RunId::LEN && text.bytes().all(|b| (b'k'..=b'z').contains(&b))
}

impl ProjectName {
    /// Stands in for a name that is missing, so that reading can go on to the next error.
    pub fn unnamed() -> Self {
        Self("unnamed".into())
    }
}

impl RunId {
    /// Letters in an id.
    pub const LEN: usize = 12;

    /// Makes the id that stands for 48 bits of randomness.
    pub fn from_random(bits: [u8; 6]) -> Self {
        let letter = |nibble: u8| char::from(b'k' + (nibble & 0x0f));
        Self(bits.iter().flat_map(|b| [letter(b >> 4), letter(*b)]).collect::<String>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_refuse_what_could_escape_a_path_or_an_option() {
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a\n", "é", &"x".repeat(65)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
        for good in ["a", "droplet-1", "0", "a.b_c", &"x".repeat(64)] {
            assert!(good.parse::<HostName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn step_names_are_labels() {
        assert!("api answers".parse::<StepName>().is_ok());
        assert!(" x".parse::<StepName>().is_err());
        assert!("a\u{1b}[31m".parse::<StepName>().is_err());
    }

    #[test]
    fn run_ids_are_letters_from_k_to_z() {
        let id = RunId::from_random([0x00, 0x0f, 0xf0, 0xff, 0x12, 0xab]);
        assert_eq!(id.as_str(), "kkkzzkzzlmuv");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert!("kkkzzkzzlmu".parse::<RunId>().is_err());
        assert!("kkkzzkzzlmua".parse::<RunId>().is_err());
    }

    #[test]
    fn names_are_checked_when_read_from_json() {
        let error = serde_json::from_str::<ServiceName>("\"a b\"").expect_err("a blank");
        assert!(error.to_string().contains("is not a service name"), "{error}");
    }
}

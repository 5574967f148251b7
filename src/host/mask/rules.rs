//! Which values are secrets and which would only ruin the output. Must not know how a value is found in a stream.

use std::collections::HashSet;

/// Values of this length or more are masked wherever they occur.
pub const ANYWHERE: usize = 6;
/// Shorter ones, down to this length, only between word boundaries, and only if they are certainly secret.
pub const SHORTEST: usize = 4;

/// Words that values often are, and that outputs are full of.
const ORDINARY_WORDS: &str = "\
    true false yes no null none nil on off auto always never enabled disabled enable disable default localhost host \
    production staging development develop testing test local prod debug info notice warn warning error trace verbose \
    silent postgres postgresql mysql mariadb redis sqlite mongodb admin root user public private master main app web api \
    worker http https tcp ssl tls prefer require required optional json text file stdout stderr memory database utf8 utf-8 \
    utf8mb4 c.utf-8 en_us.utf-8 etc/utc utc gmt node python bash /bin/sh /bin/bash 0.0.0.0 127.0.0.1 /dev/null";

/// Keys that describe the environment.
const ORDINARY_KEYS: &str = "\
    PATH HOME LANG LANGUAGE TZ HOSTNAME PWD OLDPWD TERM USER LOGNAME SHELL SHLVL EDITOR PAGER TMPDIR PGDATA COLORTERM \
    FORCE_COLOR NO_COLOR";

/// A key with one of these in its name holds a secret.
const SECRET_KEYS: &[&str] = &["PASS", "SECRET", "TOKEN", "KEY", "PWD", "SALT", "DSN"];

/// Why a value is not masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WhyNot {
    /// There is nothing to mask.
    #[error("it is empty")]
    Empty,
    /// The configuration lists its key as public.
    #[error("its key is listed as public")]
    Public,
    /// Its key describes the environment: PATH, HOME, LANG.
    #[error("its key describes the environment and holds no secret")]
    OrdinaryKey,
    /// `true`, `production`, `postgres`.
    #[error("it is a common word")]
    OrdinaryWord,
    /// A number, version or address of fewer than nine digits.
    #[error("it is a number of fewer than nine digits")]
    Number,
    /// The project, a service, a host, a folder.
    #[error("it is a name that the plan itself shows")]
    Known,
    /// Short, and nothing says that it is a secret.
    #[error("it is shorter than six bytes and its key does not look secret")]
    Short,
    /// Too short to mask, and no more secret than the image that says it.
    #[error("it is too short to mask, and whoever has the image can read it")]
    OfImage,
    /// Too short to mask, and accepted as such.
    #[error("it is too short to mask, which the configuration accepts")]
    Accepted,
}

/// What becomes of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is masked.
    Mask,
    /// It is not.
    Leave(WhyNot),
    /// It is certainly secret, but too short to mask.
    TooShort,
}

/// Whether a key says that its value is a secret.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_uppercase();
    !is_ordinary_key(&key) && SECRET_KEYS.iter().any(|part| key.contains(part))
}

fn is_ordinary_key(key: &str) -> bool {
    ORDINARY_KEYS.split(' ').any(|ordinary| ordinary == key)
        || key.starts_with("LC_")
        || (key.ends_with("_VERSION") && !SECRET_KEYS.iter().any(|part| key.contains(part)))
}

/// What is known not to be secret.
#[derive(Clone, Default)]
pub struct Plain {
    known: HashSet<Vec<u8>>,
}

impl Plain {
    /// With the names that the plan is configured with: project, services, hosts, folders.
    pub fn new(known: &[String]) -> Self {
        Self { known: known.iter().map(|name| name.trim().as_bytes().to_vec()).collect() }
    }

    /// Why the value itself, whatever its key, must not be masked.
    pub fn why_not(&self, value: &[u8]) -> Option<WhyNot> {
        let value = value.trim_ascii();
        let lower = value.to_ascii_lowercase();
        if value.is_empty() {
            Some(WhyNot::Empty)
        } else if ORDINARY_WORDS.split(' ').any(|word| word.as_bytes() == lower) {
            Some(WhyNot::OrdinaryWord)
        } else if is_small_number(value) {
            Some(WhyNot::Number)
        } else if self.known.contains(value) {
            Some(WhyNot::Known)
        } else {
            None
        }
    }

    /// Decides on a value. `strict`: it comes from a secrets file, or its key looks secret.
    pub fn judge(&self, key: &str, value: &[u8], strict: bool) -> Verdict {
        if is_ordinary_key(&key.to_ascii_uppercase()) {
            return Verdict::Leave(WhyNot::OrdinaryKey);
        }
        match (self.why_not(value), value.trim_ascii().len()) {
            (Some(why), _) => Verdict::Leave(why),
            (None, ANYWHERE..) => Verdict::Mask,
            (None, SHORTEST..) if strict => Verdict::Mask,
            (None, _) if strict => Verdict::TooShort,
            (None, _) => Verdict::Leave(WhyNot::Short),
        }
    }
}

fn is_small_number(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && value.iter().filter(|byte| byte.is_ascii_digit()).count() < 9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let plain = Plain::new(&["shop".into(), "/srv/shop".into(), "orders".into()]);
        for (key, value, verdict) in [
            ("APP_ENV", "production", Verdict::Leave(WhyNot::OrdinaryWord)),
            ("DEBUG", "TRUE", Verdict::Leave(WhyNot::OrdinaryWord)),
            ("PORT", "5432", Verdict::Leave(WhyNot::Number)),
            ("TOKEN_TTL", "86400", Verdict::Leave(WhyNot::Number)),
            ("ACCOUNT", "123456789", Verdict::Mask),
            ("BIND", "10.0.0.12", Verdict::Leave(WhyNot::Number)),
            ("POSTGRES_PASSWORD", "postgres", Verdict::Leave(WhyNot::OrdinaryWord)),
            ("POSTGRES_DB", "orders", Verdict::Leave(WhyNot::Known)),
            ("FOLDER", "/srv/shop", Verdict::Leave(WhyNot::Known)),
            ("PATH", "/usr/local/bin:/usr/bin", Verdict::Leave(WhyNot::OrdinaryKey)),
            ("NODE_VERSION", "22.11.0-rc1", Verdict::Leave(WhyNot::OrdinaryKey)),
            ("LC_ALL", "de_DE.UTF-8", Verdict::Leave(WhyNot::OrdinaryKey)),
            ("EMPTY", "", Verdict::Leave(WhyNot::Empty)),
            ("REGION", "fra1", Verdict::Leave(WhyNot::Short)),
            ("DB_PASSWORD", "ab12", Verdict::Mask),
            ("db_password", "a1c", Verdict::TooShort),
            ("REGION_NAME", "europe-west", Verdict::Mask),
        ] {
            assert_eq!(plain.judge(key, value.as_bytes(), is_secret_key(key)), verdict, "{key}");
        }
    }
}

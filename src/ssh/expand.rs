//! Expands `~`, `%` tokens and `${ENV}` in the paths that `ssh -G` prints.
//!
//! Pure: all it needs is in [`Tokens`]. Must not know which setting it expands.

use std::path::PathBuf;

/// The values of the tokens, for one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// `%d` and `~`.
    pub(super) home: String,
    /// `%h`: the real address.
    pub(super) address: String,
    /// `%n`: the name as it was given.
    pub(super) name: String,
    /// `%k`: the name in known_hosts.
    pub(super) key_alias: String,
    /// `%p`.
    pub(super) port: String,
    /// `%r`.
    pub(super) remote_user: String,
    /// `%u`.
    pub(super) local_user: String,
    /// `%i`.
    pub(super) uid: String,
    /// `%l`; `%L` is the part before the first dot.
    pub(super) local_host: String,
}

/// Says what could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A `%` with a letter that has no value here.
    #[error("unknown token {0}")]
    Token(String),
    /// An environment variable that is not set.
    #[error("environment variable {0} is not set")]
    Variable(String),
    /// `${` without its `}`.
    #[error("\"${{\" without its \"}}\"")]
    Unclosed,
    /// `~name`, the home of another user.
    #[error("the home of another user ({0})")]
    OtherHome(String),
}

/// Expands one path.
pub(super) fn expand(
    text: &str,
    tokens: &Tokens,
    env: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, ExpandError> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        if !(after.is_empty() || after.starts_with('/')) {
            return Err(ExpandError::OtherHome(
                text.split('/').next().unwrap_or(text).to_owned(),
            ));
        }
        out.push_str(&tokens.home);
        rest = after;
    }
    while let Some(at) = rest.find(['%', '$']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("${") {
            let (name, after) = after.split_once('}').ok_or(ExpandError::Unclosed)?;
            out.push_str(&env(name).ok_or_else(|| ExpandError::Variable(name.to_owned()))?);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('%') {
            let letter = after
                .chars()
                .next()
                .ok_or_else(|| ExpandError::Token("%".to_owned()))?;
            out.push_str(match letter {
                '%' => "%",
                'd' => &tokens.home,
                'h' => &tokens.address,
                'n' => &tokens.name,
                'k' => &tokens.key_alias,
                'p' => &tokens.port,
                'r' => &tokens.remote_user,
                'u' => &tokens.local_user,
                'i' => &tokens.uid,
                'l' => &tokens.local_host,
                'L' => tokens.local_host.split('.').next().unwrap_or_default(),
                other => return Err(ExpandError::Token(format!("%{other}"))),
            });
            rest = &after[letter.len_utf8()..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(PathBuf::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            home: "/home/me".into(),
            address: "10.0.0.1".into(),
            name: "db".into(),
            key_alias: "dbkey".into(),
            port: "2222".into(),
            remote_user: "root".into(),
            local_user: "me".into(),
            uid: "1000".into(),
            local_host: "laptop.lan".into(),
        }
    }

    #[test]
    fn tokens_homes_and_variables() {
        let env = |name: &str| (name == "KEYS").then(|| "/keys".to_owned());
        for (text, expected) in [
            ("~/.ssh/id", Ok("/home/me/.ssh/id")),
            ("~", Ok("/home/me")),
            ("/a~b", Ok("/a~b")),
            (
                "%d/%n-%h-%p-%r-%u-%i-%k-%%",
                Ok("/home/me/db-10.0.0.1-2222-root-me-1000-dbkey-%"),
            ),
            ("/%l/%L", Ok("/laptop.lan/laptop")),
            ("${KEYS}/%h", Ok("/keys/10.0.0.1")),
            ("/a$b", Ok("/a$b")),
            ("%x", Err(ExpandError::Token("%x".into()))),
            ("a%", Err(ExpandError::Token("%".into()))),
            ("${NO}", Err(ExpandError::Variable("NO".into()))),
            ("${NO", Err(ExpandError::Unclosed)),
            ("~other/x", Err(ExpandError::OtherHome("~other".into()))),
        ] {
            assert_eq!(
                expand(text, &tokens(), env),
                expected.map(PathBuf::from),
                "{text}"
            );
        }
    }
}

//! A host's public key: parsed, compared and shown.
//!
//! Must not know where keys are kept or whether one is trusted; that is `known_hosts`.

use std::fmt;

use russh::keys::{HashAlg, PublicKey};

/// A host's public key. Two are equal when their key material is; a comment does not count.
#[derive(Clone)]
pub struct HostKey(PublicKey);

/// Says why a text is not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key such as \"ssh-ed25519 AAAA…\": {text:?}")]
pub struct HostKeyError {
    /// The text, cut to what fits a message.
    pub text: String,
}

impl HostKey {
    /// Parses `TYPE BASE64 [COMMENT]`, the form of a `.pub` file.
    pub fn parse(text: &str) -> Result<Self, HostKeyError> {
        let mut fields = text.split_ascii_whitespace();
        let error = || HostKeyError {
            text: text.chars().take(80).collect(),
        };
        let (Some(kind), Some(base64)) = (fields.next(), fields.next()) else {
            return Err(error());
        };
        PublicKey::from_openssh(&format!("{kind} {base64}"))
            .map(Self)
            .map_err(|_| error())
    }

    /// Returns the key's type, such as `ssh-ed25519`.
    pub fn kind(&self) -> String {
        self.0.algorithm().to_string()
    }

    /// Returns the fingerprint as OpenSSH shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) fn from_key(key: PublicKey) -> Self {
        Self(key)
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.0
    }
}

impl PartialEq for HostKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key_data() == other.0.key_data()
    }
}

impl Eq for HostKey {}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({} {})", self.kind(), self.fingerprint())
    }
}

/// Shows `TYPE BASE64`, without a comment: the form of a `known_hosts` line and of a pin.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = self.0.clone();
        key.set_comment("");
        write!(
            f,
            "{}",
            key.to_openssh().map_err(|_| fmt::Error)?.trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn a_comment_does_not_count() {
        let one = HostKey::parse(&format!("{KEY} me@here")).unwrap();
        assert_eq!(one, HostKey::parse(KEY).unwrap());
        assert_eq!(one.to_string(), KEY);
        assert_eq!(one.kind(), "ssh-ed25519");
        assert!(one.fingerprint().starts_with("SHA256:"));
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert!(HostKey::parse("ssh-ed25519").is_err());
        assert!(
            HostKey::parse(
                "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
            )
            .is_err()
        );
        assert!(
            HostKey::parse("")
                .unwrap_err()
                .to_string()
                .starts_with("not a public key")
        );
    }
}

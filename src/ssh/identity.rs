//! Private keys: reading their files, refusing what others may read, telling locked ones apart.
//!
//! Must not know hosts or logins.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A private key as it was found.
pub(super) enum Identity {
    /// Ready to sign.
    Open(Arc<PrivateKey>),
    /// Needs a passphrase. The public half, where the file tells it.
    Locked {
        text: SecretString,
        public: Option<PublicKey>,
    },
}

/// Says why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("{path}: mode {mode:04o} lets others read it", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no private key.
    #[error("{path}: not a private key", path = .path.display())]
    NotAKey {
        /// The file, or the name of the environment variable.
        path: PathBuf,
    },
}

impl IdentityError {
    /// Says what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!(
                "make {} readable for you, or name another identity_file",
                path.display()
            ),
            Self::Open { path, .. } => format!("chmod 600 {}", path.display()),
            Self::NotAKey { path } => format!(
                "give the private half of a key pair (not the .pub) in {}",
                path.display()
            ),
        }
    }
}

/// Reads a private key's file.
pub(super) fn load(path: &Path) -> Result<Identity, IdentityError> {
    let unreadable = |source| IdentityError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    let mode = meta.mode() & 0o777;
    // As OpenSSH: only our own files are judged; those of others are their business.
    if meta.uid() == rustix::process::getuid().as_raw() && mode & 0o077 != 0 {
        return Err(IdentityError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    parse(path, text.as_str().into())
}

/// Reads a private key's text; `path` only names it.
pub(super) fn parse(path: &Path, text: SecretString) -> Result<Identity, IdentityError> {
    match decode(text.expose_secret(), None) {
        Ok(key) => Ok(Identity::Open(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => {
            let in_clear = PrivateKey::from_openssh(text.expose_secret())
                .ok()
                .map(|k| k.public_key().clone());
            let public = in_clear.or_else(|| public_half(path));
            Ok(Identity::Locked { text, public })
        }
        Err(_) => Err(IdentityError::NotAKey {
            path: path.to_owned(),
        }),
    }
}

/// Decodes a private key, with its passphrase where it has one.
pub(super) fn decode(
    text: &str,
    passphrase: Option<&str>,
) -> Result<PrivateKey, russh::keys::Error> {
    let key = decode_secret_key(text, passphrase)?;
    if key.is_encrypted() {
        Err(russh::keys::Error::KeyIsEncrypted)
    } else {
        Ok(key)
    }
}

/// Reads the `.pub` beside a private key.
pub(super) fn public_half(path: &Path) -> Option<PublicKey> {
    let mut file = path.as_os_str().to_owned();
    file.push(".pub");
    PublicKey::from_openssh(std::fs::read_to_string(PathBuf::from(file)).ok()?.trim()).ok()
}

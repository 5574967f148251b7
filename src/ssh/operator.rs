//! Who connects: what can be asked, the key of `LANDFALL_SSH_KEY`, the keys unlocked so far, how many handshakes at once.
//!
//! One for a whole process, shared by all connections, so that nothing is asked twice. Must not know how anything is asked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::PrivateKey;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::host_key::HostKey;
use super::identity;

/// The environment variable that may hold a private key's text.
pub const KEY_VARIABLE: &str = "LANDFALL_SSH_KEY";

/// Handshakes at once with one endpoint: sshd's default `MaxStartups` begins to refuse at ten.
const HANDSHAKES: usize = 8;

/// A host key that no file and no pin knows.
#[derive(Clone, Debug)]
pub struct UnknownKey {
    /// What messages call the host.
    pub host: String,
    /// Where it was met: `address:port`.
    pub address: String,
    /// The key.
    pub key: HostKey,
}

/// Asks a person, or refuses where there is none. Called on a thread that may block, one question at a time.
pub trait Ask: Send + Sync {
    /// Asks for the passphrase of a private key. `None`: there is no terminal, or the person declined.
    fn passphrase(&self, key: &Path) -> Option<SecretString>;
    /// Shows an unknown host key and asks whether to trust it. `false` where there is no terminal.
    fn accept_key(&self, unknown: &UnknownKey) -> bool;
}

/// What became of a locked key.
#[derive(Clone)]
pub(super) enum Unlocked {
    Key(Arc<PrivateKey>),
    /// Nobody gave a passphrase.
    Declined,
    /// The passphrase was wrong, three times.
    Wrong,
}

/// Who connects.
pub struct Operator {
    ask: Arc<dyn Ask>,
    key: Option<SecretString>,
    unlocked: tokio::sync::Mutex<HashMap<PathBuf, Unlocked>>,
    asking: tokio::sync::Mutex<()>,
    endpoints: Mutex<HashMap<(String, u16), Arc<Semaphore>>>,
}

impl Operator {
    /// Makes one without a key of its own.
    pub fn new(ask: Arc<dyn Ask>) -> Self {
        Self {
            ask,
            key: None,
            unlocked: tokio::sync::Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            endpoints: Mutex::default(),
        }
    }

    /// Gives it a private key's text, which is tried before all others.
    #[must_use]
    pub fn with_key(mut self, text: SecretString) -> Self {
        self.key = Some(text);
        self
    }

    /// Makes one with the key of [`KEY_VARIABLE`], if that is set.
    pub fn of_process(ask: Arc<dyn Ask>) -> Self {
        let operator = Self::new(ask);
        match std::env::var(KEY_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => operator.with_key(text.into()),
            _ => operator,
        }
    }

    pub(super) fn key(&self) -> Option<&SecretString> {
        self.key.as_ref()
    }

    /// Waits for a place among the handshakes with an endpoint.
    pub(super) async fn handshake(&self, address: &str, port: u16) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut endpoints = self
                .endpoints
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let places = endpoints
                .entry((address.to_owned(), port))
                .or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES)));
            Arc::clone(places)
        };
        places.acquire_owned().await.ok()
    }

    /// Asks whether to trust a host key.
    pub(super) async fn accepts(&self, unknown: UnknownKey) -> bool {
        let _one = self.asking.lock().await;
        let ask = Arc::clone(&self.ask);
        tokio::task::spawn_blocking(move || ask.accept_key(&unknown))
            .await
            .unwrap_or(false)
    }

    /// Unlocks a key; asks at most once for each path, whatever the answer was.
    pub(super) async fn unlock(&self, path: &Path, text: &SecretString) -> Unlocked {
        let mut unlocked = self.unlocked.lock().await;
        if let Some(known) = unlocked.get(path) {
            return known.clone();
        }
        let _one = self.asking.lock().await;
        let (ask, owned, text) = (Arc::clone(&self.ask), path.to_owned(), text.clone());
        let result = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                let Some(passphrase) = ask.passphrase(&owned) else {
                    return Unlocked::Declined;
                };
                if let Ok(key) =
                    identity::decode(text.expose_secret(), Some(passphrase.expose_secret()))
                {
                    return Unlocked::Key(Arc::new(key));
                }
            }
            Unlocked::Wrong
        });
        let result = result.await.unwrap_or(Unlocked::Declined);
        unlocked.insert(path.to_owned(), result.clone());
        result
    }
}

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
use crate::vault::KEY_VARIABLE;

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
    /// Asks for the password that sudo wants of a login (`user@address`). `None`: there is no terminal, or the person declined.
    fn sudo_password(&self, login: &str) -> Option<SecretString>;
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
    /// For as long as this process lives: a connection that is made again asks nobody.
    sudo: tokio::sync::Mutex<HashMap<String, Option<SecretString>>>,
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
            sudo: tokio::sync::Mutex::default(),
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
            let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            let places = endpoints.entry((address.to_owned(), port)).or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES)));
            Arc::clone(places)
        };
        places.acquire_owned().await.ok()
    }

    /// Asks whether to trust a host key.
    pub(super) async fn accepts(&self, unknown: UnknownKey) -> bool {
        let _one = self.asking.lock().await;
        let ask = Arc::clone(&self.ask);
        tokio::task::spawn_blocking(move || ask.accept_key(&unknown)).await.unwrap_or(false)
    }

    /// The password that sudo wants of a login there; asks at most once, whatever the answer was.
    pub async fn sudo_password(&self, login: &str) -> Option<SecretString> {
        let mut known = self.sudo.lock().await;
        if let Some(password) = known.get(login) {
            return password.clone();
        }
        let _one = self.asking.lock().await;
        let (ask, of) = (Arc::clone(&self.ask), login.to_owned());
        let password = tokio::task::spawn_blocking(move || ask.sudo_password(&of)).await.ok().flatten();
        known.insert(login.to_owned(), password.clone());
        password
    }

    /// Never gives again a password that sudo did not take: said a few times more it would lock the account.
    pub async fn refuse_sudo_password(&self, login: &str) {
        self.sudo.lock().await.insert(login.to_owned(), None);
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
                if let Ok(key) = identity::decode(text.expose_secret(), Some(passphrase.expose_secret())) {
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

//! The login: which keys are offered, in which order, with as few round trips as can be.
//!
//! Order: the key of `LANDFALL_SSH_KEY`, the inventory's file, the agent's keys, the files of `ssh -G` that exist. The agent is
//! only asked when its turn comes or a locked file needs it; a passphrase only when the server would take the key. Must not
//! know how the connection was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use secrecy::SecretString;
use tokio::net::UnixStream;

use super::client::{Client, Shared};
use super::error::ConnectError;
use super::identity::{self, Identity};
use super::operator::{Operator, Unlocked};
use super::settings::{Origin, Settings};
use crate::vault::KEY_VARIABLE;

/// Logs in.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    settings: &Settings,
    operator: &Operator,
    shared: &Shared,
) -> Result<(), ConnectError> {
    let mut login = Login {
        handle,
        settings,
        operator,
        shared,
        agent: None,
        rsa: None,
        offered: Vec::new(),
        tried: Vec::new(),
        methods: Vec::new(),
        notes: Vec::new(),
        locked: None,
        unreachable: None,
    };
    match login.run().await {
        Ok(()) | Err(Stop::Done) => Ok(()),
        Err(Stop::GaveUp) => Err(login.refused()),
        Err(Stop::Error(e)) => Err(*e),
    }
}

/// Why no further key is tried.
enum Stop {
    Done,
    GaveUp,
    Error(Box<ConnectError>),
}

struct Agent {
    client: AgentClient<UnixStream>,
    keys: Vec<(PublicKey, String)>,
}

#[allow(clippy::option_option)]
struct Login<'a> {
    handle: &'a mut Handle<Client>,
    settings: &'a Settings,
    operator: &'a Operator,
    shared: &'a Shared,
    /// `Some(None)`: asked for, and there is none.
    agent: Option<Option<Agent>>,
    /// Likewise, for a hash that both sides have.
    rsa: Option<Option<HashAlg>>,
    offered: Vec<PublicKey>,
    tried: Vec<String>,
    methods: Vec<String>,
    notes: Vec<String>,
    locked: Option<ConnectError>,
    unreachable: Option<ConnectError>,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        if let Some(text) = self.operator.key() {
            let path = Path::new(KEY_VARIABLE);
            let identity = identity::parse(path, text.clone()).map_err(|why| self.identity_error(why))?;
            self.offer(path, identity).await?;
        }
        let files: Vec<(PathBuf, Origin)> = self.settings.identities.iter().map(|i| (i.value.clone(), i.origin)).collect();
        for (path, _) in files.iter().filter(|(_, origin)| *origin == Origin::Inventory) {
            let identity = identity::load(path).map_err(|why| self.identity_error(why))?;
            self.offer(path, identity).await?;
        }
        self.offer_agent_keys(&files).await?;
        for (path, _) in files.iter().filter(|(path, origin)| *origin != Origin::Inventory && path.exists()) {
            match identity::load(path) {
                Ok(identity) => self.offer(path, identity).await?,
                Err(why) => self.notes.push(format!("passed over {why}")),
            }
        }
        Err(Stop::GaveUp)
    }

    fn identity_error(&self, why: identity::IdentityError) -> Stop {
        Stop::Error(Box::new(ConnectError::Identity { host: self.settings.name.clone(), why }))
    }

    /// Offers one private key; a locked one through the agent if that holds it.
    async fn offer(&mut self, path: &Path, identity: Identity) -> Result<(), Stop> {
        match identity {
            Identity::Open(key) => self.offer_key(path, &key).await,
            Identity::Locked { text, public } => {
                if let Some(public) = &public {
                    if self.was_offered(public) {
                        return Ok(());
                    }
                    self.reach_agent().await;
                    let held =
                        self.agent.iter().flatten().flat_map(|a| &a.keys).any(|(key, _)| key.key_data() == public.key_data());
                    if held {
                        return self.offer_from_agent(public, &path.display().to_string()).await;
                    }
                    if !self.would_take(public).await? {
                        self.note_tried(public, &path.display().to_string());
                        return Ok(());
                    }
                }
                self.unlock_and_offer(path, &text).await
            }
        }
    }

    async fn unlock_and_offer(&mut self, path: &Path, text: &SecretString) -> Result<(), Stop> {
        let host = self.settings.name.clone();
        match self.operator.unlock(path, text).await {
            Unlocked::Key(key) => {
                self.offered.retain(|k| k.key_data() != key.public_key().key_data());
                return self.offer_key(path, &key).await;
            }
            Unlocked::Declined => {
                self.locked = Some(ConnectError::KeyLocked { host, key: path.to_owned() });
            }
            Unlocked::Wrong => {
                self.locked = Some(ConnectError::WrongPassphrase { host, key: path.to_owned() });
            }
        }
        Ok(())
    }

    async fn offer_key(&mut self, path: &Path, key: &Arc<PrivateKey>) -> Result<(), Stop> {
        if self.was_offered(key.public_key()) {
            return Ok(());
        }
        let Some(hash) = self.hash_for(key.public_key()).await else {
            return Ok(());
        };
        self.note_tried(key.public_key(), &path.display().to_string());
        let user = self.settings.user.value.clone();
        let result = self.handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(key), hash)).await;
        self.judge(result.ok())
    }

    /// Asks the server whether it would take a key, without signing anything.
    async fn would_take(&mut self, public: &PublicKey) -> Result<bool, Stop> {
        let Some(hash) = self.hash_for(public).await else {
            return Ok(false);
        };
        let user = self.settings.user.value.clone();
        match self.handle.authenticate_publickey_with(user, public.clone(), hash, &mut NoSigner).await {
            Err(WouldTake) => Ok(true),
            Ok(result) => self.judge(Some(result)).map(|()| false),
        }
    }

    async fn offer_agent_keys(&mut self, files: &[(PathBuf, Origin)]) -> Result<(), Stop> {
        self.reach_agent().await;
        let Some(Some(agent)) = &self.agent else {
            return Ok(());
        };
        let named: Vec<PublicKey> = files.iter().filter_map(|(path, _)| identity::public_half(path)).collect();
        let is_named = |key: &PublicKey| named.iter().any(|n| n.key_data() == key.key_data());
        let mut keys = agent.keys.clone();
        keys.sort_by_key(|(key, _)| !is_named(key));
        if self.settings.identities_only {
            keys.retain(|(key, _)| is_named(key));
        }
        for (key, comment) in keys {
            if !self.was_offered(&key) {
                self.offer_from_agent(&key, &format!("agent, {}", comment.escape_debug())).await?;
            }
        }
        Ok(())
    }

    async fn offer_from_agent(&mut self, key: &PublicKey, shown: &str) -> Result<(), Stop> {
        let Some(hash) = self.hash_for(key).await else {
            return Ok(());
        };
        self.note_tried(key, shown);
        let Some(Some(agent)) = &mut self.agent else {
            return Ok(());
        };
        let user = self.settings.user.value.clone();
        match self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent.client).await {
            Ok(result) => self.judge(Some(result)),
            Err(e) => {
                self.notes.push(format!("the agent did not sign with {shown}: {e}"));
                self.judge(None)
            }
        }
    }

    /// Connects to the agent and lists its keys, the first time it is needed.
    async fn reach_agent(&mut self) {
        if self.agent.is_some() {
            return;
        }
        self.agent = Some(None);
        let Some(socket) = self.settings.agent.as_ref().map(|a| a.value.clone()) else {
            return;
        };
        let reached = async {
            let mut client = AgentClient::connect_uds(&socket).await?;
            // Keys bound to destinations show themselves only to a bound session; agents without that refuse harmlessly.
            if let Some(binding) = self.handle.agent_session_binding() {
                let _ = client.bind_session(binding, false).await;
            }
            let identities = client.request_identities().await?;
            Ok::<_, russh::keys::Error>((client, identities))
        };
        match reached.await {
            Ok((client, identities)) => {
                let keys = identities.into_iter().filter_map(|identity| match identity {
                    AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
                    AgentIdentity::Certificate { .. } => None,
                });
                self.agent = Some(Some(Agent { client, keys: keys.collect() }));
            }
            Err(e) => {
                let (host, why) = (self.settings.name.clone(), e.to_string());
                self.notes.push(format!("the ssh agent at {} cannot be reached: {why}", socket.display()));
                self.unreachable = Some(ConnectError::Agent { host, socket, why });
            }
        }
    }

    /// Returns the hash for a key's signatures: only RSA has one, and never SHA-1. `None`: the server takes none of ours.
    #[allow(clippy::option_option)]
    async fn hash_for(&mut self, key: &PublicKey) -> Option<Option<HashAlg>> {
        if !key.algorithm().is_rsa() {
            return Some(None);
        }
        if self.rsa.is_none() {
            self.rsa = Some(match self.handle.best_supported_rsa_hash().await {
                Ok(Some(best)) => best,
                Ok(None) | Err(_) => Some(HashAlg::Sha512),
            });
        }
        let hash = self.rsa.flatten();
        if hash.is_none() {
            self.notes.push("the server takes RSA keys only with SHA-1".to_owned());
        }
        hash.map(Some)
    }

    fn was_offered(&self, key: &PublicKey) -> bool {
        self.offered.iter().any(|k| k.key_data() == key.key_data())
    }

    fn note_tried(&mut self, key: &PublicKey, shown: &str) {
        self.offered.push(key.clone());
        self.tried.push(format!("{} {} ({shown})", key.algorithm(), key.fingerprint(HashAlg::Sha256)));
    }

    /// Judges an attempt: done, go on, or no use.
    fn judge(&mut self, result: Option<AuthResult>) -> Result<(), Stop> {
        match result {
            Some(AuthResult::Success) => return Err(Stop::Done),
            Some(AuthResult::Failure { remaining_methods, partial_success }) => {
                self.methods = remaining_methods.iter().map(|m| <&str>::from(m).to_owned()).collect();
                if partial_success {
                    self.notes.push("the key was taken, but the server wants another proof besides".to_owned());
                    return Err(Stop::GaveUp);
                }
                if remaining_methods.contains(&MethodKind::PublicKey) {
                    return Ok(());
                }
            }
            None if self.shared.lost().is_none() && !self.handle.is_closed() => return Ok(()),
            None => {}
        }
        if let Some(why) = self.shared.lost().filter(|_| self.methods.is_empty()) {
            self.notes.push(why);
        }
        Err(Stop::GaveUp)
    }

    fn refused(&mut self) -> ConnectError {
        let host = self.settings.name.clone();
        if let Some(locked) = self.locked.take() {
            return locked;
        }
        if let Some(unreachable) = self.unreachable.take_if(|_| self.tried.is_empty()) {
            return unreachable;
        }
        ConnectError::LoginRefused {
            host,
            user: self.settings.user.value.clone(),
            tried: std::mem::take(&mut self.tried),
            methods: std::mem::take(&mut self.methods),
            notes: std::mem::take(&mut self.notes),
        }
    }
}

/// A signer that never signs: that it is called says that the server would take the key.
struct NoSigner;

struct WouldTake;

impl From<russh::SendError> for WouldTake {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl russh::Signer for NoSigner {
    type Error = WouldTake;

    async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, WouldTake> {
        Err(WouldTake)
    }
}

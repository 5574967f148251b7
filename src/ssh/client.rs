//! The client's side of the protocol: its parameters, and what the library calls back.
//!
//! Owns the verdict on the host's key, the facts of the negotiation and the cause of a loss. Must not know logins or channels.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{Config, DisconnectReason, Handler, Session};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{Limits, Names, Preferred, SshId, cipher, compression};
use tokio::sync::watch;

use super::host_key::HostKey;
use super::known_hosts::{KnownHosts, Verdict};

/// Silence is noticed after three of them: within 15 s, and not only just.
const KEEPALIVE: Duration = Duration::from_secs(4);
const KEEPALIVES: usize = 2;
/// Guards writes that block, during which no keepalive is sent; answers to keepalives reset it.
const INACTIVITY: Duration = Duration::from_mins(1);

/// Returns the parameters of a connection whose host is known by `known` keys.
pub(super) fn config(known: &[&HostKey]) -> Config {
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-Landfall_", env!("CARGO_PKG_VERSION")))),
        // A large window is what makes long distances fast; memory does not grow with it here.
        window_size: 16 << 20,
        maximum_packet_size: 32_768,
        channel_buffer_size: 100,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        inactivity_timeout: Some(INACTIVITY),
        // A key exchange that we begin kills a connection with three busy channels: the server begins its own.
        limits: Limits { rekey_read_limit: 32 << 30, rekey_write_limit: 32 << 30, rekey_time_limit: Duration::from_hours(24) },
        nodelay: true,
        preferred: Preferred {
            key: Cow::Owned(key_order(known)),
            cipher: Cow::Borrowed(&[
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

/// Orders the types of host keys: first those by which the host is known, as OpenSSH does; else it would look unknown.
fn key_order(known: &[&HostKey]) -> Vec<Algorithm> {
    let is_known = |a: &Algorithm| known.iter().any(|k| same_kind(&k.key().algorithm(), a));
    let mut order: Vec<Algorithm> =
        Preferred::DEFAULT.key.iter().filter(|a| !matches!(a, Algorithm::Rsa { hash: None } | Algorithm::Dsa)).cloned().collect();
    if !order.iter().any(|a| matches!(a, Algorithm::Rsa { .. })) {
        order.extend([HashAlg::Sha512, HashAlg::Sha256].map(|hash| Algorithm::Rsa { hash: Some(hash) }));
    }
    order.sort_by_key(|a| !is_known(a));
    order
}

/// Compares types of keys; for RSA the hash belongs to a signature and not to the key.
pub(super) fn same_kind(a: &Algorithm, b: &Algorithm) -> bool {
    matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || a == b
}

/// What must be true of the host's key.
pub(super) enum Judge {
    /// It is one of the pins, and not revoked.
    Pins { pins: Vec<HostKey>, known: KnownHosts, host: String, port: u16 },
    /// The files know it.
    Files { known: KnownHosts, host: String, port: u16 },
    /// It is only looked at; the connection ends there.
    Look,
}

/// Says why the host's key was not accepted.
#[derive(Debug)]
pub(super) enum Objection {
    NotPinned,
    Files(Verdict),
    OnlyLooking,
}

impl Judge {
    fn judge(&self, key: &HostKey) -> Result<(), Objection> {
        match self {
            Self::Pins { pins, known, host, port } => match known.revoked(host, *port, key) {
                Some(place) => Err(Objection::Files(Verdict::Revoked(place))),
                None if pins.contains(key) => Ok(()),
                None => Err(Objection::NotPinned),
            },
            Self::Files { known, host, port } => match known.judge(host, *port, key) {
                Verdict::Known(_) => Ok(()),
                other => Err(Objection::Files(other)),
            },
            Self::Look => Err(Objection::OnlyLooking),
        }
    }
}

/// What ended the handshake or the connection.
#[derive(Debug)]
pub(super) enum Fault {
    Ssh(russh::Error),
    Key(HostKey, Objection),
}

impl From<russh::Error> for Fault {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

/// What was agreed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    pub(super) kex: String,
    pub(super) cipher: String,
    pub(super) server: String,
    pub(super) key: Option<HostKey>,
}

/// What the session's task tells the rest: the facts, and the loss with its cause.
#[derive(Debug)]
pub(super) struct Shared {
    agreed: Mutex<Agreed>,
    lost: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { agreed: Mutex::default(), lost: watch::Sender::new(None) })
    }

    pub(super) fn agreed(&self) -> Agreed {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the cause, if the connection is lost.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Returns the cause of a loss that is certain, whether or not it was told already.
    pub(super) fn cause(&self) -> String {
        self.lost().unwrap_or_else(|| "the connection ended".to_owned())
    }

    /// Waits until the connection is lost.
    pub(super) async fn until_lost(&self) {
        let _ = self.lost.subscribe().wait_for(Option::is_some).await;
    }

    fn lose(&self, cause: &str) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(cause.to_owned());
            }
            first
        });
    }
}

/// The library's view of us. Its end is the end of the connection, whatever the way.
pub(super) struct Client {
    judge: Judge,
    shared: Arc<Shared>,
}

impl Client {
    pub(super) fn new(judge: Judge, shared: Arc<Shared>) -> Self {
        Self { judge, shared }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.lose("the connection ended");
    }
}

impl Handler for Client {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let key = HostKey::from_key(shown.public_key());
        if shown.certificate().is_some() {
            return Ok(false);
        }
        self.judge.judge(&key).map_err(|objection| Fault::Key(key.clone(), objection))?;
        self.shared.agreed.lock().unwrap_or_else(PoisonError::into_inner).key = Some(key);
        Ok(true)
    }

    async fn kex_done(&mut self, _secret: Option<&[u8]>, names: &Names, session: &mut Session) -> Result<(), Fault> {
        let mut agreed = self.shared.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        names.kex.as_ref().clone_into(&mut agreed.kex);
        names.cipher.as_ref().clone_into(&mut agreed.cipher);
        String::from_utf8_lossy(session.remote_sshid()).trim().clone_into(&mut agreed.server);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.shared.lose(&format!("the server closed it: {}", info.message.escape_debug()));
                Ok(())
            }
            DisconnectReason::Error(fault) => {
                self.shared.lose(&cause(&fault));
                Err(fault)
            }
        }
    }
}

/// Words a fault for a person.
pub(super) fn cause(fault: &Fault) -> String {
    match fault {
        Fault::Ssh(russh::Error::KeepaliveTimeout) => {
            format!("nothing was heard for {} s", KEEPALIVE.as_secs() * (KEEPALIVES as u64 + 1))
        }
        Fault::Ssh(russh::Error::InactivityTimeout) => {
            format!("nothing moved for {} s", INACTIVITY.as_secs())
        }
        Fault::Ssh(russh::Error::IO(e))
            if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            "the connection was cut".to_owned()
        }
        Fault::Ssh(russh::Error::IO(e)) => format!("the connection was cut: {e}"),
        Fault::Ssh(russh::Error::Disconnect) => "the connection ended".to_owned(),
        Fault::Ssh(e) => e.to_string(),
        Fault::Key(..) => "the host key was not accepted".to_owned(),
    }
}

//! What can go wrong on the way to a host, told apart, each with its remedy.
//!
//! Messages fit behind "failed to …: "; a remedy is what to type or change next. Must not know exit codes, only whether the
//! fault lies in what was written ([`ConnectError::is_usage`]) or with the host.

use std::path::PathBuf;
use std::time::Duration;

use super::expand::ExpandError;
use super::host_key::{HostKey, HostKeyError};
use super::identity::IdentityError;
use super::known_hosts::{FileError, Place};

/// Says why the settings of a host cannot be resolved. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address or a user that is none.
    #[error("{name}: {text:?} is not a host or user name")]
    #[allow(missing_docs)]
    Name { name: String, text: String },
    /// A pinned key that is none.
    #[error("{name}: host_keys: {why}")]
    #[allow(missing_docs)]
    Pin { name: String, why: HostKeyError },
    /// `ssh -G` failed: mostly an error in the user's configuration.
    #[error("{name}: {why}")]
    #[allow(missing_docs)]
    SshConfig { name: String, why: String },
    /// The user's configuration asks for a `ProxyCommand`.
    #[error("{name}: ProxyCommand is not supported ({command:?})", command = .command.escape_debug().to_string())]
    #[allow(missing_docs)]
    ProxyCommand { name: String, command: String },
    /// The user's configuration asks for `RevokedHostKeys`, which must not be passed over.
    #[error("{name}: RevokedHostKeys is not supported ({file})")]
    #[allow(missing_docs)]
    RevokedHostKeys { name: String, file: String },
    /// A `ProxyJump` that cannot be followed.
    #[error("{name}: ProxyJump {jumps:?}: {why}")]
    #[allow(missing_docs)]
    Jump { name: String, jumps: String, why: String },
    /// A path of the user's configuration that cannot be expanded.
    #[error("{name}: {text:?} in the ssh configuration: {why}")]
    #[allow(missing_docs)]
    Expand { name: String, text: String, why: ExpandError },
    /// Nothing says which user to log in as.
    #[error("{name}: no user to log in as")]
    #[allow(missing_docs)]
    NoUser { name: String },
}

impl ConfigError {
    /// Says what to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Name { .. } => {
                "write a plain name or address; user and port have keys of their own in landfall.toml".to_owned()
            }
            Self::Pin { .. } => {
                "copy a line of `ssh-keyscan`'s output without its first field, once you compared the fingerprint".to_owned()
            }
            Self::SshConfig { .. } => "correct the ssh configuration; `ssh -G HOST` shows the same message".to_owned(),
            Self::ProxyCommand { .. } => {
                "use ProxyJump, or give the host an address in landfall.toml that is reached directly".to_owned()
            }
            Self::RevokedHostKeys { .. } => "put the keys into known_hosts, each with @revoked before its name".to_owned(),
            Self::Jump { .. } => "correct ProxyJump in the ssh configuration".to_owned(),
            Self::Expand { .. } => "write the path in full in the ssh configuration".to_owned(),
            Self::NoUser { name } => format!("add `user = \"root\"` to [hosts.{name}] in landfall.toml"),
        })
    }
}

/// Says why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{host}: no address found for {address}: {why}")]
    NoAddress { host: String, address: String, why: String },
    /// Nothing listens on the port.
    #[error("{host}: {address} refused the connection: nothing listens there")]
    PortRefused { host: String, address: String },
    /// The network gave an error.
    #[error("{host}: {address} cannot be reached: {why}")]
    Unreachable { host: String, address: String, why: String },
    /// Nothing answered in time.
    #[error("{host}: {address} did not answer within {after:?} ({what})")]
    Silent { host: String, address: String, after: Duration, what: &'static str },
    /// Something answered that is no SSH server.
    #[error("{host}: {address} is not an SSH server; it said {said:?}")]
    NotSsh { host: String, address: String, said: String },
    /// The server ended the connection before it showed its key, several times.
    #[error("{host}: {address} closed the connection before the login, {tries} times{said}", said = .said.as_deref().map(|s| format!(" (it said {s:?})")).unwrap_or_default())]
    Closed { host: String, address: String, tries: u32, said: Option<String> },
    /// The two sides cannot talk to each other.
    #[error("{host}: protocol error with {address}: {why}")]
    Protocol { host: String, address: String, why: String },
    /// No file and no pin knows the key.
    #[error("{host}: unknown host key at {address}: {kind} {fingerprint}", kind = .key.kind(), fingerprint = .key.fingerprint())]
    UnknownKey { host: String, address: String, key: HostKey },
    /// The host is known by another key.
    #[error("{host}: the host key has changed: {address} showed {kind} {fingerprint}, which disagrees with {place}", kind = .key.kind(), fingerprint = .key.fingerprint())]
    ChangedKey { host: String, address: String, key: HostKey, place: Place },
    /// The key is none of the pinned ones.
    #[error("{host}: the host key is none of host_keys in landfall.toml: {address} showed {kind} {fingerprint}", kind = .key.kind(), fingerprint = .key.fingerprint())]
    NotPinned { host: String, address: String, key: HostKey },
    /// The key is marked as revoked.
    #[error("{host}: the host key {fingerprint} of {address} is revoked by {place}", fingerprint = .key.fingerprint())]
    RevokedKey { host: String, address: String, key: HostKey, place: Place },
    /// Only a certificate authority is known for the host.
    #[error("{host}: {address} is only known through @cert-authority at {place}, and host certificates are not supported")]
    OnlyAuthority { host: String, address: String, place: Place },
    /// A `known_hosts` file cannot be read or written.
    #[error("{host}: {why}")]
    KnownHosts { host: String, why: FileError },
    /// The server refused every key.
    #[error("{host}: login as {user} was refused; tried {tried}{methods}{notes}", tried = list(.tried, "no key"), methods = after(.methods, "; the server accepts "), notes = after(.notes, "; "))]
    LoginRefused { host: String, user: String, tried: Vec<String>, methods: Vec<String>, notes: Vec<String> },
    /// A key needs a passphrase and nobody gave it.
    #[error("{host}: the key {key} is encrypted and there is nobody to ask for its passphrase", key = .key.display())]
    KeyLocked { host: String, key: PathBuf },
    /// The passphrase of a key was wrong.
    #[error("{host}: wrong passphrase for {key}", key = .key.display())]
    WrongPassphrase { host: String, key: PathBuf },
    /// A key that was named cannot be used.
    #[error("{host}: {why}")]
    Identity { host: String, why: IdentityError },
    /// The agent cannot be reached, and there was no other key.
    #[error("{host}: the ssh agent at {socket} cannot be reached: {why}", socket = .socket.display())]
    Agent { host: String, socket: PathBuf, why: String },
    /// The connection was lost during the login.
    #[error("{host}: the connection to {address} was lost during the login: {why}")]
    Lost { host: String, address: String, why: String },
    /// A host on the way failed.
    #[error("{host}: jump host {hop}: {source}")]
    Jump { host: String, hop: String, source: Box<ConnectError> },
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

fn list(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

fn after(items: &[String], before: &str) -> String {
    if items.is_empty() { String::new() } else { format!("{before}{}", items.join(", ")) }
}

impl ConnectError {
    /// Says whether the fault lies in what was written, and nothing was contacted (exit code 2 and not 3).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_))
    }

    /// Says whether the same comes of every further attempt: the host is not the one that is known, or a key stays locked.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::UnknownKey { .. }
            | Self::ChangedKey { .. }
            | Self::NotPinned { .. }
            | Self::RevokedKey { .. }
            | Self::OnlyAuthority { .. }
            | Self::KeyLocked { .. }
            | Self::WrongPassphrase { .. } => true,
            Self::Jump { source, .. } => source.is_lasting(),
            _ => false,
        }
    }

    /// Says what to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NoAddress { host, .. } => {
                format!("correct `address` of [hosts.{host}] in landfall.toml, or the Host in your ssh configuration")
            }
            Self::PortRefused { .. } => "check that sshd runs there and that the port is right".to_owned(),
            Self::Unreachable { .. } => "check the network and the address".to_owned(),
            Self::Silent { .. } => "check the address, and whether a firewall drops the packets".to_owned(),
            Self::NotSsh { .. } => "check the port".to_owned(),
            Self::Closed { .. } => {
                "the server may be overloaded or refuse this address: see MaxStartups, PerSourcePenalties and fail2ban there"
                    .to_owned()
            }
            Self::Protocol { .. } => "check that OpenSSH 7.2 or newer runs there".to_owned(),
            Self::UnknownKey { host, key, .. } => {
                format!(
                    "compare the fingerprint with the host's own (`ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub` there), then run: landfall trust {host} --fingerprint {}",
                    key.fingerprint()
                )
            }
            Self::ChangedKey { host, key, .. } => format!(
                "someone may be intercepting the connection; only if you know that the host was set up anew, and the fingerprint is the host's own: landfall trust {host} --fingerprint {}",
                key.fingerprint()
            ),
            Self::NotPinned { host, .. } => format!(
                "someone may be intercepting the connection; if the host was set up anew, correct host_keys of [hosts.{host}]"
            ),
            Self::RevokedKey { .. } => "do not connect: the host must get a new key".to_owned(),
            Self::OnlyAuthority { host, .. } => format!("record the host's own keys: landfall trust {host}"),
            Self::KnownHosts { .. } => "make the file readable and writable for you".to_owned(),
            Self::LoginRefused { user, tried, .. } if tried.is_empty() => {
                format!(
                    "name a key: identity_file under [ssh] in landfall.toml, LANDFALL_SSH_KEY, or an agent; its public half belongs into ~{user}/.ssh/authorized_keys on the host"
                )
            }
            Self::LoginRefused { user, .. } => {
                format!("check the user, and that ~{user}/.ssh/authorized_keys on the host holds one of these keys")
            }
            Self::KeyLocked { key, .. } => {
                format!("ssh-add {}; or run on a terminal; or put a key without passphrase into LANDFALL_SSH_KEY", key.display())
            }
            Self::WrongPassphrase { key, .. } => format!("ssh-add {}", key.display()),
            Self::Identity { why, .. } => why.remedy(),
            Self::Agent { .. } => {
                "start an agent and `ssh-add` your key, or name identity_file under [ssh] in landfall.toml".to_owned()
            }
            Self::Lost { .. } => return None,
            Self::Jump { source, .. } => return source.remedy(),
            Self::Config(config) => return config.remedy(),
        })
    }
}

/// Says why a channel could not be opened or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ChannelError {
    /// The server refused another session.
    #[error("{host}: the server refused another session ({why})")]
    Refused { host: String, why: String },
    /// The connection is lost.
    #[error("{host}: connection lost: {why}")]
    Lost { host: String, why: String },
}

impl ChannelError {
    /// Says what to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Refused { .. } => {
                Some("raise MaxSessions in the host's sshd_config, or end other sessions of this connection".to_owned())
            }
            Self::Lost { .. } => None,
        }
    }
}

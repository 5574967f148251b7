//! A connection to a host: through its jump hosts, with its key judged, logged in; and the commands started on it.
//!
//! One TCP connection a host. Must not know what is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use russh::client::Handle;
use russh::{ChannelOpenFailure, Disconnect};
use tokio::sync::Semaphore;

use super::client::{Client, Judge, Shared};
use super::error::{ChannelError, ConnectError};
use super::exec::Exec;
use super::handshake::{Failure, shake_hands, shown};
use super::known_hosts::{self, KnownHosts, Names};
use super::operator::{Operator, UnknownKey};
use super::settings::Settings;
use super::{auth, tunnel};

/// Channels at once: sshd's default `MaxSessions` is ten, and it gives a place back later than we do.
const CHANNELS: usize = 8;
/// Tries when the server closes before it shows its key (`MaxStartups`).
const TRIES: u32 = 3;

/// What was agreed with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `address:port` as it was asked for.
    pub address: String,
    /// The key exchange.
    pub kex: String,
    /// The cipher.
    pub cipher: String,
    /// What the server calls itself.
    pub server: String,
    /// The host key's type.
    pub host_key_kind: String,
    /// The host key's fingerprint.
    pub host_key_fingerprint: String,
}

/// A connection, logged in. Dropping it ends it; [`Connection::close`] says goodbye first.
pub struct Connection {
    name: String,
    address: String,
    handle: Handle<Client>,
    shared: Arc<Shared>,
    channels: Arc<Semaphore>,
    opened: AtomicU32,
    /// The hosts on the way, outermost first: they live as long as this.
    way: Vec<Connection>,
}

/// Connects to a host through its jump hosts and logs in.
pub async fn connect(settings: &Settings, operator: &Operator) -> Result<Connection, ConnectError> {
    let mut way: Vec<Connection> = Vec::new();
    for hop in &settings.jumps {
        let reached = reach(hop, way.last(), operator).await;
        let failed = |source| ConnectError::Jump { host: settings.name.clone(), hop: hop.name.clone(), source: Box::new(source) };
        way.push(reached.map_err(failed)?);
    }
    let mut connection = reach(settings, way.last(), operator).await?;
    connection.way = way;
    Ok(connection)
}

/// Connects to one host, directly or through another.
async fn reach(settings: &Settings, via: Option<&Connection>, operator: &Operator) -> Result<Connection, ConnectError> {
    let mut tries = 0;
    let mut asked = false;
    let (mut handle, shared) = loop {
        let shared = Shared::new();
        let judge = judge(settings)?;
        let place = operator.handshake(&settings.address.value, settings.port.value).await;
        let result = shake_hands(settings, via, judge, &shared).await;
        drop(place);
        match result {
            Ok(handle) => break (handle, shared),
            Err(Failure::Again(said)) => {
                tries += 1;
                if tries == TRIES {
                    return Err(ConnectError::Closed { host: settings.name.clone(), address: shown(settings), tries, said });
                }
                tokio::time::sleep(jitter(tries)).await;
            }
            Err(Failure::Unknown(unknown)) if !asked => {
                asked = true;
                let key = unknown.key.clone();
                if !operator.accepts(unknown).await {
                    return Err(ConnectError::UnknownKey { host: settings.name.clone(), address: shown(settings), key });
                }
                record(settings, key).await?;
            }
            Err(Failure::Unknown(UnknownKey { key, .. })) => {
                return Err(ConnectError::UnknownKey { host: settings.name.clone(), address: shown(settings), key });
            }
            Err(Failure::Final(e)) => return Err(*e),
        }
    };
    auth::log_in(&mut handle, settings, operator, &shared).await?;
    Ok(Connection {
        name: settings.name.clone(),
        address: shown(settings),
        handle,
        shared,
        channels: Arc::new(Semaphore::new(CHANNELS)),
        opened: AtomicU32::new(0),
        way: Vec::new(),
    })
}

/// Returns a pause that differs between processes, and grows.
fn jitter(tries: u32) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    Duration::from_millis((100 + u64::from(random[0])) << (tries - 1))
}

// Made once a connection: its size is of no weight.
#[allow(clippy::result_large_err)]
fn read_known_hosts(settings: &Settings) -> Result<KnownHosts, ConnectError> {
    let files: Vec<_> = settings.known_hosts.iter().map(|f| &f.value).collect();
    KnownHosts::read(&files).map_err(|why| ConnectError::KnownHosts { host: settings.name.clone(), why })
}

#[allow(clippy::result_large_err)]
fn judge(settings: &Settings) -> Result<Judge, ConnectError> {
    let known = read_known_hosts(settings)?;
    let (host, port) = settings.known_as();
    let host = host.to_owned();
    Ok(if settings.pins.is_empty() {
        Judge::Files { known, host, port }
    } else {
        Judge::Pins { pins: settings.pins.clone(), known, host, port }
    })
}

async fn record(settings: &Settings, key: super::HostKey) -> Result<(), ConnectError> {
    let Some(file) = settings.known_hosts.first().map(|f| f.value.clone()) else {
        return Ok(());
    };
    let names = if settings.hash_known_hosts { Names::Hashed } else { Names::Plain };
    let (host, port) = settings.known_as();
    let host = host.to_owned();
    let written = tokio::task::spawn_blocking(move || known_hosts::add(&file, &host, port, &[key], names)).await;
    let why = |why| ConnectError::KnownHosts { host: settings.name.clone(), why };
    written.unwrap_or(Ok(())).map_err(why)
}

impl Connection {
    /// Starts a command. One round trip: the server's answer to the request itself is not waited for, so that input may follow at once.
    pub async fn exec(&self, command: &str) -> Result<Exec, ChannelError> {
        let permit = Arc::clone(&self.channels).acquire_owned().await.ok();
        let channel = self.open().await?;
        channel.exec(true, command).await.map_err(|_| self.lost_error())?;
        Ok(Exec::new(channel, Arc::clone(&self.shared), permit))
    }

    /// Opens a session. A refusal is tried again for a moment if there were sessions before: sshd gives their places back late.
    async fn open(&self) -> Result<russh::Channel<russh::client::Msg>, ChannelError> {
        let until = Instant::now() + Duration::from_millis(500);
        loop {
            match self.handle.channel_open_session().await {
                Ok(channel) => {
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok(channel);
                }
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    let again = reason == ChannelOpenFailure::ConnectFailed && self.opened.load(Ordering::Relaxed) > 0;
                    if !again || Instant::now() > until {
                        return Err(ChannelError::Refused { host: self.name.clone(), why: refusal(&reason) });
                    }
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(_) => return Err(self.lost_error()),
            }
        }
    }

    fn lost_error(&self) -> ChannelError {
        ChannelError::Lost { host: self.name.clone(), why: self.shared.cause() }
    }

    /// Opens a stream from the host to another address.
    pub(super) async fn direct(&self, address: &str, port: u16) -> Result<tokio::io::DuplexStream, String> {
        match self.handle.channel_open_direct_tcpip(address, u32::from(port), "127.0.0.1", 0).await {
            Ok(channel) => Ok(tunnel::stream(channel, Arc::clone(&self.shared))),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                Err(format!("{} cannot forward to it: {}", self.name, refusal(&reason)))
            }
            Err(_) => Err(format!("{}: {}", self.name, self.shared.cause())),
        }
    }

    /// Returns the cause, if the connection is lost.
    pub fn lost(&self) -> Option<String> {
        self.shared.lost()
    }

    /// Waits until the connection is lost.
    pub async fn until_lost(&self) -> String {
        self.shared.until_lost().await;
        self.shared.cause()
    }

    /// Returns what was agreed with the server.
    pub fn facts(&self) -> Facts {
        let agreed = self.shared.agreed();
        Facts {
            address: self.address.clone(),
            kex: agreed.kex,
            cipher: agreed.cipher,
            server: agreed.server,
            host_key_kind: agreed.key.as_ref().map(super::HostKey::kind).unwrap_or_default(),
            host_key_fingerprint: agreed.key.as_ref().map(super::HostKey::fingerprint).unwrap_or_default(),
        }
    }

    /// Says goodbye, to the host and then to each on the way. Nobody waits for the echo, which would be a round trip for nothing:
    /// whatever had to arrive was answered before.
    pub async fn close(mut self) {
        let way = std::mem::take(&mut self.way);
        for connection in std::iter::once(self).chain(way.into_iter().rev()) {
            let _ = connection.handle.disconnect(Disconnect::ByApplication, "", "en").await;
        }
    }

    #[cfg(test)]
    pub(super) async fn exec_bounded(&self, command: &str, limit: usize) -> Result<Exec, ChannelError> {
        let channel = self.open().await?;
        channel.exec(true, command).await.map_err(|_| self.lost_error())?;
        Ok(Exec::bounded(channel, Arc::clone(&self.shared), limit))
    }
}

fn refusal(reason: &ChannelOpenFailure) -> String {
    reason.description().to_lowercase()
}

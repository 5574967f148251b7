//! The way to a host's accepted key: TCP or a jump host, greetings, key exchange; and what each failure means.
//!
//! Tries once. Must not know logins, nor who is asked about an unknown key.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, connect_stream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::{self, Client, Fault, Judge, Objection, Shared};
use super::connection::Connection;
use super::error::ConnectError;
use super::known_hosts::Verdict;
use super::operator::UnknownKey;
use super::settings::Settings;
use super::tcp::{self, Greeting, Listening, TcpError};

/// How long a server that greeted may take for its key exchange, beside the time to connect.
const KEX: Duration = Duration::from_secs(20);

/// Returns `address:port` as messages show it.
pub(super) fn shown(settings: &Settings) -> String {
    let address = &settings.address.value;
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.clone()
    };
    format!("{address}:{}", settings.port.value)
}

/// Why a handshake failed, for the one who may try again.
pub(super) enum Failure {
    /// The server closed before it showed its key; what it said.
    Again(Option<String>),
    Unknown(UnknownKey),
    Final(Box<ConnectError>),
}

/// Connects and negotiates, up to the accepted host key.
pub(super) async fn shake_hands(
    settings: &Settings,
    via: Option<&Connection>,
    judge: Judge,
    shared: &Arc<Shared>,
) -> Result<Handle<Client>, Failure> {
    let known: Vec<_> = match &judge {
        Judge::Pins { pins, .. } => pins.iter().collect(),
        Judge::Files { known, host, port } => known.keys(host, *port),
        Judge::Look => Vec::new(),
    };
    let config = client::config(&known);
    negotiate(settings, via, judge, shared, config).await
}

/// As [`shake_hands`], with given parameters.
pub(super) async fn negotiate(
    settings: &Settings,
    via: Option<&Connection>,
    judge: Judge,
    shared: &Arc<Shared>,
    config: russh::client::Config,
) -> Result<Handle<Client>, Failure> {
    let greeting = Greeting::default();
    let handler = Client::new(judge, Arc::clone(shared));
    let limit = settings.connect_timeout;
    let deadline = tokio::time::Instant::now() + limit;
    let silent = |what| {
        Failure::Final(Box::new(ConnectError::Silent {
            host: settings.name.clone(),
            address: shown(settings),
            after: limit,
            what,
        }))
    };

    let result = match via {
        None => {
            let connected = tokio::time::timeout_at(
                deadline,
                tcp::connect(&settings.address.value, settings.port.value),
            )
            .await;
            let stream = connected
                .map_err(|_| silent("no TCP connection"))?
                .map_err(|e| tcp_failure(settings, e))?;
            within(
                deadline,
                &greeting,
                shake(config, tcp::prepare(stream), handler, &greeting),
            )
            .await
        }
        Some(via) => {
            let opened = tokio::time::timeout_at(
                deadline,
                via.direct(&settings.address.value, settings.port.value),
            )
            .await;
            let stream = opened
                .map_err(|_| silent("no connection through the jump host"))?
                .map_err(|why| {
                    let (host, address) = (settings.name.clone(), shown(settings));
                    Failure::Final(Box::new(ConnectError::Unreachable { host, address, why }))
                })?;
            within(
                deadline,
                &greeting,
                shake(config, stream, handler, &greeting),
            )
            .await
        }
    };
    match result {
        Some(Ok(handle)) => Ok(handle),
        Some(Err(fault)) => Err(judge_fault(settings, fault, &greeting)),
        None if greeting.text().is_none() => Err(silent("no SSH greeting")),
        None if greeting.is_ssh() => Err(silent("the key exchange stopped")),
        None => Err(not_ssh(settings, &greeting)),
    }
}

async fn shake<S>(
    config: russh::client::Config,
    stream: S,
    handler: Client,
    greeting: &Greeting,
) -> Result<Handle<Client>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connect_stream(
        Arc::new(config),
        Listening::new(stream, greeting.clone()),
        handler,
    )
    .await
}

/// Waits for the handshake: for the greeting until the deadline, for the rest a while longer. `None`: too late.
async fn within<T>(
    deadline: tokio::time::Instant,
    greeting: &Greeting,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout_at(deadline, &mut work).await {
        return Some(done);
    }
    if !greeting.is_ssh() {
        return None;
    }
    tokio::time::timeout_at(deadline + KEX, work).await.ok()
}

fn tcp_failure(settings: &Settings, error: TcpError) -> Failure {
    let (host, address) = (settings.name.clone(), shown(settings));
    Failure::Final(Box::new(match error {
        TcpError::NoAddress(why) => ConnectError::NoAddress {
            host,
            address: settings.address.value.clone(),
            why,
        },
        TcpError::Refused => ConnectError::PortRefused { host, address },
        TcpError::Other(why) => ConnectError::Unreachable { host, address, why },
    }))
}

fn not_ssh(settings: &Settings, greeting: &Greeting) -> Failure {
    let said = greeting.text().unwrap_or_default();
    Failure::Final(Box::new(ConnectError::NotSsh {
        host: settings.name.clone(),
        address: shown(settings),
        said,
    }))
}

fn judge_fault(settings: &Settings, fault: Fault, greeting: &Greeting) -> Failure {
    let (host, address) = (settings.name.clone(), shown(settings));
    let error = match fault {
        Fault::Key(key, Objection::Files(verdict)) => match verdict {
            Verdict::Unknown | Verdict::Known(_) => {
                return Failure::Unknown(UnknownKey { host, address, key });
            }
            Verdict::Revoked(place) => ConnectError::RevokedKey {
                host,
                address,
                key,
                place,
            },
            Verdict::Changed(place) => ConnectError::ChangedKey {
                host,
                address,
                key,
                place,
            },
            Verdict::OnlyAuthority(place) => ConnectError::OnlyAuthority {
                host,
                address,
                place,
            },
        },
        Fault::Key(key, Objection::NotPinned) => ConnectError::NotPinned { host, address, key },
        Fault::Key(key, Objection::OnlyLooking) => {
            return Failure::Unknown(UnknownKey { host, address, key });
        }
        Fault::Ssh(
            russh::Error::IO(_)
            | russh::Error::Disconnect
            | russh::Error::HUP
            | russh::Error::Version,
        ) => {
            let said = greeting.text();
            // sshd says these two before it speaks SSH, then closes: it is one, and busy.
            let busy = said.as_deref().is_some_and(|s| {
                s.starts_with("Exceeded MaxStartups") || s.starts_with("Not allowed at this time")
            });
            if said.is_some() && !busy && !greeting.is_ssh() {
                return not_ssh(settings, greeting);
            }
            return Failure::Again(said.filter(|_| busy));
        }
        Fault::Ssh(e) => ConnectError::Protocol {
            host,
            address,
            why: e.to_string(),
        },
    };
    Failure::Final(Box::new(error))
}

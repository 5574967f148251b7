//! All the keys that a host has: one handshake for each type, none of which logs in.
//!
//! Trusts nothing and records nothing; that is for whoever compares the fingerprints.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

use super::client::{self, Judge, Shared};
use super::error::ConnectError;
use super::handshake::{Failure, negotiate};
use super::host_key::HostKey;
use super::operator::Operator;
use super::settings::Settings;

/// Asks a host for all its keys, through its jump hosts.
pub async fn host_keys(
    settings: &Settings,
    operator: &Operator,
) -> Result<Vec<HostKey>, ConnectError> {
    let via = match settings.jumps.split_last() {
        None => None,
        Some((last, before)) => {
            let mut hop = last.clone();
            hop.jumps = before.to_vec();
            let failed = |source| ConnectError::Jump {
                host: settings.name.clone(),
                hop: last.name.clone(),
                source: Box::new(source),
            };
            Some(
                Box::pin(super::connect(&hop, operator))
                    .await
                    .map_err(failed)?,
            )
        }
    };
    let rsa = [HashAlg::Sha512, HashAlg::Sha256].map(|hash| Algorithm::Rsa { hash: Some(hash) });
    let ecdsa = [
        EcdsaCurve::NistP256,
        EcdsaCurve::NistP384,
        EcdsaCurve::NistP521,
    ]
    .map(|curve| vec![Algorithm::Ecdsa { curve }]);
    let kinds = [vec![Algorithm::Ed25519]]
        .into_iter()
        .chain(ecdsa)
        .chain([rsa.to_vec()]);
    let mut keys = Vec::new();
    let mut last = None;
    for kind in kinds {
        let mut config = client::config(&[]);
        config.preferred.key = Cow::Owned(kind);
        match negotiate(settings, via.as_ref(), Judge::Look, &Shared::new(), config).await {
            Err(Failure::Unknown(unknown)) => keys.push(unknown.key),
            Ok(_) => {}
            Err(Failure::Again(said)) => {
                let (host, address) = (settings.name.clone(), settings.address.value.clone());
                last = Some(ConnectError::Closed {
                    host,
                    address,
                    tries: 1,
                    said,
                });
            }
            // No common type: the host has no key of this one.
            Err(Failure::Final(e)) if matches!(*e, ConnectError::Protocol { .. }) => {
                last = Some(*e);
            }
            Err(Failure::Final(e)) => return Err(*e),
        }
    }
    match last {
        Some(e) if keys.is_empty() => Err(e),
        _ => Ok(keys),
    }
}

//! Until when a server's certificate is valid: a handshake that believes whatever it is shown, and sends nothing after it. Whether
//! the certificate is to be trusted is for the request itself to find out.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::expect::Seen;

/// Looks, and judges: it must be valid for so long still.
pub fn look(host: &str, port: u16, left: Duration, limit: Duration) -> Seen {
    let expected = format!("a certificate valid for {} more", humantime::format_duration(left));
    match shown(host, port, limit).and_then(|der| valid_until(&der).ok_or_else(|| "a certificate that cannot be read".to_owned()))
    {
        Ok(end) => judge(end, SystemTime::now(), left, expected),
        Err(why) => Seen { ok: false, observed: why, expected },
    }
}

fn judge(end: SystemTime, now: SystemTime, left: Duration, expected: String) -> Seen {
    let date = humantime::format_rfc3339_seconds(end).to_string();
    let days = |duration: Duration| {
        let days = duration.as_secs() / 86_400;
        format!("{days} day{}", if days == 1 { "" } else { "s" })
    };
    match end.duration_since(now) {
        Ok(rest) => Seen { ok: rest >= left, observed: format!("the certificate ends {date}, in {}", days(rest)), expected },
        Err(past) => {
            Seen { ok: false, observed: format!("the certificate expired {date}, {} ago", days(past.duration())), expected }
        }
    }
}

/// The certificate that a server shows for a name.
fn shown(host: &str, port: u16, limit: Duration) -> Result<Vec<u8>, String> {
    let witness = Arc::new(Witness::default());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare.clone()).map_err(|_| format!("{host} is not the name of a server"))?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let found = (bare.as_str(), port).to_socket_addrs().map_err(|_| format!("{host} is not a known name"))?;
    let mut last = format!("{host} has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                let timed = stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit)));
                let shaken = timed.and_then(|()| handshake(&mut tls, stream));
                if let Some(der) = witness.0.lock().ok().and_then(|mut seen| seen.take()) {
                    return Ok(der);
                }
                return Err(shaken
                    .err()
                    .map_or_else(|| "it shows no certificate".to_owned(), |error| format!("TLS failed: {error}")));
            }
            Err(error) => last = format!("{host}:{port} cannot be reached: {error}"),
        }
    }
    Err(last)
}

fn handshake(tls: &mut ClientConnection, mut stream: impl Read + Write) -> std::io::Result<()> {
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}

/// Remembers what it is shown, and believes it.
#[derive(Debug, Default)]
struct Witness(Mutex<Option<Vec<u8>>>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Ok(mut seen) = self.0.lock() {
            *seen = Some(end_entity.to_vec());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// `notAfter` of a certificate in DER: the second time of the fourth field after the version.
fn valid_until(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate, _) = element(der)?;
    let (_, body, _) = element(certificate)?;
    // An optional version, then serial number, algorithm and issuer.
    let mut rest = match element(body)? {
        (0xa0, _, rest) => rest,
        _ => body,
    };
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    let text = std::str::from_utf8(text).ok()?;
    let full = match tag {
        0x17 => {
            let year: u32 = text.get(..2)?.parse().ok()?;
            format!("{}{text}", if year < 50 { "20" } else { "19" })
        }
        0x18 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let time = format!("{}-{}-{}T{}:{}:{}Z", part(0, 4)?, part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?, part(12, 14)?);
    humantime::parse_rfc3339(&time).ok()
}

/// The first element of a text in DER: its tag, its content, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let bytes = length & 0x7f;
        if bytes > 4 {
            return None;
        }
        let (digits, after) = rest.split_at_checked(bytes)?;
        length = digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head.as_slice(), content].concat()
    }

    fn certificate(version: bool, tag: u8, end: &str) -> Vec<u8> {
        let validity = [wrapped(0x17, b"200101000000Z"), wrapped(tag, end.as_bytes())].concat();
        let mut body = if version { wrapped(0xa0, &[2, 1, 2]) } else { Vec::new() };
        body.extend([wrapped(2, &[7; 20]), wrapped(0x30, &[5, 0]), wrapped(0x30, &[0; 100]), wrapped(0x30, &validity)].concat());
        wrapped(0x30, &wrapped(0x30, &body))
    }

    #[test]
    fn the_end_is_read_from_der() {
        let at = |text: &str| humantime::parse_rfc3339(text).ok();
        assert_eq!(valid_until(&certificate(true, 0x17, "260102030405Z")), at("2026-01-02T03:04:05Z"));
        assert_eq!(valid_until(&certificate(false, 0x17, "991231235959Z")), at("1999-12-31T23:59:59Z"));
        assert_eq!(valid_until(&certificate(true, 0x18, "20510102030405Z")), at("2051-01-02T03:04:05Z"));
        let whole = certificate(true, 0x17, "260102030405Z");
        for end in 0..whole.len() {
            assert_eq!(valid_until(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(valid_until(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn an_end_is_judged_by_what_is_left() {
        let now = humantime::parse_rfc3339("2026-01-10T00:00:00Z").expect("time");
        let seen = |end: &str, days: u64| {
            let end = humantime::parse_rfc3339(end).expect("time");
            let seen = judge(end, now, Duration::from_hours(24 * days), String::new());
            (seen.ok, seen.observed)
        };
        assert_eq!(seen("2026-02-01T00:00:00Z", 14), (true, "the certificate ends 2026-02-01T00:00:00Z, in 22 days".into()));
        assert_eq!(seen("2026-01-11T00:00:00Z", 14), (false, "the certificate ends 2026-01-11T00:00:00Z, in 1 day".into()));
        assert_eq!(seen("2026-01-08T00:00:00Z", 0), (false, "the certificate expired 2026-01-08T00:00:00Z, 2 days ago".into()));
    }
}

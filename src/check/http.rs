//! HTTP/1.1 exchanges, bounded in time and size, and the words for what can go wrong with them. Follows no redirect unless it is
//! told to, for a check asks about one address; speaks TLS only in the client.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, NextTimeout, Transport};

use super::expect::{Answer, status_fits};
use crate::action::HttpProbe;

/// The longest body that is kept.
pub const MAX_BODY: usize = 1 << 20;

/// The most redirects that are followed, where any are.
const REDIRECTS: u32 = 5;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The request cannot be made at all.
    #[error("not a request: {0}")]
    Request(String),
    /// The program that was asked to look has no TLS.
    #[error("https can be checked from here only")]
    NoTls,
    /// Nobody knows the name.
    #[error("{host} is not a known name: {why}")]
    NotResolved {
        /// The name.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// Nothing listens there.
    #[error("{0} refused the connection")]
    Refused(String),
    /// No way there.
    #[error("{to} cannot be reached: {why}")]
    Unreachable {
        /// Host and port.
        to: String,
        /// The system's words.
        why: String,
    },
    /// It took too long.
    #[error("{} within {after:?}", .phase.missing())]
    TimedOut {
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// No trust, or no common language.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Something answered, in another language than HTTP.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
    /// The connection ended inside the answer, or before it.
    #[error("the connection ended before the answer was complete")]
    Ended,
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking the name up.
    Resolve,
    /// Making the connection.
    Connect,
    /// Waiting for status and headers.
    Answer,
    /// Reading the body.
    Body,
}

impl Phase {
    fn missing(self) -> &'static str {
        match self {
            Self::Resolve => "the name could not be looked up",
            Self::Connect => "no connection",
            Self::Answer => "connected, but no answer",
            Self::Body => "the answer was not complete",
        }
    }

    fn of(number: u8) -> Self {
        [Self::Resolve, Self::Connect, Self::Answer].into_iter().find(|phase| *phase as u8 == number).unwrap_or(Self::Body)
    }
}

impl FetchError {
    /// What usually mends it, where that can be said.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Request(_) => "correct the url, the method or the headers of the check",
            Self::NoTls => "use `from = \"here\"`, or ask for http",
            Self::NotResolved { .. } => "check the spelling, and whether the name is known where the check looks from",
            Self::Refused(_) => "check that the application listens on this address and port",
            Self::Unreachable { .. } => "check the address, the route and the firewall",
            Self::TimedOut { phase: Phase::Connect, .. } => "a firewall that drops packets looks like this",
            Self::Tls(_) => "check the certificate, its name and its date",
            Self::NotHttp(_) => "check that the port is the one that speaks HTTP, and whether it wants https",
            Self::TimedOut { .. } | Self::Ended => return None,
        })
    }
}

/// Asks, without any proxy. `headers` are those of the probe with their secrets resolved. Any status is an answer.
pub fn fetch(probe: &HttpProbe, headers: &[(String, String)]) -> Result<Answer, FetchError> {
    exchanges(probe, headers, None)
}

/// Asks through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`, …), as other programs of the operator do.
#[cfg(feature = "client")]
pub fn fetch_by_environment(probe: &HttpProbe, headers: &[(String, String)]) -> Result<Answer, FetchError> {
    exchanges(probe, headers, ureq::Proxy::try_from_env().as_ref())
}

/// As many exchanges as are asked for, or until one is not answered as it should be.
fn exchanges(probe: &HttpProbe, headers: &[(String, String)], proxy: Option<&ureq::Proxy>) -> Result<Answer, FetchError> {
    let mut answer = exchange(probe, headers, proxy.cloned())?;
    let Some(wanted) = probe.expect.percentile else { return Ok(answer) };
    let mut latencies = vec![answer.latency];
    while latencies.len() < wanted.samples as usize && status_fits(answer.status, &probe.expect) {
        answer = exchange(probe, headers, proxy.cloned())?;
        latencies.push(answer.latency);
    }
    Ok(Answer { latencies, ..answer })
}

fn exchange(probe: &HttpProbe, headers: &[(String, String)], proxy: Option<ureq::Proxy>) -> Result<Answer, FetchError> {
    let uri: Uri = probe.url.parse().map_err(|error| FetchError::Request(format!("{error}: {:?}", probe.url)))?;
    let to = target(&uri)?;
    let request = request(probe, headers, &uri)?;
    let timeout = Duration::from_millis(probe.timeout_ms.max(1));
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(if probe.redirects { REDIRECTS } else { 0 })
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .allow_non_standard_methods(true)
        .user_agent(concat!("landfall/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .timeout_global(Some(timeout));
    #[cfg(feature = "client")]
    let config = config.tls_config(tls());
    let phase = Arc::new(AtomicU8::new(Phase::Resolve as u8));
    let connector = DefaultConnector::default().chain(Connected(phase.clone()));
    let agent =
        ureq::Agent::with_parts(config.build(), connector, Lookup { inner: DefaultResolver::default(), phase: phase.clone() });

    let began = Instant::now();
    let failed = |error| explain(error, Phase::of(phase.load(Ordering::Relaxed)), &to, timeout);
    let response = match &probe.body {
        Some(body) => agent.run(request.map(|()| body.as_str())),
        None => agent.run(request),
    }
    .map_err(failed)?;
    phase.store(Phase::Body as u8, Ordering::Relaxed);
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let bound = MAX_BODY as u64 + 1;
    response.into_body().into_reader().take(bound).read_to_end(&mut body).map_err(|error| failed(error.into()))?;
    let latency = began.elapsed();
    let cut = body.len() > MAX_BODY;
    body.truncate(MAX_BODY);
    Ok(Answer { status, body, cut, latency, latencies: Vec::new() })
}

/// Host and port, for people; and whether this program can speak to it at all.
fn target(uri: &Uri) -> Result<String, FetchError> {
    let port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") if cfg!(feature = "client") => 443,
        Some("https") => return Err(FetchError::NoTls),
        _ => return Err(FetchError::Request(format!("{uri} is not an http or https address"))),
    };
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| FetchError::Request(format!("{uri} names no host")))?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(port)))
}

fn request(probe: &HttpProbe, headers: &[(String, String)], uri: &Uri) -> Result<ureq::http::Request<()>, FetchError> {
    // A header's value may be a secret: only its name appears in an error.
    let mut request = ureq::http::Request::builder().method(probe.method.as_str()).uri(uri).header("connection", "close");
    for (name, value) in headers {
        let value = ureq::http::HeaderValue::from_str(value).map_err(|_| {
            FetchError::Request(format!("the value of the header {name:?} has characters that no header may have"))
        })?;
        request = request.header(name, value);
    }
    request.body(()).map_err(|error| FetchError::Request(error.to_string()))
}

#[cfg(feature = "client")]
fn tls() -> ureq::tls::TlsConfig {
    ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::Rustls)
        .root_certs(ureq::tls::RootCerts::WebPki)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build()
}

fn explain(error: ureq::Error, phase: Phase, to: &str, after: Duration) -> FetchError {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Timeout(_) => FetchError::TimedOut { phase, after },
        ureq::Error::Http(error) => FetchError::Request(error.to_string()),
        ureq::Error::BadUri(text) => FetchError::Request(text),
        ureq::Error::HostNotFound => not_resolved(to, "it has no address".to_owned()),
        ureq::Error::Tls(why) => FetchError::Tls(why.to_owned()),
        #[cfg(feature = "client")]
        ureq::Error::Rustls(error) => FetchError::Tls(error.to_string()),
        ureq::Error::Io(error) if phase == Phase::Resolve => not_resolved(to, resolver_words(&error)),
        #[cfg(feature = "client")]
        ureq::Error::Io(error) if is_tls(&error) => FetchError::Tls(error.to_string()),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => FetchError::Refused(to.to_owned()),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => FetchError::TimedOut { phase, after },
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                FetchError::Ended
            }
            _ if phase == Phase::Connect => FetchError::Unreachable { to: to.to_owned(), why: error.to_string() },
            _ => FetchError::NotHttp(error.to_string()),
        },
        ureq::Error::LargeResponseHeader(..) => FetchError::NotHttp("its head is too long".to_owned()),
        ureq::Error::ConnectProxyFailed(why) => {
            FetchError::Unreachable { to: to.to_owned(), why: format!("the proxy said {why}") }
        }
        ureq::Error::ConnectionFailed => FetchError::Unreachable { to: to.to_owned(), why: "no connection".to_owned() },
        error => FetchError::NotHttp(error.to_string()),
    }
}

/// A failed handshake comes as the error of the reading that carried it.
#[cfg(feature = "client")]
fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

fn not_resolved(to: &str, why: String) -> FetchError {
    FetchError::NotResolved { host: to.rsplit_once(':').map_or(to, |(host, _)| host).to_owned(), why }
}

/// The standard library's prefix says only what this error's own text says already.
fn resolver_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), str::to_owned)
}

/// Notes that a name is being looked up, and when that is over.
#[derive(Debug)]
struct Lookup {
    inner: DefaultResolver,
    phase: Arc<AtomicU8>,
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.phase.store(Phase::Resolve as u8, Ordering::Relaxed);
        let found = self.inner.resolve(uri, config, timeout)?;
        self.phase.store(Phase::Connect as u8, Ordering::Relaxed);
        Ok(found)
    }
}

/// Notes that a connection stands.
#[derive(Debug)]
struct Connected(Arc<AtomicU8>);

impl<In: Transport> Connector<In> for Connected {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        self.0.store(Phase::Answer as u8, Ordering::Relaxed);
        Ok(chained)
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;

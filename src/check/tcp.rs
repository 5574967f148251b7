//! One TCP connection, made and let go of, and the words for why there is none. Sends nothing.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::expect::Seen;
use crate::action::TcpProbe;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// Nobody knows the name.
    #[error("{0} is not a known name")]
    NotResolved(String),
    /// Nothing listens there.
    #[error("refused: nothing listens there")]
    Refused,
    /// No word came back.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No way there.
    #[error("not reachable: {0}")]
    Unreachable(String),
}

/// Connects; gives how long that took.
pub fn connect(probe: &TcpProbe) -> Result<Duration, Closed> {
    let began = Instant::now();
    let limit = Duration::from_millis(probe.timeout_ms.max(1));
    let found = (probe.host.as_str(), probe.port).to_socket_addrs();
    let addresses: Vec<SocketAddr> = found.map_err(|_| Closed::NotResolved(probe.host.clone()))?.collect();
    let mut last = Closed::NotResolved(probe.host.clone());
    for address in addresses {
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(Closed::TimedOut(limit));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(began.elapsed()),
            Err(error) => last = explain(&error, limit),
        }
    }
    Err(last)
}

fn explain(error: &std::io::Error, limit: Duration) -> Closed {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Closed::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Closed::TimedOut(limit),
        _ => Closed::Unreachable(error.to_string()),
    }
}

/// A connection must stand.
pub fn must_be_open(probe: &TcpProbe) -> (Seen, Option<&'static str>) {
    let expected = format!("a connection to {}:{}", probe.host, probe.port);
    match connect(probe) {
        Ok(took) => (Seen { ok: true, observed: format!("connected in {} ms", took.as_millis()), expected }, None),
        Err(why) => {
            let hint = match &why {
                Closed::NotResolved(_) => "check the spelling, and whether the name is known where the check looks from",
                Closed::Refused => "the way there is open, but nothing listens: is it running, on this port, on this address?",
                Closed::TimedOut(_) => "a firewall that drops packets looks like this",
                Closed::Unreachable(_) => "check the address, the route and the firewall",
            };
            (Seen { ok: false, observed: why.to_string(), expected }, Some(hint))
        }
    }
}

/// No connection may stand.
pub fn must_be_closed(probe: &TcpProbe) -> (Seen, Option<&'static str>) {
    let expected = format!("{}:{} closed", probe.host, probe.port);
    match connect(probe) {
        Ok(_) => {
            let hint = "the port is open to the world: publish it on 127.0.0.1 only (ports: [\"127.0.0.1:5432:5432\"]) or not at \
                        all; Docker's own rules go past ufw";
            (Seen { ok: false, observed: "it takes connections".to_owned(), expected }, Some(hint))
        }
        // Whether a port is closed cannot be told of a host that was not found.
        Err(why @ Closed::NotResolved(_)) => (Seen { ok: false, observed: why.to_string(), expected }, None),
        Err(why) => (Seen { ok: true, observed: why.to_string(), expected }, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(host: &str, port: u16) -> TcpProbe {
        TcpProbe { host: host.to_owned(), port, timeout_ms: 2_000 }
    }

    #[test]
    fn open_and_refused_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("port").port();
        assert!(must_be_open(&probe("127.0.0.1", port)).0.ok);
        let (seen, hint) = must_be_closed(&probe("127.0.0.1", port));
        assert_eq!((seen.ok, seen.observed.as_str()), (false, "it takes connections"));
        assert!(hint.is_some_and(|hint| hint.contains("127.0.0.1 only")));
        drop(listener);
        let (seen, _) = must_be_open(&probe("127.0.0.1", port));
        assert_eq!((seen.ok, seen.observed.as_str()), (false, "refused: nothing listens there"));
        assert!(must_be_closed(&probe("127.0.0.1", port)).0.ok);
    }

    #[test]
    fn a_name_that_nobody_knows_is_neither_open_nor_closed() {
        let nobody = probe("nobody.invalid", 80);
        assert_eq!(connect(&nobody), Err(Closed::NotResolved("nobody.invalid".to_owned())));
        assert!(!must_be_open(&nobody).0.ok && !must_be_closed(&nobody).0.ok);
    }

    #[test]
    fn a_port_that_takes_no_more_times_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let full = TcpProbe { timeout_ms: 200, ..probe("127.0.0.1", listener.local_addr().expect("port").port()) };
        rustix::net::listen(&listener, 0).expect("a queue of one");
        let _held: Vec<_> = (0..4)
            .map(|_| TcpStream::connect_timeout(&listener.local_addr().expect("port"), Duration::from_millis(100)))
            .collect();
        assert_eq!(connect(&full), Err(Closed::TimedOut(Duration::from_millis(200))));
    }
}

//! The same question asked from several sides: which of them disagrees, and what that usually means. Pure.

use super::expect::Seen;

/// A side, from the inside out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Docker's own view of the container.
    Container,
    /// Inside the compose network.
    Network,
    /// The host.
    Host,
    /// The client's machine.
    Here,
}

impl Side {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Host => "host",
            Self::Here => "here",
        }
    }

    /// The side of a word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Container, Self::Network, Self::Host, Self::Here].into_iter().find(|side| side.as_str() == word)
    }
}

/// What one side saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// From where.
    pub side: Side,
    /// What.
    pub seen: Seen,
}

/// Which sides disagree, in one line; none where all are well.
pub fn verdict(views: &[View]) -> Option<String> {
    let failed: Vec<&View> = views.iter().filter(|view| !view.seen.ok).collect();
    let first = failed.first()?;
    let words = |view: &&View| format!("{}: saw {}", view.side.as_str(), view.seen.observed);
    let told = failed.iter().map(words).collect::<Vec<_>>().join("; ");
    let well: Vec<&str> = views.iter().filter(|view| view.seen.ok).map(|view| view.side.as_str()).collect();
    let well = if well.is_empty() { "no side is well".to_owned() } else { format!("well from {}", well.join(", ")) };
    let expected = if failed.iter().all(|view| view.seen.expected == first.seen.expected) {
        format!(", expected {}", first.seen.expected)
    } else {
        String::new()
    };
    Some(format!("{told}{expected} ({well})"))
}

/// What it usually means that these sides see it so.
pub fn meaning(views: &[View]) -> Option<&'static str> {
    let of = |side| views.iter().find(|view| view.side == side).map(|view| &view.seen);
    let ok = |side| of(side).map(|seen| seen.ok);
    // An answer that was not as expected is told apart from none at all.
    let answered = |side| of(side).is_some_and(|seen| seen.observed.starts_with("status "));
    let timed_out = |side| of(side).is_some_and(|seen| seen.observed.starts_with("no connection within"));
    let tls = of(Side::Here).is_some_and(|seen| seen.observed.contains("TLS failed") || seen.observed.contains("certificate"));
    Some(match (ok(Side::Container), ok(Side::Network), ok(Side::Host), ok(Side::Here)) {
        (_, _, _, Some(false)) if tls => {
            "the certificate: it has expired, is not for this name, or nobody here trusts who made it"
        }
        (Some(true), Some(false), ..) | (Some(true), None, Some(false), _)
            if !answered(Side::Network) && !answered(Side::Host) =>
        {
            "the application is well for itself, but not from outside its container: it listens on 127.0.0.1 there, let it \
             listen on 0.0.0.0; or its port is not the one asked, or not published"
        }
        (_, Some(true), Some(false), _) if answered(Side::Host) => {
            "something else answers on that port of the host: another service or an old container; look at `ss -ltnp`"
        }
        (_, Some(true), Some(false), _) => {
            "the application answers in its network, but not on the host: its port is not published there (`ports` in the compose \
             file), or on another address or port"
        }
        (_, _, Some(true), Some(false)) | (_, Some(true), None, Some(false)) if answered(Side::Here) => {
            "what stands between answers in its place: look at the proxy's upstream and host name, and at where the name points"
        }
        (_, _, Some(true), Some(false)) | (_, Some(true), None, Some(false)) if timed_out(Side::Here) => {
            "the way there is cut: a firewall that drops packets, on the host or before it"
        }
        (_, _, Some(true), Some(false)) | (_, Some(true), None, Some(false)) => {
            "the host reaches it, this machine does not: it is bound to 127.0.0.1, the proxy is down, or a firewall refuses"
        }
        (_, _, Some(false), Some(true)) => {
            "it is well from here, so the host asks at the wrong place: it is bound to another address than the one asked there"
        }
        (Some(false), Some(true), ..) | (Some(false), None, Some(true), _) | (Some(false), None, None, Some(true)) => {
            "the application answers, but its health check in the compose file does not say so: look at `docker inspect` for \
             what that printed"
        }
        (_, Some(false), Some(true), _) => "the name or port asked in the network is not the service's own",
        (Some(true) | None, Some(true) | None, Some(true) | None, Some(true) | None) => return None,
        _ => "the application itself: look at its log",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "127.0.0.1:3000 refused the connection";
    const SLOW: &str = "no connection within 10s";

    /// Container, network, host, here; an empty text is well.
    fn views(seen: [Option<&str>; 4]) -> Vec<View> {
        let sides = [Side::Container, Side::Network, Side::Host, Side::Here];
        let view = |(side, seen): (Side, Option<&str>)| {
            seen.map(|observed| View {
                side,
                seen: Seen { ok: observed.is_empty(), observed: observed.to_owned(), expected: "status 200".to_owned() },
            })
        };
        sides.into_iter().zip(seen).filter_map(view).collect()
    }

    #[test]
    fn the_side_that_disagrees_tells_where_to_look() {
        let well = Some("");
        let wrong = Some("status 502, 3 ms");
        for (seen, word) in [
            ([well, well, well, Some(REFUSED)], "bound to 127.0.0.1"),
            ([None, None, well, Some(SLOW)], "firewall that drops"),
            ([None, None, well, wrong], "proxy's upstream"),
            ([None, well, None, wrong], "proxy's upstream"),
            ([None, None, well, Some("TLS failed: expired")], "certificate"),
            ([well, Some(REFUSED), Some(REFUSED), Some(REFUSED)], "listen on 0.0.0.0"),
            ([well, None, Some(REFUSED), None], "listen on 0.0.0.0"),
            ([None, well, Some(REFUSED), Some(REFUSED)], "not published"),
            ([well, well, wrong, well], "something else answers"),
            ([None, None, Some(REFUSED), well], "wrong place"),
            ([Some("running (unhealthy)"), well, well, well], "health check"),
            ([None, Some(REFUSED), well, well], "name or port"),
            ([Some("exited"), Some(REFUSED), Some(REFUSED), Some(REFUSED)], "its log"),
            ([None, wrong, wrong, wrong], "its log"),
        ] {
            let views = views(seen);
            let meaning = meaning(&views).unwrap_or("nothing");
            assert!(meaning.contains(word), "{seen:?}: {meaning}");
        }
        assert_eq!(meaning(&views([well; 4])), None);
    }

    #[test]
    fn the_verdict_names_the_sides() {
        let views = views([None, Some(""), Some(""), Some(REFUSED)]);
        let told = verdict(&views).expect("a verdict");
        insta::assert_snapshot!(told, @"here: saw 127.0.0.1:3000 refused the connection, expected status 200 (well from network, host)");
    }
}

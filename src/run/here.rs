//! Looks at the application from the client's machine: once, until it is as it should be, or for a time. Must not know what a step
//! is for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::drive::{Values, failed, values};
use crate::check::{self, Attempts, Next, Seen, Watching, certificate, tcp, watch};
use crate::event::{Body, Status};
use crate::playbook::{HereHttp, HereLook, HereProbe};
use crate::protocol::Answer;
use crate::vault::{Vault, replace_all};

/// What was seen, and what it usually means where it is not well.
type Sight = (Seen, Option<&'static str>);

/// Looks, and tells what it sees.
pub(super) async fn look(probe: &HereProbe, kind: &str, vault: &Arc<Vault>, tell: &mpsc::UnboundedSender<Body>) -> Answer {
    let given = match &probe.look {
        HereLook::Http(http) => values(&http.headers, vault).await,
        HereLook::Open(_) | HereLook::Closed(_) => Ok(Values::default()),
    };
    let given = match given {
        Ok(given) => Arc::new(given),
        Err(why) => return failed(why),
    };
    let once = async || {
        let (look, given) = (probe.look.clone(), Arc::clone(&given));
        let seen = tokio::task::spawn_blocking(move || once(&look, &given)).await;
        seen.unwrap_or_else(|error| {
            (Seen { ok: false, observed: error.to_string(), expected: "a look that ends".to_owned() }, None)
        })
    };
    let say = |seen: &Seen| {
        let (observed, expected) = (seen.observed.clone(), seen.expected.clone());
        let _ = tell.send(Body::Check { kind: kind.to_owned(), side: "here".into(), ok: seen.ok, observed, expected });
    };
    let hint = |hint: Option<&'static str>| {
        if let Some(text) = hint.filter(|_| !probe.beside) {
            let _ = tell.send(Body::Hint { text: text.to_owned() });
        }
    };
    if let Some(watch) = probe.watch {
        let mut watching = Watching::begin(watch, Instant::now());
        let mut meaning = None;
        loop {
            let began = Instant::now();
            let (seen, means) = once().await;
            say(&seen);
            meaning = means.or(meaning);
            match watching.looked(began, Instant::now(), seen.ok) {
                watch::Next::Wait(due) => tokio::time::sleep_until(due.into()).await,
                watch::Next::Held => return Answer { detail: Some(watching.story()), ..well() },
                watch::Next::Broke => {
                    hint(meaning);
                    return failed(format!("saw {}, expected {}: {}", seen.observed, seen.expected, watching.story()));
                }
            }
        }
    }
    let mut attempts = Attempts::begin(probe.retry, Instant::now());
    let mut shown = None;
    loop {
        attempts.start(Instant::now());
        let (seen, means) = once().await;
        let next = attempts.ended(Instant::now(), seen.ok);
        let key = (seen.ok, seen.observed.split_whitespace().next().map(str::to_owned));
        if !matches!(next, Next::Wait(_)) || shown.as_ref() != Some(&key) {
            say(&seen);
            shown = Some(key);
        }
        match next {
            Next::Done => return well(),
            Next::GaveUp => {
                hint(means);
                return failed(format!("saw {}, expected {}", seen.observed, seen.expected));
            }
            Next::Wait(until) => tokio::time::sleep_until(until.into()).await,
        }
    }
}

fn well() -> Answer {
    Answer { status: Status::Ok, exit_code: None, detail: None, events: Vec::new() }
}

fn once(look: &HereLook, given: &Values) -> Sight {
    match look {
        HereLook::Http(http) => request(http, given),
        HereLook::Open(probe) => tcp::must_be_open(probe),
        HereLook::Closed(probe) => tcp::must_be_closed(probe),
    }
}

fn request(asked: &HereHttp, given: &Values) -> Sight {
    let masked = |text: String| replace_all(&text, &given.secrets);
    let certificate = asked.certificate_ms.and_then(|left| {
        let (host, port) = origin(&asked.http.url)?;
        Some(certificate::look(&host, port, Duration::from_millis(left), Duration::from_millis(asked.http.timeout_ms)))
    });
    if let Some(seen) = certificate.as_ref().filter(|seen| !seen.ok) {
        let seen = Seen { observed: check::shortened(&seen.observed), ..seen.clone() };
        return (seen, Some("renew the certificate, and look whether what renews it still runs (certbot, caddy, the proxy)"));
    }
    let (mut seen, hint) = match check::http::fetch_by_environment(&asked.http, &given.all) {
        Ok(answer) => (check::judge(&answer, &asked.http.expect, masked), None),
        Err(error) => (check::unanswered(&error, &asked.http.expect, masked), error.remedy()),
    };
    if let Some(valid) = certificate {
        seen.observed = check::shortened(&format!("{}, {}", seen.observed, valid.observed));
        seen.expected = format!("{}, {}", seen.expected, valid.expected);
    }
    (seen, hint)
}

/// Host and port of an https address.
fn origin(url: &str) -> Option<(String, u16)> {
    let authority = url.strip_prefix("https://")?.split(['/', '?', '#']).next()?;
    match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), 443)),
    }
}

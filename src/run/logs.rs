//! Reads a service's log from many hosts at once, and goes on where it was when a connection is lost. Must not know how lines are shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::contact::{Contact, Reach, pause};
use super::stop::Stop;
use crate::event::Stream;
use crate::facts::Refusal;
use crate::name::{HostName, ServiceName};
use crate::playbook::ResolvedHost;
use crate::protocol::{LogLine, Reply, Request};
use crate::runtime::StreamItem;

/// What is asked for again overlaps what was read by this: streams of one container do not arrive in the order of their times.
const OVERLAP: Duration = Duration::from_secs(10);
/// The longest line that is taken from a host.
const LINE: usize = 1 << 20;

/// What is wanted of a log.
#[derive(Debug, Clone)]
pub struct LogsWanted {
    /// Whose.
    pub service: ServiceName,
    /// Go on with what comes.
    pub follow: bool,
    /// Only what was written in so long.
    pub since: Option<Duration>,
    /// Only so many of the last lines of each container.
    pub tail: Option<u32>,
    /// For how long contact is sought again.
    pub reconnect_for: Duration,
}

/// What is told of it.
#[derive(Debug)]
pub enum LogNews {
    /// A line.
    Line(HostName, LogLine),
    /// Something that a person should know.
    Said(HostName, String),
    /// A host has no more.
    Ended(HostName, Option<Stop>),
}

/// Reads it; the news come by the channel, in the order in which they arrive. Dropped, it is over on the hosts too.
pub async fn read_logs(reach: Arc<Reach>, hosts: Vec<ResolvedHost>, wanted: LogsWanted, tell: mpsc::Sender<LogNews>) {
    let all: Vec<_> = hosts
        .into_iter()
        .map(|host| {
            let (reach, wanted, tell) = (Arc::clone(&reach), wanted.clone(), tell.clone());
            tokio::task::spawn_local(async move {
                let stop = one(&reach, &host, &wanted, &tell).await;
                let _ = tell.send(LogNews::Ended(host.name.clone(), stop)).await;
            })
        })
        .collect();
    drop(tell);
    for task in all {
        let _ = task.await;
    }
}

async fn one(reach: &Reach, host: &ResolvedHost, wanted: &LogsWanted, tell: &mpsc::Sender<LogNews>) -> Option<Stop> {
    let Some(compose) = host.compose.clone() else {
        return Some(Stop::new(2, "landfall.toml has no [compose] for this host").on(&host.name));
    };
    let mut read = Read::default();
    let (mut lost, mut attempts) = (None::<Instant>, 0);
    loop {
        let request = Request::Logs {
            compose: compose.clone(),
            secrets: host.secrets.clone(),
            service: wanted.service.clone(),
            follow: wanted.follow,
            since: read.since().or_else(|| wanted.since.map(|since| format!("{}ms", since.as_millis()))),
            tail: wanted.tail.filter(|_| read.is_new()),
        };
        let broken = match Contact::make(reach, &host.name, &host.target).await {
            Ok(contact) => {
                if lost.take().is_some() {
                    let _ = tell.send(LogNews::Said(host.name.clone(), "connected again".to_owned())).await;
                }
                attempts = 0;
                let broken = pass(&contact, request, &mut read, &host.name, tell).await;
                contact.close().await;
                broken
            }
            Err(stop) => Err(stop),
        };
        let stop = match broken {
            Ok(()) => return None,
            // What is refused now is refused again.
            Err(stop) if stop.code != 3 || stop.lasting || !wanted.follow || (read.is_new() && lost.is_none()) => {
                return Some(stop);
            }
            Err(stop) => stop,
        };
        if lost.is_none() {
            let said = format!("{}; connecting again", stop.message);
            let _ = tell.send(LogNews::Said(host.name.clone(), said)).await;
        }
        let pause = pause(attempts);
        if lost.get_or_insert_with(Instant::now).elapsed() + pause > wanted.reconnect_for {
            return Some(stop);
        }
        attempts += 1;
        tokio::time::sleep(pause).await;
    }
}

/// Passes on what one connection brings.
async fn pass(
    contact: &Contact,
    request: Request,
    read: &mut Read,
    host: &HostName,
    tell: &mpsc::Sender<LogNews>,
) -> Result<(), Stop> {
    let lost = |error: crate::runtime::LinkError| Stop::from(error).on(host);
    let mut stream = contact.link.stream(request).map_err(lost)?;
    let mut rest = Vec::new();
    loop {
        match stream.next().await.map_err(lost)? {
            StreamItem::Data(bytes) => {
                rest.extend_from_slice(&bytes);
                let mut from = 0;
                while let Some(length) = rest[from..].iter().position(|byte| *byte == b'\n') {
                    let line = LogLine::read(&rest[from..from + length]);
                    from += length + 1;
                    let line = line.ok_or_else(|| Stop::new(7, "it sends what is no line of a log").on(host))?;
                    if let Some(line) = read.take(line)
                        && tell.send(LogNews::Line(host.clone(), line)).await.is_err()
                    {
                        return Ok(());
                    }
                }
                rest.drain(..from);
                if rest.len() > LINE {
                    return Err(Stop::new(7, "it sends a line without an end").on(host));
                }
            }
            StreamItem::Reply(Reply::Refused { code, message, remedy }) => {
                return Err(Stop::from(Refusal { code, message, remedy }).on(host));
            }
            StreamItem::Reply(_) => return Ok(()),
        }
    }
}

/// How far a host's logs have been read.
#[derive(Debug, Default)]
struct Read {
    of: BTreeMap<(String, Stream), Place>,
}

/// How far one stream has been read: the newest time, and how many lines bear it.
#[derive(Debug, Default)]
struct Place {
    time: String,
    count: u64,
    /// What is behind us is sent again: up to this time and so many lines of it.
    again: Option<(String, u64)>,
}

impl Read {
    fn is_new(&self) -> bool {
        self.of.values().all(|place| place.time.is_empty())
    }

    /// From when on to ask again.
    fn since(&self) -> Option<String> {
        let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
        for ((container, _), place) in &self.of {
            let known = newest.entry(container).or_default();
            *known = (*known).max(place.time.as_str());
        }
        let oldest = newest.into_values().filter(|time| !time.is_empty()).min()?;
        let at: SystemTime = humantime::parse_rfc3339(oldest).ok()?;
        Some(humantime::format_rfc3339_nanos(at.checked_sub(OVERLAP)?).to_string())
    }

    /// The line, unless it was read before.
    fn take(&mut self, line: LogLine) -> Option<LogLine> {
        if line.time.is_empty() {
            for (_, place) in self.of.iter_mut().filter(|((container, _), _)| *container == line.container) {
                place.again = (!place.time.is_empty()).then(|| (place.time.clone(), place.count));
            }
            return None;
        }
        let place = self.of.entry((line.container.clone(), line.stream)).or_default();
        if let Some((time, count)) = &mut place.again {
            if line.time < *time {
                return None;
            }
            if line.time == *time && *count > 0 {
                *count -= 1;
                return None;
            }
            place.again = None;
        }
        if line.time == place.time {
            place.count += 1;
        } else {
            (place.time, place.count) = (line.time.clone(), 1);
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, second: u32, text: &str) -> LogLine {
        let time = if second == 0 { String::new() } else { format!("2026-01-01T00:00:{second:02}.000000000Z") };
        LogLine { container: "api-1".to_owned(), stream, time, text: text.as_bytes().to_vec() }
    }

    #[test]
    fn what_is_sent_again_is_not_told_again() {
        use Stream::{Stderr, Stdout};
        let mut read = Read::default();
        assert!(read.is_new() && read.since().is_none());
        let mut told = |lines: &[LogLine]| -> String {
            lines.iter().filter_map(|line| read.take(line.clone())).map(|line| String::from_utf8(line.text).unwrap()).collect()
        };
        let first =
            [line(Stdout, 0, ""), line(Stdout, 20, "a"), line(Stderr, 15, "b"), line(Stdout, 21, "c"), line(Stdout, 21, "d")];
        assert_eq!(told(&first), "abcd");
        // Two lines of one moment were read, and a third of it was not; the other stream went on meanwhile.
        let again = [
            line(Stdout, 0, ""),
            line(Stdout, 20, "a"),
            line(Stdout, 21, "c"),
            line(Stderr, 15, "b"),
            line(Stdout, 21, "d"),
            line(Stdout, 21, "e"),
            line(Stderr, 16, "f"),
            line(Stdout, 22, "g"),
        ];
        assert_eq!(told(&again), "efg");
        assert_eq!(read.since().as_deref(), Some("2026-01-01T00:00:12.000000000Z"));
    }
}

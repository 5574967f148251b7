//! `landfall logs`: a service's log from the hosts, masked there, in the order in which the lines arrive. Looks, and changes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::args::LogsArgs;
use super::{Context, Failure, exit, reach};
use crate::event::Stream;
use crate::name::HostName;
use crate::playbook::{self, Inventory, Options};
use crate::protocol::LogLine;
use crate::report::{Output, Sink, Tone, label, line};
use crate::run::{self, LogNews, LogsWanted};

/// Lines that may wait to be shown before reading waits for them.
const WAITING: usize = 1024;

pub(super) fn run(context: &Context, args: &LogsArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let options = Options { on: args.on.on.clone(), ..Options::default() };
    let hosts = playbook::logs(&inventory, args.service.as_str(), &options)?.hosts;
    let wanted = LogsWanted {
        service: args.service.clone(),
        follow: args.follow,
        since: args.since,
        tail: args.tail,
        reconnect_for: args.reconnect.reconnect_for,
    };
    let names: Vec<HostName> = hosts.iter().map(|host| host.name.clone()).collect();
    let mut shown = Shown { context, names: &names, timestamps: args.timestamps, out: Sink::stdout() };
    reach::block_on(async {
        let failed = |error: std::io::Error| Failure::new(exit::FAILED, format!("failed to listen for signals: {error}"));
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?);
        let (tell, mut news) = mpsc::channel(WAITING);
        let reading = run::read_logs(reach::reach()?, hosts, wanted, tell);
        tokio::pin!(reading);
        let (mut codes, mut open) = (Vec::new(), names.iter().collect::<BTreeSet<_>>());
        let mut done = false;
        while !open.is_empty() {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                Some(news) = news.recv() => match news {
                    LogNews::Line(host, line) => {
                        shown.line(&host, &line);
                        // A reader that has gone, such as `head`, wants no more.
                        if shown.out.incomplete().is_some() {
                            break;
                        }
                    }
                    LogNews::Said(host, said) => super::say(&format!("{host}: {}", label(&said))),
                    LogNews::Ended(host, stop) => {
                        open.retain(|name| **name != host);
                        if let Some(stop) = stop {
                            codes.push(stop.code);
                            context.tell(&Failure::from(stop));
                        }
                    }
                },
                () = &mut reading, if !done => done = true,
            }
        }
        shown.out.flush();
        Ok(run::worst(codes))
    })?
}

/// Where lines go, and how.
struct Shown<'a> {
    context: &'a Context,
    names: &'a [HostName],
    timestamps: bool,
    out: Sink,
}

impl Shown<'_> {
    fn line(&mut self, host: &HostName, of: &LogLine) {
        let LogLine { container, stream, time, text } = of;
        if self.context.output == Output::Json {
            let stream = if *stream == Stream::Stderr { "stderr" } else { "stdout" };
            let text = String::from_utf8_lossy(text);
            let object = serde_json::json!({
                "host": host, "container": container, "stream": stream, "time": time, "text": text,
            });
            self.out.line(&object.to_string());
            self.out.flush();
            return;
        }
        let (paint, display) = (self.context.display_out(), &self.context.display);
        let mut shown = String::new();
        if self.names.len() > 1 {
            let widest = self.names.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
            let place = self.names.iter().position(|name| name == host).unwrap_or(0);
            shown.push_str(&paint.paint(Tone::Host(place), format!("{:<widest$} ", host.as_str())));
        }
        let _ = write!(shown, "{} | ", label(container));
        if self.timestamps {
            let _ = write!(shown, "{} ", paint.paint(Tone::Faint, label(time)));
        }
        let mut bytes = shown.into_bytes();
        // To a terminal only colours pass.
        if display.out.terminal {
            bytes.extend_from_slice(line(text, display.out.colour).as_bytes());
        } else {
            bytes.extend_from_slice(text);
        }
        bytes.push(b'\n');
        self.out.bytes(&bytes);
        self.out.flush();
    }
}

//! A run on a terminal: what happens scrolls up, what goes on now stands below it, one live line a host. Remote text passes
//! only through the sanitizer.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use super::lines::{Lines, exact};
use super::narrate::Narrator;
use super::sanitize::{self, label};
use super::screen::{Live, Screen, Stderr};
use super::style::Tone;
use super::{Display, Reporter, Sink, Summary, closing};
use crate::event::{Body, Event, Stream};
use crate::name::HostName;

/// Shows a run on a terminal.
pub struct Terminal {
    screen: Box<dyn Screen>,
    display: Display,
    narrator: Narrator,
    summary: Summary,
    lines: Lines,
    /// What each host is doing, and since when.
    doing: HashMap<Option<HostName>, (String, Instant)>,
    /// Where the steps' own stdout goes when it was redirected.
    redirected: Option<Sink>,
}

impl Terminal {
    /// On the terminal behind stderr.
    pub fn on_stderr(display: &Display) -> Self {
        let redirected = (!display.out.terminal).then(Sink::stdout);
        Self::new(display, Box::new(Stderr::new(display.paint())), redirected)
    }

    fn new(display: &Display, screen: Box<dyn Screen>, redirected: Option<Sink>) -> Self {
        Self {
            screen,
            display: display.clone(),
            narrator: Narrator::new(display),
            summary: Summary::default(),
            lines: Lines::default(),
            doing: HashMap::new(),
            redirected,
        }
    }

    fn output(&mut self, event: &Event, stream: Stream, bytes: &[u8], partial: bool) {
        if let (Some(sink), Stream::Stdout) = (&mut self.redirected, stream) {
            sink.bytes(bytes);
            if !partial {
                sink.bytes(b"\n");
            }
            return;
        }
        match self.lines.push(event, stream, bytes, partial) {
            Some(line) => self.line(event.host.as_ref(), stream, &line),
            None => self.refresh(event.host.as_ref()),
        }
    }

    fn line(&mut self, host: Option<&HostName>, stream: Stream, line: &[u8]) {
        let paint = self.display.paint();
        let gutter = match stream {
            Stream::Stdout => paint.paint(Tone::Faint, "│"),
            Stream::Stderr => paint.paint(Tone::Bad, "┃"),
        };
        let prefix = self.narrator.prefix(host, paint);
        self.screen.print(&format!("{prefix}{gutter} {}", sanitize::line(line, paint.colour)));
        self.refresh(host);
    }

    /// Notes what a host is doing from now on; none: nothing.
    fn doing(&mut self, event: &Event, what: Option<String>) {
        let key = event.host.clone();
        match what {
            Some(what) => _ = self.doing.insert(key, (what, self.since(event))),
            None => _ = self.doing.remove(&key),
        }
        self.refresh(event.host.as_ref());
    }

    /// When an event happened: now, or, for a run that was there before this client, when the event says.
    fn since(&self, event: &Event) -> Instant {
        let now = Instant::now();
        let ago = || SystemTime::now().duration_since(event.time.at()?).ok();
        let ago = if self.display.replay { ago().unwrap_or_default() } else { Duration::ZERO };
        now.checked_sub(ago).unwrap_or(now)
    }

    /// Shows a host's live line as it is now.
    fn refresh(&mut self, host: Option<&HostName>) {
        let live = self.doing.get(&host.cloned()).map(|(what, since)| {
            let name = host.map_or("here", HostName::as_str);
            let tail = self.lines.current(host).map(|line| sanitize::line(line, false).replace('\t', " "));
            let tail = tail.filter(|tail| !tail.is_empty()).map(|tail| format!(" │ {tail}")).unwrap_or_default();
            Live { since: *since, words: format!("{name}  {what}{tail}") }
        });
        self.screen.live(host, live);
    }

    fn print(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.screen.print(&lines.join("\n"));
        }
    }

    fn end(&mut self) {
        self.doing.clear();
        self.screen.clear();
        let paint = self.display.paint();
        let mut lines = self.summary.table(paint, self.screen.width());
        let closing = closing(&self.summary, &self.display.program, paint);
        if !closing.is_empty() {
            lines.push(String::new());
            lines.extend(closing);
        }
        self.print(&lines);
    }
}

impl Reporter for Terminal {
    fn event(&mut self, event: &Event) {
        self.summary.push(event);
        if let Body::Output { stream, text, bytes, partial } = &event.body {
            self.output(event, *stream, &exact(text, bytes.as_deref()), *partial);
            return;
        }
        if matches!(event.body, Body::StepFinished { .. } | Body::HostFinished { .. }) {
            for (stream, line) in self.lines.take(event.host.as_ref()) {
                self.line(event.host.as_ref(), stream, &line);
            }
        }
        let lines = self.narrator.lines(event);
        self.print(&lines);
        match &event.body {
            Body::RunStarted { .. } => {
                for host in self.summary.hosts.clone() {
                    self.doing(&Event { host: Some(host), ..event.clone() }, Some("connecting".to_owned()));
                }
            }
            Body::HostConnected { .. } | Body::LockAcquired { .. } => self.doing(event, Some("preparing".to_owned())),
            Body::Prepared { .. } | Body::StepFinished { .. } => {
                self.doing(event, event.host.is_some().then(|| "waiting".to_owned()));
            }
            Body::StepStarted { .. } => {
                let step = event.step.as_ref().map(|step| label(step.as_str()));
                self.doing(event, step);
            }
            Body::ConnectionLost { .. } => self.doing(event, Some("connection lost, connecting again".to_owned())),
            Body::Reconnected { .. } => {
                let host = event.host.as_ref();
                let running = self.summary.parts.iter().find(|part| part.host.as_ref() == host).and_then(|part| {
                    part.steps.iter().rfind(|step| step.started && step.status.is_none()).map(|step| label(step.name.as_str()))
                });
                self.doing(event, Some(running.unwrap_or_else(|| "waiting".to_owned())));
            }
            Body::HostFinished { .. } | Body::Refused { .. } | Body::LockBusy { .. } => self.doing(event, None),
            Body::RunFinished { .. } => self.end(),
            _ => {}
        }
    }

    fn settle(&mut self) {
        if let Some(sink) = &mut self.redirected {
            sink.flush();
        }
    }

    fn pause(&mut self) {
        self.screen.clear();
    }

    fn finish(&mut self) {
        if self.summary.run.is_some() && self.summary.end.is_none() {
            self.end();
        }
        self.screen.clear();
        self.settle();
        if let Some(error) = self.redirected.as_ref().and_then(Sink::incomplete) {
            let line = format!("warning: what the steps printed is not complete on standard output: {error}");
            self.screen.print(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use insta::assert_snapshot;

    use super::super::samples::{self, At, begin, complaint, end, output, piece, started};
    use super::super::{Colours, Environment, Output};
    use super::*;
    use crate::event::Status;

    /// Writes down what a screen is told: lines as they are, live lines with a star.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Written>>);

    #[derive(Default)]
    struct Written {
        text: String,
        live: HashMap<Option<HostName>, String>,
    }

    impl Screen for Paper {
        fn print(&mut self, lines: &str) {
            self.0.lock().unwrap().text.extend([lines, "\n"]);
        }

        fn live(&mut self, host: Option<&HostName>, live: Option<Live>) {
            let mut paper = self.0.lock().unwrap();
            match live {
                Some(live) if paper.live.get(&host.cloned()) == Some(&live.words) => {}
                Some(live) => {
                    paper.text.extend(["* ", &live.words, "\n"]);
                    paper.live.insert(host.cloned(), live.words);
                }
                None => _ = paper.live.remove(&host.cloned()),
            }
        }

        fn clear(&mut self) {
            self.0.lock().unwrap().live.clear();
        }

        fn width(&self) -> usize {
            60
        }
    }

    fn play(environment: &Environment, events: &[Event]) -> String {
        let paper = Paper::default();
        let display = Display::choose(Output::Auto, 0, environment);
        let mut terminal = Terminal::new(&display, Box::new(paper.clone()), None);
        for event in events {
            terminal.event(event);
        }
        terminal.finish();
        let paper = paper.0.lock().unwrap();
        assert!(paper.live.is_empty(), "live lines are left: {:?}", paper.live);
        paper.text.clone()
    }

    fn colourless(events: &[Event]) -> String {
        play(&Environment { colours: Colours::Never, stdout: true, stderr: true, dumb: false }, events)
    }

    #[test]
    fn a_run_that_goes_well() {
        assert_snapshot!(colourless(&samples::ok_run()), @r#"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        * droplet-1  connecting
        ✓ connected to root@203.0.113.10:22
        * droplet-1  preparing
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        * droplet-1  waiting
        ▸ migrate  npx prisma migrate deploy
        * droplet-1  migrate
        │ 2 migrations found
        ┃ warn an update is available \x1b]0;owned\x07
        │ 100% done
          ~ migrations: 2 applied
        ✓ migrate 12.3s
        * droplet-1  waiting
        - seed configurations skipped: ran on 2026-05-04 by bob@ci in run kkkkllllmmmm
        ▸ up  docker compose up --detach --no-deps --wait api
        * droplet-1  up
          ~ image of api: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb
        ✓ up 4.1s
        * droplet-1  waiting
        ▸ api answers  GET http://127.0.0.1:3000/health
        * droplet-1  api answers
          ✗ health from host: connection refused, expected 200, $.status = "ok"
          ✓ health from host: 200 in 4 ms
        ✓ api answers 6.2s
        * droplet-1  waiting

        ✓ done after 1m 13s
          ✓ migrate              12.3s
          - seed configurations      -  skipped: ran on 2026-05-04 …
          ✓ up                    4.1s
          ✓ api answers           6.2s
        "#);
    }

    #[test]
    fn two_hosts_side_by_side() {
        assert_snapshot!(colourless(&samples::two_hosts()), @r"
        klkmknkokpkq  release on web-1, web-002, by ana@laptop
          “version 1.5”
        * web-1  connecting
        * web-002  connecting
        web-1   ✓ connected to root@203.0.113.10:22
        * web-1  preparing
        web-1   ✓ holds the lock of etally (generation 3)
        web-1   ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        * web-1  waiting
        web-002 ✓ connected to root@203.0.113.10:22
        * web-002  preparing
        web-002 ✓ holds the lock of etally (generation 3)
        web-002 ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        * web-002  waiting
        web-1   ▸ migrate  npx prisma migrate deploy
        * web-1  migrate
        web-002 ▸ migrate  npx prisma migrate deploy
        * web-002  migrate
        * web-1  migrate │ one 
        * web-002  migrate │ two 
        web-1   │ one half
        * web-1  migrate
        web-002 ┃ between
        web-002 │ two half
        * web-002  migrate
        * web-002  migrate │ never finished
        web-1   ✓ migrate 0.9s
        * web-1  waiting
        web-002 │ never finished
        * web-002  migrate
        web-002 ✓ migrate 1.0s
        * web-002  waiting
        web-1   ✓ ok after 20.0s
        web-002 ✓ ok after 20.0s

        ✓ done after 1m 13s
          ✓ web-1    20.0s  1 ok
          ✓ web-002  20.0s  1 ok
        ");
    }

    #[test]
    fn a_connection_lost_for_good() {
        assert_snapshot!(colourless(&samples::lost_connection()), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        * droplet-1  connecting
        ✓ connected to root@203.0.113.10:22
        * droplet-1  preparing
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        * droplet-1  waiting
        ▸ migrate  npx prisma migrate deploy
        * droplet-1  migrate
        ! connection lost: no answer for 15 s; the run goes on there, connecting again
        * droplet-1  connection lost, connecting again
        ✓ connected again (going on at byte 4711)
        * droplet-1  migrate
        │ going on
        ! connection lost: no answer for 15 s; the run goes on there, connecting again
        * droplet-1  connection lost, connecting again

        ? unknown after 1m 13s
          ? migrate  -  running when last heard of

        contact lost: the run may go on without this client: migrate on droplet-1
          changed   how migrate ended is not known: it may have done its work, or a part of it
          serves    api: sha256:aaaaaaaaaaaa, as before, as far as is known
          next      landfall attach klkmknkokpkq  goes on watching, from any machine
                    landfall cancel klkmknkokpkq  stops it
        ");
    }

    #[test]
    fn colours_tell_the_streams_apart() {
        let at = At::host("droplet-1").step("x");
        let events = [
            started(&["droplet-1"]),
            begin(at, "shell", "make"),
            at.event(output("out \u{1b}[32mgreen")),
            at.event(complaint("err")),
            at.event(piece("50%\r60%")),
            end(at, Status::Failed, 2, 10),
        ];
        let environment = Environment { stdout: true, stderr: true, ..Environment::default() };
        assert_snapshot!(play(&environment, &events).escape_debug().to_string().replace("\\n", "\n"), @r"
        \u{1b}[2mklkmknkokpkq\u{1b}[0m  \u{1b}[1mrelease\u{1b}[0m on droplet-1, by ana@laptop
          “version 1.5”
        * droplet-1  connecting
        ▸ \u{1b}[1mx\u{1b}[0m  \u{1b}[2mmake\u{1b}[0m
        * droplet-1  x
        \u{1b}[2m│\u{1b}[0m out \u{1b}[32mgreen\u{1b}[0m
        \u{1b}[31m\u{1b}[1m┃\u{1b}[0m err
        * droplet-1  x │ 60%
        \u{1b}[2m│\u{1b}[0m 60%
        * droplet-1  x
        \u{1b}[31m\u{1b}[1m✗\u{1b}[0m \u{1b}[1mx\u{1b}[0m failed after 0.0s (exit code 2)
        * droplet-1  waiting
          \u{1b}[31m\u{1b}[1m✗\u{1b}[0m x  0.0s  \u{1b}[2mfailed\u{1b}[0m

        \u{1b}[33m\u{1b}[1mthe run goes on without this client\u{1b}[0m: x on droplet-1
          \u{1b}[1mreason   \u{1b}[0m exit code 2
          \u{1b}[1mchanged  \u{1b}[0m x did not succeed: it may have done a part of its work
          \u{1b}[1mnext     \u{1b}[0m landfall attach klkmknkokpkq  \u{1b}[2mgoes on watching, from any machine\u{1b}[0m
          \u{1b}[1m         \u{1b}[0m landfall cancel klkmknkokpkq  \u{1b}[2mstops it\u{1b}[0m
        ");
    }

    #[test]
    fn redirected_stdout_is_exact_and_not_on_the_screen() {
        let (paper, out) = (Paper::default(), super::super::sink::tests::Shared::default());
        let environment = Environment { stderr: true, ..Environment::default() };
        let display = Display::choose(Output::Auto, 0, &environment);
        let mut terminal = Terminal::new(&display, Box::new(paper.clone()), Some(Sink::new(out.clone())));
        let at = At::host("droplet-1").step("x");
        for event in [started(&["droplet-1"]), at.event(output("\u{1b}[2Jdump")), at.event(complaint("seen"))] {
            terminal.event(&event);
        }
        assert_eq!(out.text(), "\u{1b}[2Jdump\n");
        assert!(!paper.0.lock().unwrap().text.contains("dump"));
    }
}

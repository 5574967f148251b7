//! A run without a live terminal: plain lines on stderr, and what the steps print on the stream on which they print it,
//! byte for byte, with the host's name before each line where there are several.

use super::display::Face;
use super::lines::{Lines, exact};
use super::narrate::Narrator;
use super::style::Paint;
use super::{Display, Reporter, Sink, Summary, closing, sanitize};
use crate::event::{Body, Event, Stream};
use crate::name::HostName;

/// The width of tables where there is no terminal to ask.
const WIDTH: usize = 120;

/// Writes plain lines.
#[derive(Debug)]
pub struct Plain {
    out: Sink,
    err: Sink,
    display: Display,
    program: String,
    narrator: Narrator,
    summary: Summary,
    lines: Lines,
}

impl Plain {
    /// Writes to the process's own streams.
    pub fn on_standard_streams(display: &Display) -> Self {
        Self::new(display, Sink::stdout(), Sink::stderr())
    }

    /// Writes the output of steps to `out` and `err`, and all else to `err`.
    pub fn new(display: &Display, out: Sink, err: Sink) -> Self {
        let (narrator, program) = (Narrator::new(display), display.program.clone());
        Self { out, err, display: display.clone(), program, narrator, summary: Summary::default(), lines: Lines::default() }
    }

    fn output(&mut self, event: &Event, stream: Stream, bytes: &[u8], partial: bool) {
        // What goes to a file or a pipe is nobody's screen: there it must be exact.
        if self.face(stream).terminal || self.narrator.several() {
            if let Some(line) = self.lines.push(event, stream, bytes, partial) {
                self.line(event.host.as_ref(), stream, &line);
            }
            return;
        }
        let sink = self.sink(stream);
        sink.bytes(bytes);
        if !partial {
            sink.bytes(b"\n");
        }
    }

    fn line(&mut self, host: Option<&HostName>, stream: Stream, line: &[u8]) {
        let Face { terminal, colour } = self.face(stream);
        let mut shown = self.narrator.prefix(host, Paint { colour }).into_bytes();
        if !shown.is_empty() {
            shown.extend_from_slice(b"| ");
        }
        if terminal {
            shown.extend_from_slice(sanitize::line(line, colour).as_bytes());
        } else {
            shown.extend_from_slice(line);
        }
        shown.push(b'\n');
        self.sink(stream).bytes(&shown);
    }

    fn face(&self, stream: Stream) -> Face {
        match stream {
            Stream::Stdout => self.display.out,
            Stream::Stderr => self.display.err,
        }
    }

    /// Where a stream goes. Both may be one file, so what was said before on the one is there before the other speaks.
    fn sink(&mut self, stream: Stream) -> &mut Sink {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => {
                self.out.flush();
                &mut self.err
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.sink(Stream::Stderr).line(line);
    }

    fn end(&mut self) {
        let paint = self.display.paint();
        let mut lines = self.summary.table(paint, WIDTH);
        let closing = closing(&self.summary, &self.program, paint);
        if !closing.is_empty() {
            lines.push(String::new());
            lines.extend(closing);
        }
        for line in &lines {
            self.say(line);
        }
    }
}

impl Reporter for Plain {
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
        for line in &lines {
            self.say(line);
        }
        if matches!(event.body, Body::RunFinished { .. }) {
            self.end();
        }
    }

    fn settle(&mut self) {
        self.out.flush();
    }

    fn finish(&mut self) {
        if self.summary.run.is_some() && self.summary.end.is_none() {
            self.end();
        }
        self.out.flush();
        if let Some(error) = self.out.incomplete() {
            self.say(&format!("warning: what the steps printed is not complete on standard output: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples::{self, At, begin, complaint, end, finished, output, piece, started};
    use super::super::sink::tests::Shared;
    use super::super::{Environment, Output};
    use super::*;
    use crate::event::Status;

    fn play(display: &Display, events: &[Event]) -> (Vec<u8>, String) {
        let (out, err) = (Shared::default(), Shared::default());
        let mut plain = Plain::new(display, Sink::new(out.clone()), Sink::new(err.clone()));
        for event in events {
            plain.event(event);
        }
        plain.finish();
        (out.bytes(), String::from_utf8_lossy(&err.bytes()).into_owned())
    }

    fn piped(events: &[Event]) -> String {
        let (out, err) = play(&Display::choose(Output::Plain, 0, &Environment::default()), events);
        format!("{err}--- stdout\n{}", String::from_utf8(out).unwrap())
            .replace('\u{1b}', "<ESC>")
            .replace('\r', "<CR>")
            .replace('\u{7}', "<BEL>")
    }

    #[test]
    fn a_run_that_goes_well() {
        assert_snapshot!(piped(&samples::ok_run()), @r#"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ migrate  npx prisma migrate deploy
        <ESC>[33mwarn<ESC>[0m an update is available <ESC>]0;owned<BEL>
          ~ migrations: 2 applied
        ✓ migrate 12.3s
        - seed configurations skipped: ran on 2026-05-04 by bob@ci in run kkkkllllmmmm
        ▸ up  docker compose up --detach --no-deps --wait api
          ~ image of api: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb
        ✓ up 4.1s
        ▸ api answers  GET http://127.0.0.1:3000/health
          ✗ health from host: connection refused, expected 200, $.status = "ok"
          ✓ health from host: 200 in 4 ms
        ✓ api answers 6.2s

        ✓ done after 1m 13s
          ✓ migrate              12.3s
          - seed configurations      -  skipped: ran on 2026-05-04 by bob@ci in run kkkkllllmmmm
          ✓ up                    4.1s
          ✓ api answers           6.2s
        --- stdout
        2 migrations found
        10%<CR>50%<CR>100% done
        "#);
    }

    #[test]
    fn two_hosts_side_by_side() {
        assert_snapshot!(piped(&samples::two_hosts()), @r"
        klkmknkokpkq  release on web-1, web-002, by ana@laptop
          “version 1.5”
        web-1   ✓ connected to root@203.0.113.10:22
        web-1   ✓ holds the lock of etally (generation 3)
        web-1   ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        web-002 ✓ connected to root@203.0.113.10:22
        web-002 ✓ holds the lock of etally (generation 3)
        web-002 ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        web-1   ▸ migrate  npx prisma migrate deploy
        web-002 ▸ migrate  npx prisma migrate deploy
        web-002 | between
        web-1   ✓ migrate 0.9s
        web-002 ✓ migrate 1.0s
        web-1   ✓ ok after 20.0s
        web-002 ✓ ok after 20.0s

        ✓ done after 1m 13s
          ✓ web-1    20.0s  1 ok
          ✓ web-002  20.0s  1 ok
        --- stdout
        web-1   | one half
        web-002 | two half
        web-002 | never finished
        ");
    }

    #[test]
    fn a_failed_migration() {
        assert_snapshot!(piped(&samples::failed_migration()), @r#"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ migrate  npx prisma migrate deploy
        Error: P3018
        Database error: relation "orders" already exists
          hint: the migration failed half way: see `prisma migrate resolve`
        ✗ migrate failed after 2.2s (exit code 1)
        - up skipped: migrate failed
        - api answers skipped: migrate failed
        ▸ logs  docker compose logs --tail 50 api …
        ✓ logs 0.3s

        ✗ failed after 1m 13s
          ✗ migrate      2.2s  failed
          - up              -  skipped: migrate failed
          - api answers     -  skipped: migrate failed
          ✓ logs         0.3s

        the run failed: migrate on droplet-1
          reason    exit code 1
          hint      the migration failed half way: see `prisma migrate resolve`
          changed   ran, and not undone: logs
                    migrate did not succeed: it may have done a part of its work
          not run   up, api answers
          serves    api: sha256:aaaaaaaaaaaa, as before
          next      landfall attach klkmknkokpkq          shows all of its output again
                    landfall plan release --on droplet-1  shows what is left to do
        --- stdout
        api | listening
        "#);
    }

    #[test]
    fn a_failed_check() {
        assert_snapshot!(piped(&samples::failed_check()), @r#"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ up  docker compose up --detach --no-deps --wait api
          ~ image of api: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb
        ✓ up 4.1s
        ▸ api answers  GET http://127.0.0.1:3000/health
          ✗ health from host: 503 {"status":"down"}, expected 200, $.status = "ok"
        ✗ api answers failed after 2m 00s: not as expected for 2m

        ✗ failed after 1m 13s
          ✓ up             4.1s
          ✗ api answers  2m 00s  failed

        a check failed: api answers on droplet-1
          reason    not as expected for 2m
                    saw 503 {"status":"down"}, expected 200, $.status = "ok"
          changed   image of api: sha256:aaaaaaaaaaaa → sha256:bbbbbbbbbbbb
                    ran, and not undone: up
          serves    api: sha256:bbbbbbbbbbbb
          next      landfall attach klkmknkokpkq          shows all of its output again
                    landfall plan release --on droplet-1  shows what is left to do
        --- stdout
        "#);
    }

    #[test]
    fn a_lock_that_is_held() {
        assert_snapshot!(piped(&samples::lock_busy()), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✗ locked by run kkkkllllmmmm (running): release by bob@ci since 2026-05-04T10:00:00.000Z, “hotfix”

        ✗ failed after 1m 13s

        locked by another run
          held by   kkkkllllmmmm: release by bob@ci since 2026-05-04T10:00:00.000Z, “hotfix” (running)
          changed   nothing: no step began
          next      landfall attach kkkkllllmmmm         watches the run that holds the lock
                    landfall lock status --on droplet-1  shows who holds it
        --- stdout
        ");
    }

    #[test]
    fn a_host_that_is_not_fit() {
        assert_snapshot!(piped(&samples::refused()), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✗ refused: the Docker daemon does not answer
          help: start it: systemctl start docker

        ✗ failed after 1m 13s

        refused
          reason    the Docker daemon does not answer
          help      start it: systemctl start docker
          changed   nothing: no step began
          next      landfall doctor --on droplet-1        finds out what is in the way
                    landfall plan release --on droplet-1  shows what is left to do
        --- stdout
        ");
    }

    #[test]
    fn an_outcome_that_is_not_known() {
        assert_snapshot!(piped(&samples::unknown()), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ migrate  npx prisma migrate deploy
        ? migrate: how it ended is not known: the line that tells success is missing

        ? unknown after 1m 13s
          ? migrate  3.0s  unknown

        how the run ended is not known: migrate on droplet-1
          reason    the line that tells success is missing
          changed   how migrate ended is not known: it may have done its work, or a part of it
          serves    api: sha256:aaaaaaaaaaaa, as before, as far as is known
          next      landfall attach klkmknkokpkq                             shows all that is known of it
                    landfall resolve klkmknkokpkq --as done --note TEXT      once you have looked: its work is done
                    landfall resolve klkmknkokpkq --as not-done --note TEXT  or: its work is to be done again
        --- stdout
        ");
    }

    #[test]
    fn a_connection_lost_for_good() {
        assert_snapshot!(piped(&samples::lost_connection()), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ migrate  npx prisma migrate deploy
        ! connection lost: no answer for 15 s; the run goes on there, connecting again
        ✓ connected again (going on at byte 4711)
        ! connection lost: no answer for 15 s; the run goes on there, connecting again

        ? unknown after 1m 13s
          ? migrate  -  running when last heard of

        contact lost: the run may go on without this client: migrate on droplet-1
          changed   how migrate ended is not known: it may have done its work, or a part of it
          serves    api: sha256:aaaaaaaaaaaa, as before, as far as is known
          next      landfall attach klkmknkokpkq  goes on watching, from any machine
                    landfall cancel klkmknkokpkq  stops it
        --- stdout
        going on
        ");
    }

    #[test]
    fn a_client_that_goes_away() {
        let mut events = samples::lost_connection();
        events.truncate(5);
        assert_snapshot!(piped(&events), @r"
        klkmknkokpkq  release on droplet-1, by ana@laptop
          “version 1.5”
        ✓ connected to root@203.0.113.10:22
        ✓ holds the lock of etally (generation 3)
        ✓ ready: 2 migrations pending (20260101_orders, 20260102_index)
        ▸ migrate  npx prisma migrate deploy
          ? migrate  -  running when last heard of

        the run goes on without this client: migrate on droplet-1
          changed   how migrate ended is not known: it may have done its work, or a part of it
          serves    api: sha256:aaaaaaaaaaaa, as before, as far as is known
          next      landfall attach klkmknkokpkq  goes on watching, from any machine
                    landfall cancel klkmknkokpkq  stops it
        --- stdout
        ");
    }

    #[test]
    fn stdout_is_exact_where_nobody_looks_at_it() {
        let at = At::host("droplet-1").step("dump");
        let bytes = |text: &str, bytes: &str, partial| {
            at.event(Body::Output { stream: Stream::Stdout, text: text.into(), bytes: Some(bytes.into()), partial })
        };
        let events = [
            started(&["droplet-1"]),
            begin(at, "exec", "pg_dump"),
            at.event(output("\u{1b}[2Jraw\r")),
            bytes("\u{fffd}", "//4=", false),
            at.event(piece("no end")),
            end(at, Status::Ok, 0, 10),
            finished(Status::Ok, 0),
        ];
        let display = Display::choose(Output::Plain, 0, &Environment::default());
        assert_eq!(play(&display, &events).0, b"\x1b[2Jraw\r\n\xff\xfe\nno end");
    }

    #[test]
    fn on_a_terminal_nothing_but_colours_passes() {
        let at = At::host("droplet-1").step("x");
        let environment = Environment { stdout: true, stderr: true, ..Environment::default() };
        let display = Display::choose(Output::Plain, 0, &environment);
        let events = [started(&["droplet-1"]), at.event(output("\u{1b}[31mred\u{1b}[2J")), at.event(complaint("10%\r20%\u{7}"))];
        let (out, err) = play(&display, &events);
        assert_eq!(String::from_utf8(out).unwrap(), "\u{1b}[31mred\\x1b[2J\u{1b}[0m\n");
        assert!(err.contains("\n20%\\x07\n"), "{err}");
    }
}

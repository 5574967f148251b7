//! The run record: frames in an append-only log on the host, and the pure function from frames to events.
//!
//! A frame is one line, so that the log can be read with any pager:
//!
//! ```text
//! J{"v":1,…}          one event
//! O1234 text          a line of stdout, 1234 ms after the run began
//! E1234 text          a line of stderr
//! o1234 text          a piece of a line: the next frame of this stream goes on where it ends
//! e1234 text
//! X0 ok               the end of this host's part: exit code and status
//! ```
//!
//! A position in the record is a byte offset. Output is masked before it becomes a frame.

use std::time::{Duration, SystemTime};

use memchr::memchr;

use crate::event::{Body, Event, Status, Stream, Timestamp, VERSION};
use crate::name::{HostName, RunId, StepName};

/// The longest line that a reader accepts; what comes from a host is untrusted.
pub const MAX_FRAME: usize = 1 << 20;
/// The longest text of one output frame; a longer line is written in pieces.
pub const MAX_TEXT: usize = 32 << 10;

/// One frame of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// An event that the host wrote.
    Event(Box<Event>),
    /// Output of the step that is running.
    Output {
        /// Where it was printed.
        stream: Stream,
        /// Milliseconds after the run began.
        ms: u64,
        /// Without the line's end.
        text: Vec<u8>,
        /// The line goes on.
        partial: bool,
    },
    /// Nothing comes after it.
    End {
        /// The exit code of this host's part.
        code: u8,
        /// How it ended.
        status: String,
    },
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A line that is longer than any frame.
    #[error("the record holds a frame of more than {MAX_FRAME} bytes at byte {0}")]
    TooLong(u64),
    /// A line that is no frame.
    #[error("the record is damaged at byte {0}")]
    Damaged(u64),
}

/// Appends the frames of some output to `log`, split where it is too long.
pub fn write_output(log: &mut Vec<u8>, stream: Stream, ms: u64, text: &[u8], partial: bool) {
    let mut pieces = text.chunks(MAX_TEXT).peekable();
    if pieces.peek().is_none() {
        write_piece(log, stream, ms, b"", partial);
    }
    while let Some(piece) = pieces.next() {
        write_piece(log, stream, ms, piece, partial || pieces.peek().is_some());
    }
}

/// Appends the frames of whole lines, each with its end, to `log`: the way of most output, so it does little for each.
pub fn write_lines(log: &mut Vec<u8>, stream: Stream, ms: u64, lines: &[u8]) {
    let head = format!("{}{ms} ", kind(stream, false));
    let mut rest = lines;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let text = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        if text.len() > MAX_TEXT {
            write_output(log, stream, ms, text, false);
        } else {
            log.extend_from_slice(head.as_bytes());
            log.extend_from_slice(text);
            log.push(b'\n');
        }
    }
}

fn kind(stream: Stream, partial: bool) -> char {
    match (stream, partial) {
        (Stream::Stdout, false) => 'O',
        (Stream::Stdout, true) => 'o',
        (Stream::Stderr, false) => 'E',
        (Stream::Stderr, true) => 'e',
    }
}

fn write_piece(log: &mut Vec<u8>, stream: Stream, ms: u64, text: &[u8], partial: bool) {
    log.extend_from_slice(format!("{}{ms} ", kind(stream, partial)).as_bytes());
    log.extend_from_slice(text);
    log.push(b'\n');
}

/// Appends the frame of an event to `log`.
pub fn write_event(log: &mut Vec<u8>, event: &Event) {
    log.push(b'J');
    // A value of our own types always has a JSON form.
    if let Ok(text) = serde_json::to_vec(event) {
        log.extend_from_slice(&text);
    }
    log.push(b'\n');
}

/// Appends the last frame to `log`.
pub fn write_end(log: &mut Vec<u8>, code: u8, status: Status) {
    log.extend_from_slice(format!("X{code} {}\n", status.as_str()).as_bytes());
}

/// The event of a line that is one. Output is not looked into: it may be long.
pub fn event(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line.strip_prefix(b"J")?).ok()
}

fn parse(line: &[u8], at: u64) -> Result<Frame, RecordError> {
    let damaged = || RecordError::Damaged(at);
    let (kind, rest) = line.split_first().ok_or_else(damaged)?;
    let number_and_text = || -> Option<(u64, &[u8])> {
        let blank = rest.iter().position(|b| *b == b' ')?;
        let number = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        Some((number, &rest[blank + 1..]))
    };
    match kind {
        b'J' => event(line).map(|event| Frame::Event(Box::new(event))).ok_or_else(damaged),
        b'O' | b'o' | b'E' | b'e' => {
            let (ms, text) = number_and_text().ok_or_else(damaged)?;
            let stream = if kind.eq_ignore_ascii_case(&b'o') { Stream::Stdout } else { Stream::Stderr };
            Ok(Frame::Output { stream, ms, text: text.to_vec(), partial: kind.is_ascii_lowercase() })
        }
        b'X' => {
            let (code, status) = number_and_text().ok_or_else(damaged)?;
            let code = u8::try_from(code).map_err(|_| damaged())?;
            Ok(Frame::End { code, status: String::from_utf8_lossy(status).into_owned() })
        }
        _ => Err(damaged()),
    }
}

/// Turns the bytes of a record, in pieces of any size, into events.
///
/// It remembers which step is running and when the run began, so it wants to be fed from the first byte; fed from a later one,
/// output has no step until the next one starts.
#[derive(Debug)]
pub struct Reader {
    run: RunId,
    host: HostName,
    began: SystemTime,
    step: Option<StepName>,
    rest: Vec<u8>,
    offset: u64,
    end: Option<(u8, String)>,
    /// The last moment that was written out: many lines share one.
    moment: (u64, Timestamp),
}

impl Reader {
    /// A reader for the record of `run` on `host`, at its first byte.
    pub fn new(run: RunId, host: HostName) -> Self {
        let began = SystemTime::UNIX_EPOCH;
        Self { run, host, began, step: None, rest: Vec::new(), offset: 0, end: None, moment: (0, Timestamp::of(began)) }
    }

    /// The same, for the bytes from `offset` on.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The offset of the first byte that has not been fed yet: where to go on after a lost connection.
    pub fn offset(&self) -> u64 {
        self.offset + self.rest.len() as u64
    }

    /// Exit code and status, once the last frame has been read.
    pub fn end(&self) -> Option<(u8, &str)> {
        self.end.as_ref().map(|(code, status)| (*code, status.as_str()))
    }

    /// Takes the next bytes and appends the events that they complete.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), RecordError> {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &self.rest[from..]) {
            let frame = parse(&self.rest[from..from + length], self.offset + from as u64)?;
            from += length + 1;
            events.extend(self.event(frame));
        }
        self.rest.drain(..from);
        self.offset += from as u64;
        if self.rest.len() > MAX_FRAME { Err(RecordError::TooLong(self.offset)) } else { Ok(()) }
    }

    fn event(&mut self, frame: Frame) -> Option<Event> {
        match frame {
            Frame::Event(event) => {
                match &event.body {
                    Body::RunStarted { .. } => {
                        if let Some(at) = event.time.at() {
                            self.began = at;
                            self.moment = (0, Timestamp::of(at));
                        }
                    }
                    Body::StepStarted { .. } => self.step.clone_from(&event.step),
                    _ => {}
                }
                // Whose record it is counts, not what the record says of itself.
                Some(Event { run: self.run.clone(), host: Some(self.host.clone()), ..*event })
            }
            Frame::Output { stream, ms, text, partial } => Some(Event {
                v: VERSION,
                time: self.moment(ms),
                run: self.run.clone(),
                host: Some(self.host.clone()),
                step: self.step.clone(),
                body: output(stream, text, partial),
            }),
            Frame::End { code, status } => {
                self.end = Some((code, status));
                None
            }
        }
    }

    /// So many milliseconds after the run began.
    fn moment(&mut self, ms: u64) -> Timestamp {
        if self.moment.0 != ms {
            self.moment = (ms, Timestamp::of(self.began + Duration::from_millis(ms.min(u64::from(u32::MAX) * 1000))));
        }
        self.moment.1.clone()
    }
}

/// Output as an event tells it.
pub fn output(stream: Stream, text: Vec<u8>, partial: bool) -> Body {
    let (text, bytes) = match String::from_utf8(text) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.into_bytes();
            (String::from_utf8_lossy(&bytes).into_owned(), Some(base64(&bytes)))
        }
    };
    Body::Output { stream, text, bytes, partial }
}

/// Standard base64. Here because the host program carries no crate for it.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new(RunId::from_random([0; 6]), "h".parse().expect("name"))
    }

    fn event(body: Body, step: Option<&str>) -> Event {
        Event {
            v: VERSION,
            time: "2026-11-20T10:00:00.000Z".into(),
            run: RunId::from_random([0; 6]),
            host: Some("h".parse().expect("name")),
            step: step.map(|s| s.parse().expect("name")),
            body,
        }
    }

    fn sample() -> Vec<u8> {
        let mut log = Vec::new();
        let started = Body::RunStarted { playbook: "p".into(), hosts: vec![], plan: String::new(), who: "w".into(), note: None };
        write_event(&mut log, &event(started, None));
        write_event(&mut log, &event(Body::StepStarted { kind: "shell".into(), command: "x".into(), check: false }, Some("a b")));
        write_output(&mut log, Stream::Stdout, 1500, b"caf\xc3\xa9\r", false);
        write_output(&mut log, Stream::Stderr, 1501, b"\xff\0", true);
        write_output(&mut log, Stream::Stdout, 1502, b"", false);
        write_end(&mut log, 4, Status::Failed);
        log
    }

    #[test]
    fn a_record_is_the_same_however_it_is_cut() {
        let log = sample();
        let mut whole = Vec::new();
        let mut one = reader();
        one.push(&log, &mut whole).expect("record");
        assert_eq!(one.end(), Some((4, "failed")));
        assert_eq!(one.offset(), log.len() as u64);
        for size in 1..log.len() {
            let (mut cut, mut events) = (reader(), Vec::new());
            for piece in log.chunks(size) {
                cut.push(piece, &mut events).expect("record");
            }
            assert_eq!(events, whole, "pieces of {size}");
        }
        let output = serde_json::to_string(&whole[2]).expect("json");
        assert!(output.contains(r#""time":"2026-11-20T10:00:01.500Z""#), "{output}");
        assert!(output.contains(r#""step":"a b""#), "{output}");
        assert!(serde_json::to_string(&whole[3]).expect("json").contains(r#""bytes":"/wA=","partial":true"#));
    }

    #[test]
    fn a_long_line_is_written_in_pieces() {
        let mut log = Vec::new();
        write_output(&mut log, Stream::Stdout, 0, &vec![b'x'; MAX_TEXT * 2 + 1], false);
        let kinds: Vec<u8> = log.split(|b| *b == b'\n').filter_map(|l| l.first().copied()).collect();
        assert_eq!(kinds, b"ooO");
    }

    #[test]
    fn damage_is_named_by_its_place() {
        let mut log = sample();
        let at = log.len() as u64;
        log.extend_from_slice(b"?what\n");
        assert_eq!(reader().push(&log, &mut Vec::new()), Err(RecordError::Damaged(at)));
        assert!(matches!(reader().push(&vec![b'O'; MAX_FRAME + 2], &mut Vec::new()), Err(RecordError::TooLong(0))));
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

//! What the steps of a run printed, kept outside of memory for reports: of each step the last so many bytes, in a temporary file that
//! has no name and goes with the process. Knows nothing of events, and shows nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::sanitize::last_state;
use crate::event::Stream;

/// The most that is kept of one line; of what is longer the beginning stays, and the number of bytes that are left out.
const LONGEST_LINE: usize = 8 << 10;
/// So much is gathered before it is written.
const BUFFER: usize = 4 << 10;

/// The file with a region for each step.
#[derive(Debug)]
pub(super) struct Spool {
    file: Option<File>,
    /// How large a region is; 0: nothing is kept.
    region: u64,
    regions: u64,
    failed: Option<io::Error>,
}

/// What is kept of one step.
#[derive(Debug, Default)]
pub(super) struct Tape {
    region: Option<u64>,
    /// Bytes that went into the region, those that were overwritten since included.
    written: u64,
    lines: u64,
    buffer: Vec<u8>,
    open: [Open; 2],
}

/// A line that is not complete.
#[derive(Debug, Default)]
struct Open {
    text: Vec<u8>,
    left_out: u64,
    began: bool,
}

/// A line that was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) stream: Stream,
    /// Milliseconds after the step began.
    pub(super) ms: u64,
    pub(super) text: Vec<u8>,
    /// So many bytes more it had.
    pub(super) left_out: u64,
}

/// What is left of a step's output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) lines: Vec<Line>,
    /// So many lines came before these.
    pub(super) cut: u64,
}

impl Spool {
    /// One that keeps the last `region` bytes of each step.
    pub(super) fn new(region: u64) -> Self {
        let (file, failed) = match if region == 0 { Ok(None) } else { tempfile::tempfile().map(Some) } {
            Ok(file) => (file, None),
            Err(error) => (None, Some(error)),
        };
        Self { file, region, regions: 0, failed }
    }

    /// Why not all of the output is here that should be.
    pub(super) fn failed(&self) -> Option<&io::Error> {
        self.failed.as_ref()
    }

    /// Takes a piece of what a step prints.
    pub(super) fn push(&mut self, tape: &mut Tape, stream: Stream, ms: u64, piece: &[u8], partial: bool) {
        if self.file.is_none() {
            return;
        }
        let mut lines = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            tape.open[usize::from(stream == Stream::Stderr)].take(line);
            if lines.peek().is_some() || !partial {
                self.end_line(tape, stream, ms);
            }
        }
    }

    /// The step is over: what it left open will not go on.
    pub(super) fn close(&mut self, tape: &mut Tape, ms: u64) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if tape.open[usize::from(stream == Stream::Stderr)].began {
                self.end_line(tape, stream, ms);
            }
        }
        self.flush(tape);
        tape.buffer = Vec::new();
    }

    fn end_line(&mut self, tape: &mut Tape, stream: Stream, ms: u64) {
        let open = std::mem::take(&mut tape.open[usize::from(stream == Stream::Stderr)]);
        let kind = if stream == Stream::Stdout { 'O' } else { 'E' };
        tape.buffer.extend_from_slice(format!("{kind}{ms}+{} ", open.left_out).as_bytes());
        tape.buffer.extend_from_slice(last_state(&open.text));
        tape.buffer.push(b'\n');
        tape.lines += 1;
        if tape.buffer.len() >= BUFFER {
            self.flush(tape);
        }
    }

    fn flush(&mut self, tape: &mut Tape) {
        let Some(file) = &self.file else { return };
        let region = *tape.region.get_or_insert_with(|| {
            self.regions += 1;
            self.regions - 1
        });
        let mut rest = tape.buffer.as_slice();
        while !rest.is_empty() {
            let at = tape.written % self.region;
            let fits = usize::try_from(self.region - at).map_or(rest.len(), |room| room.min(rest.len()));
            if let Err(error) = file.write_all_at(&rest[..fits], region * self.region + at) {
                self.failed = Some(error);
                self.file = None;
                return;
            }
            tape.written += fits as u64;
            rest = &rest[fits..];
        }
        tape.buffer.clear();
    }

    /// How many bytes of a step could be read.
    pub(super) fn size(&self, tape: &Tape) -> u64 {
        tape.written.min(self.region)
    }

    /// What a step printed: about the last `limit` bytes of what is kept, and what it is printing now.
    pub(super) fn read(&self, tape: &Tape, limit: u64) -> Tail {
        let length = self.size(tape).min(limit);
        let Some(mut bytes) = self.written(tape, length) else { return Tail { lines: Vec::new(), cut: tape.lines } };
        if length < tape.written {
            // The first line is rarely a whole one.
            let whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            bytes.drain(..whole);
        }
        bytes.extend_from_slice(&tape.buffer);
        let mut lines: Vec<Line> = bytes.split(|byte| *byte == b'\n').filter_map(line).collect();
        let cut = tape.lines.saturating_sub(lines.len() as u64);
        let ms = lines.last().map_or(0, |line| line.ms);
        for (stream, open) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&tape.open) {
            let text = last_state(&open.text).to_vec();
            lines.extend(open.began.then_some(Line { stream, ms, text, left_out: open.left_out }));
        }
        Tail { lines, cut }
    }

    /// The last `length` bytes of a region.
    fn written(&self, tape: &Tape, length: u64) -> Option<Vec<u8>> {
        let Some(region) = tape.region else { return Some(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let from = (tape.written - length) % self.region;
        let first = usize::try_from(self.region - from).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (head, tail) = bytes.split_at_mut(first);
        let (file, base) = (self.file.as_ref()?, region * self.region);
        file.read_exact_at(head, base + from).and_then(|()| file.read_exact_at(tail, base)).ok()?;
        Some(bytes)
    }
}

impl Tape {
    /// Whether nothing was printed.
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0 && !self.open.iter().any(|open| open.began)
    }
}

impl Open {
    fn take(&mut self, piece: &[u8]) {
        self.began = true;
        self.text.extend_from_slice(piece);
        if self.text.len() > LONGEST_LINE {
            self.text = last_state(&self.text).to_vec();
        }
        if self.text.len() > LONGEST_LINE {
            self.left_out += (self.text.len() - LONGEST_LINE) as u64;
            self.text.truncate(LONGEST_LINE);
        }
    }
}

fn line(bytes: &[u8]) -> Option<Line> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let (kind, head) = bytes[..blank].split_first()?;
    let (ms, left_out) = std::str::from_utf8(head).ok()?.split_once('+')?;
    let stream = if *kind == b'O' { Stream::Stdout } else { Stream::Stderr };
    Some(Line { stream, ms: ms.parse().ok()?, text: bytes[blank + 1..].to_vec(), left_out: left_out.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tail: &Tail) -> Vec<String> {
        tail.lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn the_last_lines_of_each_step_stay() {
        let mut spool = Spool::new(1000);
        let (mut one, mut two) = (Tape::default(), Tape::default());
        for n in 0..10_000u64 {
            spool.push(&mut one, Stream::Stdout, n, format!("line {n}").as_bytes(), false);
            spool.push(&mut two, Stream::Stderr, n, b"\xff\0", false);
        }
        spool.close(&mut one, 0);
        spool.close(&mut two, 0);
        let tail = spool.read(&one, u64::MAX);
        let shown = texts(&tail);
        assert_eq!(shown.last().map(String::as_str), Some("line 9999"));
        assert_eq!(tail.cut + shown.len() as u64, 10_000);
        assert!(shown.len() > 40 && shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
        assert_eq!(texts(&spool.read(&one, 40)), ["line 9998", "line 9999"]);
        let last = spool.read(&two, u64::MAX).lines.pop().unwrap();
        assert_eq!(last, Line { stream: Stream::Stderr, ms: 9999, text: b"\xff\0".to_vec(), left_out: 0 });
    }

    #[test]
    fn pieces_lines_and_progress() {
        let mut spool = Spool::new(1 << 20);
        let mut tape = Tape::default();
        spool.push(&mut tape, Stream::Stdout, 1, b"one ", true);
        spool.push(&mut tape, Stream::Stderr, 2, b"two\nthree", false);
        spool.push(&mut tape, Stream::Stdout, 3, b"line", false);
        spool.push(&mut tape, Stream::Stdout, 4, b"10%\r50%\r100%", true);
        let under_way = spool.read(&tape, u64::MAX);
        assert_eq!(texts(&under_way), ["two", "three", "one line", "100%"]);
        spool.close(&mut tape, 5);
        let tail = spool.read(&tape, u64::MAX);
        assert_eq!(texts(&tail), ["two", "three", "one line", "100%"]);
        assert_eq!(tail.cut, 0);
    }

    #[test]
    fn an_endless_line_is_cut_and_counted() {
        let mut spool = Spool::new(1 << 20);
        let mut tape = Tape::default();
        let piece = vec![b'x'; 32 << 10];
        for _ in 0..320 {
            spool.push(&mut tape, Stream::Stdout, 0, &piece, true);
        }
        assert!(tape.open[0].text.len() <= LONGEST_LINE);
        spool.push(&mut tape, Stream::Stdout, 0, b"end", false);
        spool.close(&mut tape, 0);
        let tail = spool.read(&tape, u64::MAX);
        assert_eq!((tail.lines.len(), tail.lines[0].left_out), (1, (10 << 20) + 3 - LONGEST_LINE as u64));
    }

    #[test]
    fn where_nothing_is_wanted_nothing_is_kept() {
        let mut spool = Spool::new(0);
        let mut tape = Tape::default();
        spool.push(&mut tape, Stream::Stdout, 0, b"x", false);
        spool.close(&mut tape, 0);
        assert_eq!(spool.read(&tape, u64::MAX), Tail::default());
        assert!(spool.file.is_none());
    }
}

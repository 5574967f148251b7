//! Masks one output stream as it passes. Owns the bytes that wait; must not know where they come from, where they go, or which
//! encodings there are.

use super::matcher::Hit;
use super::needles::Needles;
use super::patterns::Shade;
use super::scanner::Scanner;
use super::spans::Spans;
use std::fmt;
use std::sync::Arc;

/// What one piece of a large push may be: what waits stays within this plus the longest partial match.
const PIECE: usize = 64 * 1024;

/// Masks one output stream. Bytes leave at once, except the longest end of the stream that may be the beginning of a secret.
pub struct Masker {
    needles: Arc<Needles>,
    scanner: Scanner,
    spans: Spans,
    hits: Vec<Hit>,
    waiting: Waiting,
    /// How many bytes of the stream have been read.
    end: u64,
    /// Where the last mask that was written ends: what overlaps it needs no mask of its own.
    masked_to: u64,
    held_since: u64,
    held_depth: usize,
    /// What the secrets' masks have left goes through this one.
    shade: Option<Shade>,
    between: Vec<u8>,
    /// For tests of what becomes of the output then.
    #[cfg(test)]
    fails_at: Option<u64>,
}

impl Masker {
    /// A masker at the start of a stream.
    pub fn new(needles: Arc<Needles>) -> Self {
        let shade = needles.patterns().map(|patterns| Shade::new(Arc::clone(patterns)));
        Self {
            shade,
            between: Vec::new(),
            needles,
            scanner: Scanner::new(),
            spans: Spans::default(),
            hits: Vec::new(),
            waiting: Waiting::default(),
            end: 0,
            masked_to: 0,
            held_since: 0,
            held_depth: 0,
            #[cfg(test)]
            fails_at: None,
        }
    }

    /// A masker that fails when it has read so many bytes.
    #[cfg(test)]
    pub(crate) fn failing_at(place: u64) -> Self {
        Self { fails_at: Some(place), ..Self::new(Arc::new(Needles::none())) }
    }

    /// Takes the next bytes of the stream; appends to `out` what may leave.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        for piece in data.chunks(PIECE) {
            self.waiting.bytes.extend_from_slice(piece);
            self.scanner.read(&self.needles, piece, self.end, &mut self.hits);
            self.end += piece.len() as u64;
            #[cfg(test)]
            self.fail_where_a_test_wants_it();
            let held = self.scanner.held(&self.needles, self.end, &mut self.hits);
            self.held_since = held.map_or(self.end, |held| held.since);
            self.held_depth = held.map_or(0, |held| held.depth);
            self.pass(self.held_since, Shade::settle, out);
        }
    }

    #[cfg(test)]
    fn fail_where_a_test_wants_it(&self) {
        assert!(self.fails_at.is_none_or(|place| self.end < place), "as the test wants it");
    }

    /// Nothing came for a while: lets go of what waits if no more than `max_depth` bytes of a secret have been seen, so that a
    /// prompt shows up. A longer beginning stays until the next byte or the end.
    pub fn idle_flush(&mut self, max_depth: usize, out: &mut Vec<u8>) {
        let limit = if self.held_depth <= max_depth { self.end } else { self.held_since };
        self.pass(limit, Shade::idle_flush, out);
    }

    /// The stream has ended: appends all that still waits.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.scanner.finish(&self.needles, &mut self.hits);
        self.held_depth = 0;
        self.pass(self.end, Shade::finish, out);
    }

    /// How many bytes wait.
    pub fn held(&self) -> usize {
        self.waiting.len() + self.shade.as_ref().map_or(0, Shade::held)
    }

    /// Lets everything before `limit` leave, through the mask of personal data where there is one.
    fn pass(&mut self, limit: u64, then: impl FnOnce(&mut Shade, &mut Vec<u8>), out: &mut Vec<u8>) {
        let Some(mut shade) = self.shade.take() else { return self.release(limit, out) };
        let mut between = std::mem::take(&mut self.between);
        self.release(limit, &mut between);
        shade.take(&between);
        then(&mut shade, out);
        between.clear();
        (self.between, self.shade) = (between, Some(shade));
    }

    /// Lets everything before `limit` leave. No hit that is found later starts before it, so a mask is written as soon as its
    /// start has passed; were it kept until its end is known, a repetitive secret in an endless line would never leave.
    fn release(&mut self, limit: u64, out: &mut Vec<u8>) {
        for hit in self.hits.drain(..) {
            self.spans.insert(hit);
        }
        while let Some(span) = self.spans.pop_before(limit) {
            self.waiting.write_to(span.start, out);
            if span.start >= self.masked_to {
                out.extend_from_slice(self.needles.mask(span.label));
            }
            self.waiting.drop_to(span.end);
            self.masked_to = self.masked_to.max(span.end);
        }
        self.waiting.write_to(limit, out);
        self.waiting.compact();
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("end", &self.end).field("held", &self.held()).finish_non_exhaustive()
    }
}

/// The bytes that wait: those of the stream from `place` on.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many of `bytes` have left already: moving the rest down each time would cost as much as it saves.
    gone: usize,
    place: u64,
}

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.gone
    }

    fn write_to(&mut self, place: u64, out: &mut Vec<u8>) {
        let from = self.gone;
        self.drop_to(place);
        out.extend_from_slice(&self.bytes[from..self.gone]);
    }

    fn drop_to(&mut self, place: u64) {
        let count = usize::try_from(place.saturating_sub(self.place)).unwrap_or(usize::MAX).min(self.len());
        self.gone += count;
        self.place += count as u64;
    }

    fn compact(&mut self) {
        if self.gone * 2 >= self.bytes.len() {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }
}

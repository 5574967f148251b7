//! Tells where in a text a needle may begin, and passes over all the rest at a fraction of what the automata cost: nearly all of a log
//! holds no secret, nor three bytes in a row with which one begins. It may suspect too much, never too little. Must not know what a
//! view is, nor what is done with a match.
//!
//! One pass serves the plain needles and the squeezed ones: it reads the text without white space and control characters. What holds a
//! needle still holds it when both are written without them.

use super::automaton::Needle;

/// How much is looked at in one go.
pub(super) const BLOCK: usize = 1024;

/// Every so many visible bytes a look is enough, for each of so many places at a needle's beginning is known.
const STRIDE: usize = 2;
/// How many bytes a look compares.
const GRAM: usize = 3;
/// The visible bytes that a needle must have, so that no look misses it.
const SHORTEST: usize = GRAM + STRIDE - 1;
/// As many visible bytes at the end of a text may begin a needle that no look has seen: those compare one byte less than they read.
const TAIL: usize = SHORTEST;

/// The set has so many bits, as a power of two: few of them are set by a thousand needles, and all of them stay in the fastest cache.
const BITS: u32 = 17;

/// The beginnings of all needles, as a set that errs towards holding more.
pub(super) struct Sieve {
    beginnings: Vec<u64>,
}

impl Sieve {
    /// The sieve for these needles; of the folded ones, bytes with the same `fold` are one. None where a needle is too short, or begins
    /// with what is not visible.
    pub(super) fn new(plain: &[Needle], folded: &[Needle], fold: fn(u8) -> u8) -> Option<Self> {
        let mut sieve = Self { beginnings: vec![0; 1 << (BITS - 6)] };
        let alike = |byte: u8| (0..=u8::MAX).filter(move |&other| fold(other) == fold(byte)).collect();
        let alike: Vec<Vec<u8>> = (0..=u8::MAX).map(alike).collect();
        for needle in plain {
            sieve.add(beginning(needle)?.map(|byte| vec![byte]).each_ref());
        }
        for needle in folded {
            sieve.add(beginning(needle)?.map(|byte| &alike[usize::from(byte)]));
        }
        Some(sieve)
    }

    fn add(&mut self, beginning: [&Vec<u8>; SHORTEST]) {
        for [first, second, third] in beginning.array_windows::<GRAM>() {
            for first in *first {
                for second in *second {
                    for third in *third {
                        for hash in hashes([*first, *second, *third, 0]) {
                            self.beginnings[hash >> 6] |= 1 << (hash & 63);
                        }
                    }
                }
            }
        }
    }

    /// Whether a needle may begin, at its first byte or its second, with the first three of these.
    #[inline]
    fn suspects(&self, bytes: [u8; GRAM + 1]) -> bool {
        hashes(bytes).into_iter().all(|hash| self.beginnings[hash >> 6] >> (hash & 63) & 1 == 1)
    }
}

/// The first visible bytes of a needle.
fn beginning(needle: &Needle) -> Option<[u8; SHORTEST]> {
    let mut visible = needle.bytes.iter().copied().filter(|&byte| is_visible(byte));
    let mut beginning = [0; SHORTEST];
    for byte in &mut beginning {
        *byte = visible.next()?;
    }
    needle.bytes.first().is_some_and(|&byte| is_visible(byte)).then_some(beginning)
}

/// All white space is invisible, and what else stands before it in ASCII.
#[inline]
fn is_visible(byte: u8) -> bool {
    byte > b' '
}

/// Two places in the set for the first three of four bytes: one that both hold by chance is rare.
#[inline]
fn hashes(bytes: [u8; GRAM + 1]) -> [usize; 2] {
    let three = u32::from_le_bytes(bytes) << 8;
    [0x9e37_79b1, 0x85eb_ca77].map(|odd| (three.wrapping_mul(odd) >> (32 - BITS)) as usize)
}

/// The visible bytes of a block, and where in it they stand.
pub(super) struct Visible {
    bytes: Box<[u8; BLOCK]>,
    places: Box<[u16; BLOCK]>,
    count: usize,
    length: usize,
    /// How many of them come before what has been looked at.
    passed: usize,
}

impl Visible {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([0; BLOCK]), places: Box::new([0; BLOCK]), count: 0, length: 0, passed: 0 }
    }

    /// Takes a block, of at most `BLOCK` bytes.
    pub(super) fn take(&mut self, block: &[u8]) {
        let mut count = 0;
        // Without a branch: where words end nobody foresees.
        for (&byte, place) in block.iter().zip(0..) {
            self.bytes[count % BLOCK] = byte;
            self.places[count % BLOCK] = place;
            count += usize::from(is_visible(byte));
        }
        (self.count, self.length, self.passed) = (count, block.len(), 0);
    }

    /// How much of the block's beginning must be looked at closely: its first bytes may end what began before it.
    pub(super) fn head(&self) -> usize {
        if self.count > SHORTEST + TAIL { self.place(SHORTEST) } else { self.length }
    }

    /// The next stretch of the block at or behind `from` that must be looked at closely: no needle that is not open at `from` begins
    /// before its start. Behind the head, and `from` never goes back.
    pub(super) fn next(&mut self, sieve: &Sieve, from: usize) -> (usize, usize) {
        while self.passed < self.count && self.place(self.passed) < from {
            self.passed += 1;
        }
        let first = self.passed - (GRAM - 1);
        let looks = self.bytes[first..self.count].array_windows().step_by(STRIDE);
        let suspect = looks.into_iter().position(|bytes| sieve.suspects(*bytes)).map(|look| first + look * STRIDE + GRAM - 1);
        let (start, end) = match suspect {
            Some(last) => (last + 1 - SHORTEST, self.place(last) + 1),
            None => (self.count - TAIL, self.length),
        };
        self.passed = self.passed.max(start);
        (self.place(start).max(from), end)
    }

    fn place(&self, number: usize) -> usize {
        usize::from(self.places[number])
    }
}

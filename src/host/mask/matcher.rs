//! Feeds the visible bytes of one reading to the automaton, remembers which source bytes they came from, and weighs short needles
//! by their neighbours. Must not know how a reading makes its bytes.

use super::automaton::{Automaton, Match};
use super::decode::Decoded;
use super::view::is_space;

/// A needle was found in the source bytes `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hit {
    /// Where it starts in the stream.
    pub(super) start: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// The label of the needle.
    pub(super) label: u32,
}

/// What a view cannot let go of yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// The first byte of the stream that must stay.
    pub(super) since: u64,
    /// How many bytes of a needle have been seen.
    pub(super) depth: usize,
}

/// A short needle that waits for its right neighbour.
#[derive(Clone, Copy)]
struct Waiting {
    hit: Hit,
    depth: usize,
}

/// The matching state of one reading.
pub(super) struct Matcher {
    state: u32,
    /// How many visible bytes there were; wraps.
    fed: usize,
    /// The last visible bytes, each with its place in the stream (`place << 8 | byte`): a power of two, grown when a match gets
    /// longer.
    recent: Vec<u64>,
    waiting: Vec<Waiting>,
}

impl Matcher {
    /// At the start of a stream.
    pub(super) fn new() -> Self {
        Self { state: 0, fed: 0, recent: vec![0; 64], waiting: Vec::new() }
    }

    /// Goes on from where `other` stands.
    pub(super) fn adopt(&mut self, automaton: &Automaton, other: &Self) {
        self.state = other.state;
        self.fed = other.fed;
        self.waiting.clone_from(&other.waiting);
        self.recent.resize(self.recent.len().max(other.recent.len()), 0);
        for back in 1..=automaton.depth(self.state) + 1 {
            let slot = self.slot(back);
            self.recent[slot] = other.recent[other.slot(back)];
        }
    }

    /// Whether both will say the same of whatever follows.
    pub(super) fn agrees_with(&self, automaton: &Automaton, other: &Self) -> bool {
        let depth = automaton.depth(self.state);
        self.state == other.state
            && self.waiting.is_empty()
            && other.waiting.is_empty()
            && self.byte(depth + 1) == other.byte(depth + 1)
            && (1..=depth).all(|back| self.recent[self.slot(back)] == other.recent[other.slot(back)])
    }

    /// Whether no match is open.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.state == 0 && self.waiting.is_empty()
    }

    /// Whether nothing can end before a few more bytes have been seen.
    #[inline]
    pub(super) fn is_near(&self, automaton: &Automaton) -> bool {
        automaton.is_near(self.state) && self.waiting.is_empty()
    }

    /// Takes bytes that stand for themselves while no match can end with the next one: where nearly all of a log passes through. Tells
    /// how many.
    pub(super) fn feed_while_near(&mut self, automaton: &Automaton, block: &[u8], place: u64, squeezed: bool) -> usize {
        let (mut state, mut fed) = (self.state, self.fed);
        let recent = self.recent.as_mut_slice();
        let mask = recent.len() - 1;
        let mut taken = 0;
        for (&byte, place) in block.iter().zip(place..) {
            if squeezed && is_space(byte) {
                taken += 1;
                continue;
            }
            let next = automaton.step(state, byte);
            if !automaton.is_near(next) {
                break;
            }
            state = next;
            recent[fed & mask] = place << 8 | u64::from(byte);
            fed = fed.wrapping_add(1);
            taken += 1;
            if state == 0 {
                break;
            }
        }
        (self.state, self.fed) = (state, fed);
        taken
    }

    /// Takes the next visible byte.
    #[inline]
    pub(super) fn feed(&mut self, automaton: &Automaton, decoded: Decoded, hits: &mut Vec<Hit>) {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            if !is_word(decoded.byte) {
                hits.extend(waiting.into_iter().map(|waiting| waiting.hit));
            }
        }
        let slot = self.fed & (self.recent.len() - 1);
        self.recent[slot] = decoded.start << 8 | u64::from(decoded.byte);
        self.fed = self.fed.wrapping_add(1);
        self.state = automaton.step(self.state, decoded.byte);
        if !automaton.is_near(self.state) {
            self.weigh(automaton, decoded, hits);
        }
    }

    /// Makes room for a longer match, and reports what ends here.
    fn weigh(&mut self, automaton: &Automaton, decoded: Decoded, hits: &mut Vec<Hit>) {
        if automaton.depth(self.state) + 2 > self.recent.len() {
            self.grow();
        }
        if let Some(output) = automaton.output(self.state) {
            for found in [output.whole, output.strict].into_iter().flatten() {
                hits.push(self.hit(found, decoded.end));
            }
            for found in output.words.into_iter().flatten() {
                self.weigh_word(found, decoded, hits);
            }
            self.state = automaton.open(self.state);
        }
    }

    /// The stream has ended, which is a word boundary.
    pub(super) fn finish(&mut self, hits: &mut Vec<Hit>) {
        hits.extend(self.waiting.drain(..).map(|waiting| waiting.hit));
    }

    /// How many bytes of a needle have been seen.
    pub(super) fn depth(&self, automaton: &Automaton) -> usize {
        automaton.depth(self.state)
    }

    /// What must stay back, if anything.
    pub(super) fn held(&self, automaton: &Automaton) -> Option<Held> {
        let depth = self.depth(automaton);
        let partial = (depth > 0).then(|| Held { since: self.place(depth), depth });
        let waiting = self.waiting.iter().map(|waiting| Held { since: waiting.hit.start, depth: waiting.depth });
        waiting.chain(partial).reduce(Held::with)
    }

    /// Gives up partial matches that began before `oldest`.
    pub(super) fn forget_before(&mut self, automaton: &Automaton, oldest: u64, hits: &mut Vec<Hit>) {
        hits.extend(self.waiting.extract_if(.., |waiting| waiting.hit.start < oldest).map(|waiting| waiting.hit));
        while self.state != 0 && self.place(automaton.depth(self.state)) < oldest {
            self.state = automaton.shorter(self.state);
        }
    }

    /// Goes on behind bytes of which none can belong to a match; `neighbour` is the last of them.
    pub(super) fn pass_over(&mut self, neighbour: u8) {
        self.state = 0;
        self.remember_neighbour(neighbour);
    }

    /// Keeps the byte before a possible match, without counting it.
    #[inline]
    pub(super) fn remember_neighbour(&mut self, byte: u8) {
        let slot = self.slot(1);
        self.recent[slot] = u64::from(byte);
    }

    /// A short needle counts if both its neighbours, as far as they could make a longer word of it, do not.
    fn weigh_word(&mut self, found: Match, last: Decoded, hits: &mut Vec<Hit>) {
        if is_word(self.byte(found.length + 1)) && is_word(self.byte(found.length)) {
            return;
        }
        let hit = self.hit(found, last.end);
        if is_word(last.byte) {
            self.waiting.push(Waiting { hit, depth: found.length });
        } else {
            hits.push(hit);
        }
    }

    fn hit(&self, found: Match, end: u64) -> Hit {
        Hit { start: self.place(found.length), end, label: found.label }
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.recent);
        self.recent = vec![0; old.len() * 2];
        for back in 1..=old.len() {
            let slot = self.slot(back);
            self.recent[slot] = old[self.fed.wrapping_sub(back) & (old.len() - 1)];
        }
    }

    #[inline]
    fn slot(&self, back: usize) -> usize {
        self.fed.wrapping_sub(back) & (self.recent.len() - 1)
    }

    fn place(&self, back: usize) -> u64 {
        self.recent[self.slot(back)] >> 8
    }

    fn byte(&self, back: usize) -> u8 {
        self.recent[self.slot(back)].to_le_bytes()[0]
    }
}

impl Held {
    /// Both at once.
    pub(super) fn with(self, other: Self) -> Self {
        Self { since: self.since.min(other.since), depth: self.depth.max(other.depth) }
    }
}

/// Bytes of other alphabets are no word bytes: in doubt, mask.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

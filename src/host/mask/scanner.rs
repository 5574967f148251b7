//! All readings of one stream side by side. Must not know of the bytes that wait to leave.
//!
//! There are two families: the plain needles, and those that are found with white space squeezed out (base64, hex, multi-line
//! values). In each, a reading undoes control sequences or not, and percent escapes, backslash escapes or none. Each decoding
//! reading *damages* some raw text (a secret that ends in `\`, `ESC[` eating the byte after it), so the plain one always runs
//! beside it. A reading sleeps while nothing that it looks at has occurred, so an ordinary log costs the two plain ones, and those
//! only look where a needle may begin; a coloured log costs four.

use super::automaton::Automaton;
use super::decode::Escapes;
use super::matcher::{Held, Hit};
use super::needles::Needles;
use super::sieve::{BLOCK, Sieve, Visible};
use super::view::{Reading, View};
use memchr::memchr3;

/// The bytes that make a difference between readings, as a set.
type Marks = u8;
const ESCAPE: Marks = 1;
const PERCENT: Marks = 2;
const BACKSLASH: Marks = 4;

/// The readings of a family. The first is the plain one; the marks are those whose occurrence makes a reading differ from it.
const READINGS: [(Marks, bool, Escapes); 6] = [
    (0, false, Escapes::None),
    (ESCAPE, true, Escapes::None),
    (PERCENT, false, Escapes::Percent),
    (BACKSLASH, false, Escapes::Backslash),
    (ESCAPE | PERCENT, true, Escapes::Percent),
    (ESCAPE | BACKSLASH, true, Escapes::Backslash),
];

/// All readings of one stream.
pub(super) struct Scanner {
    plain: Family,
    squeezed: Family,
    visible: Visible,
}

/// A stretch that was looked at closely goes on by so many bytes until both families are at rest again.
const MORE: usize = 16;

impl Scanner {
    /// At the start of a stream.
    pub(super) fn new() -> Self {
        Self { plain: Family::new(false), squeezed: Family::new(true), visible: Visible::new() }
    }

    /// Reads `data`, which starts at `place` in the stream, and adds what it found. Block by block: a lone `%` in much data does not
    /// wake readings for all of it.
    pub(super) fn read(&mut self, needles: &Needles, data: &[u8], place: u64, hits: &mut Vec<Hit>) {
        for (block, place) in data.chunks(BLOCK).zip((place..).step_by(BLOCK)) {
            let marks = marks_in(block);
            match needles.sieve() {
                Some(sieve) if marks == 0 && self.plain.is_alone() && self.squeezed.is_alone() => {
                    self.sift(needles, sieve, block, place, hits);
                }
                _ => {
                    self.plain.read(needles.plain(), block, place, marks, hits);
                    self.squeezed.read(needles.squeezed(), block, place, marks, hits);
                }
            }
        }
    }

    /// Reads a block that makes no difference between readings, and only where a needle may be.
    fn sift(&mut self, needles: &Needles, sieve: &Sieve, block: &[u8], place: u64, hits: &mut Vec<Hit>) {
        let (plain, squeezed) = (self.plain.first(), self.squeezed.first());
        self.visible.take(block);
        let (mut at, mut end) = (0, self.visible.head());
        loop {
            plain.read(needles.plain(), &block[at..end], place + at as u64, hits);
            squeezed.read(needles.squeezed(), &block[at..end], place + at as u64, hits);
            at = end;
            if at == block.len() {
                return;
            }
            if !(plain.is_calm(needles.plain()) && squeezed.is_calm(needles.squeezed())) {
                end = (at + MORE).min(block.len());
                continue;
            }
            let (next, until) = self.visible.next(sieve, at);
            if next > at {
                let neighbour = block[next - 1];
                plain.pass_over(neighbour);
                squeezed.pass_over(neighbour);
                at = next;
            }
            end = until;
        }
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self, needles: &Needles, hits: &mut Vec<Hit>) {
        self.plain.finish(needles.plain(), hits);
        self.squeezed.finish(needles.squeezed(), hits);
    }

    /// What must stay back of a stream of which `end` bytes have been read, after giving up matches that are stretched beyond
    /// reason.
    pub(super) fn held(&mut self, needles: &Needles, end: u64, hits: &mut Vec<Hit>) -> Option<Held> {
        let plain = self.plain.held(needles.plain(), end, hits);
        let squeezed = self.squeezed.held(needles.squeezed(), end, hits);
        plain.into_iter().chain(squeezed).reduce(Held::with)
    }
}

/// The readings over one automaton.
struct Family {
    members: [Member; READINGS.len()],
}

struct Member {
    marks: Marks,
    /// Those of its marks that have occurred since it last agreed with the plain reading. Until all have, another member (the one
    /// with exactly these marks) reads for it.
    met: Marks,
    view: View,
}

impl Member {
    fn is_awake(&self) -> bool {
        self.met == self.marks
    }
}

impl Family {
    fn new(squeezed: bool) -> Self {
        Self {
            members: READINGS.map(|(marks, ansi, escapes)| Member {
                marks,
                met: 0,
                view: View::new(Reading { ansi, escapes, squeezed }),
            }),
        }
    }

    /// Whether the plain reading reads for all.
    fn is_alone(&self) -> bool {
        !self.members[1..].iter().any(Member::is_awake)
    }

    fn first(&mut self) -> &mut View {
        &mut self.members[0].view
    }

    fn read(&mut self, automaton: &Automaton, block: &[u8], place: u64, marks: Marks, hits: &mut Vec<Hit>) {
        self.wake(automaton, marks);
        for member in self.members.iter_mut().filter(|member| member.is_awake()) {
            member.view.read(automaton, block, place, hits);
        }
        self.rest(automaton);
    }

    /// Wakes the readings that the next block may set apart. A reading can go on being read by another only if that other one agrees
    /// with it now, and not if it has been set apart before. Going backwards, the compound readings look at what the simple ones are
    /// before the block changes them.
    fn wake(&mut self, automaton: &Automaton, marks: Marks) {
        for index in (1..READINGS.len()).rev() {
            let (before, after) = self.members.split_at_mut(index);
            let Some(member) = after.first_mut() else { continue };
            let met = member.met | (marks & member.marks);
            if met == member.met {
                continue;
            }
            let next_is_apart = before.iter().any(|other| other.marks == met && other.is_awake());
            if met != member.marks && !next_is_apart {
                member.met = met;
            } else if let Some(reader) = before.iter().find(|other| other.marks == member.met) {
                member.view.adopt(automaton, &reader.view);
                member.met = member.marks;
            }
        }
    }

    /// Lets readings sleep that agree with a plainer one.
    fn rest(&mut self, automaton: &Automaton) {
        for index in 1..READINGS.len() {
            let (before, after) = self.members.split_at_mut(index);
            let Some(member) = after.first_mut() else { continue };
            if member.is_awake() {
                let plainer = before.iter().find(|other| {
                    other.is_awake() && other.marks & !member.marks == 0 && member.view.agrees_with(automaton, &other.view)
                });
                member.met = plainer.map_or(member.met, |other| other.marks);
            } else if let Some(reader) = before.iter().find(|other| other.marks == member.met) {
                member.met = reader.met;
            }
        }
    }

    fn finish(&mut self, automaton: &Automaton, hits: &mut Vec<Hit>) {
        for member in self.members.iter_mut().filter(|member| member.is_awake()) {
            member.view.finish(automaton, hits);
        }
    }

    fn held(&mut self, automaton: &Automaton, end: u64, hits: &mut Vec<Hit>) -> Option<Held> {
        let oldest = end.saturating_sub(reach(automaton));
        let mut held = None;
        for member in self.members.iter_mut().filter(|member| member.is_awake()) {
            member.view.forget_before(automaton, oldest, hits);
            held = held.into_iter().chain(member.view.held(automaton)).reduce(Held::with);
        }
        held
    }
}

/// How far apart the first and last byte of a match may be: room for each byte as `\u0041` between two colour changes, and for
/// some pages of white space.
fn reach(automaton: &Automaton) -> u64 {
    automaton.longest() as u64 * 16 + 64 * 1024
}

fn marks_in(block: &[u8]) -> Marks {
    if memchr3(0x1b, b'%', b'\\', block).is_none() {
        return 0;
    }
    [(0x1b, ESCAPE), (b'%', PERCENT), (b'\\', BACKSLASH)]
        .into_iter()
        .filter(|(byte, _)| block.contains(byte))
        .fold(0, |marks, (_, mark)| marks | mark)
}

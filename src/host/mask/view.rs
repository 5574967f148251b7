//! One way to read the stream: which bytes are invisible, which escapes are undone. Must not know of other views, nor what is
//! done with a hit.

use super::automaton::Automaton;
use super::decode::{Decoded, Decoder, Escapes};
use super::matcher::{Held, Hit, Matcher};

/// How a view reads the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Whether terminal control sequences are invisible. Never OSC: it may carry a link, and so a secret.
    pub(super) ansi: bool,
    /// Which escapes are undone.
    pub(super) escapes: Escapes,
    /// Whether white space is invisible.
    pub(super) squeezed: bool,
}

/// Where a view stands inside a terminal control sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    Outside,
    Escape,
    /// `ESC ( B` and its like.
    Charset,
    /// `ESC [ …`, and how long it is so far.
    Csi(u8),
}

/// A sequence longer than this is not one.
const LONGEST_CSI: u8 = 48;

/// One reading and its state.
pub(super) struct View {
    reading: Reading,
    control: Control,
    decoder: Decoder,
    matcher: Matcher,
}

impl View {
    /// A view at the start of a stream.
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, control: Control::Outside, decoder: Decoder::new(reading.escapes), matcher: Matcher::new() }
    }

    /// Goes on from where `other` stands.
    pub(super) fn adopt(&mut self, automaton: &Automaton, other: &Self) {
        self.control = other.control;
        self.decoder.adopt(&other.decoder);
        self.matcher.adopt(automaton, &other.matcher);
    }

    /// Whether both views will say the same of whatever follows, as long as that holds nothing that only one of them looks at.
    pub(super) fn agrees_with(&self, automaton: &Automaton, other: &Self) -> bool {
        let at_rest = |view: &Self| view.control == Control::Outside && view.decoder.open_since().is_none();
        at_rest(self) && at_rest(other) && self.matcher.agrees_with(automaton, &other.matcher)
    }

    /// Whether nothing can end within the next bytes, and nothing is open but what they may begin.
    pub(super) fn is_calm(&self, automaton: &Automaton) -> bool {
        self.control == Control::Outside && self.decoder.open_since().is_none() && self.matcher.is_near(automaton)
    }

    /// Goes on behind bytes of which none can belong to a match; `neighbour` is the last of them.
    pub(super) fn pass_over(&mut self, neighbour: u8) {
        self.matcher.pass_over(neighbour);
    }

    /// Reads a block that starts at `place` in the stream.
    pub(super) fn read(&mut self, automaton: &Automaton, block: &[u8], place: u64, hits: &mut Vec<Hit>) {
        if !self.reading.ansi && self.reading.escapes == Escapes::None {
            return self.read_plain(automaton, block, place, hits);
        }
        let opener = self.reading.escapes.opener();
        let mut index = 0;
        while index < block.len() {
            if self.control == Control::Outside && self.decoder.open_since().is_none() {
                let special = |byte: &u8| (self.reading.ansi && *byte == 0x1b) || Some(*byte) == opener;
                let rest = &block[index..];
                let plain = rest.iter().position(special).unwrap_or(rest.len());
                self.read_plain(automaton, &rest[..plain], place + index as u64, hits);
                index += plain;
            }
            if let Some(&byte) = block.get(index) {
                self.read_special(automaton, byte, place + index as u64, hits);
                index += 1;
            }
        }
    }

    /// Reads a byte of a control sequence or of an escape.
    fn read_special(&mut self, automaton: &Automaton, byte: u8, place: u64, hits: &mut Vec<Hit>) {
        let Self { reading, control, decoder, matcher } = self;
        if !(reading.ansi && control.hides(byte)) {
            decoder.push(byte, place, |decoded| see(matcher, *reading, automaton, decoded, hits));
        }
    }

    fn read_plain(&mut self, automaton: &Automaton, block: &[u8], place: u64, hits: &mut Vec<Hit>) {
        let mut index = 0;
        while index < block.len() {
            if self.matcher.is_idle() {
                let foreign = block[index..].iter().position(|&byte| automaton.starts_with(byte)).unwrap_or(block.len() - index);
                if foreign > 0 {
                    index += foreign;
                    self.matcher.remember_neighbour(block[index - 1]);
                    continue;
                }
            }
            if self.matcher.is_near(automaton) {
                let rest = &block[index..];
                let taken = self.matcher.feed_while_near(automaton, rest, place + index as u64, self.reading.squeezed);
                if taken > 0 {
                    index += taken;
                    continue;
                }
            }
            let start = place + index as u64;
            see(&mut self.matcher, self.reading, automaton, Decoded { byte: block[index], start, end: start + 1 }, hits);
            index += 1;
        }
    }

    /// The stream has ended: open escapes stand for themselves.
    pub(super) fn finish(&mut self, automaton: &Automaton, hits: &mut Vec<Hit>) {
        self.flush_escape(automaton, hits);
        self.matcher.finish(hits);
    }

    /// What must stay back, if anything.
    pub(super) fn held(&self, automaton: &Automaton) -> Option<Held> {
        let escape = self.decoder.open_since().map(|since| Held { since, depth: self.matcher.depth(automaton) });
        self.matcher.held(automaton).into_iter().chain(escape).reduce(Held::with)
    }

    /// Gives up partial matches that began before `oldest`. Only invisible bytes without end (white space, control sequences)
    /// make a match that long, and holding them back would take memory without end.
    pub(super) fn forget_before(&mut self, automaton: &Automaton, oldest: u64, hits: &mut Vec<Hit>) {
        if self.decoder.open_since().is_some_and(|since| since < oldest) {
            self.flush_escape(automaton, hits);
        }
        self.matcher.forget_before(automaton, oldest, hits);
    }

    fn flush_escape(&mut self, automaton: &Automaton, hits: &mut Vec<Hit>) {
        let Self { reading, decoder, matcher, .. } = self;
        decoder.flush(|decoded| see(matcher, *reading, automaton, decoded, hits));
    }
}

#[inline]
fn see(matcher: &mut Matcher, reading: Reading, automaton: &Automaton, decoded: Decoded, hits: &mut Vec<Hit>) {
    if !(reading.squeezed && is_space(decoded.byte)) {
        matcher.feed(automaton, decoded, hits);
    }
}

impl Control {
    /// Whether the byte belongs to a control sequence.
    #[inline]
    fn hides(&mut self, byte: u8) -> bool {
        if *self == Self::Outside && byte != 0x1b {
            return false;
        }
        let (next, hidden) = match (*self, byte) {
            (Self::Outside | Self::Escape, 0x1b) => (Self::Escape, true),
            (Self::Escape, b'[') => (Self::Csi(0), true),
            (Self::Escape | Self::Charset, 0x20..=0x2f) => (Self::Charset, true),
            (Self::Csi(length), 0x20..=0x3f) if length < LONGEST_CSI => (Self::Csi(length + 1), true),
            (Self::Charset, 0x30..=0x7e) | (Self::Csi(_), 0x20..=0x7e) => (Self::Outside, true),
            _ => (Self::Outside, false),
        };
        *self = next;
        hidden
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

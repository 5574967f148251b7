//! Undoes one level of percent or backslash escapes, a byte at a time, and says which source bytes each decoded byte came from.
//! Must not know of needles or of masking.

/// Which escapes a view undoes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Escapes {
    /// None: bytes stand for themselves.
    None,
    /// `%41`.
    Percent,
    /// JSON, shell and C: `\n`, `\"`, `\u00e9`, `\x41`, `\101`.
    Backslash,
}

impl Escapes {
    /// The byte that opens an escape.
    pub(super) fn opener(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Percent => Some(b'%'),
            Self::Backslash => Some(b'\\'),
        }
    }

    fn inspect(self, held: &[u8]) -> Step {
        match self {
            Self::None => Step::literal(held),
            Self::Percent => inspect_percent(held),
            Self::Backslash => inspect_backslash(held),
        }
    }
}

/// A decoded byte and the source bytes `start..end` it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decoded {
    /// The byte.
    pub(super) byte: u8,
    /// Where its escape starts in the stream.
    pub(super) start: u64,
    /// Where its escape ends.
    pub(super) end: u64,
}

/// A surrogate pair, `\ud83d\ude00`, is the longest escape.
const LONGEST: usize = 12;

/// The open escape of one view.
#[derive(Clone, Copy)]
pub(super) struct Decoder {
    escapes: Escapes,
    held: [u8; LONGEST],
    places: [u64; LONGEST],
    length: usize,
}

impl Decoder {
    /// A decoder with no escape open.
    pub(super) fn new(escapes: Escapes) -> Self {
        Self { escapes, held: [0; LONGEST], places: [0; LONGEST], length: 0 }
    }

    /// Where the open escape starts.
    pub(super) fn open_since(&self) -> Option<u64> {
        (self.length > 0).then(|| self.places[0])
    }

    /// Takes over the open escape of another view.
    pub(super) fn adopt(&mut self, other: &Self) {
        *self = Self { escapes: self.escapes, ..*other };
    }

    /// Takes the byte at `place`; calls `emit` for each byte that is now known.
    #[inline]
    pub(super) fn push(&mut self, byte: u8, place: u64, mut emit: impl FnMut(Decoded)) {
        if self.length == 0 && Some(byte) != self.escapes.opener() {
            emit(Decoded { byte, start: place, end: place + 1 });
            return;
        }
        self.held[self.length] = byte;
        self.places[self.length] = place;
        self.length += 1;
        while self.length > 0 {
            match self.escapes.inspect(&self.held[..self.length]) {
                Step::More => break,
                Step::Text { bytes, length, used } => self.release(&bytes[..length], used, &mut emit),
            }
        }
    }

    /// Gives up on the open escape: its bytes stand for themselves.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(Decoded)) {
        while self.length > 0 {
            let literal = [self.held[0]];
            self.release(&literal, 1, &mut emit);
        }
    }

    fn release(&mut self, bytes: &[u8], used: usize, emit: &mut impl FnMut(Decoded)) {
        let (start, end) = (self.places[0], self.places[used - 1] + 1);
        for &byte in bytes {
            emit(Decoded { byte, start, end });
        }
        self.held.copy_within(used..self.length, 0);
        self.places.copy_within(used..self.length, 0);
        self.length -= used;
    }
}

/// What the bytes of an open escape amount to.
enum Step {
    /// Not complete yet.
    More,
    /// The first `used` bytes stand for `bytes[..length]`.
    Text { bytes: [u8; 4], length: usize, used: usize },
}

impl Step {
    fn byte(byte: u8, used: usize) -> Self {
        Self::Text { bytes: [byte, 0, 0, 0], length: 1, used }
    }

    fn character(character: char, used: usize) -> Self {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Self::Text { bytes, length, used }
    }

    /// Not an escape: the first byte stands for itself, the others are looked at again.
    fn literal(held: &[u8]) -> Self {
        Self::byte(held[0], 1)
    }
}

fn inspect_percent(held: &[u8]) -> Step {
    if held[0] != b'%' {
        return Step::literal(held);
    }
    digits(held, &held[1..], 2, 16, |value| Step::byte(low_byte(value), 3))
}

fn inspect_backslash(held: &[u8]) -> Step {
    if held[0] != b'\\' {
        return Step::literal(held);
    }
    let Some(&second) = held.get(1) else { return Step::More };
    match second {
        b'n' => Step::byte(b'\n', 2),
        b't' => Step::byte(b'\t', 2),
        b'r' => Step::byte(b'\r', 2),
        b'b' => Step::byte(8, 2),
        b'f' => Step::byte(12, 2),
        b'x' => digits(held, &held[2..], 2, 16, |value| Step::byte(low_byte(value), 4)),
        b'0'..=b'3' => digits(held, &held[1..], 3, 8, |value| Step::byte(low_byte(value), 4)),
        b'u' => digits(held, &held[2..], 4, 16, |value| inspect_utf16(value, held)),
        b' ' => Step::byte(b' ', 2),
        mark if mark.is_ascii_punctuation() => Step::byte(mark, 2),
        _ => Step::literal(held),
    }
}

/// A `\uXXXX` whose value is `first`: half of a pair waits for the other half.
fn inspect_utf16(first: u32, held: &[u8]) -> Step {
    if let Some(character) = char::from_u32(first) {
        return Step::character(character, 6);
    }
    let lone = || Step::character(char::REPLACEMENT_CHARACTER, 6);
    let second = &held[6..];
    if !(0xd800..0xdc00).contains(&first) || !b"\\u".starts_with(&second[..second.len().min(2)]) {
        return lone();
    }
    if second.len() < 6 {
        return if second.iter().skip(2).all(u8::is_ascii_hexdigit) { Step::More } else { lone() };
    }
    match number(&second[2..6], 16) {
        Some(low @ 0xdc00..=0xdfff) => {
            let value = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            Step::character(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => lone(),
    }
}

/// Waits for `count` digits in `radix`, then asks `done`; anything else is no escape.
fn digits(held: &[u8], seen: &[u8], count: usize, radix: u32, done: impl FnOnce(u32) -> Step) -> Step {
    let seen = &seen[..seen.len().min(count)];
    if !seen.iter().all(|&byte| char::from(byte).is_digit(radix)) {
        return Step::literal(held);
    }
    match number(seen, radix) {
        Some(value) if seen.len() == count => done(value),
        _ => Step::More,
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| Some(value * radix + char::from(digit).to_digit(radix)?))
}

fn low_byte(value: u32) -> u8 {
    u8::try_from(value & 0xff).unwrap_or_default()
}

/// Decodes a whole text at once.
pub(super) fn decode(escapes: Escapes, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut decoder = Decoder::new(escapes);
    for (&byte, place) in text.iter().zip(0..) {
        decoder.push(byte, place, |decoded| out.push(decoded.byte));
    }
    decoder.flush(|decoded| out.push(decoded.byte));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent() {
        for (text, plain) in [
            ("a%41b", "aAb"),
            ("%2f%2F", "//"),
            ("100% of 50%", "100% of 50%"),
            ("%%41", "%A"),
            ("%4%41", "%4A"),
            ("%zz%", "%zz%"),
        ] {
            assert_eq!(decode(Escapes::Percent, text.as_bytes()), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn backslash() {
        for (text, plain) in [
            (r#"a\"b\\c\/d\'e"#, r#"a"b\c/d'e"#),
            (r"one\ntwo\tx", "one\ntwo\tx"),
            (r"\u0041\u00e9\u20ac", "Aé€"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\x41\101\$\ \`", "AA$ `"),
            (r"\u00\n", "\\u00\n"),
            (r"\q\", r"\q\"),
            (r"\303\251", "é"),
        ] {
            assert_eq!(decode(Escapes::Backslash, text.as_bytes()), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_decoded_byte_knows_its_source() {
        let mut seen = Vec::new();
        let mut decoder = Decoder::new(Escapes::Percent);
        for (&byte, place) in b"a%41".iter().zip(10..) {
            decoder.push(byte, place, |decoded| seen.push(decoded));
        }
        assert_eq!(seen, [Decoded { byte: b'a', start: 10, end: 11 }, Decoded { byte: b'A', start: 11, end: 14 }]);
    }
}

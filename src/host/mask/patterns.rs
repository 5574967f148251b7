//! Personal data: e-mail addresses, and what the inventory describes by regular expressions. Nobody knows these values before they
//! are printed, so they are known by their form, in what the mask of secrets has left. Must not know where patterns come from.

use std::ops::Range;
use std::sync::Arc;

use memchr::memchr2;
use regex_lite::Regex;

use crate::secret::Pattern;

/// The longest an address may be on both sides of its sign (RFC 5321, section 4.5.3).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
/// A line that is longer is looked at in parts: what waits is bounded.
const LINE: usize = 8 << 10;
/// How much of the part before is looked at again.
const OVERLAP: usize = 1 << 10;

/// What personal data looks like.
#[derive(Debug, Default)]
pub struct Patterns {
    email: bool,
    own: Vec<Regex>,
}

impl Patterns {
    /// The error is that of the first regular expression that is none.
    pub fn new(patterns: &[Pattern]) -> Result<Self, String> {
        let mut all = Self::default();
        for pattern in patterns {
            match pattern {
                Pattern::Email => all.email = true,
                Pattern::Regex(regex) => all.own.push(Regex::new(regex).map_err(|error| format!("{regex:?}: {error}"))?),
            }
        }
        Ok(all)
    }

    /// Whether there is anything to look for.
    pub(super) fn any(&self) -> bool {
        self.email || !self.own.is_empty()
    }

    /// All places to mask, in order; what overlaps an earlier one is part of it.
    fn places(&self, text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
        let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
        if self.email {
            found.extend(addresses(text).into_iter().map(|place| (place, "[masked:email]")));
        }
        if !self.own.is_empty() {
            let mut from = 0;
            for chunk in text.utf8_chunks() {
                for regex in &self.own {
                    let places = regex.find_iter(chunk.valid()).filter(|place| !place.is_empty());
                    found.extend(places.map(|place| (from + place.start()..from + place.end(), "[masked:pattern]")));
                }
                from += chunk.valid().len() + chunk.invalid().len();
            }
        }
        found.sort_by_key(|(place, _)| place.start);
        let mut apart: Vec<(Range<usize>, &'static str)> = Vec::new();
        for (place, mask) in found {
            match apart.last_mut().filter(|(last, _)| place.start < last.end) {
                Some((last, _)) => last.end = last.end.max(place.end),
                None => apart.push((place, mask)),
            }
        }
        apart
    }

    /// Up to where nothing can become part of a match any more, whatever follows.
    fn settled(&self, text: &[u8]) -> usize {
        let line = text.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |end| end + 1);
        let by_line = if text.len() - line > LINE { text.len() - OVERLAP } else { line };
        let by_word = if self.email { unfinished(text).unwrap_or(text.len()) } else { text.len() };
        if self.own.is_empty() { by_word } else { by_line.min(by_word) }
    }
}

/// Masks personal data in one stream, as it passes.
pub(super) struct Shade {
    patterns: Arc<Patterns>,
    waiting: Vec<u8>,
    /// The last mask stood for an address at the end of what was there: what goes on with it belongs to it.
    inside: bool,
}

impl Shade {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, waiting: Vec::new(), inside: false }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, data: &[u8]) {
        let mut data = data;
        if self.inside {
            let rest = data.iter().position(|byte| !is_domain(*byte)).unwrap_or(data.len());
            data = &data[rest..];
            self.inside = data.is_empty();
        }
        self.waiting.extend_from_slice(data);
    }

    /// Appends to `out` what may leave whatever follows.
    pub(super) fn settle(&mut self, out: &mut Vec<u8>) {
        self.release(self.patterns.settled(&self.waiting), out);
    }

    /// Nothing came for a while: what waits may leave, but the beginning of an address.
    pub(super) fn idle_flush(&mut self, out: &mut Vec<u8>) {
        let begun = unfinished(&self.waiting).filter(|_| self.patterns.email);
        let begun = begun.filter(|from| sign(&self.waiting[*from..]).is_some());
        let whole = self.patterns.places(&self.waiting).last().is_some_and(|(place, _)| place.end == self.waiting.len());
        self.inside = whole && begun.is_some();
        self.release(begun.filter(|_| !whole).unwrap_or(self.waiting.len()), out);
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(self.waiting.len(), out);
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.waiting.len()
    }

    fn release(&mut self, limit: usize, out: &mut Vec<u8>) {
        if limit == 0 {
            return;
        }
        let (mut at, mut limit) = (0, limit);
        for (place, mask) in self.patterns.places(&self.waiting) {
            if place.start >= limit {
                break;
            }
            out.extend_from_slice(&self.waiting[at..place.start]);
            out.extend_from_slice(mask.as_bytes());
            at = place.end;
            limit = limit.max(place.end);
        }
        out.extend_from_slice(&self.waiting[at..limit]);
        self.waiting.drain(..limit);
    }
}

/// Where e-mail addresses stand, also with their sign written as a URL has it.
fn addresses(text: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some((at, length)) = sign(&text[from..]).map(|(at, length)| (from + at, length)) {
        let begin = found.last().map_or(0, |last| last.end).max(at.saturating_sub(LOCAL));
        let start = text[begin..at].iter().rposition(|byte| !is_local(*byte)).map_or(begin, |before| begin + before + 1);
        let after = at + length;
        let run = text[after..].iter().take(DOMAIN).position(|byte| !is_domain(*byte));
        let run = run.unwrap_or_else(|| (text.len() - after).min(DOMAIN));
        let domain = &text[after..after + run];
        let domain = &domain[..domain.iter().rposition(|byte| !matches!(byte, b'.' | b'-')).map_or(0, |last| last + 1)];
        if start < at && is_of_a_mailbox(domain) {
            found.push(start..after + domain.len());
        }
        from = after;
    }
    found
}

/// The place and length of the first sign of an address.
fn sign(text: &[u8]) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(at) = memchr2(b'@', b'%', &text[from..]).map(|at| from + at) {
        if text[at] == b'@' {
            return Some((at, 1));
        }
        if text[at..].starts_with(b"%40") {
            return Some((at, 3));
        }
        from = at + 1;
    }
    None
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

/// Ends in a top level domain; and is neither a version nor the name of a picture (`logo@2x.png`).
fn is_of_a_mailbox(domain: &[u8]) -> bool {
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let top = labels.next().is_some_and(|top| top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic));
    let mut below = labels.peekable();
    let picture = |label: &&[u8]| label.len() == 2 && label[0].is_ascii_digit() && label[1] == b'x';
    top && below.peek().is_some_and(|label| !label.is_empty() && !picture(label))
}

/// Where the end of a text begins that may become an address.
fn unfinished(text: &[u8]) -> Option<usize> {
    let reach = text.len().saturating_sub(LOCAL + 3 + DOMAIN);
    let word =
        text[reach..].iter().rposition(|byte| !is_local(*byte) && *byte != b'@').map_or(reach, |before| reach + before + 1);
    if word == text.len() {
        return None;
    }
    // The last sign in it is what a domain may still follow.
    let mut last = None;
    let mut from = word;
    while let Some((at, length)) = sign(&text[from..]) {
        last = Some(from + at);
        from += at + length;
    }
    match last {
        None => Some(word.max(text.len().saturating_sub(LOCAL))),
        // Behind the sign there is something that no domain holds.
        Some(_) if !text[from..].iter().all(|byte| is_domain(*byte)) => Some(from.max(text.len().saturating_sub(LOCAL))),
        Some(at) => Some(word.max(at.saturating_sub(LOCAL))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns() -> Arc<Patterns> {
        let phone = Pattern::Regex(r"\+\d[\d ]{7,14}\d".into());
        Arc::new(Patterns::new(&[Pattern::Email, phone]).expect("patterns"))
    }

    fn masked(patterns: &Arc<Patterns>, pieces: &[&[u8]]) -> String {
        let mut shade = Shade::new(Arc::clone(patterns));
        let mut out = Vec::new();
        for piece in pieces {
            shade.take(piece);
            shade.settle(&mut out);
        }
        shade.finish(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn addresses_are_known_by_their_form() {
        let only = Arc::new(Patterns::new(&[Pattern::Email]).expect("patterns"));
        for (text, shown) in [
            ("mail ann.o+x@mail.example.com, or", "mail [masked:email], or"),
            ("<bob@example.com>", "<[masked:email]>"),
            ("to bob@example.com.", "to [masked:email]."),
            ("?mail=bob%40example.com&x=1", "?mail=[masked:email]&x=1"),
            ("{\"e\":\"bob@example.com\"}", "{\"e\":\"[masked:email]\"}"),
            ("next@15.2.0 @scope/x a@b logo@2x.png 100%40 x@y.1", "next@15.2.0 @scope/x a@b logo@2x.png 100%40 x@y.1"),
            ("@example.com and ann@", "@example.com and ann@"),
            ("sha256@@example.com", "sha256@@example.com"),
        ] {
            assert_eq!(masked(&only, &[text.as_bytes()]), shown);
        }
    }

    #[test]
    fn a_cut_changes_nothing() {
        let patterns = patterns();
        let text = "call +49 30 1234567 or ann@mail.example.com\nthen x%40example.com, bob@example.com.au; +1\u{fc} +44 20 7946 0000\r99%";
        let whole = masked(&patterns, &[text.as_bytes()]);
        assert_eq!(
            whole,
            "call [masked:pattern] or [masked:email]\nthen [masked:email], [masked:email]; +1\u{fc} [masked:pattern]\r99%"
        );
        for cut in 0..=text.len() {
            for second in cut..=text.len() {
                let text = text.as_bytes();
                assert_eq!(masked(&patterns, &[&text[..cut], &text[cut..second], &text[second..]]), whole, "{cut} {second}");
            }
        }
    }

    #[test]
    fn a_pause_shows_a_prompt_but_not_the_beginning_of_an_address() {
        let only = Arc::new(Patterns::new(&[Pattern::Email]).expect("patterns"));
        let mut shade = Shade::new(only);
        let mut step = |piece: &[u8]| {
            let mut out = Vec::new();
            shade.take(piece);
            shade.settle(&mut out);
            shade.idle_flush(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(step(b"proceed? y"), "proceed? y");
        assert_eq!(step(b"\nof ann@exam"), "\nof ");
        assert_eq!(step(b"ple.co"), "[masked:email]");
        assert_eq!(step(b"m.au, then"), ", then");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut shade = Shade::new(patterns());
        let mut out = Vec::new();
        for _ in 0..100 {
            shade.take(&[b'a'; 4096]);
            shade.settle(&mut out);
            assert!(shade.held() <= LINE + 4096, "{}", shade.held());
        }
        shade.finish(&mut out);
        assert_eq!(out.len(), 100 * 4096);
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let mut shade = Shade::new(patterns());
        let mut out = Vec::new();
        shade.take(b"\xff\xfe +49 30 1234567 \xc3\n");
        shade.settle(&mut out);
        assert_eq!(out, b"\xff\xfe [masked:pattern] \xc3\n");
        assert!(Patterns::new(&[Pattern::Regex("(".into())]).is_err());
    }
}

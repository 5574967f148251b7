//! Text that came from somewhere else, made fit for a terminal: of its control sequences only colours pass, closed at the end of
//! the line; all others are shown escaped. Knows nothing of events.

use std::fmt::Write as _;

const ESC: char = '\u{1b}';
/// Longer than any sequence of colours that a tool has a reason to print.
const LONGEST_SEQUENCE: usize = 48;

/// One line of output as a terminal may show it: what a carriage return overwrote is gone, unreadable bytes are replaced.
///
/// With `colour` its own colours pass, and end where the line ends; without, they are dropped.
pub fn line(bytes: &[u8], colour: bool) -> String {
    clean(&String::from_utf8_lossy(last_state(bytes)), colour, false)
}

/// A word or phrase from elsewhere (a name, a command, an observed value), on one line and without colours.
pub fn label(text: &str) -> String {
    clean(text.trim_end_matches(['\r', '\n']), false, false)
}

/// Prose from elsewhere: like [`label`], but its lines stay lines.
pub fn text(text: &str) -> String {
    clean(text.trim_end_matches(['\r', '\n']), false, true)
}

/// What a terminal would show last of a line that a program overwrote with carriage returns.
pub(super) fn last_state(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((b'\r', before)) = rest.split_last() {
        rest = before;
    }
    let from = rest.iter().rposition(|b| *b == b'\r').map_or(0, |at| at + 1);
    let state = &rest[from..];
    if from == 0 {
        return state;
    }
    // "Back to the start and erase" is one gesture.
    [&b"\x1b[K"[..], b"\x1b[0K", b"\x1b[2K"].iter().find_map(|erase| state.strip_prefix(*erase)).unwrap_or(state)
}

fn clean(text: &str, colour: bool, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open = false;
    let mut rest = text;
    loop {
        // Most text is nothing but this.
        let plain = rest.bytes().position(|byte| !matches!(byte, b' '..=b'~' | b'\t')).unwrap_or(rest.len());
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        if let Some(sequence) = colours(rest) {
            if colour {
                out.push_str(sequence);
                open = leaves_open(sequence, open);
            }
            rest = &rest[sequence.len()..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' if lines => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if !misleads(c) => out.push(c),
            // Writing to a string does not fail.
            _ if u32::from(c) < 0x100 => _ = write!(out, "\\x{:02x}", u32::from(c)),
            _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    if open {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// True for what a terminal would obey instead of show, and for what turns the order of text around.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}')
}

/// The sequence of colours at the start of a text, if there is one.
fn colours(text: &str) -> Option<&str> {
    let body = text.strip_prefix(ESC)?.strip_prefix('[')?;
    let length = body.bytes().take(LONGEST_SEQUENCE).position(|b| !b.is_ascii_digit() && b != b';')?;
    let (parameters, end) = body.split_at(length);
    (end.starts_with('m') && only_colours(parameters)).then(|| &text[..length + 3])
}

fn numbers(parameters: &str) -> impl Iterator<Item = Option<u16>> {
    parameters.split(';').map(|number| if number.is_empty() { Some(0) } else { number.parse().ok() })
}

/// Colours, bold, faint, italic, underline, inverse and their ends; not blinking, hidden or in another font.
fn only_colours(parameters: &str) -> bool {
    let mut numbers = numbers(parameters);
    while let Some(number) = numbers.next() {
        let fine = match number {
            Some(38 | 48 | 58) => match numbers.next() {
                Some(Some(5)) => numbers.next().is_some_and(|n| n.is_some()),
                Some(Some(2)) => (0..3).all(|_| numbers.next().is_some_and(|n| n.is_some())),
                _ => false,
            },
            Some(0..=4 | 7 | 9 | 21..=24 | 27 | 29..=37 | 39..=47 | 49 | 53 | 55 | 59 | 90..=97 | 100..=107) => true,
            _ => false,
        };
        if !fine {
            return false;
        }
    }
    true
}

fn leaves_open(sequence: &str, open: bool) -> bool {
    let parameters = &sequence[2..sequence.len() - 1];
    numbers(parameters).fold(open, |_, number| number != Some(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_colours_pass_and_they_end_with_the_line() {
        let table = [
            ("plain", "plain"),
            ("a\tb", "a\tb"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[1;38;5;208mopen", "\x1b[1;38;5;208mopen\x1b[0m"),
            ("\x1b[38;2;1;2;3mx\x1b[m", "\x1b[38;2;1;2;3mx\x1b[m"),
            ("\x1b[31;0mx", "\x1b[31;0mx"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("\x1b[10;5Hthere", "\\x1b[10;5Hthere"),
            ("\x1b[?1049h", "\\x1b[?1049h"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b]8;;http://x\x1b\\link", "\\x1b]8;;http://x\\x1b\\link"),
            ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
            ("\x1b[8mhidden", "\\x1b[8mhidden"),
            ("\x1b[5mblink", "\\x1b[5mblink"),
            ("\x1b[38;5mshort", "\\x1b[38;5mshort"),
            ("\x1b[31", "\\x1b[31"),
            ("\x1b", "\\x1b"),
            ("\x1bc", "\\x1bc"),
            ("\x1b[>4;2m", "\\x1b[>4;2m"),
            ("\u{9b}31mx", "\\x9b31mx"),
            ("\u{9d}0;t\u{9c}", "\\x9d0;t\\x9c"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("\x08\x7f\0", "\\x08\\x7f\\x00"),
            ("é 漢 👩‍💻", "é 漢 👩‍💻"),
        ];
        for (given, shown) in table {
            assert_eq!(line(given.as_bytes(), true), shown, "{given:?}");
        }
    }

    #[test]
    fn without_colour_colours_are_dropped() {
        assert_eq!(line(b"\x1b[31mred\x1b[0m \x1b[2K", false), "red \\x1b[2K");
        assert_eq!(label("two\nlines\x1b[1m"), "two\\nlines");
        assert_eq!(text("two\nlines\x1b[1m\r\n"), "two\nlines");
    }

    #[test]
    fn the_last_state_of_an_overwritten_line_wins() {
        let table: [(&[u8], &str); 7] = [
            (b"10%\r50%\r100%", "100%"),
            (b"10%\r100%\r", "100%"),
            (b"crlf\r", "crlf"),
            (b"10%\r\x1b[K100%", "100%"),
            (b"10%\r\x1b[2K100%", "100%"),
            (b"\r", ""),
            (b"caf\xe9 \xff\r", "caf\u{fffd} \u{fffd}"),
        ];
        for (given, shown) in table {
            assert_eq!(line(given, true), shown, "{given:?}");
        }
    }

    /// What is left of a shown text when the sequences that may pass are taken out.
    fn without_colours(text: &str) -> String {
        let mut pieces = text.split(ESC);
        let mut out = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (parameters, rest) = piece.strip_prefix('[').and_then(|p| p.split_once('m')).expect("only colours");
            assert!(parameters.bytes().all(|b| b.is_ascii_digit() || b == b';'), "{parameters:?}");
            out.push_str(rest);
        }
        out
    }

    proptest! {
        #[test]
        fn nothing_but_colours_ever_passes(bytes in prop::collection::vec(any::<u8>(), 0..64), colour: bool) {
            let shown = without_colours(&line(&bytes, colour));
            prop_assert!(!shown.chars().any(|c| c != '\t' && misleads(c)), "{shown:?}");
        }

        #[test]
        fn nor_of_what_is_nearly_a_sequence(text in "(\u{1b}|\\[|\\]|[0-9;:?]|m|K|\u{9b}|\r|\u{7}|x|\u{202e}){0,24}", colour: bool) {
            let shown = without_colours(&line(text.as_bytes(), colour));
            prop_assert!(!shown.chars().any(|c| c != '\t' && misleads(c)), "{shown:?}");
        }

        #[test]
        fn colours_never_leak_into_the_next_line(text in "(\u{1b}\\[[0-9;]{0,6}m|a){0,8}") {
            let shown = line(text.as_bytes(), true);
            let last = shown.rfind(ESC).map(|at| shown[at..].split('m').next().unwrap_or_default());
            prop_assert!(last.is_none_or(|last| last.ends_with(['[', '0', ';'])), "{shown:?}");
        }
    }
}

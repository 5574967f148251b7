//! A line of a container's log as it travels: whose it is, when it was written, and its text, which is masked.

use crate::event::Stream;

/// A line of a log: container, stream, time, text, with tabs between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The container: "api-1".
    pub container: String,
    /// Where it was printed.
    pub stream: Stream,
    /// When, RFC 3339 with nanoseconds. Empty: no line, but the word that this container's log is read anew.
    pub time: String,
    /// The text, without its end.
    pub text: Vec<u8>,
}

impl LogLine {
    /// Appends it, with its end.
    pub fn write(&self, to: &mut Vec<u8>) {
        let stream = if self.stream == Stream::Stderr { 'e' } else { 'o' };
        to.extend_from_slice(format!("{}\t{stream}\t{}\t", self.container, self.time).as_bytes());
        to.extend_from_slice(&self.text);
        to.push(b'\n');
    }

    /// Reads it, without its end. None: it is none.
    pub fn read(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b'\t');
        let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let (container, stream, time) = (word()?, word()?, word()?);
        let stream = match stream {
            "o" => Stream::Stdout,
            "e" => Stream::Stderr,
            _ => return None,
        };
        let odd = |text: &str| text.len() > 128 || text.chars().any(char::is_control);
        if odd(container) || odd(time) {
            return None;
        }
        let (container, time) = (container.to_owned(), time.to_owned());
        Some(Self { container, stream, time, text: parts.next()?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        let line = LogLine {
            container: "api-1".to_owned(),
            stream: Stream::Stderr,
            time: "2026-01-01T00:00:00.000000001Z".to_owned(),
            text: b"a\ttab and \xff".to_vec(),
        };
        let mut written = Vec::new();
        line.write(&mut written);
        assert_eq!(LogLine::read(written.strip_suffix(b"\n").expect("an end")), Some(line));
        for odd in [&b""[..], b"api-1", b"api-1\to\t", b"api-1\tx\t\t", b"a\x1bpi\to\t2026\tx"] {
            assert_eq!(LogLine::read(odd), None);
        }
    }
}

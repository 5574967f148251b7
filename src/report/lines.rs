//! Pieces of output put together to lines, for each host and stream. Holds little: what a carriage return overwrote is
//! forgotten, and a line without end is cut.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;

use super::sanitize::last_state;
use crate::event::{Event, Stream};
use crate::name::HostName;

/// The longest line that is kept together.
const LONGEST_LINE: usize = 64 << 10;

/// The exact bytes of an `output` event: `bytes` where it is there, the text elsewhere.
pub(super) fn exact<'a>(text: &'a str, bytes: Option<&str>) -> Cow<'a, [u8]> {
    bytes.and_then(|bytes| base64::engine::general_purpose::STANDARD.decode(bytes).ok()).map_or(text.as_bytes().into(), Cow::from)
}

/// The unfinished lines of a run.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: BTreeMap<(Option<HostName>, bool), Vec<u8>>,
}

impl Lines {
    /// Takes a piece, and returns the line that it completes.
    pub(super) fn push<'a>(&mut self, event: &Event, stream: Stream, piece: &'a [u8], partial: bool) -> Option<Cow<'a, [u8]>> {
        let key = (event.host.clone(), stream == Stream::Stderr);
        // Most lines come whole.
        if !partial && !self.open.contains_key(&key) {
            return Some(piece.into());
        }
        let line = self.open.entry(key.clone()).or_default();
        line.extend_from_slice(piece);
        if partial && line.len() > LONGEST_LINE {
            *line = last_state(line).to_vec();
        }
        if partial && line.len() <= LONGEST_LINE { None } else { self.open.remove(&key).map(Cow::from) }
    }

    /// What a host has printed of the line that it is printing: stdout's, or else stderr's.
    pub(super) fn current(&self, host: Option<&HostName>) -> Option<&[u8]> {
        let of = |stderr| self.open.get(&(host.cloned(), stderr)).filter(|line| !line.is_empty());
        of(false).or_else(|| of(true)).map(Vec::as_slice)
    }

    /// The unfinished lines of a host, which nothing will finish any more.
    pub(super) fn take(&mut self, host: Option<&HostName>) -> Vec<(Stream, Vec<u8>)> {
        [(Stream::Stdout, false), (Stream::Stderr, true)]
            .into_iter()
            .filter_map(|(stream, stderr)| Some((stream, self.open.remove(&(host.cloned(), stderr))?)))
            .filter(|(_, line)| !line.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{At, output};
    use super::*;

    fn push<'a>(lines: &mut Lines, piece: &'a [u8], partial: bool) -> Option<Cow<'a, [u8]>> {
        lines.push(&At::host("droplet-1").event(output("")), Stream::Stdout, piece, partial)
    }

    #[test]
    fn pieces_make_a_line() {
        let mut lines = Lines::default();
        let host = "droplet-1".parse().ok();
        assert_eq!(push(&mut lines, b"caf\xc3", true), None);
        assert_eq!(lines.current(host.as_ref()), Some(&b"caf\xc3"[..]));
        assert_eq!(push(&mut lines, b"\xa9", false), Some("café".as_bytes().into()));
        assert_eq!(push(&mut lines, b"whole", false), Some(b"whole".into()));
        assert_eq!(lines.current(host.as_ref()), None);
        assert_eq!(push(&mut lines, b"left", true), None);
        assert_eq!(lines.take(host.as_ref()), [(Stream::Stdout, b"left".to_vec())]);
        assert_eq!(lines.take(host.as_ref()), []);
    }

    #[test]
    fn a_progress_bar_without_end_stays_small() {
        let mut lines = Lines::default();
        for percent in 0..100_000 {
            assert_eq!(push(&mut lines, format!("\r{percent} of 100000").as_bytes(), true), None);
        }
        assert!(lines.open.values().all(|line| line.len() <= LONGEST_LINE));
        assert!(push(&mut lines, &vec![b'x'; LONGEST_LINE + 1], true).is_some(), "a line without end is cut");
    }
}

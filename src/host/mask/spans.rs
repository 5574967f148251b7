//! The stretches of the stream that must not leave: disjoint, in order, overlapping hits merged. Must not know of views or of
//! bytes.

use super::matcher::Hit;
use std::collections::VecDeque;

/// A stretch to mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Its first byte.
    pub(super) start: u64,
    /// The byte after its last.
    pub(super) end: u64,
    /// The label of the hit that starts first (the longest of those that start together).
    pub(super) label: u32,
    leader_end: u64,
}

/// All stretches that have not left yet.
#[derive(Default)]
pub(super) struct Spans {
    queue: VecDeque<Span>,
}

impl Spans {
    /// Adds a hit. Hits that only touch stay apart.
    pub(super) fn insert(&mut self, hit: Hit) {
        let mut span = Span { start: hit.start, end: hit.end, label: hit.label, leader_end: hit.end };
        let from = self.queue.partition_point(|earlier| earlier.end <= span.start);
        let overlapping = self.queue.range(from..).take_while(|other| other.start < span.end).count();
        for other in self.queue.drain(from..from + overlapping) {
            span = span.merged(other);
        }
        self.queue.insert(from, span);
    }

    /// Takes the first stretch if it starts before `limit`.
    pub(super) fn pop_before(&mut self, limit: u64) -> Option<Span> {
        self.queue.pop_front_if(|span| span.start < limit)
    }
}

impl Span {
    fn merged(self, other: Self) -> Self {
        let rank = |span: &Self| (span.start, u64::MAX - span.leader_end, span.label);
        let leader = if rank(&self) <= rank(&other) { self } else { other };
        Self { end: self.end.max(other.end), ..leader }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(hits: &[(u64, u64, u32)]) -> Vec<(u64, u64, u32)> {
        let mut spans = Spans::default();
        for &(start, end, label) in hits {
            spans.insert(Hit { start, end, label });
        }
        std::iter::from_fn(|| spans.pop_before(u64::MAX)).map(|span| (span.start, span.end, span.label)).collect()
    }

    #[test]
    fn overlaps_merge_and_the_first_name_wins() {
        assert_eq!(spans(&[(5, 9, 1), (0, 6, 2)]), [(0, 9, 2)]);
        assert_eq!(spans(&[(0, 6, 1), (0, 8, 2), (3, 20, 3)]), [(0, 20, 2)]);
        assert_eq!(spans(&[(0, 3, 1), (6, 9, 2), (2, 7, 3)]), [(0, 9, 1)]);
    }

    #[test]
    fn neighbours_stay_apart() {
        assert_eq!(spans(&[(3, 6, 2), (0, 3, 1)]), [(0, 3, 1), (3, 6, 2)]);
    }
}

//! How often and how long a check is tried: a state machine without a clock, so that the blocking host and the asynchronous client
//! wait each in their own way. Knows nothing of what is tried.

use std::time::{Duration, Instant};

use crate::action::Retry;

/// Attempts never follow each other faster than this, whatever a plan says: a check must not become a load.
const SHORTEST: Duration = Duration::from_millis(10);

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// As many successes in a row as were asked for.
    Done,
    /// Try again at that moment; it may have passed already.
    Wait(Instant),
    /// The time for attempts is over.
    GaveUp,
}

/// The attempts of one check.
#[derive(Debug, Clone)]
pub struct Attempts {
    every: Duration,
    wanted: u32,
    deadline: Instant,
    began: Instant,
    in_a_row: u32,
    made: u32,
}

impl Attempts {
    /// Begins with an attempt at `now`. Without a [`Retry`] there is only that one.
    pub fn begin(retry: Option<Retry>, now: Instant) -> Self {
        let retry = retry.unwrap_or(Retry { for_ms: 0, every_ms: 0, successes: 1 });
        // A time beyond what the clock can say is never reached by a run: a day stands for it.
        let deadline = now.checked_add(Duration::from_millis(retry.for_ms)).unwrap_or(now + Duration::from_hours(24));
        Self {
            every: Duration::from_millis(retry.every_ms).max(SHORTEST),
            wanted: retry.successes.max(1),
            deadline,
            began: now,
            in_a_row: 0,
            made: 0,
        }
    }

    /// Says that the next attempt starts now.
    pub fn start(&mut self, now: Instant) {
        self.began = now;
    }

    /// Takes the result of the attempt that has just ended. No attempt starts after the deadline; one that runs may end after it.
    pub fn ended(&mut self, now: Instant, ok: bool) -> Next {
        self.made = self.made.saturating_add(1);
        self.in_a_row = if ok { self.in_a_row + 1 } else { 0 };
        if self.in_a_row >= self.wanted {
            return Next::Done;
        }
        match self.began.checked_add(self.every).map(|due| due.max(now)) {
            Some(due) if due <= self.deadline => Next::Wait(due),
            _ => Next::GaveUp,
        }
    }

    /// How many attempts have ended.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// How many of the last ones succeeded, and how many must.
    pub fn progress(&self) -> (u32, u32) {
        (self.in_a_row, self.wanted)
    }

    /// After this moment no attempt starts.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays attempts that take `takes` ms each and end as `results` says; returns the starts and how it ended.
    fn play(retry: Option<Retry>, takes: u64, results: &[bool]) -> (Vec<u64>, Option<Next>) {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let (mut now, mut starts, mut attempts) = (0, Vec::new(), Attempts::begin(retry, zero));
        for result in results {
            starts.push(now);
            attempts.start(at(now));
            match attempts.ended(at(now + takes), *result) {
                Next::Wait(due) => now = u64::try_from((due - zero).as_millis()).expect("small"),
                end => return (starts, Some(end)),
            }
        }
        (starts, None)
    }

    #[test]
    fn attempts_by_table() {
        let retry = |for_ms, every_ms, successes| Some(Retry { for_ms, every_ms, successes });
        let (y, n) = (true, false);
        for (name, retry, takes, results, starts, end) in [
            ("no retry, ok", None, 5, vec![y], vec![0], Some(Next::Done)),
            ("no retry, failed", None, 5, vec![n], vec![0], Some(Next::GaveUp)),
            ("from start to start", retry(10_000, 2_000, 1), 500, vec![n, n, y], vec![0, 2_000, 4_000], Some(Next::Done)),
            ("slower than every", retry(10_000, 2_000, 1), 3_000, vec![n, n, y], vec![0, 3_000, 6_000], Some(Next::Done)),
            ("in a row", retry(10_000, 1_000, 2), 10, vec![y, n, y, y], vec![0, 1_000, 2_000, 3_000], Some(Next::Done)),
            ("gives up", retry(2_000, 1_000, 1), 10, vec![n, n, n], vec![0, 1_000, 2_000], Some(Next::GaveUp)),
            ("success too late to be repeated", retry(1_500, 1_000, 3), 10, vec![y, y], vec![0, 1_000], Some(Next::GaveUp)),
            ("last attempt outlives the time", retry(1_000, 1_000, 1), 700, vec![n, y], vec![0, 1_000], Some(Next::Done)),
            ("one that hangs", retry(1_000, 100, 1), 5_000, vec![n], vec![0], Some(Next::GaveUp)),
            ("never faster than the bound", retry(15, 0, 1), 0, vec![n, n], vec![0, 10], Some(Next::GaveUp)),
            ("no successes asked for means one", retry(0, 0, 0), 0, vec![y], vec![0], Some(Next::Done)),
            ("for ever", retry(u64::MAX, 1_000, 1), 0, vec![n, n], vec![0, 1_000], None),
        ] {
            assert_eq!(play(retry, takes, &results), (starts, end), "{name}");
        }
    }
}

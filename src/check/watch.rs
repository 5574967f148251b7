//! How long something is watched and how much of it may go wrong: a state machine without a clock, like the retries. Knows nothing
//! of what is watched.

use std::time::{Duration, Instant};

use crate::action::Watch;

/// Looks never follow each other faster than this.
const SHORTEST: Duration = Duration::from_millis(10);

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again at that moment.
    Wait(Instant),
    /// The time is over, and little enough went wrong.
    Held,
    /// More went wrong than may, whatever comes.
    Broke,
}

/// Something under watch.
#[derive(Debug, Clone)]
pub struct Watching {
    every: Duration,
    end: Instant,
    began: Instant,
    allowed: u64,
    made: u64,
    failed: u64,
}

impl Watching {
    /// Begins with a look at `now`.
    pub fn begin(watch: Watch, now: Instant) -> Self {
        let every = Duration::from_millis(watch.every_ms).max(SHORTEST);
        let time = Duration::from_millis(watch.for_ms);
        let looks = u64::try_from(time.as_nanos() / every.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        let allowed = looks.saturating_mul(u64::from(watch.errors_per_mille)) / 1000;
        let end = now.checked_add(time).unwrap_or(now + Duration::from_hours(24));
        Self { every, end, began: now, allowed, made: 0, failed: 0 }
    }

    /// Takes the result of the look that began at `began` and has ended now.
    pub fn looked(&mut self, began: Instant, now: Instant, ok: bool) -> Next {
        self.made += 1;
        self.failed += u64::from(!ok);
        self.began = began;
        if self.failed > self.allowed {
            return Next::Broke;
        }
        let due = (self.began + self.every).max(now);
        if due <= self.end { Next::Wait(due) } else { Next::Held }
    }

    /// How it stands, in words.
    pub fn story(&self) -> String {
        format!("{} of {} looks failed, at most {} may", self.failed, self.made, self.allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks that take no time; gives how many there were, and how it ended.
    fn play(for_ms: u64, every_ms: u64, errors_per_mille: u32, fails: impl Fn(u64) -> bool) -> (u64, bool, String) {
        let mut now = Instant::now();
        let mut watching = Watching::begin(Watch { for_ms, every_ms, errors_per_mille }, now);
        for look in 1.. {
            match watching.looked(now, now, !fails(look)) {
                Next::Wait(due) => now = due,
                end => return (look, end == Next::Held, watching.story()),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_watch_holds_breaks_and_forgives() {
        assert_eq!(play(1000, 100, 0, |_| false), (11, true, "0 of 11 looks failed, at most 0 may".to_owned()));
        assert_eq!(play(1000, 100, 0, |look| look == 4), (4, false, "1 of 4 looks failed, at most 0 may".to_owned()));
        assert_eq!(play(1900, 100, 50, |look| look == 4), (20, true, "1 of 20 looks failed, at most 1 may".to_owned()));
        assert_eq!(play(1900, 100, 50, |look| look > 3), (5, false, "2 of 5 looks failed, at most 1 may".to_owned()));
        assert_eq!(play(50, 100, 1000, |_| true), (1, true, "1 of 1 looks failed, at most 1 may".to_owned()));
    }
}

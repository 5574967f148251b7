//! Chance, and how often it is tried: few times in the default suite, as often as was promised where `LANDFALL_TESTS_LONG` is set.

use std::time::{Duration, SystemTime};

/// How many rounds: few by default, all of them in the long suite.
pub(crate) fn rounds(few: usize, all: usize) -> usize {
    if is_long() { all } else { few }
}

/// Whether the long suite runs.
pub(crate) fn is_long() -> bool {
    std::env::var_os("LANDFALL_TESTS_LONG").is_some()
}

/// Random numbers that can be had again: the seed is printed, and taken from `LANDFALL_TESTS_SEED`.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let given = std::env::var("LANDFALL_TESTS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs()) | 1;
        println!("LANDFALL_TESTS_SEED={seed}");
        Self(seed)
    }

    /// A number from `from` up to `to`, which is not one of them.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        // xorshift64*: good enough to choose moments.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        from + (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % (to - from)
    }

    /// So many milliseconds, from `from` up to `to`.
    pub(crate) fn moment(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }
}

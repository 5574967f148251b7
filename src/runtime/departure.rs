//! Whether a request has left this machine. Until it has, it can be called off, and then nothing was begun; from then on only the host
//! can tell what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The way of one request out of this machine. Clones speak of the same.
#[derive(Debug, Clone, Default)]
pub struct Departure(Arc<Mutex<Stage>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Here,
    Gone,
    CalledOff,
}

/// It was called off before it could leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was called off before it left this machine")]
pub struct CalledOff;

impl Departure {
    /// The request leaves with the next byte: to be said before that is written.
    pub fn go(&self) -> Result<(), CalledOff> {
        let mut stage = self.stage();
        if *stage == Stage::CalledOff {
            return Err(CalledOff);
        }
        *stage = Stage::Gone;
        Ok(())
    }

    /// The host certainly did not take it.
    pub fn came_back(&self) {
        let mut stage = self.stage();
        if *stage == Stage::Gone {
            *stage = Stage::Here;
        }
    }

    /// Whether the host may have it.
    pub fn has_gone(&self) -> bool {
        *self.stage() == Stage::Gone
    }

    /// Keeps it from leaving. False when that is too late.
    pub fn call_off(&self) -> bool {
        let mut stage = self.stage();
        if *stage == Stage::Gone {
            return false;
        }
        *stage = Stage::CalledOff;
        true
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_off_never_leaves_and_what_has_left_is_not_called_off() {
        let one = Departure::default();
        assert_eq!(one.go(), Ok(()));
        assert!(!one.call_off() && one.has_gone());
        one.came_back();
        assert!(one.clone().call_off() && !one.has_gone());
        assert_eq!(one.go(), Err(CalledOff));
        one.came_back();
        assert_eq!(one.go(), Err(CalledOff));
    }
}

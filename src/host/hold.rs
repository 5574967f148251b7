//! Holds the database for a step: its lock is waited for as long as the run may, and for another host of the same run as long as that
//! takes. Must not know what the step does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::database::{Access, Claim, Held, Taken, Trouble};
use super::process::Stopped;
use super::stage::{Outcome, Stage};
use crate::event::Body;
use crate::protocol::HostStep;

/// So long the database waits at a time: a client that was killed while it waited leaves nothing behind for longer.
const TURN: Duration = Duration::from_secs(20);

/// Takes the database's lock, unless the step holds it already. Inner error: it has none for us. Outer: the step is over, for another
/// works on the database, or for the waiting was ended.
pub(super) fn hold(stage: &mut Stage<'_>, step: &HostStep, access: &Arc<Access>) -> Result<Result<Arc<Held>, Trouble>, Outcome> {
    if let Some(held) = &stage.held {
        return Ok(Ok(Arc::clone(held)));
    }
    let end = Instant::now() + Duration::from_millis(stage.submission.lock_wait_ms);
    let (mut turn, mut told) = (Duration::ZERO, None);
    loop {
        match claim(stage, access, turn) {
            Err(trouble) => return Ok(Err(trouble)),
            Ok(Taken::Held(held)) => return Ok(Ok(Arc::new(held))),
            Ok(Taken::Cut) => {
                let stopped = if stage.cancelled() { Stopped::Cancelled } else { Stopped::TimedOut };
                return Err(stage.stopped(stopped, &[], step));
            }
            Ok(Taken::Busy { holder, of_this_run }) => {
                let holder = stage.masked(&holder);
                let left = if of_this_run { TURN } else { end.saturating_duration_since(Instant::now()).min(TURN) };
                if left.is_zero() {
                    return Err(Outcome::failed(format!("nothing was begun: this database is worked on already, by {holder}")));
                }
                if told.as_ref() != Some(&holder) {
                    stage.event(&step.name, Body::Warning { text: format!("waiting for the database: {holder} works on it") });
                    told = Some(holder);
                }
                // MySQL counts whole seconds.
                turn = left.max(Duration::from_secs(1));
            }
        }
    }
}

/// Tells it where the lock was lost before the step's work was over: nothing has kept another host from the database since then.
pub(super) fn tell_if_lost(stage: &mut Stage<'_>, step: &HostStep, held: &Held) {
    if held.is_lost() {
        let text = "its lock in the database was lost before it was over, for the server ended that session or does not answer: \
                    another host may have worked on the database meanwhile";
        stage.event(&step.name, Body::Warning { text: text.to_owned() });
    }
}

fn claim(stage: &Stage<'_>, access: &Access, wait: Duration) -> Result<Taken, Trouble> {
    let deadline = stage.deadline;
    let cut = || stage.cancelled() || deadline.is_some_and(|deadline| deadline <= Instant::now());
    let (run, host) = (&stage.dir.run, &stage.submission.host);
    access.hold(Claim { run, host, inbox: &stage.inbox, cut: &cut, deadline }, wait)
}

//! Settles a run whose end nobody knows, as a person said: in its folder, in the host's ledger, and in that of the database. Must not
//! know who asks.

use std::io;

use super::ledger::{self, within};
use super::state::{RunDir, State};
use super::{aftermath, kept, kill};

/// Settles it, for this reason.
pub(super) fn run(state: &State, dir: &RunDir, done: bool, why: &str) -> io::Result<()> {
    ledger::settle(state, &dir.run, done);
    // One that does not answer now is told by the next step of this host that looks into its ledger.
    if ledger::is_within(state, &dir.run)
        && let Some((access, _)) = aftermath::database(dir)
        && let Ok(submission) = dir.submission()
    {
        let _ = within::settle(&access, &dir.run, &submission.host, done);
    }
    let note = kept::told_of(dir, why);
    dir.write_exclusive("settled.note", format!("{note}\n").as_bytes())?;
    dir.mark("settled", if done { "done" } else { "not-done" })?;
    dir.sync();
    kill::tidy_up(&dir.run);
    Ok(())
}

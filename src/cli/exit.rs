//! The exit codes, each with the meaning that the contract gives it.

/// Done and verified, or handed over with `--detach`.
pub(super) const DONE: u8 = 0;
/// A step failed, or timed out and is confirmed stopped.
pub(super) const FAILED: u8 = 1;
/// Usage, inventory or playbook error; nothing was contacted.
pub(super) const USAGE: u8 = 2;
/// A host could not be reached, its key did not match, or the login was refused.
pub(super) const UNREACHED: u8 = 3;
/// Outcome unknown, or left running.
pub(super) const UNKNOWN: u8 = 6;
/// Refused before anything was done.
pub(super) const REFUSED: u8 = 7;
/// Cancelled, every host confirmed stopped.
pub(super) const CANCELLED: u8 = 130;

/// What `landfall --help` says of them.
pub(super) const HELP: &str = "\
Exit codes:
    0  done and verified (or handed over, with --detach)
    1  a step failed, or timed out and is confirmed stopped
    2  usage, inventory or playbook error; nothing was contacted
    3  a host could not be reached, its key did not match, or the login was refused
    4  a check failed
    5  locked by another run
    6  the outcome is not known, or the run was left running
    7  refused before anything was done
  130  cancelled, every host confirmed stopped";

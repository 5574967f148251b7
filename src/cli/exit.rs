//! The exit codes, each with the meaning that the contract gives it. No other file holds such a number.

/// Done and verified, or handed over with `--detach`.
pub(super) const DONE: u8 = 0;
/// A step failed, or timed out and is confirmed stopped.
pub(super) const FAILED: u8 = 1;
/// Usage, inventory or playbook error; nothing was contacted.
pub(super) const USAGE: u8 = 2;
/// A host could not be reached, its key did not match, or the login was refused.
pub(super) const UNREACHED: u8 = 3;
/// A check failed.
pub(super) const CHECK: u8 = 4;
/// Locked by another run.
pub(super) const LOCKED: u8 = 5;
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

/// The code of a run on several hosts, of which some steps ran: that of the worst host. 0 for no hosts.
pub(super) fn of_hosts(codes: impl IntoIterator<Item = u8>) -> u8 {
    const WORST_FIRST: [u8; 9] = [UNKNOWN, FAILED, CHECK, UNREACHED, CANCELLED, LOCKED, REFUSED, USAGE, DONE];
    let rank = |code: &u8| WORST_FIRST.iter().position(|known| known == code).unwrap_or(0);
    codes.into_iter().min_by_key(rank).unwrap_or(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_host_decides() {
        let table: [(&[u8], u8); 7] =
            [(&[], 0), (&[0, 0], 0), (&[0, 3], 3), (&[3, 4], 4), (&[4, 1, 3], 1), (&[1, 6, 4], 6), (&[0, 130, 0], 130)];
        for (codes, whole) in table {
            assert_eq!(of_hosts(codes.iter().copied()), whole, "{codes:?}");
        }
    }
}

//! One exit code from many hosts. Pure.

use std::collections::BTreeMap;

use crate::event::Status;
use crate::name::HostName;

/// How one host's part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostEnd {
    /// It ended, by its own record.
    Done(u8),
    /// It could not be reached, or contact was lost for good before it had taken the run.
    Unreachable,
    /// Contact was lost for good, or the record is lost: how it ended is not known.
    Unknown,
    /// Its part was not begun: another host refused, or an earlier batch failed.
    NotBegun,
}

impl HostEnd {
    fn code(&self) -> u8 {
        match self {
            Self::Done(code) => *code,
            Self::Unreachable => 3,
            Self::Unknown => 6,
            Self::NotBegun => 0,
        }
    }
}

/// The exit code of a run: what nobody knows is worse than what failed, and that is worse than what was refused.
pub(super) fn exit_code(ends: &BTreeMap<HostName, HostEnd>) -> u8 {
    let mut codes: Vec<u8> = ends.values().map(HostEnd::code).collect();
    // Once steps ran somewhere, a host that refused is a part that failed.
    if codes.iter().any(|code| matches!(code, 0 | 1 | 4)) && !ends.values().any(|end| *end == HostEnd::NotBegun) {
        codes.iter_mut().filter(|code| matches!(code, 5 | 7)).for_each(|code| *code = 1);
    }
    worst(codes)
}

/// The exit code that stands for several; 0 for none.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    const WORST_FIRST: [u8; 9] = [6, 1, 4, 3, 5, 7, 2, 130, 0];
    let rank = |code: &u8| WORST_FIRST.iter().position(|known| known == code).unwrap_or(0);
    codes.into_iter().min_by_key(rank).unwrap_or(0)
}

/// The word that goes with it.
pub(super) fn status(code: u8) -> Status {
    match code {
        0 => Status::Ok,
        6 => Status::Unknown,
        130 => Status::Cancelled,
        _ => Status::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::HostEnd::{Done, NotBegun, Unknown, Unreachable};
    use super::*;

    #[test]
    fn not_knowing_is_worse_than_failing() {
        let code = |ends: &[HostEnd]| {
            let named = ends.iter().enumerate().map(|(i, end)| (format!("h{i}").parse().expect("name"), end.clone()));
            exit_code(&named.collect())
        };
        assert_eq!(code(&[Done(0), Done(0)]), 0);
        assert_eq!(code(&[Done(4), Done(1), Unknown]), 6);
        assert_eq!(code(&[Done(4), Done(1)]), 1);
        assert_eq!(code(&[Done(4), Unreachable]), 4);
        assert_eq!(code(&[Done(5), Done(130)]), 5);
        assert_eq!(code(&[Done(0), Done(7)]), 1);
        assert_eq!(code(&[Done(130), NotBegun]), 130);
    }
}

//! Room on a file system of the host: bytes and inodes.

use super::super::docker;
use super::Sight;
use crate::action::DiskProbe;
use crate::check::{Seen, shortened};
use crate::facts::size;

/// What a file system has.
#[derive(Debug, Clone, Copy)]
struct Room {
    free: u64,
    total: u64,
    free_inodes: u64,
    inodes: u64,
}

pub(super) fn look(probe: &DiskProbe) -> Sight {
    let expected = expectation(probe);
    let path = if let Some(path) = &probe.path {
        path.clone()
    } else {
        let Ok(root) = docker::run(&["info", "--format", "{{.DockerRootDir}}"]) else {
            let observed = "Docker does not say where its folder is".to_owned();
            return Seen { ok: false, observed, expected }.into();
        };
        root.trim().to_owned()
    };
    let room = match rustix::fs::statvfs(path.as_str()) {
        Ok(found) => Room {
            free: found.f_bavail * found.f_frsize,
            total: found.f_blocks * found.f_frsize,
            free_inodes: found.f_favail,
            inodes: found.f_files,
        },
        Err(error) => {
            let observed = shortened(&format!("{path} cannot be looked at: {error}"));
            return Seen { ok: false, observed, expected }.into();
        }
    };
    let (ok, observed) = judge(probe, room);
    let hint = "make room: docker system df, docker image prune; journalctl --vacuum-size=200M";
    Sight::of(Seen { ok, observed: shortened(&format!("{path}: {observed}")), expected }, (!ok).then(|| hint.to_owned()))
}

fn expectation(probe: &DiskProbe) -> String {
    let mut parts = Vec::new();
    parts.extend(probe.free.map(|bytes| format!("{} free", size(bytes))));
    parts.extend(probe.free_percent.map(|percent| format!("{percent}% free")));
    parts.extend(probe.inodes_percent.map(|percent| format!("{percent}% of the inodes free")));
    format!("at least {}", parts.join(", "))
}

fn judge(probe: &DiskProbe, room: Room) -> (bool, String) {
    let Room { free, total, free_inodes, inodes } = room;
    let of = |part: u64, whole: u64| if whole == 0 { 100 } else { u128::from(part) * 100 / u128::from(whole) };
    let enough = probe.free.is_none_or(|least| free >= least)
        && probe.free_percent.is_none_or(|least| of(free, total) >= u128::from(least))
        // A file system that counts no inodes never runs out of them.
        && probe.inodes_percent.is_none_or(|least| of(free_inodes, inodes) >= u128::from(least));
    let observed = format!("{} free ({}%), {}% of the inodes free", size(free), of(free, total), of(free_inodes, inodes));
    (enough, observed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_and_inodes() {
        let room = Room { free: 3 << 30, total: 12 << 30, free_inodes: 5, inodes: 100 };
        let probe = |free, free_percent, inodes_percent| DiskProbe { path: None, free, free_percent, inodes_percent };
        for (probe, ok) in [
            (probe(Some(3 << 30), Some(25), Some(5)), true),
            (probe(Some((3 << 30) + 1), None, None), false),
            (probe(None, Some(26), None), false),
            (probe(None, None, Some(6)), false),
        ] {
            let (found, observed) = judge(&probe, room);
            assert_eq!((found, observed.as_str()), (ok, "3.0 GiB free (25%), 5% of the inodes free"), "{probe:?}");
        }
        assert!(judge(&probe(None, None, Some(50)), Room { inodes: 0, free_inodes: 0, ..room }).0);
        assert_eq!(expectation(&probe(Some(1536 << 20), Some(10), None)), "at least 1.5 GiB free, 10% free");
    }
}

//! `disk`: room on a file system of the host. Changes nothing.

use schemars::JsonSchema;

use crate::action::{Action, DiskProbe, Probe};
use crate::source::{Placed, Reader};

use super::{Cx, Lowered};

/// Room on a file system of the host.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Disk {
    /// The file system that holds this path; default: Docker's own folder.
    path: Option<String>,
    /// What must be free: "5GiB", or "10%" (default).
    free: Option<String>,
    /// How many of the inodes must be free: "5%".
    inodes: Option<String>,
}

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

#[expect(clippy::unnecessary_wraps, reason = "the shape of every kind's reader")]
pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let path = reader.text("path");
    if let Some(path) = path.as_ref().filter(|path| !path.value.starts_with('/') && !path.value.contains("{{ ")) {
        reader.error(&path.place, "`path` must be absolute", "it is a path on the host: \"/var/lib\"");
    }
    let wrong = |text: &Placed<String>, help: &str| {
        reader.error(&text.place, format!("{:?} is not an amount of room", text.value), help);
    };
    let free = reader.text("free");
    let (mut bytes, mut free_percent) = (None, None);
    if let Some(text) = &free {
        free_percent = percent(&text.value);
        bytes = size(&text.value);
        if free_percent.is_none() && bytes.is_none() {
            wrong(text, "use a share or a size, such as \"10%\" or \"5GiB\"");
        }
    }
    let inodes = reader.text("inodes");
    let inodes_percent = inodes.as_ref().and_then(|text| percent(&text.value));
    if let Some(text) = inodes.as_ref().filter(|_| inodes_percent.is_none()) {
        wrong(text, "use a share, such as \"5%\"");
    }
    if free.is_none() && inodes.is_none() {
        free_percent = Some(10);
    }
    let probe = DiskProbe { path: path.map(|path| path.value), free: bytes, free_percent, inodes_percent };
    Some(vec![Lowered::host(Action::Probe(Probe::Disk(probe)), None, cx)])
}

fn percent(text: &str) -> Option<u8> {
    text.strip_suffix('%')?.trim().parse().ok().filter(|percent| (1..=100).contains(percent))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    number.trim().parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(*unit)
}

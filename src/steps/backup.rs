//! `backup`: copies the database into a file on the host, and reads it back.

use schemars::JsonSchema;

use crate::action::{self, Action};
use crate::source::Reader;

use super::{Cx, Lowered, database_service, needs_database};

/// Copies the database into a file on the host that nobody else may read: by pg_dump (custom format) or mysqldump, in the place that
/// [database] names. The file is read back whole before it counts.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Backup {
    /// So many of the database's backups stay, the newest; default: all.
    keep: Option<u32>,
    /// None but the newest stays for longer than this: "30d"; default: for ever.
    keep_for: Option<String>,
    /// A public key of age ("age1…"): only who has its private key can read the file. The host needs the program `age`.
    encrypt_to: Option<String>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let keep = reader.whole("keep", 1..=10_000).and_then(|keep| u32::try_from(keep.value).ok());
    let keep_for_s = reader.duration("keep_for").map(|time| time.value.as_secs());
    let encrypt_to = reader.text("encrypt_to");
    if let Some(key) = encrypt_to.as_ref().filter(|key| !key.value.starts_with("age1") && !key.value.contains("{{")) {
        let help = "it is what `age-keygen` prints as the public key: age1…; a private key has no place in a playbook";
        reader.error(&key.place, "`encrypt_to` is not a public key of age", help);
    }
    needs_database(reader, cx)?;
    let backup = action::Backup { keep, keep_for_s, encrypt_to: encrypt_to.map(|key| key.value) };
    Some(vec![Lowered::host(Action::Backup(backup), database_service(cx), cx)])
}

//! Approvals: writes entries, and asks git when one came. Of git only its log is asked, with everything switched off that a
//! repository could make it run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Failure, exit};
use crate::migration::lint::{APPROVALS_FILE, Approval, Approvals, Finding, Waiver, entry, gate};

/// What shall be approved, by whom and why.
pub(super) struct Wanted<'w> {
    pub(super) waiver: &'w Waiver,
    pub(super) by: &'w str,
    pub(super) reason: &'w str,
    pub(super) key: Option<&'w str>,
}

/// Appends an entry for each finding that is meant and not approved yet.
pub(super) fn write(path: &Path, approvals: &Approvals, findings: Vec<Finding>, wanted: &Wanted<'_>) -> Result<u8, Failure> {
    if wanted.by.trim().is_empty() || wanted.reason.trim().is_empty() {
        return Err(Failure::usage("an approval needs a name and a reason").remedy("give --by NAME and --reason TEXT"));
    }
    let meant: Vec<Finding> = findings.into_iter().filter(|finding| wanted.waiver.fits(finding)).collect();
    if meant.is_empty() {
        return Err(Failure::usage(format!("nothing was found that {} approves", wanted.waiver))
            .remedy("`landfall lint` lists what there is"));
    }
    let mut open = gate(meant, approvals, &[], &[]).open;
    // One entry covers all that a rule says of one statement.
    open.dedup_by(|one, other| one.digest == other.digest && one.sha256 == other.sha256);
    if open.is_empty() {
        super::super::say(&format!("{} is approved already", wanted.waiver));
        return Ok(exit::DONE);
    }
    let mut text = String::new();
    if !path.exists() {
        text.push_str(
            "# Findings of `landfall lint` that somebody took upon themselves. An entry ends with the next change of its file.\n",
        );
    }
    for finding in &open {
        text.push('\n');
        text.push_str(&entry(finding, wanted.by, wanted.reason, wanted.key));
    }
    let write = || {
        let ends = std::fs::read(path).map_or(true, |bytes| bytes.is_empty() || bytes.ends_with(b"\n"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(if ends { text.as_bytes() } else { b"\n" })?;
        if !ends {
            file.write_all(text.as_bytes())?;
        }
        file.sync_all()
    };
    write().map_err(|error| Failure::new(exit::FAILED, format!("failed to write {}: {error}", path.display())))?;
    let count = if open.len() == 1 { "one entry".to_owned() } else { format!("{} entries", open.len()) };
    super::super::say(&format!("wrote {count} to {}", path.display()));
    Ok(exit::DONE)
}

/// When an approval came, as far as git can tell.
pub(super) fn came(root: &Path, approval: &Approval) -> &'static str {
    let migration = log(root, &["-n", "1", "--", &approval.file]);
    let search = format!("-S{}", approval.statement);
    let written = log(root, &[&search, "--", APPROVALS_FILE]);
    match (
        migration.and_then(|text| text.lines().next().map(str::to_owned)),
        written.and_then(|text| text.lines().last().map(str::to_owned)),
    ) {
        (Some(migration), Some(written)) if migration == written => "in the migration's own commit",
        (Some(_), Some(_)) => "in another commit than the migration",
        _ => "when, is not known",
    }
}

fn log(root: &Path, args: &[&str]) -> Option<String> {
    let off =
        ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "log.showSignature=false", "protocol.allow=never"];
    let mut git = Command::new("git");
    git.args(["--no-pager", "--literal-pathspecs"]).arg("-C").arg(root);
    for setting in off {
        git.args(["-c", setting]);
    }
    git.args(["log", "--format=%H", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes"]).args(args);
    git.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
    let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

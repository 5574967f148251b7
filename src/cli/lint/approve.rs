//! Approvals: writes entries.

use std::io::Write as _;
use std::path::Path;

use super::super::args::ApprovalArgs;
use super::super::{Failure, exit};
use crate::history::drift::RULES as DRIFT;
use crate::migration::lint::{Approvals, Finding, NOT_SQL, Waiver, entry, gate, rule};

/// What shall be approved, by whom and why.
pub(in crate::cli) struct Wanted<'w> {
    pub(in crate::cli) waiver: &'w Waiver,
    pub(in crate::cli) by: &'w str,
    pub(in crate::cli) reason: &'w str,
    pub(in crate::cli) key: Option<&'w str>,
    /// The SHA-256 of a statement that only the tool of a program knows.
    pub(in crate::cli) statement: Option<&'w str>,
}

impl<'w> Wanted<'w> {
    /// As the command line says it, where it does.
    pub(in crate::cli) fn of(args: &'w ApprovalArgs) -> Option<Self> {
        let text = |text: &'w Option<String>| text.as_deref().unwrap_or_default();
        let waiver = args.write_approval.as_ref()?;
        Some(Self { waiver, by: text(&args.by), reason: text(&args.reason), key: None, statement: None })
    }

    /// What is meant of what was found.
    fn meant(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let Some((statement, rule)) = self.statement.zip(rule(&self.waiver.rule)) else {
            return findings.into_iter().filter(|finding| self.waiver.fits(finding)).collect();
        };
        let program = Waiver { rule: NOT_SQL.to_owned(), ..self.waiver.clone() };
        let of = findings.into_iter().filter(|finding| program.fits(finding));
        of.map(|finding| Finding { rule: rule.id, digest: statement.to_owned(), ..finding }).collect()
    }
}

/// Appends an entry for each finding that is meant and not approved yet.
pub(in crate::cli) fn write(
    path: &Path,
    approvals: &Approvals,
    findings: Vec<Finding>,
    wanted: &Wanted<'_>,
) -> Result<u8, Failure> {
    if wanted.by.trim().is_empty() || wanted.reason.trim().is_empty() {
        return Err(Failure::usage("an approval needs a name and a reason").remedy("give --by NAME and --reason TEXT"));
    }
    let meant = wanted.meant(findings);
    if meant.is_empty() {
        return Err(Failure::usage(format!("nothing was found that {} approves", wanted.waiver)).remedy(
            if DRIFT.contains(&wanted.waiver.rule.as_str()) {
                "`landfall verify PLAYBOOK` tells what there is, and takes the same options"
            } else {
                "`landfall lint` lists what there is; of a program `landfall plan` does, and says what to write here"
            },
        ));
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
            "# Findings of `landfall lint` and `landfall verify` that somebody took upon themselves. An entry ends with the next change of its file.\n",
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

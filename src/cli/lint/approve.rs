//! Approvals: writes entries.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use super::super::args::ApprovalArgs;
use super::super::{Failure, exit};
use crate::history::drift::RULES as DRIFT;
use crate::migration::lint::{Approvals, Finding, NOT_SQL, Waiver, entry, gate, rule};

/// What shall be approved, by whom and why.
pub(in crate::cli) struct Wanted<'w> {
    pub(in crate::cli) waivers: &'w [Waiver],
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
        let waivers = &args.write_approval[..];
        let wanted = Self { waivers, by: text(&args.by), reason: text(&args.reason), key: None, statement: None };
        (!waivers.is_empty()).then_some(wanted)
    }

    /// What one of them means of what was found.
    fn meant(&self, waiver: &Waiver, findings: &[Finding]) -> Vec<Finding> {
        let Some((statement, rule)) = self.statement.zip(rule(&waiver.rule)) else {
            return findings.iter().filter(|finding| waiver.fits(finding)).cloned().collect();
        };
        let program = Waiver { rule: NOT_SQL.to_owned(), ..waiver.clone() };
        let of = findings.iter().filter(|finding| program.fits(finding));
        of.map(|finding| Finding { rule: rule.id, digest: statement.to_owned(), ..finding.clone() }).collect()
    }
}

/// Appends an entry for each finding that is meant and not approved yet; none where one waiver means nothing.
pub(in crate::cli) fn write(
    path: &Path,
    approvals: &Approvals,
    findings: &[Finding],
    wanted: &Wanted<'_>,
) -> Result<u8, Failure> {
    if wanted.by.trim().is_empty() || wanted.reason.trim().is_empty() {
        return Err(Failure::usage("an approval needs a name and a reason").remedy("give --by NAME and --reason TEXT"));
    }
    let mut meant = Vec::new();
    for waiver in wanted.waivers {
        let own = wanted.meant(waiver, findings);
        if own.is_empty() {
            return Err(Failure::usage(format!("nothing was found that {waiver} approves")).remedy(
                if DRIFT.contains(&waiver.rule.as_str()) {
                    "`landfall verify PLAYBOOK` tells what there is, and takes the same options"
                } else {
                    "`landfall lint` lists what there is; of a program `landfall plan` does, and says what to write here"
                },
            ));
        }
        meant.extend(own);
    }
    let mut open = gate(meant, approvals, &[], &[]).open;
    // One entry covers all that a rule says of one statement, on whatever host.
    let mut written = BTreeSet::new();
    open.retain(|finding| written.insert((finding.rule, finding.sha256.clone(), finding.digest.clone())));
    if open.is_empty() {
        let all = wanted.waivers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        super::super::say(&format!("{all} is approved already"));
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

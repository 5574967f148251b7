//! Whether what waits on a host may be applied: what the rules for migrations call an error needs somebody who takes it upon themselves,
//! and where nobody looks at the plan, what came with a pulled image needs more. Pure: no file is read here, and nothing is shown.

use super::lint::{self, Approval, Approvals, Dialect, Finding, Granted, Severity, Waiver};
use super::pending::{self, Pending};
use crate::command::quoted;
use crate::event::Approved;
use crate::facts::{History, Migration, Migrations, Refusal};
use crate::history::drift;
use crate::name::StepName;

/// So many findings of a step are told one by one.
const MOST: usize = 20;

/// What was said before a run of the migrations that it may find.
#[derive(Debug, Clone, Default)]
pub struct Consent {
    /// Approvals of the file beside the inventory.
    pub approvals: Approvals,
    /// Approvals of the command line, for one run.
    pub waivers: Vec<Waiver>,
    /// Who gives those, …
    pub by: String,
    /// … and why.
    pub reason: String,
    /// A run asks, which goes on with what was found; not a plan that may never become one.
    pub begun: bool,
    /// Nobody looks at the plan: it was agreed to beforehand.
    pub unseen: bool,
    /// Migrations that may come with a pulled image all the same, though the rules warn of them.
    pub expected: Vec<String>,
}

/// What a `migrate` step would find.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// The step.
    pub step: &'a StepName,
    /// Its tool.
    pub tool: &'a str,
    /// The database's.
    pub dialect: Dialect,
    /// What waits, by all witnesses.
    pub found: &'a Migrations,
    /// Files and history.
    pub history: &'a History,
    /// Which image was looked into.
    pub image: Image,
    /// Whether the run touches a production group.
    pub production: bool,
    /// Whether the step itself limits how long a statement waits for a lock.
    pub limited: bool,
}

/// Of which image what waits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The one that was there.
    Here,
    /// The one that was pulled for this run.
    Pulled,
    /// Another one will be pulled: what the files of this one lack says nothing.
    Before,
}

/// What the gate says.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Why nothing may be applied.
    pub refusals: Vec<Refusal>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What somebody took upon themselves.
    pub approved: Vec<Approved>,
}

/// Judges what waits.
pub fn judge(waiting: Waiting<'_>, consent: &Consent) -> Verdict {
    let Waiting { step, tool, dialect, found, history, image, production, limited } = waiting;
    let mut pending = pending::look(tool, history, found, dialect);
    pending.findings.retain(|finding| !(limited && finding.rule == "missing-lock-timeout"));
    // Where nothing is lost that matters, it is enough to know that a program does what no rule sees; and for a plan not everything is
    // asked that a run asks.
    let told_only = !production || (!consent.begun && matches!(found, Migrations::NotKnown { .. }) && pending.files.is_empty());
    for finding in pending.findings.iter_mut().filter(|finding| finding.rule == lint::NOT_SQL && told_only) {
        finding.severity = Severity::Warning;
    }
    if image != Image::Before {
        pending.findings.extend(parted(history, found));
    }
    let files: Vec<&str> = pending.files.iter().map(|(_, file)| file.as_str()).collect();
    let judged = lint::gate(std::mem::take(&mut pending.findings), &consent.approvals, &consent.waivers, &files);
    let mut verdict = Verdict {
        approved: judged.approved.iter().map(|(finding, granted)| approved(finding, granted, consent)).collect(),
        ..Verdict::default()
    };
    for finding in &judged.open {
        let unlooked_at = consent.unseen
            && image == Image::Pulled
            && finding.rule != lint::NOT_SQL
            && !is_expected(&meant(finding, &pending, found), consent);
        let told = told(step, finding);
        match finding.severity {
            Severity::Error => {
                let of = |approval: &&Approval| approval.rule == finding.rule && drift::same_file(&approval.file, &finding.file);
                let stale = judged.stale.iter().find(of);
                let more = stale.map(|approval| format!("; {} approved another content of that file", approval.by));
                verdict.refusals.push(Refusal::unfit(format!("{told}{}", more.unwrap_or_default()), remedy(finding, &pending)));
            }
            Severity::Warning if unlooked_at => {
                let message = format!("{told}; it came with the pulled image, and with --yes nobody looks at it");
                let names = meant(finding, &pending, found).into_iter().map(|name| format!(" --expect-pending {}", quoted(name)));
                let names: String = names.collect();
                let help = format!("look at it, then name the migration:{names}; the safe way: {}", finding.safe);
                verdict.refusals.push(Refusal::unfit(message, help));
            }
            Severity::Warning => verdict.warnings.push(format!("{told}; the safe way: {}", finding.safe)),
        }
    }
    let more = verdict.refusals.len().saturating_sub(MOST);
    if more > 0 {
        verdict.refusals.truncate(MOST);
        let message = format!("{step}: and {more} more findings in the migrations that wait");
        verdict.refusals.push(Refusal::unfit(message, "landfall lint tells all of them"));
    }
    verdict
}

/// What is wrong with files and history, where the host goes on in spite of it: somebody must have taken that upon themselves.
fn parted(history: &History, found: &Migrations) -> Vec<Finding> {
    // It does not, and has said why.
    if matches!(found, Migrations::Failed { .. }) {
        return Vec::new();
    }
    history.migrations.iter().filter_map(|migration| difference(migration, &history.folder)).collect()
}

/// A difference between files and history, as a finding; none where there is no such.
pub fn difference(migration: &Migration, folder: &str) -> Option<Finding> {
    let rule = drift::rule(migration)?;
    let (message, safe) = match rule {
        "edited" => ("it was applied as another text", "bring the file back as it was applied"),
        "missing" => ("it is applied, and its file is gone", "bring the file back"),
        "begun" => (
            "what it makes is in the database already",
            "look whether that is left of a run that broke off, and take it back or finish it",
        ),
        _ => ("it was never applied, and the tool passes it over", "make it anew, later than the newest that is applied"),
    };
    let bound = drift::bound(rule, migration);
    let file = match &migration.file {
        Some(below) if folder.is_empty() => below.clone(),
        Some(below) => format!("{folder}/{below}"),
        None => migration.name.clone(),
    };
    Some(Finding {
        rule,
        severity: Severity::Error,
        file,
        sha256: bound.sha256,
        line: 1,
        column: 1,
        span: 0..0,
        statement: migration.name.clone(),
        digest: bound.recorded,
        message: message.to_owned(),
        why: "a database that is made anew gets another schema than this one has",
        safe,
    })
}

impl Consent {
    /// What of it hosts must be told.
    pub fn accepted(&self) -> Vec<drift::Accepted> {
        lint::accepted(&self.approvals, &self.waivers)
    }

    /// The waivers that approve nothing, or that could mean several files.
    pub fn idle<'c>(&'c self, approved: &[&Approved]) -> Vec<&'c Waiver> {
        let used = |waiver: &Waiver| approved.iter().any(|of| of.rule == waiver.rule && drift::same_file(&of.file, &waiver.file));
        self.waivers.iter().filter(|waiver| !used(waiver)).collect()
    }
}

/// The option of the command line.
const WAIVED: &str = "--approve";

fn approved(finding: &Finding, granted: &Granted, consent: &Consent) -> Approved {
    let (by, reason, with, came) = match granted {
        Granted::Entry(approval) => {
            let key = approval.key.as_ref().map(|key| format!(", {key}")).unwrap_or_default();
            (format!("{}{key}", approval.by), approval.reason.clone(), lint::APPROVALS_FILE, approval.came.clone())
        }
        Granted::Waiver(_) => (consent.by.clone(), consent.reason.clone(), WAIVED, None),
    };
    Approved {
        rule: finding.rule.to_owned(),
        file: finding.file.clone(),
        line: finding.line,
        by,
        reason,
        with: with.to_owned(),
        came,
    }
}

fn told(step: &StepName, finding: &Finding) -> String {
    let Finding { file, line, rule, message, why, .. } = finding;
    format!("{step}: {file}:{line}: {rule}: {message}: {why}")
}

fn remedy(finding: &Finding, pending: &Pending<'_>) -> String {
    // Below the folder: in the working folder it may lie elsewhere than in the image.
    let of = pending.files.iter().find(|(_, file)| *file == finding.file).map(|(migration, _)| *migration);
    let below = of.and_then(|migration| migration.file.as_deref());
    let waiver = quoted(&format!("{}@{}", finding.rule, below.unwrap_or(&finding.file)));
    let safe = finding.safe;
    // What was not seen has nothing that an entry of the file could be bound to.
    if finding.digest.is_empty() || finding.sha256.is_empty() {
        return format!("the safe way: {safe}. To take it upon yourself, for one run: --approve {waiver} --note TEXT");
    }
    if drift::RULES.contains(&finding.rule) {
        return format!(
            "the safe way: {safe}. To take it upon yourself: landfall verify PLAYBOOK --write-approval {waiver} --by NAME --reason TEXT; \
             for one run: --approve {waiver} --note TEXT"
        );
    }
    // Only the tool knows the statements of a program: nobody finds them in its file.
    let printed = finding.rule != lint::NOT_SQL && of.is_some_and(|migration| !migration.is_sql());
    let statement = if printed { format!(" --statement {}", finding.digest) } else { String::new() };
    format!(
        "the safe way: {safe}. To take it upon yourself: landfall lint --write-approval {waiver}{statement} --by NAME --reason TEXT; \
         for one run: --approve {waiver} --note TEXT"
    )
}

/// The migrations that a finding may be of, by name: what a tool prints of all together tells none apart.
fn meant<'p>(finding: &Finding, pending: &'p Pending<'_>, found: &'p Migrations) -> Vec<&'p str> {
    let of = pending.files.iter().find(|(_, file)| *file == finding.file).map(|(migration, _)| migration.name.as_str());
    let named: &[String] = if let Migrations::Pending { names } = found { names } else { &[] };
    let itself = || named.iter().find(|name| **name == finding.file).map(String::as_str);
    match of.or_else(itself) {
        Some(name) => vec![name],
        None if named.is_empty() => vec![&pending.together],
        None => named.iter().map(String::as_str).collect(),
    }
}

fn is_expected(names: &[&str], consent: &Consent) -> bool {
    names.iter().all(|name| consent.expected.iter().any(|expected| expected == name))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;

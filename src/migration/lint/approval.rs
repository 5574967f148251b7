//! Approvals: who took which finding upon themselves, and why. One is bound to the file's SHA-256, the rule and the statement's SHA-256,
//! so that it ends with the next change of the file. The name is what somebody claims; whether that is so, the repository's history tells.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::finding::Finding;
use super::rules::{rule, rules};
use crate::history::drift::{Accepted, Bound, RULES as DRIFT, same_file};
use crate::source::{Place, Placed, Reader, Sink, Table, nearest, parse};

/// The file that keeps them, beside the inventory.
pub const FILE_NAME: &str = "landfall-approvals.toml";

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// The file that it is for, for people: what binds it is the hash.
    pub file: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// The rule.
    pub rule: String,
    /// The statement's SHA-256.
    pub statement: String,
    /// Who approved it, by their own claim.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The fingerprint of the SSH key that they use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// When it came, in words, where the repository's history tells.
    #[serde(skip)]
    pub came: Option<String>,
}

/// All entries of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals(pub Vec<Approval>);

/// `RULE@FILE`: approves all that a rule has found in a file, for once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule.
    pub rule: String,
    /// The file, as findings name it, or the end of its path.
    pub file: String,
}

/// By what a finding is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// An entry of the file.
    Entry(Approval),
    /// The command line.
    Waiver(Waiver),
}

/// Findings after approvals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What somebody took upon themselves.
    pub approved: Vec<(Finding, Granted)>,
    /// What nobody did.
    pub open: Vec<Finding>,
    /// Entries for files that were looked at, which fit nothing any more.
    pub stale: Vec<Approval>,
    /// Waivers that fit nothing.
    pub idle: Vec<Waiver>,
}

impl Approvals {
    /// Reads the file's text; what is wrong is told to the sink.
    pub fn parse(file: &Arc<str>, text: &str, sink: &Sink) -> Self {
        let table = parse(file, text, sink);
        let reader = Reader::new(&table, FILE_NAME, None, sink);
        let list = reader.tables("approval").into_iter().filter_map(|table| approval(table, sink)).collect();
        reader.finish();
        Self(list)
    }
}

fn approval(table: &Table, sink: &Sink) -> Option<Approval> {
    let reader = Reader::new(table, "an approval", None, sink);
    let needed = |key: &'static str, help: &str| {
        let text = if reader.entry(key).is_none() {
            reader.missing(key, help);
            None
        } else {
            reader.text(key)
        };
        let empty = |text: &Placed<String>| text.value.trim().is_empty();
        if let Some(text) = text.as_ref().filter(|text| empty(text)) {
            reader.error(&text.place, format!("`{key}` is empty"), help);
        }
        text.filter(|text| !empty(text))
    };
    let hash = |key: &'static str| -> Option<String> {
        let text = needed(key, "`landfall lint --write-approval` writes it")?;
        let well = text.value.len() == 64 && text.value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !well {
            reader.error(&text.place, format!("`{key}` is no SHA-256"), "64 hexadecimal digits in small letters");
        }
        well.then_some(text.value)
    };
    let file = needed("file", "the path of the migration");
    let sha256 = hash("sha256");
    let name = needed("rule", "the name of the rule, as findings say it");
    if let Some(name) = name.as_ref().filter(|name| !is_rule(&name.value)) {
        let known: Vec<&str> = names().collect();
        let help = nearest(&name.value, &known)
            .map_or_else(|| "`landfall lint --rules` lists them".to_owned(), |near| format!("did you mean `{near}`?"));
        reader.error(&name.place, format!("there is no rule `{}`", name.value), help);
    }
    let statement = hash("statement");
    let by = needed("by", "the name of who approves it");
    let reason = needed("reason", "why it may be done");
    let key = reader.text("key");
    if let Some(key) = key.as_ref().filter(|key| !key.value.starts_with("SHA256:")) {
        reader.error(&key.place, "`key` is no fingerprint of an SSH key", "`ssh-keygen -lf FILE.pub` shows it: SHA256:…");
    }
    let place = table.place.clone();
    reader.finish();
    Some(Approval {
        file: file?.value,
        sha256: sha256?,
        rule: name?.value,
        statement: statement?,
        by: by?.value,
        reason: reason?.value,
        key: key.map(|key| key.value),
        place,
        came: None,
    })
}

/// What an approval may name: the rules, and what a history may show.
fn names() -> impl Iterator<Item = &'static str> {
    rules().map(|rule| rule.id).chain(DRIFT)
}

fn is_rule(name: &str) -> bool {
    rule(name).is_some() || DRIFT.contains(&name)
}

/// What is approved of files and histories that have parted, as hosts are told: they judge it.
pub fn accepted(approvals: &Approvals, waivers: &[Waiver]) -> Vec<Accepted> {
    let entries = approvals.0.iter().filter(|approval| DRIFT.contains(&approval.rule.as_str())).map(|approval| Accepted {
        rule: approval.rule.clone(),
        file: approval.file.clone(),
        bound: Some(Bound { sha256: approval.sha256.clone(), recorded: approval.statement.clone() }),
    });
    let waivers = waivers.iter().filter(|waiver| DRIFT.contains(&waiver.rule.as_str()));
    let waivers = waivers.map(|waiver| Accepted { rule: waiver.rule.clone(), file: waiver.file.clone(), bound: None });
    entries.chain(waivers).collect()
}

/// Parts findings into those that somebody approved and those that nobody did. `files` are those that were looked at.
pub fn gate(findings: Vec<Finding>, approvals: &Approvals, waivers: &[Waiver], files: &[&str]) -> Judged {
    let mut judged = Judged::default();
    // One that could mean several files means none.
    let clear = |waiver: &Waiver| {
        let files: BTreeSet<&str> =
            findings.iter().filter(|finding| waiver.fits(finding)).map(|finding| finding.file.as_str()).collect();
        files.len() == 1
    };
    let clear: Vec<bool> = waivers.iter().map(clear).collect();
    let mut used = vec![false; approvals.0.len()];
    let mut waived = vec![false; waivers.len()];
    for finding in findings {
        let entry = approvals.0.iter().position(|approval| approval.fits(&finding));
        let waiver = (0..waivers.len()).position(|at| clear[at] && waivers[at].fits(&finding));
        if let Some(at) = waiver {
            waived[at] = true;
        }
        let granted = match (entry, waiver) {
            (Some(at), _) => {
                used[at] = true;
                Granted::Entry(approvals.0[at].clone())
            }
            (None, Some(at)) => Granted::Waiver(waivers[at].clone()),
            (None, None) => {
                judged.open.push(finding);
                continue;
            }
        };
        judged.approved.push((finding, granted));
    }
    let unused = |used: &[bool], at: usize| !used[at];
    let looked_at = |file: &str| files.iter().any(|known| same_file(known, file));
    // What a history shows no file tells.
    let told_by_file = |approval: &Approval| rule(&approval.rule).is_some() && looked_at(&approval.file);
    let stale = approvals.0.iter().enumerate().filter(|(at, approval)| unused(&used, *at) && told_by_file(approval));
    judged.stale = stale.map(|(_, approval)| approval.clone()).collect();
    judged.idle = waivers.iter().enumerate().filter(|(at, _)| unused(&waived, *at)).map(|(_, waiver)| waiver.clone()).collect();
    judged
}

impl Approval {
    fn fits(&self, finding: &Finding) -> bool {
        self.sha256 == finding.sha256 && self.rule == finding.rule && self.statement == finding.digest
    }
}

impl Waiver {
    /// Whether it is meant for this finding.
    pub fn fits(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && same_file(&finding.file, &self.file)
    }
}

impl fmt::Display for Waiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.rule, self.file)
    }
}

impl FromStr for Waiver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('@').ok_or("write RULE@FILE")?;
        if !is_rule(name) {
            let known: Vec<&str> = names().collect();
            let near = nearest(name, &known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("there is no rule `{name}`{near}"));
        }
        if file.trim_start_matches("./").is_empty() {
            return Err("write RULE@FILE".to_owned());
        }
        Ok(Self { rule: name.to_owned(), file: file.to_owned() })
    }
}

/// The text of an entry, to be appended to the file.
pub fn entry(finding: &Finding, by: &str, reason: &str, key: Option<&str>) -> String {
    let text = |text: &str| toml::Value::from(text).to_string();
    let mut out = format!(
        "[[approval]]\nfile = {}\nsha256 = {}\nrule = {}\nstatement = {}\nby = {}\nreason = {}\n",
        text(&finding.file),
        text(&finding.sha256),
        text(finding.rule),
        text(&finding.digest),
        text(by),
        text(reason),
    );
    if let Some(key) = key {
        out.extend(["key = ", &text(key), "\n"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::lint::{Dialect, Source, Tool, check};

    fn findings(text: &str) -> Vec<Finding> {
        check(&Source { name: "db/001_a.sql", text, dialect: Dialect::Postgres, tool: Tool::Unknown, in_transaction: true })
            .into_iter()
            .filter(|finding| finding.rule == "drop-table")
            .collect()
    }

    fn read(text: &str) -> Result<Approvals, String> {
        let sink = Sink::default();
        let file: Arc<str> = Arc::from(FILE_NAME);
        sink.source(&file, text);
        let approvals = Approvals::parse(&file, text, &sink);
        sink.finish(approvals).map_err(|diags| diags.iter().map(|diag| diag.message.clone()).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn an_entry_that_is_written_is_read_and_fits() {
        let found = findings("DROP TABLE a;");
        let text = entry(&found[0], "Ada \"the\" Tester", "no rows\nleft", Some("SHA256:x"));
        let approvals = read(&text).unwrap();
        let judged = gate(found, &approvals, &[], &["db/001_a.sql"]);
        assert_eq!((judged.approved.len(), judged.open.len(), judged.stale.len()), (1, 0, 0));
    }

    #[test]
    fn an_entry_ends_with_the_next_change_and_holds_for_one_statement_only() {
        let first = findings("DROP TABLE a; DROP TABLE b;");
        let approvals = read(&entry(&first[0], "Ada", "ok", None)).unwrap();
        let judged = gate(first, &approvals, &[], &["db/001_a.sql"]);
        assert_eq!((judged.approved.len(), judged.open.len()), (1, 1));
        let changed = gate(findings("DROP TABLE a; DROP TABLE b; "), &approvals, &[], &["db/001_a.sql"]);
        assert_eq!((changed.approved.len(), changed.open.len(), changed.stale.len()), (0, 2, 1));
        let elsewhere = gate(Vec::new(), &approvals, &[], &["db/002_b.sql"]);
        assert!(elsewhere.stale.is_empty(), "its file was not looked at");
    }

    #[test]
    fn what_is_wrong_with_the_file_is_told() {
        let text = "[[approval]]\nfile = \"a\"\nsha256 = \"12\"\nrule = \"drop-tabel\"\nby = \"\"\nreason = \"x\"\nwho = \"y\"\n";
        insta::assert_snapshot!(read(text).unwrap_err(), @"
        an approval needs `statement`
        `sha256` is no SHA-256
        there is no rule `drop-tabel`
        `by` is empty
        unknown key `who` in an approval
        ");
    }

    #[test]
    fn a_waiver_names_rule_and_file() {
        let waiver: Waiver = "drop-table@001_a.sql".parse().unwrap();
        let judged = gate(findings("DROP TABLE a;"), &Approvals::default(), &[waiver], &["db/001_a.sql"]);
        assert_eq!(judged.approved.len(), 1);
        let both = [findings("DROP TABLE a;"), findings("DROP TABLE a;")].concat();
        let mut both: Vec<Finding> = both;
        both[1].file = "old/001_a.sql".to_owned();
        let waiver: Waiver = "drop-table@001_a.sql".parse().unwrap();
        let judged = gate(both, &Approvals::default(), &[waiver], &[]);
        assert_eq!((judged.approved.len(), judged.idle.len()), (0, 1), "it could mean either");
        let other: Waiver = "drop-table@1_a.sql".parse().unwrap();
        let judged = gate(findings("DROP TABLE a;"), &Approvals::default(), &[other], &["db/001_a.sql"]);
        assert_eq!((judged.approved.len(), judged.idle.len()), (0, 1));
        assert_eq!("drop-tabel@a".parse::<Waiver>().unwrap_err(), "there is no rule `drop-tabel`; did you mean `drop-table`?");
        assert!("drop-table".parse::<Waiver>().is_err());
    }
}

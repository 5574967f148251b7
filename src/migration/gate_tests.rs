//! The gate by value: what waits and what was said beforehand in, refusals, warnings and approvals out.

use super::*;
use crate::facts::{Migration, MigrationState};
use crate::migration::lint::Approval;
use crate::source::Place;

const DROPS: &str = "CREATE TABLE a (id bigint PRIMARY KEY);\nDROP TABLE b;\n";
const WARNS: &str = "ALTER TABLE a ADD COLUMN \"Odd Name\" text;\n";

fn migration(name: &str, state: MigrationState, text: &str) -> Migration {
    Migration {
        name: name.into(),
        key: None,
        state,
        late: false,
        sha256: Some(lint::digest(text.as_bytes())),
        file: Some(format!("{name}/migration.sql")),
        recorded: None,
        text: Some(text.into()),
        cut: false,
        told: None,
    }
}

fn history(migrations: Vec<Migration>) -> History {
    History { not_known: None, folder: "/app/prisma/migrations".into(), migrations, ..History::default() }
}

fn pending(history: &History) -> Migrations {
    let waits = history.migrations.iter().filter(|migration| migration.state == MigrationState::Pending);
    Migrations::Pending { names: waits.map(|migration| migration.name.clone()).collect() }
}

fn judged(history: &History, found: &Migrations, pulled: bool, consent: &Consent) -> Verdict {
    let step = "migrate".parse().unwrap();
    judge(Waiting { step: &step, tool: "prisma", dialect: Dialect::Postgres, found, history, pulled, limited: true }, consent)
}

fn told(verdict: &Verdict) -> String {
    let refusals =
        verdict.refusals.iter().map(|of| format!("refused: {}\n   help: {}", of.message, of.remedy.as_deref().unwrap_or("")));
    let warnings = verdict.warnings.iter().map(|text| format!("warning: {text}"));
    let approved = verdict.approved.iter().map(ToString::to_string);
    refusals.chain(warnings).chain(approved).collect::<Vec<_>>().join("\n")
}

fn drops() -> History {
    history(vec![migration("1_a", MigrationState::Applied, "DROP TABLE old;"), migration("2_b", MigrationState::Pending, DROPS)])
}

fn entry(history: &History) -> Approval {
    let open = pending::look("prisma", history, &pending(history), Dialect::Postgres);
    let finding = open.findings.iter().find(|finding| finding.rule == "drop-table").unwrap();
    Approval {
        file: "prisma/migrations/2_b/migration.sql".into(),
        sha256: finding.sha256.clone(),
        rule: finding.rule.into(),
        statement: finding.digest.clone(),
        by: "Ada".into(),
        reason: "nobody reads it".into(),
        key: None,
        place: Place::nowhere(),
    }
}

#[test]
fn an_error_refuses_with_all_that_helps() {
    let history = drops();
    insta::assert_snapshot!(told(&judged(&history, &pending(&history), false, &Consent::default())), @"
    refused: migrate: /app/prisma/migrations/2_b/migration.sql:2: drop-table: drops the table `b`: the rows are gone, and the version that is running still reads them
       help: the safe way: stop using the table in one release and drop it in a later one, with a backup; then approve this. To take it upon yourself: landfall lint --write-approval drop-table@2_b/migration.sql --by NAME --reason TEXT; for one run: --approve drop-table@2_b/migration.sql --note TEXT
    ");
}

#[test]
fn an_approval_holds_for_the_bytes_that_it_was_given_for() {
    let mut history = drops();
    let consent = Consent { approvals: Approvals(vec![entry(&history)]), ..Consent::default() };
    insta::assert_snapshot!(told(&judged(&history, &pending(&history), true, &consent)), @"
    drop-table in /app/prisma/migrations/2_b/migration.sql:2 is approved by Ada (landfall-approvals.toml): nobody reads it
    ");
    history.migrations[1] = migration("2_b", MigrationState::Pending, &format!("{DROPS}-- more\n"));
    let after = judged(&history, &pending(&history), true, &consent);
    assert!(after.refusals[0].message.ends_with("; Ada approved another content of that file"), "{}", told(&after));
    // The text may be masked: it is the host's own hash that counts.
    let mut elsewhere = drops();
    elsewhere.migrations[1].sha256 = Some("0".repeat(64));
    assert_eq!(judged(&elsewhere, &pending(&elsewhere), true, &consent).refusals.len(), 1);
}

#[test]
fn a_waiver_tells_who_and_why() {
    let history = drops();
    let waivers = vec!["drop-table@2_b/migration.sql".parse().unwrap(), "drop-column@2_b/migration.sql".parse().unwrap()];
    let consent = Consent { waivers, by: "ana@laptop".into(), reason: "ticket 7".into(), ..Consent::default() };
    let verdict = judged(&history, &pending(&history), false, &consent);
    insta::assert_snapshot!(told(&verdict), @"
    drop-table in /app/prisma/migrations/2_b/migration.sql:2 is approved by ana@laptop (--approve): ticket 7
    ");
    let approved: Vec<&Approved> = verdict.approved.iter().collect();
    let idle: Vec<String> = consent.idle(&approved).iter().map(ToString::to_string).collect();
    assert_eq!(idle, ["drop-column@2_b/migration.sql"]);
}

#[test]
fn what_nobody_looks_at_is_free_of_findings_or_named() {
    let history = history(vec![migration("2_b", MigrationState::Pending, WARNS)]);
    let found = pending(&history);
    let seen = judged(&history, &found, true, &Consent::default());
    assert!(seen.refusals.is_empty() && !seen.warnings.is_empty(), "{}", told(&seen));
    let unseen = Consent { unseen: true, ..Consent::default() };
    assert!(judged(&history, &found, false, &unseen).refusals.is_empty(), "a plan could have shown it");
    insta::assert_snapshot!(told(&judged(&history, &found, true, &unseen)), @"
    refused: migrate: /app/prisma/migrations/2_b/migration.sql:1: name-not-snake-case: `Odd Name` is not in snake_case: such a name must be quoted wherever it is written, or means another on another system; it came with the pulled image, and with --yes nobody looks at it
       help: look at it, then name the migration: --expect-pending 2_b; the safe way: use small letters, digits and underscores
    ");
    let named = Consent { expected: vec!["2_b".into()], ..unseen };
    assert!(judged(&history, &found, true, &named).refusals.is_empty());
    let drops = drops();
    let named = judged(&drops, &pending(&drops), true, &named);
    assert_eq!(named.refusals.len(), 1, "an error needs somebody who takes it upon themselves");
}

#[test]
fn without_a_history_the_tool_tells_what_waits_and_without_that_all_do() {
    let both =
        vec![migration("1_a", MigrationState::Pending, "DROP TABLE old;"), migration("2_b", MigrationState::Pending, WARNS)];
    let history = History { not_known: Some("landfall.toml names no [database]".into()), ..history(both) };
    let consent = Consent::default();
    let found = Migrations::Pending { names: vec!["2_b".into(), "3_c".into()] };
    let told = told(&judged(&history, &found, false, &consent));
    assert!(told.contains("landfall.toml names no [database]: 3_c") && !told.contains("drop-table"), "{told}");
    let unknown = Migrations::NotKnown { why: "network missing".into() };
    assert_eq!(judged(&history, &unknown, false, &consent).refusals.len(), 1);
    assert!(judged(&history, &Migrations::UpToDate, false, &consent).refusals.is_empty());
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_clean() {
    let mut long = migration("2_b", MigrationState::Pending, "SELECT 1;\n");
    long.cut = true;
    let mut program = migration("3_c", MigrationState::Pending, "def up(): pass");
    program.file = Some("3_c.py".into());
    let history = history(vec![long, program]);
    insta::assert_snapshot!(told(&judged(&history, &pending(&history), false, &Consent::default())), @"
    refused: migrate: /app/prisma/migrations/2_b/migration.sql:1: unparsed: from here on it is too long to be looked at: what cannot be read cannot be judged
       help: the safe way: correct it; if the database takes it, read it with care and approve this. To take it upon yourself, for one run: --approve unparsed@2_b/migration.sql --note TEXT
    warning: migrate: not looked at by the rules for migrations, for it is no SQL: 3_c
    ");
    let none = History { not_known: Some("Landfall does not know how this tool keeps its history".into()), ..History::default() };
    insta::assert_snapshot!(told(&judged(&none, &Migrations::Pending { names: vec![] }, false, &Consent::default())), @"
    warning: migrate: what is pending is not looked at by the rules for migrations: Landfall does not know how this tool keeps its history
    ");
}

//! The gate by value: what waits and what was said beforehand in, refusals, warnings and approvals out.

use super::*;
use crate::facts::{Migration, MigrationState, Preview};
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
        begun: false,
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
    let (dialect, production) = (Dialect::Postgres, true);
    let image = if pulled { Image::Pulled } else { Image::Here };
    judge(Waiting { step: &step, tool: "prisma", dialect, found, history, image, production, limited: true }, consent)
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
        came: None,
    }
}

/// What a host tells of a folder of Prisma 8's: the SQL in its operations, and the hash of their file.
#[test]
fn operations_of_a_file_are_told_by_the_lines_of_that_file() {
    let file = include_bytes!("../history/samples/third.ops.json");
    let third = Migration {
        sha256: Some(lint::digest(file)),
        file: Some("app/20260318T1420_third/ops.json".into()),
        ..migration("20260318T1420_third", MigrationState::Pending, &crate::history::ops::sql(file))
    };
    let found = History { not_known: None, folder: "/app/migrations".into(), migrations: vec![third], ..History::default() };
    let open = pending::look("prisma-8", &found, &pending(&found), Dialect::Postgres);
    assert!(open.findings.iter().all(|finding| finding.rule != lint::NOT_SQL));
    let finding = open.findings.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!(
        (finding.file.as_str(), finding.line, finding.rule, finding.statement.as_str()),
        ("/app/migrations/app/20260318T1420_third/ops.json", 29, "drop-column", "DROP COLUMN \"name\"")
    );
    assert_eq!(finding.sha256, lint::digest(file), "an approval is bound to the file, not to what was taken out of it");
}

/// What is judged of a history of Flyway's that has a hook.
#[test]
fn what_runs_with_each_migration_is_judged_where_one_waits() {
    let hook = migration("beforeMigrate.sql", MigrationState::Along, "DROP TABLE b;");
    let waits = history(vec![migration("2", MigrationState::Pending, "SELECT 1;"), hook.clone()]);
    let judged = |history: &History, found: &Migrations| told(&judged(history, found, false, &Consent::default()));
    insta::assert_snapshot!(judged(&waits, &pending(&waits)), @"
    refused: migrate: /app/prisma/migrations/beforeMigrate.sql/migration.sql:1: drop-table: drops the table `b`: the rows are gone, and the version that is running still reads them
       help: the safe way: stop using the table in one release and drop it in a later one, with a backup; then approve this. To take it upon yourself: landfall lint --write-approval drop-table@beforeMigrate.sql/migration.sql --by NAME --reason TEXT; for one run: --approve drop-table@beforeMigrate.sql/migration.sql --note TEXT
    ");
    assert_eq!(
        waits.pending().collect::<Vec<_>>(),
        [lint::digest(b"SELECT 1;"), lint::digest(b"DROP TABLE b;")],
        "both are approved"
    );
    assert_eq!(judged(&history(vec![hook]), &Migrations::UpToDate), "");
    let unknown = History { not_known: Some("the database cannot be asked".into()), ..waits.clone() };
    assert_eq!(judged(&unknown, &pending(&waits)), judged(&waits, &pending(&waits)));
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
    assert!(!told.contains("drop-table"), "{told}");
    assert!(told.contains("3_c:1: not-sql: no SQL of it is seen: landfall.toml names no [database]"), "{told}");
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
    refused: migrate: /app/prisma/migrations/3_c.py:1: not-sql: a program, of which no SQL is seen: what it does to the database stands in no SQL that could be judged
       help: the safe way: write it in SQL or let the tool print its SQL, where it can; or read it with care and approve this. To take it upon yourself: landfall lint --write-approval not-sql@3_c.py --by NAME --reason TEXT; for one run: --approve not-sql@3_c.py --note TEXT
    ");
}

#[test]
fn what_nothing_is_known_of_needs_approval_where_it_would_be_applied() {
    let none = History { not_known: Some("Landfall does not know how this tool keeps its history".into()), ..History::default() };
    let nameless = Migrations::Pending { names: vec![] };
    insta::assert_snapshot!(told(&judged(&none, &nameless, false, &Consent::default())), @"
    refused: migrate: prisma:1: not-sql: no SQL of what waits is seen: Landfall does not know how this tool keeps its history: what it does to the database stands in no SQL that could be judged
       help: the safe way: write it in SQL or let the tool print its SQL, where it can; or read it with care and approve this. To take it upon yourself, for one run: --approve not-sql@prisma --note TEXT
    ");
    let named = Migrations::Pending { names: vec!["1_a".into(), "2_b".into()] };
    let said = told(&judged(&none, &named, false, &Consent::default()));
    assert!(said.contains("1_a:1: not-sql: ") && said.contains("--approve not-sql@2_b --note TEXT"), "{said}");
    let waivers = vec!["not-sql@1_a".parse().unwrap(), "not-sql@2_b".parse().unwrap()];
    let approved = judged(&none, &named, false, &Consent { waivers, ..Consent::default() });
    assert_eq!((approved.refusals.len(), approved.approved.len()), (0, 2), "{}", told(&approved));
    // A plan does not ask all that a run asks.
    let unknown = Migrations::NotKnown { why: "only run in a run".into() };
    let plan = judged(&none, &unknown, false, &Consent::default());
    assert_eq!((plan.refusals.len(), plan.warnings.len()), (0, 1), "{}", told(&plan));
    let run = judged(&none, &unknown, false, &Consent { begun: true, ..Consent::default() });
    assert!(told(&run).contains("no SQL of what waits is seen: only run in a run"), "{}", told(&run));
    assert_eq!((run.refusals.len(), run.warnings.len()), (1, 0), "{}", told(&run));
}

#[test]
fn of_what_only_the_tool_names_its_preview_is_judged() {
    let mut program =
        migration("roll.0001_voters", MigrationState::Pending, "class Migration(migrations.Migration):\n    operations = []\n");
    program.file = Some("roll/migrations/0001_voters.py".into());
    let preview = |of: &str, sql: &str| Preview { of: Some(of.into()), sql: sql.into(), ..Preview::default() };
    let lacking =
        Preview { lacks: Some("an operation of it is Python, not SQL".into()), ..preview("auth.0002_b", "SELECT 1;\n") };
    let previews = vec![
        preview("roll.0001_voters", "ALTER TABLE auth_user DROP COLUMN old;\n"),
        preview("auth.0001_a", "CREATE TABLE auth_user (id int PRIMARY KEY, old int);\n"),
        lacking,
    ];
    let history = History { previews, ..history(vec![program]) };
    let names = ["auth.0001_a", "auth.0002_b", "roll.0001_voters"].map(str::to_owned);
    let said = told(&judged(&history, &Migrations::Pending { names: names.to_vec() }, false, &Consent::default()));
    insta::assert_snapshot!(said, @"
    refused: migrate: auth.0002_b:1: not-sql: an operation of it is Python, not SQL: what it does to the database stands in no SQL that could be judged
       help: the safe way: write it in SQL or let the tool print its SQL, where it can; or read it with care and approve this. To take it upon yourself, for one run: --approve not-sql@auth.0002_b --note TEXT
    ");
    let [a, b, voters] = names;
    let said = told(&judged(&history, &Migrations::Pending { names: vec![voters, a, b] }, false, &Consent::default()));
    assert!(said.contains("drop-column"), "the column is dropped before its table is new: {said}");
}

#[test]
fn a_statement_that_ends_the_transaction_of_a_program_is_told() {
    let warned = |sql: &str| {
        let history = printed(ALEMBIC, Preview { sql: sql.into(), ..Preview::default() });
        told(&judged(&history, &pending(&history), false, &Consent::default()))
    };
    assert_eq!(warned("BEGIN;\nSELECT 1;\nCOMMIT;\n"), "");
    let said = warned("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;\nCOMMIT;\n");
    assert!(said.contains("transaction-control: ends a transaction that a statement above has ended"), "{said}");
    assert!(warned("BEGIN;\nROLLBACK;\nCOMMIT;\n").contains("transaction-control: rolls back"));
}

/// A program that waits, and what its tool prints of it.
fn printed(text: &str, preview: Preview) -> History {
    let mut program = migration("2_b", MigrationState::Pending, text);
    program.file = Some("2_b.py".into());
    History { previews: vec![Preview { of: Some("2_b".into()), ..preview }], ..history(vec![program]) }
}

const ALEMBIC: &str = "down_revision = None\ndef upgrade():\n    op.drop_column('a', 'b')\n";

#[test]
fn of_a_program_what_its_tool_prints_is_judged() {
    let sql = "-- Running upgrade\nALTER TABLE a DROP COLUMN b;\nCOMMIT;\nCREATE INDEX CONCURRENTLY i ON a (c);\nBEGIN;\nUPDATE \
               alembic_version SET version_num='b' WHERE alembic_version.version_num = 'a';\nCOMMIT;\n";
    let history = printed(ALEMBIC, Preview { sql: sql.into(), in_transaction: true, ..Preview::default() });
    let found = pending(&history);
    let verdict = judged(&history, &found, false, &Consent::default());
    let said = told(&verdict);
    assert_eq!((verdict.refusals.len(), verdict.warnings.len()), (1, 0), "{said}");
    assert!(said.contains("/app/prisma/migrations/2_b.py:2: drop-column: "), "{said}");
    let look = pending::look("alembic", &history, &found, Dialect::Postgres);
    let finding = look.findings.iter().find(|finding| finding.rule == "drop-column").unwrap();
    let remedy = format!("--write-approval drop-column@2_b.py --statement {} --by NAME", finding.digest);
    assert!(said.contains(&remedy), "{said}");
    let approval = Approval {
        file: "2_b.py".into(),
        sha256: lint::digest(ALEMBIC.as_bytes()),
        rule: "drop-column".into(),
        statement: finding.digest.clone(),
        came: Some("not committed yet".into()),
        ..entry(&drops())
    };
    let consent = Consent { approvals: Approvals(vec![approval]), ..Consent::default() };
    insta::assert_snapshot!(told(&judged(&history, &found, false, &consent)), @"
    drop-column in /app/prisma/migrations/2_b.py:2 is approved by Ada (landfall-approvals.toml, not committed yet): nobody reads it
    ");
}

#[test]
fn what_a_preview_does_not_tell_needs_approval_in_production_only() {
    let whole = Preview { sql: "SELECT 1;\n".into(), ..Preview::default() };
    let clean = printed(ALEMBIC, whole.clone());
    assert_eq!(told(&judged(&clean, &pending(&clean), true, &Consent::default())), "");
    let lacking = printed(ALEMBIC, Preview { lacks: Some("an operation of it is Python".into()), ..whole.clone() });
    let asking = printed(&format!("{ALEMBIC}    op.get_bind()\n"), whole.clone());
    for history in [lacking, asking] {
        let found = pending(&history);
        let verdict = judged(&history, &found, true, &Consent::default());
        let said = told(&verdict);
        assert!(verdict.refusals.len() == 1 && said.contains("--write-approval not-sql@2_b.py --by NAME"), "{said}");
        let step = "migrate".parse().unwrap();
        let (tool, dialect) = ("alembic", Dialect::Postgres);
        let staging = Waiting {
            step: &step,
            tool,
            dialect,
            found: &found,
            history: &history,
            image: Image::Here,
            production: false,
            limited: true,
        };
        let verdict = judge(staging, &Consent::default());
        assert_eq!((verdict.refusals.len(), verdict.warnings.len()), (0, 1), "{}", told(&verdict));
    }
}

#[test]
fn what_is_printed_of_all_together_is_named_after_the_tool() {
    let of = |previews: Vec<Preview>, no_preview: Option<&str>| History {
        not_known: Some("Landfall does not know how this tool keeps its history".into()),
        previews,
        no_preview: no_preview.map(str::to_owned),
        ..History::default()
    };
    let found = Migrations::Pending { names: vec!["1_a".into()] };
    let drops = of(vec![Preview { sql: "DROP TABLE a;\n".into(), ..Preview::default() }], None);
    let said = told(&judged(&drops, &found, false, &Consent::default()));
    assert!(said.contains("migrate: preview of prisma:1: drop-table: "), "{said}");
    assert!(said.contains("for one run: --approve 'drop-table@preview of prisma' --note TEXT"), "{said}");
    assert!(!said.contains("--write-approval") && !said.contains("warning"), "{said}");
    let failed = of(Vec::new(), Some("its tool could not print it (exit code 1)"));
    let said = told(&judged(&failed, &found, false, &Consent::default()));
    assert!(said.contains("preview of prisma:1: not-sql: its tool could not print it (exit code 1)"), "{said}");
    let warns = of(vec![Preview { sql: WARNS.into(), ..Preview::default() }], None);
    let unseen = Consent { unseen: true, ..Consent::default() };
    let said = told(&judged(&warns, &found, true, &unseen));
    assert!(said.contains("--expect-pending 1_a"), "{said}");
    let named = Consent { expected: vec!["1_a".into()], ..unseen };
    assert!(judged(&warns, &found, true, &named).refusals.is_empty());
}

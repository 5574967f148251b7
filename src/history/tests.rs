//! Files and history in, states out: each state of each reading.

use super::{Began, File, Recorded, compare, known};
use crate::action::{Digest, HistoryTable, Late, Layout, Model, Reading};
use crate::facts::MigrationState as State;

pub(super) fn model(layout: Layout) -> Model {
    Model {
        folders: vec!["migrations".into()],
        layout,
        digest: None,
        history: HistoryTable { table: "t".into(), postgres: String::new(), mysql: String::new() },
        reading: Reading::Each,
        late: Late::Applies,
        done: "say done {name}".into(),
        undone: "say undone {name}".into(),
        back: None,
        tolerates: vec![],
        lock: None,
    }
}

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), bytes: text.as_bytes().to_vec() }
}

fn row(key: &str) -> Recorded {
    Recorded { key: key.into(), ..Recorded::default() }
}

fn states(model: &Model, files: &[File], rows: &[Recorded]) -> Vec<(String, State, bool)> {
    let known = known(model, files).expect("files");
    let found = compare(model, &known, rows).expect("states");
    found.into_iter().map(|found| (found.name, found.state, found.late)).collect()
}

fn told(found: &[(String, State, bool)]) -> String {
    let each = found.iter().map(|(name, state, late)| format!("{name} {}{}", state.as_str(), if *late { " late" } else { "" }));
    each.collect::<Vec<_>>().join(", ")
}

/// SHA-256 of "a", in the lowercase hex that Prisma and Drizzle record.
const OF_A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

fn folders() -> Model {
    let layout = Layout::Files { pattern: r"^(?P<key>[^/]+)/migration\.sql$".into(), digits: false };
    Model { digest: Some(Digest::Sha256), ..model(layout) }
}

#[test]
fn every_state_where_each_migration_has_a_row() {
    let files =
        [file("1_a/migration.sql", "a"), file("2_b/migration.sql", "b"), file("3_c/migration.sql", "c"), file("lock.toml", "")];
    let with = |key: &str, digest: &str, state| Recorded { digest: Some(digest.into()), state, ..row(key) };
    let of = |rows: &[Recorded]| told(&states(&folders(), &files, rows));
    assert_eq!(of(&[]), "1_a pending, 2_b pending, 3_c pending");
    assert_eq!(of(&[with("1_a", OF_A, Began::Applied)]), "1_a applied, 2_b pending, 3_c pending");
    assert_eq!(of(&[with("1_a", "0000", Began::Applied)]), "1_a edited, 2_b pending, 3_c pending");
    assert_eq!(of(&[row("1_a"), with("2_b", "x", Began::Unfinished)]), "1_a applied, 2_b failed, 3_c pending");
    let again = [with("2_b", "x", Began::Undone), row("2_b")];
    assert_eq!(of(&again), "1_a pending late, 2_b applied, 3_c pending", "one that was rolled back and applied again is applied");
    assert_eq!(of(&[row("1_a"), with("2_b", "x", Began::Undone)]), "1_a applied, 2_b pending, 3_c pending");
    assert_eq!(of(&[row("1_a"), row("2_x")]), "1_a applied, 2_b pending late, 3_c pending, 2_x missing");
    assert_eq!(of(&[with("2_x", "x", Began::Unfinished)]), "1_a pending, 2_b pending, 3_c pending, 2_x failed");
}

#[test]
fn line_ends_make_no_other_text() {
    let sum = |text: &str| super::hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()));
    let with = |digest: String| [Recorded { digest: Some(digest), ..row("1_a") }];
    let of = |text: &str, digest: String| told(&states(&folders(), &[file("1_a/migration.sql", text)], &with(digest)));
    let (unix, dos) = ("SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n");
    for (text, applied) in [(unix, unix), (unix, dos), (dos, unix), (dos, dos)] {
        assert_eq!(of(text, sum(applied)), "1_a applied");
    }
    assert_eq!(of(unix, sum("SELECT 1;\n\nSELECT 2;\n")), "1_a edited");
    // As early versions of Prisma wrote it: a byte below 16 in one digit.
    assert_eq!(of("b", "3e23e816039594a33894f6564e1b1348bbd7a088d42c4acb73eeaed59c09d".into()), "1_a applied");
}

#[test]
fn two_migrations_may_have_one_text() {
    let journal = r#"{"entries":[{"idx":0,"when":100,"tag":"0000_a"},{"idx":1,"when":200,"tag":"0001_b"}]}"#;
    let files = [file("meta/_journal.json", journal), file("0000_a.sql", "a"), file("0001_b.sql", "a")];
    let model = Model { digest: Some(Digest::Sha256), reading: Reading::Newest, ..model(Layout::Journal) };
    let with = |key: &str| Recorded { digest: Some(OF_A.into()), ..row(key) };
    assert_eq!(told(&states(&model, &files, &[with("100")])), "0000_a applied, 0001_b pending");
    // Whose time in the journal was changed.
    assert_eq!(told(&states(&model, &files, &[with("100"), with("150")])), "0000_a applied, 0001_b applied");
}

#[test]
fn a_tool_that_looks_at_the_newest_only_skips_what_is_older() {
    let journal = r#"{"entries":[{"idx":0,"when":100,"tag":"0000_a"},{"idx":1,"when":300,"tag":"0001_b"},{"idx":2,"when":200,"tag":"0002_c"}]}"#;
    let files = [file("meta/_journal.json", journal), file("0000_a.sql", "a"), file("0001_b.sql", "b"), file("0002_c.sql", "c")];
    let model = Model { digest: Some(Digest::Sha256), reading: Reading::Newest, ..model(Layout::Journal) };
    let with = |key: &str, digest: &str| Recorded { digest: Some(digest.into()), ..row(key) };
    let of_b = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
    let of = |rows: &[Recorded]| told(&states(&model, &files, rows));
    assert_eq!(of(&[]), "0000_a pending, 0001_b pending, 0002_c pending");
    assert_eq!(of(&[with("100", OF_A)]), "0000_a applied, 0001_b pending, 0002_c pending");
    assert_eq!(of(&[with("100", OF_A), with("300", of_b)]), "0000_a applied, 0001_b applied, 0002_c skipped");
    assert_eq!(
        of(&[with("100", "00"), with("300", of_b), with("50", "11")]),
        "0000_a edited, 0001_b applied, 0002_c skipped, 50 missing"
    );
    assert!(known(&model, &[file("meta/_journal.json", journal)]).expect_err("no file").contains("0000_a.sql is not there"));
}

#[test]
fn one_row_stands_for_all_before_it() {
    let layout = Layout::Files { pattern: r"^(?P<key>\d+)_(?P<name>.*)\.up\.sql$".into(), digits: false };
    let model = Model { reading: Reading::Last, ..model(layout) };
    let files = [file("001_a.up.sql", ""), file("001_a.down.sql", ""), file("2_b.up.sql", ""), file("10_c.up.sql", "")];
    let of = |rows: &[Recorded]| told(&states(&model, &files, rows));
    assert_eq!(of(&[]), "a pending, b pending, c pending");
    assert_eq!(of(&[row("2")]), "a applied, b applied, c pending");
    assert_eq!(of(&[Recorded { state: Began::Unfinished, ..row("2") }]), "a applied, b failed, c pending");
    assert_eq!(of(&[row("5")]), "a applied, b applied, c pending, 5 missing");
}

#[test]
fn heads_stand_for_all_that_they_come_after() {
    let model = Model { reading: Reading::Heads, ..model(Layout::Revisions) };
    let version =
        |own: &str, after: &str| file(&format!("{own}_x.py"), &format!("revision = '{own}'\ndown_revision = {after}\n"));
    let files = [version("3c", "'2b'"), version("1a", "None"), version("2b", "'1a'"), file("__init__.py", "")];
    let of = |rows: &[Recorded]| told(&states(&model, &files, rows));
    assert_eq!(of(&[]), "1a pending, 2b pending, 3c pending");
    assert_eq!(of(&[row("2b")]), "1a applied, 2b applied, 3c pending");
    assert_eq!(of(&[row("9z")]), "1a pending, 2b pending, 3c pending, 9z missing");
    let files = [version("3c", "'2b'\ndepends_on = ('0x', 'a_branch')"), version("1a", "None")];
    assert_eq!(told(&states(&model, &files, &[row("3c")])), "1a pending, 3c applied, 2b missing", "one in the middle is gone");
}

#[test]
fn applications_of_the_framework_are_not_missing() {
    let model = model(Layout::Apps);
    let files = [
        file("shop/migrations/0001_initial.py", ""),
        file("shop/migrations/__init__.py", ""),
        file("src/a/migrations/0001_x.py", ""),
    ];
    let rows = [row("shop.0001_initial"), row("shop.0002_gone"), row("auth.0001_initial")];
    assert_eq!(told(&states(&model, &files, &rows)), "a.0001_x pending, shop.0001_initial applied, shop.0002_gone missing");
    let labelled = [file("src/a/apps.py", "class A(AppConfig):\n    label = 'b'\n"), files[2].clone()];
    assert_eq!(told(&states(&model, &labelled, &[row("b.0001_x")])), "b.0001_x applied");
}

#[test]
fn migrations_that_were_made_into_one_are_told_as_the_tool_takes_them() {
    let model = model(Layout::Apps);
    let one = file(
        "shop/migrations/0003_all.py",
        "class Migration:\n    replaces = [('shop', '0001_a'), (\n  \"shop\", \"0002_b\")]\n",
    );
    let both = [one.clone(), file("shop/migrations/0001_a.py", ""), file("shop/migrations/0002_b.py", "")];
    let of = |files: &[File], rows: &[Recorded]| told(&states(&model, files, rows));
    assert_eq!(of(&both, &[]), "shop.0003_all pending");
    assert_eq!(of(&both, &[row("shop.0001_a")]), "shop.0001_a applied, shop.0002_b pending");
    let applied = [row("shop.0001_a"), row("shop.0002_b")];
    assert_eq!(of(&both, &applied), "shop.0001_a applied, shop.0002_b applied, shop.0003_all applied");
    assert_eq!(of(std::slice::from_ref(&one), &applied), "shop.0003_all applied", "their files are gone");
}

#[test]
fn numbered_files_go_by_their_numbers_and_are_known_by_their_names() {
    let model = Model { digest: Some(Digest::Sha256), ..model(Layout::Numbered) };
    let files = [file("10_c.sql", "c"), file("001_a.sql", "a"), file("2_b.sql", "b"), file("README.md", ""), file("x.sql", "")];
    let with = |key: &str, digest: &str| Recorded { digest: Some(digest.into()), ..row(key) };
    let of = |rows: &[Recorded]| told(&states(&model, &files, rows));
    assert_eq!(of(&[]), "001_a.sql pending, 2_b.sql pending, 10_c.sql pending");
    assert_eq!(of(&[with("001_a.sql", OF_A)]), "001_a.sql applied, 2_b.sql pending, 10_c.sql pending");
    assert_eq!(of(&[with("001_a.sql", "00"), row("10_c.sql")]), "001_a.sql edited, 2_b.sql pending late, 10_c.sql applied");
    let unfinished = Recorded { state: Began::Unfinished, ..row("2_b.sql") };
    assert_eq!(of(&[row("1_a.sql"), unfinished]), "001_a.sql pending, 2_b.sql failed, 10_c.sql pending, 1_a.sql missing");
    let twice = known(&model, &[file("001_a.sql", ""), file("1_b.sql", "")]).expect_err("twice");
    assert_eq!(twice, "two files are the migration 1: 001_a.sql and 1_b.sql");
}

/// `from>to` in a folder of that name, as the tool would have sealed it.
fn step(name: &str, from: &str, to: &str) -> [File; 2] {
    let from = if from == "empty" { "null".to_owned() } else { format!("\"{from}\"") };
    let bare = format!(r#"{{"from": {from}, "to": "{to}", "createdAt": "{name}"}}"#);
    let operations = r#"[{"label": "l", "operationClass": "additive", "execute": [{"sql": "SELECT 1"}]}]"#;
    let seal = super::package_digest(bare.as_bytes(), operations.as_bytes()).expect("digest");
    let manifest = bare.replace('}', &format!(r#", "migrationHash": "{seal}"}}"#));
    [file(&format!("app/{name}/migration.json"), &manifest), file(&format!("app/{name}/ops.json"), operations)]
}

#[test]
fn the_way_from_where_the_database_stands_is_what_waits() {
    let model = Model { digest: Some(Digest::Package), reading: Reading::Ways, late: Late::Aside, ..model(Layout::Contracts) };
    let line = [step("1_a", "empty", "A"), step("2_b", "A", "B"), step("3_c", "B", "C")];
    let digests: Vec<Option<String>> =
        known(&model, &line.concat()).expect("files").into_iter().map(|known| known.digest).collect();
    let at = |contract: &str| Recorded { key: format!("app/{contract}"), state: Began::Stands, ..Recorded::default() };
    let done = |at: usize, name: &str| Recorded { digest: digests[at].clone(), ..row(&format!("app/{name}")) };
    let of = |files: &[[File; 2]], rows: &[Recorded]| told(&states(&model, &files.concat(), rows));
    let both = [done(0, "1_a"), done(1, "2_b"), at("B")];
    assert_eq!(of(&line, &[]), "1_a pending, 2_b pending, 3_c pending");
    assert_eq!(of(&line, &both), "1_a applied, 2_b applied, 3_c pending");
    assert_eq!(of(&line, &[at("B")]), "1_a applied, 2_b applied, 3_c pending", "it was there before its history");
    assert_eq!(of(&line, &[done(2, "3_c"), at("C")]), "1_a applied, 2_b applied, 3_c applied", "the same");
    let edited = Recorded { digest: Some("0000".into()), ..row("app/1_a") };
    assert_eq!(of(&line, &[edited, done(1, "2_b"), at("B")]), "1_a edited, 2_b applied, 3_c pending");
    assert_eq!(of(&line[1..], &both), "2_b applied, 3_c pending, app/1_a missing");
    assert_eq!(of(&line[..1], &both), "1_a applied, app/2_b missing", "nothing here leads to where it stands");
    let back = [line[0].clone(), line[1].clone(), step("4_back", "C", "B"), line[2].clone()];
    let again = [done(0, "1_a"), done(1, "2_b"), done(2, "3_c"), at("B")];
    let late = [line[0].clone(), line[1].clone(), step("1_late", "A", "L"), line[2].clone()];
    assert_eq!(of(&late, &both), "1_a applied, 1_late aside, 2_b applied, 3_c pending");
    let why = |files: &[[File; 2]], rows: &[Recorded]| {
        compare(&model, &known(&model, &files.concat()).expect("files"), rows).expect_err("open")
    };
    assert_eq!(
        why(&late, &[]),
        "several ways lead on from where the database stands, and only the tool knows which it takes: 1_late, 2_b"
    );
    assert!(why(&back, &again).starts_with("several ways"), "round and round");
    assert!(why(&line, &[at("X")]).starts_with("the database stands at the contract X, which no migration"));
}

#[test]
fn operations_that_were_changed_after_they_were_made_are_told() {
    let model = Model { digest: Some(Digest::Package), reading: Reading::Ways, ..model(Layout::Contracts) };
    let [manifest, operations] = step("1_a", "empty", "A");
    let other = File { bytes: b"[]".to_vec(), ..operations.clone() };
    let of = |operations: File| {
        let known = known(&model, &[manifest.clone(), operations]).expect("files");
        let found = compare(&model, &known, &[]).expect("states").remove(0);
        (found.state, found.told.is_some(), found.text)
    };
    assert_eq!(of(operations.clone()), (State::Pending, false, Some("-- ops.json:1: l (additive)\nSELECT 1;\n".to_owned())));
    assert_eq!(of(other), (State::Pending, true, Some("\n".to_owned())));
}

#[test]
fn versions_go_part_by_part_and_some_come_again() {
    let model = Model { digest: Some(Digest::Crc32Lines), late: Late::Refuses, ..model(Layout::Versions) };
    let files = [
        file("V1_9__i.sql", "i"),
        file("more/V1_10__j.sql", "j"),
        file("V002__k.sql", "k"),
        file("R__all_voters.sql", "a"),
        file("beforeMigrate.sql", "SET x = 1"),
    ];
    let of = |rows: &[Recorded]| told(&states(&model, &files, rows));
    let hook = "beforeMigrate.sql along";
    let along = files.iter().filter(|file| {
        let known = known(&model, std::slice::from_ref(file)).expect("file").remove(0);
        super::runs_along(&model.layout, &known.key)
    });
    assert_eq!(along.map(|file| file.path.as_str()).collect::<Vec<_>>(), ["beforeMigrate.sql"]);
    assert_eq!(of(&[]), format!("1.9 pending, 1.10 pending, 002 pending, all voters pending, {hook}"));
    // CRC-32 of "a".
    let again = |digest: &str| Recorded { digest: Some(digest.into()), ..row("R__all voters") };
    let all = [row("1.9"), row("1.10"), row("002"), again("-390611389")];
    assert_eq!(of(&all), format!("1.9 applied, 1.10 applied, 002 applied, all voters applied, {hook}"));
    assert_eq!(of(&all[..2]), format!("1.9 applied, 1.10 applied, 002 pending, all voters pending, {hook}"));
    let changed = [row("1.10"), again("7"), again("-390611389"), again("8")];
    assert_eq!(of(&changed), format!("1.9 pending late, 1.10 applied, 002 pending, all voters pending, {hook}"));
    assert_eq!(
        of(&[row("R__gone")]),
        format!("1.9 pending, 1.10 pending, 002 pending, all voters pending, {hook}, R__gone missing")
    );
    let undone = Recorded { state: Began::Undone, ..row("3") };
    assert_eq!(of(&[row("1.9"), undone]), format!("1.9 applied, 1.10 pending, 002 pending, all voters pending, {hook}"));
    let filled = [file("R__x.sql", "GRANT x TO ${user}")];
    let known = |files: &[File]| known(&model, files).expect("files");
    let old = Recorded { digest: Some("1".into()), ..row("R__x") };
    assert!(compare(&model, &known(&filled), &[old]).expect_err("open").starts_with("R__x.sql has placeholders"));
    let twice = super::known(&model, &[file("V1__a.sql", ""), file("x/V1_0__b.sql", "")]).expect_err("twice");
    assert_eq!(twice, "two files are the migration 1: V1__a.sql and x/V1_0__b.sql");
}

#[test]
fn a_baseline_stands_for_all_up_to_it() {
    let model = Model { late: Late::Refuses, ..model(Layout::Versions) };
    let files = [file("V1__a.sql", ""), file("V2__b.sql", ""), file("V3__c.sql", "")];
    let of = |files: &[File], rows: &[Recorded]| told(&states(&model, files, rows));
    let stands = |version: &str| Recorded { state: Began::Stands, ..row(version) };
    assert_eq!(of(&files, &[stands("2.0")]), "1 applied, 2 applied, 3 pending");
    assert_eq!(of(&files, &[stands("2"), row("3")]), "1 applied, 2 applied, 3 applied");
    let with = [&files[..], &[file("B2__all.sql", "")]].concat();
    assert_eq!(of(&with, &[]), "1 aside, 2 aside, 3 pending, 2 pending", "it begins with the baseline");
    assert_eq!(of(&with, &[stands("2")]), "1 applied, 2 applied, 3 pending, 2 applied");
    assert_eq!(of(&with, &[row("1")]), "1 applied, 2 pending, 3 pending, 2 aside");
}

/// What a run saw of these files, and what a later one does.
fn corrected(model: &Model, seen: &[File], files: &[File], rows: &[Recorded]) -> (String, super::remembered::Due) {
    taken(model, seen, files, rows, false)
}

/// The same, where all that has parted is taken upon oneself, or nothing.
fn taken(model: &Model, seen: &[File], files: &[File], rows: &[Recorded], accepted: bool) -> (String, super::remembered::Due) {
    use super::remembered::{Beside, Remembered, correct};
    let was = known(model, seen).expect("files");
    let remembered: Vec<Remembered> = was
        .into_iter()
        .map(|file| Remembered {
            sha256: file.remembered(model),
            key: file.key,
            run: "kkkk".into(),
            at: "2026-01-02T03:04:05Z".into(),
        })
        .collect();
    let known = known(model, files).expect("files");
    let mut found = compare(model, &known, rows).expect("states");
    let beside = Beside { rows, remembered: &remembered, accepted: &|_| accepted };
    let due = correct(model, &known, beside, &mut found);
    let states: Vec<_> = found.into_iter().map(|found| (found.name, found.state, found.late)).collect();
    (told(&states), due)
}

#[test]
fn what_the_files_were_is_remembered_where_the_tool_does_not() {
    let layout = Layout::Files { pattern: r"^(?P<name>(?P<key>\d+)_.*)\.sql$".into(), digits: false };
    let model = model(layout);
    let files = ["1_a", "2_b", "3_c"].map(|name| file(&format!("{name}.sql"), name));
    let of = |seen: &[File], files: &[File], rows: &[Recorded]| corrected(&model, seen, files, rows);
    let both = [row("1"), row("2")];
    let (states, due) = of(&files[..1], &files, &both);
    assert_eq!((states.as_str(), due.learn.len()), ("1_a applied, 2_b applied, 3_c pending", 1));
    assert_eq!((due.learn[0].0.as_str(), due.forget.len()), ("2", 0));
    // A line end is no edit, a blank is.
    let (states, due) =
        of(&[file("1_a.sql", "1\n"), file("2_b.sql", "2")], &[file("1_a.sql", "1\r\n"), file("2_b.sql", "2 ")], &both);
    assert_eq!((states.as_str(), due.is_empty()), ("1_a applied, 2_b edited", true));
    // It was taken back, and may come again as another text.
    let (states, due) = of(&[file("1_a.sql", "1_a"), file("2_b.sql", "other")], &files, &both[..1]);
    assert_eq!(
        (states.as_str(), due.learn.len(), due.forget.as_slice()),
        ("1_a applied, 2_b pending, 3_c pending", 0, &["2".to_owned()][..])
    );
}

#[test]
fn by_one_number_and_what_was_seen_late_and_gone_ones_are_known() {
    let layout = Layout::Files { pattern: r"^(?P<name>(?P<key>\d+)_.*)\.up\.sql$".into(), digits: false };
    let model = Model { reading: Reading::Last, ..model(layout) };
    let [one, two, three, four] = ["001_a", "2_b", "3_c", "4_d"].map(|name| file(&format!("{name}.up.sql"), name));
    let of = |seen: &[&File], files: &[&File], last: &str| {
        let own = |files: &[&File]| files.iter().map(|file| (*file).clone()).collect::<Vec<_>>();
        let (states, due) = corrected(&model, &own(seen), &own(files), &[row(last)]);
        (states, due.learn.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "), due.forget.join(" "))
    };
    let told = |states: &str, learn: &str, forget: &str| (states.to_owned(), learn.to_owned(), forget.to_owned());
    let all = [&one, &two, &three];
    assert_eq!(of(&[], &all, "2"), told("001_a applied, 2_b applied, 3_c pending", "001 2", ""), "nobody saw it before");
    assert_eq!(of(&[&one, &three], &all, "3"), told("001_a applied, 2_b skipped late, 3_c applied", "", ""), "merged late");
    assert_eq!(of(&[&one, &two], &all, "3"), told("001_a applied, 2_b applied, 3_c applied", "3", ""), "applied by hand");
    assert_eq!(of(&all, &[&one, &three], "3"), told("001_a applied, 3_c applied, 2 missing", "", ""), "deleted");
    assert_eq!(of(&all, &all, "2"), told("001_a applied, 2_b applied, 3_c pending", "", "3"), "taken back");
    // One that failed was taken out, and its number was settled by hand.
    assert_eq!(of(&[&one, &two], &[&one, &two, &four], "4"), told("001_a applied, 2_b applied, 4_d applied", "4", ""));
    assert_eq!(of(&all, &[&one, &two], "2"), told("001_a applied, 2_b applied", "", "3"), "back, and its file is not here");
    assert_eq!(of(&[&one, &three], &[&one, &two], "2"), told("001_a applied, 2_b applied", "2", "3"), "another in its place");
    let owned = |files: &[&File]| files.iter().map(|file| (*file).clone()).collect::<Vec<_>>();
    let (states, due) = corrected(&model, &owned(&all), &owned(&[&one]), &[]);
    assert_eq!((states.as_str(), due.forget.len()), ("001_a pending", 3), "the database was made anew");
    // Of the newest the row itself tells that its file is gone; both are one.
    let (states, _) = corrected(&model, &[file("003_c.up.sql", "c")], &owned(&[&one]), &[row("3")]);
    assert_eq!(states, "001_a skipped late, 3 missing");
}

#[test]
fn what_is_taken_upon_oneself_is_remembered_as_it_is() {
    let layout = Layout::Files { pattern: r"^(?P<name>(?P<key>\d+)_.*)\.up\.sql$".into(), digits: false };
    let model = Model { reading: Reading::Last, ..model(layout) };
    let file = |name: &str, text: &str| file(&format!("{name}.up.sql"), text);
    let of = |seen: &[File], files: &[File]| {
        let (_, due) = taken(&model, seen, files, &[row("3")], true);
        (due.learn.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "), due.forget.join(" "))
    };
    let three = file("3_c", "c");
    assert_eq!(of(std::slice::from_ref(&three), &[file("1_a", "a"), three.clone()]), ("1".into(), String::new()), "late");
    assert_eq!(
        of(&[file("2_b", "b"), three.clone()], &[file("002_b", "bb"), three.clone()]),
        ("002".into(), "2".into()),
        "renamed"
    );
    assert_eq!(of(&[file("2_b", "b"), three.clone()], &[three]), (String::new(), "2".into()), "gone");
    assert_eq!(of(&[file("003_c", "c")], &[]), (String::new(), "003".into()), "gone, by another spelling than the row's");
}

#[test]
fn what_an_application_was_made_into_is_no_edit() {
    let model = model(Layout::Apps);
    let shop = |text: &str| file("shop/migrations/0003_all.py", &format!("class Migration:\n{text}    operations = []\n"));
    let rows = ["1_a", "2_b", "3_all"].map(|name| row(&format!("shop.000{name}")));
    let before = shop("    replaces = [('shop', '0001_a'), ('shop', '0002_b')]\n\n    dependencies = [('auth', '1')]\n\n");
    let of = |now: File| corrected(&model, std::slice::from_ref(&before), &[now], &rows[2..]).0;
    assert_eq!(of(shop("    dependencies = [('auth', '2')]\n\n")), "shop.0003_all applied");
    assert_eq!(of(shop("    atomic = False\n")), "shop.0003_all edited");
}

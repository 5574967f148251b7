//! Statements of our own writing with what must be found in each (`corpus.txt`), and what must hold for any text whatever.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Dialect, Severity, Source, Tool, check, rule};

const CORPUS: &str = include_str!("corpus.txt");

struct Case {
    line: usize,
    dialect: Dialect,
    in_transaction: bool,
    rules: BTreeSet<String>,
    text: String,
}

fn cases() -> Vec<Case> {
    let lines = CORPUS.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let mut parts = line.splitn(3, " | ");
            let (dialect, rules, text) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            Case {
                line: at + 1,
                dialect: if dialect.starts_with("pg") { Dialect::Postgres } else { Dialect::Mysql },
                in_transaction: !dialect.ends_with('!'),
                rules: rules.split(',').filter(|rule| *rule != "-").map(str::to_owned).collect(),
                text: unescaped(text),
            }
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('u') => {
                let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
            }
            other => out.push(other.unwrap()),
        }
    }
    out
}

fn found(text: &str, dialect: Dialect, in_transaction: bool) -> Vec<super::Finding> {
    check(&Source { name: "a.sql", text, dialect, tool: Tool::Unknown, in_transaction })
}

#[test]
fn nothing_is_missed_and_nothing_surprises() {
    let cases = cases();
    assert!(cases.len() >= 300, "only {} statements", cases.len());
    let (mut misses, mut surprises) = (Vec::new(), Vec::new());
    for case in &cases {
        for name in &case.rules {
            assert!(rule(name).is_some(), "line {}: there is no rule {name}", case.line);
        }
        let findings = found(&case.text, case.dialect, case.in_transaction);
        let all: BTreeSet<String> = findings.iter().map(|finding| finding.rule.to_owned()).collect();
        for name in case.rules.difference(&all) {
            misses.push(format!("line {}: {name} misses {:?}", case.line, case.text));
        }
        for finding in findings.iter().filter(|finding| finding.severity == Severity::Error && !case.rules.contains(finding.rule))
        {
            surprises.push(format!("line {}: {} ({}) in {:?}", case.line, finding.rule, finding.message, case.text));
        }
    }
    let report = format!("{} statements\nmisses:\n{}\nsurprises:\n{}", cases.len(), misses.join("\n"), surprises.join("\n"));
    assert!(misses.is_empty() && surprises.is_empty(), "{report}");
}

#[test]
fn a_syntax_error_hides_nothing_before_or_behind_it() {
    let broken = [
        "selec 1;",
        "CREATE TABLE (;",
        "ALTER TABLE a ADD COLUMN;",
        ") ) );",
        "INSERT INTO;",
        "$1 $2;",
        "END IF;",
        "SELECT ((((;",
    ];
    for case in cases().iter().filter(|case| case.rules.contains("drop-table") && !case.rules.contains("unparsed")) {
        // What changes how the rest is read must come last.
        for broken in broken {
            let text = format!("{broken}\n{}", case.text.trim_start_matches('\u{feff}'));
            let all: BTreeSet<&str> = found(&text, case.dialect, true).iter().map(|finding| finding.rule).collect();
            assert!(all.contains("drop-table") && all.contains("unparsed"), "line {}: {text:?}: {all:?}", case.line);
        }
    }
}

#[test]
fn a_word_too_many_hides_nothing_behind_it() {
    let named = [
        "drop-",
        "rename-",
        "truncate",
        "delete-",
        "update-",
        "change-",
        "index-without",
        "foreign-",
        "check-",
        "unique-",
        "set-",
    ];
    // What is no COPY any more has no lines of data, and what neither prepares nor executes a string has no SQL in it: told as not understood.
    let of_strings = |text: &str| ["FROM stdin", "PREPARE s FROM", "EXECUTE IMMEDIATE"].iter().any(|words| text.contains(words));
    let whole = |case: &&Case| !case.text.starts_with('\u{feff}') && !of_strings(&case.text);
    for case in cases().iter().filter(whole) {
        let text = format!("go {}", case.text);
        let all: BTreeSet<&str> = found(&text, case.dialect, true).iter().map(|finding| finding.rule).collect();
        for rule in case
            .rules
            .iter()
            .filter(|rule| named.iter().any(|name| rule.starts_with(name)) && *rule != "foreign-key-without-index")
        {
            assert!(all.contains(rule.as_str()), "line {}: {rule} misses {text:?}: {all:?}", case.line);
        }
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let many = 60_000;
    let deep = [
        "(".repeat(many),
        format!("SELECT {}1{};", "(".repeat(many), ")".repeat(many)),
        format!("SELECT {} 1;", "NOT ".repeat(many)),
        format!("SELECT {} 1;", "- ".repeat(many)),
        format!("SELECT 1{};", " + 1".repeat(many)),
        format!("SELECT a{};", "[1]".repeat(many)),
        format!("SELECT {};", "CASE WHEN 1 THEN ".repeat(many)),
        format!("SELECT 1{};", " UNION SELECT 1, 2".repeat(many / 4)),
        format!("SELECT 1{};", "::int".repeat(many)),
        "/*".repeat(many),
        "BEGIN ".repeat(many),
        format!("CREATE PROCEDURE p() {}", "BEGIN ".repeat(many)),
        format!("DO {}", "$$ BEGIN EXECUTE ".repeat(many / 10)),
        format!("DELETE FROM a WHERE {}", "(".repeat(many)),
        format!("DELETE FROM a WHERE {}", "a OR ".repeat(many)),
    ];
    for text in &deep {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let found = found(text, dialect, true);
            assert!(!found.is_empty(), "{}…", &text[..40]);
        }
    }
    let rows = format!("INSERT INTO a (b, c) VALUES {};", vec!["(1, 'x')"; 50_000].join(", "));
    assert_eq!(found(&rows, Dialect::Postgres, true), []);
}

/// Pieces that SQL is made of, and that undo each other.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "DROP",
        "TABLE",
        "ALTER",
        "CREATE",
        "DELETE FROM",
        "UPDATE",
        "SET",
        "WHERE",
        "BEGIN",
        "END",
        "ATOMIC",
        "DO",
        "$$",
        "$a$",
        "'",
        "\"",
        "`",
        "E'",
        "U&'",
        "\\",
        "\\g",
        "\\.",
        ";",
        "--",
        "/*",
        "*/",
        "/*!",
        "(",
        ")",
        ",",
        "a",
        "users",
        "1",
        "\n",
        "\r",
        "\0",
        "\u{feff}",
        "é",
        "COPY a FROM stdin;",
        "DELIMITER //",
        "//",
        "--> statement-breakpoint",
        "EXECUTE",
        "PREPARE s FROM",
        "CASE",
        "ADD COLUMN",
        "int",
        "DEFAULT",
        "REFERENCES",
        "UNIQUE",
        "CHECK",
        "NOT NULL",
        "CONSTRAINT",
        "RULE",
        "PROCEDURE",
        "FUNCTION",
        "LANGUAGE",
        "AS",
        "MERGE INTO",
        "INDEX",
        "ON",
        "CONCURRENTLY",
        "RENAME",
        "TO",
        ".",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(pieces in prop::collection::vec(piece(), 0..40), spaced in any::<bool>()) {
        let text = pieces.join(if spaced { " " } else { "" });
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            for finding in found(&text, dialect, true) {
                prop_assert!(finding.message != "the check itself broke down on this set of files", "{text:?}");
                prop_assert!(finding.line >= 1 && finding.column >= 1);
            }
        }
    }

    #[test]
    fn a_drop_among_whole_statements_is_always_found(before in 0_usize..1000, behind in 0_usize..1000) {
        let clean: Vec<Case> = cases().into_iter().filter(|case| case.rules.is_empty() && case.dialect == Dialect::Postgres).collect();
        let pick = |at: usize| clean[at % clean.len()].text.trim_end().trim_end_matches(';').to_owned();
        let text = format!("{}\n;DROP TABLE zzz;\n{}", pick(before), pick(behind));
        prop_assert!(found(&text, Dialect::Postgres, true).iter().any(|finding| finding.rule == "drop-table"), "{text:?}");
    }
}

//! JUnit XML of things that take no time: what a look at files found. Pure: values in, text out.

use std::fmt::Write as _;

use super::junit::{attribute, content};

/// A test case.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
}

/// How a test case is.
#[derive(Debug)]
pub enum Verdict {
    /// Well; what there is to say of it, if anything.
    Passes(String),
    /// Not well: in one line, in words, and of which type.
    Fails {
        /// One line.
        message: String,
        /// More of it.
        text: String,
        /// "error", "edited", …
        kind: &'static str,
    },
    /// Not looked at, and why.
    Skipped(String),
}

/// As a document: the suites by their names, which are also the class names of their cases.
pub fn suites_junit(name: &str, suites: &[(String, Vec<Case>)]) -> String {
    let all: Vec<&Case> = suites.iter().flat_map(|(_, cases)| cases).collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail, here and below.
    _ = writeln!(out, r#"<testsuites name="{}" {}>"#, attribute(name), counts(&all));
    for (id, (suite, cases)) in suites.iter().enumerate() {
        let class = attribute(suite);
        _ = writeln!(out, r#"  <testsuite name="{class}" id="{id}" {}>"#, counts(&cases.iter().collect::<Vec<_>>()));
        for case in cases {
            _ = writeln!(
                out,
                r#"    <testcase name="{}" classname="{class}" time="0"{}"#,
                attribute(&case.name),
                inside(&case.verdict)
            );
        }
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn inside(verdict: &Verdict) -> String {
    let inside = match verdict {
        Verdict::Passes(said) if said.is_empty() => return "/>".to_owned(),
        Verdict::Passes(said) => format!("<system-out>{}</system-out>", content(said)),
        Verdict::Fails { message, text, kind } => {
            format!(r#"<failure message="{}" type="{kind}">{}</failure>"#, attribute(message), content(text))
        }
        Verdict::Skipped(why) => format!(r#"<skipped message="{}"/>"#, attribute(why)),
    };
    format!(">{inside}</testcase>")
}

fn counts(cases: &[&Case]) -> String {
    let of = |is: fn(&Verdict) -> bool| cases.iter().filter(|case| is(&case.verdict)).count();
    let (failures, skipped) =
        (of(|verdict| matches!(verdict, Verdict::Fails { .. })), of(|verdict| matches!(verdict, Verdict::Skipped(_))));
    format!(r#"tests="{}" failures="{failures}" errors="0" skipped="{skipped}" time="0""#, cases.len())
}

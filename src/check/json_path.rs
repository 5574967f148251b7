//! Places in JSON documents (`$`, members, indexes) and how values compare. Pure; also used to check playbooks.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::action::Compare;

/// One place of a document: `$.items[0].name`, `$['odd name']`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(usize),
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {} of {text:?}", .text[..*.at].chars().count() + 1)]
pub struct PathError {
    /// The whole text.
    pub text: String,
    /// The byte at which reading ended; never inside a character.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl PathError {
    /// What mends it.
    pub fn remedy(&self) -> &'static str {
        "a path is `$` followed by members and indexes: `$.status`, `$.items[0].name`, `$['odd name']`"
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |rest: &str, what| PathError { text: text.to_owned(), at: text.len() - rest.len(), what };
        let mut rest = text.strip_prefix('$').ok_or_else(|| error(text, "a path begins with `$`, which is missing"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(after) = rest.strip_prefix('.') {
                member(after)
            } else if let Some(after) = rest.strip_prefix('[') {
                bracket(after)
            } else {
                Err((rest, "expected `.` or `[`"))
            }
            .map_err(|(rest, what)| error(rest, what))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

type Parsed<'a> = Result<(Step, &'a str), (&'a str, &'static str)>;

fn member(rest: &str) -> Parsed<'_> {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
    match rest.chars().next() {
        _ if end > 0 => Ok((Step::Member(rest[..end].to_owned()), &rest[end..])),
        Some('*') => Err((rest, "`*` is not supported: a path names one place")),
        Some('.') => Err((rest, "`..` is not supported: a path names one place")),
        _ => Err((rest, "expected a member's name")),
    }
}

fn bracket(rest: &str) -> Parsed<'_> {
    let (step, after) = match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&rest[1..], quote)?,
        Some('0'..='9') => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            (Step::Index(rest[..end].parse().map_err(|_| (rest, "the index is too large"))?), &rest[end..])
        }
        Some('-') => return Err((rest, "an index from the end is not supported")),
        Some('*' | '?' | ':') => return Err((rest, "only an index or a quoted member is supported")),
        _ => return Err((rest, "expected an index or a quoted member")),
    };
    after.strip_prefix(']').map(|after| (step, after)).ok_or((after, "expected `]`"))
}

fn quoted(rest: &str, quote: char) -> Parsed<'_> {
    let (mut name, mut chars) = (String::new(), rest.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | '\'' | '"'))) => name.push(c),
                _ => return Err((&rest[at..], "only quotes and `\\` can follow a `\\`")),
            },
            c if c == quote => return Ok((Step::Member(name), &rest[at + 1..])),
            c => name.push(c),
        }
    }
    Err((&rest[rest.len()..], "the quote is not closed"))
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonPath {
    /// What stands at this place, where it exists.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(document, |value, step| match step {
            Step::Member(name) => value.as_object()?.get(name),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }
}

/// Whether `actual op expected` holds. Numbers compare by value (`1` equals `1.0`), strings by their characters; values of different
/// kinds are unequal and have no order, nor have booleans, null, arrays and objects.
pub fn compare(op: Compare, actual: &Value, expected: &Value) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (actual, expected) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match op {
        Compare::Eq => equal(actual, expected),
        Compare::Ne => !equal(actual, expected),
        Compare::Lt => order == Some(Less),
        Compare::Le => matches!(order, Some(Less | Equal)),
        Compare::Gt => order == Some(Greater),
        Compare::Ge => matches!(order, Some(Greater | Equal)),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b) == Some(std::cmp::Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Whole numbers exactly, others as floating point.
fn numbers(a: &serde_json::Number, b: &serde_json::Number) -> Option<std::cmp::Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// The sign of a comparison, for people.
pub fn sign(op: Compare) -> &'static str {
    match op {
        Compare::Eq => "=",
        Compare::Ne => "!=",
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Gt => ">",
        Compare::Ge => ">=",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_by_table() {
        let document = json!({"status": "ok", "items": [{"name": "a"}, [1, 2]], "odd name": 1, "it's": 2, "é": 3, "": 4, "a-b": 5,
            "n": null, "q\"\\": 6});
        for (path, found) in [
            ("$", Some(document.clone())),
            ("$.status", Some(json!("ok"))),
            ("$.items[0].name", Some(json!("a"))),
            ("$.items[1][1]", Some(json!(2))),
            ("$['odd name']", Some(json!(1))),
            ("$[\"odd name\"]", Some(json!(1))),
            ("$['it\\'s']", Some(json!(2))),
            ("$[\"it's\"]", Some(json!(2))),
            ("$['q\\\"\\\\']", Some(json!(6))),
            ("$.é", Some(json!(3))),
            ("$['']", Some(json!(4))),
            ("$.a-b", Some(json!(5))),
            ("$.n", Some(Value::Null)),
            ("$.missing", None),
            ("$.items[2]", None),
            ("$.items.name", None),
            ("$.status[0]", None),
            ("$[0]", None),
        ] {
            let parsed: JsonPath = path.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.find(&document), found.as_ref(), "{path}");
            assert_eq!(parsed.to_string(), path);
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (path, at, what) in [
            ("", 0, "begins with `$`"),
            ("status", 0, "begins with `$`"),
            ("$status", 1, "expected `.` or `[`"),
            ("$.", 2, "expected a member"),
            ("$..a", 2, "`..` is not supported"),
            ("$.*", 2, "`*` is not supported"),
            ("$.a b", 3, "expected `.` or `[`"),
            ("$.é b", 4, "expected `.` or `[`"),
            ("$[", 2, "expected an index"),
            ("$[*]", 2, "only an index"),
            ("$[-1]", 2, "from the end"),
            ("$[0", 3, "expected `]`"),
            ("$[0:1]", 3, "expected `]`"),
            ("$[99999999999999999999]", 2, "too large"),
            ("$['a", 4, "not closed"),
            ("$['a'", 5, "expected `]`"),
            ("$['a\\n']", 4, "only quotes"),
        ] {
            let error = path.parse::<JsonPath>().expect_err(path);
            assert_eq!(error.at, at, "{error}");
            assert!(error.what.contains(what), "{path}: {error}");
        }
        let error = "$.é b".parse::<JsonPath>().expect_err("a blank");
        assert_eq!(error.to_string(), "expected `.` or `[` at character 4 of \"$.é b\"");
    }

    #[test]
    fn comparisons_by_table() {
        use Compare::{Eq, Ge, Gt, Le, Lt, Ne};
        for (actual, holds, fails, expected) in [
            (json!(1), vec![Eq, Le, Ge], vec![Ne, Lt, Gt], json!(1.0)),
            (json!(2), vec![Ne, Gt, Ge], vec![Eq, Lt, Le], json!(1.5)),
            (json!(u64::MAX), vec![Ne, Gt, Ge], vec![Eq, Lt, Le], json!(u64::MAX - 1)),
            (json!(-1), vec![Ne, Lt, Le], vec![Eq, Gt, Ge], json!(u64::MAX)),
            (json!("b"), vec![Ne, Gt, Ge], vec![Eq, Lt, Le], json!("a")),
            (json!("ok"), vec![Eq, Le, Ge], vec![Ne, Lt, Gt], json!("ok")),
            (json!(true), vec![Eq], vec![Ne, Lt, Le, Gt, Ge], json!(true)),
            (json!(true), vec![Ne], vec![Eq, Lt, Le, Gt, Ge], json!(false)),
            (json!(null), vec![Eq], vec![Ne, Lt, Le, Gt, Ge], json!(null)),
            (json!("1"), vec![Ne], vec![Eq, Lt, Le, Gt, Ge], json!(1)),
            (json!(null), vec![Ne], vec![Eq, Lt, Le, Gt, Ge], json!("x")),
            (json!([1, {"a": 2}]), vec![Eq], vec![Ne, Lt, Le, Gt, Ge], json!([1.0, {"a": 2.0}])),
            (json!({"a": 1}), vec![Ne], vec![Eq, Lt, Le, Gt, Ge], json!({"a": 1, "b": 2})),
        ] {
            for op in holds {
                assert!(compare(op, &actual, &expected), "{actual} {op:?} {expected}");
            }
            for op in fails {
                assert!(!compare(op, &actual, &expected), "{actual} {op:?} {expected}");
            }
        }
    }
}

//! Judges an HTTP answer by what a plan expects of it, and says what was seen in one short line. Pure; it reports the status, the
//! latency and the compared values, never the body.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::json_path::{JsonPath, compare, sign};
use crate::action::{HttpExpect, JsonExpect, Percentile};

/// The longest text that [`Seen::observed`] holds, in bytes.
pub const MAX_OBSERVED: usize = 200;

/// An answer to an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, up to [`super::http::MAX_BODY`].
    pub body: Vec<u8>,
    /// True where the body goes on after what is kept.
    pub cut: bool,
    /// From the first look-up of the name to the last byte.
    pub latency: Duration,
    /// Of all exchanges, where more than one was asked for.
    pub latencies: Vec<Duration>,
}

/// What was seen, beside what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is what was expected.
    pub ok: bool,
    /// Status, latency and compared values, masked; at most [`MAX_OBSERVED`] bytes, without control characters.
    pub observed: String,
    /// What would have been right.
    pub expected: String,
}

/// Judges an answer. What is observed goes through `mask` before it is shortened, for half a secret is no longer recognised.
pub fn judge(answer: &Answer, expect: &HttpExpect, mask: impl Fn(String) -> String) -> Seen {
    let mut ok = status_fits(answer.status, expect);
    let mut observed = format!("status {}, {} ms", answer.status, answer.latency.as_millis());
    if let Some(wanted) = expect.percentile.filter(|_| !answer.latencies.is_empty()) {
        let found = percentile(&answer.latencies, wanted.percent);
        let slow = found > Duration::from_millis(wanted.within_ms);
        ok &= !slow;
        let (percent, count) = (wanted.percent, answer.latencies.len());
        let _ = write!(observed, ", p{percent} {} ms of {count}{}", found.as_millis(), if slow { " (too slow)" } else { "" });
    }
    if expect.latency_ms.is_some_and(|bound| answer.latency > Duration::from_millis(bound)) {
        ok = false;
        observed.push_str(" (too slow)");
    }
    if !expect.json.is_empty() {
        let (holds, text) = places(answer, &expect.json);
        ok &= holds;
        let _ = write!(observed, ", {text}");
    }
    if let Some(pattern) = &expect.body {
        let (holds, text) = body_matches(&answer.body, pattern);
        ok &= holds;
        let _ = write!(observed, ", {text}");
    }
    Seen { ok, observed: shortened(&mask(observed)), expected: expectation(expect) }
}

/// What was seen where there was no answer to judge.
pub fn unanswered(why: impl std::fmt::Display, expect: &HttpExpect, mask: impl Fn(String) -> String) -> Seen {
    Seen { ok: false, observed: shortened(&mask(why.to_string())), expected: expectation(expect) }
}

/// What an answer must be, in words.
pub fn expectation(expect: &HttpExpect) -> String {
    let mut text = format!("status {}", statuses(expect));
    for JsonExpect { path, op, value } in &expect.json {
        let _ = write!(text, ", {path} {} {value}", sign(*op));
    }
    if let Some(pattern) = &expect.body {
        let _ = write!(text, ", a body that matches /{pattern}/");
    }
    if let Some(bound) = expect.latency_ms {
        let _ = write!(text, ", within {bound} ms");
    }
    if let Some(Percentile { percent, within_ms, samples }) = expect.percentile {
        let _ = write!(text, ", {percent}% of {samples} within {within_ms} ms");
    }
    text
}

/// The accepted statuses, in words.
pub fn statuses(expect: &HttpExpect) -> String {
    let codes = expect.status.iter().map(u16::to_string);
    let all: Vec<String> = codes.chain(expect.classes.iter().map(|class| format!("{class}xx"))).collect();
    if all.is_empty() { "2xx".to_owned() } else { all.join(" or ") }
}

/// No status named means any success: an expectation is never empty.
pub(super) fn status_fits(status: u16, expect: &HttpExpect) -> bool {
    match (expect.status.as_slice(), expect.classes.as_slice()) {
        ([], []) => (200..300).contains(&status),
        (codes, classes) => codes.contains(&status) || classes.contains(&(status / 100)),
    }
}

/// The longest of the fastest so many of a hundred.
fn percentile(latencies: &[Duration], percent: u8) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100).max(1);
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or_default()
}

fn places(answer: &Answer, wanted: &[JsonExpect]) -> (bool, String) {
    let Ok(document) = serde_json::from_slice(&answer.body) else {
        let why = match (answer.cut, answer.body.is_empty()) {
            (true, _) => "a body too long to be read as JSON",
            (_, true) => "no body",
            _ => "a body that is not JSON",
        };
        return (false, why.to_owned());
    };
    let (holds, texts): (Vec<_>, Vec<_>) = wanted.iter().map(|wanted| place(&document, wanted)).unzip();
    (holds.into_iter().all(|holds| holds), texts.join(", "))
}

fn place(document: &Value, wanted: &JsonExpect) -> (bool, String) {
    let path = match wanted.path.parse::<JsonPath>() {
        Ok(path) => path,
        Err(error) => return (false, error.to_string()),
    };
    match path.find(document) {
        // An absent place satisfies nothing, not even "unequal": the document is not what the check was written for.
        None => (false, format!("no {path}")),
        Some(value @ (Value::Array(_) | Value::Object(_))) if !same_shape(value, &wanted.value) => (
            compare(wanted.op, value, &wanted.value),
            format!("{path} is {}", if value.is_array() { "a list" } else { "an object" }),
        ),
        Some(value) => (compare(wanted.op, value, &wanted.value), format!("{path} = {value}")),
    }
}

fn same_shape(a: &Value, b: &Value) -> bool {
    a.is_array() && b.is_array() || a.is_object() && b.is_object()
}

fn body_matches(body: &[u8], pattern: &str) -> (bool, &'static str) {
    match regex_lite::Regex::new(pattern) {
        Ok(regex) if regex.is_match(&String::from_utf8_lossy(body)) => (true, "the body matches"),
        Ok(_) if body.is_empty() => (false, "no body"),
        Ok(_) => (false, "the body does not match"),
        Err(_) => (false, "the pattern for the body is not a regular expression"),
    }
}

/// On one line, without control characters, and short.
pub fn shortened(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() <= MAX_OBSERVED {
        return text;
    }
    let end = text.floor_char_boundary(MAX_OBSERVED - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Compare;
    use serde_json::json;

    fn answer(status: u16, body: impl AsRef<[u8]>) -> Answer {
        Answer { status, body: body.as_ref().to_vec(), cut: false, latency: Duration::from_millis(12), latencies: Vec::new() }
    }

    fn json(path: &str, op: Compare, value: Value) -> HttpExpect {
        HttpExpect { status: vec![200], json: vec![JsonExpect { path: path.into(), op, value }], ..HttpExpect::default() }
    }

    fn body(pattern: &str) -> HttpExpect {
        HttpExpect { status: vec![200], body: Some(pattern.into()), ..HttpExpect::default() }
    }

    #[test]
    fn answers_by_table() {
        let status = |codes: &[u16]| HttpExpect { status: codes.to_vec(), ..HttpExpect::default() };
        let within = |ms| HttpExpect { latency_ms: Some(ms), ..HttpExpect::default() };
        let is_ok = || json("$.status", Compare::Eq, json!("ok"));
        for (answer, expect, ok, observed) in [
            (answer(200, ""), status(&[200]), true, "status 200, 12 ms"),
            (answer(503, ""), status(&[200]), false, "status 503, 12 ms"),
            (answer(204, ""), status(&[]), true, "status 204, 12 ms"),
            (answer(302, ""), status(&[]), false, "status 302, 12 ms"),
            (answer(401, ""), status(&[401, 403]), true, "status 401, 12 ms"),
            (answer(200, ""), within(12), true, "status 200, 12 ms"),
            (answer(200, ""), within(11), false, "status 200, 12 ms (too slow)"),
            (answer(200, r#"{"status":"ok"}"#), is_ok(), true, r#"status 200, 12 ms, $.status = "ok""#),
            (answer(200, r#"{"status":"down"}"#), is_ok(), false, r#"status 200, 12 ms, $.status = "down""#),
            (answer(503, r#"{"status":"ok"}"#), is_ok(), false, r#"status 503, 12 ms, $.status = "ok""#),
            (answer(200, r#"{"up":1}"#), is_ok(), false, "status 200, 12 ms, no $.status"),
            (answer(200, r#"{"up":1}"#), json("$.x", Compare::Ne, json!(1)), false, "status 200, 12 ms, no $.x"),
            (answer(200, r#"{"status":[1,2]}"#), is_ok(), false, "status 200, 12 ms, $.status is a list"),
            (answer(200, "[3]"), json("$[0]", Compare::Gt, json!(2)), true, "status 200, 12 ms, $[0] = 3"),
            (answer(200, "<html>"), is_ok(), false, "status 200, 12 ms, a body that is not JSON"),
            (answer(200, ""), is_ok(), false, "status 200, 12 ms, no body"),
            (Answer { cut: true, ..answer(200, "[1") }, is_ok(), false, "status 200, 12 ms, a body too long to be read as JSON"),
            (answer(200, "all green\n"), body("^all (green|blue)"), true, "status 200, 12 ms, the body matches"),
            (answer(200, "red"), body("green"), false, "status 200, 12 ms, the body does not match"),
            (answer(200, b"\xff green"), body("green"), true, "status 200, 12 ms, the body matches"),
            (answer(200, "x"), body("("), false, "status 200, 12 ms, the pattern for the body is not a regular expression"),
        ] {
            let seen = judge(&answer, &expect, |text| text);
            assert_eq!((seen.ok, seen.observed.as_str()), (ok, observed), "{expect:?}");
        }
    }

    #[test]
    fn classes_and_percentiles() {
        let expect = HttpExpect { status: vec![301], classes: vec![2, 4], ..HttpExpect::default() };
        let fits = [200, 299, 301, 302, 404, 500].map(|status| status_fits(status, &expect));
        assert_eq!(fits, [true, true, true, false, true, false]);
        assert_eq!(statuses(&expect), "301 or 2xx or 4xx");
        let ms = |all: &[u64]| all.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        for (percent, found) in [(1, 10), (50, 20), (75, 30), (76, 900), (95, 900), (100, 900)] {
            assert_eq!(percentile(&ms(&[30, 10, 900, 20]), percent), Duration::from_millis(found), "{percent}");
        }
        let many = Answer { latencies: ms(&[30, 10, 900, 20]), ..answer(200, "") };
        let within = |percent, within_ms| HttpExpect {
            percentile: Some(Percentile { percent, within_ms, samples: 4 }),
            ..HttpExpect::default()
        };
        let seen = judge(&many, &within(75, 30), |text| text);
        assert_eq!((seen.ok, seen.observed.as_str()), (true, "status 200, 12 ms, p75 30 ms of 4"));
        let seen = judge(&many, &within(95, 300), |text| text);
        assert_eq!((seen.ok, seen.observed.as_str()), (false, "status 200, 12 ms, p95 900 ms of 4 (too slow)"));
        assert_eq!(seen.expected, "status 2xx, 95% of 4 within 300 ms");
    }

    #[test]
    fn an_expectation_reads_as_a_sentence() {
        let expect = HttpExpect { body: Some("up".into()), latency_ms: Some(500), ..json("$.n", Compare::Ge, json!(3)) };
        assert_eq!(expectation(&expect), "status 200, $.n >= 3, a body that matches /up/, within 500 ms");
        assert_eq!(expectation(&HttpExpect { status: vec![200, 204], ..HttpExpect::default() }), "status 200 or 204");
        assert_eq!(expectation(&HttpExpect::default()), "status 2xx");
    }

    #[test]
    fn what_is_observed_is_short_masked_and_harmless() {
        let body = serde_json::to_vec(&json!({"v": "é".repeat(300)})).expect("json");
        let seen = judge(&answer(200, body), &json("$.v", Compare::Eq, json!("x")), |text| text);
        assert!(seen.observed.len() <= MAX_OBSERVED && seen.observed.ends_with("é…"), "{}", seen.observed);

        let secret = "s3cret".repeat(40);
        let body = serde_json::to_vec(&json!({"v": secret})).expect("json");
        let masked = judge(&answer(200, body), &json("$.v", Compare::Eq, json!("x")), |text| text.replace(&secret, "***"));
        assert_eq!(masked.observed, r#"status 200, 12 ms, $.v = "***""#);

        let seen = unanswered("line\r\n\u{1b}[31mred\u{9b}m", &HttpExpect::default(), |text| text);
        assert_eq!(seen.observed, "line   [31mred m");
        assert!(!seen.ok);
    }
}

//! The SQL in a file of operations (`ops.json`): what a tool will execute, as text that can be shown and judged, with the lines that it
//! stands in. Pure; what cannot be understood stays in the text as it is, so that nothing is clean because it was not seen.

use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::facts::OPERATIONS as FILE;

/// What an operation is; the checks before and after are statements that must say true.
#[derive(Debug, Deserialize)]
struct Operation<'t> {
    #[serde(default)]
    label: String,
    #[serde(default, rename = "operationClass")]
    class: String,
    #[serde(borrow, default)]
    precheck: Vec<Step<'t>>,
    #[serde(borrow)]
    execute: Vec<Step<'t>>,
    #[serde(borrow, default)]
    postcheck: Vec<Step<'t>>,
}

#[derive(Debug, Deserialize)]
struct Step<'t> {
    #[serde(borrow)]
    sql: &'t RawValue,
    #[serde(default)]
    params: Vec<serde_json::Value>,
}

/// Whether a path is that of a file of operations.
pub fn is_ops(path: &str) -> bool {
    path.rsplit('/').next() == Some(FILE)
}

/// What is executed, each statement below a comment that tells its line in the file, what it is for, and what it is given. Checks are
/// left out where they are one SELECT that only looks. Of an operation that is no SQL, and of a file that cannot be read, the text itself remains.
pub fn sql(bytes: &[u8]) -> String {
    let whole = String::from_utf8_lossy(bytes);
    let Ok(operations) = serde_json::from_str::<Vec<&RawValue>>(&whole) else { return whole.into_owned() };
    let place = |part: &RawValue| {
        let at = part.get().as_ptr().addr() - whole.as_ptr().addr();
        1 + whole[..at].matches('\n').count()
    };
    let mut out = Vec::new();
    for raw in operations {
        let read = serde_json::from_str::<Operation<'_>>(raw.get()).ok();
        let Some(parts) = read.and_then(|operation| statements(&operation, &place)) else {
            out.push(format!("{} this is no SQL\n{}\n;", mark(place(raw)), raw.get()));
            continue;
        };
        out.extend(parts);
    }
    out.join("\n") + "\n"
}

/// The line of the file in which the statement stands that is at this line of its SQL.
pub fn line(text: &str, line: usize) -> usize {
    let above = text.lines().take(line).filter_map(|line| line.strip_prefix("-- ops.json:")?.split(':').next()?.parse().ok());
    above.last().unwrap_or(line)
}

fn mark(line: usize) -> String {
    format!("-- {FILE}:{line}:")
}

fn statements(operation: &Operation<'_>, place: &impl Fn(&RawValue) -> usize) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let before = operation.precheck.iter().map(|step| (step, true));
    let own = operation.execute.iter().map(|step| (step, false));
    for (step, check) in before.chain(own).chain(operation.postcheck.iter().map(|step| (step, true))) {
        let sql: String = serde_json::from_str(step.sql.get()).ok()?;
        if check && is_select(&sql) {
            continue;
        }
        let label = if check { format!("a check of: {}", operation.label) } else { operation.label.clone() };
        let given = match step.params.as_slice() {
            [] => String::new(),
            params => format!(", with {}", serde_json::Value::from(params)),
        };
        let about = format!("{} {label} ({}){given}", mark(place(step.sql)), operation.class);
        let about: String = about.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let sql = sql.trim();
        // A comment may stand at the end.
        let end = match sql {
            sql if sql.ends_with(';') && !sql.contains("--") => "",
            sql if sql.contains("--") => "\n;",
            _ => ";",
        };
        out.push(format!("{about}\n{sql}{end}"));
    }
    Some(out)
}

/// Whether this is one statement that only reads: a SELECT that calls nothing but what is known to look.
fn is_select(sql: &str) -> bool {
    const LOOK: [&str; 14] = [
        "select",
        "where",
        "and",
        "or",
        "not",
        "in",
        "from",
        "exists",
        "count",
        "coalesce",
        "bool_and",
        "bool_or",
        "lower",
        "to_regclass",
    ];
    let sql = sql.trim().to_lowercase();
    let calls = sql.match_indices('(').all(|(at, _)| {
        let word = sql[..at].trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '.' && c != '"').next();
        word.is_none_or(|word| word.is_empty() || LOOK.contains(&word))
    });
    let other = [";", "--", "/*", "$$", "into ", "\\"].iter().any(|sign| sql.contains(sign));
    sql.starts_with("select ") && calls && !other
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIRD: &str = include_str!("samples/third.ops.json");

    #[test]
    fn what_is_executed_is_told_with_its_lines() {
        let text = sql(THIRD.as_bytes());
        assert_eq!(
            text,
            "-- ops.json:29: Drop column \"name\" from \"voters\" (destructive)\nALTER TABLE \"public\".\"voters\" DROP COLUMN \"name\";\n\
             -- ops.json:71: Add column \"town\" to \"voters\" (additive)\nALTER TABLE \"public\".\"voters\" ADD COLUMN \"town\" text DEFAULT 'x' NOT NULL;\n"
        );
        let at = |line: usize| THIRD.lines().nth(line - 1).expect("line").trim().to_owned();
        assert!(at(line(&text, 2)).starts_with(r#""sql": "ALTER TABLE"#) && at(line(&text, 2)).contains("DROP COLUMN"));
        assert!(at(line(&text, 4)).contains("ADD COLUMN"));
    }

    #[test]
    fn nothing_is_left_out_because_it_was_not_understood() {
        let of = |text: &str| sql(text.as_bytes());
        assert_eq!(of("{\"a\": 1"), "{\"a\": 1");
        assert_eq!(
            of(r#"[{"id": "x", "command": "drop"}]"#),
            "-- ops.json:1: this is no SQL\n{\"id\": \"x\", \"command\": \"drop\"}\n;\n"
        );
        let step = |sql: &str| {
            format!(r#"[{{"label": "a\nb", "operationClass": "data", "precheck": [{{"sql": "{sql}"}}], "execute": []}}]"#)
        };
        assert_eq!(of(&step("SELECT 1")), "\n");
        assert_eq!(of(&step("SELECT NOT EXISTS (SELECT 1 AS x FROM t WHERE (a = $1 AND b IN ($2)))")), "\n");
        for acts in [
            "SELECT wipe_everything()",
            "SELECT pg_catalog.setval('a', 1)",
            "SELECT 1 INTO t",
            "SELECT f /* */ ()",
            "SELECT x.count(1)",
        ] {
            assert_eq!(of(&step(acts)), format!("-- ops.json:1: a check of: a b (data)\n{acts};\n"));
        }
        assert_eq!(of(&step("SELECT 1; DROP TABLE a")), "-- ops.json:1: a check of: a b (data)\nSELECT 1; DROP TABLE a;\n");
        assert_eq!(of(&step("DELETE FROM a RETURNING true -- x")).lines().nth(2), Some(";"));
        let given =
            r#"[{"label": "l", "operationClass": "data", "execute": [{"sql": "UPDATE a SET b = $1", "params": ["é\n"]}]}]"#;
        assert_eq!(of(given), "-- ops.json:1: l (data), with [\"é\\n\"]\nUPDATE a SET b = $1;\n");
    }
}

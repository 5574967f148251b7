//! What the project's database answers, in a transaction that only reads. The value is compared as it is; what is told of it is masked.

use super::super::database::{Row, Trouble};
use super::super::stage::Stage;
use super::Sight;
use crate::action::{Compare, DatabaseProbe};
use crate::check::json_path::{compare, sign};
use crate::check::{Seen, shortened};

/// Every table that is not the server's own.
const TABLES: &str = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN \
                      ('pg_catalog', 'information_schema', 'mysql', 'performance_schema', 'sys')";

pub(super) fn look(stage: &Stage<'_>, probe: &DatabaseProbe) -> Sight {
    let answer = stage.database().and_then(|access| access.query(probe.query.as_deref().unwrap_or(TABLES)));
    let (ok, observed, hint) = judge(probe, answer);
    let seen = Seen { ok, observed: shortened(&stage.masked(&observed)), expected: expectation(probe) };
    Sight::of(seen, hint)
}

fn expectation(probe: &DatabaseProbe) -> String {
    if probe.query.is_none() {
        return format!("tables {}", probe.tables.join(", "));
    }
    let all: Vec<String> = probe.expect.iter().map(|(op, value)| format!("{} {value}", sign(*op))).collect();
    if all.is_empty() { "a row".to_owned() } else { format!("a value {}", all.join(" and ")) }
}

/// Whether it is as it must be, what was seen, and what usually mends it.
fn judge(probe: &DatabaseProbe, answer: Result<Vec<Row>, Trouble>) -> (bool, String, Option<String>) {
    let rows = match answer {
        Err(trouble) => return (false, trouble.to_string(), Some(trouble.remedy().to_owned())),
        Ok(rows) => rows,
    };
    if probe.query.is_none() {
        let is_there = |wanted: &&String| {
            let (schema, table) = wanted.split_once('.').map_or((None, wanted.as_str()), |(schema, table)| (Some(schema), table));
            rows.iter().any(|row| match row.as_slice() {
                [Some(of), Some(name)] => name == table && schema.is_none_or(|schema| schema == of),
                _ => false,
            })
        };
        let missing: Vec<&str> = probe.tables.iter().filter(|table| !is_there(table)).map(String::as_str).collect();
        if missing.is_empty() {
            return (true, "they are there".to_owned(), None);
        }
        let hint = "a migration was not applied, or this is another database than the application's".to_owned();
        return (false, format!("no table {}", missing.join(", ")), Some(hint));
    }
    let Some(first) = rows.first() else { return (false, "no row".to_owned(), None) };
    let value = first.first().cloned().flatten();
    let shown = value.as_deref().map_or_else(|| "NULL".to_owned(), |value| format!("{value:?}"));
    let holds = probe.expect.iter().all(|(op, wanted)| value.as_deref().is_some_and(|value| fits(*op, value, wanted)));
    (holds, shown, None)
}

/// A database's values are text: they are read as what they are compared with.
fn fits(op: Compare, value: &str, wanted: &serde_json::Value) -> bool {
    use serde_json::Value;
    let value = match wanted {
        Value::Number(_) => serde_json::from_str::<serde_json::Number>(value.trim()).map_or(Value::Null, Value::Number),
        Value::Bool(_) => match value {
            "t" | "true" | "1" => Value::Bool(true),
            "f" | "false" | "0" => Value::Bool(false),
            _ => Value::Null,
        },
        _ => Value::String(value.to_owned()),
    };
    // What cannot be read as a number is not unequal to one: it is something else.
    !value.is_null() && compare(op, &value, wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(expect: &[(Compare, Value)]) -> DatabaseProbe {
        DatabaseProbe { query: Some("SELECT 1".to_owned()), expect: expect.to_vec(), tables: Vec::new() }
    }

    fn row(values: &[Option<&str>]) -> Row {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn values_are_compared_as_what_they_should_be() {
        use Compare::{Eq, Ge, Ne};
        for (expect, value, ok) in [
            (&[(Ge, json!(3))][..], Some("10"), true),
            (&[(Ge, json!(3))], Some("2"), false),
            (&[(Ge, json!(3))], Some("many"), false),
            (&[(Ne, json!(3))], Some("many"), false),
            (&[(Eq, json!("03"))], Some("03"), true),
            (&[(Eq, json!(true))], Some("t"), true),
            (&[(Eq, json!(2.5))], Some("2.50"), true),
            (&[(Ge, json!(1)), (Ne, json!(5))], Some("5"), false),
            (&[(Eq, json!(0))], None, false),
            (&[], None, true),
        ] {
            let (found, seen, _) = judge(&asked(expect), Ok(vec![row(&[value, Some("x")])]));
            assert_eq!(found, ok, "{expect:?} {value:?}: {seen}");
        }
        assert_eq!(judge(&asked(&[]), Ok(Vec::new())), (false, "no row".to_owned(), None));
        let (ok, seen, hint) = judge(&asked(&[]), Err(Trouble::NotRunning("postgres".to_owned())));
        assert_eq!((ok, seen.as_str()), (false, "the database's service postgres is not running"));
        assert!(hint.is_some());
    }

    #[test]
    fn tables_are_found_with_and_without_their_schema() {
        let probe = |tables: &[&str]| DatabaseProbe {
            query: None,
            expect: Vec::new(),
            tables: tables.iter().map(ToString::to_string).collect(),
        };
        let rows = || Ok(vec![row(&[Some("public"), Some("orders")]), row(&[Some("shop"), Some("carts")])]);
        assert!(judge(&probe(&["orders", "shop.carts"]), rows()).0);
        let (ok, seen, hint) = judge(&probe(&["orders", "shop.orders", "users"]), rows());
        assert_eq!((ok, seen.as_str(), hint.is_some()), (false, "no table shop.orders, users", true));
    }
}

//! Columns of tables that are in use: what writes the table anew, and what may cut values.

use super::Check::Each;
use super::{BOTH, Hits, Look, POSTGRES, Rule, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Column, Default, Op};
use crate::migration::lint::token::Name;

/// Each column that is added to a table that is in use.
fn added(look: &Look<'_>, hits: &mut Hits, found: impl Fn(&Column) -> bool, message: impl Fn(&Name, &Column) -> String) {
    for (table, action, span) in look.actions() {
        if let Action::AddColumn(column) = action
            && found(column)
        {
            hits.add(span, message(table, column));
        }
    }
}

fn is_serial(column: &Column) -> bool {
    matches!(column.kind.as_str(), "SERIAL" | "BIGSERIAL" | "SMALLSERIAL" | "SERIAL2" | "SERIAL4" | "SERIAL8")
}

/// Whether values of some other type may not fit into this one.
fn narrow(kind: &str, args: &str) -> bool {
    let first = kind.split_whitespace().next().unwrap_or("");
    match first {
        "TEXT" | "LONGTEXT" | "BIGINT" | "INT8" | "TIMESTAMPTZ" | "JSONB" | "JSON" | "DOUBLE" | "FLOAT8" | "BYTEA"
        | "LONGBLOB" | "CITEXT" => kind.ends_with(']'),
        "TIMESTAMP" => !kind.contains("WITH TIME") || kind.contains("WITHOUT"),
        "VARCHAR" | "NUMERIC" | "DECIMAL" => !args.is_empty(),
        "CHARACTER" => !kind.contains("VARYING") || !args.is_empty(),
        _ => true,
    }
}

pub(super) const RULES: [Rule; 7] = [
    Rule {
        id: "change-column-type",
        severity: Error,
        dialects: BOTH,
        why: "the table is usually written anew while nobody can use it, and the version that is running may not expect the new type",
        safe: "add a new column, write both, copy in batches, switch over, and drop the old one in a later release",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                let (column, kind, args) = match action {
                    Action::ChangeType { column, kind, args } => (column, kind, args),
                    Action::Redefine { column, .. } => (&column.name, &column.kind, &column.args),
                    _ => continue,
                };
                let args = if args.is_empty() { String::new() } else { format!("({args})") };
                hits.add(span, format!("makes the column {} of {} {kind}{args}", called(column), called(table)));
            }
        }),
        bad: &[
            "ALTER TABLE a ALTER COLUMN b TYPE bigint;",
            "ALTER TABLE a ALTER b SET DATA TYPE text USING b::text;",
            "-- mysql\nALTER TABLE a MODIFY COLUMN b BIGINT NOT NULL;",
        ],
        good: &[
            "ALTER TABLE a ALTER COLUMN b SET STORAGE external;",
            "CREATE TABLE a (id int primary key); ALTER TABLE a ALTER id TYPE bigint;",
        ],
    },
    Rule {
        id: "narrowing-type",
        severity: Error,
        dialects: BOTH,
        why: "values that do not fit make it fail, or are cut or rounded",
        safe: "look for values that do not fit first; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                let (column, kind, args) = match action {
                    Action::ChangeType { column, kind, args } => (column, kind, args),
                    Action::Redefine { column, .. } => (&column.name, &column.kind, &column.args),
                    _ => continue,
                };
                if narrow(kind, args) {
                    hits.add(span, format!("values of {} in {} may not fit into {kind}", called(column), called(table)));
                }
            }
        }),
        bad: &[
            "ALTER TABLE a ALTER b TYPE smallint;",
            "ALTER TABLE a ALTER b TYPE varchar(10);",
            "ALTER TABLE a ALTER b TYPE numeric(5, 2);",
            "ALTER TABLE a ALTER b TYPE date;",
            "-- mysql\nALTER TABLE a MODIFY b VARCHAR(20);",
        ],
        good: &[
            "ALTER TABLE a ALTER b TYPE text;",
            "ALTER TABLE a ALTER b TYPE varchar;",
            "ALTER TABLE a ALTER b TYPE timestamp with time zone;",
            "ALTER TABLE a ALTER b TYPE bigint;",
        ],
    },
    Rule {
        id: "volatile-default",
        severity: Error,
        dialects: BOTH,
        why: "the table is written anew while nobody can use it, since each row gets a value of its own",
        safe: "add the column without default, SET DEFAULT afterwards, and fill the old rows in batches",
        check: Each(|look, hits| {
            added(
                look,
                hits,
                |column| column.default == Default::Volatile,
                |table, column| format!("the default of {} is computed for each row of {}", called(&column.name), called(table)),
            );
        }),
        bad: &[
            "ALTER TABLE a ADD COLUMN b uuid DEFAULT gen_random_uuid();",
            "ALTER TABLE a ADD b timestamptz NOT NULL DEFAULT clock_timestamp();",
            "ALTER TABLE a ADD b int DEFAULT nextval('s'), ADD c int;",
            "-- mysql\nALTER TABLE a ADD COLUMN b CHAR(36) DEFAULT (uuid());",
        ],
        good: &[
            "ALTER TABLE a ADD b timestamptz NOT NULL DEFAULT now();",
            "ALTER TABLE a ADD b varchar(10) DEFAULT 'x'::character varying(10) NOT NULL;",
            "ALTER TABLE a ADD b text[] DEFAULT ARRAY[]::text[];",
            "-- mysql\nALTER TABLE a ADD b DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3);",
        ],
    },
    Rule {
        id: "stored-generated-column",
        severity: Error,
        dialects: BOTH,
        why: "the table is written anew while nobody can use it",
        safe: "add a plain column and fill it by the application or a trigger, or use a virtual one",
        check: Each(|look, hits| {
            added(
                look,
                hits,
                |column| column.stored,
                |table, column| format!("computes {} for every row of {}", called(&column.name), called(table)),
            );
        }),
        bad: &[
            "ALTER TABLE a ADD b int GENERATED ALWAYS AS (c * 2) STORED;",
            "-- mysql\nALTER TABLE a ADD b int AS (c * 2) STORED;",
        ],
        good: &["-- mysql\nALTER TABLE a ADD b int AS (c * 2) VIRTUAL;"],
    },
    Rule {
        id: "numbered-column",
        severity: Error,
        dialects: BOTH,
        why: "every row gets a number: the table is written anew while nobody can use it",
        safe: "add a plain column, fill it in batches, then make it an identity",
        check: Each(|look, hits| {
            added(
                look,
                hits,
                |column| is_serial(column) || column.identity,
                |table, column| format!("numbers every row of {} in {}", called(table), called(&column.name)),
            );
        }),
        bad: &[
            "ALTER TABLE a ADD b serial;",
            "ALTER TABLE a ADD b int GENERATED BY DEFAULT AS IDENTITY;",
            "-- mysql\nALTER TABLE a ADD b INT AUTO_INCREMENT UNIQUE;",
        ],
        good: &["CREATE TABLE a (id bigserial primary key);"],
    },
    Rule {
        id: "json-column",
        severity: Warning,
        dialects: POSTGRES,
        why: "json cannot be compared: SELECT DISTINCT, UNION and GROUP BY on the table fail",
        safe: "use jsonb",
        check: Each(|look, hits| {
            added(look, hits, |column| column.kind == "JSON", |_, column| format!("the column {} is json", called(&column.name)));
            if let Op::CreateTable(table) = look.op {
                for column in table.columns.iter().filter(|column| column.kind == "JSON") {
                    hits.add(&column.name.span, format!("the column {} is json", called(&column.name)));
                }
            }
        }),
        bad: &["ALTER TABLE a ADD b json;", "CREATE TABLE a (id int primary key, b json);"],
        good: &["ALTER TABLE a ADD b jsonb;"],
    },
    Rule {
        id: "add-identity",
        severity: Error,
        dialects: POSTGRES,
        why: "the sequence begins at 1 and collides with rows that are there, and the table is locked meanwhile",
        safe: "say where it begins: ADD GENERATED … AS IDENTITY (START WITH n), at a quiet time; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::AddIdentity(column) = action {
                    hits.add(span, format!("makes {} of {} an identity", called(column), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ALTER b ADD GENERATED ALWAYS AS IDENTITY;"],
        good: &["ALTER TABLE a ALTER b SET GENERATED ALWAYS;"],
    },
];

//! What the version that is running does not know yet: names that change.

use super::Check::Each;
use super::{BOTH, POSTGRES, Rule, called};
use crate::migration::lint::Severity::Error;
use crate::migration::lint::op::{Action, Op};

pub(super) const RULES: [Rule; 5] = [
    Rule {
        id: "rename-table",
        severity: Error,
        dialects: BOTH,
        why: "the version that is running still uses the old name, and fails until the new one is there",
        safe: "in two steps: rename it and put a view of the old name in its place, and drop the view in a later release; or copy in steps",
        check: Each(|look, hits| {
            if let Op::RenameTables(pairs) = look.op {
                for (from, to) in pairs.iter().filter(|(from, _)| !look.world.is_new(from)) {
                    hits.add(look.span, format!("renames the table {} to {}", called(from), called(to)));
                }
            }
            for (table, action, span) in look.actions() {
                if let Action::RenameTable(to) = action {
                    hits.add(span, format!("renames the table {} to {}", called(table), called(to)));
                }
            }
        }),
        bad: &[
            "ALTER TABLE a RENAME TO b;",
            "-- mysql\nRENAME TABLE a TO b;",
            "-- mysql\nALTER TABLE a RENAME b;",
            "-- mysql\nALTER TABLE a RENAME AS b, ADD c int;",
        ],
        good: &["CREATE TABLE a (id int primary key); ALTER TABLE a RENAME TO b;", "ALTER INDEX i RENAME TO j;"],
    },
    Rule {
        id: "rename-column",
        severity: Error,
        dialects: BOTH,
        why: "the version that is running still uses the old name, and fails until the new one is there",
        safe: "in two steps: add the new column, write both, copy in batches, read the new one, and drop the old one in a later release",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                match action {
                    Action::RenameColumn(column) => {
                        hits.add(span, format!("renames the column {} of {}", called(column), called(table)));
                    }
                    Action::Redefine { old, column } if !old.last().eq_ignore_ascii_case(column.name.last()) => {
                        hits.add(span, format!("renames the column {} of {}", called(old), called(table)));
                    }
                    _ => {}
                }
            }
        }),
        bad: &["ALTER TABLE a RENAME COLUMN b TO c;", "ALTER TABLE a RENAME b TO c;", "-- mysql\nALTER TABLE a CHANGE b c INT;"],
        good: &[
            "ALTER TABLE a RENAME CONSTRAINT b TO c;",
            "-- mysql\nALTER TABLE a CHANGE b b INT;",
            "-- mysql\nALTER TABLE a RENAME INDEX b TO c;",
        ],
    },
    Rule {
        id: "rename-enum-value",
        severity: Error,
        dialects: POSTGRES,
        why: "the version that is running still writes the old value, and fails",
        safe: "add the new value, release a version that knows both, and change the rows later",
        check: Each(|look, hits| {
            if let Op::RenameValue(name) = look.op {
                hits.add(look.span, format!("renames a value of {}", called(name)));
            }
        }),
        bad: &["ALTER TYPE mood RENAME VALUE 'a' TO 'b';"],
        good: &["ALTER TYPE mood ADD VALUE 'a';"],
    },
    Rule {
        id: "rename-object",
        severity: Error,
        dialects: BOTH,
        why: "the version that is running may still use the old name",
        safe: "create it under the new name as well, and drop the old one in a later release",
        check: Each(|look, hits| {
            if let Op::Rename { what, name } = look.op
                && !matches!(what.as_str(), "index" | "trigger" | "policy" | "statistics")
            {
                hits.add(look.span, format!("renames the {what} {}", called(name)));
            }
        }),
        bad: &[
            "ALTER TYPE a RENAME TO b;",
            "ALTER SCHEMA a RENAME TO b;",
            "ALTER VIEW a RENAME TO b;",
            "ALTER FUNCTION a(int) RENAME TO b;",
        ],
        good: &["ALTER INDEX a RENAME TO b;"],
    },
    Rule {
        id: "set-schema",
        severity: Error,
        dialects: POSTGRES,
        why: "the version that is running looks for it where it was",
        safe: "put a view in its old place, and drop that in a later release",
        check: Each(|look, hits| {
            if let Op::SetSchema { what, name } = look.op {
                hits.add(look.span, format!("moves the {what} {} to another schema", called(name)));
            }
            for (table, action, span) in look.actions() {
                if matches!(action, Action::SetSchema) {
                    hits.add(span, format!("moves the table {} to another schema", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a SET SCHEMA b;", "ALTER FUNCTION f(int) SET SCHEMA b;"],
        good: &["ALTER TABLE a SET (fillfactor = 70);"],
    },
];

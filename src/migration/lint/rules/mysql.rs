//! What is MySQL's own.

use super::Check::Each;
use super::{MYSQL, Rule, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Op};

pub(super) const RULES: [Rule; 5] = [
    Rule {
        id: "enum-redefined",
        severity: Error,
        dialects: MYSQL,
        why: "values that are removed or change their order copy the table, and rows that hold them become '' or fail",
        safe: "only ever add values at the end; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::Redefine { column, .. } = action
                    && (column.kind.starts_with("ENUM") || column.kind == "SET" || column.kind.starts_with("SET "))
                {
                    hits.add(span, format!("writes the values of {} in {} anew", called(&column.name), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a MODIFY b ENUM('x','y') NOT NULL;", "ALTER TABLE a CHANGE b b SET('x','y');"],
        good: &["ALTER TABLE a ADD b ENUM('x','y');"],
    },
    Rule {
        id: "not-null-on-existing",
        severity: Error,
        dialects: MYSQL,
        why: "it fails if a row is NULL, or turns NULL into 0 or '' where the mode is not strict",
        safe: "fill the rows first, in batches; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::Redefine { column, .. } = action
                    && column.not_null
                {
                    hits.add(span, format!("the column {} of {} may not be NULL any more", called(&column.name), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a MODIFY b INT NOT NULL;"],
        good: &["ALTER TABLE a MODIFY b BIGINT NULL;"],
    },
    Rule {
        id: "inline-references",
        severity: Warning,
        dialects: MYSQL,
        why: "MySQL before 9.0 reads REFERENCES behind a column and ignores it: there is no foreign key",
        safe: "write FOREIGN KEY (column) REFERENCES table (column) as a constraint of the table",
        check: Each(|look, hits| {
            if let Op::CreateTable(table) = look.op {
                for column in table.columns.iter().filter(|column| column.references.is_some()) {
                    hits.add(
                        &column.name.span,
                        format!("{} has no foreign key, whatever is written there", called(&column.name)),
                    );
                }
            }
            for (_, action, span) in look.actions() {
                if let Action::AddColumn(column) = action
                    && column.references.is_some()
                {
                    hits.add(span, format!("{} has no foreign key, whatever is written there", called(&column.name)));
                }
            }
        }),
        bad: &["CREATE TABLE a (id int primary key, b int REFERENCES c (id));", "ALTER TABLE a ADD b int REFERENCES c (id);"],
        good: &["CREATE TABLE a (id int primary key, b int, FOREIGN KEY (b) REFERENCES c (id));"],
    },
    Rule {
        id: "convert-charset",
        severity: Error,
        dialects: MYSQL,
        why: "the table is copied while nobody can write to it, indexes may grow too long, and comparisons change",
        safe: "do it at a quiet time or with an online schema change tool; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if matches!(action, Action::Charset) {
                    hits.add(span, format!("converts every text of {}", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a CONVERT TO CHARACTER SET utf8mb4;"],
        good: &["ALTER TABLE a DEFAULT CHARACTER SET utf8mb4;"],
    },
    Rule {
        id: "blocking-option",
        severity: Error,
        dialects: MYSQL,
        why: "it asks for the slow way: the table is copied, or nobody can write meanwhile",
        safe: "ALGORITHM=INSTANT or INPLACE, LOCK=NONE: MySQL then refuses rather than block",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::BlockingOption(option) = action {
                    hits.add(span, format!("{option} on {}", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ADD b INT, ALGORITHM=COPY;", "ALTER TABLE a ADD b INT, LOCK = EXCLUSIVE;"],
        good: &["ALTER TABLE a ADD b INT, ALGORITHM=INSTANT, LOCK=NONE;"],
    },
];

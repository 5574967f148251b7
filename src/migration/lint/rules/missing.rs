//! What is not there and should be.

use super::Check::{Each, End};
use super::{BOTH, POSTGRES, Rule, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Default};

pub(super) const RULES: [Rule; 3] = [
    Rule {
        id: "not-null-without-default",
        severity: Error,
        dialects: BOTH,
        why: "it fails if the table has rows (MySQL fills in 0 or ''), and the version that is running inserts without it",
        safe: "give it a default, or add it without NOT NULL and fill it first",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::AddColumn(column) = action
                    && (column.not_null || column.primary)
                    && column.default == Default::None
                    && !column.generated
                    && !column.identity
                    && !column.kind.contains("SERIAL")
                {
                    hits.add(
                        span,
                        format!("the column {} of {} is NOT NULL and has no default", called(&column.name), called(table)),
                    );
                }
            }
        }),
        bad: &[
            "ALTER TABLE a ADD COLUMN b int NOT NULL;",
            "ALTER TABLE a ADD b text NOT NULL DEFAULT NULL;",
            "-- mysql\nALTER TABLE a ADD (b INT NOT NULL, c INT);",
        ],
        good: &[
            "ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0;",
            "ALTER TABLE a ADD b int;",
            "CREATE TABLE a (id int primary key, b int not null);",
        ],
    },
    Rule {
        id: "foreign-key-without-index",
        severity: Warning,
        dialects: POSTGRES,
        why: "a delete or update in the table it points to reads this whole table",
        safe: "CREATE INDEX CONCURRENTLY on the foreign key's columns",
        check: End(|world, _, hits| {
            for (table, columns, span) in &world.foreign_keys {
                if !world.has_index(table, columns) {
                    hits.add(span, format!("no index of {} begins with {}", called(table), columns.join(", ")));
                }
            }
        }),
        bad: &[
            "CREATE TABLE a (id int primary key, b int REFERENCES c);",
            "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES c (id) NOT VALID;",
            "CREATE TABLE a (id int primary key, b int REFERENCES c); CREATE INDEX i ON a (id, b);",
        ],
        good: &[
            "CREATE TABLE a (id int primary key, b int REFERENCES c); CREATE INDEX i ON a (b);",
            "CREATE TABLE a (b int REFERENCES c, d int REFERENCES e, PRIMARY KEY (b, d)); CREATE INDEX ON a (d);",
        ],
    },
    Rule {
        id: "table-without-primary-key",
        severity: Warning,
        dialects: BOTH,
        why: "rows cannot be told apart, and logical replication cannot update or delete them",
        safe: "give it a primary key",
        check: End(|world, _, hits| {
            for (table, span) in &world.keyless {
                hits.add(span, format!("the table {} has no primary key", called(table)));
            }
        }),
        bad: &["CREATE TABLE a (b int);", "-- mysql\nCREATE TABLE a (b int, KEY (b));"],
        good: &[
            "CREATE TABLE a (b int, CONSTRAINT k PRIMARY KEY (b));",
            "CREATE TABLE a (b int); ALTER TABLE ONLY a ADD PRIMARY KEY (b);",
            "CREATE TABLE b PARTITION OF a DEFAULT;",
        ],
    },
];

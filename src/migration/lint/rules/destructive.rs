//! What is dropped: tables, columns, and everything else that has a name.

use super::Check::Each;
use super::{BOTH, Hits, Look, MYSQL, POSTGRES, Rule, all_called, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Op};

fn drops(look: &Look<'_>, hits: &mut Hits, words: &[&str], noun: &str) {
    let Op::Drop { what, names, .. } = look.op else { return };
    let new = !names.is_empty() && names.iter().all(|name| look.world.is_new(name)) && what == "TABLE";
    if words.contains(&what.as_str()) && !new {
        hits.add(look.span, format!("drops the {noun} {}", all_called(names)));
    }
}

/// What has a rule of its own.
const NAMED: [&str; 22] = [
    "TABLE",
    "FOREIGN TABLE",
    "SCHEMA",
    "DATABASE",
    "VIEW",
    "MATERIALIZED VIEW",
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "AGGREGATE",
    "TYPE",
    "DOMAIN",
    "SEQUENCE",
    "TRIGGER",
    "POLICY",
    "INDEX",
    "PREPARE",
    "STATISTICS",
    "EVENT TRIGGER",
    "OPERATOR",
    "RULE",
    "TEMPORARY TABLE",
];

pub(super) const RULES: [Rule; 18] = [
    Rule {
        id: "drop-table",
        severity: Error,
        dialects: BOTH,
        why: "the rows are gone, and the version that is running still reads them",
        safe: "stop using the table in one release and drop it in a later one, with a backup; then approve this",
        check: Each(|look, hits| drops(look, hits, &["TABLE", "FOREIGN TABLE"], "table")),
        bad: &[
            "DROP TABLE users;",
            "drop table if exists public.users cascade;",
            "DROP/* x */TABLE\n\"Users\";",
            "CREATE TABLE IF NOT EXISTS a (id int primary key); DROP TABLE a;",
            "-- mysql\n/*!50000 DROP TABLE users */;",
        ],
        good: &[
            "CREATE TABLE a (id int primary key); DROP TABLE a;",
            "COMMENT ON TABLE a IS 'drop table a';",
            "SELECT 'DROP TABLE users';",
        ],
    },
    Rule {
        id: "drop-column",
        severity: Error,
        dialects: BOTH,
        why: "the values are gone, and the version that is running may still read and write the column",
        safe: "release a version that does not use the column first, then drop it; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::DropColumn(column) = action {
                    hits.add(span, format!("drops the column {} of {}", called(column), called(table)));
                }
            }
        }),
        bad: &[
            "ALTER TABLE users DROP COLUMN name;",
            "ALTER TABLE users ADD x int, DROP IF EXISTS name CASCADE;",
            "-- mysql\nALTER TABLE `users` DROP `name`;",
        ],
        good: &[
            "ALTER TABLE users DROP CONSTRAINT c;",
            "CREATE TABLE a (id int primary key, b int); ALTER TABLE a DROP COLUMN b;",
        ],
    },
    Rule {
        id: "drop-schema",
        severity: Error,
        dialects: BOTH,
        why: "everything in it is gone",
        safe: "move or drop what is in it by itself first, each with its own migration",
        check: Each(|look, hits| drops(look, hits, &["SCHEMA"], "schema")),
        bad: &["DROP SCHEMA audit CASCADE;"],
        good: &["CREATE SCHEMA audit;"],
    },
    Rule {
        id: "drop-database",
        severity: Error,
        dialects: BOTH,
        why: "everything is gone",
        safe: "no migration drops a database; do it by hand if it must be",
        check: Each(|look, hits| drops(look, hits, &["DATABASE"], "database")),
        bad: &["DROP DATABASE app;", "-- mysql\nDROP DATABASE IF EXISTS app;"],
        good: &["CREATE DATABASE app;"],
    },
    Rule {
        id: "drop-view",
        severity: Error,
        dialects: BOTH,
        why: "the version that is running may still read it",
        safe: "use CREATE OR REPLACE VIEW, or drop it after a release that does not read it",
        check: Each(|look, hits| drops(look, hits, &["VIEW", "MATERIALIZED VIEW"], "view")),
        bad: &["DROP VIEW v;", "DROP MATERIALIZED VIEW IF EXISTS v, w;"],
        good: &["CREATE OR REPLACE VIEW v AS SELECT 1;"],
    },
    Rule {
        id: "drop-function",
        severity: Error,
        dialects: BOTH,
        why: "the version that is running, a trigger or a default may still call it",
        safe: "use CREATE OR REPLACE, or drop it after a release that does not call it",
        check: Each(|look, hits| drops(look, hits, &["FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "OPERATOR"], "function")),
        bad: &["DROP FUNCTION f(int);", "DROP PROCEDURE IF EXISTS p;", "DROP AGGREGATE a(int);"],
        good: &["CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"],
    },
    Rule {
        id: "drop-type",
        severity: Error,
        dialects: POSTGRES,
        why: "columns of the type go with it (CASCADE), and the version that is running may still name it",
        safe: "change the columns first, in steps of their own, and drop the type in a later release",
        check: Each(|look, hits| drops(look, hits, &["TYPE", "DOMAIN"], "type")),
        bad: &["DROP TYPE mood;", "DROP DOMAIN email CASCADE;"],
        good: &["CREATE TYPE mood AS ENUM ('a');"],
    },
    Rule {
        id: "drop-sequence",
        severity: Error,
        dialects: BOTH,
        why: "defaults that take numbers from it fail",
        safe: "change the defaults first and drop it in a later release",
        check: Each(|look, hits| drops(look, hits, &["SEQUENCE"], "sequence")),
        bad: &["DROP SEQUENCE s;"],
        good: &["CREATE SEQUENCE s;"],
    },
    Rule {
        id: "drop-trigger",
        severity: Error,
        dialects: BOTH,
        why: "what it kept right is no longer kept right",
        safe: "use CREATE OR REPLACE TRIGGER, or show that nothing needs it; then approve this",
        check: Each(|look, hits| drops(look, hits, &["TRIGGER", "EVENT TRIGGER", "RULE"], "trigger or rule")),
        bad: &["DROP TRIGGER t ON a;", "DROP RULE r ON a;", "-- mysql\nDROP TRIGGER IF EXISTS t;"],
        good: &["CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();"],
    },
    Rule {
        id: "drop-policy",
        severity: Error,
        dialects: POSTGRES,
        why: "rows that it hid may become visible, or rows that it showed may vanish",
        safe: "use ALTER POLICY, or create the new policy before the old one goes",
        check: Each(|look, hits| drops(look, hits, &["POLICY"], "policy")),
        bad: &["DROP POLICY p ON a;"],
        good: &["CREATE POLICY p ON a FOR DELETE USING (true);"],
    },
    Rule {
        id: "drop-object",
        severity: Error,
        dialects: BOTH,
        why: "what depends on it fails, or goes with it",
        safe: "show that nothing depends on it; then approve this",
        check: Each(|look, hits| {
            if let Op::Drop { what, names, .. } = look.op
                && !NAMED.contains(&what.as_str())
            {
                hits.add(look.span, format!("drops {} {}", what.to_lowercase(), all_called(names)));
            }
        }),
        bad: &[
            "DROP EXTENSION pgcrypto;",
            "DROP OWNED BY app;",
            "DROP ROLE app;",
            "ALTER TYPE t DROP ATTRIBUTE a;",
            "ALTER DOMAIN d DROP CONSTRAINT c;",
        ],
        good: &["CREATE EXTENSION pgcrypto;", "-- mysql\nDROP PREPARE s;", "DROP STATISTICS s;"],
    },
    Rule {
        id: "drop-constraint",
        severity: Error,
        dialects: BOTH,
        why: "rows that break it can come in from now on",
        safe: "add what takes its place first; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::DropConstraint(name) = action {
                    hits.add(
                        span,
                        format!("drops the constraint {} of {}", name.as_ref().map_or_else(String::new, called), called(table)),
                    );
                }
            }
        }),
        bad: &[
            "ALTER TABLE a DROP CONSTRAINT c;",
            "-- mysql\nALTER TABLE a DROP FOREIGN KEY c;",
            "-- mysql\nALTER TABLE a DROP CHECK c;",
        ],
        good: &["ALTER TABLE a RENAME CONSTRAINT c TO d;"],
    },
    Rule {
        id: "drop-primary-key",
        severity: Error,
        dialects: MYSQL,
        why: "rows can come in twice, replication and foreign keys suffer, and the whole table is copied",
        safe: "drop the old and add the new primary key in one ALTER TABLE, at a quiet time; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if matches!(action, Action::DropPrimary) {
                    hits.add(span, format!("drops the primary key of {}", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a DROP PRIMARY KEY, ADD PRIMARY KEY (id);"],
        good: &["ALTER TABLE a DROP INDEX b;"],
    },
    Rule {
        id: "drop-index",
        severity: Warning,
        dialects: BOTH,
        why: "queries that used it become slow, and a unique one no longer keeps duplicates out",
        safe: "make sure that nothing uses it (pg_stat_user_indexes; an invisible index in MySQL)",
        check: Each(|look, hits| {
            drops(look, hits, &["INDEX"], "index");
            for (table, action, span) in look.actions() {
                if let Action::DropIndex(name) = action {
                    hits.add(span, format!("drops the index {} of {}", called(name), called(table)));
                }
            }
        }),
        bad: &["DROP INDEX CONCURRENTLY i;", "-- mysql\nDROP INDEX i ON a;", "-- mysql\nALTER TABLE a DROP KEY i;"],
        good: &["ALTER INDEX i RENAME TO j;"],
    },
    Rule {
        id: "drop-not-null",
        severity: Warning,
        dialects: POSTGRES,
        why: "the version that is running may not expect NULL there",
        safe: "release a version that can read NULL first",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::DropNotNull(column) = action {
                    hits.add(span, format!("lets the column {} of {} be NULL", called(column), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ALTER COLUMN b DROP NOT NULL;"],
        good: &["ALTER TABLE a ADD COLUMN b int;"],
    },
    Rule {
        id: "drop-default",
        severity: Warning,
        dialects: BOTH,
        why: "the version that is running may leave the column out when it inserts",
        safe: "release a version that always gives a value first",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::DropDefault(column) = action {
                    hits.add(span, format!("drops the default of the column {} of {}", called(column), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ALTER b DROP DEFAULT;", "-- mysql\nALTER TABLE a ALTER COLUMN b DROP DEFAULT;"],
        good: &["ALTER TABLE a ALTER b SET DEFAULT 1;"],
    },
    Rule {
        id: "drop-generated",
        severity: Error,
        dialects: POSTGRES,
        why: "new rows get no value there any more",
        safe: "release a version that gives the value itself first; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::DropGenerated(column) = action {
                    hits.add(span, format!("drops what makes the values of the column {} of {}", called(column), called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ALTER b DROP EXPRESSION;", "ALTER TABLE a ALTER COLUMN b DROP IDENTITY IF EXISTS;"],
        good: &["ALTER TABLE a ALTER b SET STATISTICS 100;"],
    },
    Rule {
        id: "replace-table",
        severity: Error,
        dialects: BOTH,
        why: "a table of this name is dropped first, with all its rows",
        safe: "create it without OR REPLACE, under a new name",
        check: Each(|look, hits| {
            if let Op::CreateTable(table) = look.op
                && table.or_replace
            {
                hits.add(look.span, format!("replaces the table {}", called(&table.name)));
            }
        }),
        bad: &["-- mysql\nCREATE OR REPLACE TABLE a (id int primary key);"],
        good: &["-- mysql\nCREATE TABLE a (id int primary key);"],
    },
];

//! Constraints on tables that are in use: they are checked under a lock, and rows may break them.

use super::Check::Each;
use super::{BOTH, Hits, Look, MYSQL, POSTGRES, Rule, called};
use crate::migration::lint::Dialect;
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Column, Constraint, ConstraintKind, Op};

fn constraints(
    look: &Look<'_>,
    hits: &mut Hits,
    message: &str,
    found: impl Fn(&Constraint) -> bool,
    inline: impl Fn(&Column) -> bool,
) {
    for (table, action, span) in look.actions() {
        let hit = match action {
            Action::AddConstraint(constraint) => found(constraint),
            Action::AddColumn(column) => inline(column),
            _ => false,
        };
        if hit {
            hits.add(span, format!("{message} {}", called(table)));
        }
    }
}

pub(super) const RULES: [Rule; 11] = [
    Rule {
        id: "foreign-key-without-not-valid",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can write to either table until every row is checked",
        safe: "ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later migration",
        check: Each(|look, hits| {
            let own = |constraint: &Constraint| constraint.kind == ConstraintKind::Foreign && !constraint.not_valid;
            constraints(look, hits, "checks a foreign key of every row of", own, |column| column.references.is_some());
        }),
        bad: &[
            "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (b) REFERENCES d (id);",
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES d;",
            "ALTER TABLE a ADD COLUMN b int REFERENCES d;",
        ],
        good: &[
            "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (b) REFERENCES d (id) NOT VALID;",
            "CREATE TABLE a (id int primary key, b int REFERENCES d);",
        ],
    },
    Rule {
        id: "check-without-not-valid",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can use the table until every row is checked",
        safe: "ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later migration",
        check: Each(|look, hits| {
            let own = |constraint: &Constraint| {
                matches!(constraint.kind, ConstraintKind::Check | ConstraintKind::NotNull) && !constraint.not_valid
            };
            constraints(look, hits, "checks every row of", own, |column| column.check && column.references.is_none());
        }),
        bad: &[
            "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
            "ALTER TABLE a ADD CHECK (b > 0);",
            "ALTER TABLE a ADD COLUMN b int CHECK (b > 0);",
        ],
        good: &["ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID;"],
    },
    Rule {
        id: "validate-in-same-transaction",
        severity: Error,
        dialects: POSTGRES,
        why: "the lock of ADD CONSTRAINT is held while every row is checked, so that NOT VALID has gained nothing",
        safe: "VALIDATE CONSTRAINT in a migration of its own",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::Validate(name) = action
                    && look.world.in_transaction
                    && look.world.unchecked.contains(&format!("{}.{}", table.key(), name.last()))
                {
                    hits.add(span, format!("validates {} in the transaction that added it", called(name)));
                }
            }
        }),
        bad: &["ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID; ALTER TABLE a VALIDATE CONSTRAINT c;"],
        good: &[
            "ALTER TABLE a VALIDATE CONSTRAINT c;",
            "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID; COMMIT; ALTER TABLE a VALIDATE CONSTRAINT c;",
        ],
    },
    Rule {
        id: "unique-without-index",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can use the table until the index is built, and it fails if there are duplicates",
        safe: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX",
        check: Each(|look, hits| {
            let own = |constraint: &Constraint| constraint.kind == ConstraintKind::Unique && !constraint.using_index;
            constraints(look, hits, "builds a unique index under a lock on", own, |column| column.unique);
        }),
        bad: &[
            "ALTER TABLE a ADD CONSTRAINT c UNIQUE (b);",
            "ALTER TABLE a ADD UNIQUE NULLS NOT DISTINCT (b);",
            "ALTER TABLE a ADD COLUMN b text UNIQUE;",
        ],
        good: &["ALTER TABLE a ADD CONSTRAINT c UNIQUE USING INDEX i;"],
    },
    Rule {
        id: "add-primary-key",
        severity: Error,
        dialects: BOTH,
        why: "nobody can use the table until the index is built (in MySQL: the table is copied), and it fails on duplicates and NULL",
        safe: "PostgreSQL: CREATE UNIQUE INDEX CONCURRENTLY, then ADD PRIMARY KEY USING INDEX, with the columns NOT NULL before",
        check: Each(|look, hits| {
            let own = |constraint: &Constraint| constraint.kind == ConstraintKind::Primary && !constraint.using_index;
            constraints(look, hits, "makes a primary key of", own, |column| column.primary);
        }),
        bad: &[
            "ALTER TABLE a ADD PRIMARY KEY (id);",
            "ALTER TABLE a ADD COLUMN id int PRIMARY KEY;",
            "-- mysql\nALTER TABLE a ADD CONSTRAINT PRIMARY KEY (id);",
        ],
        good: &["ALTER TABLE a ADD CONSTRAINT k PRIMARY KEY USING INDEX i;"],
    },
    Rule {
        id: "exclude-constraint",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can use the table until the index is built, and there is no way to build it beforehand",
        safe: "do it at a quiet time; then approve this",
        check: Each(|look, hits| {
            constraints(
                look,
                hits,
                "builds an exclusion constraint on",
                |constraint| constraint.kind == ConstraintKind::Exclude,
                |_| false,
            );
        }),
        bad: &["ALTER TABLE a ADD CONSTRAINT c EXCLUDE USING gist (b WITH &&);"],
        good: &["CREATE TABLE a (id int primary key, b int4range, EXCLUDE USING gist (b WITH &&));"],
    },
    Rule {
        id: "set-not-null",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can use the table until every row is read, and it fails if one is NULL",
        safe: "ADD CONSTRAINT … CHECK (x IS NOT NULL) NOT VALID, VALIDATE it later, then SET NOT NULL, which the constraint makes quick; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if let Action::SetNotNull(column) = action {
                    hits.add(span, format!("reads every row of {} for a NULL in {}", called(table), called(column)));
                }
            }
        }),
        bad: &["ALTER TABLE a ALTER COLUMN b SET NOT NULL;"],
        good: &["ALTER TABLE a ALTER COLUMN b SET DEFAULT 1;"],
    },
    Rule {
        id: "domain-constraint",
        severity: Error,
        dialects: POSTGRES,
        why: "every column of the type is read while nobody can write",
        safe: "ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later migration",
        check: Each(|look, hits| {
            if let Op::DomainConstraint { name, not_valid: false } = look.op {
                hits.add(look.span, format!("checks every value of the domain {}", called(name)));
            }
        }),
        bad: &["ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0);", "ALTER DOMAIN d SET NOT NULL;"],
        good: &["ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0) NOT VALID;", "ALTER DOMAIN d SET DEFAULT 1;"],
    },
    Rule {
        id: "unique-index-on-existing",
        severity: Warning,
        dialects: BOTH,
        why: "it fails if there are duplicates (PostgreSQL leaves an invalid index behind)",
        safe: "look for duplicates first; where the version that is running can still make new ones, keep it from that",
        check: Each(|look, hits| {
            if let Op::CreateIndex(index) = look.op
                && index.unique
                && !look.world.is_likely_new(&index.table)
            {
                hits.add(look.span, format!("a unique index on {}, which has rows", called(&index.table)));
            }
            if look.dialect == Dialect::Mysql {
                let own = |constraint: &Constraint| constraint.kind == ConstraintKind::Unique;
                constraints(look, hits, "a unique index on rows of", own, |column| column.unique);
            }
        }),
        bad: &["CREATE UNIQUE INDEX CONCURRENTLY i ON a (b);", "-- mysql\nALTER TABLE a ADD UNIQUE KEY k (b);"],
        good: &["CREATE TABLE a (id int primary key); CREATE UNIQUE INDEX i ON a (id);"],
    },
    Rule {
        id: "foreign-key-copies-table",
        severity: Error,
        dialects: MYSQL,
        why: "the table is copied while nobody can write to it (unless foreign_key_checks is off, and then the rows are not checked)",
        safe: "add it at a quiet time or with an online schema change tool; then approve this",
        check: Each(|look, hits| {
            constraints(look, hits, "adds a foreign key to", |constraint| constraint.kind == ConstraintKind::Foreign, |_| false);
        }),
        bad: &[
            "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (b) REFERENCES d (id);",
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES d (id) ON DELETE CASCADE;",
        ],
        good: &["CREATE TABLE a (id int primary key, b int, FOREIGN KEY (b) REFERENCES d (id));"],
    },
    Rule {
        id: "check-copies-table",
        severity: Error,
        dialects: MYSQL,
        why: "the table is copied while nobody can write to it",
        safe: "ADD CONSTRAINT … CHECK (…) NOT ENFORCED, or add it at a quiet time; then approve this",
        check: Each(|look, hits| {
            let own = |constraint: &Constraint| constraint.kind == ConstraintKind::Check && !constraint.not_valid;
            constraints(look, hits, "checks every row of", own, |column| column.check);
        }),
        bad: &["ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);"],
        good: &["ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT ENFORCED;"],
    },
];

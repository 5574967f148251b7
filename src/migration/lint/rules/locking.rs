//! What keeps others waiting: indexes, rewrites, explicit locks.

use super::Check::{Each, End};
use super::{BOTH, POSTGRES, Rule, all_called, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::body::Within;
use crate::migration::lint::op::{Action, Op};

pub(super) const RULES: [Rule; 12] = [
    Rule {
        id: "index-without-concurrently",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can write to the table until the index is built",
        safe: "CREATE INDEX CONCURRENTLY, in a migration of its own without a transaction",
        check: Each(|look, hits| {
            if let Op::CreateIndex(index) = look.op
                && !index.concurrently
                && !look.world.is_likely_new(&index.table)
            {
                hits.add(look.span, format!("builds an index on {} while writers wait", called(&index.table)));
            }
        }),
        bad: &[
            "CREATE INDEX i ON users (name);",
            "CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY public.users USING btree (lower(name));",
        ],
        good: &[
            "CREATE TABLE a (id int primary key); CREATE INDEX i ON a (id);",
            "CREATE TABLE IF NOT EXISTS a (id int primary key); CREATE INDEX IF NOT EXISTS i ON a (id);",
            "CREATE INDEX CONCURRENTLY i ON a (b);",
        ],
    },
    Rule {
        id: "drop-index-without-concurrently",
        severity: Error,
        dialects: POSTGRES,
        why: "it waits for every query of the table, and all later ones wait behind it",
        safe: "DROP INDEX CONCURRENTLY, in a migration of its own without a transaction",
        check: Each(|look, hits| {
            if let Op::Drop { what, names, concurrently: false } = look.op
                && what == "INDEX"
            {
                hits.add(look.span, format!("drops the index {} while everybody waits", all_called(names)));
            }
        }),
        bad: &["DROP INDEX i;", "DROP INDEX IF EXISTS a.i, j;"],
        good: &["DROP INDEX CONCURRENTLY IF EXISTS i;"],
    },
    Rule {
        id: "concurrently-in-transaction",
        severity: Error,
        dialects: POSTGRES,
        why: "PostgreSQL refuses it inside a transaction",
        safe: "put it into a file of its own that runs without a transaction (how, depends on the migration tool)",
        check: Each(|look, hits| {
            let inside = look.world.in_transaction || matches!(look.within, Within::Do | Within::Routine);
            let concurrently = match look.op {
                Op::CreateIndex(index) => index.concurrently,
                Op::Drop { what, concurrently, .. } => what == "INDEX" && *concurrently,
                Op::Reindex { concurrently } => *concurrently,
                Op::AlterTable { actions, .. } => {
                    actions.iter().any(|(action, _)| matches!(action, Action::DetachPartition { concurrently: true }))
                }
                Op::VacuumFull => true,
                _ => false,
            };
            if inside && concurrently {
                hits.add(look.span, "cannot run inside a transaction, and this file runs in one");
            }
        }),
        bad: &["CREATE INDEX CONCURRENTLY i ON a (b);", "COMMIT; BEGIN; DROP INDEX CONCURRENTLY i;"],
        good: &["COMMIT; CREATE INDEX CONCURRENTLY i ON a (b);", "CREATE TABLE a (id int primary key);"],
    },
    Rule {
        id: "reindex-without-concurrently",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can write to the table until the index is built again",
        safe: "REINDEX … CONCURRENTLY, without a transaction",
        check: Each(|look, hits| {
            if matches!(look.op, Op::Reindex { concurrently: false }) {
                hits.add(look.span, "builds an index anew while writers wait");
            }
        }),
        bad: &["REINDEX TABLE a;", "REINDEX (VERBOSE) INDEX i;"],
        good: &["REINDEX INDEX CONCURRENTLY i;", "REINDEX (CONCURRENTLY) TABLE a;"],
    },
    Rule {
        id: "refresh-without-concurrently",
        severity: Error,
        dialects: POSTGRES,
        why: "nobody can read the view until it is filled again",
        safe: "REFRESH MATERIALIZED VIEW CONCURRENTLY (it needs a unique index)",
        check: Each(|look, hits| {
            if let Op::Refresh { name, concurrently: false } = look.op {
                hits.add(look.span, format!("fills the view {} while readers wait", called(name)));
            }
        }),
        bad: &["REFRESH MATERIALIZED VIEW v;"],
        good: &["REFRESH MATERIALIZED VIEW CONCURRENTLY v;"],
    },
    Rule {
        id: "detach-without-concurrently",
        severity: Error,
        dialects: POSTGRES,
        why: "it waits for every query of the partitioned table, and all later ones wait behind it",
        safe: "DETACH PARTITION … CONCURRENTLY, without a transaction",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if matches!(action, Action::DetachPartition { concurrently: false }) {
                    hits.add(span, format!("takes a partition out of {} while everybody waits", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a DETACH PARTITION b;"],
        good: &["ALTER TABLE a DETACH PARTITION b CONCURRENTLY;"],
    },
    Rule {
        id: "attach-partition",
        severity: Warning,
        dialects: POSTGRES,
        why: "the whole partition is read under a lock, unless a valid CHECK constraint shows that its rows belong there",
        safe: "add a CHECK constraint that says what the partition's bounds say first, and validate it",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if matches!(action, Action::AttachPartition) {
                    hits.add(span, format!("attaches a partition to {}", called(table)));
                }
            }
        }),
        bad: &["ALTER TABLE a ATTACH PARTITION b FOR VALUES IN (1);"],
        good: &["CREATE TABLE b PARTITION OF a FOR VALUES IN (1);"],
    },
    Rule {
        id: "rewrite-table",
        severity: Error,
        dialects: BOTH,
        why: "the whole table is written anew while nobody can use it",
        safe: "do it at a quiet time, or into a new table in steps; then approve this",
        check: Each(|look, hits| {
            if let Op::Rebuild(table) = look.op {
                hits.add(look.span, format!("writes {} anew", called(table)));
            }
            for (table, action, span) in look.actions() {
                if let Action::Rewrite(by) = action {
                    hits.add(span, format!("{by} writes {} anew", called(table)));
                }
            }
        }),
        bad: &[
            "ALTER TABLE a SET UNLOGGED;",
            "ALTER TABLE a SET TABLESPACE fast;",
            "-- mysql\nALTER TABLE a ENGINE=InnoDB;",
            "-- mysql\nOPTIMIZE TABLE a;",
            "-- mysql\nALTER TABLE a PARTITION BY HASH (id) PARTITIONS 4;",
        ],
        good: &["ALTER TABLE a SET (fillfactor = 70);", "-- mysql\nALTER TABLE a COMMENT = 'engine';"],
    },
    Rule {
        id: "vacuum-full",
        severity: Error,
        dialects: POSTGRES,
        why: "the whole table is written anew while nobody can use it",
        safe: "VACUUM without FULL, or pg_repack",
        check: Each(|look, hits| {
            if matches!(look.op, Op::VacuumFull) {
                hits.add(look.span, "VACUUM FULL writes the table anew");
            }
        }),
        bad: &["VACUUM FULL a;", "VACUUM (ANALYZE, FULL) a;"],
        good: &["VACUUM (ANALYZE) a;"],
    },
    Rule {
        id: "cluster",
        severity: Error,
        dialects: POSTGRES,
        why: "the whole table is written anew while nobody can use it",
        safe: "pg_repack, or leave the order as it is",
        check: Each(|look, hits| {
            if matches!(look.op, Op::Cluster) {
                hits.add(look.span, "CLUSTER writes the table anew");
            }
        }),
        bad: &["CLUSTER a USING i;"],
        good: &["ALTER TABLE a CLUSTER ON i;"],
    },
    Rule {
        id: "lock-table",
        severity: Error,
        dialects: BOTH,
        why: "others wait for as long as it is held",
        safe: "leave locks to the statements that need them, with a lock_timeout",
        check: Each(|look, hits| {
            if matches!(look.op, Op::Lock) {
                hits.add(look.span, "locks a table by hand");
            }
        }),
        bad: &["LOCK TABLE a IN ACCESS EXCLUSIVE MODE;", "-- mysql\nLOCK TABLES a WRITE;"],
        good: &["SELECT 1 FROM a FOR SHARE;", "-- mysql\nUNLOCK TABLES;"],
    },
    Rule {
        id: "missing-lock-timeout",
        severity: Warning,
        dialects: POSTGRES,
        why: "while it waits behind a long query, everybody else waits behind it",
        safe: "SET lock_timeout = '5s'; first (a `migrate` step does so where the tool allows it)",
        check: End(|world, _, hits| {
            if let Some(span) = &world.waits {
                hits.add(span, "waits for its lock without a limit");
            }
        }),
        bad: &["ALTER TABLE a ADD COLUMN b int;"],
        good: &[
            "SET lock_timeout = '5s'; ALTER TABLE a ADD COLUMN b int;",
            "SET LOCAL lock_timeout TO 2000; DROP INDEX i;",
            "CREATE INDEX CONCURRENTLY i ON a (b);",
        ],
    },
];

//! Rows that are lost or changed wholesale.

use super::Check::Each;
use super::{BOTH, MYSQL, POSTGRES, Rule, all_called, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::op::{Action, Filter, Op};

pub(super) const RULES: [Rule; 7] = [
    Rule {
        id: "truncate",
        severity: Error,
        dialects: BOTH,
        why: "all rows are gone, and nobody else can use the table meanwhile",
        safe: "delete in batches by a condition, with a backup; then approve this",
        check: Each(|look, hits| {
            if let Op::Truncate { names, cascade } = look.op
                && (*cascade || names.is_empty() || !names.iter().all(|name| look.world.is_new(name)))
            {
                hits.add(look.span, format!("empties {}", all_called(names)));
            }
        }),
        bad: &["TRUNCATE users;", "TRUNCATE TABLE ONLY a, b RESTART IDENTITY CASCADE;", "DO $$ BEGIN TRUNCATE users; END $$;"],
        good: &[
            "CREATE TRIGGER t BEFORE TRUNCATE ON a EXECUTE FUNCTION f();",
            "-- mysql\nSELECT TRUNCATE(1.5, 1);",
            "REVOKE TRUNCATE ON a FROM b;",
        ],
    },
    Rule {
        id: "delete-without-where",
        severity: Error,
        dialects: BOTH,
        why: "all rows are gone",
        safe: "say which rows, by a condition that depends on the row",
        check: Each(|look, hits| {
            if let Op::Delete { table, filter: Filter::All } = look.op
                && !look.world.is_new(table)
            {
                hits.add(look.span, format!("deletes every row of {}", called(table)));
            }
        }),
        bad: &[
            "DELETE FROM users;",
            "DELETE FROM users WHERE true;",
            "DELETE FROM users WHERE 1 = 1 OR id = 4;",
            "DELETE FROM users u WHERE (u.id = u.id);",
            "WITH gone AS (DELETE FROM users RETURNING *) INSERT INTO old SELECT * FROM gone;",
            "PREPARE p AS DELETE FROM users;",
            "CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; SELECT 1);",
            "DELETE FROM a WHERE id = 1; EXPLAIN ANALYZE DELETE FROM b;",
            "-- mysql\nDELETE LOW_PRIORITY FROM a;",
        ],
        good: &[
            "DELETE FROM users WHERE id = 1;",
            "DELETE FROM a USING b WHERE a.id = b.id;",
            "GRANT DELETE ON a TO b;",
            "ALTER TABLE a ADD COLUMN b int REFERENCES c ON DELETE CASCADE;",
        ],
    },
    Rule {
        id: "update-without-where",
        severity: Error,
        dialects: BOTH,
        why: "every row is written anew and stays locked until the end of the transaction, and the old values are gone",
        safe: "update in batches by a condition that depends on the row (the new value being absent will do), outside of the migration's transaction",
        check: Each(|look, hits| {
            if let Op::Update { table, filter: Filter::All } = look.op
                && !look.world.is_new(table)
            {
                hits.add(look.span, format!("changes every row of {}", called(table)));
            }
        }),
        bad: &[
            "UPDATE users SET name = '';",
            "UPDATE ONLY public.users AS u SET a = 1, b = (SELECT 1 WHERE true);",
            "WITH x AS (UPDATE a SET b = 1 RETURNING 1) SELECT * FROM x WHERE true;",
            "-- mysql\nUPDATE `a` SET b = 1 ORDER BY id LIMIT 3;",
        ],
        good: &[
            "UPDATE users SET name = '' WHERE name IS NULL;",
            "INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET b = 1;",
            "SELECT 1 FROM a FOR UPDATE;",
            "CREATE TABLE a (id int primary key, b int REFERENCES c ON UPDATE SET NULL);",
        ],
    },
    Rule {
        id: "merge-deletes",
        severity: Error,
        dialects: POSTGRES,
        why: "which rows go depends on what is joined, which cannot be seen here",
        safe: "write a DELETE with a condition of its own",
        check: Each(|look, hits| {
            if let Op::MergeDelete(table) = look.op {
                hits.add(look.span, format!("may delete every row of {}", called(table)));
            }
        }),
        bad: &["MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE;"],
        good: &["MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET c = 1;"],
    },
    Rule {
        id: "lose-partition",
        severity: Error,
        dialects: MYSQL,
        why: "the partition's rows are gone, or go elsewhere",
        safe: "copy the rows first; then approve this",
        check: Each(|look, hits| {
            for (table, action, span) in look.actions() {
                if matches!(action, Action::LosePartition) {
                    hits.add(span, format!("gives up rows of {}", called(table)));
                }
            }
        }),
        bad: &[
            "ALTER TABLE a DROP PARTITION p0;",
            "ALTER TABLE a TRUNCATE PARTITION ALL;",
            "ALTER TABLE a DISCARD TABLESPACE;",
            "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b;",
        ],
        good: &["ALTER TABLE a ADD PARTITION (PARTITION p VALUES LESS THAN (10));"],
    },
    Rule {
        id: "backfill-with-schema-change",
        severity: Warning,
        dialects: POSTGRES,
        why: "the schema change keeps its lock until all the rows are written, and nobody can use the table meanwhile",
        safe: "change rows in a migration of their own, in batches",
        check: Each(|look, hits| {
            let (Op::Update { table, .. } | Op::Delete { table, .. }) = look.op else { return };
            if look.world.in_transaction && look.world.altered.contains(&table.key()) {
                hits.add(look.span, format!("changes rows of {} while its schema is being changed", called(table)));
            }
        }),
        bad: &["ALTER TABLE a ADD b int; UPDATE a SET b = 1 WHERE b IS NULL;"],
        good: &[
            "ALTER TABLE a ADD b int; COMMIT; UPDATE a SET b = 1 WHERE b IS NULL;",
            "ALTER TABLE a ADD b int; UPDATE c SET d = 1 WHERE d IS NULL;",
        ],
    },
    Rule {
        id: "system-catalog",
        severity: Error,
        dialects: BOTH,
        why: "the database's own tables are not guarded: a mistake there can lose everything",
        safe: "use the statement that is meant for it",
        check: Each(|look, hits| {
            let (Op::Update { table, .. } | Op::Delete { table, .. }) = look.op else { return };
            let own = |part: &String| {
                matches!(part.as_str(), "pg_catalog" | "information_schema" | "mysql" | "performance_schema" | "sys")
            };
            if table.parts.len() > 1 && own(&table.parts[0]) || table.last().starts_with("pg_") {
                hits.add(look.span, format!("writes to {}, which is the database's own", called(table)));
            }
        }),
        bad: &[
            "UPDATE pg_attribute SET attnotnull = true WHERE attname = 'a';",
            "-- mysql\nDELETE FROM mysql.user WHERE user = 'a';",
        ],
        good: &["UPDATE page SET a = 1 WHERE id = 2;"],
    },
];

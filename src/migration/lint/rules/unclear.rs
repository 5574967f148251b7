//! What cannot be judged from here, what changes how text is read, and what switches guards off: never silently clean.

use super::Check::{Each, Reading};
use super::{BOTH, MYSQL, POSTGRES, Rule, called};
use crate::migration::lint::Severity::{Error, Warning};
use crate::migration::lint::body::Within;
use crate::migration::lint::op::{Action, Op};
use crate::migration::lint::{Dialect, NOT_SQL, Tool};

/// Whether a setting makes the server read strings or letters in another way.
fn changes_reading(dialect: Dialect, name: &str, value: &str) -> bool {
    let plain = value.trim_matches(['\'', '"']);
    match dialect {
        Dialect::Postgres if name == "set_config" => {
            ["standard_conforming", "client_encoding", "backslash_quote"].iter().any(|word| value.contains(word))
        }
        Dialect::Postgres if name.starts_with("standard_conforming") => !matches!(plain, "on" | "true" | "1" | "yes" | "default"),
        Dialect::Postgres if name == "client_encoding" || name == "names" => {
            !["utf8", "utf-8", "unicode", "sql_ascii", "latin1", "default"].contains(&plain)
        }
        Dialect::Postgres => false,
        Dialect::Mysql if name == "names" || name.starts_with("character") => {
            !value.contains("utf8") && !value.contains('@') && !value.contains("latin1") && plain != "default"
        }
        Dialect::Mysql if takes_a_mode_away(value) => false,
        Dialect::Mysql => {
            let mode = name.contains("sql_mode") || value.contains("sql_mode");
            let built = ["concat", "select", "replace", "0x"].iter().any(|word| value.contains(word));
            value.contains("ansi")
                || value.contains("no_backslash")
                || (mode && built)
                || (name == "sql_mode" && value.contains('@') && !value.contains("old"))
        }
    }
}

/// `(SELECT REPLACE(@@sql_mode, 'A_MODE', ''))`: whatever the modes are, there is one less, and none of those that change the reading.
fn takes_a_mode_away(value: &str) -> bool {
    let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let inner = compact.trim_start_matches('(').trim_end_matches(')');
    let inner = inner.strip_prefix("select").unwrap_or(inner).trim_start_matches('(');
    let rest = ["replace(@@sql_mode,", "replace(@@session.sql_mode,", "replace(@@global.sql_mode,"]
        .iter()
        .find_map(|begin| inner.strip_prefix(begin));
    let Some(mode) = rest.and_then(|rest| rest.strip_suffix(",''")?.strip_prefix('\'')?.strip_suffix('\'')) else { return false };
    let plain = mode.len() > 3 && mode.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b',');
    plain && !["ansi", "backslash"].iter().any(|part| mode.contains(part))
}

pub(super) const RULES: [Rule; 10] = [
    Rule {
        id: "unparsed",
        severity: Error,
        dialects: BOTH,
        why: "what cannot be read cannot be judged",
        safe: "correct it; if the database takes it, read it with care and approve this",
        check: Reading,
        bad: &[
            "SELEC 1;",
            "SELECT 'abc",
            "/* /* */ SELECT 1;",
            "ALTER TABLE a FROB b;",
            "SELECT `; DROP TABLE a; `;",
            "-- mysql\nALTER TABLE a FROB b;",
            "SELECT 1;\0",
        ],
        good: &[
            "SELECT 1;",
            "-- mysql\nALTER TABLE a CONVERT TO CHARACTER SET utf8mb4;",
            "-- mysql\nALTER TABLE a ENGINE=InnoDB;",
            "COPY a FROM stdin;\n1\tx; drop\n\\.\nSELECT 1;",
        ],
    },
    Rule {
        id: NOT_SQL,
        severity: Error,
        dialects: BOTH,
        why: "what it does to the database stands in no SQL that could be judged",
        safe: "write it in SQL or let the tool print its SQL, where it can; or read it with care and approve this",
        check: Reading,
        bad: &[
            "-- file: migrations/1_a.js\nexports.up = (knex) => knex.raw('DROP TABLE a');",
            "-- file: migrations/versions/1_a.py\ndown_revision = None\ndef upgrade():\n    op.get_bind().execute(text('SELECT 1'))",
        ],
        good: &["-- file: migrations/1_a.sql\nSELECT 1;"],
    },
    Rule {
        id: "dynamic-sql",
        severity: Error,
        dialects: BOTH,
        why: "what it does is decided when it runs, or stands elsewhere: it cannot be seen here",
        safe: "write the statement itself; or read it with care and approve this",
        check: Each(|look, hits| match look.op {
            Op::Dynamic(what) => hits.add(look.span, what.clone()),
            Op::Calls(function) => hits.add(look.span, format!("{function}() runs or drops what it is given")),
            _ => {}
        }),
        bad: &[
            "DO $$ BEGIN EXECUTE 'DROP TABLE ' || x; END $$;",
            "SELECT 'DROP TABLE a' \\gexec",
            "\\i other.sql",
            "\\! rm x",
            "DO LANGUAGE plpython3u $$ x() $$;",
            "SELECT dblink_exec('x', 'DROP TABLE a');",
            "COPY a TO PROGRAM 'x';",
            "-- mysql\nPREPARE s FROM @x;",
            "-- mysql\nEXECUTE IMMEDIATE @x;",
        ],
        good: &[
            "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();",
            "\\echo hello\nSELECT 1;",
            "GRANT EXECUTE ON FUNCTION f() TO a;",
            "\\set ON_ERROR_STOP on\nSELECT 1;",
        ],
    },
    Rule {
        id: "reading-changes",
        severity: Error,
        dialects: BOTH,
        why: "from here the server takes other text for strings than this check does",
        safe: "leave it as it is, and write E'…' for strings with escapes",
        check: Each(|look, hits| {
            if let Op::Set { name, value } = look.op
                && changes_reading(look.dialect, name, value)
            {
                hits.add(look.span, format!("{name} changes how the rest is read"));
            }
        }),
        bad: &[
            "SET standard_conforming_strings = off;",
            "SELECT set_config('standard_conforming_strings', 'off', false);",
            "SET client_encoding TO 'SJIS';",
            "-- mysql\nSET sql_mode = 'ANSI_QUOTES';",
            "-- mysql\nSET NAMES gbk;",
            "-- mysql\nSET sql_mode = (SELECT REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''));",
            "-- mysql\nSET sql_mode = REPLACE(@@sql_mode, 'PAD_', 'X');",
        ],
        good: &[
            "SET standard_conforming_strings = on;",
            "-- mysql\nSET NAMES utf8mb4;",
            "-- mysql\nSET SQL_MODE='NO_AUTO_VALUE_ON_ZERO';",
            "-- mysql\nSET sql_mode = (SELECT REPLACE(@@sql_mode, 'ONLY_FULL_GROUP_BY', ''));",
        ],
    },
    Rule {
        id: "hidden-characters",
        severity: Error,
        dialects: BOTH,
        why: "a reader sees something else than the server",
        safe: "remove them",
        check: Reading,
        bad: &["SELECT '\u{202e}x';", "SELECT 1; -- \u{2066}\n"],
        good: &["SELECT 'ü';"],
    },
    Rule {
        id: "checks-disabled",
        severity: Error,
        dialects: BOTH,
        why: "rows that break foreign keys, triggers or row-level security pass, and nobody looks again",
        safe: "keep them on; or approve this and check the rows afterwards",
        check: Each(|look, hits| {
            if let Op::Set { name, value } = look.op {
                let off = matches!(value.trim_matches('\''), "0" | "off" | "false");
                let checks = matches!(name.as_str(), "foreign_key_checks" | "unique_checks" | "check_constraint_checks");
                if (checks && off)
                    || (name == "session_replication_role" && value.contains("replica"))
                    || (name == "row_security" && off)
                {
                    hits.add(look.span, format!("{name} switches checks off"));
                }
            }
            for (table, action, span) in look.actions() {
                match action {
                    Action::DisableTrigger => hits.add(span, format!("switches triggers or rules of {} off", called(table))),
                    Action::DisableSecurity => hits.add(span, format!("switches row-level security of {} off", called(table))),
                    _ => {}
                }
            }
        }),
        bad: &[
            "ALTER TABLE a DISABLE TRIGGER ALL;",
            "ALTER TABLE a DISABLE ROW LEVEL SECURITY;",
            "SET session_replication_role = replica;",
            "-- mysql\nSET FOREIGN_KEY_CHECKS = 0;",
        ],
        good: &["ALTER TABLE a ENABLE ROW LEVEL SECURITY;", "-- mysql\nSET FOREIGN_KEY_CHECKS = 1;"],
    },
    Rule {
        id: "transaction-control",
        severity: Warning,
        dialects: POSTGRES,
        why: "the tool already runs this file in a transaction: a COMMIT here ends that one, and what follows is applied even if it fails later",
        safe: "leave transactions to the tool, or tell it to use none",
        check: Each(|look, hits| {
            let message = match look.op {
                _ if look.within != Within::Statement => return,
                Op::Begin if look.world.in_transaction => "begins a transaction inside of one",
                // What a tool prints has the transactions in it that are its own.
                Op::Commit if look.tool == Tool::Printed && look.world.in_transaction => return,
                Op::Commit if look.tool == Tool::Printed => "ends a transaction that a statement above has ended",
                Op::Commit => "ends a transaction",
                Op::Rollback => "rolls back",
                _ => return,
            };
            hits.add(look.span, message);
        }),
        bad: &["BEGIN; SELECT 1;", "COMMIT;", "ROLLBACK;"],
        good: &["SAVEPOINT s; RELEASE s;"],
    },
    Rule {
        id: "revoke",
        severity: Warning,
        dialects: BOTH,
        why: "the version that is running may need the right",
        safe: "revoke it after a release that does not need it",
        check: Each(|look, hits| {
            if matches!(look.op, Op::Revoke) {
                hits.add(look.span, "takes rights away");
            }
        }),
        bad: &["REVOKE SELECT ON a FROM b;"],
        good: &["GRANT SELECT ON a TO b;"],
    },
    Rule {
        id: "server-setting",
        severity: Warning,
        dialects: BOTH,
        why: "it concerns more than this schema: other databases, or everybody's sessions",
        safe: "keep it out of migrations",
        check: Each(|look, hits| {
            if let Op::Server(what) = look.op {
                hits.add(look.span, format!("changes a {what}"));
            }
        }),
        bad: &["ALTER SYSTEM SET work_mem = '1GB';", "ALTER DATABASE app SET lock_timeout = 0;", "ALTER ROLE a SUPERUSER;"],
        good: &["SET work_mem = '1GB';"],
    },
    Rule {
        id: "client-command",
        severity: Error,
        dialects: MYSQL,
        why: "the mysql client runs it, and nothing else does: a program, or another file",
        safe: "remove it",
        check: Each(|look, hits| {
            if matches!(look.op, Op::Client) {
                hits.add(look.span, "a command of the mysql client");
            }
        }),
        bad: &["source other.sql;", "system rm x;"],
        good: &["SELECT 1;"],
    },
];

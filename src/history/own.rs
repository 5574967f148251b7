//! Landfall's own history, for files that it applies itself: the table, and what psql is told to do with a file. Texts only; what is
//! MySQL's is in [`mysql`].

pub mod mysql;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The table.
pub const TABLE: &str = "landfall_migrations";

/// What is selected from it: key, digest, state, when it began, what there is to say.
pub const ROWS: &str = "SELECT name, sha256, CASE WHEN applied_at IS NULL THEN 'unfinished' ELSE 'applied' END, \
     date_trunc('second', started_at)::text, 'by ' || applied_by || ' in run ' || run FROM {table} ORDER BY name";

/// Where the table is, or will be: asked for before anything is applied, for a file may change what an unqualified name means. Beside it,
/// why the table that is there is not one to believe or to write to: whoever owns it may have put rows into it, and what a trigger does is
/// done by this login.
pub const SCHEMA: &str = "SELECT quote_ident(coalesce(t.schemaname::text, current_schema()::text)), \
     CASE WHEN t.tableowner <> current_user AND NOT o.rolsuper THEN 'belongs to ' || quote_ident(t.tableowner) \
     WHEN t.hastriggers OR t.hasrules THEN 'has triggers or rules' END \
     FROM (SELECT 1) one LEFT JOIN (SELECT * FROM pg_catalog.pg_tables WHERE tablename = 'landfall_migrations' ORDER BY schemaname LIMIT 1) t \
     ON true LEFT JOIN pg_catalog.pg_roles o ON o.rolname = t.tableowner";

/// The class of Landfall's locks in a database: "Land".
pub const LOCKS: u32 = 0x4c61_6e64;

/// What is said where another session still applies files: a client that died may have left it behind.
pub const BUSY: &str = "another session still applies migrations to this database";

/// Makes the table, where it is not there.
pub fn create(schema: &str) -> String {
    format!(
        "BEGIN;\nSET LOCAL client_min_messages = warning;\n\
         CREATE TABLE IF NOT EXISTS {schema}.{TABLE} (\n\
         \x20 name text PRIMARY KEY,\n\
         \x20 sha256 text NOT NULL,\n\
         \x20 started_at timestamptz NOT NULL,\n\
         \x20 applied_at timestamptz,\n\
         \x20 run text NOT NULL,\n\
         \x20 applied_by text NOT NULL\n\
         );\nCOMMIT;\n"
    )
}

/// A file that is to be applied, and what the history keeps of that.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The table's schema, quoted.
    pub schema: &'a str,
    /// The file's name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// SHA-256 of that, in hex.
    pub sha256: &'a str,
    /// Whether it runs in one transaction.
    pub transaction: bool,
    /// The run.
    pub run: &'a str,
    /// Who started it.
    pub who: &'a str,
    /// How long a statement may wait for a lock.
    pub lock_timeout_ms: Option<u64>,
}

impl Work<'_> {
    /// What the session calls itself: by that its end is waited for, and it is ended by a cancel.
    pub fn session(run: &str) -> String {
        format!("migration of {run}")
    }

    /// What psql reads. The file begins in its first line, so that psql's line numbers are the file's.
    pub fn script(&self) -> String {
        let Self { schema, text, transaction, run, .. } = self;
        // What is the transaction's own ends with it: behind a connection pool, what is the session's would be left to somebody else.
        let (begin, set, lock) = if *transaction { ("BEGIN; ", "SET LOCAL", "xact_lock") } else { ("", "SET", "lock") };
        let mut out = format!("{begin}{set} application_name = {}; ", quoted(&Self::session(run)));
        if let Some(limit) = self.lock_timeout_ms {
            let _ = write!(out, "{set} lock_timeout = {limit}; ");
        }
        let _ = write!(
            out,
            "DO $landfall$ BEGIN IF NOT pg_try_advisory_{lock}({LOCKS}, 2) THEN RAISE EXCEPTION '{BUSY}'; END IF; END $landfall$; "
        );
        let (name, sha256, run, who) = (quoted(self.name), quoted(self.sha256), quoted(run), quoted(self.who));
        let into = format!("INSERT INTO {schema}.{TABLE} (name, sha256, started_at, applied_at, run, applied_by)");
        if *transaction {
            out.push_str(
                "DO $landfall$ BEGIN PERFORM set_config('landfall.transaction', txid_current()::text, true); END $landfall$; ",
            );
        } else {
            // What ends before its end is told by this row, for nothing else would.
            let _ = write!(out, "{into} VALUES ({name}, {sha256}, clock_timestamp(), NULL, {run}, {who}); ");
        }
        out.push_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        // The last statement may lack its semicolon, the last comment its line's end.
        out.push_str("\n;\nRESET ROLE;\n");
        if *transaction {
            // In another transaction than the one that was begun, nobody knows what of the file is in the database. Its own settings, such
            // as dumps begin with, are not to outlive it either.
            let _ = write!(
                out,
                "{into} VALUES ({name}, {sha256}, now(), CASE WHEN current_setting('landfall.transaction', true) = txid_current()::text \
                 THEN clock_timestamp() END, {run}, {who});\nRESET ALL;\nCOMMIT;\n"
            );
        } else {
            let _ = writeln!(
                out,
                "UPDATE {schema}.{TABLE} SET applied_at = clock_timestamp() WHERE name = {name} AND applied_at IS NULL;"
            );
        }
        out
    }
}

/// SHA-256 of a file, as the history keeps it.
pub fn digest(text: &str) -> String {
    super::hex(&Sha256::digest(text.as_bytes()))
}

/// Ends what a run's client has left in the server: its transactions are rolled back.
pub fn end_sessions(run: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE datname = current_database() AND application_name = {}",
        quoted(&Work::session(run))
    )
}

/// A literal that means the same whatever the server's settings for strings are.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "/").replace('\'', "''"))
}

/// The line and the server's words of the error that psql stopped at; what it adds stands in the output.
pub fn error(said: &str) -> Option<(usize, &str)> {
    said.lines().find_map(split)
}

fn split(line: &str) -> Option<(usize, &str)> {
    let (number, words) = line.strip_prefix("psql:<stdin>:")?.split_once(": ")?;
    let wrong = ["ERROR:", "FATAL:", "PANIC:", "error:"].iter().any(|sign| words.starts_with(sign));
    if wrong { Some((number.parse().ok()?, words)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(text: &str, transaction: bool) -> Work<'_> {
        Work {
            schema: "public",
            name: "002_o'hara.sql",
            text,
            sha256: "abc",
            transaction,
            run: "kkkk",
            who: "ana@laptop\\x",
            lock_timeout_ms: Some(5000),
        }
    }

    #[test]
    fn a_file_and_its_row_are_one_transaction() {
        insta::assert_snapshot!(work("\u{feff}-- 2026-01-02: why\nCREATE TABLE a (id int)", true).script(), @r"
        BEGIN; SET LOCAL application_name = 'migration of kkkk'; SET LOCAL lock_timeout = 5000; DO $landfall$ BEGIN IF NOT pg_try_advisory_xact_lock(1281453668, 2) THEN RAISE EXCEPTION 'another session still applies migrations to this database'; END IF; END $landfall$; DO $landfall$ BEGIN PERFORM set_config('landfall.transaction', txid_current()::text, true); END $landfall$; -- 2026-01-02: why
        CREATE TABLE a (id int)
        ;
        RESET ROLE;
        INSERT INTO public.landfall_migrations (name, sha256, started_at, applied_at, run, applied_by) VALUES ('002_o''hara.sql', 'abc', now(), CASE WHEN current_setting('landfall.transaction', true) = txid_current()::text THEN clock_timestamp() END, 'kkkk', 'ana@laptop/x');
        RESET ALL;
        COMMIT;
        ");
    }

    #[test]
    fn without_a_transaction_the_row_comes_first() {
        insta::assert_snapshot!(work("CREATE INDEX CONCURRENTLY i ON a (id); -- end", false).script(), @r"
        SET application_name = 'migration of kkkk'; SET lock_timeout = 5000; DO $landfall$ BEGIN IF NOT pg_try_advisory_lock(1281453668, 2) THEN RAISE EXCEPTION 'another session still applies migrations to this database'; END IF; END $landfall$; INSERT INTO public.landfall_migrations (name, sha256, started_at, applied_at, run, applied_by) VALUES ('002_o''hara.sql', 'abc', clock_timestamp(), NULL, 'kkkk', 'ana@laptop/x'); CREATE INDEX CONCURRENTLY i ON a (id); -- end
        ;
        RESET ROLE;
        UPDATE public.landfall_migrations SET applied_at = clock_timestamp() WHERE name = '002_o''hara.sql' AND applied_at IS NULL;
        ");
    }

    #[test]
    fn the_error_is_found_among_what_psql_says() {
        let said = "psql:<stdin>:2: NOTICE:  relation \"a\" already exists, skipping\n\
                    psql:<stdin>:7: ERROR:  relation \"nope\" does not exist\nLINE 1: ALTER TABLE nope\n                    ^\n";
        assert_eq!(error(said), Some((7, "ERROR:  relation \"nope\" does not exist")));
        let gone = "psql:<stdin>:3: error: connection to server was lost\n";
        assert_eq!(error(gone), Some((3, "error: connection to server was lost")));
        assert_eq!(error("psql: error: no such file\n"), None);
    }
}

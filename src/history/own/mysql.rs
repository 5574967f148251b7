//! The same history in MySQL and MariaDB, where no change of the schema can be taken back: the row is there before the file begins, and
//! says that it ended only when it did. Texts only.

use std::fmt::Write as _;

use super::{TABLE, Work, quoted};

/// What is selected from it: key, digest, state, when it began, what there is to say.
pub const ROWS: &str = "SELECT name, sha256, IF(applied_at IS NULL, 'unfinished', 'applied'), CONCAT(started_at, '+00'), \
     CONCAT('by ', applied_by, ' in run ', run) FROM {table} ORDER BY name";

/// Makes the table, where it is not there.
pub fn create(schema: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {schema}.{TABLE} (\n\
         \x20 name varchar(255) PRIMARY KEY,\n\
         \x20 sha256 char(64) NOT NULL,\n\
         \x20 started_at datetime NOT NULL,\n\
         \x20 applied_at datetime,\n\
         \x20 run varchar(64) NOT NULL,\n\
         \x20 applied_by text NOT NULL\n\
         ) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
    )
}

/// What mysql reads: a line of its own, and then the file.
pub fn script(work: &Work<'_>) -> String {
    let Work { schema, text, run, .. } = work;
    let mut out = String::new();
    if let Some(limit) = work.lock_timeout_ms {
        let seconds = limit.div_ceil(1000).max(1);
        let _ = write!(out, "SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}; ");
    }
    let (name, sha256, who) = (quoted(work.name), quoted(work.sha256), quoted(work.who));
    // One statement takes the lock and writes the row: who does not get the lock has no digest to write, and that is an error.
    let _ = writeln!(
        out,
        "DO GET_LOCK({}, 0); INSERT INTO {schema}.{TABLE} (name, sha256, started_at, run, applied_by) \
         VALUES ({name}, IF(GET_LOCK({ALONE}, 0) = 1, {sha256}, NULL), UTC_TIMESTAMP(), {run}, {who});",
        quoted(&Work::session(run)),
        run = quoted(run),
    );
    out.push_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    // The last statement may lack its semicolon, and a transaction of the file its end.
    let _ = write!(
        out,
        "\n;\nUPDATE {schema}.{TABLE} SET applied_at = UTC_TIMESTAMP() WHERE run = {} AND applied_at IS NULL;\nCOMMIT;\n",
        quoted(run)
    );
    out
}

/// The lock of who applies files: a name may have 64 characters.
const ALONE: &str = "CONCAT('landfall files ', LEFT(DATABASE(), 48))";

/// Asks for the connection that a run's client has left in the server.
pub fn session(run: &str) -> String {
    format!("SELECT IS_USED_LOCK({})", quoted(&Work::session(run)))
}

/// Ends a connection: its statement is taken back, what came before stays.
pub fn end(connection: u64) -> String {
    format!("KILL {connection};\n")
}

/// Where a file's error is, and what the server or the client said; the statement that is quoted before it may say anything.
pub fn error(said: &str) -> Option<(usize, String)> {
    said.lines().rev().find_map(split)
}

/// Whether that is the row that could not be written, for another session has the lock or has begun the file.
pub fn is_busy((line, words): &(usize, String)) -> bool {
    *line == 0 && ["ERROR 1048 ", "ERROR 1062 "].iter().any(|code| words.starts_with(code))
}

/// `ERROR 1146 (42S02) at line 4: …`; the line before the file's first is our own.
fn split(line: &str) -> Option<(usize, String)> {
    let (code, rest) = line.strip_prefix("ERROR ")?.split_once("at line ")?;
    let (number, words) = rest.split_once(": ")?;
    let code = format!("ERROR {code}");
    Some((number.parse::<usize>().ok()?.saturating_sub(1), format!("{}: {words}", code.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_written_by_who_gets_the_lock_and_finished_at_the_end() {
        let work = Work {
            schema: "`shop`",
            name: "002_o'hara.sql",
            text: "\u{feff}-- 2026-01-02: why\nCREATE TABLE a (id int) -- end",
            sha256: "abc",
            transaction: false,
            run: "kkkk",
            who: "ana@laptop\\x",
            lock_timeout_ms: Some(1500),
        };
        insta::assert_snapshot!(script(&work), @r"
        SET SESSION lock_wait_timeout = 2, innodb_lock_wait_timeout = 2; DO GET_LOCK('migration of kkkk', 0); INSERT INTO `shop`.landfall_migrations (name, sha256, started_at, run, applied_by) VALUES ('002_o''hara.sql', IF(GET_LOCK(CONCAT('landfall files ', LEFT(DATABASE(), 48)), 0) = 1, 'abc', NULL), UTC_TIMESTAMP(), 'kkkk', 'ana@laptop/x');
        -- 2026-01-02: why
        CREATE TABLE a (id int) -- end
        ;
        UPDATE `shop`.landfall_migrations SET applied_at = UTC_TIMESTAMP() WHERE run = 'kkkk' AND applied_at IS NULL;
        COMMIT;
        ");
    }

    #[test]
    fn the_error_is_found_behind_the_statement_that_it_quotes() {
        let said = "--------------\nSELECT '\nERROR 1 (x) at line 1: x\n', 'nope' FROM nope\n--------------\n\n\
                    ERROR 1146 (42S02) at line 5: Table 'shop.nope' doesn't exist\n";
        assert_eq!(error(said), Some((4, "ERROR 1146 (42S02): Table 'shop.nope' doesn't exist".to_owned())));
        let client = error("ERROR at line 3: Unknown command '\\!'.\n");
        assert_eq!(client, Some((2, "ERROR: Unknown command '\\!'.".to_owned())));
        let busy = error("ERROR 1048 (23000) at line 1: Column 'sha256' cannot be null\n").expect("error");
        assert!(is_busy(&busy) && !is_busy(&(1, busy.1.clone())));
        assert_eq!(error("ERROR 2002 (HY000): Can't connect\n"), None);
    }
}

//! What the files of migrations were when they were applied, remembered in the database itself for a tool whose history holds no digest:
//! it goes where the data goes, and every host that reaches it reads the same. A look corrects the history by it; a run writes down what
//! it saw. Must not know what a file is about.

use std::fmt::Write as _;

use crate::action::Model;
use crate::history::remembered::{Due, Remembered};
use crate::host::database::own::{Place, Table, now, write};
use crate::host::database::{Access, Row, Trouble, literal};
use crate::name::RunId;
use crate::protocol::Engine;

/// Asks for what is remembered of a tool's history.
pub(super) fn query(access: &Access, model: &Model) -> String {
    format!("SELECT entry, sha256, run, at FROM {} WHERE history = {}", Table::Applied.of(access), history(access, model))
}

/// By the table that a model names, in whatever schema it is found: before the first migration it is in none.
fn history(access: &Access, model: &Model) -> String {
    literal(access.engine(), &model.history.table)
}

/// The rows of that; what was taken back, or is not Landfall's, is not remembered.
pub(super) fn remembered(rows: Vec<Row>) -> Vec<Remembered> {
    rows.into_iter().filter_map(one).collect()
}

fn one(row: Row) -> Option<Remembered> {
    let [key, sha256, run, at] = row.try_into().ok()?;
    let run: RunId = run?.parse().ok()?;
    let sha256 = sha256.filter(|sha256| sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let at = at.filter(|at| humantime::parse_rfc3339(at).is_ok())?;
    Some(Remembered { key: key?, sha256, run: run.to_string(), at })
}

/// Writes down what a run saw. The database's lock must be held.
pub(in crate::host) fn write_down(access: &Access, place: Place, model: &Model, due: &Due, run: &RunId) -> Result<(), Trouble> {
    let text = |text: &str| literal(access.engine(), text);
    let (table, history) = (Table::Applied.of(access), history(access, model));
    let mut sql = if place == Place::Free { Table::Applied.create(access, columns(access.engine())) } else { String::new() };
    let again = match access.engine() {
        Engine::Postgres => {
            "ON CONFLICT (history, entry) DO UPDATE SET sha256 = EXCLUDED.sha256, run = EXCLUDED.run, at = EXCLUDED.at"
        }
        Engine::Mysql => "ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256), run = VALUES(run), at = VALUES(at)",
    };
    if !due.learn.is_empty() {
        let (run, now) = (text(run.as_str()), now(access.engine()));
        let values = due.learn.iter().map(|(key, sha256)| format!("({history}, {}, {}, {run}, {now})", text(key), text(sha256)));
        let values = values.collect::<Vec<_>>().join(",\n");
        let _ = writeln!(sql, "INSERT INTO {table} (history, entry, sha256, run, at) VALUES\n{values} {again};");
    }
    if !due.forget.is_empty() {
        let keys = due.forget.iter().map(|key| text(key)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(sql, "UPDATE {table} SET sha256 = NULL WHERE history = {history} AND entry IN ({keys});");
    }
    write(access, &sql)
}

fn columns(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "\x20 history text NOT NULL,\n  entry text NOT NULL,\n  sha256 text,\n  run text NOT NULL,\n  at text NOT NULL,\n  \
             PRIMARY KEY (history, entry)\n"
        }
        // Names that differ in their case alone are two.
        Engine::Mysql => {
            "\x20 history varchar(130) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n  \
             entry varchar(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n  sha256 varchar(64),\n  \
             run varchar(64) NOT NULL,\n  at varchar(64) NOT NULL,\n  PRIMARY KEY (history, entry)\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_not_landfalls_is_not_believed() {
        let run = RunId::from_random([7; 6]).to_string();
        let digest = "0123456789abcdef".repeat(4);
        let row = |sha256: &str, run: &str, at: &str| {
            [Some("001_a"), Some(sha256), Some(run), Some(at)].map(|cell| cell.map(str::to_owned)).to_vec()
        };
        let at = "2026-01-02T03:04:05.678Z";
        let good = row(&digest, &run, at);
        let taken_back = vec![Some("002_b".to_owned()), None, Some(run.clone()), Some(at.to_owned())];
        let rows = vec![row("no digest", &run, at), row(&digest, "x; y", at), row(&digest, &run, "then"), taken_back, good];
        let kept = Remembered { key: "001_a".to_owned(), sha256: digest, run, at: at.to_owned() };
        assert_eq!(remembered(rows), [kept]);
    }
}

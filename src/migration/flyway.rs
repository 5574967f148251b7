//! Flyway, from its source (13.0.0). `info` ends with 0 whatever is pending; its table tells. What is repeated, and what runs with each
//! migration, is looked at like migrations are.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// A row of its table in one of these states. The column behind tells what can be taken back; it is not in the table of older ones.
macro_rules! state {
    ($states:literal) => {
        concat!(r"\|\s*(?:", $states, r")\s*\|(?:\s*(?:Yes|No)?\s*\|)?\s*$")
    };
}

/// What the history calls a migration of a row: its version, or the description of one that is repeated.
macro_rules! rows {
    ($again:literal, $again_later:literal, $checksum:literal, $at:literal) => {
        concat!(
            "SELECT COALESCE(version, ",
            $again,
            "), ",
            $checksum,
            ", CASE WHEN success AND type LIKE '%BASELINE' THEN 'stands' \
             WHEN EXISTS (SELECT 1 FROM {table} AS later WHERE later.installed_rank > one.installed_rank AND later.success \
             AND (later.type = 'DELETE' OR later.type LIKE 'UNDO%') AND COALESCE(later.version, ",
            $again_later,
            ") = COALESCE(one.version, ",
            $again,
            ")) THEN 'undone' WHEN success THEN 'applied' ELSE 'unfinished' END, ",
            $at,
            " FROM {table} AS one WHERE type IN ('SQL', 'SQL_BASELINE', 'BASELINE') ORDER BY installed_rank"
        )
    };
}

/// Flyway.
pub(super) const FLYWAY: Tool = Tool {
    name: "flyway",
    status: &["flyway", "info"],
    apply: &["flyway", "migrate"],
    preview: None,
    failed: &[
        (
            state!(r"Failed|Missing|Future|Failed \(Missing\)|Failed \(Future\)"),
            "a migration failed, or files and history have parted",
        ),
        (
            state!("Ignored"),
            "Flyway passes over one that was never applied (Ignored): it is older than the newest applied one. Give it a later version; `outOfOrder` applies it all the same",
        ),
        (
            state!("Above Target"),
            "Flyway is told to stop at a `target`, and there is more above it: take the target out of its configuration",
        ),
    ],
    pending: (&[0], state!("Pending")),
    up_to_date: (0, state!("Success|Baseline|Out of Order")),
    names: (r"", concat!(r"^\|\s*(?:(?:Versioned|Baseline)\s*\||Repeatable\s*\|\s*\|)\s*([^|]*?)\s*\|.*", state!("Pending"))),
    success: r"(Successfully applied \d+ migrations? to schema|No migration necessary)",
    failure: r"^ERROR:",
    kept: &[Kept {
        folders: &["sql", "/flyway/sql", "db/migration"],
        shape: Shape::Versions,
        digest: Some(Digest::Crc32Lines),
        table: "flyway_schema_history",
        postgres: rows!(
            "'R__' || one.description",
            "'R__' || later.description",
            "checksum::text",
            "date_trunc('second', installed_on)::text, NULL::text"
        ),
        mysql: rows!("CONCAT('R__', one.description)", "CONCAT('R__', later.description)", "checksum", "installed_on, NULL"),
        reading: Reading::Each,
        late: Late::Refuses,
        tolerates: &[],
        done: "say so in the history: UPDATE flyway_schema_history SET success = true WHERE COALESCE(version, description) = '{name}' AND NOT success",
        undone: "flyway repair",
        back: "",
        lock: None,
    }],
    hints: &[(
        r"Migration checksum mismatch",
        "an applied migration was edited: bring the file back; `flyway repair` would only hide it",
    )],
};

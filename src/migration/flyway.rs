//! Flyway, from its source (13.0.0). `info` ends with 0 whatever is pending; its table tells.

use super::{Kept, Shape, Tool};
use crate::action::{Digest, Late, Reading};

/// Flyway.
pub(super) const FLYWAY: Tool = Tool {
    name: "flyway",
    status: &["flyway", "info"],
    apply: &["flyway", "migrate"],
    preview: None,
    failed: &[(r"\|\s*(Failed|Missing|Future|Failed \(Missing\))\s*\|", "a migration failed, or files and history have parted")],
    pending: (&[0], r"\|\s*(Pending|Above Target)\s*\|"),
    up_to_date: (0, r"\|\s*(Success|Baseline)\s*\|"),
    names: (r"", r"^\|\s*Versioned\s*\|\s*(\S+)\s*\|.*\|\s*Pending\s*\|"),
    success: r"(Successfully applied \d+ migrations? to schema|No migration necessary)",
    failure: r"^ERROR:",
    kept: &[Kept {
        folders: &["sql", "/flyway/sql", "db/migration"],
        shape: Shape::Files(r"^V(?P<key>\d+(?:[._]\d+)*)__[^/]*\.sql$"),
        digest: Some(Digest::Crc32Lines),
        table: "flyway_schema_history",
        postgres: "SELECT version, checksum::text, CASE WHEN success THEN 'applied' ELSE 'unfinished' END, date_trunc('second', installed_on)::text, NULL::text FROM {table} WHERE version IS NOT NULL AND type = 'SQL' ORDER BY installed_rank",
        mysql: "SELECT version, checksum, CASE WHEN success THEN 'applied' ELSE 'unfinished' END, installed_on, NULL FROM {table} WHERE version IS NOT NULL AND type = 'SQL' ORDER BY installed_rank",
        reading: Reading::Each,
        late: Late::Refuses,
        done: "flyway repair, then add its row",
        undone: "flyway repair",
        back: "",
        lock: None,
    }],
    hints: &[(
        r"Migration checksum mismatch",
        "an applied migration was edited: bring the file back; `flyway repair` would only hide it",
    )],
};

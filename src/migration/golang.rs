//! golang-migrate, from its source. Its history is one row: all that is older is taken for applied. Its commands hold the URL, so a playbook
//! says them: `["sh", "-c", …]` with the variable of the image.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// golang-migrate.
pub(super) const GOLANG: Tool = Tool {
    name: "golang-migrate",
    status: &[],
    apply: &[],
    preview: None,
    failed: &[(r"^error: Dirty database version", "a migration failed, and the database is marked dirty")],
    pending: (&[0], r""),
    up_to_date: (0, r""),
    names: (r"", r""),
    success: r"",
    failure: r"^error: ",
    kept: &[Kept {
        folders: &["migrations", "db/migrations"],
        shape: Shape::Files(r"^(?P<name>(?P<key>\d+)_[^/]*)\.up\.sql$"),
        digest: None,
        table: "schema_migrations",
        postgres: "SELECT version::text, NULL::text, CASE WHEN dirty THEN 'unfinished' ELSE 'applied' END, NULL::text, NULL::text FROM {table}",
        mysql: "SELECT version, NULL, CASE WHEN dirty THEN 'unfinished' ELSE 'applied' END, NULL, NULL FROM {table}",
        reading: Reading::Last,
        late: Late::Skips,
        tolerates: &["edited", "missing", "skipped"],
        done: "migrate -path DIR -database URL force {key}, with the options of the step's own commands",
        undone: "migrate -path DIR -database URL force VERSION, with the options of the step's own commands, and the version before {key} (`-- -1` where there is none)",
        back: "",
        lock: None,
    }],
    hints: &[(
        r"^error: Dirty database version",
        "a migration failed: look at what it left, then `migrate -path DIR -database URL force VERSION`, with the options of the step's own commands",
    )],
};

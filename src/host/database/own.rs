//! Tables of Landfall's own in a project's database. PostgreSQL has them in a schema of their own, so that a migration tool finds nothing
//! in its schema that it did not make; MySQL, whose schemas are databases, beside the application's tables. One is made by the first run
//! that has something to write into it: whoever only looks makes nothing. Must not know what they hold.

use super::{Access, LOCAL, MYSQL, PSQL, Row, Trouble, ident};
use crate::protocol::Engine;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Table {
    /// Which steps ran.
    Ledger,
    /// What the files of migrations were when they were applied.
    Applied,
}

/// Whether the database holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Place {
    /// It does, and this login may read and write it.
    There,
    /// It may be made.
    Free,
}

/// Why it may not be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) struct Closed {
    /// In words.
    pub(in crate::host) why: String,
    /// It is there, may be read, and nobody else writes to it.
    pub(in crate::host) readable: bool,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Applied => "applied",
        }
    }

    /// As a statement names it.
    pub(in crate::host) fn of(self, access: &Access) -> String {
        match access.engine {
            Engine::Postgres => format!("landfall.{}", self.name()),
            Engine::Mysql => format!("{}.landfall_{}", ident(Engine::Mysql, &access.facts.name), self.name()),
        }
    }

    /// Asks for its place.
    pub(in crate::host) fn look(self, engine: Engine) -> String {
        match engine {
            Engine::Postgres => POSTGRES,
            Engine::Mysql => MYSQL_PLACE,
        }
        .replace("{name}", self.name())
    }

    /// Its place, by the answer.
    pub(in crate::host) fn place(self, engine: Engine, found: Vec<Row>) -> Result<Place, Closed> {
        let name = self.name();
        let [state, readable] = found.into_iter().next().unwrap_or_default().try_into().unwrap_or([const { None }; 2]);
        let why = match (state.as_deref(), engine) {
            (Some("there"), _) => return Ok(Place::There),
            (Some("free"), _) => return Ok(Place::Free),
            (Some("standby"), _) => "the server only reads: it is a standby, or was told so".to_owned(),
            (Some("foreign"), _) => {
                format!("the table landfall.{name} belongs to another login, which could write into it what it likes")
            }
            (_, Engine::Postgres) => "this login may neither use nor make the schema landfall there".to_owned(),
            (_, Engine::Mysql) => format!("this login may neither use nor make the table landfall_{name} there"),
        };
        Err(Closed { why, readable: readable.as_deref() == Some("yes") })
    }

    /// Makes it, where it is not there.
    pub(in crate::host) fn create(self, access: &Access, columns: &str) -> String {
        let schema = match access.engine {
            Engine::Postgres => {
                "SET LOCAL client_min_messages = warning;\nDO $landfall$ BEGIN IF to_regnamespace('landfall') IS NULL THEN \
                 CREATE SCHEMA landfall; END IF; END $landfall$;\n"
            }
            Engine::Mysql => "",
        };
        format!("{schema}CREATE TABLE IF NOT EXISTS {} (\n{columns});\n", self.of(access))
    }
}

const POSTGRES: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' THEN 'standby' \
     WHEN pg_get_userbyid(c.relowner) <> current_user AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = c.relowner) THEN 'foreign' \
     WHEN c.oid IS NOT NULL THEN CASE WHEN has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
     AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') THEN 'there' ELSE 'closed' END \
     WHEN n.oid IS NOT NULL THEN CASE WHEN has_schema_privilege(n.oid, 'CREATE') THEN 'free' ELSE 'closed' END \
     WHEN has_database_privilege(current_database(), 'CREATE') THEN 'free' ELSE 'closed' END, \
     CASE WHEN (pg_get_userbyid(c.relowner) = current_user OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = c.relowner)) \
     AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') THEN 'yes' END \
     FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'landfall' \
     LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = '{name}'";

/// MySQL tells a login of its own grants; those that come by a role are not among them.
const MYSQL_PLACE: &str = "SELECT CASE WHEN @@GLOBAL.read_only <> 0 THEN 'standby' \
     WHEN EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'landfall_{name}') THEN 'there' \
     WHEN EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema AND privilege_type = 'CREATE') \
     OR EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'CREATE') THEN 'free' ELSE 'closed' END, \
     CASE WHEN EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'landfall_{name}') \
     THEN 'yes' END";

/// The moment by the server's clock, RFC 3339: which of two hosts was the later one, theirs may not say.
pub(in crate::host) fn now(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => r#"to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#,
        Engine::Mysql => "DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%fZ')",
    }
}

/// Writes to one, in one transaction where the server has that for what is made.
pub(in crate::host) fn write(access: &Access, sql: &str) -> Result<(), Trouble> {
    match access.engine {
        // A backslash is a backslash, whatever the server's settings for strings are.
        Engine::Postgres => {
            let begin = format!("BEGIN;\n{LOCAL}SET LOCAL standard_conforming_strings = on;\n");
            access.look(&PSQL, format!("{begin}{sql}COMMIT;\n").as_bytes())
        }
        Engine::Mysql => access.look(&MYSQL, sql.as_bytes()),
    }
    .map(drop)
}

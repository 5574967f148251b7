//! The database of a bench: the droplet's own PostgreSQL, or a MariaDB beside it. It is asked, not Landfall.

use crate::droplet::{Droplet, Droplets, eventually};
use crate::mariadb::Maria;
use crate::project::Project;

/// A server, and what differs between the two.
pub(super) enum Database<'d> {
    Postgres(&'d Droplet),
    Maria(&'d Droplet, Maria<'d>),
}

impl<'d> Database<'d> {
    /// The droplet's PostgreSQL.
    pub(super) fn postgres(droplets: &'d Droplets) -> (Self, Project) {
        (Self::Postgres(&droplets[0]), Project::on(droplets))
    }

    /// A MariaDB of its own.
    pub(super) fn maria(droplets: &'d Droplets) -> (Self, Project) {
        let maria = Maria::on(&droplets[0]);
        (Self::Maria(&droplets[0], maria), Maria::project(droplets, Maria::SERVICE))
    }

    /// The list of compose files in the inventory.
    pub(super) fn files(&self) -> &'static str {
        match self {
            Self::Postgres(_) => r#"files = ["docker-compose.prod.yml""#,
            Self::Maria(..) => r#"files = ["compose.yml""#,
        }
    }

    /// How a service is told its URL.
    pub(super) fn environment(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "env_file: ../.env",
            Self::Maria(..) => "environment: { DATABASE_URL: \"${NEAR_URL}\" }",
        }
    }

    /// Asks it.
    pub(super) fn sql(&self, query: &str) -> String {
        match self {
            Self::Postgres(droplet) => droplet.sql(query),
            Self::Maria(_, maria) => maria.sql(query),
        }
    }

    /// Takes away what Landfall remembered of files.
    pub(super) fn forget(&self) {
        match self {
            Self::Postgres(droplet) => droplet.sql("DROP TABLE landfall.applied"),
            Self::Maria(_, maria) => maria.sql("DROP TABLE landfall_applied"),
        };
    }

    /// Whether a table is there.
    pub(super) fn has(&self, table: &str) -> bool {
        match self {
            Self::Postgres(droplet) => !droplet.sql(&format!("SELECT to_regclass('{table}')")).is_empty(),
            Self::Maria(_, maria) => maria.has(table),
        }
    }

    /// Whether what failed takes back what it did before.
    pub(super) fn takes_back(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// A statement that does not end by itself.
    pub(super) fn sleep(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "SELECT pg_sleep(600)",
            Self::Maria(..) => "SELECT SLEEP(600)",
        }
    }

    /// Whether that is under way.
    pub(super) fn sleeps(&self) -> bool {
        match self {
            Self::Postgres(droplet) => droplet.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1",
            Self::Maria(_, maria) => maria.works_on("SELECT SLEEP"),
        }
    }

    /// Ends it in the server, as an administrator or a restart would.
    pub(super) fn wake(&self) {
        match self {
            Self::Postgres(droplet) => {
                droplet.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
            }
            Self::Maria(_, maria) => {
                let id = maria.root("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'");
                maria.root(&format!("KILL {id}"));
            }
        }
    }

    /// Its server is gone while this is done.
    pub(super) fn without(&self, done: impl FnOnce()) {
        let (droplet, container, answers) = match self {
            Self::Postgres(droplet) => (droplet, "deployment-postgres-1", "pg_isready"),
            Self::Maria(droplet, _) => (droplet, "it-maria-maria-1", "mariadb-admin --silent ping"),
        };
        droplet.sh(&format!("docker stop --time 20 {container} </dev/null"));
        done();
        droplet.sh(&format!("docker start {container} </dev/null"));
        eventually("the database is back", || droplet.try_sh(&format!("docker exec {container} {answers} </dev/null")).0 == 0);
    }
}

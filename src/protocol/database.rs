//! How a project's database is reached, as it travels: names and places, never the value of a secret.

use serde::{Deserialize, Serialize};

use crate::name::ServiceName;
use crate::secret::SecretRef;

/// The project's database, and where a client of it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The way to it.
    pub way: Way,
    /// Which database server; none: it is found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// The database's name; none: what the container or the URL says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The login; none: what the container or the URL says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The certificates that the server's is checked with: a file on the host. With it TLS is a must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// The way to a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Inside the container of a service of the project, by that container's own environment.
    Service(ServiceName),
    /// By a URL that is a secret of the host, from a one-off container.
    Url {
        /// The secret.
        secret: SecretRef,
        /// The image that holds the client programs.
        client_image: String,
    },
}

/// A database server that Landfall knows how to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
}

impl Engine {
    /// Its name, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
        }
    }
}

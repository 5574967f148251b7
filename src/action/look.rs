//! What a look asks, beside HTTP: pure data, like all actions.

use serde::{Deserialize, Serialize};

use super::{Compare, Probe};
use crate::name::ServiceName;

/// How long many exchanges may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentile {
    /// So many of a hundred exchanges, from 1 to 100 …
    pub percent: u8,
    /// … take no longer than this.
    pub within_ms: u64,
    /// How many there are.
    pub samples: u32,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpProbe {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// For one attempt.
    pub timeout_ms: u64,
}

/// What a container must be. Running and not unhealthy in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProbe {
    /// Which service.
    pub service: ServiceName,
    /// It must have a health check, and that must say healthy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub healthy: bool,
    /// Docker may have started it anew so often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// It must have run for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
    /// Its image must be the one that the compose file names now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deployed: bool,
}

/// What must not stand in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsProbe {
    /// Whose log.
    pub service: ServiceName,
    /// A line that matches any of these counts.
    pub patterns: Vec<String>,
    /// Unless it matches one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// From when on.
    pub since: Since,
    /// So many lines are accepted.
    pub at_most: u32,
}

/// From when on a log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// Since the run began.
    Run,
    /// Since the container was started: the last `up`.
    Up,
    /// For so long, in milliseconds.
    Ago(u64),
}

/// Room that must be left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskProbe {
    /// The file system that holds this; nothing: Docker's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// So many bytes must be free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// So many of a hundred bytes must be free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_percent: Option<u8>,
    /// So many of a hundred inodes must be free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes_percent: Option<u8>,
}

/// What a database must answer, in a transaction that only reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseProbe {
    /// What is asked; its first row's first value is what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What that value must be; nothing: there must be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<(Compare, serde_json::Value)>,
    /// Tables that must be there: "orders" or "shop.orders".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

/// Looks again and again, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// From the first look on.
    pub for_ms: u64,
    /// From the start of one look to the next.
    pub every_ms: u64,
    /// So many of a thousand looks may go wrong.
    pub errors_per_mille: u32,
}

impl Probe {
    /// The services that it looks at.
    pub fn services(&self) -> Vec<&ServiceName> {
        match self {
            Self::Network { service, .. } => vec![service],
            Self::Container(probe) => vec![&probe.service],
            Self::Logs(probe) => vec![&probe.service],
            Self::Migrations(migrate) => vec![&migrate.service],
            Self::Sides { of } => of.iter().flat_map(Self::services).collect(),
            Self::Watch { of, .. } => of.services(),
            Self::Host(_) | Self::Tcp(_) | Self::Private { .. } | Self::Disk(_) | Self::Database(_) => Vec::new(),
        }
    }

    /// Whether it asks the project's database.
    pub fn asks_database(&self) -> bool {
        match self {
            Self::Database(_) => true,
            // Files and history are looked at beside what the tool says.
            Self::Migrations(migrate) => !migrate.models.is_empty(),
            Self::Watch { of, .. } => of.asks_database(),
            _ => false,
        }
    }

    /// From which side it looks.
    pub fn side(&self) -> &'static str {
        match self {
            Self::Host(_) | Self::Tcp(_) | Self::Private { .. } | Self::Disk(_) | Self::Sides { .. } => "host",
            Self::Network { .. } => "network",
            Self::Container(_) | Self::Logs(_) | Self::Migrations(_) | Self::Database(_) => "container",
            Self::Watch { of, .. } => of.side(),
        }
    }
}

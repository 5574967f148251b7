//! Why a database did not do as it was asked, told apart by what its client said. Its texts are unmasked: for the host's eyes only.

use std::fmt;

use crate::host::process::{Capture, Ended};

/// Why a database did not do as it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) enum Trouble {
    /// The inventory names none.
    NotNamed,
    /// The way to it is not what the inventory says.
    Way(String),
    /// Its service is not running.
    NotRunning(String),
    /// There is no client program where one was looked for.
    NoClient(String),
    /// Nobody answers at its address.
    Unreachable(String),
    /// It does not let this login in.
    Login(String),
    /// It is a connection pool that gives no connection beside the one that holds the lock.
    PoolFull,
    /// It has no database of this name.
    NoDatabase(String),
    /// It answered a statement with an error.
    Sql(String),
    /// Docker or the client did not do its part.
    Client(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed => f.write_str("landfall.toml names no [database]"),
            Self::Way(said) => f.write_str(said),
            Self::NotRunning(service) => write!(f, "the database's service {service} is not running"),
            Self::NoClient(place) => write!(f, "there is no database client (psql, mariadb or mysql) in {place}"),
            Self::Unreachable(said) => write!(f, "the database does not answer: {said}"),
            Self::Login(said) => write!(f, "the database refuses the login: {said}"),
            Self::PoolFull => write!(f, "its connection pool gives no second connection while one holds the lock: {LARGER}"),
            Self::NoDatabase(said) => write!(f, "the database does not exist: {said}"),
            Self::Sql(said) => write!(f, "the database answered: {said}"),
            Self::Client(said) => write!(f, "the database's client failed: {said}"),
        }
    }
}

impl Trouble {
    /// What mends it.
    pub(in crate::host) fn remedy(&self) -> &'static str {
        match self {
            Self::NotNamed => "say there which service or URL it is: [database]",
            Self::Way(_) => "correct [database] in landfall.toml",
            Self::NotRunning(_) => "start it: docker compose up -d; or let the step say `needs`",
            Self::NoClient(_) => "name the database's own service, or a `client_image` that holds psql or mysql",
            Self::Unreachable(_) => "look whether the server runs, and whether the address of [database] is right from the host",
            Self::Login(_) => "look at user and password: of the container's environment, or of the URL",
            Self::PoolFull => LARGER,
            Self::NoDatabase(_) => "create it, or say its `name` under [database]",
            Self::Sql(_) | Self::Client(_) => "try the same by hand on the host",
        }
    }

    /// What a client complained of, as it may be shown.
    pub(in crate::host) fn complaint(kept: &Capture) -> String {
        behind_statement(&String::from_utf8_lossy(&kept.stderr)).to_owned()
    }

    /// What a client's end means; none: it did what it should.
    pub(super) fn of(ended: &Ended, kept: &Capture, place: &str) -> Option<Self> {
        if ended.code == Some(0) {
            return None;
        }
        let text = String::from_utf8_lossy(&kept.stderr);
        let said = behind_statement(text.trim()).to_owned();
        if ended.stopped.is_some() {
            return Some(Self::Unreachable(format!("no answer in time {said}").trim().to_owned()));
        }
        let low = said.to_lowercase();
        let any = |signs: &[&str]| signs.iter().any(|sign| low.contains(sign));
        let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned();
        Some(match ended.code {
            Some(126 | 127) => Self::NoClient(place.to_owned()),
            _ if any(&["executable file not found", "psql: not found", "mysql: not found"]) => Self::NoClient(place.to_owned()),
            _ if any(&["is not running", "no such container"]) && !any(&["is the server running"]) => {
                Self::NotRunning(place.to_owned())
            }
            _ if any(&["no such image", "unable to find image"]) => {
                Self::Way(format!("the image {place} of [database] is not on the host: docker pull {place}"))
            }
            _ if LOGIN.iter().any(|sign| low.contains(sign)) => Self::Login(first),
            _ if any(&["(42000): unknown database", "error 1049", "no such database: "]) => Self::NoDatabase(first),
            _ if low.contains("database \"") && low.contains("does not exist") && low.contains("fatal") => {
                Self::NoDatabase(first)
            }
            _ if UNREACHABLE.iter().any(|sign| low.contains(sign)) => Self::Unreachable(first),
            Some(1 | 3) if low.contains("error") => Self::Sql(server_words(&said)),
            Some(code) => Self::Client(format!("exit code {code}: {first}")),
            None => Self::Client(format!("it was killed: {first}")),
        })
    }
}

const LARGER: &str = "make it larger, or give the URL of the database itself to [database]";

const LOGIN: [&str; 9] = [
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed",
    "fatal:  role",
    "error 1045",
    "error 1044",
    "error 1698",
    "error 1251",
];

const UNREACHABLE: [&str; 14] = [
    "connection refused",
    "could not connect",
    "could not translate host name",
    "could not receive data",
    "server closed the connection",
    "the database system is starting up",
    "the database system is shutting down",
    "connection to server",
    "timeout expired",
    "error 2002",
    "error 2003",
    "error 2005",
    "error 2013",
    "error 2026",
];

/// What mysql says of an error, without the statement that it quotes before: that may hold any words, and somebody's rows.
fn behind_statement(said: &str) -> &str {
    let quoted = said.contains("--------------\n");
    said.rfind("\nERROR ").filter(|_| quoted).map_or(said, |at| &said[at + 1..])
}

/// What the server said, without the client's own words: `psql:<stdin>:3: ERROR:  …`.
fn server_words(said: &str) -> String {
    let from = said.lines().position(|line| line.contains("ERROR")).unwrap_or(0);
    let lines: Vec<&str> = said.lines().skip(from).take(4).map(str::trim_end).collect();
    lines.join("\n").trim_start_matches("psql:<stdin>:").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32, said: &str) -> Trouble {
        let kept = Capture { stderr: said.as_bytes().to_vec(), ..Capture::default() };
        Trouble::of(&Ended { code: Some(code), ..Ended::default() }, &kept, "postgres").expect("trouble")
    }

    #[test]
    fn what_clients_say_is_told_apart() {
        let unreachable = "psql: error: connection to server at \"192.0.2.1\", port 5432 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?";
        assert!(matches!(of(2, unreachable), Trouble::Unreachable(_)));
        let socket = "psql: error: connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: No such file or directory\n\tIs the server running locally and accepting connections on that socket?";
        assert!(matches!(of(2, socket), Trouble::Unreachable(_)));
        let login = "psql: error: connection to server at \"db\", port 5432 failed: FATAL:  password authentication failed for user \"etally\"";
        assert!(matches!(of(2, login), Trouble::Login(_)));
        let supply = "psql: error: connection to server on socket \"x\" failed: fe_sendauth: no password supplied";
        assert!(matches!(of(2, supply), Trouble::Login(_)));
        let role = "psql: error: connection to server on socket \"x\" failed: FATAL:  role \"nobody\" does not exist";
        assert!(matches!(of(2, role), Trouble::Login(_)));
        let missing = "psql: error: connection to server on socket \"x\" failed: FATAL:  database \"nope\" does not exist";
        assert!(matches!(of(2, missing), Trouble::NoDatabase(_)));
        let pool = "psql: error: connection to server at \"db\", port 6432 failed: FATAL:  no such database: nope";
        assert!(matches!(of(2, pool), Trouble::NoDatabase(_)));
        let sql = "psql:<stdin>:3: ERROR:  relation \"nope\" does not exist\nLINE 1: SELECT 1 FROM nope";
        assert_eq!(of(3, sql), Trouble::Sql("3: ERROR:  relation \"nope\" does not exist\nLINE 1: SELECT 1 FROM nope".into()));
        assert!(matches!(of(127, "sh: 1: psql: not found"), Trouble::NoClient(_)));
        assert!(matches!(of(1, "service \"postgres\" is not running"), Trouble::NotRunning(_)));
        assert!(matches!(of(1, "ERROR 1045 (28000): Access denied for user 'x'@'localhost'"), Trouble::Login(_)));
        assert!(matches!(of(1, "ERROR 2002 (HY000): Can't connect to local server through socket"), Trouble::Unreachable(_)));
        assert!(matches!(of(1, "ERROR 1049 (42000): Unknown database 'x'"), Trouble::NoDatabase(_)));
        assert!(matches!(of(1, "ERROR 1146 (42S02) at line 3: Table 'x.y' doesn't exist"), Trouble::Sql(_)));
        let quoted = "--------------\nSELECT 'connection refused'\n--------------\n\nERROR 1146 (42S02) at line 3: no such table";
        assert_eq!(of(1, quoted), Trouble::Sql("ERROR 1146 (42S02) at line 3: no such table".into()));
        assert!(matches!(of(125, "docker: Error response from daemon: No such image: nope:1"), Trouble::Way(_)));
    }
}

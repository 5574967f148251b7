//! The project's database, reached by a client program in its own container or in a one-off one: queries that only read, and any
//! client program (psql, pg_dump, mysql, …) connected as the inventory says. No secret is ever in an argv: what a client must know it
//! finds in its container's own environment, or reads from stdin. Must not know what is asked, nor of migrations.

pub(super) mod own;
mod prelude;
mod quote;
mod rows;
mod session;
mod trouble;
mod url;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::compose::Config;
use super::docker;
use super::kill::LABEL;
use super::ledger::hex;
use super::owner::machine_id;
use super::process::{self, Spawn};
use super::secrets::Loaded;
use crate::facts::DatabaseFacts;
use crate::name::{RunId, ServiceName};
use crate::protocol::{Database, Engine, Submission, Way};
use crate::secret::Value;

pub(super) use quote::{ident, literal};
pub(super) use rows::Row;
pub(super) use session::{Claim, Held, Taken};
pub(super) use trouble::Trouble;
use url::Parts;

/// How long a query may take, with all that Docker does around it.
const LOOK: Duration = Duration::from_mins(1);
/// The same, as the server keeps it.
const STATEMENT: &str = "30s";

/// A database that answered.
pub(super) struct Access {
    engine: Engine,
    way: Reached,
    user: String,
    name: String,
    /// The login needs the password of the container's environment.
    password: AtomicBool,
    /// Landfall's ledger was seen to be in it.
    pub(super) remembers: AtomicBool,
    /// What it is reached by is a connection pool.
    pooled: AtomicBool,
    /// What the server says it is.
    pub(super) facts: DatabaseFacts,
}

enum Reached {
    Service { project: String, service: ServiceName, container: String },
    Url { parts: Parts, image: String, ca: Option<String>, network: Option<String>, run: RunId },
}

impl Reached {
    /// What tells the server apart from every other that this host may reach: an address, or where that means something on this machine
    /// alone, the machine, too. No login is in it, and no password.
    fn address(&self) -> String {
        match self {
            Self::Service { project, service, .. } => format!("{} {project} {service}", machine_id()),
            Self::Url { parts: Parts { host, port, .. }, network: Some(network), .. } => {
                format!("{} {network} {host}:{port}", machine_id())
            }
            Self::Url { parts: Parts { host, port, .. }, .. } => format!("{}:{port}", host.to_lowercase()),
        }
    }
}

/// A digest of a server and of one of its databases.
fn identity(engine: Engine, server: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("{engine:?} {server} {name}").as_bytes())[..12])
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it is reached by holds a password.
        f.debug_struct("Access").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// The database of a run: opened when it is first asked, and then kept. All steps of the run share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Option<Arc<Access>>>>);

impl Shared {
    /// The database, which must answer.
    pub(super) fn open(&self, submission: &Submission, config: &Config, secrets: &Loaded) -> Result<Arc<Access>, Trouble> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = &*kept {
            return Ok(Arc::clone(access));
        }
        let access = Arc::new(Access::open(submission, config, secrets)?);
        *kept = Some(Arc::clone(&access));
        Ok(access)
    }

    /// What it was reached by may be another container now.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Access {
    /// Reaches the database of a submission, and asks who it is. `config` is its project as Compose reads it.
    fn open(submission: &Submission, config: &Config, secrets: &Loaded) -> Result<Self, Trouble> {
        let database = submission.database.as_ref().ok_or(Trouble::NotNamed)?;
        let (way, engine) = reached(database, submission, config, secrets)?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut access = Self {
            engine,
            way,
            user: text(&database.user),
            name: text(&database.name),
            password: AtomicBool::new(false),
            remembers: AtomicBool::new(false),
            pooled: AtomicBool::new(false),
            facts: DatabaseFacts::default(),
        };
        access.facts = access.who()?;
        Ok(access)
    }

    /// Which kind of server it is.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    fn who(&self) -> Result<DatabaseFacts, Trouble> {
        let (asked, calls_itself) = match self.engine {
            Engine::Postgres => (
                "SELECT 'PostgreSQL ' || current_setting('server_version'), current_database(), current_user, \
                 current_setting('landfall.direct', true)",
                Some("SELECT system_identifier FROM pg_catalog.pg_control_system()"),
            ),
            // What these call themselves changes with each container and each failover.
            Engine::Mysql => (
                "SELECT CONCAT(IF(VERSION() LIKE '%MariaDB%', 'MariaDB ', 'MySQL '), SUBSTRING_INDEX(VERSION(), '-', 1)), \
                 COALESCE(DATABASE(), ''), CURRENT_USER(), 'on'",
                None,
            ),
        };
        if self.engine == Engine::Mysql && matches!(&self.way, Reached::Url { parts, .. } if parts.tls.is_some()) {
            // A client of MariaDB's goes on without, whatever it is told, unless it is to verify the server.
            let cipher = self.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")?.into_iter().flatten().flatten().next_back();
            if cipher.is_none_or(|cipher| cipher.is_empty()) {
                return Err(Trouble::Way("its URL asks for TLS, and the server does not speak it".to_owned()));
            }
        }
        // Not every login may ask for the identity; then the rest is asked alone.
        let all: Vec<&str> = std::iter::once(asked).chain(calls_itself).collect();
        let mut sets = match self.queries(&all) {
            Err(Trouble::Sql(_)) if calls_itself.is_some() => self.queries(&[asked]),
            sets => sets,
        }?
        .into_iter();
        let first = |rows: Option<Vec<Row>>| rows.unwrap_or_default().into_iter().next().unwrap_or_default();
        let [Some(server), Some(name), Some(user), direct] = first(sets.next()).try_into().unwrap_or([const { None }; 4]) else {
            return Err(Trouble::Client("it did not say which server it talks to".to_owned()));
        };
        if name.is_empty() {
            return Err(Trouble::NoDatabase("no database is chosen: say its `name` under [database]".to_owned()));
        }
        let pooled = matches!(self.way, Reached::Url { .. }) && direct.is_none();
        self.pooled.store(pooled, Ordering::Relaxed);
        let itself = first(sets.next()).into_iter().next().flatten();
        let identity = Some(identity(self.engine, &itself.unwrap_or_else(|| self.way.address()), &name));
        Ok(DatabaseFacts { server, name, user, identity, pooled })
    }

    /// The rows of one query, in a transaction that only reads.
    pub(super) fn query(&self, sql: &str) -> Result<Vec<Row>, Trouble> {
        self.queries(&[sql]).map(|sets| sets.into_iter().next().unwrap_or_default())
    }

    /// The rows of several queries, in one transaction that only reads: they see the same moment.
    pub(super) fn queries(&self, queries: &[&str]) -> Result<Vec<Vec<Row>>, Trouble> {
        let (words, text) = match self.engine {
            Engine::Postgres => (&PSQL[..], asked_of_postgres(queries)),
            Engine::Mysql => (&["mysql", "--xml", "--default-character-set=utf8mb4"][..], asked_of_mysql(queries)),
        };
        let printed = self.look(words, text.as_bytes())?;
        let printed = String::from_utf8(printed).map_err(|_| Trouble::Client("its answer is not UTF-8".to_owned()))?;
        let sets = match self.engine {
            Engine::Postgres => rows::of_copy(&printed),
            Engine::Mysql => rows::of_xml(&printed),
        };
        let sets = sets.map_err(Trouble::Client)?;
        if sets.len() == queries.len() { Ok(sets) } else { Err(Trouble::Client("its answer was cut off".to_owned())) }
    }

    /// Runs a client program to its end and gives what it printed.
    pub(super) fn look(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, Trouble> {
        let printed = self.attempt(words, input, LOOK);
        // Inside a database's own container most let a local login in without; where that is not so, its environment knows.
        let asks = matches!(&printed, Err(Trouble::Login(said)) if said.contains("no password supplied"));
        if asks && matches!(self.way, Reached::Service { .. }) && !self.password.swap(true, Ordering::Relaxed) {
            return self.attempt(words, input, LOOK);
        }
        let takes_none = matches!(&printed, Err(Trouble::Unreachable(said)) if NO_OPTIONS.iter().any(|sign| said.contains(sign)));
        if takes_none && !self.pooled.swap(true, Ordering::Relaxed) {
            return self.attempt(words, input, LOOK);
        }
        printed
    }

    fn attempt(&self, words: &[&str], input: &[u8], limit: Duration) -> Result<Vec<u8>, Trouble> {
        let spawn = self.client(words, input);
        let (ended, kept) = process::capture(&spawn, limit).map_err(|error| Trouble::Client(error.to_string()))?;
        match Trouble::of(&ended, &kept, self.place()) {
            Some(trouble) => Err(trouble),
            None if kept.stdout.len() >= process::CAPTURE => {
                Err(Trouble::Client(format!("it printed more than {} MiB", process::CAPTURE >> 20)))
            }
            None => Ok(kept.stdout),
        }
    }

    /// Which PostgreSQL its `pg_dump` and `pg_restore` are of, where they come from an image of their own: those in the server's container are
    /// the server's.
    pub(super) fn dumps_with(&self) -> Option<Result<String, Trouble>> {
        if self.engine == Engine::Mysql || matches!(self.way, Reached::Service { .. }) {
            return None;
        }
        let said = self.look(&["pg_dump", "--version"], b"");
        Some(said.map(|said| String::from_utf8_lossy(&said).trim().trim_start_matches("pg_dump (PostgreSQL) ").to_owned()))
    }

    /// What the end of a client means; none: it did what it should.
    pub(super) fn trouble(&self, ended: &process::Ended, kept: &process::Capture) -> Option<Trouble> {
        Trouble::of(ended, kept, self.place())
    }

    /// What the server is called where its client is: the service, also where a URL names it.
    pub(super) fn host(&self) -> &str {
        match &self.way {
            Reached::Service { service, .. } => service.as_str(),
            Reached::Url { parts, .. } => &parts.host,
        }
    }

    /// Where its client runs, for people.
    pub(super) fn place(&self) -> &str {
        match &self.way {
            Reached::Service { service, .. } => service.as_str(),
            Reached::Url { image, .. } => image,
        }
    }

    /// A client program, connected as it should be: `psql`, `pg_dump`, `mysql`, `mysqldump`, each with options only. What it is to read
    /// comes behind what it must know.
    pub(super) fn client(&self, words: &[&str], input: &[u8]) -> Spawn {
        match &self.way {
            Reached::Service { container, .. } => {
                let script = match self.engine {
                    Engine::Postgres => prelude::POSTGRES_INSIDE,
                    Engine::Mysql => prelude::MYSQL_INSIDE,
                };
                let password = if self.password.load(Ordering::Relaxed) { "password" } else { "" };
                // Docker's own exec: Compose would read its files again for each question.
                let mut all = vec!["docker", "exec", "-i", container, "sh", "-c", script, "sh", &self.user, &self.name, password];
                all.extend(words);
                Spawn { input: Some(input.to_vec()), ..Spawn::new(all) }
            }
            Reached::Url { parts, image, ca, network, run } => {
                let user = if self.user.is_empty() { &parts.user } else { &self.user };
                let name = if self.name.is_empty() { &parts.name } else { &self.name };
                let (script, mut told) = match self.engine {
                    Engine::Postgres => (prelude::POSTGRES_BY_URL, prelude::for_postgres(parts, user, name, ca.is_some())),
                    Engine::Mysql => (prelude::MYSQL_BY_URL, prelude::for_mysql(parts, user, name)),
                };
                told.extend_from_slice(input);
                let label = format!("{LABEL}={run}");
                let mount = ca.as_ref().map(|ca| format!("type=bind,source={ca},target={},readonly", prelude::CA));
                let mut all = vec!["docker", "run", "--rm", "-i", "--pull", "never", "--log-driver", "none", "--label", &label];
                all.extend(mount.iter().flat_map(|mount| ["--mount", mount.as_str()]));
                all.extend(network.iter().flat_map(|network| ["--network", network.as_str()]));
                let pooled = if self.pooled.load(Ordering::Relaxed) { "pooled" } else { "" };
                all.extend(["--entrypoint", "sh", image, "-c", script, "sh", if ca.is_some() { "verify" } else { "" }, pooled]);
                all.extend(words);
                Spawn { input: Some(told), ..Spawn::new(all) }
            }
        }
    }
}

/// What helps where a pool is in the way.
pub(super) const DIRECT: &str = "give the URL of the database itself, not of its pool, to [database]";

/// How a pool says that it takes no options: PgBouncer, RDS Proxy.
const NO_OPTIONS: [&str; 2] = ["unsupported startup parameter", "command-line options"];

/// psql as it is always started: no settings of anybody's own, and no going on behind an error.
pub(super) const PSQL: [&str; 9] = ["psql", "-X", "-q", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f-"];

/// The same of mysql.
pub(super) const MYSQL: [&str; 4] = ["mysql", "--batch", "--skip-force", "--default-character-set=utf8mb4"];

/// What psql says at the begin of each transaction. A setting of the session would stay on the connection that a pool hands on.
pub(super) const LOCAL: &str = "SET LOCAL application_name = 'landfall';\n";

/// mysql as it is given files of SQL: what is no statement is told as an error, not done. Comments, which some versions keep, would make a
/// statement of nothing else.
pub(super) const MYSQL_FILE: [&str; 6] =
    ["mysql", "--batch", "--skip-force", "--default-character-set=utf8mb4", "--binary-mode", "--skip-comments"];

fn asked_of_postgres(queries: &[&str]) -> String {
    let mut text = format!("BEGIN TRANSACTION READ ONLY;\n{LOCAL}SET LOCAL statement_timeout = '{STATEMENT}';\n");
    for query in queries {
        text.extend(["COPY (\n", query.trim().trim_end_matches(';'), "\n) TO STDOUT;\n\\echo '\\", rows::END, "'\n"]);
    }
    text.push_str("COMMIT;\n");
    text
}

fn asked_of_mysql(queries: &[&str]) -> String {
    let mut text = String::from("START TRANSACTION READ ONLY;\n");
    for query in queries {
        text.push_str(query.trim().trim_end_matches(';'));
        text.push_str(";\n");
    }
    text.push_str("COMMIT;\n");
    text
}

fn reached(
    database: &Database,
    submission: &Submission,
    config: &Config,
    secrets: &Loaded,
) -> Result<(Reached, Engine), Trouble> {
    match &database.way {
        Way::Service(service) => {
            if !config.services.contains_key(service.as_str()) {
                return Err(Trouble::Way(format!("the compose project has no service {:?}", service.as_str())));
            }
            let container = running(config, service)?;
            let engine = match database.engine.or_else(|| by_environment(config, service)) {
                Some(engine) => engine,
                None => by_programs(&container, service)?,
            };
            Ok((Reached::Service { project: config.name.clone(), service: service.clone(), container }, engine))
        }
        Way::Url { secret, client_image } => {
            let url = secrets.resolve(&Value::Secret(secret.clone())).map_err(Trouble::Way)?;
            let parts =
                Parts::of(&url).map_err(|why| Trouble::Way(format!("the secret {} is no database's URL: {why}", secret.0)))?;
            let engine = parts.engine;
            if database.engine.is_some_and(|said| said != engine) {
                return Err(Trouble::Way(format!(
                    "the secret {} is the URL of another kind of database than `engine` says",
                    secret.0
                )));
            }
            let base = submission.compose.as_ref().map_or("/", |project| project.dir.as_str());
            let ca = database.ca.as_ref().map(|ca| Path::new(base).join(ca));
            if let Some(ca) = ca.as_ref().filter(|ca| !ca.is_file()) {
                return Err(Trouble::Way(format!("the file {} of `ca` is not on the host", ca.display())));
            }
            // A name of the project's own network means something only there.
            let service = parts.host.parse::<ServiceName>().ok().filter(|name| config.services.contains_key(name.as_str()));
            let network = service.and_then(|service| config.networks_of(&service).into_iter().next());
            let way = Reached::Url {
                parts,
                image: client_image.clone(),
                ca: ca.map(|ca| ca.display().to_string()),
                network,
                run: submission.run.clone(),
            };
            Ok((way, engine))
        }
    }
}

/// The id of the container that a service runs in.
fn running(config: &Config, service: &ServiceName) -> Result<String, Trouble> {
    let found = docker::services(&config.name).map_err(|trouble| match trouble {
        docker::Trouble::Missing => Trouble::Client("docker is not installed".to_owned()),
        docker::Trouble::Failed(said) => Trouble::Client(said),
    })?;
    let container = found.into_iter().find(|(name, container)| name == service && container.state.status == "running");
    container.map(|(_, container)| container.id).ok_or_else(|| Trouble::NotRunning(service.to_string()))
}

/// Which server a service is, by what its environment is called.
fn by_environment(config: &Config, service: &ServiceName) -> Option<Engine> {
    let keys: Vec<&String> = config.services.get(service.as_str())?.environment.keys().collect();
    let any = |prefixes: &[&str]| keys.iter().any(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    match (any(&["POSTGRES_", "POSTGRESQL_"]), any(&["MYSQL_", "MARIADB_"])) {
        (true, false) => Some(Engine::Postgres),
        (false, true) => Some(Engine::Mysql),
        _ => None,
    }
}

/// The same by what is installed there.
fn by_programs(container: &str, service: &ServiceName) -> Result<Engine, Trouble> {
    let script = "for p in psql mariadb mysql; do command -v $p >/dev/null 2>&1 && echo $p; done; true";
    let spawn = Spawn::new(["docker", "exec", container, "sh", "-c", script]);
    let (ended, kept) = process::capture(&spawn, LOOK).map_err(|error| Trouble::Client(error.to_string()))?;
    if let Some(trouble) = Trouble::of(&ended, &kept, service.as_str()) {
        return Err(trouble);
    }
    let found = String::from_utf8_lossy(&kept.stdout).lines().map(str::trim).next().map(str::to_owned);
    match found.as_deref() {
        Some("psql") => Ok(Engine::Postgres),
        Some(_) => Ok(Engine::Mysql),
        None => Err(Trouble::NoClient(service.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_url_is_in_an_argv() {
        let parts = Parts::of("postgresql://ann:pw-of-the-test@db.example.com/shop").expect("url");
        let way = Reached::Url {
            parts,
            image: "postgres:17".into(),
            ca: Some("/etc/ca.crt".into()),
            network: None,
            run: RunId::from_random([0; 6]),
        };
        let access = Access {
            engine: Engine::Postgres,
            way,
            user: String::new(),
            name: String::new(),
            password: AtomicBool::new(false),
            remembers: AtomicBool::new(false),
            pooled: AtomicBool::new(false),
            facts: DatabaseFacts::default(),
        };
        let spawn = access.client(&PSQL, b"SELECT 1;\n");
        let words = spawn.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        for part in ["pw-of-the-test", "ann", "db.example.com", "shop"] {
            assert!(!words.contains(part) && spawn.env.is_empty(), "{words}");
        }
        let told = String::from_utf8(spawn.input.expect("input")).expect("text");
        assert_eq!(told, "db.example.com\n5432\nann\npw-of-the-test\nshop\nverify-full\nSELECT 1;\n");
    }

    #[test]
    fn a_server_that_does_not_say_who_it_is_goes_by_its_address() {
        let by_url = |url: &str, network: Option<&str>| {
            let (image, network, run) = ("postgres:17".into(), network.map(str::to_owned), RunId::from_random([0; 6]));
            Reached::Url { parts: Parts::of(url).expect("url"), image, ca: None, network, run }.address()
        };
        let one = by_url("postgresql://ann:pw-of-the-test@DB.example.com/shop", None);
        assert_eq!(one, "db.example.com:5432");
        assert_eq!(by_url("postgresql://bob:another@db.example.com:5432/shop?sslmode=require", None), one);
        assert_ne!(by_url("postgresql://ann:pw-of-the-test@restored.example.com/shop", None), one);
        // The name of a service means another server on each machine.
        assert_eq!(by_url("mysql://root@db/shop", Some("shop_default")), format!("{} shop_default db:3306", machine_id()));
        let of = |server: &str, name: &str| identity(Engine::Postgres, server, name);
        assert_eq!(of(&one, "shop"), of(&one, "shop"));
        assert!(of(&one, "shop") != of(&one, "till") && of(&one, "shop") != of("7311", "shop"));
        assert_eq!(of(&one, "shop").len(), 24);
    }

    #[test]
    fn queries_only_read() {
        insta::assert_snapshot!(asked_of_postgres(&["SELECT 1;", "SELECT 2"]), @r"
        BEGIN TRANSACTION READ ONLY;
        SET LOCAL application_name = 'landfall';
        SET LOCAL statement_timeout = '30s';
        COPY (
        SELECT 1
        ) TO STDOUT;
        \echo '\\='
        COPY (
        SELECT 2
        ) TO STDOUT;
        \echo '\\='
        COMMIT;
        ");
        assert_eq!(asked_of_mysql(&["SELECT 1;"]), "START TRANSACTION READ ONLY;\nSELECT 1;\nCOMMIT;\n");
    }
}

//! `landfall.toml`: the hosts, how to reach them, and what they hold. Found, read and checked; vars are filled in later, per host.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::name::{GroupName, HostName, ProjectName, SeedName, ServiceName, ToolName};
use crate::protocol::{Database, Retention};
use crate::secret::Pattern;
use crate::source::{Diags, Node, Placed, Reader, Sink, Table, is_var_name, parse, refuse_literals};
use crate::steps::{OwnTool, Seed};

use super::notify::{self, Notify};

/// The file's name.
pub const FILE_NAME: &str = "landfall.toml";

/// Vars with their values, in the order of the text.
pub type Vars = Vec<(Placed<String>, Placed<String>)>;

/// An inventory.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// Its file.
    pub path: PathBuf,
    /// The folder that its local paths start from, absolute.
    pub root: PathBuf,
    /// Names the lock and the state on the hosts.
    pub project: ProjectName,
    /// The compose project of all hosts.
    pub compose: Option<Compose>,
    /// Where the database is, and where psql and pg_dump run.
    pub database: Option<Database>,
    /// What must never leave a host.
    pub secrets: Secrets,
    /// `[mask]`: personal data, which is masked like secrets.
    pub mask: Vec<Pattern>,
    /// How to reach all hosts.
    pub ssh: Ssh,
    /// In the order of the text.
    pub hosts: Vec<Host>,
    /// Those that are declared; a host may name others, which are production and have no vars.
    pub groups: BTreeMap<GroupName, Group>,
    /// The seeds, in the order of the text.
    pub seeds: Vec<(SeedName, Seed)>,
    /// Migration tools of its own.
    pub tools: Vec<(ToolName, OwnTool)>,
    /// What hosts keep of runs, and where.
    pub state: State,
    /// Who else is told of runs, in the order of the text.
    pub notify: Vec<Notify>,
    /// Where metrics of the last run go, absolute.
    pub metrics: Option<PathBuf>,
    /// Of all hosts.
    pub vars: Vars,
}

/// `[compose]`, and what a host overrides of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compose {
    /// Where the table is.
    pub place: Option<crate::source::Place>,
    /// The folder on the host.
    pub dir: Option<Placed<String>>,
    /// Compose files, relative to `dir`.
    pub files: Option<Vec<Placed<String>>>,
    /// The env file, relative to `dir`.
    pub env_file: Option<Placed<String>>,
    /// The service of steps that name none.
    pub service: Option<ServiceName>,
    /// Handed to compose.
    pub env: Vars,
}

impl Compose {
    /// This, with what a host says above it.
    #[must_use]
    pub fn with(&self, host: &Self) -> Self {
        let mut env = self.env.clone();
        env.retain(|(key, _)| !host.env.iter().any(|(own, _)| own.value == key.value));
        env.extend(host.env.iter().cloned());
        Self {
            place: self.place.clone().or_else(|| host.place.clone()),
            dir: host.dir.clone().or_else(|| self.dir.clone()),
            files: host.files.clone().or_else(|| self.files.clone()),
            env_file: host.env_file.clone().or_else(|| self.env_file.clone()),
            service: host.service.clone().or_else(|| self.service.clone()),
            env,
        }
    }
}

/// `[secrets]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Secrets {
    /// Files and globs on the host, relative to the compose folder.
    pub files: Vec<Placed<String>>,
    /// Keys whose values may be shown.
    pub public: Vec<String>,
    /// Secrets that are too short to mask, accepted as they are.
    pub accept_short: Vec<String>,
}

/// `[state]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it may fall back to a folder of the user's own.
    pub private: bool,
    /// Which records of ended runs are kept.
    pub retention: Retention,
}

/// `[ssh]`. Paths are absolute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ssh {
    /// A private key.
    pub identity_file: Option<PathBuf>,
    /// Known host keys.
    pub known_hosts: Option<PathBuf>,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// Whether what runs on hosts becomes root by sudo.
    pub sudo: bool,
}

/// `[hosts.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// An address or an alias; the name itself where none is given.
    pub address: String,
    /// The login.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Whether what runs there becomes root by sudo; above `[ssh]`.
    pub sudo: Option<bool>,
    /// Pinned keys.
    pub host_keys: Vec<String>,
    /// The groups it is in, in the order of the text.
    pub groups: Vec<GroupName>,
    /// Above `[compose]`.
    pub compose: Compose,
    /// In place of `/var/lib/landfall/PROJECT`.
    pub state_dir: Option<String>,
    /// Above those of its groups.
    pub vars: Vars,
}

/// `[groups.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Whether a run on it is confirmed by its name.
    pub production: bool,
    /// Above those of all hosts.
    pub vars: Vars,
}

/// The nearest inventory, from a folder upwards. One that belongs to somebody else is refused: it says what runs on this machine.
pub fn find(start: &Path) -> Result<PathBuf, Diags> {
    let own = rustix::process::geteuid().as_raw();
    for folder in start.ancestors() {
        let path = folder.join(FILE_NAME);
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let owner = metadata.uid();
        if owner != own && owner != 0 {
            let message = format!("{} belongs to another user (uid {owner})", path.display());
            let help = "it says what runs on this machine: if you trust it, name it with --config".to_owned();
            return Err(Diags::one(message, Some(help)));
        }
        return Ok(path);
    }
    let message = format!("there is no {FILE_NAME} in {} or above it", start.display());
    Err(Diags::one(message, Some("`landfall init` writes one; --config FILE names one".to_owned())))
}

impl Inventory {
    /// Reads and checks an inventory's file.
    pub fn read(path: &Path) -> Result<Self, Diags> {
        let sink = Sink::default();
        let inventory = Self::read_into(path, &sink);
        match sink.finish(()) {
            Err(diags) => Err(diags),
            Ok(()) => inventory.ok_or_else(|| Diags::one(format!("{} cannot be read", path.display()), None)),
        }
    }

    /// Reads an inventory's file as far as it can be read; what is wrong is told to the sink.
    pub fn read_into(path: &Path, sink: &Sink) -> Option<Self> {
        let nowhere = crate::source::Place::nowhere();
        match std::fs::read_to_string(path) {
            Ok(text) => Some(Self::parse(path, &text, sink)),
            Err(error) => {
                let help = "`landfall init` writes an inventory; --config FILE names another".to_owned();
                sink.error(&nowhere, format!("{} cannot be read: {error}", path.display()), Some(help));
                None
            }
        }
    }

    /// Reads an inventory's text as far as it can be read; what is wrong is told to the sink.
    pub fn parse(path: &Path, text: &str, sink: &Sink) -> Self {
        let file: Arc<str> = Arc::from(path.display().to_string());
        let table = parse(&file, text, sink);
        refuse_literals(&table, sink);
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let root = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let reader = Reader::new(&table, FILE_NAME, None, sink);
        if reader.entry("project").is_none() {
            let help = "say its name: project = \"etally\"; it names the lock and the state on the hosts";
            sink.error(&crate::source::Place { file, span: 0..0 }, "the inventory needs `project`", Some(help.to_owned()));
        }
        let project = reader.name::<ProjectName>("project").map(|name| name.value);
        let inventory = Self {
            path: path.to_path_buf(),
            project: project.unwrap_or_else(ProjectName::unnamed),
            compose: reader.table("compose", "[compose]").map(compose),
            database: reader.table("database", "[database]").and_then(super::database::read),
            secrets: reader.table("secrets", "[secrets]").map(secrets).unwrap_or_default(),
            mask: reader.table("mask", "[mask]").and_then(mask).unwrap_or_else(|| vec![Pattern::Email]),
            ssh: reader.table("ssh", "[ssh]").map(|table| ssh(table, &root)).unwrap_or_default(),
            hosts: named(&reader, "hosts", host),
            groups: named(&reader, "groups", group).into_iter().collect(),
            seeds: named(&reader, "seeds", seed),
            tools: named(&reader, "tools", |name: ToolName, table| OwnTool::read(name.as_str(), table).map(|tool| (name, tool)))
                .into_iter()
                .flatten()
                .collect(),
            state: reader.table("state", "[state]").map(state).unwrap_or_default(),
            notify: named(&reader, "notify", notify::read),
            metrics: reader.table("metrics", "[metrics]").and_then(|table| metrics(table, &root)),
            vars: vars(&reader),
            root,
        };
        inventory.check(&reader);
        reader.finish();
        inventory
    }

    fn check(&self, reader: &Reader<'_>) {
        if self.hosts.is_empty() {
            let help = "add one: [hosts.prod-1] with address = \"203.0.113.10\"";
            let place = reader.entry("hosts").map_or_else(|| reader.place().clone(), |entry| entry.key.place.clone());
            reader.error(&place, "the inventory names no host", help);
        }
        self.check_compose(reader);
        for host in &self.hosts {
            let same = host.name.as_str().parse::<GroupName>().ok();
            if same.is_some_and(|name| self.group_names().contains(&name)) {
                let message = format!("`{}` is both a host and a group", host.name);
                reader.error(&reader.place_of("hosts"), message, "rename one of them: --on could not tell them apart");
            }
        }
    }

    fn check_compose(&self, reader: &Reader<'_>) {
        for host in &self.hosts {
            let Some(compose) = self.compose_of(host) else { continue };
            let place = compose.place.clone().unwrap_or_else(|| reader.place().clone());
            let missing = [
                (compose.dir.is_none(), "dir", "dir = \"/opt/etally/deployment\""),
                (compose.files.is_none(), "files", "files = [\"docker-compose.prod.yml\"]"),
            ];
            for (_, key, example) in missing.into_iter().filter(|(missing, ..)| *missing) {
                // A wrong type has been told already.
                let message = format!("[compose] needs `{key}`");
                if !reader.sink().has_error_about(key) {
                    reader.error(&place, message, format!("say which, here or for each host: {example}"));
                }
            }
        }
        if self.secrets.files.iter().any(|file| !file.value.starts_with('/')) && self.compose.is_none() {
            let relative = self.secrets.files.iter().find(|file| !file.value.starts_with('/'));
            let hosts_have = !self.hosts.is_empty() && self.hosts.iter().all(|host| host.compose.dir.is_some());
            if let Some(file) = relative.filter(|_| !hosts_have) {
                let help = "write an absolute path, or add [compose] with `dir`";
                reader.error(&file.place, "this path is relative to `compose.dir`, and there is none", help);
            }
        }
    }

    /// A host's compose project, its own settings above those of all.
    pub fn compose_of(&self, host: &Host) -> Option<Compose> {
        match &self.compose {
            Some(compose) => Some(compose.with(&host.compose)),
            None => host.compose.place.is_some().then(|| host.compose.clone()),
        }
    }

    /// All groups: those declared, and those only named by hosts.
    pub fn group_names(&self) -> Vec<GroupName> {
        let mut names: Vec<GroupName> = self.groups.keys().cloned().collect();
        names.extend(self.hosts.iter().flat_map(|host| host.groups.iter().cloned()));
        names.sort();
        names.dedup();
        names
    }

    /// Whether a run on this group is confirmed by its name.
    pub fn is_production(&self, group: &GroupName) -> bool {
        self.groups.get(group).is_none_or(|group| group.production)
    }
}

/// Reads each table of `[key.NAME]`.
fn named<N, T>(reader: &Reader<'_>, key: &'static str, read: impl Fn(N, &Reader<'_>) -> T) -> Vec<T>
where
    N: std::str::FromStr<Err: std::fmt::Display>,
{
    let entries = reader.map(key).map(|table| table.entries.as_slice()).unwrap_or_default();
    let mut all = Vec::new();
    for entry in entries {
        let name = reader.parsed::<N>(&entry.key);
        let Node::Table(table) = &entry.value.value else {
            let message = format!("`{key}.{}` must be a table, not {}", entry.key.value, entry.value.value.what());
            reader.error(&entry.value.place, message, format!("write [{key}.{}]", entry.key.value));
            continue;
        };
        let inner = Reader::new(table, format!("[{key}.{}]", entry.key.value), None, reader.sink());
        if let Some(name) = name {
            all.push(read(name.value, &inner));
            inner.finish();
        }
    }
    all
}

fn compose(reader: Reader<'_>) -> Compose {
    let dir = reader.text("dir").filter(|dir| absolute(&reader, "dir", dir));
    let files = reader.text_or_texts("files");
    if files.as_ref().is_some_and(Vec::is_empty) {
        reader.error(&reader.place_of("files"), "`files` is empty", "name the compose file");
    }
    let env = reader.text_map("env");
    for (key, _) in env.iter().filter(|(key, _)| !is_var_name(&key.value)) {
        reader.error(
            &key.place,
            format!("{:?} cannot be the name of an environment variable", key.value),
            "use letters, digits and `_`",
        );
    }
    let compose = Compose {
        place: Some(reader.place().clone()),
        dir,
        files,
        env_file: reader.text("env_file"),
        service: reader.name("service").map(|name| name.value),
        env,
    };
    reader.finish();
    compose
}

fn absolute(reader: &Reader<'_>, key: &str, path: &Placed<String>) -> bool {
    let fits = path.value.starts_with('/') || path.value.contains("{{");
    if !fits {
        reader.error(&path.place, format!("`{key}` must be an absolute path on the host"), "start it with `/`");
    }
    fits
}

fn secrets(reader: Reader<'_>) -> Secrets {
    let plain = |key| reader.texts(key).unwrap_or_default().into_iter().map(|text| text.value).collect();
    let secrets = Secrets {
        files: reader.text_or_texts("files").unwrap_or_default(),
        public: plain("public"),
        accept_short: plain("accept_short"),
    };
    for empty in secrets.files.iter().filter(|file| file.value.is_empty()) {
        reader.error(&empty.place, "a secrets file without a name", "name a file or a glob on the host");
    }
    reader.finish();
    secrets
}

/// Personal data; none where it is not said.
fn mask(reader: Reader<'_>) -> Option<Vec<Pattern>> {
    let of = |text: Placed<String>| {
        if text.value == "email" {
            return Pattern::Email;
        }
        if let Err(error) = regex_lite::Regex::new(&text.value) {
            let help = "`email`, or a regular expression that is matched within a line";
            reader.error(&text.place, format!("`patterns` holds no regular expression: {error}"), help);
        }
        Pattern::Regex(text.value)
    };
    let patterns = reader.texts("patterns").map(|texts| texts.into_iter().map(of).collect());
    reader.finish();
    patterns
}

fn metrics(reader: Reader<'_>, root: &Path) -> Option<PathBuf> {
    let file = reader.text("file");
    if reader.entry("file").is_none() {
        reader.missing("file", "say where: file = \"/var/lib/prometheus/node-exporter/landfall.prom\"");
    }
    reader.finish();
    file.map(|file| local_path(&file.value, root))
}

fn ssh(reader: Reader<'_>, root: &Path) -> Ssh {
    let local = |key| reader.text(key).map(|path| local_path(&path.value, root));
    let ssh = Ssh {
        identity_file: local("identity_file"),
        known_hosts: local("known_hosts"),
        connect_timeout: reader.duration("connect_timeout").map(|timeout| timeout.value),
        sudo: reader.flag("become").is_some_and(|flag| flag.value),
    };
    reader.finish();
    ssh
}

/// A path on this machine: `~` is the home folder, what is relative starts from the inventory's folder.
fn local_path(path: &str, root: &Path) -> PathBuf {
    match path.strip_prefix("~/").zip(std::env::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => root.join(path),
    }
}

fn host(name: HostName, reader: &Reader<'_>) -> Host {
    let word = |key| {
        let text = reader.text(key)?;
        let fits = !text.value.is_empty()
            && !text.value.starts_with('-')
            && !text.value.contains(|c: char| c.is_whitespace() || c.is_control() || "@/'\"`$\\;".contains(c));
        if !fits {
            reader.error(
                &text.place,
                format!("{:?} cannot be a host's {key}", text.value),
                "write it alone: no blanks, no `user@`, no `ssh://`",
            );
        }
        fits.then_some(text.value)
    };
    let host_keys = reader.text_or_texts("host_keys").unwrap_or_default();
    for key in &host_keys {
        let words: Vec<&str> = key.value.split_whitespace().collect();
        if words.len() < 2 || !words[1].starts_with("AAAA") {
            let help =
                "write the key's type and its base64: \"ssh-ed25519 AAAA…\", as `ssh-keyscan HOST` prints it after the host";
            reader.error(&key.place, "this is not a host key", help);
        }
    }
    let address = word("address");
    let user = word("user");
    Host {
        address: address.unwrap_or_else(|| name.to_string()),
        user,
        sudo: reader.flag("become").map(|flag| flag.value),
        port: reader.whole("port", 1..=65535).and_then(|port| u16::try_from(port.value).ok()),
        host_keys: host_keys.into_iter().map(|key| key.value).collect(),
        groups: reader.names("groups").unwrap_or_default().into_iter().map(|name| name.value).collect(),
        compose: reader.table("compose", format!("[hosts.{name}.compose]")).map(compose).unwrap_or_default(),
        state_dir: reader.text("state_dir").filter(|dir| absolute(reader, "state_dir", dir)).map(|dir| dir.value),
        vars: vars(reader),
        name,
    }
}

fn group(name: GroupName, reader: &Reader<'_>) -> (GroupName, Group) {
    let production = reader.flag("production").is_none_or(|flag| flag.value);
    (name, Group { production, vars: vars(reader) })
}

fn seed(name: SeedName, reader: &Reader<'_>) -> (SeedName, Seed) {
    let seed = Seed::read(reader);
    (name, seed.unwrap_or(Seed { command: Vec::new(), files: Vec::new(), service: None }))
}

fn state(reader: Reader<'_>) -> State {
    let usual = Retention::default();
    let runs = reader.whole("keep_runs", 1..=100_000).and_then(|runs| u32::try_from(runs.value).ok());
    let state = State {
        private: reader.flag("private").is_some_and(|flag| flag.value),
        retention: Retention {
            runs: runs.unwrap_or(usual.runs),
            seconds: reader.duration("keep_for").map_or(usual.seconds, |time| time.value.as_secs()),
        },
    };
    reader.finish();
    state
}

/// Reads `vars`: names and texts; numbers and booleans become texts.
fn vars(reader: &Reader<'_>) -> Vars {
    let table: Option<&Table> = reader.map("vars");
    let entries = table.map(|table| table.entries.as_slice()).unwrap_or_default();
    entries
        .iter()
        .filter(|entry| super::vars::check_name(&entry.key, reader.sink()))
        .filter_map(|entry| Some((entry.key.clone(), super::vars::value(&entry.key.value, &entry.value, reader.sink())?)))
        .collect()
}

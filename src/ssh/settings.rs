//! How a host is reached: what the inventory says, above what `ssh -G` says, above defaults.
//!
//! Owns that order, and remembers for each value where it came from. Reads no key and contacts no host.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::expand::{Tokens, expand};
use super::host_key::HostKey;
use super::openssh::{self, Answer, Hop, Question};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_JUMPS: usize = 8;

/// What the inventory says about a host. `None`: ask `ssh -G`, else the default.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The host's name in the inventory: what messages call it.
    pub name: String,
    /// An address, or a `Host` alias of the user's ssh configuration.
    pub address: String,
    /// The user to log in as.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// A private key; tried before all others but the one of `LANDFALL_SSH_KEY`, on jump hosts too.
    pub identity_file: Option<PathBuf>,
    /// The `known_hosts` file, instead of the user's and the system's.
    pub known_hosts: Option<PathBuf>,
    /// Pinned host keys (`TYPE BASE64`): no other key is accepted, whatever `known_hosts` says.
    pub host_keys: Vec<String>,
    /// How long a host may take to answer; default 10 s.
    pub connect_timeout: Option<Duration>,
}

/// Where settings are looked up: the ssh program and the process's surroundings.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The ssh program; `None`: never ask one.
    pub ssh: Option<PathBuf>,
    /// A configuration file instead of the user's and the system's (`ssh -F`).
    pub config: Option<PathBuf>,
    /// The home folder.
    pub home: PathBuf,
    /// The user who runs this process.
    pub user: Option<String>,
    /// The agent's socket, as `SSH_AUTH_SOCK` says.
    pub agent: Option<PathBuf>,
}

impl Sources {
    /// Takes them from the process: `ssh` of the path, `HOME`, `USER`, `SSH_AUTH_SOCK`.
    pub fn of_process() -> Self {
        let text = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        Self {
            ssh: Some(PathBuf::from("ssh")),
            config: None,
            home: etcetera::home_dir().unwrap_or_else(|_| PathBuf::from("/")),
            user: text("USER").or_else(|| text("LOGNAME")),
            agent: std::env::var_os("SSH_AUTH_SOCK")
                .filter(|v| !v.is_empty())
                .map(PathBuf::from),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `landfall.toml`.
    Inventory,
    /// The answer of `ssh -G`: the user's and the system's ssh configuration, and OpenSSH's own defaults.
    SshConfig,
    /// A `ProxyJump`.
    Jump,
    /// The environment of the process.
    Environment,
    /// Landfall's own default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inventory => "landfall.toml",
            Self::SshConfig => "ssh -G",
            Self::Jump => "ProxyJump",
            Self::Environment => "environment",
            Self::Default => "default",
        })
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// Shows `VALUE (ORIGIN)`.
impl<T: fmt::Display> fmt::Display for Sourced<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.origin)
    }
}

/// All that is needed to connect to a host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What messages call the host.
    pub name: String,
    /// The address to connect to.
    pub address: Sourced<String>,
    /// The port.
    pub port: Sourced<u16>,
    /// The user.
    pub user: Sourced<String>,
    /// Private key files; those that do not exist are passed over, unless the inventory names them.
    pub identities: Vec<Sourced<PathBuf>>,
    /// Offer of the agent's keys only those that `identities` name.
    pub identities_only: bool,
    /// The agent's socket.
    pub agent: Option<Sourced<PathBuf>>,
    /// The hosts to go through, in order.
    pub jumps: Vec<Settings>,
    /// The files that are looked into; new keys are recorded in the first.
    pub known_hosts: Vec<Sourced<PathBuf>>,
    /// Record new names hashed.
    pub hash_known_hosts: bool,
    /// The name to look up in `known_hosts`, where it is not the address.
    pub host_key_alias: Option<String>,
    /// Pinned keys.
    pub pins: Vec<HostKey>,
    /// How long a host may take to answer.
    pub connect_timeout: Duration,
}

impl Settings {
    /// Returns host and port under which the keys are kept. An alias stands without a port, as with OpenSSH.
    pub fn known_as(&self) -> (&str, u16) {
        match &self.host_key_alias {
            Some(alias) => (alias, 22),
            None => (&self.address.value, self.port.value),
        }
    }
}

/// Resolves the settings of a host, and of each host on the way to it.
pub async fn resolve(target: &Target, sources: &Sources) -> Result<Settings, ConfigError> {
    let mut pins = Vec::new();
    for text in &target.host_keys {
        let bad = |why| ConfigError::Pin {
            name: target.name.clone(),
            why,
        };
        pins.push(HostKey::parse(text).map_err(bad)?);
    }
    let (mut settings, jumps) = one(target, &target.name, Origin::Inventory, sources).await?;
    settings.pins = pins;
    settings.jumps = chain(jumps, target, sources).await?;
    Ok(settings)
}

/// Resolves the way to a host, outermost hop first. The first hop of a list may have jumps of its own; for the others the list says it all.
async fn chain(
    list: Option<String>,
    target: &Target,
    sources: &Sources,
) -> Result<Vec<Settings>, ConfigError> {
    let mut way: Vec<Settings> = Vec::new();
    let mut next = list;
    while let Some(list) = next.take() {
        let bad = |why: &str| ConfigError::Jump {
            name: target.name.clone(),
            jumps: list.clone(),
            why: why.to_owned(),
        };
        let hops = openssh::hops(&list).ok_or_else(|| bad("not a list of [user@]host[:port]"))?;
        let mut resolved = Vec::new();
        for (index, hop) in hops.into_iter().enumerate() {
            let Hop { name, user, port } = hop;
            let of_hop = Target {
                address: name.clone(),
                user,
                port,
                identity_file: target.identity_file.clone(),
                known_hosts: target.known_hosts.clone(),
                connect_timeout: target.connect_timeout,
                ..Target::default()
            };
            let (settings, jumps) = one(&of_hop, &name, Origin::Jump, sources).await?;
            if index == 0 {
                next = jumps;
            }
            resolved.push(settings);
        }
        resolved.append(&mut way);
        way = resolved;
        if way.len() > MAX_JUMPS {
            return Err(bad("more than 8 hosts to go through; is there a circle?"));
        }
    }
    Ok(way)
}

/// Resolves one host without its way; returns its `ProxyJump` beside it. `given` is where the target's own values come from.
async fn one(
    target: &Target,
    shown: &str,
    given: Origin,
    sources: &Sources,
) -> Result<(Settings, Option<String>), ConfigError> {
    check_name(shown, &target.address)?;
    if let Some(user) = &target.user {
        check_name(shown, user)?;
    }
    let question = sources.ssh.as_deref().map(|program| Question {
        program,
        config: sources.config.as_deref(),
        name: &target.address,
        user: target.user.as_deref(),
        port: target.port,
    });
    let answer = match question {
        Some(question) => openssh::ask(question).await?,
        None => None,
    };
    let asked = answer.is_some();
    let Answer {
        address,
        user,
        port,
        ..
    } = answer.clone().unwrap_or_default();
    let answer = answer.unwrap_or_default();
    if let Some(command) = answer.proxy_command {
        return Err(ConfigError::ProxyCommand {
            name: shown.to_owned(),
            command,
        });
    }
    if let Some(file) = answer.revoked_keys {
        return Err(ConfigError::RevokedHostKeys {
            name: shown.to_owned(),
            file,
        });
    }
    let user = match (&target.user, user, &sources.user) {
        (Some(user), ..) => Sourced::new(user.clone(), given),
        (None, Some(user), _) => Sourced::new(user, Origin::SshConfig),
        (None, None, Some(user)) => Sourced::new(user.clone(), Origin::Environment),
        (None, None, None) => {
            return Err(ConfigError::NoUser {
                name: shown.to_owned(),
            });
        }
    };
    let port = match (target.port, port) {
        (Some(port), _) => Sourced::new(port, given),
        (None, Some(port)) => Sourced::new(port, Origin::SshConfig),
        (None, None) => Sourced::new(22, Origin::Default),
    };
    let address = match address {
        Some(address) if address != target.address => Sourced::new(address, Origin::SshConfig),
        _ => Sourced::new(target.address.clone(), given),
    };

    let tokens = tokens(
        target,
        &answer,
        (&address.value, port.value, &user.value),
        sources,
    );
    let path = |text: &str| {
        expand(text, &tokens, |name| std::env::var(name).ok()).map_err(|why| ConfigError::Expand {
            name: shown.to_owned(),
            text: text.to_owned(),
            why,
        })
    };
    let identities = identities(target, &answer, asked, sources, path)?;
    let known_hosts = known_hosts(target, &answer, (asked, given), sources, path)?;
    let agent = agent(answer.agent.as_deref(), sources, path)?;
    let hash_known_hosts = answer.hash_known_hosts && target.known_hosts.is_none();
    let settings = Settings {
        name: shown.to_owned(),
        address,
        port,
        user,
        identities,
        identities_only: answer.identities_only,
        agent,
        jumps: Vec::new(),
        known_hosts,
        hash_known_hosts,
        host_key_alias: answer.key_alias,
        pins: Vec::new(),
        connect_timeout: target.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
    };
    Ok((settings, answer.jumps))
}

/// Lists the private keys: the inventory's, then those of `ssh -G`, or the usual ones where that was not asked.
fn identities(
    target: &Target,
    answer: &Answer,
    asked: bool,
    sources: &Sources,
    path: impl Fn(&str) -> Result<PathBuf, ConfigError>,
) -> Result<Vec<Sourced<PathBuf>>, ConfigError> {
    let inventory = target.identity_file.iter();
    let mut files: Vec<_> = inventory
        .map(|f| Sourced::new(f.clone(), Origin::Inventory))
        .collect();
    for text in &answer.identities {
        files.push(Sourced::new(path(text)?, Origin::SshConfig));
    }
    if !asked {
        let usual = ["id_ed25519", "id_ecdsa", "id_rsa"];
        files.extend(
            usual.map(|f| Sourced::new(sources.home.join(".ssh").join(f), Origin::Default)),
        );
    }
    Ok(files)
}

/// Lists the known_hosts files: the inventory's alone, or the user's and the system's. A jump host
/// is none of the inventory's hosts: what the user trusts already counts for it too.
fn known_hosts(
    target: &Target,
    answer: &Answer,
    (asked, given): (bool, Origin),
    sources: &Sources,
    path: impl Fn(&str) -> Result<PathBuf, ConfigError>,
) -> Result<Vec<Sourced<PathBuf>>, ConfigError> {
    let inventory = target.known_hosts.iter();
    let mut files: Vec<_> = inventory
        .map(|f| Sourced::new(f.clone(), Origin::Inventory))
        .collect();
    if target.known_hosts.is_some() && given != Origin::Jump {
        return Ok(files);
    }
    for text in answer.known_hosts.iter().chain(&answer.global_known_hosts) {
        files.push(Sourced::new(path(text)?, Origin::SshConfig));
    }
    if !asked {
        let user = sources.home.join(".ssh");
        for file in [user.join("known_hosts"), user.join("known_hosts2")] {
            files.push(Sourced::new(file, Origin::Default));
        }
        for file in ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"] {
            files.push(Sourced::new(PathBuf::from(file), Origin::Default));
        }
    }
    Ok(files)
}

/// Collects the values of the tokens; `to` is the address, the port and the user.
fn tokens(target: &Target, answer: &Answer, to: (&str, u16, &str), sources: &Sources) -> Tokens {
    Tokens {
        home: sources.home.to_string_lossy().into_owned(),
        address: to.0.to_owned(),
        name: target.address.clone(),
        key_alias: answer
            .key_alias
            .clone()
            .unwrap_or_else(|| target.address.clone()),
        port: to.1.to_string(),
        remote_user: to.2.to_owned(),
        local_user: sources.user.clone().unwrap_or_default(),
        uid: rustix::process::getuid().as_raw().to_string(),
        local_host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    }
}

/// Finds the agent's socket: `IdentityAgent` may name it, a variable that names it, or none.
fn agent(
    asked: Option<&str>,
    sources: &Sources,
    path: impl Fn(&str) -> Result<PathBuf, ConfigError>,
) -> Result<Option<Sourced<PathBuf>>, ConfigError> {
    Ok(match asked {
        None | Some("SSH_AUTH_SOCK") => sources
            .agent
            .clone()
            .map(|socket| Sourced::new(socket, Origin::Environment)),
        Some("none") => None,
        Some(variable) if variable.starts_with('$') && !variable.starts_with("${") => {
            std::env::var_os(&variable[1..])
                .map(|socket| Sourced::new(PathBuf::from(socket), Origin::SshConfig))
        }
        Some(text) => Some(Sourced::new(path(text)?, Origin::SshConfig)),
    })
}

/// Refuses what ssh or a file would take for something else than a name.
fn check_name(shown: &str, text: &str) -> Result<(), ConfigError> {
    let bad = text.is_empty()
        || text.starts_with('-')
        || text.contains(|c: char| {
            c.is_whitespace() || c.is_control() || "@/,'\"`$\\;&<>|(){}*?!#".contains(c)
        });
    if bad {
        Err(ConfigError::Name {
            name: shown.to_owned(),
            text: text.to_owned(),
        })
    } else {
        Ok(())
    }
}

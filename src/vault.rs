//! The secrets of the operator's own machine: passphrases of keys, passwords of sudo, and what `{ client_secret = "NAME" }` names. Where
//! each comes from is said in the operator's own `secrets.toml`, which belongs to no repository, so that what it runs is theirs.
//!
//! ```toml
//! [secrets]                                              # { client_secret = "NAME" }; absent ones are environment variables
//! REGISTRY_TOKEN = { command = ["pass", "show", "registry"] }
//!
//! [passphrases]                                          # of private keys, by their files
//! "~/.ssh/deploy" = { file = "~/.config/landfall/deploy.passphrase" }
//!
//! [sudo]                                                 # where `become = true`: by login and address, as they are connected to
//! "deploy@203.0.113.10" = { env = "SUDO_PROD_1" }
//! ```
//!
//! A file must be the operator's own, with mode 0600. No value is ever shown, kept on disk, or put in another process's arguments.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::source::{Diags, Node, Placed, Reader, Sink, parse};

/// The environment variable that may hold a private key's text.
pub const KEY_VARIABLE: &str = "LANDFALL_SSH_KEY";

/// The longest secret.
const LONGEST: usize = 64 << 10;

/// What kind of secret a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `{ client_secret = "NAME" }`.
    Secret,
    /// The passphrase of a private key, by the key's path.
    Passphrase,
    /// The password that sudo asks for, by login and address: `user@address`, with `:port` where that is not 22. What an inventory
    /// calls a host would be a repository's word.
    Sudo,
}

impl Kind {
    const ALL: [(Self, &str); 3] = [(Self::Secret, "secrets"), (Self::Passphrase, "passphrases"), (Self::Sudo, "sudo")];
}

/// Where one comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

/// Why a secret could not be had. Never holds a part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VaultError {
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub remedy: String,
}

impl VaultError {
    fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

/// The secrets of this machine. Each is fetched when it is first needed, and once.
#[derive(Default)]
pub struct Vault {
    sources: BTreeMap<(Kind, String), Source>,
    fetched: Mutex<BTreeMap<(Kind, String), SecretString>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("sources", &self.sources.keys()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads the operator's `secrets.toml`, where there is one.
    pub fn of_process() -> Result<Self, Diags> {
        use etcetera::BaseStrategy;
        let Ok(base) = etcetera::choose_base_strategy() else { return Ok(Self::default()) };
        Self::read(&base.config_dir().join("landfall").join("secrets.toml"), base.home_dir())
    }

    /// Reads such a file. One that others could change is refused: it says what is run.
    pub fn read(path: &Path, home: &Path) -> Result<Self, Diags> {
        let unreadable = |why: String| Diags::one(format!("{} cannot be used: {why}", path.display()), None);
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let owned = metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0;
        if !owned || metadata.mode() & 0o022 != 0 {
            let message = format!("{} could be changed by others, and it says what is run", path.display());
            return Err(Diags::one(message, Some(format!("make it your own: chmod 600 {}", path.display()))));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let sink = Sink::default();
        let sources = parse_sources(path, &text, home, &sink);
        sink.finish(Self { sources, fetched: Mutex::default() })
    }

    /// Fetches a secret; none when nothing is said of it. May block: a command may ask its user.
    pub fn get(&self, kind: Kind, name: &str) -> Result<Option<SecretString>, VaultError> {
        let key = (kind, name.to_owned());
        // Held meanwhile: of two who need the same one, the second finds it fetched.
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetched.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(source) = self.sources.get(&key) else { return Ok(None) };
        let value = source.fetch(name, self)?;
        fetched.insert(key, value.clone());
        Ok(Some(value))
    }

    /// The environment variables that hold secrets of this machine. No process that is started from here gets any but those that it
    /// is given by name.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let named = self.sources.values().filter_map(|source| match source {
            Source::Env(name) => Some(name.as_str()),
            Source::File(_) | Source::Command(_) => None,
        });
        named.chain([KEY_VARIABLE])
    }

    /// What `{ client_secret = "NAME" }` stands for: by the file, or else by the environment.
    pub fn client_secret(&self, name: &str) -> Result<SecretString, VaultError> {
        if let Some(value) = self.get(Kind::Secret, name)? {
            return Ok(value);
        }
        Source::Env(name.to_owned()).fetch(name, self).map_err(|error| {
            VaultError::new(
                error.message,
                format!("set it, or say where {name} comes from under [secrets] in ~/.config/landfall/secrets.toml"),
            )
        })
    }
}

impl Source {
    fn fetch(&self, name: &str, vault: &Vault) -> Result<SecretString, VaultError> {
        let value = match self {
            Self::Env(variable) => {
                let value = std::env::var(variable).map_err(|_| {
                    VaultError::new(format!("the environment variable {variable} is not set here"), format!("set {variable}"))
                })?;
                Zeroizing::new(value.into_bytes())
            }
            Self::File(path) => read_private(path)?,
            Self::Command(argv) => output_of(argv, name, vault)?,
        };
        let text = std::str::from_utf8(&value)
            .map_err(|_| VaultError::new(format!("the secret {name} is no text"), "use a source that gives UTF-8"))?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            return Err(VaultError::new(format!("the secret {name} is empty"), "look at its source in secrets.toml"));
        }
        Ok(SecretString::from(text))
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    use std::io::Read;
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| VaultError::new(format!("{shown} cannot be read: {error}"), "make it, with mode 0600");
    let file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || !own || metadata.mode() & 0o077 != 0 {
        return Err(VaultError::new(format!("{shown} is not a file of yours alone"), format!("chmod 600 {shown}")));
    }
    let mut value = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    file.take(LONGEST as u64 + 1).read_to_end(&mut value).map_err(unreadable)?;
    bounded(value, &shown.to_string())
}

/// Runs a command for what it prints. It may talk to its user over stderr and the terminal.
fn output_of(argv: &[String], name: &str, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    use std::io::Read;
    let program = argv.first().map_or("", String::as_str);
    let failed = |why: String| VaultError::new(format!("{program} gave no secret {name}: {why}"), "run it by hand");
    let mut command = Command::new(program);
    command.args(argv.iter().skip(1)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    for variable in vault.variables() {
        command.env_remove(variable);
    }
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut value = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(LONGEST as u64 + 1).read_to_end(&mut value).map(drop),
        None => Ok(()),
    };
    // What it would still print is not read: it ends by that.
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    read.map_err(|error| failed(error.to_string()))?;
    if value.len() <= LONGEST && !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    bounded(value, program)
}

fn bounded(value: Zeroizing<Vec<u8>>, from: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    if value.len() > LONGEST {
        return Err(VaultError::new(format!("{from} gives more than {} KiB", LONGEST >> 10), "a secret is shorter"));
    }
    Ok(value)
}

fn parse_sources(path: &Path, text: &str, home: &Path, sink: &Sink) -> BTreeMap<(Kind, String), Source> {
    let file: Arc<str> = Arc::from(path.display().to_string());
    let table = parse(&file, text, sink);
    let reader = Reader::new(&table, "secrets.toml", None, sink);
    let mut sources = BTreeMap::new();
    for (kind, key) in Kind::ALL {
        for entry in reader.map(key).map(|table| table.entries.as_slice()).unwrap_or_default() {
            let name = match kind {
                Kind::Passphrase => under(home, &entry.key.value).display().to_string(),
                Kind::Secret | Kind::Sudo => entry.key.value.clone(),
            };
            if let Some(source) = source(&format!("[{key}] {}", entry.key.value), &entry.value, home, &reader) {
                sources.insert((kind, name), source);
            }
        }
    }
    reader.finish();
    sources
}

fn source(what: &str, value: &Placed<Node>, home: &Path, reader: &Reader<'_>) -> Option<Source> {
    const HELP: &str = "say where it comes from: { env = \"VARIABLE\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] }";
    let Node::Table(table) = &value.value else {
        reader.error(&value.place, format!("{what} must say where the secret comes from, not what it is"), HELP);
        return None;
    };
    let inner = Reader::new(table, what, None, reader.sink());
    let found = [
        inner.text("env").map(|text| Source::Env(text.value)),
        inner.text("file").map(|text| Source::File(under(home, &text.value))),
        inner
            .texts("command")
            .filter(|argv| !argv.is_empty())
            .map(|argv| Source::Command(argv.into_iter().map(|word| word.value).collect())),
    ];
    inner.finish();
    let mut found = found.into_iter().flatten();
    if let (Some(source), None) = (found.next(), found.next()) {
        return Some(source);
    }
    reader.error(&value.place, format!("{what} needs exactly one source"), HELP);
    None
}

fn under(home: &Path, path: &str) -> PathBuf {
    path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| home.join(rest))
}

/// The shortest line of a secret of several lines that is masked by itself.
const LINE: usize = 6;

/// Replaces every occurrence of these values, and of each longer line of them, in a text: for what a process of this machine prints.
pub fn replace_all(text: &str, values: &[SecretString]) -> String {
    let whole = values.iter().map(ExposeSecret::expose_secret);
    let mut found: Vec<&str> =
        whole.flat_map(|value| std::iter::once(value).chain(value.lines().filter(|line| line.len() >= LINE))).collect();
    // The longest first: one may begin like another.
    found.sort_by_key(|value| std::cmp::Reverse(value.len()));
    found.into_iter().filter(|value| !value.is_empty()).fold(text.to_owned(), |text, value| text.replace(value, "[masked]"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Home {
        dir: tempfile::TempDir,
    }

    impl Home {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().expect("folder") }
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, text).expect("file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            path
        }

        fn vault(&self, text: &str) -> Result<Vault, Diags> {
            Vault::read(&self.write("secrets.toml", text, 0o600), self.dir.path())
        }
    }

    fn shown(result: Result<Option<SecretString>, VaultError>) -> String {
        match result {
            Ok(Some(value)) => value.expose_secret().to_owned(),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn each_source_gives_its_value_without_the_lines_end() {
        let home = Home::new();
        home.write("pass", "from a file\r\n", 0o600);
        let vault = home.vault(
            "[secrets]\nA = { env = \"PATH\" }\nB = { file = \"~/pass\" }\nC = { command = [\"printf\", \"%s\\n\", \"one two\"] }\n\
             [passphrases]\n\"~/.ssh/deploy\" = { file = \"~/pass\" }\n[sudo]\n\"deploy@203.0.113.10\" = { command = [\"echo\", \"word\"] }\n",
        );
        let vault = vault.expect("vault");
        assert_eq!(shown(vault.get(Kind::Secret, "A")), std::env::var("PATH").expect("PATH"));
        assert_eq!(shown(vault.get(Kind::Secret, "B")), "from a file");
        assert_eq!(shown(vault.get(Kind::Secret, "C")), "one two");
        assert_eq!(shown(vault.get(Kind::Secret, "D")), "nothing");
        let key = home.dir.path().join(".ssh/deploy").display().to_string();
        assert_eq!(shown(vault.get(Kind::Passphrase, &key)), "from a file");
        assert_eq!(shown(vault.get(Kind::Sudo, "deploy@203.0.113.10")), "word");
        let debug = format!("{vault:?}");
        assert!(!debug.contains("from a file") && !debug.contains("one two"), "{debug}");
    }

    #[test]
    fn values_are_replaced_the_longest_first_and_line_by_line() {
        let values = ["abcdef", "abcdef-and-more", "first line\nsecond line"].map(SecretString::from);
        assert_eq!(replace_all("abcdef-and-more, abcdef, second line", &values), "[masked], [masked], [masked]");
    }

    #[test]
    fn it_is_fetched_once() {
        let home = Home::new();
        let count = home.dir.path().join("count");
        let script = format!("echo x >>{}; echo value", count.display());
        let vault = home.vault(&format!("[secrets]\nA = {{ command = [\"sh\", \"-c\", {script:?}] }}\n")).expect("vault");
        for _ in 0..3 {
            assert_eq!(shown(vault.get(Kind::Secret, "A")), "value");
        }
        assert_eq!(fs::read_to_string(count).expect("count"), "x\n");
    }

    #[test]
    fn what_is_not_private_or_fails_gives_nothing() {
        let home = Home::new();
        home.write("open", "secret words", 0o640);
        let vault = home.vault(
            "[secrets]\nOPEN = { file = \"~/open\" }\nABSENT = { file = \"~/absent\" }\nFAILS = { command = [\"sh\", \"-c\", \"echo secret words; exit 3\"] }\n\
             EMPTY = { command = [\"true\"] }\nLONG = { command = [\"head\", \"-c\", \"70000\", \"/dev/zero\"] }\nUNSET = { env = \"LANDFALL_NOT_SET\" }\n",
        );
        let vault = vault.expect("vault");
        for (name, why) in [
            ("OPEN", "not a file of yours alone"),
            ("ABSENT", "cannot be read"),
            ("FAILS", "exit status: 3"),
            ("EMPTY", "is empty"),
            ("LONG", "more than 64 KiB"),
            ("UNSET", "is not set here"),
        ] {
            let shown = shown(vault.get(Kind::Secret, name));
            assert!(shown.starts_with("error: ") && shown.contains(why) && !shown.contains("secret words"), "{name}: {shown}");
        }
    }

    #[test]
    fn the_file_is_the_operators_own_and_says_sources_not_values() {
        let home = Home::new();
        let open = home.write("secrets.toml", "", 0o622);
        let error = Vault::read(&open, home.dir.path()).expect_err("refused").to_string();
        assert!(error.contains("could be changed by others"), "{error}");
        let error = home
            .vault("[secrets]\nA = \"words\"\nB = {}\nC = { env = \"A\", file = \"b\" }\n[sudos]\n")
            .expect_err("wrong")
            .to_string();
        for piece in [
            "must say where the secret comes from, not what it is",
            "[secrets] B needs exactly one source",
            "[secrets] C needs",
            "unknown key `sudos`",
        ] {
            assert!(error.contains(piece), "no {piece:?} in {error}");
        }
        assert!(Vault::read(&home.dir.path().join("none"), home.dir.path()).is_ok());
    }
}

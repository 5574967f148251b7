//! Opens the host program on a host: one command finds and verifies it, takes it from its input where it is absent, and becomes it.
//! Knows the words of that command (`bootstrap.sh`), but nothing of the protocol that follows the greeting.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::departure::{CalledOff, Departure};
use super::payload::{MissingTarget, Programs};
use super::{ExecError, Host, PipeEvent, PipeReader, PipeWriter};
use crate::protocol::GREETING;

const SCRIPT: &str = include_str!("bootstrap.sh");
/// What a login shell may print before the greeting.
const NOISE: usize = 1 << 20;
/// A host that says and takes nothing for so long will not do it later.
const PATIENCE: Duration = Duration::from_secs(30);
/// The end of what the host said, for an error's text.
const TAIL: usize = 600;
const PIECE: usize = 32 << 10;

/// Why the host program could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No channel for it.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The connection went away.
    #[error("the connection was lost while landfall's program was being started: {0}")]
    Lost(String),
    /// Nothing comes, and nothing is taken.
    #[error("the host said nothing for {0:?} while landfall's program was being started{1}")]
    Silent(Duration, Said),
    /// The shell there did not do what a POSIX shell does.
    #[error("the host did not start landfall's program: {ended}{said}")]
    NoGreeting {
        /// "exit code 1", …
        ended: String,
        /// What it said instead.
        said: Said,
    },
    /// A file that the login shell starts with read what was not for it.
    #[error("the host's login shell took away what was meant for landfall's program")]
    Eaten,
    /// The login shell prints without end.
    #[error("the host's login shell printed more than {} KiB before it ran a command{}", NOISE >> 10, .0)]
    Noise(Said),
    /// No program for this kind of host.
    #[error(transparent)]
    Missing(#[from] MissingTarget),
    /// No place for a program.
    #[error("no folder on the host can hold landfall's program:{}", list(.tried))]
    NothingExecutes {
        /// Each folder and what is wrong with it.
        tried: Vec<String>,
    },
    /// It could not be stored.
    #[error("landfall's program could not be placed in {0}")]
    Upload(String),
    /// sudo does not let the login become root without a password, and none was given.
    #[error("sudo wants a password there")]
    PasswordWanted,
    /// sudo did not take it.
    #[error("sudo did not take the password")]
    PasswordWrong,
    /// This machine has no randomness.
    #[error("no random number could be had: {0}")]
    Random(String),
    /// Nobody wants any more what it was to be given.
    #[error(transparent)]
    CalledOff(#[from] CalledOff),
}

/// The last words of a host, where it had any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said(pub String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it said: {}", self.0) }
    }
}

fn list(tried: &[String]) -> String {
    tried.iter().fold(String::new(), |text, place| text + "\n  " + place)
}

impl OpenError {
    /// What mends it, where that can be said.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Exec(error) => return error.remedy.clone(),
            Self::Missing(error) => error.remedy(),
            Self::Silent(..) | Self::Noise(_) | Self::Eaten => {
                "a login shell must not wait, read or print when it is given a command: see ~/.bashrc and its like".into()
            }
            Self::NoGreeting { said, .. } if said.0.contains("sudo") => {
                "`become = true` needs sudo there, without a terminal: see `sudo -l` and `requiretty` in sudoers".into()
            }
            Self::NoGreeting { .. } => "the login shell must run commands: try `ssh HOST sh -c true`".into(),
            Self::NothingExecutes { .. } => {
                "make one of these folders usable: owned by the login, mode 0700, not on a noexec mount".into()
            }
            Self::Upload(_) => "check free space and quota there (`df`, `df -i`)".into(),
            Self::PasswordWanted => {
                "run it at a terminal, name a source under [sudo] in ~/.config/landfall/secrets.toml, or allow the login NOPASSWD"
                    .into()
            }
            Self::PasswordWrong => "run it again; sudo on the host tells in its log what it refused".into(),
            Self::Lost(_) | Self::Random(_) | Self::CalledOff(_) => return None,
        })
    }

    /// The exit code that goes with it: 3 for the connection, 7 for a host that is not fit.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exec(_) | Self::Lost(_) | Self::Silent(..) => 3,
            Self::CalledOff(_) => 130,
            _ => 7,
        }
    }
}

/// As whom the host program runs.
#[derive(Debug, Clone)]
pub enum Login {
    /// The login's own user.
    User,
    /// Root, by a sudo that asks nothing.
    Sudo,
    /// Root, by a sudo that takes this password from its input.
    SudoWith(SecretString),
}

impl Login {
    /// What stands before the shell's command.
    fn prefix(&self, nonce: &str) -> String {
        match self {
            Self::User => String::new(),
            Self::Sudo => "sudo -n -H ".to_owned(),
            // Asked in any case, remembered or not: what it takes from the input is then known.
            Self::SudoWith(_) => format!("sudo -k -S -H -p \"{nonce}{ASKS}\" "),
        }
    }
}

/// What follows the nonce where sudo asks for the password.
const ASKS: &str = " password";

/// The host program, running: its greeting is read, and nothing else is.
#[derive(Debug)]
pub struct Opened<R, W> {
    /// What comes out of it.
    pub reader: R,
    /// What goes into it.
    pub writer: W,
    /// What came with the greeting, after it.
    pub rest: Vec<u8>,
    /// True when it was not there before.
    pub uploaded: bool,
}

/// Opens the host program. What it is to be given `first` follows the command without waiting for the program to greet; it may be
/// nothing. (OpenSSH's server takes input only once it has accepted the command: what is saved is the program's start.) Whether the
/// program has or may have it, `departure` tells, however this ends.
pub async fn open<H: Host>(
    host: &H,
    programs: &Programs,
    login: &Login,
    first: &Bytes,
    departure: &Departure,
) -> Result<Opened<H::Reader, H::Writer>, OpenError> {
    open_below(host, programs, login, first, departure, "/var").await
}

/// As [`open`], with another root for the folders that are not in a home.
pub(super) async fn open_below<H: Host>(
    host: &H,
    programs: &Programs,
    login: &Login,
    first: &Bytes,
    departure: &Departure,
    var: &str,
) -> Result<Opened<H::Reader, H::Writer>, OpenError> {
    let opened = attempt(host, programs, login, first, departure, var).await;
    // Of what ended otherwise it is known that no program began.
    let unknown = |error: &OpenError| matches!(error, OpenError::Lost(_) | OpenError::Silent(..) | OpenError::Noise(_));
    if opened.as_ref().is_err_and(|error| !unknown(error)) {
        departure.came_back();
    }
    opened
}

async fn attempt<H: Host>(
    host: &H,
    programs: &Programs,
    login: &Login,
    first: &Bytes,
    departure: &Departure,
    var: &str,
) -> Result<Opened<H::Reader, H::Writer>, OpenError> {
    let nonce = nonce()?;
    // A sudo that asks takes its password from the same input.
    let first = if matches!(login, Login::SudoWith(_)) { &Bytes::new() } else { first };
    let (reader, mut writer) = host.exec(&command(programs, login, &nonce, first.len(), var)).await?;
    let mut with = Vec::new();
    if !first.is_empty() {
        departure.go()?;
        with = [format!("exit #{nonce}\n").as_bytes(), first].concat();
    }
    let mut ear = Ear::new(reader, nonce, matches!(login, Login::Sudo | Login::SudoWith(_)));
    let (mut uploaded, mut asked) = (false, false);
    let mut word = give(&mut ear, &mut writer, &Bytes::from(with)).await?;
    loop {
        word = match word {
            Word::Password => {
                let Login::SudoWith(password) = login else { return Err(OpenError::PasswordWanted) };
                if std::mem::replace(&mut asked, true) {
                    return Err(OpenError::PasswordWrong);
                }
                let line = Zeroizing::new(format!("{}\n", password.expose_secret()));
                let _ = writer.write(Bytes::copy_from_slice(line.as_bytes())).await;
                ear.word().await?
            }
            Word::Greeting => return Ok(Opened { rest: ear.rest(), reader: ear.reader, writer, uploaded }),
            Word::Absent { raw, machine } if !uploaded => {
                departure.came_back();
                let payload = programs.for_arch(&machine)?;
                let bytes = if raw { payload.program() } else { Ok(payload.gz.to_vec()) };
                let bytes = bytes.map_err(|error| OpenError::Upload(error.to_string()))?;
                uploaded = true;
                give(&mut ear, &mut writer, &Bytes::from(bytes)).await?
            }
            Word::Foreign { os, machine } => {
                programs.for_host(&os, &machine)?;
                return Err(MissingTarget::Unsupported { system: format!("{os} {machine}") }.into());
            }
            Word::Nowhere => return Err(OpenError::NothingExecutes { tried: ear.tried }),
            Word::Eaten => return Err(OpenError::Eaten),
            Word::Failed(why) => return Err(OpenError::Upload(why)),
            Word::Absent { .. } => return Err(OpenError::Upload("the host asked for it twice".into())),
        };
    }
}

/// Writes to the command and listens meanwhile: a host that cannot store the program says so at once, and takes no more of it. One that
/// greets takes all of it: it is the program already.
async fn give<R: PipeReader, W: PipeWriter>(ear: &mut Ear<R>, writer: &mut W, bytes: &Bytes) -> Result<Word, OpenError> {
    let mut greeted = false;
    for from in (0..bytes.len()).step_by(PIECE) {
        let mut write = pin!(writer.write(bytes.slice(from..bytes.len().min(from + PIECE))));
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        loop {
            tokio::select! {
                written = &mut write => match written {
                    Ok(()) => break,
                    // The reason is in what the host says.
                    Err(_) => return ear.word().await,
                },
                event = ear.reader.next(), if !greeted => match ear.hear(event)? {
                    None => {}
                    Some(Word::Greeting) => greeted = true,
                    Some(word) => return Ok(word),
                },
                () = &mut patience => return Err(OpenError::Silent(PATIENCE, ear.said())),
            }
        }
    }
    if greeted { Ok(Word::Greeting) } else { ear.word().await }
}

fn nonce() -> Result<String, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::Random(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// The whole command: one line, which any login shell hands to `sh` as it is.
pub(super) fn command(programs: &Programs, login: &Login, nonce: &str, first: usize, var: &str) -> String {
    let (mut cases, mut systems) = (String::new(), String::new());
    for payload in programs.built() {
        let (arch, name, sum, length, gz) = (payload.arch, payload.name(), &payload.sha256, payload.length, payload.gz.len());
        let _ = write!(cases, "\"Linux {arch}\") f={name}; s={sum}; l={length}; g={gz};; ");
        let _ = write!(systems, "\"Linux {arch}\" ");
    }
    let lines = SCRIPT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.replace("@NONCE@", nonce).replace("@PROGRAMS@", &cases).replace("@SYSTEMS@", &systems);
    let line = line.replace("@FIRST@", &first.to_string()).replace("@VAR@", var);
    match login {
        Login::User => format!("exec sh -c '{line}'"),
        // sudo's own words are English then, and can be told from others; what it starts has the host's own setting.
        _ => format!("exec env LC_ALL=C {}sh -c 'unset LC_ALL; {line}'", login.prefix(nonce)),
    }
}

/// What the command says.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Greeting,
    /// sudo asks.
    Password,
    Foreign {
        os: String,
        machine: String,
    },
    Nowhere,
    /// Something else read what was for the program.
    Eaten,
    Absent {
        raw: bool,
        machine: String,
    },
    Failed(String),
}

impl Word {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let two = || rest.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Some(match word {
            "foreign" => two().map(|(os, machine)| Self::Foreign { os, machine })?,
            "nowhere" => Self::Nowhere,
            "eaten" => Self::Eaten,
            "absent" => {
                let (how, system) = two()?;
                Self::Absent { raw: how == "raw", machine: system.split_once(' ')?.1.to_owned() }
            }
            "failed" => Self::Failed(rest.to_owned()),
            _ => return None,
        })
    }
}

/// Finds the command's words in whatever else comes.
struct Ear<R> {
    reader: R,
    nonce: String,
    heard: Vec<u8>,
    /// Before it nothing is left to find.
    from: usize,
    complaints: Vec<u8>,
    ended: Option<String>,
    /// Whether sudo may ask.
    sudo: bool,
    /// Folders that were passed over, and why.
    tried: Vec<String>,
}

impl<R: PipeReader> Ear<R> {
    fn new(reader: R, nonce: String, sudo: bool) -> Self {
        Self { reader, nonce, heard: Vec::new(), from: 0, complaints: Vec::new(), ended: None, sudo, tried: Vec::new() }
    }

    async fn word(&mut self) -> Result<Word, OpenError> {
        loop {
            if let Some(word) = self.find() {
                return Ok(word);
            }
            let event = tokio::time::timeout(PATIENCE, self.reader.next()).await;
            let event = event.map_err(|_| OpenError::Silent(PATIENCE, self.said()))?;
            if let Some(word) = self.hear(event)? {
                return Ok(word);
            }
        }
    }

    fn hear(&mut self, event: PipeEvent) -> Result<Option<Word>, OpenError> {
        match event {
            PipeEvent::Out(bytes) => {
                self.heard.extend_from_slice(&bytes);
                let word = self.find();
                if word.is_none() && self.heard.len() > NOISE {
                    return Err(OpenError::Noise(self.said()));
                }
                return Ok(word);
            }
            PipeEvent::Err(bytes) => {
                self.complaints.extend_from_slice(&bytes);
                if let Some(word) = self.asks() {
                    return Ok(Some(word));
                }
                let excess = self.complaints.len().saturating_sub(TAIL);
                self.complaints.drain(..excess);
            }
            PipeEvent::Ended(how) => self.ended = Some(how),
            PipeEvent::Closed => {
                let ended = self.ended.take().unwrap_or_else(|| "its command ended".into());
                return Err(OpenError::NoGreeting { ended, said: self.said() });
            }
            PipeEvent::Lost(cause) => return Err(OpenError::Lost(cause)),
        }
        Ok(None)
    }

    /// The next word in what was heard. The nonce makes them known: no shell prints it by chance, and where one repeats the whole
    /// command, something else follows it.
    fn find(&mut self) -> Option<Word> {
        let nonce = self.nonce.as_bytes();
        loop {
            let Some(at) = self.heard[self.from..].windows(nonce.len()).position(|window| window == nonce) else {
                self.from = self.from.max((self.heard.len() + 1).saturating_sub(nonce.len()));
                return None;
            };
            let (at, after) = (self.from + at, self.from + at + nonce.len());
            let line = match self.heard.get(after)? {
                b'\n' if self.heard[..at].ends_with(format!("{GREETING} ").as_bytes()) => {
                    self.from = after + 1;
                    return Some(Word::Greeting);
                }
                b' ' => &self.heard[after + 1..],
                _ => &[],
            };
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let line = plain(&line[..end]);
                self.from = after + 1 + end;
                if let Some(place) = line.strip_prefix("skip ") {
                    self.tried.push(place.to_owned());
                } else if let Some(word) = Word::parse(&line) {
                    return Some(word);
                }
            } else if line.is_empty() && self.heard[after] != b' ' {
                self.from = after;
            } else {
                return None;
            }
        }
    }

    /// Whether sudo asks for a password: by our own prompt, or by the refusal of `sudo -n`.
    fn asks(&mut self) -> Option<Word> {
        if !self.sudo {
            return None;
        }
        let said = String::from_utf8_lossy(&self.complaints);
        let refused = ["sudo: a password is required", "sudo: interactive authentication is required"];
        let asks = said.contains(&format!("{}{ASKS}", self.nonce)) || refused.iter().any(|words| said.contains(words));
        asks.then(|| {
            self.complaints.clear();
            Word::Password
        })
    }

    fn rest(&mut self) -> Vec<u8> {
        self.heard.split_off(self.from)
    }

    /// The end of what the host said, complaints first.
    fn said(&self) -> Said {
        let text = if self.complaints.is_empty() { &self.heard } else { &self.complaints };
        Said(plain(&text[text.len().saturating_sub(TAIL)..]).trim().to_owned())
    }
}

/// Words of a host, harmless to a terminal.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;

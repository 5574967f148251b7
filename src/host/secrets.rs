//! Collects the secrets of a run from where the host keeps them: env files, secrets files, and values that others hand in (the
//! compose configuration, a container's environment). Owns what counts as a secret and what cannot be masked; fails rather than
//! leave a source out. Must not know of streams or steps, and never puts a value into an error, a warning or debug output.

mod dotenv;
mod error;
mod files;

pub use error::{ShortSecret, SourceError};

use crate::host::mask::{ANYWHERE, Needles, Plain, Secret, Verdict, WhyNot, is_secret_key};
use crate::secret::{SecretSources, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file that is one secret.
    SecretFile(PathBuf),
    /// An env file.
    EnvFile(PathBuf),
    /// The environment of a service in the compose configuration.
    Compose(String),
    /// The environment of a container.
    Container(String),
    /// Anything else that holds nothing but secrets, such as a registry login.
    Login(String),
}

impl Origin {
    /// Whether all that comes from there is certainly secret, whatever its key.
    fn is_secret(&self) -> bool {
        matches!(self, Self::SecretFile(_) | Self::Login(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretFile(path) | Self::EnvFile(path) => write!(f, "{}", path.display()),
            Self::Compose(service) => write!(f, "compose service {service}"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Login(place) => f.write_str(place),
        }
    }
}

/// A value that was looked at, for `doctor` to list. Never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretName {
    /// The key, or the stem of the file's name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Whether it is masked.
    pub masked: bool,
    /// Why not, if it is not.
    pub why_not: Option<String>,
}

/// All that was collected.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to look for in the output.
    pub needles: Arc<Needles>,
    /// Each value that was looked at, in the order of the sources.
    pub names: Vec<SecretName>,
    /// What the operator should know; never a value.
    pub warnings: Vec<String>,
    values: Vec<Secret>,
}

impl Loaded {
    /// How many values are masked.
    pub fn count(&self) -> usize {
        self.names.iter().filter(|name| name.masked).count()
    }

    /// A value as it stands, or the secret that it names, for a step's environment or a header. The error names what is missing.
    pub fn resolve(&self, value: &Value) -> Result<String, String> {
        let name = match value {
            Value::Plain(text) => return Ok(text.clone()),
            Value::Secret(name) => &name.0,
        };
        let secret = self.values.iter().rev().find(|secret| secret.name() == name);
        let secret = secret.ok_or_else(|| format!("no declared secrets file holds a secret named {name}"))?;
        String::from_utf8(secret.value().trim_ascii_end().to_vec()).map_err(|_| format!("the secret {name} is not text"))
    }
}

/// Reads the declared files, and nothing else.
pub fn load(sources: &SecretSources) -> Result<Loaded, SourceError> {
    sources.load()
}

impl SecretSources {
    /// Reads the declared files; more values may be added to the result.
    pub fn read(&self) -> Result<Collection, SourceError> {
        let mut collection = Collection {
            plain: Plain::new(&self.known_plain),
            public: self.public.clone(),
            accept_short: self.accept_short.clone(),
            secrets: Vec::new(),
            values: Vec::new(),
            names: Vec::new(),
            short: Vec::new(),
            warnings: Vec::new(),
        };
        for declared in &self.files {
            for path in files::find(Path::new(&self.base), declared)? {
                let content = files::read(Path::new(&self.base), &path)?;
                collection.add_file(&path, content);
            }
        }
        Ok(collection)
    }

    /// Reads the declared files, and nothing else.
    pub fn load(&self) -> Result<Loaded, SourceError> {
        self.read()?.finish()
    }
}

/// Secrets as they come together.
pub struct Collection {
    plain: Plain,
    public: Vec<String>,
    accept_short: Vec<String>,
    secrets: Vec<Secret>,
    values: Vec<Secret>,
    names: Vec<SecretName>,
    short: Vec<ShortSecret>,
    warnings: Vec<String>,
}

impl Collection {
    /// Adds a value that something else has found, for instance in the output of `docker compose config`.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>, origin: &Origin) {
        self.add_forms(name, vec![value.into()], origin);
    }

    /// All is collected: works out what to look for. Fails if a secret is too short to mask and not accepted.
    pub fn finish(self) -> Result<Loaded, SourceError> {
        if !self.short.is_empty() {
            return Err(SourceError::TooShort { secrets: self.short });
        }
        let needles = Arc::new(Needles::new(&self.secrets, &self.plain));
        Ok(Loaded { needles, names: self.names, warnings: self.warnings, values: self.values })
    }

    fn add_file(&mut self, path: &Path, content: Vec<u8>) {
        let by_name = dotenv::is_named_like_one(path);
        let file = if by_name { Some(dotenv::parse(&content)) } else { dotenv::parse_if_all_assignments(&content) };
        let mut file = file.unwrap_or_default();
        // `dGVzdA==` looks like an assignment, so a single line is taken for both.
        if !by_name && file.assignments.len() < 2 {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            self.add_forms(&stem, vec![content], &Origin::SecretFile(path.to_owned()));
            file.assignments.retain(|assignment| assignment.forms[0].len() >= ANYWHERE);
        } else {
            wipe(content);
        }
        let origin = Origin::EnvFile(path.to_owned());
        for assignment in file.assignments {
            self.add_forms(&assignment.key, assignment.forms, &origin);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for stray in file.strays {
            self.add_forms(&name, vec![stray], &origin);
        }
    }

    /// Adds a value in all the forms that programs may take it for; the first is what compose makes of it, and decides.
    fn add_forms(&mut self, name: &str, forms: Vec<Vec<u8>>, origin: &Origin) {
        let strict = origin.is_secret() || is_secret_key(name);
        let first = forms.first().map_or(&[][..], Vec::as_slice);
        self.values.push(Secret::new(name, first, strict));
        let verdict = match origin {
            _ if self.is_public(name) => Verdict::Leave(WhyNot::Public),
            // The name of a secrets file is not an environment key.
            origin if origin.is_secret() => self.plain.judge("", first, strict),
            _ => self.plain.judge(name, first, strict),
        };
        let verdict = match verdict {
            Verdict::TooShort if self.accept_short.iter().any(|accepted| accepted == name) => Verdict::Leave(WhyNot::Accepted),
            other => other,
        };
        match verdict {
            Verdict::Mask => {
                let worth = forms.into_iter().filter(|form| !form.is_empty());
                self.secrets.extend(worth.map(|form| Secret::new(name, form, strict)));
            }
            Verdict::Leave(why) => {
                let expected = match why {
                    WhyNot::Public | WhyNot::Accepted => true,
                    // An empty variable is common, an empty secrets file a mistake.
                    WhyNot::Empty => !origin.is_secret(),
                    _ => false,
                };
                if strict && !expected {
                    self.warn(format!("{name} ({origin}) looks like a secret but is not masked: {why}"));
                }
                forms.into_iter().for_each(wipe);
            }
            Verdict::TooShort => {
                let short = ShortSecret { name: name.to_owned(), source: origin.to_string() };
                if !self.short.contains(&short) {
                    self.short.push(short);
                }
                forms.into_iter().for_each(wipe);
            }
        }
        let why_not = match verdict {
            Verdict::Mask => None,
            Verdict::Leave(why) => Some(why.to_string()),
            Verdict::TooShort => Some("it is too short to mask".to_owned()),
        };
        self.note(SecretName { name: name.to_owned(), source: origin.to_string(), masked: why_not.is_none(), why_not });
    }

    fn is_public(&self, name: &str) -> bool {
        self.public.iter().any(|pattern| files::matches(pattern, name))
    }

    fn note(&mut self, name: SecretName) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("names", &self.names).finish_non_exhaustive()
    }
}

fn wipe(mut value: Vec<u8>) {
    value.fill(0);
}

#[cfg(test)]
mod tests;

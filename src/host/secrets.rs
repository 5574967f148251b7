//! Collects the secrets of a run from where the host keeps them: env files, secrets files, and values that others hand in (the
//! compose configuration, a container's environment). Owns what counts as a secret and what cannot be masked; fails rather than
//! leave a source out. Must not know of streams or steps, and never puts a value into an error, a warning or debug output.

mod dotenv;
mod error;
mod files;
mod logins;
mod policy;

pub use error::{ShortSecret, SourceError};

use crate::host::mask::{ANYWHERE, Needles, Patterns, Plain, Secret, Verdict, WhyNot, is_secret_key};
use crate::secret::{Pattern, SecretName, SecretSources, Value};
use policy::Policy;
use std::collections::BTreeSet;
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
    /// A variable that an image gives its containers.
    Image(String),
    /// Anything else that holds nothing but secrets, such as a registry login.
    Login(String),
}

impl Origin {
    /// Whether all that comes from there is certainly secret, whatever its key.
    fn is_secret(&self) -> bool {
        matches!(self, Self::SecretFile(_) | Self::Login(_))
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::SecretFile(_) | Self::EnvFile(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretFile(path) | Self::EnvFile(path) => write!(f, "{}", path.display()),
            Self::Compose(service) => write!(f, "compose service {service}"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Image(name) => write!(f, "image {name}"),
            Self::Login(place) => f.write_str(place),
        }
    }
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
    /// What it was made of.
    from: Arc<Collection>,
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
        let given = self.from.named(name).ok_or_else(|| format!("no declared secrets file holds a secret named {name}"))?;
        String::from_utf8(given.first().trim_ascii_end().to_vec()).map_err(|_| format!("the secret {name} is not text"))
    }

    /// The same with the variables of an image that are secrets by their names: all others are no more secret than the image. None
    /// where that adds nothing.
    pub(super) fn and_of_image<'a>(
        &self,
        image: &str,
        variables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, SourceError> {
        let is_new = |(key, value): &(&str, &str)| is_secret_key(key) && !self.from.holds(key, value.as_bytes());
        let mut new = variables.filter(is_new).peekable();
        if new.peek().is_none() {
            return Ok(None);
        }
        let mut collection = (*self.from).clone();
        new.for_each(|(key, value)| collection.add(key, value, &Origin::Image(image.to_owned())));
        collection.finish().map(Some)
    }
}

impl SecretSources {
    /// Reads the declared files; more values may be added to the result.
    pub fn read(&self) -> Result<Collection, SourceError> {
        let mut collection = Collection {
            base: PathBuf::from(&self.base),
            known: self.known_plain.clone(),
            public: self.public.clone(),
            accept_short: self.accept_short.clone(),
            given: Vec::new(),
            declared: 0,
            policy: None,
            files: BTreeSet::new(),
            patterns: self.patterns.clone(),
        };
        for declared in &self.files {
            for path in files::find(&collection.base, declared)? {
                collection.read_file(&path)?;
            }
        }
        collection.declared = collection.given.len();
        Ok(collection)
    }

    /// Reads the declared files, and nothing else.
    pub fn load(&self) -> Result<Loaded, SourceError> {
        self.read()?.finish()
    }
}

/// A value as it was found, in all the forms that programs may take it for; the first is what compose makes of it, and decides.
#[derive(Clone)]
struct Given {
    name: String,
    forms: Vec<Vec<u8>>,
    origin: Origin,
}

impl Given {
    fn first(&self) -> &[u8] {
        self.forms.first().map_or(&[], Vec::as_slice)
    }

    /// Whether it is certainly a secret.
    fn is_strict(&self) -> bool {
        self.origin.is_secret() || is_secret_key(&self.name)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.forms.iter_mut().for_each(|form| form.fill(0));
    }
}

/// Secrets as they come together. What becomes of each is judged when all are there.
#[derive(Clone)]
pub struct Collection {
    base: PathBuf,
    known: Vec<String>,
    public: Vec<String>,
    accept_short: Vec<String>,
    given: Vec<Given>,
    /// How many of them the inventory declares: they come first.
    declared: usize,
    /// What root allows the inventory to say.
    policy: Option<Policy>,
    /// The files that were read, so that none is read twice.
    files: BTreeSet<PathBuf>,
    /// The forms of personal data.
    patterns: Vec<Pattern>,
}

impl Collection {
    /// Adds a value that something else has found, for instance in the output of `docker compose config`.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>, origin: &Origin) {
        self.add_forms(name, vec![value.into()], origin);
    }

    /// Adds a value in all the forms that programs may take it for; the first decides.
    pub(super) fn add_forms(&mut self, name: &str, forms: Vec<Vec<u8>>, origin: &Origin) {
        self.given.push(Given { name: name.to_owned(), forms, origin: origin.clone() });
    }

    /// Heeds the policy of this host, if there is one.
    pub(super) fn heed_policy(&mut self) -> Result<(), SourceError> {
        self.policy = Policy::of_host()?;
        Ok(())
    }

    /// Adds words that are known not to be secret.
    pub(super) fn know(&mut self, words: impl IntoIterator<Item = String>) {
        self.known.extend(words);
    }

    /// Reads an env file, or a file that is one secret, whichever it looks like; unless it was read before.
    pub(super) fn read_file(&mut self, path: &Path) -> Result<(), SourceError> {
        if let Some(content) = self.content_of(path)? {
            self.add_file(path, content);
        }
        Ok(())
    }

    /// Reads a file that is one secret with a name of its own.
    pub(super) fn read_secret(&mut self, name: &str, path: &Path) -> Result<(), SourceError> {
        // It may be declared as well, and have another name there.
        let content = files::read(&self.base, path)?;
        self.add(name, content, &Origin::SecretFile(path.to_owned()));
        Ok(())
    }

    fn content_of(&mut self, path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
        let content = files::read(&self.base, path)?;
        let whole = std::fs::canonicalize(self.base.join(path)).unwrap_or_else(|_| self.base.join(path));
        Ok(self.files.insert(whole).then_some(content))
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

    /// All is collected: works out what to look for. Fails if a secret is too short to mask and not accepted.
    pub fn finish(self) -> Result<Loaded, SourceError> {
        let plain = Plain::new(&self.known);
        let mut short: Vec<ShortSecret> = Vec::new();
        let (mut secrets, mut names, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        // Compose tells what its env files say once more: a value that is known is not looked for twice.
        let mut seen: BTreeSet<(&[u8], bool)> = BTreeSet::new();
        let mut told: BTreeSet<(&str, &[u8])> = BTreeSet::new();
        for given in &self.given {
            let (name, strict) = (&given.name, given.is_strict());
            let verdict = self.judge(given, &plain);
            if verdict == Verdict::Mask {
                for form in given.forms.iter().filter(|form| !form.is_empty()) {
                    if !seen.contains(&(form.as_slice(), true)) && seen.insert((form, strict)) {
                        secrets.push(Secret::new(name, form.as_slice(), strict));
                    }
                }
            }
            if !told.insert((name, given.first())) {
                continue;
            }
            let source = given.origin.to_string();
            match verdict {
                Verdict::Mask if self.is_public(name) => {
                    warnings.push(format!("{name} ({source}) is masked: the host's policy does not let it be public"));
                }
                Verdict::Leave(why) if strict && !is_expected(why, &given.origin) => {
                    warnings.push(format!("{name} ({source}) looks like a secret but is not masked: {why}"));
                }
                Verdict::TooShort => short.push(ShortSecret { name: name.clone(), source: source.clone() }),
                _ => {}
            }
            let why_not = match verdict {
                Verdict::Mask => None,
                Verdict::Leave(why) => Some(why.to_string()),
                Verdict::TooShort => Some("it is too short to mask".to_owned()),
            };
            let may_be_public = verdict == Verdict::Mask && self.may_be_public(given);
            names.push(SecretName { name: name.clone(), source, masked: why_not.is_none(), why_not, may_be_public });
        }
        if !short.is_empty() {
            let forbidden = short.iter().any(|short| self.accepts_short(&short.name));
            return Err(SourceError::TooShort { secrets: short, forbidden });
        }
        let patterns = Patterns::new(&self.patterns).map_err(SourceError::Pattern)?;
        let needles = Arc::new(Needles::new(&secrets, &plain).with(patterns));
        Ok(Loaded { needles, names, warnings, from: Arc::new(self) })
    }

    /// What a step may ask for by name: of several, the last; what is declared goes before the rest.
    fn named(&self, name: &str) -> Option<&Given> {
        let (declared, other) = self.given.split_at(self.declared);
        let other = other.iter().filter(|given| given.origin.is_file());
        other.chain(declared).rev().find(|given| given.name == name)
    }

    fn holds(&self, name: &str, value: &[u8]) -> bool {
        self.given.iter().any(|given| given.name == name && given.forms.iter().any(|form| form == value))
    }

    fn judge(&self, given: &Given, plain: &Plain) -> Verdict {
        let (name, first, strict) = (&given.name, given.first(), given.is_strict());
        let public = self.is_public(name);
        if public && self.allows_public(name) {
            return Verdict::Leave(WhyNot::Public);
        }
        // The name of a secrets file is not an environment key.
        let key = if given.origin.is_secret() { "" } else { name };
        match plain.judge(key, first, strict) {
            Verdict::TooShort
                if self.accepts_short(name) && self.policy.as_ref().is_none_or(|policy| policy.allows_short(name)) =>
            {
                Verdict::Leave(WhyNot::Accepted)
            }
            // Nothing is refused for what was there to be read before.
            Verdict::TooShort if matches!(given.origin, Origin::Image(_)) => Verdict::Leave(WhyNot::OfImage),
            verdict => verdict,
        }
    }

    /// Whether a masked value looks like one that a person would rather read.
    fn may_be_public(&self, given: &Given) -> bool {
        !given.is_strict() && self.allows_public(&given.name) && is_wordy(given.first())
    }

    /// What looks like a secret by its name is public by root's word only.
    fn allows_public(&self, name: &str) -> bool {
        self.policy.as_ref().unwrap_or(&Policy::default()).allows_public(name)
    }

    fn accepts_short(&self, name: &str) -> bool {
        self.accept_short.iter().any(|accepted| accepted == name)
    }

    fn is_public(&self, name: &str) -> bool {
        self.public.iter().any(|pattern| files::matches(pattern, name))
    }
}

/// Whether it is no wonder that something that looks like a secret is not masked.
fn is_expected(why: WhyNot, origin: &Origin) -> bool {
    match why {
        WhyNot::Public | WhyNot::Accepted => true,
        // An empty variable is common, an empty secrets file a mistake.
        WhyNot::Empty => !origin.is_secret(),
        _ => false,
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.given.iter().map(|given| given.name.as_str()).collect();
        f.debug_struct("Collection").field("names", &names).finish_non_exhaustive()
    }
}

/// Whether a value is made of words and numbers, as settings are and passwords are not.
fn is_wordy(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let mut words = text.split(|c: char| c.is_ascii_whitespace() || "-_./:,;@".contains(c)).filter(|word| !word.is_empty());
    let is_word = |word: &str| {
        let digits = word.chars().all(|c| c.is_ascii_digit()) && word.len() < 9;
        digits
            || (word.chars().skip(1).all(|c| c.is_ascii_lowercase()) || word.chars().all(|c| c.is_ascii_uppercase()))
                && word.len() <= 16
    };
    text.len() <= 64 && words.all(is_word)
}

fn wipe(mut value: Vec<u8>) {
    value.fill(0);
}

#[cfg(test)]
mod tests;

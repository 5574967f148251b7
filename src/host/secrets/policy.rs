//! The policy of a host: what root lets an inventory take off the mask. Only what it names by key may be public that looks like a
//! secret; and where there is one, only what it names may be accepted though it is too short.
//!
//! ```text
//! # /etc/landfall/policy.toml
//! allow_public = ["NEXT_PUBLIC_API_URL"]
//! allow_short = ["ADMIN_PIN"]
//! ```

use super::SourceError;
use crate::host::mask::is_secret_key;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Where it is.
const PLACE: &str = "/etc/landfall/policy.toml";
/// Nobody writes more than that by hand.
const LARGEST: u64 = 64 * 1024;

/// What root allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    public: Vec<String>,
    short: Vec<String>,
}

impl Policy {
    /// The policy of this host; none where there is none.
    pub(super) fn of_host() -> Result<Option<Self>, SourceError> {
        Self::read(Path::new(PLACE), 0)
    }

    /// Reads one that only `owner` can have written.
    fn read(path: &Path, owner: u32) -> Result<Option<Self>, SourceError> {
        let refused = |why: String| SourceError::Policy { path: path.to_owned(), why };
        let safe = |what: &Path, metadata: &fs::Metadata| match metadata {
            _ if metadata.is_symlink() => Err(refused(format!("{} is a symbolic link", what.display()))),
            _ if metadata.uid() != owner => Err(refused(format!("{} does not belong to root", what.display()))),
            _ if metadata.mode() & 0o022 != 0 => Err(refused(format!("{} can be written by others than root", what.display()))),
            _ => Ok(()),
        };
        let unreadable = |error: std::io::Error| refused(format!("it cannot be read: {error}"));
        let folder = path.parent().unwrap_or(path);
        match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => safe(folder, &metadata.map_err(unreadable)?)?,
        }
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(unreadable)?,
        };
        safe(path, &metadata)?;
        if !metadata.is_file() || metadata.len() > LARGEST {
            return Err(refused("it is not a small file".to_owned()));
        }
        let no_link = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = fs::OpenOptions::new().read(true).custom_flags(no_link).open(path).map_err(unreadable)?;
        safe(path, &file.metadata().map_err(unreadable)?)?;
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text).map(Some).map_err(|(line, why)| refused(format!("line {line}: {why}")))
    }

    /// Lists of quoted keys, and nothing else. The error names the line.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut policy = Self::default();
        let mut lines = (1..).zip(text.lines().map(without_comment)).filter(|(_, line)| !line.is_empty());
        while let Some((at, line)) = lines.next() {
            let Some((key, value)) = line.split_once('=') else {
                return Err((at, "not understood: a list is written KEY = [\"NAME\", …]".to_owned()));
            };
            let allowed = match key.trim() {
                "allow_public" => &mut policy.public,
                "allow_short" => &mut policy.short,
                other => return Err((at, format!("unknown key {other:?}: there are allow_public and allow_short"))),
            };
            let mut value = value.trim().to_owned();
            while value.starts_with('[') && !value.ends_with(']') {
                let Some((_, more)) = lines.next() else { return Err((at, "the list has no end".to_owned())) };
                value.push_str(more);
            }
            allowed.extend(names(&value).ok_or_else(|| (at, "not a list of quoted names".to_owned()))?);
        }
        Ok(policy)
    }

    /// Whether an inventory may make this key public.
    pub(super) fn allows_public(&self, key: &str) -> bool {
        self.public.iter().any(|allowed| allowed == key) || !(is_secret_key(key) || key.to_ascii_uppercase().contains("URL"))
    }

    /// Whether an inventory may accept that this secret is too short to mask.
    pub(super) fn allows_short(&self, key: &str) -> bool {
        self.short.iter().any(|allowed| allowed == key)
    }
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let comment = line.find(|character| {
        quoted ^= character == '"';
        character == '#' && !quoted
    });
    line[..comment.unwrap_or(line.len())].trim()
}

/// The names in `["A", "B"]`.
fn names(list: &str) -> Option<Vec<String>> {
    let inside = list.strip_prefix('[')?.strip_suffix(']')?.trim();
    let items = inside.strip_suffix(',').unwrap_or(inside).split(',').map(str::trim);
    let name = |item: &str| {
        let name = item.strip_prefix('"')?.strip_suffix('"')?;
        (!name.is_empty() && !name.contains(['"', '\\', '*', '?'])).then(|| name.to_owned())
    };
    if inside.is_empty() { Some(Vec::new()) } else { items.map(name).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn what_is_written_is_allowed_and_nothing_else() {
        let text =
            "# root's word\nallow_public = [ \"NEXT_PUBLIC_KEY\", # shown anyway\n  \"API_URL\",\n]\n\nallow_short=[\"PIN\"]\n";
        let policy = Policy::parse(text).expect("a policy");
        for (key, public, short) in [
            ("NEXT_PUBLIC_KEY", true, false),
            ("API_URL", true, false),
            ("WEB_URL", false, false),
            ("DB_PASSWORD", false, false),
            ("SENTRY_DSN", false, false),
            ("APP_ENV", true, false),
            ("PIN", true, true),
        ] {
            assert_eq!((policy.allows_public(key), policy.allows_short(key)), (public, short), "{key}");
        }
        assert_eq!(Policy::parse("allow_short = []"), Ok(Policy::default()));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line, why) in [
            ("allow_public = []\n\nallow_all = [\"X\"]", 3, "unknown key \"allow_all\": there are allow_public and allow_short"),
            ("[public]", 1, "not understood: a list is written KEY = [\"NAME\", …]"),
            ("allow_short = \"X\"", 1, "not a list of quoted names"),
            ("allow_short = [X]", 1, "not a list of quoted names"),
            ("allow_short = [\"A*\"]", 1, "not a list of quoted names"),
            ("#\nallow_short = [\"A\",\n", 2, "the list has no end"),
        ] {
            assert_eq!(Policy::parse(text), Err((line, why.to_owned())), "{text}");
        }
    }

    #[test]
    fn one_that_others_could_have_written_is_refused() {
        let temp = tempfile::tempdir().expect("folder");
        let (folder, me) = (temp.path().join("landfall"), rustix::process::geteuid().as_raw());
        let path = folder.join("policy.toml");
        let read = |owner: u32| Policy::read(&path, owner).map_err(|error| error.to_string());
        let chmod = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        assert_eq!(read(me), Ok(None));
        fs::create_dir(&folder).expect("folder");
        chmod(&folder, 0o755);
        assert_eq!(read(me), Ok(None));
        fs::write(&path, "allow_short = [\"PIN\"]\n").expect("policy");
        chmod(&path, 0o644);
        assert!(read(me).is_ok_and(|policy| policy.is_some_and(|policy| policy.allows_short("PIN"))));
        assert!(read(me + 1).is_err_and(|error| error.ends_with("landfall does not belong to root")));
        chmod(&path, 0o664);
        assert!(read(me).is_err_and(|error| error.ends_with("policy.toml can be written by others than root")));
        chmod(&path, 0o644);
        chmod(&folder, 0o757);
        assert!(read(me).is_err_and(|error| error.ends_with("landfall can be written by others than root")));
        chmod(&folder, 0o755);
        fs::write(&path, "allow_everything = true\n").expect("policy");
        assert!(read(me).is_err_and(|error| error.contains("policy.toml is not heeded: line 1: unknown key")));
        fs::rename(&path, folder.join("other")).expect("rename");
        symlink("other", &path).expect("link");
        assert!(read(me).is_err_and(|error| error.ends_with("policy.toml is a symbolic link")));
    }
}

//! Reads the logins that the docker program keeps for registries. Must not know how it uses them, nor ask a credential helper.

use super::{Collection, Origin, SourceError, files};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Docker's own settings, as far as they hold secrets.
#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Login {
    /// Base64 of `user:password`.
    auth: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where the settings are, for the user of this process.
fn place() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    Some(folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?.join("config.json"))
}

impl Collection {
    /// Adds the logins of this user. Where there are no settings, there are none.
    pub(in crate::host) fn read_logins(&mut self) -> Result<(), SourceError> {
        match place() {
            Some(path) if std::fs::symlink_metadata(&path).is_ok() => self.read_logins_in(&path),
            _ => Ok(()),
        }
    }

    pub(super) fn read_logins_in(&mut self, path: &Path) -> Result<(), SourceError> {
        let content = files::read(Path::new("/"), path)?;
        let settings: Settings = serde_json::from_slice(&content).map_err(|error| SourceError::NotUnderstood {
            path: path.to_owned(),
            // Without the error's own words, which may quote.
            line: error.line(),
        })?;
        let origin = Origin::Login(path.display().to_string());
        for (registry, login) in settings.auths {
            let name = format!("login at {}", registry.split_once("://").map_or(registry.as_str(), |(_, rest)| rest));
            let both = login.auth.as_deref().and_then(decoded);
            let half = both.as_deref().and_then(|both| both.split_once(':')).map(|(_, password)| password.to_owned());
            let all = [login.auth, half, login.password, login.identitytoken, login.registrytoken];
            for secret in all.into_iter().flatten().filter(|secret| !secret.is_empty()) {
                self.add(&name, secret, &origin);
            }
        }
        Ok(())
    }
}

/// Base64 undone, where it is one of text.
fn decoded(text: &str) -> Option<String> {
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSources;

    fn names(settings: &str) -> Result<(Vec<String>, super::super::Loaded), SourceError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, settings).expect("settings");
        let mut collection = SecretSources::default().read().expect("nothing");
        collection.read_logins_in(&path)?;
        let loaded = collection.finish()?;
        Ok((loaded.names.iter().map(|name| name.name.clone()).collect(), loaded))
    }

    #[test]
    fn a_login_gives_its_base64_its_password_and_its_tokens() {
        let auth = crate::record::base64(b"ann:correct-horse");
        let settings = format!(
            "{{\"auths\": {{\"https://registry.example.com/v1/\": {{\"auth\": \"{auth}\"}}, \
             \"cache.example.com\": {{\"identitytoken\": \"token-of-a-user\"}}, \"helped.example.com\": {{}}}}, \
             \"credHelpers\": {{\"helped.example.com\": \"pass\"}}}}"
        );
        let (names, loaded) = names(&settings).expect("logins");
        assert_eq!(
            names,
            ["login at cache.example.com", "login at registry.example.com/v1/", "login at registry.example.com/v1/"]
        );
        for text in [auth.as_str(), "correct-horse", "token-of-a-user"] {
            assert!(loaded.needles.contains_secret(text.as_bytes()).is_some_and(|found| found.strict), "{text}");
        }
        assert!(loaded.needles.contains_secret(b"helped.example.com pass ann").is_none());
    }

    #[test]
    fn settings_that_cannot_be_read_are_an_error_that_quotes_nothing() {
        let error = names("{\"auths\": \"correct-horse\"}").expect_err("not understood");
        assert!(error.to_string().ends_with("is not understood at line 1"), "{error}");
        assert!(!format!("{error:?} {error} {}", error.remedy()).contains("horse"));
        assert!(names("{}").is_ok_and(|(names, _)| names.is_empty()));
    }
}

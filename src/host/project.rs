//! Asks Docker and Compose about a project, once, before anything else is; and says in words what is wrong with it. What they answered
//! is unmasked until the secrets that it names are known, which is why looking and telling are two things.

use std::thread;

use super::compose::{self, Config};
use super::docker::{self, Trouble};
use super::guard::mask_text;
use super::secrets::Loaded;
use crate::facts::{DockerFacts, Refusal};
use crate::protocol::ComposeProject;

/// What was answered, for the host's eyes only.
#[derive(Debug)]
pub(super) enum Look {
    /// A file of the project is missing, so nothing was asked.
    Incomplete(String),
    /// Engine, plugin, project.
    Asked(Result<String, Trouble>, Result<String, Trouble>, Result<Config, Unread>),
}

/// Why the project could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Compose said so.
    Trouble(Trouble),
    /// Where its answer is not understood.
    Place(usize, usize),
}

/// Asks: three looks at once, for each starts a process and most of its time is spent waiting.
pub(super) fn look(project: &ComposeProject) -> Look {
    if let Some(missing) = compose::missing_files(project) {
        return Look::Incomplete(missing);
    }
    let (engine, plugin, config) = thread::scope(|scope| {
        let engine = scope.spawn(docker::engine);
        let plugin = scope.spawn(docker::compose);
        let config = docker::look(&compose::command(project, &["config", "--format", "json"]));
        (engine.join(), plugin.join(), config)
    });
    let lost = || Trouble::Failed("the look at Docker ended early".to_owned());
    let config = config.map_err(Unread::Trouble).and_then(|text| {
        // The error would quote what it did not expect.
        serde_json::from_str(&text).map_err(|error| Unread::Place(error.line(), error.column()))
    });
    Look::Asked(engine.unwrap_or_else(|_| Err(lost())), plugin.unwrap_or_else(|_| Err(lost())), config)
}

impl Look {
    /// The project, where Compose could read it.
    pub(super) fn config(&self) -> Option<&Config> {
        match self {
            Self::Asked(_, _, Ok(config)) => Some(config),
            _ => None,
        }
    }

    /// The versions and the project; or what is wrong, masked.
    pub(super) fn facts(self, project: &ComposeProject, secrets: &Loaded) -> Result<(DockerFacts, Config), Refusal> {
        let (engine, plugin, config) = match self {
            Self::Incomplete(missing) => {
                let remedy = "correct `[compose]` in landfall.toml; paths are on the host, relative to `dir`";
                return Err(Refusal::unfit(missing, remedy));
            }
            Self::Asked(engine, plugin, config) => (engine, plugin, config),
        };
        let engine = engine.map_err(|trouble| no_engine(&trouble, secrets))?;
        let compose = plugin.map_err(|trouble| no_compose(&trouble, secrets))?;
        if compose.starts_with("1.") {
            return Err(compose_v1());
        }
        let config = config.map_err(|unread| bad_config(project, &unread, secrets))?;
        Ok((DockerFacts { engine, compose }, config))
    }
}

pub(super) fn no_engine(trouble: &Trouble, secrets: &Loaded) -> Refusal {
    let Trouble::Failed(said) = trouble else {
        return Refusal::unfit("docker is not installed", "install Docker Engine with its compose plugin on the host");
    };
    let said = mask_text(&secrets.needles, said.trim());
    let lower = said.to_lowercase();
    if lower.contains("permission denied") {
        let user = std::env::var("USER").unwrap_or_else(|_| "USER".to_owned());
        Refusal::unfit(
            format!("{user} may not talk to Docker"),
            format!("as root on the host: usermod -aG docker {user}; then log in anew"),
        )
    } else if lower.contains("cannot connect") || lower.contains("is the docker daemon running") {
        Refusal::unfit(
            "the Docker daemon does not answer: it is down",
            "on the host: systemctl start docker; then: journalctl -u docker",
        )
    } else {
        Refusal::unfit(format!("docker does not work: {said}"), "on the host: docker version")
    }
}

fn compose_v1() -> Refusal {
    Refusal::unfit(
        "the host has Compose v1 (docker-compose), which is not supported: it is no longer maintained",
        "install the compose plugin, version 2.20 or later: apt-get install docker-compose-plugin",
    )
}

fn no_compose(trouble: &Trouble, secrets: &Loaded) -> Refusal {
    if docker::has_compose_v1() {
        return compose_v1();
    }
    let said = match trouble {
        Trouble::Failed(said) => mask_text(&secrets.needles, said.lines().next().unwrap_or_default()),
        Trouble::Missing => String::new(),
    };
    Refusal::unfit(format!("Compose v2 is missing: {said}"), "install the compose plugin: apt-get install docker-compose-plugin")
}

fn bad_config(project: &ComposeProject, unread: &Unread, secrets: &Loaded) -> Refusal {
    let said = match unread {
        Unread::Trouble(Trouble::Failed(said)) => mask_text(&secrets.needles, without_quotes(said)),
        Unread::Trouble(Trouble::Missing) => String::new(),
        Unread::Place(line, column) => {
            let message =
                format!("docker compose config printed what is not understood, at line {line}, column {column} of its answer");
            return Refusal::unfit(message, "update the compose plugin to 2.20 or later");
        }
    };
    Refusal::unfit(
        format!("docker compose does not accept {}: {said}", project.files.join(", ")),
        format!("on the host, in {}: docker compose config", project.dir),
    )
}

/// The error of a reader of env files quotes the rest of the file, which may be one that nobody knows yet: that part is left out.
fn without_quotes(said: &str) -> &str {
    let quotes = ["unexpected character", "unterminated quoted value", "can't separate key from value", "in variable name"];
    quotes.iter().filter_map(|words| said.find(words)).min().map_or(said, |at| said[..at].trim_end_matches([' ', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSources;

    #[test]
    fn an_error_does_not_quote_an_env_file() {
        let secrets = SecretSources::default().load().expect("nothing to read");
        let project = ComposeProject {
            dir: "/srv/shop".into(),
            files: vec!["compose.yml".into()],
            env_file: None,
            env: std::collections::BTreeMap::new(),
            service: None,
        };
        let message = |unread: &Unread| bad_config(&project, unread, &secrets).message;
        for said in [
            "failed to read /srv/shop/web.env: line 2: unexpected character \" \" in variable name \"pass phrase\"",
            "failed to read /srv/shop/web.env: line 2: unterminated quoted value \"pass phrase",
        ] {
            let told = message(&Unread::Trouble(Trouble::Failed(said.to_owned())));
            assert_eq!(told, "docker compose does not accept compose.yml: failed to read /srv/shop/web.env: line 2");
        }
        let undefined = "service \"web\" depends on undefined service \"db\"".to_owned();
        assert!(message(&Unread::Trouble(Trouble::Failed(undefined.clone()))).ends_with(&undefined));
        let strange = serde_json::from_str::<Config>("{\"services\":\"pass phrase\"}")
            .map_err(|error| Unread::Place(error.line(), error.column()));
        assert!(!message(&strange.expect_err("not a project")).contains("phrase"));
    }
}

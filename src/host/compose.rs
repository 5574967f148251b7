//! The words said to `docker compose`: argv as pure values, the override for one-off containers, and the project as
//! `docker compose config` tells it. Runs nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::kill::{LABEL, MARK};
use super::process::Spawn;
use crate::name::{RunId, ServiceName};
use crate::protocol::ComposeProject;

/// `docker compose` for a project, with its files, in its folder.
pub(super) fn command(project: &ComposeProject, words: &[&str]) -> Spawn {
    with_files(project, &[], words)
}

fn with_files(project: &ComposeProject, more: &[&str], words: &[&str]) -> Spawn {
    let mut argv: Vec<OsString> = vec!["docker".into(), "compose".into()];
    if let Some(file) = &project.env_file {
        argv.extend(["--env-file".into(), file.into()]);
    }
    for file in project.files.iter().map(String::as_str).chain(more.iter().copied()) {
        argv.extend(["-f".into(), file.into()]);
    }
    argv.extend(words.iter().map(OsString::from));
    let env = project.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Spawn { argv, dir: Some(PathBuf::from(&project.dir)), env, ..Spawn::default() }
}

/// A one-off container to be.
#[derive(Debug)]
pub(super) struct OneOff<'a> {
    /// The service whose settings it gets.
    pub service: &'a ServiceName,
    /// Its name, which no other container may have.
    pub name: &'a str,
    /// The run it belongs to.
    pub run: &'a RunId,
    /// The image it runs in: an id, so that a tag that moves meanwhile does not matter.
    pub image: &'a str,
    /// Program and arguments.
    pub argv: &'a [String],
    /// Added to the service's environment; may hold secrets, so it travels over stdin.
    pub env: &'a BTreeMap<String, String>,
}

/// `docker compose run` for a one-off container. Nothing is pulled, built, started beside it or kept in Docker's own logs.
pub(super) fn run(project: &ComposeProject, one: &OneOff<'_>) -> Spawn {
    let label = format!("{LABEL}={}", one.run);
    let mark = format!("{MARK}={}", one.run);
    let mut words = vec!["run", "-T", "--no-deps", "--interactive=false", "--name", one.name, "--label", &label];
    words.extend(["-e", &mark, "-e", "npm_config_yes=false", one.service.as_str()]);
    words.extend(one.argv.iter().map(String::as_str));
    let service = serde_json::json!({
        "image": one.image, "pull_policy": "never", "logging": { "driver": "none" },
        "environment": one.env.iter().map(|(key, value)| (key, value.replace('$', "$$"))).collect::<BTreeMap<_, _>>(),
    });
    let overrides = serde_json::json!({ "services": { one.service.as_str(): service } });
    Spawn { input: Some(overrides.to_string().into_bytes()), ..with_files(project, &["-"], &words) }
}

/// `docker compose exec` in a service's running container. Where that has a shell, what is started carries the mark that cannot be
/// cleared: there is no other way to find a daemon there again.
pub(super) fn exec(
    project: &ComposeProject,
    run: &RunId,
    service: &ServiceName,
    argv: &[String],
    env: &BTreeMap<String, String>,
    shell: bool,
) -> Spawn {
    let limit = super::kill::limit(run);
    // Tried first in a shell of its own: a limit that may not be set is no reason not to run.
    let script = format!("(ulimit -S -m {limit}) 2>/dev/null && ulimit -S -m {limit}; exec \"$@\"");
    let mark = format!("{MARK}={run}");
    let plain: Vec<String> = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words = vec!["exec", "-T", "-e", &mark, "-e", "npm_config_yes=false"];
    words.extend(plain.iter().flat_map(|pair| ["-e", pair.as_str()]));
    words.push(service.as_str());
    if shell {
        words.extend(["sh", "-c", &script, "sh"]);
    }
    words.extend(argv.iter().map(String::as_str));
    command(project, &words)
}

/// The project as Compose understands it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Config {
    /// The project's name.
    #[serde(default)]
    pub name: String,
    /// Its services.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Its networks.
    #[serde(default)]
    pub networks: BTreeMap<String, Network>,
    /// Its secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretFile>,
}

/// One service of it, as far as it matters here.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Service {
    /// The image it names; a service that is only built has none.
    pub image: Option<String>,
    /// What its containers get, with `$` written as `$$`.
    #[serde(default)]
    pub environment: BTreeMap<String, serde_json::Value>,
    /// The networks it joins.
    #[serde(default)]
    pub networks: BTreeMap<String, serde_json::Value>,
    /// In place of the image's own.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// What is laid over its image.
    #[serde(default)]
    pub volumes: Vec<Mount>,
}

/// Something that is laid over an image.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Mount {
    /// "bind", "volume", "tmpfs", …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// What: of a bind, a path of the host.
    #[serde(default)]
    pub source: Option<String>,
    /// Where, in the container.
    #[serde(default)]
    pub target: String,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its environment holds secrets.
        f.debug_struct("Service").field("image", &self.image).finish_non_exhaustive()
    }
}

/// A secret of it, where it is a file.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct SecretFile {
    /// The whole path.
    pub file: Option<PathBuf>,
}

/// A network of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Network {
    /// Docker's name for it.
    #[serde(default)]
    pub name: String,
}

impl Config {
    /// The image that Compose uses for a service.
    pub(super) fn image(&self, service: &ServiceName) -> Option<String> {
        let entry = self.services.get(service.as_str())?;
        Some(entry.image.clone().unwrap_or_else(|| format!("{}-{service}", self.name)))
    }

    /// Docker's names of the networks of a service.
    pub(super) fn networks_of(&self, service: &ServiceName) -> Vec<String> {
        let of = self.services.get(service.as_str()).map(|service| service.networks.keys());
        of.into_iter().flatten().filter_map(|key| self.networks.get(key)).map(|network| network.name.clone()).collect()
    }
}

/// Which of the files that a project names are missing, in words.
pub(super) fn missing_files(project: &ComposeProject) -> Option<String> {
    let dir = Path::new(&project.dir);
    if !dir.is_dir() {
        return Some(format!("the compose folder {} does not exist", project.dir));
    }
    let files = project.files.iter().map(|file| ("compose file", file));
    let env = project.env_file.iter().map(|file| ("env file", file));
    let missing = files.chain(env).find(|(_, file)| !dir.join(file).is_file());
    missing.map(|(what, file)| format!("the {what} {} does not exist", dir.join(file).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> ComposeProject {
        ComposeProject {
            dir: "/opt/etally/deployment".into(),
            files: vec!["docker-compose.prod.yml".into()],
            env_file: Some("../.env".into()),
            env: BTreeMap::from([("TAG".into(), "2".into())]),
            service: None,
        }
    }

    fn words(spawn: &Spawn) -> String {
        spawn.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_one_off_container_carries_no_secret_in_its_argv() {
        let service = "api".parse().expect("name");
        let run = RunId::from_random([0; 6]);
        let env = BTreeMap::from([("TOKEN".to_owned(), "s3cr$t".to_owned())]);
        let argv = ["npx".to_owned(), "prisma".to_owned()];
        let one = OneOff { service: &service, name: "etally-landfall", run: &run, image: "sha256:0", argv: &argv, env: &env };
        let spawn = super::run(&project(), &one);
        insta::assert_snapshot!(words(&spawn), @"docker compose --env-file ../.env -f docker-compose.prod.yml -f - run -T --no-deps --interactive=false --name etally-landfall --label landfall.run=kkkkkkkkkkkk -e LANDFALL_RUN=kkkkkkkkkkkk -e npm_config_yes=false api npx prisma");
        insta::assert_snapshot!(String::from_utf8(spawn.input.expect("override")).expect("text"), @r#"{"services":{"api":{"environment":{"TOKEN":"s3cr$$t"},"image":"sha256:0","logging":{"driver":"none"},"pull_policy":"never"}}}"#);
        assert_eq!(spawn.env, [("TAG".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_config_tells_images_and_networks() {
        let text = r#"{"name":"etally","networks":{"default":{"name":"etally_default","ipam":{}}},"services":{"api":{"image":"x:1","environment":{"A":"b","N":null},"networks":{"default":null}},"web":{"build":{"context":"."}}}}"#;
        let config: Config = serde_json::from_str(text).expect("config");
        let name = |text: &str| text.parse::<ServiceName>().expect("name");
        assert_eq!(config.image(&name("api")).as_deref(), Some("x:1"));
        assert_eq!(config.image(&name("web")).as_deref(), Some("etally-web"));
        assert_eq!(config.image(&name("nope")), None);
        assert_eq!(config.networks_of(&name("api")), ["etally_default"]);
    }
}

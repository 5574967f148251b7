//! What Docker says: short looks through its own command line, so that contexts, rootless sockets and logins count as they do for
//! a person. Every failure is told apart from an answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::kill::LABEL;
use super::process::{self, Spawn};
use crate::name::{RunId, ServiceName};

/// How long Docker may take for a look.
const LOOK: Duration = Duration::from_secs(30);

/// Why a look failed, in Docker's own words (unmasked: for the host's eyes only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no `docker`.
    Missing,
    /// It ended with an error.
    Failed(String),
}

/// Runs a look and gives what it printed.
pub(super) fn look(spawn: &Spawn) -> Result<String, Trouble> {
    match process::capture(spawn, LOOK) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Trouble::Missing),
        Err(error) => Err(Trouble::Failed(error.to_string())),
        Ok((ended, kept)) if ended.code == Some(0) => Ok(String::from_utf8_lossy(&kept.stdout).into_owned()),
        Ok((ended, kept)) if ended.stopped.is_some() => {
            let said = String::from_utf8_lossy(&kept.stderr).into_owned();
            Err(Trouble::Failed(format!("no answer within {} s {said}", LOOK.as_secs())))
        }
        Ok((_, kept)) => Err(Trouble::Failed(String::from_utf8_lossy(&kept.stderr).trim().to_owned())),
    }
}

fn docker<S: AsRef<str>>(words: &[S]) -> Result<String, Trouble> {
    let words = words.iter().map(|word| OsString::from(word.as_ref()));
    look(&Spawn::new(std::iter::once("docker".into()).chain(words)))
}

/// Runs `docker` with these words, as a look.
pub(super) fn run(words: &[&str]) -> Result<String, Trouble> {
    docker(words)
}

fn each_line<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Trouble> {
    let parse = |line: &str| {
        // The error itself could quote a value, which may be a secret.
        serde_json::from_str(line)
            .map_err(|error| Trouble::Failed(format!("docker printed what is not understood, at column {}", error.column())))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

/// The engine's version.
pub(super) fn engine() -> Result<String, Trouble> {
    docker(&["version", "--format", "{{.Server.Version}}"]).map(|text| text.trim().to_owned())
}

/// The compose plugin's version.
pub(super) fn compose() -> Result<String, Trouble> {
    docker(&["compose", "version", "--short"]).map(|text| text.trim().trim_start_matches('v').to_owned())
}

/// Whether the old, separate Compose is there.
pub(super) fn has_compose_v1() -> bool {
    process::capture(&Spawn::new(["docker-compose", "--version"]), LOOK).is_ok_and(|(ended, _)| ended.code == Some(0))
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// `repository@sha256:…` of where it came from.
    #[serde(default)]
    pub repo_digests: Option<Vec<String>>,
    /// What its containers begin with.
    #[serde(default)]
    pub config: Option<ContainerConfig>,
}

/// An image by any name; none when it is not here.
pub(super) fn image(name: &str) -> Result<Option<Image>, Trouble> {
    match docker(&["image", "inspect", "--format", "{{json .}}", "--", name]) {
        Ok(text) => Ok(each_line(&text)?.into_iter().next()),
        Err(Trouble::Failed(said)) if said.to_lowercase().contains("no such image") => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The folder that an image's programs start in.
pub(super) fn working_dir(image: &str) -> Result<String, Trouble> {
    docker(&["image", "inspect", "--format", "{{.Config.WorkingDir}}", "--", image]).map(|text| text.trim().to_owned())
}

/// A container's state.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerState {
    /// created, running, exited, …
    pub status: String,
    /// Its exit code; means nothing before it exited.
    #[serde(default)]
    pub exit_code: i32,
    /// Whether the kernel killed it for want of memory.
    #[serde(rename = "OOMKilled", default)]
    pub oom_killed: bool,
    /// Why Docker could not start it.
    #[serde(default)]
    pub error: String,
    /// When; `0001-…` if never.
    #[serde(default)]
    pub started_at: String,
    /// When it ended; `0001-…` if it has not.
    #[serde(default)]
    pub finished_at: String,
    /// Its health check, where it has one.
    #[serde(default)]
    pub health: Option<Health>,
}

/// What a container's health check says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    /// starting, healthy, unhealthy.
    pub status: String,
}

/// A container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    /// Its id.
    pub id: String,
    /// The id of its image.
    pub image: String,
    /// How often Docker has started it anew by itself.
    #[serde(default)]
    pub restart_count: u32,
    /// How it is.
    pub state: ContainerState,
    /// Its settings.
    pub config: ContainerConfig,
}

/// Settings of a container, or of an image for its containers.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    /// What it was started with: `KEY=value`.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// Its labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

impl ContainerConfig {
    /// The value of a label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Its variables, by name and value.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().flatten().map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

impl std::fmt::Debug for ContainerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its environment holds secrets.
        f.debug_struct("ContainerConfig").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// A container by name or id; none when there is none.
pub(super) fn container(name: &str) -> Result<Option<Container>, Trouble> {
    match docker(&["container", "inspect", "--format", "{{json .}}", "--", name]) {
        Ok(text) => Ok(each_line(&text)?.into_iter().next()),
        Err(Trouble::Failed(said)) if said.to_lowercase().contains("no such container") => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// The containers of a project's services (no one-off ones), running or not.
pub(super) fn services(project: &str) -> Result<BTreeMap<ServiceName, Container>, Trouble> {
    let project = format!("label=com.docker.compose.project={project}");
    let list = docker(&["ps", "-aq", "--no-trunc", "--filter", &project, "--filter", "label=com.docker.compose.oneoff=False"])?;
    let ids: Vec<&str> = list.split_whitespace().collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut words = vec!["container", "inspect", "--format", "{{json .}}"];
    words.extend(ids);
    let containers: Vec<Container> = each_line(&docker(&words)?)?;
    let service = |of: &Container| of.config.label("com.docker.compose.service")?.parse().ok();
    let mut found: BTreeMap<ServiceName, Container> = BTreeMap::new();
    for container in containers {
        let Some(name) = service(&container) else { continue };
        // Of several the one that runs counts.
        if container.state.status == "running" || !found.contains_key(&name) {
            found.insert(name, container);
        }
    }
    Ok(found)
}

/// Whether a network exists.
pub(super) fn has_network(name: &str) -> Result<bool, Trouble> {
    match docker(&["network", "inspect", "--format", "{{.Id}}", "--", name]) {
        Ok(_) => Ok(true),
        Err(Trouble::Failed(said))
            if said.to_lowercase().contains("not found") || said.to_lowercase().contains("no such network") =>
        {
            Ok(false)
        }
        Err(trouble) => Err(trouble),
    }
}

/// Points a tag at an image that is here.
pub(super) fn tag(image: &str, name: &str) -> Result<(), Trouble> {
    docker(&["tag", "--", image, name]).map(drop)
}

/// A container that shows what an image holds. It is never started, and removed when this is dropped.
#[derive(Debug)]
pub(super) struct Unstarted(String);

impl Unstarted {
    /// Makes it, for a run.
    pub(super) fn of(run: &RunId, image: &str) -> Result<Self, Trouble> {
        let label = format!("{LABEL}={run}");
        let words = ["create", "--pull", "never", "--network", "none", "--log-driver", "none", "--label", &label];
        // The program that it names need not be there.
        let words = [&words[..], &["--entrypoint", "/never-started", "--", image]].concat();
        docker(&words).map(|id| Self(id.trim().to_owned()))
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.0
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        let _ = remove(&self.0);
    }
}

/// Removes a container and its anonymous volumes.
pub(super) fn remove(name: &str) -> Result<(), Trouble> {
    docker(&["rm", "-f", "-v", "--", name]).map(drop)
}

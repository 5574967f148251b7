//! Brings the secrets of a run together from all places that have some: the declared files, the project's env file, the logins at
//! registries, the project as Compose reads it, and containers that commands will run in. Must not know how a value is masked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::compose::Config;
use super::docker::{self, ContainerConfig, Image};
use super::project::{self, Look};
use super::secrets::{Collection, Loaded, Origin, SourceError};
use crate::action::{Action, Probe, Via};
use crate::facts::Refusal;
use crate::name::ServiceName;
use crate::protocol::{ComposeProject, Submission};
use crate::secret::SecretSources;

/// All of them, and the look at the project that some came from.
pub(super) fn all(submission: &Submission) -> Result<(Loaded, Option<Look>), Refusal> {
    let mut collection = files(&submission.secrets, submission.compose.as_ref())?;
    let look = submission.compose.as_ref().map(project::look);
    if let Some(config) = look.as_ref().and_then(Look::config) {
        of_project(config, &mut collection)?;
        of_containers(config, &entered(submission), &mut collection)?;
    }
    Ok((collection.finish()?, look))
}

/// What an image brings with it, once it is known which image that is.
pub(super) fn of_image(secrets: &mut Arc<Loaded>, name: &str, image: &Image) -> Result<(), Refusal> {
    if let Some(more) = secrets.and_of_image(name, image.config.iter().flat_map(ContainerConfig::variables))? {
        *secrets = Arc::new(more);
    }
    Ok(())
}

/// All that a service's log may hold, and the project.
pub(super) fn of_service(
    project: &ComposeProject,
    secrets: &SecretSources,
    service: &ServiceName,
) -> Result<(Loaded, Config), Refusal> {
    let mut collection = files(secrets, Some(project))?;
    let look = project::look(project);
    if let Some(config) = look.config() {
        of_project(config, &mut collection)?;
        of_containers(config, &BTreeSet::from([service]), &mut collection)?;
    }
    let loaded = collection.finish()?;
    let (_, config) = look.facts(project, &loaded)?;
    Ok((loaded, config))
}

/// Those that are in files, for when nothing else may be asked.
pub(super) fn of_files(submission: &Submission) -> Result<Loaded, Refusal> {
    Ok(files(&submission.secrets, submission.compose.as_ref())?.finish()?)
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        Self::unfit(error.to_string(), error.remedy())
    }
}

fn files(secrets: &SecretSources, project: Option<&ComposeProject>) -> Result<Collection, SourceError> {
    let mut collection = secrets.read()?;
    collection.heed_policy()?;
    if let Some(project) = project {
        for path in env_files(project) {
            collection.read_file(&path)?;
        }
    }
    collection.read_logins()?;
    Ok(collection)
}

/// The env files that Compose reads by itself: the one it is told, or else `.env` beside the first compose file or in the folder.
fn env_files(project: &ComposeProject) -> BTreeSet<std::path::PathBuf> {
    let dir = Path::new(&project.dir);
    let own = if let Some(file) = &project.env_file {
        vec![dir.join(file)]
    } else {
        let beside = project.files.first().and_then(|file| Some(dir.join(file).parent()?.join(".env")));
        beside.into_iter().chain([dir.join(".env")]).collect()
    };
    // One that is missing is told by the look at the project, in its own words.
    own.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect()
}

/// What Compose hands to containers: environments, with its `$$` undone, and the files that are its secrets.
fn of_project(config: &Config, collection: &mut Collection) -> Result<(), SourceError> {
    collection.know(config.services.keys().chain([&config.name]).cloned());
    collection.know(config.networks.values().map(|network| network.name.clone()));
    collection.know(config.services.values().filter_map(|service| service.image.clone()));
    for (service, settings) in &config.services {
        for (key, value) in &settings.environment {
            let value = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let undone = value.replace("$$", "$").into_bytes();
            collection.add_forms(key, vec![undone, value.into_bytes()], &Origin::Compose(service.clone()));
        }
    }
    for (name, secret) in &config.secrets {
        if let Some(file) = &secret.file {
            collection.read_secret(name, file)?;
        }
    }
    Ok(())
}

/// The services whose running containers a submission has to do with.
fn entered(submission: &Submission) -> BTreeSet<&ServiceName> {
    let actions = submission.steps.iter().flat_map(|step| &step.actions);
    actions
        .filter_map(|action| match action {
            Action::Service(command) if command.via == Via::Exec => Some(&command.service),
            // The database's own container is not one that files are applied in: its client alone runs there.
            Action::Migrate(migrate) if migrate.via == Via::Exec && migrate.carried.is_none() => Some(&migrate.service),
            Action::Probe(Probe::Migrations(migrate)) if migrate.via == Via::Exec && migrate.carried.is_none() => {
                Some(&migrate.service)
            }
            // Its log may hold what it was started with.
            Action::Probe(Probe::Logs(logs)) => Some(&logs.service),
            _ => None,
        })
        .collect()
}

/// What a running container was started with may be older than what Compose says now.
fn of_containers(config: &Config, entered: &BTreeSet<&ServiceName>, collection: &mut Collection) -> Result<(), Refusal> {
    if entered.is_empty() {
        return Ok(());
    }
    // One that was replaced while it was looked at is there the second time.
    let found = docker::services(&config.name).or_else(|_| docker::services(&config.name)).map_err(|_| {
        let text = "the running containers cannot be asked for the secrets that they hold";
        Refusal::unfit(text, "look at `docker ps` there, and run again")
    })?;
    for (service, container) in found {
        if entered.contains(&service) {
            for (key, value) in container.config.variables() {
                collection.add(key, value, &Origin::Container(service.to_string()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compose_hands_to_containers_is_a_source() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("pw.txt");
        std::fs::write(&file, "of-a-file\n").expect("file");
        let text = serde_json::json!({
            "name": "etally",
            "networks": { "default": { "name": "etally_default" } },
            "services": {
                "api": { "image": "shop/api:1", "environment": { "A": "one$$two$$", "N": null, "P": 123_456_789, "NET": "etally_default" } },
                "worker": { "environment": { "HOST_OF_API": "api-internal", "IMAGE": "shop/api:1", "PEER": "worker" } },
            },
            "secrets": { "db_password": { "name": "etally_db_password", "file": file }, "other": { "external": true } },
        });
        let config: Config = serde_json::from_value(text).expect("config");
        let mut collection = SecretSources::default().read().expect("nothing");
        of_project(&config, &mut collection).expect("sources");
        assert!(!format!("{config:?} {collection:?}").contains("one$"));
        let loaded = collection.finish().expect("secrets");
        let mask = |text: &str| super::super::guard::mask_text(&loaded.needles, text);
        assert_eq!(mask("one$two$ one$$two$$ of-a-file 123456789"), "[masked:A] [masked:A] [masked:db_password] [masked:P]");
        assert_eq!(mask("etally_default shop/api:1 worker api"), "etally_default shop/api:1 worker api");
    }

    #[test]
    fn a_secret_of_compose_that_cannot_be_read_is_refused_by_name() {
        let config: Config = serde_json::from_value(serde_json::json!({
            "secrets": { "db_password": { "file": "/nonexistent/pw.txt" } },
        }))
        .expect("config");
        let mut collection = SecretSources::default().read().expect("nothing");
        let refusal = Refusal::from(of_project(&config, &mut collection).expect_err("missing"));
        assert_eq!((refusal.code, refusal.message.as_str()), (7, "secrets file /nonexistent/pw.txt does not exist"));
        assert!(refusal.remedy.is_some());
    }

    #[test]
    fn compose_reads_an_env_file_by_itself() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("deployment")).expect("folder");
        for name in ["deployment/.env", "prod.env"] {
            std::fs::write(folder.path().join(name), "A=first-value\n").expect("file");
        }
        let mut project = ComposeProject {
            dir: folder.path().display().to_string(),
            files: vec!["deployment/compose.yml".into()],
            env_file: None,
            env: std::collections::BTreeMap::new(),
            service: None,
        };
        assert_eq!(env_files(&project), [folder.path().join("deployment/.env")].into());
        project.env_file = Some("prod.env".into());
        assert_eq!(env_files(&project), [folder.path().join("prod.env")].into());
    }
}

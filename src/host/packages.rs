//! The scripts of the package.json in a service's image: what `npm run` and the like start. Executes nothing of them; whether one of them
//! has no place on this host is for others to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::compose::Config;
use super::docker::{self, Unstarted};
use super::migrations::tar;
use super::process::{self, Spawn};
use crate::name::{RunId, ServiceName};

const COPY: Duration = Duration::from_mins(1);
/// More than any project's scripts; what goes beyond it would crowd a plan.
const MOST: usize = 64 << 10;

/// The scripts by name, unmasked; none where they cannot be read.
pub(super) fn scripts(config: &Config, run: &RunId, service: &ServiceName, image: &str) -> Option<BTreeMap<String, String>> {
    let known = config.services.get(service.as_str());
    let work = match known.and_then(|known| known.working_dir.clone()) {
        Some(dir) => dir,
        None => docker::working_dir(image).ok()?,
    };
    let path = Path::new("/").join(work).join("package.json");
    let mounts = known.map(|known| known.volumes.as_slice()).unwrap_or_default();
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.target)).max_by_key(|mount| mount.target.len());
    let text = match above {
        Some(mount) => {
            let source = mount.source.as_ref().filter(|_| mount.kind == "bind")?;
            let inside = path.strip_prefix(&mount.target).ok()?;
            std::fs::read(if inside.as_os_str().is_empty() { source.into() } else { Path::new(source).join(inside) }).ok()?
        }
        None => of_image(run, image, &path)?,
    };
    let package: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let entries = package.get("scripts").and_then(|scripts| scripts.as_object().cloned()).unwrap_or_default();
    let scripts: BTreeMap<String, String> =
        entries.into_iter().filter_map(|(name, text)| Some((name, text.as_str()?.to_owned()))).collect();
    (scripts.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>() <= MOST).then_some(scripts)
}

/// A file of an image, out of a container that is never started.
fn of_image(run: &RunId, image: &str, path: &Path) -> Option<Vec<u8>> {
    let container = Unstarted::of(run, image).ok()?;
    let from = format!("{}:{}", container.id(), path.display());
    let copied = process::capture(&Spawn::new(["docker", "cp", "--", &from, "-"]), COPY);
    let (ended, kept) = copied.ok().filter(|(ended, _)| ended.code == Some(0))?;
    drop(ended);
    tar::files(&kept.stdout).ok()?.into_iter().next().map(|file| file.bytes)
}

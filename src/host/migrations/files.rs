//! Brings the migration files that would run: out of the image or the running container by `docker cp`, or from the folder of the host
//! that is mounted there. Executes nothing of theirs, and keeps within bounds.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::tar;
use crate::action::{Carried, CarriedFile, Layout, Migrate, Model, Via};
use crate::event::Stream;
use crate::history::{self, File};
use crate::host::compose::{Config, Mount};
use crate::host::docker::{self, Unstarted};
use crate::host::process::{self, CAPTURE, Sink, Spawn};
use crate::name::RunId;

const COPY: Duration = Duration::from_mins(1);

/// Folders of images that were looked at, by image id and path: what an image holds never changes.
#[derive(Debug, Clone, Default)]
pub(in crate::host) struct Folders(Arc<Mutex<BTreeMap<InImage, Option<Vec<File>>>>>);

/// The id of an image, a path in it, and whether what was looked for there are applications.
type InImage = (String, String, bool);

/// A place that files come from.
pub(super) struct Place<'a> {
    pub config: &'a Config,
    pub folders: &'a Folders,
    pub run: &'a RunId,
    pub migrate: &'a Migrate,
    /// The id of the image that will run.
    pub image: &'a str,
}

/// The files that came with the plan.
pub(super) fn carried<'a>(carried: &Carried, models: &'a [Model]) -> Result<(&'a Model, String, Vec<File>), String> {
    let model = models.first().ok_or("the plan does not say how its files are laid out")?;
    let file = |file: &CarriedFile| File { path: file.name.clone(), bytes: file.text.clone().into_bytes() };
    Ok((model, carried.folder.clone(), carried.files.iter().map(file).collect()))
}

/// The files of the first model whose folder is there, with that folder.
pub(super) fn fetch<'a>(place: &Place<'_>, models: &'a [Model]) -> Result<(&'a Model, String, Vec<File>), String> {
    let service = place.config.services.get(place.migrate.service.as_str());
    let mounts = service.map(|service| service.volumes.as_slice()).unwrap_or_default();
    let work = match service.and_then(|service| service.working_dir.clone()) {
        Some(dir) => dir,
        None => docker::working_dir(place.image).map_err(|trouble| said(&trouble))?,
    };
    let source = Source::open(place)?;
    let mut seen: BTreeMap<String, Option<Vec<File>>> = BTreeMap::new();
    let mut there: Vec<(&Model, String)> = Vec::new();
    for model in models {
        for folder in model.folders.iter().map(|folder| absolute(&work, folder)) {
            if !seen.contains_key(&folder) {
                let files =
                    source.files(mounts, &folder, &model.layout)?.map(|files| overlaid(files, mounts, &folder, &model.layout));
                seen.insert(folder.clone(), files.transpose()?);
            }
            if seen.get(&folder).is_some_and(Option::is_some) {
                there.push((model, folder));
            }
        }
    }
    // Of several layouts the one that the files have.
    let fits = |(model, folder): &(&Model, String)| {
        let files = seen.get(folder).and_then(Option::as_deref).unwrap_or_default();
        history::known(model, files).map_or(true, |known| !known.is_empty())
    };
    let chosen = there.iter().position(fits).unwrap_or(0);
    if there.is_empty() {
        let tried: Vec<&str> = seen.keys().map(String::as_str).collect();
        return Err(format!("the image has no folder {}: say `migrations = \"…\"` in the step", tried.join(" or ")));
    }
    let (model, folder) = there.swap_remove(chosen);
    let files = seen.remove(&folder).flatten().unwrap_or_default();
    Ok((model, folder, files))
}

/// The same with what is mounted below the folder: it hides what the image has there. A volume's files are not seen: applications keep
/// their uploads in one, hardly their migrations.
fn overlaid(mut files: Vec<File>, mounts: &[Mount], folder: &str, layout: &Layout) -> Result<Vec<File>, String> {
    let below = |mount: &'_ Mount| Some(Path::new(&mount.target).strip_prefix(folder).ok()?.to_path_buf());
    let mut inside: Vec<(PathBuf, &Mount)> = mounts.iter().filter_map(|mount| Some((below(mount)?, mount))).collect();
    inside.retain(|(below, _)| !below.as_os_str().is_empty());
    inside.sort_by_key(|(below, _)| below.components().count());
    for (below, mount) in inside {
        files.retain(|file| !Path::new(&file.path).starts_with(&below));
        let Some(source) = mount.source.as_deref().filter(|_| mount.kind == "bind").map(Path::new) else { continue };
        let wanted = |path: &Path| may_be_one(layout, &path.display().to_string());
        if source.is_file() {
            if wanted(&below) {
                let bytes = std::fs::read(source).map_err(|error| format!("{} cannot be read: {error}", source.display()))?;
                files.push(File { path: below.display().to_string(), bytes });
            }
            continue;
        }
        let there = of_host(source, &|path| wanted(&below.join(path)))?.unwrap_or_default();
        files.extend(there.into_iter().map(|file| File { path: below.join(file.path).display().to_string(), ..file }));
    }
    Ok(files)
}

/// Whether a file at this path below the folder may be a migration: the folder may be that of the whole application.
fn may_be_one(layout: &Layout, path: &str) -> bool {
    !history::is_foreign(path) && (*layout != Layout::Apps || history::is_of_app(path))
}

fn absolute(work: &str, folder: &str) -> String {
    let joined = Path::new(if work.is_empty() { "/" } else { work }).join(folder);
    let path: PathBuf = joined.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    path.display().to_string()
}

enum Source<'a> {
    /// The application's own container.
    Container(String),
    /// An image, by way of a container that is made when it is needed.
    Image { place: &'a Place<'a>, made: OnceCell<Unstarted> },
}

impl<'a> Source<'a> {
    fn open(place: &'a Place<'a>) -> Result<Self, String> {
        if place.migrate.via == Via::Exec {
            let services = docker::services(&place.config.name).map_err(|trouble| said(&trouble))?;
            let container = services.get(&place.migrate.service);
            return container
                .map(|found| Self::Container(found.id.clone()))
                .ok_or_else(|| "its container is not there".to_owned());
        }
        Ok(Self::Image { place, made: OnceCell::new() })
    }

    /// The files below a folder; none where there is no such folder.
    fn files(&self, mounts: &[Mount], folder: &str, layout: &Layout) -> Result<Option<Vec<File>>, String> {
        let wanted = |path: &str| may_be_one(layout, path);
        let above =
            mounts.iter().filter(|mount| Path::new(folder).starts_with(&mount.target)).max_by_key(|mount| mount.target.len());
        if let Some(mount) = above {
            let inside = Path::new(folder).strip_prefix(&mount.target).unwrap_or(Path::new(""));
            return match mount.source.as_ref().filter(|_| mount.kind == "bind") {
                Some(source) => of_host(&Path::new(source).join(inside), &|path| wanted(&path.display().to_string())),
                None => Err(format!("a volume covers the folder {folder}")),
            };
        }
        match self {
            Self::Container(id) => of_container(id, folder, &wanted),
            Self::Image { place, made } => {
                let key = (place.image.to_owned(), folder.to_owned(), *layout == Layout::Apps);
                let mut known = place.folders.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(files) = known.get(&key) {
                    return Ok(files.clone());
                }
                let container = if let Some(container) = made.get() {
                    container
                } else {
                    let container = Unstarted::of(place.run, place.image).map_err(|trouble| said(&trouble))?;
                    made.get_or_init(|| container)
                };
                let files = of_container(container.id(), folder, &wanted)?;
                known.insert(key, files.clone());
                Ok(files)
            }
        }
    }
}

/// The files below a folder of a container; none where there is no such folder.
fn of_container(id: &str, folder: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Vec<File>>, String> {
    // The folder itself may be a link.
    let spawn = Spawn::new(["docker", "cp", "--follow-link", "--", &format!("{id}:{folder}"), "-"]);
    // The stream begins at the folder's own name.
    let below = |path: &str| path.split_once('/').map(|(_, below)| below.to_owned());
    let reader = tar::Reader::new(|path: &str| below(path).is_some_and(|path| wanted(&path)));
    let mut copy = Copy { reader, stderr: Vec::new() };
    let ended = process::run(&spawn, &mut copy, &process::within(COPY)).map_err(|error| error.to_string())?;
    if ended.code != Some(0) {
        let text = String::from_utf8_lossy(&copy.stderr);
        let low = text.to_lowercase();
        let absent = ["could not find the file", "no such file", "no such container:path"].iter().any(|sign| low.contains(sign));
        return if absent { Ok(None) } else { Err(format!("the files in {folder} cannot be copied: {}", text.trim())) };
    }
    if let Some(link) = copy.reader.link() {
        return Err(a_link(folder, &below(link).unwrap_or_default()));
    }
    let files = copy.reader.finish().map_err(|why| format!("the files in {folder} cannot be read: {why}"))?;
    Ok(Some(files.into_iter().filter_map(|file| Some(File { path: below(&file.path)?, ..file })).collect()))
}

/// The tool would follow it, and apply what nobody has looked at.
fn a_link(folder: &str, path: &str) -> String {
    format!("{path} in {folder} is a link, and what it leads to is not looked at: put the file itself there")
}

/// What a copy prints, read as it comes: most of a working folder may be what others wrote.
struct Copy<W> {
    reader: tar::Reader<W>,
    stderr: Vec<u8>,
}

impl<W: Fn(&str) -> bool> Sink for Copy<W> {
    fn data(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.reader.push(bytes),
            Stream::Stderr => self.stderr.extend_from_slice(&bytes[..bytes.len().min(CAPTURE - self.stderr.len())]),
        }
    }
}

/// The files below a folder of the host, of those that are wanted; none where there is no such folder. Links are not
/// followed, but refused.
fn of_host(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Option<Vec<File>>, String> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut files = Vec::new();
    let mut size = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let unread = |error: std::io::Error| format!("{} cannot be read: {error}", next.display());
        for entry in std::fs::read_dir(&next).map_err(unread)? {
            let entry = entry.map_err(unread)?;
            let kind = entry.file_type().map_err(unread)?;
            if kind.is_dir() {
                if !history::is_foreign(&entry.file_name().to_string_lossy()) {
                    folders.push(entry.path());
                }
            } else if kind.is_symlink() && wanted(entry.path().strip_prefix(folder).unwrap_or(&next)) {
                return Err(a_link(&folder.display().to_string(), &entry.file_name().to_string_lossy()));
            } else if kind.is_file() && wanted(entry.path().strip_prefix(folder).unwrap_or(&next)) {
                size += entry.metadata().map_err(unread)?.len();
                if size > CAPTURE as u64 {
                    return Err(format!("the folder {} holds more than {} MiB", folder.display(), CAPTURE >> 20));
                }
                let path = entry.path();
                let bytes = std::fs::read(&path).map_err(unread)?;
                files.push(File { path: path.strip_prefix(folder).unwrap_or(&path).display().to_string(), bytes });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Some(files))
}

fn said(trouble: &docker::Trouble) -> String {
    match trouble {
        docker::Trouble::Missing => "docker is not there".to_owned(),
        docker::Trouble::Failed(said) => said.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_below_the_folder_hides_what_the_image_has_there() {
        let host = tempfile::tempdir().expect("folder");
        let roll = host.path().join("roll");
        std::fs::create_dir_all(roll.join("deeper")).expect("folder");
        std::fs::write(roll.join("0002_b.py"), "b").expect("file");
        std::fs::write(roll.join("photo.jpg"), "x").expect("file");
        std::fs::create_dir_all(roll.join(".venv/lib/auth/migrations")).expect("folder");
        std::fs::write(roll.join(".venv/lib/auth/migrations/0001_b.py"), "b").expect("file");
        std::fs::write(host.path().join("late.py"), "late").expect("file");
        let mount = |source: &Path, target: &str| Mount {
            kind: "bind".into(),
            source: Some(source.display().to_string()),
            target: target.into(),
        };
        let mounts = [
            mount(&host.path().join("late.py"), "/app/roll/migrations/0003_late.py"),
            mount(&roll, "/app/roll/migrations"),
            Mount { kind: "volume".into(), source: Some("media".into()), target: "/app/media".into() },
            mount(&roll, "/app"),
            mount(&roll, "/elsewhere"),
        ];
        let image = ["manage.py", "roll/migrations/0001_a.py", "media/migrations/0001_x.py"];
        let image = image.map(|path| File { path: path.into(), bytes: b"a".to_vec() }).to_vec();
        let told = |layout: &Layout| {
            let files = overlaid(image.clone(), &mounts, "/app", layout).expect("files");
            files
                .iter()
                .map(|file| format!("{}={}", file.path, String::from_utf8_lossy(&file.bytes)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let seen = "manage.py=a, roll/migrations/0002_b.py=b, ";
        assert_eq!(told(&Layout::Apps), format!("{seen}roll/migrations/0003_late.py=late"));
        assert_eq!(told(&Layout::Numbered), format!("{seen}roll/migrations/photo.jpg=x, roll/migrations/0003_late.py=late"));
    }

    #[test]
    fn a_link_is_refused_where_it_could_be_a_migration() {
        let host = tempfile::tempdir().expect("folder");
        std::fs::create_dir(host.path().join("bin")).expect("folder");
        std::os::unix::fs::symlink("/usr/bin/python3", host.path().join("bin/python")).expect("link");
        let of_app = |path: &Path| history::is_of_app(&path.display().to_string());
        assert_eq!(of_host(host.path(), &of_app).expect("files"), Some(Vec::new()));
        let told = of_host(host.path(), &|_| true).expect_err("a link");
        assert!(told.contains("python in ") && told.contains("is a link"), "{told}");
    }
}

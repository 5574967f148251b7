//! Reports as files: which kinds there are, and how they get to their places. A file is made beside its place before anything is
//! contacted, and takes its place when the run is over, whole or not at all.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::story::{Printed, Story};
use super::{Reporter, Sink, document, html, junit, markdown, metrics};
use crate::event::Event;
use crate::name::HostName;

/// A form of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JUnit XML, for CI systems.
    Junit,
    /// A page, for people.
    Html,
    /// For tickets.
    Markdown,
    /// One document, for programs.
    Json,
    /// `OpenMetrics`, for a collector.
    Metrics,
}

impl Form {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Junit => "junit",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Json => "json",
            Self::Metrics => "metrics",
        }
    }
}

/// A report that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// In which form.
    pub form: Form,
    /// Where.
    pub path: PathBuf,
}

/// A report that could not be put where it is wanted.
#[derive(Debug, thiserror::Error)]
#[error("the {} report cannot be written to {}: {why}", .form.as_str(), .path.display())]
pub struct Unwritable {
    form: Form,
    path: PathBuf,
    why: String,
}

/// Collects a run, and writes its reports when it is over.
pub struct Files {
    story: Story,
    program: String,
    targets: Vec<Target>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("story", &self.story).finish_non_exhaustive()
    }
}

struct Target {
    wanted: Wanted,
    file: NamedTempFile,
}

impl Files {
    /// Makes sure that each report can be written where it is wanted. `program` is what a person types to run Landfall here.
    pub fn prepare(wanted: &[Wanted], printed: Printed, program: &str) -> Result<Self, Unwritable> {
        let mut targets: Vec<Target> = Vec::new();
        for one in wanted {
            let unwritable = |why: String| Unwritable { form: one.form, path: one.path.clone(), why };
            if let Some(other) = targets.iter().find(|other| other.wanted.path == one.path) {
                return Err(unwritable(format!("the {} report goes there", other.wanted.form.as_str())));
            }
            targets.push(Target { wanted: one.clone(), file: beside(&one.path).map_err(|error| unwritable(error.to_string()))? });
        }
        // Metrics hold no output: nothing is kept for them.
        let printed = if wanted.iter().all(|one| one.form == Form::Metrics) { Printed::None } else { printed };
        Ok(Self { story: Story::new(printed), program: program.to_owned(), targets })
    }

    /// Says whose runs these are, where no event may say so.
    #[must_use]
    pub fn of_project(mut self, project: Option<&str>) -> Self {
        self.story.project = project.map(str::to_owned);
        self
    }

    /// A report that goes to no file.
    pub fn collect(printed: Printed, program: &str) -> Self {
        Self { story: Story::new(printed), program: program.to_owned(), targets: Vec::new() }
    }

    /// Whether any run was told of.
    pub fn is_empty(&self) -> bool {
        self.story.run.is_none()
    }

    /// Writes a report to wherever.
    pub fn write(&self, form: Form, out: &mut dyn Write) -> io::Result<()> {
        match form {
            Form::Junit => junit::write(&self.story, out),
            Form::Html => html::write(&self.story, &self.program, out),
            Form::Markdown => markdown::write(&self.story, &self.program, out),
            Form::Json => document::write(&self.story, out),
            Form::Metrics => metrics::write(&self.story, out),
        }
    }

    /// Writes all reports and puts them in their places.
    pub fn put(&mut self) -> Result<(), Unwritable> {
        for Target { wanted, mut file } in std::mem::take(&mut self.targets) {
            let unwritable =
                |error: io::Error| Unwritable { form: wanted.form, path: wanted.path.clone(), why: error.to_string() };
            let mut out = BufWriter::with_capacity(64 << 10, file.as_file_mut());
            self.write(wanted.form, &mut out).and_then(|()| out.flush()).map_err(unwritable)?;
            drop(out);
            file.as_file().sync_all().map_err(unwritable)?;
            file.persist(&wanted.path).map_err(|error| unwritable(error.error))?;
        }
        Ok(())
    }
}

/// A file that will be renamed to `path`: in the same folder, with the rights of any new file.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(io::Error::other("it is a folder"));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".landfall-report-").permissions(std::fs::Permissions::from_mode(0o666));
    builder.tempfile_in(folder)
}

impl Reporter for Files {
    fn event(&mut self, event: &Event) {
        self.story.push(event);
    }

    fn stopped(&mut self, host: Option<&HostName>, message: &str, remedy: Option<&str>) {
        let place = host.map(|host| format!("{host}: ")).unwrap_or_default();
        let help = remedy.map(|remedy| format!("\nhelp: {remedy}")).unwrap_or_default();
        self.story.stops.push(format!("{place}{message}{help}"));
    }

    fn finish(&mut self) {
        // Nothing was begun: there is nothing to report.
        if self.is_empty() {
            return;
        }
        if let Err(error) = self.put() {
            Sink::stderr().line(&format!("warning: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn wanted(dir: &Path, form: Form, name: &str) -> Wanted {
        Wanted { form, path: dir.join(name) }
    }

    #[test]
    fn files_appear_when_the_run_is_over_and_replace_what_was_there() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        std::fs::write(dir.join("a.xml"), "old").unwrap();
        let all = [wanted(dir, Form::Junit, "a.xml"), wanted(dir, Form::Markdown, "a.md"), wanted(dir, Form::Json, "a.json")];
        let mut files = Files::prepare(&all, Printed::default(), "landfall").unwrap();
        for event in &samples::failed_migration() {
            files.event(event);
        }
        files.stopped(None, "that was that", Some("look"));
        assert_eq!(std::fs::read_to_string(dir.join("a.xml")).unwrap(), "old");
        files.finish();
        drop(files);
        assert!(std::fs::read_to_string(dir.join("a.xml")).unwrap().starts_with("<?xml"));
        assert!(std::fs::read_to_string(dir.join("a.md")).unwrap().contains("that was that"));
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.json", "a.md", "a.xml"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_known_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let prepared = |wanted: &[Wanted]| Files::prepare(wanted, Printed::default(), "landfall").unwrap_err().to_string();
        let absent = wanted(temp.path(), Form::Html, "none/a.html");
        assert!(prepared(&[absent]).starts_with("the html report cannot be written to "));
        let folder = Wanted { form: Form::Json, path: temp.path().to_owned() };
        assert!(prepared(&[folder]).ends_with("it is a folder"));
        let (one, two) = (wanted(temp.path(), Form::Html, "a"), wanted(temp.path(), Form::Json, "a"));
        assert!(prepared(&[one, two]).ends_with("the html report goes there"));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

//! A run in a workflow of GitHub: the plain lines, folded by step, with an annotation in the playbook for each step that failed, and a
//! summary of the job. Everything goes to one stream, for a runner keeps no order between two, and all but its own commands stands
//! behind a word that nobody else knows: whatever a host prints, the runner obeys none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::sanitize::{label, text};
use super::story::{Printed, Story};
use super::{Display, Plain, Reporter, Sink, markdown};
use crate::event::{Body, Event, Status};
use crate::name::{HostName, StepName};

/// The most that a job's summary may hold.
const SUMMARY: usize = 1_000_000;

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The playbook's file, as the checkout has it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// What a workflow gives its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workflow {
    /// Where each step stands in the playbook.
    pub lines: BTreeMap<StepName, Line>,
    /// The file that takes the job's summary.
    pub summary: Option<PathBuf>,
}

impl Workflow {
    /// The workflow that this process runs in, if it runs in one.
    pub fn of_process(lines: &BTreeMap<StepName, Line>) -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let summary = || set("GITHUB_STEP_SUMMARY").map(PathBuf::from);
        (set("GITHUB_ACTIONS")? == "true").then(|| Self { lines: lines.clone(), summary: summary() })
    }
}

/// Writes for a runner.
#[derive(Debug)]
pub struct GitHub {
    plain: Plain,
    /// What the plain reporter wrote and the runner has not got yet.
    written: Written,
    out: Sink,
    workflow: Workflow,
    story: Story,
    program: String,
    /// The word that ends what the runner must not obey, while it is in force.
    fence: Option<String>,
    line_open: bool,
    group: Option<StepName>,
    running: BTreeSet<(Option<HostName>, StepName)>,
}

/// A buffer that the plain reporter's two streams share.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl GitHub {
    /// Writes everything to `out`.
    pub fn new(display: &Display, workflow: Workflow, out: Sink) -> Self {
        let written = Written::default();
        Self {
            plain: Plain::new(display, Sink::new(written.clone()), Sink::new(written.clone())),
            written,
            out,
            workflow,
            story: Story::new(Printed::Failed),
            program: display.program.clone(),
            fence: None,
            line_open: false,
            group: None,
            running: BTreeSet::new(),
        }
    }

    /// Hands on what was written, behind the fence.
    fn pass(&mut self) {
        let bytes = std::mem::take(&mut *self.written.0.lock().unwrap_or_else(PoisonError::into_inner));
        if bytes.is_empty() {
            return;
        }
        if self.fence.is_none() {
            let Some(word) = word() else {
                // Without a word there is no fence, and nothing may pass.
                return self.out.line("landfall: the system gives no random bytes: nothing can be shown here safely");
            };
            self.out.line(&format!("::stop-commands::{word}"));
            self.fence = Some(word);
        }
        self.out.bytes(&bytes);
        self.line_open = bytes.last() != Some(&b'\n');
        self.out.flush();
    }

    /// Has the runner do something.
    fn command(&mut self, command: &str) {
        self.pass();
        if let Some(word) = self.fence.take() {
            if std::mem::take(&mut self.line_open) {
                self.out.line("");
            }
            self.out.line(&format!("::{word}::"));
        }
        self.out.line(command);
        self.out.flush();
    }

    fn before(&mut self, event: &Event) {
        match (&event.body, &event.step) {
            (Body::StepStarted { .. }, Some(step)) => {
                self.running.insert((event.host.clone(), step.clone()));
                if self.group.as_ref() != Some(step) {
                    self.end_group();
                    self.command(&format!("::group::{}", data(&label(step.as_str()))));
                    self.group = Some(step.clone());
                }
            }
            (Body::RunFinished { .. }, _) => self.end_group(),
            _ => {}
        }
    }

    fn after(&mut self, event: &Event) {
        let place = event.host.as_ref().map_or("this machine", HostName::as_str);
        match (&event.body, &event.step) {
            (Body::StepFinished { status, .. }, Some(step)) => {
                self.running.remove(&(event.host.clone(), step.clone()));
                if self.running.is_empty() {
                    self.end_group();
                }
                if !matches!(status, Status::Ok | Status::Skipped) {
                    let found = self.story.steps().find(|(part, known)| part.host == event.host && known.name == *step);
                    let (word, reason, hints) =
                        found.map_or(("failed", None, Vec::new()), |(_, step)| (step.word(), step.reason(), step.hints.clone()));
                    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                    let hints = hints.iter().fold(String::new(), |text, hint| text + "\nhint: " + hint);
                    self.annotate("error", Some(step), &format!("{step} on {place}"), &format!("{word}{reason}{hints}"));
                }
            }
            (Body::Refused { refusal }, _) => {
                let help = refusal.remedy.as_ref().map(|remedy| format!("\nhelp: {remedy}")).unwrap_or_default();
                self.annotate("error", None, place, &format!("refused: {}{help}", refusal.message));
            }
            (Body::LockBusy { holder }, _) => {
                let message = format!("locked by run {} of {} since {}", holder.run, holder.who, holder.since);
                self.annotate("error", None, place, &message);
            }
            (Body::Warning { text }, step) => self.annotate("warning", step.as_ref(), place, text),
            _ => {}
        }
    }

    fn annotate(&mut self, level: &str, step: Option<&StepName>, title: &str, message: &str) {
        let at = step.and_then(|step| self.workflow.lines.get(step));
        let at = at.map(|at| format!("file={},line={},", property(&at.file), at.line)).unwrap_or_default();
        self.command(&format!("::{level} {at}title={}::{}", property(&label(title)), data(&text(message))));
    }

    fn end_group(&mut self) {
        if self.group.take().is_some() {
            self.command("::endgroup::");
        }
    }

    fn summarise(&mut self) -> io::Result<()> {
        let Some(path) = &self.workflow.summary else { return Ok(()) };
        let mut whole = Vec::new();
        markdown::write(&self.story, &self.program, &mut whole)?;
        if whole.len() > SUMMARY {
            self.story.printed = Printed::None;
            whole.clear();
            markdown::write(&self.story, &self.program, &mut whole)?;
        }
        if whole.len() > SUMMARY {
            whole = b"The summary of this run is longer than GitHub shows: `landfall report` has it.\n".to_vec();
        }
        OpenOptions::new().append(true).create(true).open(path)?.write_all(&whole)
    }
}

impl Reporter for GitHub {
    fn event(&mut self, event: &Event) {
        self.story.push(event);
        self.before(event);
        self.plain.event(event);
        self.pass();
        self.after(event);
    }

    fn stopped(&mut self, host: Option<&HostName>, message: &str, remedy: Option<&str>) {
        let help = remedy.map(|remedy| format!("\nhelp: {remedy}")).unwrap_or_default();
        self.story.stops.push(format!("{message}{help}"));
        self.annotate("error", None, host.map_or("landfall", HostName::as_str), &format!("{message}{help}"));
    }

    fn finish(&mut self) {
        self.end_group();
        self.plain.finish();
        self.pass();
        if self.story.run.is_some()
            && let Err(error) = self.summarise()
        {
            self.annotate("warning", None, "landfall", &format!("the job's summary cannot be written: {error}"));
        }
        // What comes after this program is the workflow's own.
        if let Some(word) = self.fence.take() {
            let end = if std::mem::take(&mut self.line_open) { "\n" } else { "" };
            self.out.line(&format!("{end}::{word}::"));
        }
        self.out.flush();
    }
}

/// A word that nobody can guess.
fn word() -> Option<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::from("landfall-"), |word, byte| format!("{word}{byte:02x}")))
}

/// A command's text.
pub(super) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command.
pub(super) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples;
    use super::super::sink::tests::Shared;
    use super::super::{Environment, Output};
    use super::*;

    fn play(events: &[Event], summary: Option<PathBuf>) -> String {
        let shared = Shared::default();
        let line = |name: &str, line| (name.parse().unwrap(), Line { file: "playbooks/release.toml".into(), line });
        let lines = BTreeMap::from([line("migrate", 12), line("a <b> `c` | ::error::d", 40)]);
        let display = Display::choose(Output::Plain, 0, &Environment::default());
        let mut github = GitHub::new(&display, Workflow { lines, summary }, Sink::new(shared.clone()));
        for event in events {
            github.event(event);
        }
        github.finish();
        String::from_utf8_lossy(&shared.bytes()).into_owned()
    }

    /// The commands that a runner would obey, as it reads a log.
    fn obeyed(log: &str) -> Vec<String> {
        let (mut stopped, mut obeyed) = (None::<String>, Vec::new());
        for line in log.lines().map(str::trim) {
            if let Some(word) = &stopped {
                if line == format!("::{word}::") {
                    stopped = None;
                }
            } else if let Some(word) = line.strip_prefix("::stop-commands::") {
                stopped = Some(word.to_owned());
            } else if line.starts_with("::") || line.contains("##[") {
                obeyed.push(line.to_owned());
            } else {
                panic!("outside of the fence: {line}");
            }
        }
        assert_eq!(stopped, None, "it obeys again in the end");
        obeyed
    }

    #[test]
    fn a_failed_migration() {
        let word = regex_lite::Regex::new("landfall-[0-9a-f]{32}").unwrap();
        let log = play(&samples::failed_migration(), None);
        assert_eq!(word.find_iter(&log).collect::<Vec<_>>().len() % 2, 0);
        assert_snapshot!(word.replace_all(&log, "WORD"));
    }

    #[test]
    fn the_runner_obeys_nobody_else() {
        let commands = obeyed(&play(&samples::hostile(), None));
        let of: Vec<&str> = commands.iter().map(|command| command.split([' ', ':']).nth(2).unwrap()).collect();
        assert_eq!(of, ["group", "warning", "endgroup", "error"], "{commands:#?}");
        assert!(commands[3].starts_with("::error file=playbooks/release.toml,line=40,title=a <b> `c` | %3A%3Aerror%3A%3Ad on droplet-1::failed: exit code 1%0Ahint: ::error::hint%0A"), "{commands:#?}");
    }

    #[test]
    fn hosts_side_by_side_share_a_group() {
        let commands = obeyed(&play(&samples::two_hosts(), None));
        assert_eq!(commands, ["::group::migrate", "::endgroup::"]);
    }

    #[test]
    fn the_summary_is_added_to_what_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("summary.md");
        std::fs::write(&path, "before\n").unwrap();
        play(&samples::failed_check(), Some(path.clone()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("before\n# ❌ release on droplet-1: a check failed\n"), "{text}");
        assert!(
            play(&samples::failed_check(), Some(temp.path().to_owned()))
                .contains("::warning title=landfall::the job's summary cannot")
        );
    }
}

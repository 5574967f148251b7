//! What a run comes to: collected from the events seen, per host and step, and shown as a table of times. Prints nothing itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sanitize::label;
use super::style::{Paint, Tone, duration};
use crate::event::{Body, Event, Status};
use crate::facts::{LockHolder, Refusal, ServiceFacts};
use crate::name::{HostName, RunId, ServiceName, StepName};

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The run, once it began.
    pub run: Option<RunId>,
    /// Its playbook.
    pub playbook: String,
    /// All hosts of the run.
    pub hosts: Vec<HostName>,
    /// What is known of each host, and of this machine (no host).
    pub parts: Vec<Part>,
    /// Status, exit code and time, once it is over.
    pub end: Option<(Status, u8, Duration)>,
}

/// What is known of one host's part.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The host; none: what this machine does for the run.
    pub host: Option<HostName>,
    /// Its steps, in the order in which they were heard of.
    pub steps: Vec<Step>,
    /// What changed: what, from, to.
    pub changes: Vec<(String, Option<String>, String)>,
    /// The services as they were when the host was prepared.
    pub services: BTreeMap<ServiceName, ServiceFacts>,
    /// Why it would not go.
    pub refusal: Option<Refusal>,
    /// The run that holds its lock.
    pub locked: Option<LockHolder>,
    /// The connection is gone.
    pub lost: bool,
    /// A connection stood at some time.
    pub connected: bool,
    /// How it ended, and how long it took.
    pub end: Option<(Status, Duration)>,
}

/// What is known of a step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: StepName,
    /// It only looks.
    pub check: bool,
    /// It began.
    pub started: bool,
    /// How it ended.
    pub status: Option<Status>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// How long it took.
    pub took: Duration,
    /// Its story, or the reason of its failure.
    pub detail: Option<String>,
    /// What a check saw last, and what it should have seen.
    pub seen: Option<(String, String)>,
    /// What may help.
    pub hints: Vec<String>,
}

impl Summary {
    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        match &event.body {
            Body::RunStarted { playbook, hosts, .. } if self.run.is_none() => {
                self.run = Some(event.run.clone());
                self.playbook.clone_from(playbook);
                self.hosts.clone_from(hosts);
                for host in hosts {
                    self.part(Some(host));
                }
            }
            Body::RunFinished { status, exit_code, duration_ms } => {
                self.end = Some((*status, *exit_code, Duration::from_millis(*duration_ms)));
            }
            Body::RunStarted { .. } | Body::Output { .. } | Body::Unknown => {}
            body => self.part(event.host.as_ref()).push(event.step.as_ref(), body),
        }
    }

    /// True where lines need a host's name to be understood.
    pub fn several(&self) -> bool {
        self.hosts.len() > 1
    }

    fn part(&mut self, host: Option<&HostName>) -> &mut Part {
        let at = self.parts.iter().position(|part| part.host.as_ref() == host).unwrap_or_else(|| {
            self.parts.push(Part { host: host.cloned(), ..Part::default() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    /// The table of steps and times: a line a step, and with several hosts a line a host.
    pub fn table(&self, paint: Paint, width: usize) -> Vec<String> {
        let rows: Vec<[String; 4]> = if self.several() {
            self.parts.iter().filter(|part| part.host.is_some() || !part.steps.is_empty()).map(Part::row).collect()
        } else {
            self.parts.iter().flat_map(|part| &part.steps).filter_map(Step::row).collect()
        };
        let widest = |column: usize| rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0);
        let (names, times) = (widest(1).min(width / 2), widest(2));
        rows.iter()
            .map(|[status, name, time, rest]| {
                let (mark, tone) = mark(status);
                let name = console::pad_str(name, names, console::Alignment::Left, Some("…"));
                let line = format!("  {} {name}  {time:>times$}  {}", paint.paint(tone, mark), paint.paint(Tone::Faint, rest));
                console::truncate_str(line.trim_end(), width, "…").into_owned()
            })
            .collect()
    }
}

impl Part {
    fn push(&mut self, step: Option<&StepName>, body: &Body) {
        match (body, step) {
            (Body::HostConnected { .. }, _) => self.connected = true,
            (Body::Prepared { facts }, _) => self.services.clone_from(&facts.services),
            (Body::Refused { refusal }, _) => self.refusal = Some(refusal.clone()),
            (Body::LockBusy { holder }, _) => self.locked = Some(holder.clone()),
            (Body::LockAcquired { .. }, _) => self.locked = None,
            (Body::Changed { what, from, to }, _) => self.changes.push((what.clone(), from.clone(), to.clone())),
            (Body::ConnectionLost { .. }, _) => self.lost = true,
            (Body::Reconnected { .. }, _) => self.lost = false,
            (Body::HostFinished { status, duration_ms, .. }, _) => {
                self.end = Some((*status, Duration::from_millis(*duration_ms)));
            }
            (Body::StepStarted { check, .. }, Some(name)) => {
                let step = self.step(name);
                step.started = true;
                step.check = *check;
            }
            (Body::Check { ok, observed, expected, .. }, Some(name)) => {
                self.step(name).seen = (!ok).then(|| (observed.clone(), expected.clone()));
            }
            (Body::Hint { text }, Some(name)) => self.step(name).hints.push(text.clone()),
            (Body::StepFinished { status, exit_code, duration_ms, detail, .. }, Some(name)) => {
                let step = self.step(name);
                step.status = Some(*status);
                step.exit_code = *exit_code;
                step.took = Duration::from_millis(*duration_ms);
                step.detail.clone_from(detail);
            }
            _ => {}
        }
    }

    fn step(&mut self, name: &StepName) -> &mut Step {
        let at = self.steps.iter().position(|step| step.name == *name).unwrap_or_else(|| {
            self.steps.push(Step::new(name.clone()));
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }

    /// The first step that did not go well.
    pub fn trouble(&self) -> Option<&Step> {
        self.troubles().next()
    }

    /// All steps that did not go well.
    pub fn troubles(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !matches!(step.status, Some(Status::Ok | Status::Skipped)) && step.started)
    }

    /// Whether several checks failed: each is told by itself, for none of them is the reason of another.
    pub fn has_several_failed_checks(&self) -> bool {
        self.trouble().is_some_and(|step| step.check) && self.failed_checks().nth(1).is_some()
    }

    /// The checks that failed.
    pub fn failed_checks(&self) -> impl Iterator<Item = &Step> {
        self.troubles().filter(|step| step.check)
    }

    /// Steps that never began because of what happened before them.
    pub fn not_run(&self) -> impl Iterator<Item = &Step> {
        let from = self.steps.iter().position(|step| step.started && step.status != Some(Status::Ok)).unwrap_or(self.steps.len());
        self.steps[from..].iter().filter(|step| !step.started)
    }

    fn row(&self) -> [String; 4] {
        let count = |status| self.steps.iter().filter(|step| step.status == Some(status)).count();
        let words = [Status::Ok, Status::Skipped, Status::Failed, Status::TimedOut, Status::Cancelled, Status::Unknown]
            .into_iter()
            .filter(|status| count(*status) > 0)
            .map(|status| format!("{} {}", count(status), status.as_str().replace('_', " ")))
            .collect::<Vec<_>>()
            .join(", ");
        let trouble = self.trouble().map(|step| format!(": {}", label(step.name.as_str()))).unwrap_or_default();
        let (status, time) = match self.end {
            Some((status, time)) => (status.as_str().to_owned(), duration(time)),
            None if self.locked.is_some() || self.refusal.is_some() => ("failed".to_owned(), "-".to_owned()),
            None if self.steps.is_empty() => ("skipped".to_owned(), "-".to_owned()),
            None => (if self.host.is_some() { "unknown" } else { self.worst().as_str() }.to_owned(), "-".to_owned()),
        };
        [status, self.host.as_ref().map_or("here", HostName::as_str).to_owned(), time, format!("{words}{trouble}")]
    }

    fn worst(&self) -> Status {
        self.trouble().map_or(Status::Ok, |step| step.status.unwrap_or(Status::Unknown))
    }
}

impl Step {
    fn new(name: StepName) -> Self {
        let took = Duration::ZERO;
        Self {
            name,
            check: false,
            started: false,
            status: None,
            exit_code: None,
            took,
            detail: None,
            seen: None,
            hints: Vec::new(),
        }
    }

    fn row(&self) -> Option<[String; 4]> {
        let (status, word) = match self.status {
            Some(Status::Ok) => (Status::Ok, String::new()),
            Some(status) => (status, status.as_str().replace('_', " ")),
            None if self.started => (Status::Unknown, "running when last heard of".to_owned()),
            None => return None,
        };
        let time = if self.started && self.status.is_some() { duration(self.took) } else { "-".to_owned() };
        let story = self.detail.as_deref().filter(|_| status == Status::Skipped).map(label);
        let rest = [word, story.unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
        Some([status.as_str().to_owned(), label(self.name.as_str()), time, rest])
    }
}

/// The sign for a status and its colour.
pub(super) fn mark(status: &str) -> (&'static str, Tone) {
    match status {
        "ok" => ("✓", Tone::Good),
        "skipped" => ("-", Tone::Faint),
        "unknown" => ("?", Tone::Warn),
        _ => ("✗", Tone::Bad),
    }
}

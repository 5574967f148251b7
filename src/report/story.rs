//! A run as reports tell it: everything that its events said, by host and step, with what was printed in a [`Spool`]. Collects in
//! bounded memory; says nothing itself.

use std::time::Duration;

use super::lines::exact;
use super::spool::{Spool, Tail, Tape};
use super::summary::Summary;
use crate::event::{Approved, Body, Event, Status};
use crate::facts::{Facts, LockHolder, Refusal};
use crate::name::{HostName, RunId, StepName};

/// The most looks of one check that are kept one by one.
const LOOKS: usize = 4096;
/// The most hints or warnings of one step or host.
const WORDS: usize = 200;
/// The most that a report holds of the output of all steps together.
const ALL_OUTPUT: u64 = 64 << 20;

/// How much of what the steps printed a report holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Printed {
    /// Nothing.
    None,
    /// The end of what steps printed that did not go well.
    #[default]
    Failed,
    /// The end of what every step printed.
    All,
}

impl Printed {
    fn region(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Failed => 256 << 10,
            Self::All => 16 << 20,
        }
    }
}

/// What is known of a run.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) run: Option<RunId>,
    pub(super) playbook: String,
    pub(super) plan: String,
    pub(super) who: String,
    pub(super) note: Option<String>,
    /// The project, by the name of its lock.
    pub(super) project: Option<String>,
    /// The first time that an event told, in milliseconds since 1970.
    pub(super) began: Option<u64>,
    last: u64,
    pub(super) hosts: Vec<HostName>,
    /// The hosts in their order; then, if it did anything, this machine.
    pub(super) parts: Vec<Chapter>,
    pub(super) warnings: Vec<String>,
    /// Why it ended without having done its work, as the command told.
    pub(super) stops: Vec<String>,
    pub(super) end: Option<(Status, u8, Duration)>,
    pub(super) summary: Summary,
    pub(super) printed: Printed,
    spool: Spool,
}

/// What is known of one host's part.
#[derive(Debug, Default)]
pub(super) struct Chapter {
    /// None: what this machine does for the run.
    pub(super) host: Option<HostName>,
    pub(super) address: Option<String>,
    pub(super) facts: Option<Box<Facts>>,
    pub(super) refusal: Option<Refusal>,
    pub(super) locked: Option<LockHolder>,
    pub(super) warnings: Vec<String>,
    /// When contact was lost, and found again.
    pub(super) losses: Vec<(u64, Option<u64>)>,
    pub(super) steps: Vec<Part>,
    pub(super) end: Option<(Status, u8, Duration)>,
    running: Option<usize>,
}

/// What is known of a step on one host.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: StepName,
    pub(super) kind: String,
    pub(super) command: String,
    pub(super) check: bool,
    /// When it began, in milliseconds since 1970; none: it did not.
    pub(super) began: Option<u64>,
    pub(super) status: Option<Status>,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<String>,
    pub(super) took: Duration,
    pub(super) detail: Option<String>,
    pub(super) hints: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) approved: Vec<Approved>,
    pub(super) changes: Vec<Change>,
    pub(super) looks: Vec<Look>,
    /// How many looks there were, and how many of them were as expected.
    pub(super) looked: (u64, u64),
    tape: Tape,
}

/// Something of the application that is not what it was.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) what: String,
    pub(super) from: Option<String>,
    pub(super) to: String,
}

/// A look at the application.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) kind: String,
    pub(super) side: String,
    pub(super) ok: bool,
    pub(super) observed: String,
    pub(super) expected: String,
}

impl Look {
    /// The time that an answer took, where what was seen says it: `200 in 4 ms`.
    pub(super) fn latency(&self) -> Option<f64> {
        let (before, unit) = [" ms", " s"].iter().find_map(|unit| Some((self.observed.split_once(unit)?.0, *unit)))?;
        let number = before.rsplit(' ').next()?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
        Some(if unit == " s" { number * 1000.0 } else { number })
    }
}

impl Story {
    pub(super) fn new(printed: Printed) -> Self {
        Self {
            run: None,
            playbook: String::new(),
            plan: String::new(),
            who: String::new(),
            note: None,
            project: None,
            began: None,
            last: 0,
            hosts: Vec::new(),
            parts: Vec::new(),
            warnings: Vec::new(),
            stops: Vec::new(),
            end: None,
            summary: Summary::default(),
            printed,
            spool: Spool::new(printed.region()),
        }
    }

    /// Takes the next event.
    pub(super) fn push(&mut self, event: &Event) {
        self.summary.push(event);
        let at = millis(event.time.as_str()).unwrap_or(self.last);
        self.began = Some(self.began.map_or(at, |began| began.min(at)));
        self.last = self.last.max(at);
        match &event.body {
            Body::RunStarted { playbook, hosts, plan, who, note } => {
                if self.run.is_none() {
                    self.playbook.clone_from(playbook);
                    self.plan.clone_from(plan);
                    self.who.clone_from(who);
                    self.note.clone_from(note);
                    self.hosts.clone_from(hosts);
                    self.parts = hosts.iter().map(|host| Chapter { host: Some(host.clone()), ..Chapter::default() }).collect();
                }
            }
            Body::RunFinished { status, exit_code, duration_ms } => {
                self.end = Some((*status, *exit_code, Duration::from_millis(*duration_ms)));
            }
            Body::Warning { text } if event.host.is_none() && event.step.is_none() => add(&mut self.warnings, text),
            Body::Unknown => return,
            body => {
                if let Body::LockAcquired { lock, .. } = body {
                    self.project = Some(lock.clone());
                }
                let index = self.parts.iter().position(|part| part.host == event.host).unwrap_or_else(|| {
                    self.parts.push(Chapter { host: event.host.clone(), ..Chapter::default() });
                    self.parts.len() - 1
                });
                self.parts[index].push(event, at, &mut self.spool);
            }
        }
        // One that waited for a lock goes on under another id.
        self.run = Some(event.run.clone());
    }

    pub(super) fn several(&self) -> bool {
        self.hosts.len() > 1
    }

    /// The time from the first event to the end, or to the last one that was heard.
    pub(super) fn span(&self) -> Duration {
        let heard = Duration::from_millis(self.last.saturating_sub(self.began.unwrap_or(self.last)));
        self.end.map_or(heard, |(_, _, took)| took.max(heard.min(took + Duration::from_mins(1))))
    }

    /// The word for how it ended, and its status: what was handed over has not ended.
    pub(super) fn outcome(&self) -> (&'static str, Status) {
        let open = |part: &Chapter| part.host.is_some() && part.end.is_none();
        match self.end {
            Some((Status::Ok, ..)) if self.parts.iter().any(open) => ("handed over", Status::Unknown),
            Some((Status::Ok, ..)) => ("done", Status::Ok),
            Some((_, 5, _)) => ("locked out", Status::Failed),
            Some((_, 7, _)) => ("refused", Status::Failed),
            Some((_, 4, _)) => ("a check failed", Status::Failed),
            Some((_, 3, _)) => ("not reached", Status::Failed),
            Some((status, ..)) => (status_word(Some(status)), status),
            None => ("still running", Status::Unknown),
        }
    }

    /// All steps with the host that they are of.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&Chapter, &Part)> {
        self.parts.iter().flat_map(|part| part.steps.iter().map(move |step| (part, step)))
    }

    /// Whether a report shows what a step printed.
    pub(super) fn shows(&self, step: &Part) -> bool {
        match self.printed {
            Printed::None => false,
            Printed::Failed => step.began.is_some() && !matches!(step.status, Some(Status::Ok | Status::Skipped)),
            Printed::All => step.began.is_some(),
        }
    }

    /// Whether a report has anything to show of what a step printed.
    pub(super) fn has_output(&self, step: &Part) -> bool {
        self.shows(step) && !step.tape.is_empty()
    }

    /// What a step printed, as far as the report shows it.
    pub(super) fn output(&self, step: &Part, limit: u64) -> Tail {
        if self.shows(step) { self.spool.read(&step.tape, limit) } else { Tail::default() }
    }

    /// How much of each step's output a report holds, so that all of them together stay within bounds.
    pub(super) fn share(&self) -> u64 {
        let shown = self.steps().filter(|(_, step)| self.shows(step));
        let mut sizes: Vec<u64> = shown.map(|(_, step)| self.spool.size(&step.tape)).collect();
        sizes.sort_unstable();
        let mut left = ALL_OUTPUT;
        for (n, size) in sizes.iter().enumerate() {
            let each = left / (sizes.len() - n) as u64;
            if *size > each {
                return each;
            }
            left -= size;
        }
        u64::MAX
    }

    /// Why the output is not whole, if it is not.
    pub(super) fn output_failed(&self) -> Option<String> {
        self.spool.failed().map(|error| format!("what the steps printed could not be kept: {error}"))
    }
}

impl Chapter {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        self.host.as_ref().map_or("here", HostName::as_str)
    }

    /// Its status, as far as it is known.
    pub(super) fn status(&self) -> Option<Status> {
        let refused = self.locked.is_some() || self.refusal.is_some();
        let worst =
            || self.steps.iter().find_map(|step| step.status.filter(|status| !matches!(status, Status::Ok | Status::Skipped)));
        match self.end {
            Some((status, ..)) => Some(status),
            None if refused => Some(Status::Failed),
            None if self.host.is_none() => worst().or(Some(Status::Ok)),
            None => None,
        }
    }

    fn push(&mut self, event: &Event, at: u64, spool: &mut Spool) {
        match &event.body {
            Body::HostConnected { address, user } => self.address = Some(format!("{user}@{address}")),
            Body::Prepared { facts } => {
                facts.warnings.iter().for_each(|warning| add(&mut self.warnings, warning));
                self.facts = Some(facts.clone());
            }
            Body::Refused { refusal } => self.refusal = Some(refusal.clone()),
            Body::LockBusy { holder } => self.locked = Some(holder.clone()),
            Body::LockAcquired { .. } => self.locked = None,
            Body::ConnectionLost { .. } if self.losses.len() < WORDS => self.losses.push((at, None)),
            Body::Reconnected { .. } => {
                if let Some((_, found)) = self.losses.last_mut() {
                    *found = Some(at);
                }
            }
            Body::HostFinished { status, exit_code, duration_ms } => {
                self.end = Some((*status, *exit_code, Duration::from_millis(*duration_ms)));
            }
            body => match &event.step {
                Some(name) => {
                    let index = self.step(name);
                    self.running = Some(index);
                    self.steps[index].push(body, at, spool);
                }
                None => match (body, self.running) {
                    (Body::Warning { text }, _) => add(&mut self.warnings, text),
                    (body, Some(index)) => self.steps[index].push(body, at, spool),
                    _ => {}
                },
            },
        }
    }

    fn step(&mut self, name: &StepName) -> usize {
        self.steps.iter().position(|step| step.name == *name).unwrap_or_else(|| {
            self.steps.push(Part::new(name.clone()));
            self.steps.len() - 1
        })
    }
}

impl Part {
    fn new(name: StepName) -> Self {
        Self {
            name,
            kind: String::new(),
            command: String::new(),
            check: false,
            began: None,
            status: None,
            exit_code: None,
            signal: None,
            took: Duration::ZERO,
            detail: None,
            hints: Vec::new(),
            warnings: Vec::new(),
            approved: Vec::new(),
            changes: Vec::new(),
            looks: Vec::new(),
            looked: (0, 0),
            tape: Tape::default(),
        }
    }

    fn push(&mut self, body: &Body, at: u64, spool: &mut Spool) {
        match body {
            Body::StepStarted { kind, command, check } => {
                self.kind.clone_from(kind);
                self.command.clone_from(command);
                self.check = *check;
                self.began = Some(at);
            }
            Body::Output { stream, text, bytes, partial } => {
                let ms = at.saturating_sub(self.began.unwrap_or(at));
                spool.push(&mut self.tape, *stream, ms, &exact(text, bytes.as_deref()), *partial);
            }
            Body::Check { kind, side, ok, observed, expected, .. } => {
                self.looked = (self.looked.0 + 1, self.looked.1 + u64::from(*ok));
                if self.looks.len() == LOOKS {
                    self.thin_out();
                }
                let [kind, side, observed, expected] = [kind, side, observed, expected].map(Clone::clone);
                self.looks.push(Look { at, kind, side, ok: *ok, observed, expected });
            }
            Body::Changed { what, from, to } if self.changes.len() < WORDS => {
                self.changes.push(Change { what: what.clone(), from: from.clone(), to: to.clone() });
            }
            Body::Approved(of) if self.approved.len() < WORDS => self.approved.push(of.clone()),
            Body::Hint { text } => add(&mut self.hints, text),
            Body::Warning { text } => add(&mut self.warnings, text),
            Body::StepFinished { status, exit_code, signal, duration_ms, detail } => {
                self.status = Some(*status);
                self.exit_code = *exit_code;
                self.signal.clone_from(signal);
                self.took = Duration::from_millis(*duration_ms);
                self.detail.clone_from(detail);
                spool.close(&mut self.tape, u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }

    /// Half of the looks go, those that tell least first.
    fn thin_out(&mut self) {
        let dull = self.looks.iter().filter(|look| look.ok).count() > LOOKS / 4;
        let mut nth = 0;
        self.looks.retain(|look| {
            if dull && !look.ok {
                return true;
            }
            nth += 1;
            nth % 2 == 0
        });
    }

    /// The word for how it ended.
    pub(super) fn word(&self) -> &'static str {
        if self.status.is_none() && self.began.is_none() { "not run" } else { status_word(self.status) }
    }

    /// Why it did not go well, in words.
    pub(super) fn reason(&self) -> Option<String> {
        let how = match (self.status, &self.signal, self.exit_code) {
            (Some(Status::Ok | Status::Skipped), ..) => None,
            (_, Some(signal), _) => Some(format!("signal {signal}")),
            (Some(Status::Failed), None, Some(code)) => Some(format!("exit code {code}")),
            _ => None,
        };
        // Some details say no more than that.
        let how = how.filter(|how| self.detail.as_ref() != Some(how));
        let words: Vec<String> = how.into_iter().chain(self.detail.clone()).collect();
        (!words.is_empty()).then(|| words.join(": "))
    }

    /// From where it looked, by kind and side, each with its last look.
    pub(super) fn sides(&self) -> Vec<&Look> {
        let mut sides: Vec<&Look> = Vec::new();
        for look in &self.looks {
            match sides.iter_mut().find(|known| known.kind == look.kind && known.side == look.side) {
                Some(known) => *known = look,
                None => sides.push(look),
            }
        }
        sides
    }
}

/// The word for a status; none: it is under way.
pub(super) fn status_word(status: Option<Status>) -> &'static str {
    match status {
        Some(Status::Ok) => "ok",
        Some(Status::Failed) => "failed",
        Some(Status::Skipped) => "skipped",
        Some(Status::Unknown) => "unknown",
        Some(Status::Cancelled) => "cancelled",
        Some(Status::TimedOut) => "timed out",
        None => "running",
    }
}

/// The moment that an event names, in milliseconds since 1970.
pub(super) fn millis(time: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(time).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(at.as_millis()).ok()
}

/// The same moment for people: `2026-05-04 10:00:00 UTC`.
pub(super) fn moment(millis: u64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(millis.min(u64::from(u32::MAX) * 1000));
    let text = humantime::format_rfc3339_seconds(at).to_string();
    format!("{} UTC", text.trim_end_matches('Z').replace('T', " "))
}

fn add(words: &mut Vec<String>, text: &str) {
    if words.len() < WORDS && !words.iter().any(|known| known == text) {
        words.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, At, output};
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_over_all_steps() {
        let mut story = Story::new(Printed::All);
        for event in samples::two_hosts() {
            story.push(&event);
        }
        assert_eq!(story.share(), u64::MAX);
        let line = "x".repeat(8000);
        for host in ["web-1", "web-002"] {
            for step in ["a", "b", "c"] {
                let at = At::host(host).step(step);
                story.push(&samples::begin(at, "shell", "true"));
                for _ in 0..2200 {
                    story.push(&at.event(output(&line)));
                }
                story.push(&samples::end(at, Status::Ok, 0, 1));
            }
        }
        let share = story.share();
        assert!((10 << 20..16 << 20).contains(&share), "{share}");
    }

    #[test]
    fn the_looks_of_a_long_watch_are_thinned_out_and_counted() {
        let mut story = Story::new(Printed::None);
        let at = At::host("droplet-1").step("watch");
        for n in 0..20_000 {
            let observed = format!("200 in {n} ms");
            let (kind, side, expected) = ("health".into(), "host".into(), "200".into());
            story.push(&at.event(Body::Check { kind, side, ok: n % 1000 != 0, observed, expected }));
        }
        let (_, step) = story.steps().next().unwrap();
        assert_eq!(step.looked, (20_000, 19_980));
        assert_eq!(step.looks.iter().filter(|look| !look.ok).count(), 20, "failures stay");
        assert!(step.looks.len() <= LOOKS);
        assert_eq!(step.looks.last().and_then(Look::latency), Some(19_999.0));
    }

    #[test]
    fn what_was_handed_over_is_not_done() {
        let mut story = Story::new(Printed::None);
        let events = samples::ok_run();
        events.iter().filter(|event| !matches!(event.body, Body::HostFinished { .. })).for_each(|event| story.push(event));
        assert_eq!(story.outcome(), ("handed over", Status::Unknown));
    }
}

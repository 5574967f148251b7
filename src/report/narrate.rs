//! Events in words: the lines that terminal and plain output share. What a step prints is not narrated here.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::sanitize::{label, text};
use super::style::{Paint, Tone, duration};
use super::summary::mark;
use super::{Display, failure::short};
use crate::event::{Body, Event, Status};
use crate::facts::{Facts, LockHolder, Migrations};
use crate::name::{HostName, StepName};

/// A step of a host.
type Place = (Option<HostName>, Option<StepName>);

/// Tells what happens, one or more lines an event.
#[derive(Debug)]
pub(super) struct Narrator {
    paint: Paint,
    verbose: u8,
    hosts: Vec<HostName>,
    began: bool,
    /// What each check saw last: a repeated answer is not told again.
    seen: HashMap<(Place, String), (bool, String)>,
    /// The steps that run now.
    open: BTreeSet<Place>,
}

impl Narrator {
    pub(super) fn new(display: &Display) -> Self {
        let (paint, verbose) = (display.paint(), display.verbose);
        Self { paint, verbose, hosts: Vec::new(), began: false, seen: HashMap::new(), open: BTreeSet::new() }
    }

    /// True where lines need a host's name to be understood.
    pub(super) fn several(&self) -> bool {
        self.hosts.len() > 1
    }

    /// What stands before a line about a host, where there are several.
    pub(super) fn prefix(&self, host: Option<&HostName>, paint: Paint) -> String {
        let widest = self.hosts.iter().map(|host| host.as_str().len()).max().unwrap_or(0);
        match host {
            Some(host) if self.several() => {
                let place = self.hosts.iter().position(|known| known == host).unwrap_or(0);
                format!("{} ", paint.paint(Tone::Host(place), format!("{host:<widest$}")))
            }
            None if self.several() => format!("{:<widest$} ", "here"),
            _ => String::new(),
        }
    }

    /// The lines for an event, ready to be printed.
    pub(super) fn lines(&mut self, event: &Event) -> Vec<String> {
        let bare = matches!(event.body, Body::RunStarted { .. } | Body::RunFinished { .. });
        let lines = self.words(event);
        let prefix = if bare || (event.host.is_none() && event.step.is_none()) {
            String::new()
        } else {
            self.prefix(event.host.as_ref(), self.paint)
        };
        lines.into_iter().map(|line| format!("{prefix}{line}")).collect()
    }

    /// The step's name before what is told of it, where it is not the only one that runs there.
    fn whose(&self, event: &Event, step: &str) -> String {
        let several = self.open.iter().filter(|(host, _)| *host == event.host).nth(1).is_some();
        if several && !step.is_empty() { format!("{step}: ") } else { String::new() }
    }

    fn words(&mut self, event: &Event) -> Vec<String> {
        let place = (event.host.clone(), event.step.clone());
        match event.body {
            Body::StepStarted { .. } => _ = self.open.insert(place.clone()),
            Body::StepFinished { .. } => _ = self.open.remove(&place),
            _ => {}
        }
        let paint = self.paint;
        let good = || paint.paint(Tone::Good, "✓");
        let bad = || paint.paint(Tone::Bad, "✗");
        let step = event.step.as_ref().map(|step| label(step.as_str())).unwrap_or_default();
        match &event.body {
            Body::RunStarted { playbook, hosts, who, note, .. } => {
                if std::mem::replace(&mut self.began, true) {
                    return Vec::new();
                }
                self.hosts.clone_from(hosts);
                self.run_started(event, playbook, who, note.as_deref())
            }
            Body::HostConnected { address, user } => {
                vec![format!("{} connected to {}@{}", good(), label(user), label(address))]
            }
            Body::LockAcquired { lock, generation } => {
                let more = paint.paint(Tone::Faint, format!("(generation {generation})"));
                vec![format!("{} holds the lock of {} {more}", good(), label(lock))]
            }
            Body::LockBusy { holder } => vec![format!("{} {}", bad(), locked(holder))],
            Body::Prepared { facts } => self.prepared(facts),
            Body::Refused { refusal } => {
                let mut lines = marked(&bad(), &format!("refused: {}", text(&refusal.message)));
                lines.extend(refusal.remedy.iter().flat_map(|remedy| self.said(Tone::Help, "help", remedy)));
                lines
            }
            Body::StepStarted { command, .. } => self.step_started(&step, command),
            Body::Check { kind, side, ok, observed, expected } => {
                let now = (*ok, observed.clone());
                if self.seen.insert((place, side.clone()), now.clone()) == Some(now) {
                    return Vec::new();
                }
                let whose = self.whose(event, &step);
                let (observed, what) = (label(observed), format!("{whose}{} from {}", label(kind), label(side)));
                vec![if *ok {
                    format!("  {} {what}: {observed}", good())
                } else {
                    format!("  {} {what}: {observed}, expected {}", bad(), label(expected))
                }]
            }
            Body::Changed { what, from, to } => {
                let from = from.as_deref().map(|from| format!("{} → ", short(from))).unwrap_or_default();
                vec![format!("  {} {}: {from}{}", paint.paint(Tone::Warn, "~"), label(what), short(to))]
            }
            Body::Approved(of) => vec![format!("  {} {}", paint.paint(Tone::Warn, "approved:"), label(&of.to_string()))],
            Body::StepFinished { status, exit_code, signal, duration_ms, detail } => {
                let took = duration(Duration::from_millis(*duration_ms));
                let how = match (signal, exit_code) {
                    (Some(signal), _) => format!(" (signal {})", label(signal)),
                    (None, Some(code)) if *status == Status::Failed => format!(" (exit code {code})"),
                    _ => String::new(),
                };
                let (sign, tone) = mark(status.as_str());
                let story = detail.as_deref().map(|detail| format!(": {}", text(detail))).unwrap_or_default();
                let (sign, step) = (paint.paint(tone, sign), paint.paint(Tone::Strong, step));
                let line = match status {
                    Status::Ok => format!("{step} {}{story}", paint.paint(Tone::Faint, took)),
                    Status::Skipped => format!("{step} skipped{story}"),
                    Status::Failed => format!("{step} failed after {took}{how}{story}"),
                    Status::TimedOut => format!("{step} timed out after {took}{story}"),
                    Status::Cancelled => format!("{step} cancelled after {took}{story}"),
                    Status::Unknown => format!("{step}: how it ended is not known{how}{story}"),
                };
                marked(&sign, &line)
            }
            Body::Hint { text } => self.said(Tone::Help, "hint", &format!("{}{text}", self.whose(event, &step))),
            Body::Warning { text } => self.said(Tone::Warn, "warning", text),
            Body::ConnectionLost { cause } => {
                let line = format!("connection lost: {}; the run goes on there, connecting again", label(cause));
                vec![format!("{} {line}", paint.paint(Tone::Warn, "!"))]
            }
            Body::Reconnected { offset } => {
                let more = paint.paint(Tone::Faint, format!("(going on at byte {offset})"));
                vec![format!("{} connected again {more}", good())]
            }
            Body::HostFinished { status, duration_ms, .. } if self.several() => {
                let (sign, tone) = mark(status.as_str());
                let took = duration(Duration::from_millis(*duration_ms));
                vec![format!("{} {} after {took}", paint.paint(tone, sign), status.as_str().replace('_', " "))]
            }
            Body::RunFinished { status, duration_ms, .. } => {
                let (sign, tone) = mark(status.as_str());
                let took = duration(Duration::from_millis(*duration_ms));
                let word = if *status == Status::Ok { "done".to_owned() } else { status.as_str().replace('_', " ") };
                vec![String::new(), format!("{} after {took}", paint.paint(tone, format!("{sign} {word}")))]
            }
            Body::HostFinished { .. } | Body::Output { .. } | Body::Unknown => Vec::new(),
        }
    }

    fn run_started(&self, event: &Event, playbook: &str, who: &str, note: Option<&str>) -> Vec<String> {
        let hosts = self.hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ");
        let (run, playbook) =
            (self.paint.paint(Tone::Faint, event.run.as_str()), self.paint.paint(Tone::Strong, label(playbook)));
        let mut lines = vec![format!("{run}  {playbook} on {hosts}, by {}", label(who))];
        lines.extend(note.map(|note| format!("  “{}”", label(note))));
        lines
    }

    fn prepared(&self, facts: &Facts) -> Vec<String> {
        let pending: Vec<String> = facts.migrations.values().filter_map(pending).collect();
        let more = if pending.is_empty() { String::new() } else { format!(": {}", pending.join("; ")) };
        let mut lines = vec![format!("{} ready{more}", self.paint.paint(Tone::Good, "✓"))];
        lines.extend(facts.warnings.iter().flat_map(|warning| self.said(Tone::Warn, "warning", warning)));
        lines
    }

    fn step_started(&self, step: &str, command: &str) -> Vec<String> {
        let command = text(command);
        let mut shown = command.lines();
        let first = shown.next().unwrap_or_default();
        let folded = if shown.next().is_some() && self.verbose == 0 { " …" } else { "" };
        let faint = |line: &str| self.paint.paint(Tone::Faint, line);
        let mut lines = vec![format!("▸ {}  {}", self.paint.paint(Tone::Strong, step), faint(&format!("{first}{folded}")))];
        if self.verbose > 0 {
            lines.extend(command.lines().skip(1).map(|line| format!("    {}", faint(line))));
        }
        lines
    }

    fn said(&self, tone: Tone, word: &str, said: &str) -> Vec<String> {
        let word = self.paint.paint(tone, format!("{word}:"));
        marked(&format!("  {word}"), &text(said))
    }
}

/// A sign before the first line of a text, and the others under it.
fn marked(sign: &str, text: &str) -> Vec<String> {
    text.lines().enumerate().map(|(n, line)| if n == 0 { format!("{sign} {line}") } else { format!("    {line}") }).collect()
}

fn pending(migrations: &Migrations) -> Option<String> {
    match migrations {
        Migrations::UpToDate => None,
        Migrations::Pending { names } if names.is_empty() => Some("migrations are pending".to_owned()),
        Migrations::Pending { names } => {
            let word = if names.len() == 1 { "migration" } else { "migrations" };
            let names = names.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ");
            Some(format!("{} {word} pending ({names})", names.split(", ").count()))
        }
        Migrations::Failed { why, .. } => Some(format!("migrations failed: {}", label(why))),
        Migrations::NotKnown { why } => Some(format!("pending migrations not known: {}", label(why))),
    }
}

fn locked(holder: &LockHolder) -> String {
    let note = holder.note.as_deref().map(|note| format!(", “{}”", label(note))).unwrap_or_default();
    format!(
        "locked by run {} ({}): {} by {} since {}{note}",
        holder.run,
        label(&holder.state),
        label(&holder.playbook),
        label(&holder.who),
        label(&holder.since)
    )
}

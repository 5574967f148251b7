//! What a user sees of a run: reporters that are fed from one linear stream of events, live, attached later or replayed.
//! Reporters hold the display settings, events do not. Knows nothing of connections, of hosts or of how a run is carried out.

mod difference;
mod display;
mod document;
mod failure;
mod files;
mod findings;
mod github;
mod html;
mod json;
mod junit;
mod lines;
mod markdown;
mod metrics;
mod narrate;
mod plain;
mod plan;
mod sanitize;
mod screen;
mod sink;
mod spool;
mod story;
mod style;
mod suites;
mod summary;
mod terminal;

#[cfg(test)]
mod samples;

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::name::HostName;

pub use difference::{Account, difference_json, difference_text};
pub use display::{Colours, Display, Environment, Face, Mode, Output};
pub use failure::closing;
pub use files::{Files, Form, Unwritable, Wanted};
pub use findings::{findings_github, findings_junit};
pub use github::{GitHub, Line as PlaybookLine, Workflow};
pub use json::Json;
pub use plain::Plain;
pub use plan::{plan_json, plan_markdown, plan_text};
pub use sanitize::{label, line, text};
pub use sink::Sink;
pub use story::Printed;
pub use style::{Paint, Tone, duration};
pub use suites::{Case, Verdict, suites_junit};
pub use summary::{Part, Step, Summary};
pub use terminal::Terminal;

/// Shows or writes down a run. Called synchronously, in the order of the events.
pub trait Reporter: Send {
    /// Takes the next event.
    fn event(&mut self, event: &Event);

    /// No event is at hand for now: what was gathered, to be written in one go, is written. Whoever passes events says so.
    fn settle(&mut self) {}

    /// Takes live lines off the screen, so that something else may write there. The next event brings them back.
    fn pause(&mut self) {}

    /// The command ends without having done its work, and tells why by itself: for those who keep what was told.
    fn stopped(&mut self, _host: Option<&HostName>, _message: &str, _remedy: Option<&str>) {}

    /// Nothing follows: the run is over, or this client's part in it.
    fn finish(&mut self);
}

/// A reporter that somebody else holds, too, for what it has when the run is over.
impl<R: Reporter> Reporter for Arc<Mutex<R>> {
    fn event(&mut self, event: &Event) {
        self.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    fn settle(&mut self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).settle();
    }

    fn pause(&mut self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).pause();
    }

    fn stopped(&mut self, host: Option<&HostName>, message: &str, remedy: Option<&str>) {
        self.lock().unwrap_or_else(PoisonError::into_inner).stopped(host, message, remedy);
    }

    fn finish(&mut self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

/// All reporters of a run, in the order in which they are called.
#[derive(Default)]
pub struct Reporters(Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Nobody is told anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one reporter that `display` asks for.
    pub fn for_display(display: &Display) -> Self {
        let mut reporters = Self::new();
        match display.mode {
            Mode::Terminal => reporters.add(Terminal::on_stderr(display)),
            Mode::Plain => reporters.add(Plain::on_standard_streams(display)),
            Mode::Json => reporters.add(Json::new(Sink::stdout())),
        }
        reporters
    }

    /// Adds one, to be called after those that are there.
    pub fn add(&mut self, reporter: impl Reporter + 'static) {
        self.0.push(Box::new(reporter));
    }
}

impl Reporter for Reporters {
    fn event(&mut self, event: &Event) {
        for reporter in &mut self.0 {
            reporter.event(event);
        }
    }

    fn settle(&mut self) {
        for reporter in &mut self.0 {
            reporter.settle();
        }
    }

    fn pause(&mut self) {
        for reporter in &mut self.0 {
            reporter.pause();
        }
    }

    fn stopped(&mut self, host: Option<&HostName>, message: &str, remedy: Option<&str>) {
        for reporter in &mut self.0 {
            reporter.stopped(host, message, remedy);
        }
    }

    fn finish(&mut self) {
        for reporter in &mut self.0 {
            reporter.finish();
        }
    }
}

//! Migration tools as data: what they run, what their answers look like, what their failures mean. Runs nothing.

mod custom;
pub mod forbidden;
pub mod lint;
mod prisma;

use std::collections::BTreeMap;

use crate::action::{Judge, Migrate, NameList, Pattern, Signs, StatusReading, Via};
use crate::name::ServiceName;
use crate::protocol::Hint;
use crate::secret::Value;

pub use custom::Custom;
pub use prisma::PRISMA;

/// The tools that a `migrate` step may name.
pub const TOOLS: [&Tool; 1] = [&PRISMA];

/// A migration tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name in playbooks.
    pub name: &'static str,
    /// Asks what is pending; changes nothing.
    pub status: &'static [&'static str],
    /// Applies what is pending.
    pub apply: &'static [&'static str],
    /// Lines of `status` that tell of a failure or of histories that have parted, and what they mean.
    pub failed: &'static [(&'static str, &'static str)],
    /// The exit code and line of `status` when migrations wait.
    pub pending: (i32, &'static str),
    /// The exit code and line of `status` when nothing waits.
    pub up_to_date: (i32, &'static str),
    /// The line before the names of the pending ones, and what a name looks like.
    pub names: (&'static str, &'static str),
    /// The line that `apply` ends with when it succeeded.
    pub success: &'static str,
    /// Lines of usual failures, and what helps.
    pub hints: &'static [(&'static str, &'static str)],
}

/// How a migration is started.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The service whose image holds tool and migrations.
    pub service: ServiceName,
    /// One-off container, or the running one.
    pub via: Via,
    /// Added to the environment.
    pub env: BTreeMap<String, Value>,
    /// In place of the tool's own.
    pub status: Option<Vec<String>>,
    /// In place of the tool's own.
    pub apply: Option<Vec<String>>,
}

impl Tool {
    /// The action that applies what is pending and proves it.
    pub fn action(&self, start: Start) -> Migrate {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let pattern = |(regex, means): &(&str, &str)| Pattern { regex: (*regex).to_owned(), means: (*means).to_owned() };
        let signs = |(code, line): (i32, &str)| Signs { codes: vec![code], line: Some(line.to_owned()) };
        Migrate {
            service: start.service,
            via: start.via,
            tool: self.name.to_owned(),
            own_status: start.status.is_some(),
            status: start.status.unwrap_or_else(|| words(self.status)),
            apply: start.apply.unwrap_or_else(|| words(self.apply)),
            env: start.env,
            reading: StatusReading {
                failed: self.failed.iter().map(pattern).collect(),
                pending: signs(self.pending),
                up_to_date: signs(self.up_to_date),
                names: Some(NameList { begin: self.names.0.to_owned(), item: self.names.1.to_owned() }),
            },
            applied: Judge {
                codes: vec![0],
                require: vec![pattern(&(self.success, "the line that tells success"))],
                forbid: Vec::new(),
            },
        }
    }

    /// What its usual failures mean.
    pub fn hints(&self) -> Vec<Hint> {
        hints(self.hints)
    }
}

fn hints(table: &[(&str, &str)]) -> Vec<Hint> {
    table.iter().map(|(regex, text)| Hint { regex: (*regex).to_owned(), text: (*text).to_owned() }).collect()
}

/// What usual failures mean of commands that talk to a database: seeds and one-off commands.
pub fn common_hints() -> Vec<Hint> {
    TOOLS.iter().flat_map(|tool| tool.hints()).collect()
}

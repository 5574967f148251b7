//! Migration tools as data: what they run, what their answers look like, what their failures mean. Runs nothing.

mod alembic;
pub mod behind;
mod custom;
mod dbmate;
mod diesel;
mod django;
mod drizzle;
mod flyway;
pub mod forbidden;
pub mod gate;
mod golang;
mod kept;
mod knex;
pub mod lint;
mod pending;
mod prisma;
mod prisma8;
mod rails;
pub mod sql;
mod sqlx;

use std::collections::BTreeMap;

use crate::action::{Judge, Migrate, NameList, Pattern, Printing, Signs, StatusReading, Via};
use crate::name::ServiceName;
use crate::protocol::Hint;
use crate::secret::Value;

pub use custom::Custom;
pub use kept::{Kept, Shape};
pub use prisma::PRISMA;

/// The tools that a `migrate` step may name.
pub const TOOLS: [&Tool; 11] = [
    &PRISMA,
    &prisma8::PRISMA_8,
    &drizzle::DRIZZLE,
    &alembic::ALEMBIC,
    &django::DJANGO,
    &knex::KNEX,
    &dbmate::DBMATE,
    &sqlx::SQLX,
    &diesel::DIESEL,
    &rails::RAILS,
    &flyway::FLYWAY,
];

/// Those that are only known by their files and history: the playbook says their commands.
pub const BY_FILES: [&Tool; 1] = [&golang::GOLANG];

/// Those whose files travel with the plan, from the client's folder: Landfall applies them itself.
pub const CARRIED: [&Tool; 1] = [&sql::SQL];

/// A migration tool.
#[derive(Debug)]
pub struct Tool {
    /// Its name in playbooks.
    pub name: &'static str,
    /// Asks what is pending; changes nothing. Empty: it has no such command, and only files and history tell.
    pub status: &'static [&'static str],
    /// Applies what is pending.
    pub apply: &'static [&'static str],
    /// Prints the SQL of what is pending, where it can do that and the files do not say it.
    pub preview: Option<Preview>,
    /// Lines of `status` that tell of a failure or of histories that have parted, and what they mean.
    pub failed: &'static [(&'static str, &'static str)],
    /// The exit codes and line of `status` when migrations wait.
    pub pending: (&'static [i32], &'static str),
    /// The exit code and line of `status` when nothing waits.
    pub up_to_date: (i32, &'static str),
    /// The line before the names of the pending ones (empty: they stand anywhere), and what a name looks like.
    pub names: (&'static str, &'static str),
    /// The line that `apply` prints when it succeeded; empty: it has none.
    pub success: &'static str,
    /// A line that `apply` prints when it failed, whatever its exit code; empty: it has none.
    pub failure: &'static str,
    /// How it keeps files and history.
    pub kept: &'static [Kept],
    /// Lines of usual failures, and what helps.
    pub hints: &'static [(&'static str, &'static str)],
}

/// How a tool prints the SQL of its programs, and changes nothing.
#[derive(Debug)]
pub struct Preview {
    /// The command; `{applied}` is the newest applied migration, or `base`.
    pub argv: &'static [&'static str],
    /// Whether the names of those that wait are added to it.
    pub named: bool,
    /// The line before the SQL of one, whose first group is its name.
    pub begin: &'static str,
    /// Lines that tell that something was not printed, and what.
    pub lacks: &'static [(&'static str, &'static str)],
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
    /// In place of the tool's own.
    pub preview: Option<Vec<String>>,
    /// The folder of its files, in place of the usual ones.
    pub folder: Option<String>,
    /// Its history's table, with or without a schema, in place of the usual one.
    pub history: Option<String>,
    /// How long a statement may wait for a lock.
    pub lock_timeout_ms: Option<u64>,
}

impl Tool {
    /// Whether there is one of this name.
    pub fn is_known(name: &str) -> bool {
        TOOLS.iter().chain(&BY_FILES).chain(&CARRIED).any(|tool| tool.name == name)
    }

    /// The action that applies what is pending and proves it.
    pub fn action(&self, start: Start) -> Migrate {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let pattern = |(regex, means): &(&str, &str)| Pattern { regex: (*regex).to_owned(), means: (*means).to_owned() };
        let signs = |codes: &[i32], line: &str| Signs { codes: codes.to_vec(), line: Some(line.to_owned()) };
        let line =
            |regex: &'static str, means: &'static str| if regex.is_empty() { Vec::new() } else { vec![pattern(&(regex, means))] };
        let printing = self.preview.as_ref().map(|preview| Printing {
            argv: words(preview.argv),
            own: false,
            named: preview.named,
            begin: Some(preview.begin.to_owned()),
            lacks: preview.lacks.iter().map(pattern).collect(),
        });
        Migrate {
            service: start.service,
            via: start.via,
            tool: self.name.to_owned(),
            own_status: start.status.is_some(),
            status: start.status.unwrap_or_else(|| words(self.status)),
            apply: start.apply.unwrap_or_else(|| words(self.apply)),
            preview: own_printing(start.preview, printing),
            env: start.env,
            reading: StatusReading {
                failed: self.failed.iter().map(pattern).collect(),
                pending: signs(self.pending.0, self.pending.1),
                up_to_date: signs(&[self.up_to_date.0], self.up_to_date.1),
                names: Some(NameList { begin: self.names.0.to_owned(), item: self.names.1.to_owned() }),
            },
            applied: Judge {
                codes: vec![0],
                require: line(self.success, "the line that tells success"),
                forbid: line(self.failure, "a line that tells of an error"),
            },
            models: self.kept.iter().map(|kept| kept.model(start.folder.as_deref(), start.history.as_deref())).collect(),
            carried: None,
            lock_timeout_ms: start.lock_timeout_ms,
        }
    }

    /// What its own usual failures mean.
    pub fn hints(&self) -> Vec<Hint> {
        let hint = |(regex, text): &(&str, &str)| Hint { regex: (*regex).to_owned(), text: (*text).to_owned() };
        self.hints.iter().map(hint).collect()
    }
}

/// What a playbook says in place of a tool's own command: it prints what it wants, and is only told apart where it prints the same lines.
fn own_printing(argv: Option<Vec<String>>, usual: Option<Printing>) -> Option<Printing> {
    match argv {
        Some(argv) => Some(Printing { argv, own: true, named: false, ..usual.unwrap_or_default() }),
        None => usual,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod recorded;

/// What the failures mean of commands that use the same client of the database: seeds and one-off commands.
pub fn client_hints() -> Vec<Hint> {
    PRISMA.hints()
}

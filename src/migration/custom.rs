//! A migration tool that its users describe themselves: its commands, exit codes and lines.

use crate::action::{Judge, Migrate, NameList, Pattern, Signs, StatusReading};

use super::{Start, own_printing};

/// What a playbook or an inventory says about a tool of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// What it is called.
    pub name: String,
    /// Asks what is pending; changes nothing.
    pub status: Vec<String>,
    /// Applies what is pending.
    pub apply: Vec<String>,
    /// Prints the SQL of what is pending; changes nothing.
    pub preview: Option<Vec<String>>,
    /// The exit code of `status` when migrations wait.
    pub pending_code: i32,
    /// A line of `status` that must go with it.
    pub pending: Option<String>,
    /// A line of `status` that names one that waits; its first group is the name.
    pub pending_name: Option<String>,
    /// A line of `status` that must go with exit code 0 when nothing waits.
    pub up_to_date: Option<String>,
    /// A line of `status` that tells of a failure.
    pub failed: Option<String>,
    /// A line that `apply` must print.
    pub success: Option<String>,
    /// A line of `apply` that tells of a failure, whatever its exit code.
    pub failure: Option<String>,
}

impl Custom {
    /// The action that applies what is pending and proves it.
    pub fn action(self, start: Start) -> Migrate {
        let pattern = |regex: String, means: &str| Pattern { regex, means: means.to_owned() };
        Migrate {
            service: start.service,
            via: start.via,
            tool: self.name,
            own_status: true,
            status: self.status,
            apply: self.apply,
            preview: own_printing(self.preview, None),
            env: start.env,
            reading: StatusReading {
                failed: self.failed.into_iter().map(|regex| pattern(regex, "a line that tells of a failure")).collect(),
                pending: Signs { codes: vec![self.pending_code], line: self.pending },
                up_to_date: Signs { codes: vec![0], line: self.up_to_date },
                names: self.pending_name.map(|item| NameList { begin: String::new(), item }),
            },
            applied: Judge {
                codes: vec![0],
                require: self.success.into_iter().map(|regex| pattern(regex, "the line that tells success")).collect(),
                forbid: self.failure.into_iter().map(|regex| pattern(regex, "a line that tells of a failure")).collect(),
            },
            models: Vec::new(),
            carried: None,
            lock_timeout_ms: start.lock_timeout_ms,
        }
    }
}

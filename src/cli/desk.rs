//! The person in front of a run: sees the plan, confirms it, and is asked before a migration is cut off.

use std::io::{BufRead, IsTerminal, Write};

use super::confirm::Question;
use crate::plan::Plan;
use crate::report::{Mode, Paint, Sink, plan_text};
use crate::run::{Desk, Stop};

/// The terminal, or nobody.
#[derive(Debug)]
pub(super) struct Terminal {
    /// How the run is shown.
    pub(super) mode: Mode,
    /// Colours.
    pub(super) paint: Paint,
    /// What will happen, in words.
    pub(super) action: String,
    /// The database that is replaced.
    pub(super) database: Option<String>,
}

impl Desk for Terminal {
    fn show(&self, plan: &Plan) {
        if self.mode != Mode::Json {
            let mut err = Sink::stderr();
            err.line(plan_text(plan, self.paint).trim_end());
            err.flush();
        }
    }

    fn confirm(&self, plan: &Plan) -> Result<(), Stop> {
        let question =
            Question { action: self.action.clone(), production: plan.production.clone(), database: self.database.clone() };
        question.ask(false, self.paint).map_err(Stop::from)
    }

    fn confirm_cancel(&self) -> bool {
        let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() {
            return true;
        }
        let asked = write!(stderr, "\nA migration is running. A database may be left half changed. Stop it? [y/N] ");
        let mut answer = String::new();
        asked.and_then(|()| stderr.flush()).is_ok()
            && stdin.lock().read_line(&mut answer).is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

//! The confirmation of commands with effects: who is asked, what the answer must be, and when there is nobody to ask.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;
use crate::name::GroupName;
use crate::report::{Paint, Tone};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// What will happen: "run release on droplet-1".
    pub(super) action: String,
    /// The production group that is touched: its name is the answer.
    pub(super) production: Option<GroupName>,
    /// The database that is replaced: then its name is the answer, and nothing else.
    pub(super) database: Option<String>,
}

/// Whether there is anything to ask, and anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// `--yes`.
    Answered,
    /// A person sits at a terminal.
    Terminal,
    /// Nobody is there.
    Nobody,
}

impl Asking {
    /// What holds for this process: stdin and stderr must both be a terminal.
    pub(super) fn of_process(yes: bool) -> Self {
        match yes {
            true => Self::Answered,
            false if io::stdin().is_terminal() && io::stderr().is_terminal() => Self::Terminal,
            false => Self::Nobody,
        }
    }
}

impl Question {
    /// Asks on this process's terminal, if there is one and it was not answered before.
    pub(super) fn ask(&self, yes: bool, paint: Paint) -> Result<(), Failure> {
        self.ask_on(Asking::of_process(yes), &mut io::stdin().lock(), &mut io::stderr(), paint)
    }

    fn ask_on(&self, asking: Asking, input: &mut impl BufRead, out: &mut impl Write, paint: Paint) -> Result<(), Failure> {
        match asking {
            Asking::Answered => return Ok(()),
            Asking::Nobody => {
                return Err(Failure::refused(format!("nobody is there to confirm: {}", self.action))
                    .remedy("look at `landfall plan` first; then say --yes"));
            }
            Asking::Terminal => {}
        }
        let answer = self.prompt(input, out, paint).map_err(|error| Failure::refused(format!("failed to ask: {error}")))?;
        if self.agrees(&answer) { Ok(()) } else { Err(Failure::refused("declined; nothing was done")) }
    }

    fn prompt(&self, input: &mut impl BufRead, out: &mut impl Write, paint: Paint) -> io::Result<String> {
        let ask = match (&self.database, &self.production) {
            (Some(database), _) => {
                let word = paint.paint(Tone::Warn, "replaces a database");
                format!("This {word}. To {}, type the database's name ({database}): ", self.action)
            }
            (None, Some(group)) => {
                let word = paint.paint(Tone::Warn, "production");
                format!("This touches {word}. To {}, type the group's name ({group}): ", self.action)
            }
            (None, None) => format!("{}? [y/N] ", capital(&self.action)),
        };
        out.write_all(ask.as_bytes())?;
        out.flush()?;
        let mut answer = String::new();
        // An answer without its line's end was never sent off: end of input is no answer.
        if input.read_line(&mut answer)? == 0 || !answer.ends_with('\n') {
            out.write_all(b"\n")?;
            answer.clear();
        }
        Ok(answer)
    }

    fn agrees(&self, answer: &str) -> bool {
        let answer = answer.trim();
        match (&self.database, &self.production) {
            (Some(database), _) => answer == database,
            (None, Some(group)) => answer == group.as_str(),
            (None, None) => answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"),
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(production: Option<&str>, asking: Asking, typed: &str) -> (Result<(), u8>, String) {
        let production = production.map(|group| group.parse().unwrap());
        let question = Question { action: "run release on droplet-1".into(), production, database: None };
        let mut out = Vec::new();
        let result = question.ask_on(asking, &mut typed.as_bytes(), &mut out, Paint { colour: false });
        (result.map_err(|failure| failure.code()), String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_a_clear_yes_confirms() {
        let terminal = Asking::Terminal;
        let table = [
            (None, terminal, "y\n", Ok(())),
            (None, terminal, " Yes \r\n", Ok(())),
            (None, terminal, "\n", Err(7)),
            (None, terminal, "n\n", Err(7)),
            (None, terminal, "yep\n", Err(7)),
            (None, terminal, "", Err(7)),
            (None, terminal, "y", Err(7)),
            (Some("prod"), terminal, "prod\n", Ok(())),
            (Some("prod"), terminal, "y\n", Err(7)),
            (Some("prod"), terminal, "Prod\n", Err(7)),
            (Some("prod"), terminal, "prod", Err(7)),
            (None, Asking::Nobody, "y\n", Err(7)),
            (Some("prod"), Asking::Nobody, "prod\n", Err(7)),
            (None, Asking::Answered, "", Ok(())),
            (Some("prod"), Asking::Answered, "", Ok(())),
        ];
        for (production, asking, typed, result) in table {
            assert_eq!(ask(production, asking, typed).0, result, "{production:?} {asking:?} {typed:?}");
        }
    }

    #[test]
    fn a_database_is_replaced_by_its_name_alone() {
        let production = Some("prod".parse().unwrap());
        let question = Question { action: "run restore on prod-1".into(), production, database: Some("etally".into()) };
        for (typed, agrees) in [("etally\n", true), ("prod\n", false), ("y\n", false), ("ETALLY\n", false)] {
            let mut out = Vec::new();
            let answer = question.ask_on(Asking::Terminal, &mut typed.as_bytes(), &mut out, Paint { colour: false });
            assert_eq!(answer.is_ok(), agrees, "{typed}");
            let asked = "This replaces a database. To run restore on prod-1, type the database's name (etally): ";
            assert_eq!(String::from_utf8(out).unwrap(), asked);
        }
    }

    #[test]
    fn the_question_says_what_will_happen() {
        assert_eq!(ask(None, Asking::Terminal, "y\n").1, "Run release on droplet-1? [y/N] ");
        let asked = "This touches production. To run release on droplet-1, type the group's name (prod): ";
        assert_eq!(ask(Some("prod"), Asking::Terminal, "prod\n").1, asked);
        assert_eq!(ask(None, Asking::Nobody, "y\n").1, "");
    }
}

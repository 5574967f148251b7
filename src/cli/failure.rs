//! Why a command could not do its work: one error value, rendered in one place. What a run itself came to is told by the
//! reporters, not here.

use crate::facts::Refusal;
use crate::name::NameError;
use crate::report::{Paint, Sink, Tone, text};
use crate::run::Stop;
use crate::source::Diags;

use super::exit;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    remedy: Option<String>,
    diagnostics: Option<Diags>,
}

impl Failure {
    /// One with the exit code that goes with it.
    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None, diagnostics: None }
    }

    /// The command line, the inventory or a playbook is wrong; nothing was contacted.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// It was refused before anything was done.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(exit::REFUSED, message)
    }

    /// Says what mends it.
    #[must_use]
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        self.code
    }

    /// Tells a person.
    pub(super) fn render(&self, err: &mut Sink, paint: Paint) {
        if let Some(diagnostics) = &self.diagnostics {
            err.line(&diagnostics.render(paint.colour));
            if diagnostics.len() == 1 {
                return;
            }
            err.line("");
        }
        let (first, rest) = shown(&self.message);
        err.line(&format!("{} {first}", paint.paint(Tone::Bad, "error:")));
        for line in rest {
            err.line(&format!("  {line}"));
        }
        if let Some(remedy) = &self.remedy {
            let (first, rest) = shown(remedy);
            err.line(&format!("{} {first}", paint.paint(Tone::Help, "help:")));
            for line in rest {
                err.line(&format!("  {line}"));
            }
        }
    }

    /// Tells a program, as one JSON line.
    pub(super) fn to_json(&self, time: &str) -> String {
        let diagnostics = self.diagnostics.as_ref().map(Diags::to_json);
        let mut value = serde_json::json!({
            "v": crate::event::VERSION,
            "time": time,
            "type": "error",
            "exit_code": self.code,
            "message": self.message,
        });
        if let Some(remedy) = &self.remedy {
            value["remedy"] = serde_json::json!(remedy);
        }
        if let Some(diagnostics) = diagnostics {
            value["diagnostics"] = serde_json::json!(diagnostics);
        }
        value.to_string()
    }
}

/// A message that may hold words of a host: its first line, and the others.
fn shown(message: &str) -> (String, Vec<String>) {
    let message = text(message);
    let mut lines = message.lines().map(str::to_owned);
    (lines.next().unwrap_or_default(), lines.collect())
}

impl From<Diags> for Failure {
    fn from(diagnostics: Diags) -> Self {
        let message = match (diagnostics.len(), diagnostics.iter().next()) {
            (1, Some(only)) => only.message.clone(),
            (count, _) => format!("{count} errors were found; nothing was contacted"),
        };
        Self { code: diagnostics.code(), message, remedy: None, diagnostics: Some(diagnostics) }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, remedy: refusal.remedy, diagnostics: None }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self { code: stop.code, message: stop.message, remedy: stop.remedy, diagnostics: None }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self { remedy: failure.remedy, ..Self::new(failure.code, failure.message) }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use insta::assert_snapshot;

    use super::*;

    fn rendered(failure: &Failure) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut sink = Sink::new(writer);
        failure.render(&mut sink, Paint { colour: false });
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn an_error_and_its_help() {
        let failure = Failure::refused("droplet-1 says:\nno \u{1b}[2Jdocker").remedy("install it:\napt install docker.io");
        assert_snapshot!(rendered(&failure), @r"
        error: droplet-1 says:
          no \x1b[2Jdocker
        help: install it:
          apt install docker.io
        ");
        assert_snapshot!(failure.to_json("T"), @r#"{"exit_code":7,"message":"droplet-1 says:\nno \u001b[2Jdocker","remedy":"install it:\napt install docker.io","time":"T","type":"error","v":1}"#);
    }

    #[test]
    fn errors_of_files_come_first_and_are_counted() {
        let one = Diags::one("`--on` names no host", Some("known are: droplet-1".into()));
        let mut two = one.clone();
        two.merge(Diags::one("another", None));
        assert_snapshot!(rendered(&Failure::from(two)), @r"
        error: `--on` names no host
         |
         = help: known are: droplet-1

        error: another

        error: 2 errors were found; nothing was contacted
        ");
        let failure = Failure::from(one);
        assert_eq!(failure.code(), 2);
        assert_snapshot!(rendered(&failure), @r"
        error: `--on` names no host
         |
         = help: known are: droplet-1
        ");
        assert_snapshot!(failure.to_json("T"), @r#"{"diagnostics":[{"code":2,"help":"known are: droplet-1","message":"`--on` names no host"}],"exit_code":2,"message":"`--on` names no host","time":"T","type":"error","v":1}"#);
    }
}

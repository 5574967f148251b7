//! How things are shown here: live or plain, coloured or not. A pure decision from what the environment says.

use std::ffi::OsString;
use std::io::IsTerminal;

use super::style::Paint;

/// What the user asked for (`--output`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// Live lines where there is a terminal, plain ones elsewhere.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// Events as JSON lines on stdout.
    Json,
}

/// Which reporter shows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Live lines on stderr.
    Terminal,
    /// Plain lines.
    Plain,
    /// JSON lines.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colours {
    /// Where there is a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What the process was started with, as far as display is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// When to use colours: `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR` and `TERM`, in this order.
    pub colours: Colours,
    /// `TERM` is `dumb`: the cursor cannot be moved.
    pub dumb: bool,
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal.
    pub stderr: bool,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        Self::new(variable, std::io::stdout().is_terminal(), std::io::stderr().is_terminal())
    }

    /// One where `variable` tells the environment variables, and standard output and error are terminals or not.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>, stdout: bool, stderr: bool) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|value| value == "dumb");
        let colours = if set("NO_COLOR").is_some() {
            Colours::Never
        } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            Colours::Always
        } else if dumb || set("CLICOLOR").is_some_and(|value| value == "0") {
            Colours::Never
        } else {
            Colours::Auto
        };
        Self { colours, dumb, stdout, stderr }
    }
}

/// A stream that things are shown on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Face {
    /// It is a terminal: remote text is made fit for it.
    pub terminal: bool,
    /// It gets colours.
    pub colour: bool,
}

/// How things are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// By which reporter.
    pub mode: Mode,
    /// Standard output.
    pub out: Face,
    /// Standard error.
    pub err: Face,
    /// How many times `-v` was given.
    pub verbose: u8,
    /// The run began before this client came: times come from the events, not from the clock.
    pub replay: bool,
    /// What a person types to run Landfall here: `landfall`, with the options that every command needs.
    pub program: String,
}

impl Display {
    /// What `output` means in `environment`.
    pub fn choose(output: Output, verbose: u8, environment: &Environment) -> Self {
        let face = |terminal| Face {
            terminal,
            colour: match environment.colours {
                Colours::Auto => terminal,
                Colours::Always => true,
                Colours::Never => false,
            },
        };
        Self {
            mode: match output {
                Output::Auto if environment.stderr && !environment.dumb => Mode::Terminal,
                Output::Auto | Output::Plain => Mode::Plain,
                Output::Json => Mode::Json,
            },
            out: face(environment.stdout),
            err: face(environment.stderr),
            verbose,
            replay: false,
            program: "landfall".to_owned(),
        }
    }

    /// Colours for what goes to stderr.
    pub fn paint(&self) -> Paint {
        Paint { colour: self.err.colour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_environment() {
        type Row<'a> = (&'a [(&'a str, &'a str)], bool, bool, Mode);
        let table: [Row; 11] = [
            (&[], true, true, Mode::Terminal),
            (&[], false, false, Mode::Plain),
            (&[("NO_COLOR", "1")], true, false, Mode::Terminal),
            (&[("NO_COLOR", "")], true, true, Mode::Terminal),
            (&[("CLICOLOR", "0")], true, false, Mode::Terminal),
            (&[("TERM", "dumb")], true, false, Mode::Plain),
            (&[("TERM", "xterm")], true, true, Mode::Terminal),
            (&[("CLICOLOR_FORCE", "1")], false, true, Mode::Plain),
            (&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true, true, Mode::Plain),
            (&[("CLICOLOR_FORCE", "0")], false, false, Mode::Plain),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false, Mode::Terminal),
        ];
        for (variables, terminal, colour, mode) in table {
            let get = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
            let display = Display::choose(Output::Auto, 0, &Environment::new(get, false, terminal));
            assert_eq!((display.err.colour, display.mode), (colour, mode), "{variables:?}");
        }
    }

    #[test]
    fn what_was_asked_for_wins() {
        let terminal = Environment { stdout: true, stderr: true, ..Environment::default() };
        assert_eq!(Display::choose(Output::Plain, 0, &terminal).mode, Mode::Plain);
        assert_eq!(Display::choose(Output::Json, 0, &terminal).mode, Mode::Json);
    }
}

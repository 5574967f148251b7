//! The command line: from arguments to an exit code. One file a subcommand; what all of them share is the `Context`.

mod act;
mod args;
mod attach;
mod check;
mod completions;
mod confirm;
mod consent;
mod desk;
mod doctor;
mod exit;
mod failure;
mod found;
mod git;
mod init;
mod lint;
mod logs;
mod man;
mod past;
mod plan;
mod reach;
mod report;
mod runs;
mod schema;
mod start;
mod trust;
mod verify;
mod who;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Cli, Command, LockCommand};
use self::failure::Failure;
use crate::command::quoted;
use crate::event::timestamp;
use crate::playbook::inventory;
use crate::report::{Display, Environment, Output, Paint, Sink};

/// Does what the process's arguments ask for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads to its end is no failure.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    let context = Context::new(&cli);
    let code = dispatch(&context, &cli.command).unwrap_or_else(|failure| {
        context.tell(&failure);
        failure.code()
    });
    ExitCode::from(code)
}

fn dispatch(context: &Context, command: &Command) -> Result<u8, Failure> {
    match command {
        Command::Init(args) => init::run(context, args),
        Command::Check(args) => check::run(context, args),
        Command::Completions(args) => completions::run(context, args),
        Command::Schema(args) => schema::run(context, args),
        Command::Man(args) => man::run(context, args),
        Command::Plan(args) => plan::run(context, args),
        Command::Run(args) => start::playbook(context, args),
        Command::Seed(args) => start::seed(context, args),
        Command::Exec(args) => start::exec(context, args),
        Command::Validate(args) => start::validate(context, args),
        Command::Lint(args) => lint::run(context, args),
        Command::Attach(args) => attach::run(context, args),
        Command::Cancel(args) => act::cancel(context, args),
        Command::Resolve(args) => act::resolve(context, args),
        Command::Logs(args) => logs::run(context, args),
        Command::Runs(args) => runs::run(context, args),
        Command::Report(args) => report::run(context, args),
        Command::Lock(LockCommand::Status(args)) => runs::lock_status(context, args),
        Command::Lock(LockCommand::Break(args)) => act::break_lock(context, args),
        Command::Trust(args) => trust::run(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Verify(args) => verify::run(context, args),
    }
}

/// What all commands share: how to show things, and which inventory.
#[derive(Debug)]
pub(crate) struct Context {
    /// How things are shown.
    pub(crate) display: Display,
    /// The inventory that was named; none: the nearest one upwards from here.
    pub(crate) config: Option<PathBuf>,
    /// What was asked for with `--output`.
    pub(crate) output: Output,
}

impl Context {
    fn new(cli: &Cli) -> Self {
        let output = Output::from(cli.common.output);
        let mut display = Display::choose(output, cli.common.verbose, &Environment::of_process());
        if let Some(config) = &cli.common.config {
            display.program = format!("landfall --config {}", quoted(&config.to_string_lossy()));
        }
        Self { display, config: cli.common.config.clone(), output }
    }

    /// Colours for what goes to stderr.
    pub(crate) fn paint(&self) -> Paint {
        self.display.paint()
    }

    /// Colours for what goes to stdout.
    pub(crate) fn display_out(&self) -> Paint {
        Paint { colour: self.display.out.colour }
    }

    /// The inventory's file: the one that was named, or the nearest upwards from here.
    fn inventory(&self) -> Result<PathBuf, Failure> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let here =
            std::env::current_dir().map_err(|error| Failure::usage(format!("failed to find out where this is: {error}")))?;
        Ok(inventory::find(&here)?)
    }

    /// Tells why a command failed: a person on stderr, and with `--output json` also a program on stdout.
    fn tell(&self, failure: &Failure) {
        if self.output == Output::Json {
            let mut out = Sink::stdout();
            out.line(&failure.to_json(&timestamp(std::time::SystemTime::now())));
            out.flush();
        }
        failure.render(&mut Sink::stderr(), self.paint());
    }
}

/// Writes a result to stdout.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = Sink::stdout();
    out.bytes(bytes);
    out.flush();
    match out.incomplete() {
        Some(error) => Err(Failure::new(exit::FAILED, format!("failed to write to standard output: {error}"))),
        None => Ok(()),
    }
}

/// Tells a person something, on stderr.
fn say(line: &str) {
    Sink::stderr().line(line);
}

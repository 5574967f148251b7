//! The command line of what is left of runs: reports, lists, comparisons. Decides nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{On, THIS_RUN, key_value, run_prefix};
use crate::report::{Form, Printed, Wanted};

/// What is written down of a run when it is over.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Reports {
    /// Write a report when the run is over: junit, html, markdown or json (repeatable)
    #[arg(long = "report", value_name = "KIND=PATH", value_parser = wanted, help_heading = THIS_RUN)]
    pub(in crate::cli) files: Vec<Wanted>,
    #[command(flatten)]
    pub(in crate::cli) printed: ReportOutput,
    /// Write OpenMetrics text when the run is over, for the textfile collector of node_exporter: name it *.prom
    #[arg(long, value_name = "FILE", help_heading = THIS_RUN)]
    pub(in crate::cli) metrics: Option<PathBuf>,
}

/// How much of what the steps printed goes into reports.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReportOutput {
    /// Whose output reports hold; the end of it, where it is long
    #[arg(long, value_name = "WHOSE", default_value = "failed", help_heading = THIS_RUN)]
    pub(in crate::cli) report_output: PrintedArg,
}

/// `--report-output`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PrintedArg {
    /// Nobody's: it may hold what is personal
    None,
    /// That of steps that did not go well
    Failed,
    /// That of every step
    All,
}

impl From<PrintedArg> for Printed {
    fn from(printed: PrintedArg) -> Self {
        match printed {
            PrintedArg::None => Self::None,
            PrintedArg::Failed => Self::Failed,
            PrintedArg::All => Self::All,
        }
    }
}

/// `--speed`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) enum Speed {
    /// So many times as fast as it was.
    Times(f64),
    /// Without pauses.
    Max,
}

/// `landfall runs`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct RunsArgs {
    /// Also those that this machine has a copy of, of any project
    #[arg(long)]
    pub(in crate::cli) all: bool,
    #[command(flatten)]
    pub(in crate::cli) on: On,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<RunsCommand>,
}

/// `landfall runs …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RunsCommand {
    /// Compare two runs: steps, times, images, migrations
    Diff(RunsDiffArgs),
}

/// `landfall runs diff`
#[derive(Debug, Args)]
pub(in crate::cli) struct RunsDiffArgs {
    /// The one, or as much of its id as tells it apart
    #[arg(value_name = "A", value_parser = run_prefix)]
    pub(in crate::cli) one: String,
    /// The other
    #[arg(value_name = "B", value_parser = run_prefix)]
    pub(in crate::cli) other: String,
    #[command(flatten)]
    pub(in crate::cli) on: On,
}

/// `landfall report`
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// The run, or as much of its id as tells it apart [default: the newest]
    #[arg(value_parser = run_prefix)]
    pub(in crate::cli) run: Option<String>,
    /// In which form [default: what the ending of --out says, or else markdown]
    #[arg(long, value_name = "FORM")]
    pub(in crate::cli) format: Option<FormArg>,
    /// Where to [default: standard output]
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) out: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) printed: ReportOutput,
    #[command(flatten)]
    pub(in crate::cli) on: On,
}

/// `--format` of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum FormArg {
    /// JUnit XML: a test case a step
    Junit,
    /// One page that needs nothing else
    Html,
    /// For a ticket
    Markdown,
    /// One document
    Json,
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Self {
        match form {
            FormArg::Junit => Self::Junit,
            FormArg::Html => Self::Html,
            FormArg::Markdown => Self::Markdown,
            FormArg::Json => Self::Json,
        }
    }
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (form, path) = key_value(text).map_err(|_| "write KIND=PATH: junit=report.xml".to_owned())?;
    let form = FormArg::from_str(&form, false).map_err(|_| "the kinds are junit, html, markdown and json".to_owned())?;
    if path.is_empty() {
        return Err("the path after the `=` is missing".to_owned());
    }
    Ok(Wanted { form: form.into(), path: path.into() })
}

pub(super) fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ if text == "max" => Ok(Speed::Max),
        _ => Err("write a number above 0, or max".to_owned()),
    }
}

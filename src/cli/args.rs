//! The command line as clap reads it: every command and option, with the words that explain them. Decides nothing.

mod consent;
mod lint;
mod reports;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use self::consent::{ApprovalArgs, ConsentArgs};
pub(super) use self::lint::{LintArgs, LintFormat};
use self::reports::speed;
pub(super) use self::reports::{ReportArgs, Reports, RunsArgs, RunsCommand, RunsDiffArgs, Speed};
pub(super) use self::verify::{VerifyArgs, VerifyFormat};
use super::exit;
use crate::action::Via;
use crate::name::{HostName, ServiceName};
use crate::report::Output;

const THIS_RUN: &str = "This run";
const WHERE: &str = "Hosts and values";
const EVERYWHERE: &str = "Everywhere";

/// Runs migrations, seeds and health checks of Docker Compose projects on droplets.
///
/// A run is described by a playbook, shown as a plan, confirmed, and then carried out by the hosts themselves: it goes on when
/// the connection or this program goes away, and `landfall attach` finds it again.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, arg_required_else_help = true, after_long_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// The inventory [default: the nearest landfall.toml, upwards from here]
    #[arg(long, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    pub(super) config: Option<PathBuf>,
    /// How to show things: `auto` is live on a terminal and plain elsewhere, `json` writes events to stdout
    #[arg(long, value_name = "HOW", default_value = "auto", global = true, help_heading = EVERYWHERE)]
    pub(super) output: OutputArg,
    /// Tell more; twice, even more
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = EVERYWHERE)]
    pub(super) verbose: u8,
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputArg {
    Auto,
    Plain,
    Json,
}

impl From<OutputArg> for Output {
    fn from(output: OutputArg) -> Self {
        match output {
            OutputArg::Auto => Self::Auto,
            OutputArg::Plain => Self::Plain,
            OutputArg::Json => Self::Json,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented landfall.toml and the playbooks to begin with; never overwrites anything
    Init(InitArgs),
    /// Find all errors of inventory and playbooks, without contacting anything
    Check(CheckArgs),
    /// Show the exact commands and what the hosts are like now; changes nothing
    Plan(PlanArgs),
    /// Carry out a playbook: prepare, plan, confirm, execute, verify
    Run(RunArgs),
    /// Run seeds that the inventory declares
    Seed(SeedArgs),
    /// Run one command in a service's image or container
    Exec(ExecArgs),
    /// Run only the read-only steps of a playbook: its checks
    Validate(ValidateArgs),
    /// Find what makes migrations dangerous: lost data, locks, what the running version does not know yet, names
    Lint(LintArgs),
    /// Compare the migration files of this folder with the hosts' databases; change nothing, or apply what waits
    Verify(VerifyArgs),
    /// Watch a run from its first byte, from any machine
    Attach(AttachArgs),
    /// Stop a run, in its containers too
    Cancel(CancelArgs),
    /// Settle a run whose end is not known; until then it blocks the next one
    Resolve(ResolveArgs),
    /// List the runs of the hosts, newest first; compare two of them
    Runs(RunsArgs),
    /// Make a report of a run: JUnit, HTML, Markdown or JSON
    Report(ReportArgs),
    /// See who holds a host's lock, or take it from a dead run
    #[command(subcommand)]
    Lock(LockCommand),
    /// Record the keys of a host, after showing their fingerprints
    Trust(TrustArgs),
    /// Read the log of a service on the hosts, masked
    Logs(LogsArgs),
    /// Tell what the hosts and this machine lack, each with its remedy
    Doctor(DoctorArgs),
    /// Print the JSON Schema of playbooks and inventory
    Schema(SchemaArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(ManArgs),
}

/// Which hosts, and values for the playbook's vars.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    #[command(flatten)]
    pub(super) on: On,
    /// Give a var of the playbook its value (repeatable)
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = key_value, help_heading = WHERE)]
    pub(super) vars: Vec<(String, String)>,
}

/// Which hosts.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct On {
    /// Only these hosts and groups; needed where it would not be clear
    #[arg(long = "on", value_name = "HOST|GROUP", value_delimiter = ',', help_heading = WHERE)]
    pub(super) on: Vec<String>,
}

/// How a run is started and watched.
#[derive(Debug, Clone, Args)]
pub(super) struct Start {
    /// Go without asking; without a terminal nothing with effects goes without it
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) yes: bool,
    /// Hand the run over to the hosts as soon as it has begun, and return
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) detach: bool,
    /// Start this run only once: the same key attaches to its run (CI: the workflow's run id)
    #[arg(long, value_name = "KEY", value_parser = key, help_heading = THIS_RUN)]
    pub(super) key: Option<String>,
    /// Say why; kept with the run and shown to whoever meets its lock
    #[arg(long, value_name = "TEXT", help_heading = THIS_RUN)]
    pub(super) note: Option<String>,
    /// Wait so long for another run to end, instead of being refused
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = THIS_RUN)]
    pub(super) lock_wait: Option<Duration>,
    #[command(flatten)]
    pub(super) reconnect: Reconnect,
    /// With --yes: the name of the database that a `restore` step may replace
    #[arg(long, value_name = "DATABASE", help_heading = THIS_RUN)]
    pub(super) confirm_restore: Option<String>,
    /// Stop the run when this program gets SIGTERM (CI), instead of leaving it to the hosts
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) cancel_on_term: bool,
    #[command(flatten)]
    pub(super) reports: Reports,
}

/// How long a lost connection is sought again.
#[derive(Debug, Clone, Args)]
pub(super) struct Reconnect {
    /// Try so long to connect again when the connection is lost
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = THIS_RUN)]
    pub(super) reconnect_for: Duration,
}

/// `landfall init`
#[derive(Debug, Args)]
pub(super) struct InitArgs {}

/// `landfall check`
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// By name (the file's stem under playbooks/) or path [default: all under playbooks/]
    #[arg(value_name = "PLAYBOOK")]
    pub(super) playbooks: Vec<String>,
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// `landfall plan`
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// By name (the file's stem under playbooks/) or path
    pub(super) playbook: String,
    /// In which form [default: text, or json with --output json]
    #[arg(long, value_name = "FORM")]
    pub(super) format: Option<PlanFormat>,
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// A runbook to go through by hand
    Markdown,
}

/// `landfall run`
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// By name (the file's stem under playbooks/) or path
    pub(super) playbook: String,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) consent: ConsentArgs,
    #[command(flatten)]
    pub(super) start: Start,
}

/// `landfall seed`
#[derive(Debug, Args)]
pub(super) struct SeedArgs {
    /// As declared under [seeds.NAME]
    #[arg(value_name = "NAME", required = true)]
    pub(super) names: Vec<String>,
    /// Run them even if they ran before; that is recorded
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) again: bool,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) start: Start,
}

/// `landfall exec`
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// The compose service
    pub(super) service: ServiceName,
    /// Program and arguments, after `--`; they pass through no shell
    #[arg(value_name = "CMD", required = true, last = true)]
    pub(super) command: Vec<String>,
    /// `run`: a one-off container of the service's image; `exec`: its running container
    #[arg(long, value_name = "HOW", default_value = "run", help_heading = THIS_RUN)]
    pub(super) via: ViaArg,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) start: Start,
}

/// `--via`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ViaArg {
    Run,
    Exec,
}

impl From<ViaArg> for Via {
    fn from(via: ViaArg) -> Self {
        match via {
            ViaArg::Run => Self::Run,
            ViaArg::Exec => Self::Exec,
        }
    }
}

/// `landfall validate`
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// By name (the file's stem under playbooks/) or path
    #[arg(default_value = "validate")]
    pub(super) playbook: String,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) start: Start,
}

/// `landfall attach`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct AttachArgs {
    /// The run, or as much of its id as tells it apart [default: the newest]
    #[arg(value_parser = run_prefix)]
    pub(super) run: Option<String>,
    /// Show what was printed from now on only
    #[arg(long, conflicts_with = "drive", help_heading = THIS_RUN)]
    pub(super) from_now: bool,
    /// Take over what the run's own client owed it, once that is gone: by the same playbook and values, as they are here
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) drive: bool,
    /// Take over without asking
    #[arg(long, requires = "drive", help_heading = THIS_RUN)]
    pub(super) yes: bool,
    /// Show what is recorded with its pauses, as it happened
    #[arg(long, conflicts_with_all = ["from_now", "drive"], help_heading = THIS_RUN)]
    pub(super) replay: bool,
    /// So many times as fast, or `max` for no pauses [default: 1 on a terminal, max elsewhere]
    #[arg(long, value_name = "N", requires = "replay", value_parser = speed, help_heading = THIS_RUN)]
    pub(super) speed: Option<Speed>,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) reconnect: Reconnect,
    #[command(flatten)]
    pub(super) reports: Reports,
}

/// `landfall cancel`
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The run, or as much of its id as tells it apart [default: the newest]
    #[arg(value_parser = run_prefix)]
    pub(super) run: Option<String>,
    /// Go without asking
    #[arg(long, help_heading = THIS_RUN)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) on: On,
}

/// `landfall resolve`
#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// The run, or as much of its id as tells it apart
    #[arg(value_parser = run_prefix)]
    pub(super) run: String,
    /// What you found out about its work
    #[arg(long = "as", value_name = "WHAT")]
    pub(super) settled: Settled,
    /// How you know; kept with the run
    #[arg(long, value_name = "TEXT")]
    pub(super) note: String,
    /// Go without asking
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) on: On,
}

/// `--as`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Settled {
    /// It is done: the next run goes on from there
    Done,
    /// It is not done: the next run does it again
    NotDone,
}

/// `landfall lock`
#[derive(Debug, Subcommand)]
pub(super) enum LockCommand {
    /// Show who holds it, since when and why
    Status(LockStatusArgs),
    /// Take it from a run of which nothing lives any more
    Break(LockBreakArgs),
}

/// `landfall lock status`
#[derive(Debug, Args)]
pub(super) struct LockStatusArgs {
    #[command(flatten)]
    pub(super) on: On,
}

/// `landfall lock break`
#[derive(Debug, Args)]
pub(super) struct LockBreakArgs {
    /// The run that holds it, as `landfall lock status` tells
    #[arg(value_parser = run_prefix)]
    pub(super) run: Option<String>,
    /// Go without asking
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) on: On,
}

/// `landfall trust`
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// A host of the inventory
    pub(super) host: HostName,
    /// Record only the key with this fingerprint; only so is a changed key replaced (repeatable)
    #[arg(long = "fingerprint", value_name = "SHA256:…", value_parser = fingerprint)]
    pub(super) fingerprints: Vec<String>,
    /// Go without asking
    #[arg(long)]
    pub(super) yes: bool,
}

/// `landfall logs`
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The compose service
    pub(super) service: ServiceName,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Only what was written in so long: 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) since: Option<Duration>,
    /// Only so many of the last lines of each container
    #[arg(long, value_name = "N")]
    pub(super) tail: Option<u32>,
    /// Show when each line was written
    #[arg(long, short)]
    pub(super) timestamps: bool,
    #[command(flatten)]
    pub(super) on: On,
    #[command(flatten)]
    pub(super) reconnect: Reconnect,
}

/// `landfall doctor`
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) on: On,
}

/// `landfall schema`
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Of what [default: both, in one object]
    #[arg(value_name = "WHAT")]
    pub(super) of: Option<SchemaOf>,
}

/// Whose schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// Of a playbook
    Playbook,
    /// Of landfall.toml
    Inventory,
}

/// `landfall completions`
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    pub(super) shell: Shell,
}

/// `landfall man`
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Of which command, as it is typed: `run`, `lock status` [default: landfall itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub(super) command: Vec<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has no `=`: write KEY=VALUE")?;
    if key.is_empty() {
        return Err("the name before the `=` is missing".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 30s, 10m or 1h30m"))
}

fn key(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err("use 1 to 200 printable characters".to_owned());
    }
    Ok(text.to_owned())
}

fn run_prefix(text: &str) -> Result<String, String> {
    if (1..=12).contains(&text.len()) && text.bytes().all(|b| (b'k'..=b'z').contains(&b)) {
        Ok(text.to_owned())
    } else {
        Err("a run id is 12 letters from k to z; its first letters are enough".to_owned())
    }
}

fn fingerprint(text: &str) -> Result<String, String> {
    let hash = text.strip_prefix("SHA256:").unwrap_or_default().trim_end_matches('=');
    if hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/') {
        Ok(format!("SHA256:{hash}"))
    } else {
        Err("write it as `ssh-keygen -l` does: SHA256: and 43 characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_of_the_contract_parse() {
        for line in [
            "landfall init",
            "landfall check",
            "landfall check release seed",
            "landfall plan release --format markdown",
            "landfall --config d/landfall.toml run release --on droplets --yes --output json",
            "landfall run release --on a,b --var release=1.5 --var x= --key 42 --note hi --lock-wait 5m --reconnect-for 90s --detach -v",
            "landfall run ./my.toml --cancel-on-term",
            "landfall seed a b --again --yes",
            "landfall exec api --on droplet-1 -- npx prisma --version",
            "landfall exec api --via exec -- ls",
            "landfall validate",
            "landfall validate smoke --on a",
            "landfall attach",
            "landfall attach kl --on a",
            "landfall cancel klm --yes",
            "landfall runs --on a --output json",
            "landfall runs --all",
            "landfall runs diff klm nop",
            "landfall run release --report junit=x.xml --report html=a=b.html --report-output all --metrics m.prom",
            "landfall attach klm --report json=x",
            "landfall attach klm --replay --speed 2.5",
            "landfall attach --replay --speed max",
            "landfall report klm --format html --out x.html",
            "landfall report --report-output none",
            "landfall lock status",
            "landfall lock break klm --yes",
            "landfall trust droplet-1",
            "landfall trust droplet-1 --fingerprint SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
            "landfall doctor",
            "landfall schema",
            "landfall schema playbook",
            "landfall completions bash",
            "landfall man lock status",
            "landfall resolve klm --as not-done --note looked",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).map(|_| ()).unwrap_err());
        }
    }

    #[test]
    fn everything_else_is_a_usage_error() {
        for line in [
            "landfall frobnicate",
            "landfall run",
            "landfall run release --frob",
            "landfall run release --var x",
            "landfall run release --lock-wait soon",
            "landfall run release --report pdf=x",
            "landfall run release --report junit=",
            "landfall run release --report junit",
            "landfall attach klm --speed 2",
            "landfall attach klm --replay --speed 0",
            "landfall attach klm --replay --drive",
            "landfall runs diff klm",
            "landfall seed",
            "landfall exec api ls",
            "landfall attach abc",
            "landfall lock",
            "landfall resolve klm --as maybe --note x",
            "landfall resolve klm --as done",
            "landfall trust droplet-1 --fingerprint MD5:00",
            "landfall completions csh",
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for (line, kind) in [("landfall --help", ErrorKind::DisplayHelp), ("landfall -V", ErrorKind::DisplayVersion)] {
            let error = parse(line).map(|_| ()).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 0));
        }
    }
}

//! The options of `landfall lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ApprovalArgs;
use crate::migration::lint::{Dialect, Waiver};

/// `landfall lint`
#[derive(Debug, Args)]
pub(in crate::cli) struct LintArgs {
    /// Files and folders [default: what lies in well-known layouts of migration tools below the inventory's folder, or below here]
    #[arg(value_name = "PATH")]
    pub(in crate::cli) paths: Vec<PathBuf>,
    /// Whose SQL it is [default: what the tool's own files say, else postgres]
    #[arg(long, value_name = "DIALECT")]
    pub(in crate::cli) dialect: Option<DialectArg>,
    /// Approve for once what a rule has found in a file (repeatable)
    #[arg(long, value_name = "RULE@FILE")]
    pub(in crate::cli) approve: Vec<Waiver>,
    /// In which form [default: text, or json with --output json]
    #[arg(long, value_name = "FORM")]
    pub(in crate::cli) format: Option<LintFormat>,
    /// Refuse (exit code 7) for warnings and stale approvals as well
    #[arg(long)]
    pub(in crate::cli) strict: bool,
    #[command(flatten)]
    pub(in crate::cli) approval: ApprovalArgs,
    /// The fingerprint of the SSH key of who approves it
    #[arg(long, value_name = "SHA256:…", requires = "write_approval")]
    pub(in crate::cli) key: Option<String>,
    /// The statement's SHA-256, as a plan tells it, where only the tool of a program knows the statement
    #[arg(long, value_name = "SHA256", requires = "write_approval", value_parser = sha256)]
    pub(in crate::cli) statement: Option<String>,
    /// List the rules, each with its reason and the safe way
    #[arg(long)]
    pub(in crate::cli) rules: bool,
}

fn sha256(text: &str) -> Result<String, &'static str> {
    let well = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if well { Ok(text.to_owned()) } else { Err("64 hexadecimal digits in small letters") }
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LintFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
    /// JUnit XML: a test case a finding
    Junit,
    /// Annotations for a workflow of GitHub
    Github,
}

/// `--dialect`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DialectArg {
    Postgres,
    /// MariaDB too
    Mysql,
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Postgres => Self::Postgres,
            DialectArg::Mysql => Self::Mysql,
        }
    }
}

//! `landfall verify`, as clap reads it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ApprovalArgs, ConsentArgs, Selection, Start, THIS_RUN, WHERE};

/// `landfall verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The playbook whose `migrate` steps say tool, service and folder
    #[arg(value_name = "PLAYBOOK", default_value = "release")]
    pub(crate) playbook: String,
    /// The folder of the migrations here [default: the tool's usual one, beside the inventory]
    #[arg(id = "folder", long = "files", value_name = "DIR", help_heading = WHERE)]
    pub(crate) files: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// In which form [default: text, or json with --output json]
    #[arg(long, value_name = "FORM", conflicts_with = "apply")]
    pub(crate) format: Option<VerifyFormat>,
    /// Then apply what waits, as the playbook's `migrate` step would: for `tool = "sql"`, whose files are here
    #[arg(long, conflicts_with_all = ["folder", "write_approval"], help_heading = THIS_RUN)]
    pub(crate) apply: bool,
    #[command(flatten)]
    pub(crate) approval: ApprovalArgs,
    #[command(flatten)]
    pub(crate) start: Start,
    #[command(flatten)]
    pub(crate) consent: ConsentArgs,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyFormat {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// JUnit XML: a test case a migration
    Junit,
}

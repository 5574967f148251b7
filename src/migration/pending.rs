//! What the rules for migrations say of those that wait on a host, by the texts that its survey brought along. Pure.

use super::lint::{self, Dialect, Finding, Source, Tool};
use crate::facts::{History, Migration, MigrationState, Migrations};
use crate::history::ops;

/// What waits on a host, as far as it can be looked at.
#[derive(Debug, Default)]
pub(super) struct Pending<'h> {
    /// Each migration that could be looked at, and its file as findings name it.
    pub(super) files: Vec<(&'h Migration, String)>,
    /// What was found in them.
    pub(super) findings: Vec<Finding>,
    /// Those that could not be looked at, by name; of a tool that names none: nothing but that something waits.
    pub(super) unseen: Vec<String>,
}

/// Looks at what waits. `tool` is the name that a `migrate` step gives, and `found` is what waits by all witnesses.
///
/// The texts are masked, and the decision is sound all the same. Nothing is missing but the values of secrets: a mark in the place of
/// one is a value where a value may stand, and elsewhere makes a statement that cannot be parsed, which is an error too. What was cut
/// off is an error as well. And findings carry the hash that the host computed from the bytes that will run, so that an approval holds
/// for those and no others; of a statement that was masked it does not, for that is another one here than where it was approved.
pub(super) fn look<'h>(tool: &str, history: &'h History, found: &Migrations, dialect: Dialect) -> Pending<'h> {
    let mut pending = Pending::default();
    let named: &[String] = match found {
        Migrations::Pending { names } => names,
        // Nothing will be applied; a state that is not known may turn out to be anything.
        Migrations::UpToDate | Migrations::Failed { .. } => return pending,
        Migrations::NotKnown { .. } => &[],
    };
    let waits = |migration: &&Migration| {
        matches!(migration.state, MigrationState::Pending | MigrationState::Skipped)
            // Without a history all files wait, and only the tool's word tells which do.
            && (history.not_known.is_none() || named.is_empty() || named.contains(&migration.name))
    };
    let waiting: Vec<&Migration> = history.migrations.iter().filter(waits).collect();
    let known = |name: &&String| waiting.iter().any(|migration| migration.name == **name);
    pending.unseen = named.iter().filter(|name| !known(name)).cloned().collect();
    let mut sources = Vec::new();
    for migration in waiting {
        let below = migration.file.as_deref().unwrap_or(&migration.name);
        // The migrations of some tools are programs.
        if ops::is_ops(below)
            || std::path::Path::new(below).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
        {
            pending.files.push((migration, format!("{}/{below}", history.folder)));
        } else {
            pending.unseen.push(migration.name.clone());
        }
    }
    for (migration, name) in &pending.files {
        let text = migration.text.as_deref().unwrap_or_default();
        let in_transaction = match by_name(tool) {
            Tool::Sql if dialect == Dialect::Postgres => lint::in_transaction(text),
            _ => lint::guess(name, text, dialect, None).in_transaction,
        };
        sources.push(Source { name, text, dialect, tool: by_name(tool), in_transaction });
    }
    let mut findings = lint::check_set(&sources);
    let cut = pending.files.iter().filter(|(migration, _)| migration.cut || migration.text.is_none());
    findings.extend(cut.filter_map(|(migration, file)| too_long(migration, file)));
    for finding in &mut findings {
        let of = pending.files.iter().find(|(_, file)| *file == finding.file);
        finding.sha256 = of.and_then(|(migration, _)| migration.sha256.clone()).unwrap_or_default();
    }
    pending.findings = findings;
    pending
}

fn by_name(tool: &str) -> Tool {
    match tool {
        "prisma" => Tool::Prisma,
        "prisma-8" => Tool::Prisma8,
        "drizzle" => Tool::Drizzle,
        "dbmate" => Tool::Dbmate,
        "sqlx" => Tool::Sqlx,
        "diesel" => Tool::Diesel,
        "sql" => Tool::Sql,
        _ => Tool::Unknown,
    }
}

/// What was not seen is not clean.
fn too_long(migration: &Migration, file: &str) -> Option<Finding> {
    let rule = lint::rule("unparsed")?;
    Some(Finding {
        rule: rule.id,
        severity: rule.severity,
        file: file.to_owned(),
        sha256: String::new(),
        line: migration.text.as_deref().map_or(1, |text| text.lines().count().max(1)),
        column: 1,
        span: 0..0,
        statement: String::new(),
        digest: String::new(),
        message: "from here on it is too long to be looked at".to_owned(),
        why: rule.why,
        safe: rule.safe,
    })
}

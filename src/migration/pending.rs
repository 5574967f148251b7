//! What the rules for migrations say of those that wait on a host, by the texts that its survey brought along. Pure.

use std::collections::BTreeSet;

use super::lint::{self, Dialect, Finding, Source, Tool};
use crate::facts::{History, Migration, MigrationState, Migrations, Preview};

/// What waits on a host, as far as it can be looked at.
#[derive(Debug, Default)]
pub(super) struct Pending<'h> {
    /// Each migration that could be looked at, and its file as findings name it.
    pub(super) files: Vec<(&'h Migration, String)>,
    /// What was found in them.
    pub(super) findings: Vec<Finding>,
    /// What findings in what a tool prints of all of them together name as their file.
    pub(super) together: String,
    /// Those that the tool names, and of which no file is known.
    pub(super) unseen: Vec<String>,
}

/// Looks at what waits. `tool` is the name that a `migrate` step gives, and `found` is what waits by all witnesses.
///
/// The texts are masked, and the decision is sound all the same. Nothing is missing but the values of secrets: a mark in the place of
/// one is a value where a value may stand, and elsewhere makes a statement that cannot be parsed, which is an error too. What was cut
/// off is an error as well. And findings carry the hash that the host computed from the bytes that will run, so that an approval holds
/// for those and no others; of a statement that was masked it does not, for that is another one here than where it was approved.
///
/// Of a program its tool's preview is judged. What that does not tell is a finding of its own.
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
    let together = history.previews.iter().find(|preview| preview.of.is_none());
    let own = |migration: &Migration| history.previews.iter().find(|preview| preview.of.as_ref() == Some(&migration.name));
    pending.unseen = named.iter().filter(|name| !known(name) && together.is_none()).cloned().collect();
    pending.together = format!("preview of {tool}");
    for migration in waiting {
        let below = migration.file.as_deref().unwrap_or(&migration.name);
        pending.files.push((migration, format!("{}/{below}", history.folder)));
    }
    let mut sources = Vec::new();
    for (migration, name) in &pending.files {
        let text = migration.text.as_deref().unwrap_or_default();
        let source = |text, tool, in_transaction| Source { name, text, dialect, tool, in_transaction };
        sources.extend(match (by_name(tool), own(migration)) {
            (_, Some(printed)) if !migration.is_sql() => Some(source(&printed.sql, Tool::Printed, printed.in_transaction)),
            _ if !migration.is_sql() => None,
            (Tool::Sql, _) if dialect == Dialect::Postgres => Some(source(text, Tool::Sql, lint::in_transaction(text))),
            (tool, _) => Some(source(text, tool, lint::guess(name, text, dialect, None).in_transaction)),
        });
    }
    let source = |printed: &'h Preview| (printed.sql.as_str(), printed.in_transaction);
    sources.extend(together.map(source).map(|(text, in_transaction)| Source {
        name: &pending.together,
        text,
        dialect,
        tool: Tool::Printed,
        in_transaction,
    }));
    let mut findings = lint::check_set(&sources);
    // A tool prints the transactions in which it runs what is pending: nothing of that stands in a migration.
    let printed: BTreeSet<&str> =
        sources.iter().filter(|source| source.tool == Tool::Printed).map(|source| source.name).collect();
    findings.retain(|finding| finding.rule != "transaction-control" || !printed.contains(finding.file.as_str()));
    for (migration, file) in &pending.files {
        if migration.is_sql() {
            let cut = migration.cut || migration.text.is_none();
            findings.extend(cut.then(|| too_long(migration.text.as_deref(), file)).flatten());
            continue;
        }
        let printed = own(migration).or(together);
        findings.extend(printed.filter(|printed| printed.cut).and_then(|printed| too_long(Some(&printed.sql), file)));
        let text = migration.text.as_deref().unwrap_or_default();
        let lacks = match own(migration) {
            Some(Preview { lacks: Some(why), .. }) => Some(why.as_str()),
            Some(_) if !lint::is_printable(text) => Some("it does more than its tool prints"),
            Some(_) => None,
            None if together.is_some() => None,
            None => Some(history.no_preview.as_deref().unwrap_or("a program, of which no SQL is seen")),
        };
        findings.extend(lacks.and_then(|why| not_sql(file, why.to_owned(), lint::digest(b""))));
    }
    // Of all that waits together there is no file that an approval could be bound to.
    let lacks =
        together.map_or(history.no_preview.as_ref().filter(|_| pending.files.is_empty()), |printed| printed.lacks.as_ref());
    findings.extend(lacks.and_then(|why| not_sql(&pending.together, why.clone(), String::new())));
    findings.extend(together.filter(|printed| printed.cut).and_then(|printed| too_long(Some(&printed.sql), &pending.together)));
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
fn too_long(text: Option<&str>, file: &str) -> Option<Finding> {
    let line = text.map_or(1, |text| text.lines().count().max(1));
    unseen("unparsed", file, line, "from here on it is too long to be looked at".to_owned(), String::new())
}

/// Nor is what is no SQL.
fn not_sql(file: &str, why: String, digest: String) -> Option<Finding> {
    unseen(lint::NOT_SQL, file, 1, why, digest)
}

fn unseen(rule: &str, file: &str, line: usize, message: String, digest: String) -> Option<Finding> {
    let rule = lint::rule(rule)?;
    Some(Finding {
        rule: rule.id,
        severity: rule.severity,
        file: file.to_owned(),
        sha256: String::new(),
        line,
        column: 1,
        span: 0..0,
        statement: String::new(),
        digest,
        message,
        why: rule.why,
        safe: rule.safe,
    })
}

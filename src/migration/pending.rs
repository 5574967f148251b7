//! What the rules for migrations say of those that wait on a host, by the texts that its survey brought along. Pure.

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
        let is_named = named.is_empty() || named.contains(&migration.name);
        match migration.state {
            MigrationState::Along => true,
            // Without a history all files wait, and only the tool's word tells which do.
            MigrationState::Pending => history.not_known.is_none() || is_named,
            // Where somebody took that upon themselves, it is passed over.
            MigrationState::Skipped => is_named,
            _ => false,
        }
    };
    let waiting: Vec<&Migration> = history.migrations.iter().filter(waits).collect();
    let together = history.previews.iter().find(|preview| preview.of.is_none());
    let own = |name: &str| history.previews.iter().find(|preview| preview.of.as_deref() == Some(name));
    pending.together = format!("preview of {tool}");
    for migration in waiting {
        let below = migration.file.as_deref().unwrap_or(&migration.name);
        pending.files.push((migration, format!("{}/{below}", history.folder)));
    }
    // Those that the tool names and of which no file is known: of a framework's own applications, say.
    let known = |name: &String| pending.files.iter().any(|(migration, _)| migration.name == *name);
    let asked = together.is_some() || (pending.files.is_empty() && history.no_preview.is_some());
    let foreign: Vec<&String> = named.iter().filter(|name| !asked && !known(name)).collect();

    let source = |name, text, tool, in_transaction| Source { name, text, dialect, tool, in_transaction };
    let printed = |name, preview: &'h Preview| source(name, &preview.sql, Tool::Printed, preview.in_transaction);
    let mut sources = Vec::new();
    for (migration, file) in &pending.files {
        let text = migration.text.as_deref().unwrap_or_default();
        let read = match (by_name(tool), own(&migration.name)) {
            (_, Some(preview)) if !migration.is_sql() => Some(printed(file, preview)),
            _ if !migration.is_sql() => None,
            (Tool::Sql, _) if dialect == Dialect::Postgres => Some(source(file, text, Tool::Sql, lint::in_transaction(text))),
            (tool, _) => Some(source(file, text, tool, lint::guess(file, text, dialect, None).in_transaction)),
        };
        sources.extend(read.map(|source| (&migration.name, source)));
    }
    sources.extend(foreign.iter().filter_map(|name| Some((*name, printed(name, own(name)?)))));
    if !foreign.is_empty() {
        // What one makes is new to the next: the tool names them in its own order.
        sources.sort_by_key(|(name, _)| named.iter().position(|of| of == *name));
    }
    let mut sources: Vec<Source<'_>> = sources.into_iter().map(|(_, source)| source).collect();
    sources.extend(together.map(|preview| printed(&pending.together, preview)));
    let mut findings = lint::check_set(&sources);
    for (migration, file) in &pending.files {
        if migration.is_sql() {
            let cut = migration.cut || migration.text.is_none();
            findings.extend(cut.then(|| too_long(migration.text.as_deref(), file)).flatten());
            continue;
        }
        let printed = own(&migration.name).or(together);
        findings.extend(printed.filter(|printed| printed.cut).and_then(|printed| too_long(Some(&printed.sql), file)));
        let text = migration.text.as_deref().unwrap_or_default();
        let lacks = match own(&migration.name) {
            Some(Preview { lacks: Some(why), .. }) => Some(why.as_str()),
            Some(_) if !lint::is_printable(text) => Some("it does more than its tool prints"),
            Some(_) => None,
            None if together.is_some() => None,
            None => Some(history.no_preview.as_deref().unwrap_or("a program, of which no SQL is seen")),
        };
        findings.extend(lacks.and_then(|why| not_sql(file, why.to_owned(), lint::digest(b""))));
    }
    // Of these, and of all that waits together, there is no file that an approval could be bound to.
    let why = history.not_known.as_deref().unwrap_or("its file is not among those of the project");
    for name in &foreign {
        let lacks = own(name).map_or_else(|| Some(format!("no SQL of it is seen: {why}")), |preview| preview.lacks.clone());
        findings.extend(lacks.and_then(|lacks| not_sql(name, lacks, String::new())));
        findings.extend(own(name).filter(|preview| preview.cut).and_then(|preview| too_long(Some(&preview.sql), name)));
    }
    if named.is_empty() && pending.files.is_empty() && !asked {
        let why = if let Migrations::NotKnown { why } = found { why } else { why };
        findings.extend(not_sql(tool, format!("no SQL of what waits is seen: {why}"), String::new()));
    }
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

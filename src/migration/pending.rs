//! What the rules for migrations say of those that wait on a host, by the texts that its survey brought along. Pure.

use super::lint::{self, Dialect, Finding, Severity, Source, Tool};
use crate::facts::{History, Migration, MigrationState};

/// So many findings are told one by one.
const MOST: usize = 20;

/// What needs a person's eye, a line each: only what a rule calls an error. `tool` is the name that a `migrate` step gives; one whose
/// migrations are no SQL says nothing.
pub fn findings(tool: &str, history: &History, dialect: Dialect) -> Vec<String> {
    let Some(tool) = by_name(tool) else { return Vec::new() };
    let waits = |migration: &&Migration| matches!(migration.state, MigrationState::Pending | MigrationState::Skipped);
    let waiting: Vec<&Migration> = history.migrations.iter().filter(waits).collect();
    let names: Vec<String> = waiting.iter().map(|migration| file_of(tool, &history.folder, &migration.name)).collect();
    let sources: Vec<Source<'_>> = waiting
        .iter()
        .zip(&names)
        .filter_map(|(migration, name)| {
            let text = migration.text.as_deref()?;
            let in_transaction = match tool {
                Tool::Sql => lint::in_transaction(text),
                _ => lint::guess(name, text, dialect, None).in_transaction,
            };
            Some(Source { name, text, dialect, tool, in_transaction })
        })
        .collect();
    let mut told: Vec<String> = lint::check_set(&sources)
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding: Finding| {
            let Finding { file, line, rule, message, safe, .. } = finding;
            format!("{file}:{line}: {rule}: {message}; the safe way: {safe}")
        })
        .collect();
    let more = told.len().saturating_sub(MOST);
    told.truncate(MOST);
    if more > 0 {
        told.push(format!("and {more} more: landfall lint tells all of them"));
    }
    let cut = waiting.iter().filter(|migration| migration.cut);
    told.extend(cut.map(|migration| format!("{}: its end is too far away to be looked at: read it", migration.name)));
    told
}

fn by_name(tool: &str) -> Option<Tool> {
    match tool {
        "prisma" => Some(Tool::Prisma),
        "drizzle" => Some(Tool::Drizzle),
        "dbmate" => Some(Tool::Dbmate),
        "sqlx" => Some(Tool::Sqlx),
        "diesel" => Some(Tool::Diesel),
        "sql" => Some(Tool::Sql),
        "flyway" | "golang-migrate" => Some(Tool::Unknown),
        _ => None,
    }
}

/// The file's path, as its tool lays it out.
fn file_of(tool: Tool, folder: &str, name: &str) -> String {
    match tool {
        Tool::Prisma => format!("{folder}/{name}/migration.sql"),
        Tool::Diesel => format!("{folder}/{name}/up.sql"),
        _ => format!("{folder}/{}.sql", name.strip_suffix(".sql").unwrap_or(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_looked_at_and_nothing_else() {
        let migration = |name: &str, state, text: &str| Migration {
            name: name.into(),
            state,
            late: false,
            sha256: None,
            recorded: None,
            text: Some(text.into()),
            cut: false,
            told: None,
        };
        let history = History {
            not_known: None,
            folder: "prisma/migrations".into(),
            migrations: vec![
                migration("1_a", MigrationState::Applied, "DROP TABLE old;"),
                migration("2_b", MigrationState::Pending, "CREATE TABLE a (id bigint PRIMARY KEY);\nDROP TABLE b;"),
            ],
        };
        let told = findings("prisma", &history, Dialect::Postgres);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("prisma/migrations/2_b/migration.sql:2: drop-table: "), "{told:?}");
        assert!(findings("django", &history, Dialect::Postgres).is_empty());
    }
}

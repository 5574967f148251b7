//! Well-known layouts of migrations: what a file's path and text tell of the tool that applies it, and whether that runs it in a
//! transaction. Reads no file itself.

use regex_lite::Regex;

use super::{Dialect, Tool};
use crate::history::{self, ops};

/// What is known of a file's tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// What applies it.
    pub tool: Tool,
    /// Whether that runs it in a transaction.
    pub in_transaction: bool,
}

/// What a path (with `/`) and a text tell. `metadata` is the text of Diesel's metadata.toml beside the file, if there is one.
pub fn guess(path: &str, text: &str, dialect: Dialect, metadata: Option<&str>) -> Layout {
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts.last().copied().unwrap_or("");
    let parent = parts.len().checked_sub(2).map_or("", |at| parts[at]);
    let above = parts.len().checked_sub(3).map_or("", |at| parts[at]);
    let tool = if name == ops::FILE {
        Tool::Prisma8
    } else if is_program(path) {
        Tool::Program { printable: is_printable(text) }
    } else if name == "migration.sql" && above == "migrations" {
        Tool::Prisma
    } else if parent == "drizzle" || (name == "migration.sql" && above == "drizzle") || text.contains("--> statement-breakpoint")
    {
        Tool::Drizzle
    } else if name == "up.sql" {
        Tool::Diesel
    } else if parent == "migrations" && above == "db" && is_stamped(name) && marked(text, "migrate:up").is_some() {
        Tool::Dbmate
    } else if name.ends_with(".up.sql") {
        Tool::Unknown
    } else if is_stamped(name) {
        Tool::Sqlx
    } else if name
        .split_once('_')
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        Tool::Sql
    } else {
        Tool::Unknown
    };
    let none = !in_transaction(text);
    let in_transaction = match tool {
        // MySQL ends a transaction at each change of the schema.
        _ if dialect == Dialect::Mysql => false,
        // One message with all statements is one transaction, unless it ends it itself. A single CONCURRENTLY by itself is none.
        Tool::Prisma => !is_single(text),
        Tool::Dbmate => !marked(text, "migrate:up").is_some_and(|rest| rest.replace(' ', "").contains("transaction:false")),
        Tool::Sqlx => !text.starts_with("-- no-transaction") && !none,
        Tool::Diesel => !metadata.is_some_and(|text| text.replace(' ', "").contains("run_in_transaction=false")),
        Tool::Drizzle | Tool::Prisma8 => true,
        // What takes such files sends each whole, as Prisma does.
        Tool::Unknown if name.ends_with(".up.sql") => !none && !is_single(text),
        Tool::Sql | Tool::Unknown | Tool::Printed | Tool::Program { .. } => !none,
    };
    Layout { tool, in_transaction }
}

/// Whether a file of plain SQL runs in a transaction: unless a comment of its own line says that it cannot.
pub fn in_transaction(text: &str) -> bool {
    marked(text, "landfall: no-transaction").is_none()
}

/// Languages in which the migrations of some tools are written.
const LANGUAGES: [&str; 12] = ["py", "js", "cjs", "mjs", "ts", "cts", "mts", "rb", "php", "java", "kt", "go"];

/// Whether a file is a program, by its name.
pub fn is_program(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| LANGUAGES.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Whether the tool of a program can print all SQL of it: Alembic and Django do, but not of what goes around them. One that could find
/// out that it is only printed, or that brings code of its own, is none of which that is certain.
pub fn is_printable(text: &str) -> bool {
    if text.contains("down_revision") { is_of_alembic(text) } else { is_of_django(text) }
}

/// Modules whose code only builds what is printed.
const BUILDS: [&str; 17] = [
    "__future__",
    "advanced_alchemy",
    "alembic",
    "collections",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "geoalchemy2",
    "pgvector",
    "sqlalchemy",
    "sqlalchemy_utils",
    "sqlmodel",
    "textwrap",
    "typing",
    "typing_extensions",
    "uuid",
];

fn is_of_alembic(text: &str) -> bool {
    const ASKS: [&str; 13] = [
        "get_bind",
        "get_context",
        "context.",
        "import context",
        "is_offline_mode",
        "as_sql",
        "Session(",
        "create_engine",
        "getattr",
        "globals",
        "eval(",
        "exec(",
        "__import__",
    ];
    // It ends a transaction, which is printed, too.
    let text = text.replace("op.get_context().autocommit_block()", "");
    modules(&text).iter().all(|module| BUILDS.contains(module)) && !ASKS.iter().any(|sign| text.contains(sign))
}

fn is_of_django(text: &str) -> bool {
    const RUNS: [&str; 3] = ["RunPython", "connection.cursor", "schema_editor"];
    let Ok(list) = Regex::new(r"(\w*)operations\s*=\s*\[") else { return false };
    // Those of the state alone do nothing to the database.
    let lists: Vec<&str> = list
        .captures_iter(text)
        .filter(|found| &found[1] != "state_")
        .filter_map(|found| text.get(found.get(0)?.end()..))
        .collect();
    text.contains("class Migration(")
        && !RUNS.iter().any(|sign| text.contains(sign))
        && !lists.is_empty()
        && lists.into_iter().all(|list| operations(list).is_some_and(|all| all.into_iter().all(is_djangos)))
}

/// The modules that a text of Python imports, by their first names.
fn modules(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.split(['\n', ';']).map(str::trim_start) {
        if let Some(rest) = line.strip_prefix("from ") {
            found.push(rest.trim_start());
        } else if let Some(rest) = line.strip_prefix("import ") {
            found.extend(rest.split(',').map(str::trim));
        }
    }
    found.into_iter().map(|module| module.split(['.', ' ']).next().unwrap_or_default()).collect()
}

/// The operations of a list, up to each one's bracket; none where the list does not end.
fn operations(list: &str) -> Option<Vec<&str>> {
    let (mut depth, mut from, mut found) = (0usize, 0, Vec::new());
    let mut at = 0;
    while let Some(c) = list[at..].chars().next() {
        at += match c {
            '\'' | '"' => quoted(&list[at..])?,
            '#' => list[at..].find('\n')?,
            _ => c.len_utf8(),
        };
        match c {
            ']' if depth == 0 => return Some(found),
            '(' if depth == 0 => {
                found.push(list[from..at - 1].trim());
                depth = 1;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => from = at,
            _ => {}
        }
    }
    None
}

/// How long the text in quotes is that this begins with, as Python reads it.
fn quoted(text: &str) -> Option<usize> {
    let one = &text[..1];
    let quote = if text.starts_with(&one.repeat(3)) { &text[..3] } else { one };
    let mut at = quote.len();
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(quote) {
            return Some(at + quote.len());
        }
        let mut next = rest.chars();
        let c = next.next()?;
        at += c.len_utf8() + if c == '\\' { next.next()?.len_utf8() } else { 0 };
    }
}

/// Whether an operation is one that comes with Django.
fn is_djangos(operation: &str) -> bool {
    const OF_POSTGRES: [&str; 18] = [
        "AddConstraintNotValid",
        "AddIndexConcurrently",
        "BloomExtension",
        "BtreeGinExtension",
        "BtreeGistExtension",
        "CITextExtension",
        "CreateCollation",
        "CreateExtension",
        "CryptoExtension",
        "HStoreExtension",
        "RemoveCollation",
        "RemoveIndexConcurrently",
        "TrigramExtension",
        "UnaccentExtension",
        "ValidateConstraint",
        "VectorExtension",
        "django.contrib.postgres.operations.CreateExtension",
        "django.contrib.postgres.operations.TrigramExtension",
    ];
    operation.starts_with("migrations.") || OF_POSTGRES.contains(&operation)
}

/// Whether a program in a folder of migrations is one of them, by what it says.
pub fn is_migration(path: &str, text: &str) -> bool {
    let has = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.starts_with(['_', '.']) {
        return false;
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("py") => has(&["down_revision", "class Migration("]),
        Some("rb") => has(&["Migration[", "ActiveRecord::Migration"]),
        Some("js" | "cjs" | "mjs" | "ts" | "cts" | "mts") => {
            has(&["exports", "export "]) && text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "up")
        }
        _ => has(&["Migration"]),
    }
}

/// Whether a file undoes a migration: those are not looked at.
pub fn is_down(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // `U1.2__name.sql` takes `V1.2__name.sql` back.
    let undoes = name.strip_prefix('U').is_some_and(|rest| history::is_version(&format!("V{rest}")));
    undoes || name == "down.sql" || name.ends_with(".down.sql") || name.ends_with(".undo.sql")
}

/// Whether a path below a folder is where a migration tool keeps its files.
pub fn well_known(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let Some((name, folders)) = parts.split_last() else { return false };
    let parent = folders.last().copied().unwrap_or("");
    let above = folders.len().checked_sub(2).map_or("", |at| folders[at]);
    let sql = name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("sql"));
    // `migrations/SPACE/NAME/ops.json`
    let operations = *name == ops::FILE && folders.len().checked_sub(3).is_some_and(|at| folders[at] == "migrations");
    if operations && !folders.contains(&"node_modules") {
        return true;
    }
    if is_program(name) && !folders.iter().any(|folder| ["node_modules", "site-packages", "dist-packages"].contains(folder)) {
        return matches!(parent, "migrations" | "versions" | "migrate" | "migration");
    }
    if !sql || is_down(path) || folders.contains(&"node_modules") {
        return false;
    }
    match *name {
        "migration.sql" | "up.sql" => matches!(above, "migrations" | "drizzle"),
        _ => name.ends_with(".up.sql") || matches!(parent, "migrations" | "drizzle") || history::is_version(name),
    }
}

/// What stands behind a marker in a comment of its own line.
fn marked<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim().strip_prefix("--")?.trim_start().strip_prefix(marker))
}

/// `20240102030405_name.sql`
fn is_stamped(name: &str) -> bool {
    name.split_once('_').is_some_and(|(number, _)| number.len() == 14 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a text holds one statement only: the server does not wrap such a one.
fn is_single(text: &str) -> bool {
    let tokens = super::lex::lex(text, 0, Dialect::Postgres);
    super::split::split(&tokens, Dialect::Postgres).len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> (Tool, bool) {
        let layout = guess(path, text, Dialect::Postgres, None);
        (layout.tool, layout.in_transaction)
    }

    #[test]
    fn each_tool_by_its_layout() {
        assert_eq!(of("prisma/migrations/20240101000000_a/migration.sql", "SELECT 1; SELECT 2;"), (Tool::Prisma, true));
        assert_eq!(
            of("prisma/migrations/20240101000000_a/migration.sql", "CREATE INDEX CONCURRENTLY i ON a (b);"),
            (Tool::Prisma, false)
        );
        assert_eq!(of("drizzle/0000_a.sql", "SELECT 1;"), (Tool::Drizzle, true));
        assert_eq!(of("db/migrations/20240101000000_a.sql", "-- migrate:up\nSELECT 1;"), (Tool::Dbmate, true));
        assert_eq!(of("db/migrations/20240101000000_a.sql", "-- migrate:up transaction:false\nSELECT 1;"), (Tool::Dbmate, false));
        assert_eq!(of("migrations/20240101000000_a.sql", "SELECT 1;"), (Tool::Sqlx, true));
        assert_eq!(of("migrations/20240101000000_a.sql", "-- no-transaction\nSELECT 1;"), (Tool::Sqlx, false));
        assert_eq!(of("migrations/2024-01-01-000000_a/up.sql", "SELECT 1;"), (Tool::Diesel, true));
        assert_eq!(of("migrations/001_a.sql", "SELECT 1;"), (Tool::Sql, true));
        assert_eq!(of("migrations/001_a.sql", "-- 2026-01-02\n-- landfall: no-transaction\nSELECT 1;"), (Tool::Sql, false));
        assert_eq!(of("migrations/1_a.up.sql", "SELECT 1; SELECT 2;"), (Tool::Unknown, true));
        assert_eq!(of("migrations/1_a.up.sql", "CREATE INDEX CONCURRENTLY i ON a (b);"), (Tool::Unknown, false));
        assert_eq!(of("a.sql", "SELECT 1;"), (Tool::Unknown, true));
        assert_eq!(of("migrations/app/20240101T0000_a/ops.json", "SELECT 1;"), (Tool::Prisma8, true));
        let diesel = guess("migrations/1_a/up.sql", "", Dialect::Postgres, Some("run_in_transaction = false"));
        assert_eq!((diesel.tool, diesel.in_transaction), (Tool::Diesel, false));
        assert!(!guess("migrations/001_a.sql", "", Dialect::Mysql, None).in_transaction);
        let program = |path, text| guess(path, text, Dialect::Postgres, None).tool;
        assert_eq!(program("migrations/1_a.js", "exports.up = 1"), Tool::Program { printable: false });
        assert_eq!(program("versions/1_a.py", "down_revision = None"), Tool::Program { printable: true });
        assert_eq!(program("versions/1_a.py", "down_revision = None\nop.get_bind()"), Tool::Program { printable: false });
        assert_eq!(program("a/migrations/1_a.py", "class Migration(m):\n m.RunPython(f)"), Tool::Program { printable: false });
        // One that can find out that it is only printed, or that brings code of its own, says nothing of what it does.
        let alembic = |body: &str| {
            is_printable(&format!("from alembic import op\nimport sqlalchemy as sa\ndown_revision = None\n{body}\n"))
        };
        assert!(alembic("with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY i ON a (b)')"));
        for body in [
            "if op.get_context().as_sql: pass",
            "from app.helpers import x; x()",
            "import os, sys",
            "from . import x",
            "from alembic import context",
        ] {
            assert!(!alembic(body), "{body}");
        }
        let django = |list: &str| {
            is_printable(&format!("class Migration(migrations.Migration):\n    operations = [\n        {list}\n    ]\n"))
        };
        assert!(django(
            "migrations.AddField('a', 'b', models.TextField(help_text='x')),\n        AddIndexConcurrently('a', models.Index(fields=['b'])),"
        ));
        assert!(django(
            "migrations.SeparateDatabaseAndState(state_operations=[Own()], database_operations=[migrations.RunSQL('SELECT 1')])"
        ));
        for list in [
            "Own(),",
            "migrations.RunSQL('x'), app.Own()",
            "migrations.SeparateDatabaseAndState(database_operations=[Own()])",
            "*made()",
            "migrations.RunSQL(')]'), Own()",
        ] {
            assert!(!django(list), "{list}");
        }
    }

    #[test]
    fn what_is_a_migration() {
        for path in [
            "prisma/migrations/1_a/migration.sql",
            "drizzle/0000_a.sql",
            "migrations/001_a.sql",
            "db/migrations/a.sql",
            "migrations/1/up.sql",
            "x/1_a.up.sql",
            "migrations/app/20240101T0000_a/ops.json",
            "alembic/versions/1_a.py",
            "db/migrate/1_a.rb",
            "src/main/resources/db/migration/V1_2__a.sql",
            "sql/R__views.sql",
        ] {
            assert!(well_known(path), "{path}");
        }
        for path in [
            "migrations/a/ops.json",
            "node_modules/x/migrations/app/1_a/ops.json",
            "migrations/1/down.sql",
            "x/1_a.down.sql",
            "schema.sql",
            "sql/U1.2__a.sql",
            "sql/V__a.sql",
            "sql/VIEW__a.sql",
            "sql/R1__a.sql",
            "node_modules/x/migrations/a.sql",
            "migrations/readme.md",
            "x/site-packages/y/migrations/1.py",
        ] {
            assert!(!well_known(path), "{path}");
        }
        assert!(is_migration("migrations/1.ts", "export async function up(knex: Knex) {}"));
        assert!(is_migration("migrations/1.js", "module.exports = { up: async (q) => {}, down: async (q) => {} }"));
        assert!(!is_migration("migrations/index.ts", "export const setup = backup;"));
        assert!(!is_migration("migrations/__init__.py", "class Migration(x)"));
    }
}

//! A second reader of each statement, which shares nothing with the first: squawk's parser for PostgreSQL, sqlparser for MySQL. What it
//! cannot read, or reads differently, is not taken for harmless.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlparser::ast::Statement;
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use squawk_syntax::{SourceFile, SyntaxKind};

use super::Dialect;
use super::body::{Deed, Within};
use super::op::{Action, Op};
use super::token::{Kind, Token};

/// Beyond these a parser might need more stack than there is.
const MOST_TOKENS: usize = 20_000;
const DEEPEST: usize = 200;
/// sqlparser tries each parenthesis in two ways, and does so again in each of them.
const DEEPEST_MYSQL: usize = 12;
/// The stack that is enough for them.
pub(super) const STACK: usize = 256 * 1024 * 1024;

/// What is wrong with a statement by the second reader, in words.
pub(super) fn objection(text: &str, tokens: &[Token<'_>], deeds: &[Deed], dialect: Dialect) -> Option<String> {
    if let Some(bad) = tokens.iter().find(|token| token.kind == Kind::Bad) {
        return Some(format!(
            "{} has no end",
            if bad.raw.starts_with("/*") { "a comment" } else { "a string or what else begins here" }
        ));
    }
    let deepest = if dialect == Dialect::Mysql { DEEPEST_MYSQL } else { DEEPEST };
    if depth(tokens) > deepest && !(dialect == Dialect::Mysql && depth(tokens) <= DEEPEST && understood(tokens, deeds)) {
        return Some("it is nested too deep to be read".to_owned());
    }
    if tokens.len() > MOST_TOKENS {
        return (!is_rows(tokens)).then(|| "it is too long to be read".to_owned());
    }
    if depth(tokens) > deepest {
        return None;
    }
    let read = catch_unwind(AssertUnwindSafe(|| match dialect {
        Dialect::Postgres => postgres(text),
        Dialect::Mysql => mysql(text),
    }));
    let mine = Tally::of(deeds);
    match read {
        Err(_) => Some("the parser broke down on it".to_owned()),
        Ok(Err(why)) if dialect == Dialect::Mysql && understood(tokens, deeds) => {
            // The grammar of MySQL is larger than the parser's: what the first reader took to its end is no riddle.
            _ = why;
            None
        }
        Ok(Err(why)) => Some(why),
        Ok(Ok(theirs)) if theirs.exceeds(&mine) => Some("two readers of it disagree about what it does".to_owned()),
        Ok(Ok(_)) => None,
    }
}

/// How deep a statement is nested, with signs and negations counted as nesting too.
fn depth(tokens: &[Token<'_>]) -> usize {
    let (mut depth, mut deepest, mut signs) = (0_usize, 0, 0_usize);
    for token in tokens {
        let sign = token.is_any(&["NOT", "SELECT", "WITH", "EXPLAIN"])
            || (token.kind == Kind::Symbol
                && matches!(
                    token.raw,
                    "-" | "+" | "~" | "!" | "@" | ":" | "|" | "/" | "<" | ">" | "=" | "*" | "&" | "#" | "^" | "%" | "?"
                ));
        signs = if sign { signs + 1 } else { 0 };
        if token.symbol("(") || token.symbol("[") || token.is_any(&["CASE", "BEGIN"]) {
            depth += 1;
        } else if token.symbol(")") || token.symbol("]") || token.is("END") {
            depth = depth.saturating_sub(1);
        }
        deepest = deepest.max(depth + signs);
    }
    deepest
}

/// Whether it is nothing but an `INSERT` of literal rows.
fn is_rows(tokens: &[Token<'_>]) -> bool {
    let head = tokens.iter().take(400).position(|token| token.is("VALUES"));
    let Some(head) = head.filter(|_| tokens[0].is_any(&["INSERT", "REPLACE"])) else { return false };
    tokens[head + 1..].iter().all(|token| {
        matches!(token.kind, Kind::Text | Kind::Number)
            || token.is_any(&["NULL", "TRUE", "FALSE", "DEFAULT", "ON", "CONFLICT", "DO", "NOTHING"])
            || (token.kind == Kind::Symbol && matches!(token.raw, "(" | ")" | "," | "-" | "+" | "."))
    })
}

/// How often something is lost.
#[derive(Debug, Default)]
struct Tally {
    drops: usize,
    deletes: usize,
    updates: usize,
    truncates: usize,
    renames: usize,
}

impl Tally {
    fn of(deeds: &[Deed]) -> Self {
        let mut tally = Self::default();
        for deed in deeds.iter().filter(|deed| deed.within == Within::Statement) {
            match &deed.op {
                Op::Drop { .. } => tally.drops += 1,
                Op::Delete { .. } | Op::MergeDelete(_) => tally.deletes += 1,
                Op::Update { .. } => tally.updates += 1,
                Op::Truncate { .. } => tally.truncates += 1,
                Op::Rename { .. } | Op::RenameValue(_) | Op::RenameTables(_) => tally.renames += 1,
                Op::AlterTable { actions, .. } => {
                    for (action, _) in actions {
                        match action {
                            Action::DropColumn(_)
                            | Action::DropConstraint(_)
                            | Action::DropPrimary
                            | Action::DropIndex(_)
                            | Action::DropNotNull(_)
                            | Action::DropDefault(_)
                            | Action::LosePartition
                            | Action::DropGenerated(_) => tally.drops += 1,
                            Action::RenameTable(_) | Action::RenameColumn(_) => tally.renames += 1,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        tally
    }

    fn exceeds(&self, other: &Self) -> bool {
        self.drops > other.drops
            || self.deletes > other.deletes
            || self.updates > other.updates
            || self.truncates > other.truncates
            || self.renames > other.renames
    }
}

fn postgres(text: &str) -> Result<Tally, String> {
    let parsed = SourceFile::parse(text);
    if let Some(error) = parsed.errors().first() {
        return Err(error.message().to_owned());
    }
    let mut tally = Tally::default();
    for node in parsed.syntax_node().descendants() {
        match node.kind() {
            SyntaxKind::DELETE | SyntaxKind::MERGE_DELETE => tally.deletes += 1,
            SyntaxKind::UPDATE => tally.updates += 1,
            SyntaxKind::TRUNCATE => tally.truncates += 1,
            SyntaxKind::RENAME_COLUMN | SyntaxKind::TABLE_RENAME_TO | SyntaxKind::RENAME_VALUE => tally.renames += 1,
            kind => tally.drops += usize::from(drops(kind)),
        }
    }
    Ok(tally)
}

/// Whether a node is something dropped, and no word that goes with it.
fn drops(kind: SyntaxKind) -> bool {
    let name = format!("{kind:?}");
    let part =
        ["DROP_OP_CLASS", "DROP_FOREIGN_OPTION", "DROP_USERS", "DROP_MAPPING", "DROP_DATABASE_FORCE", "DROP_PUBLICATION_OBJECTS"];
    let graph = ["DROP_EDGE", "DROP_VERTEX", "DROP_SUBSCRIPTION_PUBLICATION"];
    name.starts_with("DROP_") && !name.ends_with("_KW") && !part.iter().chain(&graph).any(|other| name.starts_with(other))
}

fn mysql(text: &str) -> Result<Tally, String> {
    let dialect = MySqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(60);
    let statements =
        parser.try_with_sql(text).and_then(|mut parser| parser.parse_statements()).map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    for statement in &statements {
        match statement {
            Statement::Drop { .. } | Statement::DropFunction(_) | Statement::DropProcedure { .. } | Statement::DropTrigger(_) => {
                tally.drops += 1;
            }
            Statement::Delete(_) => tally.deletes += 1,
            Statement::Update(_) => tally.updates += 1,
            Statement::Truncate(_) => tally.truncates += 1,
            Statement::RenameTable(_) => tally.renames += 1,
            _ => {}
        }
    }
    if statements.len() == 1 { Ok(tally) } else { Err(format!("{} statements stand where one should", statements.len())) }
}

/// Whether the first reader took a statement of MySQL to its end.
fn understood(tokens: &[Token<'_>], deeds: &[Deed]) -> bool {
    let Some(first) = deeds.iter().find(|deed| deed.within == Within::Statement) else { return false };
    let routine = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"];
    if tokens[0].is_any(&["CREATE", "ALTER"]) && tokens.iter().take(10).any(|token| token.is_any(&routine)) {
        let begins = tokens.iter().filter(|token| token.is("BEGIN")).count();
        let ends = tokens.iter().filter(|token| token.is("END")).count();
        return begins > 0 && ends >= begins;
    }
    if tokens[0].is("PREPARE") || tokens[0].is("EXECUTE") {
        return true;
    }
    match &first.op {
        Op::AlterTable { actions, .. } => {
            !actions.is_empty()
                && actions.iter().all(|(action, _)| match action {
                    Action::Unknown => false,
                    Action::AddColumn(column) | Action::Redefine { column, .. } => column.known && !column.kind.is_empty(),
                    _ => true,
                })
        }
        Op::CreateTable(table) => {
            table.derived
                || (table.columns.iter().all(|column| column.known && !column.kind.is_empty())
                    && !(table.columns.is_empty() && table.constraints.is_empty()))
        }
        Op::Other { known } => *known,
        Op::Drop { .. }
        | Op::Truncate { .. }
        | Op::CreateIndex(_)
        | Op::RenameTables(_)
        | Op::Lock
        | Op::Rebuild(_)
        | Op::Server(_) => true,
        // Whether a row's condition is a condition at all, only the parser knows.
        _ => false,
    }
}

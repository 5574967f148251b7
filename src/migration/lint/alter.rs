//! Reads `ALTER TABLE`: each part between commas is one action.

use std::ops::Range;

use super::Dialect;
use super::columns::{column, constraint, data_type, default, span_of};
use super::op::{Action, Op};
use super::token::{Cursor, Kind, Name, Token, parted};

/// The statement behind `ALTER TABLE`.
pub(super) fn alter_table(cursor: &mut Cursor<'_, '_>) -> Op {
    cursor.eat_if();
    cursor.eat(&["ONLY"]);
    if cursor.sees(&["ALL", "IN", "TABLESPACE"]) {
        let span = span_of(cursor.rest());
        return Op::AlterTable { table: Name::default(), actions: vec![(Action::Rewrite("SET TABLESPACE"), span)] };
    }
    let Some(table) = cursor.name() else { return Op::Other { known: false } };
    cursor.eat_symbol("*");
    if cursor.eat_any(&["WAIT"]).is_some() {
        cursor.next();
    }
    _ = cursor.eat(&["NOWAIT"]);
    let mut actions: Vec<(Action, Range<usize>)> = Vec::new();
    // The commas behind a list of partitions part no actions.
    let partitions =
        cursor.peek().is_some_and(|token| token.is_any(&["DROP", "TRUNCATE", "DISCARD", "IMPORT", "REORGANIZE", "REBUILD"]))
            && cursor.ahead(1).is_some_and(|token| token.is("PARTITION"));
    if partitions && cursor.dialect == Dialect::Mysql {
        each(cursor.rest(), cursor.dialect, &mut actions);
        cursor.at = cursor.tokens.len();
        return Op::AlterTable { table, actions };
    }
    for part in parted(cursor.rest()).into_iter().filter(|part| !part.is_empty()) {
        each(part, cursor.dialect, &mut actions);
    }
    cursor.at = cursor.tokens.len();
    Op::AlterTable { table, actions }
}

fn each(part: &[Token<'_>], dialect: Dialect, actions: &mut Vec<(Action, Range<usize>)>) {
    let mut cursor = Cursor::new(part, dialect);
    let span = span_of(part);
    // ADD COLUMN (a int, b int)
    let adds = cursor.eat(&["ADD"]);
    if adds {
        cursor.eat(&["COLUMN"]);
        cursor.eat_if();
        if cursor.peek().is_some_and(|token| token.symbol("(")) {
            for inner in parted(cursor.parens().unwrap_or(&[])) {
                let mut inner_cursor = Cursor::new(inner, dialect);
                actions.push((added(&mut inner_cursor), span_of(inner)));
            }
            return;
        }
        cursor.at = 0;
    }
    let action = match dialect {
        Dialect::Postgres => postgres(&mut cursor),
        Dialect::Mysql => mysql(&mut cursor),
    };
    actions.push((action, span));
}

/// What stands behind `ADD`.
fn added(cursor: &mut Cursor<'_, '_>) -> Action {
    let explicit = cursor.eat(&["COLUMN"]);
    let conditional = cursor.eat_if();
    if !explicit
        && !conditional
        && let Some(constraint) = constraint(cursor)
    {
        return Action::AddConstraint(constraint);
    }
    if cursor.eat(&["PARTITION"]) {
        return Action::Harmless;
    }
    column(cursor).map_or(Action::Unknown, |column| Action::AddColumn(Box::new(column)))
}

fn rename(cursor: &mut Cursor<'_, '_>) -> Action {
    if cursor.eat_any(&["TO", "AS"]).is_some() {
        return cursor.name().map_or(Action::Unknown, Action::RenameTable);
    }
    if cursor.eat_any(&["CONSTRAINT", "INDEX", "KEY"]).is_some() {
        return Action::RenameOther;
    }
    cursor.eat(&["COLUMN"]);
    cursor.eat_if();
    let Some(name) = cursor.name() else { return Action::Unknown };
    // MySQL lets `RENAME other_name` stand without TO.
    if cursor.eat(&["TO"]) { Action::RenameColumn(name) } else { Action::RenameTable(name) }
}

fn dropped(cursor: &mut Cursor<'_, '_>) -> Action {
    let mysql = cursor.dialect == Dialect::Mysql;
    if cursor.eat(&["CONSTRAINT"]) || (mysql && (cursor.eat(&["FOREIGN", "KEY"]) || cursor.eat(&["CHECK"]))) {
        cursor.eat_if();
        return Action::DropConstraint(cursor.name());
    }
    if mysql && cursor.eat(&["PRIMARY", "KEY"]) {
        return Action::DropPrimary;
    }
    if mysql && cursor.eat_any(&["INDEX", "KEY"]).is_some() {
        cursor.eat_if();
        return cursor.name().map_or(Action::Unknown, Action::DropIndex);
    }
    if mysql && (cursor.eat(&["PARTITION"]) || cursor.eat(&["SYSTEM"])) {
        return Action::LosePartition;
    }
    cursor.eat(&["COLUMN"]);
    cursor.eat_if();
    cursor.name().map_or(Action::Unknown, Action::DropColumn)
}

fn postgres(cursor: &mut Cursor<'_, '_>) -> Action {
    if cursor.eat(&["ADD"]) {
        return added(cursor);
    }
    if cursor.eat(&["DROP"]) {
        return dropped(cursor);
    }
    if cursor.eat(&["ALTER", "CONSTRAINT"]) {
        return Action::Harmless;
    }
    if cursor.eat(&["ALTER"]) {
        cursor.eat(&["COLUMN"]);
        let Some(name) = cursor.name() else { return Action::Unknown };
        return alter_column(cursor, name);
    }
    if cursor.eat(&["RENAME"]) {
        return rename(cursor);
    }
    if cursor.eat(&["VALIDATE", "CONSTRAINT"]) {
        return cursor.name().map_or(Action::Unknown, Action::Validate);
    }
    if cursor.eat(&["SET", "SCHEMA"]) {
        return Action::SetSchema;
    }
    if cursor.sees(&["SET", "LOGGED"]) || cursor.sees(&["SET", "UNLOGGED"]) {
        return Action::Rewrite("SET LOGGED or UNLOGGED");
    }
    if cursor.eat(&["SET", "TABLESPACE"]) {
        return Action::Rewrite("SET TABLESPACE");
    }
    if cursor.eat(&["SET", "ACCESS", "METHOD"]) {
        return Action::Rewrite("SET ACCESS METHOD");
    }
    if cursor.eat(&["DISABLE", "ROW", "LEVEL", "SECURITY"]) || cursor.eat(&["NO", "FORCE", "ROW", "LEVEL", "SECURITY"]) {
        return Action::DisableSecurity;
    }
    if cursor.eat(&["DISABLE"]) {
        return Action::DisableTrigger;
    }
    if cursor.eat(&["ATTACH", "PARTITION"]) {
        return Action::AttachPartition;
    }
    if cursor.eat(&["INHERIT"]) {
        return Action::Inherit;
    }
    if cursor.eat(&["DETACH", "PARTITION"]) {
        cursor.name();
        return Action::DetachPartition { concurrently: cursor.sees(&["CONCURRENTLY"]) || cursor.sees(&["FINALIZE"]) };
    }
    let known = ["SET", "RESET", "ENABLE", "FORCE", "OWNER", "REPLICA", "CLUSTER", "NO", "OF", "NOT", "OPTIONS"];
    if cursor.peek().is_some_and(|token| token.is_any(&known)) { Action::Harmless } else { Action::Unknown }
}

fn alter_column(cursor: &mut Cursor<'_, '_>, name: super::token::Name) -> Action {
    if cursor.eat(&["SET", "NOT", "NULL"]) {
        return Action::SetNotNull(name);
    }
    if cursor.eat(&["DROP", "NOT", "NULL"]) {
        return Action::DropNotNull(name);
    }
    if cursor.eat(&["SET", "DEFAULT"]) {
        return Action::SetDefault;
    }
    if cursor.eat(&["DROP", "DEFAULT"]) {
        return Action::DropDefault(name);
    }
    if cursor.eat(&["DROP", "EXPRESSION"]) || cursor.eat(&["DROP", "IDENTITY"]) {
        return Action::DropGenerated(name);
    }
    if cursor.eat(&["ADD", "GENERATED"]) {
        return Action::AddIdentity(name);
    }
    if cursor.eat(&["SET", "EXPRESSION"]) {
        return Action::Rewrite("SET EXPRESSION");
    }
    if cursor.eat(&["TYPE"]) || cursor.eat(&["SET", "DATA", "TYPE"]) {
        let (kind, args) = data_type(cursor);
        return Action::ChangeType { column: name, kind, args };
    }
    if cursor.peek().is_some_and(|token| token.is_any(&["SET", "RESET", "RESTART", "OPTIONS"])) {
        return Action::Harmless;
    }
    Action::Unknown
}

fn mysql(cursor: &mut Cursor<'_, '_>) -> Action {
    if cursor.eat(&["ADD"]) {
        return added(cursor);
    }
    if cursor.eat(&["DROP"]) {
        return dropped(cursor);
    }
    if cursor.eat(&["RENAME"]) {
        if let Some(action) = renamed_without_to(cursor) {
            return action;
        }
        return rename(cursor);
    }
    if cursor.eat(&["MODIFY"]) {
        cursor.eat(&["COLUMN"]);
        cursor.eat_if();
        return redefined(cursor, None);
    }
    if cursor.eat(&["CHANGE"]) {
        cursor.eat(&["COLUMN"]);
        cursor.eat_if();
        let old = cursor.name();
        return redefined(cursor, old);
    }
    if cursor.eat(&["ALTER"]) {
        if cursor.eat_any(&["INDEX", "CHECK", "CONSTRAINT"]).is_some() {
            return Action::Harmless;
        }
        cursor.eat(&["COLUMN"]);
        let Some(name) = cursor.name() else { return Action::Unknown };
        if cursor.eat(&["SET", "DEFAULT"]) {
            default(cursor);
            return Action::SetDefault;
        }
        return if cursor.eat(&["DROP", "DEFAULT"]) { Action::DropDefault(name) } else { Action::Harmless };
    }
    options(cursor)
}

/// `RENAME other_name`: nothing follows the name.
fn renamed_without_to(cursor: &Cursor<'_, '_>) -> Option<Action> {
    let mut look = cursor.clone();
    let keyword = look.peek().is_some_and(|token| token.is_any(&["TO", "AS", "COLUMN", "INDEX", "KEY"]));
    let name = look.name()?;
    (!keyword && look.done()).then_some(Action::RenameTable(name))
}

fn redefined(cursor: &mut Cursor<'_, '_>, old: Option<super::token::Name>) -> Action {
    let Some(column) = column(cursor) else { return Action::Unknown };
    Action::Redefine { old: old.unwrap_or_else(|| column.name.clone()), column: Box::new(column) }
}

/// The options of a table, of which several may stand without commas.
fn options(cursor: &mut Cursor<'_, '_>) -> Action {
    let has = |words: &[&str]| {
        cursor.rest().windows(words.len()).any(|window| window.iter().zip(words).all(|(token, word)| token.is(word)))
    };
    if has(&["TRUNCATE", "PARTITION"]) || has(&["DISCARD"]) || has(&["EXCHANGE", "PARTITION"]) || has(&["REMOVE", "PARTITIONING"])
    {
        return Action::LosePartition;
    }
    if has(&["CONVERT", "TO"]) {
        return Action::Charset;
    }
    if has(&["ENGINE"]) || has(&["FORCE"]) || has(&["ORDER", "BY"]) || has(&["ROW_FORMAT"]) || has(&["KEY_BLOCK_SIZE"]) {
        return Action::Rewrite("this option");
    }
    if has(&["PARTITION", "BY"]) || has(&["REORGANIZE", "PARTITION"]) || has(&["COALESCE", "PARTITION"]) {
        return Action::Rewrite("partitioning");
    }
    let value = |word: &str| {
        let at = cursor.rest().iter().position(|token| token.is(word))?;
        let rest = cursor.rest().get(at + 1..)?;
        rest.iter().find(|token| token.kind == Kind::Word).map(Token::upper)
    };
    if let Some(value) = value("ALGORITHM").filter(|value| value == "COPY") {
        return Action::BlockingOption(format!("ALGORITHM={value}"));
    }
    if let Some(value) = value("LOCK").filter(|value| matches!(value.as_str(), "SHARED" | "EXCLUSIVE")) {
        return Action::BlockingOption(format!("LOCK={value}"));
    }
    let known = [
        "ALGORITHM",
        "LOCK",
        "COMMENT",
        "AUTO_INCREMENT",
        "DEFAULT",
        "CHARSET",
        "CHARACTER",
        "COLLATE",
        "ENABLE",
        "DISABLE",
        "CHECKSUM",
        "STATS_PERSISTENT",
        "STATS_AUTO_RECALC",
        "ANALYZE",
        "CHECK",
        "COMPRESSION",
        "MAX_ROWS",
        "MIN_ROWS",
        "WITH",
        "WITHOUT",
        "OPTIMIZE",
        "REBUILD",
        "ADD",
    ];
    if cursor.peek().is_some_and(|token| token.is_any(&known)) { Action::Harmless } else { Action::Unknown }
}

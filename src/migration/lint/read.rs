//! Reads one statement's tokens into what it does. Where a word is not known, what it may drop or delete is still found: the second
//! reader ([`super::witness`]) tells whether the rest is SQL at all.

use std::ops::Range;

use super::Dialect;
use super::alter::alter_table;
use super::columns::{outside, span_of, table_body};
use super::op::{Filter, Index, Op, Table};
use super::token::{Cursor, Kind, Name, Token};

/// What can be dropped, by its first word.
pub(super) const OBJECTS: [&str; 38] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED",
    "SCHEMA",
    "DATABASE",
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "AGGREGATE",
    "TYPE",
    "DOMAIN",
    "SEQUENCE",
    "TRIGGER",
    "POLICY",
    "INDEX",
    "EXTENSION",
    "ROLE",
    "USER",
    "GROUP",
    "OWNED",
    "RULE",
    "SERVER",
    "PUBLICATION",
    "SUBSCRIPTION",
    "STATISTICS",
    "COLLATION",
    "CONVERSION",
    "CAST",
    "OPERATOR",
    "LANGUAGE",
    "TABLESPACE",
    "TEXT",
    "FOREIGN",
    "EVENT",
    "ACCESS",
    "TRANSFORM",
    "TEMPORARY",
    "PREPARE",
];

/// Functions that run SQL given as text, or that drop things.
const RUNNING: [&str; 22] = [
    "DBLINK",
    "DBLINK_EXEC",
    "DBLINK_SEND_QUERY",
    "QUERY_TO_XML",
    "QUERY_TO_XMLSCHEMA",
    "QUERY_TO_XML_AND_XMLSCHEMA",
    "DROP_CHUNKS",
    "CURSOR_TO_XML",
    "SCHEDULE",
    "SCHEDULE_IN_DATABASE",
    "RUN_COMMAND_ON_WORKERS",
    "RUN_COMMAND_ON_SHARDS",
    "EXECUTE_SQL",
    "DROPGEOMETRYCOLUMN",
    "DROPGEOMETRYTABLE",
    "LO_UNLINK",
    "LO_IMPORT",
    "PG_READ_FILE",
    "TRUNCATE_LOCAL_DATA_AFTER_DISTRIBUTING_TABLE",
    "UNDISTRIBUTE_TABLE",
    "EXEC_SQL",
    "PG_FILE_UNLINK",
];

/// Words with which something begins that is looked for anywhere.
const BEGINNINGS: [&str; 6] = ["DELETE", "UPDATE", "TRUNCATE", "DROP", "MERGE", "SET_CONFIG"];
/// More things than that in one statement are not told one by one.
const MOST: usize = 2_000;
/// How far one of them is read.
pub(super) const WINDOW: usize = 20_000;

/// Everything a statement does: what it is itself, and what is inside it.
pub(super) fn read(tokens: &[Token<'_>], dialect: Dialect) -> Vec<(Op, Range<usize>)> {
    let whole = span_of(tokens);
    let mut cursor = Cursor::new(tokens, dialect);
    let mut ops: Vec<(Op, Range<usize>)> = statement(&mut cursor).into_iter().map(|op| (op, whole.clone())).collect();
    ops.extend(inside(tokens, 1, dialect));
    ops
}

/// What is done anywhere behind the `from`th token: in a `WITH`, a rule, a prepared statement, a body.
pub(super) fn inside(tokens: &[Token<'_>], from: usize, dialect: Dialect) -> Vec<(Op, Range<usize>)> {
    let mut ops = Vec::new();
    let first = tokens.first().map(Token::upper).unwrap_or_default();
    // ALTER EVENT … DO runs a statement; no other ALTER does.
    let event = tokens.iter().take(8).any(|token| token.is("EVENT"));
    for at in from..tokens.len() {
        let token = &tokens[at];
        if token.kind != Kind::Word {
            continue;
        }
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        let next = tokens.get(at + 1);
        if !BEGINNINGS.iter().chain(&RUNNING).any(|word| token.is(word)) {
            continue;
        }
        if ops.len() >= MOST {
            ops.push((Op::Dynamic("more than can be told one by one".to_owned()), token.range()));
            break;
        }
        let end = enclosed(tokens, at);
        let mut cursor = Cursor::new(&tokens[at..end], dialect);
        let op = match token.upper().as_str() {
            "DELETE" | "UPDATE" if !grants(&first) => row_change(&mut cursor, before, dialect),
            "TRUNCATE" if !grants(&first) && first != "ALTER" && truncates(before, next) => statement(&mut cursor),
            // What an ALTER TABLE drops is told by that.
            "DROP" if cursor.sees(&["DROP", "FOREIGN", "KEY"]) => None,
            "DROP" if (first != "ALTER" || event) && !grants(&first) && next.is_some_and(|next| next.is_any(&OBJECTS)) => {
                statement(&mut cursor)
            }
            "MERGE" if next.is_some_and(|next| next.is("INTO")) => statement(&mut cursor),
            word if RUNNING.contains(&word)
                && next.is_some_and(|next| next.symbol("("))
                && first != "CREATE"
                && (word != "SCHEDULE" || before.is_some_and(|token| token.symbol("."))) =>
            {
                Some(Op::Calls(token.raw.to_owned()))
            }
            "SET_CONFIG" if next.is_some_and(|next| next.symbol("(")) => {
                let value: Vec<&str> = cursor.rest().iter().take(12).map(|token| token.raw).collect();
                Some(Op::Set { name: "set_config".to_owned(), value: value.join(" ").to_lowercase() })
            }
            _ => None,
        };
        ops.extend(op.map(|op| (op, span_of(&tokens[at..end]))));
    }
    ops
}

fn grants(first: &str) -> bool {
    matches!(first, "GRANT" | "REVOKE")
}

/// Where what begins here ends: at a semicolon, or at the parenthesis that closes around it.
fn enclosed(tokens: &[Token<'_>], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start).take(WINDOW) {
        match (token.kind, token.raw) {
            (Kind::Symbol, "(") => depth += 1,
            (Kind::Symbol, ")") if depth == 0 => return at,
            (Kind::Symbol, ")") => depth -= 1,
            (Kind::Symbol, ";") | (Kind::End, _) => return at,
            _ => {}
        }
    }
    tokens.len().min(start + WINDOW)
}

fn truncates(before: Option<&Token<'_>>, next: Option<&Token<'_>>) -> bool {
    let event =
        before.is_some_and(|token| token.is_any(&["OR", "BEFORE", "AFTER", "OF", "FOR", "ALTER", "AS"]) || token.symbol("."));
    let named = next.is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Quoted) && !token.is_any(&["ON", "OR", "FROM"]));
    !event && named
}

/// A `DELETE` or `UPDATE` that is a statement, and no clause of that name.
fn row_change(cursor: &mut Cursor<'_, '_>, before: Option<&Token<'_>>, dialect: Dialect) -> Option<Op> {
    let next = cursor.ahead(1)?;
    let clause = ["FOR", "OF", "OR", "BEFORE", "AFTER", "KEY"];
    let certain = cursor.sees(&["DELETE", "FROM"]);
    if before.is_some_and(|token| token.is_any(&clause) && !certain || token.symbol(".")) {
        return None;
    }
    let on = before.is_some_and(|token| token.is("ON"));
    if cursor.sees(&["DELETE"]) {
        let from = dialect == Dialect::Mysql && cursor.rest().iter().any(|token| token.is("FROM"));
        return (!on && (next.is("FROM") || from)).then(|| statement(cursor)).flatten();
    }
    let target =
        matches!(next.kind, Kind::Word | Kind::Quoted) && !next.is_any(&["SET", "OF", "ON", "OR", "NOWAIT", "SKIP", "CASCADE"]);
    let set = outside(cursor.rest()).iter().skip(2).take(40).any(|token| token.is("SET"));
    (!on && target && set).then(|| statement(cursor)).flatten()
}

/// The statement that begins here; nothing for an empty one.
pub(super) fn statement(cursor: &mut Cursor<'_, '_>) -> Option<Op> {
    let first = cursor.next()?;
    if first.kind == Kind::Symbol && first.raw == "(" {
        return Some(Op::Other { known: true });
    }
    if first.kind != Kind::Word {
        return Some(Op::Other { known: false });
    }
    let op = match first.upper().as_str() {
        "DROP" => drop(cursor),
        "TRUNCATE" => {
            cursor.eat(&["TABLE"]);
            cursor.eat(&["ONLY"]);
            let names = cursor.names();
            Op::Truncate { names, cascade: has(cursor, &["CASCADE"]) }
        }
        "DELETE" => delete(cursor),
        "UPDATE" => update(cursor),
        "MERGE" => merge(cursor),
        "CREATE" => create(cursor),
        "ALTER" => alter(cursor),
        "RENAME" if cursor.eat_any(&["TABLE", "TABLES"]).is_some() => rename_tables(cursor),
        "RENAME" => Op::Rename { what: "user".to_owned(), name: Name::default() },
        "REINDEX" => Op::Reindex { concurrently: has(cursor, &["CONCURRENTLY"]) },
        "REFRESH" => {
            cursor.eat(&["MATERIALIZED", "VIEW"]);
            let concurrently = cursor.eat(&["CONCURRENTLY"]);
            Op::Refresh { name: cursor.name().unwrap_or_default(), concurrently }
        }
        "VACUUM" if has(cursor, &["FULL"]) => Op::VacuumFull,
        "CLUSTER" | "REPACK" => Op::Cluster,
        "LOCK" => Op::Lock,
        "OPTIMIZE" => {
            cursor.eat_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
            cursor.eat_any(&["TABLE", "TABLES"]);
            Op::Rebuild(cursor.name().unwrap_or_default())
        }
        "REVOKE" => Op::Revoke,
        "RESET" | "PURGE" | "SHUTDOWN" | "KILL" | "CLONE" | "INSTALL" | "UNINSTALL" if cursor.dialect == Dialect::Mysql => {
            Op::Server("server by hand".to_owned())
        }
        "SET" | "RESET" | "DISCARD" | "USE" => setting(cursor, &first.upper()),
        "BEGIN" | "START" => Op::Begin,
        "COMMIT" | "END" => Op::Commit,
        "ROLLBACK" | "ABORT" => Op::Rollback,
        "IMPORT" if cursor.dialect == Dialect::Mysql => Op::Other { known: false },
        "SOURCE" | "SYSTEM" if cursor.dialect == Dialect::Mysql => Op::Client,
        "LOAD" if cursor.dialect == Dialect::Postgres => Op::Dynamic("a library is loaded into the server".to_owned()),
        "COPY" if has(cursor, &["PROGRAM"]) => Op::Dynamic("a program is started on the server".to_owned()),
        "EXECUTE" | "DEALLOCATE" | "UNLOCK" | "SAVEPOINT" | "RELEASE" | "GRANT" | "FLUSH" | "ANALYZE" | "CHECK" | "SHOW" => {
            Op::Other { known: true }
        }
        _ => Op::Other { known: false },
    };
    Some(op)
}

fn has(cursor: &Cursor<'_, '_>, words: &[&str]) -> bool {
    cursor.rest().iter().any(|token| token.is_any(words))
}

fn drop(cursor: &mut Cursor<'_, '_>) -> Op {
    let mut what = Vec::new();
    while let Some(token) = cursor.peek().filter(|token| token.kind == Kind::Word) {
        let word = token.upper();
        let more = match what.last().map(String::as_str) {
            None => true,
            Some(
                "MATERIALIZED" | "FOREIGN" | "ACCESS" | "EVENT" | "TEXT" | "TEMPORARY" | "OPERATOR" | "USER" | "DATA" | "SEARCH",
            ) => {
                ["VIEW", "TABLE", "METHOD", "TRIGGER", "SEARCH", "CLASS", "FAMILY", "MAPPING", "DATA", "WRAPPER"]
                    .contains(&word.as_str())
                    || what.last().is_some_and(|last| last == "SEARCH")
            }
            Some(_) => false,
        };
        if !more {
            break;
        }
        what.push(word);
        cursor.at += 1;
    }
    if what.first().is_some_and(|word| word == "TEMPORARY") {
        what.remove(0);
    }
    let concurrently = cursor.eat(&["CONCURRENTLY"]);
    cursor.eat_if();
    let names = cursor.names();
    if cursor.eat(&["ON"]) && what.first().is_some_and(|word| word == "INDEX") && cursor.dialect == Dialect::Mysql {
        let names = cursor.names();
        return Op::Drop { what: "INDEX".to_owned(), names, concurrently };
    }
    Op::Drop { what: what.join(" "), names, concurrently }
}

fn delete(cursor: &mut Cursor<'_, '_>) -> Op {
    while cursor.eat_any(&["LOW_PRIORITY", "QUICK", "IGNORE", "HISTORY", "FROM", "ONLY"]).is_some() {}
    let table = cursor.name().unwrap_or_default();
    Op::Delete { table, filter: filter(cursor.rest()) }
}

fn update(cursor: &mut Cursor<'_, '_>) -> Op {
    while cursor.eat_any(&["LOW_PRIORITY", "IGNORE", "ONLY"]).is_some() {}
    let table = cursor.name().unwrap_or_default();
    Op::Update { table, filter: filter(cursor.rest()) }
}

/// Whether a `WHERE` at the statement's own level depends on the row.
pub(super) fn filter(tokens: &[Token<'_>]) -> Filter {
    let (mut depth, mut at) = (0_usize, None);
    for (i, token) in tokens.iter().enumerate() {
        match (token.kind, token.raw) {
            (Kind::Symbol, "(") => depth += 1,
            (Kind::Symbol, ")") => depth = depth.saturating_sub(1),
            (Kind::Symbol, ";") => break,
            _ if depth == 0 && token.is("WHERE") => at = Some(i + 1),
            _ => {}
        }
    }
    let Some(at) = at else { return Filter::All };
    let rest = &tokens[at..];
    let end = outside_position(rest, &["RETURNING", "ORDER", "LIMIT"]).unwrap_or(rest.len());
    if always(&rest[..end], 0) { Filter::All } else { Filter::Some }
}

/// Where one of these words stands outside of parentheses.
fn outside_position(tokens: &[Token<'_>], words: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        match (token.kind, token.raw) {
            (Kind::Symbol, "(") => depth += 1,
            (Kind::Symbol, ")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is_any(words)
    })
}

/// Whether a condition holds whatever the row: it names nothing, compares something with itself, or one of its alternatives does.
fn always(tokens: &[Token<'_>], level: usize) -> bool {
    // Nobody writes such a condition by hand: it counts as none.
    if level > 16 {
        return true;
    }
    let mut rest = tokens;
    while let Some(at) = outside_position(rest, &["OR"]) {
        if always_one(&rest[..at], level) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    always_one(rest, level)
}

/// The same of a condition without alternatives at its own level.
fn always_one(tokens: &[Token<'_>], level: usize) -> bool {
    if let [first, inner @ .., last] = tokens
        && first.symbol("(")
        && last.symbol(")")
        && enclosed(inner, 0) == inner.len()
    {
        return always(inner, level + 1);
    }
    let constants = [
        "TRUE",
        "FALSE",
        "NOT",
        "AND",
        "NULL",
        "IS",
        "IN",
        "BETWEEN",
        "LIKE",
        "UNKNOWN",
        "EXISTS",
        "SELECT",
        "CURRENT_DATE",
        "CURRENT_TIMESTAMP",
        "CURRENT_USER",
        "INTERVAL",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "BOOLEAN",
        "BOOL",
        "INT",
        "INTEGER",
        "TEXT",
    ];
    let names = |at: usize| {
        let call = tokens.get(at + 1).is_some_and(|next| next.symbol("("));
        matches!(tokens[at].kind, Kind::Word | Kind::Quoted) && !tokens[at].is_any(&constants) && !call
    };
    if !(0..tokens.len()).any(names) {
        return true;
    }
    // All of what AND joins must hold.
    if !tokens.iter().any(|token| token.is("BETWEEN")) && outside_position(tokens, &["AND"]).is_some() {
        let mut rest = tokens;
        while let Some(at) = outside_position(rest, &["AND"]) {
            if !always_one(&rest[..at], level) {
                return false;
            }
            rest = &rest[at + 1..];
        }
        return always_one(rest, level);
    }
    // a = a, t.a = t.a
    let middle = tokens.len() / 2;
    tokens.len() % 2 == 1
        && tokens[middle].symbol("=")
        && tokens[..middle].iter().zip(&tokens[middle + 1..]).all(|(a, b)| a.raw.eq_ignore_ascii_case(b.raw))
}

fn merge(cursor: &mut Cursor<'_, '_>) -> Op {
    cursor.eat(&["INTO"]);
    cursor.eat(&["ONLY"]);
    let name = cursor.name().unwrap_or_default();
    let deletes = cursor.rest().windows(2).any(|pair| pair[0].is("THEN") && pair[1].is("DELETE"));
    if deletes { Op::MergeDelete(name) } else { Op::Other { known: true } }
}

fn create(cursor: &mut Cursor<'_, '_>) -> Op {
    let or_replace = cursor.eat(&["OR", "REPLACE"]);
    let mut temporary = false;
    while let Some(word) = cursor.eat_any(&["GLOBAL", "LOCAL", "TEMPORARY", "TEMP", "UNLOGGED", "FOREIGN"]) {
        temporary |= word.starts_with("TEMP");
    }
    let unique = cursor.eat(&["UNIQUE"]);
    cursor.eat_any(&["FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE"]);
    if cursor.eat(&["INDEX"]) {
        return index(cursor, unique);
    }
    if cursor.eat(&["TABLE"]) {
        let mut table = Table { temporary, or_replace, ..Table::default() };
        table.uncertain = cursor.eat_if();
        table.name = cursor.name().unwrap_or_default();
        if let Some(inner) = cursor.parens() {
            table_body(inner, cursor.dialect, &mut table);
        }
        table.uncertain |= has(cursor, &["COMMIT"]);
        table.derived |= outside(cursor.rest()).iter().any(|token| token.is_any(&["AS", "SELECT", "LIKE", "OF", "INHERITS"]));
        return Op::CreateTable(Box::new(table));
    }
    let account = cursor.dialect == Dialect::Mysql && (cursor.sees(&["USER"]) || cursor.sees(&["ROLE"]));
    Op::Other { known: account || cursor.sees(&["DATABASE"]) || cursor.sees(&["SCHEMA"]) }
}

fn index(cursor: &mut Cursor<'_, '_>, unique: bool) -> Op {
    let concurrently = cursor.eat(&["CONCURRENTLY"]);
    cursor.eat_if();
    let name = if cursor.sees(&["ON"]) { None } else { cursor.name() };
    if cursor.eat(&["USING"]) {
        cursor.next();
    }
    cursor.eat(&["ON"]);
    cursor.eat(&["ONLY"]);
    let table = cursor.name().unwrap_or_default();
    if cursor.eat(&["USING"]) {
        cursor.next();
    }
    let columns = cursor.columns().unwrap_or_default();
    let partial = outside(cursor.rest()).iter().any(|token| token.is("WHERE"));
    Op::CreateIndex(Index { name, table, columns, unique, concurrently, partial })
}

fn rename_tables(cursor: &mut Cursor<'_, '_>) -> Op {
    cursor.eat_if();
    let mut pairs = Vec::new();
    while let Some(table) = cursor.name() {
        if cursor.eat_any(&["WAIT"]).is_some() {
            cursor.next();
        }
        cursor.eat(&["NOWAIT"]);
        cursor.eat(&["TO"]);
        pairs.push((table, cursor.name().unwrap_or_default()));
        cursor.eat_symbol(",");
    }
    Op::RenameTables(pairs)
}

fn alter(cursor: &mut Cursor<'_, '_>) -> Op {
    cursor.eat_any(&["ONLINE", "OFFLINE", "IGNORE"]);
    cursor.eat(&["FOREIGN"]);
    if cursor.eat(&["TABLE"]) {
        return alter_table(cursor);
    }
    let mut words = Vec::new();
    while let Some(token) =
        cursor.peek().filter(|token| token.is_any(&OBJECTS) || token.is_any(&["VIEW", "SYSTEM", "SEARCH", "DATA"]))
    {
        words.push(token.raw.to_ascii_lowercase());
        cursor.at += 1;
        if words.len() == 3 {
            break;
        }
    }
    let what = words.join(" ");
    cursor.eat_if();
    let name = cursor.name().unwrap_or_default();
    let rest = outside(cursor.rest());
    let sees =
        |words: &[&str]| rest.windows(words.len()).any(|window| window.iter().zip(words).all(|(token, word)| token.is(word)));
    match what.as_str() {
        "system" | "database" | "role" | "user" | "group" => return Op::Server(what),
        "schema" if cursor.dialect == Dialect::Mysql => return Op::Server(what),
        // What it runs is read where it stands.
        "event" => return Op::Other { known: false },
        "type" if sees(&["RENAME", "VALUE"]) => return Op::RenameValue(name),
        "domain"
            if sees(&["ADD"]) && (sees(&["CHECK"]) || sees(&["NOT", "NULL"]))
                || what == "domain" && sees(&["SET", "NOT", "NULL"]) =>
        {
            return Op::DomainConstraint { name, not_valid: sees(&["NOT", "VALID"]) };
        }
        _ => {}
    }
    if sees(&["DROP"]) {
        let part = format!("part of {}", what.to_uppercase());
        return Op::Drop { what: part, names: vec![name], concurrently: false };
    }
    if sees(&["RENAME"]) {
        return Op::Rename { what, name };
    }
    if sees(&["SET", "SCHEMA"]) {
        return Op::SetSchema { what, name };
    }
    Op::Other { known: false }
}

fn setting(cursor: &mut Cursor<'_, '_>, verb: &str) -> Op {
    if verb != "SET" {
        return Op::Set { name: verb.to_lowercase(), value: String::new() };
    }
    cursor.eat_any(&["SESSION", "LOCAL", "GLOBAL", "PERSIST"]);
    while cursor.eat_symbol("@") {}
    let name = cursor.name().map(|name| name.parts.join(".").to_lowercase()).unwrap_or_default();
    let name = name.trim_start_matches("session.").trim_start_matches("global.").to_owned();
    let value =
        cursor.rest().iter().filter(|token| !token.symbol("=") && !token.is("TO")).map(|token| token.raw).collect::<Vec<_>>();
    Op::Set { name, value: value.join(" ").to_lowercase() }
}

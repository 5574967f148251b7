//! Reads columns and constraints, as `CREATE TABLE` and `ALTER TABLE … ADD` write them.

use super::Dialect;
use super::op::{Column, Constraint, ConstraintKind, Default, Table};
use super::token::{Cursor, Kind, Token, parted};

/// What may follow a column's type.
const AFTER_TYPE: [&str; 34] = [
    "CONSTRAINT",
    "NOT",
    "NULL",
    "DEFAULT",
    "PRIMARY",
    "UNIQUE",
    "REFERENCES",
    "CHECK",
    "GENERATED",
    "AS",
    "COLLATE",
    "AUTO_INCREMENT",
    "COMMENT",
    "ON",
    "FIRST",
    "AFTER",
    "KEY",
    "STORAGE",
    "COMPRESSION",
    "USING",
    "VISIBLE",
    "INVISIBLE",
    "VIRTUAL",
    "STORED",
    "PERSISTENT",
    "CHARSET",
    "DEFERRABLE",
    "INITIALLY",
    "ENABLE",
    "SRID",
    "COLUMN_FORMAT",
    "OPTIONS",
    "BINARY",
    "WITH_OPTIONS",
];

/// Functions whose value is the same for every row of a statement, and words that look like functions in a type.
const STABLE: [&str; 47] = [
    "NOW",
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "TRANSACTION_TIMESTAMP",
    "STATEMENT_TIMESTAMP",
    "LOCALTIMESTAMP",
    "LOCALTIME",
    "LOWER",
    "UPPER",
    "COALESCE",
    "NULLIF",
    "TO_JSON",
    "TO_JSONB",
    "JSONB_BUILD_OBJECT",
    "JSON_BUILD_OBJECT",
    "JSONB_BUILD_ARRAY",
    "JSON_BUILD_ARRAY",
    "JSONB",
    "JSON",
    "ARRAY",
    "ROW",
    "CAST",
    "MAKE_DATE",
    "MAKE_INTERVAL",
    "TIMEZONE",
    "TO_TIMESTAMP",
    "DECODE",
    "ENCODE",
    "MD5",
    "LENGTH",
    "DATE_TRUNC",
    "EXTRACT",
    "AGE",
    "CURRENT_SETTING",
    "VARCHAR",
    "CHAR",
    "CHARACTER",
    "VARYING",
    "NUMERIC",
    "DECIMAL",
    "BIT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "INTERVAL",
    "FLOAT",
];

/// The columns and constraints between the parentheses of a `CREATE TABLE`.
pub(super) fn table_body(inner: &[Token<'_>], dialect: Dialect, table: &mut Table) {
    for part in parted(inner).into_iter().filter(|part| !part.is_empty()) {
        let mut cursor = Cursor::new(part, dialect);
        let span = span_of(part);
        if cursor.sees(&["LIKE"]) {
            table.derived = true;
        } else if let Some(constraint) = constraint(&mut cursor) {
            table.constraints.push((constraint, span));
        } else if let Some(column) = column(&mut Cursor::new(part, dialect)) {
            table.columns.push(column);
        }
    }
}

/// From the first to the last token.
pub(super) fn span_of(tokens: &[Token<'_>]) -> std::ops::Range<usize> {
    let start = tokens.first().map_or(0, |token| token.span.0);
    start..tokens.last().map_or(start, |token| token.span.1)
}

/// A constraint of a table, if one comes next; else the cursor is where it was.
pub(super) fn constraint(cursor: &mut Cursor<'_, '_>) -> Option<Constraint> {
    let start = cursor.at;
    let found = read_constraint(cursor);
    if found.is_none() {
        cursor.at = start;
    }
    found
}

fn read_constraint(cursor: &mut Cursor<'_, '_>) -> Option<Constraint> {
    let mysql = cursor.dialect == Dialect::Mysql;
    let mut name = None;
    if cursor.eat(&["CONSTRAINT"]) && !cursor.sees(&["PRIMARY", "KEY"]) && !cursor.sees(&["FOREIGN", "KEY"]) {
        name = cursor.peek().filter(|token| !token.is_any(&["UNIQUE", "CHECK"])).and_then(|_| cursor.name());
    }
    let kind = if cursor.eat(&["PRIMARY", "KEY"]) {
        ConstraintKind::Primary
    } else if cursor.eat(&["FOREIGN", "KEY"]) {
        ConstraintKind::Foreign
    } else if cursor.eat(&["UNIQUE"]) {
        ConstraintKind::Unique
    } else if cursor.sees(&["CHECK"]) && cursor.ahead(1).is_some_and(|next| next.symbol("(")) {
        ConstraintKind::Check
    } else if cursor.sees(&["EXCLUDE"]) && cursor.ahead(1).is_some_and(|next| next.is("USING") || next.symbol("(")) {
        ConstraintKind::Exclude
    } else if name.is_some() && cursor.eat(&["NOT", "NULL"]) {
        ConstraintKind::NotNull
    } else if mysql && is_index(cursor) {
        cursor.eat_any(&["FULLTEXT", "SPATIAL"]);
        cursor.eat_any(&["INDEX", "KEY"]);
        ConstraintKind::Index
    } else {
        return None;
    };
    cursor.eat(&["NULLS", "NOT", "DISTINCT"]);
    let mut using_index = false;
    if mysql {
        cursor.eat_any(&["INDEX", "KEY"]);
        cursor.eat_if();
        let named = !cursor.peek().is_some_and(|token| token.symbol("(") || token.is("USING"));
        if named && matches!(kind, ConstraintKind::Unique | ConstraintKind::Foreign | ConstraintKind::Index) {
            name = cursor.name().or(name);
        }
        if cursor.eat(&["USING"]) {
            cursor.next();
        }
    } else if cursor.eat(&["USING", "INDEX"]) {
        using_index = true;
    }
    let columns = match kind {
        ConstraintKind::Primary | ConstraintKind::Unique | ConstraintKind::Foreign | ConstraintKind::Index => {
            cursor.columns().unwrap_or_default()
        }
        ConstraintKind::NotNull => cursor.name().map(|name| vec![name.last().to_lowercase()]).unwrap_or_default(),
        ConstraintKind::Check | ConstraintKind::Exclude => Vec::new(),
    };
    let not_valid = outside(cursor.rest()).windows(2).any(|pair| pair[0].is("NOT") && pair[1].is_any(&["VALID", "ENFORCED"]));
    cursor.at = cursor.tokens.len();
    Some(Constraint { name, kind, columns, using_index, not_valid })
}

/// Whether an index of MySQL comes next: a column may be called `key` or `index` only in quotes.
fn is_index(cursor: &Cursor<'_, '_>) -> bool {
    cursor.peek().is_some_and(|token| token.is_any(&["INDEX", "KEY", "FULLTEXT", "SPATIAL"]))
}

/// The tokens that are in no parentheses.
pub(super) fn outside<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut depth = 0_usize;
    let mut out = Vec::new();
    for token in tokens {
        if token.symbol(")") {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            out.push(*token);
        }
        if token.symbol("(") {
            depth += 1;
        }
    }
    out
}

/// A type: its words in capitals, and what is in its parentheses.
pub(super) fn data_type(cursor: &mut Cursor<'_, '_>) -> (String, String) {
    let (mut words, mut args) = (Vec::new(), String::new());
    while let Some(token) = cursor.peek() {
        if token.symbol("(") {
            let inner = cursor.parens().unwrap_or(&[]);
            args = inner.iter().map(|token| token.raw).collect::<Vec<_>>().join(" ");
        } else if token.symbol("[") || token.symbol("]") {
            words.push(token.raw.to_owned());
            cursor.at += 1;
        } else if cursor.sees(&["CHARACTER", "SET"]) || token.is_any(&AFTER_TYPE) && !words.is_empty() {
            break;
        } else if matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Number) || token.symbol(".") || token.symbol("%") {
            words.push(if token.kind == Kind::Word { token.upper() } else { token.raw.to_owned() });
            cursor.at += 1;
        } else {
            break;
        }
    }
    let kind = words.join(" ").replace(" . ", ".").replace(" [ ]", "[]");
    (kind.strip_prefix("PG_CATALOG.").map_or(kind.clone(), str::to_owned), args)
}

/// A column with its type and constraints.
pub(super) fn column(cursor: &mut Cursor<'_, '_>) -> Option<Column> {
    let name = cursor.name()?;
    let (kind, args) = data_type(cursor);
    let mut column = Column {
        name,
        kind,
        args,
        not_null: false,
        default: Default::None,
        stored: false,
        generated: false,
        identity: false,
        primary: false,
        unique: false,
        check: false,
        references: None,
        known: true,
    };
    while !cursor.done() {
        attribute(cursor, &mut column);
    }
    Some(column)
}

fn attribute(cursor: &mut Cursor<'_, '_>, column: &mut Column) {
    let mysql = cursor.dialect == Dialect::Mysql;
    if cursor.eat(&["CONSTRAINT"]) {
        if !cursor.peek().is_some_and(|token| token.is_any(&["CHECK", "UNIQUE", "PRIMARY", "REFERENCES", "NOT", "DEFAULT"])) {
            cursor.name();
        }
    } else if cursor.eat(&["NOT", "NULL"]) {
        column.not_null = true;
    } else if cursor.eat(&["NULL"]) || cursor.eat(&["NO", "INHERIT"]) {
    } else if cursor.eat(&["DEFAULT"]) {
        column.default = default(cursor);
    } else if cursor.eat(&["PRIMARY", "KEY"]) || (mysql && cursor.eat(&["PRIMARY"])) {
        column.primary = true;
    } else if cursor.eat(&["UNIQUE"]) {
        column.unique = true;
        cursor.eat(&["KEY"]);
        cursor.eat(&["NULLS", "NOT", "DISTINCT"]);
    } else if mysql && cursor.eat(&["KEY"]) {
        column.primary = true;
    } else if cursor.eat(&["REFERENCES"]) {
        column.references = cursor.name();
        cursor.parens();
        references_end(cursor);
    } else if cursor.eat(&["CHECK"]) {
        column.check = true;
        cursor.parens();
        _ = cursor.eat(&["NOT", "VALID"]) || cursor.eat(&["NOT", "ENFORCED"]);
    } else if cursor.eat(&["GENERATED"]) {
        _ = cursor.eat(&["ALWAYS"]) || cursor.eat(&["BY", "DEFAULT", "ON", "NULL"]) || cursor.eat(&["BY", "DEFAULT"]);
        generated(cursor, column);
    } else if cursor.sees(&["AS"]) {
        generated(cursor, column);
    } else if cursor.eat_any(&["AUTO_INCREMENT"]).is_some() {
        column.identity = true;
    } else if cursor.eat(&["ON", "UPDATE"]) {
        default(cursor);
    } else if cursor.eat(&["COLLATE"]) || cursor.eat(&["CHARACTER", "SET"]) || cursor.eat(&["CHARSET"]) {
        cursor.eat_symbol("=");
        cursor.name();
    } else if cursor.eat_any(&["COMMENT", "STORAGE", "COMPRESSION", "AFTER", "SRID", "COLUMN_FORMAT"]).is_some() {
        cursor.next();
    } else if cursor.eat_any(&["FIRST", "VISIBLE", "INVISIBLE", "DEFERRABLE", "BINARY"]).is_some()
        || cursor.eat(&["NOT", "DEFERRABLE"])
        || cursor.eat(&["INITIALLY", "DEFERRED"])
        || cursor.eat(&["INITIALLY", "IMMEDIATE"])
    {
    } else {
        column.known = false;
        cursor.next();
    }
}

fn references_end(cursor: &mut Cursor<'_, '_>) {
    loop {
        if cursor.eat(&["MATCH"]) {
            cursor.next();
        } else if cursor.sees(&["ON", "DELETE"]) || cursor.sees(&["ON", "UPDATE"]) {
            cursor.at += 2;
            if cursor.eat_any(&["SET", "NO"]).is_some() {
                cursor.next();
                cursor.parens();
            } else {
                cursor.next();
            }
        } else {
            return;
        }
    }
}

fn generated(cursor: &mut Cursor<'_, '_>, column: &mut Column) {
    if !cursor.eat(&["AS"]) {
        return;
    }
    if cursor.eat(&["IDENTITY"]) {
        column.identity = true;
        cursor.parens();
        return;
    }
    column.generated = true;
    cursor.parens();
    column.stored = cursor.eat_any(&["STORED", "PERSISTENT"]).is_some();
    cursor.eat(&["VIRTUAL"]);
}

/// Takes the expression behind `DEFAULT`, and tells whether its value is the same for every row.
pub(super) fn default(cursor: &mut Cursor<'_, '_>) -> Default {
    let start = cursor.at;
    while let Some(token) = cursor.peek() {
        let first = cursor.at == start;
        let cast = !first && cursor.tokens[cursor.at - 1].symbol(":");
        if token.symbol("(") {
            cursor.parens();
        } else if !first && !cast && token.is_any(&AFTER_TYPE) && !token.is("AS") {
            break;
        } else {
            cursor.at += 1;
        }
    }
    let taken = &cursor.tokens[start..cursor.at];
    if taken.iter().all(|token| token.is("NULL")) {
        return Default::None;
    }
    if volatile(taken, cursor.dialect) { Default::Volatile } else { Default::Constant }
}

fn volatile(tokens: &[Token<'_>], dialect: Dialect) -> bool {
    let calls = tokens
        .windows(2)
        .any(|pair| matches!(pair[0].kind, Kind::Word | Kind::Quoted) && pair[1].symbol("(") && !pair[0].is_any(&STABLE));
    // An expression in parentheses copies the table in MySQL, unless it is a plain value.
    let expression = dialect == Dialect::Mysql
        && tokens.first().is_some_and(|token| token.symbol("("))
        && tokens.iter().any(|token| token.kind == Kind::Word);
    calls || expression
}

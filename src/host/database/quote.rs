//! Names and texts as parts of a statement, quoted as the server reads them.

use crate::protocol::Engine;

/// A name: of a database, a schema, a table.
pub(in crate::host) fn ident(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        Engine::Mysql => format!("`{}`", name.replace('`', "``")),
    }
}

/// A text. PostgreSQL reads a backslash as it is, MySQL as the begin of an escape.
pub(in crate::host) fn literal(engine: Engine, text: &str) -> String {
    let text = text.replace('\'', "''");
    match engine {
        Engine::Postgres => format!("'{text}'"),
        Engine::Mysql => format!("'{}'", text.replace('\\', "\\\\")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_it_does_not() {
        assert_eq!(ident(Engine::Postgres, "o'\"x`"), "\"o'\"\"x`\"");
        assert_eq!(ident(Engine::Mysql, "o'\"x`"), "`o'\"x```");
        assert_eq!(literal(Engine::Postgres, r"o'\x"), r"'o''\x'");
        assert_eq!(literal(Engine::Mysql, r"o'\x"), r"'o''\\x'");
    }
}

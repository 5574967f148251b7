//! What keeps a file from being handed to psql or mysql as it is, statement by statement, in a transaction that is not its own. Text in,
//! places out.

use super::Dialect;
use super::lex::lex;
use super::token::{Kind, Token};

/// Each with its line, counted from 1. In a file that runs in a transaction nothing may end that.
pub fn obstacles(text: &str, transaction: bool, dialect: Dialect) -> Vec<(usize, &'static str)> {
    let tokens = lex(text, 0, dialect);
    let mut begins = true;
    let mut found = Vec::new();
    if dialect == Dialect::Mysql {
        found.extend(delimiter_left(text).map(|line| (line, "a DELIMITER that is not set back to `;`")));
    }
    for (at, token) in tokens.iter().enumerate() {
        let what = match token.kind {
            Kind::Meta => Some("a command to the client: the file may hold SQL alone"),
            Kind::Bad => Some("a string, comment or COPY that never ends"),
            Kind::Word if begins && transaction => control(&tokens[at..]),
            _ => None,
        };
        begins = matches!(token.kind, Kind::End | Kind::Meta | Kind::Data | Kind::Bad);
        let line = || text[..token.span.0].matches('\n').count() + 1;
        found.extend(what.map(|what| (line(), what)));
    }
    found
}

/// The line of the last DELIMITER, where that is another one than what the client began with: what is said behind the file is read by it.
fn delimiter_left(text: &str) -> Option<usize> {
    let said = |line: &str| {
        let (word, delimiter) = line.trim().split_once(char::is_whitespace)?;
        word.eq_ignore_ascii_case("delimiter").then(|| delimiter.trim() != ";")
    };
    let (at, left) = text.lines().enumerate().filter_map(|(at, line)| Some((at, said(line)?))).last()?;
    left.then_some(at + 1)
}

fn control(statement: &[Token<'_>]) -> Option<&'static str> {
    let first = statement.first()?;
    let words = || statement.iter().take_while(|token| token.kind != Kind::End);
    let ends = match () {
        () if first.is_any(&["BEGIN", "COMMIT", "END", "ABORT"]) => true,
        () if first.is_any(&["START", "PREPARE"]) => words().nth(1).is_some_and(|token| token.is("TRANSACTION")),
        // To a savepoint: the transaction goes on.
        () if first.is("ROLLBACK") => !words().any(|token| token.is("TO")),
        () => false,
    };
    ends.then_some("begins or ends a transaction, and the file runs in one already")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_transaction_or_talk_to_psql_is_found() {
        let text = "-- COMMIT;\nBEGIN;\nDO $$ BEGIN NULL; END $$;\nSAVEPOINT a; ROLLBACK TO a;\nSELECT 'COMMIT;';\nCOMMIT;\n\\i x.sql\nSELECT 'open";
        let lines: Vec<usize> = obstacles(text, true, Dialect::Postgres).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 6, 7, 8]);
        let lines: Vec<usize> = obstacles(text, false, Dialect::Postgres).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [7, 8], "without a transaction a file may have its own");
        assert!(obstacles("COPY a FROM stdin;\n1\tBEGIN\n\\.\nSELECT 1;\n", true, Dialect::Postgres).is_empty());
        assert!(!obstacles("COPY a FROM stdin;\n1\n", true, Dialect::Postgres).is_empty());
    }
}

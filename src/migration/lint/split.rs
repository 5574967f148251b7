//! Tokens into statements. A semicolon ends one, wherever it stands, except in the bodies that may hold statements.

use super::Dialect;
use super::token::{Kind, Token};

/// The statements of a text: never an empty one.
pub(super) fn split<'t, 'a>(tokens: &'t [Token<'a>], dialect: Dialect) -> Vec<&'t [Token<'a>]> {
    let mut out = Vec::new();
    let mut at = 0;
    // Once a body has no end, none is looked for any more: what follows is cut at each semicolon.
    let mut bodies = true;
    while at < tokens.len() {
        let end = match tokens[at].kind {
            Kind::End | Kind::Data => {
                at += 1;
                continue;
            }
            Kind::Meta | Kind::Bad => at + 1,
            _ => end_of(tokens, at, dialect, &mut bodies),
        };
        out.push(&tokens[at..end]);
        at = end;
    }
    out
}

fn ends(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::End | Kind::Data | Kind::Meta | Kind::Bad)
}

/// Where the statement that begins here ends: at a semicolon, or behind the end of its body if it has one and that is closed.
fn end_of(tokens: &[Token<'_>], start: usize, dialect: Dialect, bodies: &mut bool) -> usize {
    let rest = &tokens[start..];
    let plain = start + rest.iter().position(ends).unwrap_or(rest.len());
    let Some(body) = body(&tokens[start..plain], dialect).filter(|_| *bodies) else { return plain };
    let length = match body {
        Body::Parens => parens(rest),
        Body::Block => block(rest),
    };
    *bodies = length.is_some();
    length.map_or(plain, |length| (start + length).max(plain))
}

enum Body {
    /// `CREATE RULE … DO ( …; … )`
    Parens,
    /// `BEGIN … END`
    Block,
}

/// Which kind of body the words up to the first semicolon announce.
fn body(head: &[Token<'_>], dialect: Dialect) -> Option<Body> {
    if !head.first()?.is("CREATE") && !head.first()?.is("ALTER") {
        return None;
    }
    let begin = head.iter().position(|token| token.is("BEGIN"));
    let makes = |words: &[&str]| head.iter().take(12).any(|token| token.is_any(words));
    match dialect {
        Dialect::Postgres if makes(&["RULE"]) => head.iter().any(|token| token.symbol("(")).then_some(Body::Parens),
        Dialect::Postgres => head.get(begin? + 1)?.is("ATOMIC").then_some(Body::Block),
        Dialect::Mysql => begin.filter(|_| makes(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"])).map(|_| Body::Block),
    }
}

/// How many tokens there are up to the semicolon outside of all parentheses; nothing, if they are never closed.
fn parens(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::End if depth == 0 => return Some(at),
            Kind::Meta | Kind::Bad | Kind::Data => return None,
            Kind::Symbol if token.raw == "(" => depth += 1,
            Kind::Symbol if token.raw == ")" => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(tokens.len())
}

/// How many tokens there are up to the `END` that closes the first `BEGIN`; nothing, if none does.
fn block(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut begun = false;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if matches!(token.kind, Kind::Meta | Kind::Bad | Kind::Data) {
            return None;
        }
        if token.is("BEGIN") || (begun && token.is("CASE")) {
            depth += 1;
            begun = true;
        } else if token.is("END") && begun {
            if tokens.get(at + 1).is_some_and(|next| next.is_any(&["IF", "LOOP", "WHILE", "REPEAT", "FOR"])) {
                at += 2;
                continue;
            }
            depth = depth.checked_sub(1)?;
            // `END CASE` is one end, not the beginning of another CASE.
            at += usize::from(tokens.get(at + 1).is_some_and(|next| next.is("CASE")));
            if depth == 0 {
                let tail = tokens.get(at + 1..)?.iter().position(ends).unwrap_or(tokens.len() - at - 1);
                // A label may follow, but no other statement.
                return (tail <= 1 || tokens[at + 1..].first().is_some_and(|next| next.symbol("$"))).then_some(at + 1 + tail);
            }
        }
        at += 1;
    }
    None
}

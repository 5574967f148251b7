//! SQL inside of SQL: the bodies of `DO`, functions, triggers and events, and text that is executed. What cannot be seen from here is
//! said to be so, never passed over.

use std::ops::Range;

use super::Dialect;
use super::columns::{outside, span_of};
use super::lex::lex;
use super::op::Op;
use super::read::{OBJECTS, WINDOW, inside, read, statement};
use super::token::{Cursor, Kind, Token};

/// How deep strings in strings are followed.
const DEEPEST: usize = 6;
/// More deeds than that in one statement's bodies are not told one by one; what is told refuses it already.
const MOST: usize = 4_000;

/// More statements than that are not looked for in one that cannot be read.
const MOST_TORN: usize = 1_000;

/// Where something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// By the statement itself.
    Statement,
    /// In a body that runs at once.
    Do,
    /// In a body that runs when somebody calls it.
    Routine,
    /// Somewhere in what could not be read: a statement of its own, perhaps.
    Torn,
}

/// Something that is done, and where it is written.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) op: Op,
    pub(super) span: Range<usize>,
    pub(super) within: Within,
}

/// Everything a statement does, down into its bodies.
pub(super) fn deeds(tokens: &[Token<'_>], dialect: Dialect) -> Vec<Deed> {
    let mut out: Vec<Deed> =
        read(tokens, dialect).into_iter().map(|(op, span)| Deed { op, span, within: Within::Statement }).collect();
    let Some(first) = tokens.first() else { return out };
    let mut look = Look { dialect, within: Within::Do, out: Vec::new() };
    let head = |words: &[&str]| tokens.iter().take(14).take_while(|token| !token.symbol("(")).any(|token| token.is_any(words));
    if first.is("DO") && dialect == Dialect::Postgres {
        look.bodies(tokens, true);
    } else if first.is("CREATE") && head(&["FUNCTION", "PROCEDURE"]) && dialect == Dialect::Postgres {
        look.within = Within::Routine;
        look.bodies(tokens, false);
    } else if first.is_any(&["CREATE", "ALTER"]) && head(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"]) {
        look.within = Within::Routine;
        if dialect == Dialect::Mysql {
            look.block(tokens, 0);
        }
    } else if dialect == Dialect::Mysql && (first.is_any(&["PREPARE", "EXECUTE", "BEGIN"])) {
        look.block(tokens, 0);
    }
    for deed in look.out {
        // What the first reading found in a body already is not told twice.
        if !out
            .iter()
            .any(|known| known.span == deed.span && std::mem::discriminant(&known.op) == std::mem::discriminant(&deed.op))
        {
            out.push(deed);
        }
    }
    out
}

/// What a statement may hold that cannot be read: a semicolon that is missing, or a word that does not belong there, hides none of what
/// stands behind it.
pub(super) fn torn(tokens: &[Token<'_>], known: &[Deed], dialect: Dialect) -> Vec<Deed> {
    let begins: Vec<usize> = (1..tokens.len()).filter(|at| begins(tokens, *at)).collect();
    let ends = begins.iter().skip(1).copied().chain([tokens.len()]);
    let mut found = Vec::new();
    for (from, to) in begins.iter().copied().zip(ends).take(MOST_TORN) {
        found.extend(deeds(&tokens[from..to], dialect));
    }
    let same = |deed: &Deed, other: &Deed| {
        deed.span.start == other.span.start && std::mem::discriminant(&deed.op) == std::mem::discriminant(&other.op)
    };
    found.retain(|deed| !matches!(deed.op, Op::Other { .. }) && !known.iter().any(|other| same(deed, other)));
    for deed in found.iter_mut().filter(|deed| deed.within == Within::Statement) {
        deed.within = Within::Torn;
    }
    found
}

/// Whether a statement may begin at this word, whatever stands before it.
fn begins(tokens: &[Token<'_>], at: usize) -> bool {
    let next = tokens.get(at + 1);
    let token = &tokens[at];
    if token.is_any(&["ALTER", "RENAME"]) {
        return next.is_some_and(|next| next.is_any(&OBJECTS));
    }
    if token.is("CREATE") {
        let more = ["OR", "UNIQUE", "FULLTEXT", "SPATIAL", "TEMP", "UNLOGGED", "GLOBAL", "LOCAL", "DEFINER", "CONSTRAINT"];
        return next.is_some_and(|next| next.is_any(&OBJECTS) || next.is_any(&more));
    }
    if token.is("DO") {
        return next.is_some_and(|next| next.kind == Kind::Text || next.is("LANGUAGE"));
    }
    let tables = ["TABLE", "TABLES", "INDEX", "SCHEMA", "DATABASE", "SYSTEM", "MATERIALIZED", "FULL"];
    token.is_any(&["REINDEX", "REFRESH", "VACUUM", "LOCK", "OPTIMIZE"]) && next.is_some_and(|next| next.is_any(&tables))
}

struct Look {
    dialect: Dialect,
    within: Within,
    out: Vec<Deed>,
}

impl Look {
    fn push(&mut self, op: Op, span: Range<usize>) {
        if !matches!(op, Op::Other { .. }) && self.out.len() < MOST {
            self.out.push(Deed { op, span, within: self.within });
        }
    }

    /// The strings of a `DO` or `CREATE FUNCTION` that are its body.
    fn bodies(&mut self, tokens: &[Token<'_>], anywhere: bool) {
        let outside = outside(tokens);
        let languages: Vec<String> = outside
            .windows(2)
            .filter(|pair| pair[0].is("LANGUAGE"))
            .map(|pair| match pair[1].kind {
                Kind::Text => pair[1].content().0.to_uppercase(),
                _ => pair[1].raw.trim_matches('"').to_uppercase(),
            })
            .collect();
        let read = |language: &String| matches!(language.as_str(), "PLPGSQL" | "SQL");
        if let Some(other) = languages.iter().find(|language| !read(language)) {
            let what = format!("what is written in {} is not looked into", other.to_lowercase());
            self.push(Op::Dynamic(what), span_of(tokens));
        }
        for at in 0..tokens.len() {
            let before = at.checked_sub(1).map(|at| &tokens[at]);
            let after = |words: &[&str]| before.is_some_and(|token| token.is_any(words));
            let language = |at: usize| at.checked_sub(1).is_some_and(|at| tokens[at].is("LANGUAGE"));
            let several = at > 0 && before.is_some_and(|token| token.kind == Kind::Text) && !language(at - 1);
            let body = after(&["AS", "DO"]) || several || (anywhere && !after(&["LANGUAGE"]));
            if tokens[at].kind == Kind::Text && body {
                if several {
                    self.push(Op::Dynamic("this body is put together of several strings".to_owned()), tokens[at].range());
                }
                self.text(&tokens[at], 0);
            }
        }
    }

    /// A string that holds statements.
    fn text(&mut self, token: &Token<'_>, level: usize) {
        if level > DEEPEST {
            return self.push(Op::Dynamic("strings within strings go too deep here".to_owned()), token.range());
        }
        let (content, base) = token.content();
        if token.raw.starts_with(['e', 'E', 'u', 'U']) && token.raw.contains('\\') {
            self.push(Op::Dynamic("escapes in this string may stand for anything".to_owned()), token.range());
        }
        let tokens = lex(&content, base.unwrap_or(0), self.dialect);
        let from = self.out.len();
        if tokens.iter().any(|token| matches!(token.kind, Kind::Bad | Kind::Meta | Kind::Data)) {
            self.push(Op::Dynamic("this body cannot be read to its end".to_owned()), token.range());
        }
        self.block(&tokens, level);
        if base.is_none() {
            for deed in &mut self.out[from..] {
                deed.span = token.range();
            }
        }
    }

    /// Statements with what controls them between.
    fn block(&mut self, tokens: &[Token<'_>], level: usize) {
        for fragment in tokens.split(|token| token.kind == Kind::End || token.symbol(";")) {
            for (op, span) in inside(fragment, 0, self.dialect) {
                self.push(op, span);
            }
            let routine = fragment.iter().any(|token| token.is_any(&["FUNCTION", "PROCEDURE"]));
            for at in 0..fragment.len() {
                let token = &fragment[at];
                let body = at > 0 && (fragment[at - 1].is("DO") || routine && fragment[at - 1].is("AS"));
                if token.kind == Kind::Text && body {
                    self.text(token, level + 1);
                }
                let begins = at == 0 || fragment[at - 1].is_any(&["BEGIN", "THEN", "ELSE", "LOOP", "DO", "ROW", "REPEAT"]);
                let objects = [
                    "TABLE",
                    "TABLES",
                    "INDEX",
                    "UNIQUE",
                    "TYPE",
                    "DOMAIN",
                    "SCHEMA",
                    "DATABASE",
                    "SYSTEM",
                    "MATERIALIZED",
                    "VIEW",
                ];
                let named = fragment.get(at + 1).is_some_and(|next| next.is_any(&objects));
                let reads = [
                    "ALTER", "CREATE", "RENAME", "REINDEX", "REFRESH", "VACUUM", "CLUSTER", "LOCK", "OPTIMIZE", "REVOKE", "LOAD",
                    "COPY",
                ];
                if (begins || named) && token.is_any(&reads) {
                    let rest = &fragment[at..fragment.len().min(at + WINDOW)];
                    if let Some(op) = statement(&mut Cursor::new(rest, self.dialect)) {
                        self.push(op, span_of(rest));
                    }
                }
                if token.is("EXECUTE") || (token.is("PREPARE") && self.dialect == Dialect::Mysql) {
                    self.executed(fragment, at, level);
                }
            }
        }
    }

    /// `EXECUTE …` in a body; `PREPARE … FROM` and `EXECUTE IMMEDIATE` in MySQL.
    fn executed(&mut self, tokens: &[Token<'_>], at: usize, level: usize) {
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        let next = tokens.get(at + 1);
        let privilege = before.is_some_and(|token| token.is_any(&["GRANT", "REVOKE"]) || token.symbol(","))
            || next.is_some_and(|token| token.is_any(&["FUNCTION", "PROCEDURE", "ON"]) || token.symbol(","));
        if privilege {
            return;
        }
        let rest = &tokens[at + 1..];
        let operand = if self.dialect == Dialect::Mysql {
            let from = rest.iter().position(|token| token.is_any(&["FROM", "IMMEDIATE"]));
            // `EXECUTE name` runs what a `PREPARE` has made, which is looked at there.
            let Some(from) = from else { return };
            &rest[from + 1..]
        } else {
            rest
        };
        let end = operand.iter().position(|token| token.is_any(&["INTO", "USING", "LOOP"])).unwrap_or(operand.len());
        let operand = &operand[..end];
        let span = tokens[at].span.0..operand.last().map_or(tokens[at].span.1, |token| token.span.1);
        let plain = matches!(operand, [only] if only.kind == Kind::Text && !only.raw.contains('\\'));
        if !plain {
            self.push(Op::Dynamic("the statement is put together when it runs".to_owned()), span);
        }
        for text in operand.iter().filter(|token| token.kind == Kind::Text) {
            self.text(text, level + 1);
        }
    }
}

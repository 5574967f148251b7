//! The words of SQL text, and a cursor over them. Knows no statement.

use std::borrow::Cow;
use std::ops::Range;

use super::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string.
    Text,
    Number,
    /// A single character of anything else; a semicolon that ends no statement too.
    Symbol,
    /// What ends a statement.
    End,
    /// A command to the client, `\gexec` or the like.
    Meta,
    /// The rows after `COPY … FROM stdin`.
    Data,
    /// What has no end: a string, a comment; or what cannot be there.
    Bad,
}

/// A token, by its place in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) raw: &'a str,
    pub(super) span: (usize, usize),
}

impl<'a> Token<'a> {
    /// Whether it is this keyword, which is written without quotes.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.raw.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        self.kind == Kind::Word && words.iter().any(|word| self.raw.eq_ignore_ascii_case(word))
    }

    pub(super) fn symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.raw == symbol
    }

    pub(super) fn upper(&self) -> String {
        self.raw.to_ascii_uppercase()
    }

    /// What a string says, and where its first byte is, if it stands in the file as it is.
    pub(super) fn content(&self) -> (Cow<'a, str>, Option<usize>) {
        let raw = self.raw;
        if let Some(rest) = raw.strip_prefix('$') {
            let tag = rest.find('$').map_or(raw.len(), |at| at + 2);
            let inner = raw.get(tag..raw.len().saturating_sub(tag)).unwrap_or("");
            return (Cow::Borrowed(inner), Some(self.span.0 + tag));
        }
        let Some(open) = raw.find(['\'', '"']) else { return (Cow::Borrowed(raw), None) };
        let escapes = raw.starts_with(['e', 'E']);
        let quote = raw.as_bytes()[open];
        let inner = raw.get(open + 1..raw.len().saturating_sub(1)).unwrap_or("");
        if !inner.as_bytes().contains(&quote) && !inner.contains('\\') {
            return (Cow::Borrowed(inner), Some(self.span.0 + open + 1));
        }
        (Cow::Owned(undone(inner, char::from(quote), escapes || quote == b'"')), None)
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.span.0..self.span.1
    }
}

/// A string's text without what guards its quotes. Escapes that stand for other characters are left out of account where they
/// cannot make a word of SQL: what is built from them is dynamic in any case.
fn undone(inner: &str, quote: char, escapes: bool) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if escapes => match chars.next() {
                Some('n' | 'r' | 't') => out.push(' '),
                Some(other) => out.push(other),
                None => {}
            },
            c if c == quote && chars.peek() == Some(&quote) => {
                chars.next();
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A name, perhaps with a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// As the database sees them.
    pub(super) parts: Vec<String>,
    pub(super) span: Range<usize>,
}

impl Name {
    pub(super) fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// The same for what certainly is the same table: one with a schema and one without may be two.
    pub(super) fn key(&self) -> String {
        self.parts.join(".")
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// A place among tokens.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'t, 'a> {
    pub(super) tokens: &'t [Token<'a>],
    pub(super) at: usize,
    pub(super) dialect: Dialect,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(super) fn new(tokens: &'t [Token<'a>], dialect: Dialect) -> Self {
        Self { tokens, at: 0, dialect }
    }

    pub(super) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    pub(super) fn ahead(&self, by: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at + by)
    }

    pub(super) fn next(&mut self) -> Option<&'t Token<'a>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn rest(&self) -> &'t [Token<'a>] {
        self.tokens.get(self.at..).unwrap_or(&[])
    }

    /// Whether these keywords come next.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.ahead(i).is_some_and(|token| token.is(word)))
    }

    /// Takes these keywords, if they come next.
    pub(super) fn eat(&mut self, words: &[&str]) -> bool {
        let sees = self.sees(words);
        if sees {
            self.at += words.len();
        }
        sees
    }

    pub(super) fn eat_any(&mut self, words: &[&str]) -> Option<String> {
        let token = self.peek().filter(|token| token.is_any(words))?;
        self.at += 1;
        Some(token.upper())
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let sees = self.peek().is_some_and(|token| token.symbol(symbol));
        self.at += usize::from(sees);
        sees
    }

    /// Takes `IF EXISTS` or `IF NOT EXISTS`.
    pub(super) fn eat_if(&mut self) -> bool {
        self.eat(&["IF", "EXISTS"]) || self.eat(&["IF", "NOT", "EXISTS"])
    }

    /// Takes a name, with its schema if it has one.
    pub(super) fn name(&mut self) -> Option<Name> {
        let start = self.peek()?.span.0;
        let mut name = Name { parts: vec![self.part()?], span: start..self.tokens[self.at - 1].span.1 };
        while self.peek().is_some_and(|token| token.symbol(".")) && name.parts.len() < 4 {
            self.at += 1;
            let Some(part) = self.part() else { break };
            name.parts.push(part);
            name.span.end = self.tokens[self.at - 1].span.1;
        }
        Some(name)
    }

    fn part(&mut self) -> Option<String> {
        let token = self.peek()?;
        let text = match token.kind {
            Kind::Word if self.dialect == Dialect::Postgres => token.raw.to_lowercase(),
            Kind::Word => token.raw.to_owned(),
            Kind::Quoted => unquoted(token.raw),
            // In MySQL a name in double quotes is one only in some modes.
            Kind::Text if self.dialect == Dialect::Mysql && token.raw.starts_with('"') => unquoted(token.raw),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    /// Takes names with commas between.
    pub(super) fn names(&mut self) -> Vec<Name> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            self.eat_symbol("*");
            if !self.eat_symbol(",") {
                break;
            }
            self.eat(&["ONLY"]);
        }
        names
    }

    /// Takes a pair of parentheses, and gives what is between.
    pub(super) fn parens(&mut self) -> Option<&'t [Token<'a>]> {
        if !self.eat_symbol("(") {
            return None;
        }
        let start = self.at;
        let mut depth = 1_usize;
        while let Some(token) = self.next() {
            depth = depth + usize::from(token.symbol("(")) - usize::from(token.symbol(")"));
            if depth == 0 {
                return self.tokens.get(start..self.at - 1);
            }
        }
        self.tokens.get(start..self.at)
    }

    /// Takes the names of columns in parentheses; what is no plain name counts as an empty one.
    pub(super) fn columns(&mut self) -> Option<Vec<String>> {
        let inner = self.parens()?;
        let dialect = self.dialect;
        Some(
            parted(inner)
                .into_iter()
                .map(|part| {
                    let plain = part.get(1).is_none_or(|next| !next.symbol("(") || dialect == Dialect::Mysql);
                    let name = Cursor::new(part, dialect).name().filter(|_| plain);
                    name.map(|name| name.last().to_lowercase()).unwrap_or_default()
                })
                .collect(),
        )
    }
}

fn unquoted(raw: &str) -> String {
    let open = raw.find(['"', '`']).unwrap_or(0);
    let quote = raw.as_bytes().get(open).copied().map_or('"', char::from);
    let inner = raw.get(open + 1..raw.len().saturating_sub(1)).unwrap_or("");
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

/// Parts between the commas that are in no parentheses.
pub(super) fn parted<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Symbol {
            continue;
        }
        match token.raw {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

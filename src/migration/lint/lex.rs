//! SQL text into tokens, as PostgreSQL (with psql) and MySQL (with its client) read it. What they would read as SQL is never taken
//! for a comment or a string here; where that depends on settings, the doubtful reading becomes a finding elsewhere.

use super::Dialect;
use super::token::{Kind, Token};

/// The tokens of a text; the first byte of it is the `base`th of its file.
pub(super) fn lex(text: &str, base: usize, dialect: Dialect) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        at: 0,
        base,
        mysql: dialect == Dialect::Mysql,
        delimiter: ";",
        began: 0,
        data: false,
        tokens: Vec::new(),
    };
    if text.starts_with('\u{feff}') {
        lexer.at = 3;
    }
    while lexer.at < lexer.bytes.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    base: usize,
    mysql: bool,
    delimiter: &'a str,
    /// The number of the token that the statement began with.
    began: usize,
    /// Whether rows of a COPY begin with the next line.
    data: bool,
    tokens: Vec<Token<'a>>,
}

impl Lexer<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind, end: usize) {
        let mut end = end.min(self.text.len()).max(self.at + 1);
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        if self.data && kind != Kind::Data {
            // The client takes the rows from the next line, whatever began on this one.
            self.data = false;
            let raw = &self.text[self.at..end];
            self.tokens.push(Token { kind: Kind::Bad, raw, span: (self.base + self.at, self.base + end) });
        }
        let raw = &self.text[self.at..end];
        self.tokens.push(Token { kind, raw, span: (self.base + self.at, self.base + end) });
        self.at = end;
    }

    fn step(&mut self) {
        let byte = self.byte(0);
        if !self.delimiter.starts_with(';') && self.text[self.at..].starts_with(self.delimiter) {
            self.end(self.delimiter.len());
            return;
        }
        match byte {
            b'\n' if self.data => {
                self.at += 1;
                self.rows();
            }
            0..=b' ' => self.at += 1,
            b'-' if self.byte(1) == b'-' && (!self.mysql || self.byte(2) <= b' ') => self.line_comment(),
            b'#' if self.mysql => self.line_comment(),
            b'/' if self.byte(1) == b'*' => self.block_comment(),
            b'*' if self.mysql && self.byte(1) == b'/' => self.at += 2,
            b'\'' => self.string(0, self.mysql),
            b'"' if self.mysql => self.string(0, true),
            b'"' => self.quoted(0),
            b'`' if self.mysql => self.quoted(0),
            b'e' | b'E' if !self.mysql && self.byte(1) == b'\'' => self.string(1, true),
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if self.byte(1) == b'\'' => self.string(1, self.mysql),
            b'u' | b'U' if !self.mysql && self.byte(1) == b'&' && self.byte(2) == b'\'' => self.string(2, false),
            b'u' | b'U' if !self.mysql && self.byte(1) == b'&' && self.byte(2) == b'"' => self.quoted(2),
            b'$' if !self.mysql => self.dollar(),
            b'\\' => self.meta(),
            b';' => self.semicolon(),
            b'0'..=b'9' => {
                let end = self.while_word(self.at + 1, true);
                self.push(Kind::Number, end);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word(),
            _ => self.push(Kind::Symbol, self.at + 1),
        }
    }

    fn while_word(&self, from: usize, point: bool) -> usize {
        let part = |byte: &u8| {
            matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..) || (point && *byte == b'.')
        };
        from + self.bytes.get(from..).unwrap_or(&[]).iter().take_while(|byte| part(byte)).count()
    }

    fn word(&mut self) {
        let end = self.while_word(self.at, false);
        let first = self.tokens.len() == self.began;
        if self.mysql && first && self.text[self.at..end].eq_ignore_ascii_case("delimiter") {
            let line_end = self.line_end(end);
            let delimiter = self.text[end..line_end].split_whitespace().next().unwrap_or(";");
            self.delimiter = delimiter;
            self.at = line_end;
            return;
        }
        self.push(Kind::Word, end);
    }

    fn semicolon(&mut self) {
        if self.delimiter.starts_with(';') { self.end(1) } else { self.push(Kind::Symbol, self.at + 1) }
    }

    fn end(&mut self, length: usize) {
        let statement = &self.tokens[self.began.min(self.tokens.len())..];
        let copy = !self.mysql && statement.first().is_some_and(|token| token.is("COPY")) && reads_rows(statement);
        self.push(Kind::End, self.at + length);
        self.began = self.tokens.len();
        self.data = copy;
    }

    /// Rows, up to the line that ends them.
    fn rows(&mut self) {
        let mut end = self.at;
        let mut ended = false;
        while end < self.text.len() && !ended {
            let line_end = self.line_end(end);
            ended = self.text[end..line_end].trim_end_matches('\r') == "\\.";
            end = (line_end + 1).min(self.text.len());
        }
        if end > self.at {
            self.push(if ended { Kind::Data } else { Kind::Bad }, end);
        }
        self.data = false;
        self.began = self.tokens.len();
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..].find('\n').map_or(self.text.len(), |at| from + at)
    }

    fn line_comment(&mut self) {
        let rest = &self.bytes[self.at..];
        // PostgreSQL ends such a comment at a carriage return as well.
        let end = rest.iter().position(|byte| *byte == b'\n' || (*byte == b'\r' && !self.mysql));
        self.at = end.map_or(self.bytes.len(), |length| self.at + length);
    }

    fn block_comment(&mut self) {
        // MySQL executes what is in such a comment; MariaDB some more of them.
        let executed = self.mysql && (self.byte(2) == b'!' || (self.byte(2) == b'M' && self.byte(3) == b'!'));
        if executed {
            self.at += if self.byte(2) == b'!' { 3 } else { 4 };
            while self.byte(0).is_ascii_digit() {
                self.at += 1;
            }
            return;
        }
        let (mut at, mut depth) = (self.at + 2, 1_usize);
        while at < self.bytes.len() && depth > 0 {
            match (self.bytes[at], self.bytes.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                }
                (b'/', Some(b'*')) if !self.mysql => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        if depth > 0 {
            self.push(Kind::Bad, self.bytes.len());
        } else if self.data {
            self.push(Kind::Bad, at);
        } else {
            self.at = at;
        }
    }

    /// A string whose quote is `prefix` bytes from here.
    fn string(&mut self, prefix: usize, escapes: bool) {
        let quote = self.byte(prefix);
        let mut at = self.at + prefix + 1;
        loop {
            match self.bytes.get(at) {
                None => return self.push(Kind::Bad, at),
                Some(b'\\') if escapes => at += 2,
                Some(byte) if *byte == quote && self.bytes.get(at + 1) == Some(&quote) => at += 2,
                Some(byte) if *byte == quote => {
                    at += 1;
                    // One that goes on in another line keeps its kind.
                    match self.continued(at) {
                        Some(next) if prefix == 1 && escapes => at = next,
                        _ => return self.push(Kind::Text, at),
                    }
                }
                Some(_) => at += 1,
            }
        }
    }

    fn continued(&self, from: usize) -> Option<usize> {
        let space = self.bytes.get(from..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let newline = self.bytes[from..from + space].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        (newline && self.bytes.get(from + space) == Some(&b'\'')).then_some(from + space + 1)
    }

    fn quoted(&mut self, prefix: usize) {
        let quote = self.byte(prefix);
        let mut at = self.at + prefix + 1;
        loop {
            match self.bytes.get(at) {
                None => return self.push(Kind::Bad, at),
                Some(byte) if *byte == quote && self.bytes.get(at + 1) == Some(&quote) => at += 2,
                Some(byte) if *byte == quote => return self.push(Kind::Quoted, at + 1),
                Some(_) => at += 1,
            }
        }
    }

    fn dollar(&mut self) {
        let tag_end = if self.byte(1).is_ascii_digit() { self.at + 1 } else { self.tag_end(self.at + 1) };
        if self.bytes.get(tag_end) != Some(&b'$') {
            let end = self.while_word(self.at + 1, false);
            return self.push(Kind::Symbol, end);
        }
        let tag = &self.text[self.at..=tag_end];
        match self.text[tag_end + 1..].find(tag) {
            Some(length) => self.push(Kind::Text, tag_end + 1 + length + tag.len()),
            None => self.push(Kind::Bad, self.bytes.len()),
        }
    }

    fn tag_end(&self, from: usize) -> usize {
        let part = |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | 0x80..);
        from + self.bytes.get(from..).unwrap_or(&[]).iter().take_while(|byte| part(byte)).count()
    }

    fn meta(&mut self) {
        if self.byte(1) == b';' {
            return self.end(2);
        }
        if self.byte(1) == b'\\' {
            self.at += 2;
            return;
        }
        let line_end = self.line_end(self.at + 1);
        let next = self.text[self.at + 1..line_end].find('\\').map_or(line_end, |at| self.at + 1 + at);
        self.push(Kind::Meta, next);
        self.began = self.tokens.len();
    }
}

/// Whether a `COPY` takes its rows from what follows: not one whose query only says so, in its parentheses.
pub(super) fn reads_rows(statement: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    for pair in statement.windows(2) {
        match (pair[0].kind, pair[0].raw) {
            (Kind::Symbol, "(") => depth += 1,
            (Kind::Symbol, ")") => depth = depth.saturating_sub(1),
            _ if depth == 0 && pair[0].is("FROM") => return pair[1].is("STDIN"),
            _ => {}
        }
    }
    false
}

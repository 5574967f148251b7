//! Cuts a program into words, texts and marks: enough of each language to know a call's arguments, and what is a comment.

/// The language of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Python,
    Ruby,
}

impl Language {
    /// That of files which end so.
    pub(super) fn of(extension: &str) -> Option<Self> {
        match extension {
            "js" | "cjs" | "mjs" | "ts" | "cts" | "mts" => Some(Self::JavaScript),
            "py" => Some(Self::Python),
            "rb" => Some(Self::Ruby),
            _ => None,
        }
    }
}

/// A piece of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    /// A string or symbol; `sure` where all of it stands there.
    Text {
        text: String,
        sure: bool,
    },
    Mark(char),
}

impl Token<'_> {
    pub(super) fn is(&self, mark: char) -> bool {
        *self == Token::Mark(mark)
    }
}

/// In the place of what is computed inside a text: no letter of any name.
const HOLE: char = '\u{fffd}';

/// The pieces of a program; none where it cannot be cut, as for a text without an end.
pub(super) fn cut(language: Language, text: &str) -> Option<Vec<Token<'_>>> {
    let mut cutter = Cutter { language, rest: text, behind_heredoc: None, tokens: Vec::new() };
    while let Some(first) = cutter.rest.chars().next() {
        cutter.step(first)?;
    }
    Some(joined(language, cutter.tokens))
}

struct Cutter<'t> {
    language: Language,
    rest: &'t str,
    /// Where it goes on after the line that began a heredoc.
    behind_heredoc: Option<&'t str>,
    tokens: Vec<Token<'t>>,
}

impl Cutter<'_> {
    fn step(&mut self, first: char) -> Option<()> {
        if self.comment()? || self.of_ruby(first)? {
            return Some(());
        }
        match first {
            '\n' => self.line_end(),
            '\'' | '"' => return self.string(first),
            '`' if self.language == Language::JavaScript => return self.string(first),
            _ if first.is_whitespace() => self.skip(first.len_utf8()),
            _ if is_of_word(first) => return self.word(),
            _ => {
                self.tokens.push(Token::Mark(first));
                self.skip(first.len_utf8());
            }
        }
        Some(())
    }

    fn skip(&mut self, length: usize) {
        self.rest = &self.rest[length..];
    }

    /// An end of a line means something in Ruby only.
    fn line_end(&mut self) {
        if self.language == Language::Ruby {
            self.tokens.push(Token::Mark('\n'));
        }
        self.skip(1);
        if let Some(behind) = self.behind_heredoc.take() {
            self.rest = behind;
        }
    }

    /// Passes over one, if there is one.
    fn comment(&mut self) -> Option<bool> {
        let (line, block) = match self.language {
            Language::JavaScript => ("//", Some(("/*", "*/"))),
            Language::Python => ("#", None),
            Language::Ruby => ("#", Some(("=begin\n", "\n=end"))),
        };
        if self.rest.starts_with(line) {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            return Some(true);
        }
        let Some((begin, end)) = block.filter(|(begin, _)| self.rest.starts_with(begin)) else { return Some(false) };
        self.skip(begin.len());
        self.skip(self.rest.find(end)? + end.len());
        Some(true)
    }

    fn word(&mut self) -> Option<()> {
        let mut length = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        if self.language == Language::Ruby && self.rest[length..].starts_with(['?', '!']) {
            length += 1;
        }
        let word = &self.rest[..length];
        self.skip(length);
        let is_prefix = |word: &str| word.len() <= 2 && word.chars().all(|c| "bfru".contains(c.to_ascii_lowercase()));
        if self.language == Language::Python && is_prefix(word) && self.rest.starts_with(['\'', '"']) {
            let quote = self.rest.chars().next()?;
            self.string(quote)?;
            if let (true, Some(Token::Text { sure, .. })) = (word.contains(['f', 'F']), self.tokens.last_mut()) {
                *sure = false;
            }
            return Some(());
        }
        self.tokens.push(Token::Word(word));
        Some(())
    }

    fn string(&mut self, quote: char) -> Option<()> {
        let three = quote.to_string().repeat(3);
        let long = self.language == Language::Python && self.rest.starts_with(&three);
        let close = if long { three } else { quote.to_string() };
        self.skip(close.len());
        let holes = match (self.language, quote) {
            (Language::JavaScript, '`') => Some("${"),
            (Language::Ruby, '"') => Some("#{"),
            _ => None,
        };
        let lines = long || quote == '`' || self.language == Language::Ruby;
        self.text_until(&close, holes, lines)
    }

    /// A text up to here; it may have what is computed in it, and go over several lines.
    fn text_until(&mut self, close: &str, holes: Option<&str>, lines: bool) -> Option<()> {
        let (mut text, mut sure) = (String::new(), true);
        while !self.rest.starts_with(close) {
            if holes.is_some_and(|begin| self.rest.starts_with(begin)) {
                self.skip(1 + end_of(&self.rest[1..], '{')?);
                text.push(HOLE);
                sure = false;
                continue;
            }
            let c = self.rest.chars().next()?;
            self.skip(c.len_utf8());
            match c {
                '\\' => {
                    let escaped = self.rest.chars().next()?;
                    self.skip(escaped.len_utf8());
                    text.push(unescaped(escaped));
                }
                '\n' if !lines => return None,
                _ => text.push(c),
            }
        }
        self.skip(close.len());
        self.tokens.push(Token::Text { text, sure });
        Some(())
    }

    /// Symbols, `%q(…)`, heredocs, and lines that go on; true where there was one.
    fn of_ruby(&mut self, first: char) -> Option<bool> {
        if self.language != Language::Ruby {
            return Some(false);
        }
        let after_value = matches!(self.tokens.last(), Some(Token::Word(_) | Token::Text { .. } | Token::Mark(')' | ']')));
        match first {
            '\\' if self.rest.starts_with("\\\n") => self.skip(2),
            ':' if self.rest.starts_with("::") => self.skip(2),
            ':' if self.rest[1..].starts_with('"') => {
                self.skip(1);
                self.string('"')?;
            }
            ':' if self.rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                self.skip(1);
                let length = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
                self.tokens.push(Token::Text { text: self.rest[..length].to_owned(), sure: true });
                self.skip(length);
            }
            '<' if self.rest.starts_with("<<") => return Some(self.heredoc()),
            '%' => return self.percent(after_value),
            _ => return Some(false),
        }
        Some(true)
    }

    /// `%q(…)` and its like, but not a remainder.
    fn percent(&mut self, after_value: bool) -> Option<bool> {
        let letter = self.rest[1..].chars().next().filter(|c| "qQwWiI".contains(*c));
        let at = 1 + letter.map_or(0, char::len_utf8);
        let Some(open @ ('(' | '[' | '{')) = self.rest[at..].chars().next() else { return Some(false) };
        if after_value && letter.is_none() {
            return Some(false);
        }
        let text = &self.rest[at + 1..];
        let length = end_of(&self.rest[at..], open)? - 2;
        // A list of words is no name.
        let sure = !matches!(letter, Some('w' | 'W' | 'i' | 'I')) && !text[..length].contains("#{");
        self.tokens.push(Token::Text { text: text[..length].to_owned(), sure });
        self.skip(at + length + 2);
        Some(true)
    }

    fn heredoc(&mut self) -> bool {
        let tag = self.rest[2..].trim_start_matches(['~', '-']).trim_start_matches(['\'', '"', '`']);
        let tag = &tag[..tag.find(|c| !is_of_word(c)).unwrap_or(tag.len())];
        let begins = tag.starts_with(|c: char| c.is_ascii_uppercase());
        let from = self.behind_heredoc.or_else(|| self.rest.split_once('\n').map(|(_, below)| below));
        let (Some(body), true) = (from, begins) else { return false };
        let mut length = 0;
        for line in body.split_inclusive('\n') {
            if line.trim() == tag {
                self.tokens.push(Token::Text { text: body[..length].to_owned(), sure: false });
                self.behind_heredoc = Some(&body[length + line.len()..]);
                let written = self.rest.find(tag).unwrap_or(2) + tag.len();
                self.skip(written);
                self.rest = self.rest.strip_prefix(['\'', '"', '`']).unwrap_or(self.rest);
                return true;
            }
            length += line.len();
        }
        false
    }
}

/// How long it is from one bracket to that which closes it.
fn end_of(text: &str, open: char) -> Option<usize> {
    let close = match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// What stands behind a backslash; a code for a letter is not looked up.
fn unescaped(c: char) -> char {
    match c {
        'n' | 'r' | 't' | '\n' => ' ',
        'x' | 'u' | 'U' | 'N' | '0'..='9' => HOLE,
        _ => c,
    }
}

/// Texts that are put together are one; what is put together with something else has a hole there.
fn joined(language: Language, tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut out: Vec<Token<'_>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let Token::Text { text, sure } = token else {
            if let (true, Some(Token::Text { text, sure })) = (token.is('+') || token.is('%'), out.last_mut()) {
                text.push(HOLE);
                *sure = false;
            }
            out.push(token);
            continue;
        };
        let plus = out.last().is_some_and(|last| last.is('+'));
        let before = out.len().checked_sub(if plus { 2 } else { 1 }).and_then(|at| out.get_mut(at));
        let beside = plus || language != Language::JavaScript;
        match before {
            Some(Token::Text { text: begun, sure: all }) if beside => {
                if plus {
                    begun.truncate(begun.trim_end_matches(HOLE).len());
                }
                begun.push_str(&text);
                // Not a name any more, wherever it is one argument.
                *all = false;
                out.truncate(out.len() - usize::from(plus));
            }
            _ if plus => out.push(Token::Text { text: format!("{HOLE}{text}"), sure: false }),
            _ => out.push(Token::Text { text, sure }),
        }
    }
    out
}

//! What programs make by their framework's own calls, and in the SQL that they hold.

mod knex;
mod python;
mod rails;

use std::sync::LazyLock;

use regex_lite::Regex;

use super::tokens::{self, Language, Token};
use super::{Made, Reading, sql};

/// Where these stand, what is below may not be done, or not forwards, or elsewhere: nothing is believed. That also goes for what is made only
/// where it is not there yet.
const DOUBTFUL: [&str; 26] = [
    "SeparateDatabaseAndState",
    "case",
    "catch",
    "column_exists?",
    "data_source_exists?",
    "elif",
    "except",
    "hasColumn",
    "hasTable",
    "has_column",
    "has_index",
    "has_table",
    "if",
    "index_exists?",
    "inspect",
    "rescue",
    "revert",
    "reversible",
    "suppress",
    "switch",
    "table_exists?",
    "try",
    "unless",
    "while",
    "withSchema",
    "with_schema",
];

/// What a call that is told one of these makes may have been there before, or is elsewhere.
const NOT_ONLY: [&str; 5] = ["force", "if_not_exists", "managed", "proxy", "schema"];

/// What a call takes away or renames may be called so again.
const TAKES: [&str; 5] = ["altermodeltable", "deletemodel", "drop", "remove", "rename"];

/// What a program of this kind of file makes; none where it cannot be read.
pub(super) fn read(extension: &str, app: &str, text: &str) -> Option<Reading> {
    let language = Language::of(extension)?;
    let tokens = forward(language, tokens::cut(language, text)?);
    let mut reader = Reader { language, app, tokens: &tokens, tables: Vec::new(), reading: Reading::default() };
    match head(&tokens).filter(|head| !is_doubtful(&tokens[*head..])) {
        Some(head) => reader.calls(head),
        None => reader.reading.more = true,
    }
    // Functions that are handed in stand before the head.
    if !is_doubtful(&tokens) {
        let sql = texts(&tokens).map(|text| without_holes(text) + ";\n").collect::<String>();
        reader.reading.made.extend(sql::made(&sql::only_by_it(&sql)));
    }
    reader.reading.more |= texts(&tokens).any(sql::changes_rows) || tokens.iter().any(is_more);
    let taken = reader.taken();
    let mut reading = reader.reading;
    for made in [&mut reading.made, &mut reading.perhaps] {
        made.retain(|made| taken.as_ref().is_some_and(|taken| !made.is_named_in(taken)));
    }
    Some(reading)
}

/// A program without what stands for its reader alone, or takes back: a text before all else, and the other half of an operation.
fn forward(language: Language, mut tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    if language != Language::Python {
        return tokens;
    }
    if matches!(tokens.first(), Some(Token::Text { .. })) {
        tokens.remove(0);
    }
    while let Some(back) = (0..tokens.len()).find_map(|at| reverse(&tokens, at)) {
        tokens.drain(back);
    }
    tokens
}

/// Where in the arguments of Django's RunSQL that stands which takes it back, or tells of it only.
fn reverse(tokens: &[Token<'_>], at: usize) -> Option<std::ops::Range<usize>> {
    let call = call(Language::Python, tokens, at).filter(|call| call.name == "RunSQL")?;
    let is_back = |(place, argument): &(usize, &std::ops::Range<usize>)| match &tokens[argument.start..argument.end] {
        [Token::Word(key), Token::Mark('='), ..] => ["reverse_sql", "state_operations"].contains(key),
        argument => *place > 0 && !argument.is_empty(),
    };
    call.arguments.iter().enumerate().find(is_back).map(|(_, argument)| argument.clone())
}

/// Where the half begins that makes things.
fn head(tokens: &[Token<'_>]) -> Option<usize> {
    let begins = |window: &[Token<'_>]| {
        matches!(
            window,
            [Token::Word("up"), Token::Mark('=' | '(' | ':')]
                // `exports.up` and `self.up`
                | [Token::Mark('.'), Token::Word("up")]
                | [Token::Word("def"), Token::Word("up" | "change" | "upgrade")]
                | [Token::Word("operations"), Token::Mark('=')]
        )
    };
    tokens.windows(2).position(begins)
}

/// What else a call does beside what it is called for: keys and indices come in statements of their own, behind it.
fn is_more(token: &Token<'_>) -> bool {
    const MORE: [&str; 12] = [
        "ForeignKey",
        "ManyToManyField",
        "OneToOneField",
        "add_reference",
        "db_index",
        "foreign",
        "foreign_key",
        "index",
        "references",
        "unique",
        "unique_together",
        "uniqueness",
    ];
    matches!(token, Token::Word(word) if MORE.contains(word))
}

fn is_doubtful(tokens: &[Token<'_>]) -> bool {
    let own = |word: &str| {
        let low = word.to_lowercase();
        ["ensure", "ifmissing", "ifnot"].iter().any(|part| low.contains(part))
    };
    let word = |token: &Token<'_>| matches!(token, Token::Word(word) if DOUBTFUL.contains(word) || own(word));
    let choice = |two: &[Token<'_>]| two[0] == two[1] && (two[0].is('|') || two[0].is('&'));
    tokens.iter().any(|token| word(token) || token.is('?')) || tokens.windows(2).any(choice)
}

fn texts<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = &'t str> {
    tokens.iter().filter_map(|token| match token {
        Token::Text { text, .. } => Some(text.as_str()),
        _ => None,
    })
}

/// SQL without what is put into it, and the letters beside that: half a name is none.
fn without_holes(sql: &str) -> String {
    static HOLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("\\w*(?:\u{fffd}|#?\\{[^{}]*\\}|%\\(?\\w*\\)?)\\w*").ok());
    match &*HOLE {
        Some(hole) if sql.contains(['\u{fffd}', '{', '%']) => hole.replace_all(sql, "").into_owned(),
        Some(_) => sql.to_owned(),
        None => String::new(),
    }
}

/// A call, and where its arguments are.
struct Call<'t> {
    name: &'t str,
    /// What it is a call of, where that is a word.
    on: Option<&'t str>,
    arguments: Vec<std::ops::Range<usize>>,
    /// Behind it.
    end: usize,
}

/// The call that begins here.
fn call<'t>(language: Language, tokens: &[Token<'t>], at: usize) -> Option<Call<'t>> {
    let Token::Word(name) = tokens.get(at)? else { return None };
    let on = match at.checked_sub(2).map(|from| &tokens[from..at]) {
        Some([Token::Word(on), Token::Mark('.')]) => Some(*on),
        _ => None,
    };
    let (from, closed) = match tokens.get(at + 1)? {
        Token::Mark('(') => (at + 2, true),
        Token::Text { .. } if language == Language::Ruby => (at + 1, false),
        Token::Word(_) if language == Language::Ruby && does(name) => (at + 1, false),
        _ => return None,
    };
    let (arguments, end) = arguments(tokens, from, closed)?;
    Some(Call { name, on, arguments, end })
}

/// The arguments from here: up to the bracket that ends them, or, without one, the end of the line or what opens a block.
fn arguments(tokens: &[Token<'_>], from: usize, closed: bool) -> Option<(Vec<std::ops::Range<usize>>, usize)> {
    let (mut arguments, mut begin, mut depth) = (Vec::new(), from, 0_usize);
    for at in from..tokens.len() {
        let ends = match &tokens[at] {
            Token::Mark('\n') => !closed && !tokens[at - 1].is(','),
            // A hash is an argument.
            Token::Mark('{') => !(closed || [':', '>', ','].iter().any(|mark| tokens[at - 1].is(*mark))),
            Token::Mark(';' | ']' | '}') | Token::Word("do") => !closed,
            Token::Mark(')') => true,
            _ => false,
        };
        match &tokens[at] {
            _ if depth == 0 && ends => {
                arguments.push(begin..at);
                return Some((arguments, at + usize::from(closed)));
            }
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth = depth.checked_sub(1)?,
            Token::Mark(',') if depth == 0 => {
                arguments.push(begin..at);
                begin = at + 1;
            }
            _ => {}
        }
    }
    (!closed).then(|| {
        arguments.push(begin..tokens.len());
        (arguments, tokens.len())
    })
}

/// The name that an argument is: all of it a text of letters and digits.
fn name(argument: &[Token<'_>]) -> Option<String> {
    let mut argument = argument.iter().filter(|token| !token.is('\n'));
    let (Some(Token::Text { text, sure: true }), None) = (argument.next(), argument.next()) else { return None };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!text.is_empty() && text.len() <= 64 && text.chars().all(plain)).then(|| text.clone())
}

struct Reader<'t> {
    language: Language,
    /// The application that a migration belongs to, where the tool knows such.
    app: &'t str,
    tokens: &'t [Token<'t>],
    /// Which tables go by another word: of a model, or a variable.
    tables: Vec<(String, String)>,
    reading: Reading,
}

/// A call that was read: nothing in it is to be read again; or it makes nothing itself, and calls that do may be among its arguments.
enum Read {
    Whole,
    Into,
}

impl<'t> Reader<'t> {
    fn calls(&mut self, mut at: usize) {
        while at < self.tokens.len() {
            let Some(call) = call(self.language, self.tokens, at) else {
                at += 1;
                continue;
            };
            let read = self.call(&call);
            self.reading.more |= read.is_none();
            at = if matches!(read, Some(Read::Into)) { at + 1 } else { call.end };
        }
    }

    /// Reads a call; none where it makes what has no plain name, or does something else.
    fn call(&mut self, call: &Call<'t>) -> Option<Read> {
        let of_alembic = call.on.is_some_and(|on| on == "op" || self.batch(on).is_some());
        match self.language {
            Language::JavaScript => self.of_knex(call),
            Language::Python if of_alembic => self.of_alembic(call),
            Language::Python => self.of_django(call),
            Language::Ruby => self.of_rails(call),
        }
    }

    /// `createTable('x', …)`
    fn table(&mut self, call: &Call<'_>) -> Option<()> {
        let made = Made::Table(self.named(call, 0, "")?);
        self.only(call)?;
        self.reading.made.push(made);
        Some(())
    }

    /// Nothing, where what a call makes may have been there before, or is elsewhere.
    fn only(&self, call: &Call<'_>) -> Option<()> {
        let from = call.arguments.first().map_or(call.end, |first| first.start);
        let told = &self.tokens[from..call.end];
        let elsewhere = |token: &Token<'_>| match token {
            Token::Word(word) => NOT_ONLY.contains(word),
            // `:force => true`
            Token::Text { text, .. } => self.language == Language::Ruby && NOT_ONLY.contains(&text.as_str()),
            Token::Mark(_) => false,
        };
        (!told.iter().any(elsewhere)).then_some(())
    }

    fn argument(&self, call: &Call<'_>, at: usize) -> Option<&'t [Token<'t>]> {
        call.arguments.get(at).map(|range| &self.tokens[range.start..range.end])
    }

    /// An argument by its key, or by its place.
    fn given(&self, call: &Call<'_>, at: usize, key: &str) -> Option<&'t [Token<'t>]> {
        let keyed = |argument: &'t [Token<'t>]| match argument {
            [Token::Word(word), Token::Mark('='), value @ ..] => Some((*word, value)),
            _ => None,
        };
        let each = || (0..call.arguments.len()).filter_map(|at| self.argument(call, at));
        let by_key = each().filter_map(keyed).find(|(word, _)| *word == key).map(|(_, value)| value);
        by_key.or_else(|| self.argument(call, at).filter(|argument| keyed(argument).is_none()))
    }

    fn named(&self, call: &Call<'_>, at: usize, key: &str) -> Option<String> {
        // Knex may be told to write what has a large letter inside in another way.
        let as_written =
            |name: &String| self.language != Language::JavaScript || !name.contains(|c: char| c.is_ascii_uppercase());
        name(self.given(call, at, key)?).filter(as_written)
    }

    /// All that it takes away or renames, as one text; none where that cannot be told.
    fn taken(&self) -> Option<String> {
        let mut taken = String::new();
        for at in 0..self.tokens.len() {
            let Some(call) = call(self.language, self.tokens, at) else { continue };
            let from = call.arguments.first().map_or(call.end, |first| first.start);
            let told = &self.tokens[from..call.end];
            let gives = |name: &str| told.contains(&Token::Word(name));
            let renames = gives("new_column_name") || (call.name == "AlterField" && gives("db_column"));
            let low = call.name.to_lowercase();
            if !renames && !TAKES.iter().any(|word| low.contains(word)) {
                continue;
            }
            let mut names = texts(told).peekable();
            // What it takes is computed, or goes by itself; or stands in a call around it.
            if names.peek().is_none() || (self.language == Language::JavaScript && !low.contains("table")) {
                return None;
            }
            taken.extend(names.map(|name| format!("{name} {name}_id {}_{name} ", self.app)));
        }
        for text in texts(self.tokens) {
            let own = sql::taking(text);
            if without_holes(&own) != own {
                return None;
            }
            taken.push_str(&own);
            taken.push(' ');
        }
        Some(taken)
    }
}

/// Whether a call, by its name, changes something.
fn does(name: &str) -> bool {
    const DOES: [&str; 9] = ["add", "alter", "change", "create", "del", "drop", "insert", "remove", "update"];
    let low = name.to_lowercase();
    DOES.iter().any(|word| low.starts_with(word)) || low.contains("rename")
}

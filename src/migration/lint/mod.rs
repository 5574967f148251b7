//! Looks for what makes a migration dangerous: lost data, locks, what the running version does not know yet, names. Text in, findings
//! out: reads no file, runs nothing, knows no inventory.
//!
//! Each statement is read twice, by readers that share nothing: a small one of our own, which finds what is dropped or locked even in
//! text that is no SQL otherwise, and a real parser, which objects to what it cannot read and to what the first one has overlooked
//! ([`witness`]). What neither can judge (SQL that is put together when it runs, other languages, commands to the client) is a finding
//! as well: nothing is clean because it was not understood.

mod alter;
mod approval;
mod body;
mod columns;
#[cfg(test)]
mod corpus;
mod finding;
mod layout;
mod lex;
mod op;
mod read;
mod rules;
mod script;
mod split;
mod token;
mod witness;
mod world;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

pub use approval::{Approval, Approvals, FILE_NAME as APPROVALS_FILE, Granted, Judged, Waiver, accepted, entry, gate};
pub use finding::{Finding, Severity};
pub use layout::{Layout, guess, in_transaction, is_down, is_migration, is_printable, is_program, well_known};
pub use rules::{Rule, rule, rules};
pub use script::obstacles;

use crate::history::ops;
use body::{Within, deeds, torn};
use columns::span_of;
use rules::{Check, Hits, Look};
use token::{Kind, Token};
use world::World;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

/// Which tool applies a file: how it is cut into statements, and which rules for files there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Prisma Migrate.
    Prisma,
    /// Drizzle Kit: cut at `--> statement-breakpoint`.
    Drizzle,
    /// dbmate: only what stands above `-- migrate:down`.
    Dbmate,
    /// sqlx.
    Sqlx,
    /// Diesel.
    Diesel,
    /// Prisma 8: the text is what was taken out of an `ops.json`, and lines are those of that file.
    Prisma8,
    /// Files that psql or mysql applies, one by one: `NUMBER_name.sql`.
    Sql,
    /// Not known, or another one that hands files over as they are.
    Unknown,
    /// What a tool prints of the SQL of its programs: to a server, not to a client.
    Printed,
    /// A program, which is no SQL at all.
    Program {
        /// Whether its tool can print all of its SQL: then a plan shows and judges that.
        printable: bool,
    },
}

/// A file to look at.
#[derive(Debug, Clone, Copy)]
pub struct Source<'s> {
    /// As it is shown, and as approvals name it.
    pub name: &'s str,
    /// All of it.
    pub text: &'s str,
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// What applies it.
    pub tool: Tool,
    /// Whether that runs it in a transaction.
    pub in_transaction: bool,
}

/// What is to be said of one file by itself.
pub fn check(source: &Source<'_>) -> Vec<Finding> {
    check_set(std::slice::from_ref(source))
}

/// What is to be said of files that are applied together, in this order: a table that one makes is new to the next.
pub fn check_set(sources: &[Source<'_>]) -> Vec<Finding> {
    aside(sources, true)
}

/// What is to be said of files each by itself, as if all others had been applied long ago; only their numbers are compared.
pub fn check_each(sources: &[Source<'_>]) -> Vec<Finding> {
    aside(sources, false)
}

fn aside(sources: &[Source<'_>], together: bool) -> Vec<Finding> {
    // The parsers go as deep as what they read is nested.
    std::thread::scope(|scope| {
        let work = std::thread::Builder::new()
            .name("lint".to_owned())
            .stack_size(witness::STACK)
            .spawn_scoped(scope, || set(sources, together));
        match work.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(findings)) => findings,
            // Nothing was judged, so nothing is clean.
            Ok(Err(_)) | Err(_) => sources.iter().map(unjudged).collect(),
        }
    })
}

/// The rule for what is no SQL.
pub const NOT_SQL: &str = "not-sql";

/// What is to be said of a program before its tool was asked.
const PRINTABLE: &str = "a program: `landfall plan` shows the SQL that its tool prints of it, and judges that";

fn unjudged(source: &Source<'_>) -> Finding {
    let mut file = File::new(source);
    file.report("unparsed", &(0..0), "the check itself broke down on this set of files");
    file.findings.remove(0)
}

/// What identifies a text: its SHA-256, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        _ = write!(out, "{byte:02x}");
        out
    })
}

fn set(sources: &[Source<'_>], together: bool) -> Vec<Finding> {
    let mut world = World::default();
    let mut out = Vec::new();
    let mut numbers: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for source in sources {
        if !together {
            world = World::default();
        }
        world.next_file(source.in_transaction);
        let mut file = File::new(source);
        file.check(&mut world);
        let folder = source.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        if let Some(number) = rules::number(source.name).filter(|_| source.tool == Tool::Sql)
            && let Some(other) = numbers.insert((folder, number), source.name)
        {
            file.report("file-number-twice", &(0..0), &format!("`{other}` has the same number"));
        }
        out.append(&mut file.done());
    }
    out
}

/// The parts of a file that are read by themselves, each with the place where it begins.
fn units<'s>(source: &Source<'s>) -> Vec<(usize, &'s str)> {
    const BREAKPOINT: &str = "--> statement-breakpoint";
    let mut text = source.text;
    if source.tool == Tool::Dbmate {
        let down = lines(text).find(|(_, line)| {
            line.trim_start().strip_prefix("--").is_some_and(|rest| rest.trim_start().starts_with("migrate:down"))
        });
        text = down.map_or(text, |(at, _)| &text[..at]);
    }
    let cut = matches!(source.tool, Tool::Drizzle | Tool::Unknown) && text.contains(BREAKPOINT);
    if !cut {
        return vec![(0, text)];
    }
    let mut at = 0;
    let mut units: Vec<(usize, &str)> = text
        .split(BREAKPOINT)
        .map(|part| {
            let start = at;
            at += part.len() + BREAKPOINT.len();
            (start, part)
        })
        .collect();
    // Where a string or comment goes over the marker, it matters who reads it: both readings are looked at.
    let torn = |(at, part): &(usize, &str)| lex::lex(part, *at, source.dialect).iter().any(|token| token.kind == Kind::Bad);
    if units.iter().any(torn) {
        units.push((0, text));
    }
    units
}

/// Lines with the places where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// One file while it is looked at.
struct File<'f, 's> {
    source: &'f Source<'s>,
    sha256: String,
    line_starts: Vec<usize>,
    /// Where each statement is, and its digest once that was wanted.
    statements: Vec<(Range<usize>, OnceCell<String>)>,
    findings: Vec<Finding>,
}

impl<'f, 's> File<'f, 's> {
    fn new(source: &'f Source<'s>) -> Self {
        let starts = std::iter::once(0).chain(source.text.match_indices('\n').map(|(at, _)| at + 1));
        Self {
            source,
            sha256: digest(source.text.as_bytes()),
            line_starts: starts.collect(),
            statements: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn check(&mut self, world: &mut World) {
        let source = self.source;
        if let Tool::Program { printable } = source.tool {
            return self.program(printable);
        }
        self.characters();
        for (at, text) in units(source) {
            let tokens = lex::lex(text, at, source.dialect);
            for statement in split::split(&tokens, source.dialect) {
                self.statement(statement, world);
            }
            if source.dialect == Dialect::Postgres && matches!(source.tool, Tool::Sql | Tool::Unknown) {
                self.variables(&tokens);
            }
        }
        for rule in rules().filter(|rule| rule.dialects.contains(&source.dialect)) {
            if let Check::End(look) = &rule.check {
                let mut hits = Hits::default();
                look(world, source, &mut hits);
                for (span, message) in hits.0 {
                    self.report(rule.id, &span, &message);
                }
            }
        }
    }

    /// What a program does is seen where its tool prints it, if anywhere.
    fn program(&mut self, printable: bool) {
        self.report(NOT_SQL, &(0..0), if printable { PRINTABLE } else { "a program, of which no SQL is seen" });
        if printable {
            self.findings.iter_mut().for_each(|finding| finding.severity = Severity::Warning);
        }
    }

    fn characters(&mut self) {
        let hidden =
            |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{2060}');
        if let Some((at, c)) = self.source.text.char_indices().find(|(_, c)| hidden(*c)) {
            self.report("hidden-characters", &(at..at + c.len_utf8()), "characters that cannot be seen, or turn text around");
        }
        if let Some(at) = self.source.text.find(char::REPLACEMENT_CHARACTER) {
            self.report("unparsed", &(at..at + 3), "what stands here is no UTF-8: what it says depends on who reads it");
        }
        if let Some(at) = self.source.text.find('\0') {
            self.report("unparsed", &(at..at + 1), "a NUL byte: for some programs the file ends here");
        }
    }

    fn statement(&mut self, tokens: &[Token<'_>], world: &mut World) {
        let source = self.source;
        let span = span_of(tokens);
        self.statements.push((span.clone(), OnceCell::new()));
        let first = &tokens[0];
        if first.kind == Kind::Meta {
            return self.meta(first, world);
        }
        let mut deeds = deeds(tokens, source.dialect);
        let text = &source.text[span.clone()];
        if let Some(objection) = witness::objection(text, tokens, &deeds, source.dialect) {
            self.report("unparsed", &span, &objection);
            deeds.extend(torn(tokens, &deeds, source.dialect));
        }
        let rows = first.is("COPY") && lex::reads_rows(tokens);
        if rows && !matches!(source.tool, Tool::Sql | Tool::Unknown) {
            self.report("dynamic-sql", &span, "only psql takes what follows for rows; to this tool it is SQL");
        }
        for deed in &deeds {
            let Source { dialect, tool, .. } = *source;
            let look = Look { op: &deed.op, span: &deed.span, within: deed.within, dialect, tool, world };
            for rule in rules().filter(|rule| rule.dialects.contains(&source.dialect)) {
                if let Check::Each(each) = &rule.check {
                    let mut hits = Hits::default();
                    each(&look, &mut hits);
                    let inside = if deed.within == Within::Routine { " (when this routine is called)" } else { "" };
                    for (at, message) in hits.0 {
                        self.report(rule.id, &at, &format!("{message}{inside}"));
                    }
                }
            }
            world.apply(deed, source.dialect);
        }
    }

    /// What psql puts in place of `:name`, before the server sees the statement.
    fn variables(&mut self, tokens: &[Token<'_>]) {
        for at in 1..tokens.len() {
            let (colon, name) = (&tokens[at - 1], &tokens[at]);
            let cast = at > 1 && tokens[at - 2].symbol(":") && tokens[at - 2].span.1 == colon.span.0;
            let named = matches!(name.kind, Kind::Word | Kind::Text | Kind::Quoted) && name.span.0 == colon.span.1;
            if colon.symbol(":") && !cast && named {
                let message = format!("psql puts the value of its variable in place of `:{}`", finding::shortened(name.raw));
                self.report("dynamic-sql", &(colon.span.0..name.span.1), &message);
            }
        }
    }

    /// A command to psql: most of them only say something, or change how psql behaves; the others run what stands elsewhere.
    fn meta(&mut self, token: &Token<'_>, world: &mut World) {
        // What mariadb-dump begins with: it only takes commands away from the client.
        if self.source.dialect == Dialect::Mysql && token.raw.trim_end() == r"\- enable the sandbox mode */" {
            return;
        }
        let name = token.raw.trim_start_matches('\\').split_whitespace().next().unwrap_or("");
        let harmless = [
            "echo",
            "qecho",
            "warn",
            "set",
            "unset",
            "timing",
            "pset",
            "x",
            "t",
            "a",
            "if",
            "elif",
            "else",
            "endif",
            "restrict",
            "unrestrict",
            "p",
            "r",
            "H",
            "d",
            "dt",
            "conninfo",
            "errverbose",
        ];
        if token.raw.contains('`') {
            world.distrust();
            return self.report("dynamic-sql", &token.range(), "psql runs what stands between backticks as a program");
        }
        if matches!(name, "if" | "elif" | "else") {
            world.distrust();
        }
        let words: Vec<&str> = token.raw.split_whitespace().map(|word| word.trim_matches(['\'', '"'])).collect();
        if let [_, "ON_ERROR_STOP" | "ON_ERROR_ROLLBACK", rest @ ..] = words.as_slice()
            && !matches!(rest, ["on" | "1" | "true" | "ON"])
        {
            world.distrust();
            self.report("checks-disabled", &token.range(), "psql goes on after an error from here");
        }
        if self.source.dialect == Dialect::Postgres
            && harmless.contains(&name)
            && matches!(self.source.tool, Tool::Sql | Tool::Unknown)
        {
            return;
        }
        world.distrust();
        self.report(
            "dynamic-sql",
            &token.range(),
            &format!("`\\{name}` is a command to the client: what it runs is not seen here"),
        );
    }

    fn report(&mut self, id: &str, span: &Range<usize>, message: &str) {
        let Some(rule) = rule(id) else { return };
        let statement = self.statements.iter().rev().find(|(known, _)| known.start <= span.start && span.start <= known.end);
        let text = self.source.text;
        let whole = statement.and_then(|(range, _)| text.get(range.clone())).unwrap_or("");
        // The same in a checkout that ends lines in another way: which bytes were approved, the file's own hash tells.
        let hash = || digest(whole.trim().replace("\r\n", "\n").as_bytes());
        let hash = statement.map_or_else(hash, |(_, known)| known.get_or_init(hash).clone());
        let shown = text.get(span.clone()).filter(|text| !text.is_empty()).unwrap_or(whole);
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        let line_start = self.line_starts[line - 1];
        // Nobody looks for a column far to the right by its number.
        let far = span.start - line_start > 10_000;
        let before = text.get(line_start..span.start).filter(|_| !far);
        let column = before.map_or(span.start - line_start, |text| text.chars().count()) + 1;
        let (line, column) = match self.source.tool {
            Tool::Prisma8 => (ops::line(text, line), 1),
            _ => (line, column),
        };
        let finding = Finding {
            rule: rule.id,
            severity: rule.severity,
            file: self.source.name.to_owned(),
            sha256: self.sha256.clone(),
            line,
            column,
            span: span.clone(),
            statement: finding::shortened(shown),
            digest: hash,
            message: message.to_owned(),
            why: rule.why,
            safe: rule.safe,
        };
        let same = |known: &Finding| known.rule == finding.rule && known.span == finding.span && known.message == finding.message;
        if !self.findings.iter().any(same) {
            self.findings.push(finding);
        }
    }

    fn done(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| (finding.span.start, finding.severity, finding.rule));
        self.findings
    }
}

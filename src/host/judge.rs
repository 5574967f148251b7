//! Judges what a command printed, from its unmasked text: patterns that must or must not match, what a migration tool's status
//! means, which hints fit. Only verdicts leave.

use regex_lite::Regex;

use crate::action::{Judge, Pattern, Signs, StatusReading};
use crate::event::Stream;
use crate::facts::Migrations;
use crate::hint;
use crate::protocol::Hint;

/// The longest line that is judged; the rest of a longer one is not looked at.
const LINE: usize = 64 << 10;

/// Cuts output into lines without colours, each stream for itself.
#[derive(Debug, Default)]
struct Lines {
    rest: [Vec<u8>; 2],
}

impl Lines {
    fn push(&mut self, stream: Stream, bytes: &[u8], mut each: impl FnMut(&str)) {
        let rest = &mut self.rest[usize::from(stream == Stream::Stderr)];
        let mut parts = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
        let mut part = parts.next().unwrap_or_default();
        loop {
            rest.extend_from_slice(&part[..part.len().min(LINE - rest.len())]);
            let Some(next) = parts.next() else { return };
            each(&plain(rest));
            rest.clear();
            part = next;
        }
    }

    fn finish(&mut self, mut each: impl FnMut(&str)) {
        for rest in &mut self.rest {
            if !rest.is_empty() {
                each(&plain(rest));
                rest.clear();
            }
        }
    }
}

/// Text without escape sequences.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next() == Some('[') {
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
    }
    out
}

/// How much of the end of each stream is kept for hints: what a command complains of stands there.
const TAIL: usize = 64 << 10;

/// Watches a command's output for the patterns that decide about it, line by line, and keeps its end for hints.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    lines: Lines,
    require: Vec<(Option<Regex>, String, bool)>,
    forbid: Vec<(Option<Regex>, String, bool)>,
    hints: Vec<Hint>,
    tails: [Vec<u8>; 2],
}

impl Watcher {
    /// A watcher for what a command must and must not print.
    pub(super) fn new(judge: &Judge, hints: &[Hint]) -> Self {
        let patterns = |list: &[Pattern]| list.iter().map(|p| (Regex::new(&p.regex).ok(), p.means.clone(), false)).collect();
        Self {
            lines: Lines::default(),
            require: patterns(&judge.require),
            forbid: patterns(&judge.forbid),
            hints: hints.to_vec(),
            tails: Default::default(),
        }
    }

    /// Takes output as it comes.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let Self { lines, require, forbid, tails, .. } = self;
        if !require.is_empty() || !forbid.is_empty() {
            lines.push(stream, bytes, |line| look(line, [require, forbid]));
        }
        let tail = &mut tails[usize::from(stream == Stream::Stderr)];
        tail.extend_from_slice(bytes);
        if tail.len() > 2 * TAIL {
            tail.drain(..tail.len() - TAIL);
        }
    }

    /// Takes the end of the output.
    pub(super) fn finish(&mut self) {
        let Self { lines, require, forbid, .. } = self;
        lines.finish(|line| look(line, [require, forbid]));
    }

    /// The end of what it complained of.
    pub(super) fn complaints(&self) -> String {
        plain(&self.tails[1])
    }

    /// Why the output does not count as success; none when it does. A pattern that is no regular expression never matches,
    /// so a requirement fails and the caller is told.
    pub(super) fn objection(&self) -> Option<String> {
        let forbidden = self.forbid.iter().find(|(_, _, seen)| *seen).map(|(_, means, _)| format!("it printed {means}"));
        let missing = || self.require.iter().find(|(_, _, seen)| !*seen).map(|(_, means, _)| format!("it did not print {means}"));
        forbidden.or_else(missing)
    }

    /// The hints that fit.
    pub(super) fn hints(&self) -> Vec<&str> {
        hint::fitting(&self.hints, &self.tails.each_ref().map(|tail| plain(tail)).join("\n"))
    }
}

fn look(line: &str, lists: [&mut Vec<(Option<Regex>, String, bool)>; 2]) {
    for (regex, _, seen) in lists.into_iter().flatten() {
        *seen = *seen || regex.as_ref().is_some_and(|regex| regex.is_match(line));
    }
}

/// What a status command's answer means. Anything that is not understood is not known, never good.
pub(crate) fn read_status(reading: &StatusReading, code: Option<i32>, stdout: &[u8], stderr: &[u8]) -> Migrations {
    let text = [plain(stdout), plain(stderr)].join("\n");
    let lines: Vec<&str> = text.lines().collect();
    let matches = |pattern: &str| Regex::new(pattern).is_ok_and(|regex| lines.iter().any(|line| regex.is_match(line)));
    let fits = |signs: &Signs| code.is_some_and(|code| signs.codes.contains(&code)) && signs.line.as_deref().is_none_or(matches);
    if let Some(sign) = reading.failed.iter().find(|pattern| matches(&pattern.regex)) {
        // Some tools list right below it what they mean.
        let below = reading.names.as_ref().filter(|list| !list.begin.is_empty());
        let names = below.map(|list| items(&lines, &sign.regex, &list.item)).unwrap_or_default();
        let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        return Migrations::Failed { why: format!("{}{names}", sign.means), remedy: None };
    }
    if fits(&reading.pending) {
        let names = reading.names.as_ref().map(|list| items(&lines, &list.begin, &list.item)).unwrap_or_default();
        return Migrations::Pending { names };
    }
    if fits(&reading.up_to_date) {
        return Migrations::UpToDate;
    }
    let words = telling(&lines).unwrap_or("it printed nothing");
    let code = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
    Migrations::NotKnown { why: format!("its status command ended with {code} and words that are not understood: {words}") }
}

/// The line that says most: the last, or, where a program says that it gave up, the first below that, for the last is then the same always.
fn telling<'t>(lines: &[&'t str]) -> Option<&'t str> {
    let says = |line: &&&'t str| !line.trim().is_empty();
    let gave_up = lines.iter().skip_while(|line| !line.trim_end().ends_with("aborted!")).skip(1).find(says);
    gave_up.or_else(|| lines.iter().rev().find(says)).copied()
}

fn items(lines: &[&str], begin: &str, item: &str) -> Vec<String> {
    let (Ok(begin), Ok(item)) = (Regex::new(begin), Regex::new(item)) else { return Vec::new() };
    if begin.as_str().is_empty() {
        // They stand anywhere, and several may stand in a line.
        let named = lines.iter().flat_map(|line| item.captures_iter(line));
        return named.filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect();
    }
    let after = lines.iter().skip_while(|line| !begin.is_match(line)).skip(1);
    let listed = after.take_while(|line| !line.trim().is_empty());
    listed.filter_map(|line| Some(item.captures(line)?.get(1)?.as_str().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::NameList;

    fn pattern(regex: &str) -> Pattern {
        Pattern { regex: regex.into(), means: format!("/{regex}/") }
    }

    #[test]
    fn success_needs_its_line_and_no_bad_one() {
        let judge = Judge { codes: vec![0], require: vec![pattern("^done$")], forbid: vec![pattern("panic")] };
        let verdict = |chunks: &[&[u8]]| {
            let mut watcher = Watcher::new(&judge, &[]);
            for chunk in chunks {
                watcher.push(Stream::Stdout, chunk);
            }
            watcher.finish();
            watcher.objection()
        };
        assert_eq!(verdict(&[b"do", b"ne\n"]), None);
        assert_eq!(verdict(&[b"\x1b[32mdone\x1b[0m"]), None);
        assert_eq!(verdict(&[b"undone\n"]).as_deref(), Some("it did not print /^done$/"));
        assert_eq!(verdict(&[b"done\npanic\n"]).as_deref(), Some("it printed /panic/"));
    }

    #[test]
    fn a_status_that_is_not_understood_is_not_known() {
        let reading = StatusReading {
            failed: vec![pattern("have failed")],
            pending: Signs { codes: vec![1], line: Some("not yet been applied".into()) },
            up_to_date: Signs { codes: vec![0], line: Some("up to date".into()) },
            names: Some(NameList { begin: "not yet been applied".into(), item: r"^(\d+_\S+)$".into() }),
        };
        let read = |code: i32, text: &str| read_status(&reading, Some(code), text.as_bytes(), b"");
        assert_eq!(read(0, "schema is up to date!\n"), Migrations::UpToDate);
        let pending = read(1, "x\nhave not yet been applied:\n1_a\n2_b\n\n3_c\n");
        assert_eq!(pending, Migrations::Pending { names: vec!["1_a".into(), "2_b".into()] });
        assert!(matches!(read(1, "migrations have failed\nnot yet been applied"), Migrations::Failed { .. }));
        let failed = Migrations::Failed { why: "/have failed/: 3_c".into(), remedy: None };
        assert_eq!(read(1, "migration have failed:\n3_c\n\nread more"), failed);
        assert!(matches!(read(0, "2 migrations found\n"), Migrations::NotKnown { .. }), "an engine that died says no more");
        assert!(matches!(read_status(&reading, None, b"", b""), Migrations::NotKnown { .. }));
        let told = |text: &str| match read(2, text) {
            Migrations::NotKnown { why } => why.rsplit_once("not understood: ").map(|(_, words)| words.to_owned()),
            _ => None,
        };
        assert_eq!(told("one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(told("").as_deref(), Some("it printed nothing"));
        let aborted =
            "x\nrails aborted!\n\nNoGateway: no way there\n/app/bin/rails:4\n\n(See full trace by running task with --trace)\n";
        assert_eq!(told(aborted).as_deref(), Some("NoGateway: no way there"));
        assert_eq!(told("x\nrails aborted!\n").as_deref(), Some("rails aborted!"));
    }
}

//! What is wrong with a file: all of it at once, each with its place, the source line underlined, and what to do. Prints nothing.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it is shown; empty for what comes from the command line.
    pub file: Arc<str>,
    /// Bytes of its text.
    pub span: Range<usize>,
}

impl Place {
    /// The place of what stands in no file.
    pub fn nowhere() -> Self {
        Self { file: Arc::from(""), span: 0..0 }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> Placed<T> {
    /// A value at a place.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// A value that stands in no file.
    pub fn nowhere(value: T) -> Self {
        Self { value, place: Place::nowhere() }
    }

    /// Another value at the same place.
    pub fn with<U>(&self, value: U) -> Placed<U> {
        Placed { value, place: self.place.clone() }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diag {
    /// The exit code that goes with it: 2, or 7 for what is refused although it is well formed.
    pub code: u8,
    /// The file as it is shown.
    pub file: Option<Arc<str>>,
    /// Where in the file.
    pub span: Option<Range<usize>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether what stands there must not be shown.
    pub hide: bool,
}

impl Diag {
    /// An error of the files or the command line (exit code 2).
    pub fn new(place: &Place, message: impl Into<String>, help: Option<String>) -> Self {
        let known = !place.file.is_empty();
        Self {
            code: 2,
            file: known.then(|| place.file.clone()),
            span: known.then(|| place.span.clone()),
            message: printable(&message.into()),
            help: help.map(|help| printable(&help)),
            hide: false,
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() && c != '\n' { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Everything that is wrong, with the text of the files it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diags {
    list: Vec<Diag>,
    sources: Vec<(Arc<str>, Arc<str>)>,
}

/// A diagnostic in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagJson {
    /// The exit code that goes with it.
    pub code: u8,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diags {
    /// One error that is in no file.
    pub fn one(message: impl Into<String>, help: Option<String>) -> Self {
        Self { list: vec![Diag::new(&Place::nowhere(), message, help)], sources: Vec::new() }
    }

    /// Each of them, by file and place.
    pub fn iter(&self) -> impl Iterator<Item = &Diag> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The exit code: 7 only where everything that is wrong is a refusal.
    pub fn code(&self) -> u8 {
        if !self.list.is_empty() && self.list.iter().all(|diag| diag.code == 7) { 7 } else { 2 }
    }

    /// Adds those of another file, each only once.
    pub fn merge(&mut self, other: Self) {
        for source in other.sources {
            if !self.sources.iter().any(|(file, _)| *file == source.0) {
                self.sources.push(source);
            }
        }
        for diag in other.list {
            if !self.list.contains(&diag) {
                self.list.push(diag);
            }
        }
    }

    /// All of them as text for people, with source lines underlined.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let sources: Vec<(Arc<str>, String)> =
            self.sources.iter().map(|(file, text)| (file.clone(), self.without_hidden(file, text))).collect();
        let texts: Vec<String> = self.list.iter().map(|diag| Self::render_one(diag, &sources, &renderer)).collect();
        texts.join("\n\n")
    }

    fn render_one(diag: &Diag, sources: &[(Arc<str>, String)], renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(diag.message.as_str());
        let text = diag.file.as_ref().and_then(|file| sources.iter().find(|(name, _)| name == file));
        let mut group = match (text, &diag.span) {
            (Some((file, text)), Some(span)) => title.element(
                Snippet::source(text.as_str())
                    .path(file.as_ref())
                    .annotation(AnnotationKind::Primary.span(on_one_line(text, span))),
            ),
            _ => Group::with_title(title),
        };
        if let Some(help) = &diag.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// What must not be shown becomes stars of the same length, whichever error the line is shown for.
    fn without_hidden(&self, file: &Arc<str>, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for diag in self.list.iter().filter(|diag| diag.hide && diag.file.as_ref() == Some(file)) {
            let span = diag.span.clone().unwrap_or(0..0);
            for byte in bytes.get_mut(span).into_iter().flatten().filter(|byte| !matches!(byte, b'\n' | b'"' | b'\'')) {
                *byte = b'*';
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What must not be shown is not quoted by messages either.
    fn hide_in_words(&mut self) {
        let at = |diag: &Diag| {
            let (_, text) = self.sources.iter().find(|(file, _)| Some(file) == diag.file.as_ref())?;
            Some(text.get(diag.span.clone()?)?.trim_matches(['"', '\'', '\n']).to_owned())
        };
        let hidden: Vec<String> =
            self.list.iter().filter(|diag| diag.hide).filter_map(at).filter(|text| !text.is_empty()).collect();
        for diag in self.list.iter_mut().filter(|diag| !diag.hide) {
            for text in &hidden {
                // A list of single words quotes it in parts.
                for part in std::iter::once(text.as_str())
                    .chain(text.split_whitespace().filter(|part| super::looks_secret(part).is_some()))
                {
                    diag.message = diag.message.replace(part, "***");
                    diag.help = diag.help.take().map(|help| help.replace(part, "***"));
                }
            }
        }
    }

    /// All of them as values for JSON.
    pub fn to_json(&self) -> Vec<DiagJson> {
        let place = |diag: &Diag| {
            let (_, text) = self.sources.iter().find(|(file, _)| Some(file) == diag.file.as_ref())?;
            let before = text.get(..diag.span.as_ref()?.start)?;
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
        };
        let json = |diag: &Diag| DiagJson {
            code: diag.code,
            file: diag.file.as_ref().map(ToString::to_string),
            line: place(diag).map(|(line, _)| line),
            column: place(diag).map(|(_, column)| column),
            message: diag.message.clone(),
            help: diag.help.clone(),
        };
        self.list.iter().map(json).collect()
    }
}

/// The part of a span that is on its first line with anything on it: what is underlined.
fn on_one_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let end = span.end.min(text.len());
    let start = span.start.min(end);
    let shown = text.get(start..end).unwrap_or("");
    match shown.find('\n') {
        Some(0) | None => start..end,
        Some(length) => start..start + length,
    }
}

impl fmt::Display for Diags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diags {}

/// Where readers leave what they find wrong, so that they can go on.
#[derive(Debug, Default)]
pub struct Sink {
    found: RefCell<Diags>,
}

impl Sink {
    /// Makes a file's text known, so that its lines can be shown.
    pub fn source(&self, file: &Arc<str>, text: &str) {
        let mut found = self.found.borrow_mut();
        if !found.sources.iter().any(|(name, _)| name == file) {
            found.sources.push((file.clone(), Arc::from(text)));
        }
    }

    /// Keeps a diagnostic; the same one only once.
    pub fn push(&self, diag: Diag) {
        let mut found = self.found.borrow_mut();
        if !found.list.contains(&diag) {
            found.list.push(diag);
        }
    }

    /// Keeps an error (exit code 2).
    pub fn error(&self, place: &Place, message: impl Into<String>, help: impl Into<Option<String>>) {
        self.push(Diag::new(place, message, help.into()));
    }

    /// Keeps a refusal (exit code 7).
    pub fn refuse(&self, place: &Place, message: impl Into<String>, help: impl Into<Option<String>>) {
        self.push(Diag { code: 7, ..Diag::new(place, message, help.into()) });
    }

    /// Whether nothing was found wrong.
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// How much was found wrong.
    pub fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// Keeps what was found elsewhere.
    pub fn take(&self, diags: Diags) {
        self.found.borrow_mut().merge(diags);
    }

    /// Gives what was found to another sink, which knows the files already.
    pub fn pour_into(self, other: &Self) {
        other.take(self.found.into_inner());
    }

    /// Whether something was found wrong with a key of this name.
    pub fn has_error_about(&self, key: &str) -> bool {
        let quoted = format!("`{key}`");
        self.found.borrow().list.iter().any(|diag| diag.message.contains(&quoted))
    }

    /// The text that stands at a place.
    pub fn text_at(&self, place: &Place) -> Option<String> {
        let found = self.found.borrow();
        let (_, text) = found.sources.iter().find(|(file, _)| *file == place.file)?;
        text.get(place.span.clone()).map(str::to_owned)
    }

    /// The part of a place where `part` is written, or all of it.
    pub fn within(&self, place: &Place, part: &str) -> Place {
        let at = self.text_at(place).and_then(|text| text.find(part));
        at.map_or_else(
            || place.clone(),
            |at| Place { file: place.file.clone(), span: place.span.start + at..place.span.start + at + part.len() },
        )
    }

    /// The value, where nothing was found wrong; else all that was, by file and place.
    pub fn finish<T>(self, value: T) -> Result<T, Diags> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return Ok(value);
        }
        found.hide_in_words();
        let order = |diag: &Diag| {
            let file = found.sources.iter().position(|(name, _)| Some(name) == diag.file.as_ref());
            (file, diag.span.as_ref().map(|span| span.start))
        };
        let mut keyed: Vec<_> = found.list.iter().map(|diag| (order(diag), diag.clone())).collect();
        keyed.sort_by_key(|(order, _)| *order);
        found.list = keyed.into_iter().map(|(_, diag)| diag).collect();
        Err(found)
    }
}

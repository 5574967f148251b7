//! Where reporters write: a stream that may lose its peer without ending the run. It never panics, and never fails a caller:
//! once writing has failed it goes quiet and remembers why.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

/// A stream that goes quiet when its peer is gone.
pub struct Sink {
    inner: Box<dyn Write + Send>,
    /// A runner of GitHub reads along, and must take no line for a command to it.
    guarded: bool,
    failed: Option<io::Error>,
}

impl Sink {
    /// Writes to `inner`.
    pub fn new(inner: impl Write + Send + 'static) -> Self {
        Self { inner: Box::new(inner), guarded: false, failed: None }
    }

    /// Writes to the process's standard output, in large pieces: what must be seen is flushed.
    pub fn stdout() -> Self {
        Self::new(io::BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// Writes to the process's standard error.
    pub fn stderr() -> Self {
        let guarded = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        Self { guarded, ..Self::new(io::stderr()) }
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.attempt(|inner| inner.write_all(bytes));
    }

    /// Writes a text and the end of its line.
    pub fn line(&mut self, text: &str) {
        let text = if self.guarded { guarded(text) } else { Cow::from(text) };
        let mut line = text.into_owned();
        line.push('\n');
        self.attempt(|inner| inner.write_all(line.as_bytes()));
    }

    /// Hands over what a buffer may hold back.
    pub fn flush(&mut self) {
        self.attempt(|inner| inner.flush());
    }

    /// Why it is quiet, if that is anything but a reader that went away: then what was written is not whole.
    pub fn incomplete(&self) -> Option<&io::Error> {
        self.failed.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.inner).err();
        }
    }
}

/// The same text for a reader, and none of it a command for a runner: those begin a line with `::`, or hold `##[`.
fn guarded(text: &str) -> Cow<'_, str> {
    let begins = |line: &str| line.trim_start().starts_with("::");
    if !text.lines().any(begins) && !text.contains("##[") {
        return text.into();
    }
    let apart = |line: &str| if begins(line) { line.replacen("::", ":\u{200b}:", 1) } else { line.to_owned() };
    text.split('\n').map(apart).collect::<Vec<_>>().join("\n").replace("##[", "#\u{200b}#[").into()
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("failed", &self.failed).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A buffer that a test keeps a hold of.
    #[derive(Clone, Default)]
    pub(in crate::report) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in crate::report) fn bytes(&self) -> Vec<u8> {
            self.0.lock().unwrap().clone()
        }

        pub(in crate::report) fn text(&self) -> String {
            String::from_utf8(self.bytes()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = Sink::new(writer);
        sink.line("nobody reads this");
        sink.bytes(b"nor this");
        sink.flush();
        assert_eq!(sink.failed.as_ref().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
        assert!(sink.incomplete().is_none());
    }

    #[test]
    fn no_line_is_a_command_for_a_runner() {
        let text = guarded("error: it says\n  ::error::owned\nplain :: text ##[error]owned");
        assert_eq!(text, "error: it says\n  :\u{200b}:error::owned\nplain :: text #\u{200b}#[error]owned");
        assert_eq!(guarded("a::b"), "a::b");
    }

    #[test]
    fn a_full_disk_is_remembered() {
        let mut sink = Sink::new(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        sink.line("lost");
        assert_eq!(sink.incomplete().map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    }
}

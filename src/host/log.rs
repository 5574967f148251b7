//! Writes a run's log: one frame a write, appended, never changed. A full disk stops neither the step nor the run: what could not
//! be written is counted, and named in the log as soon as there is room again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;

use super::state::make_file;
use crate::event::{Body, Event, Status, Stream, Timestamp, VERSION};
use crate::name::{HostName, RunId, StepName};
use crate::record;

/// The log of one run, open for writing.
#[derive(Debug)]
pub(super) struct Log {
    book: Arc<Mutex<Book>>,
    /// Set where the step that writes is not the only one that runs.
    aside: Option<Aside>,
}

/// The most output that waits for the end of its step.
const HELD: usize = 256 << 10;

/// A step among others that run at once. What it prints waits for its end, so that it stands together; what happens does not.
#[derive(Debug)]
struct Aside {
    step: StepName,
    held: Vec<Event>,
    size: usize,
    left_out: usize,
}

/// The file, and what could not be written to it.
#[derive(Debug)]
struct Book {
    file: File,
    run: RunId,
    host: HostName,
    /// When the run began, by both clocks: all times of the record are told from it, so that they never run backwards.
    began: (Instant, SystemTime),
    /// What of the last frame could not be written.
    cut: Vec<u8>,
    /// The log ends with a whole frame.
    at_frame: bool,
    /// Bytes of whole frames that could not be written.
    lost: u64,
    unsynced: bool,
}

impl Log {
    /// Opens it.
    pub(super) fn open(path: &Path, run: RunId, host: HostName) -> io::Result<Self> {
        let file = match make_file(path, 0o640) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // In a shared folder others could have put a link there, to have us write to a file of ours.
                let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
                OpenOptions::new().append(true).custom_flags(no_link).open(path)?
            }
            made => made?,
        };
        let began = (Instant::now(), SystemTime::now());
        let book = Book { file, run, host, began, cut: Vec::new(), at_frame: true, lost: 0, unsynced: false };
        Ok(Self { book: Arc::new(Mutex::new(book)), aside: None })
    }

    /// The same log, for a step that runs beside others.
    pub(super) fn beside(&self, step: &StepName) -> Self {
        let aside = Aside { step: step.clone(), held: Vec::new(), size: 0, left_out: 0 };
        Self { book: Arc::clone(&self.book), aside: Some(aside) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an event.
    pub(super) fn event(&mut self, step: Option<&StepName>, body: Body) {
        if matches!(body, Body::StepFinished { .. }) {
            self.release();
        }
        let mut book = self.book();
        if matches!(body, Body::RunStarted { .. }) {
            book.began = (Instant::now(), SystemTime::now());
        }
        let event = book.envelope(step, body);
        book.foreign(&event);
    }

    /// Writes an event that somebody else saw.
    pub(super) fn foreign(&mut self, event: &Event) {
        self.book().foreign(event);
    }

    /// Writes what waited.
    fn release(&mut self) {
        let Some(aside) = &mut self.aside else { return };
        let (events, left_out) = (std::mem::take(&mut aside.held), std::mem::take(&mut aside.left_out));
        aside.size = 0;
        let step = aside.step.clone();
        let mut book = self.book();
        for event in &events {
            book.foreign(event);
        }
        if left_out > 0 {
            let text = format!("{left_out} bytes more that it printed are left out here");
            let event = book.envelope(Some(&step), Body::Warning { text });
            book.foreign(&event);
        }
    }

    /// Writes output, which is masked already.
    pub(super) fn output(&mut self, stream: Stream, text: &[u8], partial: bool) {
        if self.hold(stream, text, partial) {
            return;
        }
        let mut book = self.book();
        let mut frames = Vec::with_capacity(text.len() + 16);
        record::write_output(&mut frames, stream, book.elapsed_ms(), text, partial);
        book.append(&frames);
    }

    /// Writes whole lines of output, each with its end, in one go.
    pub(super) fn lines(&mut self, stream: Stream, lines: &[u8]) {
        if self.aside.is_some() {
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                self.hold(stream, line.strip_suffix(b"\n").unwrap_or(line), false);
            }
            return;
        }
        let mut book = self.book();
        let mut frames = Vec::with_capacity(lines.len() + lines.len() / 8 + 16);
        record::write_lines(&mut frames, stream, book.elapsed_ms(), lines);
        book.append(&frames);
    }

    /// Keeps output for the end of its step. False where the step is alone and need not wait.
    fn hold(&mut self, stream: Stream, text: &[u8], partial: bool) -> bool {
        let Some(step) = self.aside.as_ref().map(|aside| aside.step.clone()) else { return false };
        let event = self.book().envelope(Some(&step), record::output(stream, text.to_vec(), partial));
        let Some(aside) = &mut self.aside else { return false };
        if aside.size + text.len() > HELD {
            aside.left_out += text.len();
        } else {
            aside.size += text.len();
            aside.held.push(event);
        }
        true
    }

    /// Writes the last frame and brings all of it to the disk.
    pub(super) fn end(&mut self, code: u8, status: Status) {
        let mut frame = Vec::new();
        record::write_end(&mut frame, code, status);
        let mut book = self.book();
        book.append(&frame);
        book.sync();
    }

    /// Milliseconds since the run began.
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.book().elapsed_ms()
    }
}

impl Book {
    fn foreign(&mut self, event: &Event) {
        let mut frame = Vec::new();
        record::write_event(&mut frame, event);
        if frame.len() > record::MAX_FRAME {
            // No reader would take it, nor anything after it.
            let text = format!("an event of {} bytes is left out here", frame.len());
            let told = Event { body: Body::Warning { text }, ..event.clone() };
            frame.clear();
            record::write_event(&mut frame, &told);
        }
        self.append(&frame);
    }

    fn envelope(&self, step: Option<&StepName>, body: Body) -> Event {
        Event {
            v: VERSION,
            time: Timestamp::of(self.began.1 + Duration::from_millis(self.elapsed_ms())),
            run: self.run.clone(),
            host: Some(self.host.clone()),
            step: step.cloned(),
            body,
        }
    }

    fn sync(&mut self) {
        if std::mem::take(&mut self.unsynced) {
            let _ = self.file.sync_data();
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn append(&mut self, frames: &[u8]) {
        self.unsynced = true;
        // The rest of a frame that was cut comes first: followers have read its beginning, and nothing is ever taken back.
        if !self.finish_cut() {
            self.lost += frames.len() as u64;
            return;
        }
        if self.lost > 0 {
            let text = format!("{} bytes of the record are missing here: the disk was full", self.lost);
            let mut gap = Vec::new();
            record::write_event(&mut gap, &self.envelope(None, Body::Warning { text }));
            self.lost = 0;
            self.write(&gap);
        }
        if self.cut.is_empty() {
            self.write(frames);
        } else {
            self.lost += frames.len() as u64;
        }
    }

    fn finish_cut(&mut self) -> bool {
        let cut = std::mem::take(&mut self.cut);
        self.write(&cut);
        self.cut.is_empty()
    }

    /// Writes as much as there is room for; what is cut off waits.
    fn write(&mut self, frames: &[u8]) {
        let mut rest = frames;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => break,
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if rest.len() == frames.len() && !frames.is_empty() && self.at_frame {
            // Nothing of it was written: it is lost as a whole, and said so later.
            self.lost += frames.len() as u64;
        } else {
            self.cut = rest.to_vec();
            self.at_frame = self.cut.is_empty();
        }
    }
}

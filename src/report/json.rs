//! The contract's events as JSON lines on stdout, for programs. Adds nothing to them and leaves nothing out.

use super::{Reporter, Sink};
use crate::event::{Body, Event};

/// Writes one JSON object a line.
#[derive(Debug)]
pub struct Json {
    out: Sink,
}

impl Json {
    /// Writes to `out`.
    pub fn new(out: Sink) -> Self {
        Self { out }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        // A type of a later version has lost its fields on the way: half of it would mislead.
        if event.body == Body::Unknown {
            return;
        }
        // A value of our own types always has a JSON form.
        if let Ok(text) = serde_json::to_string(event) {
            self.out.line(&text);
        }
    }

    fn settle(&mut self) {
        self.out.flush();
    }

    fn finish(&mut self) {
        self.out.flush();
        if let Some(error) = self.out.incomplete() {
            Sink::stderr().line(&format!("warning: the events on standard output are not complete: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::super::sink::tests::Shared;
    use super::*;

    #[test]
    fn one_object_a_line() {
        let shared = Shared::default();
        let mut json = Json::new(Sink::new(shared.clone()));
        let events = samples::ok_run();
        for event in &events {
            json.event(event);
        }
        json.finish();
        let read: Vec<Event> = shared.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, events);
    }
}

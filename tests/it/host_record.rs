//! What a record says, taken apart for tests.

use landfall::event::{Body, Event, Status, Stream};
use landfall::name::RunId;
use landfall::protocol::{Reply, RunState};

/// What a record says.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) run: RunId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: Vec<Event>,
    pub(crate) end: Option<Reply>,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<String>,
    pub(crate) duration_ms: u64,
    pub(crate) detail: String,
}

impl Record {
    pub(crate) fn new(run: RunId) -> Self {
        Self { run, bytes: vec![], events: vec![], end: None }
    }

    /// Exit code and status of the run.
    pub(crate) fn rc(&self) -> (u8, String) {
        match &self.end {
            Some(Reply::RecordEnd { state: RunState::Done { code, status }, .. }) => (*code, status.clone()),
            other => panic!("the run is not done: {other:?} {:#?}", self.events),
        }
    }

    pub(crate) fn code(&self) -> u8 {
        self.rc().0
    }

    fn printed(&self, of: Stream) -> String {
        let mut text = String::new();
        for event in &self.events {
            if let Body::Output { stream, text: piece, partial, .. } = &event.body
                && *stream == of
            {
                text.push_str(piece);
                text.push_str(if *partial { "" } else { "\n" });
            }
        }
        text
    }

    pub(crate) fn stdout(&self) -> String {
        self.printed(Stream::Stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        self.printed(Stream::Stderr)
    }

    /// The bytes of a stream, taken from the frames themselves.
    pub(crate) fn raw(&self, stream: Stream) -> Vec<u8> {
        let (whole, piece) = if stream == Stream::Stdout { (b'O', b'o') } else { (b'E', b'e') };
        let mut bytes = Vec::new();
        for line in
            self.bytes.split(|byte| *byte == b'\n').filter(|line| line.first().is_some_and(|k| *k == whole || *k == piece))
        {
            let blank = line.iter().position(|byte| *byte == b' ').unwrap();
            bytes.extend_from_slice(&line[blank + 1..]);
            if line[0] == whole {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    pub(crate) fn ends(&self) -> Vec<(String, End)> {
        let end = |event: &Event| match &event.body {
            Body::StepFinished { status, exit_code, signal, duration_ms, detail } => Some((
                event.step.as_ref()?.to_string(),
                End {
                    status: *status,
                    exit_code: *exit_code,
                    signal: signal.clone(),
                    duration_ms: *duration_ms,
                    detail: detail.clone().unwrap_or_default(),
                },
            )),
            _ => None,
        };
        self.events.iter().filter_map(end).collect()
    }

    pub(crate) fn step(&self, name: &str) -> End {
        let ends = self.ends();
        ends.into_iter().find(|(step, _)| step == name).unwrap_or_else(|| panic!("no end of {name}: {:#?}", self.events)).1
    }

    /// Names and ends of the steps that are told of, in order.
    pub(crate) fn story(&self) -> Vec<(String, Status)> {
        self.ends().into_iter().map(|(name, end)| (name, end.status)).collect()
    }

    pub(crate) fn refusals(&self) -> Vec<(u8, String, String)> {
        let refusal = |event: &Event| match &event.body {
            Body::Refused { refusal } => {
                Some((refusal.code, refusal.message.clone(), refusal.remedy.clone().unwrap_or_default()))
            }
            _ => None,
        };
        self.events.iter().filter_map(refusal).collect()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let warning = |event: &Event| match &event.body {
            Body::Warning { text } => Some(text.clone()),
            _ => None,
        };
        self.events.iter().filter_map(warning).collect()
    }

    pub(crate) fn has_begun(&self, name: &str) -> bool {
        let begun = |event: &Event| {
            matches!(event.body, Body::StepStarted { .. }) && event.step.as_ref().is_some_and(|s| s.as_str() == name)
        };
        self.events.iter().any(begun)
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.events.iter().any(|event| matches!(event.body, Body::Prepared { .. }))
    }
}

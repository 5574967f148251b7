//! Runs that are recorded: told again from their hosts, or, where those cannot be asked, from this machine's own copy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::args::{AttachArgs, On, Speed};
use super::found::{self, Found};
use super::{Context, Failure, exit, reach, report};
use crate::copies::{Copies, Told};
use crate::event::{Body, Event};
use crate::name::HostName;
use crate::playbook::{self, Inventory};
use crate::protocol::RunState;
use crate::report::{Mode, Reporter, Reporters, Sink};
use crate::run::{self, Past, Stop, Watch};

/// Tells all that is recorded of a run, as far as it has come. The code is 0, or 6 where not all of its hosts could be asked.
pub(super) fn tell(context: &Context, on: &On, prefix: Option<&str>, reporters: &mut Reporters) -> Result<u8, Failure> {
    let own = Copies::open().map(|copies| copies.runs()).unwrap_or_default();
    let copy = |run: &str| {
        let mut matching = own.iter().filter(|told| told.run.as_str().starts_with(run));
        matching.next().filter(|_| matching.next().is_none())
    };
    let asked = from_hosts(context, on, prefix, reporters, |run| copy(run).is_some());
    let failure = match asked {
        Ok(Asked::Told(code)) => return Ok(code),
        Ok(Asked::Partly(run, stop)) => {
            let copy = copy(&run).ok_or_else(|| Failure::from(stop.clone()))?;
            return own_copy(copy, &Failure::from(stop), context, reporters);
        }
        Err(failure) => failure,
    };
    let newest = || {
        let inventory = Inventory::read(&context.inventory().ok()?).ok()?;
        let hosts = playbook::hosts(&inventory, &on.on).ok()?;
        let of_them = |told: &&Told| hosts.iter().any(|host| told.hosts.contains(&host.name));
        own.iter().filter(|told| told.project == inventory.project.as_str()).find(of_them)
    };
    match prefix.map_or_else(newest, copy) {
        Some(copy) => own_copy(copy, &failure, context, reporters),
        None => Err(failure),
    }
}

enum Asked {
    /// It was told.
    Told(u8),
    /// Nothing was told: not all hosts of this run could be asked, and there is a copy.
    Partly(String, Stop),
}

fn from_hosts(
    context: &Context,
    on: &On,
    prefix: Option<&str>,
    reporters: &mut Reporters,
    has_copy: impl Fn(&str) -> bool,
) -> Result<Asked, Failure> {
    let hosts = found::hosts(context, on)?;
    reach::block_on(async {
        let reach = reach::reach()?;
        let (known, stops) = found::ask(&reach, &hosts).await;
        let Found { run, of, mut unasked } = found::choose(known, stops, prefix)?;
        if !unasked.is_empty() && has_copy(run.as_str()) {
            return Ok(Asked::Partly(run.to_string(), unasked.remove(0)));
        }
        // What still runs is told as far as it has come.
        let running =
            |host: &&found::HostRuns| host.runs.iter().any(|known| known.run == run && known.state == RunState::Running);
        let leave: BTreeSet<HostName> = of.iter().filter(running).map(|host| host.at.name.clone()).collect();
        let watch = Watch { past: Past::Whole, leave, reconnect_for: Duration::from_secs(30) };
        let of = of.into_iter().map(|host| (host.at, host.contact)).collect();
        let finished = run::attach(&reach, &run, of, &watch, reporters).await;
        let lost = finished.stops.iter().chain(&unasked);
        for stop in lost {
            context.tell(&Failure::from(stop.clone()));
        }
        for stop in finished.stops.iter().chain(&unasked) {
            reporters.stopped(stop.host.as_ref(), &stop.message, stop.remedy.as_deref());
        }
        Ok(Asked::Told(if unasked.is_empty() { exit::DONE } else { exit::UNKNOWN }))
    })?
}

fn own_copy(copy: &Told, failure: &Failure, context: &Context, reporters: &mut Reporters) -> Result<u8, Failure> {
    // No error of this command: there is another way.
    failure.render(&mut Sink::stderr(), context.paint());
    super::say(&format!("run {}: told from this machine's own copy", copy.run));
    copy.play(|event| reporters.event(&event))
        .map_err(|error| Failure::new(exit::UNKNOWN, format!("the copy of run {} cannot be read: {error}", copy.run)))?;
    if copy.end.is_none() {
        reporters.stopped(None, "this is a copy that does not know the end of the run", None);
    }
    Ok(exit::DONE)
}

/// `landfall attach --replay`: what is recorded, with the pauses that it had.
pub(super) fn replay(context: &Context, args: &AttachArgs) -> Result<u8, Failure> {
    let mut reporters = report::of_watching(context, &args.reports, None)?;
    let tape = Arc::new(Mutex::new(Tape::default()));
    let mut recording = Reporters::new();
    recording.add(Arc::clone(&tape));
    tell(context, &args.selection.on, args.run.as_deref(), &mut recording)?;
    let mut tape = std::mem::take(&mut *tape.lock().unwrap_or_else(PoisonError::into_inner));
    let speed = args.speed.unwrap_or(if context.display.mode == Mode::Terminal { Speed::Times(1.0) } else { Speed::Max });
    let code = reach::block_on(async {
        tokio::select! {
            code = play(&mut tape, speed, &mut reporters) => code,
            _ = tokio::signal::ctrl_c() => Ok(exit::CANCELLED),
        }
    })?;
    let code = code.map_err(|error| Failure::new(exit::UNKNOWN, format!("the record could not be kept here: {error}")))?;
    reporters.finish();
    Ok(code)
}

async fn play(tape: &mut Tape, speed: Speed, reporters: &mut Reporters) -> io::Result<u8> {
    let mut code = exit::UNKNOWN;
    let mut last = None;
    for event in tape.rewind()? {
        let event = event?;
        // Who watched a run later told its beginning and its end by another clock.
        let by_host = !matches!(event.body, Body::RunStarted { .. } | Body::RunFinished { .. });
        let at = event.time.at().filter(|_| by_host);
        let pause = at.zip(last).and_then(|(at, last)| at.duration_since(last).ok());
        if let (Speed::Times(times), Some(pause)) = (speed, pause) {
            reporters.settle();
            tokio::time::sleep(pause.div_f64(times)).await;
        }
        last = last.max(at);
        if let Body::RunFinished { exit_code, .. } = event.body {
            code = exit_code;
        }
        reporters.event(&event);
    }
    Ok(code)
}

/// Events on their way to be told in the order of their times: a file each for what every host told in its own order.
#[derive(Default)]
struct Tape {
    files: BTreeMap<Option<HostName>, BufWriter<File>>,
    failed: Option<io::Error>,
}

impl Tape {
    fn take(&mut self, event: &Event) -> io::Result<()> {
        let file = match self.files.entry(event.host.clone()) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => free.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        serde_json::to_writer(&mut *file, event)?;
        file.write_all(b"\n")
    }

    fn rewind(&mut self) -> io::Result<Merged> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut merged = Merged { sources: Vec::new(), heads: BinaryHeap::new() };
        for file in std::mem::take(&mut self.files).into_values() {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            merged.sources.push(BufReader::new(file));
            merged.advance(merged.sources.len() - 1)?;
        }
        Ok(merged)
    }
}

impl Reporter for Tape {
    fn event(&mut self, event: &Event) {
        if self.failed.is_none() {
            self.failed = self.take(event).err();
        }
    }

    fn finish(&mut self) {}
}

/// The events of several files in the order of their times.
struct Merged {
    sources: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(u8, String, usize, String)>>,
}

impl Merged {
    /// Takes the next event of a file to where it can be compared.
    fn advance(&mut self, source: usize) -> io::Result<()> {
        let mut line = String::new();
        if self.sources[source].read_line(&mut line)? > 0 {
            let event: Event = serde_json::from_str(&line)?;
            let rank = match event.body {
                Body::RunStarted { .. } => 0,
                Body::RunFinished { .. } => 2,
                _ => 1,
            };
            self.heads.push(Reverse((rank, event.time.to_string(), source, line)));
        }
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<io::Result<Event>> {
        let Reverse((_, _, source, line)) = self.heads.pop()?;
        if let Err(error) = self.advance(source) {
            return Some(Err(error));
        }
        Some(serde_json::from_str(&line).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Status, VERSION};
    use crate::name::RunId;

    fn event(host: Option<&str>, second: u32, body: Body) -> Event {
        let time = format!("2026-05-04T10:00:{second:02}.000Z");
        let host = host.map(|host| host.parse().unwrap());
        Event { v: VERSION, time: time.into(), run: RunId::from_random([1; 6]), host, step: None, body }
    }

    fn warning(text: &str) -> Body {
        Body::Warning { text: text.into() }
    }

    #[test]
    fn hosts_are_told_side_by_side_again() {
        let (plan, who) = (String::new(), String::new());
        let start = Body::RunStarted { playbook: "p".into(), hosts: vec![], plan, who, note: None };
        let end = Body::RunFinished { status: Status::Failed, exit_code: 4, duration_ms: 1 };
        let mut tape = Tape::default();
        // As a watcher hears it: the beginning late by its clock, then one host after the other.
        tape.event(&event(None, 50, start));
        for (host, at, text) in
            [("a", 1, "a1"), ("a", 3, "a3"), ("a", 2, "a2: its clock went back"), ("b", 2, "b2"), ("b", 4, "b4")]
        {
            tape.event(&event(Some(host), at, warning(text)));
        }
        tape.event(&event(None, 51, end));
        let words = |event: io::Result<Event>| match event.unwrap().body {
            Body::Warning { text } => text,
            Body::RunStarted { .. } => "start".into(),
            _ => "end".into(),
        };
        let told: Vec<String> = tape.rewind().unwrap().map(words).collect();
        assert_eq!(told, ["start", "a1", "b2", "a3", "a2: its clock went back", "b4", "end"]);
    }

    #[tokio::test]
    async fn pauses_are_those_of_the_run_divided_by_the_speed() {
        let took = async |speed| {
            let mut tape = Tape::default();
            for at in [1, 3, 2, 13] {
                tape.event(&event(Some("a"), at, warning("x")));
            }
            let began = std::time::Instant::now();
            assert_eq!(play(&mut tape, speed, &mut Reporters::new()).await.unwrap(), exit::UNKNOWN);
            began.elapsed()
        };
        assert!(took(Speed::Times(100.0)).await >= Duration::from_millis(120));
        assert!(took(Speed::Max).await < Duration::from_secs(12));
    }
}

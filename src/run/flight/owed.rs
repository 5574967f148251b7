//! What the client owes its hosts at their barriers: its own work, done once and by this client only, and how a step ended elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Flight, Told};
use crate::event::{Body, Status};
use crate::name::{HostName, StepName};
use crate::playbook::{DriverWork, Work};
use crate::protocol::Answer;
use crate::run::host::Wanted;
use crate::run::{Feed, drive};

impl Flight<'_> {
    /// A host that another client drives gets nothing from this one any more.
    pub(super) fn overtaken(&mut self, host: &HostName, feed: &mut Feed<'_>) {
        if let Some(seat) = self.seats.get_mut(host).filter(|seat| seat.let_go && seat.end.is_none()) {
            seat.let_go = false;
            let text = "this run is not this client's to drive: it only watches".to_owned();
            feed.tell(Some(host), None, Body::Warning { text });
        }
    }

    /// From here on what a host tells is news. A step that waits for its client since before is this client's now: a look is taken
    /// again; a command that may have run is not.
    pub(super) fn caught_up(&mut self, host: &HostName) {
        let Some(seat) = self.seats.get_mut(host).filter(|seat| seat.history) else { return };
        seat.history = false;
        let of_another = seat.let_go && seat.taken_over;
        for index in seat.open.clone() {
            let may_have_run = of_another && !self.own.contains_key(&(host.clone(), index));
            let begun = self.host(host).and_then(|host| host.steps.get(index)).map(|step| &step.work);
            if may_have_run && matches!(begun, Some(Work::Driver(DriverWork::Local(_)))) {
                let detail = Some("its client went away after it was begun: whether it ran is not known".to_owned());
                self.answer(host, index, Answer { status: Status::Unknown, exit_code: None, detail, events: Vec::new() });
            } else {
                self.work(host, index);
            }
        }
    }

    /// Begins the client's own work of a step that a host has come to.
    pub(super) fn work(&mut self, host: &HostName, index: usize) {
        let key = (host.clone(), index);
        let Some(step) = self.host(host).and_then(|host| host.steps.get(index)) else { return };
        let Work::Driver(work) = &step.work else { return };
        let let_go = self.seats.get(host).is_some_and(|seat| seat.let_go);
        if !let_go || self.is_found() || self.own.contains_key(&key) {
            return;
        }
        self.own.insert(key.clone(), Vec::new());
        let (work, kind): (DriverWork, String) = (work.clone(), step.step.kind.clone());
        let limit = step.step.timeout_ms.map(Duration::from_millis);
        let (told, host, vault) = (self.tell_own.clone(), host.clone(), Arc::clone(&self.reach.vault));
        let working = tokio::task::spawn_local(async move {
            let (tell, mut bodies) = mpsc::unbounded_channel();
            let performing = drive::perform(&work, &kind, limit, &vault, tell);
            tokio::pin!(performing);
            let answer = loop {
                tokio::select! {
                    biased;
                    Some(body) = bodies.recv() => drop(told.send((host.clone(), index, Told::Body(body)))),
                    answer = &mut performing => break answer,
                }
            };
            while let Ok(body) = bodies.try_recv() {
                let _ = told.send((host.clone(), index, Told::Body(body)));
            }
            let _ = told.send((host, index, Told::Done(answer)));
        });
        self.working.insert(key, working.abort_handle());
    }

    pub(super) fn own_news(&mut self, host: &HostName, index: usize, told: Told, feed: &mut Feed<'_>) {
        let step = self.host(host).and_then(|host| host.steps.get(index)).map(|step| step.step.name.clone());
        let key = (host.clone(), index);
        match told {
            Told::Body(body) => {
                let event = feed.tell(Some(host), step.as_ref(), body);
                self.own.entry(key).or_default().push(event);
            }
            Told::Done(mut answer) => {
                answer.events = drive::kept(self.own.get(&key).cloned().unwrap_or_default());
                self.answer(host, index, answer);
            }
        }
    }

    pub(super) fn answer(&self, host: &HostName, index: usize, answer: Answer) {
        let (Some(seat), Ok(step)) = (self.seats.get(host), u32::try_from(index)) else { return };
        let _ = seat.wanted.send(Wanted::Answer { step, answer: Box::new(answer) });
    }

    /// Tells the hosts that wait for a step of another how it ended there: one step, or all that it will never come to.
    pub(super) fn answer_peers_of(&self, first: &HostName, step: Option<(&StepName, Status, Option<&str>)>) {
        let seat = self.seats.get(first);
        let failed = seat.is_some_and(|seat| seat.failed);
        // One that never started there was not done there, whatever the reason; the ledger's stories are told of started ones.
        let started = |name: &StepName| seat.is_some_and(|seat| seat.begun.contains(name));
        for host in &self.playbook.hosts {
            for (index, waiting) in host.steps.iter().enumerate() {
                let waits = matches!(&waiting.work, Work::Peer { first: of } if of == first);
                if !waits || step.is_some_and(|(name, ..)| *name != waiting.step.name) {
                    continue;
                }
                let (status, detail) = match step {
                    // Nothing was said of it before its host ended; a first answer stays, so this one only fills gaps.
                    None => (Status::Unknown, format!("{first} ended before it came to it")),
                    // Looks of one host do not hang on each other: one that is well is, whatever another saw.
                    Some((name, status @ (Status::Ok | Status::Skipped), _))
                        if started(name) && (!failed || status == Status::Ok) =>
                    {
                        (Status::Ok, format!("done on {first}"))
                    }
                    Some((_, Status::Unknown, _)) => (Status::Unknown, format!("not known on {first}")),
                    Some((_, _, why)) => (Status::Failed, format!("failed on {first}: {}", why.unwrap_or("see there"))),
                };
                self.answer(&host.name, index, Answer { status, exit_code: None, detail: Some(detail), events: Vec::new() });
            }
        }
    }
}

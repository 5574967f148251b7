//! Tells others that a run began or ended: webhooks, sent beside the run by threads of their own. What goes wrong with them is a
//! warning: it neither fails a run nor holds it up for longer than one request may take. No output and no secret is told.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::action::{HttpExpect, HttpProbe};
use crate::check::http;
use crate::event::{Body, Event, Status};
use crate::name::HostName;
use crate::playbook::notify::{Format, Moment, Notify, fill, origin};
use crate::report::{Reporter, Sink, duration, label};
use crate::vault::{Vault, replace_all};

/// The longest that a webhook may take, its URL's source included.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest text that Discord takes.
const DISCORD: usize = 2000;

/// Tells of one run.
pub struct Notifier {
    wanted: Vec<Notify>,
    vault: Arc<Vault>,
    told: Told,
    limit: Duration,
    results: (Sender<Option<String>>, Receiver<Option<String>>),
    under_way: usize,
    last: Option<Instant>,
    warn: Sink,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// What may be told of a run.
#[derive(Debug, Clone, Default)]
struct Told {
    project: String,
    playbook: String,
    run: String,
    who: String,
    note: Option<String>,
    hosts: Vec<HostName>,
    /// Hosts that have not told their end.
    open: Vec<HostName>,
    /// Steps that did not go well, and where.
    troubles: Vec<String>,
    end: Option<(Status, u8, u64)>,
}

impl Notifier {
    /// One that sends to all of these what they want to know of a run.
    pub fn new(wanted: &[Notify], project: &str, vault: &Arc<Vault>) -> Self {
        Self {
            wanted: wanted.to_vec(),
            vault: Arc::clone(vault),
            told: Told { project: project.to_owned(), ..Told::default() },
            limit: LIMIT,
            results: mpsc::channel(),
            under_way: 0,
            last: None,
            warn: Sink::stderr(),
        }
    }

    /// The same for a run that another client began: it has told of the beginning.
    #[must_use]
    pub fn taking_over(mut self) -> Self {
        self.wanted.iter_mut().for_each(|notify| notify.on.retain(|moment| *moment != Moment::Start));
        self
    }

    fn send(&mut self, moment: Moment) {
        for notify in self.wanted.iter().filter(|notify| notify.on.contains(&moment)).cloned() {
            let (vault, told, limit, result) = (Arc::clone(&self.vault), self.told.clone(), self.limit, self.results.0.clone());
            let name = notify.name.clone();
            let sending = std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
                let failed = post(&notify, &told.body(&notify, moment), &vault, limit).err();
                // Who waited no longer has said so.
                let _ = result.send(failed.map(|why| format!("{name} was not told of the {}: {why}", moment.as_str())));
            });
            match sending {
                Ok(_) => self.under_way += 1,
                Err(error) => self.warn.line(&format!("warning: nobody can be notified: {error}")),
            }
            self.last = Some(Instant::now());
        }
    }
}

impl Told {
    fn moment(&self) -> Option<Moment> {
        match self.end? {
            // Handed over: nobody here knows its end.
            (Status::Ok, ..) if !self.open.is_empty() => None,
            (Status::Ok, ..) => Some(Moment::Success),
            _ => Some(Moment::Failure),
        }
    }

    fn outcome(&self) -> &'static str {
        self.end.map_or("running", |(status, ..)| status.as_str())
    }

    fn hosts(&self) -> String {
        self.hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
    }

    /// One line for people.
    fn text(&self, moment: Moment) -> String {
        let (sign, word) = match (moment, self.end) {
            (Moment::Start, _) => ("▶️", "begins".to_owned()),
            (Moment::Success, Some((_, _, ms))) => ("✅", format!("done after {}", duration(Duration::from_millis(ms)))),
            (_, None | Some((Status::Unknown, ..))) => ("❓", "its outcome is not known".to_owned()),
            (_, Some((status, code, ms))) => {
                let word = status.as_str().replace('_', " ");
                ("❌", format!("{word} after {} (exit code {code})", duration(Duration::from_millis(ms))))
            }
        };
        let trouble = if self.troubles.is_empty() { String::new() } else { format!(": {}", self.troubles.join(", ")) };
        let note = self.note.as_ref().map(|note| format!(" “{note}”")).unwrap_or_default();
        label(&format!(
            "{sign} {}: {} on {} {word}{trouble}, by {}{note} (run {})",
            self.project,
            self.playbook,
            self.hosts(),
            self.who,
            self.run
        ))
    }

    fn field(&self, name: &str, moment: Moment) -> String {
        match name {
            "event" => moment.as_str().to_owned(),
            "project" => self.project.clone(),
            "playbook" => self.playbook.clone(),
            "run" => self.run.clone(),
            "who" => self.who.clone(),
            "note" => self.note.clone().unwrap_or_default(),
            "hosts" => self.hosts(),
            "outcome" => self.outcome().to_owned(),
            "exit_code" => self.end.map(|(_, code, _)| code.to_string()).unwrap_or_default(),
            "duration" => self.end.map(|(_, _, ms)| duration(Duration::from_millis(ms))).unwrap_or_default(),
            _ => self.text(moment),
        }
    }

    fn body(&self, notify: &Notify, moment: Moment) -> String {
        let text = self.text(moment);
        match (notify.format, &notify.template) {
            // A template was tried when it was read.
            (_, Some(template)) => fill(template, |name| self.field(name, moment)).unwrap_or_default(),
            (Format::Slack, None) => {
                json!({ "text": text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") }).to_string()
            }
            (Format::Discord, None) => {
                let cut: String = text.chars().take(DISCORD).collect();
                json!({ "content": cut, "allowed_mentions": { "parse": [] } }).to_string()
            }
            (Format::Json, None) => {
                let mut body = json!({
                    "v": 1,
                    "event": moment.as_str(),
                    "project": self.project,
                    "playbook": self.playbook,
                    "run": self.run,
                    "who": self.who,
                    "hosts": self.hosts,
                    "text": text,
                });
                if let Some(note) = &self.note {
                    body["note"] = Value::from(note.as_str());
                }
                if let Some((status, code, ms)) = self.end {
                    body["status"] = Value::from(status.as_str());
                    body["exit_code"] = Value::from(code);
                    body["duration_ms"] = Value::from(ms);
                    body["troubles"] = Value::from(self.troubles.clone());
                }
                body.to_string()
            }
        }
    }
}

fn post(notify: &Notify, body: &str, vault: &Vault, limit: Duration) -> Result<(), String> {
    let url = vault.client_secret(&notify.secret).map_err(|error| format!("{error}: {}", error.remedy))?;
    // Whoever sees the URL may write there: not even an error shows it.
    let masked = |text: String| replace_all(&text, &secrets(&url));
    let Some(origin) = origin(url.expose_secret()) else { return Err(format!("{} holds no URL", notify.secret)) };
    if !notify.origins.is_empty() && !notify.origins.contains(&origin) {
        return Err(format!("the URL of {} has none of the `origins`", notify.secret));
    }
    if !origin.starts_with("https://") && !is_here(&origin) {
        return Err(format!("the URL of {} is not https", notify.secret));
    }
    let probe = HttpProbe {
        url: url.expose_secret().to_owned(),
        method: "POST".to_owned(),
        headers: std::collections::BTreeMap::new(),
        body: Some(body.to_owned()),
        timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        // The secret is for one origin.
        redirects: false,
        expect: HttpExpect::default(),
    };
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    match http::fetch_by_environment(&probe, &headers) {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("it answered with status {}", answer.status)),
        Err(error) => Err(masked(error.to_string())),
    }
}

/// The URL, and the part of it that is nobody's business.
fn secrets(url: &SecretString) -> Vec<SecretString> {
    let path = url.expose_secret().splitn(4, '/').nth(3).filter(|path| path.len() > 3).map(SecretString::from);
    std::iter::once(url.clone()).chain(path).collect()
}

fn is_here(origin: &str) -> bool {
    let host = origin.trim_start_matches("http://");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

impl Reporter for Notifier {
    fn event(&mut self, event: &Event) {
        match &event.body {
            Body::RunStarted { playbook, hosts, who, note, .. } if self.told.run.is_empty() => {
                self.told.run = event.run.to_string();
                self.told.playbook.clone_from(playbook);
                self.told.hosts.clone_from(hosts);
                self.told.open.clone_from(hosts);
                self.told.who.clone_from(who);
                self.told.note.clone_from(note);
                self.send(Moment::Start);
            }
            Body::StepFinished { status, .. }
                if !matches!(status, Status::Ok | Status::Skipped) && self.told.troubles.len() < 10 =>
            {
                let step = event.step.as_ref().map_or("", crate::name::StepName::as_str);
                let place = event.host.as_ref().map_or("this machine", HostName::as_str);
                self.told.troubles.push(label(&format!("{step} on {place}")));
            }
            Body::HostFinished { .. } => self.told.open.retain(|host| Some(host) != event.host.as_ref()),
            Body::RunFinished { status, exit_code, duration_ms } => {
                self.told.run = event.run.to_string();
                self.told.end = Some((*status, *exit_code, *duration_ms));
                if let Some(moment) = self.told.moment() {
                    self.send(moment);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self) {
        let end = self.last.map(|last| last + self.limit + Duration::from_millis(500));
        while self.under_way > 0 {
            let left = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            let Ok(result) = self.results.1.recv_timeout(left) else {
                self.warn.line(&format!("warning: {} of those to notify did not answer in time", self.under_way));
                return;
            };
            self.under_way -= 1;
            if let Some(why) = result {
                self.warn.line(&format!("warning: {}", label(&why)));
            }
        }
    }
}

#[cfg(test)]
mod tests;

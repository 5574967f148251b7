//! One run, from submission to its recorded end: lock, preflight, approval, steps, result. A process of its own, in a session of its
//! own, with no descriptor of the connection that started it; it needs nobody until a barrier does.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver;
use super::gather;
use super::inbox::Watch;
use super::kept;
use super::lock::{self, Busy};
use super::log::Log;
use super::owner::Owner;
use super::play::{finish, play};
use super::process;
use super::retention;
use super::secrets::Loaded;
use super::stage::{Outcome, Stage};
use super::state::{RunDir, State};
use super::survey::{self, Survey};
use super::{aftermath, kill, together};
use crate::action::Action;
use crate::event::{Body, Status};
use crate::facts::{Facts, Migrations, Refusal};
use crate::name::RunId;
use crate::protocol::{Approval, HostStep, Submission, When};

/// How long a prepared run waits for its client's word, at the most.
const APPROVAL: Duration = Duration::from_hours(1);

/// The word that tells the process that started it that the run is in its hands.
pub(super) const READY: &str = "ready\n";

/// The process: `landfall-host supervise ROOT RUN`.
pub(super) fn main(root: &str, run: &str) -> ExitCode {
    let Ok(run) = run.parse::<RunId>() else { return ExitCode::from(64) };
    let _ = rustix::process::setsid();
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    kill::mark_me(&run);
    let state = State::at(root);
    let dir = state.run(&run);
    let Some(submission) = submission().filter(|submission| submission.run == run) else { return ExitCode::from(65) };
    let Some(me) = Owner::me() else { return ExitCode::from(70) };
    // All that can fail comes before the point of no return: a run has at most one supervisor, ever.
    let Ok(inbox) = Watch::entries(&dir.path) else { return ExitCode::from(71) };
    let Ok(log) = Log::open(&dir.log(), run, submission.host.clone()) else { return ExitCode::from(73) };
    if !dir.mark("owner", &me.to_string()).unwrap_or(false) {
        return ExitCode::from(75);
    }
    dir.reserve();
    if let_go_of_the_connection().is_err() {
        return ExitCode::from(71);
    }
    let (mut log, code, status) = match prepare(&submission, &state, &dir, log, inbox) {
        Err((log, code, status)) => (*log, code, status),
        Ok(mut stage) => {
            let (code, status) = steps(&mut stage);
            (stage.log, code, status)
        }
    };
    kill::reap();
    let duration_ms = log.elapsed_ms();
    log.event(None, Body::HostFinished { status, exit_code: code, duration_ms });
    log.end(code, status);
    dir.conclude(code, status.as_str());
    retention::sweep(&state, submission.retention);
    ExitCode::SUCCESS
}

/// The submission as it came, from the process that started this one.
fn submission() -> Option<Submission> {
    serde_json::from_reader(std::io::stdin().lock()).ok()
}

/// Says that the run is in good hands, then closes every way to the one who started it.
fn let_go_of_the_connection() -> std::io::Result<()> {
    use std::io::Write;
    // Whoever started it may be gone already; the run is not.
    let _ = std::io::stdout().write_all(READY.as_bytes()).and_then(|()| std::io::stdout().flush());
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// An end before the first step.
type Refused = (Box<Log>, u8, Status);

/// Takes the lock, looks, pulls, and waits for the word to go.
fn prepare<'a>(
    submission: &'a Submission,
    state: &'a State,
    dir: &'a RunDir,
    mut log: Log,
    inbox: Watch,
) -> Result<Stage<'a>, Refused> {
    let generation = match submission.effects.then(|| lock::acquire(state, &dir.run)).transpose() {
        Ok(generation) => generation,
        Err(busy) => {
            tell_start(submission, dir, &mut log, None);
            return Err(turned_away(log, busy, state));
        }
    };
    // The client goes to the next host's lock as soon as it hears of this one, so that is told at once; but not before the start of the
    // run, and a note may hold what only a look at the whole project tells to be secret.
    let tell_lock = |log: &mut Log| {
        if let Some(generation) = generation {
            log.event(None, Body::LockAcquired { lock: submission.project.to_string(), generation });
        }
    };
    let gathered = if submission.note.is_none() {
        tell_start(submission, dir, &mut log, None);
        tell_lock(&mut log);
        gather::all(submission)
    } else {
        let gathered = gather::all(submission);
        tell_start(submission, dir, &mut log, gathered.as_ref().ok().map(|(secrets, _)| secrets));
        tell_lock(&mut log);
        gathered
    };
    let (secrets, look) = match gathered {
        Ok((secrets, look)) => (Arc::new(secrets), look),
        Err(refusal) => return Err(refuse(log, refusal)),
    };
    let mut survey = survey::basics(submission, Some(state), &secrets, look);
    if !survey.facts.refusals.is_empty() {
        return Err(refuse_all(log, survey.facts));
    }
    let mut stage = Stage {
        submission,
        state,
        dir,
        log,
        inbox,
        secrets,
        config: survey.config.clone(),
        images: BTreeMap::new(),
        approved: BTreeMap::new(),
        looked_at: BTreeMap::new(),
        deadline: None,
        deaf: false,
        withheld: false,
        watch: None,
        guest: None,
        database: survey.database.clone(),
        held: None,
        folders: survey.folders.clone(),
    };
    if !submission.pull.is_empty()
        && let Err((code, status)) = pull(&mut stage)
    {
        return Err((Box::new(stage.log), code, status));
    }
    survey::whole(submission, Some(state), &mut stage.secrets, &mut survey, true);
    survey.facts.pulled = !submission.pull.is_empty();
    refuse_failed_migrations(&mut survey.facts);
    stage.images = survey.images();
    stage.approved.clone_from(&survey.facts.migrations);
    stage.looked_at = survey.facts.histories.iter().map(|(step, history)| (step.clone(), history.pending().collect())).collect();
    if !survey.facts.refusals.is_empty() {
        return Err(refuse_all(stage.log, survey.facts));
    }
    stage.log.event(None, Body::Prepared { facts: Box::new(survey.facts.clone()) });
    if submission.approval == Approval::Awaited { await_approval(stage, &survey) } else { Ok(stage) }
}

/// Writes down who started what. The note, which a person wrote, only where all secrets are known that it could hold.
fn tell_start(submission: &Submission, dir: &RunDir, log: &mut Log, secrets: Option<&Loaded>) {
    let kept = match secrets {
        Some(secrets) => {
            let kept = kept::masked(submission, &secrets.needles);
            if let Ok(text) = kept::text(&kept) {
                let _ = dir.replace_submission(&text);
            }
            Some(kept)
        }
        None => dir.submission().ok(),
    };
    let unreadable = || ("?".to_owned(), "?".to_owned(), None);
    let (playbook, who, note) = kept.map_or_else(unreadable, |kept| (kept.playbook, kept.who.to_string(), kept.note));
    let (hosts, plan) = (submission.hosts.clone(), submission.plan.clone());
    log.event(None, Body::RunStarted { playbook, hosts, plan, who, note });
}

fn turned_away(mut log: Log, busy: Busy, state: &State) -> Refused {
    match busy {
        Busy::Held(holder) => {
            log.event(None, Body::LockBusy { holder: *holder });
            (Box::new(log), 5, Status::Failed)
        }
        Busy::Unsettled(holder) => refuse(log, aftermath::unsettled(state, &holder)),
        Busy::Io(error) => {
            let text = format!("the lock cannot be taken: {error}");
            refuse(log, Refusal::unfit(text, "make room, or make the state folder writable"))
        }
    }
}

fn refuse(mut log: Log, refusal: Refusal) -> Refused {
    let code = refusal.code;
    log.event(None, Body::Refused { refusal });
    (Box::new(log), code, Status::Failed)
}

fn refuse_all(mut log: Log, facts: Facts) -> Refused {
    let code = facts.refusals.first().map_or(7, |refusal| refusal.code);
    for refusal in facts.refusals {
        log.event(None, Body::Refused { refusal });
    }
    (Box::new(log), code, Status::Failed)
}

/// A database that is in trouble gets no new migrations.
fn refuse_failed_migrations(facts: &mut Facts) {
    for (step, found) in &facts.migrations {
        if let Migrations::Failed { why, remedy } = found {
            let message = format!("step {step:?}: {why}", step = step.as_str());
            let usual = "settle it by the migration tool's own command first; Landfall never does";
            facts.refusals.push(Refusal::unfit(message, remedy.as_deref().unwrap_or(usual)));
        }
    }
}

fn pull(stage: &mut Stage<'_>) -> Result<(), (u8, Status)> {
    let services = stage.submission.pull.clone();
    let Ok(name) = "pull".parse() else { return Ok(()) };
    let names = services.iter().map(crate::name::ServiceName::as_str).collect::<Vec<_>>().join(" ");
    let step = HostStep {
        name,
        kind: "pull".into(),
        shown: format!("docker compose pull {names}"),
        when: When::Success,
        check: false,
        timeout_ms: None,
        retry: None,
        ledger: None,
        needs: Vec::new(),
        hints: stage.submission.pull_hints.clone(),
        actions: vec![Action::Pull { services }],
    };
    let outcome = play(stage, &step, 0);
    if outcome.status == Status::Ok {
        return Ok(());
    }
    match outcome.status {
        Status::Cancelled => Err((130, Status::Cancelled)),
        Status::Unknown => Err((6, Status::Unknown)),
        _ => {
            let refusal = Refusal::unfit(
                format!("the images of {names} cannot be pulled"),
                "on the host: docker compose pull, docker login",
            );
            stage.log.event(None, Body::Refused { refusal });
            Err((7, Status::Failed))
        }
    }
}

fn await_approval<'a>(mut stage: Stage<'a>, survey: &Survey) -> Result<Stage<'a>, Refused> {
    let end = Instant::now() + APPROVAL;
    let patience = Duration::from_millis(stage.submission.approve_within_ms);
    let mut alone_since = None;
    loop {
        stage.inbox.clear();
        // Taken before it is looked whether it is gone, so that it cannot go in between unseen.
        let driver = driver::current(stage.dir).and_then(|owner| owner.ending());
        let now = Instant::now();
        let give_up = if driver.is_some() || !driver::is_gone(stage.dir) {
            alone_since = None;
            end
        } else {
            alone_since.get_or_insert(now).checked_add(patience).map_or(end, |at| at.min(end))
        };
        let withdrawn = match stage.dir.marked("verdict").as_deref() {
            Some("go") => break,
            Some(_) => Some("its client went away or withdrew before it was let go"),
            None if stage.cancelled() => Some("it was cancelled before it was let go"),
            None if now >= end => Some("nobody let it go within an hour"),
            None if now >= give_up => Some("its client went away before it was let go"),
            None => None,
        };
        if let Some(why) = withdrawn {
            let _ = stage.dir.mark("verdict", "withdrawn");
            if stage.dir.marked("verdict").as_deref() == Some("go") {
                break;
            }
            stage.log.event(None, Body::Warning { text: format!("nothing was done: {why}") });
            return Err((Box::new(stage.log), 130, Status::Cancelled));
        }
        let mut set = vec![rustix::event::PollFd::new(&stage.inbox, rustix::event::PollFlags::IN)];
        set.extend(driver.iter().map(|fd| rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)));
        let _ = process::wait_any(&mut set, Some(give_up.saturating_duration_since(now)));
    }
    // Others may have worked on the host by hand while the plan was being read.
    for (service, facts) in &survey.facts.services {
        let now = stage.config.image(service).and_then(|name| super::docker::image(&name).ok().flatten()).map(|image| image.id);
        if now != facts.image_id {
            let refusal = Refusal::unfit(
                format!("the image of {service} is not the one of the plan any more"),
                "somebody pulled or built meanwhile: run again and look at the plan",
            );
            return Err(refuse(stage.log, refusal));
        }
    }
    Ok(stage)
}

/// How far a run has come, and what it will end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not hang together")]
struct Progress {
    /// Nothing of the run has effects: then all that is wrong is told, not only what is found first.
    looks_only: bool,
    failed: bool,
    unknown: bool,
    cancelled: bool,
    code: u8,
}

impl Progress {
    fn runs(self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Unknown => self.unknown,
            When::Failure => self.failed && !self.unknown && !self.cancelled,
            When::Success => (!self.failed || self.looks_only) && !self.unknown && !self.cancelled,
        }
    }

    fn count(&mut self, step: &HostStep, status: Status) {
        let code = match status {
            Status::Ok | Status::Skipped => return,
            Status::Unknown => 6,
            Status::Cancelled => 130,
            Status::Failed | Status::TimedOut if step.check && step.when == When::Success => 4,
            Status::Failed | Status::TimedOut => 1,
        };
        match status {
            Status::Unknown => self.unknown = true,
            Status::Cancelled => self.cancelled = true,
            _ => self.failed = true,
        }
        // What failed first is what the run ends with; only not knowing is worse.
        if self.code == 0 || code == 6 {
            self.code = code;
        }
    }

    fn status(self) -> Status {
        match self.code {
            0 => Status::Ok,
            6 => Status::Unknown,
            130 => Status::Cancelled,
            _ => Status::Failed,
        }
    }
}

fn steps(stage: &mut Stage<'_>) -> (u8, Status) {
    if stage.submission.effects {
        // From here on something may have happened: a run that is lost now must be settled by a person.
        if let Err(error) = stage.dir.mark("effects", "yes") {
            let text = format!("the state folder cannot be written, so nothing was run: {error}");
            let refusal = Refusal::unfit(text, "make room, or make it writable");
            stage.log.event(None, Body::Refused { refusal });
            return (7, Status::Failed);
        }
        lock::sync(stage.state);
        stage.dir.sync();
    }
    let looks_only = !stage.submission.effects;
    let mut progress = Progress { looks_only, failed: false, unknown: false, cancelled: false, code: 0 };
    let submission: &Submission = stage.submission;
    let steps = &submission.steps;
    let mut next = 0;
    while let Some(step) = steps.get(next) {
        let index = next;
        next += 1;
        if !progress.cancelled && stage.cancelled() {
            progress.cancelled = true;
            progress.code = if progress.code == 0 { 130 } else { progress.code };
        }
        // What must run in any case is not stopped by the cancel that led to it, but by one that comes then.
        if progress.cancelled && !std::mem::replace(&mut stage.deaf, true) {
            let _ = stage.dir.mark("heeded", "yes");
        }
        if stage.deaf && stage.cancelled() {
            finish(stage, step, Outcome::of(Status::Skipped, "not run: the run was cancelled a second time"), Instant::now());
        } else if progress.runs(step.when) && !stage.deaf && together::group(submission, index) > 1 {
            next = index + together::group(submission, index);
            for (step, status) in steps[index..next].iter().zip(together::play_all(stage, index..next)) {
                progress.count(step, status);
            }
        } else if progress.runs(step.when) {
            let status = play(stage, step, u32::try_from(index).unwrap_or(u32::MAX)).status;
            progress.count(step, status);
        } else if step.when == When::Success {
            let why = match progress {
                Progress { unknown: true, .. } => "not run: the outcome of an earlier step is not known",
                Progress { cancelled: true, .. } => "not run: the run was cancelled",
                _ => "not run: an earlier step failed",
            };
            let outcome = Outcome::of(Status::Skipped, why);
            finish(stage, step, outcome, Instant::now());
        }
    }
    (progress.code, progress.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(when: When, check: bool) -> HostStep {
        HostStep {
            name: "s".parse().expect("name"),
            kind: "shell".into(),
            shown: String::new(),
            when,
            check,
            timeout_ms: None,
            retry: None,
            ledger: None,
            needs: vec![],
            hints: vec![],
            actions: vec![],
        }
    }

    fn after(seen: &[(When, bool, Status)]) -> Progress {
        let mut progress = Progress { looks_only: false, failed: false, unknown: false, cancelled: false, code: 0 };
        for (when, check, status) in seen {
            progress.count(&step(*when, *check), *status);
        }
        progress
    }

    #[test]
    fn what_failed_first_decides_the_code_and_not_knowing_is_worse() {
        use Status::{Cancelled, Failed, Ok, Skipped, TimedOut, Unknown};
        for (seen, code) in [
            (&[(When::Success, false, Ok), (When::Success, false, Skipped)][..], 0),
            (&[(When::Success, false, Failed)], 1),
            (&[(When::Success, true, Failed)], 4),
            (&[(When::Success, true, TimedOut), (When::Always, false, Failed)], 4),
            (&[(When::Success, false, Failed), (When::Failure, true, Failed)], 1),
            (&[(When::Always, false, Failed)], 1),
            (&[(When::Success, true, Failed), (When::Always, false, Unknown)], 6),
            (&[(When::Success, false, Cancelled), (When::Always, false, Failed)], 130),
        ] {
            assert_eq!(after(seen).code, code, "{seen:?}");
        }
    }

    #[test]
    fn steps_run_for_their_case_only() {
        let table =
            |progress: Progress| [When::Success, When::Failure, When::Always, When::Unknown].map(|when| progress.runs(when));
        assert_eq!(table(after(&[])), [true, false, true, false]);
        assert_eq!(table(after(&[(When::Success, false, Status::Failed)])), [false, true, true, false]);
        assert_eq!(table(after(&[(When::Success, false, Status::Unknown)])), [false, false, true, true]);
        assert_eq!(table(after(&[(When::Success, false, Status::Cancelled)])), [false, false, true, false]);
    }
}

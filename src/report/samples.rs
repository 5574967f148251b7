//! Runs as the events tell them, for the tests of all reporters.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::story::{Printed, Story};
use crate::event::{Body, Event, Status, Stream, Timestamp, VERSION};
use crate::facts::{Facts, LockHolder, Migrations, Refusal, ServiceFacts};
use crate::name::RunId;

/// Where an event belongs.
#[derive(Clone, Copy)]
pub(super) struct At {
    host: Option<&'static str>,
    step: Option<&'static str>,
}

impl At {
    pub(super) const RUN: Self = Self { host: None, step: None };

    pub(super) fn host(host: &'static str) -> Self {
        Self { host: Some(host), step: None }
    }

    pub(super) fn step(self, step: &'static str) -> Self {
        Self { step: Some(step), ..self }
    }

    pub(super) fn event(self, body: Body) -> Event {
        Event {
            v: VERSION,
            time: Timestamp::of(UNIX_EPOCH + Duration::from_hours(500_000)),
            run: RunId::from_random([1, 2, 3, 4, 5, 6]),
            host: self.host.map(|host| host.parse().unwrap()),
            step: self.step.map(|step| step.parse().unwrap()),
            body,
        }
    }
}

pub(super) fn output(text: &str) -> Body {
    Body::Output { stream: Stream::Stdout, text: text.into(), bytes: None, partial: false }
}

pub(super) fn piece(text: &str) -> Body {
    Body::Output { stream: Stream::Stdout, text: text.into(), bytes: None, partial: true }
}

pub(super) fn complaint(text: &str) -> Body {
    Body::Output { stream: Stream::Stderr, text: text.into(), bytes: None, partial: false }
}

pub(super) fn started(hosts: &[&str]) -> Event {
    At::RUN.event(Body::RunStarted {
        playbook: "release".into(),
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        plan: "ab".repeat(32),
        who: "ana@laptop".into(),
        note: Some("version 1.5".into()),
    })
}

pub(super) fn finished(status: Status, exit_code: u8) -> Event {
    At::RUN.event(Body::RunFinished { status, exit_code, duration_ms: 73_400 })
}

fn ready(host: &'static str) -> Vec<Event> {
    let at = At::host(host);
    let api = ServiceFacts {
        image: "registry.example/api:1.5".into(),
        image_id: Some(format!("sha256:{}", "b".repeat(64))),
        running: Some(format!("sha256:{}", "a".repeat(64))),
        ..ServiceFacts::default()
    };
    let pending = Migrations::Pending { names: vec!["20260101_orders".into(), "20260102_index".into()] };
    let facts = Facts {
        services: BTreeMap::from([("api".parse().unwrap(), api)]),
        migrations: BTreeMap::from([("migrate".parse().unwrap(), pending)]),
        ..Facts::default()
    };
    vec![
        at.event(Body::HostConnected { address: "203.0.113.10:22".into(), user: "root".into() }),
        at.event(Body::LockAcquired { lock: "etally".into(), generation: 3 }),
        at.event(Body::Prepared { facts: Box::new(facts) }),
    ]
}

pub(super) fn begin(at: At, kind: &str, command: &str) -> Event {
    at.event(Body::StepStarted { kind: kind.into(), command: command.into(), check: kind == "health" })
}

pub(super) fn end(at: At, status: Status, exit_code: i32, duration_ms: u64) -> Event {
    at.event(Body::StepFinished { status, exit_code: Some(exit_code), signal: None, duration_ms, detail: None })
}

fn skipped(at: At, story: &str) -> Event {
    let detail = Some(story.to_owned());
    at.event(Body::StepFinished { status: Status::Skipped, exit_code: None, signal: None, duration_ms: 0, detail })
}

fn migrate(host: &'static str) -> Vec<Event> {
    let at = At::host(host).step("migrate");
    vec![
        begin(at, "migrate", "npx prisma migrate deploy"),
        at.event(output("2 migrations found")),
        at.event(complaint("\u{1b}[33mwarn\u{1b}[0m an update is available \u{1b}]0;owned\u{7}")),
        at.event(output("10%\r50%\r100% done")),
        at.event(Body::Changed { what: "migrations".into(), from: None, to: "2 applied".into() }),
        end(at, Status::Ok, 0, 12_340),
    ]
}

fn up(host: &'static str) -> Vec<Event> {
    let at = At::host(host).step("up");
    let image = |c: &str| format!("sha256:{}", c.repeat(64));
    vec![
        begin(at, "up", "docker compose up --detach --no-deps --wait api"),
        at.event(Body::Changed { what: "image of api".into(), from: Some(image("a")), to: image("b") }),
        end(at, Status::Ok, 0, 4_100),
    ]
}

fn look(host: &'static str, ok: bool, observed: &str) -> Event {
    let expected = "200, $.status = \"ok\"".into();
    let body = Body::Check { kind: "health".into(), side: "host".into(), ok, observed: observed.into(), expected };
    At::host(host).step("api answers").event(body)
}

fn host_finished(host: &'static str, status: Status, exit_code: u8) -> Event {
    At::host(host).event(Body::HostFinished { status, exit_code, duration_ms: 20_000 })
}

pub(super) fn ok_run() -> Vec<Event> {
    let at = At::host("droplet-1");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.extend(migrate("droplet-1"));
    events.push(skipped(at.step("seed configurations"), "ran on 2026-05-04 by bob@ci in run kkkkllllmmmm"));
    events.extend(up("droplet-1"));
    events.push(begin(at.step("api answers"), "health", "GET http://127.0.0.1:3000/health"));
    events.extend([look("droplet-1", false, "connection refused"), look("droplet-1", false, "connection refused")]);
    events.push(look("droplet-1", true, "200 in 4 ms"));
    events.push(end(at.step("api answers"), Status::Ok, 0, 6_200));
    events.extend([host_finished("droplet-1", Status::Ok, 0), finished(Status::Ok, 0)]);
    events
}

pub(super) fn two_hosts() -> Vec<Event> {
    let mut events = vec![started(&["web-1", "web-002"])];
    events.extend(ready("web-1"));
    events.extend(ready("web-002"));
    // Side by side: every piece of one host's line comes between two of the other's.
    let (one, two) = (At::host("web-1").step("migrate"), At::host("web-002").step("migrate"));
    events.extend([begin(one, "migrate", "npx prisma migrate deploy"), begin(two, "migrate", "npx prisma migrate deploy")]);
    events.extend([one.event(piece("one ")), two.event(piece("two "))]);
    events.extend([one.event(output("half")), two.event(complaint("between")), two.event(output("half"))]);
    events.push(two.event(piece("never finished")));
    events.push(end(one, Status::Ok, 0, 900));
    events.push(end(two, Status::Ok, 0, 1_000));
    events.extend([host_finished("web-1", Status::Ok, 0), host_finished("web-002", Status::Ok, 0), finished(Status::Ok, 0)]);
    events
}

pub(super) fn failed_migration() -> Vec<Event> {
    let at = At::host("droplet-1");
    let step = at.step("migrate");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.push(begin(step, "migrate", "npx prisma migrate deploy"));
    events.push(step.event(complaint("Error: P3018\nDatabase error: relation \"orders\" already exists")));
    events.push(step.event(Body::Hint { text: "the migration failed half way: see `prisma migrate resolve`".into() }));
    events.push(end(step, Status::Failed, 1, 2_150));
    events.extend(["up", "api answers"].map(|name| skipped(at.step(name), "migrate failed")));
    let logs = at.step("logs");
    events.extend([begin(logs, "shell", "docker compose logs --tail 50 api\necho done"), logs.event(output("api | listening"))]);
    events.push(end(logs, Status::Ok, 0, 310));
    events.extend([host_finished("droplet-1", Status::Failed, 1), finished(Status::Failed, 1)]);
    events
}

pub(super) fn failed_check() -> Vec<Event> {
    let at = At::host("droplet-1");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.extend(up("droplet-1"));
    events.push(begin(at.step("api answers"), "health", "GET http://127.0.0.1:3000/health"));
    events.push(look("droplet-1", false, "503 {\"status\":\"down\"}"));
    events.push(at.step("api answers").event(Body::StepFinished {
        status: Status::Failed,
        exit_code: None,
        signal: None,
        duration_ms: 120_000,
        detail: Some("not as expected for 2m".into()),
    }));
    events.extend([host_finished("droplet-1", Status::Failed, 4), finished(Status::Failed, 4)]);
    events
}

pub(super) fn lock_busy() -> Vec<Event> {
    let holder = LockHolder {
        run: "kkkkllllmmmm".parse().unwrap(),
        generation: 2,
        who: "bob@ci".into(),
        since: "2026-05-04T10:00:00.000Z".into(),
        playbook: "release".into(),
        note: Some("hotfix".into()),
        state: "running".into(),
    };
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1").into_iter().take(1));
    events.extend([At::host("droplet-1").event(Body::LockBusy { holder }), finished(Status::Failed, 5)]);
    events
}

pub(super) fn refused() -> Vec<Event> {
    let refusal = Refusal::unfit("the Docker daemon does not answer", "start it: systemctl start docker");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1").into_iter().take(1));
    events.extend([At::host("droplet-1").event(Body::Refused { refusal }), finished(Status::Failed, 7)]);
    events
}

pub(super) fn unknown() -> Vec<Event> {
    let step = At::host("droplet-1").step("migrate");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.push(begin(step, "migrate", "npx prisma migrate deploy"));
    events.push(step.event(Body::StepFinished {
        status: Status::Unknown,
        exit_code: Some(0),
        signal: None,
        duration_ms: 3_000,
        detail: Some("the line that tells success is missing".into()),
    }));
    events.extend([host_finished("droplet-1", Status::Unknown, 6), finished(Status::Unknown, 6)]);
    events
}

pub(super) fn lost_connection() -> Vec<Event> {
    let at = At::host("droplet-1");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.push(begin(at.step("migrate"), "migrate", "npx prisma migrate deploy"));
    events.push(at.event(Body::ConnectionLost { cause: "no answer for 15 s".into() }));
    events.push(at.event(Body::Reconnected { offset: 4_711 }));
    events.push(at.step("migrate").event(output("going on")));
    events.push(at.event(Body::ConnectionLost { cause: "no answer for 15 s".into() }));
    events.push(finished(Status::Unknown, 6));
    events
}

/// One check that looks from three sides, of which one disagrees.
pub(super) fn sides() -> Vec<Event> {
    let at = At::host("droplet-1").step("api answers");
    let look = |side: &str, ok, observed: &str| {
        let (kind, expected) = ("health".to_owned(), "200".to_owned());
        at.event(Body::Check { kind, side: side.into(), ok, observed: observed.into(), expected })
    };
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.push(begin(at, "health", "GET http://127.0.0.1:3000/health"));
    events.extend([look("host", true, "200 in 4 ms"), look("container", true, "200 in 3 ms")]);
    events.push(look("here", false, "203.0.113.10:3000 refused the connection"));
    events.push(at.event(Body::Hint { text: "it listens on 127.0.0.1 only, or a firewall is in the way".into() }));
    events.push(end(at, Status::Failed, 4, 10_000));
    events.extend([host_finished("droplet-1", Status::Failed, 4), finished(Status::Failed, 4)]);
    events
}

/// Output that wants to be obeyed, in every language that a report is written in.
pub(super) fn hostile() -> Vec<Event> {
    let step = At::host("droplet-1").step("a <b> `c` | ::error::d");
    let mut events = vec![started(&["droplet-1"])];
    events.extend(ready("droplet-1"));
    events.push(begin(step, "shell", "echo '</script><script>alert(1)</script>' ]]> | cat"));
    let lines = [
        "::error::owned ]]></system-out>",
        "\0 \u{ffff} \u{202e} \u{1b}]0;title\u{7}",
        "<script>alert(1)</script><!-- </textarea> --> &lt;",
        "```",
        "````",
        "##[error]owned",
    ];
    events.extend(lines.map(|line| step.event(output(line))));
    let bytes = Some("/wD+".into());
    events.push(step.event(Body::Output { stream: Stream::Stderr, text: "?".into(), bytes, partial: false }));
    let text = "x".repeat(32 << 10);
    events.extend((0..320).map(|_| step.event(piece(&text))));
    events.push(step.event(Body::Warning { text: "<img src=x onerror=alert(1)>\n::error::w".into() }));
    events.push(step.event(Body::Hint { text: "::error::hint\n::set-output name=x::y".into() }));
    events.push(end(step, Status::Failed, 1, 2_150));
    events.extend([host_finished("droplet-1", Status::Failed, 1), finished(Status::Failed, 1)]);
    events
}

/// What reports make of events.
pub(super) fn told(events: &[Event]) -> Story {
    let mut story = Story::new(Printed::default());
    for event in events {
        story.push(event);
    }
    story
}

//! The kinds that only look: whole playbooks in, messages or actions out.

use super::{Work, lines, on, resolved, wrong};
use crate::action::{Action, Probe, Since, Watch};
use crate::playbook::{DriverWork, HereLook, ResolvedStep};

const DATABASE: &str = "[database]\nservice = \"postgres\"\n";

fn steps(playbook: &str) -> Vec<ResolvedStep> {
    let inventory = format!("{}{DATABASE}", super::INVENTORY);
    let resolved = resolved(&inventory, playbook, &on("stage")).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(!resolved.hosts[0].effects(), "a check has no effects");
    resolved.hosts[0].steps.clone()
}

fn probe(step: &ResolvedStep) -> Probe {
    match step.step.actions.as_slice() {
        [Action::Probe(probe), ..] => probe.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn health_from_several_sides_at_once() {
    let steps = steps(
        r#"
[[steps]]
kind = "health"
from = ["here", "host", "container", "network"]
urls = { here = "https://www.example.com/health", network = "http://api:3000/health" }
url = "http://127.0.0.1:3000/health"
redirects = "follow"
certificate = "14d"
expect = { status = ["2xx", 301], latency = { p95 = "300ms" } }
retry = { for = "5s" }

[[steps]]
kind = "health"
from = ["host", "container"]
url = "http://127.0.0.1:3000/health"
"#,
    );
    let Probe::Sides { of } = probe(&steps[0]) else { panic!("one look") };
    let sides: Vec<_> = of.iter().map(Probe::side).collect();
    assert_eq!(sides, ["host", "container", "network"]);
    let Probe::Network { http, .. } = &of[2] else { panic!("{of:?}") };
    assert_eq!((http.url.as_str(), http.redirects, http.expect.classes.as_slice()), ("http://api:3000/health", true, &[2][..]));
    assert_eq!(http.expect.percentile.map(|of| (of.percent, of.within_ms, of.samples)), Some((95, 300, 20)));
    assert_eq!(steps[0].step.actions[1], Action::Barrier);
    assert!(steps[0].step.retry.is_some());
    let Work::Driver(DriverWork::Here(here)) = &steps[0].work else { panic!("{:?}", steps[0].work) };
    let HereLook::Http(asked) = &here.look else { panic!("{here:?}") };
    assert_eq!((asked.http.url.as_str(), asked.certificate_ms), ("https://www.example.com/health", Some(14 * 86_400_000)));
    assert!(here.retry.is_some());
    assert_eq!((&steps[1].work, steps[1].step.actions.len()), (&Work::Host, 1));
}

#[test]
fn what_is_wrong_with_several_sides() {
    let told = wrong(
        r#"
[[steps]]
kind = "health"
name = "a"
from = ["here", "inside"]
url = "http://127.0.0.1:3000/health"

[[steps]]
kind = "health"
name = "b"
from = ["host", "host"]
url = "http://127.0.0.1:3000/health"

[[steps]]
kind = "health"
name = "c"
from = ["host", "network"]
urls = { host = "http://127.0.0.1:3000/health", here = "https://www.example.com" }

[[steps]]
kind = "health"
name = "d"
url = "http://127.0.0.1:3000/health"
certificate = "14d"
expect = { status = "20x", latency = { p95 = "1s", p50 = "1s", sample = 3 } }
"#,
    );
    for message in [
        "`from` cannot be \"inside\"",
        "`from` names \"host\" twice",
        "needs `network`",
        "nobody asks from \"here\"",
        "there is no certificate to look at",
        "`status` must be a number from 100 to 599, \"2xx\" or a list of them, not \"20x\"",
        "`latency` names two percentiles",
        "did you mean `samples`?",
    ] {
        assert!(told.contains(message), "{message:?} is not in\n{told}");
    }
}

#[test]
fn the_other_kinds_lower_to_looks() {
    let playbook = r#"
[[steps]]
kind = "tcp"
address = "127.0.0.1:5432"

[[steps]]
kind = "tcp"
name = "from here"
from = "here"
address = "db.example.com:5432"

[[steps]]
kind = "port_closed"
port = 5432

[[steps]]
kind = "port_closed"
name = "closed from here"
from = "here"
address = "203.0.113.10:5432"

[[steps]]
kind = "container"
restarts = 0
uptime = "10s"
image = "deployed"
health = "healthy"

[[steps]]
kind = "logs"
patterns = ['(?i)error', 'panic']
exclude = ['ErrorReporter']
since = "10m"
at_most = 3

[[steps]]
kind = "disk"
free = "5GiB"
inodes = "5%"

[[steps]]
kind = "database"
query = "SELECT count(*) FROM orders"
expect = { ge = 1 }

[[steps]]
kind = "migrate"
mode = "status"
tool = "prisma"
retry = { for = "10s" }

[[steps]]
kind = "watch"
for = "2m"
errors = "5%"
check = { kind = "health", url = "http://127.0.0.1:3000/health" }
"#;
    let steps = steps(playbook);
    let Probe::Logs(logs) = probe(&steps[5]) else { panic!("logs") };
    assert_eq!((logs.since, logs.at_most, logs.patterns.len(), logs.exclude.len()), (Since::Ago(600_000), 3, 2, 1));
    let Probe::Watch { watch, of } = probe(&steps[9]) else { panic!("watch") };
    assert_eq!((watch, of.side()), (Watch { for_ms: 120_000, every_ms: 5_000, errors_per_mille: 50 }, "host"));
    assert_eq!(steps[9].step.timeout_ms, Some(150_000));
    assert!(steps.iter().all(|step| step.step.check));
    let resolved = resolved(&format!("{}{DATABASE}", super::INVENTORY), playbook, &on("stage")).expect("resolved");
    let shown = lines(&resolved, 0);
    for line in [
        "tcp | Success | host | nc -z 127.0.0.1 5432  # expects a connection",
        "from here | Success | driver | nc -z db.example.com 5432  # expects a connection",
        "port_closed | Success | host | ss -ltn  # expects port 5432 on no public address",
        "closed from here | Success | driver | nc -z 203.0.113.10 5432  # expects no connection",
        "ps api  # expects healthy, at most 0 restarts, up for 10s, the image of the compose file",
        "logs --since 10m api  # expects at most 3 lines like /(?i)error/ or /panic/",
        "df DOCKER_ROOT  # expects 5368709120 bytes free, 5% of the inodes free",
        "SELECT count(*) FROM orders  # in the database, expects >= 1",
        "npx prisma migrate status  # expects nothing pending",
        "# expects 200, every 5s for 2m: 5% may fail",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn what_is_wrong_with_the_other_kinds() {
    let told = wrong(
        r#"
[[steps]]
kind = "tcp"
address = "db.example.com"

[[steps]]
kind = "port_closed"
name = "a"
address = "203.0.113.10:5432"

[[steps]]
kind = "port_closed"
name = "b"
from = "here"
port = 5432

[[steps]]
kind = "container"
name = "c"
image = "newest"
restart = 0

[[steps]]
kind = "logs"
name = "d"
pattern = ["x"]

[[steps]]
kind = "logs"
name = "e"
patterns = ["("]
since = "yesterday"

[[steps]]
kind = "disk"
name = "f"
path = "var"
free = "lots"

[[steps]]
kind = "watch"
name = "g"
for = "2m"
check = { kind = "shell", command = "true" }

[[steps]]
kind = "watch"
name = "h"
for = "2s"
errors = "few"
every = "1m"
check = { kind = "health", url = "http://127.0.0.1:3000/health", retry = { for = "1s" } }

[[steps]]
kind = "watch"
name = "i"
for = "2m"
check = { kind = "health", from = ["here", "host"], url = "http://127.0.0.1:3000/health" }

[[steps]]
kind = "migrate"
name = "j"
mode = "status"
apply = ["x"]
per_host = true

[[steps]]
kind = "database"
name = "l"
tables = ["x"]
query = "SELECT 1; SELECT 2"

[[steps]]
kind = "database"
name = "m"
expect = { above = 3 }

[[steps]]
kind = "contaner"
name = "k"
"#,
    );
    for message in [
        "\"db.example.com\" is not an address with a port",
        "`address` cannot go with `from = \"host\"`",
        "`port` cannot go with `from = \"here\"`",
        "`image` cannot be \"newest\"",
        "did you mean `restarts`?",
        "did you mean `patterns`?",
        "`patterns` holds what is not a regular expression",
        "`path` must be absolute",
        "\"lots\" is not an amount of room",
        "a `watch` step cannot watch a `shell` step",
        "\"few\" is not a share",
        "`every` is longer than `for`",
        "a `watch` step looks from one side",
        "`apply` cannot go with `mode = \"status\"`",
        "`tables` cannot go with `query`",
        "`query` holds more than one statement",
        "this step needs [database] in landfall.toml",
        "unknown comparison `above`",
        "needs `query`",
        "did you mean \"container\"?",
    ] {
        assert!(told.contains(message), "{message:?} is not in\n{told}");
    }
}

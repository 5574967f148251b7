//! Evidence of runs: reports that other programs read, a page that a browser shows, this machine's own copies, and those who are
//! notified. What needs no host is tried without one.

mod browser;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::droplet::{droplet, eventually};
use crate::project::Project;
use browser::Browser;

/// A playbook that fails before anything is contacted, with output that wants to be obeyed.
const HOSTILE: &str = r#"
description = "Fails here"
hosts = ["web-1"]

[[steps]]
kind = "local"
name = "tests"
command = ["sh", "-c", "printf '::error::owned ]]></system-out>\\n\\033[31mred\\033[0m\\033]0;t\\007\\n\\000\\037<script>alert(1)</script>\\n```\\n##[error]x\\n'; head -c 3000000 /dev/zero | tr '\\0' x; exit 3"]

[[steps]]
kind = "health"
url = "http://127.0.0.1:3000/health"
from = "host"
"#;

const INVENTORY: &str = "project = \"etally\"\n\n[hosts.web-1]\naddress = \"192.0.2.1\"\n";

fn hostile() -> Project {
    let project = Project::empty();
    project.write("landfall.toml", INVENTORY);
    project.playbook("checks", HOSTILE);
    project
}

fn xmllint(args: &[&str]) {
    let done = Command::new("xmllint").args(["--noout", "--huge"]).args(args).output().expect("xmllint");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn schema() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reports/junit.xsd").display().to_string()
}

#[test]
fn a_run_that_fails_before_contact_leaves_all_reports() {
    let project = hostile();
    let args = [
        "run",
        "checks",
        "--note",
        "<b>hot`fix`</b>",
        "--report",
        "junit=r.xml",
        "--report",
        "html=r.html",
        "--report",
        "markdown=r.md",
        "--report",
        "json=r.json",
        "--metrics",
        "r.prom",
        "--lock-wait",
        "1s",
    ];
    project.landfall(&args).expect(1, &["✗ tests failed"]);
    xmllint(&["--schema", &schema(), &project.path("r.xml").display().to_string()]);
    let read = |name: &str| std::fs::read_to_string(project.path(name)).unwrap();
    assert!(read("r.xml").contains("<failure message=\"exit code 3\" type=\"failed\">"), "{}", &read("r.xml")[..2000]);
    let document: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(document["outcome"], "failed");
    assert_eq!(document["hosts"][1]["steps"][0]["output"][0]["text"], "::error::owned ]]></system-out>");
    assert!(read("r.md").starts_with("# ❌ checks on web-1: failed\n"), "{}", read("r.md"));
    assert!(
        read("r.prom").contains("landfall_run_exit_code{project=\"etally\",playbook=\"checks\"} 1\n")
            && read("r.prom").ends_with("# EOF\n")
    );
    let left: Vec<_> = std::fs::read_dir(project.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".landfall")), "{left:?}");
    assert!(std::fs::metadata(project.path("r.html")).unwrap().len() < 200_000, "a line of 3 MB is cut");

    // The same from this machine's own copy, for the host is not there to be asked.
    let run = document["run"].as_str().unwrap();
    let again = project.landfall(&["report", run, "--format", "junit", "--out", "again.xml"]);
    again.expect(0, &["told from this machine's own copy"]);
    assert_eq!(read("again.xml"), read("r.xml"));
    project.landfall(&["report", run, "--format", "json", "--report-output", "none"]).expect(0, &["\"outcome\": \"failed\""]);
    let newest = project.landfall(&["report", "--format", "json", "--report-output", "none"]);
    newest.expect(0, &["told from this machine's own copy", run]);
    let printed = project.landfall(&["report", run, "--report-output", "none"]);
    assert!(!printed.expect(0, &["# ❌ checks on web-1: failed"]).stdout.contains("## Output"), "{}", printed.said());
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let project = hostile();
    let refused = project.landfall(&["run", "checks", "--report", "html=none/r.html"]);
    refused.expect(2, &["the html report cannot be written to none/r.html", "help: name a file in a folder"]);
    assert!(!refused.said().contains("owned"), "{}", refused.said());
    project.landfall(&["run", "checks", "--metrics", "."]).expect(2, &["it is a folder"]);
    project.landfall(&["report", "--format", "html", "--out", "none/r.html"]).expect(2, &["cannot be written"]);
}

#[test]
fn a_workflow_gets_annotations_and_a_summary_and_obeys_no_host() {
    let project = hostile();
    let summary = project.path("summary.md").display().to_string();
    let workspace = project.dir.path().display().to_string();
    let env = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &*summary), ("GITHUB_WORKSPACE", &*workspace)];
    let output = project.start_with(&["run", "checks"], &env).finish();
    assert_eq!((output.code, output.stderr.as_str()), (1, ""), "{}", output.said());
    let (mut stopped, mut obeyed) = (None, Vec::new());
    for line in output.stdout.lines().map(str::trim) {
        match &stopped {
            Some(word) if line == format!("::{word}::") => stopped = None,
            Some(_) => {}
            None => match line.strip_prefix("::stop-commands::") {
                Some(word) => stopped = Some(word.to_owned()),
                None => obeyed.push(line.to_owned()),
            },
        }
    }
    let wanted = [
        "::group::tests",
        "::endgroup::",
        "::error file=playbooks/checks.toml,line=5,title=tests on this machine::failed: exit code 3",
    ];
    assert_eq!(obeyed, wanted, "{}", &output.stdout[..2000.min(output.stdout.len())]);
    assert!(output.stdout.contains("::error::owned"), "it is shown");
    assert!(std::fs::read_to_string(summary).unwrap().starts_with("# ❌ checks on web-1: failed"));
}

#[test]
fn who_is_to_be_notified_hears_of_a_failure() {
    let project = hostile();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/hook/words-of-the-test", listener.local_addr().unwrap().port());
    project.write(
        "landfall.toml",
        &format!("{INVENTORY}\n[metrics]\nfile = \"m.prom\"\n\n[notify.team]\nurl = {{ client_secret = \"TEAM_HOOK\" }}\nformat = \"slack\"\n"),
    );
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            request.extend_from_slice(&bytes[..length]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
        String::from_utf8(request).unwrap()
    });
    let output = project.start_with(&["run", "checks"], &[("TEAM_HOOK", &url)]).finish();
    output.expect(1, &[]);
    assert!(!output.said().contains("words-of-the-test"), "{}", output.said());
    let request = serving.join().unwrap();
    assert!(request.starts_with("POST /hook/words-of-the-test HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("❌ etally: checks on web-1 failed after") && !request.contains("owned"), "{request}");
    assert!(project.path("m.prom").is_file());
    // Nobody answers any more, and the run is what it was.
    project
        .start_with(&["run", "checks"], &[("TEAM_HOOK", &url)])
        .finish()
        .expect(1, &["warning: team was not told of the failure"]);
    project.landfall(&["run", "checks"]).expect(1, &["the environment variable TEAM_HOOK is not set here"]);
}

/// A copy of a run on two hosts, as this machine keeps it; `lines` were printed by the step that failed.
#[allow(clippy::too_many_lines)]
fn copied(project: &Project, run: &str, lines: usize) {
    let at = |ms: usize| format!("2026-05-04T10:{:02}:{:02}.{:03}Z", ms / 60_000, ms / 1000 % 60, ms % 1000);
    let mut text = json!({ "v": 1, "project": "etally", "config": "landfall.toml" }).to_string() + "\n";
    let mut tell = |ms: usize, host: Option<&str>, step: Option<&str>, body: Value| {
        let mut event = json!({ "v": 1, "time": at(ms), "run": run });
        for (key, value) in [("host", host), ("step", step)] {
            if let Some(value) = value {
                event[key] = value.into();
            }
        }
        event.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        text += &(event.to_string() + "\n");
    };
    let hosts = ["web-1", "web-2"];
    tell(
        0,
        None,
        None,
        json!({ "type": "run_started", "playbook": "release", "hosts": hosts, "plan": "ab".repeat(32), "who": "ana@laptop", "note": "version 1.5, with the new ballots" }),
    );
    for (n, host) in hosts.into_iter().enumerate() {
        let on = Some(host);
        tell(300, on, None, json!({ "type": "host_connected", "address": format!("192.0.2.{}:22", n + 1), "user": "deploy" }));
        tell(700, on, None, json!({ "type": "lock_acquired", "lock": "etally", "generation": 7 }));
        let service = json!({ "image": "registry.example/etally/api:1.5", "image_id": format!("sha256:{}", "b".repeat(64)), "running": format!("sha256:{}", "a".repeat(64)) });
        let facts = json!({ "boot_id": "x", "user": "root", "docker": { "engine": "29.0.1", "compose": "2.40.0" }, "services": { "api": service } });
        tell(2500, on, None, json!({ "type": "prepared", "facts": facts }));
        let step = |name: &'static str| Some(name);
        let (begin, wide) = (3000 + n * 400, 9000 + n * 2200);
        tell(
            begin,
            on,
            step("migrate"),
            json!({ "type": "step_started", "kind": "migrate", "command": "docker compose run --rm --no-deps api npx prisma migrate deploy" }),
        );
        tell(
            begin + 900,
            on,
            step("migrate"),
            json!({ "type": "output", "stream": "stdout", "text": "2 migrations found in prisma/migrations" }),
        );
        tell(begin + wide, on, step("migrate"), json!({ "type": "changed", "what": "migrations", "to": "2 applied" }));
        tell(
            begin + wide,
            on,
            step("migrate"),
            json!({ "type": "step_finished", "status": "ok", "exit_code": 0, "duration_ms": wide }),
        );
        let up = begin + wide + 200;
        tell(
            up,
            on,
            step("up"),
            json!({ "type": "step_started", "kind": "up", "command": "docker compose up --detach --no-deps --wait api" }),
        );
        tell(
            up + 4000,
            on,
            step("up"),
            json!({ "type": "changed", "what": "image of api", "from": format!("sha256:{}", "a".repeat(64)), "to": format!("sha256:{}", "b".repeat(64)) }),
        );
        tell(up + 4100, on, step("up"), json!({ "type": "step_finished", "status": "ok", "exit_code": 0, "duration_ms": 4100 }));
        let watch = up + 4300;
        tell(
            watch,
            on,
            step("api answers"),
            json!({ "type": "step_started", "kind": "health", "command": "GET http://127.0.0.1:3000/health", "check": true }),
        );
        for look in 0..30 {
            let bad = n == 1 && look > 21;
            let observed = if bad {
                "503 {\"status\":\"down\"}".to_owned()
            } else {
                format!("200 in {} ms", 4 + (look * 7 + n * 3) % 9 + if look > 18 { look } else { 0 })
            };
            for side in ["host", "container"] {
                tell(
                    watch + look * 500,
                    on,
                    step("api answers"),
                    json!({ "type": "check", "kind": "health", "side": side, "ok": !bad, "observed": observed, "expected": "200, $.status = \"ok\"" }),
                );
            }
        }
        let end = watch + 15_200;
        let (status, detail) =
            if n == 0 { ("ok", Value::Null) } else { ("failed", "8 of 30 looks were not as expected, 3 are allowed".into()) };
        tell(
            end,
            on,
            step("api answers"),
            json!({ "type": "step_finished", "status": status, "duration_ms": 15_200, "detail": detail }),
        );
        if n == 1 {
            tell(
                end,
                on,
                step("api answers"),
                json!({ "type": "hint", "text": "it answered well for 11 s: look at what it does after its start" }),
            );
            tell(
                end + 100,
                on,
                step("logs"),
                json!({ "type": "step_started", "kind": "shell", "command": "docker compose logs --tail 100000 api" }),
            );
            for line in 0..lines {
                let text = match line % 25_000 {
                    17 => format!("Error: connect ECONNREFUSED of needle {line} <script>alert(1)</script>"),
                    _ => format!("api-1 | {} GET /ballots/{line} 200 in {} ms", at(end + line / 100), line % 40),
                };
                let stream = if line % 25_000 == 17 { "stderr" } else { "stdout" };
                tell(end + 100 + line / 100, on, step("logs"), json!({ "type": "output", "stream": stream, "text": text }));
            }
            tell(
                end + 1500,
                on,
                step("logs"),
                json!({ "type": "step_finished", "status": "failed", "exit_code": 1, "duration_ms": 1400 }),
            );
        }
        let code = if n == 0 { 0 } else { 4 };
        tell(
            end + 1600,
            on,
            None,
            json!({ "type": "host_finished", "status": status, "exit_code": code, "duration_ms": end + 1600 }),
        );
    }
    tell(39_000, None, None, json!({ "type": "run_finished", "status": "failed", "exit_code": 4, "duration_ms": 39_000 }));
    project.write(&format!("state/landfall/runs/{run}.jsonl"), &text);
}

#[test]
fn own_copies_are_listed_compared_and_replayed() {
    let project = Project::empty();
    copied(&project, "kkkkkkkkkkkl", 3);
    copied(&project, "kkkkkkkkkkkm", 3);
    let listed = project.landfall(&["runs", "--all"]);
    listed.expect(0, &["kkkkkkkkkkkl  2026-05-04 10:00:00  web-1,web-2", "failed (4)", "copy of etally"]);
    let listed = project.landfall(&["--output", "json", "runs", "--all"]);
    let run: Value = serde_json::from_str(listed.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&run["exit_code"], &run["copy"], &run["state"]), (&json!(4), &json!(true), &json!("done")));
    let same = project.landfall(&["runs", "diff", "kkkkkkkkkkkl", "kkkkkkkkkkkm"]);
    same.expect(0, &["web-2          api answers              ✗ 15.2s failed       ✗ 15.2s failed       +0.0s"]);
    let replayed = project.landfall(&["--output", "json", "attach", "kkkkkkkkkkkl", "--replay", "--report", "junit=r.xml"]);
    assert_eq!(replayed.code, 4, "{}", replayed.said());
    let told: Vec<String> = replayed.events().iter().map(|event| event["time"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(told.len() > 80 && told[..told.len() - 1].is_sorted(), "hosts side by side: {told:?}");
    xmllint(&["--schema", &schema(), &project.path("r.xml").display().to_string()]);
    project.landfall(&["report", "kkkkkkkkkkkk"]).expect(2, &["there is no landfall.toml"]);
}

fn page(project: &Project, run: &str) -> PathBuf {
    let path = project.path("run.html");
    let made = project.landfall(&["report", run, "--report-output", "all", "--out", &path.display().to_string()]);
    made.expect(0, &[]);
    path
}

#[test]
fn the_page_works_in_a_browser_at_any_width() {
    let project = Project::empty();
    copied(&project, "kkkkkkkkkkkl", 100_000);
    let page = page(&project, "kkkkkkkkkkkl");
    let mut browser = Browser::start();
    for (width, dark) in [(1280, false), (390, true), (1280, true), (390, false)] {
        let began = std::time::Instant::now();
        browser.open(&page, width, dark);
        println!("{width} px: {} bytes open after {:?}", std::fs::metadata(&page).unwrap().len(), began.elapsed());
        let look = if dark { "dark" } else { "light" };
        browser.picture(&format!("{width}-{look}"));
        assert!(browser.eval("document.querySelectorAll('*').length").as_u64().unwrap() < 1500, "only what is in sight is there");
        assert_eq!(browser.eval("document.documentElement.scrollWidth"), width, "nothing stands out at the side");
        assert_eq!(browser.eval("document.querySelector('.verdict').textContent.trim()"), "✗ A check failed");

        // The timeline.
        let lanes = "[...document.querySelectorAll('.lane')].map(lane => [lane.dataset.host, ...[...lane.querySelectorAll('.bars a')].map(bar => bar.getAttribute('aria-label'))])";
        let wanted = json!([
            ["web-1", "migrate: ok, 9.0s", "up: ok, 4.1s", "api answers: ok, 15.2s"],
            ["web-2", "migrate: ok, 11.2s", "up: ok, 4.1s", "api answers: failed, 15.2s", "logs: failed, 1.4s"],
        ]);
        assert_eq!(browser.eval(lanes), wanted);
        let widths = browser.eval("[...document.querySelectorAll('.lane')][1].querySelectorAll('.bar').values().map(bar => bar.getBoundingClientRect().width).toArray()");
        let widths: Vec<f64> = widths.as_array().unwrap().iter().map(|width| width.as_f64().unwrap()).collect();
        assert!(widths[2] > widths[0] && widths[0] > widths[1] && widths[1] > widths[3] && widths[3] > 2.0, "{widths:?}");
        assert_eq!(browser.eval("document.querySelectorAll('.plot').length"), 2);
        assert!(browser.eval("document.querySelectorAll('.plot .missed').length").as_u64().unwrap() >= 8);

        // What was printed: its end is in sight, and its beginning when one goes there.
        let logs = "[...document.querySelectorAll('.step')].find(step => step.textContent.includes('100000 api'))";
        browser.until(&format!("{logs}.querySelector('.printed header span').textContent"), &json!("100,000 lines"));
        browser.until(&format!("{logs}.querySelector('.row:last-child').textContent.includes('/ballots/99999 ')"), &json!(true));
        browser.eval(&format!("void ({logs}.querySelector('.scroll').scrollTop = 0)"));
        browser.until(&format!("{logs}.querySelector('.row').textContent.includes('/ballots/0 ')"), &json!(true));

        // Search, by keyboard alone.
        browser.key("/", Some("/"));
        browser.write("NEEDLE");
        browser.until("document.getElementById('found').textContent", &json!("4 lines, 1 step"));
        let marked = "[...document.querySelectorAll('.row mark')].map(mark => mark.textContent)";
        browser.until(marked, &json!(["needle", "needle", "needle", "needle"]));
        assert_eq!(browser.eval("[...document.querySelectorAll('.step')].filter(step => step.checkVisibility()).length"), 1);
        browser.picture(&format!("{width}-{look}-search"));
        browser.key("Escape", None);
        browser.until("document.getElementById('found').textContent", &json!(""));
        browser.until("[...document.querySelectorAll('.row mark')].length", &json!(0));

        // A host is switched off, and on again.
        browser.click(".switches label:has(input[value=web-2]) span");
        let shown = "[...document.querySelectorAll('[data-host=web-2]')].filter(part => part.checkVisibility()).length";
        browser.until(shown, &json!(0));
        assert_eq!(
            browser.eval("[...document.querySelectorAll('.lane, .host')].filter(part => part.checkVisibility()).length"),
            2
        );
        browser.click(".switches label:has(input[value=web-2]) span");
        browser.until(&format!("{shown} > 2"), &json!(true));

        // A bar leads to its step.
        browser.eval("void (document.querySelector('#h0s0').open = false)");
        browser.eval("document.querySelector('.lane a[href=\"#h0s0\"]').focus()");
        browser.key("Enter", Some("\r"));
        browser.until("document.querySelector('#h0s0').open && document.activeElement.closest('.step')?.id", &json!("h0s0"));
        assert_eq!(browser.complaints(&page), Vec::<String>::new());
    }
}

#[test]
fn a_hostile_page_runs_nothing() {
    let project = hostile();
    project.landfall(&["run", "checks", "--report", "html=r.html", "--note", "<img src=x onerror=alert(1)>"]).expect(1, &[]);
    let mut browser = Browser::start();
    let page = project.path("r.html");
    browser.open(&page, 390, false);
    browser.until("document.querySelector('.row')?.textContent.includes('::error::owned ]]></system-out>')", &json!(true));
    assert_eq!(browser.eval("document.querySelectorAll('img').length"), 0);
    assert_eq!(browser.eval("document.documentElement.scrollWidth"), 390);
    assert_eq!(browser.complaints(&page), Vec::<String>::new());
}

#[test]
fn a_release_is_reported_from_the_host_that_did_it() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("short", "description = \"x\"\n\n[[steps]]\nkind = \"shell\"\nname = \"say\"\ncommand = \"echo said; sleep 1; echo again\"\n\n[[steps]]\nkind = \"shell\"\nname = \"fail\"\ncommand = \"echo why; exit 7\"\n");
    let run = project.events(&["run", "short", "--yes", "--report", "junit=own.xml", "--report", "json=own.json"]);
    let id = run.expect(1, &[]).run();
    xmllint(&["--schema", &schema(), &project.path("own.xml").display().to_string()]);
    // From anywhere that has no copy.
    std::fs::remove_dir_all(project.path("state")).unwrap();
    project.landfall(&["report", &id[..6], "--out", "host.json"]).expect(0, &[]);
    let read = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(project.path(name)).unwrap()).unwrap();
    let (own, host) = (read("own.json"), read("host.json"));
    for key in ["run", "playbook", "who", "exit_code", "outcome"] {
        assert_eq!(own[key], host[key], "{key}");
    }
    assert_eq!(own["hosts"][0]["steps"], host["hosts"][0]["steps"]);
    let began = std::time::Instant::now();
    let replayed = project.events(&["attach", &id, "--replay", "--speed", "1"]);
    assert_eq!((replayed.code, replayed.printed().as_str()), (1, "said\nagain\nwhy\n"));
    assert!(began.elapsed() >= std::time::Duration::from_secs(1), "with its pause");
}

#[test]
fn a_run_that_goes_on_is_reported_as_far_as_it_has_come() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("long", "[[steps]]\nkind = \"shell\"\nname = \"wait\"\ncommand = \"echo begun; exec sleep 600\"\n");
    let id = project.events(&["run", "long", "--yes", "--detach", "--report", "json=own.json"]).expect(0, &[]).run();
    let own: Value = serde_json::from_slice(&std::fs::read(project.path("own.json")).unwrap()).unwrap();
    assert_eq!(own["outcome"], "handed over");
    let mut report = Value::Null;
    eventually("its output is reported", || {
        let output = project.landfall(&["report", &id, "--format", "json", "--report-output", "all"]);
        report = serde_json::from_str(&output.expect(0, &[]).stdout).unwrap();
        report["hosts"][0]["steps"][0]["output"][0]["text"] == "begun"
    });
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("still running"), &Value::Null));
    project.landfall(&["cancel", &id, "--yes"]).expect(0, &["stopped; nothing of it is left"]);
    let over = project.landfall(&["report", &id]);
    over.expect(0, &[": cancelled\n"]);
}

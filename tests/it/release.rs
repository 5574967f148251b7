//! A release, end to end, on fresh droplets: what PostgreSQL and Docker say afterwards, and the events on the way.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::droplet::droplets;
use crate::project::Project;

const ALL: &str =
    "20260105090000_elections\n20260212101500_ballots\n20260318142000_configurations\n20260402083000_email_templates";
const STEPS: [&str; 6] = ["migrate", "seed configurations", "seed email-templates", "up", "container is healthy", "api answers"];

#[test]
fn a_release_migrates_seeds_switches_and_verifies_and_again_changes_nothing() {
    let droplets = droplets(2);
    let project = Project::on(&droplets);
    let release = ["run", "release", "--on", "droplets", "--yes", "--note", "the first"];
    let first = project.events(&release);
    first.expect(0, &[]);
    for droplet in droplets.iter() {
        assert_eq!(droplet.migrations(), ALL);
        assert_eq!(droplet.sql("SELECT count(*) FROM configurations"), "3");
        assert_eq!(droplet.sql("SELECT count(*) FROM email_templates"), "2");
        assert_eq!(droplet.version(), "2");
        let healthy = droplet.sh("docker inspect --format '{{.State.Health.Status}}' deployment-api-1");
        assert_eq!(healthy, "healthy");
        events_keep_the_contract(&first.events(), &droplet.name);
    }
    whole_run(&first.events(), 2);
    assert_eq!(first.of_type("run_started")[0]["note"], "the first");

    let stamps =
        "SELECT string_agg(id || started_at || finished_at || applied_steps_count, ',' ORDER BY id) FROM _prisma_migrations";
    let seeds = "SELECT string_agg(key || updated_at, ',' ORDER BY key) FROM configurations";
    let before: Vec<String> = droplets.iter().map(|droplet| droplet.sql(stamps) + &droplet.sql(seeds)).collect();
    let container = droplets[0].sh("docker inspect --format '{{.Id}}' deployment-api-1");
    let second = project.events(&release);
    second.expect(0, &[]);
    let after: Vec<String> = droplets.iter().map(|droplet| droplet.sql(stamps) + &droplet.sql(seeds)).collect();
    assert_eq!(before, after, "applied or seeded twice");
    assert_eq!(container, droplets[0].sh("docker inspect --format '{{.Id}}' deployment-api-1"), "recreated for nothing");
    for droplet in droplets.iter() {
        let migrate = second.finished(Some(&droplet.name), "migrate");
        assert_eq!((migrate["status"].as_str(), migrate["detail"].as_str()), (Some("ok"), Some("nothing pending")));
        for seed in ["seed configurations", "seed email-templates"] {
            let finished = second.finished(Some(&droplet.name), seed);
            assert_eq!(finished["status"], "skipped");
            let story = finished["detail"].as_str().unwrap();
            assert!(story.contains(&first.run()) && story.contains("ana@"), "{story}");
        }
    }
}

fn whole_run(events: &[Value], hosts: usize) {
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(first["type"], "run_started");
    assert_eq!(first["playbook"], "release");
    assert_eq!(first["hosts"].as_array().unwrap().len(), hosts);
    assert_eq!(first["plan"].as_str().unwrap().len(), 64);
    assert!(first["who"].as_str().unwrap().starts_with("ana@"));
    assert_eq!(
        (last["type"].as_str(), last["status"].as_str(), last["exit_code"].as_u64()),
        (Some("run_finished"), Some("ok"), Some(0))
    );
    assert!(last["duration_ms"].as_u64().unwrap() > 0);
    let runs: std::collections::BTreeSet<&str> = events.iter().map(|event| event["run"].as_str().unwrap()).collect();
    assert_eq!(runs.len(), 1, "one run, one id");
}

fn events_keep_the_contract(events: &[Value], host: &str) {
    let required: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("run_started", &["playbook", "hosts", "plan", "who"][..]),
        ("host_connected", &["address", "user"]),
        ("lock_acquired", &[]),
        ("step_started", &["kind", "command"]),
        ("output", &["stream", "text"]),
        ("check", &["kind", "side", "ok", "observed", "expected"]),
        ("step_finished", &["status", "duration_ms"]),
        ("run_finished", &["status", "exit_code", "duration_ms"]),
    ]);
    for event in events {
        assert_eq!(event["v"], 1);
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && humantime::parse_rfc3339(time).is_ok(), "{time}");
        for field in required.get(event["type"].as_str().unwrap()).copied().unwrap_or_default() {
            assert!(!event[*field].is_null(), "{field} is missing in {event}");
        }
    }
    let of_host: Vec<&Value> = events.iter().filter(|event| event["host"] == host).collect();
    let order: Vec<String> = of_host
        .iter()
        .filter_map(|event| match event["type"].as_str().unwrap() {
            "step_started" => Some(format!("+{}", event["step"].as_str().unwrap())),
            "step_finished" => Some(format!("-{} {}", event["step"].as_str().unwrap(), event["status"].as_str().unwrap())),
            kind @ ("host_connected" | "lock_acquired") => Some(kind.to_owned()),
            _ => None,
        })
        .collect();
    let mut expected = vec!["host_connected".to_owned(), "lock_acquired".to_owned()];
    for step in std::iter::once("pull").chain(STEPS) {
        expected.extend([format!("+{step}"), format!("-{step} ok")]);
    }
    assert_eq!(order, expected);
    // What a step prints comes while the step runs.
    let mut open = None;
    for event in of_host {
        match event["type"].as_str().unwrap() {
            "step_started" => open = event["step"].as_str(),
            "step_finished" => open = None,
            "output" | "check" => assert_eq!(event["step"].as_str(), open, "{event}"),
            _ => {}
        }
    }
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event["host"] == host && event["type"] == "step_started")
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["pull", "migrate", "seed", "seed", "up", "health", "health"]);
}

#[test]
fn a_person_sees_plain_lines_and_a_summary() {
    let droplets = droplets(1);
    let project = Project::on(&droplets);
    let out = project.landfall(&["run", "release", "--yes"]);
    out.expect(0, &["20260402083000_email_templates", "3 configurations seeded"]);
    assert!(out.stdout.contains("configuration ballot.max_choices"), "a step's stdout goes to stdout: {}", out.said());
    assert!(!out.stderr.contains('\u{1b}') && !out.stdout.contains('\u{1b}'), "no escapes without a terminal");
    assert!(out.stderr.contains("2 migrations applied"), "{}", out.stderr);
}

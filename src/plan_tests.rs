//! Plans as values: what is shown, what refuses, what is submitted.

use super::*;
use crate::playbook::tests::{INVENTORY, on, resolved};
use crate::protocol::StateDir;

const PLAYBOOK: &str = r#"
[[steps]]
kind = "pull"
[[steps]]
kind = "migrate"
tool = "prisma"
once = true
[[steps]]
kind = "seed"
seeds = ["configurations"]
once = true
[[steps]]
kind = "up"
[[steps]]
kind = "health"
from = "here"
url = "https://www.example.com/health"
"#;

fn playbook() -> ResolvedPlaybook {
    resolved(INVENTORY, PLAYBOOK, &on("prod")).expect("fine")
}

fn facts(digest: &str) -> Facts {
    let api = ServiceFacts {
        image: "localhost:5000/api:v2".to_owned(),
        image_id: Some(format!("sha256:{digest}")),
        digest: Some(format!("localhost:5000/api@sha256:{digest}")),
        running: Some("sha256:old".to_owned()),
        state: Some("running (healthy)".to_owned()),
    };
    Facts { disk_free: 9 << 30, services: [("api".parse().expect("a name"), api)].into(), ..Facts::default() }
}

fn story(ok: Option<bool>) -> Story {
    Story {
        run: "kkkkkkkkkkkk".parse().expect("a run id"),
        when: "2026-11-20T12:00:00Z".to_owned(),
        who: "ada@laptop".to_owned(),
        host: None,
        image: None,
        ok,
    }
}

fn hosts(first: Facts, second: Facts) -> BTreeMap<HostName, Facts> {
    [("prod-1", first), ("prod-2", second)].map(|(name, facts)| (name.parse().expect("a name"), facts)).into()
}

fn step(name: &str) -> StepName {
    name.parse().expect("a name")
}

#[test]
fn says_what_will_happen() {
    let mut first = facts("aaaaaaaaaaaaaaaa");
    let init = "20240101000000_init";
    first.migrations.insert(step("migrate"), Migrations::Pending { names: vec![init.to_owned()] });
    let waits = json!({"name": init, "state": "pending", "file": format!("{init}/migration.sql"), "text": "SELECT 1;"});
    first.histories.insert(step("migrate"), serde_json::from_value(json!({ "migrations": [waits] })).expect("a history"));
    first.ledger.insert(step("seed configurations"), story(Some(true)));
    let plan = Plan::new(&playbook(), hosts(first, facts("aaaaaaaaaaaaaaaa")));
    assert_eq!(plan.refusal_code(), None);
    assert_eq!(plan.pending(), ["20240101000000_init"]);
    let will = |host: usize| {
        plan.hosts[host].steps.iter().map(|step| serde_json::to_string(&step.will).expect("json")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(will(0), @r#"
    {"will":"apply","names":["20240101000000_init"]}
    {"will":"skip","story":{"run":"kkkkkkkkkkkk","when":"2026-11-20T12:00:00Z","who":"ada@laptop","ok":true}}
    {"will":"run"}
    {"will":"run_here"}
    "#);
    insta::assert_snapshot!(will(1), @r#"
    {"will":"wait_for","host":"prod-1"}
    {"will":"wait_for","host":"prod-1"}
    {"will":"run"}
    {"will":"run_here"}
    "#);
    insta::assert_snapshot!(serde_json::to_string(&plan.hosts[0].images).expect("json"), @r#"[{"service":"api","image":"localhost:5000/api:v2","from":"sha256:old","to":"sha256:aaaaaaaaaaaaaaaa","digest":"localhost:5000/api@sha256:aaaaaaaaaaaaaaaa","replaced":true}]"#);
}

#[test]
fn refuses_different_images_failed_migrations_and_unknown_outcomes() {
    let mut first = facts("aaaaaaaaaaaaaaaa");
    first.migrations.insert(step("migrate"), Migrations::Failed { why: "a migration failed earlier".to_owned(), remedy: None });
    first.ledger.insert(step("seed configurations"), story(None));
    let mut second = facts("bbbbbbbbbbbbbbbb");
    second.refusals.push(Refusal { code: 5, message: "locked".to_owned(), remedy: None });
    let plan = Plan::new(&playbook(), hosts(first, second));
    assert_eq!(plan.refusal_code(), Some(7));
    let told: Vec<String> = plan.refusals().map(|(host, refusal)| format!("{host:?}: {}", refusal.message)).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    None: the hosts do not hold the same image of api: aaaaaaaaaaaa on prod-1; bbbbbbbbbbbb on prod-2
    Some(HostName("prod-1")): migrate: the database is not in a state to migrate: a migration failed earlier
    Some(HostName("prod-1")): seed configurations was started before and how it ended is not known (run kkkkkkkkkkkk, 2026-11-20T12:00:00Z, by ada@laptop)
    Some(HostName("prod-2")): locked
    "#);
}

#[test]
fn what_was_not_asked_is_not_known() {
    let plan = Plan::new(&playbook(), BTreeMap::new());
    assert_eq!(plan.hosts[0].steps[0].will, Will::NotKnown { why: "the host was not asked".to_owned() });
    assert_eq!(plan.hosts[0].disk_free, None);
}

#[test]
fn submits_what_it_shows() {
    let plan = Plan::new(&playbook(), hosts(facts("a"), facts("a")));
    let order = Order {
        run: "kkkkkkkkkkkk".parse().expect("a run id"),
        who: Who { user: "ada".to_owned(), machine: "laptop".to_owned() },
        note: Some("why".to_owned()),
        key: None,
        approval: Approval::Awaited,
        answer_within_ms: 60_000,
        approve_within_ms: 30_000,
        lock_wait_ms: 0,
        accepted: Vec::new(),
    };
    let submission = plan.submission(&plan.hosts[1].host, &order).expect("a submission");
    assert_eq!(submission.plan, plan.digest);
    assert_eq!(submission.state, StateDir { path: "/var/lib/landfall/etally".to_owned(), private: false });
    assert!(submission.effects);
    assert_eq!(submission.hosts.len(), 2);
    let shown: Vec<&str> = plan.hosts[1].steps.iter().map(|step| step.shown.as_str()).collect();
    let submitted: Vec<&str> = submission.steps.iter().map(|step| step.shown.as_str()).collect();
    assert_eq!(shown, submitted);
    assert_eq!(plan.submission(&"stage".parse().expect("a name"), &order), None);
}

#[test]
fn the_digest_does_not_depend_on_facts_or_on_the_client() {
    let one = Plan::new(&playbook(), hosts(facts("a"), facts("a")));
    let mut elsewhere = playbook();
    elsewhere.hosts[0].target.identity_file = Some("/home/ada/.ssh/id".into());
    let two = Plan::new(&elsewhere, BTreeMap::new());
    assert_eq!(one.digest, two.digest);
    let other = resolved(INVENTORY, PLAYBOOK, &on("prod-1")).expect("fine");
    assert_ne!(one.digest, digest(&other));
}

//! `once` on hosts that share a database, and batches.

use crate::droplet::{droplets, sharing};
use crate::project::Project;

#[test]
fn the_first_host_does_it_and_the_others_wait() {
    let droplets = sharing();
    let project = Project::on(&droplets);
    let out = project.events(&["run", "release", "--on", "droplets", "--yes"]);
    out.expect(0, &[]);
    assert_eq!(droplets[0].sql("SELECT count(*) FROM _prisma_migrations"), "4");
    assert_eq!(droplets[0].sql("SELECT count(*) FROM configurations"), "3");
    let events = out.events();
    let at = |host: &str, kind: &str, step: &str| {
        let found = events.iter().position(|event| event["host"] == host && event["type"] == kind && event["step"] == step);
        found.unwrap_or_else(|| panic!("no {kind} of {step} on {host}: {}", out.said()))
    };
    for step in ["migrate", "seed configurations", "seed email-templates"] {
        assert!(at("droplet-1", "step_finished", step) < at("droplet-2", "step_finished", step), "{step} waits");
        let story = out.finished(Some("droplet-2"), step)["detail"].as_str().unwrap().to_owned();
        assert!(story.contains("done on droplet-1"), "{story}");
    }
    let printed = out.of_type("output");
    let applied = |host: &str| printed.iter().any(|event| event["host"] == host && event["step"] == "migrate");
    assert!(applied("droplet-1") && !applied("droplet-2"));
    for droplet in droplets.iter() {
        assert_eq!(droplet.version(), "2");
    }
}

#[test]
fn the_others_skip_the_rest_when_the_first_fails() {
    let droplets = sharing();
    let project = Project::on(&droplets);
    project.playbook(
        "fail",
        "[[steps]]\nkind = \"shell\"\nname = \"first\"\nonce = true\ncommand = \"echo so; exit 3\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"rest\"\ncommand = \"touch /tmp/it-rest\"\n",
    );
    let out = project.events(&["run", "fail", "--on", "droplets", "--yes"]);
    out.expect(1, &[]);
    assert_eq!(out.finished(Some("droplet-1"), "first")["exit_code"], 3);
    let told = out.finished(Some("droplet-2"), "first");
    assert!(told["detail"].as_str().unwrap().contains("failed on droplet-1"), "{told}");
    for droplet in droplets.iter() {
        assert_eq!(out.finished(Some(&droplet.name), "rest")["status"], "skipped");
        droplet.sh("test ! -e /tmp/it-rest");
    }
}

#[test]
fn batches_go_one_after_another_and_stop_after_a_failed_one() {
    let droplets = droplets(2);
    let project = Project::on(&droplets);
    let (first, second) = (&droplets[0], &droplets[1]);
    project
        .playbook("batches", "serial = 1\n[[steps]]\nkind = \"shell\"\nname = \"work\"\ncommand = \"test ! -e /tmp/it-bad\"\n");
    let good = project.events(&["run", "batches", "--on", "droplets", "--yes"]);
    good.expect(0, &[]);
    let events = good.events();
    let at = |host: &str, kind: &str| events.iter().position(|event| event["host"] == host && event["type"] == kind).unwrap();
    assert!(at(&first.name, "step_finished") < at(&second.name, "step_started"), "{}", good.said());

    first.sh("touch /tmp/it-bad");
    let bad = project.events(&["run", "batches", "--on", "droplets", "--yes"]);
    bad.expect(1, &[]);
    let began = bad.of_type("step_started").iter().any(|event| event["host"] == second.name.as_str());
    assert!(!began, "the second batch began: {}", bad.said());
}

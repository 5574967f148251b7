//! The commands around a run: each with what it shows, what it changes and what it leaves alone.

use rustix::process::Signal;

use crate::droplet::{droplet, droplets, eventually};
use crate::program::Running;
use crate::project::Project;

const WAIT: &str = "[[steps]]\nkind = \"shell\"\nname = \"wait\"\ncommand = \"echo waiting; while [ ! -e /tmp/it-go ]; do sleep 0.1; done; echo went\"\n";
const TOUCH: &str = "[[steps]]\nkind = \"shell\"\nname = \"touch\"\ncommand = \"echo touched\"\n";

fn project(droplets: &crate::droplet::Droplets) -> Project {
    let project = Project::on(droplets);
    project.playbook("wait", WAIT);
    project.playbook("touch", TOUCH);
    project
}

fn waiting(project: &Project) -> Running {
    let holder = project.start(&["run", "wait", "--yes", "--note", "for a reason", "--output", "json"]);
    holder.until("waiting");
    holder
}

#[test]
fn init_writes_a_project_that_checks_and_never_overwrites() {
    let project = Project::empty();
    project.landfall(&["init"]).expect(0, &["landfall.toml", "playbooks/release.toml"]);
    project.landfall(&["check"]).expect(0, &["release.toml"]);
    project.write("landfall.toml", "mine");
    std::fs::remove_file(project.path("playbooks/seed.toml")).unwrap();
    project.landfall(&["init"]).expect(0, &["kept", "wrote"]);
    assert_eq!(std::fs::read_to_string(project.path("landfall.toml")).unwrap(), "mine");
}

#[test]
fn check_is_content_with_the_testbed() {
    let droplets = droplet();
    project(&droplets).landfall(&["check"]).expect(0, &["release.toml", "validate.toml"]);
}

#[test]
fn a_plan_tells_everything_and_changes_nothing() {
    let droplets = droplets(2);
    let project = project(&droplets);
    let before: Vec<String> = droplets.iter().map(|droplet| droplet.docker_state() + &droplet.landfall_state()).collect();
    // The image on the host is version 1: nothing is pending in it.
    let text = project.landfall(&["plan", "release", "--on", "droplets"]);
    text.expect(0, &["docker-compose.prod.yml pull api", "prisma migrate deploy", &droplets[0].name, &droplets[1].name]);
    let markdown = project.landfall(&["plan", "release", "--on", "droplets", "--format", "markdown"]);
    markdown.expect(0, &["#", "```"]);
    let json = project.landfall(&["plan", "release", "--on", "droplets", "--format", "json"]);
    json.expect(0, &[]);
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(plan.is_object());
    let after: Vec<String> = droplets.iter().map(|droplet| droplet.docker_state() + &droplet.landfall_state()).collect();
    assert_eq!(before, after, "plan changed something");
    for droplet in droplets.iter() {
        droplet.sh("cd /opt/etally/deployment && TAG=2 docker compose --env-file ../.env -f docker-compose.prod.yml pull -q api </dev/null 2>&1");
    }
    let pending = project.landfall(&["plan", "release", "--on", "droplets", "--var", "release=2"]);
    pending.expect(0, &["20260318142000_configurations", "20260402083000_email_templates"]);
    for droplet in droplets.iter() {
        assert_eq!(droplet.sql("SELECT count(*) FROM _prisma_migrations"), "2");
        assert_eq!(droplet.landfall_state(), "");
        droplet.sh("docker rmi localhost:5000/etally/api:2 >/dev/null");
    }
}

#[test]
fn a_lock_is_told_and_kept_and_waited_for() {
    let droplets = droplet();
    let project = project(&droplets);
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
    let holder = waiting(&project);
    let status = project.landfall(&["lock", "status"]);
    status.expect(0, &["held by run", "(wait) of ana@", "for a reason"]);
    let second = project.landfall(&["run", "touch", "--yes"]);
    second.expect(5, &["wait", "ana@", "for a reason"]);
    let json = project.events(&["run", "touch", "--yes"]);
    json.expect(5, &[]);
    assert_eq!(json.of_type("run_finished")[0]["exit_code"], 5);
    let short = project.landfall(&["run", "touch", "--yes", "--lock-wait", "1s"]);
    short.expect(5, &["waiting for run"]);
    project.landfall(&["lock", "break", "--yes"]).expect(2, &[]);
    // What only looks needs no lock.
    project.landfall(&["validate", "--var", "version=1"]).expect(4, &[]);
    let patient = project.start(&["run", "touch", "--yes", "--lock-wait", "1m"]);
    patient.until("waiting for run");
    droplets[0].sh("touch /tmp/it-go");
    holder.finish().expect(0, &["went"]);
    patient.finish().expect(0, &["touched"]);
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
}

#[test]
fn runs_are_listed_newest_first() {
    let droplets = droplet();
    let project = project(&droplets);
    project.landfall(&["runs"]).expect(0, &[]);
    project.landfall(&["run", "touch", "--yes", "--note", "one"]).expect(0, &[]);
    project.playbook("fail", "[[steps]]\nkind = \"shell\"\ncommand = \"exit 2\"\n");
    project.landfall(&["run", "fail", "--yes", "--note", "two"]).expect(1, &[]);
    let runs = project.landfall(&["runs"]);
    runs.expect(0, &[]);
    let lines: Vec<&str> = runs.stdout.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("fail") && lines[0].contains("two") && lines[1].contains("one"),
        "{}",
        runs.stdout
    );
    let json = project.events(&["runs"]);
    assert_eq!((json.events()[0]["exit_code"].as_u64(), json.events()[1]["exit_code"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn doctor_is_content_with_a_good_host_and_names_what_is_wrong() {
    let droplets = droplet();
    let project = project(&droplets);
    project.landfall(&["doctor"]).expect(0, &["host program runs", "Docker", "Compose", "will be masked"]);
    project.edit("landfall.toml", &format!("port = {}", droplets[0].port), "port = 1");
    project.landfall(&["doctor"]).expect(3, &["nothing listens there"]);
}

#[test]
fn exec_reports_the_commands_own_exit_code() {
    let droplets = droplet();
    let project = project(&droplets);
    for via in ["run", "exec"] {
        let exec = |script: &str| project.events(&["exec", "api", "--via", via, "--yes", "--", "sh", "-c", script]);
        let good = exec("echo out; echo err >&2; pwd; touch /tmp/here; ls /tmp/here");
        good.expect(0, &["out", "err"]);
        for (script, code) in [("exit 3", 3), ("exit 137", 137), ("exit 255", 255)] {
            let out = exec(script);
            out.expect(1, &[]);
            let finished = out.finished(None, "exec");
            assert_eq!(finished["exit_code"], code, "{finished}");
        }
    }
    project.events(&["exec", "api", "--yes", "--", "no-such-program"]).expect(1, &["no-such-program"]);
    let words =
        project.events(&["exec", "api", "--yes", "--", "node", "-e", "console.log(process.argv.slice(1))", "a b", "$HOME", "'"]);
    words.expect(0, &[]);
    assert!(words.printed().contains("'a b'") && words.printed().contains("'$HOME'"), "{}", words.printed());
}

#[test]
fn a_run_that_is_over_is_replayed_with_the_same_code() {
    let droplets = droplets(2);
    let project = project(&droplets);
    project.playbook(
        "mixed",
        "[[steps]]\nkind = \"shell\"\nname = \"say\"\ncommand = \"echo one; echo two >&2; exit 3\"\n[[always]]\nkind = \"shell\"\nname = \"end\"\ncommand = \"echo end\"\n",
    );
    let out = project.events(&["run", "mixed", "--on", "droplets", "--yes"]);
    out.expect(1, &[]);
    let seen = Project::on(&droplets).events(&["attach", &out.run()[..6], "--on", "droplets"]);
    seen.expect(1, &[]);
    let of = |out: &crate::program::Output, host: &str| -> Vec<String> {
        let told = out.events().into_iter().filter(|event| event["host"] == host);
        let told = told.filter(|event| {
            ["step_started", "step_finished", "output", "host_finished"].contains(&event["type"].as_str().unwrap())
        });
        told.map(|event| event.to_string()).collect()
    };
    for droplet in droplets.iter() {
        assert_eq!(of(&out, &droplet.name), of(&seen, &droplet.name), "a replay differs");
    }
    assert_eq!(seen.of_type("run_finished")[0]["exit_code"], 1);
    project.landfall(&["attach", "kkkkkkkkkkkk"]).expect(7, &["no host knows of a run"]);
}

#[test]
fn a_key_finds_its_run_instead_of_starting_another() {
    let droplets = droplet();
    let project = project(&droplets);
    project.playbook(
        "count",
        "[[steps]]\nkind = \"shell\"\nname = \"count\"\ncommand = \"echo ran >>/tmp/it-count; echo counted\"\n",
    );
    let first = project.events(&["run", "count", "--yes", "--key", "ci-1"]);
    first.expect(0, &["counted"]);
    let again = Project::on(&droplets);
    std::fs::copy(project.path("playbooks/count.toml"), again.path("playbooks/count.toml")).unwrap();
    let second = again.events(&["run", "count", "--yes", "--key", "ci-1"]);
    second.expect(0, &["counted", "the key is known"]);
    assert_eq!(second.run(), first.run());
    assert_eq!(droplets[0].sh("wc -l </tmp/it-count"), "1");
    project.landfall(&["run", "count", "--yes", "--key", "ci-2"]).expect(0, &[]);
    assert_eq!(droplets[0].sh("wc -l </tmp/it-count"), "2");
    // While it runs, too.
    let client = project.start(&["run", "wait", "--yes", "--key", "ci-3", "--output", "json"]);
    client.until("waiting");
    client.signal(Signal::KILL);
    let found = project.start(&["run", "wait", "--yes", "--key", "ci-3", "--output", "json"]);
    found.until("waiting");
    droplets[0].sh("touch /tmp/it-go");
    found.finish().expect(0, &["went"]);
}

#[test]
fn a_run_is_handed_over_and_ends_without_its_client() {
    let droplets = droplet();
    let project = project(&droplets);
    let out = project.events(&["run", "wait", "--yes", "--detach"]);
    out.expect(0, &["handed over"]);
    project.landfall(&["lock", "status"]).expect(0, &["held by run"]);
    let run = out.run();
    let seen = project.start(&["attach", &run[..4], "--output", "json"]);
    seen.until("waiting");
    droplets[0].sh("touch /tmp/it-go");
    seen.finish().expect(0, &["went"]);
    project
        .playbook("local", "[[steps]]\nkind = \"shell\"\ncommand = \"true\"\n[[steps]]\nkind = \"local\"\ncommand = \"true\"\n");
    project.landfall(&["run", "local", "--yes", "--detach"]).expect(2, &["cannot be handed over"]);
}

#[test]
fn a_seed_by_name_runs_once_and_again_on_purpose() {
    let droplets = droplet();
    let project = project(&droplets);
    project.landfall(&["run", "release", "--yes"]).expect(0, &[]);
    project.landfall(&["seed", "configurations", "--yes"]).expect(7, &["configurations ran in", "--again"]);
    droplets[0].sql("DELETE FROM configurations");
    project.landfall(&["seed", "configurations", "--again", "--yes"]).expect(0, &["3 configurations seeded"]);
    assert_eq!(droplets[0].sql("SELECT count(*) FROM configurations"), "3");
    eventually("healthy", || droplets[0].try_sh("curl -sf http://127.0.0.1:3000/health").0 == 0);
    project.landfall(&["validate"]).expect(0, &[]);
}

#[test]
fn two_names_of_one_machine_are_refused() {
    let droplets = droplet();
    let project = project(&droplets);
    let port = droplets[0].port;
    project.edit(
        "landfall.toml",
        "[hosts.",
        &format!("[hosts.twin]\naddress = \"127.0.0.1\"\nport = {port}\nuser = \"root\"\ngroups = [\"droplets\"]\n\n[hosts."),
    );
    project.landfall(&["run", "touch", "--on", "droplets", "--yes"]).expect(7, &["the same machine", "twin"]);
}

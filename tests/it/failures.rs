//! Releases that fail: what is left of the application, what the user is told, and what the next run may do.

use crate::droplet::droplet;
use crate::project::Project;

const NOTED: &str = "\n[[on_failure]]\nkind = \"shell\"\nname = \"note failure\"\ncommand = \"touch /tmp/it-failed\"\n\
                     \n[[always]]\nkind = \"shell\"\nname = \"note end\"\ncommand = \"touch /tmp/it-ended\"\n";

fn with_notes(project: &Project) {
    let text = std::fs::read_to_string(project.path("playbooks/release.toml")).unwrap();
    project.playbook("release", &(text + NOTED));
}

#[test]
fn a_migration_that_breaks_leaves_the_old_version_serving_and_blocks_the_next_run() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    with_notes(&project);
    let out = project.events(&["run", "release", "--yes", "--var", "release=broken"]);
    out.expect(1, &[]);
    let migrate = out.finished(None, "migrate");
    assert_eq!((migrate["status"].as_str(), migrate["exit_code"].as_u64()), (Some("failed"), Some(1)), "{migrate}");
    assert!(migrate["detail"].as_str().unwrap().contains("20260415070000_result_sheets"), "{migrate}");
    // As the tool left it: its first part is there, and its own table says that it began.
    assert_eq!(
        droplet.sql("SELECT to_regclass('result_sheets') IS NOT NULL, to_regclass('result_sheet_entries') IS NULL"),
        "t|t"
    );
    assert_eq!(
        droplet.sql("SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NULL"),
        "20260415070000_result_sheets"
    );
    assert_eq!(droplet.version(), "1");
    droplet.sh("test -e /tmp/it-failed -a -e /tmp/it-ended");
    for step in ["seed configurations", "up", "container is healthy", "api answers"] {
        assert_eq!(out.finished(None, step)["status"], "skipped");
    }
    assert!(!out.of_type("hint").is_empty(), "no hint: {}", out.said());
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);

    let next = project.landfall(&["run", "release", "--yes", "--var", "release=broken"]);
    next.expect(7, &["20260415070000_result_sheets", "help: "]);
    assert_eq!(droplet.sql("SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NULL"), "1");
    let plan = project.landfall(&["plan", "release", "--var", "release=broken"]);
    plan.expect(7, &["20260415070000_result_sheets"]);
}

#[test]
fn a_failed_release_ends_with_what_changed_what_did_not_and_what_to_type() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let out = project.landfall(&["run", "release", "--yes", "--var", "release=broken"]);
    out.expect(1, &["landfall", "migrate", "20260415070000_result_sheets"]);
    assert!(out.stderr.contains("hint"), "{}", out.stderr);
}

#[test]
fn an_image_that_never_gets_healthy_is_put_back() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.edit("playbooks/release.toml", "back = true", "back = true\ntimeout = \"2m\"");
    with_notes(&project);
    let before = droplet.sh("docker inspect --format '{{.Image}}' deployment-api-1");
    let out = project.events(&["run", "release", "--yes", "--var", "release=sick"]);
    let up = out.finished(None, "up");
    assert_eq!(up["status"], "failed", "{}", out.said());
    assert!(up["detail"].as_str().unwrap().contains("are back"), "{up}");
    out.expect(1, &[]);
    assert_eq!(droplet.sh("docker inspect --format '{{.Image}}' deployment-api-1"), before);
    assert_eq!(droplet.version(), "1");
    assert_eq!(droplet.sh("docker inspect --format '{{.State.Health.Status}}' deployment-api-1"), "healthy");
    droplet.sh("test -e /tmp/it-failed -a -e /tmp/it-ended");
    // By hand, with the tag of this release: the same container stays.
    let id = droplet.sh("docker inspect --format '{{.Id}}' deployment-api-1");
    droplet.sh("cd /opt/etally/deployment && TAG=sick docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps api </dev/null 2>&1");
    assert_eq!(droplet.sh("docker inspect --format '{{.Id}}' deployment-api-1"), id, "docker compose up -d changed something");
}

#[test]
fn a_check_that_never_holds_fails_after_its_time_with_the_last_answer() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "check",
        "[[steps]]\nkind = \"health\"\nname = \"answers\"\nurl = \"http://127.0.0.1:3000/health\"\nfrom = \"host\"\n\
         expect = { status = 200, json = { \"$.version\" = \"9\" } }\nretry = { for = \"3s\", every = \"500ms\" }\n",
    );
    let out = project.events(&["run", "check"]);
    out.expect(4, &[]);
    let last = out.of_type("check").pop().unwrap();
    assert_eq!(last["ok"], false);
    assert!(last["observed"].as_str().unwrap().contains("200") && last["observed"].as_str().unwrap().contains('1'), "{last}");
    let finished = out.finished(None, "answers");
    let took = finished["duration_ms"].as_u64().unwrap();
    assert!((2000..8000).contains(&took), "{took} ms for a retry of 3 s");
    assert!(finished["detail"].as_str().unwrap().contains("saw"), "{finished}");
}

#[test]
fn a_sick_image_without_back_fails_its_check_and_stays() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.playbook(
        "switch",
        "[vars]\nrelease = {}\n[[steps]]\nkind = \"pull\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"switch\"\ncommand = \"docker compose up -d --no-deps api\"\n\
         [[steps]]\nkind = \"health\"\nname = \"answers\"\nurl = \"http://127.0.0.1:3000/health\"\nfrom = \"host\"\n\
         retry = { for = \"4s\", every = \"1s\" }\n",
    );
    let out = project.events(&["run", "switch", "--yes", "--var", "release=sick"]);
    out.expect(4, &[]);
    let last = out.of_type("check").pop().unwrap();
    assert!(last["observed"].as_str().unwrap().contains("503"), "{last}");
    assert_eq!(droplet.version(), "4");
}

#[test]
fn a_failing_always_step_alone_makes_it_one() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "ends",
        "[[steps]]\nkind = \"shell\"\nname = \"good\"\ncommand = \"true\"\n[[always]]\nkind = \"shell\"\nname = \"bad\"\ncommand = \"false\"\n",
    );
    project.events(&["run", "ends", "--yes"]).expect(1, &[]);
}

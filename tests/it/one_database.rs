//! Several hosts on one database: its lock and its ledger are theirs together. PostgreSQL is asked how often a seed ran, not Landfall.

use crate::droplet::{Droplet, Droplets, droplet, eventually, sharing};
use crate::project::Project;

/// Leaves a row of its own each time that it runs, and ends when it may.
const SEED: &str = "import pg from 'pg'; const c = new pg.Client({ connectionString: process.env.DATABASE_URL }); await c.connect(); \
    await c.query('INSERT INTO it_seeded DEFAULT VALUES'); \
    while (!(await c.query('SELECT 1 FROM it_go')).rowCount) await new Promise(next => setTimeout(next, 50)); await c.end()";

/// A project with that seed, whose database is reached as these lines of `[database]` say.
fn project(droplets: &Droplets, database: &str) -> Project {
    let project = Project::on(droplets);
    project.edit("landfall.toml", "service = \"postgres\"\n", database);
    let seed = format!(
        "[seeds.rows]\ncommand = [\"node\", \"--input-type=module\", \"--eval\", {SEED:?}]\n\
         files = [\"package.json\"]\n\n[seeds.configurations]"
    );
    project.edit("landfall.toml", "[seeds.configurations]", &seed);
    project.playbook("seeds", "[[steps]]\nkind = \"seed\"\nname = \"seed\"\nseeds = [\"rows\"]\nper_host = true\n");
    droplets[0].sql("CREATE TABLE it_seeded (n serial); CREATE TABLE it_go (n int)");
    project
}

/// The same database from both droplets.
fn shared(droplets: &Droplets) -> Project {
    let image = droplets[0].sh("docker inspect --format '{{.Config.Image}}' deployment-postgres-1");
    project(droplets, &format!("url = {{ secret = \"DATABASE_URL\" }}\nclient_image = \"{image}\"\n"))
}

fn seeded(droplet: &Droplet) -> String {
    droplet.sql("SELECT count(*) FROM it_seeded")
}

fn go(droplet: &Droplet) {
    droplet.sql("INSERT INTO it_go VALUES (1)");
}

#[test]
fn of_two_hosts_of_one_run_the_second_waits_and_finds_it_done() {
    let droplets = sharing();
    let project = shared(&droplets);
    project.landfall(&["plan", "seeds", "--on", "droplets"]).expect(0, &["Nothing is in the way"]);
    assert_eq!(droplets[0].sql("SELECT to_regnamespace('landfall') IS NULL"), "t", "a look makes nothing");
    let running = project.start(&["--output", "json", "run", "seeds", "--on", "droplets", "--yes"]);
    running.until("waiting for the database: landfall ");
    eventually("one of them seeds", || seeded(&droplets[0]) == "1");
    go(&droplets[0]);
    let out = running.finish();
    out.expect(0, &[]);
    assert_eq!(seeded(&droplets[0]), "1");
    let did = droplets[0].sql("SELECT host FROM landfall.ledger");
    let other = droplets.iter().find(|droplet| droplet.name != did).expect("another");
    assert_eq!(out.finished(Some(&did), "seed")["status"], "ok");
    let story = out.finished(Some(&other.name), "seed");
    assert_eq!((&story["status"], &story["detail"]), (&"skipped".into(), &format!("done on {did}, in this very run").into()));
    let row = "SELECT name || ' ' || run || ' ' || outcome || ' ' || (image LIKE 'sha256:%') FROM landfall.ledger";
    assert_eq!(droplets[0].sql(row), format!("rows {} ok true", out.run()));
}

#[test]
fn another_host_waits_is_refused_or_told_the_story() {
    let droplets = sharing();
    let project = shared(&droplets);
    let (one, two) = (droplets[0].name.as_str(), droplets[1].name.as_str());
    let first = project.start(&["--output", "json", "seed", "rows", "--on", one, "--yes"]);
    let run = first.run();
    eventually("it seeds", || seeded(&droplets[0]) == "1");

    let under_way = format!("rows on {one} is under way: run {run}, since 20");
    project.landfall(&["seed", "rows", "--on", two, "--yes"]).expect(5, &[&under_way, "--lock-wait"]);
    project
        .playbook("sql", "[[steps]]\nkind = \"migrate\"\nname = \"sql\"\ntool = \"sql\"\nmigrations = \"db\"\nper_host = true\n");
    project.write("db/001_a.sql", "-- 2026-03-01: one\nCREATE TABLE one (id int PRIMARY KEY);\n");
    let busy = format!("nothing was begun: this database is worked on already, by landfall {run} on {one} (backend ");
    project.landfall(&["run", "sql", "--on", two, "--yes"]).expect(1, &[&busy, ", since 20"]);

    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let stopped = project.start(&["run", "seeds", "--on", two, "--yes", "--lock-wait", "10m"]);
    eventually("it waits in the database", || droplets[0].sql(waiting) == "1");
    project.landfall(&["cancel", "--yes", "--on", two]).expect(0, &[]);
    stopped.finish().expect(130, &[]);
    assert_eq!(droplets[0].sql(waiting), "0");

    let waits = project.start(&["run", "seeds", "--on", two, "--yes", "--lock-wait", "10m"]);
    waits.until(&format!("waiting for the database: landfall {run} on {one} (backend "));
    go(&droplets[0]);
    first.finish().expect(0, &[]);
    let story = format!("ran before: in run {run} at 20");
    let on = format!(" on {one}");
    waits.finish().expect(0, &[&story, &on]);

    project.landfall(&["seed", "rows", "--on", two, "--yes"]).expect(7, &[&format!("rows ran in {run} at 20"), &on, "--again"]);
    project.landfall(&["plan", "seeds", "--on", two]).expect(0, &["is skipped: ran on 20", &format!("in run {run} on {one}")]);
    assert_eq!(seeded(&droplets[0]), "1");
    project.landfall(&["seed", "rows", "--on", two, "--yes", "--again"]).expect(0, &[]);
    assert_eq!(seeded(&droplets[0]), "2");
}

#[test]
fn a_lock_that_the_server_took_back_is_told() {
    let droplets = droplet();
    let project = project(&droplets, "service = \"postgres\"\n");
    let running = project.start(&["--output", "json", "run", "seeds", "--yes"]);
    let run = running.run();
    eventually("it seeds", || seeded(&droplets[0]) == "1");
    let session =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'landfall {run} on %'");
    assert_eq!(droplets[0].sql(&session), "t");
    go(&droplets[0]);
    running.finish().expect(0, &["its lock in the database was lost before it was over"]);
    let again = project.landfall(&["seed", "rows", "--yes", "--again"]);
    again.expect(0, &[]);
    assert!(!again.said().contains("was lost"), "{}", again.said());
}

#[test]
fn what_was_lost_on_one_host_is_not_begun_on_another() {
    let droplets = sharing();
    let project = shared(&droplets);
    let (one, two) = (droplets[0].name.as_str(), droplets[1].name.as_str());
    let first = project.start(&["--output", "json", "seed", "rows", "--on", one, "--yes", "--reconnect-for", "1s"]);
    let run = first.run();
    eventually("it seeds", || seeded(&droplets[0]) == "1");
    let (supervisor, _) = droplets[0].processes_of(&run);
    droplets[0].sh(&format!("kill -9 {supervisor}"));
    droplets[0].remove_containers_of(&run);
    first.finish().expect(6, &[]);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    eventually("its lock is gone with it", || droplets[0].sql(locks) == "0");
    let unknown = [&format!("rows ran in {run} at 20"), &format!(" on {one}, and it is not known how that ended")];
    project.landfall(&["seed", "rows", "--on", two, "--yes"]).expect(7, &[unknown[0], unknown[1], "landfall resolve"]);
    let gone =
        format!("where {one} is gone for good, in the database: UPDATE landfall.ledger SET outcome = 'ok' WHERE run = '{run}'");
    project.landfall(&["run", "seeds", "--on", two, "--yes"]).expect(7, &[unknown[1], &gone]);
    assert_eq!(seeded(&droplets[0]), "1");

    project.landfall(&["resolve", &run, "--as", "done", "--note", "the row is there", "--on", one, "--yes"]).expect(0, &[]);
    assert_eq!(droplets[0].sql("SELECT outcome FROM landfall.ledger"), "ok");
    project.landfall(&["seed", "rows", "--on", two, "--yes"]).expect(7, &[&format!("on {one}, and succeeded")]);
    assert_eq!(seeded(&droplets[0]), "1");
}

#[test]
fn a_host_that_points_to_another_database_does_not_take_it_for_seeded() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, "service = \"postgres\"\n");
    go(droplet);
    let run = ["run", "seeds", "--yes"];
    let skipped = "ran before: in run ";
    project.landfall(&run).expect(0, &[]);
    project.landfall(&run).expect(0, &[skipped]);
    assert_eq!(seeded(droplet), "1");

    // What is counted is in the first one all the same: the seed goes by a URL of its own.
    droplet.sql("CREATE DATABASE it_restored");
    project.edit("landfall.toml", "service = \"postgres\"\n", "service = \"postgres\"\nname = \"it_restored\"\n");
    project.landfall(&run).expect(0, &[]);
    assert_eq!(seeded(droplet), "2");
    project.landfall(&run).expect(0, &[skipped]);
    // An entry that does not say of which database it is, as earlier versions wrote them.
    let ledger = "/var/lib/landfall/etally/ledger";
    droplet.sh(&format!("sed -i -E 's/,\"database\":\"[0-9a-f]+\",\"within\":true//' {ledger}/*.begun"));
    assert_eq!(droplet.sh(&format!("grep -L '\"within\"' {ledger}/*.begun | wc -l")), "2");
    droplet.sh("docker exec deployment-postgres-1 psql -U etally -d it_restored -c 'DROP SCHEMA landfall CASCADE' </dev/null");
    project.landfall(&run).expect(0, &[skipped]);
    droplet.sql("DROP DATABASE it_restored");

    // The first one, put back to the day before: its ledger goes with its data.
    project.edit("landfall.toml", "name = \"it_restored\"\n", "");
    droplet.sh(&format!("rm {ledger}/*"));
    droplet.sql("TRUNCATE landfall.ledger");
    project.landfall(&run).expect(0, &[]);
    assert_eq!(seeded(droplet), "3");
    droplet.sql("TRUNCATE landfall.ledger");
    project.landfall(&run).expect(0, &[]);
    assert_eq!(seeded(droplet), "4");
}

#[test]
fn where_the_database_cannot_guard_it_the_plan_says_so() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, "service = \"postgres\"\nuser = \"it_reader\"\n");
    go(droplet);
    droplet.sql("DROP ROLE IF EXISTS it_reader; CREATE ROLE it_reader LOGIN");
    let why = "this login may neither use nor make the schema landfall there";
    project.landfall(&["plan", "seeds"]).expect(0, &[&format!("guarded on this host only: {why}")]);
    let markdown = format!("> **Guarded on this host only**: {why}");
    project.landfall(&["plan", "seeds", "--format", "markdown"]).expect(0, &[&markdown]);
    let json: serde_json::Value =
        serde_json::from_str(&project.landfall(&["plan", "seeds", "--format", "json"]).stdout).expect("json");
    assert_eq!(json["hosts"][0]["steps"][0]["host_only"], why);
    project.landfall(&["run", "seeds", "--yes"]).expect(0, &[&format!("guarded on this host only: {why}")]);
    project.landfall(&["run", "seeds", "--yes"]).expect(0, &["ran before: in run "]);
    assert_eq!(seeded(droplet), "1");
    // What another login made may have a trigger that does what that login likes.
    droplet.sql("CREATE ROLE it_other; CREATE SCHEMA landfall AUTHORIZATION it_other; CREATE TABLE landfall.ledger (n int); \
                 ALTER TABLE landfall.ledger OWNER TO it_other; GRANT ALL ON SCHEMA landfall TO it_reader; GRANT ALL ON landfall.ledger TO it_reader");
    project.landfall(&["plan", "seeds"]).expect(0, &["the table landfall.ledger belongs to another login"]);
    droplet.sql("DROP SCHEMA landfall CASCADE; DROP ROLE it_reader; DROP ROLE it_other");

    project.edit("landfall.toml", "[database]\nservice = \"postgres\"\nuser = \"it_reader\"\n", "");
    project
        .landfall(&["plan", "seeds"])
        .expect(0, &["guarded on this host only: landfall.toml names no [database]", "is skipped"]);
}

#[test]
fn what_a_login_is_not_shown_is_not_said_to_be_over() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = project(&droplets, "service = \"postgres\"\nuser = \"it_reader\"\n");
    droplet.sql("DROP ROLE IF EXISTS it_reader; CREATE ROLE it_reader LOGIN");
    let running = project.start(&["--output", "json", "run", "seeds", "--yes", "--reconnect-for", "1s"]);
    let run = running.run();
    eventually("it seeds", || seeded(droplet) == "1");
    let (supervisor, clients) = droplet.processes_of(&run);
    droplet.sh(&format!("kill -9 {supervisor} {clients}"));
    let lost = running.finish();
    go(droplet);
    project.landfall(&["cancel", &run, "--yes"]).expect(0, &[]);
    project.landfall(&["resolve", &run, "--as", "done", "--note", "it did", "--yes"]).expect(0, &[]);
    droplet.sql("DROP ROLE it_reader");
    lost.expect(6, &["whether its database still works on it is not known: it cannot be asked, or does not show it"]);
}

//! The client's own part in a run: gates before anything is contacted, local steps in the middle, looks from all four sides.

use crate::droplet::droplet;
use crate::project::Project;

#[test]
fn a_gate_that_fails_keeps_everything_from_being_contacted() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.edit("landfall.toml", &format!("port = {}", droplets[0].port), "port = 1");
    project.playbook(
        "gated",
        "[[steps]]\nkind = \"local\"\nname = \"gate\"\ncommand = \"echo not today; exit 9\"\n[[steps]]\nkind = \"shell\"\ncommand = \"true\"\n",
    );
    let out = project.events(&["run", "gated", "--yes"]);
    out.expect(1, &["not today"]);
    assert_eq!(out.finished(None, "gate")["exit_code"], 9);
    assert!(out.of_type("host_connected").is_empty());
    assert_eq!(droplets[0].landfall_state(), "");
}

#[test]
fn local_steps_later_are_barriers_of_the_host() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "mixed",
        "[vars]\nword = { default = \"hi\" }\n\
         [[steps]]\nkind = \"local\"\nname = \"gate\"\ncommand = [\"true\"]\n\
         [[steps]]\nkind = \"shell\"\nname = \"there\"\ncommand = \"echo there\"\n\
         [[steps]]\nkind = \"local\"\nname = \"here\"\ncommand = \"echo $word from here; test -f landfall.toml\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"again\"\ncommand = \"echo again\"\n\
         [[steps]]\nkind = \"local\"\nname = \"bad\"\ncommand = \"exit 5\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"never\"\ncommand = \"echo never\"\n",
    );
    let out = project.events(&["run", "mixed", "--yes", "--var", "word=good"]);
    out.expect(1, &[]);
    assert_eq!(out.printed(), "there\ngood from here\nagain\n");
    assert_eq!(out.finished(None, "bad")["exit_code"], 5);
    assert_eq!(out.finished(None, "never")["status"], "skipped");
    // The host's record has what happened here, too.
    let seen = project.events(&["attach"]);
    seen.expect(1, &[]);
    assert_eq!(seen.printed(), "there\ngood from here\nagain\n");
}

#[test]
fn the_api_is_looked_at_from_all_four_sides() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"status\":\"ok\"}");
    });
    project.playbook(
        "sides",
        &format!(
            "[[steps]]\nkind = \"health\"\nname = \"container\"\nfrom = \"container\"\n\
             [[steps]]\nkind = \"health\"\nname = \"host\"\nurl = \"http://127.0.0.1:3000/health\"\nexpect = {{ json = {{ \"$.version\" = \"1\" }} }}\n\
             [[steps]]\nkind = \"health\"\nname = \"network\"\nfrom = \"network\"\nurl = \"http://api:3000/health\"\nexpect = {{ body = '\"ok\"' }}\n\
             [[steps]]\nkind = \"health\"\nname = \"here\"\nfrom = \"here\"\nurl = \"http://127.0.0.1:{port}/health\"\nexpect = {{ json = {{ \"$.status\" = \"ok\" }} }}\n"
        ),
    );
    let out = project.events(&["validate", "sides"]);
    out.expect(0, &[]);
    server.join().unwrap();
    // All are taken at once, and told as they come.
    let mut sides: Vec<(String, bool)> = out
        .of_type("check")
        .iter()
        .map(|check| (check["side"].as_str().unwrap().to_owned(), check["ok"].as_bool().unwrap()))
        .collect();
    sides.sort();
    assert_eq!(sides, ["container", "here", "host", "network"].map(|side| (side.to_owned(), true)));
    // The same with nobody answering here: 4.
    project.events(&["validate", "sides"]).expect(4, &["here"]);
}

#[test]
fn validate_runs_only_what_looks() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "both",
        "[[steps]]\nkind = \"shell\"\nname = \"effect\"\ncommand = \"touch /tmp/it-effect\"\n\
         [[steps]]\nkind = \"health\"\nname = \"look\"\nfrom = \"container\"\n",
    );
    let before = droplets[0].docker_state();
    project.events(&["validate", "both"]).expect(0, &[]);
    droplets[0].sh("test ! -e /tmp/it-effect");
    assert_eq!(droplets[0].docker_state(), before);
}

//! Runs that several clients meet in: one takes over from another, one looks in late, two want overlapping hosts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use crate::droplet::{droplet, droplets};
use crate::host_program::eventually;
use crate::program::Output;
use crate::project::Project;

/// Looks from here, does something here, and ends on the host.
fn mixed(port: u16) -> String {
    format!(
        r#"
[[steps]]
kind = "shell"
name = "begin"
command = "echo begun"
[[steps]]
kind = "health"
name = "look"
from = "here"
url = "http://127.0.0.1:{port}/"
retry = {{ for = "5m", every = "100ms" }}
[[steps]]
kind = "local"
name = "here"
command = "echo ran >>here"
[[steps]]
kind = "shell"
name = "end"
command = "echo ended"
"#
    )
}

/// Answers every request with 200 from now on, for as long as the process lives.
fn open(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
}

#[test]
fn another_client_takes_over_when_the_first_is_gone() {
    let droplets = droplet();
    let (first, second) = (Project::on(&droplets), Project::on(&droplets));
    // Nobody listens yet, and nobody else can take the port.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for project in [&first, &second] {
        project.playbook("mixed", &mixed(port));
    }
    let client = first.start(&["run", "mixed", "--yes", "--output", "json"]);
    client.until("\"type\":\"check\"");
    second.landfall(&["attach", "--drive"]).expect(7, &["nobody is there to confirm: take over run"]);
    second.landfall(&["attach", "--drive", "--yes"]).expect(7, &["is driven by another client"]);
    client.signal(Signal::KILL);
    assert_eq!(client.finish().code, -9);
    second.edit("playbooks/mixed.toml", "echo ended", "echo changed");
    // Its end of the connection takes a moment to be noticed.
    let refused = eventually("the first client is gone", || {
        let out = second.landfall(&["attach", "--drive", "--yes"]);
        out.stderr.contains("another plan").then_some(out)
    });
    refused.expect(7, &["was started from another plan", "leave out --drive"]);
    second.edit("playbooks/mixed.toml", "echo changed", "echo ended");
    open(TcpListener::bind(("127.0.0.1", port)).unwrap());
    let taken = second.events(&["attach", "--drive", "--yes"]);
    taken.expect(0, &["begun", "ended"]);
    assert_eq!(std::fs::read_to_string(second.path("here")).unwrap(), "ran\n");
    assert!(!first.path("here").exists());
    assert_eq!(taken.of_type("run_started").len(), 1);
    first.landfall(&["attach", "--drive", "--yes"]).expect(0, &["ended"]);
    assert!(!first.path("here").exists(), "a run that is over is only shown");
}

#[test]
fn what_a_client_may_have_done_is_not_done_again() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "slow",
        "[[steps]]\nkind = \"shell\"\ncommand = \"true\"\n[[steps]]\nkind = \"local\"\nname = \"here\"\ncommand = \"echo ran >>here; sleep 1000 & echo $! >pid; wait\"\n",
    );
    let client = project.start(&["run", "slow", "--yes"]);
    let pid = eventually("the command", || std::fs::read_to_string(project.path("pid")).ok().filter(|pid| pid.ends_with('\n')));
    client.signal(Signal::KILL);
    let _ = client.finish();
    let taken = eventually("the first client is gone", || {
        let out = project.events(&["attach", "--drive", "--yes"]);
        (!out.stderr.contains("driven by another client")).then_some(out)
    });
    let _ = std::process::Command::new("kill").arg(pid.trim()).status();
    taken.expect(6, &["whether it ran is not known"]);
    assert_eq!(std::fs::read_to_string(project.path("here")).unwrap(), "ran\n");
    project.landfall(&["resolve", &taken.run(), "--as", "done", "--note", "looked", "--yes"]).expect(0, &[]);
}

#[test]
fn a_late_watcher_sees_what_comes_and_what_was_done() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "wait",
        "[[steps]]\nkind = \"shell\"\nname = \"early\"\ncommand = \"echo printed early\"\n[[steps]]\nkind = \"shell\"\nname = \"late\"\ncommand = \"until [ -e /tmp/it-go ]; do sleep 0.1; done; echo printed late\"\n",
    );
    project.landfall(&["run", "wait", "--yes", "--detach"]).expect(0, &[]);
    let whole = project.start(&["attach", "--output", "json"]);
    whole.until("printed early");
    let late = project.start(&["attach", "--from-now", "--output", "json"]);
    late.until("\"step\":\"late\",\"type\":\"step_started\"");
    droplets[0].sh("touch /tmp/it-go");
    let (whole, late) = (whole.finish(), late.finish());
    late.expect(0, &["printed late"]);
    whole.expect(0, &["printed early", "printed late"]);
    assert_eq!(late.printed(), "printed late\n");
    assert_eq!(late.finished(None, "early")["status"], "ok");
    // How long it took is the run's time, whoever watches and when.
    let took = |out: &Output| out.of_type("run_finished")[0]["duration_ms"].as_u64().unwrap();
    let told = project.events(&["attach"]);
    assert_eq!(took(&told), told.of_type("host_finished")[0]["duration_ms"].as_u64().unwrap());
    assert_eq!((took(&whole), took(&late)), (took(&told), took(&told)));
}

#[test]
fn of_two_runs_on_overlapping_hosts_one_goes() {
    let droplets = droplets(3);
    let names: Vec<&str> = droplets.iter().map(|droplet| droplet.name.as_str()).collect();
    let project = Project::on(&droplets);
    project.playbook("brief", "[[steps]]\nkind = \"shell\"\ncommand = \"echo ran >>/tmp/it-count\"\n");
    let mut refused = 0;
    for round in 0..6 {
        // Each shares one host with the next: in a circle all of them could refuse each other.
        let runs = [(0, 1), (1, 2), (2, 0)].map(|(one, other)| {
            let on = format!("{},{}", names[(one + round) % 3], names[(other + round) % 3]);
            project.start(&["run", "brief", "--yes", "--on", &on])
        });
        let codes = runs.map(|run| run.finish().code);
        assert!(codes.contains(&0), "nobody went: {codes:?}");
        assert!(codes.iter().all(|code| [0, 5].contains(code)), "{codes:?}");
        refused += codes.iter().filter(|code| **code == 5).count();
        let went = codes.iter().filter(|code| **code == 0).count();
        let ran: usize = droplets
            .iter()
            .map(|droplet| droplet.sh("cat /tmp/it-count 2>/dev/null | wc -l; rm -f /tmp/it-count").parse::<usize>().unwrap())
            .sum();
        assert_eq!(ran, 2 * went, "all or nothing: {codes:?}");
    }
    println!("{refused} of 18 were refused");
}

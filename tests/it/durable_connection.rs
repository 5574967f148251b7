//! The connection between client and droplet: cut at any byte, slow, silent, refused. Nothing is lost, nothing happens twice.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::chance::{Dice, is_long, rounds};
use crate::droplet::{Droplet, droplet, eventually};
use crate::program::Output;
use crate::project::Project;
use crate::proxy::Proxy;

const LINES: usize = 20_000;

/// A step that prints numbered lines on both streams, eighty handfuls with a pause after each, and ends with a code of its own once
/// it may.
fn numbers(project: &Project, pause: &str) {
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo out $i; echo err $i >&2; [ $((i % 250)) != 0 ] || sleep {pause}; done; \
         touch /tmp/it-printed; while [ ! -e /tmp/it-go ]; do sleep 0.05; done; exit 3"
    );
    project.playbook("numbers", &format!("[[steps]]\nkind = \"shell\"\nname = \"numbers\"\ncommand = '''{script}'''\n"));
}

fn assert_whole(out: &Output) {
    out.expect(1, &[]);
    assert_eq!(out.finished(None, "numbers")["exit_code"], 3);
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let expected: String = (1..=LINES).map(|i| format!("{word} {i}\n")).collect();
        let printed = out.printed_on(stream);
        let differs = printed.lines().zip(expected.lines()).position(|(one, other)| one != other);
        assert!(printed == expected, "{stream} differs at line {differs:?}; {} of {} bytes", printed.len(), expected.len());
    }
    assert_eq!((out.of_type("step_started").len(), out.of_type("run_finished").len()), (1, 1));
}

const RUN: [&str; 5] = ["run", "numbers", "--yes", "--output", "json"];

#[test]
fn a_connection_killed_at_random_moments_loses_no_byte() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    let kills = rounds(8, 50);
    // Lines come all the while: who hears nothing over a new connection waits longer and longer for the next one.
    numbers(&project, if is_long() { "1.5" } else { "0.2" });
    let mut dice = Dice::new();
    let mut client = project.start(&RUN);
    client.until("out 1\"");
    let mut killed = 0;
    while killed < kills {
        // The moment is what is tried: while lines come, while contact is made, while nothing comes any more.
        thread::sleep(dice.moment(0, 2000));
        killed += proxy.cut();
        assert!(!client.is_over(), "it ended before its step");
    }
    droplets[0].sh("touch /tmp/it-go");
    let out = client.finish();
    assert_whole(&out);
    let found_again = out.of_type("reconnected").len();
    println!("{killed} connections killed, {found_again} made again, {:?}", out.took);
    assert!(found_again > 0 && out.of_type("connection_lost").len() == found_again);
    // Who watches from the first byte sees the same.
    let seen = Project::on(&droplets).events(&["attach"]);
    assert_whole(&seen);
}

#[test]
fn a_submission_cut_at_any_byte_and_sent_again_runs_once() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    project.playbook("count", "[[steps]]\nkind = \"shell\"\nname = \"count\"\ncommand = \"echo x >>/tmp/it-count\"\n");
    let run = |key: &str| project.start(&["run", "count", "--yes", "--key", key]);
    let counted = || droplets[0].sh("cat /tmp/it-count 2>/dev/null | wc -l").parse::<usize>().unwrap();
    run("first").finish().expect(0, &[]);
    // What a connection without a submission sends, and what one with it does.
    let sent = |during: &dyn Fn()| {
        let before = proxy.up();
        during();
        proxy.up() - before
    };
    let empty = sent(&|| assert_eq!(project.landfall(&["lock", "status"]).code, 0));
    let whole = sent(&|| assert_eq!(run("second").finish().code, 0));
    let cuts = rounds(10, 100);
    let (mut before_it, mut reconnected, mut killed) = (0, 0, 0);
    let mut dice = Dice::new();
    for round in 0..cuts {
        let before = counted();
        // Most cuts hit the submission, or its answer.
        let from = if round % 5 == 0 { 1 } else { empty - 400 };
        let bytes = dice.between(from, whole + 1);
        let key = format!("round-{round}");
        proxy.cut_after(bytes);
        let mut client = run(&key);
        if round % 2 == 1 {
            // This one does not live to try again: whoever starts it anew, with the same key, does.
            while !proxy.has_cut() && !client.is_over() {
                thread::sleep(Duration::from_millis(1));
            }
            if !client.is_over() {
                client.signal(Signal::KILL);
                killed += 1;
            }
        }
        let first = client.finish();
        proxy.cut_never();
        reconnected += usize::from(first.stderr.contains("reconnected") || first.stderr.contains("connection"));
        if first.code != 0 {
            assert!([3, -9].contains(&first.code), "cut after {bytes}: {}", first.said());
            if first.code == 3 {
                before_it += 1;
                assert_eq!(counted(), before, "cut after {bytes}, and nothing was said to be done: {}", first.said());
            }
            run(&key).finish().expect(0, &[]);
        }
        assert_eq!(counted(), before + 1, "cut after {bytes} of {empty}..{whole} bytes: {}", first.said());
    }
    println!("{cuts} cuts in {empty}..{whole} bytes: {before_it} before contact, {reconnected} reconnected, {killed} killed");
}

fn time_of(out: &Output, kind: &str) -> SystemTime {
    let event = out.of_type(kind).into_iter().next().unwrap_or_else(|| panic!("no {kind}: {}", out.said()));
    humantime::parse_rfc3339(event["time"].as_str().unwrap()).unwrap()
}

#[test]
fn a_network_that_is_slow_and_drops_everything_for_a_while_is_survived() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    let proxy = Proxy::before(&droplets[0]);
    project.through(&droplets[0], &proxy);
    proxy.delay(Duration::from_millis(100));
    numbers(&project, "0.2");
    let client = project.start(&RUN);
    client.until("out 1\"");
    let since = SystemTime::now();
    proxy.silent(true);
    // How long it is silent is what is tried: longer than the client waits.
    thread::sleep(Duration::from_secs(if is_long() { 30 } else { 18 }));
    proxy.silent(false);
    droplets[0].sh("touch /tmp/it-go");
    let out = client.finish();
    assert_whole(&out);
    let noticed = time_of(&out, "connection_lost").duration_since(since).unwrap_or_default();
    let back = time_of(&out, "reconnected").duration_since(since).unwrap_or_default();
    println!("noticed after {noticed:?}, back after {back:?}");
    assert!(noticed < Duration::from_millis(15_500), "noticed after {noticed:?} only");
}

/// A client that is stopped reads nothing: nobody waits for it, and it misses nothing.
#[test]
fn a_client_that_is_stopped_slows_no_step_and_misses_nothing() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let megabytes = rounds(5, 50);
    // A line is 64 bytes long.
    let lines = megabytes << 14;
    let script =
        format!("echo begun; while [ ! -e /tmp/it-go ]; do sleep 0.05; done; seq -f %063.0f {lines}; touch /tmp/it-printed");
    project.playbook("much", &format!("[[steps]]\nkind = \"shell\"\nname = \"much\"\ncommand = '''{script}'''\n"));
    let client = project.start(&["run", "much", "--yes", "--output", "json"]);
    client.until("\"text\":\"begun\"");
    client.signal(Signal::STOP);
    let began = Instant::now();
    droplet.sh("touch /tmp/it-go");
    eventually("all is printed", || droplet.try_sh("test -e /tmp/it-printed").0 == 0);
    let took = began.elapsed();
    eventually("the run is over", || {
        droplet.left().is_empty() || droplet.sh("ls /var/lib/landfall/etally/runs/*/rc").ends_with("rc")
    });
    if is_long() {
        // So long that the connection is given up on both sides.
        thread::sleep(Duration::from_mins(1).saturating_sub(took));
    }
    client.signal(Signal::CONT);
    let out = client.finish();
    out.expect(0, &[]);
    let expected: String = (1..=lines).map(|i| format!("{i:063}\n")).collect();
    assert!(out.printed_on("stdout") == format!("begun\n{expected}"), "output differs");
    println!("{megabytes} MB were printed in {took:?} while nobody read");
}

fn server_processes(droplet: &Droplet) -> String {
    droplet.sh("for exe in /proc/[0-9]*/exe; do
           case $(readlink $exe) in */landfall*/host-*) tr '\\0' ' ' <${exe%/exe}/cmdline; echo ;; esac
         done | grep ' serve ' || true")
}

#[test]
fn a_server_that_is_killed_and_started_again_breaks_no_run_and_leaves_no_follower() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    numbers(&project, "0.01");
    let client = project.start(&RUN);
    client.until("out 1\"");
    assert!(server_processes(droplet).contains(" serve "));
    // The one that listens first: it would let the client in again, which comes at once.
    droplet.sh("kill -9 $(cat /run/sshd.pid)
         for exe in /proc/[0-9]*/exe; do
           [ \"$(readlink $exe)\" != /usr/sbin/sshd ] || kill -9 \"${exe//[!0-9]/}\" || true
         done");
    eventually("all is printed", || droplet.try_sh("test -e /tmp/it-printed").0 == 0);
    let end = Instant::now() + Duration::from_secs(5);
    while !server_processes(droplet).is_empty() {
        assert!(Instant::now() < end, "followers are left 5 s after the end of their connection: {}", server_processes(droplet));
        thread::sleep(Duration::from_millis(50));
    }
    client.until("connection_lost");
    droplet.sh("rm -f /run/sshd.pid; setsid /usr/sbin/sshd -D </dev/null >/dev/null 2>&1 & touch /tmp/it-go");
    assert_whole(&client.finish());
    // The same for a client that is killed.
    droplet.sh("rm -f /tmp/it-go /tmp/it-printed");
    let client = project.start(&RUN);
    client.until("out 1\"");
    client.signal(Signal::KILL);
    assert_eq!(client.finish().code, -9);
    let end = Instant::now() + Duration::from_secs(5);
    while !server_processes(droplet).is_empty() {
        assert!(Instant::now() < end, "followers are left 5 s after the end of their client: {}", server_processes(droplet));
        thread::sleep(Duration::from_millis(50));
    }
    droplet.sh("touch /tmp/it-go");
    assert_whole(&project.events(&["attach"]));
}

#[test]
fn a_server_that_takes_one_login_at_a_time_is_waited_for() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("touch", "[[steps]]\nkind = \"shell\"\nname = \"touch\"\ncommand = \"echo touched\"\n");
    droplets[0].sshd("MaxStartups 1");
    let clients: Vec<_> = (0..4).map(|_| project.start(&["lock", "status"])).collect();
    for client in clients {
        let out = client.finish();
        assert!(out.code == 0 || out.code == 3 && out.stderr.contains("MaxStartups"), "{}", out.said());
    }
    project.landfall(&["run", "touch", "--yes"]).expect(0, &["touched"]);
}

#[test]
fn a_login_that_may_run_one_command_only_is_refused_with_what_it_said() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook("touch", "[[steps]]\nkind = \"shell\"\nname = \"touch\"\ncommand = \"echo touched\"\n");
    droplets[0].sshd("ForceCommand echo only backups here; false");
    let out = project.landfall(&["run", "touch", "--yes"]);
    assert!([3, 7].contains(&out.code) && out.stderr.contains("only backups here"), "{}", out.said());
}

#[test]
fn programs_are_uploaded_once_by_many_and_missed_by_no_run() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sh("rm -rf /root/.cache/landfall");
    let clients: Vec<_> = (0..4).map(|_| project.start(&["lock", "status"])).collect();
    for client in clients {
        client.finish().expect(0, &[": free"]);
    }
    let there = droplet.sh("ls -A /root/.cache/landfall");
    assert!(there.lines().count() == 1 && there.starts_with("host-"), "{there}");
    // Damaged, it is not run but replaced.
    droplet.sh("cd /root/.cache/landfall && f=$(ls) && cp -p $f x && truncate -s -1 x && echo >>x && mv x $f");
    project.landfall(&["lock", "status"]).expect(0, &[": free"]);
    // Taken away under a run, it is put there again, and the run goes on.
    numbers(&project, "0.01");
    let client = project.start(&RUN);
    client.until("out 1\"");
    droplet.sh("rm -rf /root/.cache/landfall");
    let other = Project::on(&droplets);
    let watching = other.start(&["attach", "--output", "json"]);
    watching.until("out 1\"");
    droplet.sh("touch /tmp/it-go");
    assert_whole(&client.finish());
    assert_whole(&watching.finish());
}

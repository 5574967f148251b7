//! Timeouts and cancels: nothing of a step is left, whatever it does to stay, and its last words arrive.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use landfall::event::Status;
use landfall::protocol::{HostStep, Reply, When};

use crate::host_program::{Client, Droplet, eventually, shell};

/// Daemons that escape a process group, a session and the mark in the environment.
const HIDES: &str = "(env -i setsid sh -c '(sleep 300; :) & (sleep 300; :) &' >/dev/null 2>&1 &) ; ";

fn limited(name: &str, script: &str, limit: u64) -> HostStep {
    HostStep { timeout_ms: Some(limit), ..shell(name, script) }
}

/// Nothing that a step started lives; said while the supervisor may still do so.
fn assert_nothing_left(droplet: &Droplet, record: &crate::host_record::Record, name: &str) {
    let end = record.step(name);
    assert!(end.detail.ends_with("; nothing of it is left"), "{}", end.detail);
    // The supervisor is started by a name that the kernel cuts to this.
    let ours = |process: &String| process.contains("landfall-host") || process.ends_with("(exe");
    let left: Vec<String> = droplet.alive().into_iter().filter(|process| !ours(process)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_timeout_takes_daemons_with_it_and_steps_for_a_failure_run() {
    let droplet = Droplet::new();
    let script = format!("{HIDES} setsid sleep 300 & echo begun; sleep 300");
    let on_failure = HostStep { when: When::Failure, ..shell("mends", "echo mended") };
    let record = droplet.play(vec![limited("slow", &script, 3000), shell("next", ":"), on_failure]);
    assert_nothing_left(&droplet, &record, "slow");
    let end = record.step("slow");
    assert_eq!(end.status, Status::TimedOut);
    assert!((3000..15_000).contains(&end.duration_ms), "{end:?}");
    assert_eq!(record.rc(), (1, "failed".to_owned()));
    assert_eq!(record.story()[1..], [("next".to_owned(), Status::Skipped), ("mends".to_owned(), Status::Ok)]);
}

#[test]
fn a_step_that_ignores_term_is_killed_after_its_grace() {
    let droplet = Droplet::new();
    let record = droplet.play(vec![limited("deaf", "trap '' TERM; while :; do sleep 300; done", 200)]);
    assert_nothing_left(&droplet, &record, "deaf");
    assert!((10_000..30_000).contains(&record.step("deaf").duration_ms), "{:?}", record.step("deaf"));
}

#[test]
fn a_stopped_step_is_killed() {
    let droplet = Droplet::new();
    let record = droplet.play(vec![limited("stops", "sleep 300 & kill -STOP $! $$", 200)]);
    assert_nothing_left(&droplet, &record, "stops");
    assert_eq!(record.step("stops").status, Status::TimedOut);
}

#[test]
fn a_fork_loop_is_caught() {
    let droplet = Droplet::new();
    // Each process has a child and ends: there is never a moment without one. Bounded, so that a failure does not last.
    let chain = "trap '' TERM; end=$(($(date +%s)+40)); \
        hop() { [ $(date +%s) -lt $end ] || exit; (hop) & exit; }; (hop) & (hop) & (hop) & sleep 300";
    let record = droplet.play(vec![limited("forks", chain, 300)]);
    assert_nothing_left(&droplet, &record, "forks");
}

#[test]
fn last_words_arrive_and_cancelled_is_not_failed() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = "trap 'echo bye; echo sorry >&2; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let case = |name: &str, when: When| HostStep { when, ..shell(name, ":") };
    let steps = vec![
        shell("works", script),
        shell("next", ":"),
        case("on failure", When::Failure),
        case("on unknown", When::Unknown),
        case("always", When::Always),
    ];
    let mut following = client.submit(&droplet.submission(steps));
    following.until_printed(&mut client, "ready");
    assert_eq!(client.cancel(&following.record.run), Reply::Done);
    let record = following.until_the_end(&mut client);
    // The shell may say first that its sleep was terminated.
    assert_eq!(record.stdout(), "ready\nbye\n");
    assert!(record.stderr().ends_with("sorry\n"), "{}", record.stderr());
    assert_eq!(record.rc(), (130, "cancelled".to_owned()));
    let end = record.step("works");
    assert_eq!((end.status, end.exit_code), (Status::Cancelled, Some(7)));
    assert_eq!(end.detail, "cancelled by bob@ci; nothing of it is left");
    let rest = [("next".to_owned(), Status::Skipped), ("always".to_owned(), Status::Ok)];
    assert_eq!(record.story()[1..], rest);
}

#[test]
fn a_cancel_at_any_moment_leaves_nothing() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = format!("{HIDES} sleep 300");
    for delay in [0, 1, 3, 10, 20, 40, 80, 150, 300, 500] {
        let submission = droplet.submission(vec![shell("works", script.clone())]);
        let mut following = client.submit(&submission);
        // The moment is what is tested.
        thread::sleep(Duration::from_millis(delay));
        assert_eq!(client.cancel(&submission.run), Reply::Done);
        let record = following.until_the_end(&mut client);
        assert_eq!(record.code(), 130, "after {delay} ms: {:?}", record.events);
        eventually("nothing left", || droplet.alive().iter().all(|process| process.contains("landfall-host")).then_some(()));
        assert_eq!(client.holder(), None);
    }
}

#[test]
fn a_cancel_before_the_submission_is_answered_leaves_nothing() {
    let droplet = Droplet::new();
    let (mut first, mut second) = (droplet.connect(), droplet.connect());
    for _ in 0..5 {
        let submission = droplet.submission(vec![shell("works", "sleep 300")]);
        let inflow = first.open(&crate::host_program::submit(&submission, "t"));
        eventually("the run", || matches!(second.cancel(&submission.run), Reply::Done).then_some(()));
        assert!(matches!(inflow.reply(), Reply::Accepted { .. }));
        assert_eq!(second.follow(&submission.run, 0).until_the_end(&mut second).code(), 130);
    }
}

#[test]
fn two_cancels_at_once_are_one_and_one_after_the_end_changes_nothing() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut following = client.submit(&droplet.submission(vec![shell("works", "echo ready; sleep 300")]));
    following.until_printed(&mut client, "ready");
    let run = following.record.run.clone();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(droplet.connect().cancel(&run), Reply::Done));
        }
    });
    assert_eq!(following.until_the_end(&mut client).rc(), (130, "cancelled".to_owned()));
    let done = client.play(&droplet.submission(vec![shell("quick", ":")]));
    assert_eq!(client.cancel(&done.run), Reply::Done);
    assert_eq!(client.follow(&done.run, 0).until_the_end(&mut client).rc(), (0, "ok".to_owned()));
}

#[test]
fn what_runs_in_any_case_is_stopped_by_a_second_cancel_only() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let always = HostStep { when: When::Always, ..shell("always", "echo cleaning; sleep 300") };
    let mut following = client.submit(&droplet.submission(vec![shell("works", "echo ready; sleep 300"), always]));
    following.until_printed(&mut client, "ready");
    let run = following.record.run.clone();
    assert_eq!(client.cancel_again(&run, true), Reply::Done);
    following.until_printed(&mut client, "cleaning");
    // The same cancel, said once more because its answer was lost.
    assert_eq!(client.cancel(&run), Reply::Done);
    assert!(following.inflow.is_silent_for(Duration::from_millis(500)));
    assert_eq!(client.cancel_again(&run, true), Reply::Done);
    let record = following.until_the_end(&mut client);
    assert_eq!(record.rc(), (130, "cancelled".to_owned()));
    assert_eq!(record.story(), [("works".to_owned(), Status::Cancelled), ("always".to_owned(), Status::Cancelled)]);
}

#[test]
fn a_cancel_of_one_project_does_not_touch_another() {
    let (one, other) = (Droplet::new(), Droplet::new());
    let (mut first, mut second) = (one.connect(), other.connect());
    let wait = "echo ready; while [ ! -e done ]; do sleep 0.05; done; echo whole";
    let begin = |droplet: &Droplet, client: &mut Client| {
        let mut following = client.submit(&droplet.submission(vec![shell("works", wait)]));
        following.until_printed(client, "ready");
        following
    };
    let (mut stopped, mut untouched) = (begin(&one, &mut first), begin(&other, &mut second));
    first.cancel(&stopped.record.run);
    assert_eq!(stopped.until_the_end(&mut first).code(), 130);
    fs::write(other.home().join("done"), "").unwrap();
    let record = untouched.until_the_end(&mut second);
    assert_eq!((record.code(), record.stdout().as_str()), (0, "ready\nwhole\n"));
}

#[test]
fn a_timeout_needs_nobody() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![limited("slow", "setsid sleep 300 & sleep 300", 1500)]);
    let _ = client.submit(&submission);
    let began = Instant::now();
    client.kill();
    eventually("the end", || droplet.mark(&submission.run, "rc"));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(droplet.mark(&submission.run, "rc").as_deref(), Some("1 failed"));
}

#[test]
fn the_step_goes_on_when_the_connection_does_not() {
    let droplet = Droplet::new();
    let script = "echo begun; while [ ! -e go ]; do sleep 0.02; done; i=0; \
        while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3";
    for how in ["close", "HUP", "KILL", "group"] {
        let _ = fs::remove_file(droplet.home().join("go"));
        let mut client = droplet.connect_with(|command| {
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        });
        let mut following = client.submit(&droplet.submission(vec![shell("works", script)]));
        following.until_printed(&mut client, "begun");
        let pid = client.pid();
        match how {
            "close" => client.close(),
            "group" => {
                crate::host_program::signal(-pid, "HUP");
                drop(client);
            }
            signal => {
                crate::host_program::signal(pid, signal);
                drop(client);
            }
        }
        fs::write(droplet.home().join("go"), "").unwrap();
        let mut client = droplet.connect();
        let record = client.follow(&following.record.run, 0).until_the_end(&mut client);
        assert_eq!(record.step("works").exit_code, Some(3), "{how}");
        let lines = |of: &str| (0..2000).fold(String::new(), |text, n| text + &format!("{of} {n}\n"));
        assert!(record.stdout() == format!("begun\n{}", lines("out")) && record.stderr() == lines("err"), "{how}");
        assert!(record.bytes.starts_with(&following.record.bytes), "{how}");
    }
}

//! Submission, approval, and what only the driver can answer.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use landfall::event::{Body, Event, Status, VERSION};
use landfall::protocol::{ALIVE, Approval, HostStep, Reply, Request, Retention, RunState, SILENCE, Submission, When};

use crate::host_program::{Droplet, Record, answer, barrier, eventually, frame, lives, new_run, sha256, shell, signal, submit};

fn counts(droplet: &Droplet) -> HostStep {
    shell("counts", format!("echo x >>{}", droplet.tally().display()))
}

#[test]
fn a_submission_cut_at_any_byte_does_nothing_and_its_retry_runs_once() {
    let droplet = Droplet::new();
    let mut submission = droplet.submission(vec![counts(&droplet)]);
    let whole = frame(&submit(&submission, "t"));
    let mut cuts: Vec<usize> = (0..16).chain((16..whole.len()).step_by(whole.len() / 24)).collect();
    cuts.push(whole.len() - 1);
    for cut in cuts {
        let mut client = droplet.connect();
        client.send(&whole[..cut]);
        client.close();
        assert!(!droplet.root().exists(), "a cut at {cut} of {} left something", whole.len());
    }
    // Cut after the last byte and before the answer: begun, or not; the retry finds out.
    for _ in 0..10 {
        submission.run = new_run();
        let before = droplet.tallied();
        let mut client = droplet.connect();
        client.send(&frame(&submit(&submission, "t")));
        client.kill();
        assert_eq!(droplet.connect().play(&submission).code(), 0);
        assert_eq!(droplet.tallied(), before + 1);
    }
}

#[test]
fn a_garbled_submission_never_runs() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let text = serde_json::to_string(&droplet.submission(vec![counts(&droplet)])).unwrap();
    let garbled = text.replace("echo x", "echo y");
    assert_ne!(text, garbled);
    let request =
        |sha256: String, submission: &str| Request::Submit { sha256, submission: submission.to_owned(), driver: "t".into() };
    let (code, message, _) = client.refused(&request(sha256(&text), &garbled));
    assert_eq!((code, message.as_str()), (7, "the submission did not arrive whole"));
    let (code, message, _) = client.refused(&request(sha256("{}"), "{}"));
    assert!(code == 7 && message.contains("not understood"), "{message}");
    let later = text.replacen("\"v\":1", "\"v\":2", 1);
    let (code, message, _) = client.refused(&request(sha256(&later), &later));
    assert!(code == 7 && message.contains("version 2"), "{message}");
    let mut relative: Submission = serde_json::from_str(&text).unwrap();
    relative.state.path = "etally".to_owned();
    let (code, _, remedy) = client.refused(&submit(&relative, "t"));
    assert!(code == 7 && remedy.contains("absolute"), "{remedy}");
    assert!(!droplet.root().exists() && droplet.tallied() == 0);
    // What is no frame ends the connection and nothing else.
    for noise in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x05?\0\0\0\0", b"\0\0\0\0"] {
        let mut client = droplet.connect();
        client.send(noise);
        let pid = client.pid();
        eventually("the end of serve", || (!lives(pid)).then_some(()));
    }
    let (code, message, _) = {
        let mut client = droplet.connect();
        let unknown = Request::Cancel { state: droplet.state(), run: new_run(), who: "x".into(), again: false };
        client.refused(&unknown)
    };
    assert!(code == 7 && message.starts_with("there is no run"), "{message}");
}

#[test]
fn eight_submissions_of_one_run_at_once_run_it_once() {
    let droplet = Droplet::new();
    for same_connection in [false, true] {
        for _ in 0..5 {
            let before = droplet.tallied();
            let submission = droplet.submission(vec![counts(&droplet), shell("says", "seq 1 500")]);
            let mut records = Vec::new();
            if same_connection {
                let mut client = droplet.connect();
                let open: Vec<_> = (0..8).map(|_| client.open(&submit(&submission, "t"))).collect();
                for inflow in &open {
                    assert_eq!(inflow.reply(), Reply::Accepted { run: submission.run.clone() });
                }
                records.push(client.follow(&submission.run, 0).until_the_end(&mut client));
            } else {
                thread::scope(|scope| {
                    let all: Vec<_> = (0..8).map(|_| scope.spawn(|| droplet.connect().play(&submission))).collect();
                    records.extend(all.into_iter().map(|one| one.join().unwrap()));
                });
            }
            assert!(records.iter().all(|record| record.code() == 0 && record.bytes == records[0].bytes));
            assert_eq!(droplet.tallied(), before + 1);
            let drafts = std::fs::read_dir(droplet.run_dir(&submission.run)).unwrap().flatten();
            assert_eq!(drafts.filter(|entry| entry.file_name().display().to_string().starts_with('.')).count(), 0);
        }
    }
}

#[test]
fn the_same_key_attaches() {
    let droplet = Droplet::new();
    let keyed = |key: &str| Submission { key: Some(key.to_owned()), ..droplet.submission(vec![counts(&droplet)]) };
    let mut client = droplet.connect();
    let first = keyed("build 1");
    assert_eq!(client.play(&first).code(), 0);
    let again = client.play(&keyed("build 1"));
    assert_eq!((again.run, droplet.tallied()), (first.run.clone(), 1));
    let of_another_playbook = Submission { playbook: "seeds".into(), ..keyed("build 1") };
    assert_eq!(client.play(&of_another_playbook).run, of_another_playbook.run);
    assert_eq!(client.play(&keyed("build 2")).code(), 0);
    assert_eq!(droplet.tallied(), 3);
    // One that was refused did nothing, so it does not count.
    let mut refused = keyed("build 3");
    refused.secrets.files = vec!["absent".into()];
    assert_eq!(client.refused(&submit(&refused, "ann's token")).0, 7);
    let after = keyed("build 3");
    assert_eq!(client.play(&after).run, after.run);
    // The re-run button of a CI, pressed by eight people at once.
    let mut runs = Vec::new();
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| droplet.connect().play(&keyed("build 4")))).collect();
        runs.extend(all.into_iter().map(|one| one.join().unwrap()));
    });
    assert!(
        runs.iter().all(|record| record.run == runs[0].run && record.code() == 0),
        "{:?}",
        runs.iter().map(|r| (&r.run, &r.end)).collect::<Vec<_>>()
    );
    assert_eq!(droplet.tallied(), 5);
}

fn awaited(droplet: &Droplet) -> Submission {
    Submission { approval: Approval::Awaited, ..droplet.submission(vec![counts(droplet)]) }
}

#[test]
fn a_prepared_run_waits_for_its_go() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = awaited(&droplet);
    let mut following = client.submit(&submission);
    following.until(&mut client, "prepared", crate::host_record::Record::is_prepared);
    assert!(following.inflow.is_silent_for(Duration::from_millis(300)));
    assert_eq!((droplet.tallied(), client.holder()), (0, Some((submission.run.clone(), "running".to_owned()))));
    assert!(matches!(droplet.connect().go_as(&submission.run, "another"), Reply::Refused { code: 7, .. }));
    assert_eq!(client.go(&submission.run), Reply::Done);
    assert_eq!(client.go(&submission.run), Reply::Done);
    assert_eq!(following.until_the_end(&mut client).code(), 0);
    assert_eq!(client.go(&submission.run), Reply::Done, "also after the end");
    assert_eq!(droplet.tallied(), 1);
}

#[test]
fn a_run_whose_client_goes_before_its_go_is_withdrawn() {
    let droplet = Droplet::new();
    for how in ["close", "kill", "noise", "cancel"] {
        let mut client = droplet.connect();
        let submission = awaited(&droplet);
        let mut following = client.submit(&submission);
        following.until(&mut client, "prepared", crate::host_record::Record::is_prepared);
        match how {
            "close" => client.close(),
            "kill" => client.kill(),
            "noise" => {
                client.send(b"\xff\xff\xff\xff");
                drop(client);
            }
            _ => assert_eq!(client.cancel(&submission.run), Reply::Done),
        }
        let mut client = droplet.connect();
        let record = client.follow(&submission.run, 0).until_the_end(&mut client);
        assert_eq!(record.rc(), (130, "cancelled".to_owned()), "{how}");
        assert!(record.warnings().iter().any(|text| text.starts_with("nothing was done")), "{how}: {:?}", record.warnings());
        assert_eq!((droplet.tallied(), client.holder()), (0, None), "{how}");
        let go = client.go(&submission.run);
        assert!(matches!(&go, Reply::Refused { code: 7, message, .. } if message.contains("withdrawn")), "{how}: {go:?}");
    }
}

#[test]
fn a_client_that_dies_before_its_answer_withdraws_too() {
    let droplet = Droplet::new();
    for _ in 0..10 {
        let submission = awaited(&droplet);
        let mut client = droplet.connect();
        client.send(&frame(&submit(&submission, "t")));
        client.kill();
        if droplet.run_dir(&submission.run).join("owner").is_symlink() {
            eventually("the end of a run that nobody drives", || droplet.mark(&submission.run, "rc"));
        }
    }
    eventually("nothing left", || droplet.alive().is_empty().then_some(()));
    assert_eq!(droplet.tallied(), 0);
}

#[test]
fn a_client_that_came_back_is_not_withdrawn_by_its_old_connection() {
    let droplet = Droplet::new();
    let mut old = droplet.connect();
    let submission = awaited(&droplet);
    old.submit_as(&submission, "t").until(&mut old, "prepared", crate::host_record::Record::is_prepared);
    let mut new = droplet.connect();
    let mut following = new.submit_as(&submission, "t");
    following.until(&mut new, "prepared", crate::host_record::Record::is_prepared);
    old.close();
    assert!(following.inflow.is_silent_for(Duration::from_millis(300)), "withdrawn");
    assert_eq!(new.go_as(&submission.run, "t"), Reply::Done);
    assert_eq!(following.until_the_end(&mut new).code(), 0);
}

#[test]
fn a_barrier_takes_the_answer_of_its_driver_and_of_nobody_else() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![barrier("asks"), counts(&droplet)]);
    let mut following = client.submit_as(&submission, "right");
    following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
    let mut other = droplet.connect();
    let watches = other.submit_as(&submission, "wrong");
    assert_eq!(watches.record.run, submission.run);
    for token in ["wrong", ""] {
        let reply = other.answer(&submission.run, 0, token, answer(Status::Ok));
        assert_eq!(reply, Reply::Overtaken, "{token:?}");
    }
    assert!(following.inflow.is_silent_for(Duration::from_millis(200)));
    let seen = Event {
        v: VERSION,
        time: "2026-01-01T00:00:00.000Z".into(),
        run: submission.run.clone(),
        host: None,
        step: Some("asks".parse().unwrap()),
        body: Body::Warning { text: "seen from here".into() },
    };
    let said = landfall::protocol::Answer { events: vec![seen], detail: Some("all is well".into()), ..answer(Status::Ok) };
    assert_eq!(client.answer(&submission.run, 0, "right", said), Reply::Done);
    let record = following.until_the_end(&mut client);
    assert_eq!((record.code(), droplet.tallied()), (0, 1));
    assert_eq!(record.step("asks").detail, "all is well");
    assert_eq!(record.warnings(), ["seen from here"]);
    drop(watches);
}

#[test]
fn an_answer_that_no_reader_would_take_does_not_spoil_the_record() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![barrier("asks"), counts(&droplet)]);
    let mut following = client.submit_as(&submission, "t");
    let huge = Event {
        v: VERSION,
        time: "2026-01-01T00:00:00.000Z".into(),
        run: submission.run.clone(),
        host: None,
        step: None,
        body: Body::Warning { text: "x".repeat(2 << 20) },
    };
    let said = landfall::protocol::Answer { events: vec![huge], ..answer(Status::Ok) };
    assert_eq!(client.answer(&submission.run, 0, "t", said), Reply::Done);
    let record = following.until_the_end(&mut client);
    assert_eq!((record.code(), droplet.tallied()), (0, 1));
    assert!(record.warnings()[0].ends_with("bytes is left out here"), "{}", record.warnings()[0].len());
}

#[test]
fn the_first_answer_stays() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission =
        droplet.submission(vec![shell("waits", "while [ ! -e go ]; do sleep 0.02; done"), barrier("asks"), counts(&droplet)]);
    let mut following = client.submit_as(&submission, "t");
    assert_eq!(client.answer(&submission.run, 1, "t", answer(Status::Failed)), Reply::Done);
    assert_eq!(client.answer(&submission.run, 1, "t", answer(Status::Ok)), Reply::Done);
    std::fs::write(droplet.home().join("go"), "").unwrap();
    let record = following.until_the_end(&mut client);
    assert_eq!((record.code(), droplet.tallied()), (1, 0));
}

#[test]
fn a_barrier_without_a_driver_is_unknown_in_the_end() {
    let droplet = Droplet::new();
    for how in ["close", "kill"] {
        let mut client = droplet.connect();
        let case = |name: &str, when: When| HostStep { when, ..shell(name, ":") };
        let steps = vec![
            barrier("asks"),
            counts(&droplet),
            case("on failure", When::Failure),
            case("on unknown", When::Unknown),
            case("always", When::Always),
        ];
        let submission = droplet.submission(steps);
        let mut following = client.submit(&submission);
        following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
        assert!(following.inflow.is_silent_for(Duration::from_millis(600)), "a driver that thinks is waited for");
        if how == "close" {
            client.close();
        } else {
            client.kill();
        }
        let mut client = droplet.connect();
        let record = client.follow(&submission.run, 0).until_the_end(&mut client);
        assert_eq!(record.rc(), (6, "unknown".to_owned()));
        let story = [
            ("asks".to_owned(), Status::Unknown),
            ("counts".to_owned(), Status::Skipped),
            ("on unknown".to_owned(), Status::Ok),
            ("always".to_owned(), Status::Ok),
        ];
        assert_eq!((record.story(), droplet.tallied()), (story.to_vec(), 0));
        // Nobody knows how it ended, so it stands in the way of the next one.
        assert_eq!(client.play(&droplet.submission(vec![counts(&droplet)])).code(), 7);
        assert_eq!(client.resolve(&submission.run, true), Reply::Done);
    }
}

#[test]
fn a_client_that_comes_back_drives_on() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = Submission { answer_within_ms: 60_000, ..droplet.submission(vec![barrier("asks"), counts(&droplet)]) };
    let mut following = client.submit_as(&submission, "t");
    following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
    // The old connection is not noticed to be dead yet: the same token takes over all the same.
    let mut second = droplet.connect();
    let mut again = second.come_back(&submission.run, "t");
    again.until(&mut second, "the barrier", |record| record.has_begun("asks"));
    eventually("the new driver", || droplet.mark(&submission.run, "driver.2"));
    client.kill();
    let mut stranger = droplet.connect();
    let watches = stranger.come_back(&submission.run, "wrong");
    assert_eq!(stranger.answer(&submission.run, 0, "wrong", answer(Status::Ok)), Reply::Overtaken);
    assert_eq!(second.answer(&submission.run, 0, "t", answer(Status::Ok)), Reply::Done);
    assert_eq!((again.until_the_end(&mut second).code(), droplet.tallied()), (0, 1));
    drop(watches);
}

#[test]
fn another_client_drives_on_with_the_same_plan_and_only_when_the_first_is_gone() {
    let droplet = Droplet::new();
    let mut first = droplet.connect();
    let submission = Submission { answer_within_ms: 60_000, ..droplet.submission(vec![barrier("asks"), counts(&droplet)]) };
    let (run, plan) = (&submission.run, submission.plan.as_str());
    let mut following = first.submit_as(&submission, "t");
    following.until(&mut first, "the barrier", |record| record.has_begun("asks"));
    let mut second = droplet.connect();
    let refused = |reply: Reply, why: &str| match reply {
        Reply::Refused { code: 7, message, remedy: Some(_) } => assert!(message.contains(why), "{message}"),
        other => panic!("{other:?}"),
    };
    refused(second.drive(run, "u", plan), "driven by another client");
    first.kill();
    refused(second.drive(run, "u", &"1".repeat(64)), "another plan");
    assert_eq!(second.drive(run, "u", plan), Reply::Done);
    let mut third = droplet.connect();
    refused(third.drive(run, "v", plan), "driven by another client");
    // The first one comes back too late: it watches.
    let mut late = third.come_back(run, "t");
    late.until(&mut third, "the barrier", |record| record.has_begun("asks"));
    assert_eq!(third.answer(run, 0, "t", answer(Status::Failed)), Reply::Overtaken);
    let mut again = second.come_back(run, "u");
    again.until(&mut second, "the barrier", |record| record.has_begun("asks"));
    assert!(again.length.is_some_and(|length| length > 0));
    assert_eq!(second.answer(run, 0, "u", answer(Status::Ok)), Reply::Done);
    assert_eq!((again.until_the_end(&mut second).code(), droplet.tallied()), (0, 1));
    assert_eq!(third.drive(run, "w", plan), Reply::Done, "a run that is over needs no driver");
}

#[test]
fn a_client_that_falls_silent_is_gone_whatever_its_connection_says() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![barrier("asks")]);
    let mut following = client.submit(&submission);
    following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
    client.fall_silent();
    let began = Instant::now();
    let record = following.until_the_end(&mut client);
    assert!(began.elapsed() >= SILENCE.saturating_sub(ALIVE), "{:?}", began.elapsed());
    assert_eq!(record.end, None, "its connection was closed");
    let mut client = droplet.connect();
    assert_eq!(client.follow(&submission.run, 0).until_the_end(&mut client).rc(), (6, "unknown".to_owned()));
    assert_eq!(client.resolve(&submission.run, false), Reply::Done);
}

#[test]
fn a_prepared_run_waits_for_its_client_to_come_back() {
    let droplet = Droplet::new();
    let awaited = |patience| Submission {
        approval: Approval::Awaited,
        approve_within_ms: patience,
        ..droplet.submission(vec![counts(&droplet)])
    };
    let prepared = |record: &Record| record.events.iter().any(|event| matches!(event.body, Body::Prepared { .. }));
    for (patience, code) in [(60_000, 0), (0, 130)] {
        let submission = awaited(patience);
        let mut client = droplet.connect();
        client.submit(&submission).until(&mut client, "prepared", prepared);
        client.kill();
        let mut client = droplet.connect();
        if patience == 0 {
            // It may come back sooner than its going is seen, so it does not come back before that has had its effect.
            assert_eq!(client.follow(&submission.run, 0).until_the_end(&mut client).code(), code);
        }
        let mut following = client.come_back(&submission.run, "ann's token");
        let _ = client.go(&submission.run);
        assert_eq!(following.until_the_end(&mut client).code(), code, "a patience of {patience} ms");
    }
    assert_eq!(droplet.tallied(), 1);
}

#[test]
fn a_run_is_one_plan() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![counts(&droplet)]);
    assert_eq!(client.play(&submission).code(), 0);
    let steps = vec![counts(&droplet), shell("more", ":")];
    let other = Submission { run: submission.run.clone(), plan: "1".repeat(64), ..droplet.submission(steps) };
    let (code, message, _) = client.refused(&submit(&other, "t"));
    assert_eq!((code, message), (7, format!("run {} is on this host already, from another plan", submission.run)));
    assert_eq!(droplet.tallied(), 1);
}

#[test]
fn old_records_go_when_a_run_ends() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let kept =
        |seconds| Submission { retention: Retention { runs: 1, seconds }, ..droplet.submission(vec![shell("works", ":")]) };
    let old = kept(1);
    assert_eq!(client.play(&old).code(), 0);
    // Nothing is removed within an hour of its end.
    assert_eq!(client.play(&kept(1)).code(), 0);
    assert!(droplet.mark(&old.run, "rc").is_some());
    let rc = droplet.run_dir(&old.run).join("rc");
    let touched = Command::new("touch").args(["-h", "-d", "2 hours ago"]).arg(&rc).status().unwrap();
    assert!(touched.success());
    assert_eq!(client.play(&kept(1)).code(), 0);
    eventually("its removal", || (!droplet.run_dir(&old.run).exists()).then_some(()));
}

#[test]
fn a_barrier_is_cancelled_and_timed_out_like_any_step() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut following = client.submit(&droplet.submission(vec![barrier("asks")]));
    following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
    client.cancel(&following.record.run);
    assert_eq!(following.until_the_end(&mut client).code(), 130);
    let record = client.play(&droplet.submission(vec![HostStep { timeout_ms: Some(200), ..barrier("asks") }]));
    assert_eq!(record.step("asks").status, Status::TimedOut);
}

#[test]
fn a_supervisor_that_is_slow_to_say_ready_loses_nothing() {
    // The program that serves dies while the supervisor starts: the run goes on as one that was submitted whole.
    let droplet = Droplet::new();
    for delay in 0..20 {
        let submission = droplet.submission(vec![counts(&droplet)]);
        let before = droplet.tallied();
        let mut client = droplet.connect();
        client.send(&frame(&submit(&submission, "t")));
        thread::sleep(Duration::from_micros(delay * 700));
        let pid = client.pid();
        signal(pid, "KILL");
        drop(client);
        let mut client = droplet.connect();
        let record = client.play(&submission);
        assert_eq!(record.code(), 0, "killed after {} µs", delay * 700);
        assert_eq!(droplet.tallied(), before + 1);
        assert_eq!(client.state_of(&submission.run), RunState::Done { code: 0, status: "ok".into() });
    }
}

//! Following a record: from any byte, by many, by one that stalls, to the end or to the loss.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use landfall::protocol::{CREDIT, Kind, Reply, Request, RunState};

use crate::host_program::{Droplet, PATIENCE, eventually, lives, new_run, shell, signal};

#[test]
fn a_record_goes_on_at_any_byte() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = "i=0; while [ $i -lt 300 ]; do echo line $i; echo err $i >&2; i=$((i+1)); done; printf '\\377no end'";
    let whole = client.play(&droplet.submission(vec![shell("prints", script)]));
    let log = fs::read(droplet.run_dir(&whole.run).join("log")).unwrap();
    assert!(whole.bytes == log);
    let newlines: Vec<usize> = log.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let frames = newlines.iter().step_by(97).flat_map(|at| [*at, at + 1, at + 2]);
    let offsets: Vec<usize> = [0, 1, log.len() - 1, log.len()].into_iter().chain(frames.filter(|at| *at <= log.len())).collect();
    for offset in offsets {
        let record = client.follow(&whole.run, offset as u64).raw().until_the_end(&mut client);
        assert!(record.bytes == log[offset..], "from {offset}");
        assert_eq!(record.end, whole.end);
    }
    for beyond in [log.len() as u64 + 1, u64::MAX] {
        let record = client.follow(&whole.run, beyond).raw().until_the_end(&mut client);
        assert_eq!((record.bytes.len(), record.end), (0, Some(Reply::RecordShort { length: log.len() as u64 })));
    }
    let absent = Request::Follow { state: droplet.state(), run: new_run(), offset: 0, driver: None };
    assert_eq!(client.refused(&absent).0, 7);
}

#[test]
fn a_live_record_is_whole_over_many_connections() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = "i=0; while [ $i -lt 4000 ]; do echo line $i; echo err $i >&2; i=$((i+1)); done";
    let mut first = client.submit(&droplet.submission(vec![shell("prints", script)]));
    let run = first.record.run.clone();
    first.advance(&mut client);
    let mut bytes = std::mem::take(&mut first.record.bytes);
    client.kill();
    for round in 0.. {
        let mut client = droplet.connect();
        let mut following = client.follow(&run, bytes.len() as u64).raw();
        let mut ended = false;
        for _ in 0..=(round % 4) {
            ended = !following.advance(&mut client);
            if ended {
                break;
            }
        }
        bytes.extend_from_slice(&following.record.bytes);
        if following.record.end.is_some() {
            break;
        }
        assert!(!ended || round % 2 == 0);
        if round % 2 == 0 { client.kill() } else { client.close() }
    }
    assert!(bytes == fs::read(droplet.run_dir(&run).join("log")).unwrap());
}

#[test]
fn five_followers_see_the_same() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = "while [ ! -e go ]; do sleep 0.02; done; seq 1 20000";
    let mut first = client.submit(&droplet.submission(vec![shell("prints", script)]));
    let run = first.record.run.clone();
    thread::scope(|scope| {
        let others: Vec<_> = (0..5)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = droplet.connect();
                    let mut following = client.follow(&run, 0);
                    following.until(&mut client, "the step", |record| record.has_begun("prints"));
                    fs::write(droplet.home().join("go"), "").unwrap();
                    following.until_the_end(&mut client)
                })
            })
            .collect();
        let whole = first.until_the_end(&mut client);
        for other in others {
            let record = other.join().unwrap();
            assert!(record.bytes == whole.bytes);
            assert_eq!(record.end, whole.end);
        }
    });
}

#[test]
fn a_follower_that_stalls_slows_nobody() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![shell("prints", "seq 1 1000000")]);
    // Never grants anything: gets what a follower starts with, and no more.
    let stalled = client.open(&crate::host_program::submit(&submission, "t"));
    assert!(matches!(stalled.reply(), Reply::Accepted { .. }));
    assert!(matches!(stalled.reply(), Reply::Opened { .. }));
    eventually("the end", || droplet.mark(&submission.run, "rc"));
    let mut got = 0;
    while got < CREDIT as usize {
        let message = stalled.next(PATIENCE).unwrap();
        assert_eq!(message.kind, Kind::Data);
        got += message.payload.len();
    }
    assert_eq!(got, CREDIT as usize);
    assert!(stalled.is_silent_for(Duration::from_millis(200)));
    // The same connection serves others, and the stalled one goes on where it was.
    assert!(matches!(client.state_of(&submission.run), RunState::Done { code: 0, .. }));
    let whole = client.follow(&submission.run, 0).until_the_end(&mut client);
    assert!(whole.bytes.len() > 5 * CREDIT as usize);
    client.grant(stalled.stream, whole.bytes.len());
    while got < whole.bytes.len() {
        got += stalled.next(PATIENCE).unwrap().payload.len();
    }
    assert_eq!(stalled.reply(), whole.end.unwrap());
}

#[test]
fn a_connection_that_is_not_read_slows_no_step() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![shell("prints", "while [ ! -e go ]; do sleep 0.02; done; seq 1 500000")]);
    let following = client.submit(&submission);
    let pid = client.pid();
    signal(pid, "STOP");
    fs::write(droplet.home().join("go"), "").unwrap();
    eventually("the end", || droplet.mark(&submission.run, "rc"));
    signal(pid, "CONT");
    drop(following);
    client.close();
}

#[test]
fn a_record_of_a_lost_run_ends() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut following = client.submit(&droplet.submission(vec![shell("waits", "echo ready; sleep 300")]));
    following.until_printed(&mut client, "ready");
    let run = following.record.run.clone();
    let pid = droplet.supervisor(&run);
    signal(pid, "KILL");
    let record = following.until_the_end(&mut client);
    assert!(matches!(record.end, Some(Reply::RecordEnd { state: RunState::Orphaned { .. }, .. })), "{:?}", record.end);
    client.cancel(&run);
    let record = client.follow(&run, 0).until_the_end(&mut client);
    assert!(matches!(record.end, Some(Reply::RecordEnd { state: RunState::Lost, .. })), "{:?}", record.end);
}

#[test]
fn followers_go_with_their_connection() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission =
        droplet.submission(vec![shell("waits", "echo ready; seq 1 300000; while [ ! -e done ]; do sleep 0.05; done")]);
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "ready");
    let mut watchers: Vec<_> = (0..4).map(|_| droplet.connect()).collect();
    for watcher in &mut watchers {
        // Some of them never get to read all of it.
        let _ = watcher.follow(&submission.run, 0);
    }
    let pids: Vec<i32> = watchers.iter().map(crate::host_program::Client::pid).collect();
    let began = Instant::now();
    drop(watchers);
    client.close();
    eventually("no follower", || pids.iter().all(|pid| !lives(*pid)).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    fs::write(droplet.home().join("done"), "").unwrap();
    eventually("the end", || droplet.mark(&submission.run, "rc"));
}

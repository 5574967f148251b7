//! The project's lock and runs that were lost: never two at once, held as long as anything of a run lives, free when it is over.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use landfall::event::{Body, Status};
use landfall::name::RunId;
use landfall::protocol::{Reply, Request, RunState, Submission};

use crate::host_program::{Client, Droplet, Following, PATIENCE, eventually, lives, new_run, shell, signal};

const WAITS: &str = "echo ready; while [ ! -e done ]; do sleep 0.05; done; echo whole";

fn begun(droplet: &Droplet, client: &mut Client) -> Following {
    let _ = fs::remove_file(droplet.home().join("done"));
    let submission = Submission { note: Some("hotfix".into()), ..droplet.submission(vec![shell("waits", WAITS)]) };
    let mut following = client.submit(&submission);
    following.until_printed(client, "ready");
    following
}

fn kill_supervisor(droplet: &Droplet, run: &RunId) {
    let pid = droplet.supervisor(run);
    signal(pid, "KILL");
    eventually("the supervisor's end", || (!lives(pid)).then_some(()));
}

/// Ends what a step consists of, and nothing else.
fn kill_step(droplet: &Droplet) {
    eventually("the end of all steps", || {
        let alive = droplet.alive();
        let steps: Vec<&String> = alive.iter().filter(|process| !process.contains("landfall-host")).collect();
        for process in &steps {
            signal(process.split(' ').next().unwrap().parse().unwrap(), "KILL");
        }
        steps.is_empty().then_some(())
    });
}

fn lost(droplet: &Droplet, client: &mut Client) -> RunId {
    let run = begun(droplet, client).record.run;
    kill_supervisor(droplet, &run);
    kill_step(droplet);
    assert_eq!(client.state_of(&run), RunState::Lost);
    run
}

fn quick(droplet: &Droplet) -> Submission {
    droplet.submission(vec![shell("quick", format!("echo x >>{}", droplet.tally().display()))])
}

#[test]
fn a_second_run_is_refused_with_the_story_of_the_first() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut first = begun(&droplet, &mut client);
    let refused = client.play(&quick(&droplet));
    assert_eq!((refused.code(), droplet.tallied()), (5, 0));
    let holder = refused.events.iter().find_map(|event| match &event.body {
        Body::LockBusy { holder } => Some(holder.clone()),
        _ => None,
    });
    let holder = holder.expect("a holder");
    assert_eq!((&holder.run, holder.who.as_str(), holder.playbook.as_str()), (&first.record.run, "ann@laptop", "release"));
    assert_eq!((holder.note.as_deref(), holder.state.as_str(), holder.generation), (Some("hotfix"), "running", 1));
    // Only looking needs no lock.
    let looks = Submission { effects: false, ..quick(&droplet) };
    assert_eq!(client.play(&looks).code(), 0);
    fs::write(droplet.home().join("done"), "").unwrap();
    assert_eq!(first.until_the_end(&mut client).code(), 0);
    assert_eq!(client.holder(), None);
    assert_eq!(client.play(&quick(&droplet)).code(), 0, "free at once");
}

#[test]
fn a_run_without_its_supervisor_holds_the_lock_while_its_step_lives() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut first = begun(&droplet, &mut client);
    let run = first.record.run.clone();
    kill_supervisor(&droplet, &run);
    let record = first.until_the_end(&mut client);
    assert!(matches!(record.end, Some(Reply::RecordEnd { state: RunState::Orphaned { .. }, .. })), "{:?}", record.end);
    assert!(matches!(client.state_of(&run), RunState::Orphaned { left } if !left.is_empty()));
    assert_eq!(client.play(&quick(&droplet)).code(), 5);
    let refused = client.break_lock(&run);
    assert!(matches!(&refused, Reply::Refused { message, .. } if message.contains("lives")), "{refused:?}");
    assert!(matches!(client.resolve(&run, true), Reply::Refused { .. }));
    assert_eq!(client.cancel(&run), Reply::Done);
    assert!(droplet.alive().iter().all(|process| process.contains("landfall-host")));
    // It is over, but nobody knows how: a person must say before the next one may.
    let blocked = client.play(&quick(&droplet));
    let (code, message, remedy) = blocked.refusals().remove(0);
    assert_eq!((blocked.code(), code), (7, 7));
    assert!(message.contains(run.as_str()) && message.contains("ann@laptop") && message.contains("lost"), "{message}");
    assert!(remedy.contains(&format!("landfall resolve {run}")), "{remedy}");
    assert_eq!(client.resolve(&run, false), Reply::Done);
    assert!(matches!(client.resolve(&run, false), Reply::Refused { .. }), "once");
    assert_eq!((client.play(&quick(&droplet)).code(), droplet.tallied()), (0, 1));
}

#[test]
fn a_lost_run_is_never_repeated_and_blocks_until_it_is_settled() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let run = lost(&droplet, &mut client);
    // Submitting it again, or following it, tells what it is and begins nothing.
    let submission: Submission =
        serde_json::from_slice(&fs::read(droplet.run_dir(&run).join("submission.json")).unwrap()).unwrap();
    let again = client.play(&submission);
    let Some(Reply::RecordEnd { state: RunState::Lost, known }) = &again.end else { panic!("{:?}", again.end) };
    assert!(known[0].starts_with("step waits was under way, since 20"), "{known:?}");
    assert_eq!(again.stdout(), "ready\n");
    assert!(droplet.alive().iter().all(|process| process.contains("landfall-host")));
    assert_eq!(client.holder(), Some((run.clone(), "lost".into())));
    assert_eq!((client.play(&quick(&droplet)).code(), droplet.tallied()), (7, 0));
    assert_eq!(client.play(&Submission { effects: false, ..quick(&droplet) }).code(), 0);
    assert_eq!(client.resolve(&run, true), Reply::Done);
    assert_eq!(client.holder(), None);
    assert_eq!(client.play(&quick(&droplet)).code(), 0);
}

#[test]
fn a_lock_is_broken_only_where_nothing_lives_and_by_name() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let message = |reply: Reply| match reply {
        Reply::Refused { code: 7, message, .. } => message,
        other => panic!("not refused: {other:?}"),
    };
    let done = client.play(&quick(&droplet)).run;
    assert_eq!(message(client.break_lock(&done)), "nobody holds the lock");
    let mut alive = begun(&droplet, &mut client);
    let run = alive.record.run.clone();
    assert_eq!(message(client.break_lock(&run)), format!("run {run} is alive"));
    assert_eq!(message(client.break_lock(&done)), format!("the lock is held by {run}, not by {done}"));
    assert!(message(client.break_lock(&new_run())).starts_with("there is no run"));
    client.cancel(&run);
    alive.until_the_end(&mut client);
    let run = lost(&droplet, &mut client);
    assert_eq!(client.break_lock(&run), Reply::Done);
    assert_eq!(client.play(&quick(&droplet)).code(), 0);
    let note = fs::read_to_string(droplet.run_dir(&run).join("settled.note")).unwrap();
    assert!(note.contains("bob@ci"), "{note}");
}

/// Replaces the owner's mark, as a restart or a pid given away again would make it look.
fn set_owner(droplet: &Droplet, run: &RunId, owner: &str) {
    let path = droplet.run_dir(run).join("owner");
    fs::remove_file(&path).unwrap();
    symlink(owner, path).unwrap();
}

#[test]
fn another_boot_a_reused_pid_and_a_zombie_are_dead_owners() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let owner = |droplet: &Droplet, run: &RunId| droplet.mark(run, "owner").unwrap();
    for kind in ["boot", "start", "zombie", "nobody", "garbage"] {
        let mut following = begun(&droplet, &mut client);
        let run = following.record.run.clone();
        let real = owner(&droplet, &run);
        let mut parts = real.splitn(3, ':');
        let (pid, start, boot) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let zombie = (kind == "zombie").then(|| std::process::Command::new("true").spawn().unwrap());
        let fake = match kind {
            "boot" => format!("{pid}:{start}:00000000-0000-0000-0000-000000000000"),
            "start" => format!("{pid}:{}:{boot}", start.parse::<u64>().unwrap() + 1),
            "zombie" => {
                let pid = zombie.as_ref().unwrap().id();
                let stat = eventually("a zombie", || {
                    fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|s| s.contains(") Z "))
                });
                let start = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().to_owned();
                format!("{pid}:{start}:{boot}")
            }
            "nobody" => format!("4194303:{start}:{boot}"),
            _ => "garbage".to_owned(),
        };
        // The supervisor itself is killed, so that only the mark is left to judge by; its step lives.
        kill_supervisor(&droplet, &run);
        set_owner(&droplet, &run, &fake);
        if kind != "garbage" {
            assert!(matches!(client.state_of(&run), RunState::Orphaned { .. }), "{kind}: {:?}", client.state_of(&run));
        }
        assert_eq!(client.play(&quick(&droplet)).code(), 5, "{kind}: held while something lives");
        kill_step(&droplet);
        assert_eq!(client.state_of(&run), RunState::Lost, "{kind}");
        let record = client.follow(&run, 0).until_the_end(&mut client);
        assert!(matches!(record.end, Some(Reply::RecordEnd { state: RunState::Lost, .. })), "{kind}: {:?}", record.end);
        assert_eq!(client.play(&quick(&droplet)).code(), 7, "{kind}: settled by a person");
        assert_eq!(client.resolve(&run, true), Reply::Done);
        assert_eq!(client.play(&quick(&droplet)).code(), 0, "{kind}");
        if let Some(mut zombie) = zombie {
            zombie.wait().unwrap();
        }
        following.until_the_end(&mut client);
    }
}

#[test]
fn a_restart_before_the_first_step_blocks_nobody() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission =
        Submission { approval: landfall::protocol::Approval::Awaited, ..droplet.submission(vec![shell("waits", WAITS)]) };
    let mut following = client.submit(&submission);
    following.until(&mut client, "prepared", crate::host_record::Record::is_prepared);
    kill_supervisor(&droplet, &submission.run);
    following.until_the_end(&mut client);
    assert_eq!(client.state_of(&submission.run), RunState::Lost);
    assert_eq!(client.holder(), None, "nothing of it can have happened");
    assert_eq!(client.play(&quick(&droplet)).code(), 0);
}

#[test]
fn a_holder_that_cannot_be_read_still_holds() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut following = begun(&droplet, &mut client);
    let submission = droplet.run_dir(&following.record.run).join("submission.json");
    let text = fs::read(&submission).unwrap();
    fs::write(&submission, &text[..text.len() / 2]).unwrap();
    let refused = client.play(&quick(&droplet));
    assert!(matches!(refused.code(), 5 | 7), "{:?}", refused.events);
    assert_eq!(droplet.tallied(), 0);
    fs::write(&submission, &text).unwrap();
    fs::write(droplet.home().join("done"), "").unwrap();
    assert_eq!(following.until_the_end(&mut client).code(), 0);
}

#[test]
fn a_damaged_lock_is_refused_and_not_waited_on_for_ever() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    assert_eq!(client.play(&quick(&droplet)).code(), 0);
    let damaged = droplet.root().join("locks/project.7");
    symlink("not a run", &damaged).unwrap();
    let refused = client.play(&quick(&droplet));
    assert_eq!((refused.code(), droplet.tallied()), (7, 1), "{:?}", refused.events);
    assert!(refused.refusals()[0].1.contains("project.7"), "{:?}", refused.refusals());
    fs::remove_file(&damaged).unwrap();
    assert_eq!(client.play(&quick(&droplet)).code(), 0);
}

#[test]
fn never_two_at_once() {
    let droplet = Droplet::new();
    let end = Instant::now() + Duration::from_secs(8);
    let (ran, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let arena = droplet.home().join("inside");
    // Whoever finds the folder there already was not alone.
    let script = format!(
        "mkdir {0} 2>/dev/null || echo overlap >>{1}; sleep 0.0$(($$ % 5 + 1)); rmdir {0}",
        arena.display(),
        droplet.tally().display()
    );
    thread::scope(|scope| {
        for worker in 0..5u32 {
            let (droplet, ran, refused, script) = (&droplet, &ran, &refused, &script);
            scope.spawn(move || {
                let mut client = droplet.connect();
                let mut round = worker;
                while Instant::now() < end {
                    round += 1;
                    let submission = droplet.submission(vec![shell("inside", script.clone())]);
                    let mut following = client.submit(&submission);
                    if round.is_multiple_of(7) {
                        // Killed at some moment, and its step with it.
                        thread::sleep(Duration::from_millis(u64::from(round % 5) * 10));
                        signal(droplet.supervisor(&submission.run), "KILL");
                    }
                    match following.until_the_end(&mut client).end {
                        Some(Reply::RecordEnd { state: RunState::Done { code: 0, .. }, .. }) => {
                            ran.fetch_add(1, Ordering::Relaxed)
                        }
                        Some(Reply::RecordEnd { state: RunState::Done { code: 5 | 7, .. }, .. }) => {
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => {
                            let give_up = Instant::now() + PATIENCE;
                            loop {
                                client.cancel(&submission.run);
                                let request = Request::Lock { state: droplet.state() };
                                match (client.state_of(&submission.run), client.ask(&request)) {
                                    (RunState::Lost, Reply::Lock { holder: Some(holder) }) if holder.run == submission.run => {
                                        // Its step is gone: so is what it had in there.
                                        let _ = fs::remove_dir(droplet.home().join("inside"));
                                        client.resolve(&submission.run, false);
                                        break;
                                    }
                                    (RunState::Lost | RunState::Done { .. }, _) => break,
                                    (state, _) => assert!(Instant::now() < give_up, "{state:?}"),
                                }
                            }
                            0
                        }
                    };
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(droplet.tally()).unwrap_or_default(), "");
    let (ran, refused) = (ran.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert!(ran > 5 && refused > 5, "{ran} ran, {refused} were refused");
    let mut client = droplet.connect();
    assert_eq!(client.holder(), None);
    assert_eq!(client.play(&quick(&droplet)).step("quick").status, Status::Ok);
}

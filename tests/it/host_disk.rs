//! A state folder that is full, or that cannot be written: the step is not harmed, its exit code survives, the gap is marked.

use std::fs;
use std::path::Path;
use std::process::Command;

use landfall::event::Status;
use landfall::protocol::{Reply, RunState};

use crate::host_program::{Client, Droplet, Record, shell, submit};

/// A droplet whose state folder is a small file system of its own; none where the tests may not mount one.
fn small(options: &str) -> Option<Droplet> {
    let droplet = Droplet::new();
    fs::create_dir(droplet.root()).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs"]).arg(droplet.root());
    if mount.output().is_ok_and(|output| output.status.success()) {
        return Some(droplet);
    }
    // Only root can; the testbed and CI are.
    assert!(!fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") || std::env::var_os("CI").is_none());
    None
}

fn remount(root: &Path, how: &str) {
    assert!(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(root).status().unwrap().success());
}

fn begin(droplet: &Droplet, client: &mut Client, script: &str) -> crate::host_program::Following {
    let mut following = client.submit(&droplet.submission(vec![shell("works", script)]));
    following.until_printed(client, "begun");
    following
}

const FILLS: &str = "cat /dev/zero >$STATE/fill 2>/dev/null; ";

fn script(droplet: &Droplet, text: &str) -> String {
    text.replace("$STATE", &droplet.root().display().to_string())
}

fn ended(record: &Record) -> Option<(u8, &str)> {
    match &record.end {
        Some(Reply::RecordEnd { state: RunState::Done { code, status }, .. }) => Some((*code, status)),
        _ => None,
    }
}

#[test]
fn a_disk_that_fills_up_stops_no_step_and_the_gap_is_marked() {
    let Some(droplet) = small("size=80m") else { return };
    let mut client = droplet.connect();
    let text = format!(
        "echo begun; {FILLS} i=0; while [ $i -lt 3000 ]; do echo \"lost $i $(printf '%0500d' 0)\"; i=$((i+1)); done; \
         rm $STATE/fill; echo after; exit 3"
    );
    let mut following = begin(&droplet, &mut client, &script(&droplet, &text));
    let record = following.until_the_end(&mut client);
    assert_eq!(ended(&record), Some((1, "failed")));
    assert_eq!((record.step("works").status, record.step("works").exit_code), (Status::Failed, Some(3)));
    assert!(record.warnings().iter().any(|text| text.contains("are missing here")), "{:?}", record.warnings());
    assert!(record.stdout().ends_with("after\n"));
    assert!(record.bytes == fs::read(droplet.run_dir(&record.run).join("log")).unwrap(), "what was read is what stays");
    // A line is there whole, or not at all, or cut at the gap.
    let whole = record.stdout().lines().filter(|line| line.starts_with("lost")).count();
    assert!(whole < 3000);
}

#[test]
fn a_full_disk_lets_no_secret_through() {
    const SECRET: &str = "correct-horse/battery+staple";
    let Some(droplet) = small("size=80m") else { return };
    let mut client = droplet.connect();
    fs::write(droplet.home().join("pw.txt"), SECRET).unwrap();
    let text = format!(
        "echo begun; {FILLS} i=0; while [ $i -lt 2000 ]; do echo \"$i $(printf '%0500d' 0) $(cat pw.txt)\"; i=$((i+1)); done; \
         rm $STATE/fill; cat pw.txt"
    );
    let mut submission = droplet.submission(vec![shell("works", script(&droplet, &text))]);
    submission.secrets.files = vec!["pw.txt".to_owned()];
    let record = client.play(&submission);
    assert!(record.warnings().iter().any(|text| text.contains("are missing here")), "{:?}", record.warnings());
    assert!(record.stdout().ends_with("[masked:pw]"));
    assert!(!String::from_utf8_lossy(&record.bytes).contains("correct-horse"));
    assert!(record.bytes == fs::read(droplet.run_dir(&record.run).join("log")).unwrap());
}

#[test]
fn a_disk_that_stays_full_keeps_the_code() {
    let Some(droplet) = small("size=80m") else { return };
    let mut client = droplet.connect();
    let text = format!("echo begun; {FILLS} seq 1 20000; seq 1 20000 >&2; echo x >>$HOME/ran; exit 0");
    let mut following = begin(&droplet, &mut client, &script(&droplet, &text));
    let record = following.until_the_end(&mut client);
    assert_eq!(ended(&record), Some((0, "ok")));
    assert!(droplet.home().join("ran").exists());
    assert_eq!(client.holder(), None);
    // Full at the beginning: refused, with what helps, and nothing runs.
    let (code, message, remedy) = match client.ask(&submit(&droplet.submission(vec![shell("never", "touch $HOME/never")]), "t")) {
        Reply::Refused { code, message, remedy } => (code, message, remedy.unwrap_or_default()),
        Reply::Accepted { run } => {
            let refused = client.follow(&run, 0).until_the_end(&mut client);
            assert_eq!(ended(&refused), Some((7, "failed")));
            refused.refusals().pop().unwrap_or((7, "disk is full".into(), "room".into()))
        }
        other => panic!("{other:?}"),
    };
    assert!(code == 7 && remedy.contains("room"), "{message}: {remedy}");
    assert!(!droplet.home().join("never").exists());
    fs::remove_file(droplet.root().join("fill")).unwrap();
    assert_eq!(client.play(&droplet.submission(vec![shell("again", ":")])).code(), 0);
}

#[test]
fn the_code_survives_where_no_file_can_be_made() {
    let Some(droplet) = small("size=80m,nr_inodes=200") else { return };
    let mut client = droplet.connect();
    let text = "echo begun; i=0; while : >$STATE/f$i; do i=$((i+1)); done 2>/dev/null; echo filled; exit 3";
    let mut following = begin(&droplet, &mut client, &script(&droplet, &text.replace("while :", "while true")));
    let record = following.until_the_end(&mut client);
    assert_eq!(record.step("works").exit_code, Some(3));
    assert_eq!(ended(&record), Some((1, "failed")), "{:?}", record.end);
    assert_eq!(client.holder(), None);
    // No inode is left for another run.
    let mut fill = 0;
    while fs::write(droplet.root().join(format!("g{fill}")), "").is_ok() {
        fill += 1;
    }
    let (code, _, remedy) = client.refused(&submit(&droplet.submission(vec![shell("never", "touch never")]), "t"));
    assert!(code == 7 && remedy.contains("make room"), "{remedy}");
    assert!(!droplet.home().join("never").exists());
}

#[test]
fn a_state_folder_that_cannot_be_written_is_refused_with_a_remedy() {
    let Some(droplet) = small("size=80m") else { return };
    let mut client = droplet.connect();
    let before = client.play(&droplet.submission(vec![shell("ok", ":")]));
    remount(&droplet.root(), "ro");
    let (code, message, remedy) = client.refused(&submit(&droplet.submission(vec![shell("never", "touch never")]), "t"));
    assert!(code == 7 && message.contains("cannot be used") && remedy.contains("install -d"), "{message}: {remedy}");
    assert!(!droplet.home().join("never").exists());
    // What is there can still be read.
    assert!(client.follow(&before.run, 0).until_the_end(&mut client).bytes == before.bytes);
    remount(&droplet.root(), "rw");
}

#[test]
fn what_is_no_folder_of_ours_is_refused() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let open = |mode: u32| {
        fs::create_dir(droplet.root()).unwrap();
        fs::set_permissions(droplet.root(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let submission = droplet.submission(vec![shell("never", "touch never")]);
    for mode in [0o777, 0o1777, 0o2777, 0o770] {
        open(mode);
        let (code, _, remedy) = client.refused(&submit(&submission, "t"));
        assert!(code == 7 && remedy.contains("install -d -m 3770"), "{mode:o}: {remedy}");
        fs::remove_dir(droplet.root()).unwrap();
    }
    fs::write(droplet.root(), "a file").unwrap();
    assert_eq!(client.refused(&submit(&submission, "t")).0, 7);
    fs::remove_file(droplet.root()).unwrap();
    std::os::unix::fs::symlink(droplet.home(), droplet.root()).unwrap();
    assert_eq!(client.refused(&submit(&submission, "t")).0, 7);
    assert!(!droplet.home().join("never").exists());
}

#[test]
fn a_log_that_is_somebody_elses_link_is_not_written_through() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    assert_eq!(client.play(&droplet.submission(vec![shell("ok", ":")])).code(), 0);
    let victim = droplet.home().join("victim");
    fs::write(&victim, "untouched\n").unwrap();
    let submission = droplet.submission(vec![shell("never", "touch never")]);
    fs::create_dir(droplet.run_dir(&submission.run)).unwrap();
    std::os::unix::fs::symlink(&victim, droplet.run_dir(&submission.run).join("log")).unwrap();
    let inflow = client.open(&submit(&submission, "t"));
    while let Some(message) = inflow.next(crate::host_program::PATIENCE) {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        if text.contains("refused") || text.contains("record_end") {
            break;
        }
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched\n");
}

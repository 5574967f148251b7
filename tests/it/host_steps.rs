//! What a step prints, how it ends, and what it finds around it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use landfall::action::{Action, HostScript, Judge, Script};
use landfall::event::{Body, Status, Stream};
use landfall::protocol::{HostStep, When};
use landfall::secret::Value;

use crate::host_program::{Droplet, eventually, script_step, shell};

#[test]
fn an_exit_code_of_the_step_is_no_other_end() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    for code in [0, 1, 5, 6, 7, 75, 124, 126, 127, 130, 137, 255] {
        let record = client.play(&droplet.submission(vec![shell("ends", format!("exit {code}"))]));
        let end = record.step("ends");
        let status = if code == 0 { Status::Ok } else { Status::Failed };
        assert_eq!((end.status, end.exit_code, end.signal), (status, Some(code), None));
        assert_eq!(record.rc(), if code == 0 { (0, "ok".to_owned()) } else { (1, "failed".to_owned()) }, "{code}");
    }
    for (signal, name) in [("KILL", "KILL"), ("SEGV", "SEGV"), ("TERM", "TERM"), ("HUP", "HUP")] {
        let record = client.play(&droplet.submission(vec![shell("dies", format!("kill -{signal} $$"))]));
        let end = record.step("dies");
        assert_eq!((end.status, end.exit_code, end.signal.as_deref()), (Status::Failed, None, Some(name)));
        assert_eq!(record.code(), 1);
    }
}

#[test]
fn a_command_that_does_not_exist_has_failed_and_a_failed_check_is_four() {
    let droplet = Droplet::new();
    let argv = HostScript { run: Script::Argv(vec!["/nonexistent/tool".into()]), env: BTreeMap::new(), judge: Judge::default() };
    let record = droplet.play(vec![script_step("absent", argv)]);
    let end = record.step("absent");
    assert_eq!((end.status, end.exit_code, record.code()), (Status::Failed, None, 1));
    assert!(end.detail.contains("could not be started"), "{}", end.detail);
    let record = droplet.play(vec![HostStep { check: true, ..shell("looks", "false") }]);
    assert_eq!(record.rc(), (4, "failed".to_owned()));
}

#[test]
fn a_script_too_long_for_the_kernel_fails_and_is_not_run_in_part() {
    let droplet = Droplet::new();
    let script = format!("echo ran >>{}\n: {}", droplet.tally().display(), "x".repeat(200 << 10));
    let record = droplet.play(vec![shell("long", script)]);
    assert_eq!(record.step("long").status, Status::Failed);
    assert_eq!(droplet.tallied(), 0);
}

#[test]
fn streams_are_apart_and_every_byte_is_kept() {
    let droplet = Droplet::new();
    let all_bytes: Vec<u8> = (0..=255).collect();
    fs::write(droplet.home().join("bytes"), &all_bytes).unwrap();
    let record = droplet.play(vec![
        shell("apart", "echo out; echo err >&2; printf 'no end'; printf 'none either' >&2"),
        shell("nothing", ":"),
        shell("bytes", "cat bytes; printf '\\377\\376\\n\\0\\n'"),
        shell("prompt", "printf 'Password: '; sleep 0.1; printf 'ok\\n'"),
    ]);
    assert_eq!(record.code(), 0);
    let expected = [&b"out\nno end"[..], &all_bytes, b"\xff\xfe\n\0\nPassword: ok\n"].concat();
    assert_eq!(record.raw(Stream::Stdout), expected);
    assert_eq!(record.raw(Stream::Stderr), b"err\nnone either");
    let silent = |event: &landfall::event::Event| {
        matches!(event.body, Body::Output { .. }) && event.step.as_ref().is_some_and(|step| step.as_str() == "nothing")
    };
    assert!(!record.events.iter().any(silent));
    // A prompt is shown before its line is whole.
    let pieces: Vec<&[u8]> = record.bytes.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"Password: ")).collect();
    assert!(pieces.len() == 1 && pieces[0].starts_with(b"o"), "{pieces:?}");
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.fold(String::new(), |text, number| text + &format!("{number}\n"))
}

#[test]
fn much_output_is_whole() {
    let droplet = Droplet::new();
    let record = droplet.play(vec![
        shell("one line", "head -c 1000000 /dev/zero | tr '\\0' x"),
        shell("many lines", "seq 1 100000; seq 1 1000 >&2"),
    ]);
    assert_eq!(record.code(), 0);
    let mut expected = "x".repeat(1_000_000);
    expected.push_str(&lines(1..=100_000));
    assert!(record.raw(Stream::Stdout) == expected.as_bytes());
    assert!(record.stderr() == lines(1..=1000));
}

#[test]
fn a_child_that_keeps_the_pipe_open_does_not_hold_the_step() {
    let droplet = Droplet::new();
    let began = Instant::now();
    let record = droplet.play(vec![shell("leaves", "echo said; sleep 20 & exit 3")]);
    assert_eq!((record.step("leaves").exit_code, record.stdout().as_str()), (Some(3), "said\n"));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let sleeps = droplet.alive();
    assert_eq!(sleeps.len(), 1, "what a step leaves on purpose is left alone: {sleeps:?}");
    crate::host_program::signal(sleeps[0].split(' ').next().unwrap().parse().unwrap(), "KILL");
}

#[test]
fn a_step_has_no_input_and_no_descriptor_of_ours() {
    let mut droplet = Droplet::new();
    droplet.login = "exec 7</dev/null 8>\"$HOME/left-open\"";
    let script = "readlink /proc/self/fd/0; wc -c; read line || echo no line; ls /proc/$$/fd";
    let record = droplet.play(vec![shell("looks", script)]);
    let text = record.stdout();
    assert_eq!(text, "/dev/null\n0\nno line\n0\n1\n2\n");
}

#[test]
fn the_supervisor_holds_nothing_of_the_connection() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = droplet.submission(vec![shell("waits", "while [ ! -e done ]; do sleep 0.05; done")]);
    let mut following = client.submit(&submission);
    following.until(&mut client, "the step", |record| record.has_begun("waits"));
    let links = |pid: i32| -> Vec<String> {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        fds.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string())).collect()
    };
    let ours: Vec<String> = links(client.pid()).into_iter().filter(|link| link.starts_with("pipe:")).collect();
    assert!(!ours.is_empty());
    let supervisor = droplet.supervisor(&submission.run);
    let shared: Vec<String> = links(supervisor).into_iter().filter(|link| ours.contains(link)).collect();
    assert!(shared.is_empty(), "{shared:?}");
    let session = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
    let session = session.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, supervisor.to_string(), "a session of its own");
    fs::write(droplet.home().join("done"), "").unwrap();
    assert_eq!(following.until_the_end(&mut client).code(), 0);
}

#[test]
fn the_environment_is_that_of_a_login_and_nothing_of_the_connection() {
    let droplet = Droplet::new();
    let env = BTreeMap::from([("GREETING".to_owned(), Value::Plain("hello".to_owned()))]);
    let record = droplet.play(vec![script_step(
        "env",
        HostScript {
            run: Script::Shell("env | cut -d= -f1 | sort; echo $HOME; pwd; echo $GREETING".into()),
            env,
            judge: Judge::default(),
        },
    )]);
    let text = record.stdout();
    let home = droplet.home().display().to_string();
    assert!(text.ends_with(&format!("{home}\n{home}\nhello\n")), "{text}");
    let allowed = ["GREETING", "HOME", "LANDFALL_RUN", "PATH", "PWD", "USER", "_", "npm_config_yes", "OLDPWD", "SHLVL"];
    let names: Vec<&str> = text.lines().take_while(|line| !line.starts_with('/')).collect();
    for needed in ["HOME", "PATH", "USER", "LANDFALL_RUN"] {
        assert!(names.contains(&needed), "{needed} in {names:?}");
    }
    for name in names {
        assert!(allowed.contains(&name), "{name}");
    }
}

#[test]
fn signals_are_as_a_login_has_them() {
    let droplet = Droplet::new();
    let record = droplet.play(vec![shell("signals", "grep -E 'Sig(Blk|Ign)' /proc/self/status; yes | head -n 1")]);
    let text = record.stdout();
    for line in text.lines().take(2) {
        let mask = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
        // Those above are the C library's own.
        assert_eq!(mask & 0x7fff_ffff, 0, "{line}");
    }
    assert_eq!(record.stderr(), "", "a closed pipe ends a step quietly");
}

#[test]
fn the_umask_of_a_step_is_that_of_the_login() {
    for (login, umask, file, folder) in
        [("umask 022", "022", 0o644, 0o755), ("umask 027", "027", 0o640, 0o750), ("umask 077", "077", 0o600, 0o700)]
    {
        let mut droplet = Droplet::new();
        droplet.login = login;
        let record = droplet.play(vec![shell("makes", "umask; touch made; mkdir folder")]);
        assert_eq!(record.stdout(), format!("0{umask}\n"));
        assert_eq!(fs::metadata(droplet.home().join("made")).unwrap().mode() & 0o777, file);
        assert_eq!(fs::metadata(droplet.home().join("folder")).unwrap().mode() & 0o777, folder);
    }
}

#[test]
fn the_state_is_for_its_owner_alone_whatever_the_umask() {
    for login in ["umask 000", "umask 022", "umask 077"] {
        let mut droplet = Droplet::new();
        droplet.login = login;
        let record = droplet.play(vec![shell("ok", ":")]);
        assert_eq!(record.code(), 0);
        for (path, mode) in tree(&droplet.root()) {
            assert_eq!(mode & 0o077, 0, "{login}: {path} {mode:o}");
        }
    }
}

#[test]
fn a_shared_state_is_for_its_group_and_nobody_else_whatever_the_umask() {
    for login in ["umask 000", "umask 022", "umask 077"] {
        let mut droplet = Droplet::new();
        droplet.login = login;
        fs::create_dir(droplet.root()).unwrap();
        fs::set_permissions(droplet.root(), std::os::unix::fs::PermissionsExt::from_mode(0o2770)).unwrap();
        let record = droplet.play(vec![shell("ok", ":")]);
        assert_eq!(record.code(), 0);
        let files = tree(&droplet.root());
        assert!(files.iter().any(|(path, _)| path.ends_with("/log")));
        for (path, mode) in files {
            assert_eq!(mode & 0o007, 0, "{login}: {path} {mode:o}");
            // A colleague must be able to read it, and to put an answer, a cancel or a verdict beside it.
            let needed = if mode & 0o170_000 == 0o040_000 { 0o2070 } else { 0o040 };
            assert_eq!(mode & needed, needed, "{login}: {path} {mode:o}");
        }
    }
}

/// All files and folders below one, and their modes; links have none that counts.
fn tree(root: &std::path::Path) -> Vec<(String, u32)> {
    let mut found = vec![(root.display().to_string(), fs::metadata(root).unwrap().mode())];
    for entry in fs::read_dir(root).unwrap().flatten() {
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        if metadata.is_dir() {
            found.extend(tree(&entry.path()));
        } else if !metadata.is_symlink() {
            found.push((entry.path().display().to_string(), metadata.mode()));
        }
    }
    found
}

#[test]
fn times_do_not_run_backwards_and_durations_are_real() {
    let droplet = Droplet::new();
    let began = Instant::now();
    let record = droplet.play(vec![shell("sleeps", "echo a; sleep 0.5; echo b"), shell("quick", "echo c")]);
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap();
    let times: Vec<&str> = record.events.iter().map(|event| event.time.as_str()).collect();
    let mut sorted = times.clone();
    sorted.sort_unstable();
    assert_eq!(times, sorted);
    let slept = record.step("sleeps").duration_ms;
    assert!((500..=whole).contains(&slept), "{slept}");
    assert!(record.step("quick").duration_ms < 5000);
    let host = record.events.iter().find_map(|event| match event.body {
        Body::HostFinished { duration_ms, .. } => Some(duration_ms),
        _ => None,
    });
    assert!(host.is_some_and(|host| (slept..=whole).contains(&host)), "{host:?}");
}

#[test]
fn steps_run_for_their_case_only() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut story = |first: &str| {
        let case = |name: &str, when: When| HostStep { when, ..shell(name, ":") };
        let steps = vec![
            shell("first", first),
            shell("second", ":"),
            case("on failure", When::Failure),
            case("on unknown", When::Unknown),
            case("always", When::Always),
        ];
        let record = client.play(&droplet.submission(steps));
        (
            record.code(),
            record.story().into_iter().map(|(name, status)| format!("{name} {}", status.as_str())).collect::<Vec<_>>(),
        )
    };
    assert_eq!(story(":"), (0, vec!["first ok".into(), "second ok".into(), "always ok".into()]));
    let failed = vec!["first failed".to_owned(), "second skipped".into(), "on failure ok".into(), "always ok".into()];
    assert_eq!(story("false"), (1, failed));
}

#[test]
fn what_must_be_printed_decides_and_actions_end_at_the_first_that_fails() {
    use landfall::action::Pattern;
    let droplet = Droplet::new();
    let judge = Judge { require: vec![Pattern { regex: "^done$".into(), means: "that it is done".into() }], ..Judge::default() };
    let script = |text: &str| HostScript { run: Script::Shell(text.into()), env: BTreeMap::new(), judge: judge.clone() };
    let record = droplet.play(vec![script_step("proves", script("echo done"))]);
    assert_eq!(record.code(), 0);
    let record = droplet.play(vec![script_step("silent", script("echo undone"))]);
    assert_eq!(record.step("silent").detail, "exit code 0, but it did not print that it is done");
    let tally = format!("echo x >>{}", droplet.tally().display());
    let three = HostStep {
        actions: [tally.as_str(), "false", tally.as_str()]
            .map(|text| Action::Shell(HostScript { judge: Judge::default(), ..script(text) }))
            .to_vec(),
        ..shell("three", "")
    };
    assert_eq!(droplet.play(vec![three]).code(), 1);
    assert_eq!(droplet.tallied(), 1);
}

#[test]
fn adopted_children_do_not_pile_up_as_zombies() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script =
        "i=0; while [ $i -lt 50 ]; do (sleep 0.01 &); i=$((i+1)); done; echo forked; while [ ! -e done ]; do sleep 0.05; done";
    let submission = droplet.submission(vec![shell("forks", script)]);
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "forked");
    let supervisor = droplet.supervisor(&submission.run);
    let children = || {
        let stats =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let of = stats.filter_map(|stat| {
            let mut fields = stat.rsplit(") ").next()?.split(' ').map(str::to_owned);
            Some((fields.next()?, fields.next()?))
        });
        of.filter(|(_, parent)| *parent == supervisor.to_string()).map(|(state, _)| state).collect::<Vec<_>>()
    };
    eventually("the adopted to be gone", || (children().len() == 1).then_some(()));
    fs::write(droplet.home().join("done"), "").unwrap();
    assert_eq!(following.until_the_end(&mut client).code(), 0);
}

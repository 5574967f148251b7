//! Secrets stay on the host: masked in the record, absent from the processes that serve and supervise; and where a source cannot be
//! read, nothing runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use landfall::action::{HostScript, Judge, Script};
use landfall::event::{Body, Event, Status, Stream, VERSION};
use landfall::protocol::{Answer, Reply, Request, Submission};
use landfall::record::base64;
use landfall::secret::{Pattern, SecretRef, SecretSources, Value};

use crate::host_program::{Droplet, answer, barrier, script_step, shell, signal, submit};

const PASSWORD: &str = "correct-horse/battery+staple";

fn with_secrets(droplet: &Droplet, steps: Vec<landfall::protocol::HostStep>) -> Submission {
    fs::create_dir_all(droplet.home().join("secrets")).unwrap();
    fs::write(droplet.home().join("secrets/db_password.txt"), format!("{PASSWORD}\n")).unwrap();
    fs::write(droplet.home().join(".env"), "API_KEY=key-of-the-shop-0123456789\nAPP_ENV=production\n").unwrap();
    let files = vec!["secrets/*.txt".to_owned(), ".env".to_owned()];
    let base = droplet.home().display().to_string();
    Submission { secrets: SecretSources { files, base, ..SecretSources::default() }, ..droplet.submission(steps) }
}

fn holds_secret(bytes: &[u8]) -> bool {
    let plain = base64(PASSWORD.as_bytes());
    let needles = [PASSWORD, "battery+staple", "key-of-the-shop-0123456789", &plain[..24]];
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

fn files_below(root: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() && !path.is_symlink() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn what_a_step_prints_of_its_secrets_is_masked() {
    let droplet = Droplet::new();
    let script = "p=$(cat secrets/db_password.txt); echo \"plain $p end\"; printf '%s' \"$p\" | base64; \
        printf '%s' \"$p\" | od -An -tx1 | tr -d ' \\n'; echo; \
        printf 'split correct-hor'; sleep 0.3; printf 'se/batt'; sleep 0.05; printf 'ery+staple end\\n'; \
        printf 'err %s\\n' \"$p\" >&2; cat .env; printf 'tail %s' \"$p\"";
    let record = droplet.connect().play(&with_secrets(&droplet, vec![shell("prints", script)]));
    assert_eq!(record.code(), 0);
    assert!(!holds_secret(&record.bytes), "{}", String::from_utf8_lossy(&record.bytes));
    let text = record.stdout();
    assert!(text.starts_with("plain [masked:db_password] end\n"), "{text}");
    assert!(text.contains("\nsplit [masked:db_password] end\n"), "{text}");
    assert!(text.contains("API_KEY=[masked:API_KEY]\nAPP_ENV=production\ntail [masked:db_password]"), "{text}");
    assert_eq!(record.stderr(), "err [masked:db_password]\n");
    for file in files_below(&droplet.root()) {
        assert!(!holds_secret(&fs::read(&file).unwrap_or_default()), "{}", file.display());
    }
}

#[test]
fn personal_data_is_masked_by_its_form() {
    let droplet = Droplet::new();
    let script = "echo 'mail to ann@example.com, CUSTOMER-123456'; printf 'then bob@exam'; sleep 0.1; echo 'ple.com done'; \
        echo \"$(cat secrets/db_password.txt)@example.com\" >&2; printf 'proceed? '";
    let mut submission = with_secrets(&droplet, vec![shell("prints", script)]);
    submission.secrets.patterns = vec![Pattern::Email, Pattern::Regex("CUSTOMER-[0-9]{6}".to_owned())];
    let record = droplet.connect().play(&submission);
    assert_eq!(record.code(), 0);
    assert_eq!(record.stdout(), "mail to [masked:email], [masked:pattern]\nthen [masked:email] done\nproceed? ");
    assert_eq!(record.stderr(), "[masked:db_password]@example.com\n");
    submission = with_secrets(&droplet, vec![shell("prints", "touch never")]);
    submission.secrets.patterns = vec![Pattern::Regex("(".to_owned())];
    assert_eq!(droplet.connect().refused(&submit(&submission, "ann's token")).0, 7);
}

#[test]
fn a_source_that_cannot_be_read_runs_nothing() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    fs::create_dir(droplet.home().join("folder")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(droplet.home().join("pipe")).status().unwrap().success());
    fs::write(droplet.home().join("short"), "ab").unwrap();
    let tries =
        [("absent.env", "absent.env"), ("none/*.txt", "none/*.txt"), ("folder", "folder"), ("pipe", "pipe"), ("short", "short")];
    for (file, named) in tries {
        let mut submission = with_secrets(&droplet, vec![shell("never", "touch never")]);
        submission.secrets.files.push(file.to_owned());
        let (code, message, remedy) = client.refused(&submit(&submission, "ann's token"));
        assert_eq!(code, 7, "{file}");
        assert!(message.contains(named) && !remedy.is_empty(), "{message}: {remedy}");
        assert!(!droplet.home().join("never").exists() && !droplet.run_dir(&submission.run).exists(), "{file}");
    }
    assert_eq!(client.holder(), None);
}

#[test]
fn an_unreadable_source_runs_nothing_for_a_user_who_is_not_root() {
    use std::os::unix::fs::PermissionsExt;
    let droplet = Droplet::new();
    let submission = with_secrets(&droplet, vec![shell("never", "touch never")]);
    if !fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
        return;
    }
    let chown =
        |path: &Path| assert!(std::process::Command::new("chown").arg("65534:65534").arg(path).status().unwrap().success());
    fs::set_permissions(droplet.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(droplet.path().join("landfall-host"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(droplet.root()).unwrap();
    chown(&droplet.root());
    chown(&droplet.home());
    fs::set_permissions(droplet.home().join(".env"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut client = droplet.connect_with(|command| {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534);
    });
    let (code, message, _) = client.refused(&submit(&submission, "ann's token"));
    assert_eq!(code, 7);
    assert!(message.contains(".env"), "{message}");
    assert!(!droplet.home().join("never").exists());
}

#[test]
fn a_secret_of_the_environment_reaches_the_step_and_nothing_else() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let env = BTreeMap::from([
        ("TOKEN".to_owned(), Value::Secret(SecretRef("API_KEY".into()))),
        ("DB".to_owned(), Value::Secret(SecretRef("db_password".into()))),
    ]);
    let text = format!(
        "[ \"$DB\" = '{}' ] && echo same; echo $TOKEN; echo ready; while [ ! -e done ]; do sleep 0.05; done",
        "$(cat secrets/db_password.txt)"
    )
    .replace('\'', "\"");
    let step = script_step("uses", HostScript { run: Script::Shell(text), env, judge: Judge::default() });
    let submission = with_secrets(&droplet, vec![step]);
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "ready");
    let supervisor = droplet.supervisor(&submission.run);
    let read = |pid: i32, what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap();
    for pid in [client.pid(), supervisor] {
        assert!(!holds_secret(&read(pid, "environ")) && !holds_secret(&read(pid, "cmdline")), "{pid}");
    }
    for process in droplet.alive() {
        let pid: i32 = process.split(' ').next().unwrap().parse().unwrap();
        assert!(!holds_secret(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()), "{process}");
    }
    fs::write(droplet.home().join("done"), "").unwrap();
    let record = following.until_the_end(&mut client);
    assert_eq!(record.stdout(), "same\n[masked:API_KEY]\nready\n");
    assert!(files_below(&droplet.root()).iter().all(|file| !holds_secret(&fs::read(file).unwrap_or_default())));
}

#[test]
fn a_secret_that_is_not_declared_fails_the_step_before_it_runs() {
    let droplet = Droplet::new();
    let env = BTreeMap::from([("TOKEN".to_owned(), Value::Secret(SecretRef("ABSENT".into())))]);
    let step = script_step("uses", HostScript { run: Script::Shell("touch never".into()), env, judge: Judge::default() });
    let record = droplet.connect().play(&with_secrets(&droplet, vec![step]));
    assert_eq!(record.code(), 1);
    assert!(record.step("uses").detail.contains("ABSENT"));
    assert!(!droplet.home().join("never").exists());
}

#[test]
fn the_programs_that_hold_secrets_leave_no_core() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = with_secrets(&droplet, vec![shell("waits", "echo ready; sleep 300")]);
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "ready");
    let supervisor = droplet.supervisor(&submission.run);
    for pid in [client.pid(), supervisor] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
    signal(supervisor, "ABRT");
    following.until_the_end(&mut client);
    client.cancel(&submission.run);
    assert!(files_below(droplet.path()).iter().all(|file| !file.display().to_string().contains("core")));
}

#[test]
fn what_a_submission_says_beside_its_steps_is_masked_before_it_is_written() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let mut submission = with_secrets(&droplet, vec![shell("waits", "echo ready; while [ ! -e done ]; do sleep 0.05; done")]);
    submission.note = Some(format!("hotfix for {PASSWORD}"));
    submission.who.machine = "key-of-the-shop-0123456789".to_owned();
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "ready");
    let state = droplet.state();
    let told = [Request::Lock { state: state.clone() }, Request::Runs { state }].map(|request| client.ask(&request));
    let told = serde_json::to_string(&told).unwrap();
    assert!(told.contains("hotfix for [masked:db_password]") && told.contains("ann@[masked:API_KEY]"), "{told}");
    let mut other = with_secrets(&droplet, vec![shell("never", "true")]);
    other.note = Some(format!("not masked yet: {PASSWORD}"));
    let busy = client.play(&other);
    assert_eq!(busy.code(), 5);
    assert!(!holds_secret(&busy.bytes) && !holds_secret(told.as_bytes()));
    client.ask(&Request::Cancel { state: droplet.state(), run: other.run.clone(), who: PASSWORD.to_owned(), again: false });
    fs::write(droplet.home().join("done"), "").unwrap();
    assert!(!holds_secret(&following.until_the_end(&mut client).bytes));
    for file in files_below(&droplet.root()) {
        let target = fs::read_link(&file).unwrap_or_default();
        assert!(!holds_secret(&fs::read(&file).unwrap_or_default()), "{}", file.display());
        assert!(!holds_secret(target.as_os_str().as_encoded_bytes()), "{}", file.display());
    }
}

#[test]
fn what_a_client_tells_of_its_own_work_is_masked_and_is_of_its_step_only() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let submission = with_secrets(&droplet, vec![barrier("asks"), shell("after", "true")]);
    let mut following = client.submit_as(&submission, "t");
    following.until(&mut client, "the barrier", |record| record.has_begun("asks"));
    let event = |body| Event {
        v: VERSION,
        time: "2026-01-01T00:00:00.000Z".into(),
        run: submission.run.clone(),
        host: None,
        step: Some("after".parse().unwrap()),
        body,
    };
    let printed = Body::Output {
        stream: Stream::Stdout,
        text: format!("it is {PASSWORD}"),
        bytes: Some(base64(PASSWORD.as_bytes())),
        partial: false,
    };
    let forged = Body::HostFinished { status: Status::Ok, exit_code: 0, duration_ms: 1 };
    let said = Answer { events: vec![event(printed), event(forged)], detail: Some(PASSWORD.into()), ..answer(Status::Failed) };
    assert_eq!(client.answer(&submission.run, 0, "t", said), Reply::Done);
    let record = following.until_the_end(&mut client);
    assert_eq!(record.code(), 1);
    assert_eq!(record.stdout(), "it is [masked:db_password]\n");
    assert!(!holds_secret(&record.bytes));
    let told: Vec<_> = record.events.iter().filter(|event| matches!(event.body, Body::Output { .. })).collect();
    assert_eq!(told[0].step.as_ref().map(landfall::name::StepName::as_str), Some("asks"));
    assert_eq!(record.events.iter().filter(|event| matches!(event.body, Body::HostFinished { .. })).count(), 1);
    for file in files_below(&droplet.root()) {
        assert!(!holds_secret(&fs::read(&file).unwrap_or_default()), "{}", file.display());
    }
}

#[test]
fn a_key_that_contains_a_secret_is_refused() {
    let droplet = Droplet::new();
    let submission = Submission { key: Some(PASSWORD.to_owned()), ..with_secrets(&droplet, vec![shell("never", "true")]) };
    let (code, message, remedy) = droplet.connect().refused(&submit(&submission, "ann's token"));
    assert_eq!((code, message.as_str()), (7, "the key of the run contains a secret"));
    assert!(remedy.contains("--key") && !droplet.run_dir(&submission.run).exists());
}

#[test]
fn the_logins_of_the_docker_program_are_masked_and_must_be_readable() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let settings = droplet.home().join(".docker/config.json");
    fs::create_dir(droplet.home().join(".docker")).unwrap();
    let auth = base64(b"ann:horse-battery-9");
    fs::write(&settings, format!("{{\"auths\": {{\"registry.example.com\": {{\"auth\": \"{auth}\"}}}}}}")).unwrap();
    let script = "cat .docker/config.json; sed 's/.*auth\": \"//; s/\".*//' .docker/config.json | base64 -d";
    let record = client.play(&droplet.submission(vec![shell("prints", script)]));
    let text = record.stdout();
    assert!(text.contains("{\"auth\": \"[masked:login at registry.example.com]\"}"), "{text}");
    assert!(text.ends_with("ann:[masked:login at registry.example.com]"), "{text}");
    fs::write(&settings, "{\"auths\": \"horse-battery-9\"}").unwrap();
    let (code, message, remedy) = client.refused(&submit(&droplet.submission(vec![shell("never", "true")]), "ann's token"));
    assert!(
        code == 7 && message.contains("config.json is not understood at line 1") && !remedy.is_empty(),
        "{message}: {remedy}"
    );
}

#[test]
fn a_step_whose_text_contains_a_secret_is_refused_and_another_value_warns() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    for text in [format!("touch never # {PASSWORD}"), "touch never; x --key=key-of-the-shop-0123456789".to_owned()] {
        let submission = with_secrets(&droplet, vec![shell("fine", "touch never"), shell("tells", text)]);
        let record = client.play(&submission);
        let refusals = record.refusals();
        assert_eq!((record.code(), refusals.len()), (7, 1));
        let (code, message, remedy) = &refusals[0];
        assert!(*code == 7 && message.starts_with("step \"tells\" contains the value of "), "{message}");
        assert!(remedy.contains("{ secret = "), "{remedy}");
        assert!(!holds_secret(&record.bytes) && !droplet.home().join("never").exists());
        for file in files_below(&droplet.root()) {
            assert!(!holds_secret(&fs::read(&file).unwrap_or_default()), "{}", file.display());
        }
    }
    let submission = with_secrets(&droplet, vec![shell("greets", "echo hello-there")]);
    fs::write(droplet.home().join(".env"), "GREETING=hello-there\n").unwrap();
    let record = client.play(&submission);
    assert_eq!(record.code(), 0);
    assert!(
        String::from_utf8_lossy(&record.bytes).contains("step \\\"greets\\\" contains the value of GREETING, which is masked")
    );
}

#[test]
fn members_of_a_shared_state_can_stop_each_others_runs_and_not_take_their_records_away() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const GROUP: u32 = 65_500;
    if !fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
        return;
    }
    let droplet = Droplet::new();
    for path in [droplet.path().to_owned(), droplet.path().join("landfall-host")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(droplet.root()).unwrap();
    chown(droplet.root(), Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(droplet.root(), fs::Permissions::from_mode(0o3770)).unwrap();
    let member = |uid: u32| {
        droplet.connect_with(|command| {
            command.uid(uid).gid(GROUP);
        })
    };
    let (mut ann, mut bob) = (member(65_501), member(65_502));
    let submission = droplet.submission(vec![shell("waits", "echo ready; sleep 300")]);
    let mut following = ann.submit(&submission);
    following.until_printed(&mut ann, "ready");
    let dir = droplet.run_dir(&submission.run);
    for file in ["log", "submission.json", "owner"] {
        let mut taken = std::process::Command::new("mv");
        taken.arg("-f").arg(dir.join(file)).arg(dir.join("taken")).uid(65_502).gid(GROUP).stderr(std::process::Stdio::null());
        assert!(!taken.status().unwrap().success(), "{file} was taken away");
    }
    assert_eq!(bob.holder().map(|(run, _)| run), Some(submission.run.clone()));
    bob.cancel(&submission.run);
    assert_eq!(following.until_the_end(&mut ann).code(), 130);
    assert_eq!(bob.play(&droplet.submission(vec![shell("next", "true")])).code(), 0);
    assert_eq!(ann.play(&droplet.submission(vec![shell("next", "true")])).code(), 0);
}

#[test]
fn a_supervisor_that_is_killed_while_a_secret_passes_leaves_nothing_of_it() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let script = "echo ready; i=0; while [ $i -lt 300 ]; do cat secrets/db_password.txt .env; \
        printf 'correct-horse/bat'; sleep 0.01; printf 'tery+staple\\n'; i=$((i + 1)); done";
    let submission = with_secrets(&droplet, vec![shell("prints", script)]);
    let mut following = client.submit(&submission);
    following.until_printed(&mut client, "[masked:db_password]");
    signal(droplet.supervisor(&submission.run), "KILL");
    let record = following.until_the_end(&mut client);
    client.cancel(&submission.run);
    assert!(!holds_secret(&record.bytes) && !record.stdout().contains("correct-horse/bat"));
    for file in files_below(&droplet.root()) {
        let bytes = fs::read(&file).unwrap_or_default();
        assert!(!holds_secret(&bytes) && !bytes.windows(17).any(|part| part == b"correct-horse/bat"), "{}", file.display());
    }
}

#[test]
fn a_secret_beside_the_other_streams_lines_is_masked_and_its_end_is_delivered() {
    let droplet = Droplet::new();
    let script = "printf 'a correct-horse/bat'; sleep 0.1; echo beside >&2; sleep 0.02; printf 'tery+staple b\\n'; \
        printf 'prompt: '; sleep 0.3; printf 'correct-ho'";
    let record = droplet.connect().play(&with_secrets(&droplet, vec![shell("prints", script)]));
    assert_eq!(record.stdout(), "a [masked:db_password] b\nprompt: correct-ho");
    assert_eq!(record.stderr(), "beside\n");
}

#[test]
fn env_files_of_every_shape_are_read_or_refused() {
    let droplet = Droplet::new();
    let mut client = droplet.connect();
    let big: String = (0..65_536u32).map(|at| char::from(b'0' + u8::try_from(at * at / 7 % 70).unwrap())).collect();
    let big = big.replace(['"', '\'', '\\', '#', '$', '`'], "_");
    for (what, text, value) in [
        ("64 KB", format!("BIG={big}\n"), big.as_str()),
        ("CRLF", "A=first-value\r\nB=value-with-crlf\r\n".to_owned(), "value-with-crlf"),
        ("BOM", "\u{feff}A=value-after-bom\n".to_owned(), "value-after-bom"),
        ("multi-line", "A=\"line-number-1\nline-number-2\"\n".to_owned(), "line-number-2"),
        ("duplicate", "A=value-of-first\nA=value-of-second\n".to_owned(), "value-of-first"),
        ("UTF-8", "A=wörter-und-mehr\n".to_owned(), "wörter-und-mehr"),
        ("comment", "A=value-of-a # value of b\n".to_owned(), "value-of-a"),
        ("no assignment", "A=1\nvalue of a line\n".to_owned(), "value of a line"),
    ] {
        fs::write(droplet.home().join("odd.env"), text).unwrap();
        fs::write(droplet.home().join("value"), value).unwrap();
        let mut submission = droplet.submission(vec![shell("prints", "cat value odd.env; base64 <value; cat value >&2")]);
        submission.secrets.files = vec!["odd.env".to_owned()];
        let record = client.play(&submission);
        assert_eq!(record.code(), 0, "{what}");
        let shown = String::from_utf8_lossy(&record.bytes).into_owned();
        assert!(shown.contains("[masked:") && !shown.contains(value), "{what}: {}", shown.len());
    }
    for (what, text) in [("empty", ""), ("only a comment", "# nothing\n"), ("only a key", "A\n")] {
        fs::write(droplet.home().join("odd.env"), text).unwrap();
        let mut submission = droplet.submission(vec![shell("prints", "echo fine")]);
        submission.secrets.files = vec!["odd.env".to_owned()];
        assert_eq!(client.play(&submission).stdout(), "fine\n", "{what}");
    }
    fs::write(droplet.home().join("odd.env"), "A=b\n".repeat(40_000)).unwrap();
    let mut submission = droplet.submission(vec![shell("never", "touch never")]);
    submission.secrets.files = vec!["odd.env".to_owned()];
    assert!(client.refused(&submit(&submission, "ann's token")).1.contains("odd.env has more than"));
}

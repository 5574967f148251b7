//! Secrets stay on the host: masked in the record, absent from the processes that serve and supervise; and where a source cannot be
//! read, nothing runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use landfall::action::{HostScript, Judge, Script};
use landfall::protocol::Submission;
use landfall::record::base64;
use landfall::secret::{SecretRef, SecretSources, Value};

use crate::host_program::{Droplet, script_step, shell, signal};

const PASSWORD: &str = "correct-horse/battery+staple";

fn with_secrets(droplet: &Droplet, steps: Vec<landfall::protocol::HostStep>) -> Submission {
    fs::create_dir_all(droplet.home().join("secrets")).unwrap();
    fs::write(droplet.home().join("secrets/db_password.txt"), format!("{PASSWORD}\n")).unwrap();
    fs::write(droplet.home().join(".env"), "API_KEY=sk_live_0123456789abcdef\nAPP_ENV=production\n").unwrap();
    let files = vec!["secrets/*.txt".to_owned(), ".env".to_owned()];
    let base = droplet.home().display().to_string();
    Submission { secrets: SecretSources { files, base, ..SecretSources::default() }, ..droplet.submission(steps) }
}

fn holds_secret(bytes: &[u8]) -> bool {
    let plain = base64(PASSWORD.as_bytes());
    let needles = [PASSWORD, "battery+staple", "sk_live_0123456789abcdef", &plain[..24]];
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
        let record = client.play(&submission);
        let (code, message, remedy) = record.refusals().remove(0);
        assert_eq!((record.code(), code), (7, 7), "{file}");
        assert!(message.contains(named) && !remedy.is_empty(), "{message}: {remedy}");
        assert!(!droplet.home().join("never").exists() && !record.has_begun("never"), "{file}");
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
    let record = client.play(&submission);
    assert_eq!(record.code(), 7);
    assert!(record.refusals()[0].1.contains(".env"), "{:?}", record.refusals());
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

//! The bootstrap against this machine's shells, in homes of its own. The program that is uploaded is a script: it says who it is.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::local::{Input, Local, Output};
use super::super::payload::Payload;
use super::*;

const PROGRAM: &str = r#"#!/bin/sh
case $1 in
--version) echo fake ;;
--sha256) PATH=/usr/bin:/bin:$PATH; sha256sum <"$2" ;;
serve) echo "landfall-host $2"; echo "$0 $(umask)"; exec cat ;;
esac
"#;

/// What the program is given first: it says it again.
const PING: Bytes = Bytes::from_static(b"ping\n");

struct Place {
    root: TempDir,
    programs: Programs,
    payload: Payload,
    env: Vec<(String, PathBuf)>,
}

impl Place {
    fn new() -> Self {
        Self::with(PROGRAM.as_bytes())
    }

    fn with(program: &[u8]) -> Self {
        let root = tempfile::tempdir().expect("folder");
        for folder in ["home", "var", "tools"] {
            fs::create_dir(root.path().join(folder)).expect("folder");
        }
        let payload = Payload::new(std::env::consts::ARCH, program);
        Self { root, programs: Programs::of(vec![payload.clone()]), payload, env: Vec::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn cache(&self) -> PathBuf {
        self.at("home/.cache/landfall")
    }

    fn file(&self) -> PathBuf {
        self.cache().join(self.payload.name())
    }

    /// A program that comes before this machine's own. Another process writes it, so that none of ours holds it open when it runs.
    fn tool(&self, name: &str, text: &str) {
        script(&self.at("tools").join(name), text);
    }

    fn host(&self, shell: &[&str]) -> Local {
        let mut host = Local::new(shell, &self.at("home"));
        let path = host.env.iter_mut().find(|(name, _)| name == "PATH").expect("PATH");
        path.1 = format!("{}:{}", self.at("tools").display(), path.1.to_str().expect("PATH")).into();
        host.env.extend(self.env.iter().map(|(name, value)| (name.clone(), value.into())));
        host
    }

    async fn open_by(&self, shell: &[&str]) -> Result<Opened<Output, Input>, OpenError> {
        self.open_giving(shell, &PING, &Departure::default()).await
    }

    async fn open_giving(
        &self,
        shell: &[&str],
        first: &Bytes,
        departure: &Departure,
    ) -> Result<Opened<Output, Input>, OpenError> {
        let var = self.at("var");
        open_below(&self.host(shell), &self.programs, &Login::User, first, departure, var.to_str().expect("path")).await
    }

    /// An interactive shell that starts with these words.
    fn rc(&self, words: &str) -> [String; 4] {
        let rc = self.at("rc");
        fs::write(&rc, words).expect("rc");
        ["bash".to_owned(), "--rcfile".to_owned(), rc.display().to_string(), "-i".to_owned()]
    }

    async fn open(&self) -> Result<Opened<Output, Input>, OpenError> {
        self.open_by(&["sh"]).await
    }

    /// Opens, speaks with the program, and returns where it stands and whether it was uploaded.
    async fn opens_by(&self, shell: &[&str]) -> (PathBuf, bool) {
        let departure = Departure::default();
        let opened = self.open_giving(shell, &PING, &departure).await;
        let mut opened = opened.unwrap_or_else(|error| panic!("{shell:?}: {error}"));
        assert_eq!(
            departure.has_gone(),
            !opened.uploaded,
            "what came with the command reaches a program that was there, and no other"
        );
        if !departure.has_gone() {
            opened.writer.write(PING).await.expect("writer");
        }
        drop(opened.writer);
        let mut said = opened.rest;
        while let PipeEvent::Out(bytes) = opened.reader.next().await {
            said.extend_from_slice(&bytes);
        }
        let said = String::from_utf8(said).expect("text");
        let [place, ping] = said.lines().collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{shell:?}: {said:?}"));
        assert_eq!(ping, "ping");
        let (place, umask) = place.rsplit_once(' ').expect("two words");
        assert_eq!(umask, "0022", "what runs on the host has the umask of the login, not of the bootstrap");
        (place.into(), opened.uploaded)
    }

    async fn opens(&self) -> (PathBuf, bool) {
        self.opens_by(&["sh"]).await
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.cache())
            .map(|files| files.map(|file| file.expect("file").file_name().into_string().expect("name")).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

fn script(path: &Path, text: &str) {
    let made = Command::new("sh").args(["-c", r#"printf %s "$1" >"$0" && chmod 755 "$0""#]).arg(path).arg(text).status();
    assert!(made.expect("sh").success());
}

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[test]
fn the_command_passes_through_any_login_shell() {
    let command = command(&Programs::embedded(), &Login::User, "0123", 0, "/var");
    let inside = command.strip_prefix("exec sh -c '").and_then(|rest| rest.strip_suffix('\'')).expect("one quoted word");
    for bad in ["'", "!", "\\", "\n", "@NONCE@", "@PROGRAMS@", "@SYSTEMS@", "@FIRST@", "@VAR@"] {
        assert!(!inside.contains(bad), "{bad:?} in {inside}");
    }
}

#[tokio::test]
async fn a_program_that_greets_early_gets_all_that_comes_with_the_command() {
    let place = Place::with(PROGRAM.replace("exec cat", "exec wc -c").as_bytes());
    place.open().await.expect("uploaded");
    let first = Bytes::from(vec![b'x'; 1 << 20]);
    let departure = Departure::default();
    let opened = place.open_giving(&["sh"], &first, &departure).await.expect("open");
    assert!(departure.has_gone());
    drop(opened.writer);
    let (mut reader, mut said) = (opened.reader, opened.rest);
    while let PipeEvent::Out(bytes) = reader.next().await {
        said.extend_from_slice(&bytes);
    }
    let said = String::from_utf8(said).expect("text");
    assert_eq!(said.lines().last().map(str::trim), Some("1048576"), "{said}");
}

#[tokio::test]
async fn absent_then_uploaded_then_present_in_every_shell() {
    let shells = ["dash", "bash", "busybox", "zsh", "ksh", "mksh", "yash"];
    for inner in shells.into_iter().filter_map(which) {
        let place = Place::new();
        symlink(&inner, place.at("tools/sh")).expect("link");
        for login in [vec!["sh"], vec!["bash"], vec!["fish"], vec!["tcsh"]] {
            if which(login[0]).is_none() {
                continue;
            }
            let _ = fs::remove_dir_all(place.at("home/.cache"));
            assert_eq!(place.opens_by(&login).await, (place.file(), true), "{login:?} and {}", inner.display());
            assert_eq!(place.opens_by(&login).await, (place.file(), false), "{login:?} and {}", inner.display());
        }
        let mode = |path: &Path| fs::metadata(path).expect("metadata").mode() & 0o7777;
        assert_eq!((mode(&place.cache()), mode(&place.file())), (0o700, 0o700));
        assert_eq!(place.files(), [place.payload.name()], "nothing else is left");
    }
}

#[tokio::test]
async fn a_noisy_login_shell_is_not_misheard() {
    let place = Place::new();
    let noise = "echo welcome; printf 'no line end> '; echo oops >&2; echo 'landfall-host 00'; printf '%s\\n' \"$BASH_EXECUTION_STRING\"; set -v";
    let shell = place.rc(noise);
    let shell = shell.each_ref().map(String::as_str);
    assert_eq!(place.opens_by(&shell).await, (place.file(), true));
    assert_eq!(place.opens_by(&shell).await, (place.file(), false));
}

#[tokio::test]
async fn another_shell_that_reads_what_comes_first_runs_nothing_of_it() {
    let place = Place::new();
    place.opens().await;
    let done = place.at("done");
    let first = Bytes::from(format!("touch {}\n", done.display()));
    for (words, told) in [("exec bash", "did not start"), ("read -r line", "took away"), ("read -r line; read -r line", "")] {
        let shell = place.rc(words);
        let shell = shell.each_ref().map(String::as_str);
        let departure = Departure::default();
        match tokio::time::timeout(Duration::from_secs(2), place.open_giving(&shell, &first, &departure)).await {
            Ok(opened) => {
                let error = opened.map(drop).expect_err(words);
                assert!(error.to_string().contains(told) && !departure.has_gone(), "{words}: {error}");
            }
            // All was taken away: it waits for more, and runs nothing.
            Err(_) => assert!(told.is_empty(), "{words}"),
        }
        assert!(!done.exists(), "{words}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_replaced() {
    let place = Place::new();
    place.opens().await;
    for damaged in [&b"#!/bin/sh\nexit 0\n"[..], &PROGRAM.as_bytes()[..PROGRAM.len() - 9], b""] {
        fs::write(place.file(), damaged).expect("write");
        assert_eq!(place.opens().await, (place.file(), true));
        assert_eq!(fs::read(place.file()).expect("program"), PROGRAM.as_bytes());
    }
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(place.opens().await, (place.file(), true), "one that others could have read or run is not trusted");
    fs::rename(place.file(), place.at("elsewhere")).expect("rename");
    symlink(place.at("elsewhere"), place.file()).expect("link");
    assert_eq!(place.opens().await, (place.file(), true), "nor is a link");
}

#[tokio::test]
async fn folders_of_others_are_passed_over() {
    let next = |place: &Place| place.at(&format!("var/lib/landfall/.bin-{}", rustix::process::geteuid().as_raw()));
    for spoil in [
        (|place: &Place| fs::set_permissions(place.cache(), fs::Permissions::from_mode(0o777)).expect("chmod")) as fn(&Place),
        |place| fs::set_permissions(place.cache(), fs::Permissions::from_mode(0o750)).expect("chmod"),
        |place| {
            fs::rename(place.cache(), place.at("aside")).expect("rename");
            symlink(place.at("aside"), place.cache()).expect("link");
        },
        |place| {
            fs::remove_dir_all(place.cache()).expect("remove");
            fs::write(place.cache(), "a file").expect("write");
        },
        |place| {
            // Only root can make a folder someone else's.
            if std::os::unix::fs::chown(place.cache(), Some(1234), None).is_err() {
                fs::remove_dir_all(place.cache()).expect("remove");
                fs::write(place.cache(), "a file").expect("write");
            }
        },
    ] {
        let place = Place::new();
        place.opens().await;
        spoil(&place);
        assert_eq!(place.opens().await, (next(&place).join(place.payload.name()), true));
        assert_eq!(
            fs::metadata(place.at("var/lib/landfall")).expect("metadata").mode() & 0o777,
            0o755,
            "others keep their state below it"
        );
        assert_eq!(place.opens().await, (next(&place).join(place.payload.name()), false));
    }
}

#[tokio::test]
async fn the_cache_folder_can_be_elsewhere() {
    let mut place = Place::new();
    place.env.push(("XDG_CACHE_HOME".into(), place.at("a b/$x")));
    assert_eq!(place.opens().await.0, place.at("a b/$x/landfall").join(place.payload.name()));
    place.env = vec![("XDG_CACHE_HOME".into(), "relative".into())];
    assert!(place.opens().await.0.starts_with(place.at("var/lib")));
}

#[tokio::test]
async fn where_nothing_executes_the_next_folder_is_taken() {
    let place = Place::new();
    // What chmod does not make executable does not execute: as on a noexec mount, for this one folder.
    place.tool("chmod", "#!/bin/sh\ncase $2 in */.cache/*) exit 0;; esac\nexec /bin/chmod \"$@\"\n");
    assert!(place.opens().await.0.starts_with(place.at("var/lib")));
    assert!(place.files().is_empty(), "nothing is left where it could not run");
}

#[tokio::test]
async fn where_nothing_executes_at_all_each_folder_is_named() {
    let place = Place::new();
    place.tool("chmod", "#!/bin/sh\nexit 0\n");
    fs::create_dir_all(place.cache()).expect("folder");
    fs::write(place.at("var/tmp"), "").expect("file");
    let error = place.open().await.map(drop).expect_err("nothing executes");
    let OpenError::NothingExecutes { tried } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 4, "{error}");
    let mode = format!(
        ".cache/landfall: not a folder of our own with mode 0700 (drwxr-xr-x, owner {})",
        rustix::process::geteuid().as_raw()
    );
    assert!(tried[0].ends_with(&mode), "{error}");
    assert!(tried[1].ends_with(": nothing executes there (mounted noexec?)"), "{error}");
    assert!(tried[3].contains(": cannot be made: mkdir: "), "{error}");
    assert_eq!(error.exit_code(), 7);
    assert!(error.remedy().is_some());
}

/// Starts the command, gives it `bytes` instead of the program, and returns all it says.
async fn given(place: &Place, bytes: &[u8]) -> String {
    let command = command(&place.programs, &Login::User, "NONCE", 0, place.at("var").to_str().expect("path"));
    let (mut reader, mut writer) = place.host(&["sh"]).exec(&command).await.expect("sh");
    writer.write(Bytes::copy_from_slice(bytes)).await.expect("write");
    drop(writer);
    let mut said = Vec::new();
    loop {
        match reader.next().await {
            PipeEvent::Out(bytes) => said.extend_from_slice(&bytes),
            PipeEvent::Closed => return String::from_utf8(said).expect("text"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_arrives_damaged_never_becomes_the_program() {
    let place = Place::with(&[PROGRAM.as_bytes(), &[b'#'; 1000]].concat());
    let whole = place.payload.gz.clone();
    let other = Payload::new("x", &[b"#!/bin/sh\nexit 0\n".as_slice(), &[b'#'; 99]].concat()).gz;
    for bytes in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], b"", b"\n", &other] {
        let said = given(&place, bytes).await;
        assert!(said.contains("NONCE failed ") && !said.contains(GREETING), "{said}");
        assert_eq!(place.files(), [] as [&str; 0], "{said}");
    }
    place.tool("gzip", "#!/bin/sh\nexec /bin/gzip \"$@\" 2>/dev/null | tr f g\n");
    let error = place.open().await.map(drop).expect_err("altered");
    assert!(error.to_string().contains("what arrived is not what was sent"), "{error}");
    assert_eq!(place.files(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_full_disk_is_named_and_ends_the_upload() {
    // Longer than any pipe: a host that takes no more of it must not hold the client.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    let place = Place::with(&noise.take(2 << 20).collect::<Vec<_>>());
    place.tool("gzip", "#!/bin/sh\necho 'gzip: stdout: No space left on device' >&2\nexit 1\n");
    let error = place.open().await.map(drop).expect_err("full");
    let folder = place.cache().display().to_string();
    assert_eq!(
        error,
        OpenError::Upload(format!("{folder}: the program cannot be stored: gzip: stdout: No space left on device")),
        "{error}"
    );
    assert_eq!((error.exit_code(), error.remedy().is_some()), (7, true));
    assert_eq!(place.files(), [] as [&str; 0]);
}

#[tokio::test]
async fn two_clients_at_once_are_no_trouble() {
    let place = Place::new();
    let (first, second) = tokio::join!(place.opens(), place.opens());
    assert_eq!((first.0, second.0), (place.file(), place.file()));
    assert_eq!(place.files(), [place.payload.name()]);
}

#[tokio::test]
async fn one_older_version_stays() {
    let place = Place::new();
    place.opens().await;
    fs::remove_file(place.file()).expect("remove");
    for (name, age) in [
        ("host-0.0.1-aaaa", "202001010000"),
        ("host-0.0.2-bbbb", "202101010000"),
        (".host-0.0.1-aaaa.77", "202001010000"),
        ("other", "202001010000"),
    ] {
        let touched = Command::new("touch").args(["-t", age]).arg(place.cache().join(name)).status();
        assert!(touched.expect("touch").success());
    }
    place.opens().await;
    assert_eq!(place.files(), ["host-0.0.2-bbbb".into(), place.payload.name(), "other".into()]);
}

#[tokio::test]
async fn a_host_with_few_tools_is_enough() {
    for missing in ["gzip", "sha256sum"] {
        let place = Place::new();
        let tools = ["sh", "id", "uname", "ls", "mkdir", "chmod", "rm", "mv", "wc", "head", "cat", "find", "gzip", "sha256sum"];
        for tool in tools.into_iter().filter(|tool| *tool != missing) {
            symlink(which(tool).expect(tool), place.at("tools").join(tool)).expect("link");
        }
        let mut host = place.host(&["sh"]);
        host.env = vec![("HOME".into(), place.at("home").into()), ("PATH".into(), place.at("tools").into())];
        // The command adds the usual folders to the path; here they are hidden.
        let hidden =
            command(&place.programs, &Login::User, "NONCE", 0, "/nonexistent").replace(":/usr/local/bin:/usr/bin:/bin", "");
        for uploaded in [true, false] {
            let (reader, mut writer) = host.exec(&hidden).await.expect("sh");
            let mut ear = Ear::new(reader, "NONCE".into(), false);
            let mut word = ear.word().await.expect("a word");
            if uploaded {
                assert_eq!(word, Word::Absent { raw: missing == "gzip", machine: std::env::consts::ARCH.into() });
                let bytes = if missing == "gzip" { PROGRAM.as_bytes().to_vec() } else { place.payload.gz.to_vec() };
                word = give(&mut ear, &mut writer, &bytes.into()).await.expect("a word");
            }
            assert_eq!(word, Word::Greeting, "without {missing}");
        }
    }
}

#[tokio::test]
async fn a_host_of_another_kind_is_refused_by_name() {
    let place = Place::new();
    place.tool("uname", "#!/bin/sh\necho Linux riscv64\n");
    let error = place.open().await.map(drop).expect_err("riscv64");
    assert_eq!(error.to_string(), "there is no landfall program for Linux riscv64 hosts");
    place.tool("uname", "#!/bin/sh\necho FreeBSD amd64\n");
    let error = place.open().await.map(drop).expect_err("FreeBSD");
    assert_eq!(error.to_string(), "there is no landfall program for FreeBSD amd64 hosts");
    assert_eq!(error.exit_code(), 7);
}

#[tokio::test]
async fn a_login_that_runs_no_commands_is_told_apart() {
    let place = Place::new();
    let error = place.open_by(&["false"]).await.map(drop).expect_err("false");
    assert_eq!(error.to_string(), "the host did not start landfall's program: exit status: 1");
    let menu = place.at("tools/menu");
    script(&menu, "#!/bin/sh\nprintf '\\033[31mThis account is\\007 not available.\\n'\nexit 1\n");
    let error = place.open_by(&[menu.to_str().expect("path")]).await.map(drop).expect_err("menu");
    assert_eq!(
        error.to_string(),
        "the host did not start landfall's program: exit status: 1; it said: [31mThis account is not available."
    );
    script(&menu, "#!/bin/sh\nexec yes NOISE\n");
    let error = place.open_by(&[menu.to_str().expect("path")]).await.map(drop).expect_err("noise");
    assert!(matches!(error, OpenError::Noise(_)), "{error}");
    assert!(error.to_string().len() < 1000);
}

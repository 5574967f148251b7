//! A private sshd, a private agent, scripted answers, and a little proxy.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tempfile::TempDir;

use super::super::known_hosts::{self, Names};
use super::super::*;

pub(super) const SSHD: &str = "/usr/sbin/sshd";

/// Waits for a condition, for at most ten seconds.
pub(super) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let bits = if kind == "rsa" { "2048" } else { "256" };
    run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "test", "-f", path.to_str().unwrap()]);
}

pub(super) fn public(path: &Path) -> HostKey {
    HostKey::parse(&fs::read_to_string(path.with_extension("pub")).unwrap()).unwrap()
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real sshd with a login key, a known_hosts file that knows it, and nothing of the user's.
pub(super) struct Sshd {
    pub(super) dir: TempDir,
    pub(super) port: u16,
    child: Child,
}

impl Sshd {
    pub(super) fn start() -> Self {
        Self::with("", &["ed25519"])
    }

    pub(super) fn with(config: &str, host_keys: &[&str]) -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is needed for this test: apt-get install openssh-server");
        let _ = fs::create_dir("/run/sshd");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("home")).unwrap();
        keygen(&path("id"), "ed25519", "");
        fs::copy(path("id.pub"), path("authorized_keys")).unwrap();
        for kind in host_keys {
            keygen(&path(&format!("host_{kind}")), kind, "");
        }
        let keys =
            host_keys.iter().map(|k| format!("HostKey {}", path(&format!("host_{k}")).display())).collect::<Vec<_>>().join("\n");
        let (port, child) = until("sshd to start", || {
            let port = free_port();
            let text = format!(
                "ListenAddress 127.0.0.1:{port}\n{keys}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv SHLVL=2\nMaxStartups 100\n{config}\n",
                path("authorized_keys").display()
            );
            fs::write(path("sshd_config"), text).unwrap();
            let log = fs::File::create(path("sshd.log")).unwrap();
            let mut child = Command::new(SSHD)
                .args(["-D", "-e", "-f"])
                .arg(path("sshd_config"))
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            loop {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some((port, child));
                }
                if child.try_wait().unwrap().is_some() {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let sshd = Self { dir, port, child };
        let keys: Vec<HostKey> = host_keys.iter().map(|k| public(&sshd.path(&format!("host_{k}")))).collect();
        known_hosts::add(&sshd.path("known_hosts"), "127.0.0.1", port, &keys, Names::Plain).unwrap();
        sshd
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn target(&self) -> Target {
        Target {
            name: "droplet".into(),
            address: "127.0.0.1".into(),
            user: Some(user()),
            port: Some(self.port),
            identity_file: Some(self.path("id")),
            known_hosts: Some(self.path("known_hosts")),
            ..Target::default()
        }
    }

    pub(super) fn sources(&self) -> Sources {
        Sources {
            ssh: Some("ssh".into()),
            config: Some("/dev/null".into()),
            home: self.path("home"),
            user: Some(user()),
            agent: None,
        }
    }

    pub(super) async fn settings(&self, change: impl FnOnce(&mut Target)) -> Settings {
        let mut target = self.target();
        change(&mut target);
        resolve(&target, &self.sources()).await.unwrap()
    }

    pub(super) async fn connect(&self) -> Connection {
        connect(&self.settings(|_| {}).await, &nobody()).await.unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn user() -> String {
    run("id", &["-un"]).trim().to_owned()
}

/// An agent of our own.
pub(super) struct Agent {
    pub(super) socket: PathBuf,
    child: Child,
}

impl Agent {
    pub(super) fn start(dir: &Path, keys: &[&Path]) -> Self {
        let socket = dir.join("agent.sock");
        let child =
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        until("the agent's socket", || socket.exists().then_some(()));
        for key in keys {
            let added =
                Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).stdin(Stdio::null()).status().unwrap();
            assert!(added.success());
        }
        Self { socket, child }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers what it was told to, and counts.
#[derive(Default)]
pub(super) struct Scripted {
    pub(super) passphrase: Option<&'static str>,
    pub(super) accept: bool,
    pub(super) asked: AtomicUsize,
    pub(super) seen: Mutex<Option<UnknownKey>>,
}

impl Ask for Scripted {
    fn sudo_password(&self, _: &str) -> Option<SecretString> {
        None
    }

    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.passphrase.map(Into::into)
    }

    fn accept_key(&self, unknown: &UnknownKey) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.seen.lock().unwrap() = Some(unknown.clone());
        self.accept
    }
}

pub(super) fn nobody() -> Operator {
    Operator::new(Arc::new(Scripted::default()))
}

/// Appends a public key to the authorized ones.
pub(super) fn authorize(sshd: &Sshd, key: &Path) {
    let mut all = fs::read_to_string(sshd.path("authorized_keys")).unwrap();
    all.push_str(&fs::read_to_string(key.with_extension("pub")).unwrap());
    fs::write(sshd.path("authorized_keys"), all).unwrap();
}

pub(super) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the error of a connection that must not come about.
pub(super) async fn refused(settings: &Settings, operator: &Operator) -> ConnectError {
    match connect(settings, operator).await {
        Ok(_) => panic!("connected"),
        Err(e) => e,
    }
}

/// All that a command gave: stdout, stderr, the events that are no output.
pub(super) async fn collect(mut reader: ExecReader) -> (Vec<u8>, Vec<u8>, Vec<ExecEvent>) {
    let (mut out, mut err, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let all = async {
        loop {
            match reader.next().await {
                ExecEvent::Stdout(data) => out.extend_from_slice(&data),
                ExecEvent::Stderr(data) => err.extend_from_slice(&data),
                event => {
                    let end = matches!(event, ExecEvent::Closed | ExecEvent::Lost(_));
                    rest.push(event);
                    if end {
                        break;
                    }
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.expect("the command to end within 60 s");
    (out, err, rest)
}

pub(super) async fn exec(connection: &Connection, command: &str) -> (Vec<u8>, Vec<u8>, Vec<ExecEvent>) {
    let (reader, _writer) = connection.exec(command).await.unwrap().split();
    collect(reader).await
}

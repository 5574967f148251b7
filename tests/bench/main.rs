//! The benchmark: `cargo bench`. Landfall beside OpenSSH with ControlMaster, over the same sshd, in one run: ten trivial steps on one
//! host at 0 and 50 ms round trip, one step on fifty hosts; what one more durable step costs; how late a line is; how fast much
//! output passes the mask; what a validation of fifty hosts takes beyond its slowest check. Tells medians, ratios, and the client's CPU
//! time and peak memory. `cargo bench -- output` measures that alone; the others are `peers`, `step`, `line` and `validation`.
//!
//! Loopback only: one private sshd that answers on 127.0.1.1, 127.0.1.2, …; it is stopped by its own pid.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a table of figures is what it is for")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// What is measured together.
type Part = fn(&Bench);

fn main() {
    let bench = Bench::start();
    // `cargo test --benches` and the like only want to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let parts: [(&str, Part); 5] = [
        ("peers", beside_its_peers),
        ("step", a_step_more),
        ("line", how_late_a_line_is),
        ("output", how_fast_output_is),
        ("validation", how_long_a_validation_takes),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&bench);
        }
    }
}

/// The same steps by a script of ssh commands over one connection, and by Landfall.
fn beside_its_peers(bench: &Bench) {
    println!("{:44} {:>9} {:>9} {:>8} {:>9}", "median of 7 rounds, interleaved", "ssh mux", "landfall", "ratio", "goal");
    for (name, steps, hosts, rtt, goal) in [
        ("10 steps, 1 host, 0 ms", 10, 1, 0, 1.0),
        ("10 steps, 1 host, 50 ms round trip", 10, 1, 50, 0.35),
        ("1 step, 50 hosts, 0 ms", 1, 50, 0, 0.5),
    ] {
        let (mut mux, mut ours) = (Vec::new(), Vec::new());
        let (mut cpu, mut memory) = (Vec::new(), 0);
        let proxy = Proxy::start(bench.port, Duration::from_millis(rtt) / 2, hosts);
        let scripts = bench.scripts(steps, hosts, proxy.port);
        // The first round fills caches and brings the host program over; it is not counted.
        for round in 0..=ROUNDS {
            let theirs = timed(Command::new(&scripts.mux));
            let mine = timed(bench.landfall(&scripts.project));
            if round > 0 {
                mux.push(theirs.wall);
                ours.push(mine.wall);
                cpu.push(mine.cpu);
                memory = memory.max(mine.memory);
            }
        }
        let (theirs, mine) = (median(&mut mux), median(&mut ours));
        let ratio = mine.as_secs_f64() / theirs.as_secs_f64();
        println!("{name:44} {:>7.0}ms {:>7.0}ms {ratio:>8.2} {goal:>9.2}", millis(theirs), millis(mine));
        println!("{:44} client: {:.0} ms CPU, {:.1} MiB at its peak", "", millis(median(&mut cpu)), memory as f64 / 1024.0);
    }
    println!();
}

/// Ten checks on each of fifty hosts, one of them slow: what is beyond the slow one is Landfall's own.
fn how_long_a_validation_takes(bench: &Bench) {
    const SLOWEST: Duration = Duration::from_secs(3);
    // A port a check: the queue of one would overflow, and what is dropped there comes again only a second later.
    let serve = |listener: TcpListener, slow: bool| {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                thread::sleep(if slow { SLOWEST } else { Duration::ZERO });
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            });
        }
    };
    let checks = (0..10).fold("hosts = \"all\"\n".to_owned(), |text, check| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        thread::spawn(move || serve(listener, check == 4));
        format!("{text}[[steps]]\nkind = \"health\"\nname = \"c{check}\"\nfrom = \"host\"\nurl = \"http://127.0.0.1:{port}/\"\n")
    });
    let project = bench.project_of("checks", 50, bench.port, &checks);
    let mut took: Vec<Duration> = (0..3).map(|_| timed(bench.command(&project, &["validate", "bench"])).wall).collect();
    let more = median(&mut took).saturating_sub(SLOWEST);
    println!("10 checks on each of 50 hosts: {:.2} s more than the slowest (goal: at most 2)", more.as_secs_f64());
}

/// What one more step costs: the difference of twenty and of ten steps, over the connection that is there.
fn a_step_more(bench: &Bench) {
    let scripts = [10, 20].map(|steps| bench.scripts(steps, 1, bench.port));
    let (mut mux, mut ours) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 0..=ROUNDS {
        for (index, scripts) in scripts.iter().enumerate() {
            let (theirs, mine) = (timed(Command::new(&scripts.mux)), timed(bench.landfall(&scripts.project)));
            if round > 0 {
                mux[index].push(theirs.wall);
                ours[index].push(mine.wall);
            }
        }
    }
    let each = |times: &mut [Vec<Duration>; 2]| {
        let [ten, twenty] = times.each_mut().map(|times| millis(median(times)));
        (twenty - ten) / 10.0
    };
    let (theirs, mine) = (each(&mut mux), each(&mut ours));
    println!("one more step: ssh mux {theirs:.1} ms, landfall {mine:.1} ms, more by {:.1} ms (goal: at most 30)", mine - theirs);
}

/// How long a line is under way, from the step that prints it to whoever reads the client.
fn how_late_a_line_is(bench: &Bench) {
    let prints = "for i in $(seq 200); do date +at=%s%N; sleep 0.01; done";
    let project = bench.project("lines", 1, bench.port, prints);
    let (mut mux, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        mux.extend(lateness(bench.ssh(&project, prints)));
        ours.extend(lateness(bench.landfall(&project)));
    }
    let of = |late: &mut Vec<Duration>| {
        late.sort_unstable();
        (millis(late[late.len() / 2]), millis(late[late.len() * 99 / 100]))
    };
    let ((theirs, theirs_99), (mine, mine_99)) = (of(&mut mux), of(&mut ours));
    println!(
        "a line: ssh {theirs:.2} ms (p99 {theirs_99:.2}), landfall {mine:.2} ms (p99 {mine_99:.2}), later by {:.2} ms (goal: at most 1; p99 at most 20)",
        mine - theirs
    );
}

fn lateness(mut command: Command) -> Vec<Duration> {
    use std::io::BufRead;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
    let stdout = std::io::BufReader::new(child.stdout.take().expect("stdout"));
    let mut late = Vec::new();
    for line in stdout.lines() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
        let line = line.expect("a line");
        let Some(at) = line.rsplit("at=").next().and_then(|at| at.trim().parse().ok()) else { continue };
        late.push(now.saturating_sub(Duration::from_nanos(at)));
    }
    assert!(child.wait().expect("wait").success() && late.len() == 200, "{} lines of {command:?}", late.len());
    late
}

/// 200 MB of log lines through the mask of ten secrets, beside plain ssh.
fn how_fast_output_is(bench: &Bench) {
    const MEGABYTES: u64 = 200;
    let line = "2026-11-21T02:00:00Z info  applying 20260318142000_configurations: step of many, nothing to hide in it";
    let prints = format!("yes '{line}' | head -c {MEGABYTES}000000");
    let project = bench.project("flood", 1, bench.port, &prints);
    let secrets = (0..10).fold(String::new(), |text, number| {
        format!("{text}VALUE_{number}=n{number}-{:x}-of-the-shop\n", 7919_u64.pow(4) * (number + 3))
    });
    std::fs::write(bench.dir.path().join("ten.env"), secrets).expect("write");
    let inventory = project.join("landfall.toml");
    let text = std::fs::read_to_string(&inventory).expect("read");
    std::fs::write(&inventory, format!("{text}[secrets]\nfiles = [\"{}/ten.env\"]\n", bench.dir.path().display()))
        .expect("write");
    let (mut mux, mut ours, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        mux.push(timed(bench.ssh(&project, &prints)).wall);
        let watching = Peak::of_supervisors(bench.dir.path());
        ours.push(timed(bench.landfall(&project)).wall);
        memory = memory.max(watching.stop());
    }
    let (theirs, mine) = (median(&mut mux).as_secs_f64(), median(&mut ours).as_secs_f64());
    let megabytes = MEGABYTES as f64;
    println!(
        "{MEGABYTES} MB of output, 10 secrets: ssh {:.0} MB/s, landfall {:.0} MB/s, {:.2} of it (goal: at least 0.60); host program {:.1} MiB at its peak (goal: at most 16)",
        megabytes / theirs,
        megabytes / mine,
        theirs / mine,
        memory as f64 / 1024.0
    );
}

/// The highest peak of memory among the supervisors of this benchmark's hosts, in KiB, looked at until it is stopped.
struct Peak {
    over: std::sync::Arc<std::sync::atomic::AtomicBool>,
    looking: thread::JoinHandle<u64>,
}

impl Peak {
    fn of_supervisors(below: &Path) -> Self {
        let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (until, below) = (std::sync::Arc::clone(&over), below.display().to_string());
        let looking = thread::spawn(move || {
            let mut peak = 0;
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let line = String::from_utf8_lossy(&line);
                    if line.contains("\0supervise\0") && line.contains(&below) {
                        peak = peak.max(usage(pid).map_or(0, |(memory, _)| memory));
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
            peak
        });
        Self { over, looking }
    }

    fn stop(self) -> u64 {
        self.over.store(true, std::sync::atomic::Ordering::Relaxed);
        self.looking.join().unwrap_or_default()
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

struct Took {
    wall: Duration,
    cpu: Duration,
    /// KiB.
    memory: u64,
}

/// Runs a command to its end; a failure ends the benchmark, for its time would mean nothing.
fn timed(mut command: Command) -> Took {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start");
    let pid = child.id();
    let mut stderr = child.stderr.take().expect("stderr");
    let reading = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let (mut memory, mut cpu) = (0, Duration::ZERO);
    let status = loop {
        if let Some((now, used)) = usage(pid) {
            (memory, cpu) = (now.max(memory), used);
        }
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let wall = began.elapsed();
    assert!(status.success(), "{command:?} ended with {status}: {}", reading.join().expect("stderr"));
    Took { wall, cpu, memory }
}

/// Peak memory in KiB and CPU time so far of a process that still runs.
fn usage(pid: u32) -> Option<(u64, Duration)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((peak, Duration::from_millis(ticks * 10)))
}

fn address(host: usize) -> String {
    format!("127.0.1.{}", host + 1)
}

struct Bench {
    dir: tempfile::TempDir,
    sshd: Child,
    port: u16,
}

struct Scripts {
    mux: PathBuf,
    project: PathBuf,
}

impl Bench {
    fn start() -> Self {
        let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().expect("folder");
        let at = |name: &str| dir.path().join(name);
        for key in ["host", "key"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(key)).status();
            assert!(made.expect("ssh-keygen").success());
        }
        let _ = std::fs::create_dir_all("/run/sshd");
        let port = free_port();
        let path = dir.path().display();
        let config = format!(
            "Port {port}\nListenAddress 0.0.0.0\nHostKey {path}/host\nAuthorizedKeysFile {path}/key.pub\nPidFile none\n\
             PermitRootLogin yes\nStrictModes no\nMaxStartups 2000:100:3000\nMaxSessions 3000\nUsePAM no\nSetEnv SHLVL=2\nLogLevel ERROR\n"
        );
        std::fs::write(at("sshd_config"), config).expect("write");
        let sshd = Command::new("/usr/sbin/sshd").arg("-D").arg("-f").arg(at("sshd_config")).spawn().expect("sshd is needed");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Self { dir, sshd, port }
    }

    fn landfall(&self, project: &Path) -> Command {
        self.command(project, &["run", "bench", "--yes"])
    }

    fn command(&self, project: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
        command.arg("--config").arg(project.join("landfall.toml")).args(words).args(["--output", "plain"]);
        command.env("HOME", self.dir.path()).env("XDG_STATE_HOME", self.dir.path().join("state")).env_remove("SSH_AUTH_SOCK");
        command
    }

    /// One command on the first host, over a connection of its own.
    fn ssh(&self, project: &Path, prints: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.options(project, self.port).split_whitespace()).arg(format!("root@{}", address(0))).arg(prints);
        command
    }

    fn options(&self, project: &Path, port: u16) -> String {
        format!(
            "-F none -i {}/key -p {port} -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes -o LogLevel=ERROR -o IdentitiesOnly=yes \
             -o BatchMode=yes",
            self.dir.path().display(),
            project.join("known_hosts").display()
        )
    }

    /// A project of so many hosts and a playbook of one step.
    fn project(&self, name: &str, hosts: usize, port: u16, prints: &str) -> PathBuf {
        let step = format!("hosts = \"all\"\n[[steps]]\nkind = \"shell\"\nname = \"prints\"\ncommand = {prints:?}\n");
        self.project_of(name, hosts, port, &step)
    }

    fn project_of(&self, name: &str, hosts: usize, port: u16, playbook: &str) -> PathBuf {
        let path = self.dir.path().display();
        let project = self.dir.path().join(name);
        std::fs::create_dir_all(project.join("playbooks")).expect("folder");
        let key = std::fs::read_to_string(self.dir.path().join("host.pub")).expect("key");
        let known: String = (0..hosts).fold(String::new(), |text, host| format!("{text}[{}]:{port} {key}", address(host)));
        std::fs::write(project.join("known_hosts"), known).expect("write");
        let mut inventory = format!(
            "project = \"bench\"\n[ssh]\nidentity_file = \"{path}/key\"\nknown_hosts = \"known_hosts\"\n[groups.all]\nproduction = false\n"
        );
        for host in 0..hosts {
            let _ = write!(
                inventory,
                "[hosts.h{host}]\naddress = \"{}\"\nport = {port}\nuser = \"root\"\ngroups = [\"all\"]\nstate_dir = \"{path}/hosts/{host}\"\n",
                address(host)
            );
        }
        std::fs::create_dir_all(self.dir.path().join("hosts")).expect("folder");
        std::fs::write(project.join("landfall.toml"), inventory).expect("write");
        std::fs::write(project.join("playbooks/bench.toml"), playbook).expect("write");
        project
    }

    /// What is run on either side: the same steps, on the same hosts, through the same port.
    fn scripts(&self, steps: usize, hosts: usize, port: u16) -> Scripts {
        let path = self.dir.path().display();
        let body = (0..steps).fold("hosts = \"all\"\n".to_owned(), |text, step| {
            format!("{text}[[steps]]\nkind = \"shell\"\nname = \"s{step}\"\ncommand = \"echo step {step}\"\n")
        });
        let project = self.project_of(&format!("project-{steps}-{hosts}-{port}"), hosts, port, &body);
        let options =
            format!("{} -o ControlMaster=auto -o ControlPath={path}/cm-%h-%p -o ControlPersist=5", self.options(&project, port));
        let one =
            (0..steps).fold(String::new(), |text, step| format!("{text}ssh {options} root@$1 'echo step {step}' || exit 1\n"));
        let sequence = Self::script(&project, "one", &format!("{one}ssh {options} -O exit root@$1 2>/dev/null\n"));
        let all = (0..hosts).map(address).collect::<Vec<_>>().join(" ");
        let mux = Self::script(
            &project,
            "mux",
            &format!("printf '%s\\n' {all} | xargs -P 100 -n 1 {} >/dev/null\n", sequence.display()),
        );
        Scripts { mux, project }
    }

    fn script(project: &Path, name: &str, body: &str) -> PathBuf {
        let path = project.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}")).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        path
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("port").port()
}

/// Passes connections on, each direction as late as the delay says, on every address that the hosts have.
struct Proxy {
    port: u16,
}

impl Proxy {
    fn start(target: u16, delay: Duration, hosts: usize) -> Self {
        if delay.is_zero() {
            return Self { port: target };
        }
        let port = free_port();
        for host in 0..hosts {
            let listener = TcpListener::bind((address(host).as_str(), port)).expect("bind");
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    thread::spawn(move || {
                        // The TCP handshake's own round trip.
                        thread::sleep(delay * 2);
                        let Ok(mut at) = client.local_addr() else { return };
                        at.set_port(target);
                        pass(&client, at, delay);
                    });
                }
            });
        }
        Self { port }
    }
}

fn pass(client: &TcpStream, target: SocketAddr, delay: Duration) {
    let Ok(server) = TcpStream::connect(target) else { return };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let clones = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let Some((from_client, to_server)) = clones() else { return };
    let Some((to_client, from_server)) = clones() else { return };
    late(from_client, to_server, delay);
    late(from_server, to_client, delay);
}

fn late(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, queue) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length) = from.read(&mut buffer) {
            if length == 0 || sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in queue {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

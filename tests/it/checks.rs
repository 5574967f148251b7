//! Validation against droplets on which something is wrong: each thing is found by the check that looks for it, from the side that
//! sees it, all of them in one go.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::droplet::{Droplet, droplet, eventually};
use crate::program::Output;
use crate::project::Project;

/// Containers of the test's own on the droplet, with its network; gone at the end.
struct Odd<'a> {
    droplet: &'a Droplet,
    names: Vec<String>,
}

impl<'a> Odd<'a> {
    fn on(droplet: &'a Droplet) -> Self {
        Self { droplet, names: Vec::new() }
    }

    /// A server in JavaScript: what it does with `request` and `response` on a port.
    fn serve(&mut self, name: &str, port: u16, behave: &str) {
        let name = format!("it-{name}");
        let script = format!(
            "require('http').createServer((request, response) => {{ {behave} }}).listen({port}, '0.0.0.0'); process.on('SIGTERM', () => process.exit(0))"
        );
        self.droplet.sh(&format!(
            "docker run -d --name {name} --network host --entrypoint node $(docker inspect -f '{{{{.Image}}}}' deployment-api-1) -e \"{script}\" </dev/null"
        ));
        self.names.push(name);
        eventually("it listens", || self.droplet.try_sh(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}")).0 == 0);
    }
}

impl Drop for Odd<'_> {
    fn drop(&mut self) {
        let _ = self.droplet.try_sh(&format!("docker rm -f {} </dev/null", self.names.join(" ")));
    }
}

/// Undoes what a test did outside of what is brought back by itself.
struct Undo<'a>(&'a Droplet, &'static str);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_sh(self.1);
    }
}

/// A TLS server on this machine whose certificate has expired.
struct Expired {
    server: Child,
    port: u16,
}

impl Expired {
    fn start(dir: &Path) -> Self {
        let openssl = |args: &[&str]| {
            let done = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl");
            assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "tls.key",
            "-out",
            "tls.csr",
            "-subj",
            "/CN=localhost",
        ]);
        fs::write(
            dir.join("ca.cnf"),
            "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
        )
        .unwrap();
        fs::write(dir.join("index.txt"), "").unwrap();
        fs::write(dir.join("serial"), "01\n").unwrap();
        openssl(&[
            "ca",
            "-batch",
            "-config",
            "ca.cnf",
            "-selfsign",
            "-keyfile",
            "tls.key",
            "-in",
            "tls.csr",
            "-out",
            "tls.crt",
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20210101000000Z",
            "-notext",
        ]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}"), "-cert", "tls.crt", "-key", "tls.key"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, port }
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The bodies of a step's events of one type.
fn of_step(output: &Output, of: &str, step: &str) -> Vec<Value> {
    output.of_type(of).into_iter().filter(|event| event["step"] == step).collect()
}

/// A check failed, seen from this side, with a hint that says so.
fn found(output: &Output, step: &str, side: &str, observed: &str, hint: &str) {
    let finished = output.finished(None, step);
    assert_eq!(finished["status"], "failed", "{step}: {finished}\n{}", output.said());
    let seen = of_step(output, "check", step);
    let bad = seen.iter().find(|check| check["ok"] == false && check["side"] == side);
    let bad = bad.unwrap_or_else(|| panic!("{step} was not found from {side}: {seen:?}"));
    assert!(bad["observed"].as_str().unwrap().contains(observed), "{step}: {bad}");
    let hints = of_step(output, "hint", step);
    assert!(hints.iter().any(|told| told["text"].as_str().unwrap().contains(hint)), "{step}: no {hint:?} in {hints:?}");
}

const WORKER: &str = "services:
  worker:
    image: IMAGE
    pull_policy: never
    env_file: ../.env
    entrypoint: [\"node\", \"-e\"]
    command:
      - for (let i = 0; i < 14; i++) console.error('ERROR ' + i + ' cannot send as ' + process.env.SMTP_PASSWORD); console.log('ERROR is only a word'); process.exit(3)
";

fn playbook(address: &str, tls: u16) -> String {
    format!(
        r#"
[[steps]]
kind = "health"
name = "public"
from = ["here", "host", "network", "container"]
urls = {{ here = "http://{address}:3000/health", host = "http://127.0.0.1:3000/health", network = "http://api:3000/health" }}

[[steps]]
kind = "health"
name = "not cut off"
from = ["here", "host"]
urls = {{ here = "http://{address}:4200/", host = "http://127.0.0.1:4200/" }}

[[steps]]
kind = "container"
name = "worker runs"
service = "worker"

[[steps]]
kind = "health"
name = "says ok"
url = "http://127.0.0.1:4100/"
expect = {{ json = {{ "$.status" = "ok" }} }}

[[steps]]
kind = "health"
name = "certificate"
from = "here"
url = "https://localhost:{tls}/"
certificate = "14d"

[[steps]]
kind = "health"
name = "fast"
url = "http://127.0.0.1:4100/slow"
expect = {{ latency = {{ p95 = "300ms", samples = 3 }} }}

[[steps]]
kind = "logs"
name = "worker is quiet"
service = "worker"
patterns = ['^ERROR']
exclude = ['only a word']
since = "10m"

[[steps]]
kind = "database"
name = "tables"
tables = ["public.orders_that_nobody_made", "_prisma_migrations"]

[[steps]]
kind = "port_closed"
name = "database is private"
port = 15432

[[steps]]
kind = "port_closed"
name = "database is closed"
from = "here"
address = "{address}:15432"

[[steps]]
kind = "tcp"
name = "nothing there"
address = "127.0.0.1:4999"

[[steps]]
kind = "container"
name = "api runs"
service = "api"
health = "healthy"

[[steps]]
kind = "tcp"
name = "api listens"
address = "127.0.0.1:3000"

[[steps]]
kind = "database"
name = "users"
query = "SELECT count(*) FROM _prisma_migrations"
expect = {{ ge = 2 }}

[[steps]]
kind = "disk"
name = "room"
free = "1MiB"

[[steps]]
kind = "migrate"
mode = "status"
name = "nothing pending"
tool = "prisma"

[[steps]]
kind = "port_closed"
name = "api is private"
port = 3000

[[steps]]
kind = "logs"
name = "api is quiet"
patterns = ['nobody would write this']
"#
    )
}

#[test]
fn all_that_is_wrong_is_found_in_one_go() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let address = droplet.address();
    let mut odd = Odd::on(droplet);
    odd.serve(
        "api",
        4100,
        "setTimeout(() => { response.writeHead(200); response.end(JSON.stringify({status: 'degraded'})) }, request.url === '/slow' ? 700 : 0)",
    );
    odd.serve("cut", 4200, "response.end()");
    odd.serve("database", 15432, "response.end()");
    droplet.sh("iptables -I INPUT ! -i lo -p tcp --dport 4200 -j DROP");
    let _cut = Undo(droplet, "iptables -D INPUT ! -i lo -p tcp --dport 4200 -j DROP");
    let _worker = Undo(droplet, "docker rm -f deployment-worker-1 </dev/null; rm -f /opt/etally/deployment/worker.yml");
    droplet.sh(&format!(
        "cd /opt/etally/deployment && cat >worker.yml <<'END'\n{WORKER}END\nsed -i s/IMAGE/$(docker inspect -f '{{{{.Image}}}}' deployment-api-1)/ worker.yml\ndocker compose --env-file ../.env -f docker-compose.prod.yml -f worker.yml up -d --no-deps worker </dev/null 2>&1"
    ));
    eventually("the worker has ended", || {
        droplet.sh("docker inspect -f '{{.State.Status}}' deployment-worker-1 </dev/null") == "exited"
    });
    let expired = Expired::start(project.dir.path());
    project.edit(
        "landfall.toml",
        "files = [\"docker-compose.prod.yml\"]",
        "files = [\"docker-compose.prod.yml\", \"worker.yml\"]",
    );
    project.edit("landfall.toml", "release = \"stable\"", "release = \"1\"");
    project.playbook("all", &playbook(&address, expired.port));
    let before = droplet.docker_state();

    let output = project.events(&["validate", "all", "--on", "droplets"]);
    output.expect(4, &[]);
    found(&output, "public", "here", "refused the connection", "bound to 127.0.0.1");
    let sides = of_step(&output, "check", "public");
    let well: Vec<&str> = sides.iter().filter(|check| check["ok"] == true).map(|check| check["side"].as_str().unwrap()).collect();
    assert_eq!(well.len(), 3, "{sides:?}");
    found(&output, "not cut off", "here", "no connection within", "firewall that drops");
    found(&output, "worker runs", "container", "exited with code 3", "docker compose logs");
    assert!(output.finished(None, "says ok")["detail"].as_str().unwrap().contains("$.status = \"degraded\""));
    found(&output, "certificate", "here", "the certificate expired 2021-01-01T00:00:00Z", "renew the certificate");
    assert!(output.finished(None, "fast")["detail"].as_str().unwrap().contains("(too slow)"));
    found(&output, "worker is quiet", "container", "14 lines", "landfall logs worker");
    found(&output, "tables", "container", "no table public.orders_that_nobody_made", "migration was not applied");
    found(&output, "database is private", "host", "it listens on 0.0.0.0", "127.0.0.1 only");
    found(&output, "database is closed", "here", "it takes connections", "127.0.0.1 only");
    found(&output, "nothing there", "host", "refused", "nothing listens");
    for step in ["api runs", "api listens", "users", "room", "nothing pending", "api is private", "api is quiet"] {
        assert_eq!(output.finished(None, step)["status"], "ok", "{step}\n{}", output.said());
    }
    // The lines that were found belong to their step, are few, and hold no secret.
    let printed = of_step(&output, "output", "worker is quiet");
    assert_eq!(printed.len(), 11, "{printed:?}");
    assert!(printed[0]["text"].as_str().unwrap().contains("cannot send as [masked:SMTP_PASSWORD]"), "{}", printed[0]);
    for (name, value) in droplet.secrets() {
        assert!(!output.said().contains(&value), "{name} left the droplet");
    }
    // They ran at once: the longest decides.
    let steps = output.of_type("step_finished");
    let longest = steps.iter().map(|step| step["duration_ms"].as_u64().unwrap()).max().unwrap();
    let sum: u64 = steps.iter().map(|step| step["duration_ms"].as_u64().unwrap()).sum();
    let all = output.of_type("host_finished")[0]["duration_ms"].as_u64().unwrap();
    assert!(all < longest + 12_000 && sum > longest, "{all} ms in all, {longest} ms for the longest, {sum} ms one by one");
    // Looking changed nothing.
    assert_eq!(before, droplet.docker_state());

    // A person sees each of them by name, with what it usually means.
    let text = project.landfall(&["validate", "all", "--on", "droplets"]);
    text.expect(4, &["a check failed", "public", "worker runs", "certificate", "database is private", "bound to 127.0.0.1"]);
    let closing = text.stderr.split("failed after").last().unwrap();
    for name in [
        "public",
        "not cut off",
        "worker runs",
        "says ok",
        "certificate",
        "fast",
        "worker is quiet",
        "tables",
        "database is closed",
    ] {
        assert!(closing.contains(name), "{name} is not in {closing}");
    }
}

#[test]
fn a_watch_catches_what_fails_after_the_release() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let mut odd = Odd::on(droplet);
    odd.serve("late", 4300, "response.writeHead(process.uptime() > 6 ? 503 : 200); response.end()");
    let watch = r#"
[[steps]]
kind = "shell"
name = "release"
command = "docker restart -t 0 it-late >/dev/null; until curl -so /dev/null http://127.0.0.1:4300/; do sleep 0.1; done"

[[steps]]
kind = "watch"
name = "stays well"
for = "30s"
every = "200ms"
check = { kind = "health", url = "http://127.0.0.1:4300/" }

[[on_failure]]
kind = "shell"
name = "take it back"
command = "echo taken back"
"#;
    project.playbook("watched", watch);
    let output = project.events(&["run", "watched", "--on", "droplets", "--yes"]);
    output.expect(4, &[]);
    let samples = of_step(&output, "check", "stays well");
    let well = samples.iter().filter(|sample| sample["ok"] == true).count();
    assert!(well >= 3 && samples.len() == well + 1, "{well} of {} looks were well", samples.len());
    let finished = output.finished(None, "stays well");
    assert!(finished["detail"].as_str().unwrap().contains("at most 0 may"), "{finished}");
    assert_eq!(output.finished(None, "take it back")["status"], "ok");
    assert!(finished["duration_ms"].as_u64().unwrap() < 25_000, "{finished}");

    // As much as may go wrong goes by.
    project.playbook("watched", &watch.replace("for = \"30s\"", "for = \"2s\"\nerrors = \"100%\""));
    project.events(&["run", "watched", "--on", "droplets", "--yes"]).expect(0, &[]);
}

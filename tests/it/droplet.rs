//! Droplets, taken for one test alone and brought back to their first state; and what is asked of them directly, not of Landfall.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Until something holds, or a generous time is over.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(Duration::from_mins(3), what, holds);
}

/// Until something holds that takes its time.
pub(crate) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A host of the testbed.
pub(crate) struct Droplet {
    /// Its name in the inventory.
    pub(crate) name: String,
    /// Its SSH port on this machine's loopback.
    pub(crate) port: u16,
    container: String,
    address: String,
    _held: File,
}

/// Some of them, held by this test alone, and clean. Nothing of Landfall may be left on them at its end.
pub(crate) struct Droplets {
    /// The testbed's folder.
    pub(crate) testbed: PathBuf,
    all: Vec<Droplet>,
}

impl Deref for Droplets {
    type Target = [Droplet];
    fn deref(&self) -> &[Droplet] {
        &self.all
    }
}

fn testbed(variable: &str, how: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(dir) => dir.into(),
        None => panic!("{variable} names no testbed: run tests/run, or `tests/testbed/up {how} --dir DIR` and set it to DIR"),
    }
}

/// So many droplets, each with a database of its own.
pub(crate) fn droplets(count: usize) -> Droplets {
    take(testbed("LANDFALL_TESTBED", "--droplets 3"), count)
}

/// One droplet.
pub(crate) fn droplet() -> Droplets {
    droplets(1)
}

/// The two droplets that share one database.
pub(crate) fn sharing() -> Droplets {
    take(testbed("LANDFALL_TESTBED_SHARED", "--droplets 2 --shared-database"), 2)
}

fn lock_file(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn take(testbed: PathBuf, count: usize) -> Droplets {
    let text = std::fs::read_to_string(testbed.join("testbed.json")).expect("testbed.json");
    let described: Value = serde_json::from_str(&text).expect("testbed.json");
    let described = described["droplets"].as_array().expect("droplets");
    assert!(described.len() >= count, "the testbed has {} droplets, {count} are needed", described.len());
    // One at a time takes, so that two tests never wait for each other's droplets.
    let gate = lock_file(&testbed.join(".gate"));
    gate.lock().expect("gate");
    let files: Vec<(File, &Value)> =
        described.iter().map(|one| (lock_file(&testbed.join(format!(".{}", one["name"].as_str().unwrap()))), one)).collect();
    let (mut free, mut busy): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| file.try_lock().is_ok());
    free.truncate(count);
    while free.len() < count {
        let (file, one) = busy.remove(0);
        file.lock().expect("droplet");
        free.push((file, one));
    }
    drop(gate);
    let mut all: Vec<Droplet> = free
        .into_iter()
        .map(|(held, one)| Droplet {
            name: one["name"].as_str().unwrap().to_owned(),
            port: u16::try_from(one["port"].as_u64().unwrap()).unwrap(),
            container: one["container"].as_str().unwrap().to_owned(),
            address: one["address"].as_str().unwrap().to_owned(),
            _held: held,
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    std::thread::scope(|scope| {
        for droplet in &all {
            scope.spawn(|| droplet.sh(include_str!("reset.sh")));
        }
    });
    Droplets { testbed, all }
}

impl Drop for Droplets {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for droplet in &self.all {
            droplet.assert_nothing_is_left();
        }
    }
}

impl Droplet {
    /// Its address in the network that this machine shares with it.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Runs a script there as root; gives its exit code, stdout and stderr.
    pub(crate) fn try_sh(&self, script: &str) -> (i32, String, String) {
        let mut child = Command::new("docker")
            .args(["exec", "-i", &self.container, "bash", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker");
        // Braces make bash read the whole of it before anything in it can read the rest.
        let text = format!("{{\n{script}\n}}\nexit $?\n");
        child.stdin.take().unwrap().write_all(text.as_bytes()).expect("script");
        let output = child.wait_with_output().expect("docker exec");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Runs a script there that must succeed; gives its stdout.
    pub(crate) fn sh(&self, script: &str) -> String {
        let (code, out, err) = self.try_sh(script);
        assert_eq!(code, 0, "on {}: {script}\n{out}{err}", self.name);
        out.trim_end().to_owned()
    }

    /// Gives it one of the images that the testbed makes only for tests that ask, by its script there; tells the image's name.
    pub(crate) fn extra_image(&self, script: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed").join(script);
        let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("a script of the testbed");
        assert!(output.status.success(), "{} made no image", script.display());
        let image = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        self.load(&image);
        image
    }

    /// Brings an image of this machine there, where it is not yet.
    pub(crate) fn load(&self, image: &str) {
        if self.try_sh(&format!("docker image inspect {image}")).0 != 0 {
            let pipe = format!("docker save {image} | docker exec -i {} docker load", self.container);
            let done = Command::new("bash").args(["-o", "pipefail", "-c", &pipe]).output().expect("docker");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Asks PostgreSQL.
    pub(crate) fn sql(&self, query: &str) -> String {
        self.sh(&format!("docker exec deployment-postgres-1 psql -U etally -At etally -c \"{query}\" </dev/null"))
    }

    /// The names of the migrations that are applied.
    pub(crate) fn migrations(&self) -> String {
        self.sql("SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY 1")
    }

    /// The version of the API that serves.
    pub(crate) fn version(&self) -> String {
        self.sh("docker exec deployment-api-1 printenv APP_VERSION </dev/null")
    }

    /// Everything of Docker that a look must not change.
    pub(crate) fn docker_state(&self) -> String {
        self.sh("docker ps -a --no-trunc --format '{{.ID}} {{.Image}} {{.Names}} {{.State}}' | sort
             docker images -a --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' | sort
             docker network ls --no-trunc --format '{{.ID}} {{.Name}}' | sort
             docker volume ls --format '{{.Name}}' | sort")
    }

    /// Everything that Landfall keeps there: locks, ledger, runs.
    pub(crate) fn landfall_state(&self) -> String {
        self.sh("cd /var/lib/landfall/etally 2>/dev/null && find . -printf '%p %s %l\\n' | sort || true")
    }

    /// The secret values of this droplet.
    pub(crate) fn secrets(&self) -> Vec<(String, String)> {
        let text = self.sh(
            "grep -E 'URL|SECRET|PASSWORD|KEY' /opt/etally/.env; echo db_password=$(cat /opt/etally/secrets/db_password.txt)",
        );
        text.lines().map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Reads the settings in a file of the SSH server anew.
    pub(crate) fn sshd(&self, settings: &str) {
        self.sh(&format!(
            "echo '{settings}' >/etc/ssh/sshd_config.d/it.conf && touch /run/it-sshd && kill -HUP $(cat /run/sshd.pid)"
        ));
        eventually("sshd is back", || self.try_sh("exec 3<>/dev/tcp/127.0.0.1/22 && head -c 4 <&3 | grep -q SSH").0 == 0);
    }

    /// Restarts it in order, as `reboot` does; or without a word, as a loss of power does. Gives it back when its services run.
    pub(crate) fn reboot(&self, orderly: bool) {
        let docker = |words: &[&str]| {
            let done = Command::new("docker").args(words).arg(&self.container).output().expect("docker");
            assert!(done.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        if orderly {
            docker(&["restart"]);
        } else {
            docker(&["kill"]);
            docker(&["start"]);
        }
        eventually("the droplet is up", || self.try_sh("test -e /run/booted && exec 3<>/dev/tcp/127.0.0.1/22").0 == 0);
        eventually("the api is back", || self.try_sh("curl -sf http://127.0.0.1:3000/health").0 == 0);
    }

    /// The supervisor of a run, and the docker client that it started: `docker`, and the plugin that this starts in turn.
    pub(crate) fn processes_of(&self, run: &str) -> (String, String) {
        let supervisor = self.sh(&format!("readlink /var/lib/landfall/etally/runs/{run}/owner | cut -d: -f1"));
        let clients = self.sh(&format!(
            "for p in $(grep -lsz '^LANDFALL_RUN={run}' /proc/[0-9]*/environ); do
               case $(readlink ${{p%/environ}}/exe) in */docker | */docker-compose) echo ${{p//[!0-9]/}} ;; esac
             done"
        ));
        (supervisor, clients.replace('\n', " "))
    }

    /// Removes the containers of a run whose supervisor is gone; its client may have begun to do so.
    pub(crate) fn remove_containers_of(&self, run: &str) {
        let of = format!("--filter label=landfall.run={run}");
        self.sh(&format!("docker rm --force $(docker ps -q {of}) >/dev/null 2>&1 || true"));
        eventually("its containers are gone", || self.sh(&format!("docker ps -aq {of}")).is_empty());
    }

    /// Makes an image of another one, with what is at a path of the droplet copied into it.
    pub(crate) fn image_with(&self, image: &str, from: &str, to: &str, name: &str) {
        self.sh(&format!(
            "set -e
             id=$(docker create {image})
             docker cp {from} $id:{to} </dev/null >/dev/null
             docker commit $id {name} >/dev/null
             docker rm $id >/dev/null"
        ));
    }

    /// Processes of the host program, and what carries a run's mark.
    pub(crate) fn left(&self) -> String {
        self.sh("for exe in /proc/[0-9]*/exe; do
               case $(readlink $exe) in */landfall*/host-*) tr '\\0' ' ' <${exe%/exe}/cmdline; echo ;; esac
             done
             grep -lsz '^LANDFALL_RUN=' /proc/[0-9]*/environ || true
             docker ps -a --filter label=landfall.run --format 'container {{.Names}} {{.Status}}' 2>/dev/null || true
             for run in /var/lib/landfall/etally/runs/* /home/deploy/.local/state/landfall/etally/runs/*; do
               [ ! -d $run ] || [ -L $run/rc ] || [ -L $run/settled ] || [ ! -L $run/owner ] || echo run $run has not ended
             done")
    }

    /// Nothing of Landfall runs there any more, and no run holds its lock.
    pub(crate) fn assert_nothing_is_left(&self) {
        let mut left = String::new();
        for _ in 0..100 {
            left = self.left();
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left on {}: {left}", self.name);
    }
}

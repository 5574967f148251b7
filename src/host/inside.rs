//! What a run started inside a service's running container. Its processes belong to users of that container, whom only root may look into
//! and signal; for an operator who is not root this same program does it, from a container of its own in the process namespace of that one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use rustix::process::Signal;

use super::docker::{self, Trouble};
use super::kill::{self, LABEL};
use crate::name::{RunId, ServiceName};

/// A container that is not the run's, in which a step of it runs a command.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    id: String,
    image: String,
    /// It has a shell.
    pub shell: bool,
}

impl Guest {
    /// The running container of a service, where there is one.
    pub(super) fn of(project: &str, service: &ServiceName) -> Option<Self> {
        let container = docker::services(project).ok()?.remove(service)?;
        let shell = docker::run(&["exec", &container.id, "sh", "-c", ":"]).is_ok();
        Some(Self { id: container.id, image: container.image, shell })
    }

    /// The container that a process of another user lives in.
    pub(super) fn around(pid: i32) -> Option<Self> {
        let owner = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = groups.split(|c: char| !c.is_ascii_alphanumeric()).rfind(is_id)?;
        if owner == rustix::process::geteuid().as_raw() {
            return None;
        }
        let container = docker::container(id).ok()??;
        Some(Self { id: container.id, image: container.image, shell: false })
    }

    /// The container's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Signals what the run started in it, and names that.
    pub(super) fn hunt(&self, run: &RunId, signal: Signal) -> Result<Vec<String>, Trouble> {
        let program = std::env::current_exe().map_err(|error| Trouble::Failed(error.to_string()))?;
        let mount = format!("type=bind,source={},target=/landfall-host,readonly", program.display());
        let (pids, label) = (format!("container:{}", self.id), format!("{LABEL}={run}"));
        let signal = if signal == Signal::TERM { "TERM" } else { "KILL" };
        let look = ["run", "--rm", "--pull", "never", "--log-driver", "none", "--network", "none", "--label", &label];
        // As root, whoever the image's user is; allowed to read what environment a process began with, and not kept apart by SELinux.
        let may =
            ["--user", "0", "--cap-add", "SYS_PTRACE", "--security-opt", "label=disable", "--pid", &pids, "--mount", &mount];
        let what = ["--entrypoint", "/landfall-host", &self.image, "hunt", run.as_str(), signal];
        let found = docker::run(&[&look[..], &may, &what].concat())?;
        Ok(found.lines().map(|process| format!("{process} in container {}", self.id.get(..12).unwrap_or(&self.id))).collect())
    }
}

/// The process: `landfall-host hunt RUN TERM|KILL`.
pub(super) fn hunt(run: &str, signal: &str) -> ExitCode {
    let signal = match signal {
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        _ => return ExitCode::from(64),
    };
    let Ok(run) = run.parse::<RunId>() else { return ExitCode::from(64) };
    let found = kill::hunt(&run, signal);
    let said = found.iter().try_for_each(|process| writeln!(std::io::stdout(), "{process}"));
    if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

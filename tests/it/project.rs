//! A client's project: a copy of the testbed's inventory and playbooks with the droplets of this test only, free to be changed; and a
//! home of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::droplet::{Droplet, Droplets};
use crate::program::{Output, Running};
use crate::proxy::Proxy;

pub(crate) struct Project {
    /// Where its files are, and the client's home.
    pub(crate) dir: TempDir,
    names: Vec<(String, u16)>,
}

impl Project {
    /// The testbed's project on these droplets.
    pub(crate) fn on(droplets: &Droplets) -> Self {
        let project = Self {
            dir: tempfile::tempdir().expect("folder"),
            names: droplets.iter().map(|droplet| (droplet.name.clone(), droplet.port)).collect(),
        };
        for folder in ["home", "state", "playbooks"] {
            fs::create_dir(project.path(folder)).expect(folder);
        }
        for file in ["key", "known_hosts", "playbooks/release.toml", "playbooks/seed.toml", "playbooks/validate.toml"] {
            fs::copy(droplets.testbed.join(file), project.path(file)).expect(file);
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/landfall-approvals.toml");
        fs::copy(own, project.path("landfall-approvals.toml")).expect("approvals");
        let inventory = fs::read_to_string(droplets.testbed.join("landfall.toml")).expect("landfall.toml");
        let mut parts = inventory.split("\n[hosts.");
        let mut kept = parts.next().expect("inventory").to_owned();
        for part in parts {
            if droplets.iter().any(|droplet| part.starts_with(&format!("{}]", droplet.name))) {
                kept.push_str("\n[hosts.");
                kept.push_str(part);
            }
        }
        project.write("landfall.toml", &kept);
        project
    }

    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        let project = Self { dir: tempfile::tempdir().expect("folder"), names: Vec::new() };
        for folder in ["home", "state"] {
            fs::create_dir(project.path(folder)).expect(folder);
        }
        project
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).expect("folder");
        fs::write(path, text).expect("file");
    }

    /// Writes a playbook.
    pub(crate) fn playbook(&self, name: &str, text: &str) {
        self.write(&format!("playbooks/{name}.toml"), text);
    }

    /// Replaces text of a file, which must be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect("file");
        assert!(text.contains(from), "{name} holds no {from:?}");
        self.write(name, &text.replace(from, to));
    }

    /// Reaches a droplet through a proxy from now on.
    pub(crate) fn through(&self, droplet: &Droplet, proxy: &Proxy) {
        self.edit("landfall.toml", &format!("port = {}", droplet.port), &format!("port = {}", proxy.port));
        self.edit("known_hosts", &format!("]:{}", droplet.port), &format!("]:{}", proxy.port));
    }

    /// Runs `landfall` to its end.
    pub(crate) fn landfall(&self, args: &[&str]) -> Output {
        self.start(args).finish()
    }

    /// The same with events.
    pub(crate) fn events(&self, args: &[&str]) -> Output {
        self.landfall(&[&["--output", "json"], args].concat())
    }

    /// Starts `landfall`.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, &[])
    }

    /// Starts `landfall` with more in its environment.
    pub(crate) fn start_with(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        let mut command = self.command();
        command.args(args).envs(env.iter().copied());
        Running::start(command)
    }

    /// `landfall` as a process to be: hermetic, in the project's folder.
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_landfall"));
        command.env_clear().current_dir(self.dir.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("XDG_STATE_HOME", self.path("state")).env("USER", "ana");
        command
    }

    /// Words of the program with what differs from test to test replaced.
    pub(crate) fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.dir.path().display().to_string(), "DIR");
        for (name, port) in &self.names {
            text = text.replace(name, "HOST").replace(&port.to_string(), "PORT");
        }
        for (pattern, with) in [
            ("SHA256:[A-Za-z0-9+/]{43}", "SHA256:FINGERPRINT"),
            ("\\b[k-z]{12}\\b", "RUN"),
            ("\\d{4}-\\d\\d-\\d\\dT[0-9:.]+Z", "TIME"),
        ] {
            text = regex_lite::Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
        }
        text.trim_end().to_owned()
    }
}

//! Whole files in, whole messages or values out.

mod checks;
mod commands;
mod database;
mod inventory;
mod resolve;
mod sql;
mod steps;
mod tools;

use std::path::Path;

use super::{Inventory, Options, Playbook, ResolvedPlaybook, Work, resolve as resolve_into};
use crate::source::{Diags, Sink};

pub(crate) const INVENTORY: &str = r#"
project = "etally"

[compose]
dir = "/opt/etally/deployment"
files = ["docker-compose.prod.yml"]
env_file = "../.env"
service = "api"

[secrets]
files = ["../.env"]

[hosts.prod-1]
address = "203.0.113.10"
groups = ["prod"]

[hosts.prod-2]
address = "203.0.113.11"
groups = ["prod"]

[hosts.stage]
address = "203.0.113.20"
groups = ["staging"]

[groups.staging]
production = false
vars = { public_url = "https://staging.example.com" }

[groups.empty]

[seeds.configurations]
command = ["npx", "tsx", "prisma/seeds/configurations.seed.ts"]
files = ["prisma/seeds/configurations.seed.ts"]

[seeds.email-templates]
command = ["npx", "tsx", "prisma/seeds/email-templates.seed.ts"]
"#;

pub(crate) fn on(on: &str) -> Options {
    Options { on: vec![on.to_owned()], ..Options::default() }
}

pub(crate) fn resolved(inventory: &str, playbook: &str, options: &Options) -> Result<ResolvedPlaybook, Diags> {
    let sink = Sink::default();
    let inventory = Inventory::parse(Path::new("/etc/demo/landfall.toml"), inventory, &sink);
    let playbook = Playbook::parse(Path::new("playbooks/release.toml"), playbook, &sink);
    let resolved = playbook.map(|playbook| resolve_into(&inventory, &playbook, options, &sink));
    sink.finish(resolved).map(|resolved| resolved.expect("a playbook"))
}

/// All that is wrong with a playbook.
fn wrong(playbook: &str) -> String {
    wrong_with(playbook, &on("stage"))
}

fn wrong_with(playbook: &str, options: &Options) -> String {
    resolved(INVENTORY, playbook, options).expect_err("something is wrong").to_string()
}

/// All that is wrong with an inventory.
fn wrong_inventory(text: &str) -> String {
    let sink = Sink::default();
    Inventory::parse(Path::new("landfall.toml"), text, &sink);
    sink.finish(()).expect_err("something is wrong").to_string()
}

/// The steps of a host, a line each: name, when, who, command.
fn lines(resolved: &ResolvedPlaybook, host: usize) -> String {
    let line = |step: &super::ResolvedStep| {
        let who = match &step.work {
            Work::Host => "host".to_owned(),
            Work::Driver(_) => "driver".to_owned(),
            Work::Peer { first } => format!("waits for {first}"),
        };
        format!("{} | {:?} | {who} | {}", step.step.name, step.step.when, step.step.shown)
    };
    resolved.hosts[host].steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

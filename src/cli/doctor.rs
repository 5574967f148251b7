//! `landfall doctor`: what the hosts and this machine lack, each with its remedy. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::args::DoctorArgs;
use super::{Context, Failure, exit, reach};
use crate::plan::{Order, Plan};
use crate::playbook::{self, HostAt, Inventory, Options};
use crate::protocol::{Reply, Request};
use crate::report::{Tone, label};
use crate::runtime::Programs;
use crate::secret::SecretName;

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<u8, Failure> {
    let config = context.inventory()?;
    let inventory = Inventory::read(&config)?;
    let hosts = playbook::hosts(&inventory, &args.on.on)?;
    let mut bad = false;
    let paint = context.paint();
    let good = |text: &str| super::say(&format!("{} {text}", paint.paint(Tone::Good, "✓")));
    let mut wrong = |text: &str, remedy: Option<&str>| {
        bad = true;
        super::say(&format!("{} {text}", paint.paint(Tone::Bad, "✗")));
        if let Some(remedy) = remedy {
            super::say(&format!("    {} {}", paint.paint(Tone::Help, "help:"), label(remedy)));
        }
    };
    let arches: Vec<&str> = Programs::embedded().built().iter().map(|program| program.arch).collect();
    good(&format!("this machine: landfall {} carries the host program for {}", env!("CARGO_PKG_VERSION"), arches.join(", ")));
    let playbooks = playbook::all(&inventory);
    match playbook::check(&config, &[], &Options::default()) {
        Ok(_) => good(&format!("inventory and {} playbooks are sound", playbooks.len())),
        Err(diagnostics) => wrong(&format!("{} errors in inventory and playbooks", diagnostics.len()), Some("landfall check")),
    }
    let reach = reach::reach()?;
    let found = reach::block_on(async {
        let (contacts, stops) = reach::contacts(&reach, &hosts).await;
        let mut found = Vec::new();
        for (at, contact) in contacts {
            let reply = match submission(&inventory, &playbooks, &at) {
                Some(submission) => contact.ask(&Request::Survey { submission }).await.map(Some),
                None => Ok(None),
            };
            let said = format!("{}: {} at {}, host program runs", at.name, contact.user, contact.address);
            found.push((at, said, reply));
            contact.close().await;
        }
        (found, stops)
    })?;
    let (found, stops) = found;
    for stop in &stops {
        wrong(&label(&stop.message), stop.remedy.as_deref());
    }
    for (at, said, reply) in found {
        good(&said);
        match reply {
            Ok(Some(Reply::Facts { facts })) => {
                if let Some(docker) = &facts.docker {
                    good(&format!("{}: Docker {}, Compose {}", at.name, label(&docker.engine), label(&docker.compose)));
                }
                good(&format!("{}: {} values of its secrets will be masked", at.name, facts.masked_values));
                for line in masks(&facts.secrets) {
                    super::say(&format!("    {line}"));
                }
                if let Some(public) = proposal(&facts.secrets) {
                    super::say(&format!("    {} if these may be shown, list them: {public}", paint.paint(Tone::Help, "help:")));
                }
                for warning in &facts.warnings {
                    super::say(&format!("{} {}: {}", paint.paint(Tone::Warn, "!"), at.name, label(warning)));
                }
                for refusal in &facts.refusals {
                    wrong(&format!("{}: {}", at.name, label(&refusal.message)), refusal.remedy.as_deref());
                }
            }
            Ok(_) => {}
            Err(stop) => wrong(&label(&stop.message), stop.remedy.as_deref()),
        }
    }
    Ok(match stops.iter().map(|stop| stop.code).find(|code| *code == exit::UNREACHED) {
        Some(code) => code,
        None if bad => exit::REFUSED,
        None => exit::DONE,
    })
}

/// What is masked and what is not, by name, a line each source.
fn masks(secrets: &[SecretName]) -> Vec<String> {
    let mut sources: Vec<&str> = secrets.iter().map(|secret| secret.source.as_str()).collect();
    let mut seen = BTreeSet::new();
    sources.retain(|source| seen.insert(*source));
    let mut lines = Vec::new();
    for source in sources {
        let of = || secrets.iter().filter(|secret| secret.source == source);
        let unmasked = |secret: &SecretName| {
            let why = secret.why_not.as_deref().unwrap_or_default();
            format!("{} ({why})", secret.name)
        };
        let masked: BTreeSet<String> = of().filter(|secret| secret.masked).map(|secret| secret.name.clone()).collect();
        let shown: BTreeSet<String> = of().filter(|secret| !secret.masked).map(unmasked).collect();
        for (what, names) in [("masked", masked), ("not masked", shown)] {
            if !names.is_empty() {
                lines.push(label(&format!("{source}, {what}: {}", names.into_iter().collect::<Vec<_>>().join(", "))));
            }
        }
    }
    lines
}

/// The keys that could be public, as the inventory would say it.
fn proposal(secrets: &[SecretName]) -> Option<String> {
    let names: BTreeSet<String> =
        secrets.iter().filter(|secret| secret.may_be_public).map(|secret| format!("{:?}", secret.name)).collect();
    (!names.is_empty()).then(|| label(&format!("public = [{}]", names.into_iter().collect::<Vec<_>>().join(", "))))
}

/// What is surveyed for a doctor: the first playbook that says what the host is for.
fn submission(inventory: &Inventory, playbooks: &[std::path::PathBuf], at: &HostAt) -> Option<String> {
    let options = Options { on: vec![at.name.to_string()], ..Options::default() };
    let resolved = playbooks.iter().filter_map(|path| playbook::open(inventory, path, &options).ok());
    let resolved = resolved.max_by_key(|resolved| resolved.hosts.iter().filter(|host| host.compose.is_some()).count())?;
    let mut submission = Plan::new(&resolved, BTreeMap::new()).submission(
        &at.name,
        &Order {
            run: crate::name::RunId::from_random([0; 6]),
            who: super::who::of_process(),
            note: None,
            key: None,
            approval: crate::protocol::Approval::Awaited,
            answer_within_ms: 0,
            approve_within_ms: 0,
            lock_wait_ms: 0,
            accepted: Vec::new(),
        },
    )?;
    // A doctor looks at the host, not at the work that waits.
    submission.steps.clear();
    serde_json::to_string(&submission).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_listed_by_name_with_the_reason_of_those_that_show() {
        let secret = |name: &str, source: &str, why_not: Option<&str>, may_be_public: bool| SecretName {
            name: name.into(),
            source: source.into(),
            masked: why_not.is_none(),
            why_not: why_not.map(str::to_owned),
            may_be_public,
        };
        let secrets = [
            secret("MAIL_FROM", "../.env", None, true),
            secret("API_KEY", "../.env", None, false),
            secret("PORT", "../.env", Some("it is a number of fewer than nine digits"), false),
            secret("db_password", "../secrets/db_password.txt", None, false),
        ];
        insta::assert_snapshot!(masks(&secrets).join("\n"), @"
        ../.env, masked: API_KEY, MAIL_FROM
        ../.env, not masked: PORT (it is a number of fewer than nine digits)
        ../secrets/db_password.txt, masked: db_password
        ");
        assert_eq!(proposal(&secrets).as_deref(), Some("public = [\"MAIL_FROM\"]"));
        assert_eq!(proposal(&secrets[1..]), None);
    }
}

//! `landfall trust`: records all of a host's keys after a person has seen their fingerprints, or those whose fingerprints were
//! given. A key that changed is replaced only where its fingerprint was given.

use super::args::TrustArgs;
use super::confirm::Question;
use super::{Context, Failure, exit, reach};
use crate::playbook::{self, Inventory};
use crate::run::{Stop, ssh_target};
use crate::ssh::known_hosts::{self, KnownHosts, Names, Verdict};
use crate::ssh::{self, HostKey, Settings};

pub(super) fn run(context: &Context, args: &TrustArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let host = playbook::hosts(&inventory, &[args.host.to_string()])?;
    let Some(host) = host.into_iter().find(|host| host.name == args.host) else {
        return Err(Failure::usage(format!("{} is a group, not a host", args.host)).remedy("trust its hosts one by one"));
    };
    let (settings, keys) = reach::block_on(async {
        let reach = reach::reach()?;
        let settings = ssh::resolve(&ssh_target(&host.name, &host.target), &reach.sources).await.map_err(Stop::from)?;
        let keys = ssh::host_keys(&settings, &reach.operator).await.map_err(Stop::from)?;
        Ok::<_, Stop>((settings, keys))
    })??;
    record(context, args, &settings, &keys)
}

fn record(context: &Context, args: &TrustArgs, settings: &Settings, keys: &[HostKey]) -> Result<u8, Failure> {
    let Some(file) = settings.known_hosts.first().map(|file| file.value.clone()) else {
        return Err(Failure::usage("there is no known_hosts file to record in").remedy("set `known_hosts` under [ssh]"));
    };
    let files: Vec<_> = settings.known_hosts.iter().map(|file| file.value.clone()).collect();
    let known = KnownHosts::read(&files).map_err(|error| Failure::usage(error.to_string()))?;
    let (name, port) = settings.known_as();
    let verdicts: Vec<Verdict> = keys.iter().map(|key| known.judge(name, port, key)).collect();
    super::say(&format!("{} ({name}:{port}) has these keys:", args.host));
    for (key, verdict) in keys.iter().zip(&verdicts) {
        let word = match verdict {
            Verdict::Known(place) => format!("known, {place}"),
            Verdict::Changed(place) => format!("differs from {place}"),
            Verdict::Revoked(place) => format!("revoked, {place}"),
            Verdict::OnlyAuthority(_) | Verdict::Unknown => "new".to_owned(),
        };
        super::say(&format!("  {} {} ({word})", key.kind(), key.fingerprint()));
    }
    if let Some(Verdict::Revoked(place)) = verdicts.iter().find(|verdict| matches!(verdict, Verdict::Revoked(_))) {
        return Err(Failure::new(exit::UNREACHED, format!("a key of {} is revoked: {place}", args.host)));
    }
    let given = !args.fingerprints.is_empty();
    let missing = args.fingerprints.iter().find(|wanted| !keys.iter().any(|key| key.fingerprint() == **wanted));
    if let Some(missing) = missing {
        let message = format!("{} has no key with the fingerprint {missing}", args.host);
        return Err(Failure::new(exit::UNREACHED, message).remedy("somebody may be in between: ask whoever runs the host"));
    }
    let changed = known.places(name, port).iter().map(ToString::to_string).collect::<Vec<_>>();
    let is_changed = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Changed(_)));
    if is_changed && !given {
        let message = format!("the keys of {} have changed since {}", args.host, changed.join(", "));
        let remedy = "if that is right, say which: landfall trust HOST --fingerprint SHA256:… , read off the host's own console";
        return Err(Failure::new(exit::UNREACHED, message).remedy(remedy));
    }
    if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Known(_))) {
        super::say("all of them are known already");
        return Ok(exit::DONE);
    }
    if !given {
        let question = Question { action: format!("trust {}", args.host), production: None, database: None };
        question.ask(args.yes, context.paint())?;
    }
    // What was vouched for is recorded, and nothing beside it: each key of the list could come from somebody in between.
    let vouched: Vec<HostKey> =
        keys.iter().filter(|key| !given || args.fingerprints.contains(&key.fingerprint())).cloned().collect();
    let names = if settings.hash_known_hosts { Names::Hashed } else { Names::Plain };
    let is_new = |key: &&HostKey| !matches!(known.judge(name, port, key), Verdict::Known(_));
    let new: Vec<HostKey> = vouched.iter().filter(is_new).cloned().collect();
    let written = if is_changed && given {
        known_hosts::replace(&file, name, port, &vouched, names)
    } else {
        known_hosts::add(&file, name, port, &new, names)
    };
    written.map_err(|error| Failure::usage(error.to_string()))?;
    super::say(&format!("recorded in {}", file.display()));
    Ok(exit::DONE)
}

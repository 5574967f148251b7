//! Which hosts a playbook is about: what it says itself, and what `--on` says.

use crate::name::{GroupName, HostName};
use crate::source::{Place, Placed, Sink, nearest};

use super::inventory::{Host, Inventory};

/// The hosts that a name stands for: one host, or those of a group. Unknown ones, and groups of no hosts, are told.
pub(super) fn hosts_of(inventory: &Inventory, name: &Placed<String>, sink: &Sink) -> Vec<HostName> {
    if let Some(host) = inventory.hosts.iter().find(|host| host.name.as_str() == name.value) {
        return vec![host.name.clone()];
    }
    let groups = inventory.group_names();
    if groups.iter().any(|group| group.as_str() == name.value) {
        let is_in = |host: &&Host| host.groups.iter().any(|group| group.as_str() == name.value);
        let hosts: Vec<HostName> = inventory.hosts.iter().filter(is_in).map(|host| host.name.clone()).collect();
        if hosts.is_empty() {
            let help = format!("put one in: groups = [{:?}] under its [hosts.NAME]", name.value);
            sink.error(&name.place, format!("no host is in the group `{}`", name.value), Some(help));
        }
        return hosts;
    }
    let known: Vec<&str> =
        groups.iter().map(GroupName::as_str).chain(inventory.hosts.iter().map(|host| host.name.as_str())).collect();
    let help = nearest(&name.value, &known)
        .map_or_else(|| format!("landfall.toml has {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    sink.error(&name.place, format!("there is no host or group `{}`", name.value), Some(help));
    Vec::new()
}

/// The hosts of a run, in the order of the inventory.
pub(super) fn select<'a>(
    inventory: &'a Inventory,
    said: Option<&[Placed<String>]>,
    on: &[String],
    everywhere: bool,
    sink: &Sink,
) -> Vec<&'a Host> {
    let expand =
        |names: &[Placed<String>]| -> Vec<HostName> { names.iter().flat_map(|name| hosts_of(inventory, name, sink)).collect() };
    let on: Vec<Placed<String>> = on
        .iter()
        .flat_map(|part| part.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| Placed::nowhere(name.to_owned()))
        .collect();
    // An empty list has been told already.
    let said = said.filter(|names| !names.is_empty()).map(expand);
    let chosen = if on.is_empty() {
        let groups = inventory.group_names();
        if said.is_none() && groups.len() > 1 && !everywhere {
            let names: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
            let help = format!("say --on with a host or a group ({}), or give the playbook `hosts`", names.join(", "));
            sink.error(&Place::nowhere(), "it is not said which hosts are meant", Some(help));
            return Vec::new();
        }
        said.unwrap_or_else(|| inventory.hosts.iter().map(|host| host.name.clone()).collect())
    } else {
        for name in &on {
            let hosts = hosts_of(inventory, name, sink);
            if let Some(said) = said.as_ref().filter(|said| !hosts.is_empty() && !hosts.iter().any(|host| said.contains(host))) {
                let names: Vec<&str> = said.iter().map(HostName::as_str).collect();
                let help = format!("its `hosts` are {}", names.join(", "));
                sink.error(&name.place, format!("--on {} is not among the hosts of the playbook", name.value), Some(help));
            }
        }
        let chosen = expand(&on);
        chosen.into_iter().filter(|host| said.as_ref().is_none_or(|said| said.contains(host))).collect()
    };
    inventory.hosts.iter().filter(|host| chosen.contains(&host.name)).collect()
}

/// The production group that a run touches: one that `--on` names before others.
pub(super) fn production(inventory: &Inventory, hosts: &[&Host], on: &[String]) -> Option<GroupName> {
    let mut touched = hosts.iter().flat_map(|host| &host.groups).filter(|group| inventory.is_production(group));
    let said = |group: &&GroupName| on.iter().flat_map(|part| part.split(',')).any(|name| name.trim() == group.as_str());
    touched.clone().find(said).or_else(|| touched.next()).cloned()
}

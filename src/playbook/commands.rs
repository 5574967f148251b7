//! What the subcommands ask for: a playbook by name, all of them checked, seeds by name, one command.

use std::path::{Path, PathBuf};

use crate::name::{GroupName, HostName, PlaybookName, SeedName};
use crate::source::{Diags, Node, Place, Placed, Sink, Table, nearest};

use super::inventory::{Host, Inventory};
use super::parse::{Playbook, all, locate};
use super::resolve::{self, Options, resolve};
use super::resolved::{HostAt, ResolvedPlaybook};
use super::select;

/// Resolves the playbook of a file.
pub fn open(inventory: &Inventory, path: &Path, options: &Options) -> Result<ResolvedPlaybook, Diags> {
    let sink = Sink::default();
    let resolved = Playbook::read_into(path, &sink).map(|playbook| resolve(inventory, &playbook, options, &sink));
    finish(sink, resolved)
}

/// Resolves a playbook by its name, or by a path.
pub fn named(inventory: &Inventory, name: &str, options: &Options) -> Result<ResolvedPlaybook, Diags> {
    open(inventory, &locate(inventory, name)?, options)
}

fn finish(sink: Sink, resolved: Option<ResolvedPlaybook>) -> Result<ResolvedPlaybook, Diags> {
    sink.finish(resolved)?.ok_or_else(|| Diags::one("the playbook cannot be read", None))
}

/// Checks an inventory and playbooks (all of them, where none is named); all that is wrong at once. Answers what was checked.
pub fn check(config: &Path, playbooks: &[String], options: &Options) -> Result<Vec<PathBuf>, Diags> {
    let sink = Sink::default();
    let options = Options { everywhere: true, ..options.clone() };
    let mut checked = vec![config.to_path_buf()];
    let Some(inventory) = Inventory::read_into(config, &sink) else { return sink.finish(checked) };
    let paths = if playbooks.is_empty() {
        all(&inventory)
    } else {
        let locate = |name: &String| locate(&inventory, name).map_err(|diags| sink.take(diags)).ok();
        playbooks.iter().filter_map(locate).collect()
    };
    for path in paths {
        if let Some(playbook) = Playbook::read_into(&path, &sink) {
            resolve(&inventory, &playbook, &options, &sink);
        }
        checked.push(path);
    }
    sink.finish(checked)
}

/// `landfall seed NAME…`: the playbook `seed`, once for each name; where there is none, one that only seeds.
pub fn seeds(inventory: &Inventory, names: &[String], options: &Options) -> Result<ResolvedPlaybook, Diags> {
    let sink = Sink::default();
    let mut asked: Vec<SeedName> = Vec::new();
    for name in names {
        match inventory.seeds.iter().map(|(seed, _)| seed).find(|seed| seed.as_str() == name) {
            Some(seed) if asked.contains(seed) => {}
            Some(seed) => asked.push(seed.clone()),
            None => {
                let known: Vec<&str> = inventory.seeds.iter().map(|(seed, _)| seed.as_str()).collect();
                let help = match nearest(name, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if known.is_empty() => format!("landfall.toml declares none: add [seeds.{name}] with a `command`"),
                    None => format!("landfall.toml declares {}", known.join(", ")),
                };
                sink.error(&Place::nowhere(), format!("there is no seed `{name}`"), Some(help));
            }
        }
    }
    if !sink.is_empty() {
        return finish(sink, None);
    }
    let mut options = Options { seeds: Some(asked.clone()), ..options.clone() };
    let path = inventory.path.with_file_name("playbooks").join("seed.toml");
    let playbook = if path.is_file() {
        Playbook::read_into(&path, &sink)
    } else {
        let table = Table::made_of([("kind", Node::Text("seed".to_owned())), ("once", Node::Flag(true))]);
        made_up("seed", table)
    };
    let Some(playbook) = playbook else { return finish(sink, None) };
    // A playbook of one's own may take the name as a var.
    let takes_var = playbook.vars.iter().any(|var| var.name.value == "seed");
    let takes_names = playbook.steps.iter().any(|step| is_seed(&step.table) && step.table.get("seeds").is_none());
    match asked.as_slice() {
        [one] if takes_var && !takes_names => options.vars.push(("seed".to_owned(), one.to_string())),
        [_, ..] if !takes_names => {
            let place = playbook.steps.iter().find_map(|step| Some(step.table.get("seeds")?.key.place.clone()));
            let message = "no `seed` step of the playbook `seed` takes the names given";
            let help = "leave `seeds` out of one `seed` step: then it runs the seeds that are named".to_owned();
            sink.error(&place.unwrap_or_else(Place::nowhere), message, Some(help));
        }
        _ => {}
    }
    let resolved = resolve(inventory, &playbook, &options, &sink);
    finish(sink, Some(resolved))
}

fn is_seed(table: &Table) -> bool {
    matches!(table.get("kind").map(|entry| &entry.value.value), Some(Node::Text(kind)) if kind == "seed")
}

/// `landfall exec SERVICE -- CMD…`: one command in a service's image, or in its running container.
pub fn exec(
    inventory: &Inventory,
    service: &str,
    argv: &[String],
    in_running: bool,
    options: &Options,
) -> Result<ResolvedPlaybook, Diags> {
    let text = |text: &str| Node::Text(text.to_owned());
    let table = Table::made_of([
        ("kind", text("exec")),
        ("service", text(service)),
        ("command", Node::List(argv.iter().map(|word| Placed::nowhere(text(word))).collect())),
        ("via", text(if in_running { "exec" } else { "run" })),
    ]);
    let sink = Sink::default();
    let resolved = made_up("exec", table).map(|playbook| resolve(inventory, &playbook, options, &sink));
    finish(sink, resolved)
}

/// `landfall logs SERVICE`: the hosts, with what reading a service's log needs to know of them.
pub fn logs(inventory: &Inventory, service: &str, options: &Options) -> Result<ResolvedPlaybook, Diags> {
    let text = |text: &str| Node::Text(text.to_owned());
    let table = Table::made_of([("kind", text("container")), ("service", text(service))]);
    let sink = Sink::default();
    let options = Options { everywhere: options.on.is_empty(), ..options.clone() };
    let resolved = made_up("logs", table).map(|playbook| resolve(inventory, &playbook, &options, &sink));
    finish(sink, resolved)
}

fn made_up(name: &str, step: Table) -> Option<Playbook> {
    Some(Playbook::made_up(name.parse::<PlaybookName>().ok()?, step))
}

/// The hosts that `--on` names, or all of them: for commands that only look, or act on a run that is there.
pub fn hosts(inventory: &Inventory, on: &[String]) -> Result<Vec<HostAt>, Diags> {
    let sink = Sink::default();
    let chosen = select::select(inventory, None, on, true, &sink);
    let at = |host: &Host| HostAt {
        name: host.name.clone(),
        target: resolve::target(inventory, host),
        state: resolve::state(inventory, host),
    };
    let chosen: Vec<HostAt> = chosen.into_iter().map(at).collect();
    sink.finish(chosen)
}

/// A production group among those of some hosts: its name confirms what is done to them.
pub fn production(inventory: &Inventory, hosts: &[HostName]) -> Option<GroupName> {
    let hosts: Vec<&Host> = inventory.hosts.iter().filter(|host| hosts.contains(&host.name)).collect();
    select::production(inventory, &hosts, &[])
}

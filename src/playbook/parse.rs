//! A playbook's file: its head, its vars and its steps as tables. Which hosts and values it is about is not known here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::name::PlaybookName;
use crate::protocol::When;
use crate::source::{Node, Place, Placed, Reader, Sink, Table, nearest, parse, refuse_literals};

use super::inventory::Inventory;
use super::resolved::Serial;
use super::vars;

/// A playbook as it is written.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// The stem of its file.
    pub name: PlaybookName,
    /// Its file; none for one that a subcommand makes up.
    pub path: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// For people.
    pub description: Option<String>,
    /// Names of hosts and groups.
    pub hosts: Option<Vec<Placed<String>>>,
    /// How many hosts go at once.
    pub serial: Option<Serial>,
    /// Its vars.
    pub vars: Vec<Var>,
    /// Its steps, those of `[[on_failure]]` and `[[always]]` last.
    pub steps: Vec<RawStep>,
}

/// A var that a playbook declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Var {
    /// Its name.
    pub name: Placed<String>,
    /// Its value, where nobody gives another; none: it must be given.
    pub default: Option<Placed<String>>,
    /// For people.
    pub description: Option<String>,
}

/// A step's table, and the list that it is in.
#[derive(Debug, Clone, PartialEq)]
pub struct RawStep {
    /// The table.
    pub table: Table,
    /// When the list's steps run, where the list says so.
    pub when: Option<When>,
}

const LISTS: [(&str, Option<When>); 3] = [("steps", None), ("on_failure", Some(When::Failure)), ("always", Some(When::Always))];

/// The file of a playbook: a path, or the stem of a file under `playbooks/` beside the inventory.
pub fn locate(inventory: &Inventory, name: &str) -> Result<PathBuf, crate::source::Diags> {
    let is_path = name.contains('/') || Path::new(name).extension().is_some_and(|ending| ending == "toml");
    if is_path {
        return Ok(PathBuf::from(name));
    }
    let folder = inventory.path.with_file_name("playbooks");
    let path = folder.join(format!("{name}.toml"));
    if path.is_file() {
        return Ok(path);
    }
    let known = all(inventory);
    let stems = known.iter().filter_map(|path| path.file_stem()?.to_str());
    let help = match nearest(name, stems.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "`landfall init` writes playbooks; one can also be named by its path".to_owned(),
        None => format!("there are {}; one can also be named by its path", stems.collect::<Vec<_>>().join(", ")),
    };
    Err(crate::source::Diags::one(format!("there is no playbook `{name}` in {}", folder.display()), Some(help)))
}

/// All playbooks beside an inventory, by name.
pub fn all(inventory: &Inventory) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(inventory.path.with_file_name("playbooks")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    paths.sort();
    paths
}

impl Playbook {
    /// Reads a playbook's file as far as it can be read.
    pub fn read_into(path: &Path, sink: &Sink) -> Option<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text, sink),
            Err(error) => {
                sink.error(&Place::nowhere(), format!("{} cannot be read: {error}", path.display()), None);
                None
            }
        }
    }

    /// Reads a playbook's text as far as it can be read; what is wrong is told to the sink.
    pub fn parse(path: &Path, text: &str, sink: &Sink) -> Option<Self> {
        let file: Arc<str> = Arc::from(path.display().to_string());
        let table = parse(&file, text, sink);
        refuse_literals(&table, sink);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let top = Place { file, span: 0..0 };
        let name = stem.parse::<PlaybookName>();
        if let Err(error) = &name {
            sink.error(&top, error.to_string(), Some("rename the file".to_owned()));
        }
        let reader = Reader::new(&table, "a playbook", None, sink);
        let steps: Vec<RawStep> = LISTS
            .into_iter()
            .flat_map(|(key, when)| reader.tables(key).into_iter().map(move |table| RawStep { table: table.clone(), when }))
            .collect();
        if !steps.iter().any(|step| step.when.is_none()) && reader.entry("steps").is_none() {
            sink.error(&top, "the playbook has no steps", Some("add one: [[steps]] with kind = \"…\"".to_owned()));
        }
        let hosts = reader.text_or_texts("hosts");
        if hosts.as_ref().is_some_and(Vec::is_empty) {
            let help = "name hosts or groups, or leave the key out: then --on says them";
            reader.error(&reader.place_of("hosts"), "`hosts` is empty", help);
        }
        let playbook = Self {
            name: name.ok()?,
            path: Some(path.to_path_buf()),
            text: text.to_owned(),
            description: reader.text("description").map(|text| text.value),
            hosts,
            serial: serial(&reader),
            vars: declared(&reader),
            steps,
        };
        reader.finish();
        Some(playbook)
    }

    /// A playbook of one step, for a subcommand.
    pub(super) fn made_up(name: PlaybookName, step: Table) -> Self {
        let text = format!("{step:?}");
        let steps = vec![RawStep { table: step, when: None }];
        Self { name, path: None, text, description: None, hosts: None, serial: None, vars: Vec::new(), steps }
    }
}

fn serial(reader: &Reader<'_>) -> Option<Serial> {
    let value = &reader.entry("serial")?.value;
    let serial = match &value.value {
        Node::Whole(count) => usize::try_from(*count).ok().filter(|count| *count > 0).map(Serial::Hosts),
        Node::Text(text) => text
            .strip_suffix('%')
            .and_then(|percent| percent.trim().parse::<u8>().ok())
            .filter(|percent| (1..=100).contains(percent))
            .map(Serial::Percent),
        _ => None,
    };
    if serial.is_none() {
        let help = "write how many hosts go at once (`serial = 2`), or a share of them (`serial = \"25%\"`)";
        reader.error(&value.place, "`serial` must be a number of hosts or a share from \"1%\" to \"100%\"", help);
    }
    serial
}

fn declared(reader: &Reader<'_>) -> Vec<Var> {
    let entries = reader.map("vars").map(|table| table.entries.as_slice()).unwrap_or_default();
    let sink = reader.sink();
    let var = |entry: &crate::source::Entry| {
        let name = entry.key.clone();
        let Node::Table(table) = &entry.value.value else {
            return Some(Var { default: Some(vars::value(&name.value, &entry.value, sink)?), description: None, name });
        };
        let inner = Reader::new(table, format!("the var `{}`", name.value), None, sink);
        let default = inner.entry("default").and_then(|entry| vars::value("default", &entry.value, sink));
        let description = inner.text("description").map(|text| text.value);
        inner.finish();
        Some(Var { name, default, description })
    };
    entries.iter().filter(|entry| vars::check_name(&entry.key, sink)).filter_map(var).collect()
}

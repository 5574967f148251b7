//! `landfall verify`: the migration files of this folder, compared with the database of each host. Changes nothing,
//! unless it is told to apply what waits: then that becomes a run of the playbook's `migrate` steps.

mod judge;
mod past;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{VerifyArgs, VerifyFormat};
use super::lint::{self, approve};
use super::{Context, Failure, check, exit, plan, start};
use crate::action::{Action, Migrate, Model};
use crate::facts::{DatabaseFacts, Facts, History};
use crate::history::{self, File, Known};
use crate::migration::gate::{Consent, difference};
use crate::migration::lint::{APPROVALS_FILE, Approvals, Finding, Granted, Waiver, gate};
use crate::name::{HostName, StepName};
use crate::plan::Plan;
use crate::playbook::{self, Inventory, Work};
use crate::report::{Case, Output, Paint, Verdict, label, suites_junit};
use judge::{Judged, judge};

/// The most that is read of a folder of migrations.
const LARGEST: u64 = 64 << 20;

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<u8, Failure> {
    let inventory = Inventory::read(&context.inventory()?)?;
    let resolved = playbook::named(&inventory, &args.playbook, &check::options(&args.selection))?;
    let bare = Plan::new(&resolved, BTreeMap::new());
    let mut steps: Vec<(HostName, StepName, Migrate)> = Vec::new();
    for host in &resolved.hosts {
        for step in host.steps.iter().filter(|step| matches!(step.work, Work::Host)) {
            let migrations = step.step.actions.iter().filter_map(|action| match action {
                Action::Migrate(migrate) => Some(migrate),
                _ => None,
            });
            steps.extend(migrations.map(|migrate| (host.name.clone(), step.step.name.clone(), Migrate::clone(migrate))));
        }
    }
    if steps.is_empty() {
        return Err(Failure::usage(format!("the playbook {} has no `migrate` step on these hosts", args.playbook))
            .remedy("name the playbook that migrates: landfall verify PLAYBOOK"));
    }
    if let Some((_, step, migrate)) = steps.iter().find(|(_, _, migrate)| args.apply && migrate.carried.is_none()) {
        let why =
            format!("--apply cannot do the step {step}: {} takes its files from the image, not from this folder", migrate.tool);
        return Err(Failure::refused(why).remedy("build the image, and release it: landfall run"));
    }
    let path = inventory.root.join(APPROVALS_FILE);
    let approvals = lint::approvals(&path)?;
    let (facts, code) = plan::ask(context, &resolved, &bare, &Consent::default())?;
    if let Some(code) = code {
        return Ok(code);
    }
    let (mut tables, mut findings) = (Vec::new(), Vec::new());
    for (host, step, migrate) in steps {
        let (model, folder, files) = local(&inventory.root, &migrate, args.files.as_deref())?;
        let found = facts.get(&host).and_then(|facts: &Facts| facts.histories.get(&step).cloned());
        let found = found.unwrap_or_else(|| History { not_known: Some("it was not looked at".to_owned()), ..History::default() });
        let database = facts.get(&host).and_then(|facts| facts.database.clone());
        let mut rows = judge(model, &files, &found, |known, digest| past::told(&folder, model, known, digest));
        let below = folder.strip_prefix(&inventory.root).unwrap_or(&folder).display().to_string();
        accept(&mut rows, &below, &approvals, &args.consent.approve, &mut findings);
        let digests = model.digest.is_some() || rows.iter().all(|row| row.sure || row.state != "applied");
        tables.push(Table { host, step, folder, database, unknown: found.not_known, digests, rows });
    }
    if let Some(wanted) = approve::Wanted::of(&args.approval) {
        return approve::write(&path, &approvals, &findings, &wanted);
    }
    let wrong: usize = tables.iter().map(|table| usize::from(table.unknown.is_some()) + wrong(&table.rows)).sum();
    let waits = tables.iter().flat_map(|table| &table.rows).any(|row| row.state == "pending");
    let apply = args.apply && wrong == 0 && waits;
    let json = context.output == Output::Json;
    let text = match args.format.unwrap_or(if json { VerifyFormat::Json } else { VerifyFormat::Text }) {
        // The events of a run are all that stands on stdout then.
        _ if apply && json => String::new(),
        VerifyFormat::Text => text(context.display_out(), &tables, wrong),
        VerifyFormat::Json => document(&tables, wrong),
        VerifyFormat::Junit => junit(&tables),
    };
    super::print(text.as_bytes())?;
    if apply {
        return start::start(context, &inventory, &resolved.carried_only(), &args.start, &args.consent);
    }
    Ok(if wrong == 0 { exit::DONE } else { exit::REFUSED })
}

/// What has parted, as findings; of what somebody took upon themselves the rows say by whom.
fn accept(rows: &mut [Judged], folder: &str, approvals: &Approvals, waivers: &[Waiver], findings: &mut Vec<Finding>) {
    for row in rows {
        let Some(finding) = row.parted.as_ref().and_then(|parted| difference(parted, folder)) else { continue };
        let judged = gate(vec![finding.clone()], approvals, waivers, &[]);
        if let Some((_, granted)) = judged.approved.first() {
            row.wrong = false;
            let told = match granted {
                Granted::Entry(approval) => format!("{} took that upon themselves: {}", approval.by, approval.reason),
                Granted::Waiver(waiver) => format!("--approve {waiver}"),
            };
            row.note = Some(told);
        }
        findings.push(finding);
    }
}

/// What is with the migrations of one step on one host.
struct Table {
    host: HostName,
    step: StepName,
    folder: PathBuf,
    database: Option<DatabaseFacts>,
    unknown: Option<String>,
    /// What was applied is known of each by its digest.
    digests: bool,
    rows: Vec<Judged>,
}

fn document(tables: &[Table], wrong: usize) -> String {
    let hosts = tables.iter().map(|Table { host, step, folder, database, unknown, digests, rows }| {
        json!({
            "host": host, "step": step, "folder": folder, "database": database, "not_known": unknown, "digests": digests,
            "migrations": rows
        })
    });
    let hosts: Vec<_> = hosts.collect();
    format!("{}\n", serde_json::to_string_pretty(&json!({ "ready": wrong == 0, "hosts": hosts })).unwrap_or_default())
}

/// As JUnit XML: a suite a host and step, and a test case a migration.
fn junit(tables: &[Table]) -> String {
    let fails = |message: String, kind| Verdict::Fails { text: message.clone(), message, kind };
    let suites = tables.iter().map(|Table { host, step, unknown, rows, .. }| {
        let cases = rows.iter().map(|row| {
            let note = row.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
            let said = format!("{}{note}", row.state);
            Case { name: row.name.clone(), verdict: if row.wrong { fails(said, row.state) } else { Verdict::Passes(said) } }
        });
        let unknown = unknown.iter().map(|why| Case {
            name: "the database".to_owned(),
            verdict: fails(format!("what is applied is not known: {why}"), "not known"),
        });
        (format!("{host} {step}"), unknown.chain(cases).collect())
    });
    suites_junit("landfall verify", &suites.collect::<Vec<_>>())
}

fn text(paint: Paint, tables: &[Table], wrong: usize) -> String {
    let mut lines = Vec::new();
    for Table { host, step, folder, database, unknown, digests, rows } in tables {
        let server = database.as_ref().map(|found| format!("{} of {}", found.name, found.server)).unwrap_or_default();
        lines.push(format!("{host}  {step}  {}  {server}", folder.display()).trim_end().to_owned());
        match unknown {
            Some(why) => lines.push(format!("  not known: {}", label(why))),
            None => lines.extend(judge::table(rows, *digests, paint)),
        }
        lines.push(String::new());
    }
    lines.push(verdict(wrong, paint));
    lines.join("\n") + "\n"
}

fn wrong(rows: &[Judged]) -> usize {
    rows.iter().filter(|row| row.wrong).count()
}

fn verdict(wrong: usize, paint: Paint) -> String {
    use crate::report::Tone;
    match wrong {
        0 => paint.paint(Tone::Good, "READY TO MERGE"),
        1 => paint.paint(Tone::Bad, "NOT READY: 1 thing is in the way"),
        several => paint.paint(Tone::Bad, format!("NOT READY: {several} things are in the way")),
    }
}

/// The migrations of the working folder, by the model that they are laid out for.
fn local<'a>(root: &Path, migrate: &'a Migrate, named: Option<&Path>) -> Result<(&'a Model, PathBuf, Vec<Known>), Failure> {
    let mut first: Option<(&Model, PathBuf, Vec<Known>)> = None;
    for model in &migrate.models {
        let usual = model.folders.iter().filter(|folder| !folder.starts_with('/')).map(|folder| root.join(folder));
        let folders: Vec<PathBuf> = named.map_or_else(|| usual.collect(), |named| vec![named.to_path_buf()]);
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            let files = read(&folder)?;
            let known = history::known(model, &files).map_err(|why| Failure::refused(format!("{}: {why}", folder.display())))?;
            let fits = !known.is_empty();
            if fits || first.is_none() {
                first = Some((model, folder, known));
            }
            if fits {
                return first.ok_or_else(|| Failure::refused("no migrations"));
            }
        }
    }
    first.ok_or_else(|| {
        let usual: Vec<String> = migrate.models.iter().flat_map(|model| model.folders.clone()).collect();
        if migrate.models.is_empty() {
            return Failure::refused("Landfall does not know how this tool keeps its files").remedy("name a `tool` in the step");
        }
        Failure::refused(format!("there is no folder {} in {}", usual.join(" or "), root.display()))
            .remedy("name the folder of the migrations here: --files DIR")
    })
}

fn read(folder: &Path) -> Result<Vec<File>, Failure> {
    let (mut files, mut folders, mut size) = (Vec::new(), vec![folder.to_path_buf()], 0);
    let failed = |path: &Path, error: std::io::Error| Failure::refused(format!("{} cannot be read: {error}", path.display()));
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(|error| failed(&next, error))? {
            let path = entry.map_err(|error| failed(&next, error))?.path();
            let metadata = path.symlink_metadata().map_err(|error| failed(&path, error))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if metadata.is_dir() && !history::is_foreign(&name) && name != "target" {
                folders.push(path);
            } else if metadata.is_file() {
                size += metadata.len();
                if size > LARGEST {
                    return Err(Failure::refused(format!("{} holds more than {} MiB", folder.display(), LARGEST >> 20))
                        .remedy("name the folder of the migrations alone: --files DIR"));
                }
                let bytes = std::fs::read(&path).map_err(|error| failed(&path, error))?;
                files.push(File { path: path.strip_prefix(folder).unwrap_or(&path).display().to_string(), bytes });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

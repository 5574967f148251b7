//! Who is told of a run: the reporter that is shown, the reports that are wanted, this machine's own copy, and others. And
//! `landfall report`, which makes a report of a run that is recorded.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::args::{ReportArgs, Reports};
use super::{Context, Failure, exit, past};
use crate::copies::Copies;
use crate::name::StepName;
use crate::notify::Notifier;
use crate::playbook::{Inventory, ResolvedPlaybook};
use crate::report::{Display, Files, Form, GitHub, Mode, PlaybookLine, Reporter, Reporters, Sink, Unwritable, Wanted, Workflow};
use crate::run::Finished;
use crate::vault::Vault;

/// All who are told of a run that is started here. What cannot be written is found out before anything is contacted.
pub(super) fn of_run(
    context: &Context,
    inventory: &Inventory,
    resolved: &ResolvedPlaybook,
    wanted: &Reports,
    vault: &Arc<Vault>,
) -> Result<Reporters, Failure> {
    let metrics = wanted.metrics.clone().or_else(|| inventory.metrics.clone());
    let mut reporters = shown(&context.display, &lines(resolved));
    add_files(&mut reporters, context, wanted, metrics, Some(inventory))?;
    copy(&mut reporters, inventory);
    reporters.add(notifier(inventory, vault));
    Ok(reporters)
}

fn notifier(inventory: &Inventory, vault: &Arc<Vault>) -> Notifier {
    Notifier::new(&inventory.notify, inventory.project.as_str(), vault)
}

/// Whoever takes a run over tells others how it ends.
pub(super) fn notify_of_the_end(reporters: &mut Reporters, inventory: &Inventory, vault: &Arc<Vault>) {
    reporters.add(notifier(inventory, vault).taking_over());
}

/// All who are told of a run that was started elsewhere, or before.
pub(super) fn of_watching(context: &Context, wanted: &Reports, inventory: Option<&Inventory>) -> Result<Reporters, Failure> {
    let display = Display { replay: true, ..context.display.clone() };
    let mut reporters = shown(&display, &BTreeMap::new());
    add_files(&mut reporters, context, wanted, wanted.metrics.clone(), inventory)?;
    Ok(reporters)
}

/// Has this machine keep its own copy of the run. That it cannot is no reason not to run.
pub(super) fn copy(reporters: &mut Reporters, inventory: &Inventory) {
    match Copies::open() {
        Ok(copies) => reporters.add(copies.recorder(inventory.project.as_str(), &inventory.path)),
        Err(error) => super::say(&format!("warning: no copy of the run will be kept here: {error}")),
    }
}

/// The run is over: what the command will tell of it is told to those who write it down, and all of them finish.
pub(super) fn finish(reporters: &mut Reporters, finished: &Finished) {
    for stop in &finished.stops {
        reporters.stopped(stop.host.as_ref(), &stop.message, stop.remedy.as_deref());
    }
    reporters.finish();
}

fn shown(display: &Display, lines: &BTreeMap<StepName, PlaybookLine>) -> Reporters {
    match Workflow::of_process(lines).filter(|_| display.mode == Mode::Plain) {
        Some(workflow) => {
            let mut reporters = Reporters::new();
            reporters.add(GitHub::new(display, workflow, Sink::stdout()));
            reporters
        }
        None => Reporters::for_display(display),
    }
}

/// Where each step stands in the playbook's file, by the path that a checkout has it under.
fn lines(resolved: &ResolvedPlaybook) -> BTreeMap<StepName, PlaybookLine> {
    let Some(path) = &resolved.path else { return BTreeMap::new() };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let workspace = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from).or_else(|| std::env::current_dir().ok());
    let file = workspace.and_then(|root| absolute.strip_prefix(root).ok().map(Path::to_owned)).unwrap_or(absolute);
    let of = |(name, line): (&StepName, &usize)| (name.clone(), PlaybookLine { file: file.display().to_string(), line: *line });
    resolved.lines.iter().map(of).collect()
}

fn add_files(
    reporters: &mut Reporters,
    context: &Context,
    wanted: &Reports,
    metrics: Option<PathBuf>,
    inventory: Option<&Inventory>,
) -> Result<(), Failure> {
    let mut all = wanted.files.clone();
    all.extend(metrics.map(|path| Wanted { form: Form::Metrics, path }));
    if !all.is_empty() {
        let printed = wanted.printed.report_output.into();
        let files = Files::prepare(&all, printed, &context.display.program).map_err(|error| unwritable(&error))?;
        reporters.add(files.of_project(inventory.map(|inventory| inventory.project.as_str())));
    }
    Ok(())
}

fn unwritable(error: &Unwritable) -> Failure {
    Failure::usage(error.to_string()).remedy("name a file in a folder that is there and can be written")
}

/// `landfall report`
pub(super) fn run(context: &Context, args: &ReportArgs) -> Result<u8, Failure> {
    let form = args.format.map(Form::from).or_else(|| by_ending(args.out.as_deref()?)).unwrap_or(Form::Markdown);
    let wanted: Vec<Wanted> = args.out.iter().map(|path| Wanted { form, path: path.clone() }).collect();
    let printed = args.printed.report_output.into();
    let program = &context.display.program;
    let files = if wanted.is_empty() {
        Files::collect(printed, program)
    } else {
        Files::prepare(&wanted, printed, program).map_err(|error| unwritable(&error))?
    };
    let files = Arc::new(Mutex::new(files));
    let mut reporters = Reporters::new();
    reporters.add(Arc::clone(&files));
    let code = past::tell(context, &args.on, args.run.as_deref(), &mut reporters)?;
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    if files.is_empty() {
        return Err(Failure::refused("there is nothing in the record of that run"));
    }
    match &args.out {
        Some(_) => files.put().map_err(|error| unwritable(&error))?,
        None => print(&files, form)?,
    }
    Ok(code)
}

fn print(files: &Files, form: Form) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match files.write(form, &mut out).and_then(|()| out.flush()) {
        // A reader that went away has read what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::FAILED, format!("failed to write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn by_ending(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()? {
        "xml" => Some(Form::Junit),
        "html" | "htm" => Some(Form::Html),
        "json" => Some(Form::Json),
        "md" => Some(Form::Markdown),
        _ => None,
    }
}

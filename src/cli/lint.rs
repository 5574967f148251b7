//! `landfall lint`: what makes migrations dangerous, found in their files. Contacts nothing, and runs nothing that comes from the
//! repository. What is a finding, and what an approval is bound to, is [`crate::migration::lint`]'s.

pub(super) mod approve;
mod find;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{LintArgs, LintFormat};
use super::{Context, Failure, exit};
use crate::migration::lint::{APPROVALS_FILE, Approvals, Finding, Judged, Severity, check_each, gate, rules};
use crate::report::{Output, findings_github, findings_junit};
use crate::source;

pub(super) fn run(context: &Context, args: &LintArgs) -> Result<u8, Failure> {
    if args.rules {
        super::print(show::rules(rules()).as_bytes())?;
        return Ok(exit::DONE);
    }
    let root = root(context)?;
    let found = find::files(&root, &args.paths, args.dialect.map(Into::into))?;
    let mut findings = check_each(&found.sources());
    found.bind(&mut findings);
    let path = root.join(APPROVALS_FILE);
    let approvals = approvals(&path)?;
    if let Some(wanted) = approve::Wanted::of(&args.approval) {
        let wanted = approve::Wanted { key: args.key.as_deref(), statement: args.statement.as_deref(), ..wanted };
        return approve::write(&path, &approvals, &findings, &wanted);
    }
    let mut names: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
    // An approval for a file that is gone fits nothing either.
    names.extend(approvals.0.iter().map(|approval| approval.file.as_str()).filter(|file| !root.join(file).exists()));
    let judged = gate(findings, &approvals, &args.approve, &names);
    let code = code(&judged, args.strict);
    let format = args.format.unwrap_or(if context.output == Output::Json { LintFormat::Json } else { LintFormat::Text });
    let text = match format {
        LintFormat::Text => show::text(&found, &judged, &root, context.display_out()),
        LintFormat::Json => show::json(&found, &judged, &root, code),
        LintFormat::Junit => {
            let files: Vec<&str> = found.files.iter().map(|file| file.name.as_str()).collect();
            findings_junit(&files, &judged, args.strict)
        }
        LintFormat::Github => findings_github(&judged, &in_checkout(&root)),
    };
    super::print(text.as_bytes())?;
    Ok(code)
}

/// Refused, where something is open that needs approval.
fn code(judged: &Judged, strict: bool) -> u8 {
    let fails = |finding: &Finding| strict || finding.severity == Severity::Error;
    let idle = !judged.idle.is_empty();
    if judged.open.iter().any(fails) || (strict && !judged.stale.is_empty()) {
        exit::REFUSED
    } else if idle {
        exit::USAGE
    } else {
        exit::DONE
    }
}

/// The inventory's folder, or this one if there is no inventory.
fn root(context: &Context) -> Result<PathBuf, Failure> {
    let folder = |path: PathBuf| {
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
    };
    let root = context.inventory().map_or_else(|_| PathBuf::from("."), folder);
    std::path::absolute(&root).map_err(|error| Failure::usage(format!("{} cannot be found: {error}", root.display())))
}

/// The folder of the files as a runner names them: from the root of its checkout, where this is one.
fn in_checkout(root: &Path) -> String {
    let checkout = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from);
    let below = checkout.as_deref().and_then(|checkout| root.strip_prefix(checkout).ok());
    below.map(|below| below.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads the file of approvals; none is one without entries.
pub(super) fn approvals(path: &Path) -> Result<Approvals, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Approvals::default()),
        Err(error) => return Err(Failure::usage(format!("{} cannot be read: {error}", path.display()))),
    };
    let sink = source::Sink::default();
    let file: Arc<str> = Arc::from(path.display().to_string());
    sink.source(&file, &text);
    let approvals = Approvals::parse(&file, &text, &sink);
    Ok(sink.finish(approvals)?)
}

//! `landfall check`: everything that is wrong with inventory and playbooks, found without contacting anything.

use std::path::{Path, PathBuf};

use super::args::{CheckArgs, Selection};
use super::{Context, Failure, exit};
use crate::playbook::{Options, check};
use crate::report::{Output, Tone};

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<u8, Failure> {
    let checked = check(&context.inventory()?, &args.playbooks, &options(&args.selection))?;
    if context.output == Output::Json {
        let files: Vec<String> = checked.iter().map(|path| path.display().to_string()).collect();
        let value = serde_json::json!({ "v": crate::event::VERSION, "type": "checked", "files": files });
        super::print(format!("{value}\n").as_bytes())?;
        return Ok(exit::DONE);
    }
    for path in &checked {
        super::say(&format!("{} {}", context.paint().paint(Tone::Good, "✓"), near(path).display()));
    }
    Ok(exit::DONE)
}

/// Which hosts and values, as resolving wants them.
pub(super) fn options(selection: &Selection) -> Options {
    Options { on: selection.on.on.clone(), vars: selection.vars.clone(), ..Options::default() }
}

/// A path as it is seen from here, where that is shorter.
fn near(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or_else(|| path.to_owned())
}

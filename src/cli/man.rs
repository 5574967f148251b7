//! `landfall man`: manual pages, made from the definitions of the command line.

use std::path::Path;

use clap::CommandFactory as _;

use super::args::{Cli, ManArgs};
use super::{Context, Failure, exit};

pub(super) fn run(_context: &Context, args: &ManArgs) -> Result<u8, Failure> {
    match &args.dir {
        Some(dir) => {
            write_all(dir).map_err(|error| {
                Failure::new(exit::FAILED, format!("failed to write manual pages to {}: {error}", dir.display()))
            })?;
            super::say(&format!("wrote the manual pages to {}", dir.display()));
        }
        None => super::print(&page(&args.command)?)?,
    }
    Ok(exit::DONE)
}

fn write_all(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

/// The page of a command, named as it is typed.
fn page(words: &[String]) -> Result<Vec<u8>, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut found = &command;
    for word in words {
        found = found.find_subcommand(word).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(clap::Command::get_name).collect();
            let failure = Failure::usage(format!("there is no command `landfall {}`", words.join(" ")));
            if known.is_empty() { failure } else { failure.remedy(format!("known are: {}", known.join(", "))) }
        })?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(found.clone())
        .render(&mut text)
        .map_err(|error| Failure::new(exit::FAILED, format!("failed to make the manual page: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn pages_by_command() {
        for (command, title) in [("", "landfall"), ("run", "landfall-run"), ("lock status", "landfall-lock-status")] {
            let text = String::from_utf8(page(&words(command)).unwrap()).unwrap();
            assert!(text.contains(&format!(".TH {title} 1")), "{command}: {}", &text[..200]);
        }
        assert_eq!(page(&words("lock frob")).unwrap_err().code(), 2);
    }

    #[test]
    fn all_pages_at_once() {
        let dir = tempfile::tempdir().unwrap();
        write_all(&dir.path().join("man1")).unwrap();
        for name in ["landfall.1", "landfall-run.1", "landfall-lock-break.1"] {
            assert!(dir.path().join("man1").join(name).exists(), "{name}");
        }
    }
}

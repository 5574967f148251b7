//! What stands behind a command: the scripts of a package.json, and the text for a shell, as far as they can be read. Pure; the scripts are
//! handed in.

use std::collections::{BTreeMap, BTreeSet};

use super::forbidden::{self, Forbidden};

/// What was found behind a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// A command that is refused, and the script that it stands in.
    pub forbidden: Option<(String, Forbidden)>,
    /// What could not be looked at, as it is written.
    pub unread: BTreeSet<String>,
}

/// Looks behind a command. `scripts` are those of the package.json that it would read; none: they are not known.
pub fn look<S: AsRef<str>>(words: &[S], scripts: Option<&BTreeMap<String, String>>) -> Behind {
    let mut behind = Behind::default();
    let mut seen = BTreeSet::new();
    let mut ahead: Vec<Vec<String>> = vec![words.iter().map(|word| word.as_ref().to_owned()).collect()];
    while let Some(words) = ahead.pop() {
        for command in forbidden::simple_commands(&words) {
            behind.unread.extend(unread(&command));
            let Some(name) = script(&command, scripts) else { continue };
            // Before and after each script the ones with its name run, too.
            let around = [format!("pre{name}"), name.clone(), format!("post{name}")];
            let found: Vec<&String> = around.iter().filter_map(|name| scripts?.get(name)).collect();
            if !scripts.is_some_and(|scripts| scripts.contains_key(&name)) {
                behind.unread.insert(command.join(" "));
            }
            for text in found.into_iter().filter(|text| seen.insert((*text).clone())) {
                if let Some(forbidden) = forbidden::find(&[text]) {
                    behind.forbidden.get_or_insert((name.clone(), forbidden));
                }
                ahead.push(vec![text.clone()]);
            }
        }
    }
    behind
}

/// The script of the package.json that a simple command runs.
fn script(command: &[String], scripts: Option<&BTreeMap<String, String>>) -> Option<String> {
    let at = command.iter().position(|word| ["npm", "pnpm", "yarn", "bun"].iter().any(|tool| forbidden::is_tool(word, tool)))?;
    let mut plain = command[at + 1..].iter().filter(|word| !word.starts_with('-'));
    let first = plain.next()?;
    match first.as_str() {
        "run" | "run-script" | "rum" | "urn" => plain.next().cloned(),
        "start" | "stop" | "test" | "restart" => Some(first.clone()),
        // All but npm take a script's bare name as well.
        name if !forbidden::is_tool(&command[at], "npm") && scripts.is_some_and(|scripts| scripts.contains_key(name)) => {
            Some(first.clone())
        }
        _ => None,
    }
}

/// A simple command whose doing stands elsewhere, or is put together when it runs.
fn unread(command: &[String]) -> Option<String> {
    let is_assignment = |word: &&String| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('/'));
    let mut words = command.iter().skip_while(is_assignment);
    let first = words.next()?;
    let program = first.rsplit('/').next().unwrap_or(first);
    let elsewhere = match program {
        "eval" | "source" | "." => true,
        "sh" | "bash" | "dash" | "ash" | "zsh" => words.next().is_some_and(|word| !word.starts_with('-')),
        _ => {
            first.starts_with('$')
                || std::path::Path::new(program).extension().is_some_and(|extension| extension == "sh")
                || first.starts_with("./")
        }
    };
    elsewhere.then(|| command.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> BTreeMap<String, String> {
        let scripts = [
            ("job", "tsx jobs/job.ts"),
            ("push", "prisma db push"),
            ("release", "npm run job && yarn push"),
            ("prejob", "./prepare.sh"),
            ("circle", "npm run circle"),
        ];
        scripts.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    }

    fn told(words: &[&str]) -> (Option<&'static str>, Vec<String>) {
        let scripts = scripts();
        let behind = look(words, Some(&scripts));
        (behind.forbidden.map(|(_, forbidden)| forbidden.name), behind.unread.into_iter().collect())
    }

    #[test]
    fn scripts_are_followed() {
        assert_eq!(told(&["npm", "run", "push"]).0, Some("prisma db push"));
        assert_eq!(told(&["npm", "--silent", "run", "release"]), (Some("prisma db push"), vec!["./prepare.sh".to_owned()]));
        assert_eq!(told(&["sh", "-c", "cd /app; exec pnpm push"]).0, Some("prisma db push"));
        assert_eq!(told(&["npm", "run", "circle"]), (None, vec![]));
        assert_eq!(told(&["npm", "push"]), (None, vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert_eq!(told(&["npm", "run", "other"]).1, ["npm run other"]);
        assert_eq!(look(&["npm", "test"], None).unread.len(), 1);
        for text in ["sh run-all", "A=1 ./x", ". ./env", "eval \"$X\"", "$TOOL db push", "ops/seed.sh"] {
            assert_eq!(told(&[text]).1.len(), 1, "{text}");
        }
        for text in ["node x.js", "sh -c 'npm run job'", "docker compose ps", "A=./x node y"] {
            assert!(!told(&[text]).1.contains(&text.to_owned()), "{text}");
        }
    }
}

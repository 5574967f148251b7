//! What an edited migration was when it was applied, from the git history; and whether its SQL or only its comments changed since.

use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::super::git;
use crate::action::Model;
use crate::history::Known;
use crate::playbook::hex;

/// So many versions of a file are looked at.
const VERSIONS: &str = "200";
/// And no longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of the file whose digest was recorded; none where git does not know it.
pub(super) fn told(folder: &Path, model: &Model, known: &Known, recorded: &str) -> Option<String> {
    let file = Path::new(&known.path);
    let path = format!("./{}", file.display());
    let until = Instant::now() + PATIENCE;
    let commits = git::ask(folder, &["log", "-n", VERSIONS, "--format=%h", "--no-show-signature", "--", &path], until)?;
    let commits = String::from_utf8(commits).ok()?;
    for commit in commits.lines() {
        let Some(text) = git::ask(folder, &["show", "--no-textconv", &format!("{commit}:{path}")], until) else { continue };
        let then = Known { bytes: text.clone(), ..known.clone() };
        if hex(&Sha256::digest(&text)).eq_ignore_ascii_case(recorded) || then.with_digest(model).is_recorded_as(model, recorded) {
            return Some(changed(&text, &known.bytes, commit));
        }
    }
    None
}

fn changed(then: &[u8], now: &[u8], commit: &str) -> String {
    let (then, now) = (String::from_utf8_lossy(then), String::from_utf8_lossy(now));
    if meaning(&then) == meaning(&now) {
        return format!(
            "only comments or blanks changed since {commit}, which was applied: bring back its text (git checkout {commit} -- …)"
        );
    }
    let lines =
        |text: &str| text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(&then), lines(&now));
    let mut told = vec![format!("SQL changed since {commit}, which was applied; put the change into a new migration")];
    told.extend(old.iter().filter(|line| !new.contains(line)).take(5).map(|line| format!("- {line}")));
    told.extend(new.iter().filter(|line| !old.contains(line)).take(5).map(|line| format!("+ {line}")));
    told.join("\n")
}

/// SQL without comments, and with one blank where there were several; strings and quoted names stand as they are.
fn meaning(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(tag) = dollar(rest) {
            let length = rest[tag..].find(&rest[..tag]).map_or(rest.len(), |end| end + 2 * tag);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        } else if matches!(c, '\'' | '"' | '`') {
            let length = rest[1..].find(c).map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        } else if c.is_whitespace() {
            c.len_utf8()
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        rest = &rest[length..];
    }
    out.trim().to_owned()
}

/// The length of an opening `$tag$`.
fn dollar(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('$')?;
    let end = inner.find('$')?;
    inner[..end].chars().all(|c| c.is_alphanumeric() || c == '_').then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn comments_and_blanks_mean_nothing() {
        let text = "-- a\nCREATE TABLE a ( -- id\n  id int,\n name text DEFAULT '--x  y'\n);/* b */\nDO $x$ -- kept\n  a$x$;\n";
        assert_eq!(meaning(text), "CREATE TABLE a ( id int, name text DEFAULT '--x  y' ); DO $x$ -- kept\n  a$x$;");
        let said = |now: &str| changed(b"CREATE TABLE a (id int);\n", now.as_bytes(), "1234abc");
        assert!(said("-- licence\nCREATE TABLE a  (id int);").starts_with("only comments or blanks changed since 1234abc"));
        assert_eq!(
            said("CREATE TABLE a (id bigint);\n"),
            "SQL changed since 1234abc, which was applied; put the change into a new migration\n- CREATE TABLE a (id int);\n+ CREATE TABLE a (id bigint);"
        );
    }

    #[test]
    fn git_knows_what_was() {
        let folder = tempfile::tempdir().expect("folder");
        let run = |words: &[&str]| {
            let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"];
            let status = Command::new("git").arg("-C").arg(folder.path()).args(who).args(words).stdout(Stdio::null()).status();
            assert!(status.expect("git").success(), "{words:?}");
        };
        std::fs::create_dir(folder.path().join("m")).expect("folder");
        let write = |text: &str| std::fs::write(folder.path().join("m/1.sql"), text).expect("file");
        write("SELECT 1;\n");
        for words in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "one"]] {
            run(words);
        }
        write("SELECT 2;\n");
        let recorded = hex(&Sha256::digest(b"SELECT 1;\n"));
        let known = Known {
            key: "1".into(),
            name: "1".into(),
            sha256: String::new(),
            digest: None,
            path: "1.sql".into(),
            bytes: b"SELECT 2;\n".to_vec(),
            after: vec![],
            replaces: vec![],
            leads: None,
        };
        let model = crate::migration::TOOLS[0].kept[0].model(None, None);
        let said = told(&folder.path().join("m"), &model, &known, &recorded).expect("known");
        assert!(said.starts_with("SQL changed since ") && said.ends_with("- SELECT 1;\n+ SELECT 2;"), "{said}");
        assert_eq!(told(&folder.path().join("m"), &model, &known, "00"), None);
        let model = Model { digest: Some(crate::action::Digest::Sha384), ..model };
        let before = Known { bytes: b"SELECT 1;\n".to_vec(), ..known.clone() }.with_digest(&model).digest.expect("digest");
        assert!(
            told(&folder.path().join("m"), &model, &known, &before).is_some_and(|said| said.starts_with("SQL changed since "))
        );
    }
}

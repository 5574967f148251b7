//! Asks git about the past of a file, within a time, and with everything switched off that a repository could make it run.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::migration::lint::{APPROVALS_FILE, Approval, Approvals};

/// Longer than any of these questions takes in a repository that is well.
const PATIENCE: Duration = Duration::from_secs(5);

/// What git answers to `words` in a folder; none where there is no git, no repository, or no answer in time.
pub(super) fn ask(folder: &Path, words: &[&str], until: Instant) -> Option<Vec<u8>> {
    let off =
        ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "log.showSignature=false", "protocol.allow=never"];
    let mut git = Command::new("git");
    git.args(["--no-pager", "--literal-pathspecs"]).arg("-C").arg(folder);
    for setting in off {
        git.args(["-c", setting]);
    }
    git.args(words).env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
    let mut child = git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (send, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // Nobody may wait for it any more.
        let _ = send.send(stdout.read_to_end(&mut text).map(|_| text));
    });
    let answer = answer.recv_timeout(until.saturating_duration_since(Instant::now()));
    if answer.is_err() {
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    answer.ok()?.ok().filter(|_| ended.success())
}

/// The commits, newest first, that `words` choose.
fn log(folder: &Path, words: &[&str], until: Instant) -> Option<Vec<String>> {
    let plain = ["log", "--format=%h", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes"];
    let text = ask(folder, &[&plain, words].concat(), until)?;
    Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

/// When an approval came, in words, as far as git can tell.
pub(super) fn came(root: &Path, approval: &Approval) -> Option<String> {
    came_by(root, approval, Instant::now() + PATIENCE)
}

/// The same of all of them, told in each; together they take no longer than one may.
pub(super) fn tell(root: &Path, approvals: &mut Approvals) {
    let until = Instant::now() + PATIENCE;
    for approval in &mut approvals.0 {
        approval.came = came_by(root, approval, until);
    }
}

fn came_by(root: &Path, approval: &Approval, until: Instant) -> Option<String> {
    let migration = log(root, &["-n", "1", "--", &approval.file], until)?;
    let wrote = |text: &str| log(root, &[&format!("-S{text}"), "--", APPROVALS_FILE], until);
    // Either may stand in other entries as well.
    let (file, statement) = (wrote(&approval.sha256)?, wrote(&approval.statement)?);
    Some(match (migration.first(), file.iter().rfind(|commit| statement.contains(commit))) {
        (_, None) => "not committed yet".to_owned(),
        (Some(migration), Some(written)) if migration == written => format!("in the migration's own commit {written}"),
        _ => "in another commit than the migration".to_owned(),
    })
}

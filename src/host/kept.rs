//! What is kept of a submission, for locks, lists and the ledger: who, what and when. The texts of its steps are not, they may hold
//! what nobody knows yet to be secret; and its note is not before all secrets are known. Must not know how a run is carried out.

use std::sync::Arc;

use super::driver::ApprovedBySteps;
use super::gather;
use super::guard::mask_text;
use super::mask::Needles;
use super::state::RunDir;
use crate::event::{Approved, Body, Event};
use crate::facts::Refusal;
use crate::protocol::{Answer, Submission};

/// What stands in the place of a text when it cannot be told whether it holds a secret.
const WITHHELD: &str = "[withheld: its secrets could not be read]";

/// What may be written down before the project has been looked at: masked by what is in files, and without any text that a
/// person wrote freely. Refused where those sources cannot be read.
pub(super) fn before_all_is_known(submission: &Submission) -> Result<String, Refusal> {
    let secrets = gather::of_files(submission)?;
    // The key finds the run again, so it cannot be masked.
    if submission.key.as_ref().is_some_and(|key| secrets.needles.contains_secret(key.as_bytes()).is_some()) {
        return Err(Refusal::unfit("the key of the run contains a secret", "choose another --key: it is shown in lists"));
    }
    text(&Submission { note: None, ..masked(submission, &secrets.needles) })
}

/// The same with its note, once all secrets are known.
pub(super) fn masked(submission: &Submission, needles: &Arc<Needles>) -> Submission {
    let mask = |text: &str| mask_text(needles, text);
    let mut kept = submission.clone();
    kept.note = kept.note.map(|note| mask(&note));
    kept.who.user = mask(&kept.who.user);
    kept.who.machine = mask(&kept.who.machine);
    kept.playbook = mask(&kept.playbook);
    kept.steps.clear();
    kept.accepted.clear();
    if let Some(compose) = &mut kept.compose {
        compose.env.clear();
    }
    kept
}

/// As it is written down.
pub(super) fn text(kept: &Submission) -> Result<String, Refusal> {
    serde_json::to_string(kept).map_err(|error| Refusal { code: 7, message: error.to_string(), remedy: None })
}

/// What a client tells of its own work at a barrier, as it may be written down: only what is told of a step, and masked.
pub(super) fn answer(answer: Answer, mask: &dyn Fn(&str) -> String) -> Answer {
    let told = |event: Event| {
        let body = match event.body {
            Body::Output { stream, text, partial, .. } => Body::Output { stream, text: mask(&text), bytes: None, partial },
            Body::Check { kind, side, ok, observed, expected } => {
                Body::Check { kind: mask(&kind), side: mask(&side), ok, observed: mask(&observed), expected: mask(&expected) }
            }
            Body::Warning { text } => Body::Warning { text: mask(&text) },
            Body::Hint { text } => Body::Hint { text: mask(&text) },
            _ => return None,
        };
        Some(Event { body, ..event })
    };
    Answer {
        events: answer.events.into_iter().filter_map(told).collect(),
        detail: answer.detail.map(|detail| mask(&detail)),
        ..answer
    }
}

/// What somebody took upon themselves, as it may be written down: all its words are theirs.
pub(super) fn approved(mut steps: ApprovedBySteps, mask: &dyn Fn(&str) -> String) -> ApprovedBySteps {
    steps.values_mut().flatten().for_each(|of| *of = approval(of, mask));
    steps
}

/// The same of one.
pub(super) fn approval(of: &Approved, mask: &dyn Fn(&str) -> String) -> Approved {
    let [rule, file, by, reason, with] = [&of.rule, &of.file, &of.by, &of.reason, &of.with].map(|text| mask(text));
    Approved { rule, file, line: of.line, by, reason, with, came: of.came.as_deref().map(mask) }
}

/// What somebody says of a run, as it may be written down beside it.
pub(super) fn told_of(dir: &RunDir, text: &str) -> String {
    by_files(dir)(text)
}

/// A mask for texts about a run, by the secrets in files; where those cannot be read, nothing passes.
pub(super) fn by_files(dir: &RunDir) -> impl Fn(&str) -> String {
    let secrets = dir.submission().ok().and_then(|submission| gather::of_files(&submission).ok());
    move |text| secrets.as_ref().map_or_else(|| WITHHELD.to_owned(), |secrets| mask_text(&secrets.needles, text))
}

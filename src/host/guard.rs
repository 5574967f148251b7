//! Stands between a mask and the record: what a mask has in hand when it fails is thrown away, and so is all that comes after it. Must
//! not know what a mask looks for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::mask::{Masker, Needles};

/// What stands in the place of a text whose mask failed.
const WITHHELD: &str = "[withheld: its mask failed]";

/// One stream on its way through its mask.
pub(super) struct Guarded {
    /// None once it has failed.
    masker: Option<Masker>,
    /// What may leave, until it is taken.
    pub(super) out: Vec<u8>,
}

impl Guarded {
    pub(super) fn new(needles: &Arc<Needles>) -> Self {
        Self::of(Masker::new(Arc::clone(needles)))
    }

    pub(super) fn of(masker: Masker) -> Self {
        Self { masker: Some(masker), out: Vec::new() }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.attempt(|masker, out| masker.push(bytes, out));
    }

    /// Lets go of a partial match that is short enough.
    pub(super) fn idle_flush(&mut self, max_depth: usize) {
        self.attempt(|masker, out| masker.idle_flush(max_depth, out));
    }

    /// Takes the end of the stream.
    pub(super) fn finish(&mut self) {
        self.attempt(Masker::finish);
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> usize {
        self.masker.as_ref().map_or(0, Masker::held)
    }

    /// Whether output is withheld.
    pub(super) fn has_failed(&self) -> bool {
        self.masker.is_none()
    }

    fn attempt(&mut self, work: impl FnOnce(&mut Masker, &mut Vec<u8>)) {
        let (Some(masker), out) = (&mut self.masker, &mut self.out) else { return };
        let before = out.len();
        // A masker that has failed is never asked again, so it does not matter in which state it is left.
        if catch_unwind(AssertUnwindSafe(|| work(masker, out))).is_err() {
            self.out.truncate(before);
            self.masker = None;
        }
    }
}

/// Text as it may leave the host.
pub(super) fn mask_text(needles: &Arc<Needles>, text: &str) -> String {
    mask_whole(Masker::new(Arc::clone(needles)), text)
}

fn mask_whole(masker: Masker, text: &str) -> String {
    let mut guarded = Guarded::of(masker);
    guarded.push(text.as_bytes());
    guarded.finish();
    if guarded.has_failed() { WITHHELD.to_owned() } else { String::from_utf8_lossy(&guarded.out).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mask_has_in_hand_when_it_fails_is_withheld() {
        let mut guarded = Guarded::of(Masker::failing_at(20));
        guarded.push(b"ten bytes\n");
        assert_eq!((guarded.out.as_slice(), guarded.has_failed()), (&b"ten bytes\n"[..], false));
        guarded.push(b"the password is x\n");
        assert!(guarded.has_failed());
        for _ in 0..2 {
            guarded.push(b"the password is x\n");
            guarded.idle_flush(3);
            guarded.finish();
        }
        assert_eq!((guarded.out.as_slice(), guarded.held()), (&b"ten bytes\n"[..], 0));
        assert_eq!(mask_whole(Masker::failing_at(3), "password"), WITHHELD);
        assert_eq!(mask_whole(Masker::failing_at(30), "password"), "password");
    }
}

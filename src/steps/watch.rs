//! `watch`: another check, again and again for a time. Changes nothing.

use schemars::JsonSchema;

use crate::action::{self, Action, Probe};
use crate::source::Reader;

use super::common::milliseconds;
use super::shown::every;
use super::{Body, Cx, DriverWork, HereProbe, Kind, Lowered};

/// Another check, again and again for a time: what goes wrong only after a while fails the run.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct WatchStep {
    /// For how long: "2m".
    r#for: String,
    /// From the start of one look to the next; default "5s".
    every: Option<String>,
    /// How many of the looks may fail: "5%"; default none.
    errors: Option<String>,
    /// The check: a table with its `kind` and what belongs to that.
    check: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    if reader.entry("for").is_none() {
        reader.missing("for", "say for how long: for = \"2m\"");
    }
    let for_ms = reader.duration("for").map(|time| milliseconds(time.value));
    let every_ms = reader.duration("every").map_or(5_000, |every| milliseconds(every.value));
    if let (Some(time), Some(every)) = (for_ms, reader.entry("every"))
        && every_ms > time
    {
        reader.error(
            &every.value.place,
            "`every` is longer than `for`",
            "it would look only once: lower the one or raise the other",
        );
    }
    let errors_per_mille = errors(reader);
    if reader.entry("check").is_none() {
        reader.missing("check", "say what is watched: check = { kind = \"health\", url = \"http://127.0.0.1:3000/health\" }");
    }
    let unread = reader.table("check", "`check`")?;
    let kind = Kind::of(&unread)?;
    let refuse = |why: String, help: &str| {
        reader.error(&unread.place_of("kind"), why, help);
        None
    };
    if !kind.check || kind.name == "watch" {
        return refuse(
            format!("a `watch` step cannot watch {}", kind.a_step()),
            "watch a check: health, tcp, container, logs, …",
        );
    }
    let inner = reader.table("check", format!("`check`, {}", kind.a_step()))?;
    inner.entry("kind");
    let lowered = kind.read(&inner, cx);
    inner.finish();
    let one = lowered?.into_iter().next()?;
    let watch = action::Watch { for_ms: for_ms?, every_ms, errors_per_mille: errors_per_mille? };
    let shown = format!("{}, {}", one.shown, every(watch));
    let body = match one.body {
        Body::Host(Action::Probe(Probe::Sides { .. })) | Body::Sides(..) => {
            return refuse(
                "a `watch` step looks from one side".to_owned(),
                "name one in `from`; watch from another side in a step of its own",
            );
        }
        Body::Host(Action::Probe(probe)) => Body::Host(Action::Probe(Probe::Watch { of: Box::new(probe), watch })),
        Body::Driver(DriverWork::Here(probe)) => Body::Driver(DriverWork::Here(HereProbe { watch: Some(watch), ..probe })),
        Body::Host(_) | Body::Driver(_) => return refuse(format!("{} cannot be watched", kind.a_step()), "watch another check"),
    };
    Some(vec![Lowered { shown, body, ..one }])
}

/// `errors = "5%"`, in thousandths.
fn errors(reader: &Reader<'_>) -> Option<u32> {
    let Some(_) = reader.entry("errors") else { return Some(0) };
    let text = reader.text("errors")?;
    let share = text.value.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
    let Some(share) = share.filter(|share| (0.0..=100.0).contains(share)) else {
        reader.error(&text.place, format!("{:?} is not a share", text.value), "use one such as \"5%\" or \"0.5%\"");
        return None;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    Some((share * 10.0).round() as u32)
}

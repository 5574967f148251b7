//! `pull`: brings the images that the compose file names to the host. Leading ones belong to preparing a run.

use schemars::JsonSchema;

use crate::action::Action;
use crate::source::Reader;

use super::{Cx, Lowered, services};

/// Brings the images that the compose file names to the host. A leading `pull` happens while a run is prepared, so that the plan
/// shows what is pending in the very images that will run.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Pull {
    /// Whose images; default: the `service` of [compose].
    services: Option<Vec<String>>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let services = services(reader, cx)?;
    let first = services.first().cloned();
    Some(vec![Lowered::host(Action::Pull { services }, first, cx)])
}

//! `up`: replaces the containers of services by ones of the current images, and waits until they are healthy.

use std::time::Duration;

use schemars::JsonSchema;

use crate::action::{self, Action};
use crate::source::Reader;

use super::common::milliseconds;
use super::{Cx, Lowered, services};

/// Replaces the containers of services by ones of the current images, and waits until they are healthy. Never removes orphans, and
/// recreates a service with a volume only when it is named.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Up {
    /// Which; default: the `service` of [compose].
    services: Option<Vec<String>>,
    /// Puts the images that were replaced back where the new ones do not become healthy; default false.
    back: Option<bool>,
    /// How long the new containers may take to become healthy; default "2m".
    wait: Option<String>,
}

const WAIT: Duration = Duration::from_mins(2);

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let back = reader.flag("back").is_some_and(|back| back.value);
    let wait_ms = milliseconds(reader.duration("wait").map_or(WAIT, |wait| wait.value));
    let services = services(reader, cx)?;
    let first = services.first().cloned();
    Some(vec![Lowered::host(Action::Up(action::Up { services, back, wait_ms }), first, cx)])
}

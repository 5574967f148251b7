//! `container`: a service's container as Docker sees it. Changes nothing.

use schemars::JsonSchema;

use crate::action::{Action, ContainerProbe, Probe};
use crate::source::Reader;

use super::common::milliseconds;
use super::{Cx, Lowered, service};

/// A service's container as Docker sees it: it runs, is not unhealthy, and what else is asked for.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Container {
    /// Which; default: the `service` of [compose].
    service: Option<String>,
    /// "healthy": it must have a health check, and that must say so. Default "any": one that it has must say so.
    health: Option<String>,
    /// Docker may have started it anew so often by itself.
    restarts: Option<u32>,
    /// It must have run for so long: "1m".
    uptime: Option<String>,
    /// "deployed": its image must be the one that the compose file names now. Default "any".
    image: Option<String>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let healthy = reader.choice("health", &[("any", false), ("healthy", true)]).is_some_and(|health| health.value);
    let restarts = reader.whole("restarts", 0..=1_000_000).and_then(|count| u32::try_from(count.value).ok());
    let uptime_ms = reader.duration("uptime").map(|uptime| milliseconds(uptime.value));
    let deployed = reader.choice("image", &[("any", false), ("deployed", true)]).is_some_and(|image| image.value);
    let service = service(reader, cx)?;
    let probe = ContainerProbe { service: service.clone(), healthy, restarts, uptime_ms, deployed };
    Some(vec![Lowered::host(Action::Probe(Probe::Container(probe)), Some(service), cx)])
}

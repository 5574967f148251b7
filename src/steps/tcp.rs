//! `tcp`: whether a connection can be made. Changes nothing, and sends nothing.

use schemars::JsonSchema;

use crate::action::{Action, Probe};
use crate::source::Reader;

use super::address::address;
use super::shown::open;
use super::{Body, Cx, DriverWork, HereLook, HereProbe, Lowered};

/// Whether a connection can be made; tells a name that nobody knows, a refusal and silence apart.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct Tcp {
    /// Where to: "127.0.0.1:5432".
    address: String,
    /// From where: "host" (default) or "here" (this machine).
    from: Option<String>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let here = reader.choice("from", &[("host", false), ("here", true)]).is_some_and(|here| here.value);
    let probe = address(reader, "say where to: address = \"127.0.0.1:5432\"")?;
    if !here {
        return Some(vec![Lowered::host(Action::Probe(Probe::Tcp(probe)), None, cx)]);
    }
    let shown = open(&probe);
    let body = Body::Driver(DriverWork::Here(HereProbe { look: HereLook::Open(probe), beside: false, retry: None, watch: None }));
    Some(vec![Lowered { suffix: None, shown, ledger: None, service: None, hints: Vec::new(), body }])
}

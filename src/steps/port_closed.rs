//! `port_closed`: a port that the world must not reach, such as a database's. Changes nothing.

use schemars::JsonSchema;

use crate::action::{Action, Probe};
use crate::source::Reader;

use super::address::address;
use super::{Body, Cx, DriverWork, HereLook, HereProbe, Lowered};

/// A port that the world must not reach. On the host: nothing listens there on a public address, and Docker publishes it on none. From
/// this machine: it takes no connection.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub(super) struct PortClosed {
    /// From where: "host" (default) or "here" (this machine).
    from: Option<String>,
    /// On the host: which port.
    port: Option<u16>,
    /// From here: the host's public address and the port, "203.0.113.10:5432".
    address: Option<String>,
}

pub(super) fn read(reader: &Reader<'_>, cx: &Cx<'_>) -> Option<Vec<Lowered>> {
    let here = reader.choice("from", &[("host", false), ("here", true)]).is_some_and(|here| here.value);
    let (not_for, side) = if here { ("port", "here") } else { ("address", "host") };
    if let Some(entry) = reader.entry(not_for) {
        let help = if here {
            "name host and port in one: `address = \"203.0.113.10:5432\"`"
        } else {
            "say `port = 5432`: all addresses of the host are looked at; or look `from = \"here\"`"
        };
        reader.error(&entry.key.place, format!("`{not_for}` cannot go with `from = \"{side}\"`"), help);
    }
    if here {
        let probe = address(reader, "say what must be closed: address = \"203.0.113.10:5432\"")?;
        let shown = format!("nc -z {} {}  # expects no connection", probe.host, probe.port);
        let body =
            Body::Driver(DriverWork::Here(HereProbe { look: HereLook::Closed(probe), beside: false, retry: None, watch: None }));
        return Some(vec![Lowered { suffix: None, shown, ledger: None, service: None, hints: Vec::new(), body }]);
    }
    if reader.entry("port").is_none() {
        reader.missing("port", "say which: port = 5432");
    }
    let port = reader.whole("port", 1..=65_535).and_then(|port| u16::try_from(port.value).ok())?;
    Some(vec![Lowered::host(Action::Probe(Probe::Private { port }), None, cx)])
}

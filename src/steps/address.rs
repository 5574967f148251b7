//! `HOST:PORT` in a playbook, for the kinds that look at ports.

use crate::action::TcpProbe;
use crate::source::Reader;

/// For one attempt.
const TIMEOUT_MS: u64 = 5_000;

/// The address of a step. None: told.
pub(super) fn address(reader: &Reader<'_>, missing: &str) -> Option<TcpProbe> {
    if reader.entry("address").is_none() {
        reader.missing("address", missing);
    }
    let text = reader.text("address")?;
    let parts = text.value.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains("://"));
    let port = parts.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let Some(((host, _), port)) = parts.zip(port) else {
        if !text.value.contains("{{ ") {
            reader.error(
                &text.place,
                format!("{:?} is not an address with a port", text.value),
                "write `address = \"db.example.com:5432\"`",
            );
        }
        return None;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(TcpProbe { host, port, timeout_ms: TIMEOUT_MS })
}

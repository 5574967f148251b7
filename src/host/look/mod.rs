//! What a look sees: one file for each thing that can be looked at. Changes nothing; a look that cannot be taken at all is an error
//! of the plan, and everything else is something seen.

mod container;
mod database;
mod disk;
mod logs;
mod migrations;
mod network;
mod port;

use super::docker;
use super::stage::Stage;
use crate::action::{HttpProbe, Probe};
use crate::check::{self, Seen, tcp};
use crate::name::ServiceName;

pub(super) use network::errand;

/// What was seen, masked; with what a person may want to see of it where it is not well.
#[derive(Debug)]
pub(super) struct Sight {
    /// The verdict.
    pub seen: Seen,
    /// Lines to show, unmasked.
    pub lines: Vec<u8>,
    /// What it usually means.
    pub hint: Option<String>,
}

impl Sight {
    fn of(seen: Seen, hint: Option<String>) -> Self {
        Self { seen, lines: Vec::new(), hint }
    }
}

impl From<Seen> for Sight {
    fn from(seen: Seen) -> Self {
        Self::of(seen, None)
    }
}

/// The image to look with: the one that the compose file names, or else the one that runs, for that is what is looked at.
fn image(stage: &Stage<'_>, service: &ServiceName) -> Result<String, String> {
    let running = || docker::services(&stage.config.name).ok()?.remove(service).map(|container| container.image);
    let found = stage.images.get(service).cloned().or_else(running);
    found.ok_or_else(|| format!("the image of {service} is not on this host, and no container of it"))
}

/// Takes one look.
pub(super) fn look(stage: &Stage<'_>, probe: &Probe) -> Result<Sight, String> {
    match probe {
        Probe::Host(http) => host(stage, http),
        Probe::Network { service, http } => network::look(stage, service, http),
        Probe::Container(wanted) => Ok(container::look(stage, wanted)),
        Probe::Tcp(probe) => {
            let (seen, hint) = tcp::must_be_open(probe);
            Ok(Sight::of(seen, hint.map(str::to_owned)))
        }
        Probe::Private { port } => Ok(port::look(*port)),
        Probe::Logs(probe) => logs::look(stage, probe),
        Probe::Disk(probe) => Ok(disk::look(probe)),
        Probe::Database(probe) => Ok(database::look(stage, probe)),
        Probe::Migrations(migrate) => migrations::look(stage, migrate),
        Probe::Sides { .. } | Probe::Watch { .. } => Err("several looks are not one".to_owned()),
    }
}

fn host(stage: &Stage<'_>, http: &HttpProbe) -> Result<Sight, String> {
    let headers = stage.values(&http.headers)?;
    Ok(match check::http::fetch(http, &headers) {
        Ok(answer) => check::judge(&answer, &http.expect, |text| stage.masked(&text)).into(),
        Err(error) => {
            let hint = error.remedy().map(str::to_owned);
            Sight::of(check::unanswered(error, &http.expect, |text| stage.masked(&text)), hint)
        }
    })
}

//! Whether migrations wait or have failed: by the tool's own status, in a throw-away container, and by files and history. Applies nothing.

use std::sync::{Mutex, PoisonError};

use super::super::actions::Asking;
use super::super::migrations;
use super::super::stage::Stage;
use super::Sight;
use crate::action::Migrate;
use crate::check::{Seen, shortened};
use crate::facts::Migrations;

/// The container of a look has one name a run: one look after the other.
static TURN: Mutex<()> = Mutex::new(());

pub(super) fn look(stage: &Stage<'_>, migrate: &Migrate) -> Result<Sight, String> {
    let found = found(stage, migrate)?;
    let (ok, observed, hint) = judge(found);
    let hint =
        hint.map(|hint| if migrate.carried.is_some() && hint == PENDING { UNAPPLIED.to_owned() } else { stage.masked(&hint) });
    let seen = Seen { ok, observed: shortened(&stage.masked(&observed)), expected: "nothing pending, nothing failed".to_owned() };
    Ok(Sight::of(seen, hint))
}

/// What the tool says, and what files and history say where the database can be asked. Files that came with the plan have no tool, and
/// some tools have no status.
fn found(stage: &Stage<'_>, migrate: &Migrate) -> Result<Migrations, String> {
    let Some(project) = &stage.submission.compose else { return Err("the plan names no compose project".to_owned()) };
    let (mut image, mut told) = (String::new(), None);
    if migrate.carried.is_none() {
        image = super::image(stage, &migrate.service)?;
    }
    // Without a command the container would start what the service is for.
    if !migrate.status.is_empty() {
        let env = stage.values(&migrate.env)?.into_iter().collect();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, run) = (&stage.config, &stage.dir.run);
        told = Some(Asking { project, config, run, migrate, image: &image, env: &env }.status());
    }
    let access = stage.database().map_err(|trouble| trouble.to_string());
    let sight = migrations::Sight {
        access: access.as_deref().map_err(String::as_str),
        config: &stage.config,
        folders: &stage.folders,
        run: &stage.dir.run,
        migrate,
        image: &image,
        accepted: &stage.submission.accepted,
    };
    Ok(match (told, access.is_ok()) {
        (Some(told), false) => told,
        (told, _) => migrations::verdict(sight, &migrations::look(sight).history, told),
    })
}

fn judge(found: Migrations) -> (bool, String, Option<String>) {
    let remedy = |text: &str| Some(text.to_owned());
    match found {
        Migrations::UpToDate => (true, "nothing pending".to_owned(), None),
        Migrations::Pending { names } if names.is_empty() => (false, "migrations are pending".to_owned(), remedy(PENDING)),
        Migrations::Pending { names } => (false, format!("{} pending: {}", names.len(), names.join(", ")), remedy(PENDING)),
        Migrations::Failed { why, remedy: own } => {
            let usual = "settle it by the migration tool's own command; Landfall never does that by itself";
            (false, why, own.or_else(|| remedy(usual)))
        }
        Migrations::NotKnown { why } => (false, format!("not known: {why}"), None),
    }
}

const PENDING: &str = "the image on the host is newer than its database: release it with a `migrate` step, or pull the old tag";

const UNAPPLIED: &str = "apply them by a `migrate` step, or look at them with `landfall verify` first";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_up_to_date_is_well() {
        let names = vec!["20260101_orders".to_owned(), "20260102_index".to_owned()];
        for (found, ok, observed) in [
            (Migrations::UpToDate, true, "nothing pending"),
            (Migrations::Pending { names }, false, "2 pending: 20260101_orders, 20260102_index"),
            (Migrations::Pending { names: Vec::new() }, false, "migrations are pending"),
            (Migrations::Failed { why: "it failed".into(), remedy: None }, false, "it failed"),
            (Migrations::NotKnown { why: "no network".into() }, false, "not known: no network"),
        ] {
            let (good, seen, _) = judge(found);
            assert_eq!((good, seen.as_str()), (ok, observed));
        }
    }
}

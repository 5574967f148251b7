//! The one read-only look at a host: what is there, what runs, what is pending, what makes it unfit. Its answer is all that a plan
//! is made from. Every text in it is masked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::actions::{self, Asking};
use super::compose::Config;
use super::database::own::Place;
use super::database::{self, Access, DIRECT, Shared};
use super::docker;
use super::gather;
use super::guard::mask_text;
use super::kill::LABEL;
use super::ledger;
use super::ledger::within;
use super::literals;
use super::lock;
use super::migrations::{self, Folders, Look, Sight};
use super::owner::boot_id;
use super::packages;
use super::process::{self, Spawn};
use super::project;
use super::secrets::Loaded;
use super::state::State;
use crate::action::{Action, Migrate, Via};
use crate::facts::{DatabaseFacts, Facts, History, Migrations, Preview, Refusal, ServiceFacts, Story};
use crate::name::{RunId, ServiceName, StepName};
use crate::protocol::{ComposeProject, Engine, HostStep, LedgerKey, Seen, Submission};

/// Free space below which nothing is begun: records and images would not fit.
const DISK: u64 = 64 << 20;

/// What a survey found, with what the host needs for itself.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The facts that leave.
    pub facts: Facts,
    /// The compose project as Compose reads it.
    pub config: Config,
    /// The project's database.
    pub database: Shared,
    /// Migration files that were looked at.
    pub folders: Folders,
}

impl Survey {
    /// The image ids that steps would run in.
    pub(super) fn images(&self) -> BTreeMap<ServiceName, String> {
        let ids = self.facts.services.iter().filter_map(|(name, facts)| Some((name.clone(), facts.image_id.clone()?)));
        ids.collect()
    }
}

/// The services that a submission touches.
pub(super) fn touched(submission: &Submission) -> BTreeSet<ServiceName> {
    let mut found: BTreeSet<ServiceName> = submission.pull.iter().cloned().collect();
    for step in &submission.steps {
        found.extend(step.needs.iter().cloned());
        found.extend(step.actions.iter().flat_map(services_of));
    }
    found
}

/// The services that an action touches.
fn services_of(action: &Action) -> Vec<ServiceName> {
    match action {
        Action::Service(command) => vec![command.service.clone()],
        Action::Migrate(migrate) => vec![migrate.service.clone()],
        Action::Pull { services } | Action::Start { services } => services.clone(),
        Action::Up(up) => up.services.clone(),
        Action::Restore(restore) => restore.stop.clone().unwrap_or_default(),
        Action::Probe(probe) => probe.services().into_iter().cloned().collect(),
        Action::Shell(_) | Action::Backup(_) | Action::RequireBackup { .. } | Action::Barrier => Vec::new(),
    }
}

/// Looks at what must be there before anything else is asked: Docker, Compose, the project's files. Cheap where there is no project.
pub(super) fn basics(submission: &Submission, state: Option<&State>, secrets: &Loaded, look: Option<project::Look>) -> Survey {
    let mut survey = Survey::default();
    let facts = &mut survey.facts;
    facts.boot_id = boot_id();
    facts.user = std::env::var("USER").unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string());
    facts.masked_values = secrets.count();
    facts.warnings.extend(secrets.warnings.iter().cloned());
    literals::look_for(submission, &secrets.needles, facts);
    facts.disk_free = free_at(state.map_or(Path::new(&submission.state.path), State::root));
    if facts.disk_free < DISK {
        facts.refusals.push(Refusal::unfit(
            format!("the disk is full: {} KiB free for {}", facts.disk_free >> 10, submission.state.path),
            "make room: docker system df, docker image prune",
        ));
    }
    if let Some((project, look)) = submission.compose.as_ref().zip(look) {
        match look.facts(project, secrets) {
            Ok((docker, config)) => (facts.docker, survey.config) = (Some(docker), config),
            Err(refusal) => facts.refusals.push(refusal),
        }
        if survey.facts.refusals.is_empty() {
            let unknown = touched(submission).into_iter().filter(|name| !survey.config.services.contains_key(name.as_str()));
            let refusals: Vec<_> = unknown.map(|name| unknown_service(&name, &survey.config)).collect();
            survey.facts.refusals.extend(refusals);
        }
    }
    survey
}

/// Free bytes for this user in a folder, or where it would be made.
pub(super) fn free_at(folder: &Path) -> u64 {
    let stat = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

pub(super) fn unknown_service(name: &ServiceName, config: &Config) -> Refusal {
    let known = config.services.keys();
    let near = known.clone().map(|known| (strsim::jaro_winkler(known, name.as_str()), known)).filter(|(score, _)| *score > 0.7);
    let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| format!("did you mean {known:?}? "));
    let all = known.map(String::as_str).collect::<Vec<_>>().join(", ");
    Refusal::unfit(
        format!("the compose project has no service {:?}", name.as_str()),
        format!("{}its services: {all}", near.unwrap_or_default()),
    )
}

/// Looks at images, containers, pending migrations, ledger and lock. Begins nothing, and leaves no container behind. `begun` says that
/// a run asks, not a plan that may never become one.
pub(super) fn whole(submission: &Submission, state: Option<&State>, secrets: &mut Arc<Loaded>, survey: &mut Survey, begun: bool) {
    survey.facts.lock = state.filter(|_| submission.effects).and_then(lock::holder).filter(|holder| holder.run != submission.run);
    let Some(project) = submission.compose.as_ref().filter(|_| survey.facts.refusals.is_empty()) else { return };
    let services = touched(submission);
    if let Err(refusal) = services_facts(survey, &services, secrets) {
        survey.facts.refusals.push(refusal);
        return;
    }
    let secrets: &Loaded = secrets;
    survey.facts.masked_values = secrets.count();
    // Of the others, a look before this one has told.
    let told = survey.facts.warnings.clone();
    survey.facts.warnings.extend(secrets.warnings.iter().filter(|warning| !told.contains(warning)).cloned());
    let images = survey.images();
    let access = look_at_database(submission, secrets, survey);
    survey.facts.refusals.extend(actions::unfit_for_backups(
        submission,
        state,
        access.as_deref().map_err(String::as_str),
        secrets,
    ));
    let asked = access.as_deref().ok().filter(|_| submission.steps.iter().any(is_remembered_there));
    let place = asked.map(|access| within::place(access).unwrap_or_else(|trouble| Err(trouble.to_string())));
    let starting: BTreeSet<&ServiceName> =
        submission.steps.iter().flat_map(|step| &step.actions).filter_map(Action::starts_scripts).collect();
    for (service, image) in starting.into_iter().filter_map(|service| images.get_key_value(service)) {
        let Some(scripts) = packages::scripts(&survey.config, &submission.run, service, image) else { continue };
        let mask = |text: String| mask_text(&secrets.needles, &text);
        let scripts = scripts.into_iter().map(|(name, text)| (mask(name), mask(text))).collect();
        survey.facts.scripts.insert(service.clone(), scripts);
    }
    for step in &submission.steps {
        for action in &step.actions {
            if let Action::Migrate(migrate) = action {
                let carried = migrate.carried.as_ref().map(|_| String::new());
                let Some(image) = carried.as_ref().or_else(|| images.get(&migrate.service)) else {
                    survey.facts.migrations.insert(step.name.clone(), Migrations::NotKnown { why: "image missing".to_owned() });
                    continue;
                };
                let told = told_by_tool(submission, project, secrets, survey, migrate, image, begun);
                let access = access.as_deref().map_err(String::as_str);
                let (config, folders) = (&survey.config, &survey.folders);
                let sight =
                    Sight { access, config, folders, run: &submission.run, migrate, image, accepted: &submission.accepted };
                let Look { history: mut own, applied, forgets, .. } = migrations::look(sight);
                // What a pull will bring is another image, so what its files lack now says nothing.
                let coming = !begun && submission.pull.contains(&migrate.service);
                let found = match told {
                    Some(told) if coming => told,
                    told => migrations::verdict(sight, &own, told),
                };
                if matches!(found, Migrations::Pending { .. } | Migrations::NotKnown { .. }) {
                    let waiting = programs(migrate, &own, &found);
                    let asked = printed(project, secrets, sight, &waiting, &applied, begun);
                    (own.previews, own.no_preview) = asked.unwrap_or_else(|why| (Vec::new(), Some(why)));
                }
                let mask = |text: &str| mask_text(&secrets.needles, text);
                if access.is_ok_and(|access| access.facts.pooled) {
                    through_pool(&step.name, migrate, &found, &mut survey.facts, &mask);
                }
                if let Some(why) = forgets.filter(|_| submission.effects && !begun) {
                    let text =
                        format!("{}: nobody will know whether a file that is applied is edited later: {}", step.name, mask(&why));
                    survey.facts.warnings.push(text);
                }
                survey.facts.migrations.insert(step.name.clone(), migrations::shown::migrations(found, &mask));
                survey.facts.histories.insert(step.name.clone(), migrations::shown::history(&own, !begun, &mask));
            }
        }
        if let Some(refusal) = image_missing(step, submission, &survey.facts) {
            survey.facts.refusals.push(refusal);
        }
        let guard = guarded(step, access.as_deref().map_err(String::as_str), place.as_ref());
        if let Err(why) = &guard {
            survey.facts.host_only.insert(step.name.clone(), mask_text(&secrets.needles, why));
        }
        // What a pull will bring is another image: neither its files nor its history are known before.
        let coming = |key: &LedgerKey| !begun && submission.pull.contains(&key.service);
        if let Some(key) = step.ledger.as_ref().filter(|key| !coming(key)) {
            look_up(submission, step, key, state, survey, secrets, guard.ok().flatten());
        }
    }
}

/// What of a migration does not go through a connection pool.
fn through_pool(step: &StepName, migrate: &Migrate, found: &Migrations, facts: &mut Facts, mask: &dyn Fn(&str) -> String) {
    let names: &[String] = match found {
        Migrations::Pending { names } => names,
        Migrations::NotKnown { .. } => &[],
        Migrations::UpToDate | Migrations::Failed { .. } => return,
    };
    let Some(carried) = &migrate.carried else {
        facts.warnings.push(format!(
            "{step}: a connection pool stands before the database: the tool's own lock does not hold there, and it gets no \
             lock_timeout ({DIRECT} and to the tool)"
        ));
        return;
    };
    let alone = carried.files.iter().find(|file| !file.transaction && names.contains(&file.name));
    facts.refusals.extend(alone.map(|file| {
        let why = "runs in no transaction, and a connection pool gives each of its statements another session";
        Refusal::unfit(format!("{step}: {} {why}", mask(&file.name)), DIRECT)
    }));
}

/// Whether the database is to remember a step.
fn is_remembered_there(step: &HostStep) -> bool {
    step.ledger.as_ref().is_some_and(|key| key.in_database)
}

/// The database that guards a step beside the host, and its ledger where the step is remembered; none where the step has nothing to do
/// with it. The error: why the host alone does.
fn guarded<'a>(
    step: &HostStep,
    access: Result<&'a Access, &str>,
    place: Option<&Result<Place, String>>,
) -> Result<Option<(&'a Access, Option<Place>)>, String> {
    let remembered = is_remembered_there(step);
    if !remembered && !step.actions.iter().any(|action| matches!(action, Action::Migrate(_))) {
        return Ok(None);
    }
    let access = access.map_err(str::to_owned)?;
    let place = place.filter(|_| remembered).cloned().transpose()?;
    Ok(Some((access, place)))
}

/// What the migration tool says; none where it has no status to ask for.
fn told_by_tool(
    submission: &Submission,
    project: &ComposeProject,
    secrets: &Loaded,
    survey: &Survey,
    migrate: &Migrate,
    image: &str,
    begun: bool,
) -> Option<Migrations> {
    if migrate.status.is_empty() {
        return None;
    }
    // A plan executes nothing that comes from the repository.
    if migrate.own_status && !begun {
        return Some(Migrations::NotKnown { why: "the playbook's own status command is only run in a run".to_owned() });
    }
    Some(match resolved(&migrate.env, secrets) {
        Ok(env) => Asking { project, config: &survey.config, run: &submission.run, migrate, image, env: &env }.status(),
        Err(why) => Migrations::NotKnown { why },
    })
}

/// The migrations that wait and are programs: those of the files, and those that the tool alone names, where it prints each by its name.
fn programs(migrate: &Migrate, own: &History, found: &Migrations) -> Vec<String> {
    let files = own.waiting().filter(|migration| !migration.is_sql()).map(|migration| migration.name.clone());
    let by_name = migrate.preview.as_ref().is_some_and(|printing| printing.named);
    let foreign = match found {
        Migrations::Pending { names } if by_name => names.as_slice(),
        _ => &[],
    };
    let known = |name: &&String| own.migrations.iter().any(|migration| migration.name == **name);
    files.chain(foreign.iter().filter(|name| !known(name)).cloned()).collect()
}

/// What the tool prints of the SQL of programs that wait, and why that is not all.
fn printed(
    project: &ComposeProject,
    secrets: &Loaded,
    sight: Sight<'_>,
    waiting: &[String],
    applied: &[String],
    begun: bool,
) -> Result<(Vec<Preview>, Option<String>), String> {
    let Sight { access, config, run, migrate, image, .. } = sight;
    // A plan executes nothing that comes from the repository.
    let printing = migrate.preview.as_ref().filter(|printing| begun || !printing.own);
    let Some(printing) = printing.filter(|printing| printing.own || !waiting.is_empty()) else { return Ok((Vec::new(), None)) };
    let argv = migrations::preview::command(printing, applied, waiting)?;
    let mut env = resolved(&migrate.env, secrets)?;
    if access.is_ok_and(|access| access.engine() == Engine::Postgres && !access.facts.pooled) && migrate.lock_timeout_ms.is_some()
    {
        // Whatever it does beside printing, it changes nothing.
        const OPTIONS: &str = "PGOPTIONS";
        let service =
            config.services.get(migrate.service.as_str()).and_then(|service| service.environment.get(OPTIONS)?.as_str());
        let options = env.get(OPTIONS).cloned().or_else(|| service.map(|text| text.replace("$$", "$"))).unwrap_or_default();
        env.insert(OPTIONS.to_owned(), format!("{options} -c default_transaction_read_only=on").trim_start().to_owned());
    }
    let (ended, kept) = Asking { project, config, run, migrate, image, env: &env }.ask(&argv)?;
    if ended.stopped.is_some() {
        return Err("its tool did not end printing it in time".to_owned());
    }
    if kept.stdout.len() >= process::CAPTURE {
        return Err("its tool printed more than is read".to_owned());
    }
    Ok(migrations::preview::read(printing, waiting, ended.code, &kept))
}

/// Whether the database answers, and who it is: told before anything is stopped or changed.
fn look_at_database(submission: &Submission, secrets: &Loaded, survey: &mut Survey) -> Result<Arc<Access>, String> {
    let mask = |text: &str| mask_text(&secrets.needles, text);
    match survey.database.open(submission, &survey.config, secrets) {
        Ok(access) => {
            let DatabaseFacts { server, name, user, identity, pooled } = access.facts.clone();
            let facts = DatabaseFacts { server: mask(&server), name: mask(&name), user: mask(&user), identity, pooled };
            survey.facts.database = Some(facts);
            Ok(access)
        }
        Err(trouble @ database::Trouble::NotNamed) => Err(trouble.to_string()),
        Err(trouble) => {
            survey.facts.warnings.push(format!("{} ({})", mask(&trouble.to_string()), trouble.remedy()));
            Err(trouble.to_string())
        }
    }
}

/// Which images and containers the services have. What the images hold of secrets is masked from here on.
fn services_facts(survey: &mut Survey, services: &BTreeSet<ServiceName>, secrets: &mut Arc<Loaded>) -> Result<(), Refusal> {
    let running = docker::services(&survey.config.name).map_err(|trouble| project::no_engine(&trouble, secrets))?;
    for service in services {
        let Some(name) = survey.config.image(service) else { continue };
        let image = docker::image(&name).map_err(|trouble| project::no_engine(&trouble, secrets))?;
        if let Some(image) = &image {
            gather::of_image(secrets, &name, image)?;
        }
        let container = running.get(service);
        let state = container.map(|container| match &container.state.health {
            Some(health) => format!("{} ({})", container.state.status, health.status),
            None => container.state.status.clone(),
        });
        let facts = ServiceFacts {
            image: name,
            digest: image.as_ref().and_then(|image| image.repo_digests.as_ref()?.first().cloned()),
            image_id: image.map(|image| image.id),
            running: container.map(|container| container.image.clone()),
            state,
        };
        survey.facts.services.insert(service.clone(), facts);
    }
    Ok(())
}

/// A step whose image is not here cannot run, unless a later pull of this very run brings it.
fn image_missing(step: &HostStep, submission: &Submission, facts: &Facts) -> Option<Refusal> {
    let needed = step.actions.iter().find_map(|action| match action {
        Action::Service(command) if command.via == Via::Run => Some(&command.service),
        Action::Migrate(migrate) if migrate.via == Via::Run => Some(&migrate.service),
        _ => None,
    })?;
    let pulls = |step: &HostStep| {
        step.actions.iter().any(|action| matches!(action, Action::Pull { services } if services.contains(needed)))
    };
    let coming =
        submission.pull.contains(needed) || submission.steps.iter().take_while(|other| other.name != step.name).any(pulls);
    let image = facts.services.get(needed).filter(|service| service.image_id.is_none() && !coming)?;
    Some(Refusal::unfit(
        format!("the image {} of {needed} is not on the host", image.image),
        "begin the playbook with a `pull` step, or pull or build it on the host",
    ))
}

fn resolved(named: &BTreeMap<String, crate::secret::Value>, secrets: &Loaded) -> Result<BTreeMap<String, String>, String> {
    named.iter().map(|(key, value)| Ok((key.clone(), secrets.resolve(value)?))).collect()
}

/// Whether a step ran before, by this host's ledger and the database's.
fn look_up(
    submission: &Submission,
    step: &HostStep,
    key: &LedgerKey,
    state: Option<&State>,
    survey: &mut Survey,
    secrets: &Loaded,
    guard: Option<(&Access, Option<Place>)>,
) {
    let Some(image) = survey.images().get(&key.service).cloned() else { return };
    let mask = |text: &str| mask_text(&secrets.needles, text);
    let entry = match entry(&submission.run, key, &image) {
        Ok(entry) => entry,
        Err(why) => {
            survey.facts.refusals.push(Refusal::unfit(mask(&why), "correct `files` of the seed: paths are inside the image"));
            return;
        }
    };
    let rows = match guard.filter(|(_, place)| *place == Some(Place::There)).map(|(access, _)| within::rows(access, &entry)) {
        None => None,
        Some(Ok(rows)) => Some(rows),
        Some(Err(trouble)) => {
            let message = format!("{}: the database's ledger cannot be read: {}", step.name, mask(&trouble.to_string()));
            survey.facts.refusals.push(Refusal::unfit(message, trouble.remedy()));
            return;
        }
    };
    let own = state.map(|state| ledger::of_host(state, &entry)).unwrap_or_default();
    let database = if key.in_database { survey.facts.database.as_ref().and_then(|facts| facts.identity.clone()) } else { None };
    let Some(story) = ledger::recall(&own, database.as_deref(), rows.as_deref()) else { return };
    let story = Story { who: mask(&story.who), image: story.image.as_deref().map(mask), ..story };
    let on = story.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    let told = format!("{} ran in {} at {} by {}{on}", key.name, story.run, story.when, story.who);
    let under_way = || {
        state.is_some_and(|state| story.host.is_none() && ledger::is_under_way(state, &story))
            || guard.is_some_and(|(access, _)| access.is_held_by(&story.run))
    };
    match story.ok {
        Some(true) if key.seen == Seen::Refuse => {
            let remedy = "to run it again on purpose: --again";
            survey.facts.refusals.push(Refusal::unfit(format!("{told}, and succeeded"), remedy));
        }
        None if key.seen != Seen::Repeat => {
            if !under_way() {
                let gone = guard.zip(story.host.as_ref()).map(|((access, _), host)| {
                    let by_hand = mask(&within::by_hand(access, &story.run));
                    format!("; where {host} is gone for good, in the database: {by_hand}")
                });
                let remedy = format!("look at the data, then: landfall resolve {} --as done|not-done --note …", story.run);
                survey.facts.refusals.push(Refusal::unfit(
                    format!("{told}, and it is not known how that ended"),
                    remedy + &gone.unwrap_or_default(),
                ));
            } else if story.host.is_some() {
                if submission.lock_wait_ms == 0 {
                    let message =
                        format!("{}{on} is under way: run {}, since {}, by {}", key.name, story.run, story.when, story.who);
                    let remedy = Some("to wait for its end: --lock-wait 10m".to_owned());
                    survey.facts.refusals.push(Refusal { code: 5, message, remedy });
                }
                // How it will have ended is looked at when its turn has come.
                return;
            }
        }
        _ => {}
    }
    survey.facts.ledger.insert(step.name.clone(), story);
}

/// The ledger's key of a step in an image: by the content of its files there, or else by the image itself.
pub(super) fn entry(run: &RunId, key: &LedgerKey, image: &str) -> Result<String, String> {
    if key.files.is_empty() {
        return Ok(ledger::key(&key.name, &key.command, image));
    }
    let label = format!("{LABEL}={run}");
    let mut words =
        vec!["docker", "run", "--rm", "--pull", "never", "--network", "none", "--log-driver", "none", "--label", &label];
    words.extend(["--entrypoint", "cat", image, "--"]);
    words.extend(key.files.iter().map(String::as_str));
    let (ended, kept) =
        process::capture(&Spawn::new(words), std::time::Duration::from_mins(1)).map_err(|error| format!("docker: {error}"))?;
    if kept.stdout.len() >= process::CAPTURE {
        return Err(format!("the files of seed {} are larger than {} MiB together", key.name, process::CAPTURE >> 20));
    }
    if ended.code != Some(0) {
        let said = String::from_utf8_lossy(&kept.stderr);
        return Err(format!("the files of seed {} cannot be read in the image: {}", key.name, said.trim()));
    }
    Ok(ledger::key(&key.name, &key.command, &ledger::hex(&Sha256::digest(&kept.stdout))))
}

//! The command a person would type on the host to do what an action does: what plans, records and failed runs show. Secrets stand there
//! by name; what Landfall adds for itself (names, labels, pinned image ids, `npm_config_yes=false`) is left out.

use std::collections::BTreeMap;

use crate::action::{
    Action, Carried, Client, Compare, HostScript, HttpExpect, HttpProbe, Probe, Script, Since, TcpProbe, Via, Watch,
};
use crate::check::{json_path::sign, statuses};
use crate::command::{quoted, shell_line};
use crate::name::ServiceName;
use crate::protocol::ComposeProject;
use crate::secret::Value;

/// An action as a command line.
pub fn shown(action: &Action, project: Option<&ComposeProject>) -> String {
    match action {
        Action::Service(command) => in_service(project, &command.service, command.via, &command.env, &command.argv),
        Action::Migrate(migrate) => match &migrate.carried {
            Some(carried) => files(carried),
            None => in_service(project, &migrate.service, migrate.via, &migrate.env, &migrate.apply),
        },
        Action::Shell(script) => script_line(project, script),
        Action::Pull { services } => compose(project, &with_services(&["pull"], services)),
        Action::Start { services } => {
            compose(project, &with_services(&["up", "-d", "--no-recreate", "--no-deps", "--wait"], services))
        }
        Action::Up(up) => {
            let seconds = up.wait_ms.div_ceil(1000).to_string();
            compose(project, &with_services(&["up", "-d", "--no-deps", "--wait", "--wait-timeout", &seconds], &up.services))
        }
        Action::Backup(backup) => {
            let keep = backup.keep.map(|keep| format!(", the newest {keep} stay")).unwrap_or_default();
            let age = backup.encrypt_to.as_ref().map(|key| format!(" | age --encrypt --recipient {key}")).unwrap_or_default();
            format!("pg_dump or mysqldump{age}  # into a file on the host, read back{keep}")
        }
        Action::Restore(restore) => {
            let from = restore.from.as_deref().unwrap_or("the newest backup");
            let stop = restore.stop.as_ref().map(|stop| stop.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", "));
            let stop = stop.unwrap_or_else(|| "all services but the database".to_owned());
            format!("pg_restore or mysql  # {from} in the place of {}; stopped meanwhile: {stop}", restore.database)
        }
        Action::RequireBackup { within_s } => {
            let within = humantime::format_duration(std::time::Duration::from_secs(*within_s));
            format!("look for a backup of the last {within}")
        }
        Action::Probe(probe) => look(project, probe),
        Action::Barrier => "wait for the client".to_owned(),
    }
}

/// Files of the client, which psql or mysql reads where the database is.
fn files(carried: &Carried) -> String {
    let reads = match carried.client {
        Client::Psql => "psql -v ON_ERROR_STOP=1 -f",
        Client::Mysql => "mysql <",
    };
    format!("{reads} {}/NUMBER_name.sql  # each that is not applied, in the order of their numbers", carried.folder)
}

/// A request as a command line, with what is expected of its answer.
pub(super) fn request<V: std::fmt::Display>(http: &HttpProbe, headers: &BTreeMap<String, V>) -> String {
    let HttpProbe { url, body, expect, .. } = http;
    let mut words = vec!["curl".to_owned(), "-sS".to_owned()];
    if http.redirects {
        words.push("-L".to_owned());
    }
    match http.method.as_str() {
        "GET" => {}
        "HEAD" => words.push("-I".to_owned()),
        other => words.extend(["-X".to_owned(), other.to_owned()]),
    }
    for (name, value) in headers {
        words.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    if let Some(body) = body {
        words.extend(["--data-raw".to_owned(), body.clone()]);
    }
    words.push(url.clone());
    format!("{}  # expects {}", shell_line(&words), expected(expect))
}

/// What an answer must be, in words.
pub fn expected(expect: &HttpExpect) -> String {
    let mut parts = vec![statuses(expect)];
    parts.extend(expect.json.iter().map(|json| {
        let op = match json.op {
            Compare::Eq => "=",
            Compare::Ne => "!=",
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Gt => ">",
            Compare::Ge => ">=",
        };
        format!("{} {op} {}", json.path, json.value)
    }));
    parts.extend(expect.body.iter().map(|regex| format!("a body like /{regex}/")));
    parts.extend(expect.latency_ms.map(|ms| format!("within {ms} ms")));
    parts.extend(expect.percentile.map(|of| format!("{}% of {} within {} ms", of.percent, of.samples, of.within_ms)));
    parts.join(", ")
}

fn in_service(
    project: Option<&ComposeProject>,
    service: &ServiceName,
    via: Via,
    env: &BTreeMap<String, Value>,
    argv: &[String],
) -> String {
    let mut words: Vec<String> = match via {
        Via::Run => ["run", "--rm", "-T", "--no-deps"].map(str::to_owned).to_vec(),
        Via::Exec => ["exec", "-T"].map(str::to_owned).to_vec(),
    };
    for (name, value) in env {
        words.extend(["-e".to_owned(), format!("{name}={value}")]);
    }
    words.push(service.to_string());
    words.extend_from_slice(argv);
    compose(project, &words)
}

fn with_services(words: &[&str], services: &[ServiceName]) -> Vec<String> {
    words.iter().map(ToString::to_string).chain(services.iter().map(ToString::to_string)).collect()
}

fn compose<S: AsRef<str>>(project: Option<&ComposeProject>, words: &[S]) -> String {
    let mut all: Vec<String> = vec!["docker".to_owned(), "compose".to_owned()];
    let mut line = String::new();
    if let Some(project) = project {
        line = format!("cd {} && {}", quoted(&project.dir), assignments(&project.env));
        if let Some(file) = &project.env_file {
            all.extend(["--env-file".to_owned(), file.clone()]);
        }
        for file in &project.files {
            all.extend(["-f".to_owned(), file.clone()]);
        }
    }
    all.extend(words.iter().map(|word| word.as_ref().to_owned()));
    line + &shell_line(&all)
}

fn assignments<V: std::fmt::Display>(env: &BTreeMap<String, V>) -> String {
    env.iter().fold(String::new(), |line, (name, value)| line + name + "=" + &quoted(&value.to_string()) + " ")
}

fn script_line(project: Option<&ComposeProject>, script: &HostScript) -> String {
    let text = match &script.run {
        Script::Shell(text) => text.clone(),
        Script::Argv(words) => shell_line(words),
    };
    // Vars reach every script; only those it names are worth a reader's time.
    let named = |name: &str| text.contains(&format!("${name}")) || text.contains(&format!("${{{name}"));
    let env: BTreeMap<String, String> =
        script.env.iter().filter(|(name, _)| named(name)).map(|(name, value)| (name.clone(), value.to_string())).collect();
    let run = match &script.run {
        Script::Shell(text) => shell_line(&["sh", "-c", text]),
        Script::Argv(words) => shell_line(words),
    };
    let Some(project) = project else { return assignments(&env) + &run };
    let mut settings = BTreeMap::from([("COMPOSE_FILE".to_owned(), project.files.join(":"))]);
    settings.extend(project.env_file.iter().map(|file| ("COMPOSE_ENV_FILES".to_owned(), file.clone())));
    if !text.contains("compose") {
        settings.clear();
    }
    format!("cd {} && {}{}{run}", quoted(&project.dir), assignments(&settings), assignments(&env))
}

fn look(project: Option<&ComposeProject>, probe: &Probe) -> String {
    let http = |http: &HttpProbe| request(http, &http.headers);
    match probe {
        Probe::Host(probe) => http(probe),
        Probe::Network { service, http: probe } => format!("{}, from the network of {service}", http(probe)),
        Probe::Container(of) => {
            let mut expected = vec!["healthy".to_owned()];
            expected.extend(of.restarts.map(|count| format!("at most {count} restarts")));
            expected.extend(of.uptime_ms.map(|ms| format!("up for {}", duration(ms))));
            expected.extend(of.deployed.then(|| "the image of the compose file".to_owned()));
            format!("{}  # expects {}", compose(project, &["ps", of.service.as_str()]), expected.join(", "))
        }
        Probe::Tcp(probe) => open(probe),
        Probe::Private { port } => format!("ss -ltn  # expects port {port} on no public address"),
        Probe::Logs(of) => {
            let since = match of.since {
                Since::Run => "RUN".to_owned(),
                Since::Up => "UP".to_owned(),
                Since::Ago(ms) => duration(ms),
            };
            let patterns = of.patterns.iter().map(|pattern| format!("/{pattern}/")).collect::<Vec<_>>().join(" or ");
            let command = compose(project, &["logs", "--since", since.as_str(), of.service.as_str()]);
            format!("{command}  # expects at most {} lines like {patterns}", of.at_most)
        }
        Probe::Disk(of) => {
            let path = of.path.as_deref().unwrap_or("DOCKER_ROOT");
            let mut expected = Vec::new();
            expected.extend(of.free.map(|bytes| format!("{bytes} bytes free")));
            expected.extend(of.free_percent.map(|percent| format!("{percent}% free")));
            expected.extend(of.inodes_percent.map(|percent| format!("{percent}% of the inodes free")));
            format!("df {}  # expects {}", quoted(path), expected.join(", "))
        }
        Probe::Database(of) => {
            let asked = of.query.clone().unwrap_or_else(|| format!("\\d {}", of.tables.join(" ")));
            let expected: Vec<String> = of.expect.iter().map(|(op, value)| format!("{} {value}", sign(*op))).collect();
            let expected = match (of.query.is_some(), expected.is_empty()) {
                (false, _) => "that they are there".to_owned(),
                (true, true) => "a row".to_owned(),
                (true, false) => expected.join(" and "),
            };
            format!("{asked}  # in the database, expects {expected}")
        }
        Probe::Migrations(of) if of.carried.is_some() => {
            "the history in the database, beside the files here  # expects nothing pending".to_owned()
        }
        Probe::Migrations(of) if of.status.is_empty() => {
            "the history in the database, beside the files of the image  # expects nothing pending".to_owned()
        }
        Probe::Migrations(of) => {
            format!("{}  # expects nothing pending", in_service(project, &of.service, of.via, &of.env, &of.status))
        }
        Probe::Sides { of } => {
            of.iter().map(|probe| format!("{}, from the {}", look(project, probe), probe.side())).collect::<Vec<_>>().join("; ")
        }
        Probe::Watch { of, watch } => format!("{}, {}", look(project, of), every(*watch)),
    }
}

/// A connection, as a person would try it.
pub(super) fn open(probe: &TcpProbe) -> String {
    format!("nc -z {}  # expects a connection", shell_line(&[probe.host.clone(), probe.port.to_string()]))
}

/// How something is watched, in words.
pub(super) fn every(watch: Watch) -> String {
    let errors = match watch.errors_per_mille {
        0 => "none may fail".to_owned(),
        share => format!("{}% may fail", f64::from(share) / 10.0),
    };
    format!("every {} for {}: {errors}", duration(watch.every_ms), duration(watch.for_ms))
}

fn duration(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Judge, ServiceCommand, Up};
    use crate::secret::SecretRef;

    fn project() -> ComposeProject {
        ComposeProject {
            dir: "/opt/etally/deployment".to_owned(),
            files: vec!["docker-compose.prod.yml".to_owned()],
            env_file: Some("../.env".to_owned()),
            env: BTreeMap::from([("TAG".to_owned(), "v2".to_owned())]),
            service: None,
        }
    }

    fn api() -> ServiceName {
        "api".parse().expect("a name")
    }

    #[test]
    fn is_what_a_person_would_type() {
        let env = BTreeMap::from([("TOKEN".to_owned(), Value::Secret(SecretRef("API_TOKEN".to_owned())))]);
        let argv = ["node", "-e", "console.log('it is')"].map(str::to_owned).to_vec();
        let command = ServiceCommand { service: api(), via: Via::Run, argv, env, judge: Judge::default() };
        insta::assert_snapshot!(shown(&Action::Service(command.clone()), Some(&project())), @r"cd /opt/etally/deployment && TAG=v2 docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps -e 'TOKEN=[secret:API_TOKEN]' api node -e 'console.log('\''it is'\'')'");
        let command = ServiceCommand { via: Via::Exec, env: BTreeMap::new(), ..command };
        insta::assert_snapshot!(shown(&Action::Service(command), Some(&project())), @r"cd /opt/etally/deployment && TAG=v2 docker compose --env-file ../.env -f docker-compose.prod.yml exec -T api node -e 'console.log('\''it is'\'')'");
        let up = Action::Up(Up { services: vec![api()], back: true, wait_ms: 90_000 });
        insta::assert_snapshot!(shown(&up, Some(&project())), @"cd /opt/etally/deployment && TAG=v2 docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps --wait --wait-timeout 90 api");
        let script = HostScript {
            run: Script::Shell("docker compose logs \"$service\"".to_owned()),
            env: [("service", "api"), ("unused", "x")].map(|(k, v)| (k.to_owned(), Value::Plain(v.to_owned()))).into(),
            judge: Judge::default(),
        };
        insta::assert_snapshot!(shown(&Action::Shell(script.clone()), Some(&project())), @r#"cd /opt/etally/deployment && COMPOSE_ENV_FILES=../.env COMPOSE_FILE=docker-compose.prod.yml service=api sh -c 'docker compose logs "$service"'"#);
        insta::assert_snapshot!(shown(&Action::Shell(script), None), @r#"service=api sh -c 'docker compose logs "$service"'"#);
        insta::assert_snapshot!(shown(&Action::Probe(Probe::Container(crate::action::ContainerProbe { service: api(), healthy: false, restarts: None, uptime_ms: None, deployed: false })), Some(&project())), @"cd /opt/etally/deployment && TAG=v2 docker compose --env-file ../.env -f docker-compose.prod.yml ps api  # expects healthy");
    }
}

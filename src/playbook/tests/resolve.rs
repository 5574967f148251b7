//! What playbooks resolve to: hosts, vars, names, who does what.

use super::super::Work;
use super::*;
use crate::action::Action;
use crate::protocol::Seen;

const RELEASE: &str = r#"
description = "Release"
[vars]
release = { description = "image tag" }
public_url = "https://www.example.com"
[[steps]]
kind = "local"
command = ["npm", "test"]
[[steps]]
kind = "pull"
[[steps]]
kind = "migrate"
tool = "prisma"
once = true
needs = ["postgres"]
[[steps]]
kind = "seed"
seeds = ["configurations", "email-templates"]
once = true
[[steps]]
kind = "up"
back = true
[[steps]]
kind = "health"
name = "api answers"
url = "http://127.0.0.1:3000/health"
expect = { status = 200, json = { "$.status" = "ok", "$.workers" = { ge = 2 } } }
retry = { for = "2m", every = "2s", successes = 3 }
[[steps]]
kind = "health"
from = "here"
url = "{{ vars.public_url }}/health"
[[steps]]
kind = "health"
from = "container"
[[on_failure]]
kind = "shell"
command = "docker compose logs --tail 50 api; echo \"$release\""
"#;

fn release(on_hosts: &str) -> Options {
    Options { vars: vec![("release".to_owned(), "v2".to_owned())], ..on(on_hosts) }
}

#[test]
fn a_release_on_two_hosts() {
    let resolved = resolved(INVENTORY, RELEASE, &release("prod")).expect("fine");
    assert_eq!(resolved.production.as_ref().map(AsRef::as_ref), Some("prod"));
    assert_eq!(resolved.before.len(), 1, "the same on both hosts");
    assert_eq!(resolved.hosts[0].pull.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["api"]);
    insta::assert_snapshot!(lines(&resolved, 0), @r#"
    migrate | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx prisma migrate deploy
    seed configurations | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/configurations.seed.ts
    seed email-templates | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/email-templates.seed.ts
    up | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps --wait --wait-timeout 120 api
    api answers | Success | host | curl -sS http://127.0.0.1:3000/health  # expects 200, $.status = "ok", $.workers >= 2
    health | Success | driver | curl -sS https://www.example.com/health  # expects 200
    health 2 | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml ps api  # expects healthy
    shell | Failure | host | cd /opt/etally/deployment && COMPOSE_ENV_FILES=../.env COMPOSE_FILE=docker-compose.prod.yml release=v2 sh -c 'docker compose logs --tail 50 api; echo "$release"'
    "#);
    insta::assert_snapshot!(lines(&resolved, 1), @r#"
    migrate | Success | waits for prod-1 | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx prisma migrate deploy
    seed configurations | Success | waits for prod-1 | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/configurations.seed.ts
    seed email-templates | Success | waits for prod-1 | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/email-templates.seed.ts
    up | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps --wait --wait-timeout 120 api
    api answers | Success | host | curl -sS http://127.0.0.1:3000/health  # expects 200, $.status = "ok", $.workers >= 2
    health | Success | driver | curl -sS https://www.example.com/health  # expects 200
    health 2 | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml ps api  # expects healthy
    shell | Failure | host | cd /opt/etally/deployment && COMPOSE_ENV_FILES=../.env COMPOSE_FILE=docker-compose.prod.yml release=v2 sh -c 'docker compose logs --tail 50 api; echo "$release"'
    "#);
}

#[test]
fn a_host_step_carries_all_that_the_host_needs() {
    let resolved = resolved(INVENTORY, RELEASE, &release("stage")).expect("fine");
    insta::assert_snapshot!(serde_json::to_string_pretty(&resolved.hosts[0].steps[1].step).expect("json"), @r#"
    {
      "name": "seed configurations",
      "kind": "seed",
      "shown": "cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api npx tsx prisma/seeds/configurations.seed.ts",
      "when": "success",
      "check": false,
      "timeout_ms": 3600000,
      "ledger": {
        "name": "configurations",
        "service": "api",
        "command": "npx tsx prisma/seeds/configurations.seed.ts",
        "files": [
          "prisma/seeds/configurations.seed.ts"
        ],
        "seen": "skip",
        "in_database": true
      },
      "hints": [
        {
          "regex": "No command registered for `migrate`",
          "text": "the image holds Prisma 8, whose migrations are another tool's: say `tool = \"prisma-8\"` in the step"
        },
        {
          "regex": "\\bP1001\\b",
          "text": "the database cannot be reached from the container: is its service up and in the same network, and is the host in DATABASE_URL the service's name?"
        },
        {
          "regex": "\\bP1002\\b",
          "text": "another migration holds the database's lock, or the database answers too slowly: wait for the other one, or look for a session that hangs"
        },
        {
          "regex": "\\bP3005\\b",
          "text": "the database has tables but no migration history: baseline it once with `prisma migrate resolve --applied NAME` for each migration that it already holds"
        },
        {
          "regex": "\\bP3009\\b|^Following migrations? have failed:",
          "text": "a migration failed earlier and blocks all others: look at what it left in the database, then settle it with `prisma migrate resolve --applied NAME` or `--rolled-back NAME`"
        },
        {
          "regex": "\\bP3018\\b",
          "text": "the migration's SQL failed: what it did before the error may still be there; look before you settle it with `prisma migrate resolve`"
        },
        {
          "regex": "\\bP2021\\b",
          "text": "a table does not exist: migrate first, or the image is older or newer than the database"
        },
        {
          "regex": "(?i)segmentation fault",
          "text": "the program crashed: often an engine built for another libc or OpenSSL than the image's; compare `binaryTargets` of the schema with the image"
        }
      ],
      "actions": [
        {
          "action": "service",
          "service": "api",
          "via": "run",
          "argv": [
            "npx",
            "tsx",
            "prisma/seeds/configurations.seed.ts"
          ],
          "judge": {
            "codes": [
              0
            ],
            "forbid": [
              {
                "regex": "No seed command configured",
                "means": "there is no seed to run"
              }
            ]
          }
        }
      ]
    }
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&resolved.hosts[0].steps[4].step).expect("json"), @r#"
    {
      "name": "api answers",
      "kind": "health",
      "shown": "curl -sS http://127.0.0.1:3000/health  # expects 200, $.status = \"ok\", $.workers >= 2",
      "when": "success",
      "check": true,
      "timeout_ms": 135000,
      "retry": {
        "for_ms": 120000,
        "every_ms": 2000,
        "successes": 3
      },
      "actions": [
        {
          "action": "probe",
          "side": "host",
          "url": "http://127.0.0.1:3000/health",
          "method": "GET",
          "timeout_ms": 10000,
          "expect": {
            "status": [
              200
            ],
            "json": [
              {
                "path": "$.status",
                "op": "eq",
                "value": "ok"
              },
              {
                "path": "$.workers",
                "op": "ge",
                "value": 2
              }
            ]
          }
        }
      ]
    }
    "#);
    let migrate = &resolved.hosts[0].steps[0].step;
    assert_eq!(migrate.timeout_ms, None, "a migration has all the time it takes");
    assert!(matches!(migrate.actions.as_slice(), [Action::Migrate(migrate)] if migrate.tool == "prisma"));
    assert_eq!(resolved.hosts[0].state.path, "/var/lib/landfall/etally");
    assert_eq!(resolved.hosts[0].secrets.base, "/opt/etally/deployment");
    assert_eq!(resolved.production, None, "staging says so");
}

#[test]
fn vars_the_later_wins() {
    let playbook = "[vars]\npublic_url = \"p\"\n[[steps]]\nkind = \"exec\"\ncommand = [\"echo\", \"{{ vars.public_url }}\"]\n";
    let shown = |inventory: &str, options: &Options| {
        resolved(inventory, playbook, options).expect("fine").hosts[0].steps[0].step.shown.rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(shown(INVENTORY, &on("prod-1")).as_deref(), Some("p"));
    assert_eq!(shown(INVENTORY, &on("stage")).as_deref(), Some("https://staging.example.com"));
    let host = INVENTORY.replace("groups = [\"staging\"]", "groups = [\"staging\"]\nvars = { public_url = \"h\" }");
    assert_eq!(shown(&host, &on("stage")).as_deref(), Some("h"));
    let given = Options { vars: vec![("public_url".to_owned(), "g".to_owned())], ..on("stage") };
    assert_eq!(shown(&host, &given).as_deref(), Some("g"));
}

#[test]
fn names_are_numbered_and_seeds_name_their_steps() {
    let playbook = r#"
[[steps]]
kind = "health"
url = "http://a/"
[[steps]]
kind = "health"
name = "health 2"
url = "http://a/"
[[steps]]
kind = "health"
url = "http://a/"
[[steps]]
kind = "seed"
name = "data"
seeds = ["configurations", "email-templates"]
[[steps]]
kind = "seed"
name = "one"
seeds = ["configurations"]
[[steps]]
kind = "seed"
"#;
    let resolved = resolved(INVENTORY, playbook, &on("stage")).expect("fine");
    let names: Vec<&str> = resolved.hosts[0].steps.iter().map(|step| step.step.name.as_str()).collect();
    let expected = [
        "health",
        "health 2",
        "health 3",
        "data configurations",
        "data email-templates",
        "one",
        "seed configurations",
        "seed email-templates",
    ];
    assert_eq!(names, expected);
}

#[test]
fn hosts_of_a_step_and_once_among_them() {
    let playbook = r#"
hosts = ["prod", "staging"]
serial = "50%"
[[steps]]
kind = "exec"
command = ["a"]
hosts = ["staging"]
[[steps]]
kind = "exec"
command = ["b"]
once = "release"
hosts = ["prod-2", "staging"]
"#;
    let resolved = resolved(INVENTORY, playbook, &Options::default()).expect("fine");
    assert_eq!(resolved.serial.map(|serial| serial.batch(3)), Some(1));
    assert_eq!(lines(&resolved, 0), "");
    insta::assert_snapshot!(lines(&resolved, 1), @"exec 2 | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api b");
    insta::assert_snapshot!(lines(&resolved, 2), @r"
    exec | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api a
    exec 2 | Success | waits for prod-2 | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml run --rm -T --no-deps api b
    ");
    let once = &resolved.hosts[1].steps[0].step;
    let ledger = once.ledger.as_ref().expect("the ledger keeps it");
    assert_eq!(
        (ledger.name.as_str(), ledger.service.as_str(), ledger.files.len(), ledger.seen),
        ("exec 2", "api", 0, Seen::Skip)
    );
    let peer = &resolved.hosts[2].steps[1];
    assert!(matches!(&peer.work, Work::Peer { first } if first.as_str() == "prod-2"));
    assert_eq!((peer.step.actions.as_slice(), &peer.step.ledger), (&[Action::Barrier][..], &None));
}

#[test]
fn which_hosts() {
    let playbook = "[[steps]]\nkind = \"up\"\n";
    insta::assert_snapshot!(wrong_with(playbook, &Options::default()), @r"
    error: it is not said which hosts are meant
     |
     = help: say --on with a host or a group (empty, prod, staging), or give the playbook `hosts`
    ");
    insta::assert_snapshot!(wrong_with(playbook, &on("prdo")), @r"
    error: there is no host or group `prdo`
     |
     = help: did you mean `prod`?
    ");
    insta::assert_snapshot!(wrong_with(playbook, &on("empty")), @r#"
    error: no host is in the group `empty`
     |
     = help: put one in: groups = ["empty"] under its [hosts.NAME]
    "#);
    insta::assert_snapshot!(wrong_with(&format!("hosts = [\"prod\", \"prod-3\"]\n{playbook}"), &Options::default()), @r#"
    error: there is no host or group `prod-3`
     --> playbooks/release.toml:1:18
      |
    1 | hosts = ["prod", "prod-3"]
      |                  ^^^^^^^^
      |
      = help: did you mean `prod-1`?
    "#);
    insta::assert_snapshot!(wrong_with(&format!("hosts = [\"prod\"]\n{playbook}"), &on("prod-1,stage")), @r"
    error: --on stage is not among the hosts of the playbook
     |
     = help: its `hosts` are prod-1, prod-2
    ");
    let names = |options: &Options| {
        let resolved = resolved(INVENTORY, playbook, options).expect("fine");
        resolved.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&on("stage, prod-2")), ["prod-2", "stage"], "the order of the inventory");
    assert_eq!(names(&Options { everywhere: true, ..Options::default() }).len(), 3);
}

#[test]
fn composes_own_environment_is_needed_only_where_something_starts() {
    let inventory = INVENTORY.replace("env_file", "env = { TAG = \"{{ vars.release }}\" }\nenv_file");
    let health = "[[steps]]\nkind = \"health\"\nfrom = \"container\"\n";
    let resolved_health = resolved(&inventory, health, &on("stage")).expect("fine");
    assert!(resolved_health.hosts[0].compose.as_ref().expect("compose").env.is_empty());
    let up = "[[steps]]\nkind = \"up\"\n";
    insta::assert_snapshot!(resolved(&inventory, up, &on("stage")).expect_err("no release"), @r#"
    error: there is no var `release`
     --> /etc/demo/landfall.toml:7:15
      |
    7 | env = { TAG = "{{ vars.release }}" }
      |               ^^^^^^^^^^^^^^^^^^^^
      |
      = help: declare it under [vars], or give it to the group or host in landfall.toml, or say --var release=VALUE
    "#);
    let given = resolved(&inventory, up, &release("stage")).expect("--var is used by the inventory");
    assert_eq!(given.hosts[0].compose.as_ref().expect("compose").env["TAG"], "v2");
    let from_host = "[[steps]]\nkind = \"health\"\nurl = \"http://127.0.0.1/\"\n";
    assert_eq!(resolved(&inventory, from_host, &on("stage")).expect("fine").hosts[0].compose, None, "no step needs Docker");
}

#[test]
fn a_local_step_that_differs_between_hosts_runs_for_each_kind_of_host() {
    let playbook = "[vars]\npublic_url = \"p\"\n[[steps]]\nkind = \"local\"\ncommand = [\"echo\", \"{{ vars.public_url }}\"]\n[[steps]]\nkind = \"up\"\n[[steps]]\nkind = \"local\"\ncommand = \"echo $public_url\"\n";
    let resolved = resolved(INVENTORY, playbook, &on("prod,staging")).expect("fine");
    let before: Vec<(&str, usize)> = resolved.before.iter().map(|step| (step.shown.as_str(), step.hosts.len())).collect();
    assert_eq!(before, [("echo p", 2), ("echo https://staging.example.com", 1)]);
    insta::assert_snapshot!(lines(&resolved, 0), @r"
    up | Success | host | cd /opt/etally/deployment && docker compose --env-file ../.env -f docker-compose.prod.yml up -d --no-deps --wait --wait-timeout 120 api
    local 2 | Success | driver | sh -c 'echo $public_url'
    ");
}

#[test]
fn the_digest_is_that_of_text_and_vars() {
    let digest = |playbook: &str, options: &Options| resolved(INVENTORY, playbook, options).expect("fine").digest;
    let other = Options { vars: vec![("release".to_owned(), "v3".to_owned())], ..on("prod") };
    assert_eq!(digest(RELEASE, &release("prod")), digest(RELEASE, &release("prod")));
    assert_ne!(digest(RELEASE, &release("prod")), digest(RELEASE, &other));
    assert_ne!(digest(RELEASE, &release("prod")), digest(&format!("{RELEASE}\n# x"), &release("prod")));
}

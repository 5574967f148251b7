//! What can be wrong with steps, whatever their kind, and with each kind.

use super::*;

#[test]
fn unknown_kinds_and_keys() {
    insta::assert_snapshot!(wrong(r#"
descripton = "x"
[[steps]]
kind = "migrations"
[[steps]]
kind = "healt"
[[steps]]
kind = "firewall"
[[steps]]
name = "no kind"
[[steps]]
kind = "migrate"
tool = "prizma"
tiemout = "5m"
window = "02:00"
[[step]]
kind = "pull"
"#), @r#"
    error: unknown key `descripton` in a playbook
     --> playbooks/release.toml:2:1
      |
    2 | descripton = "x"
      | ^^^^^^^^^^
      |
      = help: did you mean `description`?

    error: unknown kind "migrations"
     --> playbooks/release.toml:4:8
      |
    4 | kind = "migrations"
      |        ^^^^^^^^^^^^
      |
      = help: the kinds are pull, up, migrate, seed, exec, backup, restore, shell, local, health, container, logs, tcp, port_closed, database, disk, watch

    error: unknown kind "healt"
     --> playbooks/release.toml:6:8
      |
    6 | kind = "healt"
      |        ^^^^^^^
      |
      = help: did you mean "health"?

    error: unknown kind "firewall"
     --> playbooks/release.toml:8:8
      |
    8 | kind = "firewall"
      |        ^^^^^^^^^^
      |
      = help: the kinds are pull, up, migrate, seed, exec, backup, restore, shell, local, health, container, logs, tcp, port_closed, database, disk, watch

    error: a step needs `kind`
     --> playbooks/release.toml:9:1
      |
    9 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say which: kind = "…", one of pull, up, migrate, seed, exec, backup, restore, shell, local, health, container, logs, tcp, port_closed, database, disk, watch

    error: `tool` cannot be "prizma"
      --> playbooks/release.toml:13:8
       |
    13 | tool = "prizma"
       |        ^^^^^^^^
       |
       = help: did you mean "prisma"?

    error: unknown key `tiemout` in a `migrate` step
      --> playbooks/release.toml:14:1
       |
    14 | tiemout = "5m"
       | ^^^^^^^
       |
       = help: did you mean `timeout`?

    error: unknown key `window` in a `migrate` step
      --> playbooks/release.toml:15:1
       |
    15 | window = "02:00"
       | ^^^^^^
       |
       = help: its keys are apply, env, failed, failure, hints, history, hosts, kind, lock_timeout, migrations, mode, name, needs, once, pending, pending_code, pending_name, per_host, preview, repeat, require_backup, retry, service, status, success, timeout, tool, up_to_date, via, when

    error: unknown key `step` in a playbook
      --> playbooks/release.toml:16:3
       |
    16 | [[step]]
       |   ^^^^
       |
       = help: did you mean `steps`?
    "#);
}

#[test]
fn common_fields() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "up"
name = " x"
timeout = 30
hosts = ["nowhere"]
when = "sometimes"
once = "always"
per_host = 1
needs = "postgres"
retry = { for = "1m" }
[[steps]]
kind = "up"
timeout = "soon"
once = true
per_host = true
repeat = true
hosts = []
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
timeout = "10s"
retry = { for = "1m", every = "2m", successes = 0, times = 3 }
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
retry = { every = "2s" }
once = "release"
[[steps]]
kind = "pull"
once = true
"#), @r#"
    error: " x" is not a step name
     --> playbooks/release.toml:4:8
      |
    4 | name = " x"
      |        ^^^^
      |
      = help: use 1 to 80 printable characters, with no blank at either end

    error: `timeout` must be a duration such as "30s" or "2m", not a whole number
     --> playbooks/release.toml:5:11
      |
    5 | timeout = 30
      |           ^^
      |
      = help: say the unit: `timeout = "30s"`

    error: there is no host or group `nowhere`
     --> playbooks/release.toml:6:10
      |
    6 | hosts = ["nowhere"]
      |          ^^^^^^^^^
      |
      = help: landfall.toml has empty, prod, staging, prod-1, prod-2, stage

    error: `when` cannot be "sometimes"
     --> playbooks/release.toml:7:8
      |
    7 | when = "sometimes"
      |        ^^^^^^^^^^^
      |
      = help: use one of "success", "failure", "always", "unknown"

    error: `once` cannot be "always"
     --> playbooks/release.toml:8:8
      |
    8 | once = "always"
      |        ^^^^^^^^
      |
      = help: use `true` (on the first host only) or "release" (also never again for the same image)

    error: `per_host` must be true or false, not a whole number
     --> playbooks/release.toml:9:12
      |
    9 | per_host = 1
      |            ^
      |
      = help: write `per_host = …` with true or false

    error: `needs` must be a list of strings, not a string
      --> playbooks/release.toml:10:9
       |
    10 | needs = "postgres"
       |         ^^^^^^^^^^
       |
       = help: put it in brackets: `needs = ["postgres"]`

    error: an `up` step cannot have `retry`: a step with effects is never retried by itself
      --> playbooks/release.toml:11:1
       |
    11 | retry = { for = "1m" }
       | ^^^^^
       |
       = help: leave it out; only checks, such as `health`, are tried again

    error: "soon" is not a duration: expected number at 0
      --> playbooks/release.toml:14:11
       |
    14 | timeout = "soon"
       |           ^^^^^^
       |
       = help: use a number and a unit, such as "500ms", "30s", "2m" or "1h 30m"

    error: `once` and `per_host` are opposites
      --> playbooks/release.toml:16:12
       |
    16 | per_host = true
       |            ^^^^
       |
       = help: keep the one that is meant

    error: `repeat` means nothing here
      --> playbooks/release.toml:17:10
       |
    17 | repeat = true
       |          ^^^^
       |
       = help: leave it out: only seeds and steps with `once = "release"` are kept in the ledger; this one always runs

    error: `hosts` is empty: the step could run nowhere
      --> playbooks/release.toml:18:1
       |
    18 | hosts = []
       | ^^^^^
       |
       = help: name a host or group, or leave it out

    error: `timeout` ends before `retry.for` does
      --> playbooks/release.toml:22:11
       |
    22 | timeout = "10s"
       |           ^^^^^
       |
       = help: `for` counts within `timeout`: raise the one or lower the other

    error: `every` is longer than `for`: there would be no second attempt
      --> playbooks/release.toml:23:31
       |
    23 | retry = { for = "1m", every = "2m", successes = 0, times = 3 }
       |                               ^^^^
       |
       = help: lower `every`, or raise `for`

    error: `successes` cannot be 0
      --> playbooks/release.toml:23:49
       |
    23 | retry = { for = "1m", every = "2m", successes = 0, times = 3 }
       |                                                 ^
       |
       = help: use a number from 1 to 1000

    error: unknown key `times` in `retry`
      --> playbooks/release.toml:23:52
       |
    23 | retry = { for = "1m", every = "2m", successes = 0, times = 3 }
       |                                                    ^^^^^
       |
       = help: its keys are every, for, successes

    error: `retry` needs `for`
      --> playbooks/release.toml:27:9
       |
    27 | retry = { every = "2s" }
       |         ^^^^^^^^^^^^^^^^
       |
       = help: say how long to try: retry = { for = "2m" }

    error: `once = "release"` cannot go with `health`
      --> playbooks/release.toml:28:8
       |
    28 | once = "release"
       |        ^^^^^^^^^
       |
       = help: the ledger keeps what ran from an image on the host; use `once = true`

    error: `once` cannot go with `pull`
      --> playbooks/release.toml:31:8
       |
    31 | once = true
       |        ^^^^
       |
       = help: leave it out: every host needs the image that it is to run
    "#);
}

#[test]
fn duplicate_names() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "up"
name = "same"
[[always]]
kind = "shell"
name = "same"
command = "true"
"#), @r#"
    error: two steps are named `same`
     --> playbooks/release.toml:7:8
      |
    7 | name = "same"
      |        ^^^^^^
      |
      = help: give each its own name
    "#);
}

#[test]
fn steps_that_can_never_run_and_steps_after_which_nothing_can() {
    insta::assert_snapshot!(wrong_with(r#"
hosts = ["staging"]
[[steps]]
kind = "up"
when = "failure"
[[steps]]
kind = "up"
hosts = ["prod"]
[[steps]]
kind = "shell"
command = "sync; sudo reboot"
[[on_failure]]
kind = "shell"
command = "true"
when = "success"
"#, &Options::default()), @r#"
    error: this step can never run
     --> playbooks/release.toml:5:1
      |
    5 | when = "failure"
      | ^^^^
      |
      = help: nothing comes before it that could fail; put it behind the step that it is for

    error: this step can never run
     --> playbooks/release.toml:8:10
      |
    8 | hosts = ["prod"]
      |          ^^^^^^
      |
      = help: none of its `hosts` is among those of the playbook: add them there, or drop the step

    error: after `reboot` nothing can run
      --> playbooks/release.toml:11:23
       |
    11 | command = "sync; sudo reboot"
       |                       ^^^^^^
       |
       = help: leave it out: the run would go down with the host, and how it ended could never be known

    error: `when` contradicts [[on_failure]]
      --> playbooks/release.toml:15:8
       |
    15 | when = "success"
       |        ^^^^^^^^^
       |
       = help: leave it out: steps of [[on_failure]] have theirs; with another `when` put the step among [[steps]]
    "#);
}

#[test]
fn no_steps() {
    insta::assert_snapshot!(wrong("description = \"x\"\n"), @r#"
    error: the playbook has no steps
     --> playbooks/release.toml:1:1
      |
    1 | description = "x"
      | ^
      |
      = help: add one: [[steps]] with kind = "…"
    "#);
    insta::assert_snapshot!(wrong("[steps]\nkind = \"up\"\n"), @r"
    error: `steps` must be a list of tables, not one table
     --> playbooks/release.toml:1:1
      |
    1 | [steps]
      | ^^^^^^^
      |
      = help: write `[[steps]]` with two brackets: there can be several
    ");
}

#[test]
fn heads() {
    insta::assert_snapshot!(wrong(r#"
description = 1
hosts = []
serial = "0%"
[vars]
LD_PRELOAD = "x"
a = { defualt = "x" }
b = [1]
[[steps]]
kind = "up"
"#), @r#"
    error: `description` must be a string, not a whole number
     --> playbooks/release.toml:2:15
      |
    2 | description = 1
      |               ^
      |
      = help: put it in quotes

    error: `hosts` is empty
     --> playbooks/release.toml:3:1
      |
    3 | hosts = []
      | ^^^^^
      |
      = help: name hosts or groups, or leave the key out: then --on says them

    error: `serial` must be a number of hosts or a share from "1%" to "100%"
     --> playbooks/release.toml:4:10
      |
    4 | serial = "0%"
      |          ^^^^
      |
      = help: write how many hosts go at once (`serial = 2`), or a share of them (`serial = "25%"`)

    error: `LD_PRELOAD` means something to other programs
     --> playbooks/release.toml:6:1
      |
    6 | LD_PRELOAD = "x"
      | ^^^^^^^^^^
      |
      = help: use another name: a var becomes an environment variable of scripts

    error: the var `a` has no value
     --> playbooks/release.toml:7:1
      |
    7 | a = { defualt = "x" }
      | ^
      |
      = help: say --var a=VALUE, give it a default here (a = "…"), or a value in `vars` of a group or host in landfall.toml

    error: unknown key `defualt` in the var `a`
     --> playbooks/release.toml:7:7
      |
    7 | a = { defualt = "x" }
      |       ^^^^^^^
      |
      = help: did you mean `default`?

    error: the value of `b` must be a string, not a list
     --> playbooks/release.toml:8:5
      |
    8 | b = [1]
      |     ^^^
      |
      = help: write `b = "…"`
    "#);
}

#[test]
fn migrate() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "migrate"
[[steps]]
kind = "migrate"
status = ["x", "status"]
[[steps]]
kind = "migrate"
tool = "prisma"
pending_code = 2
success = "(unclosed"
[[steps]]
kind = "migrate"
status = ["x"]
apply = []
pending_code = 0
[[steps]]
kind = "migrate"
tool = "prisma"
via = "ssh"
service = "a b"
"#), @r#"
    error: a `migrate` step needs `status`
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: name a tool (tool = "prisma"), or give both `status` and `apply` as lists

    error: a `migrate` step needs `apply`
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: name a tool (tool = "prisma"), or give both `status` and `apply` as lists

    error: a `migrate` step needs `apply`
     --> playbooks/release.toml:4:1
      |
    4 | [[steps]]
      | ^^^^^^^^^
      |
      = help: name a tool (tool = "prisma"), or give both `status` and `apply` as lists

    error: `pending_code` cannot go with `tool`: what prisma prints is known
      --> playbooks/release.toml:10:1
       |
    10 | pending_code = 2
       | ^^^^^^^^^^^^
       |
       = help: leave the one or the other out

    error: `success` cannot go with `tool`: what prisma prints is known
      --> playbooks/release.toml:11:1
       |
    11 | success = "(unclosed"
       | ^^^^^^^
       |
       = help: leave the one or the other out

    error: `success` is not a regular expression: found open group without closing ')'
      --> playbooks/release.toml:11:11
       |
    11 | success = "(unclosed"
       |           ^^^^^^^^^^^
       |
       = help: the syntax is that of the regex-lite crate: no look-around, no back-references, no \p{…}; in TOML write it in single quotes

    error: `apply` is empty
      --> playbooks/release.toml:15:9
       |
    15 | apply = []
       |         ^^
       |
       = help: name a program and its arguments: `apply = ["npx", "tsx", "seed.ts"]`

    error: `pending_code = 0` needs `pending`
      --> playbooks/release.toml:16:16
       |
    16 | pending_code = 0
       |                ^
       |
       = help: exit code 0 is also that of nothing pending: add `pending`, a regular expression for the line that tells them apart

    error: `via` cannot be "ssh"
      --> playbooks/release.toml:20:7
       |
    20 | via = "ssh"
       |       ^^^^^
       |
       = help: use one of "run", "exec"

    error: "a b" is not a service name
      --> playbooks/release.toml:21:11
       |
    21 | service = "a b"
       |           ^^^^^
       |
       = help: use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit
    "#);
}

#[test]
fn leading_steps_keep_no_time_and_start_nothing() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "local"
command = ["npm", "test"]
needs = ["postgres"]
[[steps]]
kind = "pull"
timeout = "5m"
"#), @r#"
    error: a leading `local` cannot have `needs`
     --> playbooks/release.toml:5:10
      |
    5 | needs = ["postgres"]
      |          ^^^^^^^^^^
      |
      = help: it runs before the first step; leave the key out, or put the step behind another one

    error: a leading `pull` cannot have `timeout`
     --> playbooks/release.toml:8:11
      |
    8 | timeout = "5m"
      |           ^^^^
      |
      = help: it runs before the first step; leave the key out, or put the step behind another one
    "#);
}

#[test]
fn messages_do_not_quote_secrets() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "exec"
command = "psql postgres://app:hunter2@db/x"
[[steps]]
kind = "health"
url = "http://app:hunter2@127.0.0.1/"
"#), @r#"
    error: a password in a URL is written down here
     --> playbooks/release.toml:4:11
      |
    4 | command = "********************************"
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it

    error: `command` must be a list of strings, not a string
     --> playbooks/release.toml:4:11
      |
    4 | command = "********************************"
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write each word by itself, it passes through no shell: `command = ["psql", "***"]`

    error: a password in a URL is written down here
     --> playbooks/release.toml:7:7
      |
    7 | url = "*****************************"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it

    error: this is not a URL to ask
     --> playbooks/release.toml:7:7
      |
    7 | url = "*****************************"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: credentials do not belong in a URL: use a header with `{ secret = "NAME" }`
    "#);
}

#[test]
fn forbidden_seeds() {
    let sink = Sink::default();
    let text = INVENTORY.replace("\"prisma/seeds/email-templates.seed.ts\"", "\"prisma\", \"db\", \"push\"");
    Inventory::parse(Path::new("landfall.toml"), &text, &sink);
    let diags = sink.finish(()).expect_err("refused");
    assert_eq!(diags.code(), 7);
    insta::assert_snapshot!(diags, @r#"
    error: `prisma db push` is refused: it changes the schema without a migration, and may drop data
      --> landfall.toml:36:12
       |
    36 | command = ["npx", "tsx", "prisma", "db", "push"]
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: make a migration (`prisma migrate dev` on a development machine) and let a `migrate` step apply it
    "#);
}

#[test]
fn forbidden_commands() {
    let playbook = r#"
[[steps]]
kind = "exec"
command = ["npx", "prisma", "db", "push"]
[[steps]]
kind = "shell"
command = "cd /app && npx prisma migrate reset --force"
[[steps]]
kind = "local"
command = ["sh", "-c", "npx prisma migrate dev"]
[[steps]]
kind = "migrate"
status = ["npx", "drizzle-kit", "check"]
apply = ["npx", "drizzle-kit", "push"]
[[steps]]
kind = "exec"
command = ["npx", "prisma", "migrate", "diff", "--shadow-database-url", "$DATABASE_URL"]
"#;
    let diags = resolved(INVENTORY, playbook, &on("stage")).expect_err("refused");
    assert_eq!(diags.code(), 7);
    insta::assert_snapshot!(diags, @r#"
    error: `prisma db push` is refused: it changes the schema without a migration, and may drop data
     --> playbooks/release.toml:4:12
      |
    4 | command = ["npx", "prisma", "db", "push"]
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: make a migration (`prisma migrate dev` on a development machine) and let a `migrate` step apply it

    error: `prisma migrate reset` is refused: it drops the database
     --> playbooks/release.toml:7:11
      |
    7 | command = "cd /app && npx prisma migrate reset --force"
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: use a `migrate` step; to settle a failed migration use `prisma migrate resolve`

    error: `prisma migrate dev` is refused: it is for development: it may reset the database
      --> playbooks/release.toml:10:12
       |
    10 | command = ["sh", "-c", "npx prisma migrate dev"]
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: use a `migrate` step: it runs `prisma migrate deploy`

    error: `drizzle-kit push` is refused: it changes the schema without a migration, and may drop data
      --> playbooks/release.toml:14:10
       |
    14 | apply = ["npx", "drizzle-kit", "push"]
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: generate a migration (`drizzle-kit generate`) and let a `migrate` step apply it

    error: `prisma migrate diff --shadow-database-url` is refused: Prisma resets the shadow database, and a host's DATABASE_URL is production
      --> playbooks/release.toml:17:12
       |
    17 | command = ["npx", "prisma", "migrate", "diff", "--shadow-database-url", "$DATABASE_URL"]
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: read the pending migrations' SQL in `landfall plan`
    "#);
}

#[test]
fn seed() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "seed"
seeds = ["configuration", "configurations", "configurations", "nothing-like-it"]
[[steps]]
kind = "seed"
seeds = []
[[steps]]
kind = "seed"
seeds = "configurations"
"#), @r#"
    error: there is no seed `configuration`
     --> playbooks/release.toml:4:10
      |
    4 | seeds = ["configuration", "configurations", "configurations", "nothing-like-it"]
      |          ^^^^^^^^^^^^^^^
      |
      = help: did you mean `configurations`?

    error: the seed `configurations` is named twice
     --> playbooks/release.toml:4:45
      |
    4 | seeds = ["configuration", "configurations", "configurations", "nothing-like-it"]
      |                                             ^^^^^^^^^^^^^^^^
      |
      = help: name it once

    error: there is no seed `nothing-like-it`
     --> playbooks/release.toml:4:63
      |
    4 | seeds = ["configuration", "configurations", "configurations", "nothing-like-it"]
      |                                                               ^^^^^^^^^^^^^^^^^
      |
      = help: declare it in landfall.toml: [seeds.nothing-like-it] with a `command`

    error: `seeds` is empty
     --> playbooks/release.toml:7:9
      |
    7 | seeds = []
      |         ^^
      |
      = help: name a seed, or leave the key out for every declared one

    error: `seeds` must be a list of strings, not a string
      --> playbooks/release.toml:10:9
       |
    10 | seeds = "configurations"
       |         ^^^^^^^^^^^^^^^^
       |
       = help: put it in brackets: `seeds = ["configurations"]`
    "#);
}

#[test]
fn several_hosts_must_be_spoken_of() {
    insta::assert_snapshot!(wrong_with(r#"
[[steps]]
kind = "migrate"
tool = "prisma"
[[steps]]
kind = "seed"
seeds = ["configurations"]
"#, &on("prod")), @r"
    error: a `migrate` step on several hosts (prod-1, prod-2) must say how
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say `once = true` if they share a database, `per_host = true` if each has its own

    error: a `seed` step on several hosts (prod-1, prod-2) must say how
     --> playbooks/release.toml:5:1
      |
    5 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say `once = true` if they share a database, `per_host = true` if each has its own
    ");
}

#[test]
fn exec_shell_and_local() {
    insta::assert_snapshot!(wrong(r#"
[vars]
x = "1"
[[steps]]
kind = "exec"
[[steps]]
kind = "exec"
command = "npm run job"
env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
[[steps]]
kind = "shell"
command = ["ls"]
[[steps]]
kind = "shell"
command = "echo {{ vars.x }}"
[[steps]]
kind = "shell"
command = " "
[[steps]]
kind = "local"
command = []
env = { T = { secret = "X" }, U = { client_secret = "U", origins = ["https://example.com"] } }
[[steps]]
kind = "local"
"#), @r#"
    error: an `exec` step needs `command`
     --> playbooks/release.toml:4:1
      |
    4 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say what to run: command = ["node", "script.js"]

    error: `command` must be a list of strings, not a string
     --> playbooks/release.toml:8:11
      |
    8 | command = "npm run job"
      |           ^^^^^^^^^^^^^
      |
      = help: write each word by itself, it passes through no shell: `command = ["npm", "run", "job"]`

    error: "A-B" cannot be the name of an environment variable
     --> playbooks/release.toml:9:9
      |
    9 | env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
      |         ^^^^^
      |
      = help: use letters, digits and `_`, not starting with a digit

    error: `client_secret` cannot be used here
     --> playbooks/release.toml:9:32
      |
    9 | env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
      |                                ^^^^^^^^^^^^^
      |
      = help: `{ client_secret = … }` is for `local` steps and checks from here: what runs on the host takes `{ secret = "NAME" }`

    error: `N` must be a string or a secret's name, not a whole number
     --> playbooks/release.toml:9:59
      |
    9 | env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
      |                                                           ^
      |
      = help: write `N = "…"`, or `N = { secret = "NAME" }`

    error: this is not the name of a secret
     --> playbooks/release.toml:9:77
      |
    9 | env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
      |                                                                             ^^
      |
      = help: use the key of an env file, or a file's name without its ending

    error: unknown key `sercet` in `U`
     --> playbooks/release.toml:9:89
      |
    9 | env = { "A-B" = "x", TOKEN = { client_secret = "T" }, N = 1, S = { secret = "" }, U = { sercet = "X" } }
      |                                                                                         ^^^^^^
      |
      = help: did you mean `secret`?

    error: `command` of a `shell` step must be a string, not a list
      --> playbooks/release.toml:12:11
       |
    12 | command = ["ls"]
       |           ^^^^^^
       |
       = help: write the script as one string; a list, which passes through no shell, is for `exec` (in a service) and `local`

    error: `{{ vars.x }}` is not filled in in a text for the shell
      --> playbooks/release.toml:15:17
       |
    15 | command = "echo {{ vars.x }}"
       |                 ^^^^^^^^^^^^
       |
       = help: use "$x": vars reach a shell as environment variables, so that nothing in them can become a command

    error: `command` is empty
      --> playbooks/release.toml:18:11
       |
    18 | command = " "
       |           ^^^
       |
       = help: say what to run

    error: `command` is empty
      --> playbooks/release.toml:21:11
       |
    21 | command = []
       |           ^^
       |
       = help: name a program and its arguments: `command = ["npx", "tsx", "seed.ts"]`

    error: `secret` cannot be used here
      --> playbooks/release.toml:22:15
       |
    22 | env = { T = { secret = "X" }, U = { client_secret = "U", origins = ["https://example.com"] } }
       |               ^^^^^^
       |
       = help: `{ secret = … }` never leaves the host: here use `{ client_secret = "NAME" }`, an environment variable of this machine

    error: a `local` step sends nothing itself
      --> playbooks/release.toml:22:58
       |
    22 | env = { T = { secret = "X" }, U = { client_secret = "U", origins = ["https://example.com"] } }
       |                                                          ^^^^^^^
       |
       = help: leave `origins` out

    error: a `local` step needs `command`
      --> playbooks/release.toml:23:1
       |
    23 | [[steps]]
       | ^^^^^^^^^
       |
       = help: say what to run: command = ["npm", "test"]
    "#);
}

#[test]
fn health() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "health"
[[steps]]
kind = "health"
url = "https://127.0.0.1/"
[[steps]]
kind = "health"
from = "outside"
[[steps]]
kind = "health"
from = "here"
url = "https://www.example.com/"
headers = { Authorization = { secret = "T" }, "X Y" = "z" }
[[steps]]
kind = "health"
url = "127.0.0.1:3000"
method = "get"
[[steps]]
kind = "health"
url = "ftp://127.0.0.1/"
[[steps]]
kind = "health"
url = "http://user@127.0.0.1/"
[[steps]]
kind = "health"
url = "http://127.0.0.1:99999/"
headers = { X = { client_secret = "T" } }
service = "api"
[[steps]]
kind = "health"
from = "container"
url = "http://127.0.0.1/"
"#), @r#"
    error: a `health` step needs `url`
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say what to ask: url = "http://127.0.0.1:3000/health"

    error: https cannot be asked from the host or the compose network
     --> playbooks/release.toml:6:7
      |
    6 | url = "https://127.0.0.1/"
      |       ^^^^^^^^^^^^^^^^^^^^
      |
      = help: only `from = "here"` speaks https; the host asks the application itself, by http

    error: `from` cannot be "outside"
     --> playbooks/release.toml:9:8
      |
    9 | from = "outside"
      |        ^^^^^^^^^
      |
      = help: use one of "host", "here", "container", "network"

    error: `secret` cannot be used here
      --> playbooks/release.toml:14:31
       |
    14 | headers = { Authorization = { secret = "T" }, "X Y" = "z" }
       |                               ^^^^^^
       |
       = help: `{ secret = … }` never leaves the host: here use `{ client_secret = "NAME" }`, an environment variable of this machine

    error: "X Y" cannot be the name of a header
      --> playbooks/release.toml:14:47
       |
    14 | headers = { Authorization = { secret = "T" }, "X Y" = "z" }
       |                                               ^^^^^
       |
       = help: use letters, digits and `-`

    error: "127.0.0.1:3000" is not a URL
      --> playbooks/release.toml:17:7
       |
    17 | url = "127.0.0.1:3000"
       |       ^^^^^^^^^^^^^^^^
       |
       = help: write it whole: "http://127.0.0.1:3000/health"

    error: `method` cannot be "get"
      --> playbooks/release.toml:18:10
       |
    18 | method = "get"
       |          ^^^^^
       |
       = help: did you mean "GET"?

    error: a health check cannot speak "ftp"
      --> playbooks/release.toml:21:7
       |
    21 | url = "ftp://127.0.0.1/"
       |       ^^^^^^^^^^^^^^^^^^
       |
       = help: use http, or https with `from = "here"`

    error: this is not a URL to ask
      --> playbooks/release.toml:24:7
       |
    24 | url = "http://user@127.0.0.1/"
       |       ^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: credentials do not belong in a URL: use a header with `{ secret = "NAME" }`

    error: "http://127.0.0.1:99999/" is not a URL to ask
      --> playbooks/release.toml:27:7
       |
    27 | url = "http://127.0.0.1:99999/"
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: its port is not one from 1 to 65535

    error: `client_secret` cannot be used here
      --> playbooks/release.toml:28:19
       |
    28 | headers = { X = { client_secret = "T" } }
       |                   ^^^^^^^^^^^^^
       |
       = help: `{ client_secret = … }` is for `local` steps and checks from here: what runs on the host takes `{ secret = "NAME" }`

    error: `service` is for `from = "container"` and `from = "network"`
      --> playbooks/release.toml:29:1
       |
    29 | service = "api"
       | ^^^^^^^
       |
       = help: leave it out, or say from where

    error: `url` cannot go with `from = "container"`
      --> playbooks/release.toml:33:1
       |
    33 | url = "http://127.0.0.1/"
       | ^^^
       |
       = help: leave it out: `from = "container"` asks Docker for the container's health; for a request use "network"
    "#);
}

#[test]
fn health_expectations() {
    insta::assert_snapshot!(wrong(r#"
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
expect = { status = "200", stauts = 1 }
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
expect = { status = [200, 1000], body = "(?=x)", latency = 5 }
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
[[steps]]
kind = "health"
url = "http://127.0.0.1/"
expect = 200
"#), @r#"
    error: `status` must be a number from 100 to 599, "2xx" or a list of them, not "200"
     --> playbooks/release.toml:5:21
      |
    5 | expect = { status = "200", stauts = 1 }
      |                     ^^^^^
      |
      = help: such as `status = 200`

    error: unknown key `stauts` in `expect`
     --> playbooks/release.toml:5:28
      |
    5 | expect = { status = "200", stauts = 1 }
      |                            ^^^^^^
      |
      = help: did you mean `status`?

    error: `status` must be a number from 100 to 599, "2xx" or a list of them, not 1000
     --> playbooks/release.toml:9:27
      |
    9 | expect = { status = [200, 1000], body = "(?=x)", latency = 5 }
      |                           ^^^^
      |
      = help: such as `status = 200`

    error: `body` is not a regular expression: look-around is not supported
     --> playbooks/release.toml:9:41
      |
    9 | expect = { status = [200, 1000], body = "(?=x)", latency = 5 }
      |                                         ^^^^^^^
      |
      = help: the syntax is that of the regex-lite crate: no look-around, no back-references, no \p{…}; in TOML write it in single quotes

    error: `latency` must be a duration such as "30s" or "2m", not a whole number
     --> playbooks/release.toml:9:60
      |
    9 | expect = { status = [200, 1000], body = "(?=x)", latency = 5 }
      |                                                            ^
      |
      = help: say the unit: `latency = "5s"`

    error: "status" is not a place in a JSON document
      --> playbooks/release.toml:13:21
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                     ^^^^^^^^
       |
       = help: start with `$`, then members and indexes: "$.status", "$.items[0].name", "$['odd name']"

    error: `gt` compares numbers
      --> playbooks/release.toml:13:53
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                                                     ^^^
       |
       = help: write a number without quotes

    error: unknown comparison `near`
      --> playbooks/release.toml:13:58
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                                                          ^^^^
       |
       = help: the comparisons are eq, ne, lt, le, gt and ge

    error: a JSON value must be a string, a number or a boolean here, not a list
      --> playbooks/release.toml:13:78
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                                                                              ^^^
       |
       = help: compare its members one by one: "$.list[0]" = "x"

    error: nothing to compare with
      --> playbooks/release.toml:13:91
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                                                                                           ^^
       |
       = help: write a value, or a comparison such as `{ ge = 3 }`

    error: "$..d" is not a place in a JSON document
      --> playbooks/release.toml:13:95
       |
    13 | expect = { json = { "status" = "ok", "$.a" = { gt = "x", near = 1 }, "$.b" = [1], "$.c" = {}, "$..d" = 1 } }
       |                                                                                               ^^^^^^
       |
       = help: start with `$`, then members and indexes: "$.status", "$.items[0].name", "$['odd name']"

    error: `expect` must be a table, not a whole number
      --> playbooks/release.toml:17:10
       |
    17 | expect = 200
       |          ^^^
       |
       = help: write `expect = …` with a table
    "#);
}

#[test]
fn client_secrets_go_only_where_they_may() {
    insta::assert_snapshot!(wrong(r#"
[vars]
site = "https://www.example.com"
[[steps]]
kind = "health"
from = "here"
url = "{{ vars.site }}/health"
headers = { X-Key = { client_secret = "KEY" } }
[[steps]]
kind = "health"
from = "here"
url = "https://evil.example.net/health"
headers = { X-Key = { client_secret = "KEY", origins = ["https://www.example.com", "www.example.com/x"] } }
"#), @r#"
    error: `KEY` needs `origins`
     --> playbooks/release.toml:8:39
      |
    8 | headers = { X-Key = { client_secret = "KEY" } }
      |                                       ^^^^^
      |
      = help: the URL is made of vars: say where the secret may go, `{ client_secret = "NAME", origins = ["https://…"] }`

    error: `KEY` may not be sent to https://evil.example.net/health
      --> playbooks/release.toml:13:39
       |
    13 | headers = { X-Key = { client_secret = "KEY", origins = ["https://www.example.com", "www.example.com/x"] } }
       |                                       ^^^^^
       |
       = help: add "https://evil.example.net" to `origins`, if the secret may go there

    error: "www.example.com/x" is not an origin
      --> playbooks/release.toml:13:84
       |
    13 | headers = { X-Key = { client_secret = "KEY", origins = ["https://www.example.com", "www.example.com/x"] } }
       |                                                                                    ^^^^^^^^^^^^^^^^^^^
       |
       = help: use scheme, host and port only: "https://api.example.com"
    "#);
}

#[test]
fn vars() {
    insta::assert_snapshot!(wrong_with(r#"
[vars]
release = { description = "image tag" }
a = "{{ vars.b }}"
b = "{{ vars.a }}"
[[steps]]
kind = "exec"
command = ["echo", "{{ vars.relese }}", "{{ vars.release"]
"#, &Options { vars: vec![("relaese".to_owned(), "v2".to_owned())], ..on("stage") }), @r#"
    error: no step uses the var `relaese` of --var
     |
     = help: did you mean --var release=…?

    error: the var `release` (image tag) has no value
     --> playbooks/release.toml:3:1
      |
    3 | release = { description = "image tag" }
      | ^^^^^^^
      |
      = help: say --var release=VALUE, give it a default here (release = "…"), or a value in `vars` of a group or host in landfall.toml

    error: the var `a` is made of itself
     --> playbooks/release.toml:4:5
      |
    4 | a = "{{ vars.b }}"
      |     ^^^^^^^^^^^^^^
      |
      = help: break the circle of a, b

    error: the var `b` is made of itself
     --> playbooks/release.toml:5:5
      |
    5 | b = "{{ vars.a }}"
      |     ^^^^^^^^^^^^^^
      |
      = help: break the circle of a, b

    error: there is no var `relese`
     --> playbooks/release.toml:8:21
      |
    8 | command = ["echo", "{{ vars.relese }}", "{{ vars.release"]
      |                     ^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `relaese`?

    error: `{{` without `}}`
     --> playbooks/release.toml:8:41
      |
    8 | command = ["echo", "{{ vars.relese }}", "{{ vars.release"]
      |                                         ^^^^^^^^^^^^^^^^^
      |
      = help: write `{{ vars.NAME }}`
    "#);
}

#[test]
fn without_compose_steps_that_need_it_are_refused() {
    let inventory = "project = \"x\"\n[hosts.a]\n";
    let playbook = r#"
[[steps]]
kind = "exec"
command = ["x"]
[[steps]]
kind = "up"
[[steps]]
kind = "shell"
command = "true"
needs = ["postgres"]
env = { X = { secret = "X" } }
"#;
    insta::assert_snapshot!(resolved(inventory, playbook, &Options::default()).expect_err("wrong"), @r#"
    error: an `exec` step needs Docker Compose, and landfall.toml says nothing about it
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: add a [compose] table with `dir` and `files`

    error: an `up` step needs Docker Compose, and landfall.toml says nothing about it
     --> playbooks/release.toml:5:1
      |
    5 | [[steps]]
      | ^^^^^^^^^
      |
      = help: add a [compose] table with `dir` and `files`

    error: `needs` names services, and landfall.toml has no [compose]
      --> playbooks/release.toml:10:10
       |
    10 | needs = ["postgres"]
       |          ^^^^^^^^^^
       |
       = help: add [compose] with `dir` and `files`

    error: the inventory names no files that hold secrets
      --> playbooks/release.toml:11:24
       |
    11 | env = { X = { secret = "X" } }
       |                        ^^^
       |
       = help: list the files that hold it: `files = ["../.env"]` under [secrets] in landfall.toml
    "#);
}

#[test]
fn without_a_default_service_it_must_be_said() {
    let inventory = INVENTORY.replace("service = \"api\"\n", "");
    let playbook = r#"
[[steps]]
kind = "pull"
[[steps]]
kind = "migrate"
tool = "prisma"
[[steps]]
kind = "seed"
seeds = ["configurations"]
[[steps]]
kind = "shell"
once = "release"
command = "true"
"#;
    insta::assert_snapshot!(resolved(&inventory, playbook, &on("stage")).expect_err("wrong"), @r#"
    error: a `pull` step needs `services`
     --> playbooks/release.toml:2:1
      |
    2 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say `services = ["api"]` here, or `service = "api"` under [compose] in landfall.toml

    error: a `migrate` step needs `service`
     --> playbooks/release.toml:4:1
      |
    4 | [[steps]]
      | ^^^^^^^^^
      |
      = help: say `service = "api"` here, or once for all under [compose] in landfall.toml

    error: the seed `configurations` has no service to run in
     --> playbooks/release.toml:9:10
      |
    9 | seeds = ["configurations"]
      |          ^^^^^^^^^^^^^^^^
      |
      = help: say `service = "api"` here, under [seeds.configurations] or under [compose] in landfall.toml

    error: `once = "release"` needs a service
      --> playbooks/release.toml:10:1
       |
    10 | [[steps]]
       | ^^^^^^^^^
       |
       = help: say `service` under [compose] in landfall.toml: its image tells releases apart
    "#);
}

#[test]
fn a_history_is_a_table_and_belongs_to_a_tool() {
    let of = |tool: &str, table: &str| wrong(&format!("[[steps]]\nkind = \"migrate\"\n{tool}history = {table:?}\n"));
    assert!(of("tool = \"drizzle\"\n", "a.b.c").contains("\"a.b.c\" cannot be the table of a history"));
    assert!(of("tool = \"drizzle\"\n", "a.").contains("write TABLE or SCHEMA.TABLE"));
    let own = of("status = [\"x\"]\napply = [\"y\"]\n", "a.b");
    assert!(own.contains("`history` goes with a tool that Landfall knows"), "{own}");
}

//! What can be wrong with an inventory.

use std::os::unix::fs::chown;

use super::super::inventory::find;
use super::*;
use crate::protocol::Retention;

const HOST: &str = "project = \"x\"\n[hosts.a]\n";

#[test]
fn an_empty_one() {
    insta::assert_snapshot!(wrong_inventory(""), @r#"
    error: the inventory needs `project`
     --> landfall.toml:1:1
      |
    1 |
      | ^
      |
      = help: say its name: project = "etally"; it names the lock and the state on the hosts

    error: the inventory names no host
     --> landfall.toml:1:1
      |
    1 |
      | ^
      |
      = help: add one: [hosts.prod-1] with address = "203.0.113.10"
    "#);
}

#[test]
fn unknown_keys_are_told_with_a_suggestion_all_at_once() {
    insta::assert_snapshot!(wrong_inventory(r#"
projekt = "etally"
[compose]
dir = "/opt"
files = ["c.yml"]
envfile = ".env"
[hosts.a]
adress = "192.0.2.1"
[groups.prod]
prodution = true
[firewall]
allow = true
[database]
service = "postgres"
port = 5432
[seeds.x]
command = ["x"]
file = ["y"]
"#), @r#"
    error: the inventory needs `project`
     --> landfall.toml:1:1
      |
    1 |
      | ^
      |
      = help: say its name: project = "etally"; it names the lock and the state on the hosts

    error: unknown key `projekt` in landfall.toml
     --> landfall.toml:2:1
      |
    2 | projekt = "etally"
      | ^^^^^^^
      |
      = help: did you mean `project`?

    error: unknown key `envfile` in [compose]
     --> landfall.toml:6:1
      |
    6 | envfile = ".env"
      | ^^^^^^^
      |
      = help: did you mean `env_file`?

    error: unknown key `adress` in [hosts.a]
     --> landfall.toml:8:1
      |
    8 | adress = "192.0.2.1"
      | ^^^^^^
      |
      = help: did you mean `address`?

    error: unknown key `prodution` in [groups.prod]
      --> landfall.toml:10:1
       |
    10 | prodution = true
       | ^^^^^^^^^
       |
       = help: did you mean `production`?

    error: unknown key `firewall` in landfall.toml
      --> landfall.toml:11:2
       |
    11 | [firewall]
       |  ^^^^^^^^
       |
       = help: its keys are compose, database, groups, hosts, mask, metrics, notify, project, secrets, seeds, ssh, state, tools, vars

    error: unknown key `port` in [database]
      --> landfall.toml:15:1
       |
    15 | port = 5432
       | ^^^^
       |
       = help: its keys are backups, ca, client_image, engine, name, service, url, user

    error: unknown key `file` in [seeds.x]
      --> landfall.toml:18:1
       |
    18 | file = ["y"]
       | ^^^^
       |
       = help: did you mean `files`?
    "#);
}

#[test]
fn wrong_types_say_what_was_expected() {
    insta::assert_snapshot!(wrong_inventory(r#"
project = 7
[compose]
dir = ["/opt"]
files = 3
env = { TAG = 1 }
[ssh]
connect_timeout = 10
[hosts.a]
port = "22"
groups = "prod"
vars = []
[groups.prod]
production = "yes"
[hosts]
b = "192.0.2.1"
[seeds.x]
command = "npx tsx seed.ts"
"#), @r#"
    error: `project` must be a string, not a whole number
     --> landfall.toml:2:11
      |
    2 | project = 7
      |           ^
      |
      = help: put it in quotes

    error: `dir` must be a string, not a list
     --> landfall.toml:4:7
      |
    4 | dir = ["/opt"]
      |       ^^^^^^^^
      |
      = help: write `dir = …` with a string

    error: `files` must be a list of strings, not a whole number
     --> landfall.toml:5:9
      |
    5 | files = 3
      |         ^
      |
      = help: write `files = …` with a list of strings

    error: `TAG` must be a string, not a whole number
     --> landfall.toml:6:15
      |
    6 | env = { TAG = 1 }
      |               ^
      |
      = help: put it in quotes

    error: `connect_timeout` must be a duration such as "30s" or "2m", not a whole number
     --> landfall.toml:8:19
      |
    8 | connect_timeout = 10
      |                   ^^
      |
      = help: say the unit: `connect_timeout = "10s"`

    error: `port` must be a whole number, not a string
      --> landfall.toml:10:8
       |
    10 | port = "22"
       |        ^^^^
       |
       = help: write it without quotes

    error: `groups` must be a list of strings, not a string
      --> landfall.toml:11:10
       |
    11 | groups = "prod"
       |          ^^^^^^
       |
       = help: put it in brackets: `groups = ["prod"]`

    error: `vars` must be a table, not a list
      --> landfall.toml:12:8
       |
    12 | vars = []
       |        ^^
       |
       = help: write `vars = …` with a table

    error: `production` must be true or false, not a string
      --> landfall.toml:14:14
       |
    14 | production = "yes"
       |              ^^^^^
       |
       = help: write it without quotes

    error: `hosts.b` must be a table, not a string
      --> landfall.toml:16:5
       |
    16 | b = "192.0.2.1"
       |     ^^^^^^^^^^^
       |
       = help: write [hosts.b]

    error: `command` must be a list of strings, not a string
      --> landfall.toml:18:11
       |
    18 | command = "npx tsx seed.ts"
       |           ^^^^^^^^^^^^^^^^^
       |
       = help: write each word by itself, it passes through no shell: `command = ["npx", "tsx", "seed.ts"]`
    "#);
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(wrong_inventory(r#"
project = "a b"
[compose]
dir = "opt/etally"
files = []
env = { "A B" = "x" }
[ssh]
connect_timeout = "soon"
[hosts."a/b"]
[hosts.c]
address = "root@192.0.2.1"
user = "-oProxyCommand=x"
port = 70000
host_keys = ["AAAAC3Nz"]
state_dir = "state"
vars = { PATH = "x", "a-b" = "y", ok = 1.5 }
"#), @r#"
    error: "a b" is not a project name
     --> landfall.toml:2:11
      |
    2 | project = "a b"
      |           ^^^^^
      |
      = help: use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit

    error: `dir` must be an absolute path on the host
     --> landfall.toml:4:7
      |
    4 | dir = "opt/etally"
      |       ^^^^^^^^^^^^
      |
      = help: start it with `/`

    error: `files` is empty
     --> landfall.toml:5:1
      |
    5 | files = []
      | ^^^^^
      |
      = help: name the compose file

    error: "A B" cannot be the name of an environment variable
     --> landfall.toml:6:9
      |
    6 | env = { "A B" = "x" }
      |         ^^^^^
      |
      = help: use letters, digits and `_`

    error: "soon" is not a duration: expected number at 0
     --> landfall.toml:8:19
      |
    8 | connect_timeout = "soon"
      |                   ^^^^^^
      |
      = help: use a number and a unit, such as "500ms", "30s", "2m" or "1h 30m"

    error: "a/b" is not a host name
     --> landfall.toml:9:8
      |
    9 | [hosts."a/b"]
      |        ^^^^^
      |
      = help: use 1 to 64 letters, digits, `_`, `.` and `-`, starting with a letter or digit

    error: "root@192.0.2.1" cannot be a host's address
      --> landfall.toml:11:11
       |
    11 | address = "root@192.0.2.1"
       |           ^^^^^^^^^^^^^^^^
       |
       = help: write it alone: no blanks, no `user@`, no `ssh://`

    error: "-oProxyCommand=x" cannot be a host's user
      --> landfall.toml:12:8
       |
    12 | user = "-oProxyCommand=x"
       |        ^^^^^^^^^^^^^^^^^^
       |
       = help: write it alone: no blanks, no `user@`, no `ssh://`

    error: `port` cannot be 70000
      --> landfall.toml:13:8
       |
    13 | port = 70000
       |        ^^^^^
       |
       = help: use a number from 1 to 65535

    error: this is not a host key
      --> landfall.toml:14:14
       |
    14 | host_keys = ["AAAAC3Nz"]
       |              ^^^^^^^^^^
       |
       = help: write the key's type and its base64: "ssh-ed25519 AAAA…", as `ssh-keyscan HOST` prints it after the host

    error: `state_dir` must be an absolute path on the host
      --> landfall.toml:15:13
       |
    15 | state_dir = "state"
       |             ^^^^^^^
       |
       = help: start it with `/`

    error: `PATH` means something to other programs
      --> landfall.toml:16:10
       |
    16 | vars = { PATH = "x", "a-b" = "y", ok = 1.5 }
       |          ^^^^
       |
       = help: use another name: a var becomes an environment variable of scripts

    error: `a-b` cannot be the name of a var
      --> landfall.toml:16:22
       |
    16 | vars = { PATH = "x", "a-b" = "y", ok = 1.5 }
       |                      ^^^^^
       |
       = help: use letters, digits and `_`, not starting with a digit: it becomes an environment variable of scripts

    error: the value of `ok` must be a string, not a number
      --> landfall.toml:16:40
       |
    16 | vars = { PATH = "x", "a-b" = "y", ok = 1.5 }
       |                                        ^^^
       |
       = help: write `ok = "…"`
    "#);
}

#[test]
fn compose_needs_a_folder_and_files_for_each_host() {
    insta::assert_snapshot!(wrong_inventory("project = \"x\"\n[compose]\nservice = \"api\"\n[hosts.a]\n"), @r#"
    error: [compose] needs `dir`
     --> landfall.toml:2:1
      |
    2 | [compose]
      | ^^^^^^^^^
      |
      = help: say which, here or for each host: dir = "/opt/etally/deployment"

    error: [compose] needs `files`
     --> landfall.toml:2:1
      |
    2 | [compose]
      | ^^^^^^^^^
      |
      = help: say which, here or for each host: files = ["docker-compose.prod.yml"]
    "#);
    let sink = Sink::default();
    let text = "project = \"x\"\n[compose]\nfiles = [\"c.yml\"]\n[hosts.a.compose]\ndir = \"/opt/a\"\n";
    Inventory::parse(Path::new("landfall.toml"), text, &sink);
    assert_eq!(sink.finish(()), Ok(()));
}

#[test]
fn secrets_of_relative_paths_need_a_folder() {
    insta::assert_snapshot!(wrong_inventory(&format!("{HOST}[secrets]\nfiles = [\"../.env\"]\n")), @r#"
    error: this path is relative to `compose.dir`, and there is none
     --> landfall.toml:4:10
      |
    4 | files = ["../.env"]
      |          ^^^^^^^^^
      |
      = help: write an absolute path, or add [compose] with `dir`
    "#);
}

#[test]
fn literal_secrets_are_refused_and_not_shown() {
    insta::assert_snapshot!(wrong_inventory(&format!(r#"{HOST}
vars = {{ DATABASE_URL = "postgres://app:hunter2@db/x", api_token = "abc" }}
[ssh]
identity_file = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAA
-----END OPENSSH PRIVATE KEY-----"""
"#)), @r#"
    error: a password in a URL is written down here
     --> landfall.toml:4:25
      |
    4 | vars = { DATABASE_URL = "***************************", api_token = "***" }
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it

    error: the value of `api_token` is written down here
     --> landfall.toml:4:68
      |
    4 | vars = { DATABASE_URL = "***************************", api_token = "***" }
      |                                                                    ^^^^^
      |
      = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it

    error: a private key is written down here
     --> landfall.toml:6:17
      |
    6 | identity_file = """***********************************
      |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it
    "#);
}

#[test]
fn a_name_cannot_be_a_host_and_a_group() {
    insta::assert_snapshot!(wrong_inventory(&format!("{HOST}groups = [\"a\"]\n")), @r"
    error: `a` is both a host and a group
     --> landfall.toml:2:2
      |
    2 | [hosts.a]
      |  ^^^^^
      |
      = help: rename one of them: --on could not tell them apart
    ");
}

#[test]
fn syntax_errors_are_told_with_the_rest() {
    insta::assert_snapshot!(wrong_inventory("project = \"x\"\n[hosts.a]\naddress = 203.0.113.10\nuser = root\nprot = 22\n"), @r"
    error: `address` must be a string, not a number
     --> landfall.toml:3:11
      |
    3 | address = 203.0.113.10
      |           ^^^^^^^^^^^^
      |
      = help: put it in quotes

    error: invalid float, expected nothing
     --> landfall.toml:3:16
      |
    3 | address = 203.0.113.10
      |                ^^^^^^^
      |
      = help: this is not TOML (https://toml.io)

    error: string values must be quoted, expected literal string
     --> landfall.toml:4:8
      |
    4 | user = root
      |        ^^^^
      |
      = help: this is not TOML (https://toml.io)

    error: unknown key `prot` in [hosts.a]
     --> landfall.toml:5:1
      |
    5 | prot = 22
      | ^^^^
      |
      = help: did you mean `port`?
    ");
}

#[test]
fn the_nearest_one_upwards_is_found_unless_it_is_somebody_elses() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).expect("folders");
    std::fs::write(folder.path().join("landfall.toml"), HOST).expect("a file");
    assert_eq!(find(&deep), Ok(folder.path().join("landfall.toml")));
    if chown(folder.path().join("landfall.toml"), Some(12345), None).is_ok() {
        let told = find(&deep).expect_err("somebody else's").to_string();
        insta::assert_snapshot!(told.replace(&*folder.path().to_string_lossy(), "DIR"), @r"
        error: DIR/landfall.toml belongs to another user (uid 12345)
         |
         = help: it says what runs on this machine: if you trust it, name it with --config
        ");
    }
}

#[test]
fn hosts_override_and_paths_are_made_absolute() {
    let sink = Sink::default();
    let text = r#"
project = "x"
vars = { a = 1, b = true }
[compose]
dir = "/opt/x"
files = "c.yml"
env = { TAG = "v1", OTHER = "o" }
[ssh]
known_hosts = "known_hosts"
[hosts.two]
[hosts.one]
port = 2222
state_dir = "/srv/landfall"
[hosts.one.compose]
env = { TAG = "v2" }
[state]
private = true
keep_runs = 20
keep_for = "30d"
"#;
    let inventory = Inventory::parse(Path::new("/etc/demo/landfall.toml"), text, &sink);
    assert_eq!(sink.finish(()), Ok(()));
    let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["two", "one"], "the order of the text");
    assert_eq!(inventory.hosts[0].address, "two");
    assert_eq!(inventory.ssh.known_hosts.as_deref(), Some(Path::new("/etc/demo/known_hosts")));
    let env = inventory.compose_of(&inventory.hosts[1]).expect("compose").env;
    let env: Vec<(&str, &str)> = env.iter().map(|(key, value)| (key.value.as_str(), value.value.as_str())).collect();
    assert_eq!(env, [("OTHER", "o"), ("TAG", "v2")]);
    assert!(inventory.state.private);
    assert_eq!(inventory.state.retention, Retention { runs: 20, seconds: 30 * 24 * 3600 });
}

#[test]
fn who_is_notified_is_read_and_urls_stay_secret() {
    use super::super::notify::{Format, Moment};
    let text = format!(
        "{HOST}[metrics]\nfile = \"m/landfall.prom\"\n[notify.team]\nurl = {{ client_secret = \"HOOK\", origins = [\"https://hooks.example.com\"] }}\n\
         format = \"slack\"\non = [\"start\"]\n[notify.log]\nurl = {{ client_secret = \"LOG\" }}\ntemplate = '{{\"t\": \"{{{{ outcome }}}}\"}}'\n"
    );
    let sink = Sink::default();
    let inventory = Inventory::parse(Path::new("/etc/demo/landfall.toml"), &text, &sink);
    assert_eq!(sink.finish(()), Ok(()));
    assert_eq!(inventory.metrics.as_deref(), Some(Path::new("/etc/demo/m/landfall.prom")));
    let [team, log] = inventory.notify.as_slice() else { panic!("{:?}", inventory.notify) };
    assert_eq!((team.format, team.on.as_slice(), team.secret.as_str()), (Format::Slack, &[Moment::Start][..], "HOOK"));
    assert_eq!(team.origins, ["https://hooks.example.com"]);
    assert_eq!((log.format, log.on.as_slice()), (Format::Json, &[Moment::Failure, Moment::Success][..]));
    let told = wrong_inventory(&format!(
        "{HOST}[metrics]\n[notify.a]\nurl = \"https://hooks.example.com/x\"\n[notify.b]\nformat = \"irc\"\non = [\"end\"]\n\
         [notify.c]\nurl = {{ client_secret = \"C\", origins = [\"hooks.example.com\"] }}\ntemplate = '{{\"t\": {{{{ note }}}}}}'\n\
         [notify.d]\nurl = {{ client_secret = \"D\" }}\ntemplate = '{{\"t\": \"{{{{ output }}}}\"}}'\n[notify.e]\nurl = {{ secret = \"E\" }}\n"
    ));
    for piece in [
        "[metrics] needs `file`",
        "`url` must be a secret's name: whoever knows such a URL may write there",
        "[notify.b] needs `url`",
        "`format` cannot be \"irc\"",
        "`on` cannot be \"end\"",
        "\"hooks.example.com\" is not an origin",
        "`template` is not JSON",
        "`template` names `output`, which is not known",
        "`url` needs `client_secret`",
    ] {
        assert!(told.contains(piece), "no {piece:?} in {told}");
    }
}

//! What a run prints, whatever it prints: nothing of a secret is in any file of the host, on the wire, or with the client. And what
//! the host takes for a secret, or refuses.

use std::fmt::Write as _;

use landfall::record::base64;

use crate::droplet::{Droplet, Droplets, droplet};
use crate::host_program::sha256;
use crate::program::Output;
use crate::project::Project;
use crate::sampler::Sampler;

/// A value that nobody else has.
fn random(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    sha256(&format!("{what} {now} {}", std::process::id()))[..32].to_owned()
}

/// Secrets that are hard to mask, in files that are hard to read; and all of what must not show.
struct Hard {
    /// What a step prints, whole.
    printed: Vec<String>,
    /// What shows that one was seen.
    signs: Vec<String>,
}

impl Hard {
    fn on(droplet: &Droplet) -> Self {
        let (utf8, dollar, twice, again) = (random("u"), random("d"), random("t"), random("a"));
        let (url, lines, json, pem) = (random("l"), [random("l1"), random("l2")], random("j"), random("p"));
        let big = (0..2048).fold(String::new(), |text, n| text + &random(&n.to_string()));
        let quoted = |text: &str| text.replace('\'', "'\\''");
        // With a mark at its start and line ends of the other kind; a key that comes twice.
        let odd = format!(
            "\u{feff}UTF8_SECRET=pässwört-{utf8}\r\nDOLLAR='a$x#{dollar} z'\r\nTWICE={twice}\r\nTWICE={again}\r\nexport URL_OF=postgres://u:p%40{url}@db/x\r\n"
        );
        let long = format!(
            "LINES=\"{}\n{}\"\nACCOUNT={{\"type\":\"user\",\"client_secret\":\"{json}\"}}\nBIG={big}\n",
            lines[0], lines[1]
        );
        let pem = format!("-----BEGIN {} KEY-----\n{pem}\n{}\n-----END {} KEY-----\n", "PRIVATE", random("q"), "PRIVATE");
        for (path, text) in [("odd.env", &odd), ("long.env", &long), ("secrets/key.pem", &pem)] {
            droplet.sh(&format!("printf %s '{}' >/opt/etally/{path}; chmod 0600 /opt/etally/{path}", quoted(text)));
        }
        let mut printed = vec![
            format!("pässwört-{utf8}"),
            format!("a$x#{dollar} z"),
            twice,
            again,
            format!("postgres://u:p%40{url}@db/x"),
            format!("p@{url}"),
            lines.join("\n"),
            format!("{{\"type\":\"user\",\"client_secret\":\"{json}\"}}"),
            json,
            pem.trim_end().to_owned(),
            big,
        ];
        printed.extend(droplet.secrets().into_iter().map(|(_, value)| value));
        let signs = printed.iter().flat_map(|value| signs(value)).collect();
        let zeroes = printed.iter().fold(String::new(), |text, value| text + &quoted(value) + "'; printf '\\0'; printf %s '");
        droplet.sh(&format!("{{ printf %s '{zeroes}'; }} >/tmp/it-printed"));
        droplet.sh(&format!("cat >/tmp/it-encode.pl <<'END'\n{}\nEND", include_str!("encode.pl")));
        // Services of tests before this one have printed secrets of their own accord.
        droplet.sh("truncate -s 0 /var/lib/docker/containers/*/*-json.log");
        Self { printed, signs }
    }

    /// Asserts that a text shows none.
    #[track_caller]
    fn are_not_in(&self, what: &str, text: &str) {
        for sign in &self.signs {
            assert!(!text.contains(sign.as_str()), "{sign} is in {what}");
        }
    }

    /// Asserts that none is in what the droplet keeps, nor in what went over its wire.
    #[track_caller]
    fn are_not_on(&self, droplet: &Droplet) {
        let signs = self.signs.join("\n");
        let found = droplet.sh(&format!(
            "cat >/run/it-signs <<'END'\n{signs}\nEND
             grep -rlFf /run/it-signs /var/lib/landfall /root/.cache /root/.local /var/log /tmp/it-wire* 2>/dev/null
             grep -lFf /run/it-signs /var/lib/docker/containers/*/*-json.log 2>/dev/null
             docker events --since 15m --until 0s --format '{{{{json .}}}}' | grep -qFf /run/it-signs && echo docker events
             grep -qrFf /run/it-signs /opt/etally || echo not even where it belongs
             find / -xdev -newer /tmp/it-encode.pl \\( -name core -o -name 'core.[0-9]*' \\) -type f
             rm /run/it-signs"
        ));
        assert_eq!(found, "", "a secret is on the droplet");
    }
}

/// What shows that a value was printed: parts of each of its forms.
fn signs(value: &str) -> Vec<String> {
    let hex = |text: &str| text.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let mut signs = Vec::new();
    for line in value.lines().filter(|line| !line.starts_with("-----")) {
        let long: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| part.len() >= 20).collect();
        for part in long {
            // The start, the middle and the end of what is random in it.
            for at in [0, part.len() / 2 - 6, part.len() - 12] {
                let piece = &part[at..at + 12];
                let percent = piece.bytes().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "%{byte:02x}");
                    text
                });
                signs.extend([piece.to_owned(), hex(piece), hex(piece).to_uppercase(), percent]);
                for before in ["", "x", "xx"] {
                    let all = base64(format!("{before}{piece}").as_bytes());
                    signs.push(all[before.len() * 2..14].to_owned());
                }
            }
        }
    }
    signs
}

/// Keeps the plain bytes of each connection, both ways, where the droplet's sshd hands them over.
const RECORDER: &str = r#"
cat >/usr/local/bin/it-recorder <<'END'
#!/bin/bash
set -o pipefail
tee -i "/tmp/it-wire.$$.in" | bash -c "$SSH_ORIGINAL_COMMAND" 2> >(tee -i "/tmp/it-wire.$$.err" >&2) | tee -i "/tmp/it-wire.$$.out"
END
chmod 0755 /usr/local/bin/it-recorder
"#;

fn recorded(droplet: &Droplet) {
    droplet.sh(RECORDER);
    droplet.sshd("ForceCommand /usr/local/bin/it-recorder");
}

fn project(droplets: &Droplets) -> Project {
    let project = Project::on(droplets);
    let more = "files = [\"../.env\", \"../odd.env\", \"../long.env\", \"../secrets/*\"]";
    project.edit("landfall.toml", "files = [\"../.env\", \"../secrets/*\"]", more);
    project
}

/// Everything that the client keeps.
fn kept_by_client(project: &Project) -> String {
    fn below(dir: &std::path::Path) -> String {
        let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
        entries.fold(String::new(), |text, path| {
            text + &if path.is_dir() {
                below(&path)
            } else {
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
            }
        })
    }
    below(project.dir.path())
}

#[track_caller]
fn nothing_shows(hard: &Hard, droplet: &Droplet, project: &Project, out: &Output) {
    hard.are_not_in("what the client printed", &out.said());
    hard.are_not_in("what the client keeps", &kept_by_client(project));
    hard.are_not_on(droplet);
}

#[test]
fn no_secret_leaves_in_any_encoding_or_split_on_either_stream() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let hard = Hard::on(droplet);
    let project = project(&droplets);
    recorded(droplet);
    project.playbook(
        "print",
        "[[steps]]\nkind = \"shell\"\nname = \"encodings\"\ncommand = \"perl /tmp/it-encode.pl\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"files\"\ncommand = \"cat ../.env ../odd.env ../long.env ../secrets/*; cat ../*.env >&2; docker compose config\"\n\
         [[steps]]\nkind = \"exec\"\nname = \"image\"\ncommand = [\"sh\", \"-c\", \"env; env | base64 >&2\"]\n\
         [[steps]]\nkind = \"exec\"\nname = \"running\"\nvia = \"exec\"\ncommand = [\"sh\", \"-c\", \"env; env | base64 >&2\"]\n",
    );
    let sampler = Sampler::start(droplet, &hard.signs);
    let out = project.events(&["run", "print", "--yes", "--on", "droplets"]);
    sampler.saw_nothing();
    out.expect(0, &["[masked:UTF8_SECRET]", "[masked:DOLLAR]", "[masked:BIG]", "[masked:key]", "[masked:JWT_SECRET]"]);
    assert!(out.printed().contains("out <[masked:"), "{}", out.printed());
    nothing_shows(&hard, droplet, &project, &out);
    let replayed = project.landfall(&["attach"]);
    replayed.expect(0, &["[masked:TWICE]"]);
    hard.are_not_in("a replay", &replayed.said());
    let wire = droplet.sh("cat /tmp/it-wire.*.out | tr -d '\\0' | grep -c 'masked:TWICE'");
    assert!(wire.parse::<usize>().is_ok_and(|lines| lines > 0), "the recorder saw nothing");
    assert!(hard.printed.len() > 12);
}

#[test]
fn no_secret_leaves_on_the_paths_of_errors() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let hard = Hard::on(droplet);
    let project = project(&droplets);
    recorded(droplet);
    droplet.sh("printf 'A=1\\nno key %s\\n' \"$(sed -n 's/^JWT_SECRET=//p' /opt/etally/.env)\" >/tmp/it-bad.env");
    project.playbook(
        "fail",
        "[[steps]]\nkind = \"shell\"\nname = \"fails\"\ncommand = \". ../.env; set -x; : $JWT_SECRET; $SESSION_KEY; docker compose --env-file /tmp/it-bad.env config; cd \\\"/$SMTP_PASSWORD\\\"\"\n\
         [[on_failure]]\nkind = \"exec\"\nname = \"throws\"\ncommand = [\"node\", \"-e\", \"throw new Error(process.env.JWT_SECRET + process.env.DATABASE_URL)\"]\n\
         [[always]]\nkind = \"health\"\nname = \"asks\"\nfrom = \"host\"\nurl = \"http://127.0.0.1:1/\"\nheaders.Authorization = { secret = \"JWT_SECRET\" }\n",
    );
    let out = project.events(&["run", "fail", "--yes", "--on", "droplets", "-v"]);
    out.expect(1, &["[masked:JWT_SECRET]", "[masked:SESSION_KEY]", "[masked:SMTP_PASSWORD]"]);
    nothing_shows(&hard, droplet, &project, &out);

    // An env file that Compose cannot read, declared nowhere: its words are quoted by nobody.
    droplet.sh("cd /opt/etally/deployment; printf 'no key %s\\n' \"$(cat /opt/etally/odd.env | sed -n 's/^TWICE=//p' | head -1)\" >../other.env; sed -i 's,env_file: ../.env,env_file: [../.env\\, ../other.env],' docker-compose.prod.yml");
    for words in [&["plan", "fail"][..], &["run", "fail", "--yes"]] {
        let out = project.landfall(words);
        out.expect(7, &["docker compose does not accept docker-compose.prod.yml"]);
        nothing_shows(&hard, droplet, &project, &out);
    }
    droplet.sh("rm /opt/etally/other.env");
}

#[test]
fn what_compose_and_containers_have_is_masked_though_nobody_declared_it() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let (old, new, login) = (random("old"), random("new"), random("login"));
    let compose = "docker compose --env-file ../.env -f docker-compose.prod.yml";
    let set = |value: &str| {
        format!(
            "cd /opt/etally/deployment; sed -i '/INLINE_VALUE/d; s,^    env_file: ../.env,&\\n    environment: {{ INLINE_VALUE: \"{value}\" }},' docker-compose.prod.yml; "
        )
    };
    droplet.sh(&format!("sed -i '/environment: {{ INLINE_VALUE/d' /opt/etally/deployment/docker-compose.prod.yml; {} {compose} up --detach --no-deps --wait api 2>&1", set(&format!("{old}$$x"))));
    droplet.sh(&set(&new));
    droplet.sh(&format!("mkdir -p /root/.docker; echo '{{\"auths\":{{\"registry.example.com\":{{\"auth\":\"{}\"}}}}}}' >/root/.docker/config.json", base64(format!("ann:{login}").as_bytes())));
    project.playbook(
        "print",
        "[[steps]]\nkind = \"exec\"\nname = \"running\"\nvia = \"exec\"\ncommand = [\"printenv\", \"INLINE_VALUE\"]\n\
         [[steps]]\nkind = \"exec\"\nname = \"image\"\ncommand = [\"printenv\", \"INLINE_VALUE\"]\n\
         [[steps]]\nkind = \"shell\"\nname = \"login\"\ncommand = \"sed 's/.*auth...//; s/\\\".*//' ~/.docker/config.json; cat ~/.docker/config.json\"\n",
    );
    let out = project.events(&["run", "print", "--yes"]);
    droplet.sh("rm -r /root/.docker");
    out.expect(0, &["[masked:INLINE_VALUE]", "[masked:login at registry.example.com]"]);
    for value in [old, new, login] {
        assert!(!out.said().contains(&value[..12]), "{}", out.said());
    }
}

#[test]
fn what_an_image_bakes_in_is_masked_by_its_name() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let token = random("token");
    let name = "localhost:5000/etally/api:stable";
    let before = droplet.sh(&format!("docker image inspect --format '{{{{.Id}}}}' {name}"));
    droplet.sh(&format!(
        "id=$(docker create {name}); docker commit --change 'ENV BAKED_TOKEN={token}' $id {name} >/dev/null; docker rm $id >/dev/null"
    ));
    project.playbook("print", "[[steps]]\nkind = \"exec\"\nname = \"image\"\ncommand = [\"printenv\", \"BAKED_TOKEN\"]\n");
    let out = project.events(&["run", "print", "--yes"]);
    droplet.sh(&format!(
        "baked=$(docker image inspect --format '{{{{.Id}}}}' {name}); docker tag {before} {name}; docker rmi $baked >/dev/null"
    ));
    out.expect(0, &["[masked:BAKED_TOKEN]"]);
    assert!(!out.said().contains(&token[..12]), "{}", out.said());
}

#[test]
fn a_step_that_contains_a_secret_is_refused_and_a_note_is_masked() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let hard = Hard::on(droplet);
    let project = project(&droplets);
    let secrets = droplet.secrets();
    let value = |name: &str| secrets.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let argument = format!("echo {}", value("SESSION_KEY"));
    let out = project.landfall(&["exec", "api", "--yes", "--", "sh", "-c", &argument]);
    out.expect(7, &["contains the value of SESSION_KEY"]);
    hard.are_not_on(droplet);
    project.playbook("note", "[[steps]]\nkind = \"shell\"\nname = \"ok\"\ncommand = \"true\"\n");
    let note = format!("rotated {} today", value("SMTP_PASSWORD"));
    project.landfall(&["run", "note", "--yes", "--note", &note]).expect(0, &[]);
    let runs = project.landfall(&["runs"]);
    runs.expect(0, &["rotated [masked:SMTP_PASSWORD] today"]);
    hard.are_not_in("the list of runs", &runs.said());
    hard.are_not_on(droplet);
}

#[test]
fn the_hosts_policy_tightens_and_doctor_tells() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    project.edit("landfall.toml", "\"LOG_LEVEL\"]", "\"LOG_LEVEL\", \"SESSION_KEY\"]");
    project.playbook("print", "[[steps]]\nkind = \"shell\"\nname = \"print\"\ncommand = \"grep SESSION_KEY ../.env\"\n");
    let run = ["run", "print", "--yes"];
    let policy = |text: &str, mode: &str| {
        droplet.sh(&format!(
            "mkdir -p /etc/landfall; printf '{text}' >/etc/landfall/policy.toml; chmod {mode} /etc/landfall/policy.toml"
        ));
    };
    let secrets = droplet.secrets();
    let (_, value) = secrets.iter().find(|(name, _)| name == "SESSION_KEY").unwrap();
    let masked = || {
        let out = project.landfall(&run);
        out.expect(0, &["SESSION_KEY=[masked:SESSION_KEY]", "the host's policy does not let it be public"]);
        assert!(!out.said().contains(value.as_str()));
    };
    masked();
    policy("# nothing\\n", "0644");
    masked();
    let doctor = project.landfall(&["doctor"]);
    doctor.expect(
        0,
        &["../.env, masked: ", "SESSION_KEY", "../.env, not masked: APP_ENV (its key is listed as public)", "db_password"],
    );
    for (name, value) in &secrets {
        assert!(name == "APP_ENV" || !doctor.said().contains(value), "{name}: {}", doctor.said());
    }
    policy("allow_public = [\"SESSION_KEY\"]\\n", "0644");
    project.landfall(&run).expect(0, &[value]);
    policy("\\nallow_all = [\"X\"]\\n", "0644");
    project.landfall(&run).expect(7, &["/etc/landfall/policy.toml", "line 2: unknown key"]);
    policy("", "0666");
    project.landfall(&run).expect(7, &["policy.toml can be written by others than root"]);
    project.landfall(&["doctor"]).expect(7, &["policy.toml can be written by others than root"]);
    droplet.sh("rm -r /etc/landfall");
}

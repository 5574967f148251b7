//! Secrets of the host: in no command line, in no environment but that of the step that needs them, in no record, in no output.

use crate::droplet::droplet;
use crate::project::Project;

/// Looks at every process of the droplet, as often as it can, until it is told to stop.
const SAMPLER: &str = r#"
cat >/tmp/it-sampler <<'END'
#!/bin/bash
# What is looked for is read from a file, so that it is in no command line of ours.
mapfile -t values </tmp/it-values
mine=$(readlink /proc/self/ns/pid)
while [ ! -e /tmp/it-stop ]; do
  for pid in /proc/[0-9]*; do
    # A tool in its container may well hand its secrets on in clear, as Prisma does to its engine; that is not Landfall's.
    [ "$(readlink "$pid/ns/pid")" = "$mine" ] || continue
    { mapfile -d '' -t words <"$pid/cmdline"; } 2>/dev/null || continue
    for value in "${values[@]}"; do
      case "${words[*]}" in *"$value"*) echo "cmdline ${words[*]:0:4}" ;; esac
    done
    case "${words[*]}" in
      */host-*serve* | */host-*supervise* | *docker*compose* | docker\ *)
        echo "seen ${words[0]}" >>/tmp/it-seen
        { mapfile -d '' -t environment <"$pid/environ"; } 2>/dev/null || continue
        for value in "${values[@]}"; do
          case "${environment[*]}" in *"$value"*) echo "environ ${words[*]:0:4}" ;; esac
        done ;;
    esac
  done
  sleep 0.02
done
END
chmod +x /tmp/it-sampler
grep -E 'URL|SECRET|PASSWORD|KEY' /opt/etally/.env | cut -d= -f2- >/tmp/it-values
cat /opt/etally/secrets/db_password.txt >>/tmp/it-values
setsid /tmp/it-sampler >/tmp/it-found 2>&1 </dev/null &
"#;

#[test]
fn no_process_shows_a_secret_during_a_release() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    droplet.sh(SAMPLER);
    let out = project.events(&["run", "release", "--yes"]);
    droplet.sh("touch /tmp/it-stop");
    out.expect(0, &[]);
    let seen = droplet.sh("sort /tmp/it-seen | uniq -c");
    assert!(seen.contains("host-") && seen.contains("docker"), "the sampler saw too little: {seen}");
    let found = droplet.sh("sort /tmp/it-found | uniq -c");
    assert_eq!(found, "", "a secret was seen in /proc");
    nothing_is_written_in_clear(&project, &droplets, &out.said());
}

#[test]
fn what_a_step_prints_is_masked_by_name() {
    let droplets = droplet();
    let project = Project::on(&droplets);
    project.playbook(
        "show",
        "[[steps]]\nkind = \"exec\"\nname = \"image\"\ncommand = [\"env\"]\n\
         [[steps]]\nkind = \"exec\"\nname = \"running\"\nvia = \"exec\"\ncommand = [\"sh\", \"-c\", \"env >&2; env | base64\"]\n\
         [[steps]]\nkind = \"shell\"\nname = \"files\"\ncommand = \"cat ../.env ../secrets/*; env\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"drip\"\ncommand = \"v=$(cat ../secrets/*); for i in $(seq ${#v}); do printf %s \\\"$v\\\" | cut -c$i | tr -d '\\\\n'; sleep 0.003; done; echo\"\n\
         [[steps]]\nkind = \"shell\"\nname = \"named\"\ncommand = \"echo it is $TOKEN\"\nenv.TOKEN = { secret = \"JWT_SECRET\" }\n",
    );
    let out = project.events(&["run", "show", "--yes"]);
    out.expect(
        0,
        &["[masked:DATABASE_URL]", "[masked:JWT_SECRET]", "[masked:SMTP_PASSWORD]", "[masked:SESSION_KEY]", "APP_ENV=testbed"],
    );
    assert!(out.printed().contains("it is [masked:JWT_SECRET]"), "{}", out.printed());
    let drip: String = out
        .of_type("output")
        .iter()
        .filter(|event| event["step"] == "drip")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect();
    assert!(drip.contains("[masked:"), "a secret that drips is masked: {drip:?}");
    nothing_is_written_in_clear(&project, &droplets, &out.said());
    let plain = project.landfall(&["attach"]);
    plain.expect(0, &["[masked:JWT_SECRET]"]);
    nothing_is_written_in_clear(&project, &droplets, &plain.said());
}

fn nothing_is_written_in_clear(project: &Project, droplets: &crate::droplet::Droplets, said: &str) {
    for (name, value) in droplets[0].secrets() {
        assert!(!said.contains(&value), "{name} was shown: {said}");
    }
    let kept = droplets[0].sh("grep -E 'URL|SECRET|PASSWORD|KEY' /opt/etally/.env | cut -d= -f2- >/tmp/it-values
         cat /opt/etally/secrets/db_password.txt >>/tmp/it-values
         grep -rlFf /tmp/it-values /var/lib/landfall /root/.cache /root/.local /var/log 2>/dev/null || true
         for one in $(docker ps -aq); do docker logs $one 2>&1 | grep -qFf /tmp/it-values && echo logs of $one; done; true
         rm /tmp/it-values");
    assert_eq!(kept, "", "a secret is on the droplet's disk");
    for entry in walk(project.dir.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned();
        for (name, value) in droplets[0].secrets() {
            assert!(!text.contains(&value), "{name} is in {}", entry.display());
        }
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] }).collect()
}

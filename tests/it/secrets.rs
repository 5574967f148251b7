//! Secrets of the host: in no command line, in no environment but that of the step that needs them, in no record, in no output.

use crate::droplet::droplet;
use crate::project::Project;
use crate::sampler::Sampler;

#[test]
fn no_process_shows_a_secret_during_a_release() {
    let droplets = droplet();
    let droplet = &droplets[0];
    let project = Project::on(&droplets);
    let values: Vec<String> = droplet.secrets().into_iter().map(|(_, value)| value).collect();
    let sampler = Sampler::start(droplet, &values);
    let out = project.events(&["run", "release", "--yes"]);
    sampler.saw_nothing();
    out.expect(0, &[]);
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

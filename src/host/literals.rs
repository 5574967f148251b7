//! Finds values of secrets in what a run says it will do: command lines, scripts, URLs, headers, environments. What stands there is in
//! process lists and in `docker events` before any mask could see it, so the run is refused. Never tells the value.

use serde_json::Value;

use super::mask::Needles;
use crate::facts::{Facts, Refusal};
use crate::protocol::Submission;

/// Fields whose values are words of Landfall's own, or names.
const WORDS: [&str; 5] = ["action", "secret", "side", "via", "when"];

/// Adds a refusal for each step that holds what is certainly a secret, and a warning for each that holds another value.
pub(super) fn look_for(submission: &Submission, needles: &Needles, facts: &mut Facts) {
    for step in &submission.steps {
        judge(&format!("step {:?}", step.name.as_str()), &serde_json::to_value(step).unwrap_or_default(), needles, facts);
    }
    if let Some(project) = &submission.compose {
        judge("`env` of [compose]", &serde_json::to_value(&project.env).unwrap_or_default(), needles, facts);
    }
}

fn judge(what: &str, value: &Value, needles: &Needles, facts: &mut Facts) {
    let mut texts = Vec::new();
    collect(value, &mut texts);
    let mut warned: Vec<String> = Vec::new();
    for found in texts.iter().filter_map(|text| needles.contains_secret(text.as_bytes())) {
        let name = found.name;
        if found.strict {
            let message = format!("{what} contains the value of {name}, which would show in process lists");
            let remedy = format!(
                "let the command read it where it is, or name it: env.{} = {{ secret = {name:?} }}; if it is no secret: public = [{name:?}]",
                if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') { name } else { "X" },
            );
            facts.refusals.push(Refusal::unfit(message, remedy));
            return;
        }
        let warning = format!("{what} contains the value of {name}, which is masked; if it is no secret: public = [{name:?}]");
        if !warned.contains(&warning) {
            warned.push(warning);
        }
    }
    facts.warnings.extend(warned);
}

/// All texts in a value, the keys of tables too. No field of an action can be forgotten that way.
fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| !WORDS.contains(&key.as_str())) {
                texts.push(key);
                collect(value, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mask::{Plain, Secret};
    use crate::protocol::HostStep;
    use serde_json::json;

    fn needles() -> Needles {
        let secrets = [
            Secret::new("DB_PASSWORD", "correct-horse", true),
            Secret::new("CACHE_URL", "redis://:battery-9@cache", false),
            Secret::new("GREETING", "hello-there", false),
        ];
        Needles::new(&secrets, &Plain::default())
    }

    fn look_at(actions: &Value) -> Facts {
        let step = json!({ "name": "s", "kind": "shell", "shown": "x", "actions": actions });
        let step: HostStep = serde_json::from_value(step).expect("a step");
        let mut facts = Facts::default();
        judge("step \"s\"", &serde_json::to_value(&step).expect("json"), &needles(), &mut facts);
        facts
    }

    #[test]
    fn a_step_that_contains_a_secret_is_refused_wherever_it_stands() {
        let http = |url: &str, header: &str| {
            json!([{ "action": "probe", "side": "host", "url": url, "headers": { "X": { "plain": header } },
                     "method": "GET", "timeout_ms": 1, "expect": { "status": [200] } }])
        };
        let service =
            |argv: Value, env: Value| json!([{ "action": "service", "service": "api", "via": "run", "argv": argv, "env": env }]);
        for actions in [
            service(json!(["psql", "--password=correct-horse"]), json!({})),
            service(json!(["x"]), json!({ "PW": { "plain": "correct-horse" } })),
            json!([{ "action": "shell", "run": { "shell": "echo correct-horse | x" } }]),
            json!([{ "action": "shell", "run": { "shell": "echo Y29ycmVjdC1ob3JzZQ== | base64 -d" } }]),
            json!([{ "action": "shell", "run": { "argv": ["redis-cli", "-a", "battery-9"] } }]),
            http("http://127.0.0.1/?token=correct%2Dhorse", "x"),
            http("http://127.0.0.1/", "Bearer correct-horse"),
        ] {
            let facts = look_at(&actions);
            assert_eq!(facts.refusals.len(), 1, "{actions}");
            let told = format!("{} {:?}", facts.refusals[0].message, facts.refusals[0].remedy);
            assert!(facts.refusals[0].code == 7 && told.contains("step \"s\" contains the value of "), "{told}");
            assert!(!told.contains("horse") && !told.contains("battery"), "{told}");
        }
    }

    #[test]
    fn another_value_only_warns_and_a_name_does_neither() {
        let facts = look_at(&json!([{ "action": "shell", "run": { "shell": "echo hello-there" } }]));
        assert_eq!((facts.refusals.len(), facts.warnings.len()), (0, 1));
        assert!(facts.warnings[0].contains("GREETING") && facts.warnings[0].contains("public"), "{:?}", facts.warnings);
        let env = json!({ "PW": { "secret": "DB_PASSWORD" } });
        let facts = look_at(&json!([{ "action": "shell", "run": { "shell": "x \"$PW\"" }, "env": env }]));
        assert_eq!(facts, Facts::default());
    }
}

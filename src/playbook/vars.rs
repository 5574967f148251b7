//! Vars: their names, their values, and which value is in force on a host.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Node, Placed, Scope, Sink, is_var_name, looks_secret, mentions_var};

/// Environment variables that programs act on: a var reaches scripts under its own name.
const RESERVED: [&str; 10] = ["PATH", "HOME", "SHELL", "USER", "LOGNAME", "PWD", "IFS", "ENV", "BASH_ENV", "NODE_OPTIONS"];

/// Whether a var may have this name; if not, it is told.
pub(super) fn check_name(name: &Placed<String>, sink: &Sink) -> bool {
    let upper = name.value.to_uppercase();
    let prefixed = ["LD_", "COMPOSE_", "DOCKER_", "NPM_CONFIG_", "LANDFALL_"].iter().any(|prefix| upper.starts_with(prefix));
    let (message, help) = if !is_var_name(&name.value) {
        (
            "cannot be the name of a var",
            "use letters, digits and `_`, not starting with a digit: it becomes an environment variable of scripts",
        )
    } else if prefixed || RESERVED.contains(&name.value.as_str()) {
        ("means something to other programs", "use another name: a var becomes an environment variable of scripts")
    } else {
        return true;
    };
    sink.error(&name.place, format!("`{}` {message}", name.value), Some(help.to_owned()));
    false
}

/// A var's value as text.
pub(super) fn value(name: &str, node: &Placed<Node>, sink: &Sink) -> Option<Placed<String>> {
    let text = match &node.value {
        Node::Text(text) => text.clone(),
        Node::Whole(number) => number.to_string(),
        Node::Flag(flag) => flag.to_string(),
        other => {
            let message = format!("the value of `{name}` must be a string, not {}", other.what());
            sink.error(&node.place, message, Some(format!("write `{name} = \"…\"`")));
            return None;
        }
    };
    Some(node.with(text))
}

/// Checks what `--var` says.
pub(super) fn check_given(given: &[(String, String)], sink: &Sink) {
    for (name, value) in given {
        if let Some(what) = looks_secret(value) {
            let help = "a var's value stands in plans and records: name the secret instead, `{ secret = \"NAME\" }`".to_owned();
            sink.error(&crate::source::Place::nowhere(), format!("the value of --var {name} looks like {what}"), Some(help));
        }
    }
}

/// The vars in force: values that mention other vars have them filled in, and a circle is told.
pub(super) fn scope(values: &BTreeMap<String, Option<Placed<String>>>, sink: &Sink) -> Scope {
    let mut scope = Scope::default();
    // Names first, so that a value may mention a var that is filled in later, and a misspelt one is still found.
    let mut open: BTreeSet<&String> = values.keys().collect();
    while !open.is_empty() {
        let ready: Vec<&String> = open
            .iter()
            .copied()
            .filter(|name| {
                let text = values[*name].as_ref().map_or("", |text| text.value.as_str());
                mentioned(text).iter().all(|other| !open.iter().any(|name| *name == other))
            })
            .collect();
        if ready.is_empty() {
            for name in &open {
                if let Some(text) = &values[*name] {
                    let message = format!("the var `{name}` is made of itself");
                    let circle: Vec<&str> = open.iter().map(|name| name.as_str()).collect();
                    sink.error(&text.place, message, Some(format!("break the circle of {}", circle.join(", "))));
                }
                scope.set(name.as_str(), None);
            }
            break;
        }
        for name in ready {
            open.remove(name);
            let value = values[name].as_ref().map(|text| scope.fill(text, sink));
            scope.set(name.as_str(), value);
        }
    }
    scope
}

fn mentioned(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((whole, name)) = mentions_var(rest) {
        names.push(name.to_owned());
        rest = rest.split_once(whole).map_or("", |(_, rest)| rest);
    }
    names
}

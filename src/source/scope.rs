//! `{{ vars.x }}`: the vars that a text may name, and filling them in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::diag::{Place, Placed, Sink};
use super::suggest::nearest;

/// The vars in force for one host.
#[derive(Debug, Default)]
pub struct Scope {
    values: BTreeMap<String, Option<String>>,
    used: RefCell<BTreeSet<String>>,
}

/// Whether a text may name a var: it becomes an environment variable, so it is spelt like one.
pub fn is_var_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The first `{{ vars.x }}` of a text, and its `x`.
pub fn mentions_var(text: &str) -> Option<(&str, &str)> {
    pieces(text).find_map(|piece| match piece {
        Piece::Var { whole, name } => Some((whole, name)),
        _ => None,
    })
}

enum Piece<'a> {
    Text(&'a str),
    Var { whole: &'a str, name: &'a str },
    Open(&'a str),
}

/// A text in pieces. Only `{{ vars.…` is ours; other double braces belong to other tools.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut from = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let Some(at) = rest[from..].find("{{").map(|at| at + from) else { break };
            let inner = rest[at + 2..].trim_start();
            if !inner.starts_with("vars.") && !inner.starts_with("vars ") {
                from = at + 2;
                continue;
            }
            if at > 0 {
                let (before, after) = rest.split_at(at);
                (rest, from) = (after, 0);
                return Some(Piece::Text(before));
            }
            let Some(end) = rest.find("}}") else {
                let open = rest;
                rest = "";
                return Some(Piece::Open(open));
            };
            let (whole, after) = rest.split_at(end + 2);
            (rest, from) = (after, 0);
            let name = whole[2..end].trim();
            return Some(Piece::Var { whole, name: name.strip_prefix("vars.").unwrap_or(name) });
        }
        let last = std::mem::take(&mut rest);
        (!last.is_empty()).then_some(Piece::Text(last))
    })
}

impl Scope {
    /// Gives a var a value; none: it has no value, and that has been told already.
    pub fn set(&mut self, name: impl Into<String>, value: Option<String>) {
        self.values.insert(name.into(), value);
    }

    /// Whether there is a var of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A var's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_deref()
    }

    /// All vars that have a value.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.values.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    /// Whether a text that was filled in named this var.
    pub fn was_used(&self, name: &str) -> bool {
        self.used.borrow().contains(name)
    }

    /// The text with its vars filled in. One that is not known is told, and left as it stands.
    pub fn fill(&self, text: &Placed<String>, sink: &Sink) -> String {
        let mut filled = String::with_capacity(text.value.len());
        for piece in pieces(&text.value) {
            match piece {
                Piece::Text(plain) => filled.push_str(plain),
                Piece::Var { whole, name } => {
                    self.used.borrow_mut().insert(name.to_owned());
                    match self.values.get(name) {
                        Some(Some(value)) => filled.push_str(value),
                        Some(None) => filled.push_str(whole),
                        None => {
                            self.unknown(&sink.within(&text.place, whole), name, sink);
                            filled.push_str(whole);
                        }
                    }
                }
                Piece::Open(open) => {
                    sink.error(&text.place, "`{{` without `}}`", Some("write `{{ vars.NAME }}`".to_owned()));
                    filled.push_str(open);
                }
            }
        }
        self.bare_names(text, sink);
        filled
    }

    fn unknown(&self, place: &Place, name: &str, sink: &Sink) {
        if !is_var_name(name) {
            let help = "only the value of a var can be filled in: `{{ vars.NAME }}`, without filters or expressions";
            return sink.error(place, format!("`{name}` is not the name of a var"), Some(help.to_owned()));
        }
        let help = nearest(name, self.values.keys()).map_or_else(
            || format!("declare it under [vars], or give it to the group or host in landfall.toml, or say --var {name}=VALUE"),
            |near| format!("did you mean `{near}`?"),
        );
        sink.error(place, format!("there is no var `{name}`"), Some(help));
    }

    /// `{{ release }}`, where a var of that name exists, is meant to be filled in and would not be.
    fn bare_names(&self, text: &Placed<String>, sink: &Sink) {
        for (at, _) in text.value.match_indices("{{") {
            let Some(end) = text.value[at..].find("}}") else { continue };
            let name = text.value[at + 2..at + end].trim();
            if self.knows(name) {
                let place = sink.within(&text.place, &text.value[at..at + end + 2]);
                sink.error(&place, format!("`{name}` is not filled in here"), Some(format!("write `{{{{ vars.{name} }}}}`")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.set("release", Some("v2".to_owned()));
        scope.set("lost", None);
        scope
    }

    fn filled(text: &str) -> Result<String, String> {
        let sink = Sink::default();
        let value = scope().fill(&Placed::nowhere(text.to_owned()), &sink);
        sink.finish(value).map_err(|diags| diags.to_string())
    }

    #[test]
    fn fills_in_and_leaves_other_braces_alone() {
        assert_eq!(filled("api:{{ vars.release }}-{{vars.release}}"), Ok("api:v2-v2".to_owned()));
        assert_eq!(filled("{{.State}} {{ json . }} {{ vars.release }}"), Ok("{{.State}} {{ json . }} v2".to_owned()));
        assert_eq!(filled("{{ vars.lost }}"), Ok("{{ vars.lost }}".to_owned()));
        assert_eq!(filled(""), Ok(String::new()));
    }

    #[test]
    fn tells_what_cannot_be_filled_in() {
        insta::assert_snapshot!(filled("{{ vars.relaese }}").expect_err("typo"), @r"
        error: there is no var `relaese`
         |
         = help: did you mean `release`?
        ");
        insta::assert_snapshot!(filled("{{ vars.other }}").expect_err("unknown"), @r"
        error: there is no var `other`
         |
         = help: declare it under [vars], or give it to the group or host in landfall.toml, or say --var other=VALUE
        ");
        insta::assert_snapshot!(filled("{{ vars.release | upper }}").expect_err("filter"), @r"
        error: `release | upper` is not the name of a var
         |
         = help: only the value of a var can be filled in: `{{ vars.NAME }}`, without filters or expressions
        ");
        insta::assert_snapshot!(filled("{{ vars.release").expect_err("open"), @r"
        error: `{{` without `}}`
         |
         = help: write `{{ vars.NAME }}`
        ");
        insta::assert_snapshot!(filled("{{ release }}").expect_err("bare"), @r"
        error: `release` is not filled in here
         |
         = help: write `{{ vars.release }}`
        ");
    }
}

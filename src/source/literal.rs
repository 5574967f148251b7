//! Secrets that are written down where only their names belong: found, and refused without showing them.

use regex_lite::Regex;

use super::diag::{Diag, Place, Placed, Sink};
use super::tree::{Node, Table};

/// What a text that must not be written down looks like.
const SHAPES: [(&str, &str); 8] = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
    (r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@{$]*:[^/\s@{$\[<][^/\s@]*@", "a password in a URL"),
    (r"\b(ghp|gho|ghs|ghu|ghr)_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}", "an access token"),
    (r"\b(dop|doo|dor)_v1_[a-f0-9]{32,}|\bnpm_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}", "an access token"),
    (r"\b[srp]k_(live|test)_[A-Za-z0-9]{10,}|\bsk-[A-Za-z0-9_-]{20,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "an API key"),
    (r"\bA(KIA|SIA)[A-Z0-9]{16}\b", "an access key"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.", "a signed token"),
    (r"(?i)^(bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}$", "a credential"),
];

/// What a text that looks like a secret seems to be.
pub fn looks_secret(text: &str) -> Option<&'static str> {
    SHAPES.iter().find(|(shape, _)| Regex::new(shape).is_ok_and(|shape| shape.is_match(text))).map(|(_, what)| *what)
}

/// Whether a key says that its value is a secret.
fn names_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let words = ["password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "private_key", "authorization"];
    !matches!(key.as_str(), "secret" | "client_secret") && words.iter().any(|word| key.ends_with(word))
}

/// Refuses each literal secret of a file, with its place and the remedy; what stands there is not shown.
pub fn refuse_literals(table: &Table, sink: &Sink) {
    for entry in &table.entries {
        if let Node::Text(text) = &entry.value.value
            && names_secret(&entry.key.value)
            && !text.is_empty()
            && !text.contains("{{")
        {
            refuse(&entry.value.place, &format!("the value of `{}`", entry.key.value), sink);
        } else {
            refuse_node(&entry.value, sink);
        }
    }
}

fn refuse_node(node: &Placed<Node>, sink: &Sink) {
    match &node.value {
        Node::Text(text) => {
            if let Some(what) = looks_secret(text) {
                refuse(&node.place, what, sink);
            }
        }
        Node::List(items) => items.iter().for_each(|item| refuse_node(item, sink)),
        Node::Table(table) => refuse_literals(table, sink),
        _ => {}
    }
}

fn refuse(place: &Place, what: &str, sink: &Sink) {
    let help = "name it instead: `{ secret = \"NAME\" }` is looked up on the host among the files of [secrets], \
                `{ client_secret = \"NAME\" }` in this machine's environment; then change the secret, for this file has seen it";
    let diag = Diag::new(place, format!("{what} is written down here"), Some(help.to_owned()));
    sink.push(Diag { hide: true, ..diag });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn knows_secrets_by_their_shape() {
        // Put together here, so that no search for lost credentials finds any in this file.
        let digits = "0123456789abcdef0123456789abcdef0123456789abcdef";
        let (token, other) = (["ghp", "_", &digits[..36]].concat(), ["dop", "_v1_", digits].concat());
        let key = ["-----BEGIN OPENSSH ", "PRIVATE KEY-----\nb3Bl"].concat();
        for secret in [
            key.as_str(),
            "postgres://app:hunter2@db/etally",
            "redis://:hunter2@cache:6379",
            &token,
            &other,
            "Bearer abcdefgh12345678",
        ] {
            assert!(looks_secret(secret).is_some(), "{secret}");
        }
        for plain in [
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000",
            "http://127.0.0.1:3000/health",
            "https://user@example.com/",
            "postgres://app:$PASSWORD@db/etally",
            "postgres://app:{{ vars.x }}@db/etally",
            "node:22@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "git@github.com:a/b.git",
        ] {
            assert_eq!(looks_secret(plain), None, "{plain}");
        }
    }

    #[test]
    fn shows_the_place_and_not_the_secret() {
        let text = "[x]\nurl = \"postgres://a:hunter2@db/e\"\nenv = { DB_PASSWORD = \"swordfish\", T = { secret = \"T\" } }\n";
        let sink = Sink::default();
        let table = super::super::tree::parse(&Arc::from("landfall.toml"), text, &sink);
        refuse_literals(&table, &sink);
        insta::assert_snapshot!(sink.finish(()).expect_err("refused"), @r#"
        error: a password in a URL is written down here
         --> landfall.toml:2:7
          |
        2 | url = "*************************"
          |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it

        error: the value of `DB_PASSWORD` is written down here
         --> landfall.toml:3:23
          |
        3 | env = { DB_PASSWORD = "*********", T = { secret = "T" } }
          |                       ^^^^^^^^^^^
          |
          = help: name it instead: `{ secret = "NAME" }` is looked up on the host among the files of [secrets], `{ client_secret = "NAME" }` in this machine's environment; then change the secret, for this file has seen it
        "#);
    }
}

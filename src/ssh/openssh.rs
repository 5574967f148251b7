//! Asks OpenSSH what the user's configuration says about a host: runs `ssh -G` and reads its answer.
//!
//! Takes what the contract names and nothing else: `StrictHostKeyChecking`, forwarding, `LocalCommand` and `RemoteCommand` are
//! never looked at. Must not know the inventory, and expands nothing.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::error::ConfigError;

const TIME: Duration = Duration::from_secs(5);

/// What `ssh -G` said; paths are as it printed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) address: Option<String>,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) identities: Vec<String>,
    pub(super) identities_only: bool,
    pub(super) agent: Option<String>,
    pub(super) jumps: Option<String>,
    pub(super) proxy_command: Option<String>,
    pub(super) key_alias: Option<String>,
    pub(super) known_hosts: Vec<String>,
    pub(super) global_known_hosts: Vec<String>,
    pub(super) revoked_keys: Option<String>,
    pub(super) hash_known_hosts: bool,
}

/// What is asked: user and port, when they are known already, so that `Match` sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) program: &'a Path,
    pub(super) config: Option<&'a Path>,
    pub(super) name: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) port: Option<u16>,
}

/// Runs `ssh -G`. `None`: there is no ssh program.
pub(super) async fn ask(question: Question<'_>) -> Result<Option<Answer>, ConfigError> {
    let mut command = tokio::process::Command::new(question.program);
    command.arg("-G").env_remove(crate::vault::KEY_VARIABLE);
    if let Some(config) = question.config {
        command.arg("-F").arg(config);
    }
    if let Some(user) = question.user {
        command.arg("-l").arg(user);
    }
    if let Some(port) = question.port {
        command.arg("-p").arg(port.to_string());
    }
    command.arg("--").arg(question.name).stdin(Stdio::null()).kill_on_drop(true);
    let failed = |why: String| ConfigError::SshConfig { name: question.name.to_owned(), why };
    let output = match tokio::time::timeout(TIME, command.output()).await {
        Err(_) => {
            return Err(failed(format!("`ssh -G` did not answer within {} s", TIME.as_secs())));
        }
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(e)) => return Err(failed(format!("`ssh -G` did not start: {e}"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("no message");
        return Err(failed(format!("`ssh -G` failed: {}", last.escape_debug())));
    }
    Ok(Some(parse(&String::from_utf8_lossy(&output.stdout))))
}

fn parse(text: &str) -> Answer {
    let mut answer = Answer::default();
    let set = |value: &str| (!value.eq_ignore_ascii_case("none")).then(|| value.to_owned());
    let list = |value: &str| -> Vec<String> { value.split_whitespace().filter_map(set).collect() };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else {
            continue;
        };
        match key {
            "hostname" => answer.address = Some(value.to_owned()),
            "user" => answer.user = Some(value.to_owned()),
            "port" => answer.port = value.parse().ok(),
            "identityfile" => answer.identities.extend(set(value)),
            "identitiesonly" => answer.identities_only = value == "yes",
            "identityagent" => answer.agent = Some(value.to_owned()),
            "proxyjump" => answer.jumps = set(value),
            "proxycommand" => answer.proxy_command = set(value),
            "hostkeyalias" => answer.key_alias = set(value),
            "userknownhostsfile" => answer.known_hosts = list(value),
            "globalknownhostsfile" => answer.global_known_hosts = list(value),
            "revokedhostkeys" => answer.revoked_keys = set(value),
            "hashknownhosts" => answer.hash_known_hosts = value == "yes",
            _ => {}
        }
    }
    answer
}

/// One `[user@]host[:port]` of a `ProxyJump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

/// Parses a `ProxyJump` list. `None`: not understood.
pub(super) fn hops(list: &str) -> Option<Vec<Hop>> {
    list.split(',').map(|hop| parse_hop(hop.trim())).collect()
}

fn parse_hop(text: &str) -> Option<Hop> {
    let text = text.strip_prefix("ssh://").map_or(text, |uri| uri.trim_end_matches('/'));
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (name, port) = if let Some(bracketed) = rest.strip_prefix('[') {
        let (name, after) = bracketed.split_once(']')?;
        (name, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else if rest.matches(':').count() == 1 {
        rest.split_once(':').map(|(name, port)| (name, Some(port)))?
    } else {
        (rest, None)
    };
    let port = port.map(str::parse).transpose().ok()?;
    if name.is_empty() || user.as_deref() == Some("") {
        return None;
    }
    Some(Hop { name: name.to_owned(), user, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_contract_names_and_nothing_else() {
        let answer = parse(
            "host db\nuser me\nhostname 10.0.0.1\nport 2200\nidentityfile ~/.ssh/a\nidentityfile none\nidentitiesonly yes\n\
             stricthostkeychecking no\nremotecommand rm -rf /\nuserknownhostsfile /a /b\nglobalknownhostsfile none\nproxyjump none\n",
        );
        let expected = Answer {
            address: Some("10.0.0.1".into()),
            user: Some("me".into()),
            port: Some(2200),
            identities: vec!["~/.ssh/a".into()],
            identities_only: true,
            known_hosts: vec!["/a".into(), "/b".into()],
            ..Answer::default()
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn jumps() {
        let hop = |name: &str, user: Option<&str>, port| Hop { name: name.into(), user: user.map(Into::into), port };
        assert_eq!(
            hops("a, me@b:22,[::1]:2200,ssh://u@c:1/,::1"),
            Some(vec![
                hop("a", None, None),
                hop("b", Some("me"), Some(22)),
                hop("::1", None, Some(2200)),
                hop("c", Some("u"), Some(1)),
                hop("::1", None, None)
            ])
        );
        assert_eq!(hops("a,,b"), None);
        assert_eq!(hops("a:x"), None);
        assert_eq!(hops("[::1"), None);
    }
}

//! How commands reach hosts: the runtime they share, and the person who is asked about keys.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::failure::Failure;
use crate::playbook::HostAt;
use crate::report::label;
use crate::run::{Contact, Reach, Stop, contact};
use crate::runtime::Programs;
use crate::ssh::{Ask, Operator, Sources, UnknownKey};
use crate::vault::{Kind, Vault};

/// Runs a future to its end, on this thread: one thread is all that many hosts need.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(super::exit::UNKNOWN, format!("failed to start: {error}")))?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, future);
    // A question that still waits for an answer must not hold the end.
    runtime.shutdown_background();
    Ok(result)
}

/// Keys, passphrases and programs of this process.
pub(super) fn reach() -> Result<Arc<Reach>, Failure> {
    let vault = Arc::new(Vault::of_process()?);
    Ok(Arc::new(Reach {
        operator: Operator::of_process(Arc::new(Person { vault: Arc::clone(&vault) })),
        sources: Sources::of_process(),
        programs: Programs::embedded(),
        vault,
    }))
}

/// Connects to hosts; those that cannot be reached are told by themselves.
pub(super) async fn contacts(reach: &Arc<Reach>, hosts: &[HostAt]) -> (Vec<(HostAt, Contact)>, Vec<Stop>) {
    let wanted = hosts.iter().map(|at| (at.name.clone(), at.target.clone())).collect();
    let (mut made, mut stops) = (Vec::new(), Vec::new());
    for (at, result) in hosts.iter().zip(contact::make_all(reach, wanted).await) {
        match result {
            Ok(contact) => made.push((at.clone(), contact)),
            Err(stop) => stops.push(stop),
        }
    }
    (made, stops)
}

/// Whoever sits at the terminal, if there is one, and what they have put down elsewhere.
#[derive(Debug)]
pub(super) struct Person {
    vault: Arc<Vault>,
}

impl Person {
    /// What the operator's own file leads to, or else what they type.
    fn secret(&self, kind: Kind, name: &str, prompt: &str) -> Option<SecretString> {
        match self.vault.get(kind, name) {
            Ok(None) => {}
            Ok(value) => return value,
            Err(error) => {
                super::say(&format!("warning: {error}: {}", error.remedy));
                return None;
            }
        }
        if !std::io::stdin().is_terminal() {
            return None;
        }
        rpassword::prompt_password(prompt).ok().filter(|typed| !typed.is_empty()).map(SecretString::from)
    }
}

impl Ask for Person {
    fn passphrase(&self, key: &Path) -> Option<SecretString> {
        let key = key.display().to_string();
        self.secret(Kind::Passphrase, &key, &format!("Passphrase of {key}: "))
    }

    fn sudo_password(&self, login: &str) -> Option<SecretString> {
        self.secret(Kind::Sudo, login, &format!("Password of sudo for {}: ", label(login)))
    }

    fn accept_key(&self, unknown: &UnknownKey) -> bool {
        let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() {
            return false;
        }
        let asked = write!(
            stderr,
            "{} ({}) is not known. Its {} key has the fingerprint\n  {}\nTrust it? [y/N] ",
            label(&unknown.host),
            label(&unknown.address),
            unknown.key.kind(),
            unknown.key.fingerprint()
        );
        let mut answer = String::new();
        asked.and_then(|()| stderr.flush()).is_ok()
            && stdin.lock().read_line(&mut answer).is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

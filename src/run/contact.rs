//! A host within reach: a connection and a conversation with its host program.

use std::sync::Arc;
use std::time::Duration;

use crate::facts::Refusal;
use crate::name::HostName;
use crate::playbook::Target;
use crate::protocol::{Reply, Request};
use crate::runtime::{Departure, Link, Login, OpenError, OpenFailure, Programs, Stream};
use crate::ssh::{self, Connection, Operator, Sources};
use crate::vault::Vault;

use super::stop::Stop;

/// What every connection of this process shares.
pub struct Reach {
    /// Who connects: keys, passphrases, questions.
    pub operator: Operator,
    /// Where settings come from.
    pub sources: Sources,
    /// The host programs that can be uploaded.
    pub programs: Programs,
    /// Secrets of this machine.
    pub vault: Arc<Vault>,
}

/// A host that let this client in. Nothing runs there yet.
pub struct Reached {
    /// Its name in the inventory.
    pub host: HostName,
    /// Address and port.
    pub address: String,
    /// The login.
    pub user: String,
    sudo: bool,
    connection: Connection,
}

/// A host within reach.
pub struct Contact {
    /// Its name in the inventory.
    pub host: HostName,
    /// The conversation.
    pub link: Link,
    /// Address and port.
    pub address: String,
    /// The login.
    pub user: String,
    connection: Connection,
}

impl Reached {
    /// Connects.
    pub async fn make(reach: &Reach, host: &HostName, target: &Target) -> Result<Self, Stop> {
        let settings =
            ssh::resolve(&ssh_target(host, target), &reach.sources).await.map_err(|error| Stop::from(error).on(host))?;
        let connection = ssh::connect(&settings, &reach.operator).await.map_err(|error| Stop::from(error).on(host))?;
        let address = format!("{}:{}", settings.address.value, settings.port.value);
        Ok(Self { host: host.clone(), address, user: settings.user.value.clone(), sudo: target.sudo, connection })
    }

    /// Opens the host program.
    pub async fn open(self, reach: &Reach) -> Result<Contact, Stop> {
        let opened = self.as_whom(reach, async |login| Link::open(&self.connection, &reach.programs, &login).await).await;
        let link = opened.map_err(|failure| Stop::from(failure).on(&self.host))?;
        Ok(self.with(link))
    }

    /// Opens the host program and asks it something in the same breath. Where that fails, `departure` tells whether the host may have
    /// taken the request.
    pub async fn open_asking(
        self,
        reach: &Reach,
        first: &Request,
        departure: &Departure,
    ) -> Result<(Contact, Stream), OpenFailure> {
        let asking = async |login| Link::open_asking(&self.connection, &reach.programs, &login, first, departure).await;
        let (link, stream) = self.as_whom(reach, asking).await?;
        Ok((self.with(link), stream))
    }

    fn with(self, link: Link) -> Contact {
        let Self { host, address, user, connection, .. } = self;
        Contact { host, link, address, user, connection }
    }

    /// Opens it as the login, or as root by sudo: with a password where it wants one.
    async fn as_whom<T>(&self, reach: &Reach, open: impl AsyncFn(Login) -> Result<T, OpenFailure>) -> Result<T, OpenFailure> {
        if !self.sudo {
            return open(Login::User).await;
        }
        match open(Login::Sudo).await {
            Err(OpenFailure::Program(OpenError::PasswordWanted)) => {}
            opened => return opened,
        }
        let login = format!("{}@{}", self.user, self.address.strip_suffix(":22").unwrap_or(&self.address));
        let password = reach.operator.sudo_password(&login).await.ok_or(OpenError::PasswordWanted)?;
        let opened = open(Login::SudoWith(password)).await;
        if matches!(opened, Err(OpenFailure::Program(OpenError::PasswordWrong))) {
            reach.operator.refuse_sudo_password(&login).await;
        }
        opened
    }
}

impl Contact {
    /// Connects, and opens the host program.
    pub async fn make(reach: &Reach, host: &HostName, target: &Target) -> Result<Self, Stop> {
        Reached::make(reach, host, target).await?.open(reach).await
    }

    /// Asks for something that has one answer.
    pub async fn ask(&self, request: &Request) -> Result<Reply, Stop> {
        match self.link.call(request.clone()).await {
            Ok(Reply::Refused { code, message, remedy }) => Err(Stop::from(Refusal { code, message, remedy }).on(&self.host)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Stop::from(error).on(&self.host)),
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        drop(self.link);
        self.connection.close().await;
    }
}

/// The pause before another attempt to connect: they grow, and stay at the last.
pub fn pause(attempts: usize) -> Duration {
    const PAUSES: [u64; 6] = [0, 1, 2, 4, 8, 15];
    Duration::from_secs(PAUSES[attempts.min(PAUSES.len() - 1)])
}

/// What the SSH layer is told of a host.
pub fn ssh_target(host: &HostName, target: &Target) -> ssh::Target {
    ssh::Target {
        name: host.to_string(),
        address: target.address.clone(),
        user: target.user.clone(),
        port: target.port,
        identity_file: target.identity_file.clone(),
        known_hosts: target.known_hosts.clone(),
        host_keys: target.host_keys.clone(),
        connect_timeout: target.connect_timeout_ms.map(Duration::from_millis),
    }
}

/// Connects to many hosts at once; the results come in the order of the hosts.
pub async fn make_all(reach: &Arc<Reach>, hosts: Vec<(HostName, Target)>) -> Vec<Result<Contact, Stop>> {
    let mut making = Vec::new();
    for (host, target) in hosts {
        let reach = Arc::clone(reach);
        making.push(tokio::task::spawn_local(async move { Contact::make(&reach, &host, &target).await }));
    }
    let mut made = Vec::with_capacity(making.len());
    for task in making {
        made.push(task.await.unwrap_or_else(|error| Err(Stop::new(6, format!("connecting broke off: {error}")))));
    }
    made
}

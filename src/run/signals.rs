//! What a person or a CI system means by Ctrl-C and SIGTERM: once is "let go", twice within three seconds is "stop it".

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Two of them within this time mean "stop it".
const TWICE: Duration = Duration::from_secs(3);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Ctrl-C for the first time: leave it running, unless it comes again.
    Detach,
    /// Twice.
    Cancel,
    /// SIGTERM or SIGHUP: no second one will come.
    Terminate,
}

/// Listens for signals, from before a lock is taken until after the end.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    first: Option<Instant>,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            first: None,
        })
    }

    /// The next wish. After a first Ctrl-C it waits for a second one before it says `Detach`.
    pub async fn wish(&mut self) -> Wish {
        loop {
            let settle = async {
                match self.first {
                    Some(first) => tokio::time::sleep_until((first + TWICE).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {
                    if self.first.take().is_some_and(|first| first.elapsed() < TWICE) {
                        return Wish::Cancel;
                    }
                    self.first = Some(Instant::now());
                }
                _ = self.terminate.recv() => return Wish::Terminate,
                _ = self.hangup.recv() => return Wish::Terminate,
                () = settle => {
                    self.first = None;
                    return Wish::Detach;
                }
            }
        }
    }

    /// Whether a first Ctrl-C waits for its second.
    pub fn is_undecided(&self) -> bool {
        self.first.is_some()
    }
}

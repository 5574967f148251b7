//! What a person or a CI system means by Ctrl-C and SIGTERM: once is "let go", twice within three seconds is "stop it".

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Two of them within this time mean "stop it".
const TWICE: Duration = Duration::from_secs(3);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Ctrl-C for the first time: what it means is decided by whether it comes again.
    First,
    /// It did not come again: leave it running.
    Detach,
    /// It came again.
    Cancel,
    /// SIGTERM or SIGHUP: no second one will come.
    Terminate,
}

/// Listens for signals, from before a lock is taken until after the end.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    first: Option<Instant>,
}

impl Signals {
    /// Begins to listen.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            first: None,
        })
    }

    /// The next wish. May be cancelled without loss.
    pub(super) async fn wish(&mut self) -> Wish {
        let undecided = self.first;
        let alone = async {
            match undecided {
                Some(first) => tokio::time::sleep_until((first + TWICE).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {
                if self.first.take().is_some_and(|first| first.elapsed() < TWICE) {
                    Wish::Cancel
                } else {
                    self.first = Some(Instant::now());
                    Wish::First
                }
            }
            _ = self.terminate.recv() => Wish::Terminate,
            _ = self.hangup.recv() => Wish::Terminate,
            () = alone => {
                self.first = None;
                Wish::Detach
            }
        }
    }
}

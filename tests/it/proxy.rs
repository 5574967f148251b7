//! A network between client and droplet, on the loopback: it counts, cuts, delays and falls silent as a test tells it to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::droplet::Droplet;

#[derive(Default)]
struct State {
    delay: Duration,
    silent: bool,
    /// So many more bytes go up to the host; then everything is cut.
    allowance: Option<u64>,
    /// With that many bytes up in all, it falls silent.
    silent_from: Option<u64>,
    /// Bytes that went up.
    up: u64,
    /// Both ends of each connection that stands.
    open: Vec<[TcpStream; 2]>,
    over: bool,
}

#[derive(Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

/// The network. It ends with the test.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    wire: Arc<Wire>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// The network in front of a droplet.
    pub(crate) fn before(droplet: &Droplet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("proxy");
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire::default());
        let (shared, to) = (Arc::clone(&wire), droplet.port);
        let listening = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state.lock().unwrap().over {
                    break;
                }
                let wire = Arc::clone(&shared);
                thread::spawn(move || wire.connect(client, to));
            }
        });
        Self { port, wire, listening: Some(listening) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.wire.state.lock().unwrap());
        self.wire.changed.notify_all();
    }

    /// Cuts every connection that stands, and tells how many.
    pub(crate) fn cut(&self) -> usize {
        self.wire.cut()
    }

    /// Cuts everything after so many more bytes to the host.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.change(|state| state.allowance = Some(bytes));
    }

    /// Whether that has happened.
    pub(crate) fn has_cut(&self) -> bool {
        self.wire.state.lock().unwrap().allowance.is_none()
    }

    /// Lets bytes pass without end.
    pub(crate) fn cut_never(&self) {
        self.change(|state| state.allowance = None);
    }

    /// How many bytes went to the host so far.
    pub(crate) fn up(&self) -> u64 {
        self.wire.state.lock().unwrap().up
    }

    /// Falls silent once so many more bytes went to the host.
    pub(crate) fn silent_after(&self, bytes: u64) {
        self.change(|state| state.silent_from = Some(state.up + bytes));
    }

    /// Whether it is silent.
    pub(crate) fn is_silent(&self) -> bool {
        self.wire.state.lock().unwrap().silent
    }

    /// Each way takes so long from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// Nothing passes, though no connection is closed; or it passes again.
    pub(crate) fn silent(&self, silent: bool) {
        self.change(|state| state.silent = silent);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| (state.over, state.silent) = (true, false));
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Wire {
    fn until_it_passes(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.silent).unwrap());
    }

    fn cut(&self) -> usize {
        let open = std::mem::take(&mut self.state.lock().unwrap().open);
        for end in open.iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
        open.len()
    }

    fn connect(self: Arc<Self>, client: TcpStream, to: u16) {
        self.until_it_passes();
        let Ok(host) = TcpStream::connect(("127.0.0.1", to)) else { return };
        let ends = [client.try_clone().unwrap(), host.try_clone().unwrap()];
        self.state.lock().unwrap().open.push(ends);
        let (up, down) = (Arc::clone(&self), self);
        let (from, to) = (client.try_clone().unwrap(), host.try_clone().unwrap());
        thread::spawn(move || up.pump(from, to, true));
        thread::spawn(move || down.pump(host, client, false));
    }

    fn pump(self: Arc<Self>, mut from: TcpStream, to: TcpStream, up: bool) {
        let (send, pieces) = channel();
        let wire = Arc::clone(&self);
        let writer = thread::spawn(move || wire.deliver(&pieces, &to));
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut state = self.state.lock().unwrap();
            let due = Instant::now() + state.delay;
            let mut length = length;
            let mut last = false;
            if up {
                if let Some(allowance) = state.allowance {
                    length = length.min(usize::try_from(allowance).unwrap());
                    last = u64::try_from(length).unwrap() == allowance;
                    state.allowance = (!last).then(|| allowance - length as u64);
                }
                state.up += length as u64;
                if state.silent_from.is_some_and(|from| state.up >= from) {
                    (state.silent, state.silent_from) = (true, None);
                }
            }
            drop(state);
            let _ = send.send((due, buffer[..length].to_vec()));
            if last {
                // What was let through arrives; then there is nothing any more.
                drop(send);
                let _ = writer.join();
                self.cut();
                return;
            }
        }
        drop(send);
        let _ = writer.join();
    }

    fn deliver(&self, pieces: &Receiver<(Instant, Vec<u8>)>, mut to: &TcpStream) {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.until_it_passes();
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

//! The TCP connection: finding the address, connecting, and keeping small packets from waiting.
//!
//! Must not know SSH, but for one thing: the first bytes are remembered, so that a server that is none can be told by what it said.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinSet;

/// The next address is tried when the one before has not answered for so long (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// sshd waits for acknowledgements until its first session starts; later they may be delayed.
const QUICK: usize = 64 * 1024;
const REMEMBERED: usize = 256;

/// Says why there is no TCP connection.
#[derive(Debug)]
pub(super) enum TcpError {
    NoAddress(String),
    Refused,
    Other(String),
}

/// Connects to the first address that answers.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, TcpError> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|e| TcpError::NoAddress(e.to_string()))?;
    let mut addresses = interleave(found.collect()).into_iter();
    let mut trying: JoinSet<io::Result<TcpStream>> = JoinSet::new();
    let mut last: Option<io::Error> = None;
    let mut more = true;
    loop {
        if more {
            match addresses.next() {
                Some(address) => _ = trying.spawn(TcpStream::connect(address)),
                None => more = false,
            }
        }
        let pause = async {
            if more {
                tokio::time::sleep(STAGGER).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            done = trying.join_next(), if !trying.is_empty() => match done {
                Some(Ok(Ok(stream))) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Ok(Err(e))) => last = Some(e),
                _ => {}
            },
            () = pause, if more => {}
            else => break,
        }
    }
    Err(match last {
        None => TcpError::NoAddress("the name has no address".to_owned()),
        Some(e) if e.kind() == io::ErrorKind::ConnectionRefused => TcpError::Refused,
        Some(e) => TcpError::Other(e.to_string()),
    })
}

/// Alternates between the address families, beginning with the first one.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (mut a, mut b): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut mixed = Vec::with_capacity(a.len() + b.len());
    a.reverse();
    b.reverse();
    while !(a.is_empty() && b.is_empty()) {
        mixed.extend(a.pop());
        mixed.extend(b.pop());
    }
    mixed
}

/// What a server said first.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting(Arc<Mutex<Vec<u8>>>);

impl Greeting {
    /// Returns the first bytes as text, without control characters; `None` if there were none.
    pub(super) fn text(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String =
            String::from_utf8_lossy(&bytes).lines().next()?.chars().filter(|c| !c.is_control()).take(120).collect();
        Some(text)
    }

    /// Says whether an SSH server greeted.
    pub(super) fn is_ssh(&self) -> bool {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.split(|&b| b == b'\n').any(|line| line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-"))
    }
}

/// Remembers the first bytes that pass.
pub(super) struct Listening<S> {
    inner: S,
    greeting: Greeting,
    full: bool,
}

impl<S> Listening<S> {
    pub(super) fn new(inner: S, greeting: Greeting) -> Self {
        Self { inner, greeting, full: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if !self.full {
            let greeting = self.greeting.clone();
            let mut bytes = greeting.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = REMEMBERED - bytes.len();
            bytes.extend(buf.filled()[before..].iter().take(room));
            self.full = bytes.len() == REMEMBERED;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Wraps a socket for SSH: buffered reads, and acknowledgements at once in the beginning.
pub(super) fn prepare(stream: TcpStream) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
    let (read, write) = stream.into_split();
    tokio::io::join(BufReader::with_capacity(16 * 1024, Quick { read, left: QUICK }), write)
}

/// Asks the kernel to acknowledge at once, after each of the first reads (it forgets in between).
struct Quick {
    read: OwnedReadHalf,
    left: usize,
}

impl AsyncRead for Quick {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.read).poll_read(cx, buf);
        if self.left > 0 && polled.is_ready() {
            #[cfg(target_os = "linux")]
            let _ = rustix::net::sockopt::set_tcp_quickack(self.read.as_ref(), true);
            self.left = self.left.saturating_sub((buf.filled().len() - before).max(1));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        assert_eq!(
            interleave(of(&["[::1]:1", "[::2]:1", "192.0.2.1:1", "[::3]:1"])),
            of(&["[::1]:1", "192.0.2.1:1", "[::2]:1", "[::3]:1"])
        );
    }
}

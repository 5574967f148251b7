//! How many round trips it takes until a command's first byte, counted through a proxy that delays.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::*;
use super::fixture::*;

/// Passes bytes on, each `one_way` later; the TCP handshake costs a round trip too.
async fn delaying(to: u16, one_way: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(one_way * 2).await;
                let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near_read, far_write, one_way));
                tokio::spawn(pass(far_read, near_write, one_way));
            });
        }
    });
    port
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin + Send + 'static, one_way: Duration) {
    let (send, mut receive) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = receive.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65536];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let _ = send.send((tokio::time::Instant::now() + one_way, buffer[..n].to_vec()));
    }
}

/// Returns the shortest time to the first byte of `command`, with and without input, over a connection with this delay.
async fn time_to_answer(sshd: &Sshd, one_way: Duration, input: bool) -> f64 {
    let port = delaying(sshd.port, one_way).await;
    known_hosts::add(
        &sshd.path("known_hosts"),
        "127.0.0.1",
        port,
        &[public(&sshd.path("host_ed25519"))],
        known_hosts::Names::Plain,
    )
    .unwrap();
    let settings = sshd.settings(|t| t.port = Some(port)).await;
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let connection = connect(&settings, &nobody()).await.unwrap();
        let (mut reader, mut writer) = connection.exec(if input { "cat" } else { "echo hi" }).await.unwrap().split();
        if input {
            writer.write("hi\n".into()).await.unwrap();
        }
        // A server may tell the end of a command before what it had printed.
        let answer = loop {
            match reader.next().await {
                ExecEvent::Exit { code: 0 } => {}
                answer => break answer,
            }
        };
        assert_eq!(answer, ExecEvent::Stdout("hi\n".into()));
        least = least.min(start.elapsed());
    }
    least.as_secs_f64()
}

/// TCP, greetings and offers, key exchange, service, key, signature, channel, command: eight. Input waits for one more, because sshd
/// gives a session its window only when the command is there. What does not grow with the delay is left out of the count.
#[tokio::test]
async fn round_trips_to_the_first_answer() {
    let sshd = Sshd::start();
    let (short, more) = (Duration::from_millis(20), Duration::from_millis(60));
    for (input, expected) in [(false, 8.0), (true, 9.0)] {
        let trips = (time_to_answer(&sshd, short + more, input).await - time_to_answer(&sshd, short, input).await)
            / (more * 2).as_secs_f64();
        println!("{trips:.2} round trips (input: {input})");
        assert!(trips < expected + 0.9, "{trips:.2} round trips (input: {input})");
    }
}

/// Prints how long it takes to connect, log in and run a command, beside OpenSSH's client.
#[tokio::test]
#[ignore = "a measurement"]
async fn against_openssh() {
    let sshd = Sshd::start();
    let settings = sshd.settings(|_| {}).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let start = Instant::now();
        let connection = connect(&settings, &nobody()).await.unwrap();
        exec(&connection, "true").await;
        connection.close().await;
        ours.push(start.elapsed());
        let start = Instant::now();
        let (key, known, port) =
            (sshd.path("id"), format!("UserKnownHostsFile={}", sshd.path("known_hosts").display()), sshd.port.to_string());
        run("ssh", &["-F", "/dev/null", "-i", key.to_str().unwrap(), "-o", &known, "-p", &port, "127.0.0.1", "true"]);
        theirs.push(start.elapsed());
    }
    ours.sort();
    theirs.sort();
    println!("median of 20: ours {:?}, ssh {:?}", ours[10], theirs[10]);
}

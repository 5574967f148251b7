//! Channels, and one test for each of the library's traps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::super::*;
use super::fixture::*;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn input_reaches_the_command_and_ends() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let (reader, mut writer) = connection.exec("wc -c; echo done").await.unwrap().split();
    for _ in 0..100 {
        writer
            .write(Bytes::from(vec![b'x'; 100_000]))
            .await
            .unwrap();
    }
    writer.eof().await.unwrap();
    assert_eq!(
        writer.write(Bytes::from_static(b"late")).await,
        Err(WriterGone)
    );
    assert_eq!(collect(reader).await.0, b"10000000\ndone\n");
    // A writer that is dropped ends the input too.
    let (reader, writer) = connection.exec("cat; echo ended").await.unwrap().split();
    drop(writer);
    assert_eq!(collect(reader).await.0, b"ended\n");
}

/// R1: a reader that stops must not stall the connection.
#[tokio::test]
async fn a_stalled_reader_stalls_nothing_else() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let (stalled, _writer) = connection
        .exec("head -c 40000000 /dev/zero")
        .await
        .unwrap()
        .split();
    let others = async {
        for _ in 0..20 {
            assert_eq!(exec(&connection, "echo hi").await.0, b"hi\n");
        }
    };
    timeout(SOON, others)
        .await
        .expect("other commands to go on");
    // Nothing was lost meanwhile.
    assert_eq!(collect(stalled).await.0.len(), 40_000_000);
}

/// R1: what is unread is bounded, and the connection outlives the channel.
#[tokio::test]
async fn too_much_unread_closes_the_channel_alone() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let limit = 1 << 20;
    let (mut reader, mut writer) = connection
        .exec_bounded("cat /dev/zero", limit)
        .await
        .unwrap()
        .split();
    // The channel is gone when writing fails, whether or not anybody reads.
    timeout(SOON, async {
        while writer.write(Bytes::from_static(b"x")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the channel to close");
    let mut total = 0;
    let last = loop {
        match reader.next().await {
            ExecEvent::Stdout(data) => total += data.len(),
            event => break event,
        }
    };
    assert_eq!(last, ExecEvent::Lost(LostChannel::Unread { limit }));
    assert!(total <= limit);
    assert_eq!(exec(&connection, "echo hi").await.0, b"hi\n");
}

/// R2: a writer ends when the command ends without reading.
#[tokio::test]
async fn a_writer_ends_with_its_command() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let (reader, mut writer) = connection.exec("exit 3").await.unwrap().split();
    let writing = async { while writer.write(Bytes::from(vec![0; 256 * 1024])).await.is_ok() {} };
    timeout(SOON, writing).await.expect("the writer to end");
    assert!(
        collect(reader)
            .await
            .2
            .contains(&ExecEvent::Exit { code: 3 })
    );
}

/// R2: a writer ends when the connection dies, and the reader says so.
#[tokio::test]
async fn everything_ends_with_the_connection() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let (mut reader, mut writer) = connection
        .exec("echo $PPID; exec sleep 60")
        .await
        .unwrap()
        .split();
    let ExecEvent::Stdout(pid) = reader.next().await else {
        panic!("no pid")
    };
    let writing = tokio::spawn(async move {
        while writer.write(Bytes::from(vec![0; 256 * 1024])).await.is_ok() {}
    });
    run(
        "kill",
        &["-KILL", std::str::from_utf8(&pid).unwrap().trim()],
    );
    let end = timeout(SOON, reader.next())
        .await
        .expect("the reader to end");
    assert_eq!(
        end,
        ExecEvent::Lost(LostChannel::Connection("the connection was cut".into()))
    );
    assert_eq!(reader.next().await, end);
    timeout(SOON, writing)
        .await
        .expect("the writer to end")
        .unwrap();
    assert_eq!(connection.lost().as_deref(), Some("the connection was cut"));
    assert!(matches!(
        connection.exec("true").await,
        Err(ChannelError::Lost { .. })
    ));
}

/// R3: many busy channels survive key exchanges, which are the server's to begin.
#[tokio::test]
async fn busy_channels_survive_key_exchanges() {
    let sshd = Sshd::with("RekeyLimit 8M", &["ed25519"]);
    let connection = sshd.connect().await;
    let one = async || exec(&connection, "head -c 40000000 /dev/zero").await;
    let all = tokio::join!(one(), one(), one(), one(), one());
    for (out, _, rest) in [all.0, all.1, all.2, all.3, all.4] {
        assert_eq!(
            (out.len(), rest.last()),
            (40_000_000, Some(&ExecEvent::Closed))
        );
    }
    let limits = super::super::client::config(&[]).limits;
    assert!(
        limits.rekey_read_limit >= 32 << 30 && limits.rekey_time_limit >= Duration::from_hours(24)
    );
}

/// R4: small packets go at once. With Nagle's algorithm each command takes 40 ms more.
#[tokio::test]
async fn small_packets_go_at_once() {
    let sshd = Sshd::start();
    let stream = super::super::tcp::connect("127.0.0.1", sshd.port)
        .await
        .ok()
        .unwrap();
    assert!(stream.nodelay().unwrap());
    let connection = sshd.connect().await;
    let mut times = Vec::new();
    for _ in 0..15 {
        let start = Instant::now();
        exec(&connection, "true").await;
        times.push(start.elapsed());
    }
    times.sort();
    assert!(times[3] < Duration::from_millis(40), "{times:?}");
}

#[tokio::test]
async fn one_session_at_a_time() {
    let sshd = Sshd::with("MaxSessions 1", &["ed25519"]);
    let connection = sshd.connect().await;
    for _ in 0..10 {
        assert_eq!(exec(&connection, "echo hi").await.0, b"hi\n");
    }
    let (reader, writer) = connection.exec("cat").await.unwrap().split();
    let error = connection.exec("true").await.unwrap_err();
    assert!(matches!(error, ChannelError::Refused { .. }), "{error}");
    assert!(error.remedy().unwrap().contains("MaxSessions"));
    drop((reader, writer));
    assert_eq!(exec(&connection, "echo hi").await.0, b"hi\n");
}

#[tokio::test]
async fn more_commands_than_channels_wait_their_turn() {
    let sshd = Sshd::start();
    let connection = std::sync::Arc::new(sshd.connect().await);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let connection = connection.clone();
        all.spawn(async move { exec(&connection, "echo hi").await.0 });
    }
    assert!(all.join_all().await.iter().all(|out| out == b"hi\n"));
}

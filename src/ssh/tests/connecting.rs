//! What stands between us and a host's key: ports, servers that are none, jumps.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::super::*;
use super::fixture::*;

#[tokio::test]
async fn facts_and_a_command() {
    let sshd = Sshd::start();
    let connection = sshd.connect().await;
    let facts = connection.facts();
    assert_eq!(facts.cipher, "aes256-gcm@openssh.com");
    assert!(facts.server.starts_with("SSH-2.0-OpenSSH"), "{facts:?}");
    assert_eq!(
        facts.host_key_fingerprint,
        public(&sshd.path("host_ed25519")).fingerprint()
    );
    assert_eq!(facts.host_key_kind, "ssh-ed25519");
    assert_eq!(facts.address, format!("127.0.0.1:{}", sshd.port));
    let (out, err, rest) = exec(&connection, "echo out; echo err >&2; exit 137").await;
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(rest, [ExecEvent::Exit { code: 137 }, ExecEvent::Closed]);
    let (_, _, rest) = exec(&connection, "kill -SEGV $$").await;
    assert_eq!(
        rest,
        [
            ExecEvent::Signal {
                name: "SEGV".into()
            },
            ExecEvent::Closed
        ]
    );
    assert_eq!(connection.lost(), None);
    connection.close().await;
}

#[tokio::test]
async fn a_closed_port() {
    let sshd = Sshd::start();
    let port = free_port();
    let error = refused(&sshd.settings(|t| t.port = Some(port)).await, &nobody()).await;
    assert!(matches!(error, ConnectError::PortRefused { .. }), "{error}");
    assert!(!error.is_usage());
}

#[tokio::test]
async fn a_name_without_address() {
    let sshd = Sshd::start();
    let error = refused(
        &sshd
            .settings(|t| t.address = "no-such-host.invalid".into())
            .await,
        &nobody(),
    )
    .await;
    assert!(matches!(error, ConnectError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_port() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = sshd
        .settings(|t| (t.port, t.connect_timeout) = (Some(port), Some(Duration::from_millis(300))))
        .await;
    let start = Instant::now();
    let error = refused(&settings, &nobody()).await;
    assert!(
        matches!(
            error,
            ConnectError::Silent {
                what: "no SSH greeting",
                ..
            }
        ),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_is_none() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let error = refused(&sshd.settings(|t| t.port = Some(port)).await, &nobody()).await;
    assert!(
        matches!(&error, ConnectError::NotSsh { said, .. } if said == "HTTP/1.1 400 Bad Request"),
        "{error}"
    );
}

#[tokio::test]
async fn too_many_startups_are_tried_again() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    known_hosts::add(
        &sshd.path("known_hosts"),
        "127.0.0.1",
        port,
        &[public(&sshd.path("host_ed25519"))],
        known_hosts::Names::Plain,
    )
    .unwrap();
    let real = sshd.port;
    tokio::spawn(async move {
        for n in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            if n % 5 < 2 {
                let _ = stream.write_all(b"Exceeded MaxStartups\r\n").await;
            } else if n % 5 == 2 {
                let mut to = tokio::net::TcpStream::connect(("127.0.0.1", real))
                    .await
                    .unwrap();
                tokio::spawn(
                    async move { tokio::io::copy_bidirectional(&mut stream, &mut to).await },
                );
            }
        }
    });
    let settings = sshd.settings(|t| t.port = Some(port)).await;
    let connection = connect(&settings, &nobody()).await.unwrap();
    assert_eq!(exec(&connection, "echo hi").await.0, b"hi\n");
    // The fourth and the fifth are closed without a word, and the next two with one.
    let error = refused(&settings, &nobody()).await;
    assert!(
        matches!(error, ConnectError::Closed { tries: 3, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn two_jump_hosts() {
    let (first, second, last) = (Sshd::start(), Sshd::start(), Sshd::start());
    authorize(&first, &last.path("id"));
    authorize(&second, &last.path("id"));
    for hop in [&first, &second] {
        known_hosts::add(
            &last.path("known_hosts"),
            "127.0.0.1",
            hop.port,
            &[public(&hop.path("host_ed25519"))],
            known_hosts::Names::Plain,
        )
        .unwrap();
    }
    let me = user();
    let jumps = format!("one,{me}@127.0.0.1:{}", second.port);
    let config = format!(
        "Host one\nHostName 127.0.0.1\nPort {}\nUser {me}\nHost target\nHostName 127.0.0.1\nPort {}\nProxyJump {jumps}\n",
        first.port, last.port
    );
    std::fs::write(last.path("ssh_config"), config).unwrap();
    let sources = Sources {
        config: Some(last.path("ssh_config")),
        ..last.sources()
    };
    let target = Target {
        address: "target".into(),
        port: None,
        ..last.target()
    };
    let settings = resolve(&target, &sources).await.unwrap();
    assert_eq!(
        settings
            .jumps
            .iter()
            .map(|h| h.port.value)
            .collect::<Vec<_>>(),
        [first.port, second.port]
    );
    assert_eq!(settings.port.origin, Origin::SshConfig);
    let connection = connect(&settings, &nobody()).await.unwrap();
    let (out, ..) = exec(
        &connection,
        "head -c 3000000 /dev/zero | wc -c; echo $SSH_CONNECTION",
    )
    .await;
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.starts_with("3000000\n") && out.trim_end().ends_with(&last.port.to_string()),
        "{out}"
    );
    // Both directions full at once: an inner writer that waits must not stall the outer connection.
    let (reader, mut writer) = connection.exec("cat").await.unwrap().split();
    let writing = async {
        for _ in 0..64 {
            writer.write(vec![7; 1 << 20].into()).await.unwrap();
        }
        writer.eof().await.unwrap();
    };
    let ((out, ..), ()) = tokio::join!(collect(reader), writing);
    assert_eq!(out.len(), 64 << 20);
    assert_eq!(
        host_keys(&settings, &nobody()).await.unwrap(),
        [public(&last.path("host_ed25519"))]
    );
    connection.close().await;
    // A hop that fails is named.
    drop(second);
    let error = refused(&settings, &nobody()).await;
    assert!(
        matches!(&error, ConnectError::Jump { hop, source, .. } if hop == "127.0.0.1" && matches!(**source, ConnectError::Unreachable { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_configuration_may_not_ask() {
    let sshd = Sshd::start();
    let with = async |text: &str| {
        std::fs::write(sshd.path("ssh_config"), text).unwrap();
        let sources = Sources {
            config: Some(sshd.path("ssh_config")),
            ..sshd.sources()
        };
        resolve(&sshd.target(), &sources).await
    };
    let error = with("Host *\nProxyCommand nc %h %p\n").await.unwrap_err();
    assert!(matches!(error, ConfigError::ProxyCommand { .. }), "{error}");
    assert!(ConnectError::from(error).is_usage());
    let error = with("Host *\nNoSuchOption 1\n").await.unwrap_err();
    assert!(matches!(error, ConfigError::SshConfig { .. }), "{error}");
    let error = with("Host *\nRevokedHostKeys /x\n").await.unwrap_err();
    assert!(
        matches!(error, ConfigError::RevokedHostKeys { .. }),
        "{error}"
    );
    let error = with("Host 127.0.0.1\nProxyJump a\nHost a\nProxyJump b\nHost b\nProxyJump a\n")
        .await
        .unwrap_err();
    assert!(matches!(error, ConfigError::Jump { .. }), "{error}");
    let settings = with("Host *\nStrictHostKeyChecking no\nUser other\nPort 1\nIdentityFile ~/%h/key\nIdentityAgent none\n").await.unwrap();
    assert_eq!(
        (settings.user.value.as_str(), settings.port.value),
        (user().as_str(), sshd.port),
        "the inventory wins"
    );
    assert_eq!(
        settings.identities[1].value,
        sshd.path("home/127.0.0.1/key")
    );
    for name in ["-oProxyCommand=x", "a b", "", "me@host", "$(x)"] {
        let target = Target {
            address: name.into(),
            ..sshd.target()
        };
        assert!(
            matches!(
                resolve(&target, &sshd.sources()).await,
                Err(ConfigError::Name { .. })
            ),
            "{name}"
        );
    }
    let without = Sources {
        ssh: Some("/no/such/ssh".into()),
        ..sshd.sources()
    };
    let settings = resolve(&sshd.target(), &without).await.unwrap();
    assert!(
        settings
            .identities
            .iter()
            .any(|i| i.origin == Origin::Default)
    );
    connect(&settings, &nobody()).await.unwrap();
}

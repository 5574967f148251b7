//! Host keys: known, unknown, changed, revoked, pinned, only certified.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::*;
use super::fixture::*;

async fn judged(sshd: &Sshd, known_hosts: &str) -> Result<(), ConnectError> {
    std::fs::write(sshd.path("known_hosts"), known_hosts).unwrap();
    connect(&sshd.settings(|_| {}).await, &nobody())
        .await
        .map(drop)
}

#[tokio::test]
async fn each_verdict() {
    let sshd = Sshd::with("", &["ed25519", "ecdsa"]);
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let (key, ecdsa, other) = (
        public(&sshd.path("host_ed25519")),
        public(&sshd.path("host_ecdsa")),
        public(&sshd.path("id")),
    );

    judged(&sshd, &format!("{name} {key}\n")).await.unwrap();
    // Known only by a type that we would not prefer: that one is asked for.
    judged(&sshd, &format!("{name} {ecdsa}\n")).await.unwrap();
    let error = judged(&sshd, "").await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::UnknownKey { key: k, .. } if *k == key),
        "{error}"
    );
    assert!(error.remedy().unwrap().ends_with(&format!(
        "landfall trust droplet --fingerprint {}",
        key.fingerprint()
    )));
    let error = judged(&sshd, &format!("# a comment\n\n{name} {other}\n"))
        .await
        .unwrap_err();
    let file = sshd.path("known_hosts");
    assert!(
        matches!(&error, ConnectError::ChangedKey { place, .. } if place.line == 3 && place.file == file),
        "{error}"
    );
    let error = judged(&sshd, &format!("{name} {key}\n@revoked * {key}\n"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::RevokedKey { place, .. } if place.line == 2),
        "{error}"
    );
    let error = judged(&sshd, &format!("@cert-authority {name} {other}\n"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::OnlyAuthority { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn pins_override_known_hosts_but_not_a_revocation() {
    let sshd = Sshd::start();
    let (key, other) = (public(&sshd.path("host_ed25519")), public(&sshd.path("id")));
    std::fs::write(
        sshd.path("known_hosts"),
        format!("[127.0.0.1]:{} {other}\n", sshd.port),
    )
    .unwrap();
    let pinned = |key: &HostKey| vec![format!("{key} a comment")];
    connect(
        &sshd.settings(|t| t.host_keys = pinned(&key)).await,
        &nobody(),
    )
    .await
    .unwrap();
    let error = refused(
        &sshd.settings(|t| t.host_keys = pinned(&other)).await,
        &nobody(),
    )
    .await;
    assert!(matches!(error, ConnectError::NotPinned { .. }), "{error}");
    std::fs::write(sshd.path("known_hosts"), format!("@revoked * {key}\n")).unwrap();
    let error = refused(
        &sshd.settings(|t| t.host_keys = pinned(&key)).await,
        &nobody(),
    )
    .await;
    assert!(matches!(error, ConnectError::RevokedKey { .. }), "{error}");
    let target = Target {
        host_keys: vec!["nonsense".into()],
        ..sshd.target()
    };
    assert!(matches!(
        resolve(&target, &sshd.sources()).await,
        Err(ConfigError::Pin { .. })
    ));
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_and_recorded() {
    let sshd = Sshd::start();
    std::fs::remove_file(sshd.path("known_hosts")).unwrap();
    let settings = sshd
        .settings(|t| t.known_hosts = Some(sshd.path("new/folder/known_hosts")))
        .await;
    let ask = Arc::new(Scripted {
        accept: true,
        ..Scripted::default()
    });
    let operator = Operator::new(ask.clone());
    connect(&settings, &operator).await.unwrap();
    connect(&settings, &operator).await.unwrap();
    assert_eq!(ask.asked.load(Ordering::SeqCst), 1);
    let seen = ask.seen.lock().unwrap().clone().unwrap();
    assert_eq!(
        (seen.host.as_str(), seen.key),
        ("droplet", public(&sshd.path("host_ed25519")))
    );
    connect(&settings, &nobody()).await.unwrap();
}

#[tokio::test]
async fn all_keys_of_a_host() {
    let sshd = Sshd::with("", &["ed25519", "ecdsa", "rsa"]);
    let keys = host_keys(&sshd.settings(|_| {}).await, &nobody())
        .await
        .unwrap();
    let expected = ["ed25519", "ecdsa", "rsa"].map(|k| public(&sshd.path(&format!("host_{k}"))));
    assert_eq!(keys, expected);
    // A host that is known by its RSA key alone.
    std::fs::write(
        sshd.path("known_hosts"),
        format!("[127.0.0.1]:{} {}\n", sshd.port, expected[2]),
    )
    .unwrap();
    assert_eq!(sshd.connect().await.facts().host_key_kind, "ssh-rsa");
}

//! Logins: which keys are offered, and what a refusal says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::*;
use super::fixture::*;

#[tokio::test]
async fn a_wrong_user_and_a_wrong_key() {
    let sshd = Sshd::start();
    let error = refused(
        &sshd.settings(|t| t.user = Some("nosuchuser".into())).await,
        &nobody(),
    )
    .await;
    let ConnectError::LoginRefused {
        user,
        tried,
        methods,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (user.as_str(), methods.as_slice()),
        ("nosuchuser", &["publickey".to_owned()][..])
    );
    assert!(
        tried[0].contains(&public(&sshd.path("id")).fingerprint()),
        "{tried:?}"
    );
    let other = sshd.path("other");
    keygen(&other, "ed25519", "");
    let error = refused(
        &sshd.settings(|t| t.identity_file = Some(other)).await,
        &nobody(),
    )
    .await;
    assert!(
        matches!(error, ConnectError::LoginRefused { .. }),
        "{error}"
    );
    let error = refused(&sshd.settings(|t| t.identity_file = None).await, &nobody()).await;
    assert!(
        matches!(&error, ConnectError::LoginRefused { tried, .. } if tried.is_empty()),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_used() {
    let sshd = Sshd::start();
    chmod(&sshd.path("id"), 0o644);
    let error = refused(&sshd.settings(|_| {}).await, &nobody()).await;
    assert!(matches!(error, ConnectError::Identity { .. }), "{error}");
    assert_eq!(
        error.remedy().unwrap(),
        format!("chmod 600 {}", sshd.path("id").display())
    );
    let error = refused(
        &sshd
            .settings(|t| t.identity_file = Some("/no/such/key".into()))
            .await,
        &nobody(),
    )
    .await;
    assert!(error.to_string().contains("/no/such/key"), "{error}");
}

#[tokio::test]
async fn an_encrypted_key() {
    let sshd = Sshd::start();
    for kind in ["ed25519", "rsa"] {
        let key = sshd.path(&format!("locked_{kind}"));
        keygen(&key, kind, "correct horse");
        if kind == "rsa" {
            // The old format does not tell its public half.
            run(
                "ssh-keygen",
                &[
                    "-p",
                    "-m",
                    "PEM",
                    "-P",
                    "correct horse",
                    "-N",
                    "correct horse",
                    "-f",
                    key.to_str().unwrap(),
                ],
            );
        }
        authorize(&sshd, &key);
        if kind == "rsa" {
            std::fs::remove_file(key.with_extension("pub")).unwrap();
        }
        let settings = sshd.settings(|t| t.identity_file = Some(key.clone())).await;
        let error = refused(&settings, &nobody()).await;
        assert!(
            matches!(&error, ConnectError::KeyLocked { key: k, .. } if *k == key),
            "{error}"
        );
        let wrong = Operator::new(Arc::new(Scripted {
            passphrase: Some("wrong"),
            ..Scripted::default()
        }));
        let error = refused(&settings, &wrong).await;
        assert!(
            matches!(error, ConnectError::WrongPassphrase { .. }),
            "{error}"
        );
        let ask = Arc::new(Scripted {
            passphrase: Some("correct horse"),
            ..Scripted::default()
        });
        let operator = Operator::new(ask.clone());
        connect(&settings, &operator).await.unwrap();
        connect(&settings, &operator).await.unwrap();
        assert_eq!(ask.asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_passphrase_is_not_asked_for_in_vain() {
    let sshd = Sshd::start();
    let key = sshd.path("locked");
    keygen(&key, "ed25519", "correct horse");
    let ask = Arc::new(Scripted {
        passphrase: Some("correct horse"),
        ..Scripted::default()
    });
    let error = refused(
        &sshd.settings(|t| t.identity_file = Some(key)).await,
        &Operator::new(ask.clone()),
    )
    .await;
    assert!(
        matches!(error, ConnectError::LoginRefused { .. }),
        "{error}"
    );
    assert_eq!(ask.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_agent_signs() {
    for kind in ["ed25519", "rsa"] {
        let sshd = Sshd::start();
        let key = sshd.path("inagent");
        keygen(&key, kind, "");
        authorize(&sshd, &key);
        let agent = Agent::start(sshd.dir.path(), &[&key]);
        std::fs::remove_file(&key).unwrap();
        let sources = Sources {
            agent: Some(agent.socket.clone()),
            ..sshd.sources()
        };
        let target = Target {
            identity_file: None,
            ..sshd.target()
        };
        let settings = resolve(&target, &sources).await.unwrap();
        connect(&settings, &nobody()).await.unwrap();
        // IdentitiesOnly: what no file names is not offered.
        let only = Settings {
            identities_only: true,
            ..settings.clone()
        };
        let error = refused(&only, &nobody()).await;
        assert!(
            matches!(&error, ConnectError::LoginRefused { tried, .. } if tried.is_empty()),
            "{error}"
        );
        let mut named = only.clone();
        named.identities.push(Sourced {
            value: key.clone(),
            origin: Origin::SshConfig,
        });
        connect(&named, &nobody()).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_holds_a_locked_key_spares_the_question() {
    let sshd = Sshd::start();
    let key = sshd.path("inagent");
    keygen(&key, "ed25519", "");
    authorize(&sshd, &key);
    let agent = Agent::start(sshd.dir.path(), &[&key]);
    run(
        "ssh-keygen",
        &[
            "-q",
            "-p",
            "-P",
            "",
            "-N",
            "now locked",
            "-f",
            key.to_str().unwrap(),
        ],
    );
    let sources = Sources {
        agent: Some(agent.socket.clone()),
        ..sshd.sources()
    };
    let settings = resolve(
        &Target {
            identity_file: Some(key),
            ..sshd.target()
        },
        &sources,
    )
    .await
    .unwrap();
    connect(&settings, &nobody()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there() {
    let sshd = Sshd::start();
    let sources = Sources {
        agent: Some("/no/such/socket".into()),
        ..sshd.sources()
    };
    let settings = resolve(
        &Target {
            identity_file: None,
            ..sshd.target()
        },
        &sources,
    )
    .await
    .unwrap();
    let error = refused(&settings, &nobody()).await;
    assert!(matches!(error, ConnectError::Agent { .. }), "{error}");
    // It is not even asked when the first key does.
    let settings = resolve(&sshd.target(), &sources).await.unwrap();
    connect(&settings, &nobody()).await.unwrap();
}

#[tokio::test]
async fn a_key_in_the_environment_comes_first() {
    let sshd = Sshd::start();
    let text = std::fs::read_to_string(sshd.path("id"))
        .unwrap()
        .replace('\n', "\r\n");
    let settings = sshd.settings(|t| t.identity_file = None).await;
    connect(&settings, &nobody().with_key(text.into()))
        .await
        .unwrap();
    let error = refused(&settings, &nobody().with_key("nonsense".to_owned().into())).await;
    assert!(
        error
            .to_string()
            .contains("LANDFALL_SSH_KEY: not a private key"),
        "{error}"
    );
}

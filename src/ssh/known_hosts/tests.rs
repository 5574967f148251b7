//! The reader against OpenSSH's own (`ssh-keygen -F`), the verdicts, and the writer.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7x9ln6uZLLkfXM8iatrnAAuytVHeCznU8VlEgx7TvL";
const E: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

fn key(text: &str) -> HostKey {
    HostKey::parse(text).unwrap()
}

fn judge(text: &str, host: &str, port: u16, shown: &str) -> Verdict {
    let mut known = KnownHosts::default();
    known.parse(Path::new("f"), text.as_bytes());
    known.judge(host, port, &key(shown))
}

fn at(line: usize) -> Place {
    Place {
        file: "f".into(),
        line,
    }
}

#[test]
fn verdicts() {
    for (text, host, port, shown, expected) in [
        (format!("db {A}"), "db", 22, A, Verdict::Known(at(1))),
        (
            format!("db {A} comment here"),
            "DB",
            22,
            A,
            Verdict::Known(at(1)),
        ),
        (
            format!("# c\n\n \tdb\t{A}\r\n"),
            "db",
            22,
            A,
            Verdict::Known(at(3)),
        ),
        (format!("db {A}"), "db", 22, B, Verdict::Changed(at(1))),
        (format!("db {E}"), "db", 22, A, Verdict::Changed(at(1))),
        (
            format!("db {B}\ndb {A}"),
            "db",
            22,
            A,
            Verdict::Known(at(2)),
        ),
        (
            format!("db {A}\n@revoked db {A}"),
            "db",
            22,
            A,
            Verdict::Revoked(at(2)),
        ),
        (
            format!("@revoked * {A}\ndb {B}"),
            "db",
            22,
            B,
            Verdict::Known(at(2)),
        ),
        (
            format!("@revoked db {A}"),
            "[db]",
            2222,
            A,
            Verdict::Unknown,
        ),
        (
            format!("[db]:2222 {A}\n@revoked db {A}"),
            "db",
            2222,
            A,
            Verdict::Revoked(at(2)),
        ),
        (
            format!("@cert-authority *.ex {A}"),
            "db.ex",
            22,
            A,
            Verdict::OnlyAuthority(at(1)),
        ),
        (
            format!("@cert-authority *.ex {A}\ndb.ex {B}"),
            "db.ex",
            22,
            B,
            Verdict::Known(at(2)),
        ),
        (format!("@other db {A}"), "db", 22, A, Verdict::Unknown),
        (
            "db ssh-ed25519 broken\n".to_owned() + &format!("db {A}"),
            "db",
            22,
            A,
            Verdict::Known(at(2)),
        ),
        (format!("db {A}"), "db", 2222, A, Verdict::Known(at(1))),
        (format!("db {A}"), "db", 2222, B, Verdict::Unknown),
        (
            format!("[db]:2222 {A}"),
            "db",
            2222,
            B,
            Verdict::Changed(at(1)),
        ),
        (format!("[db]:2222 {A}"), "db", 22, A, Verdict::Unknown),
        (format!("*,!db {A}"), "db", 22, A, Verdict::Unknown),
        ("db".to_owned(), "db", 22, A, Verdict::Unknown),
    ] {
        assert_eq!(judge(&text, host, port, shown), expected, "{text}");
    }
}

#[test]
fn a_line_that_is_no_text_spoils_only_itself() {
    let mut known = KnownHosts::default();
    known.parse(
        Path::new("f"),
        &[b"\xff\xfe\n".as_slice(), format!("db {A}\n").as_bytes()].concat(),
    );
    assert_eq!(known.judge("db", 22, &key(A)), Verdict::Known(at(2)));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_a_missing_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    assert!(KnownHosts::read(&[dir.path().join("none")]).is_ok());
    assert!(KnownHosts::read(&[dir.path()]).is_err());
}

/// The lines that `ssh-keygen -F` finds.
fn keygen_finds(file: &Path, name: &str) -> BTreeSet<usize> {
    let output = Command::new("ssh-keygen")
        .arg("-F")
        .arg(name)
        .arg("-f")
        .arg(file)
        .output()
        .expect("ssh-keygen is needed for this test");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |l: &str| {
        l.split("found: line ")
            .nth(1)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    text.lines()
        .filter(|l| l.starts_with('#'))
        .filter_map(line)
        .collect()
}

/// Lines with good keys only: `ssh-keygen -F` prints a line without looking at its key.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "db",
        "DB",
        "web",
        "*",
        "d*",
        "?b",
        "*.ex",
        "db.ex",
        "!db",
        "!*.ex",
        "[db]:2222",
        "[d*]:2222",
        "[*]:*",
        "10.0.0.1",
    ]);
    let names = prop::collection::vec(name, 1..4).prop_map(|n| n.join(","));
    let hashed = prop::sample::select(vec!["db", "[db]:2222", "web"])
        .prop_map(|n| pattern::hashed(n, &[3; 20]).unwrap());
    let marker = prop::sample::select(vec![
        "",
        "",
        "",
        "@revoked ",
        "@cert-authority ",
        "@bad ",
        "# ",
        "  ",
        "\t",
    ]);
    let key = prop::sample::select(vec![A, B, E]);
    let gap = prop::sample::select(vec![" ", "\t", "  "]);
    (marker, prop_oneof![3 => names, 1 => hashed], gap, key)
        .prop_map(|(m, n, g, k)| format!("{m}{n}{g}{k}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_ssh_keygen_finds(lines in prop::collection::vec(line(), 0..8), host in prop::sample::select(vec!["db", "web", "db.ex", "10.0.0.1"]), port in prop::sample::select(vec![22u16, 2222])) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let known = KnownHosts::read(&[&file]).unwrap();
        let ours: BTreeSet<usize> = known.places(host, port).iter().map(|p| p.line).collect();
        prop_assert_eq!(ours, keygen_finds(&file, &pattern::lookup_name(host, port)));
    }
}

#[test]
fn adding_makes_file_and_folder_and_never_doubles() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a/b/known_hosts");
    add(&file, "Db", 2222, &[key(A), key(E)], Names::Plain).unwrap();
    add(&file, "db", 2222, &[key(A)], Names::Plain).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("[db]:2222 {A}\n[db]:2222 {E}\n")
    );
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // A last line without its end stays a line of its own.
    std::fs::write(&file, format!("web {B}")).unwrap();
    add(&file, "db", 22, &[key(A)], Names::Hashed).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("web {B}\n|1|")), "{text}");
    assert_eq!(keygen_finds(&file, "db"), BTreeSet::from([2]));
    assert!(add(&file, "a,b", 22, &[key(A)], Names::Plain).is_err());
}

#[test]
fn replacing_leaves_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    let hashed = pattern::hashed("db", &[1; 20]).unwrap();
    std::fs::write(
        &file,
        format!(
            "# mine\ndb,web {A} note\ndb {E}\n{hashed} {A}\n* {B}\n@revoked db {A}\nbroken line\n"
        ),
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    replace(&file, "db", 22, &[key(B)], Names::Plain).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("# mine\nweb {A} note\n* {B}\n@revoked db {A}\nbroken line\ndb {B}\n")
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn writers_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known_hosts");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for m in 0..10 {
                    let host = format!("h{n}-{m}");
                    if m % 2 == 0 {
                        add(file, &host, 22, &[key(A)], Names::Plain)
                    } else {
                        replace(file, &host, 22, &[key(A)], Names::Plain)
                    }
                    .unwrap();
                }
            });
        }
    });
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 80);
    assert!(text.lines().all(|l| parse_line(l).is_some()));
}

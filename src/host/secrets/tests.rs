//! From files on disk to masked output and errors.

use super::*;
use crate::host::mask::Masker;
use std::fs;
use tempfile::TempDir;

struct Project {
    folder: TempDir,
    sources: SecretSources,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let files = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let base = folder.path().to_owned();
        Self { folder, sources: SecretSources { files, base: base.display().to_string(), ..SecretSources::default() } }
    }

    fn declare(mut self, files: &[&str]) -> Self {
        self.sources.files = files.iter().map(|file| (*file).to_owned()).collect();
        self
    }

    #[track_caller]
    fn check(&self, output: &str, expected: &str) {
        assert_eq!(mask(&self.sources.load().unwrap(), output), expected);
    }

    #[track_caller]
    fn fails(&self, expected: &str) {
        let error = self.sources.load().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.remedy().is_empty());
    }
}

fn mask(loaded: &Loaded, output: &str) -> String {
    let mut masker = Masker::new(Arc::clone(&loaded.needles));
    let mut out = Vec::new();
    masker.push(output.as_bytes(), &mut out);
    masker.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn env_files_give_values_and_other_files_themselves() {
    let project = Project::new(&[
        (".env", "APP_ENV=production\nDB_PASSWORD='hunter 22'\nPORT=5432\n"),
        ("secrets/db_password.txt", "s3cr3t-value\n"),
        ("google.json", r#"{"type": "user", "private_key": "MIIEvQIBADAN"}"#),
        ("worker.settings", "API_TOKEN=tok-123456\nREGION=fra1\n"),
        ("blob", "dGVzdA=="),
    ]);
    project.check(
        "production 5432 hunter 22 s3cr3t-value MIIEvQIBADAN tok-123456 fra1 dGVzdA== user",
        "production 5432 [masked:DB_PASSWORD] [masked:db_password] [masked:google] [masked:API_TOKEN] fra1 [masked:blob] user",
    );
}

#[test]
fn crlf_bom_duplicates_lines_and_dollars() {
    let project = Project::new(&[(
        ".env",
        "\u{feff}A=first-value\r\nA=second-value\r\nKEY=\"line-one-x\nline-two-y\"\r\nD=pa$$word1\r\nU=ünïcödé\r\n",
    )]);
    project.check(
        "first-value second-value\nline-two-y pa$word1 pa$$word1 ünïcödé\n",
        "[masked:A] [masked:A]\n[masked:KEY] [masked:D] [masked:D] [masked:U]\n",
    );
}

#[test]
fn what_an_error_message_quotes_is_masked_too() {
    let project = Project::new(&[(".env", "DB_PASSWORD=\"hunter22\nmy pass phrase\n")]);
    project.check(
        r#"failed to read .env: unexpected character in "my pass phrase\n", value "\"hunter22""#,
        r#"failed to read .env: unexpected character in "[masked:.env]\n", value [masked:DB_PASSWORD]""#,
    );
    project.check("hunter22", "[masked:DB_PASSWORD]");
}

#[test]
fn public_keys_and_known_names_are_shown() {
    let mut project = Project::new(&[(".env", "NEXT_PUBLIC_SHOP=https://shop.example\nDB_NAME=orders-db\nOTHER=not-public\n")]);
    project.sources.public = vec!["NEXT_PUBLIC_*".into()];
    project.sources.known_plain = vec!["orders-db".into()];
    project.check("https://shop.example orders-db not-public", "https://shop.example orders-db [masked:OTHER]");
    let listed: Vec<(String, bool, Option<String>)> =
        project.sources.load().unwrap().names.into_iter().map(|name| (name.name, name.masked, name.why_not)).collect();
    assert_eq!(
        listed,
        [
            ("NEXT_PUBLIC_SHOP".into(), false, Some("its key is listed as public".into())),
            ("DB_NAME".into(), false, Some("it is a name that the plan itself shows".into())),
            ("OTHER".into(), true, None),
        ]
    );
}

#[test]
fn a_secret_that_is_an_ordinary_word_is_reported() {
    let project = Project::new(&[(".env", "POSTGRES_PASSWORD=postgres\nSSL_KEY=\n"), ("pin", "4711"), ("empty", "\n")]);
    let loaded = project.sources.load().unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "POSTGRES_PASSWORD (.env) looks like a secret but is not masked: it is a common word",
            "pin (pin) looks like a secret but is not masked: it is a number of fewer than nine digits",
            "empty (empty) looks like a secret but is not masked: it is empty",
        ]
    );
}

#[test]
fn a_missing_source_is_an_error() {
    Project::new(&[]).declare(&["secrets/db"]).fails("secrets file secrets/db does not exist");
    Project::new(&[("secrets/db.txt", "x")]).declare(&["secrets/*.key"]).fails("no secrets file matches secrets/*.key");
    Project::new(&[]).declare(&["nowhere/*"]).fails("no secrets file matches nowhere/*");
    Project::new(&[("secrets/a/b", "x")]).declare(&["secrets/*"]).fails("no secrets file matches secrets/*");
    Project::new(&[("secrets/db", "x")]).declare(&["secrets"]).fails("secrets file secrets is not a regular file");
}

#[test]
fn an_unreadable_source_is_an_error() {
    let project = Project::new(&[]).declare(&["pipe"]);
    rustix::fs::mknodat(rustix::fs::CWD, project.folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    project.fails("secrets file pipe is not a regular file");
    let project = Project::new(&[]).declare(&["loop"]);
    std::os::unix::fs::symlink("loop", project.folder.path().join("loop")).unwrap();
    project.fails("failed to read secrets file loop");
    let project = Project::new(&[]).declare(&["*.txt"]);
    std::os::unix::fs::symlink("gone", project.folder.path().join("a.txt")).unwrap();
    project.fails("secrets file a.txt does not exist");
    Project::new(&[("big", &"x".repeat(200_000))]).fails("secrets file big has more than 131072 bytes");
    if !rustix::process::geteuid().is_root() {
        let project = Project::new(&[(".env", "A=1")]);
        fs::set_permissions(project.folder.path().join(".env"), std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        project.fails("failed to read secrets file .env");
    }
}

#[test]
fn short_secrets_are_refused_by_name() {
    let mut project = Project::new(&[(".env", "DB_PASSWORD=a1c\nMODE=qa\n"), ("pin.txt", "zq")]);
    project.fails("too short to mask: DB_PASSWORD (.env), pin (pin.txt)");
    let error = project.sources.load().unwrap_err();
    let shown = format!("{error:?} {error} {}", error.remedy());
    assert!(!shown.contains("a1c") && !shown.contains("zq"));
    project.sources.accept_short = vec!["DB_PASSWORD".into(), "pin".into()];
    project.check("a1c zq", "a1c zq");
}

#[test]
fn patterns_find_files() {
    let project =
        Project::new(&[("secrets/a.txt", "first-one"), ("secrets/b.txt", "second-one"), ("secrets/.hidden.txt", "third-one")]);
    let project = project.declare(&["secre??/*.txt"]);
    project.check("first-one second-one third-one", "[masked:a] [masked:b] third-one");
    project.declare(&["secrets/.*"]).check("first-one third-one", "first-one [masked:.hidden]");
}

#[test]
fn values_can_be_handed_in() {
    let mut collection = Project::new(&[(".env", "A=first-value")]).sources.read().unwrap();
    collection.add("B", "second-value", &Origin::Compose("web".into()));
    collection.add("PATH", "/usr/local/bin:/usr/bin", &Origin::Container("shop-web-1".into()));
    collection.add("registry.example", "log1", &Origin::Login("~/.docker/config.json".into()));
    assert!(!format!("{collection:?}").contains("second-value"));
    let loaded = collection.finish().unwrap();
    assert_eq!(
        mask(&loaded, "first-value second-value /usr/local/bin:/usr/bin log1"),
        "[masked:A] [masked:B] /usr/local/bin:/usr/bin [masked:registry.example]"
    );
    assert!(!format!("{loaded:?}").contains("value\""));
    assert_eq!(loaded.needles.contains_secret(b"echo second-value").map(|found| (found.name, found.strict)), Some(("B", false)));
    assert_eq!(loaded.names[1].source, "compose service web");
}

#[test]
fn a_step_gets_what_is_declared_by_that_name() {
    let project =
        Project::new(&[(".env", "A=declared-value\nB=second-value\n"), ("other.env", "A=other-value\nC=of-the-other\n")]);
    let project = project.declare(&[".env"]);
    let mut collection = project.sources.read().unwrap();
    collection.read_file(Path::new("other.env")).unwrap();
    collection.add("B", "of-a-container", &Origin::Container("web".into()));
    let loaded = collection.finish().unwrap();
    let get = |name: &str| loaded.resolve(&Value::Secret(crate::secret::SecretRef(name.into()))).unwrap();
    assert_eq!((get("A"), get("B"), get("C")), ("declared-value".into(), "second-value".into(), "of-the-other".into()));
    assert_eq!(mask(&loaded, "other-value of-a-container"), "[masked:A] [masked:B]");
}

#[test]
fn what_is_told_twice_is_listed_once_and_the_stricter_counts() {
    let mut collection = Project::new(&[(".env", "GREETING=hello-hunter\n")]).sources.read().unwrap();
    collection.add("GREETING", "hello-hunter", &Origin::Compose("web".into()));
    collection.add("WEB_PASSWORD", "hello-hunter", &Origin::Compose("web".into()));
    let loaded = collection.finish().unwrap();
    assert_eq!(loaded.names.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["GREETING", "WEB_PASSWORD"]);
    assert!(loaded.needles.contains_secret(b"hello-hunter").is_some_and(|found| found.strict));
}

#[test]
fn an_images_variables_are_secrets_by_their_names_alone() {
    let loaded = Project::new(&[(".env", "API_KEY=key-of-the-file\n")]).sources.load().unwrap();
    let of_image = |variables: &[(&'static str, &'static str)]| loaded.and_of_image("shop:1", variables.iter().copied());
    let known = [("API_KEY", "key-of-the-file"), ("PATH", "/usr/local/bin:/usr/bin"), ("NODE_VERSION", "22.14.0-of-node")];
    assert!(of_image(&known).unwrap().is_none(), "nothing new is a secret");
    let more = of_image(&[("BAKED_TOKEN", "token-of-the-image"), ("THEME", "blue-of-the-image")]).unwrap().unwrap();
    let text = "key-of-the-file token-of-the-image blue-of-the-image";
    assert_eq!(mask(&more, text), "[masked:API_KEY] [masked:BAKED_TOKEN] blue-of-the-image");
    assert_eq!(more.names.last().unwrap().source, "image shop:1");
    let short = of_image(&[("ACCESS_TOKEN_TTL", "15m")]).unwrap().unwrap();
    assert_eq!(mask(&short, "15m"), "15m");
    let warned = "ACCESS_TOKEN_TTL (image shop:1) looks like a secret but is not masked: it is too short to mask, and whoever has the image can read it";
    assert_eq!(short.warnings.last().unwrap(), warned);
}

#[test]
fn a_large_env_value_is_masked() {
    let value: String = (0..65_536u32).map(|index| char::from(b'0' + u8::try_from(index * index / 3 % 70).unwrap())).collect();
    let value = value.replace(['"', '\'', '\\', '#', '$'], "_");
    let project = Project::new(&[(".env", &format!("BIG='{value}'\n"))]);
    project.check(&format!("x {value} y"), "x [masked:BIG] y");
}

#[test]
fn a_policy_tightens_what_the_inventory_says() {
    let mut project =
        Project::new(&[(".env", "API_KEY=key-of-the-api\nWEB_URL=https://shop.example.com/x\nPIN_PASS=a1c\nAPP=shop-front\n")]);
    project.sources.public = vec!["*_KEY".into(), "WEB_URL".into(), "APP".into()];
    project.sources.accept_short = vec!["PIN_PASS".into()];
    let text = "key-of-the-api https://shop.example.com/x a1c shop-front";
    project.check(text, "[masked:API_KEY] [masked:WEB_URL] a1c shop-front");
    let with = |policy: &str| {
        let mut collection = project.sources.read().unwrap();
        collection.policy = Some(Policy::parse(policy).unwrap());
        collection.finish()
    };
    let error = with("").unwrap_err();
    assert_eq!(error.to_string(), "too short to mask, and the host's policy does not let that be accepted: PIN_PASS (.env)");
    assert!(error.remedy().contains("allow_short"));
    let loaded = with("allow_short = [\"PIN_PASS\"]").unwrap();
    assert_eq!(mask(&loaded, text), "[masked:API_KEY] [masked:WEB_URL] a1c shop-front");
    assert_eq!(loaded.warnings[0], "API_KEY (.env) is masked: the host's policy does not let it be public");
    let loaded = with("allow_short = [\"PIN_PASS\"]\nallow_public = [\"WEB_URL\", \"API_KEY\"]").unwrap();
    assert_eq!(mask(&loaded, text), text);
}

#[test]
fn keys_are_proposed_as_public_that_look_like_settings() {
    let project = Project::new(&[
        (
            ".env",
            "MAIL_FROM=shop@mail.example.com\nMODE=blue-green\nBUCKET=shop-eu-1\nX=k3J9-aa81bQzz\nTOKEN_OF=blue-green-1\nWEB_URL=https://shop.example.com\nPORT=80\nQ=correcthorsebatterystaple\n",
        ),
        ("word.txt", "blue-white\n"),
    ]);
    let proposed =
        |loaded: Loaded| loaded.names.into_iter().filter(|name| name.may_be_public).map(|name| name.name).collect::<Vec<_>>();
    assert_eq!(proposed(project.sources.load().unwrap()), ["MAIL_FROM", "MODE", "BUCKET"]);
}

//! Webhooks against a server on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::event::{Timestamp, VERSION};
use crate::name::RunId;

/// A server that gives each request this status, and hands on their bodies. A status of 0: it never answers.
fn server(status: u16) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/hook/words-of-the-test", listener.local_addr().unwrap().port());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            tell.send(String::from_utf8(body).unwrap()).unwrap();
            if status == 0 {
                held.push(stream);
            } else {
                write!(stream.get_mut(), "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
        }
    });
    (url, told)
}

/// A vault that knows this URL as HOOK.
fn vault(url: &str) -> (tempfile::TempDir, Arc<Vault>) {
    let temp = tempfile::tempdir().unwrap();
    let private = |name: &str, text: &str| {
        let path = temp.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    private("hook", url);
    let file = private("secrets.toml", "[secrets]\nHOOK = { file = \"~/hook\" }\n");
    let vault = Vault::read(&file, temp.path()).unwrap();
    (temp, Arc::new(vault))
}

fn notify(format: Format, on: &[Moment]) -> Notify {
    Notify { name: "team".into(), secret: "HOOK".into(), origins: Vec::new(), format, template: None, on: on.to_vec() }
}

fn event(host: Option<&str>, step: Option<&str>, body: Body) -> Event {
    let (host, step) = (host.map(|host| host.parse().unwrap()), step.map(|step| step.parse().unwrap()));
    Event { v: VERSION, time: Timestamp::of(std::time::UNIX_EPOCH), run: RunId::from_random([1; 6]), host, step, body }
}

fn run(code: u8) -> Vec<Event> {
    let status = if code == 0 { Status::Ok } else { Status::Failed };
    let hosts = vec!["prod-1".parse().unwrap()];
    let (plan, who, note) = (String::new(), "ana@laptop".to_owned(), Some("1.5 <b> & \"more\"".to_owned()));
    let output =
        Body::Output { stream: crate::event::Stream::Stdout, text: "words of the output".into(), bytes: None, partial: false };
    let detail = Some("words of the output".to_owned());
    vec![
        event(None, None, Body::RunStarted { playbook: "release".into(), hosts, plan, who, note }),
        event(Some("prod-1"), Some("migrate"), output),
        event(
            Some("prod-1"),
            Some("migrate"),
            Body::StepFinished { status, exit_code: Some(1), signal: None, duration_ms: 5, detail },
        ),
        event(Some("prod-1"), None, Body::HostFinished { status, exit_code: code, duration_ms: 5 }),
        event(None, None, Body::RunFinished { status, exit_code: code, duration_ms: 73_400 }),
    ]
}

/// What is warned of.
fn tell(notify: Notify, url: &str, events: &[Event]) -> String {
    tell_by(|notifier| notifier, notify, url, events)
}

fn tell_by(as_whom: impl FnOnce(Notifier) -> Notifier, notify: Notify, url: &str, events: &[Event]) -> String {
    let (_temp, vault) = vault(url);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut notifier = as_whom(Notifier::new(&[notify], "etally", &vault));
    notifier.warn = Sink::new(writer);
    notifier.limit = Duration::from_secs(2);
    for event in events {
        notifier.event(event);
    }
    notifier.finish();
    drop(notifier);
    let mut warned = String::new();
    reader.read_to_string(&mut warned).unwrap();
    warned
}

const ALL: [Moment; 3] = [Moment::Start, Moment::Failure, Moment::Success];

#[test]
fn start_and_end_are_told_without_output() {
    let (url, told) = server(204);
    assert_eq!(tell(notify(Format::Json, &ALL), &url, &run(1)), "");
    let mut bodies: Vec<Value> = told.try_iter().map(|body| serde_json::from_str(&body).unwrap()).collect();
    bodies.sort_by_key(|body| body["event"] != "start");
    let events: Vec<&str> = bodies.iter().map(|body| body["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "failure"]);
    assert_eq!(bodies[1]["exit_code"], 1);
    assert_eq!(bodies[1]["troubles"], json!(["migrate on prod-1"]));
    assert!(!bodies.iter().any(|body| body.to_string().contains("words of the output")));
}

#[test]
fn whoever_takes_a_run_over_tells_its_end_alone() {
    let (url, told) = server(204);
    assert_eq!(tell_by(Notifier::taking_over, notify(Format::Json, &ALL), &url, &run(0)), "");
    let events: Vec<Value> = told.try_iter().map(|body| serde_json::from_str(&body).unwrap()).collect();
    assert_eq!(events.iter().map(|body| body["event"].as_str().unwrap()).collect::<Vec<_>>(), ["success"]);
}

#[test]
fn each_service_gets_its_own_form() {
    let (url, told) = server(200);
    assert_eq!(tell(notify(Format::Slack, &[Moment::Success]), &url, &run(0)), "");
    let text = "✅ etally: release on prod-1 done after 1m 13s, by ana@laptop “1.5 &lt;b&gt; &amp; \"more\"” (run klklklklklkl)";
    assert_eq!(serde_json::from_str::<Value>(&told.recv().unwrap()).unwrap(), json!({ "text": text }));
    assert_eq!(tell(notify(Format::Discord, &[Moment::Failure]), &url, &run(4)), "");
    let body: Value = serde_json::from_str(&told.recv().unwrap()).unwrap();
    assert!(body["content"].as_str().unwrap().contains("failed after 1m 13s (exit code 4): migrate on prod-1"), "{body}");
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let template = r#"{"a": "{{ note }}", "b": "{{ outcome }} {{ exit_code }}"}"#.to_owned();
    let own = Notify { template: Some(template), ..notify(Format::Json, &[Moment::Success]) };
    assert_eq!(tell(own, &url, &run(0)), "");
    let body: Value = serde_json::from_str(&told.recv().unwrap()).unwrap();
    assert_eq!(body, json!({ "a": "1.5 <b> & \"more\"", "b": "ok 0" }));
}

#[test]
fn what_goes_wrong_is_a_warning_that_does_not_show_the_url() {
    let (url, _told) = server(500);
    assert_eq!(
        tell(notify(Format::Json, &[Moment::Failure]), &url, &run(1)),
        "warning: team was not told of the failure: it answered with status 500\n"
    );
    let elsewhere = Notify { origins: vec!["https://hooks.example.com".into()], ..notify(Format::Json, &[Moment::Failure]) };
    assert!(tell(elsewhere, &url, &run(1)).contains("has none of the `origins`"));
    for wrong in [
        "http://hooks.example.com/words-of-the-test",
        "no URL: words-of-the-test",
        "https://hooks.example.com:x/words-of-the-test",
    ] {
        let warned = tell(notify(Format::Json, &[Moment::Failure]), wrong, &run(1));
        assert!(warned.starts_with("warning: team was not told") && !warned.contains("words-of-the-test"), "{warned}");
    }
}

#[test]
fn a_server_that_is_silent_holds_nothing_up_for_long() {
    let (url, told) = server(0);
    let began = Instant::now();
    let warned = tell(notify(Format::Json, &[Moment::Success]), &url, &run(0));
    assert!(told.recv().is_ok());
    assert!(warned.contains("within 2s") || warned.contains("did not answer in time"), "{warned}");
    assert!(began.elapsed() < Duration::from_secs(30), "a busy machine, and not for ever");
}

#[test]
fn what_was_handed_over_has_not_ended() {
    let (url, told) = server(200);
    let events: Vec<Event> = run(0).into_iter().filter(|event| !matches!(event.body, Body::HostFinished { .. })).collect();
    assert_eq!(tell(notify(Format::Json, &ALL), &url, &events), "");
    assert_eq!(told.try_iter().count(), 1, "its start only");
}

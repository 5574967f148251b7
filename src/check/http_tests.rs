//! HTTP against servers of a few lines, each with another way to misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;
use crate::action::HttpExpect;

fn probe(url: &str) -> HttpProbe {
    HttpProbe {
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: std::collections::BTreeMap::new(),
        body: None,
        timeout_ms: 10_000,
        redirects: false,
        expect: HttpExpect::default(),
    }
}

/// A server for one connection; its thread returns the request's head.
fn server(behave: impl FnOnce(&mut TcpStream) + Send + 'static) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/health", listener.local_addr().expect("address"));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                break;
            }
            head.push(byte[0]);
        }
        behave(&mut stream);
        String::from_utf8(head).expect("head")
    });
    (url, thread)
}

fn answering(bytes: impl Into<Vec<u8>>) -> (String, JoinHandle<String>) {
    let bytes = bytes.into();
    server(move |stream| drop(stream.write_all(&bytes)))
}

#[test]
fn answers_by_table() {
    for (bytes, status, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\ndown", 503, "down"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 301, ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n6\r\n green\r\n0\r\n\r\n", 200, "all green"),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end"),
        ("HTTP/1.0 200 OK\r\n\r\nold", 200, "old"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, "x"),
    ] {
        let (url, thread) = answering(bytes);
        let answer = fetch(&probe(&url), &[]).unwrap_or_else(|error| panic!("{error}: {bytes}"));
        assert_eq!((answer.status, answer.body.as_slice(), answer.cut), (status, body.as_bytes(), false), "{bytes}");
        let head = thread.join().expect("server").to_lowercase();
        assert!(head.starts_with("get /health http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains(concat!("\r\nuser-agent: landfall/", env!("CARGO_PKG_VERSION"), "\r\n")), "{head}");
    }
}

#[test]
fn method_headers_and_body_are_sent() {
    for method in ["POST", "GET", "PURGE"] {
        let (url, thread) = server(|stream| {
            let mut body = [0; 4];
            stream.read_exact(&mut body).expect("body");
            assert_eq!(&body, b"ping");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answer");
        });
        let probe = HttpProbe { method: method.into(), body: Some("ping".into()), ..probe(&url) };
        fetch(&probe, &[("X-Token".into(), "abc".into())]).unwrap_or_else(|error| panic!("{method}: {error}"));
        let head = thread.join().expect("server").to_lowercase();
        assert!(head.contains("\r\nx-token: abc\r\n") && head.contains("\r\ncontent-length: 4\r\n"), "{head}");
    }
    let (url, thread) = answering("HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n");
    let answer = fetch(&HttpProbe { method: "HEAD".into(), ..probe(&url) }, &[]).expect("answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(
        !thread.join().expect("server").to_lowercase().contains("content-length"),
        "a GET or HEAD without a body says nothing of one"
    );
}

#[test]
fn a_server_that_keeps_the_connection_open_is_not_waited_for() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (url, thread) = server(move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok").expect("answer");
        let _ = wait.recv();
    });
    assert_eq!(fetch(&probe(&url), &[]).expect("answer").body, b"ok");
    drop(done);
    thread.join().expect("server");
}

#[test]
fn a_huge_body_is_cut() {
    let (url, thread) = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let block = [b'x'; 16 << 10];
        while stream.write_all(&block).is_ok() {}
    });
    let answer = fetch(&probe(&url), &[]).expect("answer");
    assert_eq!((answer.body.len(), answer.cut), (MAX_BODY, true));
    thread.join().expect("server");

    let (url, _) = answering([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; MAX_BODY]].concat());
    assert!(!fetch(&probe(&url), &[]).expect("answer").cut, "exactly the bound is whole");
}

#[test]
fn silence_says_what_was_waited_for() {
    for (bytes, phase) in [
        ("", Phase::Answer),
        ("HTTP/1.1 200 OK\r\ncontent-le", Phase::Answer),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Phase::Body),
    ] {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (url, thread) = server(move |stream| {
            stream.write_all(bytes.as_bytes()).expect("answer");
            let _ = wait.recv();
        });
        let error = fetch(&HttpProbe { timeout_ms: 150, ..probe(&url) }, &[]).expect_err("silence");
        assert_eq!(error, FetchError::TimedOut { phase, after: Duration::from_millis(150) }, "{bytes}");
        drop(done);
        thread.join().expect("server");
    }
}

#[test]
fn failures_by_table() {
    for (bytes, message) in [
        ("", "the connection ended before the answer was complete"),
        ("HTTP/1.1 200 OK\r\n", "the connection ended before the answer was complete"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "the connection ended before the answer was complete"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", "the connection ended before the answer was complete"),
        ("SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "the answer is not HTTP: "),
        ("\x15\x03\x01\x00\x02\x02\x46 0123456789 0123456789", "the answer is not HTTP: "),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "the answer is not HTTP: "),
    ] {
        let (url, thread) = answering(bytes);
        let error = fetch(&probe(&url), &[]).expect_err(bytes);
        assert!(error.to_string().starts_with(message), "{bytes:?}: {error}");
        thread.join().expect("server");
    }
}

#[test]
fn requests_that_cannot_be_made() {
    for (url, message) in [
        ("", "not a request: "),
        ("/health", "not a request: /health is not an http or https address"),
        ("ftp://x/", "not a request: ftp://x/ is not an http or https address"),
        ("http://a b/", "not a request: "),
    ] {
        let error = fetch(&probe(url), &[]).expect_err(url);
        assert!(error.to_string().starts_with(message), "{url:?}: {error}");
        assert!(error.remedy().is_some());
    }
    let error = fetch(&probe("http://127.0.0.1:1/"), &[("x".into(), "hunter2\n".into())]).expect_err("header");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = fetch(&HttpProbe { method: "G T".into(), ..probe("http://127.0.0.1:1/") }, &[]).expect_err("method");
    assert!(matches!(error, FetchError::Request(_)), "{error}");
}

#[test]
fn a_closed_port_and_an_unknown_name() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("address");
    let error = fetch(&probe(&format!("http://{address}/")), &[]).expect_err("closed");
    assert_eq!(error, FetchError::Refused(address.to_string()));
    let error = fetch(&probe("http://no-such-host.invalid/"), &[]).expect_err("unknown");
    assert!(matches!(&error, FetchError::NotResolved { host, .. } if host == "no-such-host.invalid"), "{error}");
}

#[cfg(feature = "client")]
#[test]
fn a_plain_server_asked_for_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("https://{}/", listener.local_addr().expect("address"));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").expect("answer");
    });
    let error = fetch(&probe(&url), &[]).expect_err("no TLS");
    assert!(matches!(error, FetchError::Tls(_)), "{error}");
    thread.join().expect("server");
}

#[cfg(not(feature = "client"))]
#[test]
fn the_host_program_has_no_tls() {
    assert_eq!(fetch(&probe("https://127.0.0.1/"), &[]), Err(FetchError::NoTls));
}

#[test]
fn a_redirect_is_followed_only_where_it_is_wanted() {
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let (end, end_thread) = answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere");
    let (url, thread) = answering(moved(&end));
    let answer = fetch(&HttpProbe { redirects: true, ..probe(&url) }, &[]).expect("answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"here"[..]));
    thread.join().expect("server");
    end_thread.join().expect("server");
    let (url, thread) = answering(moved("http://127.0.0.1:1/"));
    assert_eq!(fetch(&probe(&url), &[]).map(|answer| answer.status), Ok(302));
    thread.join().expect("server");
}

#[test]
fn many_exchanges_are_made_for_a_percentile() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/health", listener.local_addr().expect("address"));
    let thread = std::thread::spawn(move || {
        let mut served = 0;
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let mut head = [0; 512];
            let _ = stream.read(&mut head);
            served += 1;
            let status = if served == 8 { "503 Busy" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            if served == 8 {
                break;
            }
        }
        served
    });
    let percentile = crate::action::Percentile { percent: 95, within_ms: 10_000, samples: 5 };
    let probe = HttpProbe { expect: HttpExpect { percentile: Some(percentile), ..HttpExpect::default() }, ..probe(&url) };
    assert_eq!(fetch(&probe, &[]).expect("answer").latencies.len(), 5);
    // One that is not answered as it should be ends it.
    let answer = fetch(&probe, &[]).expect("answer");
    assert_eq!((answer.status, answer.latencies.len()), (503, 3));
    assert_eq!(thread.join().expect("server"), 8);
}

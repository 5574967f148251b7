//! The link against a host program that does, frame by frame, what a test says.

use super::*;
use crate::name::RunId;
use crate::protocol::{RunState, StateDir};
use crate::runtime::{PipeGone, local::Local, payload::Payload};

struct Reader(mpsc::UnboundedReceiver<PipeEvent>);
struct Writer(mpsc::UnboundedSender<Bytes>);

impl PipeReader for Reader {
    async fn next(&mut self) -> PipeEvent {
        self.0.recv().await.unwrap_or(PipeEvent::Closed)
    }
}

impl PipeWriter for Writer {
    async fn write(&mut self, data: Bytes) -> Result<(), PipeGone> {
        self.0.send(data).map_err(|_| PipeGone)
    }
}

/// The host's end.
struct Program {
    out: mpsc::UnboundedSender<PipeEvent>,
    asked: mpsc::UnboundedReceiver<Bytes>,
    decoder: Decoder,
}

impl Program {
    fn says(&self, kind: Kind, stream: u32, payload: &[u8]) {
        let mut frame = Vec::new();
        encode(&mut frame, kind, stream, payload);
        self.says_bytes(&frame);
    }

    fn says_bytes(&self, bytes: &[u8]) {
        // In pieces, as channels bring them.
        for piece in bytes.chunks(30_000) {
            let _ = self.out.send(PipeEvent::Out(Bytes::copy_from_slice(piece)));
        }
    }

    fn replies(&self, stream: u32, reply: &Reply) {
        self.says(Kind::Reply, stream, &serde_json::to_vec(reply).expect("json"));
    }

    /// The next frame of the client; none when its input has ended.
    async fn hears(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message().expect("frame") {
                return Some(message);
            }
            self.decoder.push(&self.asked.recv().await?);
        }
    }

    async fn hears_request(&mut self) -> (u32, Request) {
        let message = self.hears().await.expect("a request");
        assert_eq!(message.kind, Kind::Request);
        (message.stream, serde_json::from_slice(&message.payload).expect("request"))
    }
}

fn hello() -> Reply {
    Reply::Hello { version: VERSION, boot_id: "b".into(), machine: "m".into(), user: "deploy".into() }
}

fn pipe() -> (Opened<Reader, Writer>, Program) {
    let (out, reader) = mpsc::unbounded_channel();
    let (writer, asked) = mpsc::unbounded_channel();
    let opened = Opened { reader: Reader(reader), writer: Writer(writer), rest: Vec::new(), uploaded: false };
    (opened, Program { out, asked, decoder: Decoder::default() })
}

async fn linked() -> (Link, Program) {
    let (opened, program) = pipe();
    program.replies(0, &hello());
    (Link::over(opened).await.expect("link"), program)
}

fn state() -> StateDir {
    StateDir { path: "/var/lib/landfall/p".into(), private: false }
}

fn follow() -> Request {
    Request::Follow { state: state(), run: RunId::from_random([0; 6]), offset: 0, driver: None }
}

fn lock() -> Request {
    Request::Lock { state: state() }
}

#[tokio::test]
async fn a_request_brings_its_reply() {
    let (link, mut program) = linked().await;
    assert_eq!(link.hello(), &Hello { boot_id: "b".into(), machine: "m".into(), user: "deploy".into() });
    let (reply, ()) = tokio::join!(link.call(lock()), async {
        assert_eq!(program.hears_request().await, (1, lock()));
        program.replies(1, &Reply::Lock { holder: None });
    });
    assert_eq!(reply, Ok(Reply::Lock { holder: None }));
}

#[tokio::test]
async fn the_greeting_and_the_first_message_can_come_together() {
    let (mut opened, _program) = pipe();
    encode(&mut opened.rest, Kind::Reply, 0, &serde_json::to_vec(&hello()).expect("json"));
    assert_eq!(Link::over(opened).await.expect("link").hello().user, "deploy");
}

#[tokio::test]
async fn requests_are_answered_in_any_order_beside_a_record() {
    let (link, mut program) = linked().await;
    let mut record = link.stream(follow()).expect("stream");
    let (first, second) = (link.clone(), link.clone());
    let (first, second, ()) =
        tokio::join!(async { first.call(lock()).await }, async { second.call(Request::Runs { state: state() }).await }, async {
            for (id, request) in [(1, follow()), (2, lock()), (3, Request::Runs { state: state() })] {
                assert_eq!(program.hears_request().await, (id, request));
            }
            program.says(Kind::Data, 1, b"O1 a\n");
            program.replies(3, &Reply::Runs { runs: vec![] });
            program.says(Kind::Data, 1, b"O2 b\n");
            program.replies(2, &Reply::Lock { holder: None });
            program.replies(1, &Reply::RecordEnd { state: RunState::Lost, known: Vec::new() });
        });
    assert_eq!((first, second), (Ok(Reply::Lock { holder: None }), Ok(Reply::Runs { runs: vec![] })));
    for item in [
        StreamItem::Data(b"O1 a\n".to_vec()),
        StreamItem::Data(b"O2 b\n".to_vec()),
        StreamItem::Reply(Reply::RecordEnd { state: RunState::Lost, known: Vec::new() }),
    ] {
        assert_eq!(record.next().await, Ok(item));
    }
}

#[tokio::test]
async fn credit_is_granted_as_bytes_are_taken_and_a_stalled_reader_blocks_nothing() {
    let (link, mut program) = linked().await;
    let mut record = link.stream(follow()).expect("stream");
    program.hears_request().await;
    let piece = vec![b'x'; 64 << 10];
    let pieces = CREDIT as usize / piece.len();
    for _ in 0..pieces {
        program.says(Kind::Data, 1, &piece);
    }
    // The window is full and nobody reads; another request is answered all the same.
    let (reply, ()) = tokio::join!(link.call(lock()), async {
        assert_eq!(program.hears_request().await.0, 2);
        program.replies(2, &Reply::Lock { holder: None });
    });
    assert!(reply.is_ok(), "{reply:?}");
    // Two grants for the whole window, and each can be used again at once.
    for _ in 0..2 {
        for _ in 0..pieces / 2 {
            assert_eq!(record.next().await, Ok(StreamItem::Data(piece.clone())));
        }
        let grant = program.hears().await.expect("credit");
        assert_eq!((grant.kind, grant.stream, grant.payload.as_slice()), (Kind::Credit, 1, &(CREDIT / 2).to_be_bytes()[..]));
    }
    program.says(Kind::Data, 1, &vec![b'y'; CREDIT as usize]);
    assert_eq!(record.next().await, Ok(StreamItem::Data(vec![b'y'; CREDIT as usize])));
    assert_eq!(link.ended(), None);
}

#[tokio::test]
async fn a_stream_that_was_dropped_leaves_the_link_alone() {
    let (link, mut program) = linked().await;
    drop(link.stream(follow()).expect("stream"));
    program.hears_request().await;
    for _ in 0..3 {
        program.says(Kind::Data, 1, &vec![b'x'; CREDIT as usize]);
    }
    program.replies(1, &Reply::RecordEnd { state: RunState::Lost, known: Vec::new() });
    let (reply, ()) = tokio::join!(link.call(lock()), async {
        assert_eq!(program.hears_request().await.0, 2, "no credit is granted for it");
        program.replies(2, &Reply::Done);
    });
    assert_eq!(reply, Ok(Reply::Done));
}

#[tokio::test]
async fn a_loss_ends_everything_that_waits_and_everything_after() {
    for (events, expected) in [
        (vec![PipeEvent::Lost("keepalive".into())], Lost::Connection("keepalive".into())),
        (
            vec![PipeEvent::Err("out of \u{1b}memory\n".into()), PipeEvent::Ended("signal KILL".into()), PipeEvent::Closed],
            Lost::Program("signal KILL".into(), Said("out of memory".into())),
        ),
        (vec![PipeEvent::Closed], Lost::Program("its channel was closed".into(), Said::default())),
    ] {
        let (link, mut program) = linked().await;
        let mut record = link.stream(follow()).expect("stream");
        let (reply, ()) = tokio::join!(link.call(lock()), async {
            program.hears_request().await;
            program.hears_request().await;
            program.says(Kind::Data, 1, b"O1 a\n");
            for event in events {
                program.out.send(event).expect("open");
            }
        });
        let lost = LinkError::Lost(expected);
        assert_eq!(reply, Err(lost.clone()));
        assert_eq!(record.next().await, Ok(StreamItem::Data(b"O1 a\n".to_vec())), "what came before the loss counts");
        assert_eq!(record.next().await, Err(lost.clone()));
        assert_eq!(record.next().await, Err(lost.clone()));
        assert_eq!(link.call(lock()).await, Err(lost.clone()));
        assert_eq!(link.ended(), Some(lost));
    }
}

#[tokio::test]
async fn a_host_that_misbehaves_ends_the_link() {
    let frame = |kind, stream, payload: &[u8]| {
        let mut frame = Vec::new();
        encode(&mut frame, kind, stream, payload);
        frame
    };
    let long = serde_json::to_vec(&Reply::Refused { code: 7, message: "x".repeat(1 << 20), remedy: None }).expect("json");
    let flood: Vec<u8> = (0..17).flat_map(|_| frame(Kind::Reply, 1, &long)).collect();
    for (bytes, why) in [
        (b"Segmentation fault\n".to_vec(), "a frame of 1399154541 bytes"),
        (u32::MAX.to_be_bytes().to_vec(), "a frame of 4294967295 bytes"),
        (vec![0, 0, 0, 5, b'?', 0, 0, 0, 1], "a frame of kind 0x3f"),
        (frame(Kind::Reply, 1, b"{}"), "a reply that cannot be read: "),
        (frame(Kind::Reply, 1, b"\xff"), "a reply that cannot be read: "),
        (frame(Kind::Reply, 2, b"{\"reply\":\"done\"}"), "an answer to what nobody asked (stream 2)"),
        (frame(Kind::Data, 1, &vec![0; CREDIT as usize + 1]), "more of a record than was granted (stream 1)"),
        (frame(Kind::Request, 1, b"{}"), "what only a client may say (stream 1)"),
        (frame(Kind::Credit, 1, &[0; 4]), "what only a client may say (stream 1)"),
        (frame(Kind::Data, 0, b"x"), "a message without a request (stream 0)"),
        (frame(Kind::Reply, 0, br#"{"reply":"refused","code":7,"message":"no \u001bsuch request"}"#), "no such request"),
        (flood, "more replies than anybody can read (stream 1)"),
    ] {
        let (link, mut program) = linked().await;
        let mut stream = link.stream(follow()).expect("stream");
        program.hears_request().await;
        program.says_bytes(&bytes);
        let error = loop {
            // Nothing is taken until the link has judged all of it: what piles up is the point.
            program.out.closed().await;
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        let LinkError::Misbehaved(said) = &error else { panic!("{error}") };
        assert!(said.starts_with(why), "{said} instead of {why}");
        assert!(error.remedy().is_some());
        assert_eq!(link.ended(), Some(error));
    }
}

#[tokio::test]
async fn a_first_message_that_is_no_greeting_is_refused() {
    let other = Reply::Hello { version: VERSION + 1, boot_id: "b".into(), machine: "m".into(), user: "u".into() };
    let odd = Reply::Hello { version: VERSION, boot_id: "b".into(), machine: "m\u{1b}".into(), user: "u".into() };
    for (stream, reply, error) in [
        (0, &other, LinkError::Version(VERSION + 1)),
        (0, &odd, LinkError::Misbehaved("a greeting with an impossible name".into())),
        (0, &Reply::Done, LinkError::Misbehaved("the first message is no greeting".into())),
        (1, &hello(), LinkError::Misbehaved("the first message is no greeting".into())),
    ] {
        let (opened, program) = pipe();
        program.replies(stream, reply);
        assert_eq!(Link::over(opened).await.map(drop), Err(error));
    }
    let (opened, program) = pipe();
    drop(program);
    assert!(matches!(Link::over(opened).await.map(drop), Err(LinkError::Lost(Lost::Program(..)))));
}

#[tokio::test]
async fn a_silent_host_is_given_up() {
    let short = Duration::from_millis(20);
    let (opened, _program) = pipe();
    assert_eq!(Link::within(short, opened).await.map(drop), Err(LinkError::Misbehaved("no first message".into())));
    // One that takes no more requests, and whose channel does not close.
    let (opened, program) = pipe();
    program.replies(0, &hello());
    let (link, begin) = Link::within(short, opened).await.expect("link");
    begin();
    let Program { out: _out, asked, .. } = program;
    drop(asked);
    assert_eq!(link.call(lock()).await, Err(closed("it takes no more requests")));
}

#[tokio::test]
async fn the_input_ends_when_nobody_can_ask_any_more() {
    let (link, mut program) = linked().await;
    let stream = link.stream(follow()).expect("stream");
    program.hears_request().await;
    drop(link);
    program.says(Kind::Data, 1, b"O1 a\n");
    let mut stream = stream;
    assert_eq!(stream.next().await, Ok(StreamItem::Data(b"O1 a\n".to_vec())), "a stream outlives the link it came from");
    drop(stream);
    assert_eq!(program.hears().await, None);
}

#[tokio::test]
async fn a_request_that_no_frame_holds_is_not_sent() {
    let (link, _program) = linked().await;
    let error = link.stream(Request::Survey { submission: "x".repeat(MAX_PAYLOAD) }).map(drop).expect_err("too long");
    assert!(matches!(error, LinkError::TooLong(_)), "{error}");
    assert_eq!(link.ended(), None);
}

#[tokio::test]
async fn a_real_channel_carries_it() {
    let home = tempfile::tempdir().expect("folder");
    // Greets with the first message of the protocol, then falls silent until its input ends.
    let json = serde_json::to_string(&hello()).expect("json");
    let length = u32::try_from(5 + json.len()).expect("short").to_be_bytes();
    let head = length.iter().fold(String::new(), |text, byte| text + &format!("\\{byte:03o}"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = serve ] || exit 0\necho \"landfall-host $2\"; printf '{head}R\\000\\000\\000\\000%s' '{json}'; cat >/dev/null\nexit 3\n"
    );
    let host = Local::new(&["bash"], home.path());
    let programs = Programs::of(vec![Payload::new(std::env::consts::ARCH, text.as_bytes())]);
    for uploaded in [true, false] {
        let link = Link::open(&host, &programs, &Login::User).await.expect("link");
        assert_eq!((link.hello().user.as_str(), link.uploaded()), ("deploy", uploaded));
    }
}

#[tokio::test]
async fn a_first_request_is_answered_once_whether_it_came_with_the_command_or_after() {
    let home = tempfile::tempdir().expect("folder");
    let framed = |stream, reply| {
        let frame = framed(Kind::Reply, stream, &serde_json::to_vec(&reply).expect("json"));
        frame.iter().fold(String::new(), |text, byte| text + &format!("\\{byte:03o}"))
    };
    let (hello, done) = (framed(0, hello()), framed(FIRST, Reply::Overtaken));
    let request = super::framed(Kind::Request, FIRST, &payload(&lock()).expect("request"));
    // Takes one request, byte for byte, and answers; a second one would be found behind it.
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = serve ] || exit 0\necho \"landfall-host $2\"; printf '{hello}'; head -c {} >/dev/null; printf '{done}'\n\
         wc -c >\"$HOME/more\"\n",
        request.len()
    );
    let host = Local::new(&["bash"], home.path());
    let programs = Programs::of(vec![Payload::new(std::env::consts::ARCH, text.as_bytes())]);
    for uploaded in [true, false] {
        let departure = Departure::default();
        let opened = Link::open_asking(&host, &programs, &Login::User, &lock(), &departure).await;
        let (link, mut stream) = opened.expect("link");
        assert!(departure.has_gone());
        assert_eq!(link.uploaded(), uploaded);
        assert_eq!(stream.next().await, Ok(StreamItem::Reply(Reply::Overtaken)));
        drop((link, stream));
        let more = home.path().join("more");
        tokio::time::timeout(Duration::from_secs(30), async {
            while !std::fs::read_to_string(&more).is_ok_and(|text| !text.is_empty()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("its input ends");
        assert_eq!(std::fs::read_to_string(&more).expect("file").trim(), "0");
        std::fs::remove_file(&more).expect("file");
    }
}

//! A headless Chromium, driven over a pipe: what a page shows, whom it asks, and what it complains of.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
                     --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars";

pub(super) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u64,
    session: Option<String>,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(super) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It speaks on the descriptors 3 and 4.
        let script = format!(
            "exec chromium {FLAGS} --remote-debugging-pipe --user-data-dir=\"$1\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>\"$1/err\""
        );
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, to, from, next: 0, session: None, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    pub(super) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("chromium");
        loop {
            let message = self.read();
            if message["id"] == self.next {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).expect("chromium");
        assert!(message.pop().is_some(), "chromium has ended");
        serde_json::from_slice(&message).expect("a message")
    }

    /// Opens a file in a window of this width.
    pub(super) fn open(&mut self, page: &Path, width: u32, dark: bool) {
        let mobile = width < 600;
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &features);
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": format!("file://{}", page.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(super) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", &params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is what it should be.
    #[track_caller]
    pub(super) fn until(&mut self, expression: &str, wanted: &Value) {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.eval(&format!("new Promise(done => requestAnimationFrame(() => done({expression})))"));
            if value == *wanted {
                return;
            }
            assert!(Instant::now() < end, "{expression} is {value}, not {wanted}");
        }
    }

    /// Presses a key, as a keyboard does.
    pub(super) fn key(&mut self, key: &str, text: Option<&str>) {
        let mut down = json!({ "type": "keyDown", "key": key });
        if let Some(text) = text {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", &down);
        self.call("Input.dispatchKeyEvent", &json!({ "type": "keyUp", "key": key }));
    }

    pub(super) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Clicks into the middle of an element, once it stands still and nothing is before it.
    pub(super) fn click(&mut self, selector: &str) {
        let at = self.eval(&format!(
            "new Promise(done => {{
               const e = document.querySelector({selector:?});
               e.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               let last = '', still = 0;
               const look = () => {{
                 const r = e.getBoundingClientRect(), at = [r.x + r.width / 2, r.y + r.height / 2];
                 still = String(at) === last && e.contains(document.elementFromPoint(...at)) ? still + 1 : 0;
                 last = String(at);
                 if (still > 3) done(at); else requestAnimationFrame(look);
               }};
               look();
             }})"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &params);
        }
    }

    /// A picture of the whole page, where the environment says a folder for it.
    pub(super) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("LANDFALL_TESTS_PICTURES") else { return };
        let taken = self.call("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "format": "png" }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Whatever the page asked for, and what it or the browser complained of.
    pub(super) fn complaints(&mut self, page: &Path) -> Vec<String> {
        let own = format!("file://{}", page.display());
        let of = |event: &Value| match event["method"].as_str()? {
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str()?;
                (url.split('#').next() != Some(own.as_str())).then(|| format!("asked for {url}"))
            }
            "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled" => Some(event["params"].to_string()),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

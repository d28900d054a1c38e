//! Chromium, controlled through two pipes.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::TIMEOUT;
use crate::find::chromium;

/// A running browser.
pub(crate) struct Browser {
    process: Child,
    requests: File,
    answers: BufReader<File>,
    last: u64,
    events: VecDeque<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser; `None` if there is none.
    pub(crate) fn start() -> Option<Self> {
        let chromium = chromium()?;
        let profile = tempfile::tempdir().expect("a directory");
        let pipes = ["requests", "answers"].map(|name| profile.path().join(name));
        let made = Command::new("mkfifo").args(&pipes).status().expect("mkfifo");
        assert!(made.success());
        // The browser reads requests from file descriptor 3 and writes answers to 4.
        let process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<requests 4>answers"])
            .arg(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-quic",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--remote-debugging-pipe", "--user-data-dir=profile", "about:blank"])
            .current_dir(profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let requests = OpenOptions::new().write(true).open(&pipes[0]).expect("a pipe");
        let answers = BufReader::new(File::open(&pipes[1]).expect("a pipe"));
        Some(Self {
            process,
            requests,
            answers,
            last: 0,
            events: VecDeque::new(),
            _profile: profile,
        })
    }

    /// Opens a page in a window with this width, and returns its session.
    pub(crate) fn open(&mut self, url: &str, width: u32) -> String {
        let target = self.call("", "Target.createTarget", json!({ "url": "about:blank" }));
        let target = &target["targetId"];
        let attached =
            self.call("", "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&session, &format!("{domain}.enable"), json!({}));
        }
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call(&session, "Emulation.setDeviceMetricsOverride", size);
        self.call(&session, "Page.navigate", json!({ "url": url }));
        session
    }

    /// Runs a script in a page, and returns its result.
    pub(crate) fn run(&mut self, session: &str, script: &str) -> Value {
        let script = format!("(async () => {{ {script} }})()");
        let parameters =
            json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let found = self.call(session, "Runtime.evaluate", parameters);
        assert!(found.get("exceptionDetails").is_none(), "{script}: {found}");
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, session: &str, condition: &str) {
        let start = Instant::now();
        let parameters = json!({ "expression": condition, "returnByValue": true });
        loop {
            // While a page loads, there is nothing to evaluate the expression in.
            let found = self.call(session, "Runtime.evaluate", parameters.clone());
            if found["result"]["value"] == true {
                return;
            }
            if start.elapsed() > TIMEOUT {
                let text = self.run(session, "return document.body.innerText");
                panic!("{condition} stays false: {found}, {:?}, {text}", self.problems());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Errors, warnings and violated policies of all pages so far.
    pub(crate) fn problems(&self) -> Vec<String> {
        let is_problem = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Page.javascriptDialogOpening") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => {
                ["error", "warning"].contains(&event["params"]["type"].as_str().unwrap_or_default())
            }
            _ => false,
        };
        self.events.iter().filter(is_problem).map(Value::to_string).collect()
    }

    /// The addresses outside of a server that pages have requested.
    pub(crate) fn requests_elsewhere(&self, url: &str) -> Vec<String> {
        let origin = url.split('?').next().unwrap_or_default();
        let requests =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let addresses = requests.filter_map(|event| event["params"]["request"]["url"].as_str());
        let is_own = |address: &&str| address.starts_with(origin) || address.starts_with("data:");
        addresses.filter(|address| !is_own(address)).map(str::to_owned).collect()
    }

    /// Asserts that no page had an error or requested anything elsewhere.
    pub(crate) fn check(&self, url: &str) {
        assert_eq!(self.problems(), Vec::<String>::new());
        assert_eq!(self.requests_elsewhere(url), Vec::<String>::new());
    }

    fn call(&mut self, session: &str, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": parameters });
        if !session.is_empty() {
            request["sessionId"] = session.into();
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.requests.write_all(&bytes).expect("sent");
        loop {
            let mut bytes = Vec::new();
            let read = self.answers.read_until(0, &mut bytes).expect("an answer");
            assert!(read > 0, "Chromium has ended");
            bytes.pop();
            let answer: Value = serde_json::from_slice(&bytes).expect("JSON");
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            if answer["method"] == "Page.javascriptDialogOpening" {
                // An alert would stop the page.
                panic!("a page has opened a dialog: {answer}");
            }
            self.events.push_back(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The processes of the browser end with this one.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

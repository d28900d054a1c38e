//! A server for a test, and a client that sends exactly what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kiln_serve::{ServeOptions, Server, StopServer};

/// Longer than anything in these tests takes, even on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(600);

/// A server that runs until the end of the test.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    stopper: StopServer,
    thread: Option<JoinHandle<()>>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In lower case, with line breaks.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start))
    }
}

impl Running {
    pub(crate) fn start(path: &Path) -> Self {
        Self::with(&ServeOptions::new(path))
    }

    pub(crate) fn with(options: &ServeOptions) -> Self {
        let server = Server::bind(options).expect("a server");
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let (url, stopper) = (server.url(), server.stopper());
        let thread = std::thread::spawn(move || server.run().expect("no error"));
        Self { url, address, stopper, thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a limit");
        stream
    }

    /// Sends a request as it is, and reads until the server closes the connection.
    pub(crate) fn send(&self, request: &str) -> Response {
        let mut stream = self.connect();
        // A server that refuses a request may close the connection before it has all of it.
        let _ = stream.write_all(request.as_bytes());
        read(stream)
    }

    pub(crate) fn get_with(&self, path: &str, headers: &str) -> Response {
        let host = self.address;
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// Requests a page until it has a text.
    pub(crate) fn wait_for(&self, path: &str, text: &str) -> String {
        self.wait_until(path, |body| body.contains(text))
    }

    pub(crate) fn wait_until(&self, path: &str, is_reached: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let body = self.get(path).body;
            if is_reached(&body) {
                return body;
            }
            assert!(start.elapsed() < TIMEOUT, "{path} stays {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Listens to the events.
    pub(crate) fn events(&self) -> Events {
        let mut stream = self.connect();
        let host = self.address;
        write!(stream, "GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
        Events { lines: BufReader::new(stream) }
    }

    pub(crate) fn stop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends without an error");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read(mut stream: TcpStream) -> Response {
    let mut bytes = Vec::new();
    // A connection that is reset has ended, too.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (status, head) = (status.unwrap_or_default(), head.to_lowercase().replace('\r', ""));
    Response { status, head, body: body.to_owned() }
}

/// A stream of events.
pub(crate) struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The data of the next event; `None` if the server ends the stream.
    pub(crate) fn next(&mut self) -> Option<u64> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("an event") == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(data.trim().parse().expect("a number"));
            }
        }
    }

    /// Whether nothing arrives for so long.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.lines.get_ref().set_read_timeout(Some(time)).expect("a limit");
        let mut line = String::new();
        loop {
            line.clear();
            match self.lines.read_line(&mut line) {
                Ok(read) if read > 0 && (line.trim().is_empty() || line.starts_with("retry:")) => {}
                Ok(_) => return false,
                Err(_) => break,
            }
        }
        self.lines.get_ref().set_read_timeout(Some(TIMEOUT)).expect("a limit");
        true
    }
}

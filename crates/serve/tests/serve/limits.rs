//! Slow clients, large requests, and many connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kiln_serve::{Limits, ServeOptions};
use tempfile::TempDir;

use crate::client::{Running, TIMEOUT};
use crate::tree::SampleRun;

fn server() -> (Running, TempDir) {
    let sweep = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    let limits = Limits { request: Duration::from_millis(600), answer: Duration::from_millis(600) };
    (Running::with(&ServeOptions { limits, ..ServeOptions::new(sweep.path()) }), sweep)
}

/// The time until the server closes the connection.
fn time_until_closed(mut stream: TcpStream) -> Duration {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(start.elapsed() < TIMEOUT, "the connection stays open");
    start.elapsed()
}

#[test]
fn slow_requests_end_and_others_are_answered_meanwhile() {
    let (server, _sweep) = server();
    let silent = server.connect();
    let mut slow = server.connect();
    let start = Instant::now();
    write!(slow, "GET / HTTP/1.1\r\nHost: localhost\r\n").expect("sent");
    loop {
        std::thread::sleep(Duration::from_millis(100));
        // The server answers others.
        assert_eq!(server.get("/live.js").status, 200);
        if slow.write_all(b"X: 1\r\n").is_err() {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "a byte from time to time keeps the connection");
    }
    assert!(time_until_closed(silent) < TIMEOUT);
}

#[test]
fn slow_readers_of_an_answer_end() {
    let (server, _sweep) = server();
    let mut stream = server.connect();
    // More answers than the buffers of the system have room for, and none is read.
    let request = "GET /live.js HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let start = Instant::now();
    while stream.write_all(request.as_bytes()).is_ok() {
        assert!(start.elapsed() < TIMEOUT, "the server takes requests without end");
    }
    assert_eq!(server.get("/live.js").status, 200);
}

#[test]
fn streams_of_events_stay_open() {
    let (server, _sweep) = server();
    let mut events = server.events();
    assert!(events.next().is_some());
    // Longer than a client has for a request.
    std::thread::sleep(Duration::from_millis(1500));
    SampleRun::new(0.2, 1, 1).write(_sweep.path());
    assert!(events.next().is_some());
}

#[test]
fn large_requests_are_refused() {
    let (server, _sweep) = server();
    for request in [
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: 1\r\n".repeat(20_000)),
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{}",
            "a".repeat(100_000)
        ),
    ] {
        let mut stream = server.connect();
        let _ = stream.write_all(request.as_bytes());
        assert!(time_until_closed(stream) < TIMEOUT);
        assert_eq!(server.get("/live.js").status, 200);
    }
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let response = server.send(nonsense);
        assert_ne!(response.status, 200, "{nonsense:?}");
    }
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let (server, _sweep) = server();
    let silent: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    // The silent ones end, and then it is the turn of this one.
    assert_eq!(server.get("/live.js").status, 200);
    drop(silent);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let (server, _sweep) = server();
    let mut streams: Vec<_> = (0..64).map(|_| server.events()).collect();
    for stream in &mut streams {
        assert!(stream.next().is_some());
    }
    assert_eq!(server.get("/events").status, 503);
    assert_eq!(server.get("/").status, 200);
    drop(streams);
    let start = Instant::now();
    // Streams that are gone give their places back.
    loop {
        let mut stream = server.connect();
        write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        if status.ends_with(b"200") {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "streams that are gone keep their places");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! Downloads of listed datasets from a server on this computer. The files are those of Fashion-MNIST in the repository, whose
//! checksums are the published ones.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::temporary;
use kiln_data::{DataError, FetchOptions, FetchProgress, Fetched, fetch, load, verify};

/// The reaction of the server to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behavior {
    /// Sends the file, or the rest of it from the requested byte.
    Normal,
    /// Ignores `Range`.
    NoRanges,
    /// Closes the connection of each request without a range after half of the file.
    CutOnce,
    /// Sends as many other bytes.
    Wrong,
    /// Sends a few bytes and then nothing.
    Stall,
    /// Sends small pieces with pauses.
    Slow,
    /// Has no file.
    NotFound,
}

/// Of each request: the file, `Range` and `If-Range`.
type Requests = Vec<(String, Option<String>, Option<String>)>;

/// A server on this computer, and the requests that it got.
struct Server {
    address: String,
    requests: Arc<Mutex<Requests>>,
    behavior: Behavior,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fashion-mnist")
}

impl Server {
    fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}/files", listener.local_addr().expect("it is bound"));
        let requests: Arc<Mutex<Requests>> = Arc::default();
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that has gone away ends only its own request.
                let _ = serve(&stream, behavior, &log);
            }
        });
        Self { address, requests, behavior }
    }

    fn requests(&self) -> Requests {
        self.requests.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: &TcpStream, behavior: Behavior, log: &Mutex<Requests>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let file = path.strip_prefix("/files/").unwrap_or_default().to_owned();
    let range = headers.get("range").cloned();
    log.lock().expect("no panic").push((
        file.clone(),
        range.clone(),
        headers.get("if-range").cloned(),
    ));
    let content = fs::read(repository().join(&file)).unwrap_or_default();
    if behavior == Behavior::NotFound || content.is_empty() {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    }
    let start: Option<usize> = range
        .as_deref()
        .filter(|_| behavior != Behavior::NoRanges)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let body = &content[start.unwrap_or(0)..];
    let status = match start {
        Some(start) => format!(
            "206 Partial Content\r\ncontent-range: bytes {start}-{}/{}",
            content.len() - 1,
            content.len()
        ),
        None => "200 OK".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"1\"\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    match behavior {
        Behavior::CutOnce if start.is_none() => stream.write_all(&body[..body.len() / 2]),
        Behavior::Wrong => stream.write_all(&vec![7; body.len()]),
        Behavior::Stall => {
            stream.write_all(&body[..10])?;
            // Until the client gives up.
            let _ = stream.read(&mut [0]);
            Ok(())
        }
        Behavior::Slow => {
            for piece in body.chunks(body.len().div_ceil(5)) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        _ => stream.write_all(body),
    }
}

#[derive(Default)]
struct Log {
    starts: Vec<(String, u64)>,
    notes: Vec<String>,
}

impl FetchProgress for Log {
    fn on_start(&mut self, file: &str, _: Option<u64>, done: u64) {
        self.starts.push((file.to_owned(), done));
    }

    fn on_bytes(&mut self, _: u64) {}

    fn on_note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }
}

fn fetch_from(from: &[&Server], data: &Path) -> (Result<Fetched, DataError>, Log) {
    // Only where a server stalls: a machine that is busy must not look like one.
    let stalls = from.iter().any(|server| server.behavior == Behavior::Stall);
    let stall = Duration::from_millis(if stalls { 500 } else { 60_000 });
    let from: Vec<String> = from.iter().map(|server| server.address.clone()).collect();
    let mut log = Log::default();
    let options = FetchOptions { from: &from, stall, ..FetchOptions::new("fashion-mnist") };
    (fetch(&options, data, &mut log), log)
}

/// A data directory that lacks only the training labels, the smallest file but one.
fn without_labels() -> tempfile::TempDir {
    let data = temporary();
    let directory = data.path().join("fashion-mnist");
    fs::create_dir(&directory).expect("writable");
    for file in ["train-images-idx3", "t10k-images-idx3", "t10k-labels-idx1"] {
        let name = format!("{file}-ubyte.gz");
        fs::copy(repository().join(&name), directory.join(name)).expect("writable");
    }
    data
}

fn assert_complete(data: &Path) {
    assert!(load("fashion-mnist", data).is_ok());
    assert!(!data.join(".downloads").exists());
}

#[test]
fn a_dataset_is_downloaded_and_verified() {
    let (data, server) = (temporary(), Server::start(Behavior::Normal));
    let (fetched, log) = fetch_from(&[&server], data.path());
    let directory = data.path().join("fashion-mnist");
    assert_eq!(fetched.expect("the server has it"), Fetched::Complete(directory.clone()));
    assert_eq!(log.starts.len(), 4);
    assert!(verify("fashion-mnist", data.path()).expect("a listed name").is_intact());
    assert_complete(data.path());
    let (again, _) = fetch_from(&[&server], data.path());
    assert_eq!(again.expect("it is there"), Fetched::AlreadyThere(directory));
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn only_missing_files_are_downloaded() {
    for behavior in [Behavior::Normal, Behavior::Slow] {
        let (data, server) = (without_labels(), Server::start(behavior));
        assert!(fetch_from(&[&server], data.path()).0.is_ok());
        let expected = ("train-labels-idx1-ubyte.gz".to_owned(), None, None);
        assert_eq!(server.requests(), [expected]);
        assert_complete(data.path());
    }
}

#[test]
fn a_cut_download_is_continued() {
    let (data, server) = (without_labels(), Server::start(Behavior::CutOnce));
    let (fetched, log) = fetch_from(&[&server], data.path());
    assert!(fetched.is_ok());
    assert_eq!(log.starts[1].1, 29_515 / 2);
    let [_, (_, range, if_range)] = &server.requests()[..] else { panic!("two requests") };
    assert_eq!(range.as_deref(), Some("bytes=14757-"));
    assert_eq!(if_range.as_deref(), Some("\"1\""));
    assert_complete(data.path());
}

#[test]
fn a_part_of_an_earlier_process_is_continued_or_replaced() {
    let part = |data: &Path| {
        let directory = data.join(".downloads/fashion-mnist");
        fs::create_dir_all(&directory).expect("writable");
        directory.join("train-labels-idx1-ubyte.gz.part")
    };
    let content = fs::read(repository().join("train-labels-idx1-ubyte.gz")).expect("it is there");
    for (behavior, bytes, requests) in [
        (Behavior::Normal, content[..1000].to_vec(), 1),
        (Behavior::NoRanges, content[..1000].to_vec(), 1),
        // The beginning of another file, which only the checksum shows.
        (Behavior::Normal, vec![7; 1000], 2),
        (Behavior::Normal, vec![7; 29_515], 1),
        (Behavior::Normal, vec![7; 30_000], 1),
        (Behavior::Normal, content.clone(), 0),
    ] {
        let (data, server) = (without_labels(), Server::start(behavior));
        fs::write(part(data.path()), bytes).expect("writable");
        // A part is never taken for the dataset.
        assert!(load("fashion-mnist", data.path()).is_err());
        let (fetched, _) = fetch_from(&[&server], data.path());
        assert!(fetched.is_ok(), "{fetched:?}");
        assert_eq!(server.requests().len(), requests);
        assert_complete(data.path());
    }
}

#[test]
fn the_next_mirror_is_tried() {
    for behavior in [Behavior::NotFound, Behavior::Wrong, Behavior::Stall] {
        let data = without_labels();
        let (broken, server) = (Server::start(behavior), Server::start(Behavior::Normal));
        let (fetched, log) = fetch_from(&[&broken, &server], data.path());
        assert!(fetched.is_ok(), "{fetched:?}");
        assert_eq!(log.notes.len(), 1);
        assert_complete(data.path());
    }
}

#[test]
fn errors_name_the_address_and_the_reason_and_leave_no_file() {
    for (behavior, reason) in [
        (Behavior::NotFound, "HTTP status 404 Not Found"),
        (Behavior::Wrong, "not the published file: its SHA-256 is "),
        (Behavior::Stall, "the connection broke after "),
    ] {
        let (data, server) = (without_labels(), Server::start(behavior));
        let error = fetch_from(&[&server], data.path()).0.expect_err("no file").to_string();
        let expected = format!("{}/train-labels-idx1-ubyte.gz: {reason}", server.address);
        assert!(error.contains(&expected), "{error}");
        assert!(!data.path().join("fashion-mnist/train-labels-idx1-ubyte.gz").exists());
    }
    // Nothing listens on this port any more.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let from = [address];
    let options = FetchOptions { from: &from, ..FetchOptions::new("mnist") };
    let error = fetch(&options, temporary().path(), &mut Log::default()).expect_err("offline");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn an_unlisted_name_is_an_error() {
    let options = FetchOptions::new("fashon-mnist");
    let error = fetch(&options, temporary().path(), &mut Log::default()).expect_err("a typo");
    assert!(error.to_string().contains("did you mean `fashion-mnist`"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let data = temporary();
    fs::write(data.path().join(".downloads"), "a file").expect("writable");
    let (result, _) = fetch_from(&[], data.path());
    assert!(matches!(result, Err(DataError::Write { .. })), "{result:?}");
}

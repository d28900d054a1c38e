//! `kiln data fetch`. The downloads themselves are tested in the data crate.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use crate::project::Project;

/// The committed files of Fashion-MNIST, which are the published ones.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fashion-mnist");

/// A server that sends these files. Returns its address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let content = std::fs::read(format!("{FILES}{path}")).unwrap_or_default();
            let status = if content.is_empty() { "404 Not Found" } else { "200 OK" };
            let length = content.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
        }
    });
    address
}

#[test]
fn a_dataset_is_downloaded_and_intact() {
    let project = Project::new();
    let missing = project.kiln(&["data", "check", "fashion-mnist"]);
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.contains("kiln data fetch fashion-mnist"), "{}", missing.stderr);

    let fetch = ["data", "fetch", "fashion-mnist", "--from", &serve()];
    let output = project.kiln_ok(&fetch);
    assert_eq!(output.last_line(), "data/fashion-mnist");
    assert!(output.stderr.contains("downloading train-images-idx3-ubyte.gz"), "{}", output.stderr);
    project.kiln_ok(&["data", "verify", "fashion-mnist"]);
    assert!(project.kiln_ok(&fetch).stderr.contains("already there"));
    assert!(!project.path("data/.downloads").exists());
}

#[test]
fn a_failed_download_says_why_and_what_to_type() {
    let project = Project::new();
    let output =
        project.kiln(&["data", "fetch", "mnist", "--from", &format!("{}nothing", serve())]);
    assert_eq!(output.status, 1);
    assert!(
        output.stderr.contains("nothing/train-images-idx3-ubyte.gz: HTTP status 404"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("help: when the network works again, repeat the command"),
        "{}",
        output.stderr
    );
    assert!(!project.path("data/mnist").exists());
    let typo = project.kiln(&["data", "fetch", "minst"]);
    assert_eq!(typo.status, 2);
    assert!(typo.stderr.contains("did you mean `mnist`?"), "{}", typo.stderr);
}

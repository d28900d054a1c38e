//! Who may ask for what.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use kiln_serve::ServeOptions;
use tempfile::TempDir;

use crate::client::Running;
use crate::tree::SampleRun;

fn sweep() -> TempDir {
    let sweep = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    sweep
}

#[test]
fn only_get_and_head_are_answered() {
    let sweep = sweep();
    let server = Running::start(sweep.path());
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X"] {
        let host = server.address;
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let response = server.send(&request);
        assert_eq!(response.status, 405, "{method}: {response:?}");
        assert_eq!(response.header("allow"), Some("get, head"));
    }
    let host = server.address;
    let head =
        server.send(&format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn every_response_forbids_requests_elsewhere() {
    let sweep = sweep();
    let server = Running::start(sweep.path());
    for path in ["/", "/nothing", "/live.js", "/run/1", "/run/1/config.toml"] {
        let response = server.get(path);
        let policy = response.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        for other in ["http:", "https:", "*", "'unsafe-eval'"] {
            assert!(!policy.contains(other), "{path}: {policy}");
        }
        let script = policy.split(';').find(|part| part.trim().starts_with("script-src"));
        assert!(!script.unwrap_or_default().contains("unsafe-inline"), "{policy}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(response.header("access-control-allow-origin").is_none(), "{path}");
    }
}

#[test]
fn names_that_were_made_to_lead_here_are_refused() {
    let sweep = sweep();
    let server = Running::start(sweep.path());
    let status = |hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        server.send(&format!("GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).status
    };
    let port = server.address.port();
    for host in [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.2",
        "[::1]",
        &format!("localhost:{port}"),
        "localhost:9000",
    ] {
        assert_eq!(status(&[host]), 200, "{host}");
    }
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "localhost:80:evil.example",
        "192.168.1.5",
        "[::ffff:192.168.1.5]",
        "0.0.0.0",
        "2130706433",
        "",
        "localhost evil.example",
    ] {
        assert!([400, 403].contains(&status(&[host])), "{host}: {}", status(&[host]));
    }
    assert!([400, 403].contains(&status(&[])));
    assert!([400, 403].contains(&status(&["localhost", "evil.example"])));
}

#[test]
fn other_sites_are_refused_except_for_links() {
    let sweep = sweep();
    let server = Running::start(sweep.path());
    let status = |site: &str, mode: &str, to: &str| {
        let headers =
            format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {to}\r\n");
        server.get_with("/", &headers).status
    };
    assert_eq!(status("cross-site", "no-cors", "image"), 403);
    assert_eq!(status("same-site", "cors", "empty"), 403);
    assert_eq!(status("cross-site", "navigate", "iframe"), 403);
    assert_eq!(status("cross-site", "navigate", "document"), 200);
    assert_eq!(status("same-origin", "cors", "empty"), 200);
    assert_eq!(status("none", "navigate", "document"), 200);
}

#[test]
fn token_is_required_and_moves_to_a_cookie() {
    let sweep = sweep();
    let server = Running::with(&ServeOptions { token: true, ..ServeOptions::new(sweep.path()) });
    let (_, token) = server.url.split_once("?token=").expect("a token in the address");
    assert!(token.len() >= 64, "{token}");
    for path in ["/", "/live.js", "/events", "/run/1", "/nothing", "/?token=", "/?token=0000"] {
        let response = server.get(path);
        assert_eq!(response.status, 401, "{path}");
        assert!(!response.body.contains(token));
    }
    let given = server.get(&format!("/?in=1&token={token}"));
    assert_eq!(given.status, 303);
    assert_eq!(given.header("location"), Some("/?in=1"));
    let cookie = given.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("httponly") && cookie.contains("samesite=lax"), "{cookie}");
    let port = server.address.port();
    let with = |value: &str| {
        server.get_with("/", &format!("Cookie: other=1; kiln-{port}={value}\r\n")).status
    };
    assert_eq!(with(token), 200);
    for wrong in ["", &token[1..], &format!("{token}0"), &token.replace('a', "b").replace('1', "2")]
    {
        assert_eq!(with(wrong), 401, "{wrong}");
    }
    let other = Running::with(&ServeOptions { token: true, ..ServeOptions::new(sweep.path()) });
    assert!(!other.url.contains(token), "another server has the same token");
}

#[test]
fn other_addresses_require_a_token() {
    let sweep = sweep();
    let address = Ipv4Addr::UNSPECIFIED.into();
    let server = Running::with(&ServeOptions { address, ..ServeOptions::new(sweep.path()) });
    assert_eq!(server.get("/").status, 401);
    let (_, token) = server.url.split_once('?').expect("a token");
    assert_eq!(server.get(&format!("/?{token}")).status, 303);
    // The token does not make another name a name of this server.
    let request =
        format!("GET /?{token} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(server.send(&request).status, 403);
    let request =
        format!("GET /?{token} HTTP/1.1\r\nHost: 192.168.1.5:80\r\nConnection: close\r\n\r\n");
    assert_eq!(server.send(&request).status, 303);
}

#[test]
fn paths_lead_only_to_files_of_runs() {
    let above = tempfile::tempdir().expect("a directory");
    std::fs::write(above.path().join("secret.txt"), "secret").expect("written");
    let sweep = above.path().join("sweep");
    let run = SampleRun::new(0.1, 1, 1).write(&sweep);
    std::fs::write(run.join("secret.txt"), "secret").expect("written");
    std::fs::write(run.join("model.safetensors"), "secret").expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink(above.path().join("secret.txt"), run.join("report.md"))
        .expect("a link");
    std::fs::write(run.join("mistakes.png"), "<script>secret</script>").expect("written");
    let server = Running::start(&sweep);
    let page = server.get("/").body;
    let (_, key) = page.split_once("/run/").expect("a link");
    let key: String = key.chars().take_while(char::is_ascii_hexdigit).collect();
    let config = server.get(&format!("/run/{key}/config.toml"));
    assert_eq!(config.status, 200);
    assert!(config.body.contains("learning_rate"));
    assert_eq!(config.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(config.header("content-security-policy").is_some_and(|it| it.contains("sandbox")));
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/run/../../secret.txt",
        "/run/..%2f..%2f/secret.txt",
        "/secret.txt",
        "//etc/passwd",
        "/run//etc/passwd",
        "/run/%2fetc/passwd",
        "/run/0000000000000000",
        "/run/0000000000000000/config.toml",
        &format!("/run/{key}/secret.txt"),
        &format!("/run/{key}/model.safetensors"),
        &format!("/run/{key}/../../secret.txt"),
        &format!("/run/{key}/..%2f..%2fsecret.txt"),
        &format!("/run/{key}/%2e%2e%2fsecret.txt"),
        &format!("/run/{key}/config.toml%00.png"),
        &format!("/run/{key}/config.toml/"),
        &format!("/run/{key}/checkpoints"),
        &format!("/run/{key}/"),
        // A link, and a picture that is none.
        &format!("/run/{key}/report.md"),
        &format!("/run/{key}/mistakes.png"),
        "/?in=../..",
        "/?in=%2fetc",
        "/?data=..",
        "http://evil.example/secret.txt",
    ] {
        let response = server.get(path);
        assert!([400, 403, 404].contains(&response.status), "{path}: {response:?}");
        assert!(!response.body.contains("secret\n"), "{path}");
        assert!(!response.body.contains("root:"), "{path}");
    }
}

#[cfg(unix)]
#[test]
fn runs_that_become_links_pipes_or_huge_files_show_nothing() {
    use std::os::unix::fs::symlink;
    let above = tempfile::tempdir().expect("a directory");
    let sweep = above.path().join("sweep");
    let runs: Vec<_> = (1..=4).map(|seed| SampleRun::new(0.1, 1, seed).write(&sweep)).collect();
    // A run elsewhere, with a secret in its settings.
    let secret = SampleRun { id: "secret".to_owned(), ..SampleRun::new(7.125, 1, 9) };
    let elsewhere = secret.write(above.path());
    // Without notifications, so that the server does not learn of it in time.
    let poll = Some(Duration::from_secs(3600));
    let server = Running::with(&ServeOptions { poll, ..ServeOptions::new(&sweep) });
    let page = server.get("/").body;
    let keys = page.split("\"/run/").skip(1).filter_map(|link| link.split('"').next());
    let mut keys: Vec<String> = keys.map(str::to_owned).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    std::fs::remove_dir_all(&runs[0]).expect("removed");
    symlink(&elsewhere, &runs[0]).expect("a link");
    // A pipe without a writer.
    std::fs::remove_file(runs[1].join("history.csv")).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(runs[1].join("history.csv")).status();
    assert!(made.expect("mkfifo").success());
    // Two gigabytes that use no space.
    let report = std::fs::File::create(runs[2].join("report.json")).expect("a file");
    report.set_len(2 << 30).expect("a length");
    // A link in place of a file.
    std::fs::remove_file(runs[3].join("config.toml")).expect("removed");
    symlink(elsewhere.join("config.toml"), runs[3].join("config.toml")).expect("a link");
    let start = Instant::now();
    let mut problems = String::new();
    for key in &keys {
        for name in ["", "/config.toml", "/history.csv", "/report.json", "/run.json"] {
            let response = server.get(&format!("/run/{key}{name}"));
            assert!([200, 404].contains(&response.status), "{response:?}");
            assert!(!response.body.contains("7.125"), "{name}: {}", response.body);
            assert!(response.body.len() < 1 << 20, "{name}");
            problems += &response.body;
        }
    }
    for problem in ["a pipe or a device", "larger than", "a symbolic link", "there is no such run"]
    {
        assert!(problems.contains(problem), "{problem}: {problems}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // The same for a server that finds them so.
    let fresh = Running::start(&sweep);
    let page = fresh.get("/").body;
    assert!(page.contains("0 combinations of settings in 0 runs"), "{page}");
    assert!(!page.contains("7.125"), "{page}");
}

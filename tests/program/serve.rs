//! `kiln serve`: its address, a sweep that works meanwhile, and its end. The tests of the crate `kiln-serve` are about its pages.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use crate::processes::{signal, start, wait_until};
use crate::project::Project;

/// A server, which ends with the test.
struct Served {
    process: Child,
    /// `http://127.0.0.1:8420/`
    url: String,
    /// `127.0.0.1:8420`
    address: String,
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        Self::of(start(project, &[&["serve"], arguments].concat()))
    }

    fn of(mut process: Child) -> Self {
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let address = url.split('/').nth(2).unwrap_or_default().to_owned();
        Self { process, url, address, _stdout: stdout }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let host = &self.address;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Signals the server, and returns its exit status and standard error.
    fn end(&mut self, name: &str) -> (Option<i32>, String) {
        signal(self.process.id(), name);
        let mut stderr = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.process.wait().unwrap().code(), stderr)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn sweep_that_works_meanwhile_is_shown() {
    let project = Project::new();
    let mut served = Served::start(&project, &["--port", "0"]);
    assert!(served.url.starts_with("http://127.0.0.1:"), "{}", served.url);
    assert!(served.get("/").contains("runs does not exist yet."));
    let sweep = ["sweep", "experiment.toml", "learning_rate=0.01,0.1", "seed=1,2", "epochs=3"];
    let mut sweeping = start(&project, &sweep);
    wait_until("the finished sweep", || {
        served.get("/").contains("2 combinations of settings in 4 runs: 4 finished.")
    });
    assert!(sweeping.wait().unwrap().success());
    // Charts that take long are drawn in the background.
    let mut page = String::new();
    wait_until("the charts", || {
        page = served.get("/");
        page.contains("val_accuracy over the epochs")
    });
    let (_, key) = page.split_once("/run/").unwrap();
    let key: String = key.chars().take_while(char::is_ascii_hexdigit).collect();
    let run = served.get(&format!("/run/{key}"));
    for part in
        ["Test result", "Confusion matrix of 3 classes", "mistakes.png", "kiln predict runs/"]
    {
        assert!(run.contains(part), "{part}");
    }
    let picture = |name: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        write!(
            stream,
            "GET /run/{key}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(picture("mistakes.png").contains("content-type: image/png"));
    assert!(picture("model.safetensors").starts_with("HTTP/1.1 404"));
    let (status, stderr) = served.end("-INT");
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.contains("runs does not exist yet"), "{stderr}");
}

#[test]
fn next_free_port_is_used_and_named() {
    let project = Project::new();
    let first = Served::start(&project, &["--port", "0"]);
    let port = first.address.rsplit_once(':').unwrap().1.to_owned();
    let mut second = Served::start(&project, &["--port", &port]);
    let other = second.address.rsplit_once(':').unwrap().1.to_owned();
    assert_ne!(port, other);
    let (status, stderr) = second.end("-TERM");
    assert_eq!(status, Some(0));
    assert!(stderr.contains(&format!("port {port} is in use, so {other} is used")), "{stderr}");
}

#[test]
fn other_addresses_have_a_token() {
    let project = Project::new();
    let served = Served::start(&project, &["--port", "0", "--bind", "127.0.0.1", "--token"]);
    assert!(served.url.contains("/?token="), "{}", served.url);
    assert!(served.get("/").starts_with("HTTP/1.1 401"));
    let all = Served::start(&project, &["--port", "0", "--bind", "0.0.0.0"]);
    assert!(all.url.contains("/?token="), "{}", all.url);
}

#[test]
fn wrong_arguments_are_refused() {
    let project = Project::new();
    for (arguments, part) in [
        (["serve", "experiment.toml"].as_slice(), "experiment.toml is a file"),
        (&["serve", "--port", "70000"], "70000"),
        (&["serve", "--bind", "no such name"], "must be an address of this machine"),
        (&["serve", "--bind", "192.0.2.1"], "cannot listen on 192.0.2.1:8420"),
    ] {
        let output = project.kiln(arguments);
        assert_ne!(output.status, 0, "{arguments:?}");
        assert!(output.stderr.contains(part), "{arguments:?}: {}", output.stderr);
    }
}

/// No thread of an idle server wakes up.
#[cfg(target_os = "linux")]
#[test]
fn idle_server_sleeps() {
    let project = Project::new();
    project.train(&["epochs=1"]);
    let served = Served::start(&project, &["--port", "0"]);
    assert!(served.get("/").contains("1 finished"));
    let wakeups = || -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", served.process.id())).unwrap();
        let counts = tasks.flatten().map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
        });
        counts.sum()
    };
    // The connection is closed, and the thread that has read the runs ends after ten seconds.
    let mut last = wakeups();
    wait_until("a silent second", || {
        std::thread::sleep(Duration::from_secs(1));
        std::mem::replace(&mut last, wakeups()) == last
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(wakeups(), last);
}

/// With a limit of its own, the server cannot watch all directories. Its page says so and what it does instead.
#[cfg(target_os = "linux")]
#[test]
fn limit_of_notifications_is_no_error() {
    for (limit, part) in [
        ("max_inotify_watches", "fs.inotify.max_user_watches"),
        ("max_inotify_instances", "fs.inotify.max_user_instances"),
    ] {
        let project = Project::new();
        std::fs::create_dir(project.path("runs")).unwrap();
        let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" serve --port 0");
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &script]);
        command.arg(env!("CARGO_BIN_EXE_kiln")).current_dir(project.path("."));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let Ok(process) = command.spawn() else { return };
        let served = Served::of(process);
        // Some systems forbid users to have limits of their own.
        if served.address.is_empty() {
            return;
        }
        let page = served.get("/");
        assert!(page.contains("Changes are looked for every ten seconds"), "{page}");
        assert!(page.contains(part), "{page}");
    }
}

//! Tests of the HTML page of a comparison in a real browser: its script, and its protection against hostile texts.
//!
//! The browser is the program that `KILN_CHROMIUM` names, or the first of `chromium`, `chromium-browser` and `google-chrome`
//! on the `PATH`. Without a browser the tests print a note and pass. If `KILN_REQUIRE_CHROMIUM` is set, they fail.

mod find;
mod interaction;
mod layout;
mod safety;
#[path = "../../../store/tests/store/tree.rs"]
mod tree;

use std::path::Path;
use std::process::{Command, Stdio};

use kiln_compare::page::page;
use kiln_compare::{CompareOptions, Comparison};
use kiln_store::Status;
use serde_json::{Value, json};
use tempfile::TempDir;

use find::chromium;
use tree::SampleRun;

/// Opens a page, and returns the document after its scripts have run.
fn open(chromium: &Path, html: &str) -> String {
    open_with(chromium, html, 1200, &[])
}

/// Opens a page in a window with this width and with further options of the browser.
fn open_with(chromium: &Path, html: &str, width: usize, options: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    std::fs::write(&file, html).expect("written");
    let profile = format!("--user-data-dir={}", directory.path().join("profile").display());
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg("--disable-dev-shm-usage")
        .args(["--virtual-time-budget=5000", "--dump-dom", &profile])
        .arg(format!("--window-size={width},900"))
        .args(options)
        .arg(&file)
        .stderr(Stdio::null())
        .output()
        .expect("Chromium starts");
    assert!(output.status.success(), "Chromium: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs `script` after the script of the page, and returns its result. Fails if either script causes an error or an alert.
fn run_script(chromium: &Path, html: &str, script: &str) -> Value {
    run_script_with(chromium, html, script, 1200, &[])
}

/// Like [`run_script`], in a window with this width and with further options of the browser.
fn run_script_with(
    chromium: &Path,
    html: &str,
    script: &str,
    width: usize,
    options: &[&str],
) -> Value {
    // The page allows only its own script. Replace its policy, and add a listener for errors before all other scripts.
    let (before, after) = html.split_once("script-src &#39;sha256-").expect("a policy");
    let (_, after) = after.split_once("&#39;").expect("a digest");
    let html = format!("{before}script-src 'unsafe-inline'{after}");
    let listener = "<script>
        window.errors = [];
        window.alert = (text) => errors.push('alert ' + text);
        addEventListener('error', (event) => errors.push('error ' + event.message), true);
        addEventListener('unhandledrejection', (event) => errors.push('rejection ' + event.reason));
        addEventListener('securitypolicyviolation', (event) => errors.push('violation ' + event.violatedDirective));
        for (const level of ['error', 'warn']) console[level] = (...texts) => errors.push(level + ' ' + texts.join(' '));
        </script>";
    let test_script = format!(
        "<script>
        const test = () => {{ {script} }};
        let result;
        try {{ result = test(); }} catch (error) {{ errors.push('thrown ' + error); }}
        const out = document.createElement('pre');
        out.id = 'result';
        setTimeout(() => {{
            out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify({{ result, errors }}))));
            document.body.append(out);
        }}, 100);
        </script>"
    );
    let html = html.replacen("<title>", &format!("{listener}<title>"), 1);
    let html = html.replacen("</body>", &format!("{test_script}</body>"), 1);
    let dom = open_with(chromium, &html, width, options);
    let (_, after) = dom.rsplit_once("<pre id=\"result\">").expect("the script completed");
    let (encoded, _) = after.split_once("</pre>").expect("an end");
    let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
    let found: Value = serde_json::from_slice(&text.expect("base64")).expect("JSON");
    assert_eq!(found["errors"], json!([]));
    found["result"].clone()
}

/// The page of a sweep whose best combination has depth 2 and learning rate 0.1.
fn sweep() -> (String, TempDir) {
    let sweep = tempfile::tempdir().expect("a temporary directory");
    for run in [
        SampleRun::new(0.01, 0, 1).best(0.8).right(700),
        SampleRun::new(0.01, 0, 2).best(0.82).right(710),
        SampleRun::new(0.1, 0, 1).best(0.85).right(800),
        SampleRun::new(0.1, 0, 2).best(0.86).right(790),
        SampleRun::new(0.1, 2, 1).best(0.9).right(900),
        SampleRun::new(0.1, 2, 2).best(0.91).right(890),
        SampleRun::new(1.0, 2, 1).best(0.55).ended(Status::Diverged),
    ] {
        run.write(sweep.path());
    }
    (page_of(sweep.path()), sweep)
}

fn page_of(sweep: &Path) -> String {
    page(&Comparison::read(&[sweep], &CompareOptions::default()).expect("a comparison"))
        .expect("a page")
}

//! Tests of the HTML page of a comparison in a real browser: its script, and its protection against hostile texts.
//!
//! The browser is the program that `KILN_CHROMIUM` names, or the first of `chromium`, `chromium-browser` and `google-chrome`
//! on the `PATH`. Without a browser the tests print a note and pass. If `KILN_REQUIRE_CHROMIUM` is set, they fail.

#[path = "../../store/tests/store/tree.rs"]
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_compare::page::page;
use kiln_compare::{CompareOptions, Comparison};
use kiln_store::Status;
use serde_json::{Value, json};
use tempfile::TempDir;

use tree::SampleRun;

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";

/// The path of Chromium, if it is installed.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("KILN_CHROMIUM").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        ["chromium", "chromium-browser", "google-chrome"]
            .iter()
            .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
            .find(|candidate| candidate.is_file())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        let problem = "Chromium is not installed; set KILN_CHROMIUM to its path";
        assert!(std::env::var_os("KILN_REQUIRE_CHROMIUM").is_none(), "{problem}");
        #[expect(clippy::print_stderr, reason = "a skipped test has no other output")]
        {
            eprintln!("skipped: {problem}");
        }
    }
    found
}

/// Opens a page, and returns the document after its scripts have run.
fn open(chromium: &Path, html: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    std::fs::write(&file, html).expect("written");
    let profile = format!("--user-data-dir={}", directory.path().join("profile").display());
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=5000", "--window-size=1200,900", "--dump-dom", &profile])
        .arg(&file)
        .stderr(Stdio::null())
        .output()
        .expect("Chromium starts");
    assert!(output.status.success(), "Chromium: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs `script` after the script of the page, and returns its result. Fails if either script causes an error or an alert.
fn run_script(chromium: &Path, html: &str, script: &str) -> Value {
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
    let dom = open(chromium, &html);
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

#[test]
fn column_headings_sort_by_click_and_by_keyboard() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script(
        &chromium,
        &html,
        "const table = document.getElementById('ranking-table');
        const heads = [...table.querySelectorAll('thead th')];
        const column = heads.findIndex((head) => head.textContent === 'test accuracy');
        const ranks = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
        const states = [{ ranks: ranks(), sort: heads[0].getAttribute('aria-sort') }];
        const button = heads[column].querySelector('button');
        for (let clicks = 0; clicks < 2; clicks += 1) {
            button.focus();
            button.click();
            states.push({ ranks: ranks(), sort: heads[column].getAttribute('aria-sort') });
        }
        return { states, first: heads[0].hasAttribute('aria-sort'), focus: document.activeElement === button, native: button.tabIndex };",
    );
    assert_eq!(
        found["states"],
        json!([
            { "ranks": ["1", "2", "3", "4"], "sort": "ascending" },
            // 0.705, 0.795 and 0.895. The combination that was not tested stays last.
            { "ranks": ["3", "2", "1", "4"], "sort": "ascending" },
            { "ranks": ["1", "2", "3", "4"], "sort": "descending" },
        ])
    );
    assert_eq!(found["first"], false, "only one column has a sort order");
    assert_eq!((&found["focus"], &found["native"]), (&json!(true), &json!(0)));
}

#[test]
fn curves_are_toggled_by_click_and_by_keyboard() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script(
        &chromium,
        &html,
        "const section = document.getElementById('curves');
        const key = section.querySelector('.key[data-line=\"1\"]');
        const shown = () => [...section.querySelectorAll('figure:not([hidden]) .run')]
            .filter((run) => getComputedStyle(run).display !== 'none').map((run) => run.dataset.line);
        const states = [[shown(), key.getAttribute('aria-pressed')]];
        key.dispatchEvent(new MouseEvent('click', { bubbles: true }));
        states.push([shown(), key.getAttribute('aria-pressed')]);
        key.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
        states.push([shown(), key.getAttribute('aria-pressed')]);
        return { states, role: key.getAttribute('role'), tab: key.getAttribute('tabindex') };",
    );
    // The best combination is drawn last, on top of the others.
    let all = json!(["3", "2", "2", "1", "1", "0", "0"]);
    let less = json!(["3", "2", "2", "0", "0"]);
    assert_eq!(found["states"], json!([[all, "true"], [less, "false"], [all, "true"]]));
    assert_eq!((&found["role"], &found["tab"]), (&json!("button"), &json!("0")));
}

#[test]
fn pointing_at_a_curve_shows_its_run_and_value() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script(
        &chromium,
        &html,
        "const figure = document.querySelector('#curves figure:not([hidden])');
        const svg = figure.querySelector('svg');
        const run = svg.querySelector('.run[data-line=\"0\"]');
        const dot = run.querySelectorAll('circle')[1].getBoundingClientRect();
        const at = { clientX: dot.x + dot.width / 2 + 3, clientY: dot.y + dot.height / 2 - 3, bubbles: true };
        svg.dispatchEvent(new PointerEvent('pointermove', at));
        const near = [...svg.querySelectorAll('.run.near')];
        const text = figure.querySelector('.readout').textContent;
        svg.dispatchEvent(new PointerEvent('pointerleave'));
        return { text, near: near.length === 1 && near[0] === run, left: svg.querySelectorAll('.run.near').length };",
    );
    let text = found["text"].as_str().expect("a text");
    // The run with seed 1 is drawn first of the two runs of the best combination. Its value in epoch 2 is 0.9.
    assert_eq!(text, "repeat 2, learning_rate 0.1, seed 1: epoch 2, 0.9000");
    assert_eq!((&found["near"], &found["left"]), (&json!(true), &json!(0)));
}

#[test]
fn heatmap_values_can_be_selected() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script(
        &chromium,
        &html,
        "const section = document.getElementById('heatmap');
        const titles = () => [...section.querySelectorAll('figure:not([hidden]) .title')].map((title) => title.textContent);
        const select = section.querySelector('select');
        const before = titles();
        select.value = 'test accuracy';
        select.dispatchEvent(new Event('change'));
        return { before, after: titles(), details: section.querySelectorAll('details').length, label: select.closest('label').textContent.startsWith('value') };",
    );
    assert_eq!(
        found,
        json!({
            "before": ["best val_accuracy by repeat and learning_rate"],
            "after": ["test accuracy by repeat and learning_rate"],
            "details": 0,
            "label": true,
        })
    );
}

#[test]
fn two_selected_runs_are_shown_side_by_side() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script(
        &chromium,
        &html,
        "const view = document.getElementById('pair-view');
        const [first, second] = document.querySelectorAll('#pair-controls select');
        const names = [...first.options].map((option) => option.textContent);
        const pick = (select, name) => {
            select.selectedIndex = names.indexOf(name);
            select.dispatchEvent(new Event('change'));
        };
        pick(first, 'repeat 0, learning_rate 0.01, seed 1');
        pick(second, 'repeat 2, learning_rate 0.1, seed 1');
        const rows = (table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
        const tables = [...view.querySelectorAll('table')].map(rows);
        return { names: names.length, tables, changes: [...view.querySelectorAll('.changes li')].map((item) => item.textContent) };",
    );
    assert_eq!(found["names"], 6, "only tested runs can be selected");
    // The runs classify the first 700 and the first 900 of 1,000 images correctly. Every second image is a boot.
    assert_eq!(
        found["tables"],
        json!([
            [["model.layers.hidden.repeat", "0", "2"], ["optimizer.learning_rate", "0.01", "0.1"]],
            [["shirt", "350", "150"], ["boot", "150", "350"]],
            [["shirt", "450", "50"], ["boot", "50", "450"]],
            [["shirt", "+100", "−100"], ["boot", "−100", "+100"]],
        ])
    );
    assert_eq!(
        found["changes"],
        json!([
            "shirt classified as boot: 100 fewer in B",
            "boot classified as shirt: 100 fewer in B"
        ])
    );
}

#[test]
fn matrix_of_sixty_classes_is_a_canvas_with_tooltips() {
    let Some(chromium) = chromium() else { return };
    let sweep = tempfile::tempdir().expect("a temporary directory");
    for depth in [0, 1] {
        let predictions = (0..60).map(|class| (class, if depth == 0 { class } else { 7 }));
        let run = SampleRun {
            class_names: (0..60).map(|class| format!("class {class}")).collect(),
            predictions: predictions.collect(),
            ..SampleRun::new(0.1, depth, 1).best(0.9 - 0.1 * depth as f64)
        };
        run.write(sweep.path());
    }
    let found = run_script(
        &chromium,
        &page_of(sweep.path()),
        "const pictures = [...document.querySelectorAll('#pair-view canvas')];
        const side = pictures[0].width / 60;
        return pictures.map((picture) => {
            // The cell of true class 3 and predicted class 7.
            const box = picture.getBoundingClientRect();
            const border = picture.clientLeft;
            const at = { clientX: box.x + border + 7.5 * side, clientY: box.y + border + 3.5 * side };
            picture.dispatchEvent(new PointerEvent('pointermove', at));
            return picture.title;
        });",
    );
    let title = |count: &str| format!("true class 3, predicted class 7: {count}");
    assert_eq!(found, json!([title("0"), title("1"), title("+1")]));
}

#[test]
fn page_runs_only_its_own_script() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let intruder = "<script>document.body.append('intruded')</script></body>";
    let dom = open(&chromium, &html.replacen("</body>", intruder, 1));
    assert!(dom.contains("aria-sort=\"ascending\""), "the script of the page did not run");
    assert!(!dom.replace(intruder, "").contains("intruded</body>"), "another script ran");
}

#[test]
fn hostile_names_are_only_text() {
    let Some(chromium) = chromium() else { return };
    let sweep = tempfile::tempdir().expect("a temporary directory");
    for (rate, seed) in [(0.01, 1), (0.1, 1)] {
        let run = SampleRun {
            class_names: vec![SCRIPT.to_owned(), "<img src=x onerror=alert(2)>".to_owned()],
            config: format!(
                "{}\n[data]\nsource = '{SCRIPT}{IMAGE}{rate}'\n",
                tree::config(rate, 1)
            ),
            ..SampleRun::new(rate, 1, seed)
        };
        run.write(sweep.path());
    }
    let found = run_script(
        &chromium,
        &page_of(sweep.path()),
        "for (const select of document.querySelectorAll('select')) {
            for (let index = 0; index < select.options.length; index += 1) {
                select.selectedIndex = index;
                select.dispatchEvent(new Event('change'));
            }
        }
        for (const button of document.querySelectorAll('th button')) button.click();
        for (const key of document.querySelectorAll('.key')) key.dispatchEvent(new MouseEvent('click', { bubbles: true }));
        const svg = document.querySelector('#curves svg');
        const box = svg.getBoundingClientRect();
        for (let step = 0; step < 20; step += 1) {
            svg.dispatchEvent(new PointerEvent('pointermove', { clientX: box.x + box.width * step / 20, clientY: box.y + box.height / 2 }));
        }
        return {
            images: document.images.length,
            scripts: document.scripts.length,
            setting: document.querySelector('#ranking-table td:nth-child(3)').textContent + document.querySelector('#ranking-table td:nth-child(2)').textContent,
            classes: document.querySelector('#pair-view .matrix tbody th').textContent,
        };",
    );
    // The data, the script of the page and the two scripts of `run_script`.
    assert_eq!((&found["images"], &found["scripts"]), (&json!(0), &json!(4)));
    let setting = found["setting"].as_str().expect("text");
    assert!(setting.contains(&format!("{SCRIPT}{IMAGE}0.")), "{setting}");
    assert_eq!(found["classes"], SCRIPT);
}

#[test]
fn page_is_complete_without_scripts() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let mut without = html;
    while let Some(start) = without.find("<script") {
        let end = without[start..].find("</script>").expect("an end") + start;
        without.replace_range(start..end + "</script>".len(), "");
    }
    let dom = open(&chromium, &without);
    assert!(!dom.contains("<script"));
    for part in [
        "id=\"ranking-table\"",
        ">best val_accuracy by repeat and learning_rate</text>",
        ">val_accuracy over the epochs</text>",
        ">0.9050</text>",
        "Other values and axes</summary>",
        "Confusion matrix of 2 classes: repeat 2, learning_rate 0.1, seed 1",
    ] {
        assert!(dom.contains(part), "{part}");
    }
}

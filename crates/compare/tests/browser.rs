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
    // The best combination is drawn last, on top of the others. Those with two seeds also have a band, below all curves.
    let all = json!(["2", "1", "0", "3", "2", "1", "0"]);
    let less = json!(["2", "0", "3", "2", "0"]);
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
        const run = svg.querySelector('.run[data-run=\"0\"]');
        const dot = run.querySelectorAll('circle')[1].getBoundingClientRect();
        const at = { clientX: dot.x + dot.width / 2 + 3, clientY: dot.y + dot.height / 2 - 3, bubbles: true };
        svg.dispatchEvent(new PointerEvent('pointermove', at));
        const near = [...svg.querySelectorAll('.run.near')];
        const text = figure.querySelector('.readout').textContent;
        svg.dispatchEvent(new PointerEvent('pointerleave'));
        return { text, near: near.length === 1 && near[0] === run, left: svg.querySelectorAll('.run.near').length };",
    );
    let text = found["text"].as_str().expect("a text");
    // The two runs of the best combination have 0.9 and 0.91 in epoch 2.
    let words = "repeat 2, learning_rate 0.1, mean of 2 runs: epoch 2, 0.9050 (0.9000 to 0.9100)";
    assert_eq!(text, words);
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
            "before": ["kept val_accuracy by repeat and learning_rate"],
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
                "{}\n[data]\nnormalize = '{SCRIPT}{IMAGE}{rate}'\n",
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
        ">kept val_accuracy by repeat and learning_rate</text>",
        ">val_accuracy over the epochs</text>",
        ">0.9050</text>",
        "Other values and axes</summary>",
        "Confusion matrix of 2 classes: repeat 2, learning_rate 0.1, seed 1",
    ] {
        assert!(dom.contains(part), "{part}");
    }
}

/// A sweep over optimizers: many settings, most of which an optimizer implies.
fn optimizers() -> (String, TempDir) {
    let sweep = tempfile::tempdir().expect("a temporary directory");
    let adam =
        "type = \"adam\"\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 1e-7\nweight_decay = 0.004";
    let rmsprop = "type = \"rmsprop\"\nrho = 0.9\nepsilon = 1e-7\ncentered = false";
    let sgd = "type = \"sgd\"\nmomentum = 0.9\nnesterov = true";
    for (index, optimizer) in [adam, rmsprop, sgd].into_iter().enumerate() {
        for depth in 1..=5 {
            for seed in [1, 2] {
                let config = tree::config(0.1, depth).replace("type = \"sgd\"", optimizer);
                let run = SampleRun {
                    id: format!("{index}-{depth}-{seed}"),
                    config: config.replace("epochs = 3", &format!("epochs = {}", 3 + depth)),
                    ..SampleRun::new(0.1, depth, seed)
                        .best(0.9 - 0.01 * (index + depth) as f64 + 0.001 * seed as f64)
                        .right(900 - 10 * index)
                };
                run.write(sweep.path());
            }
        }
    }
    (page_of(sweep.path()), sweep)
}

#[test]
fn every_column_can_be_reached() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = optimizers();
    for width in [1280, 500] {
        let found = run_script_with(
            &chromium,
            &html,
            "const table = document.getElementById('ranking-table');
            const box = table.closest('.scroll');
            const heads = [...table.querySelectorAll('thead th')];
            const shown = () => heads.filter((head) => head.offsetWidth > 0).length;
            const sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
            const before = shown();
            const words = document.querySelector('.chooser summary').textContent;
            for (const check of document.querySelectorAll('#ranking .chooser input')) if (!check.checked) check.click();
            const all = shown();
            box.scrollLeft = box.scrollWidth;
            const edge = box.getBoundingClientRect();
            const last = heads.at(-1).getBoundingClientRect();
            const first = table.tBodies[0].rows[3].cells[0].getBoundingClientRect();
            return { sideways, count: heads.length, before, words, all, last: Math.abs(last.right - edge.right) < 2, first: Math.abs(first.left - edge.left) < 2 };",
            width,
            &[],
        );
        let (count, before) =
            (found["count"].as_u64().expect("columns"), found["before"].as_u64().expect("shown"));
        assert!(before < count, "constants of the optimizers are hidden at first: {found}");
        assert_eq!(found["words"], format!("columns: {before} of {count}"), "{found}");
        assert_eq!(found["all"], count, "{found}");
        assert_eq!(found["sideways"], 0, "the page itself does not scroll sideways: {found}");
        assert_eq!((&found["last"], &found["first"]), (&json!(true), &json!(true)), "{found}");
    }
}

#[test]
fn columns_that_identify_a_row_stay_in_place() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = optimizers();
    let found = run_script_with(
        &chromium,
        &html,
        "const table = document.getElementById('ranking-table');
        const box = table.closest('.scroll');
        for (const check of document.querySelectorAll('#ranking .chooser input')) if (!check.checked) check.click();
        const cells = () => [...table.tBodies[0].rows[2].cells].slice(0, 3).map((cell) => Math.round(cell.getBoundingClientRect().left));
        const before = cells();
        box.scrollLeft = 200;
        const background = getComputedStyle(table.tBodies[0].rows[2].cells[1]).backgroundColor;
        return { before, after: cells(), background, names: [...table.querySelectorAll('thead th')].slice(0, 3).map((head) => head.textContent) };",
        1280,
        &[],
    );
    assert_eq!(found["before"], found["after"], "{found}");
    assert_eq!(found["names"], json!(["#", "repeat", "optimizer.type"]));
    assert_ne!(found["background"], "rgba(0, 0, 0, 0)", "text behind the cells would be visible");
}

#[test]
fn wide_charts_scroll_visibly_in_a_narrow_window() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let found = run_script_with(
        &chromium,
        &html,
        "const figure = document.querySelector('#curves figure:not([hidden])');
        const pan = figure.querySelector('.pan');
        const shown = (element) => getComputedStyle(element).display !== 'none';
        const state = () => ({
            left: figure.querySelector('.shade.left').classList.contains('on'),
            right: figure.querySelector('.shade.right').classList.contains('on'),
        });
        const before = state();
        const hint = shown(figure.querySelector('.hint'));
        const bar = pan.offsetHeight - pan.clientHeight;
        pan.scrollLeft = pan.scrollWidth;
        pan.dispatchEvent(new Event('scroll'));
        return { width: innerWidth, wide: pan.scrollWidth > pan.clientWidth, hint, bar, before, after: state(), sideways: document.documentElement.scrollWidth <= innerWidth };",
        400,
        &[],
    );
    assert_eq!((&found["wide"], &found["hint"]), (&json!(true), &json!(true)), "{found}");
    assert!(found["bar"].as_f64().expect("a height") > 0.0, "a scroll bar: {found}");
    assert_eq!(found["before"], json!({ "left": false, "right": true }), "{found}");
    assert_eq!(found["after"], json!({ "left": true, "right": false }), "{found}");
    assert_eq!(found["sideways"], true, "{found}");
}

#[test]
fn pictures_fit_the_dark_mode() {
    let Some(chromium) = chromium() else { return };
    let (html, _sweep) = sweep();
    let script = "const style = (selector) => getComputedStyle(document.querySelector(selector));
        const level = (color) => color.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
        return {
            page: level(style('body').backgroundColor),
            charts: [...document.querySelectorAll('.kiln-chart .surface')].map((surface) => level(getComputedStyle(surface).fill)),
            text: level(style('.kiln-chart text').fill),
            fixed: level(style('#ranking-table td').backgroundColor),
        };";
    for (options, dark) in [
        (&["--blink-settings=preferredColorScheme=1"], false),
        (&["--blink-settings=preferredColorScheme=0"], true),
    ] {
        let found = run_script_with(&chromium, &html, script, 1200, options);
        let is_dark = |value: &Value| value.as_f64().expect("a level") < 0.5;
        assert_eq!(is_dark(&found["page"]), dark, "{found}");
        assert_eq!(is_dark(&found["fixed"]), dark, "{found}");
        assert_eq!(is_dark(&found["text"]), !dark, "{found}");
        let charts = found["charts"].as_array().expect("charts");
        assert!(charts.len() > 4 && charts.iter().all(|chart| is_dark(chart) == dark), "{found}");
    }
}

/// The styles for paper, shown on the screen: cells are in one piece, and nothing is wider than the paper.
#[test]
fn printed_tables_fit_the_paper() {
    let Some(chromium) = chromium() else { return };
    for (html, _sweep) in [sweep(), optimizers()] {
        // A4 without the margins is 186 mm wide, which is 703 pixels.
        let html = html.replace("@media print{", "@media all{html{width:703px}");
        let found = run_script_with(
            &chromium,
            &html,
            "const table = document.getElementById('ranking-table');
            const lines = (cell) => {
                const range = document.createRange();
                range.selectNodeContents(cell.firstChild);
                return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
            };
            const numbers = [...table.querySelectorAll('td.number')].filter((cell) => cell.offsetWidth > 0 && cell.textContent);
            const page = table.closest('.landscape') ? 1032 : 703;
            return { width: table.offsetWidth, page, broken: numbers.filter((cell) => lines(cell) > 1).map((cell) => cell.textContent), charts: [...document.querySelectorAll('.kiln-chart')].filter((chart) => chart.getBoundingClientRect().width > 704).length };",
            1100,
            &["--blink-settings=preferredColorScheme=1"],
        );
        assert_eq!(found["broken"], json!([]), "{found}");
        let (width, page) = (found["width"].as_f64(), found["page"].as_f64());
        assert!(width <= page, "{found}");
        assert_eq!(found["charts"], 0, "{found}");
    }
}

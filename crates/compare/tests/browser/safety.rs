//! Hostile texts, and a browser that runs no scripts.

use serde_json::json;

use crate::tree::{self, SampleRun};
use crate::{chromium, open, page_of, run_script, sweep};

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"><img src=x onerror=alert(1)>";

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

//! The additions of the script: sorting, choosing and hovering.

use kiln_store::{Annotations, RunDirectory};
use serde_json::json;

use crate::tree::SampleRun;
use crate::{chromium, page_of, run_script, sweep};

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
fn rows_are_filtered_by_words_and_by_tag() {
    let Some(chromium) = chromium() else { return };
    let (_, sweep) = sweep();
    for number in 0..20 {
        SampleRun::new(0.001 * f64::from(number + 2), 0, 1).write(sweep.path());
    }
    for (run, tags) in [("0.1-0-1", &["good", "old"][..]), ("0.1-2-1", &["good"])] {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let annotations = Annotations { note: Some("<i>a note</i>".to_owned()), tags };
        RunDirectory::at(&sweep.path().join(run)).write_annotations(&annotations).expect("written");
    }
    let found = run_script(
        &chromium,
        &page_of(sweep.path()),
        "const section = document.getElementById('ranking');
        const table = document.getElementById('ranking-table');
        const shown = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
        const tag = section.querySelector('select');
        const filter = section.querySelector('input[type=search]');
        const choose = (name) => {
            tag.selectedIndex = [...tag.options].findIndex((one) => one.textContent === name);
            tag.dispatchEvent(new Event('change'));
            return shown();
        };
        const tags = [...tag.options].map((one) => one.textContent);
        const counts = [shown(), choose('good'), choose('old')];
        filter.value = 'A NOTE good';
        filter.dispatchEvent(new Event('input'));
        counts.push(shown(), choose('good'), choose('all'));
        return { tags, counts };",
    );
    assert_eq!(found, json!({ "tags": ["all", "good", "old"], "counts": [23, 2, 1, 1, 2, 2] }));
}

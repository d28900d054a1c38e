//! How the page fits windows, themes and paper.

use kiln_compare::page::page;
use kiln_compare::{CompareOptions, Comparison};
use kiln_report::{CaptionLine, CaptionedImage, ImageShape, Tone, image_grid};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tree::{self, SampleRun};
use crate::{chromium, page_of, run_script_with, sweep};

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

#[test]
fn pictures_of_mistakes_have_dark_paper_in_the_dark_mode() {
    let Some(chromium) = chromium() else { return };
    let (_, sweep) = sweep();
    let comparison = Comparison::read(&[sweep.path()], &CompareOptions::default());
    let comparison = comparison.expect("a comparison");
    // A white image, whose frame separates it from the white paper.
    let shape = ImageShape { channels: 1, height: 4, width: 4 };
    let caption = vec![CaptionLine::new("true: Shirt", Tone::Plain)];
    let image = CaptionedImage { pixels: &[255; 16], shape, caption };
    let png = image_grid(&[image], 1, 40).expect("a picture");
    let run = &comparison.combinations[0].runs[0];
    std::fs::write(run.directory.mistakes_path(), png).expect("written");
    let html = page(&comparison).expect("a page");
    // The image may still be loading. The result is read later.
    let script = "const result = {};
        const read = () => {
        const [image, copy] = document.querySelectorAll('.pictures :is(img, canvas)');
        const shown = [image, copy].map((one) => getComputedStyle(one).display !== 'none');
        const bytes = copy.getContext('2d').getImageData(0, 0, copy.width, copy.height).data;
        const center = 4 * (36 * copy.width + copy.width / 2);
        let lightest = 0;
        for (let place = 4 * 60 * copy.width; place < bytes.length; place += 4) lightest = Math.max(lightest, bytes[place]);
        Object.assign(result, { shown, corner: bytes[0], image: bytes[center], lightest, label: copy.ariaLabel });
        };
        setTimeout(read, 50);
        return result;";
    for (scheme, is_dark) in [(1, false), (0, true)] {
        let option = format!("--blink-settings=preferredColorScheme={scheme}");
        let found = run_script_with(&chromium, &html, script, 1200, &[&option]);
        assert_eq!(found["shown"], json!([!is_dark, is_dark]), "{found}");
        // Paper like the page's ground, the image as it was, and light text.
        assert_eq!((&found["corner"], &found["image"]), (&json!(22), &json!(255)), "{found}");
        assert!(found["lightest"].as_f64().expect("a level") > 180.0, "{found}");
        let label = found["label"].as_str().expect("a label");
        assert!(label.starts_with("The most confident mistakes of "), "{found}");
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

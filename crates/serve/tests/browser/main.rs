//! Tests of the live page in a real browser: a sweep that works meanwhile, ten windows, hostile names, a phone, and a server that ends.
//!
//! The browser is the program that `KILN_CHROMIUM` names, or the first of `chromium`, `chromium-browser` and `google-chrome`
//! on the `PATH`. Without a browser the tests print a note and pass. If `KILN_REQUIRE_CHROMIUM` is set, they fail.

#![cfg(unix)]

mod chromium;
#[expect(dead_code, reason = "the tests through HTTP use the rest")]
#[path = "../serve/client.rs"]
mod client;
#[path = "../../../compare/tests/browser/find.rs"]
mod find;
#[path = "../../../store/tests/store/tree.rs"]
mod tree;

use std::fs;
use std::path::Path;

use kiln_serve::ServeOptions;
use kiln_store::{Annotations, FileLock, RunDirectory, Status};
use serde_json::json;

use crate::chromium::Browser;
use crate::client::Running;
use crate::tree::SampleRun;

const HOSTILE: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>";

/// Writes a run on which a process works, with so many epochs.
fn running(sweep: &Path, rate: f64, epochs: usize) -> FileLock {
    let values = (0..epochs).map(|epoch| Some(0.5 + 0.01 * epoch as f64)).collect();
    let run = SampleRun { val_accuracies: values, ..SampleRun::new(rate, 1, 1) };
    let lock = FileLock::take(sweep, &run.id).expect("a lock");
    run.ended(Status::Running).write(sweep);
    lock
}

fn grow(sweep: &Path, id: &str, epoch: usize) {
    let path = sweep.join(id).join("history.csv");
    let row = format!("{epoch},0.5,0.75,0.5,0.{},0.01,0.500\n", 8000 + epoch);
    let text = fs::read_to_string(&path).expect("a history") + &row;
    fs::write(path, text).expect("written");
}

fn finished(sweep: &Path) {
    for (rate, seed) in [(0.01, 1), (0.01, 2), (0.1, 1), (0.1, 2)] {
        SampleRun::new(rate, 1, seed).best(0.7 + rate).right(800).write(sweep);
    }
}

#[test]
fn runs_appear_and_curves_grow_and_choices_stay() {
    let Some(mut browser) = Browser::start() else { return };
    let sweep = tempfile::tempdir().expect("a directory");
    finished(sweep.path());
    let lock = running(sweep.path(), 0.2, 1);
    let server = Running::start(sweep.path());
    let page = browser.open(&server.url, 1200);
    browser.wait(&page, "document.querySelectorAll('.progress li').length === 1");
    browser.wait(&page, "document.getElementById('live-status').textContent.startsWith('Live')");
    browser.run(
        &page,
        "window.isSame = true;
        const metric = document.querySelector('#curves select');
        metric.value = 'val_loss';
        metric.dispatchEvent(new Event('change'));
        const details = [...document.querySelectorAll('#ranking details')].find((one) => one.textContent.includes('Every run'));
        details.open = true;
        [...document.querySelectorAll('#ranking-table th button')].find((one) => one.textContent === 'runs').click();
        [...document.querySelectorAll('#curves .key')].find((key) => key.textContent.includes('0.01')).dispatchEvent(new MouseEvent('click'));
        document.querySelector('#verdicts').scrollIntoView();
        window.offset = document.querySelector('#verdicts').getBoundingClientRect().top;",
    );
    let length = "[...document.querySelectorAll('#curves figure:not([hidden]) .run path')].map((path) => path.getAttribute('d').length).reduce((all, one) => all + one, 0)";
    let before = browser.run(&page, &format!("return {length}"));
    grow(sweep.path(), "0.2-1-1", 2);
    grow(sweep.path(), "0.2-1-1", 3);
    browser.wait(&page, "document.querySelector('.progress').textContent.includes('epoch 3 of 3, val_accuracy 0.8003')");
    browser.wait(&page, &format!("{length} > {before}"));
    SampleRun::new(0.5, 1, 1).best(0.95).write(sweep.path());
    browser.wait(&page, "document.querySelector('#answer-title').textContent.includes('0.5')");
    drop(lock);
    browser.wait(
        &page,
        "document.querySelector('#progress').textContent.includes('no process works on it')",
    );
    let kept = browser.run(
        &page,
        "return {
            same: window.isSame,
            metric: document.querySelector('#curves select').value,
            open: [...document.querySelectorAll('#ranking details')].find((one) => one.textContent.includes('Every run')).open,
            sorted: document.querySelector('#ranking-table th[aria-sort]').textContent,
            off: document.querySelectorAll('#curves figure:not([hidden]) .key.off').length,
            moved: Math.round(document.querySelector('#verdicts').getBoundingClientRect().top - window.offset),
        }",
    );
    let expected = json!({ "same": true, "metric": "val_loss", "open": true, "sorted": "runs", "off": 1, "moved": 0 });
    assert_eq!(kept, expected);
    // The page of a run follows it, too.
    let link = "[...document.querySelectorAll('#runs-table a')].find((one) => one.textContent.endsWith('0.2-1-1')).href";
    let address = browser.run(&page, &format!("return {link}"));
    let run = browser.open(address.as_str().expect("an address"), 1200);
    browser.wait(&run, "document.querySelector('.status').textContent.startsWith('killed')");
    SampleRun::new(0.2, 1, 1).write(sweep.path());
    browser.wait(&run, "document.querySelector('#result') !== null");
    browser.check(&server.url);
}

#[test]
fn ten_windows_follow_one_sweep() {
    let Some(mut browser) = Browser::start() else { return };
    let sweep = tempfile::tempdir().expect("a directory");
    finished(sweep.path());
    let server = Running::with(&ServeOptions { token: true, ..ServeOptions::new(sweep.path()) });
    // With the token in the first address only: the others have the cookie.
    let first = browser.open(&server.url, 1200);
    browser.wait(
        &first,
        "document.querySelector('#ranking-table') !== null && !location.search.includes('token')",
    );
    let (base, _) = server.url.split_once('?').expect("a token");
    let mut pages = vec![first];
    for _ in 1..10 {
        pages.push(browser.open(base, 1200));
    }
    for page in &pages {
        browser.wait(page, "document.querySelectorAll('#ranking-table tbody tr').length === 2");
    }
    for (number, rate) in [(3, 0.3), (4, 0.4), (5, 0.5)] {
        SampleRun::new(rate, 1, 1).write(sweep.path());
        for page in &pages {
            browser.wait(
                page,
                &format!(
                    "document.querySelectorAll('#ranking-table tbody tr').length === {number}"
                ),
            );
        }
    }
    browser.check(&server.url);
}

#[test]
fn hostile_names_run_nothing_and_load_nothing() {
    let Some(mut browser) = Browser::start() else { return };
    let above = tempfile::tempdir().expect("a directory");
    let sweep = above.path().join("<img src=x onerror=alert(1)>\"'&lt;b&gt;");
    let hostile = |rate: f64| SampleRun {
        id: format!("<b onclick=alert(1)>&\"id{rate}"),
        class_names: vec![HOSTILE.to_owned(), "https:\u{2044}\u{2044}evil.example".to_owned()],
        config: format!("{}\n[data]\nnormalize = '{HOSTILE}{rate}'\n", tree::config(rate, 1)),
        ..SampleRun::new(rate, 1, 1)
    };
    let noted = RunDirectory::at(&hostile(0.1).write(&sweep));
    let tags = vec!["plain".to_owned()];
    noted
        .write_annotations(&Annotations { note: Some(HOSTILE.to_owned()), tags })
        .expect("written");
    let tag = "{\"format_version\": 1, \"tags\": [\"<img src=x onerror=alert(1)>\"]}";
    fs::write(hostile(0.2).write(&sweep).join("notes.json"), tag).expect("written");
    SampleRun::new(0.3, 1, 1).write(&above.path().join("plain"));
    let server = Running::start(above.path());
    let page = browser.open(&server.url, 1200);
    browser.wait(&page, "document.querySelectorAll('#runs-table tbody tr').length === 3");
    hostile(0.4).write(&sweep);
    browser.wait(&page, "document.querySelectorAll('#runs-table tbody tr').length === 4");
    let found = browser.run(&page, "return [document.images.length, [...document.querySelectorAll('#runs-table a')].map((one) => one.href)]");
    assert_eq!(found[0], 0);
    for address in found[1].as_array().expect("addresses") {
        let run = browser.open(address.as_str().expect("an address"), 1200);
        browser.wait(&run, "document.querySelector('#settings') !== null");
        assert_eq!(browser.run(&run, "return document.images.length"), 0);
    }
    // A script that reaches the page in spite of it does not run.
    browser.run(
        &page,
        "const script = document.createElement('script');
        script.textContent = 'window.intruded = true';
        document.body.append(script);",
    );
    assert_eq!(browser.run(&page, "return window.intruded === undefined"), true);
    let problems = browser.problems();
    assert!(
        problems.iter().all(|problem| problem.contains("Content Security Policy")),
        "{problems:?}"
    );
    assert_eq!(browser.requests_elsewhere(&server.url), Vec::<String>::new());
}

#[test]
fn pages_fit_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let sweep = tempfile::tempdir().expect("a directory");
    finished(sweep.path());
    let _lock = running(sweep.path(), 0.2, 1);
    let server = Running::start(sweep.path());
    let page = browser.open(&server.url, 390);
    browser.wait(&page, "document.querySelectorAll('.progress li').length === 1");
    let fits = "return document.documentElement.scrollWidth <= 390";
    assert_eq!(browser.run(&page, fits), true);
    let address = browser.run(&page, "return document.querySelector('#runs-table a').href");
    let run = browser.open(address.as_str().expect("an address"), 390);
    browser.wait(&run, "document.querySelector('#settings') !== null");
    assert_eq!(browser.run(&run, fits), true);
    browser.check(&server.url);
}

#[test]
fn page_says_that_the_server_has_ended_and_continues_with_the_next_one() {
    let Some(mut browser) = Browser::start() else { return };
    let sweep = tempfile::tempdir().expect("a directory");
    finished(sweep.path());
    let mut server = Running::start(sweep.path());
    let port = server.address.port();
    let page = browser.open(&server.url, 1200);
    browser.wait(&page, "document.getElementById('live-status').textContent.startsWith('Live')");
    server.stop();
    browser.wait(&page, "document.getElementById('live-status').textContent.startsWith('The server does not answer')");
    SampleRun::new(0.5, 1, 1).write(sweep.path());
    let _server = Running::with(&ServeOptions { port, ..ServeOptions::new(sweep.path()) });
    browser.wait(&page, "document.querySelectorAll('#ranking-table tbody tr').length === 3");
    browser.wait(&page, "document.getElementById('live-status').textContent.startsWith('Live')");
}

#[test]
fn tables_of_many_runs_are_turned_over_sorted_and_filtered() {
    let Some(mut browser) = Browser::start() else { return };
    let sweep = tempfile::tempdir().expect("a directory");
    for number in 0..250 {
        let run = SampleRun::new(0.001 * f64::from(number + 1), 1, 1);
        let run = run.best(0.8 - 0.001 * f64::from(number)).write(sweep.path());
        if number % 100 == 7 {
            let annotations =
                Annotations { tags: vec!["odd".to_owned()], ..Annotations::default() };
            RunDirectory::at(&run).write_annotations(&annotations).expect("written");
        }
    }
    let server = Running::start(sweep.path());
    for width in [1200, 390] {
        let page = browser.open(&server.url, width);
        let first = |rate: &str| {
            format!(
                "document.querySelector('#ranking-table tbody tr').cells[1].textContent === '{rate}'"
            )
        };
        let says = |text: &str| {
            format!("document.querySelector('#ranking [role=status]').textContent === '{text}'")
        };
        browser.wait(&page, &says("Rows 1 to 100 of 250."));
        browser.run(&page, "document.querySelectorAll('#ranking button.turn')[1].click()");
        browser.wait(&page, &says("Rows 101 to 200 of 250."));
        browser.run(&page, "document.querySelectorAll('#ranking button.turn')[1].click()");
        browser.wait(&page, &says("Rows 201 to 250 of 250."));
        browser.wait(&page, &first("0.201"));
        browser.run(&page, "for (let clicks = 0; clicks < 2; clicks += 1) document.querySelector('#ranking-table th:nth-child(2) button').click()");
        browser.wait(&page, &first("0.25"));
        browser.run(
            &page,
            "const filter = document.querySelector('#ranking input[type=search]');
            filter.value = '0.17';
            filter.dispatchEvent(new Event('input'));",
        );
        browser.wait(&page, &says("Rows 1 to 10 of 10 that match."));
        browser.wait(&page, &first("0.179"));
        // They stay when the page changes.
        SampleRun::new(0.9, 1, 1).best(0.5).write(sweep.path());
        browser.wait(&page, "document.querySelector('.lede').textContent.startsWith('251 ')");
        browser.wait(&page, &says("Rows 1 to 10 of 10 that match."));
        browser.wait(&page, &first("0.179"));
        browser.run(
            &page,
            "const filter = document.querySelector('#ranking input[type=search]');
            filter.value = '';
            filter.dispatchEvent(new Event('input'));
            const tag = [...document.querySelectorAll('#ranking select')].find((one) => one.options[1].textContent === 'odd');
            tag.selectedIndex = 1;
            tag.dispatchEvent(new Event('change'));",
        );
        browser.wait(&page, &says("Rows 1 to 3 of 3 that match."));
        let fits = format!("return document.documentElement.scrollWidth <= {width}");
        assert_eq!(browser.run(&page, &fits), true);
        fs::remove_dir_all(sweep.path().join("0.9-1-1")).expect("removed");
        browser.wait(&page, "document.querySelector('.lede').textContent.startsWith('250 ')");
    }
    browser.check(&server.url);
}

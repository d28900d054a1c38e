//! What the pages show.

use kiln_serve::ServeOptions;
use kiln_store::{Annotations, RunDirectory, Status};

use crate::client::Running;
use crate::tree::{self, SampleRun};

const HOSTILE: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>";

/// The addresses of the pages of runs that a page leads to.
fn runs(page: &str) -> Vec<String> {
    let links = page.split("href=\"/run/").skip(1);
    let mut runs: Vec<String> =
        links.filter_map(|link| Some(format!("/run/{}", link.split('"').next()?))).collect();
    runs.sort();
    runs.dedup();
    runs
}

#[test]
fn comparison_leads_to_the_page_of_each_run() {
    let sweep = tempfile::tempdir().expect("a directory");
    for (rate, seed) in [(0.01, 1), (0.01, 2), (0.1, 1), (0.1, 2)] {
        SampleRun::new(rate, 1, seed).best(0.7 + rate).right(800).write(sweep.path());
    }
    SampleRun::new(1.0, 1, 1).ended(Status::Diverged).write(sweep.path());
    let server = Running::start(sweep.path());
    let page = server.get("/");
    assert_eq!(page.status, 200);
    for part in [
        "Best by validation",
        "id=\"ranking-table\"",
        "val_accuracy over the epochs",
        "4 finished, 1 diverged",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    let runs = runs(&page.body);
    assert_eq!(runs.len(), 5);
    let shown: Vec<String> = runs.iter().map(|run| server.get(run).body).collect();
    let tested = shown.iter().filter(|run| run.contains("Confusion matrix of 2 classes")).count();
    assert_eq!(tested, 4);
    assert_eq!(shown.iter().filter(|run| run.contains("diverged")).count(), 1);
    for run in &shown {
        for part in ["class=\"kiln-chart\"", "learning_rate", "0.1.0", "286,810", "history.csv"] {
            assert!(run.contains(part), "{part}");
        }
    }
}

#[test]
fn page_that_has_not_changed_is_not_sent_again() {
    let sweep = tempfile::tempdir().expect("a directory");
    let run = SampleRun::new(0.1, 1, 1).write(sweep.path());
    let server = Running::start(sweep.path());
    let page = server.get("/");
    let (tag, run_page) = (page.header("etag").expect("a state"), &runs(&page.body)[0]);
    let again = server.get_with("/", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let state = server.get(run_page);
    let state = state.header("etag").expect("a state").to_owned();
    let ask = || server.get_with(run_page, &format!("If-None-Match: {state}\r\n")).status;
    assert_eq!(ask(), 304);
    std::fs::write(run.join("mistakes.png"), b"\x89PNG\r\n\x1a\n").expect("written");
    assert_eq!(ask(), 200);
}

#[test]
fn directories_and_datasets_can_be_chosen() {
    let above = tempfile::tempdir().expect("a directory");
    SampleRun::new(0.1, 1, 1).write(&above.path().join("first"));
    SampleRun::new(0.2, 1, 1).write(&above.path().join("second"));
    let other = SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.3, 1, 1) };
    other.write(&above.path().join("second"));
    let server = Running::start(above.path());
    let page = server.get("/").body;
    for link in [
        ">all (3)<",
        ">first (1)<",
        ">second (2)<",
        "fashion-mnist 50b4 (2)",
        "fashion-mnist other (1)",
    ] {
        assert!(page.contains(link), "{link}");
    }
    let (before, _) = page.split_once("\">first (1)<").expect("a link");
    let (_, address) = before.rsplit_once("href=\"").expect("an address");
    let first = server.get(address).body;
    assert_eq!(runs(&first).len(), 1);
    assert!(first.contains("aria-current=\"page\">first (1)<"));
    assert_eq!(server.get("/?in=0000").status, 404);
}

#[test]
fn hostile_names_are_only_text() {
    let above = tempfile::tempdir().expect("a directory");
    let name = "<img src=x onerror=alert(1)>\"' &amp; %2e%2e \u{202e}\u{7}";
    let run = SampleRun {
        id: "<b>&\"id".to_owned(),
        class_names: vec![HOSTILE.to_owned(), "b".to_owned()],
        config: format!("{}\n[data]\nnormalize = '{HOSTILE}'\n", tree::config(0.1, 1)),
        fingerprint: HOSTILE.to_owned(),
        ..SampleRun::new(0.1, 1, 1)
    };
    run.write(&above.path().join(name));
    let other = SampleRun { fingerprint: HOSTILE.to_owned(), ..SampleRun::new(0.2, 1, 1) };
    other.write(&above.path().join("other"));
    let server = Running::start(above.path());
    let page = server.get("/").body;
    let mut pages: Vec<String> = runs(&page).iter().map(|run| server.get(run).body).collect();
    let (_, address) = page.split_once("href=\"/?in=").expect("a link");
    let address: String = address.chars().take_while(char::is_ascii_hexdigit).collect();
    pages.push(server.get(&format!("/?in={address}")).body);
    pages.push(page);
    assert_eq!(pages.len(), 4);
    for page in &pages {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img src=x"), "{page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{7}'), "{page}");
        assert!(page.contains("onerror"), "the text is shown");
    }
}

#[test]
fn tables_of_many_runs_are_sent_in_parts() {
    let sweep = tempfile::tempdir().expect("a directory");
    for number in 0..205 {
        let run = SampleRun::new(0.001 * f64::from(number + 1), 1, 1);
        SampleRun { val_accuracies: vec![Some(0.5)], ..run.ended(Status::Failed) }
            .write(sweep.path());
    }
    let server = Running::start(sweep.path());
    let page = server.get("/").body;
    assert_eq!(runs(&page).len(), 100);
    assert!(page.contains("The first 100 of 205 rows"));
    let all = server.get("/?rows=all").body;
    assert_eq!(runs(&all).len(), 205);
    assert!(!all.contains("The first 100"));
    let last = server.get("/rows?table=runs&from=200").body;
    assert!(last.contains("data-matching=\"205\" data-from=\"200\""), "{last}");
    assert_eq!(runs(&last).len(), 5);
    let found = server.get("/rows?table=runs&words=0.177+failed&sort=learning%5frate").body;
    assert!(found.contains("data-matching=\"1\"") && found.contains("0.177-1-1"), "{found}");
    for wrong in
        ["/rows", "/rows?table=nonsense", "/rows?table=runs&in=0000", "/rows?table=runs&tag=00"]
    {
        assert_eq!(server.get(wrong).status, 404, "{wrong}");
    }
}

#[test]
fn slow_charts_are_drawn_in_the_background() {
    let sweep = tempfile::tempdir().expect("a directory");
    for number in 0..1_005 {
        SampleRun::new(0.001 * f64::from(number / 5 + 1), 1, number as u64 % 5).write(sweep.path());
    }
    let server = Running::start(sweep.path());
    let first = server.get("/");
    assert!(first.body.contains("The charts are being drawn"), "{}", first.status);
    let drawn = server.wait_for("/", "val_accuracy over the epochs");
    assert!(!drawn.contains("The charts are being drawn"));
    // A page that has not changed is not sent again.
    let tag = server.get("/").header("etag").expect("a state").to_owned();
    assert_eq!(server.get_with("/", &format!("If-None-Match: {tag}\r\n")).status, 304);
}

#[test]
fn notes_and_tags_are_shown_and_select_runs() {
    let sweep = tempfile::tempdir().expect("a directory");
    let first = SampleRun::new(0.1, 1, 1).write(sweep.path());
    let second = SampleRun::new(0.2, 1, 1).write(sweep.path());
    SampleRun::new(0.3, 1, 1).write(sweep.path());
    let note = |run: &std::path::Path, note: &str, tags: &[&str]| {
        let annotations = Annotations {
            note: Some(note.to_owned()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        };
        RunDirectory::at(run).write_annotations(&annotations).expect("written");
    };
    note(&first, "first line\nsecond <b>line</b>", &["good", "old"]);
    // Runs that have ended are not watched, so all are looked at now and then.
    let poll = Some(std::time::Duration::from_millis(50));
    let server = Running::with(&ServeOptions { poll, ..ServeOptions::new(sweep.path()) });
    let _events = server.events();
    let page = server.wait_for("/", "good (1)");
    let (before, _) = page.split_once("\">good (1)<").expect("a link");
    let (_, address) = before.rsplit_once("href=\"").expect("an address");
    let tagged = server.get(address).body;
    assert_eq!(runs(&tagged).len(), 1);
    assert!(tagged.contains("aria-current=\"page\">good (1)<"), "{tagged}");
    let run = server.get(&runs(&tagged)[0]).body;
    for part in ["Tags: good, old", "<p>first line</p>\n<p>second &lt;b&gt;line&lt;/b&gt;</p>"] {
        assert!(run.contains(part), "{part}: {run}");
    }
    // Notes may change at any time, also of a run that has finished.
    note(&second, "another", &["good"]);
    server.wait_for("/", "good (2)");
    let tagged = server.get(address).body;
    assert_eq!(runs(&tagged).len(), 2);
    std::fs::remove_file(first.join("notes.json")).expect("removed");
    std::fs::remove_file(second.join("notes.json")).expect("removed");
    server.wait_until("/", |page| !page.contains("Tags:"));
    assert_eq!(server.get(address).status, 404);
}

use std::path::Path;

use kiln_compare::page::{MAX_CURVES, MAX_PICTURES, page};
use kiln_compare::{Combination, CompareOptions, Comparison, NextStep};
use kiln_store::{Optimism, RunDirectory, Status};

use crate::read;
use crate::tree::SampleRun;
use crate::xml::{Element, parse};

const HOSTILE: &str = "\"><img src=x onerror=alert(1)>";

fn sweep() -> (Comparison, tempfile::TempDir) {
    read(&[
        SampleRun::new(0.01, 0, 1).best(0.8).right(700),
        SampleRun::new(0.01, 0, 2).best(0.82).right(710),
        SampleRun::new(0.1, 0, 1).best(0.85).right(800),
        SampleRun::new(0.1, 0, 2).best(0.86).right(802),
        SampleRun::new(1.0, 0, 1).ended(Status::Diverged),
        SampleRun::new(1.0, 2, 1).ended(Status::Pruned),
    ])
}

/// The elements of the page. HTML that is not XML is removed first: the doctype, and the content of scripts and styles.
fn elements(html: &str) -> Vec<Element> {
    let mut text = html.strip_prefix("<!doctype html>").expect("a type").to_owned();
    for name in ["script", "style"] {
        let mut kept = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(&format!("<{name}")) {
            let (tag, after) = after.split_once('>').expect("a tag has an end");
            let (_, after) = after.split_once(&format!("</{name}>")).expect("an end");
            kept.push_str(&format!("{before}<{name}{tag}></{name}>"));
            rest = after;
        }
        kept.push_str(rest);
        text = kept;
    }
    parse(&text)
}

fn named<'a>(elements: &'a [Element], name: &str) -> Vec<&'a Element> {
    elements.iter().filter(|element| element.name == name).collect()
}

/// The text of each element with this name.
fn texts<'a>(elements: &'a [Element], name: &str) -> Vec<&'a str> {
    named(elements, name).into_iter().map(|element| element.text.trim()).collect()
}

#[test]
fn answer_comes_first() {
    let (comparison, _sweep) = sweep();
    let html = page(&comparison).expect("a page");
    let elements = elements(&html);
    assert_eq!(texts(&elements, "h1"), ["depth"]);
    assert_eq!(texts(&elements, "h2")[0], "repeat\u{a0}0, learning_rate\u{a0}0.1");
    // The mean of 0.85 and 0.86 and their standard deviation, 0.01 / √2.
    assert!(html.contains("<dd>0.8550 <span class=\"deviation\">± 0.0071</span></dd>"));
    let command = texts(&elements, "code")[0];
    assert!(
        command.starts_with("kiln run ") && command.ends_with("0.1-0-1/config.toml"),
        "{command}"
    );
    let paragraphs = texts(&elements, "p").join("\n");
    assert!(
        paragraphs
            .contains("4 combinations of settings in 6 runs: 4 finished, 1 pruned, 1 diverged."),
        "{paragraphs}"
    );
    assert!(
        paragraphs.contains(
            "The next, repeat 0, learning_rate 0.01, is behind by 0.0450 of val_accuracy."
        ),
        "{paragraphs}"
    );
    let sentence = comparison.answer.expect("an answer").sentence();
    assert_eq!(
        texts(&elements, "p")[2],
        sentence,
        "the answer is the first sentence of its section"
    );
    assert!(paragraphs.contains(&sentence), "{paragraphs}");
}

#[test]
fn answer_compares_the_best_with_the_given_baseline() {
    let (_, sweep) = sweep();
    let paths: &[&Path] = &[sweep.path()];
    let options =
        CompareOptions { baseline: Some("0.01-0-1".to_owned()), ..CompareOptions::default() };
    let comparison = Comparison::read(paths, &options).expect("a comparison");
    let elements = elements(&page(&comparison).expect("a page"));
    let paragraphs = texts(&elements, "p").join("\n");
    let words = "Compared with the baseline, repeat 0, learning_rate 0.01, the best is not distinguishable from it: difference +0.0450";
    assert!(paragraphs.contains(words), "{paragraphs}");
    assert!(paragraphs.contains("the given baseline"), "{paragraphs}");
}

#[test]
fn page_is_complete_without_scripts() {
    let (comparison, _sweep) = sweep();
    let elements = elements(&page(&comparison).expect("a page"));
    let ids: Vec<_> =
        named(&elements, "section").iter().map(|e| e.attributes["id"].as_str()).collect();
    assert_eq!(
        ids,
        ["answer", "ranking", "heatmap", "curves", "relation", "classes", "pair", "verdicts"]
    );
    let contents: Vec<_> =
        named(&elements, "a").iter().map(|e| e.attributes["href"].as_str()).collect();
    assert_eq!(contents, ids.iter().map(|id| format!("#{id}")).collect::<Vec<_>>());
    let labels: Vec<_> =
        named(&elements, "svg").iter().map(|e| e.attributes["aria-label"].as_str()).collect();
    for picture in [
        "Heatmap of kept val_accuracy: kept val_accuracy by repeat and learning_rate",
        "Heatmap of test accuracy: test accuracy by repeat and learning_rate",
        "4 curves of val_accuracy: val_accuracy over the epochs",
        "kept val_accuracy against learning_rate: kept val_accuracy against learning_rate",
        "Heatmap of recall: accuracy by class",
        "Confusion matrix of 2 classes: repeat 0, learning_rate 0.1, seed 1",
        "Confusion matrix of 2 classes: repeat 0, learning_rate 0.01, seed 1",
    ] {
        assert!(labels.contains(&picture), "{picture} in {labels:#?}");
    }
    let cells = texts(&elements, "td");
    for cell in ["0.8550", "diverged", "pruned at epoch 3", "possible"] {
        assert!(cells.contains(&cell), "{cell}");
    }
}

#[test]
fn page_refers_to_nothing_outside_of_the_file() {
    let (comparison, _sweep) = sweep();
    let html = page(&comparison).expect("a page");
    for outside in ["http:", "https:", "url(", "@import", "<link", "<iframe", "<base", "srcset"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let elements = elements(&html);
    for element in &elements {
        for (name, value) in &element.attributes {
            let allowed = match name.as_str() {
                "src" => value.starts_with("data:image/png;base64,"),
                "href" => value.starts_with('#'),
                _ => !name.starts_with("on"),
            };
            assert!(allowed, "{name}={value} in {element:?}");
        }
    }
    let policy = named(&elements, "meta").into_iter().find(|e| {
        e.attributes.get("http-equiv").is_some_and(|name| name == "Content-Security-Policy")
    });
    let policy = &policy.expect("a policy").attributes["content"];
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(policy.contains("img-src data:;") && !policy.contains("unsafe-eval"), "{policy}");
}

#[test]
fn hostile_names_are_only_text() {
    let hostile = |rate: f64| SampleRun {
        class_names: vec!["<script>alert(1)</script>".to_owned(), "</script><b>".to_owned()],
        config: format!(
            "{}\n[data]\nnormalize = '{HOSTILE}{rate}'\n",
            crate::tree::config(rate, 1)
        ),
        ..SampleRun::new(rate, 1, 1)
    };
    let (mut comparison, sweep) = read(&[hostile(0.01), hostile(0.1)]);
    // A record that was edited by hand may contain such texts.
    for combination in &mut comparison.combinations {
        combination.runs[0].stop_reason = Some(HOSTILE.to_owned());
        combination.runs[0].status = Status::Failed;
        combination.runs[0].name = "<script>alert(2)</script>\u{202e}".to_owned();
    }
    comparison.left_out.push(kiln_store::Skipped {
        path: sweep.path().join("<script>alert(3)</script>"),
        problem: HOSTILE.to_owned(),
    });
    let html = page(&comparison).expect("a page");
    assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'));
    assert!(!html.contains("<img") && !html.contains("<b>"));
    let elements = elements(&html);
    assert_eq!(named(&elements, "script").len(), 2, "the data and the script of the page");
    assert_eq!(texts(&elements, "h1"), ["<script>alert(2)</script>\u{fffd}"]);
    assert!(texts(&elements, "td").contains(&format!("{HOSTILE}0.1").as_str()));
    assert!(texts(&elements, "text").contains(&"<script>alert(1)</script>"));
}

#[test]
fn images_of_mistakes_are_embedded_up_to_a_limit() {
    let runs: Vec<_> = (0..12).map(|depth| SampleRun::new(0.1, depth, 1)).collect();
    let (comparison, _sweep) = read(&runs);
    let put = |combination: &Combination, content: &[u8]| {
        let path = combination.runs[0].directory.mistakes_path();
        std::fs::write(path, content).expect("written");
    };
    let png = b"\x89PNG\r\n\x1a\n and so on";
    for combination in &comparison.combinations {
        put(combination, png);
    }
    // A file that is not a PNG is not embedded, and neither is one that is too large.
    put(&comparison.combinations[0], b"<svg onload='alert(1)'/>");
    put(&comparison.combinations[1], &[&png[..], &vec![0; 2_000_000]].concat());
    let elements = elements(&page(&comparison).expect("a page"));
    let pictures = named(&elements, "img");
    assert_eq!(pictures.len(), MAX_PICTURES);
    // The bytes above in base64.
    assert!(
        pictures
            .iter()
            .all(|e| e.attributes["src"] == "data:image/png;base64,iVBORw0KGgogYW5kIHNvIG9u")
    );
    let label = comparison.combinations[2].label(&comparison.columns);
    assert_eq!(
        pictures[0].attributes["alt"],
        format!("The most confident mistakes of {label}, seed 1")
    );
    assert!(
        texts(&elements, "p")
            .iter()
            .any(|text| text.starts_with("One run of each of the 8 best of"))
    );
}

#[test]
fn number_of_curves_is_limited_and_the_limit_is_noted() {
    let runs: Vec<_> =
        (0..150).map(|index| SampleRun::new(0.001 * (1.0 + f64::from(index)), 1, 1)).collect();
    let (comparison, _sweep) = read(&runs);
    let html = page(&comparison).expect("a page");
    let elements = elements(&html);
    let curves =
        named(&elements, "g").into_iter().filter(|e| e.attributes.contains_key("data-run"));
    // The charts of val_accuracy, val_loss and loss.
    assert_eq!(curves.count(), 3 * MAX_CURVES);
    let notes = texts(&elements, "p").join("\n") + &texts(&elements, "text").join("\n");
    for note in [
        "the 100 best of 150 combinations; one line per run",
        "learning_rate has 150 values, which are too many for an axis of a heatmap.",
        "the 30 best of 150 combinations by validation",
    ] {
        assert!(notes.contains(note), "{note}");
    }
    assert_eq!(texts(&elements, "td").iter().filter(|text| **text == "finished").count(), 2 * 150);
}

#[test]
fn without_validation_no_run_is_the_best() {
    let run = |rate: f64| SampleRun { val_accuracies: vec![None; 3], ..SampleRun::new(rate, 1, 1) };
    let (comparison, _sweep) = read(&[run(0.01), run(0.1)]);
    let html = page(&comparison).expect("a page");
    let elements = elements(&html);
    assert_eq!(texts(&elements, "h2")[0], "No answer yet");
    assert!(html.contains("so there is no ranking"));
    assert!(!html.contains("class=\"best\""));
}

#[test]
fn page_of_one_run_or_none() {
    let (single, _sweep) = read(&[SampleRun::new(0.1, 1, 1)]);
    let elements_of_one = elements(&page(&single).expect("a page"));
    assert_eq!(texts(&elements_of_one, "h2")[0], "depth");
    let nothing = Comparison { combinations: vec![], columns: vec![], baseline: None, ..single };
    let elements_of_none = elements(&page(&nothing).expect("a page"));
    assert_eq!(texts(&elements_of_none, "h1"), ["No runs"]);
}

#[test]
fn sections_without_files_are_omitted() {
    let (comparison, sweep) = sweep();
    std::fs::remove_dir_all(sweep.path()).expect("removed");
    let elements = elements(&page(&comparison).expect("a page"));
    let ids: Vec<_> =
        named(&elements, "section").iter().map(|e| e.attributes["id"].as_str()).collect();
    assert_eq!(ids, ["answer", "ranking", "heatmap", "relation", "verdicts"]);
}

#[test]
fn same_runs_give_the_same_page() {
    let (comparison, _sweep) = sweep();
    assert_eq!(page(&comparison).expect("a page"), page(&comparison).expect("a page"));
    let run: &RunDirectory = &comparison.combinations[0].runs[0].directory;
    assert!(run.is_finished());
}

#[test]
fn sentences_of_the_table_are_in_the_page() {
    let (mut comparison, _sweep) = race();
    for run in comparison.combinations.iter_mut().flat_map(|combination| &mut combination.runs) {
        let (val_accuracy, cross_fitted) = (0.9, 0.8984);
        run.optimism = Some(Optimism { epochs: 3, val_accuracy, cross_fitted, difference: 0.0016 });
    }
    let more = comparison.answer.as_mut().and_then(|answer| answer.more_seeds.as_mut());
    more.expect("two possible winners").command = Some("kiln sweep 'a b.toml' seed=4".to_owned());
    let elements_of_page = elements(&page(&comparison).expect("a page"));
    let paragraphs = texts(&elements_of_page, "p");
    let notes = kiln_compare::notes(&comparison);
    for words in [
        "Its test accuracy is ",
        "Choosing each run’s epoch by the validation images makes kept val_accuracy 0.0016 higher",
        "With 3 seeds, differences of ",
    ] {
        let words = words.replace('’', "'");
        let found = paragraphs.iter().find(|paragraph| paragraph.starts_with(&words));
        let found = found.unwrap_or_else(|| panic!("`{words}` is not in {paragraphs:#?}"));
        assert!(notes.contains(*found), "`{found}` is not in\n{notes}");
    }
    assert!(texts(&elements_of_page, "code").contains(&"kiln sweep 'a b.toml' seed=4"));

    // The proposal of the caller takes precedence, with or without a command.
    let sentence = "To continue the race, resume it:".to_owned();
    comparison.proposal = Some(NextStep { sentence: sentence.clone(), command: None });
    let elements_of_page = elements(&page(&comparison).expect("a page"));
    assert!(texts(&elements_of_page, "p").contains(&sentence.as_str()));
    assert!(kiln_compare::notes(&comparison).ends_with(&format!("{sentence}\n")));
    assert_eq!(texts(&elements_of_page, "code").len(), 1, "the command of the best run");
}

#[test]
fn settings_that_interact_are_named_in_the_page() {
    let mut runs = Vec::new();
    for (rate, depth, best) in [(0.1, 1, 0.9), (0.1, 2, 0.8), (0.01, 1, 0.8), (0.01, 2, 0.9)] {
        for seed in 1..=3 {
            runs.push(SampleRun::new(rate, depth, seed).best(best + 0.001 * seed as f64));
        }
    }
    let (comparison, _sweep) = read(&runs);
    let elements = elements(&page(&comparison).expect("a page"));
    let found = kiln_compare::interactions(&comparison);
    assert!(found[0].contains(" interact (p < 0.001)"), "{found:?}");
    assert!(texts(&elements, "p").contains(&found[0].as_str()));
}

/// Three seeds each: two combinations are nearly the same, two are far behind.
fn race() -> (Comparison, tempfile::TempDir) {
    let mut runs = Vec::new();
    for (rate, depth, best) in [(0.1, 2, 0.9), (0.1, 1, 0.8995), (0.01, 2, 0.85), (0.01, 1, 0.8)] {
        for seed in 1..=3 {
            let nudge = 0.002 * f64::from((seed * (depth as u32 + 1)) % 3);
            runs.push(SampleRun::new(rate, depth, u64::from(seed)).best(best + nudge));
        }
    }
    read(&runs)
}

#[test]
fn possible_winners_are_marked() {
    let (comparison, _sweep) = race();
    let answer = comparison.answer.as_ref().expect("an answer");
    assert_eq!((answer.possible_winners, answer.judged), (2, 4));
    let html = page(&comparison).expect("a page");
    let elements = elements(&html);
    let rows = |class: &str| named(&elements, "tr").iter().filter(|e| e.has("tr", class)).count();
    // One of the table is also the best; the others are in the list of the answer.
    assert_eq!((rows("best winner"), rows("winner")), (1, 1 + 2));
    assert!(texts(&elements, "caption").contains(&"Possible winners"));
    let cells = texts(&elements, "td");
    assert_eq!(cells.iter().filter(|cell| **cell == "possible").count(), 2);
    // Each heatmap of the two settings has a thick frame, and a thin one for the other possible winner.
    let frames = |class: &str| elements.iter().filter(|e| e.has("rect", class)).count();
    assert_eq!(frames("best"), frames("winner"));
    assert!(frames("best") > 0);
    let effects = named(&elements, "section").iter().any(|e| e.attributes["id"] == "effects");
    assert!(effects, "the runs are a grid with several seeds");
    let rings = elements.iter().filter(|e| e.has("circle", "winner")).count();
    // Two each against the learning rate and against the depth, and the best value of each in the effects.
    assert_eq!(rings, 2 * 2 + 2);
}

//! How the table fits the width of a terminal.

use kiln_compare::{Comparison, TableOptions, terminal};
use kiln_report::Terminal;
use tempfile::TempDir;

use crate::tree::{SampleRun, config};
use crate::{labels, read};

const WIDTHS: [u16; 5] = [60, 80, 100, 120, 160];

/// Three optimizers with the learning rates that suit them; the settings of SGD without and with momentum differ.
fn optimizers() -> (Comparison, TempDir) {
    let adam = "type = \"adam\"\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 1e-7";
    let rmsprop = "type = \"rmsprop\"\nrho = 0.9\nmomentum = 0.0\nepsilon = 1e-7\ncentered = false";
    let sgd = "type = \"sgd\"\nmomentum = 0.0\nnesterov = false\nweight_decay = 0.0";
    let nesterov = "type = \"sgd\"\nmomentum = 0.9\nnesterov = true\nweight_decay = 0.0";
    let mut runs = Vec::new();
    for (index, optimizer) in [adam, rmsprop, sgd, nesterov].into_iter().enumerate() {
        for rate in ["0.003", "0.01", "0.03"] {
            for seed in [1, 2] {
                let config = config(0.1, 3)
                    .replace("type = \"sgd\"", optimizer)
                    .replace("learning_rate = 0.1", &format!("learning_rate = {rate}"));
                runs.push(SampleRun {
                    id: format!("{index}-{rate}-{seed}"),
                    config,
                    ..SampleRun::new(0.1, 3, seed)
                        .best(0.8 + 0.01 * index as f64 + 0.001 * seed as f64)
                        .right(800 + 10 * index)
                });
            }
        }
    }
    read(&runs)
}

/// Lists of layers that begin and end alike.
pub(crate) fn layers() -> (Comparison, TempDir) {
    let dense = |units: usize| {
        format!("[[model.layers]]\ntype = \"dense\"\nunits = {units}\nactivation = \"relu\"\n\n")
    };
    let dropout = "[[model.layers]]\ntype = \"dropout\"\nrate = 0.25\n\n";
    let hidden = [
        dense(300) + &dense(200) + &dense(100) + &dense(50),
        dense(300) + &dense(200) + dropout + &dense(100) + &dense(50),
        dense(300) + &dense(200) + &dense(30) + &dense(100) + &dense(50),
    ];
    let runs = hidden.into_iter().enumerate().flat_map(|(index, hidden)| {
        [1, 2].map(|seed| {
            let whole = config(0.1, 1);
            let (before, rest) = whole.split_once("\n\n").expect("layers");
            let (_, after) = rest.split_once("\n\n").expect("layers");
            SampleRun {
                id: format!("{index}-{seed}"),
                config: format!("{before}\n\n{hidden}{after}"),
                ..SampleRun::new(0.1, 1, seed).best(0.8 + 0.01 * (index + seed as usize) as f64)
            }
        })
    });
    read(&runs.collect::<Vec<_>>())
}

fn table(comparison: &Comparison, width: u16, color: bool) -> String {
    terminal(comparison, &TableOptions::default(), Terminal { width, color }).expect("a table")
}

/// The text without escape codes, which take no room on the screen.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, code)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = code.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// The lines of the heading: those between the first two rules.
fn heading(table: &str) -> String {
    let lines = table.lines().skip(1).take_while(|line| !line.starts_with('─'));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_setting_lacks_to_the_best_stays_longer_than_the_test_accuracy() {
    let mut runs = Vec::new();
    for rate in [0.003, 0.01, 0.03, 0.1] {
        for depth in [0, 1, 2, 3] {
            for seed in [1, 2, 3] {
                let best = 0.85 + 0.3 * rate + 0.001 * ((depth as u64 * 3 + seed) % 5) as f64;
                runs.push(SampleRun::new(rate, depth, seed).best(best).right(880));
            }
        }
    }
    let (comparison, _sweep) = read(&runs);
    let text = table(&comparison, 79, false);
    let (rows, notes) = text.split_once("Omitted").expect("omitted columns");
    assert!(rows.contains("behind") && rows.contains("0.0000 to 0."), "{text}");
    assert!(notes.contains("test accuracy") && !notes.contains("behind"), "{text}");
    // The measure that ranks and the standing are left in the end.
    let text = table(&comparison, 50, false);
    let (rows, notes) = text.split_once("Omitted").expect("omitted columns");
    assert!(rows.contains("possible") && notes.contains("behind"), "{text}");
}

#[test]
fn constants_of_an_optimizer_go_before_results() {
    let (comparison, _sweep) = optimizers();
    for width in WIDTHS {
        let text = table(&comparison, width, false);
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
        let (rows, notes) = text.split_once("Omitted").unwrap_or((&text, ""));
        // The best rows, their accuracy and whether they may be the best.
        for part in ["0.8315 ± 0.0007", "possible", "0.003", "rmsprop", "sgd", "adam", "0.9"] {
            assert!(rows.contains(part), "`{part}` is missing at {width} columns:\n{text}");
        }
        if width <= 120 {
            let heading = heading(&text);
            for constant in ["beta_", "rho", "epsilon", "centered", "decay"] {
                let is_omitted = notes.contains(constant) && !heading.contains(constant);
                assert!(is_omitted, "{constant} at {width} columns:\n{text}");
            }
        }
    }
    let results = table(&comparison, 120, false);
    assert!(results.contains("0.8300 ± 0.0000"), "the test accuracy fits:\n{results}");
    let all = table(&comparison, 400, false);
    assert!(all.contains("beta_1") && !all.contains("Omitted"), "{all}");
}

#[test]
fn labels_skip_what_the_type_implies() {
    let (comparison, _sweep) = optimizers();
    let labels = labels(&comparison);
    for label in [
        "optimizer.type adam, learning_rate 0.003",
        "optimizer.type rmsprop, learning_rate 0.01",
        "optimizer.type sgd, momentum 0.9, nesterov true, learning_rate 0.03",
    ] {
        assert!(labels.iter().any(|known| known == label), "{label} in {labels:#?}");
    }
}

#[test]
fn learning_rates_are_never_implied() {
    let run = |optimizer: &str, rate: f64| SampleRun {
        id: optimizer.to_owned(),
        config: config(rate, 1)
            .replace("type = \"sgd\"", &format!("type = \"{optimizer}\"\nepsilon = {rate:?}")),
        ..SampleRun::new(rate, 1, 1)
    };
    let (comparison, _sweep) = read(&[run("adam", 0.001), run("lion", 0.0001)]);
    let labels = labels(&comparison);
    let label = "optimizer.type adam, learning_rate 0.001".to_owned();
    assert!(labels.contains(&label), "{labels:#?}");
}

#[test]
fn drawn_settings_of_a_single_combination_are_not_implied() {
    let run = |optimizer: &str, rate: f64, momentum: f64| SampleRun {
        id: format!("{optimizer}-{rate}"),
        config: config(rate, 1)
            .replace("type = \"sgd\"", &format!("type = \"{optimizer}\"\nmomentum = {momentum:?}")),
        ..SampleRun::new(rate, 1, 1)
    };
    let (comparison, _sweep) =
        read(&[run("sgd", 0.1, 0.5), run("sgd", 0.2, 0.9), run("rmsprop", 0.01, 0.5)]);
    let labels = labels(&comparison);
    let single = "optimizer.type rmsprop, momentum 0.5, learning_rate 0.01".to_owned();
    assert!(labels.contains(&single), "{labels:#?}");
}

#[test]
fn colors_do_not_change_the_layout() {
    for (comparison, _sweep) in [optimizers(), layers()] {
        for width in 40..180 {
            let colored = table(&comparison, width, true);
            let lines: Vec<_> =
                plain(&colored).lines().map(|line| line.trim_end().to_owned()).collect();
            let expected = table(&comparison, width, false);
            assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{width} columns");
        }
    }
}

#[test]
fn long_settings_keep_what_differs() {
    let (comparison, _sweep) = layers();
    for width in WIDTHS {
        let text = table(&comparison, width, false);
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
        for part in ["dropout 0.25", "30 relu", "0.8350", "best?"] {
            assert!(text.contains(part), "`{part}` is missing at {width} columns:\n{text}");
        }
    }
}

#[test]
fn headings_break_between_words() {
    let (comparison, _sweep) = optimizers();
    let heading = heading(&table(&comparison, 100, false));
    assert!(heading.contains(" val_accuracy"), "{heading}");
}

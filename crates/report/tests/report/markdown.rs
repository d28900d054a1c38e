use kiln_report::markdown;
use kiln_store::{EpochRow, History, Optimism, RunRecord, Status, TestReport, Tested};

use crate::samples::{Test, directory, finished, history, record, row, running, test};

#[test]
fn a_finished_run_matches_the_golden_report() {
    let runs = directory();
    let run = finished(runs.path());
    let text = std::fs::read_to_string(run.markdown_path()).expect("read");
    assert_eq!(text, include_str!("golden/report.md"));
}

/// The golden report checks the sentence about a choice that was too optimistic.
#[test]
fn a_choice_that_made_no_difference_is_not_called_too_high() {
    let optimism =
        Optimism { epochs: 3, val_accuracy: 0.8, cross_fitted: 0.801, difference: -0.001 };
    let text =
        markdown(&RunRecord { optimism: Some(optimism), ..record() }, &history(), None, None);
    let sentence = "\nval_accuracy of the kept epoch: 0.8000, chosen among 3 epochs by the same images, but not too high \
                    (cross-fitting: 0.8010).\n";
    assert!(text.contains(sentence), "{text}");
}

#[test]
fn a_report_of_an_earlier_kiln_has_no_sentence_about_the_most_frequent_class() {
    let test = test();
    let tested = Tested { most_frequent: None, ..test.tested() };
    let report = TestReport::new(&tested).expect("a report");
    assert!(!markdown(&record(), &history(), Some(&report), None).contains("most frequent"));
}

#[test]
fn a_diverged_run_has_empty_cells_for_missing_numbers() {
    let record = RunRecord {
        status: Status::Diverged,
        stop_reason: Some("the loss became NaN in epoch 2, step 7".to_owned()),
        epochs: 1,
        training_seconds: Some(0.6),
        optimism: None,
        ..record()
    };
    let mut history = history();
    history.rows.truncate(1);
    history.rows.push(EpochRow {
        epoch: 2,
        learning_rate: 0.000_012_345,
        seconds: 0.34,
        ..EpochRow::default()
    });
    insta::assert_snapshot!(markdown(&record, &history, None, None), @r"
    # fashion-mnist

    Run 20250601-123456, diverged: the loss became NaN in epoch 2, step 7.

    The run was not tested; there are no test results.

    |  |  |
    |---|---|
    | data | fashion-mnist: 55,000 training, 5,000 validation and 8 test images |
    | dataset sha256 | sha256:0123456789abcdef |
    | parameters | 286,810 |
    | seed | 42 |
    | backend | flex (burn), 1 thread |
    | versions | Kiln 0.1.0, Burn 0.22.1, commit 402e127 |
    | started | 2025-06-01 12:34:56 UTC |
    | trained | 1 epoch in 0.6 s |

    ## History

    ![Loss and accuracy over the epochs](history.svg)

    | epoch | loss | accuracy | val_loss | val_accuracy | learning_rate | seconds | top_3_accuracy |
    |--:|--:|--:|--:|--:|--:|--:|--:|
    | 1 | 0.7500 | 0.5000 | 0.6000 | 0.7000 | 0.01 | 20.4 | 0.9500 |
    | 2 |  |  |  |  | 1.234e-5 | 0.3 |  |

    The lowest validation loss was reached in epoch 1.

    ## Retrain this run

    `config.toml` in this directory is the full configuration, with every value explicit. To train a new run with it:

    ```
    kiln run RUN/config.toml
    ```

    Run the command in the directory where this run was started. RUN is the path of this directory.
    ");
}

#[test]
fn a_run_without_epochs_has_no_history() {
    let record = RunRecord { git_commit: None, threads: 4, ..running() };
    insta::assert_snapshot!(markdown(&record, &History::default(), None, None), @r"
    # fashion-mnist

    Run 20250601-123456, running, or its process was killed.

    The run was not tested; there are no test results.

    |  |  |
    |---|---|
    | data | fashion-mnist: 55,000 training, 5,000 validation and 8 test images |
    | dataset sha256 | sha256:0123456789abcdef |
    | parameters | 286,810 |
    | seed | 42 |
    | backend | flex (burn), 4 threads |
    | versions | Kiln 0.1.0, Burn 0.22.1 |
    | started | 2025-06-01 12:34:56 UTC |

    ## History

    No epoch was completed.

    ## Retrain this run

    `config.toml` in this directory is the full configuration, with every value explicit. To train a new run with it:

    ```
    kiln run RUN/config.toml
    ```

    Run the command in the directory where this run was started. RUN is the path of this directory.
    ");
}

#[test]
fn long_histories_are_shortened() {
    let rows =
        (1..=100).map(|epoch| row(epoch, [0.5, 0.5, if epoch == 37 { 0.1 } else { 0.2 }, 0.5]));
    let history = History { rows: rows.collect(), ..history() };
    let text = markdown(&record(), &history, None, None);
    let epochs: Vec<usize> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next()?.parse().ok())
        .collect();
    let mut expected: Vec<usize> = (1..=20).map(|step| step * 5).collect();
    expected.extend([1, 37]);
    expected.sort();
    assert_eq!(epochs, expected);
    assert!(text.contains("22 of 100 epochs; history.csv has them all."), "{text}");
    assert!(text.contains("The lowest validation loss was reached in epoch 37."), "{text}");
}

#[test]
fn names_are_escaped() {
    let hostile = ["<img src=x>", "a|b", "*[x](y)`\u{1b}[31m\n\n# c"];
    let test = Test::new(&hostile, &[(0, &[0.0, 1.0, 0.0]), (1, &[0.0, 0.0, 1.0])]);
    let report = TestReport::new(&test.tested()).expect("a report");
    let text = markdown(&record(), &history(), Some(&report), None);
    assert!(text.contains("\n| &lt;img src=x&gt; |"), "{text}");
    assert!(text.contains("\n| a\\|b |"), "{text}");
    assert!(text.contains("\n| \\*\\[x\\](y)\\`U+001B\\[31mU+000AU+000A\\# c |"), "{text}");
    assert!(text.contains("\n- 1 of 1 &lt;img src=x&gt; predicted as a\\|b\n"), "{text}");
    assert!(
        text.contains("\nNote: no precision for &lt;img src=x&gt;: never predicted; "),
        "{text}"
    );
}

#[test]
fn a_test_without_mistakes_lists_no_confusions() {
    let test = Test::new(&["cat", "dog"], &[(0, &[1.0, 0.0]), (1, &[0.0, 1.0])]);
    let report = TestReport::new(&test.tested()).expect("a report");
    let text = markdown(&record(), &history(), Some(&report), None);
    assert!(!text.contains("Most often confused"), "{text}");
}

#[test]
fn only_the_five_most_frequent_confusions_are_listed() {
    let images: Vec<(u16, &[f32])> = (0..4)
        .flat_map(|label| {
            let rows: [&[f32]; 4] = [
                &[1.0, 0.0, 0.0, 0.0],
                &[0.0, 1.0, 0.0, 0.0],
                &[0.0, 0.0, 1.0, 0.0],
                &[0.0, 0.0, 0.0, 1.0],
            ];
            rows.map(|row| (label, row))
        })
        .collect();
    let report = TestReport::new(&Test::new(&["a", "b", "c", "d"], &images).tested());
    let text = markdown(&record(), &history(), Some(&report.expect("a report")), None);
    assert_eq!(text.matches(" predicted as ").count(), 5);
}

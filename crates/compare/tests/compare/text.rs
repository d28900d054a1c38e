use std::fs;
use std::path::Path;

use kiln_compare::{Comparison, TableOptions, csv, markdown, notes, terminal};
use kiln_report::Terminal;
use kiln_store::Status;

use crate::tree::{SampleRun, config};
use crate::{compared, directory, shown};

/// Two depths by two learning rates with two seeds each, of which one run diverged. One more run was pruned, and another one
/// has not started.
pub(crate) fn sample(sweep: &Path) -> Comparison {
    let mut runs = Vec::new();
    for (rate, depth, best, right) in
        [(0.1, 0, 0.86, 840), (0.1, 2, 0.9, 880), (0.01, 0, 0.84, 700), (0.01, 2, 0.85, 860)]
    {
        for seed in [1, 2] {
            let nudge = seed as f64 / 128.0;
            let run = SampleRun::new(rate, depth, seed).best(best + nudge);
            runs.push(run.right(right + 2 * seed as usize));
        }
    }
    runs[1] = runs[1].clone().ended(Status::Diverged);
    runs.push(SampleRun::new(0.001, 2, 1).best(0.6).ended(Status::Pruned));
    fs::create_dir_all(sweep.join("next")).expect("a directory");
    fs::write(sweep.join("next/config.toml"), "").expect("a file");
    compared(sweep, &runs)
}

pub(crate) fn options(sort: &str, columns: &[&str], all_seeds: bool) -> TableOptions {
    TableOptions {
        sort: Some(sort.to_owned()).filter(|sort| !sort.is_empty()),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        all_seeds,
    }
}

fn in_terminal(comparison: &Comparison, options: &TableOptions) -> String {
    terminal(comparison, options, Terminal { width: 200, color: false }).expect("a table")
}

#[test]
fn wide_terminal() {
    let sweep = directory();
    insta::assert_snapshot!(shown(&sample(sweep.path()), sweep.path(), 200), @"
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     repeat  learning_rate  kept epoch    kept val_accuracy    last val_accuracy            test loss        test accuracy  seconds  status                  best?     behind
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     2       0.1                   2.0  0.9117 ± 0.0055 (2)  0.6250 ± 0.0000 (2)  0.5000 ± 0.0000 (2)  0.8830 ± 0.0014 (2)      1.5  finished                possible  0.0000 to 0.0000
     2       0.01                  2.0  0.8617 ± 0.0055 (2)  0.6250 ± 0.0000 (2)  0.5000 ± 0.0000 (2)  0.8630 ± 0.0014 (2)      1.5  finished                worse     0.0497 to 0.0503
     0       0.01                  2.0  0.8517 ± 0.0055 (2)  0.6250 ± 0.0000 (2)  0.5000 ± 0.0000 (2)  0.7030 ± 0.0014 (2)      1.5  finished                worse     0.0597 to 0.0603
     0       0.1                     2           0.8678 (1)           0.6250 (1)           0.5000 (1)           0.8420 (1)      1.5  1 finished, 1 diverged
     2       0.001                   3               0.6250               0.6250                                                1.5  pruned at epoch 3
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    9 runs in 5 combinations, ranked by kept val_accuracy of finished runs; test results are not used for ranking. Numbers are mean ± standard deviation (runs).
    All runs keep the weights of their epoch with the best val_accuracy.
    Best by validation: repeat 2, learning_rate 0.1. Its test accuracy is 0.8830, with an interval of 0.8615 to 0.9015 for the choice of the 1,000 test images.
    95 % sure: the marked setting is the best. The other 2 are not better. One more setting is not judged.
    `behind` is how far a setting is behind the best in kept val_accuracy, as an interval at level 0.05. All have the same seeds, so what a seed does to all of them is subtracted. The answer covers the variation between seeds, but not the choice of the validation images: they are the same for all seeds.
    No verdict for repeat 0, learning_rate 0.1: it has one seed, which says nothing about the setting.
    Skipped:
      <sweep>/next: the run did not start: it has a config.toml but no run.json
    ");
}

#[test]
fn narrow_terminal() {
    let sweep = directory();
    insta::assert_snapshot!(shown(&sample(sweep.path()), sweep.path(), 80), @"
    ─────────────────────────────────────────────────────────────────────────
     repeat  learning_    kept val_accuracy  status                  best?
             rate
    ─────────────────────────────────────────────────────────────────────────
     2       0.1        0.9117 ± 0.0055 (2)  finished                possible
     2       0.01       0.8617 ± 0.0055 (2)  finished                worse
     0       0.01       0.8517 ± 0.0055 (2)  finished                worse
     0       0.1                 0.8678 (1)  1 finished, 1 diverged
     2       0.001                   0.6250  pruned at epoch 3
    ─────────────────────────────────────────────────────────────────────────
    Omitted to fit 80 characters: seconds, last val_accuracy, kept epoch, test loss,
    test accuracy, behind. --columns chooses the columns; --csv, --md and --json
    have them all.
    9 runs in 5 combinations, ranked by kept val_accuracy of finished runs; test results are not used for ranking. Numbers are mean ± standard deviation (runs).
    All runs keep the weights of their epoch with the best val_accuracy.
    Best by validation: repeat 2, learning_rate 0.1. Its test accuracy is 0.8830, with an interval of 0.8615 to 0.9015 for the choice of the 1,000 test images.
    95 % sure: the marked setting is the best. The other 2 are not better. One more setting is not judged.
    `behind` is how far a setting is behind the best in kept val_accuracy, as an interval at level 0.05. All have the same seeds, so what a seed does to all of them is subtracted. The answer covers the variation between seeds, but not the choice of the validation images: they are the same for all seeds.
    No verdict for repeat 0, learning_rate 0.1: it has one seed, which says nothing about the setting.
    Skipped:
      <sweep>/next: the run did not start: it has a config.toml but no run.json
    ");
}

#[test]
fn table_fits_any_width_without_breaking_numbers() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let whole = shown(&comparison, sweep.path(), 200);
    let numbers: Vec<&str> = whole.split_whitespace().filter(|word| word.len() > 5).collect();
    for width in 44..200 {
        let layout = Terminal { width, color: false };
        let text = terminal(&comparison, &TableOptions::default(), layout).expect("a table");
        for line in text.lines().take_while(|line| !line.starts_with("Omitted")) {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            for word in line.split_whitespace().filter(|word| word.starts_with("0.8")) {
                assert!(numbers.contains(&word), "{width}: {word}");
            }
        }
    }
}

#[test]
fn colors_are_used_only_in_color_terminals() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let text = |color| {
        let layout = Terminal { width: 120, color };
        terminal(&comparison, &TableOptions::default(), layout).expect("a table")
    };
    // Red in the palette of 256 colors.
    assert!(text(true).contains("\u{1b}[38;5;9m"));
    assert!(!text(false).contains('\u{1b}'));
}

#[test]
fn sort_and_columns_accept_headings_and_keys() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let columns = ["learning_rate", "hidden.repeat", "epochs", "test_accuracy"];
    insta::assert_snapshot!(in_terminal(&comparison, &options("test accuracy", &columns, false)), @r"
    ───────────────────────────────────────────────────
     learning_rate  repeat  epochs        test accuracy
    ───────────────────────────────────────────────────
     0.1            2       3       0.8830 ± 0.0014 (2)
     0.01           2       3       0.8630 ± 0.0014 (2)
     0.1            0       3                0.8420 (1)
     0.01           0       3       0.7030 ± 0.0014 (2)
     0.001          2       3
    ───────────────────────────────────────────────────
    ");
    insta::assert_snapshot!(in_terminal(&comparison, &options("learning_rate", &columns[..2], false)), @r"
    ──────────────────────
     learning_rate  repeat
    ──────────────────────
     0.001          2
     0.01           2
     0.01           0
     0.1            2
     0.1            0
    ──────────────────────
    ");
}

#[test]
fn one_row_per_run() {
    let sweep = directory();
    insta::assert_snapshot!(in_terminal(&sample(sweep.path()), &options("best val_accuracy", &[], true)), @"
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     repeat  learning_rate  seed  run        kept epoch  kept val_accuracy  last val_accuracy  test loss  test accuracy  seconds  status
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     2       0.1               2  0.1-2-2             2             0.9156             0.6250     0.5000         0.8840      1.5  finished
     2       0.1               1  0.1-2-1             2             0.9078             0.6250     0.5000         0.8820      1.5  finished
     0       0.1               2  0.1-0-2             2             0.8756             0.6250                                1.5  diverged
     0       0.1               1  0.1-0-1             2             0.8678             0.6250     0.5000         0.8420      1.5  finished
     2       0.01              2  0.01-2-2            2             0.8656             0.6250     0.5000         0.8640      1.5  finished
     2       0.01              1  0.01-2-1            2             0.8578             0.6250     0.5000         0.8620      1.5  finished
     0       0.01              2  0.01-0-2            2             0.8556             0.6250     0.5000         0.7040      1.5  finished
     0       0.01              1  0.01-0-1            2             0.8478             0.6250     0.5000         0.7020      1.5  finished
     2       0.001             1  0.001-2-1           3             0.6250             0.6250                                1.5  pruned at epoch 3
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    ");
}

#[test]
fn error_about_an_unknown_column_lists_the_columns() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let problem = |name: &str| {
        csv(&comparison, &options(name, &[], false)).expect_err("no column").to_string()
    };
    insta::assert_snapshot!(problem("accuracy"), @"unknown column `accuracy`: choose from repeat, learning_rate, best epoch, best val_accuracy, last val_accuracy, test loss, test accuracy, seconds, status, verdict, kept epoch, kept val_accuracy, best?, behind, parameters, name, tags, note, or any setting of the runs");
    insta::assert_snapshot!(problem("seed"), @"the column `seed` needs one row per run: add --all-seeds");
    insta::assert_snapshot!(problem("activation"), @"`activation` is ambiguous: write model.layers.hidden.activation or model.layers.2.activation");
}

#[test]
fn csv_table() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let chosen = options(
        "",
        &["hidden.repeat", "kept val_accuracy", "status", "verdict", "best?", "behind"],
        false,
    );
    insta::assert_snapshot!(csv(&comparison, &chosen).expect("CSV"), @r#"
    repeat,kept_val_accuracy_mean,kept_val_accuracy_sd,kept_val_accuracy_n,status,verdict,difference,interval_low,interval_high,p_value,verdict_on,may_be_best,p_best,worse,p_worse,behind_low,behind_high
    2,0.91171875,0.005524271728019903,2,finished,possible winner,,,,,val_accuracy,true,1,false,1,0,0
    2,0.86171875,0.005524271728019903,2,finished,worse,,,,,val_accuracy,false,1.3333306666725927e-6,true,3.999992000017778e-6,0.04975158622882501,0.05024841377117508
    0,0.85171875,0.005524271728019903,2,finished,worse,,,,,val_accuracy,false,9.2592463991968e-7,true,2.77777391975904e-6,0.05975158622882502,0.06024841377117509
    0,0.8678125,,1,"1 finished, 1 diverged",,,,,,,,,,,,
    2,0.625,,1,pruned at epoch 3,,,,,,,,,,,,
    "#);
    let of_runs = options("seed", &["seed", "run", "learning_rate", "test accuracy"], true);
    insta::assert_snapshot!(csv(&comparison, &of_runs).expect("CSV"), @r"
    seed,run,learning_rate,test_accuracy
    1,0.1-2-1,0.1,0.882
    1,0.01-2-1,0.01,0.862
    1,0.01-0-1,0.01,0.702
    1,0.1-0-1,0.1,0.842
    1,0.001-2-1,0.001,
    2,0.1-2-2,0.1,0.884
    2,0.01-2-2,0.01,0.864
    2,0.01-0-2,0.01,0.704
    2,0.1-0-2,0.1,
    ");
}

#[test]
fn markdown_table() {
    let sweep = directory();
    insta::assert_snapshot!(markdown(&sample(sweep.path()), &TableOptions::default()).expect("Markdown"), @"
    | repeat | learning_rate | kept epoch | kept val_accuracy | last val_accuracy | test loss | test accuracy | seconds | status | best? | behind |
    |---|---|--:|--:|--:|--:|--:|--:|---|---|---|
    | 2 | 0.1 | 2.0 | 0.9117 ± 0.0055 (2) | 0.6250 ± 0.0000 (2) | 0.5000 ± 0.0000 (2) | 0.8830 ± 0.0014 (2) | 1.5 | finished | **possible** | 0.0000 to 0.0000 |
    | 2 | 0.01 | 2.0 | 0.8617 ± 0.0055 (2) | 0.6250 ± 0.0000 (2) | 0.5000 ± 0.0000 (2) | 0.8630 ± 0.0014 (2) | 1.5 | finished | worse | 0.0497 to 0.0503 |
    | 0 | 0.01 | 2.0 | 0.8517 ± 0.0055 (2) | 0.6250 ± 0.0000 (2) | 0.5000 ± 0.0000 (2) | 0.7030 ± 0.0014 (2) | 1.5 | finished | worse | 0.0597 to 0.0603 |
    | 0 | 0.1 | 2 | 0.8678 (1) | 0.6250 (1) | 0.5000 (1) | 0.8420 (1) | 1.5 | 1 finished, 1 diverged |  |  |
    | 2 | 0.001 | 3 | 0.6250 | 0.6250 |  |  | 1.5 | pruned at epoch 3 |  |  |
    ");
}

#[test]
fn hostile_settings_are_escaped() {
    let sweep = directory();
    let hostile = |id: &str, value: &str| SampleRun {
        id: id.to_owned(),
        config: format!("{}[x]\n\"odd.key | \\u001b\" = {value:?}\n", config(0.1, 1)),
        ..SampleRun::new(0.1, 1, 1)
    };
    let values = ["=1+1", "a|b, \"c\"", "-0.5", "@x", "two\nlines", "-inf"];
    let runs: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| hostile(&format!("{index}"), value))
        .collect();
    let comparison = compared(sweep.path(), &runs);
    let chosen = options("", &[&comparison.columns[0].label, "status"], false);
    insta::assert_snapshot!(in_terminal(&comparison, &chosen), @r#"
    ─────────────────────────────
     "odd.key | \u{1b}"  status
    ─────────────────────────────
     -0.5                finished
     -inf                finished
     =1+1                finished
     @x                  finished
     a|b, "c"            finished
     two\u{a}lines       finished
    ─────────────────────────────
    "#);
    insta::assert_snapshot!(csv(&comparison, &chosen).expect("CSV"), @r#"
    """odd.key | \u{1b}""",status
    -0.5,finished
    '-inf,finished
    '=1+1,finished
    '@x,finished
    "a|b, ""c""",finished
    two\u{a}lines,finished
    "#);
    insta::assert_snapshot!(markdown(&comparison, &chosen).expect("Markdown"), @r#"
    | "odd.key \| \\u{1b}" | status |
    |---|---|
    | -0.5 | finished |
    | -inf | finished |
    | =1+1 | finished |
    | \@x | finished |
    | a\|b, "c" | finished |
    | twoU+000Alines | finished |
    "#);
    assert!(!notes(&comparison).contains('\u{1b}'));
}

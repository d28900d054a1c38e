use kiln_report::{Terminal, show, stop};
use kiln_store::{RunDirectory, RunRecord, Status};

use crate::samples::{Test, directory, finished, history, images, record, row, running};

const PLAIN: Terminal = Terminal { width: 100, color: false };

/// The report without the path of the temporary directory.
fn shown(run: &RunDirectory, terminal: Terminal) -> String {
    let text = show(run, terminal).expect("a report").text;
    text.replace(&run.path().display().to_string(), "<run>")
}

#[test]
fn shows_a_finished_run() {
    let runs = directory();
    let run = finished(runs.path());
    insta::assert_snapshot!(shown(&run, PLAIN), @r#"
    fashion-mnist 20250601-123456  finished: all epochs done

    data           fashion-mnist: 55,000 training, 5,000 validation and 8 test images
    dataset sha256 sha256:0123456789abcdef
    parameters     286,810
    seed           42
    backend        flex (burn), 1 thread
    versions       Kiln 0.1.0, Burn 0.22.1, commit 402e127
    started        2025-06-01 12:34:56 UTC
    trained        3 epochs in 1 min 01 s

    History
    ────────────────────────────────────────────────────────────────────────────────────────────────
     epoch     loss   accuracy   val_loss   val_accuracy   learning_rate   seconds   top_3_accuracy
    ────────────────────────────────────────────────────────────────────────────────────────────────
         1   0.7500     0.5000     0.6000         0.7000            0.01      20.4           0.9500
         2   0.5000     0.7500     0.4000         0.8000            0.01      20.4           0.9500
         3   0.2500     0.8750     0.4500         0.8500            0.01      20.4           0.9500
    ────────────────────────────────────────────────────────────────────────────────────────────────
    The lowest validation loss was reached in epoch 2.
    val_accuracy of the kept epoch: 0.8000, chosen among 3 epochs by the same images, so about 0.0016 too high (cross-fitting: 0.7984).

    Test
    accuracy 0.7500, loss 0.3750, top-2 0.8750 on 8 test images, with the weights of epoch 2 (the best by the monitored metric)
    Always answering "Trouser", the most frequent class of the training images, has accuracy 0.2500.

    ──────────────────────────────────────────────────────────
     class              precision   recall       f1   support
    ──────────────────────────────────────────────────────────
     T-shirt/top           0.7500   0.7500   0.7500         4
     Trouser               0.6667   1.0000   0.8000         2
     Ankle boot            1.0000   0.5000   0.6667         2
     macro average         0.8056   0.7500   0.7389         8
     weighted average      0.7917   0.7500   0.7417         8
    ──────────────────────────────────────────────────────────

    Most often confused:
      1 of 4 T-shirt/top predicted as Trouser
      1 of 2 Ankle boot predicted as T-shirt/top

    Files
    <run>
      config.toml          full configuration; retrain with `kiln run`
      run.json             status, versions and checksums
      splits.csv           images of each split
      history.csv          metrics per epoch
      history.svg          curves of loss and accuracy
      report.md            human-readable report
      report.json          test report as JSON
      predictions.csv      predictions for all test images
      confusion.svg        confusion matrix
      mistakes.png         most confident mistakes
      model.safetensors    saved weights
      initial.safetensors  weights before training
      log.jsonl            log
    "#);
}

#[test]
fn shows_a_running_run() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    run.write_record(&running()).expect("a record");
    let mut writer = run.start_history(&[]).expect("a history");
    let mut row = row(1, [0.75, 0.5, 0.6, 0.7]);
    row.metrics.retain(|(name, _)| &**name != "top_3_accuracy");
    writer.append(&row).expect("a row");
    std::fs::write(run.config_path(), "").expect("written");
    insta::assert_snapshot!(shown(&run, PLAIN), @r"
    fashion-mnist 20250601-123456  running, or its process was killed

    data           fashion-mnist: 55,000 training, 5,000 validation and 8 test images
    dataset sha256 sha256:0123456789abcdef
    parameters     286,810
    seed           42
    backend        flex (burn), 1 thread
    versions       Kiln 0.1.0, Burn 0.22.1, commit 402e127
    started        2025-06-01 12:34:56 UTC

    History
    ───────────────────────────────────────────────────────────────────────────────
     epoch     loss   accuracy   val_loss   val_accuracy   learning_rate   seconds
    ───────────────────────────────────────────────────────────────────────────────
         1   0.7500     0.5000     0.6000         0.7000            0.01      20.4
    ───────────────────────────────────────────────────────────────────────────────
    The lowest validation loss was reached in epoch 1.

    Test
    The run was not tested; there are no test results.

    Files
    <run>
      config.toml          full configuration; retrain with `kiln run`
      run.json             status, versions and checksums
      history.csv          metrics per epoch
      missing: history.svg, report.md, report.json, predictions.csv, confusion.svg, mistakes.png, model.safetensors, log.jsonl
    ");
}

#[test]
fn shows_a_diverged_run_with_an_incomplete_history() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let record = RunRecord {
        status: Status::Diverged,
        stop_reason: Some("the loss became NaN in epoch 1, step 7".to_owned()),
        epochs: 0,
        optimism: None,
        ..record()
    };
    stop(&run, &record, &kiln_store::History::default()).expect("stopped");
    std::fs::write(run.history_path(), "epoch,loss").expect("written");
    insta::assert_snapshot!(shown(&run, PLAIN), @r"
    fashion-mnist 20250601-123456  diverged: the loss became NaN in epoch 1, step 7

    data           fashion-mnist: 55,000 training, 5,000 validation and 8 test images
    dataset sha256 sha256:0123456789abcdef
    parameters     286,810
    seed           42
    backend        flex (burn), 1 thread
    versions       Kiln 0.1.0, Burn 0.22.1, commit 402e127
    started        2025-06-01 12:34:56 UTC
    trained        0 epochs in 1 min 01 s

    History
    No epoch was completed.
    The last line of history.csv is incomplete and was ignored.

    Test
    The run was not tested; there are no test results.

    Files
    <run>
      run.json             status, versions and checksums
      history.csv          metrics per epoch
      report.md            human-readable report
      missing: config.toml, history.svg, report.json, predictions.csv, confusion.svg, mistakes.png, model.safetensors, log.jsonl
    ");
}

#[test]
fn tables_fit_the_terminal() {
    let runs = directory();
    let run = finished(runs.path());
    for width in [40, 60, 80, 120] {
        let text = shown(&run, Terminal { width, color: false });
        let history = text.split("History\n").nth(1).expect("a history");
        let table = history.split("The lowest").next().expect("a table");
        for line in table.lines() {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
        }
    }
    for width in [0, 1, u16::MAX] {
        show(&run, Terminal { width, color: false }).expect("a report");
    }
}

#[test]
fn color_changes_no_text() {
    let runs = directory();
    let run = finished(runs.path());
    let colored = shown(&run, Terminal { width: 100, color: true });
    assert!(colored.contains("\u{1b}[32mfinished: all epochs done\u{1b}[0m"), "{colored}");
    let mut plain = String::new();
    let mut parts = colored.split("\u{1b}[");
    plain.push_str(parts.next().expect("the beginning"));
    for part in parts {
        plain.push_str(part.split_once('m').expect("an end").1);
    }
    let without_spaces =
        |text: &str| text.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
    assert_eq!(without_spaces(&plain), shown(&run, PLAIN));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let hostile = "\u{1b}[2J\u{7}\u{9b}31m\r\n\u{202e}";
    let names = [hostile, "dog"];
    let test = Test::new(&names, &[(0, &[0.0, 1.0]), (0, &[0.0, 1.0])]);
    let mut record = record();
    for text in [
        &mut record.name,
        &mut record.id,
        &mut record.backend,
        &mut record.versions.kiln,
        &mut record.dataset.name,
        &mut record.dataset.fingerprint,
    ] {
        *text = hostile.to_owned();
    }
    record.stop_reason = Some(hostile.to_owned());
    kiln_report::finish(&run, &record, &history(), &test.tested(), images(&test), None)
        .expect("an end");
    let no_escape = |file: &str| {
        let text = shown(&run, PLAIN);
        let is_unsafe = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(is_unsafe), "{file}: {text:?}");
        text
    };
    let text = no_escape("names");
    assert!(
        text.contains("2 of 2 \\u{1b}[2J\\u{7}\\u{9b}31m\\u{d}\\u{a}\\u{202e} predicted as dog")
    );

    // The error message quotes the content of a damaged file that has no checksum.
    run.write_record(&record).expect("written");
    std::fs::write(run.history_path(), format!("{hostile}\n")).expect("written");
    no_escape("a history");
    let header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n";
    std::fs::write(run.history_path(), format!("{header}1,\u{1b}[2J,,,,1,1\n")).expect("written");
    assert!(no_escape("a row").contains("`\\u{1b}[2J` in column `loss` is not a finite number"));
    std::fs::write(run.report_path(), "{\"format_version\": \"\u{7f}\u{9b}\"}").expect("written");
    no_escape("a report");
}

#[test]
fn a_damaged_file_does_not_hide_the_others() {
    let runs = directory();
    let run = finished(runs.path());
    std::fs::write(run.history_path(), "nonsense\n").expect("written");
    std::fs::write(run.report_path(), "{}").expect("written");
    let text = shown(&run, PLAIN);
    assert!(text.contains("fashion-mnist 20250601-123456  finished"), "{text}");
    for name in ["history.csv", "report.json"] {
        assert!(text.contains(&format!("\n<run>/{name} is damaged: ")), "{text}");
    }
    assert_eq!(show(&run, PLAIN).expect("a report").damaged.len(), 2);
    run.write_record(&record()).expect("a record without checksums");
    let text = shown(&run, PLAIN);
    assert!(text.contains("\n<run>/history.csv, line 1: a history begins with"), "{text}");
    assert!(text.contains("\n<run>/report.json, line 1: missing field `format_version`"), "{text}");

    std::fs::write(run.record_path(), "").expect("written");
    show(&run, PLAIN).expect_err("without its record a run is not known");
}

#[test]
fn lists_the_settings_within_the_width() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    let config = r#"name = "dense"
seed = 42

[data]
source = "fashion-mnist"
validation = 5000

[[model.layers]]
type = "residual"
activation = "relu"
layers = [{ type = "conv2d", filters = 16, kernel_size = 3, padding = "same" }, { type = "batch_normalization" }]
shortcut = [{ type = "conv2d", filters = 16, kernel_size = 1 }]

[[model.layers]]
type = "flatten"

[[model.layers]]
type = "dense"
units = 300
activation = "relu"
kernel_initializer = "glorot_uniform"

[optimizer]
type = "sgd"
learning_rate = 0.01

[training]
top_k = [3, 5]
"#;
    std::fs::write(run.config_path(), config).expect("written");
    let record = RunRecord { status: Status::Interrupted, ..running() };
    stop(&run, &record, &history()).expect("stopped");
    let text = shown(&run, Terminal { width: 60, color: false });
    let (_, settings) = text.split_once("\nSettings\n").expect("a section of settings");
    let (settings, _) = settings.split_once("\n\nHistory\n").expect("followed by the history");
    insta::assert_snapshot!(settings, @r"
    data           source fashion-mnist, validation 5000
    model          residual, activation relu
                     conv2d, filters 16, kernel_size 3,
                     padding same
                     batch_normalization
                     shortcut: conv2d, filters 16, kernel_size 1
                   flatten
                   dense, units 300, activation relu,
                   kernel_initializer glorot_uniform
    optimizer      type sgd, learning_rate 0.01
    training       top_k [3, 5]
    ");
}

//! Sweeps in which some runs cannot be trained: they are reported at once with the values that cause it, or skipped.

use crate::project::Project;

/// Two convolutions without padding on images of 4×4 pixels, so that large kernels do not fit.
const CONVOLUTIONS: &str = r#"name = "convolutions"
seed = 1

[data]
source = "columns"
validation = 24

[model]
layers = [
  { type = "conv2d", name = "conv", filters = 2, kernel_size = 2, repeat = 2, activation = "relu" },
  { type = "flatten" },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "sgd"
learning_rate = 0.1

[training]
epochs = 1
batch_size = 32
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("convolutions.toml", CONVOLUTIONS);
    project
}

/// `kiln sweep convolutions.toml` with these arguments.
fn sweep(project: &Project, arguments: &[&str]) -> crate::project::CommandOutput {
    project.kiln(&[["sweep", "convolutions.toml"].as_slice(), arguments].concat())
}

#[test]
fn all_invalid_runs_are_reported_with_the_values_that_cause_it() {
    let project = project();
    let before = project.listing();
    // A kernel of 3 fits once into 4×4 pixels, and one of 5 never. A batch size of 8 and the seeds change nothing.
    let output = sweep(
        &project,
        &[
            "conv.kernel_size=1,3,5,6",
            "conv.repeat=1,2",
            "batch_size=32,8",
            "validation=24,500",
            "seed=1,2",
        ],
    );
    assert_eq!(output.status, 2, "{}", output.stderr);
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(lines[0], "error: 52 of the 64 runs of this sweep cannot be trained:");
    for (line, start) in [
        // In the order of the runs.
        (1, "  validation=500 (32 runs): "),
        (
            2,
            "  conv.kernel_size=3 conv.repeat=2 (4 runs): layer \"conv_2\" (conv2d): its window of 3×3 pixels",
        ),
        (3, "  conv.kernel_size=5,6 (16 runs): layer \"conv\" (conv2d): its window of 5×5 pixels"),
    ] {
        assert!(
            lines[line].starts_with(start),
            "`{start}` is not line {line} of\n{}",
            output.stderr
        );
    }
    let command = "help: change these values, or train only the other runs: kiln sweep convolutions.toml \
                   conv.kernel_size=1,3,5,6 conv.repeat=1,2 batch_size=32,8 validation=24,500 seed=1,2 --skip-invalid";
    assert_eq!(lines[4..], [command]);
    assert_eq!(project.listing(), before, "a refused sweep must not create files");
}

#[test]
fn a_single_reason_is_shown_with_its_place() {
    let output = sweep(&project(), &["conv.kernel_size=2,3", "learning_rate=0.1,0.2", "seed=1,2"]);
    assert_eq!(output.status, 2);
    for part in [
        "convolutions.toml:10:",
        "in the combination learning_rate=0.1 conv.kernel_size=3 seed=1, and in 3 other runs with conv.kernel_size=3",
        "to train only the other runs: kiln sweep convolutions.toml conv.kernel_size=2,3",
    ] {
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
    }
    // If every run is invalid, none is left.
    let output = sweep(&project(), &["conv.kernel_size=5", "seed=1,2"]);
    assert!(output.stderr.contains("seed=1, and in 1 other run\n"), "{}", output.stderr);
    assert!(!output.stderr.contains("--skip-invalid"), "{}", output.stderr);
}

#[test]
fn keys_that_a_type_does_not_have_are_reported_together() {
    let axes = ["optimizer.type=sgd,adam", "momentum=0.0,0.9", "conv.kernel_size=1,5"];
    let output = sweep(&project(), &axes);
    for part in [
        "6 of the 8 runs of this sweep cannot be trained:",
        "  optimizer.type=adam momentum=0.0,0.9 (4 runs): unknown key `momentum`",
        "  conv.kernel_size=5 (2 runs): layer \"conv_1\"",
    ] {
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
    }
}

#[test]
fn invalid_runs_are_left_out_and_every_command_knows_it() {
    let project = project();
    let axes = ["conv.kernel_size=1,3,5", "conv.repeat=1,2"];
    let skipping = [axes.as_slice(), &["--skip-invalid"]].concat();
    let left_out = "3 runs cannot be trained and are skipped:\n  \
                    conv.kernel_size=3 conv.repeat=2 (1 run): layer";

    let dry = sweep(&project, &[skipping.as_slice(), &["--dry-run"]].concat());
    assert_eq!(dry.status, 0, "{}", dry.stderr);
    assert!(dry.stdout.contains("3 runs, 3 to do"), "{}", dry.stdout);
    assert!(dry.stdout.contains(left_out), "{}", dry.stdout);

    let output = sweep(&project, &skipping);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stderr.contains(left_out), "{}", output.stderr);
    assert!(output.stdout.contains("3 finished"), "{}", output.stdout);

    let doctor = project.kiln_ok(&["doctor", "runs/convolutions"]);
    assert!(!doctor.stdout.contains("still to do"), "{}", doctor.stdout);
    let resumed = project.kiln_ok(&["resume", "runs/convolutions"]);
    assert!(resumed.stderr.contains(left_out), "{}", resumed.stderr);
    assert!(resumed.stdout.contains("3 runs: all already finished"), "{}", resumed.stdout);
    let compared = project.kiln_ok(&["compare", "runs/convolutions", "--sweep", "1", "--csv"]);
    assert_eq!(compared.stdout.lines().count(), 4, "{}", compared.stdout);

    // The command that it proposes leaves the same runs out.
    let race = [axes.as_slice(), &["--race", "--top", "2", "--skip-invalid", "--dry-run"]].concat();
    let race = sweep(&project, &race);
    assert_eq!(race.status, 0, "{}", race.stderr);
    assert!(race.stdout.contains("a race of 2 combinations"), "{}", race.stdout);

    // The record does not make the sweep valid.
    assert_eq!(sweep(&project, &axes).status, 2);
}

#[test]
fn a_sweep_without_any_valid_run_is_an_error() {
    let project = project();
    let output = sweep(&project, &["conv.kernel_size=5,6", "seed=1..3", "--skip-invalid"]);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(output.stderr.contains("does not fit into its input"), "{}", output.stderr);
    assert!(!project.path("runs").exists());
}

#[test]
fn draws_that_do_not_fit_are_explained_by_the_value_that_does_not() {
    let project = project();
    project.write(
        "search.toml",
        "name = \"search\"\nexperiment = \"convolutions.toml\"\n[random]\ncount = 20\nseed = 3\n\
         learning_rate = { log_uniform = [0.01, 0.1] }\n\"conv.kernel_size\" = { choice = [1, 5] }\n",
    );
    let output = project.kiln(&["sweep", "search.toml", "--dry-run", "--skip-invalid"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stdout.contains("skipped:\n  conv.kernel_size=5 ("), "{}", output.stdout);
}

/// 20 activations of 8·10⁸ values each for every one of 96 images need terabytes.
const HUGE: &str = "{ type = \"conv2d\", filters = 50_000_000, kernel_size = 1 }, \
                    { type = \"activation\", activation = \"relu\", repeat = 20, name = \"relu\" }, \
                    { type = \"conv2d\", filters = 1, kernel_size = 1 },";

#[test]
fn a_step_that_needs_more_memory_than_the_machine_has_is_refused() {
    let project = project();
    let text = CONVOLUTIONS.replace("layers = [", &format!("layers = [{HUGE}"));
    project.write("convolutions.toml", text);
    let output = project.kiln(&["run", "convolutions.toml"]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    assert!(output.stderr.contains("a training step needs "), "{}", output.stderr);
    assert!(!project.path("runs").exists());

    let output = sweep(&project, &["relu.repeat=20,19", "batch_size=32,64"]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    // The summary shows how much memory each layer needs.
    let output = project.kiln_ok(&["summary", "convolutions.toml"]);
    assert!(output.stdout.contains("TiB"), "{}", output.stdout);
}

#[test]
fn an_axis_of_exclusions_without_weight_decay_is_refused() {
    let project = project();
    let axis = "exclude_from_weight_decay=[],['bias']";
    let output = sweep(&project, &[axis]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    for part in [
        "`optimizer.exclude_from_weight_decay` cannot be an axis: no result depends on it, because no run has weight decay",
        "help: set optimizer.weight_decay, or give a single value",
    ] {
        assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
    }
    for decay in ["weight_decay=0.1", "weight_decay=0,0.1"] {
        let output = sweep(&project, &[axis, decay, "--dry-run"]);
        assert_eq!(output.status, 0, "{}", output.stderr);
    }
}

#[test]
fn a_sweep_warns_once_about_averages_of_few_steps() {
    let project = project();
    let axes = ["weights=average", "epochs=1,2", "batch_size=200", "--dry-run", "-q"];
    let output = sweep(&project, &axes);
    assert_eq!(output.status, 0, "{}", output.stderr);
    // One epoch is a single step, whose weights are the average.
    let warning =
        "warning: after the 2 steps of this run, the average of the weights still has 99 % of";
    assert!(output.stderr.starts_with(warning), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    let notes = sweep(&project, &axes[..4]);
    assert!(
        notes.stderr.contains("note: batch_size = 200 is larger than the 96"),
        "{}",
        notes.stderr
    );
}

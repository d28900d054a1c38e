//! Commands and values as people type them who know other programs: the message has the right spelling.

use crate::project::Project;

const SWEEP: &str = "name = \"grid\"\nexperiment = \"experiment.toml\"\n[grid]\nseed = [1, 2]\n";

/// Asserts that a command is refused with exit status 2 and one error message that contains all parts.
fn assert_advice(project: &Project, arguments: &[&str], parts: &[&str]) {
    let output = project.kiln(arguments);
    let shown = format!("kiln {}\n{}", arguments.join(" "), output.stderr);
    assert_eq!(output.status, 2, "{shown}");
    assert_eq!(output.stderr.matches("error: ").count(), 1, "{shown}");
    for part in parts {
        assert!(output.stderr.contains(part), "`{part}` is not in\n{shown}");
    }
    output.assert_no_panic(&shown);
}

#[test]
fn overrides_of_an_experiment() {
    let project = Project::new();
    for (argument, parts) in [
        // A keyword in place of a table.
        ("optimizer=adam", &["help: write 'optimizer={type=\"adam\"}'"][..]),
        ("schedule=cosine", &["help: write 'schedule={type=\"cosine\"}'"]),
        // Quotes and braces that the shell has removed.
        (
            "optimizer={type=adam}",
            &["help: the shell removed the quotes: write 'optimizer={type=\"adam\"}'"],
        ),
        ("optimizer={type=adam, beta_1=0.8}", &["write 'optimizer={type=\"adam\", beta_1=0.8}'"]),
        ("metrics=[macro_f1]", &["write 'metrics=[\"macro_f1\"]'"]),
        ("optimizer=type=sgd", &["quote the argument", "'optimizer={type=\"sgd\", …}'"]),
        // Names of other programs.
        ("lr=0.1", &["unknown key `lr`", "did you mean `learning_rate`?"]),
        ("optimizer.lr=0.1", &["did you mean `learning_rate`?"]),
        ("bs=10", &["did you mean `batch_size`?"]),
        ("n_epochs=10", &["did you mean `epochs`?"]),
        ("batchSize=10", &["did you mean `batch_size`?"]),
        ("nesterov_momentum=true", &["did you mean `nesterov`?"]),
        ("optimizer={type=\"adam\",beta1=0.8}", &["did you mean `beta_1`?"]),
        ("hidden.activation=swish", &["did you mean \"silu\"?"]),
        ("hidden.activation=ReLU", &["unknown activation \"ReLU\"", "did you mean \"relu\"?"]),
        ("hidden.kernel_initializer=he", &["did you mean \"he_normal\"?", "or a number"]),
        ("optimizer.type=adamm", &["unknown optimizer \"adamm\"", "did you mean \"adam\"?"]),
        ("weights=ema", &["unknown weights \"ema\"", "did you mean \"average\"?"]),
        ("optimizer.type=zzz", &["help: valid values: \"sgd\", \"adam\""]),
        ("zzz=1", &["unknown key `zzz`", "help: `kiln config` lists every key"]),
        ("optimizer={type=\"sgd\",zzz=1}", &["help: valid keys: clipvalue, "]),
        // Several values.
        ("learning_rate=1e-2,1e-3", &["kiln sweep experiment.toml learning_rate=1e-2,1e-3"]),
        (
            "hidden.activation=relu,tanh",
            &["kiln sweep experiment.toml hidden.activation=relu,tanh"],
        ),
        ("seed=1..5", &["help: to try several values: kiln sweep experiment.toml seed=1..5"]),
        // Numbers and truth values of other languages.
        ("learning_rate=.01", &["help: write 0.01"]),
        ("learning_rate=1.", &["help: write 1.0"]),
        ("learning_rate=-.5e-3", &["help: write -0.5e-3"]),
        ("learning_rate=\"0.1\"", &["help: write 0.1 without quotes"]),
        ("epochs=1e1", &["help: write 10"]),
        ("shuffle=False", &["help: write false"]),
        ("shuffle=yes", &["help: write true"]),
        ("shuffle=0", &["help: write false"]),
        // Parts of an override.
        ("seed=", &["missing value for `seed`", "help: write KEY=VALUE"]),
        ("seed", &["missing value for `seed`", "help: write KEY=VALUE"]),
        ("=1", &["missing key", "help: write KEY=VALUE"]),
        ("units=3", &["use a longer path, such as `hidden.units`"]),
    ] {
        assert_advice(&project, &["summary", "experiment.toml", argument], parts);
    }
}

/// A proposed command does what the user's command would do if it were right.
#[test]
fn proposed_commands_keep_the_other_arguments() {
    let project = Project::new();
    project.write("sweep.toml", SWEEP);
    let elsewhere = ["--data=data", "--runs", "my runs"];
    let runs = "--runs 'my runs'";
    for (arguments, command) in [
        (
            &["run", "experiment.toml", "epochs=2", "learning_rate=0.1,0.2"][..],
            format!("kiln sweep experiment.toml epochs=2 learning_rate=0.1,0.2 {runs}"),
        ),
        (&["run", "sweep.toml", "epochs=2"], format!("kiln sweep sweep.toml epochs=2 {runs}")),
        (
            &["sweep", "experiment.toml", "batch_size=8,500", "validation=24,400", "--jobs=1"],
            format!(
                "kiln sweep experiment.toml batch_size=8,500 validation=24,400 --jobs=1 --data=data {runs} --skip-invalid"
            ),
        ),
    ] {
        assert_advice(&project, &[arguments, &elsewhere].concat(), &[&command]);
    }
}

#[test]
fn known_values_are_listed_once() {
    let error = Project::new().kiln(&["summary", "experiment.toml", "optimizer.type=zzz"]).stderr;
    assert_eq!(error.matches("\"rmsprop\"").count(), 1, "{error}");
}

#[test]
fn options_that_are_keys() {
    let project = Project::new();
    for (arguments, help) in [
        (&["run", "experiment.toml", "--epochs", "5"][..], "epochs=5"),
        (&["run", "experiment.toml", "--epochs=5", "--quiet"], "epochs=5"),
        (&["sweep", "experiment.toml", "--learning-rate", "0.1,0.2"], "learning_rate=0.1,0.2"),
        (&["summary", "--lr", "0.1", "experiment.toml"], "learning_rate=0.1"),
        (&["run", "experiment.toml", "--seed"], "seed=VALUE"),
    ] {
        let help = format!("help: to change a key of the experiment: {help}\n");
        assert_advice(&project, arguments, &[&help]);
    }
    // Suggestions of the argument parser remain.
    assert_advice(&project, &["sweep", "experiment.toml", "--jbos", "2"], &["--jobs"]);
    assert_advice(&project, &["show", "runs", "--epochs", "2"], &["Usage:"]);
    for command in ["sweep", "resume"] {
        assert_advice(&project, &[command, "x", "--jobs", "0"], &["must be at least 1"]);
        assert_advice(&project, &[command, "x", "--jobs", "two"], &["must be a whole number"]);
    }
}

#[test]
fn the_type_of_the_key_decides_whether_a_value_is_a_string() {
    let project = Project::new();
    for name in ["nan", "1e5", "true", "2026-11-25", "0.10"] {
        let output =
            project.kiln_ok(&["sweep", "experiment.toml", &format!("name={name}"), "--dry-run"]);
        assert_eq!(output.last_line(), format!("runs/{name}"));
        project.kiln_ok(&["summary", "experiment.toml", &format!("name={name}")]);
    }
    project.write("number.toml", project.read("experiment.toml").replace("\"columns\"", "5"));
    assert_advice(&project, &["summary", "number.toml"], &["expected a string", "must be quoted"]);
}

#[test]
fn files_and_directories_of_another_kind() {
    let project = Project::new();
    project.write("sweep.toml", SWEEP);
    project.write("nested.toml", SWEEP.replace("experiment.toml", "sweep.toml"));
    let run = project.train(&[]);
    let sweep = project.kiln_ok(&["sweep", "sweep.toml"]).last_line();
    let is_a_sweep = "sweep.toml is a sweep, not an experiment";
    for (arguments, parts) in [
        (
            &["run", "sweep.toml", "seed=3"][..],
            &[is_a_sweep, "help: to train its runs: kiln sweep sweep.toml seed=3"][..],
        ),
        (&["summary", "sweep.toml"], &[is_a_sweep, "kiln sweep sweep.toml"]),
        (&["sweep", "nested.toml"], &[is_a_sweep, "nested.toml:2:14"]),
        (
            &["sweep", "."],
            &["is a directory, not a file", "name one of its files, such as ./experiment.toml"],
        ),
        (&["run", "data"], &["data is a directory, not a file", "path of a .toml file"]),
        (&["run", &run], &["is a run, not a file", &format!("kiln run {run}/config.toml")]),
        (&["summary", &run], &[&format!("kiln resume {run}")]),
        (&["sweep", &sweep], &["directory of a sweep", "kiln resume runs/grid"]),
    ] {
        assert_advice(&project, arguments, parts);
    }
}

#[test]
fn files_that_are_not_toml() {
    let project = Project::new();
    for (from, to, help) in [
        ("= 0.1", "= .1", "help: write 0.1"),
        ("= 0.1", "= 1.", "help: write 1.0"),
        ("seed = 1", "seed = True", "help: write true"),
        ("\"relu\"", "relu", "help: strings must be quoted"),
    ] {
        project.write("wrong.toml", project.read("experiment.toml").replacen(from, to, 1));
        assert_advice(&project, &["summary", "wrong.toml"], &[help, "wrong.toml:"]);
    }
    project.write("empty.toml", "name = \"empty\"\n");
    let error = project.kiln(&["summary", "empty.toml"]).stderr;
    assert_eq!(error, "error: empty.toml: missing table [data]\n");
}

#[test]
fn config_prints_the_reference_of_all_keys() {
    let project = Project::new();
    let reference = project.kiln_ok(&["config"]).stdout;
    assert_eq!(reference, include_str!("../../configs/reference.toml"));
    project.write("reference.toml", reference);
    project.kiln_ok(&["summary", "reference.toml"]);
}

#[test]
fn messages_say_what_to_do() {
    let project = Project::new();
    let fails = |arguments: &[&str], status: i32, parts: &[&str]| {
        let output = project.kiln(arguments);
        let shown = format!("kiln {}\n{}", arguments.join(" "), output.stderr);
        assert_eq!(output.status, status, "{shown}");
        assert_eq!(output.stderr.matches("error: ").count(), 1, "{shown}");
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is not in\n{shown}");
        }
    };
    let source = "data.source=fashion-mnist";
    let missing = "nowhere/fashion-mnist/train-images-idx3-ubyte is missing\nhelp: ";
    fails(&["run", "experiment.toml", source, "--data", "nowhere"], 1, &[missing, "--data"]);
    fails(&["sweep", "experiment.toml", source, "--data", "nowhere"], 1, &[missing]);
    let stopping = "early_stopping={monitor=\"val_top_2_accuracy\"}";
    fails(
        &["run", "experiment.toml", stopping],
        2,
        &["or set early_stopping.monitor to \"val_loss\""],
    );
    fails(
        &["run", "experiment.toml", stopping, "validation=0", "top_k=[2]"],
        2,
        &["or set early_stopping.monitor to \"loss\""],
    );

    let run = project.train(&[]);
    project.flip_bit(format!("{run}/config.toml"));
    fails(&["compare", &run], 2, &["no readable run: ", &format!("kiln doctor {run}")]);

    let verify = project.kiln(&["data", "verify", "fashion-mnist", "--data", "nowhere"]);
    assert_eq!(verify.status, 1);
    assert_eq!(verify.stdout.matches("is missing\n").count(), 4, "{}", verify.stdout);
    assert_eq!(verify.stderr.matches("help: ").count(), 1, "{}", verify.stderr);
}

#[test]
fn a_run_with_an_edited_experiment_is_not_resumed() {
    let project = Project::new();
    let run = project.train(&[]);
    std::fs::remove_file(project.path(&run).join("report.json")).unwrap();
    let config = project.read(format!("{run}/config.toml"));
    let edited = config.replace("learning_rate = 0.1", "learning_rate = 0.2");
    project.write(format!("{run}/config.toml"), edited);
    let output = project.kiln(&["resume", &run]);
    assert_eq!(output.status, 1);
    for part in [
        "optimizer.learning_rate from 0.1 to 0.2",
        &format!(
            "help: undo the change to resume the run, or train it as a new one: kiln run {run}/config.toml"
        ),
    ] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    project.write("image.png", "");
    let output = project.kiln(&["predict", &run, "image.png"]);
    assert!(output.stderr.contains(&format!("is not finished (interrupted); only finished runs can predict\nhelp: to finish it: kiln resume {run}")), "{}", output.stderr);
}

#[test]
fn a_sweep_with_nothing_to_do_says_so() {
    let project = Project::new();
    let sweep = ["sweep", "experiment.toml", "seed=1,2", "name=done"];
    project.kiln_ok(&sweep);
    assert!(project.kiln_ok(&sweep).stdout.starts_with("2 runs: all already finished\n"));
    let plan = project.kiln_ok(&[sweep.as_slice(), &["--dry-run"]].concat()).stdout;
    assert!(plan.contains("\n2 runs, nothing to do\n"), "{plan}");
}

//! Experiments that extend others, and series of values in sweeps.

use std::fs;

use crate::project::Project;
use crate::run_state::{results, run_directories};

/// The project's experiment as `bases/base.toml`, and an experiment that extends it.
fn project_with(over: &str) -> Project {
    let project = Project::new();
    fs::create_dir(project.path("bases")).unwrap();
    fs::rename(project.path("experiment.toml"), project.path("bases/base.toml")).unwrap();
    project.write("experiment.toml", over);
    project
}

const OVER: &str = "extends = \"bases/base.toml\"\n[training]\nepochs = 2\n";

#[test]
fn the_run_is_that_of_one_file_with_all_values() {
    let project = project_with(&format!(
        "{OVER}[optimizer]\nlearning_rate = 0.3\n[model.layers.hidden]\nunits = 5\n"
    ));
    let run = project.train(&["seed=3"]);
    let arguments = ["epochs=2", "learning_rate=0.3", "hidden.units=5", "seed=3"];
    let whole =
        project.kiln_ok(&[["run", "bases/base.toml"].as_slice(), &arguments].concat()).last_line();
    let config = project.read(format!("{run}/config.toml"));
    assert_eq!(config, project.read(format!("{whole}/config.toml")));
    assert!(!config.contains("extends"), "{config}");
    for file in ["model.safetensors", "predictions.csv"] {
        let bytes = |run: &str| fs::read(project.path(run).join(file)).unwrap();
        assert_eq!(bytes(&run), bytes(&whole), "{file}");
    }
    let summary = project.kiln_ok(&["summary", "experiment.toml"]);
    assert_eq!(
        summary.stdout,
        project.kiln_ok(&["summary", "bases/base.toml", arguments[2]]).stdout
    );
    project.kiln_ok(&["verify", &run]);
}

#[test]
fn a_chain_of_files_works_in_sweeps_and_the_sweep_does_not_need_them_later() {
    let project = project_with(&format!("name = \"chained\"\n{OVER}"));
    project.write("bases/last.toml", "extends = \"../experiment.toml\"\nseed = 9\n");
    project.write(
        "sweep.toml",
        "name = \"chained\"\nexperiment = \"bases/last.toml\"\n[grid]\nlearning_rate = \"logspace(0.01, 1, 3)\"\n",
    );
    project.kiln_ok(&["sweep", "sweep.toml"]);
    let config =
        project.read(run_directories(&project.path("runs/chained"))[0].join("config.toml"));
    assert!(config.contains("seed = 9") && config.contains("epochs = 2"), "{config}");
    let before = results(&project, "runs/chained");
    assert_eq!(before.len(), 3);
    fs::remove_dir_all(project.path("bases")).unwrap();
    for file in ["experiment.toml", "sweep.toml"] {
        fs::remove_file(project.path(file)).unwrap();
    }
    fs::remove_dir_all(&run_directories(&project.path("runs/chained"))[1]).unwrap();
    project.kiln_ok(&["resume", "runs/chained"]);
    for (id, result) in results(&project, "runs/chained") {
        result.assert_same(&before[&id], &id);
    }
    // An experiment that extends another, swept from the command line, and resumed without the files.
    let project = project_with(OVER);
    project.kiln_ok(&["sweep", "experiment.toml", "seed=1..2", "name=seeds"]);
    fs::remove_dir_all(project.path("bases")).unwrap();
    fs::remove_dir_all(&run_directories(&project.path("runs/seeds"))[0]).unwrap();
    project.kiln_ok(&["resume", "runs/seeds"]);
    assert_eq!(run_directories(&project.path("runs/seeds")).len(), 2);
}

#[test]
fn an_optimizer_of_another_type_keeps_no_constants_of_the_extended_one() {
    let project = project_with(&format!("{OVER}[optimizer]\ntype = \"adam\"\n"));
    let run = project.train(&[]);
    let config = project.read(format!("{run}/config.toml"));
    assert!(config.contains("type = \"adam\"\n"), "{config}");
    assert!(config.contains("learning_rate = 0.001\n"), "{config}");
}

#[test]
fn errors_name_the_file_of_the_mistake() {
    let project = project_with(OVER);
    let check = |parts: &[&str]| {
        let output = project.kiln(&["run", "experiment.toml"]);
        assert_eq!(output.status, 2, "{}{}", output.stdout, output.stderr);
        for part in parts {
            assert!(output.stderr.contains(part), "`{part}` is missing:\n{}", output.stderr);
        }
    };
    let base = project.read("bases/base.toml");
    project.write("bases/base.toml", format!("{base}\n[training2]\nepochs = 3\n"));
    check(&["unknown key `training2`", "--> bases/base.toml:"]);
    project.write("bases/base.toml", format!("{base}\nx = = 1\n"));
    check(&["--> bases/base.toml:", "experiment.toml extends it"]);
    project.write("bases/base.toml", &base);
    project.write("experiment.toml", format!("{OVER}batchsize = 3\n"));
    check(&["unknown key `batchsize`", "--> experiment.toml:4", "batch_size"]);
    project.write("experiment.toml", format!("{OVER}[model.layers.hiden]\nunits = 3\n"));
    check(&["the extended list has no `hiden`", "--> experiment.toml:4", "did you mean `hidden`?"]);
    project.write("experiment.toml", format!("extend = \"bases/base.toml\"\n{base}"));
    check(&["unknown key `extend`", "did you mean `extends`?"]);
    project.write("experiment.toml", "extends = \"bases/bsae.toml\"\n");
    check(&["cannot read bases/bsae.toml", "--> experiment.toml:1:11", "relative to the file"]);
    project.write("experiment.toml", "extends = 3\n");
    check(&["--> experiment.toml:1:11", "expected a string"]);
    project.write("experiment.toml", "extends = \"bases/other.toml\"\n");
    project.write("bases/other.toml", "extends = \"../experiment.toml\"\n");
    check(&[
        "extends itself: experiment.toml, then bases/other.toml, then bases/../experiment.toml",
    ]);
    project.write("experiment.toml", "extends = \"experiment.toml\"\n");
    check(&["experiment.toml extends itself"]);
    // A run's own configuration never reads another file.
    project.write("experiment.toml", OVER);
    let run = project.train(&[]);
    let config = project.read(format!("{run}/config.toml"));
    project.write(format!("{run}/config.toml"), format!("extends = \"x.toml\"\n{config}"));
    let output = project.kiln(&["run", &format!("{run}/config.toml")]);
    assert_eq!(output.status, 2, "{}", output.stderr);
    assert!(output.stderr.contains("cannot read"), "{}", output.stderr);
    project.edit_record(&run, |record| {
        drop(record["files"].as_object_mut().unwrap().remove("config.toml"))
    });
    let output = project.kiln(&["verify", &run]);
    assert_ne!(output.status, 0);
    assert!(output.stderr.contains("can extend another"), "{}", output.stderr);
}

#[test]
fn series_of_values_are_axes() {
    let project = Project::new();
    let output = project.kiln_ok(&[
        "sweep",
        "experiment.toml",
        "learning_rate=logspace(1e-3,0.1,5),0.5",
        "hidden.units=linspace(4,8,3)",
        "seed=1..2",
        "--dry-run",
    ]);
    for part in ["0.003162", "0.03162", "0.5", "36 runs"] {
        assert!(output.stdout.contains(part), "`{part}` is missing:\n{}", output.stdout);
    }
    let output = project.kiln(&["sweep", "experiment.toml", "learning_rate=logspce(1e-3,0.1,5)"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("did you mean `logspace`?"), "{}", output.stderr);
    project.write(
        "sweep.toml",
        "name = \"s\"\nexperiment = \"experiment.toml\"\n[grid]\nlearning_rate = \"linspace(0.1, 0.2)\"\n",
    );
    let output = project.kiln(&["sweep", "sweep.toml"]);
    assert_eq!(output.status, 2);
    for part in ["sweep.toml:4", "the last value and their number", "\"linspace(0.1, 0.5, 5)\""] {
        assert!(output.stderr.contains(part), "`{part}` is missing:\n{}", output.stderr);
    }
}

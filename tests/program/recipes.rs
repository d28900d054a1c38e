//! Training features of recipes: the average of the weights, testing with mirror images, and layers that are trained
//! differently.

use crate::processes::{signal_unless_ended, start, wait_until};
use crate::project::Project;
use crate::run_state::{Results, has_epochs, run_directories};

#[test]
fn the_average_of_the_weights_is_reported_and_verified() {
    let project = Project::new();
    for engine in ["engine=fused", "engine=generic"] {
        let run = project.train(&["weights=average", "average_decay=0.9", engine]);
        let report = project.read_json(format!("{run}/report.json"));
        assert_eq!(report["weights"], "average");
        let shown = project.kiln_ok(&["show", &run]).stdout;
        let sentence = "with the average of the weights after epoch 3 (the last)";
        assert!(shown.contains(sentence), "{shown}");
        assert!(project.read(format!("{run}/report.md")).contains(sentence));
        let verified = project.kiln_ok(&["verify", &run]).stdout;
        assert!(verified.starts_with("identical: 3 epochs"), "{verified}");
        project.kiln_ok(&["doctor", &run]);
    }
    let run = project.train(&["weights=average", "early_stopping={restore_best=true, patience=9}"]);
    assert_eq!(project.read_json(format!("{run}/report.json"))["weights"], "best_average");
    let config = project.read(format!("{run}/config.toml"));
    assert!(config.contains("average_decay = 0.99\n"), "{config}");
}

#[test]
fn keys_of_recipes_do_not_change_the_ids_of_other_runs() {
    let project = Project::new();
    let run = project.train(&["weights=best", "test.flip=false"]);
    let config = project.read(format!("{run}/config.toml"));
    assert!(!config.contains("average_decay") && !config.contains("[test]"), "{config}");
    // One run for each of three identities.
    let output =
        project.kiln_ok(&["sweep", "experiment.toml", "flip=true,false", "weights=average,last"]);
    assert!(output.reports_all_finished(4), "{}", output.stdout);
    let compared = project.kiln_ok(&["compare", "runs/columns"]).stdout;
    assert!(compared.contains("flip") && compared.contains("average"), "{compared}");
}

#[test]
fn mirror_images_are_used_by_the_test_and_by_every_later_prediction() {
    let project = Project::new();
    let plain = project.train(&[]);
    let run = project.train(&["flip=true"]);
    let predictions = project.read(format!("{run}/predictions.csv"));
    assert_ne!(predictions, project.read(format!("{plain}/predictions.csv")));
    assert_eq!(project.read_json(format!("{run}/report.json"))["flip"], true);
    assert!(project.read_json(format!("{plain}/report.json")).get("flip").is_none());
    let sentence = "on 30 test images, each averaged with its horizontal mirror image, with";
    assert!(project.kiln_ok(&["show", &run]).stdout.contains(sentence));
    assert!(project.read(format!("{run}/report.md")).contains(sentence));
    project.kiln_ok(&["doctor", &run]);
    let verified = project.kiln_ok(&["verify", &run]).stdout;
    assert!(verified.starts_with("identical: 3 epochs"), "{verified}");

    // The same images, evaluated later.
    let evaluated = project.kiln_ok(&["evaluate", &run, "columns"]);
    let directory = evaluated.last_line();
    assert_eq!(project.read(format!("{directory}/predictions.csv")), predictions);
    let report = project.read_json(format!("{directory}/report.json"));
    assert_eq!(report["flip"], true);
    assert_eq!(report["loss"], project.read_json(format!("{run}/report.json"))["loss"]);
    assert!(project.read(format!("{directory}/report.md")).contains(sentence));
    project.kiln_ok(&["doctor", &run]);
}

/// `test` alone is the key of `[data]`, also in a file that has the table `[test]`.
#[test]
fn the_key_test_is_the_one_of_the_data() {
    let project = Project::new();
    let text = project.read("experiment.toml") + "\n[test]\nflip = true\n";
    project.write("experiment.toml", text);
    // A source without test images.
    let row = |index: usize| format!("{},{},{},9,4\n", index % 3, index % 3 * 100, index);
    let rows: String = (0..60).map(row).collect();
    project.write("untested.csv", format!("label,p0,p1,p2,p3\n{rows}"));
    let run = project.train(&["test=20", "source=untested.csv"]);
    let config = project.read(format!("{run}/config.toml"));
    assert!(config.contains("test = 20\n") && config.contains("[test]\nflip = true\n"), "{config}");
}

#[test]
fn layers_can_be_trained_differently() {
    let project = Project::new();
    let frozen = ["hidden.trainable=false", "layers.2.learning_rate_factor=2", "save_initial=true"];
    let decay =
        "optimizer={type='adamw',exclude_from_weight_decay=['normalization','bias','bias']}";
    for engine in ["engine=fused", "engine=generic"] {
        let run = project.train(&[&frozen[..], &[decay, engine]].concat());
        let config = project.read(format!("{run}/config.toml"));
        for line in [
            "trainable = false\n",
            "learning_rate_factor = 2.0\n",
            "exclude_from_weight_decay = [\"bias\", \"normalization\"]\n",
        ] {
            assert!(config.contains(line), "{line}: {config}");
        }
        let verified = project.kiln_ok(&["verify", &run]).stdout;
        assert!(verified.starts_with("identical: 3 epochs"), "{verified}");
    }
    let summary = project.kiln_ok(&["summary", "experiment.toml", "hidden.trainable=false"]).stdout;
    // 16 × 8 weights and 8 biases of the hidden layer.
    assert!(summary.contains("hidden (dense, relu, frozen)"), "{summary}");
    assert!(summary.contains("not trainable: 136"), "{summary}");

    let sweep = ["sweep", "experiment.toml", "hidden.trainable=true,false", "name=frozen"];
    assert!(project.kiln_ok(&sweep).reports_all_finished(2));
    assert!(project.kiln_ok(&["compare", "runs/frozen"]).stdout.contains("trainable"));
    let error = project.kiln(&["run", "experiment.toml", "exclude_from_weight_decay=['biases']"]);
    assert!(error.stderr.contains("did you mean \"bias\"?"), "{}", error.stderr);
}

const DEEPER: &str = "layers=[{type='flatten'},{type='dense',units=8,activation='relu'},{type='dense',units=5},{type='dense',units='classes',activation='softmax'}]";

#[test]
fn training_starts_from_the_weights_of_a_run() {
    let project = Project::new();
    let from = project.train(&["epochs=1", "name=source"]);
    // The id alone would be ambiguous if another run starts in the same second.
    let id = from.strip_prefix("runs/").unwrap();
    let names = ["source/last", "source/best", id, &from, &format!("{from}/model.safetensors")];
    let mut configs = Vec::new();
    for name in names {
        let key = format!("model.initial_weights={name}");
        let output = project.kiln_ok(&["run", "experiment.toml", DEEPER, &key]);
        let note = format!(
            "warning: initial weights: 2 tensors loaded from {from}/model.safetensors; drawn as without a file: \
             layers.1.weight, layers.1.bias, layers.2.weight, layers.2.bias; not used: layers.1.bias, layers.1.weight"
        );
        let stderr = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(stderr.contains(&note), "{name}: {}", output.stderr);
        let run = output.last_line();
        assert_eq!(
            project.read_json(format!("{run}/run.json"))["initial_weights"]["file"],
            format!("{from}/model.safetensors")
        );
        let log = project.read(format!("{run}/log.jsonl"));
        assert!(log.contains("\"loaded\":\"layers.0.weight, layers.0.bias\""), "{log}");
        configs.push(project.read(format!("{run}/config.toml")));
    }
    assert!(configs.iter().all(|config| *config == configs[0]), "{configs:?}");
    assert!(configs[0].contains("initial_weights_sha256 = \""), "{}", configs[0]);

    for command in ["run", "sweep"] {
        let error = project.kiln(&[command, "experiment.toml", "initial_weights=nothing"]);
        assert_eq!(error.status, 2, "{}", error.stderr);
        assert!(error.stderr.contains("nothing cannot be read: "), "{}", error.stderr);
        assert!(error.stderr.contains("NAME/last or NAME/best"), "{}", error.stderr);
    }
}

#[test]
fn a_sweep_trains_from_the_weights_that_it_was_declared_with() {
    let project = Project::new();
    let from = project.train(&["epochs=1", "name=source"]);
    let other = project.train(&["epochs=1", "name=source", "seed=9"]);
    let axis = format!("initial_weights={from},{other}");
    let sweep = ["sweep", "experiment.toml", &axis, "seed=1,2", "name=transfer"];
    let output = project.kiln_ok(&sweep);
    assert!(output.reports_all_finished(4), "{}", output.stdout);
    let runs = || {
        let mut ids: Vec<_> = std::fs::read_dir(project.path("runs/transfer"))
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        ids.retain(|id| !id.starts_with('.'));
        ids.sort();
        ids
    };
    let ids = runs();
    assert_eq!(ids.len(), 4);

    // The same weights by another name are the same runs; both names together are a mistake.
    let renamed = format!("initial_weights={from}/model.safetensors,{other}/model.safetensors");
    project.kiln_ok(&["sweep", "experiment.toml", &renamed, "seed=1,2", "name=transfer"]);
    assert_eq!(runs(), ids);
    let twice = format!("initial_weights={from},{from}/model.safetensors");
    let error = project.kiln(&["sweep", "experiment.toml", &twice]);
    assert!(error.stderr.contains("occurs twice"), "{}", error.stderr);
    let compared = project.kiln_ok(&["compare", "runs/transfer", "--csv"]).stdout;
    assert!(compared.contains("initial_weights"), "{compared}");

    // A run that is missing later needs the file; the others have a copy of their own.
    let removed = format!("runs/transfer/{}", ids[0]);
    std::fs::remove_dir_all(project.path(&removed)).unwrap();
    project.kiln_ok(&["resume", "runs/transfer"]);
    assert_eq!(runs(), ids);
    for source in [&from, &other] {
        std::fs::remove_file(project.path(format!("{source}/model.safetensors"))).unwrap();
    }
    let verified = project.kiln_ok(&["verify", &removed]).stdout;
    assert!(verified.starts_with("identical: 3 epochs"), "{verified}");
    // A run that was killed before its first checkpoint.
    let model = || std::fs::read(project.path(format!("{removed}/model.safetensors"))).unwrap();
    let expected = model();
    std::fs::remove_dir_all(project.path(format!("{removed}/checkpoints"))).unwrap();
    std::fs::remove_file(project.path(format!("{removed}/report.json"))).unwrap();
    project.edit_record(&removed, |record| record["status"] = "interrupted".into());
    project.kiln_ok(&["resume", "runs/transfer"]);
    assert!(model() == expected);

    std::fs::remove_dir_all(project.path(&removed)).unwrap();
    let failed = project.kiln(&["resume", "runs/transfer"]);
    assert_eq!(failed.status, 1, "{}", failed.stdout);
}

/// All keys of this page together, in a run that is interrupted within an epoch and then killed.
#[test]
fn a_run_with_all_of_these_keys_survives_ctrl_c_and_a_kill() {
    let project = Project::new();
    let from = project.train(&["epochs=1", "name=source"]);
    for engine in ["engine=fused", "engine=generic"] {
        let name = format!("name={}", engine.replace('=', "-"));
        let initial = format!("initial_weights={from}");
        let arguments = [
            "run",
            "experiment.toml",
            &name,
            engine,
            &initial,
            "epochs=40",
            "weights=average",
            "test.flip=true",
            "early_stopping={patience=38,restore_best=true}",
            "hidden.learning_rate_factor=0.5",
            "layers.2.trainable=false",
            "optimizer={type='adamw',exclude_from_weight_decay=['bias']}",
        ];
        let uninterrupted = [arguments.as_slice(), &["--runs=uninterrupted"]].concat();
        let expected = Results::of(&project.path(project.kiln_ok(&uninterrupted).last_line()));

        let runs = project.path(format!("runs/{}", name.strip_prefix("name=").unwrap()));
        let started = || run_directories(&runs).iter().any(|run| has_epochs(run, 3));
        let mut child = start(&project, &arguments);
        wait_until("three epochs", started);
        signal_unless_ended(&mut child, "-INT");
        let _ = child.wait_with_output().unwrap();
        let run = run_directories(&runs).remove(0);
        let path = run.display().to_string();
        let epochs = || {
            std::fs::read_to_string(run.join("history.csv")).map_or(0, |text| text.lines().count())
        };
        let before = epochs();
        let mut child = start(&project, &["resume", &path]);
        let is_finished = || run.join("report.json").exists();
        wait_until("two more epochs", || epochs() > before + 1 || is_finished());
        signal_unless_ended(&mut child, "-KILL");
        let _ = child.wait_with_output().unwrap();
        if !is_finished() {
            project.kiln_ok(&["resume", &path]);
        }
        Results::of(&run).assert_same(&expected, engine);
        project.kiln_ok(&["doctor", &path]);
        let verified = project.kiln_ok(&["verify", &path]).stdout;
        assert!(verified.starts_with("identical: "), "{verified}");
    }
}

#[test]
fn evaluating_images_of_the_training_is_said() {
    let project = Project::new();
    let run = project.train(&["epochs=1"]);
    let warns = |part: &str| {
        project.kiln_ok(&["evaluate", &run, "columns", "--part", part]).stderr.replace('\n', " ")
    };
    let all = warns("all");
    let warning = "96 of these images are training images of the run and 24 are validation images";
    assert!(all.contains(warning), "{all}");
    let test = warns("test");
    assert!(!test.contains("warning"), "{test}");
}

//! Training features of recipes: the average of the weights, testing with mirror images, and layers that are trained
//! differently.

use crate::project::Project;

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

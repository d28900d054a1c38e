//! Sweep files.

use crate::world::{EXPERIMENT, World, refused, runs};

#[test]
fn a_grid_is_repeated_with_every_seed() {
    let found = runs("[grid]\n\"optimizer.learning_rate\" = [0.1, 1]\n[repeat]\nseed = [1, 2]\n");
    assert_eq!(
        found,
        [
            "optimizer.learning_rate=0.1 seed=1",
            "optimizer.learning_rate=0.1 seed=2",
            "optimizer.learning_rate=1 seed=1",
            "optimizer.learning_rate=1 seed=2",
        ]
    );
}

#[test]
fn a_key_may_be_quoted_dotted_shortened_or_a_table() {
    for grid in [
        "\"model.layers.hidden.repeat\" = [0, 2]",
        "model.layers.hidden.repeat = [0, 2]",
        "hidden.repeat = [0, 2]",
        "[grid.hidden]\nrepeat = [0, 2]",
    ] {
        let found = runs(&format!("[grid]\n{grid}\n"));
        assert_eq!(found.len(), 2, "{grid}");
        assert!(found[1].ends_with("hidden.repeat=2"), "{found:?}");
    }
}

#[test]
fn a_zip_pairs_its_values() {
    assert_eq!(
        runs("[zip]\nepochs = [1, 2]\nlearning_rate = [0.5, 0.25]\n[grid]\nhidden.units = [3]\n"),
        ["epochs=1 learning_rate=0.5 hidden.units=3", "epochs=2 learning_rate=0.25 hidden.units=3"]
    );
    let refused = refused("[zip]\nepochs = [1, 2]\nlearning_rate = [0.5]\n");
    assert!(
        refused.contains(
            "pairs values, but `training.epochs` has 2 and `optimizer.learning_rate` has 1"
        ),
        "{refused}"
    );
}

#[test]
fn a_list_of_lists_has_lists_for_values() {
    assert_eq!(
        runs("[grid]\ntraining.top_k = [[], [2, 3]]\n"),
        ["training.top_k=[]", "training.top_k=[2, 3]"]
    );
    let refused = refused("[grid]\nlearning_rate = 0.1\n");
    assert!(refused.contains("expected a list") && refused.contains("[0.1]"), "{refused}");
    assert!(crate::world::refused("[grid]\nlearning_rate = []\n").contains("has no values"));
}

#[test]
fn a_value_may_be_a_table() {
    let found = runs(
        "[[grid.optimizer]]\ntype = \"adam\"\n[[grid.optimizer]]\ntype = \"sgd\"\nmomentum = 0.9\n",
    );
    assert_eq!(
        found,
        [r#"optimizer={type = "adam"}"#, r#"optimizer={type = "sgd", momentum = 0.9}"#]
    );
}

#[test]
fn an_axis_of_optimizers_gives_each_its_own_learning_rate() {
    let rates = |file: &str, axes: &[&str]| {
        let points = World::new(file).open("sweep.toml", axes).unwrap().expand().unwrap();
        let rate =
            |point: &kiln_sweep::SweepPoint| point.declaration.experiment.optimizer.learning_rate;
        points.iter().map(rate).collect::<Vec<_>>()
    };
    // The experiment has the rate 0.1 for SGD.
    let types = "[grid]\n\"optimizer.type\" = [\"sgd\", \"adam\"]\n";
    assert_eq!(rates(types, &[]), [0.1, 0.001]);
    assert_eq!(rates(types, &["learning_rate=0.03"]), [0.03, 0.03]);
    assert_eq!(rates("", &["optimizer.type=adam,sgd"]), [0.001, 0.1]);
    let grid = format!("{types}\"optimizer.learning_rate\" = [0.2, 0.3]\n");
    assert_eq!(rates(&grid, &[]), [0.2, 0.3, 0.2, 0.3]);
}

#[test]
fn runs_that_match_a_pattern_are_excluded() {
    let sweep = "[grid]\nlearning_rate = [0.1, 1]\nhidden.repeat = [0, 1, 2]\n\
                 [[exclude]]\nlearning_rate = 1.0\nhidden.repeat = [1, 2]\n\
                 [[exclude]]\nhidden.repeat = 0\n";
    assert_eq!(
        runs(sweep),
        ["learning_rate=0.1 hidden.repeat=1", "learning_rate=0.1 hidden.repeat=2"]
    );
    // One key is in a table that is an axis, the other has its value from the experiment.
    let tables = "[[grid.optimizer]]\ntype = \"adam\"\n[[grid.optimizer]]\ntype = \"sgd\"\n";
    let found = runs(&format!("{tables}[[exclude]]\noptimizer.type = \"sgd\"\nhidden.units = 8\n"));
    assert_eq!(found, [r#"optimizer={type = "adam"}"#]);
    let found = runs("[repeat]\nseed = [1, 2, 3]\n[[exclude]]\nseed = [1, 3]\n");
    assert_eq!(found, ["seed=2"]);
    // One key has its default value, the other has a list as its value.
    let lists = "[grid]\ntop_k = [[], [2], [2, 3]]\n[[exclude]]\nbatch_size = 32\ntop_k = ";
    assert_eq!(runs(&format!("{lists}[[2]]")), ["top_k=[]", "top_k=[2, 3]"]);
    assert_eq!(runs(&format!("{lists}[2, 3]")), ["top_k=[]", "top_k=[2]"]);
    let refused = refused("[grid]\nseed = [1]\n[[exclude]]\nseed = 1\n");
    assert!(refused.contains("every combination of this sweep is excluded"), "{refused}");
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error() {
    let sweep = "[grid]\nlearning_rate = [0.1, 1]\n[[exclude]]\n";
    for pattern in
        ["learning_rate = 0.2", "optimizer.lerning_rate = 0.1", "optimizer.type = \"adam\""]
    {
        let refused = refused(&format!("{sweep}{pattern}\n"));
        assert!(refused.contains("matches no run of the sweep"), "{pattern}\n{refused}");
        assert!(refused.contains("sweep.toml:5"), "{refused}");
    }
    // With other values from the command line, a pattern without a match is allowed.
    let world = World::new(&format!("{sweep}learning_rate = 1\n"));
    assert_eq!(world.runs("sweep.toml", &["learning_rate=0.3"]).unwrap().len(), 1);
}

#[test]
fn a_range_of_seeds_is_a_string() {
    let seeds = ["seed=1", "seed=2", "seed=3"];
    for text in [
        "[repeat]\nseed = \"1..3\"\n",
        "[repeat]\nseed = [1, \"2..3\"]\n",
        "[grid]\nseed = \"1..3\"\n",
        "[zip]\nseed = [\"1..2\", 3]\n",
    ] {
        assert_eq!(runs(text), seeds, "{text}");
    }
    let refused = refused("[repeat]\nseed = \"three\"\n");
    assert!(refused.contains("or a range such as 1..5"), "{refused}");
}

#[test]
fn seeds_are_one_axis() {
    let refused = refused("[grid]\nseed = [1, 2]\n[repeat]\nseed = [3]\n");
    assert!(refused.contains("`seed` is an axis here and in `[repeat]`"), "{refused}");
    let world = World::new("[grid]\nseed = [1, 2]\nepochs = [1]\n");
    assert_eq!(
        world.runs("sweep.toml", &["seed=7,8"]).unwrap(),
        ["epochs=1 seed=7", "epochs=1 seed=8"]
    );
}

#[test]
fn a_name_may_be_in_any_script() {
    let world = World::new("");
    let sweep = world.open("experiment.toml", &["name=\"हिंदी\"", "seed=1,2"]).unwrap();
    let points = sweep.expand().unwrap();
    assert_eq!(points[0].declaration.experiment.name, "हिंदी");
}

#[test]
fn an_excluded_combination_may_be_invalid() {
    let sweep = "[grid]\ntraining.weights = [\"best\", \"last\"]\n[[exclude]]\ntraining.weights = \"best\"\n";
    // Without validation rows, weights = "best" is invalid.
    assert_eq!(runs(sweep), ["training.weights=last"]);
}

#[test]
fn blocks_are_united_and_common_runs_are_trained_once() {
    let sweep = "[grid]\nlearning_rate = [0.1, 0.2]\n\
                 [[block]]\ngrid.learning_rate = [0.2, 0.3]\n\
                 [[block]]\ngrid.hidden.units = [8, 4]\n";
    assert_eq!(
        runs(sweep),
        ["learning_rate=0.1", "learning_rate=0.2", "learning_rate=0.3", "hidden.units=4"]
    );
}

#[test]
fn an_axis_of_the_command_line_replaces_the_one_of_the_file() {
    let world = World::new(
        "[grid]\nlearning_rate = [0.1, 0.2]\n[zip]\nepochs = [1, 2]\nbatch_size = [8, 16]\n[repeat]\nseed = [1, 2]\n",
    );
    let found = world.runs("sweep.toml", &["optimizer.learning_rate=0.3", "seed=7", "epochs=5"]);
    assert_eq!(
        found.unwrap(),
        [
            "optimizer.learning_rate=0.3 epochs=5 batch_size=8 seed=7",
            "optimizer.learning_rate=0.3 epochs=5 batch_size=16 seed=7"
        ]
    );
}

#[test]
fn the_identity_of_an_experiment_does_not_depend_on_how_it_is_declared() {
    let world = World::new("[grid]\nlearning_rate = [0.10, 0.2]\n");
    let identity = |file: &str, axes: &[&str], run: usize| {
        let points = world.open(file, axes).unwrap().expand().unwrap();
        points[run].declaration.experiment.identity().unwrap()
    };
    let first = identity("sweep.toml", &[], 0);
    assert_eq!(first.len(), 12);
    assert_eq!(first, identity("experiment.toml", &[], 0), "the experiment's own rate is 0.1");
    assert_eq!(first, identity("experiment.toml", &["name=other", "seed=5"], 0));
    assert_ne!(first, identity("sweep.toml", &[], 1));
    assert_ne!(first, identity("experiment.toml", &["seed=6"], 0));
}

#[test]
fn errors_show_the_place_in_the_sweep_file() {
    for (sweep, parts) in [
        ("[grid]\nlearnig_rate = [0.1]\n", ["sweep.toml:4:1", "did you mean `learning_rate`?"]),
        (
            "[grid]\nlearning_rate = [0.1, -2]\n",
            ["sweep.toml:4:", "in the combination learning_rate=-2"],
        ),
        ("[gird]\nlearning_rate = [0.1]\n", ["unknown key `gird`", "did you mean `grid`?"]),
        ("[repeat]\nseed = 3\n", ["expected a list", "sweep.toml:4:8"]),
        ("[repeat]\nseeds = [3]\n", ["unknown key `seeds`", "did you mean `seed`?"]),
        ("[prune]\nreduction = 1\n", ["2 or more", "sweep.toml:4:13"]),
        ("[prune]\nmetric = \"val_acc\"\n", ["val_acc", "did you mean \"val_accuracy\"?"]),
        (
            "[grid]\nepochs = [1]\n[zip]\ntraining.epochs = [2]\n",
            ["`training.epochs` is in more than one of", "sweep.toml:"],
        ),
    ] {
        let refused = refused(sweep);
        for part in parts {
            assert!(refused.contains(part), "`{part}` is not in\n{refused}");
        }
    }
}

#[test]
fn the_runs_compute_the_metric_that_pruning_compares() {
    let runs = |sweep: &str| {
        let world = World::new(&format!("{sweep}[grid]\nlearning_rate = [0.1, 0.2]\n"));
        let points = world.open("sweep.toml", &["validation=100"]).unwrap().expand().unwrap();
        points.into_iter().map(|point| point.declaration.experiment)
    };
    for run in runs("[prune]\nmetric = \"val_macro_f1\"\n") {
        assert!(run.to_toml().unwrap().contains("metrics = [\"macro_f1\"]"));
    }
    // Every run computes these, so the ids stay those of the sweep without pruning.
    let ids = |sweep: &str| runs(sweep).map(|run| run.identity().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids("[prune]\nmetric = \"val_loss\"\n"), ids(""));
}

#[test]
fn a_missing_file_is_named() {
    let world = World::new("");
    let error = world.open("missing.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("missing.toml"), "{error}");
}

#[test]
fn axes_and_total_length_are_limited() {
    let axes: String = (0..101).map(|axis| format!("k{axis}.units = [1]\n")).collect();
    let world = World::new(&format!("[zip]\n{axes}"));
    let layers: String = (0..101)
        .map(|axis| format!("{{ type = \"dense\", name = \"k{axis}\", units = 2 }},\n"))
        .collect();
    world.write(
        "experiment.toml",
        &EXPERIMENT.replace("layers = [", &format!("layers = [\n{layers}")),
    );
    let error = world.runs("sweep.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("at most 100 are allowed"), "{error}");

    let seeds: Vec<String> = (0..1_000).map(|seed| seed.to_string()).collect();
    let world = World::new(&format!("[repeat]\nseed = [{}]\n", seeds.join(", ")));
    world.write("experiment.toml", &format!("{EXPERIMENT}# {}\n", "x".repeat(200_000)));
    let error = world.runs("sweep.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("too long for 1000 runs"), "{error}");
}

use kiln_compare::Comparison;
use kiln_store::Status;

use crate::tree::{SampleRun, config};
use crate::{compared, directory, ids, labels};

fn with_config(id: &str, config: impl Into<String>) -> SampleRun {
    SampleRun { id: id.to_owned(), config: config.into(), ..SampleRun::new(0.1, 1, 1) }
}

fn columns(comparison: &Comparison) -> Vec<(&str, &str)> {
    let columns = comparison.columns.iter();
    columns.map(|column| (column.key.as_str(), column.label.as_str())).collect()
}

#[test]
fn runs_are_grouped_over_their_seeds() {
    let sweep = directory();
    let runs = [(0.1, 2, 3), (0.1, 2, 1), (0.01, 2, 1), (0.1, 2, 2), (0.1, 0, 1)]
        .map(|(rate, depth, seed)| SampleRun::new(rate, depth, seed));
    let comparison = compared(sweep.path(), &runs);
    assert_eq!(
        columns(&comparison),
        [("model.layers.hidden.repeat", "repeat"), ("optimizer.learning_rate", "learning_rate"),]
    );
    // The validation accuracies are equal, so the order is that of the settings, compared as numbers.
    assert_eq!(
        labels(&comparison),
        [
            "repeat 0, learning_rate 0.1",
            "repeat 2, learning_rate 0.01",
            "repeat 2, learning_rate 0.1",
        ]
    );
    assert_eq!(ids(&comparison.combinations[2]), ["0.1-2-1", "0.1-2-2", "0.1-2-3"]);
    let shared = comparison.shared.iter().find(|shared| shared.column.label == "epochs");
    assert_eq!(shared.map(|shared| shared.value.as_str()), Some("3"));
}

#[test]
fn label_is_the_shortest_unambiguous_end_of_the_key() {
    let sweep = directory();
    let repeats = |depth| {
        let config = config(0.1, depth);
        config.replace("type = \"flatten\"", "type = \"flatten\"\nrepeat = 1")
    };
    let runs = [with_config("one", repeats(1)), with_config("two", repeats(2))];
    assert_eq!(
        columns(&compared(sweep.path(), &runs)),
        [("model.layers.hidden.repeat", "hidden.repeat")]
    );
}

#[test]
fn equal_numbers_in_different_notation_are_one_setting() {
    let sweep = directory();
    let other = config(0.1, 1).replace("learning_rate = 0.1", "learning_rate = 1e-1");
    let comparison =
        compared(sweep.path(), &[SampleRun::new(0.1, 1, 1), with_config("other", other)]);
    assert_eq!(comparison.combinations.len(), 1);
}

#[test]
fn settings_that_do_not_affect_results_are_ignored() {
    let sweep = directory();
    let other = config(0.1, 1) + "\n[checkpoint]\nminutes = 1.0\nkeep = false\n";
    let comparison =
        compared(sweep.path(), &[SampleRun::new(0.1, 1, 1), with_config("other", other)]);
    assert_eq!(comparison.combinations.len(), 1);
}

#[test]
fn setting_that_some_runs_lack_is_a_column_in_file_order() {
    let sweep = directory();
    let adam = config(0.1, 1).replace("type = \"sgd\"", "type = \"adam\"\nbeta_1 = 0.9");
    let comparison =
        compared(sweep.path(), &[SampleRun::new(0.1, 1, 1), with_config("adam", adam)]);
    assert_eq!(
        columns(&comparison),
        [("optimizer.type", "optimizer.type"), ("optimizer.beta_1", "beta_1")]
    );
    assert_eq!(labels(&comparison), ["optimizer.type adam", "optimizer.type sgd"]);
}

#[test]
fn runs_without_augmentation_say_so() {
    let sweep = directory();
    let flip = config(0.1, 1).replace(
        "[optimizer]",
        "[[augment]]\ntype = \"random_flip\"\nmode = \"horizontal\"\n\n[optimizer]",
    );
    let comparison =
        compared(sweep.path(), &[SampleRun::new(0.1, 1, 1), with_config("flip", flip)]);
    assert_eq!(labels(&comparison), ["augment none", "augment random_flip(mode=horizontal)"]);
}

#[test]
fn different_lists_of_layers_are_one_column() {
    let sweep = directory();
    let deeper = config(0.1, 3).replace(
        "[optimizer]",
        "[[model.layers]]\ntype = \"block\"\nrepeat = 2\nlayers = [{ type = \"conv2d\", filters = 8, kernel_size = [3, 3], activation = \"relu\" }, { type = \"flatten\" }]\n\n[optimizer]",
    );
    let runs =
        [SampleRun::new(0.1, 2, 1), SampleRun::new(0.1, 3, 1), with_config("deeper", deeper)];
    let comparison = compared(sweep.path(), &runs);
    assert_eq!(columns(&comparison), [("model.layers", "layers")]);
    assert_eq!(
        labels(&comparison),
        [
            "layers flatten, 100 relu ×2, classes softmax",
            "layers flatten, 100 relu ×3, classes softmax",
            "layers flatten, 100 relu ×3, classes softmax, (conv 8 3×3 relu, flatten) ×2",
        ]
    );
}

#[test]
fn similar_lists_of_layers_get_distinct_labels() {
    let sweep = directory();
    let biased = config(0.1, 1).replace("repeat = 1", "repeat = 1\nuse_bias = false");
    let other = config(0.1, 1).replace("type = \"flatten\"", "type = \"rescale\"");
    let runs =
        [SampleRun::new(0.1, 1, 1), with_config("biased", biased), with_config("other", other)];
    let comparison = compared(sweep.path(), &runs);
    assert_eq!(comparison.combinations.len(), 3);
    let mut labels = labels(&comparison);
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), 3);
    assert!(labels.iter().any(|label| label.contains("hidden.use_bias=false")), "{labels:?}");
    // The others stay short.
    assert!(labels.iter().all(|label| !label.contains("units=")), "{labels:?}");
}

#[test]
fn layers_with_the_same_name_are_distinguished() {
    let sweep = directory();
    let twice = |units: u32| {
        format!(
            "[[model.layers]]\ntype = \"dense\"\nname = \"a\"\nunits = 5\n[[model.layers]]\ntype = \"dense\"\nname = \"a\"\nunits = {units}\n"
        )
    };
    let comparison =
        compared(sweep.path(), &[with_config("one", twice(1)), with_config("two", twice(2))]);
    assert_eq!(columns(&comparison), [("model.layers.1.units", "1.units")]);
}

#[test]
fn combinations_are_ranked_by_validation_with_finished_ones_first() {
    let sweep = directory();
    let runs = [
        SampleRun::new(0.1, 0, 1).best(0.8),
        SampleRun::new(0.1, 0, 2).best(0.9),
        // A higher accuracy, but one of the two seeds diverged.
        SampleRun::new(0.1, 1, 1).best(0.95),
        SampleRun::new(0.1, 1, 2).best(0.5).ended(Status::Diverged),
        SampleRun::new(0.1, 2, 1).best(0.88),
        // The highest accuracy, but the run was pruned.
        SampleRun::new(0.1, 3, 1).best(0.99).ended(Status::Pruned),
        SampleRun { val_accuracies: vec![], ..SampleRun::new(0.1, 4, 1).ended(Status::Failed) },
    ];
    let comparison = compared(sweep.path(), &runs);
    let depths: Vec<_> =
        comparison.combinations.iter().map(|it| it.settings[0].as_deref()).collect();
    assert_eq!(depths, [Some("2"), Some("0"), Some("1"), Some("3"), Some("4")]);
    let best: Vec<_> = comparison.combinations.iter().map(|it| comparison.ranking.of(it)).collect();
    // If any run of a combination finished, only finished runs count.
    assert_eq!(best[2].map(|best| (best.mean, best.count)), Some((0.95, 1)));
    assert_eq!(best[3].map(|best| best.mean), Some(0.99));
    assert_eq!(best[4], None);
    let status: Vec<_> = comparison.combinations.iter().map(|it| it.status()).collect();
    assert_eq!(
        status,
        ["finished", "finished", "1 finished, 1 diverged", "pruned at epoch 3", "failed"]
    );
    assert_eq!(comparison.selected(), Some(&comparison.combinations[0]));
}

#[test]
fn partly_finished_combination_is_selected_if_none_is_complete() {
    let sweep = directory();
    let runs = [
        SampleRun::new(0.1, 1, 1).best(0.7),
        SampleRun::new(0.1, 1, 2).ended(Status::Failed),
        SampleRun::new(0.1, 3, 1).best(0.99).ended(Status::Pruned),
    ];
    let comparison = compared(sweep.path(), &runs);
    let selected = comparison.selected().expect("a choice");
    assert_eq!(selected.label(&comparison.columns), "repeat 1");
}

#[test]
fn runs_without_validation_are_not_ranked() {
    let sweep = directory();
    let runs = [3, 10, 2]
        .map(|depth| SampleRun { val_accuracies: vec![None; 3], ..SampleRun::new(0.1, depth, 1) });
    let comparison = compared(sweep.path(), &runs);
    assert_eq!(labels(&comparison), ["repeat 2", "repeat 3", "repeat 10"]);
    assert!(!comparison.is_ranked());
    assert_eq!((comparison.selected(), comparison.baseline), (None, None));
}

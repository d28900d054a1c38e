//! Axes on the command line.

use crate::world::{World, refused_axes, runs_of};

#[test]
fn every_value_meets_every_other_the_first_axis_changing_slowest() {
    assert_eq!(
        runs_of(&["learning_rate=0.1,0.01", "hidden.repeat=0,1", "seed=1,2"]),
        [
            "learning_rate=0.1 hidden.repeat=0 seed=1",
            "learning_rate=0.1 hidden.repeat=0 seed=2",
            "learning_rate=0.1 hidden.repeat=1 seed=1",
            "learning_rate=0.1 hidden.repeat=1 seed=2",
            "learning_rate=0.01 hidden.repeat=0 seed=1",
            "learning_rate=0.01 hidden.repeat=0 seed=2",
            "learning_rate=0.01 hidden.repeat=1 seed=1",
            "learning_rate=0.01 hidden.repeat=1 seed=2",
        ]
    );
}

#[test]
fn without_axes_there_is_the_experiment_alone() {
    assert_eq!(runs_of(&[]), [""]);
}

#[test]
fn a_list_is_one_value_and_values_stand_between_commas() {
    assert_eq!(runs_of(&["top_k=[3,5]"]), ["top_k=[3, 5]"]);
    assert_eq!(runs_of(&["top_k=[3,5],[]"]), ["top_k=[3, 5]", "top_k=[]"]);
    assert_eq!(runs_of(&["hidden.units=3,5"]), ["hidden.units=3", "hidden.units=5"]);
    let text = r#"hidden.activation=relu,"tanh",'elu'"#;
    assert_eq!(runs_of(&[text]).len(), 3);
}

#[test]
fn commas_in_quotes_and_tables_part_nothing() {
    let runs = runs_of(&[r#"data.source="a,b",'c,d',e\f"#]);
    assert_eq!(runs, [r#"data.source="a,b""#, r#"data.source="c,d""#, r#"data.source="e\\f""#]);
    let runs =
        runs_of(&[r#"optimizer={type="sgd", learning_rate=0.1}, { type = "adam", beta_1 = 0.8 }"#]);
    assert_eq!(
        runs,
        [
            r#"optimizer={type = "sgd", learning_rate = 0.1}"#,
            r#"optimizer={type = "adam", beta_1 = 0.8}"#
        ]
    );
}

#[test]
fn a_whole_table_comes_before_a_key_in_it_whatever_their_order() {
    let world = World::new("");
    let axes = ["learning_rate=0.5,0.25", r#"optimizer={type="sgd"},{type="adam"}"#];
    let combinations = world.open("experiment.toml", &axes).unwrap().expand().unwrap();
    let rates: Vec<f64> = combinations
        .iter()
        .map(|combination| combination.declaration.experiment.optimizer.learning_rate)
        .collect();
    assert_eq!(rates, [0.5, 0.5, 0.25, 0.25]);
}

#[test]
fn changes_can_be_given_again_as_they_are_written() {
    let world = World::new("");
    let axes = [
        r#"optimizer={type="adam"},{type="sgd",momentum=0.5}"#,
        "hidden.activation=gelu,relu",
        "validation=0.25,100",
        r#"data.source="quote\" and \\",plain"#,
    ];
    for combination in world.open("experiment.toml", &axes).unwrap().expand().unwrap() {
        let again: Vec<String> = combination.changes.iter().map(ToString::to_string).collect();
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        let repeated = world.open("experiment.toml", &again).unwrap().expand().unwrap();
        assert_eq!(repeated.len(), 1);
        assert_eq!(
            repeated[0].declaration.experiment, combination.declaration.experiment,
            "{again:?}"
        );
    }
}

#[test]
fn the_name_names_the_sweep() {
    let world = World::new("");
    let sweep = world.open("experiment.toml", &["name=other", "seed=1,2"]).unwrap();
    assert_eq!(sweep.name, "other");
    for combination in sweep.expand().unwrap() {
        assert_eq!(combination.declaration.experiment.name, "other");
    }
    let refused = refused_axes(&["name=one,two"]);
    assert!(refused.contains("`name` is no axis"), "{refused}");
    let refused = refused_axes(&["name=../up"]);
    assert!(refused.contains("this name cannot be used"), "{refused}");
}

#[test]
fn bad_axes_are_shown_where_they_stand() {
    for (axes, parts) in [
        (
            ["lerning_rate=0.1"].as_slice(),
            ["lerning_rate", "did you mean `learning_rate`?"].as_slice(),
        ),
        (
            &["learning_rate=0.1,-1", "hidden.repeat=1"],
            &["expected a number above 0", "in the combination learning_rate=-1 hidden.repeat=1"],
        ),
        (&["learning_rate=0.1,0.01,1e-2"], &["0.01 stands twice"]),
        (
            &["learning_rate=0.1", "optimizer.learning_rate=0.2"],
            &["`optimizer.learning_rate` is given twice"],
        ),
        (&["learning_rate=0.1,,0.2"], &["a value is missing"]),
        (&["learning_rate"], &["expected KEY=VALUE"]),
        (&[r#"loss={},{label_smoothing=0}"#], &["comes twice", "label_smoothing"]),
    ] {
        let refused = refused_axes(axes);
        for part in parts {
            assert!(refused.contains(part), "`{part}` is not in\n{refused}");
        }
    }
}

#[test]
fn more_runs_than_anybody_means_are_refused_before_they_are_counted_out() {
    let values: Vec<String> = (1..=200).map(|value| value.to_string()).collect();
    let values = values.join(",");
    let axis = |key: &str| format!("{key}={values}");
    let axes = [
        axis("seed"),
        axis("hidden.units"),
        axis("hidden.repeat"),
        axis("epochs"),
        axis("batch_size"),
    ];
    let axes: Vec<&str> = axes.iter().map(String::as_str).collect();
    let refused = refused_axes(&axes[..2]);
    assert!(refused.contains("this sweep has 40000 runs; at most 10000"), "{refused}");
    let refused = refused_axes(&axes);
    assert!(refused.contains("this sweep has 320000000000 runs"), "{refused}");
}

//! Axes of the command line.

use crate::world::{World, refused_axes, runs_of};

#[test]
fn all_values_are_combined_and_the_first_axis_changes_slowest() {
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
fn without_axes_the_experiment_is_the_only_run() {
    assert_eq!(runs_of(&[]), [""]);
}

#[test]
fn a_list_is_one_value_and_commas_separate_values() {
    assert_eq!(runs_of(&["top_k=[3,5]"]), ["top_k=[3, 5]"]);
    assert_eq!(runs_of(&["top_k=[3,5],[]"]), ["top_k=[3, 5]", "top_k=[]"]);
    assert_eq!(runs_of(&["hidden.units=3,5"]), ["hidden.units=3", "hidden.units=5"]);
    let text = r#"hidden.activation=relu,"tanh",'elu'"#;
    assert_eq!(runs_of(&[text]).len(), 3);
}

#[test]
fn commas_in_quotes_and_tables_do_not_separate_values() {
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
fn a_table_is_set_before_a_key_in_it_regardless_of_their_order() {
    let world = World::new("");
    let axes = ["learning_rate=0.5,0.25", r#"optimizer={type="sgd"},{type="adam"}"#];
    let points = world.open("experiment.toml", &axes).unwrap().expand().unwrap();
    let rates: Vec<f64> =
        points.iter().map(|point| point.declaration.experiment.optimizer.learning_rate).collect();
    assert_eq!(rates, [0.5, 0.5, 0.25, 0.25]);
}

#[test]
fn settings_are_valid_arguments() {
    let world = World::new("");
    let axes = [
        r#"optimizer={type="adam"},{type="sgd",momentum=0.5}"#,
        "hidden.activation=gelu,relu",
        "validation=0.25,100",
        r#"data.source="quote\" and \\",plain"#,
    ];
    for point in world.open("experiment.toml", &axes).unwrap().expand().unwrap() {
        let arguments: Vec<String> = point.settings.iter().map(ToString::to_string).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let repeated = world.open("experiment.toml", &arguments).unwrap().expand().unwrap();
        assert_eq!(repeated.len(), 1);
        assert_eq!(
            repeated[0].declaration.experiment, point.declaration.experiment,
            "{arguments:?}"
        );
    }
}

#[test]
fn the_key_name_sets_the_name_of_the_sweep() {
    let world = World::new("");
    let sweep = world.open("experiment.toml", &["name=other", "seed=1,2"]).unwrap();
    assert_eq!(sweep.name, "other");
    for point in sweep.expand().unwrap() {
        assert_eq!(point.declaration.experiment.name, "other");
    }
    let refused = refused_axes(&["name=one,two"]);
    assert!(refused.contains("`name` cannot be an axis"), "{refused}");
    let refused = refused_axes(&["name=../up"]);
    assert!(refused.contains("this name cannot be used"), "{refused}");
}

#[test]
fn errors_of_axes_show_the_place() {
    for (axes, parts) in [
        (
            ["lerning_rate=0.1"].as_slice(),
            ["lerning_rate", "did you mean `learning_rate`?"].as_slice(),
        ),
        (
            &["learning_rate=0.1,-1", "hidden.repeat=1"],
            &["expected a number above 0", "in the combination learning_rate=-1 hidden.repeat=1"],
        ),
        (&["learning_rate=0.1,0.01,1e-2"], &["duplicate value on this axis: 0.01"]),
        (
            &["learning_rate=0.1", "optimizer.learning_rate=0.2"],
            &["`optimizer.learning_rate` is given twice"],
        ),
        (&["learning_rate=0.1,,0.2"], &["a value is missing"]),
        (&["learning_rate"], &["write KEY=VALUE"]),
        (&[r#"loss={},{label_smoothing=0}"#], &["occurs twice", "label_smoothing"]),
    ] {
        let refused = refused_axes(axes);
        for part in parts {
            assert!(refused.contains(part), "`{part}` is not in\n{refused}");
        }
    }
}

#[test]
fn too_many_runs_are_refused_before_any_is_created() {
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

#[test]
fn a_range_of_seeds_includes_both_ends() {
    assert_eq!(runs_of(&["seed=1..3,7"]), ["seed=1", "seed=2", "seed=3", "seed=7"]);
    assert_eq!(runs_of(&["seed=5..5"]), ["seed=5"]);
    let units = ["hidden.units=1", "hidden.units=2", "hidden.units=3"];
    assert_eq!(runs_of(&["hidden.units=1..3"]), units);
    for (axis, part) in [
        ("seed=3..1", "the smaller number first: \"1..3\""),
        ("seed=1..", "expected a whole number, or a range such as 1..5"),
        ("seed=-1..2", "expected a whole number, or a range such as 1..5"),
        ("seed=1..4,2", "duplicate value on this axis: 2"),
        ("seed=1..9000000000000000000", "at most 10000 runs"),
    ] {
        let refused = refused_axes(&[axis]);
        assert!(refused.contains(part), "`{part}` is not in\n{refused}");
    }
}

#[test]
fn an_axis_that_no_result_depends_on_is_refused() {
    for axis in ["checkpoint.minutes=1,2", "minutes=1,2", "checkpoint={keep=true},{keep=false}"] {
        let refused = refused_axes(&[axis]);
        assert!(refused.contains("cannot be an axis: no result depends on it"), "{refused}");
    }
    assert_eq!(runs_of(&["checkpoint.minutes=1", "seed=1,2"]).len(), 2);
}

#[test]
fn a_list_of_augmentations_is_one_value() {
    assert_eq!(
        runs_of(&[r#"augment=[],[{type="random_flip"},{type="mix_up",alpha=0.4}]"#]),
        ["augment=[]", r#"augment=[{type = "random_flip"}, {type = "mix_up", alpha = 0.4}]"#]
    );
}

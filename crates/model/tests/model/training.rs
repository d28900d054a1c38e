//! Which parameters are trained, and how fast.

use kiln_model::Shape;

use crate::common::{plan, read, row};

/// The name, whether the optimizer updates it, and the factor of the learning rate of each parameter.
fn parameters(layers: &str, shape: Shape) -> Vec<(String, bool, f64)> {
    let architecture = plan(layers, shape, 3).expect("valid");
    let parameters = architecture.planned_parameters();
    parameters
        .map(|parameter| (parameter.name, parameter.spec.trainable, parameter.learning_rate_factor))
        .collect()
}

#[test]
fn factors_of_entries_multiply_and_a_frozen_entry_freezes_everything_in_it() {
    let layers = r#"{ type = "block", learning_rate_factor = 0.5, repeat = 2, layers = [
            { type = "dense", units = 4, use_bias = false, learning_rate_factor = 0.5 },
        ] },
        { type = "residual", learning_rate_factor = 4, layers = [
            { type = "dense", units = 5, use_bias = false, trainable = false },
        ], shortcut = [
            { type = "block", learning_rate_factor = 2, layers = [
                { type = "dense", units = 5, use_bias = false },
            ] },
        ] },
        { type = "block", trainable = false, layers = [
            { type = "residual", layers = [
                { type = "dense", units = 5, use_bias = false, trainable = true },
            ] },
        ] },
        { type = "dense", units = "classes", use_bias = false }"#;
    let flat = format!(r#"{{ type = "flatten" }}, {layers}"#);
    let expected = [
        ("layers.0.weight", true, 0.25),
        ("layers.1.weight", true, 0.25),
        ("layers.2.layers.0.weight", false, 4.0),
        ("layers.2.shortcut.0.weight", true, 8.0),
        ("layers.3.layers.0.weight", false, 1.0),
        ("layers.4.weight", true, 1.0),
    ];
    let expected = expected.map(|(name, trainable, factor)| (name.to_owned(), trainable, factor));
    assert_eq!(parameters(&flat, row(4)), expected);
}

#[test]
fn the_summary_counts_frozen_parameters_and_their_operations() {
    let layers = r#"{ type = "flatten" },
        { type = "dense", units = 4, trainable = false },
        { type = "batch_normalization", trainable = false },
        { type = "dense", units = 6, name = "own" },
        { type = "dense", units = 5, trainable = false },
        { type = "dense", units = "classes" }"#;
    let summary = plan(layers, row(7), 3).expect("valid").summary(10, 2);
    let parameters = [7 * 4 + 4, 4 * 4, 4 * 6 + 6, 6 * 5 + 5, 5 * 3 + 3];
    assert_eq!(summary.parameters, parameters.iter().sum::<usize>());
    assert_eq!(summary.trainable, parameters[2] + parameters[4]);
    assert_eq!(summary.optimizer_bytes, 2 * 4 * summary.trainable as u64);
    // A forward pass of all; gradients of the weights of two; gradients of the inputs of the last two.
    let [first, own, frozen, last] = [2 * 7 * 4, 2 * 4 * 6, 2 * 6 * 5, 2 * 5 * 3];
    assert_eq!(summary.step_flops, 10 * (first + 2 * own + 2 * frozen + 3 * last));
    let frozen: Vec<bool> = summary.rows.iter().map(|row| row.frozen).collect();
    assert_eq!(frozen, [false, true, true, false, true, false]);
    let text = summary.to_string();
    for label in ["\ndense (frozen) ", "\nbatch_normalization (frozen) ", "\nown (dense) "] {
        assert!(text.contains(label), "`{label}` is not in\n{text}");
    }
}

#[test]
fn defaults_are_not_written() {
    let text = |keys: &str| {
        let model = read(&format!("layers = [{{ type = \"dense\", units = 3{keys} }}]"));
        toml::to_string(&model.expect("valid")).expect("it can be written as TOML")
    };
    let plain = text("");
    assert_eq!(text(", trainable = true, learning_rate_factor = 1"), plain);
    assert!(!plain.contains("trainable") && !plain.contains("factor"), "{plain}");
    let changed = text(", trainable = false, learning_rate_factor = 0.5");
    assert!(changed.contains("trainable = false\nlearning_rate_factor = 0.5\n"), "{changed}");
}

#[test]
fn wrong_settings_are_errors() {
    for factor in ["0", "-1", "1e9"] {
        let entry = format!("{{ type = \"flatten\", learning_rate_factor = {factor} }}");
        let error = read(&format!("layers = [{entry}]")).expect_err("invalid").to_string();
        assert!(
            error.contains("to keep the parameters as they are, set trainable = false"),
            "{error}"
        );
    }
    let layers =
        r#"{ type = "flatten" }, { type = "dense", units = "classes", trainable = false }"#;
    let error = plan(layers, row(4), 3).expect_err("nothing to train").to_string();
    assert!(error.contains("every layer with weights has trainable = false"), "{error}");
}

#[test]
fn nested_learning_rate_factors_out_of_range_are_an_error() {
    let nested = |factor: &str| {
        let inner = format!("{{ type = \"dense\", units = 4, learning_rate_factor = {factor} }}");
        let blocks =
            format!("{{ type = \"block\", learning_rate_factor = {factor}, layers = [{inner}] }}");
        let text = format!(
            "layers = [{{ type = \"flatten\" }}, {blocks}, {{ type = \"dense\", units = \"classes\" }}]"
        );
        let document = kiln_config::Document::parse("model.toml", &text).expect("valid TOML");
        let model = document.read(kiln_model::ModelConfig::read).expect("each factor is valid");
        let error = model.architecture(Shape::Image { channels: 1, height: 2, width: 2 }, 3).err();
        error.map(|error| error.message)
    };
    assert_eq!(nested("1000"), None);
    let problem = |factor| {
        format!(
            "its learning_rate_factor and those of the entries around it give {factor}, but at most 1000000 and more than 0 is \
             possible; change one of them"
        )
    };
    assert_eq!(nested("1e6"), Some(problem("1e12")));
    assert_eq!(nested("1e-200"), Some(problem("0e0")));
}

//! Training trajectories against reference values in float64: the loss before every step, and the weights
//! after the last step. Each file in `fixtures` names its source, which is PyTorch for most.

use std::path::PathBuf;

use kiln_data::ImageShape;
use kiln_model::{WeightTensor, Weights};
use kiln_train::random::{Purpose, stream};
use kiln_train::schedules::RunLength;
use kiln_train::{Backend, Declaration, Engine, Implementation, Metrics, Targets};
use serde_json::Value;

/// The largest relative error of the loss at a step.
const LOSS: f64 = 1e-4;

/// The largest error of a final weight, relative to the largest weight of its tensor.
const WEIGHT: f64 = 1e-4;

/// The same where the weights begin at zero, so that they are the sum of the updates. With 1 − βᵗ in f32, the errors
/// are above 2 · 10⁻⁵.
const UPDATE: f64 = 3e-6;

/// A backend and an engine.
type Device = (Backend, Implementation);

const GENERIC: Device = (Backend::Flex, Implementation::Generic);

const FUSED: Device = (Backend::Flex, Implementation::Fused);

const ALL: [Device; 3] = [FUSED, GENERIC, (Backend::Ndarray, Implementation::Generic)];

struct Trajectory(Value);

impl Trajectory {
    fn open(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        flat(&self.0[key])
    }

    fn weights(&self, key: &str) -> Weights {
        let keys = [
            ("weight_in_out", "weight"),
            ("weight", "weight"),
            ("bias", "bias"),
            ("running_mean", "running_mean"),
            ("running_var", "running_var"),
        ];
        let layers = self.0[key].as_array().unwrap();
        let tensors = layers.iter().enumerate().flat_map(|(index, layer)| {
            keys.iter().filter(|(theirs, _)| layer.get(theirs).is_some()).map(
                move |(theirs, ours)| WeightTensor {
                    name: format!("layers.{index}.{ours}"),
                    shape: shape(&layer[theirs]),
                    values: flat(&layer[theirs]).into_iter().map(|x| x as f32).collect(),
                },
            )
        });
        Weights { tensors: tensors.collect() }
    }
}

fn flat(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(items) => items.iter().flat_map(flat).collect(),
        None => vec![value.as_f64().unwrap()],
    }
}

fn shape(value: &Value) -> Vec<usize> {
    match value.as_array() {
        Some(items) => std::iter::once(items.len()).chain(shape(&items[0])).collect(),
        None => Vec::new(),
    }
}

/// Trains on the trajectory's batches, and compares every loss and the final weights with its own.
fn follow(name: &str, device: Device, layers: &str, tables: &str) -> Engine {
    follow_within(WEIGHT, name, device, layers, tables)
}

/// Like [`follow`], with another limit for the error of a final weight.
fn follow_within(
    weight_error: f64,
    name: &str,
    device: Device,
    layers: &str,
    tables: &str,
) -> Engine {
    let trajectory = Trajectory::open(name);
    let text = format!(
        "name = \"parity\"\n[data]\nsource = \"none\"\n[model]\nlayers = [{layers}]\n{tables}\n\
         [device]\nbackend = \"{}\"\nengine = \"{}\"\n",
        device.0, device.1,
    );
    let declaration = Declaration::parse(name, &text, &[]).unwrap();
    let features = shape(&trajectory.0["inputs"])[1];
    let classes = trajectory.weights("initial").tensors.last().unwrap().values.len();
    let image = ImageShape { channels: 1, height: 1, width: features };
    let experiment = &declaration.experiment;
    let architecture = declaration.architecture(image, classes).unwrap();
    let settings = declaration.engine_settings(&architecture).unwrap();
    let mut engine = Engine::new(&settings, &trajectory.weights("initial")).unwrap();

    let batch = trajectory.0["batch"].as_u64().unwrap() as usize;
    let inputs: Vec<f32> = trajectory.numbers("inputs").iter().map(|x| *x as f32).collect();
    let labels: Vec<u16> = trajectory.numbers("labels").iter().map(|x| *x as u16).collect();
    let class_weights = match &trajectory.0["class_weights"] {
        Value::Null => Vec::new(),
        weights => flat(weights),
    };
    let losses = trajectory.numbers("loss_before_each_step");
    let length = RunLength { epochs: 1, steps_per_epoch: losses.len() };
    let schedule = experiment.schedule.after(&[], experiment.optimizer.learning_rate, length);
    let mut dropout_rng = stream(0, Purpose::Dropout, 1);
    for (step, expected) in losses.iter().enumerate() {
        let rows = step * batch..(step + 1) * batch;
        let pixels = &inputs[rows.start * features..rows.end * features];
        let class_weights = &class_weights;
        let targets = Targets { class_weights, ..Targets::from(&labels[rows]) };
        let logits = engine.step(pixels, targets, schedule.step(step), &mut dropout_rng);
        let loss = Metrics::new(experiment, classes).add_batch(&logits, targets);
        assert!(
            (loss - expected).abs() <= LOSS * expected.abs(),
            "{name}, step {step}: loss {loss}, expected {expected}"
        );
    }
    assert!(losses.len() >= 20, "{name} has too few steps to show an error");

    assert_close(name, &engine.weights(), &trajectory.weights("final"), weight_error);
    if !trajectory.0["average"].is_null() {
        let average = engine.average().expect("the experiment asks for one");
        assert_close(name, &average, &trajectory.weights("average"), weight_error);
    }
    engine
}

/// `error` is relative to the largest value of each tensor.
fn assert_close(name: &str, ours: &Weights, theirs: &Weights, error: f64) {
    assert_eq!(ours.tensors.len(), theirs.tensors.len());
    for (ours, theirs) in ours.tensors.iter().zip(&theirs.tensors) {
        assert_eq!((&ours.name, &ours.shape), (&theirs.name, &theirs.shape));
        let largest = theirs.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (own, their) in ours.values.iter().zip(&theirs.values) {
            let difference = f64::from((own - their).abs());
            assert!(
                difference <= error * f64::from(largest),
                "{name}, {}: {own}, expected {their}",
                ours.name
            );
        }
    }
}

/// The network of the files without a prefix: 8-7-6-5.
fn small(activation: &str) -> String {
    format!(
        r#"{{ type = "flatten" }},
        {{ type = "dense", units = 7, activation = "{activation}" }},
        {{ type = "dense", units = 6, activation = "{activation}" }},
        {{ type = "dense", units = "classes", activation = "softmax" }}"#
    )
}

/// The network of the files `more_…`: 6-5-4.
const MORE: &str = r#"{ type = "flatten" },
    { type = "dense", units = 5, activation = "relu" },
    { type = "dense", units = "classes", activation = "softmax" }"#;

fn follow_small(name: &str, activation: &str, optimizer: &str) {
    let optimizer = format!("[optimizer]\n{optimizer}");
    for device in ALL {
        follow(name, device, &small(activation), &optimizer);
    }
}

fn follow_more(name: &str, tables: &str) {
    for device in [FUSED, GENERIC] {
        follow(name, device, MORE, tables);
    }
}

#[test]
fn sgd() {
    follow_small("sgd", "relu", "type = 'sgd'\nlearning_rate = 0.1");
}

#[test]
fn sgd_through_a_deep_network() {
    let layers = r#"{ type = "flatten" },
        { type = "dense", units = 16, activation = "relu", repeat = 5 },
        { type = "dense", units = "classes", activation = "softmax" }"#;
    let optimizer = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.2";
    for device in [FUSED, GENERIC] {
        follow("deep_sgd", device, layers, optimizer);
    }
}

#[test]
fn sgd_with_momentum() {
    follow_small("sgd_momentum", "relu", "type = 'sgd'\nlearning_rate = 0.1\nmomentum = 0.9");
}

#[test]
fn sgd_with_nesterovs_momentum() {
    let optimizer = "type = 'sgd'\nlearning_rate = 0.1\nmomentum = 0.9\nnesterov = true";
    follow_small("sgd_nesterov", "tanh", optimizer);
}

#[test]
fn sgd_with_weight_decay() {
    let optimizer = "type = 'sgd'\nlearning_rate = 0.1\nweight_decay = 0.01";
    follow_small("sgd_weight_decay", "relu", optimizer);
}

#[test]
fn sgd_with_the_global_norm_clipped() {
    let optimizer = "type = 'sgd'\nlearning_rate = 0.5\nglobal_clipnorm = 0.25";
    follow_small("sgd_clip", "relu", optimizer);
}

#[test]
fn sgd_with_every_gradient_clipped() {
    let optimizer = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.5\nclipvalue = 0.05";
    follow_more("more_clip_value", optimizer);
}

#[test]
fn adam() {
    // The file was computed with Keras' ε of 1e-7, not with PyTorch's default of 1e-8.
    follow_small("adam", "relu", "type = 'adam'\nlearning_rate = 0.01");
}

#[test]
fn adamw() {
    follow_small("adamw", "gelu", "type = 'adamw'\nlearning_rate = 0.01\nweight_decay = 0.05");
}

/// 1 − β₂ᵗ is 10⁻⁵ at first, of which f32 has three correct digits.
#[test]
fn adam_and_its_variants_with_a_long_memory() {
    let layers =
        r#"{ type = "flatten" }, { type = "dense", units = "classes", activation = "softmax" }"#;
    for (name, keys) in [("adam", ""), ("adamw", "weight_decay = 0.05"), ("nadam", "")] {
        let optimizer =
            format!("[optimizer]\ntype = '{name}'\nlearning_rate = 0.01\nbeta_2 = 0.99999\n{keys}");
        for device in [FUSED, GENERIC] {
            let name = format!("bias_correction_{name}");
            follow_within(UPDATE, &name, device, layers, &optimizer);
        }
    }
}

/// 1 − ρ is 10⁻⁴, of which f32 has four correct digits if ρ is rounded first.
#[test]
fn rmsprop_with_a_long_memory() {
    let layers =
        r#"{ type = "flatten" }, { type = "dense", units = "classes", activation = "softmax" }"#;
    let optimizer = "[optimizer]\ntype = 'rmsprop'\nlearning_rate = 0.001\nrho = 0.9999";
    for device in [FUSED, GENERIC] {
        follow_within(UPDATE, "bias_correction_rmsprop", device, layers, optimizer);
    }
}

#[test]
fn rmsprop() {
    follow_small("rmsprop", "sigmoid", "type = 'rmsprop'\nlearning_rate = 0.01");
}

#[test]
fn rmsprop_centered_with_momentum() {
    let optimizer =
        "[optimizer]\ntype = 'rmsprop'\nlearning_rate = 0.01\nmomentum = 0.5\ncentered = true";
    follow_more("more_rmsprop_centered_momentum", optimizer);
}

#[test]
fn adagrad() {
    follow_small("adagrad", "elu", "type = 'adagrad'\nlearning_rate = 0.05");
}

#[test]
fn nadam() {
    // 60 steps: the product of the momenta ends after some 50.
    follow_more("more_nadam", "[optimizer]\ntype = 'nadam'\nlearning_rate = 0.01");
}

#[test]
fn lion() {
    let optimizer = "[optimizer]\ntype = 'lion'\nlearning_rate = 0.003\nweight_decay = 0.1";
    follow_more("more_lion", optimizer);
}

#[test]
fn a_cycle_of_rate_and_momentum() {
    let schedule = "[schedule]\ntype = 'one_cycle'\ncycle_momentum = true";
    let sgd = "type = 'sgd'\nlearning_rate = 0.3\nmomentum = 0.9\nnesterov = true";
    follow_more("more_one_cycle_sgd", &format!("[optimizer]\n{sgd}\n{schedule}"));
    let adam = "type = 'adam'\nlearning_rate = 0.03";
    follow_more("more_one_cycle_adam", &format!("[optimizer]\n{adam}\n{schedule}"));
}

#[test]
fn label_smoothing() {
    let tables = "[loss]\nlabel_smoothing = 0.1\n[optimizer]\ntype = 'sgd'\nlearning_rate = 0.2";
    follow_more("more_label_smoothing", tables);
}

#[test]
fn class_weights() {
    let tables = "[loss]\nlabel_smoothing = 0.1\n[optimizer]\ntype = 'sgd'\nlearning_rate = 0.3";
    for device in ALL {
        follow("class_weights", device, MORE, tables);
    }
}

/// The network of the files with batch normalization.
const NORMALIZED: &str = r#"{ type = "flatten" },
    { type = "dense", units = 5 },
    { type = "batch_normalization", momentum = 0.9, epsilon = 1e-3 },
    { type = "activation", activation = "relu" },
    { type = "dense", units = "classes", activation = "softmax" }"#;

#[test]
fn the_running_average_of_the_weights() {
    let average = "[training]\nweights = 'average'\naverage_decay";
    let sgd = format!("[optimizer]\ntype = 'sgd'\nlearning_rate = 0.3\n{average} = 0.9");
    follow_more("recipe_average_sgd", &sgd);
    let adam = format!("[optimizer]\ntype = 'adam'\nlearning_rate = 0.02\n{average} = 0.9");
    follow_more("recipe_average_adam", &adam);
    let momentum = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.2\nmomentum = 0.9";
    let tables = format!("{momentum}\n{average} = 0.8");
    for device in ALL {
        follow("recipe_average_batch_normalization", device, NORMALIZED, &tables);
    }
}

/// The first layer learns with a tenth of the rate. Entries in entries multiply their factors.
const SLOW_FIRST: [&str; 2] = [
    r#"{ type = "flatten" },
    { type = "dense", units = 5, activation = "relu", learning_rate_factor = 0.1 },
    { type = "dense", units = "classes", activation = "softmax" }"#,
    r#"{ type = "block", learning_rate_factor = 0.5, layers = [
        { type = "flatten" },
        { type = "dense", units = 5, activation = "relu", learning_rate_factor = 0.2 },
    ] },
    { type = "dense", units = "classes", activation = "softmax" }"#,
];

#[test]
fn a_rate_for_each_layer_and_no_weight_decay_of_biases() {
    for (name, keys) in [
        ("plain_sgd", "type = 'sgd'\nlearning_rate = 0.3"),
        (
            "sgd",
            "type = 'sgd'\nlearning_rate = 0.1\nmomentum = 0.9\nnesterov = true\nweight_decay = 0.02",
        ),
        ("adam", "type = 'adam'\nlearning_rate = 0.03"),
        ("adamw", "type = 'adamw'\nlearning_rate = 0.03\nweight_decay = 0.3"),
        ("rmsprop", "type = 'rmsprop'\nlearning_rate = 0.01"),
        ("adagrad", "type = 'adagrad'\nlearning_rate = 0.1"),
        ("nadam", "type = 'nadam'\nlearning_rate = 0.02"),
        ("lion", "type = 'lion'\nlearning_rate = 0.003\nweight_decay = 0.5"),
    ] {
        let tables = format!("[optimizer]\n{keys}\nexclude_from_weight_decay = ['bias']");
        for layers in SLOW_FIRST {
            for device in [FUSED, GENERIC] {
                follow(&format!("recipe_groups_{name}"), device, layers, &tables);
            }
        }
    }
}

#[test]
fn no_weight_decay_of_normalization() {
    let optimizer = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.1\nmomentum = 0.9\n\
                     weight_decay = 0.1\nexclude_from_weight_decay = ['normalization']";
    for device in ALL {
        follow("recipe_groups_normalization", device, NORMALIZED, optimizer);
    }
}

#[test]
fn frozen_layers() {
    let frozen = |first: bool, second: bool| {
        format!(
            r#"{{ type = "flatten" }},
            {{ type = "dense", units = 5, activation = "relu", trainable = {} }},
            {{ type = "block", trainable = {}, layers = [
                {{ type = "dense", units = 5, activation = "relu" }},
            ] }},
            {{ type = "dense", units = "classes", activation = "softmax" }}"#,
            !first, !second
        )
    };
    for device in [FUSED, GENERIC] {
        let sgd = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.3";
        let engine = follow("recipe_frozen_middle", device, &frozen(false, true), sgd);
        assert_eq!(engine.optimizer_state().unwrap().tensors, []);
        let adam = "[optimizer]\ntype = 'adam'\nlearning_rate = 0.02\nglobal_clipnorm = 0.3";
        let engine = follow("recipe_frozen_first", device, &frozen(true, false), adam);
        // Two moments for each of the four parameters that are trained.
        let state = engine.optimizer_state().unwrap().tensors;
        assert!(state.iter().all(|tensor| !tensor.name.starts_with("layers.0.")), "{state:?}");
        assert_eq!(state.len(), 8);
    }
}

#[test]
fn frozen_batch_normalization_uses_its_running_statistics_and_keeps_them() {
    let layers = NORMALIZED.replace("epsilon = 1e-3", "epsilon = 1e-3, trainable = false");
    let optimizer = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.2\nmomentum = 0.9";
    for device in ALL {
        follow("recipe_frozen_normalization", device, &layers, optimizer);
    }
}

#[test]
fn batch_normalization_in_training_and_inference() {
    let optimizer = "[optimizer]\ntype = 'sgd'\nlearning_rate = 0.2";
    let name = "more_batch_normalization";
    let engine = follow(name, GENERIC, NORMALIZED, optimizer);

    let trajectory = Trajectory::open(name);
    let batch = trajectory.0["batch"].as_u64().unwrap() as usize;
    let inputs = trajectory.numbers("inputs");
    let features = inputs.len() / trajectory.numbers("labels").len();
    let first: Vec<f32> = inputs[..batch * features].iter().map(|x| *x as f32).collect();
    let logits = engine.infer(&first);
    for (own, their) in logits.iter().zip(trajectory.numbers("logits_of_first_batch_in_inference"))
    {
        assert!((f64::from(*own) - their).abs() < 1e-4, "{own}, expected {their}");
    }
}

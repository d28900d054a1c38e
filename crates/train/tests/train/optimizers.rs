//! Properties of every optimizer of the list, on both engines. `parity.rs` checks the numbers of each.

use kiln_data::ImageShape;
use kiln_model::Weights;
use kiln_train::random::{Purpose, stream};
use kiln_train::{Declaration, Engine, EngineSettings, OptimizerName};

const IMAGE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

const ENGINES: [&str; 2] = ["fused", "generic"];

fn declaration(optimizer: &str, engine: &str) -> Declaration {
    let text = format!(
        r#"name = "optimizers"
        data.source = "none"
        model.layers = [
            {{ type = "flatten" }},
            {{ type = "dense", units = 4, activation = "tanh" }},
            {{ type = "dense", units = "classes" }},
        ]
        optimizer = {{ {optimizer} }}
        device.engine = "{engine}""#
    );
    Declaration::parse("optimizers", &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn settings(optimizer: &str, engine: &str) -> (EngineSettings, Weights) {
    let declaration = declaration(optimizer, engine);
    let architecture = declaration.architecture(IMAGE, 3).unwrap();
    let weights = architecture.initial_weights(&mut stream(1, Purpose::Weights, 0));
    (declaration.engine_settings(&architecture).unwrap(), weights)
}

/// A step on two images whose pixels depend on `number`.
fn step(engine: &mut Engine, number: u16) {
    let pixels = (0..12_u16).map(|place| f32::from((place * 7 + number * 5) % 11) / 11.0 - 0.5);
    let pixels: Vec<f32> = pixels.collect();
    engine.step(&pixels, &[0, 2], 0.01, &mut stream(1, Purpose::Dropout, 1));
}

/// Every optimizer with its defaults, and with the keys that add slots.
fn optimizers() -> Vec<String> {
    let defaults = OptimizerName::ALL.iter().map(|name| format!("type = \"{name}\""));
    let others = [
        "type = \"sgd\", momentum = 0.9, nesterov = true",
        "type = \"rmsprop\", momentum = 0.5",
        "type = \"rmsprop\", centered = true",
        "type = \"rmsprop\", centered = true, momentum = 0.5",
    ];
    defaults.chain(others.map(str::to_owned)).collect()
}

#[test]
fn an_engine_restored_from_a_state_computes_the_same_bits() {
    for optimizer in optimizers() {
        for engine in ENGINES {
            let (settings, weights) = settings(&optimizer, engine);
            let mut whole = Engine::new(&settings, &weights).unwrap();
            (0..5).for_each(|number| step(&mut whole, number));
            let state = whole.optimizer_state().unwrap();
            let mut restored = Engine::restore(&settings, &whole.weights(), &state, None).unwrap();
            (5..10).for_each(|number| step(&mut whole, number));
            (5..10).for_each(|number| step(&mut restored, number));
            assert_eq!(restored.weights(), whole.weights(), "{optimizer}, {engine}");
            assert_eq!(
                restored.optimizer_state(),
                whole.optimizer_state(),
                "{optimizer}, {engine}"
            );
        }
    }
}

#[test]
fn the_fused_engine_keeps_a_tensor_for_each_slot_and_parameter() {
    for optimizer in optimizers() {
        let (settings, weights) = settings(&optimizer, "fused");
        let slots = settings.optimizer.kind.slots();
        let state = Engine::new(&settings, &weights).unwrap().optimizer_state().unwrap();
        assert_eq!(state.tensors.len(), slots * weights.tensors.len(), "{optimizer}");
    }
}

#[test]
fn a_gradient_that_is_not_a_number_shows_in_the_weights() {
    for optimizer in optimizers() {
        for engine in ENGINES {
            let (settings, weights) = settings(&optimizer, engine);
            let mut engine_at_nan = Engine::new(&settings, &weights).unwrap();
            let dropout_rng = &mut stream(1, Purpose::Dropout, 1);
            engine_at_nan.step(&[f32::NAN; 6], &[1], 0.01, dropout_rng);
            assert!(!engine_at_nan.weights().are_finite(), "{optimizer}, {engine}");
        }
    }
}

/// The identities of runs in sweeps are hashes of this text.
#[test]
fn the_resolved_tables_keep_their_text() {
    for (optimizer, text) in [
        (
            "type = \"sgd\"",
            "type = \"sgd\"\nmomentum = 0.0\nnesterov = false\nweight_decay = 0.0\nlearning_rate = 0.01\n",
        ),
        (
            "type = \"adam\", global_clipnorm = 1",
            "type = \"adam\"\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 0.0000001\nlearning_rate = 0.001\nglobal_clipnorm = 1.0\n",
        ),
        (
            "type = \"adamw\"",
            "type = \"adamw\"\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 0.0000001\nweight_decay = 0.004\nlearning_rate = 0.001\n",
        ),
        (
            "type = \"rmsprop\"",
            "type = \"rmsprop\"\nrho = 0.9\nmomentum = 0.0\nepsilon = 0.0000001\ncentered = false\nlearning_rate = 0.001\n",
        ),
        ("type = \"adagrad\"", "type = \"adagrad\"\nepsilon = 0.0000001\nlearning_rate = 0.001\n"),
        (
            "type = \"nadam\"",
            "type = \"nadam\"\nbeta_1 = 0.9\nbeta_2 = 0.999\nepsilon = 0.0000001\nlearning_rate = 0.001\n",
        ),
        (
            "type = \"lion\"",
            "type = \"lion\"\nbeta_1 = 0.9\nbeta_2 = 0.99\nweight_decay = 0.0\nlearning_rate = 0.001\n",
        ),
    ] {
        let resolved = declaration(optimizer, "auto").experiment.to_toml().unwrap();
        assert!(resolved.contains(&format!("\n[optimizer]\n{text}\n[")), "{resolved}");
    }
}

#[test]
fn wrong_constants_are_errors() {
    for (optimizer, problem) in [
        ("type = \"lion\", beta_1 = 1.0", "expected a number from 0 to below 1"),
        ("type = \"lion\", epsilon = 1e-7", "epsilon"),
        ("type = \"nadam\", epsilon = 0.0", "expected a number above 0"),
        ("type = \"sgd\", nesterov = true", "`nesterov` needs a `momentum` above 0"),
        ("type = \"nadm\"", "did you mean"),
    ] {
        let text = format!(
            "name = 'a'\ndata.source = 'none'\nmodel.layers = []\noptimizer = {{ {optimizer} }}"
        );
        let error = Declaration::parse("text", &text, &[]).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

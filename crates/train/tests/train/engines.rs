//! Both implementations of a training step compute the same up to rounding.

use kiln_data::{ImageShape, Mix};
use kiln_model::{Activation, Weights};
use kiln_train::random::{Purpose, stream};
use kiln_train::{Declaration, Engine, EngineChoice, Metrics, Targets};
use proptest::prelude::*;
use rand_core::Rng;

use crate::common::declaration;

const STEPS: usize = 100;

/// The largest relative difference of two losses.
const LOSS: f64 = 1e-5;

/// A network, an optimizer and batches, without the engine.
#[derive(Debug, Clone)]
struct Case {
    image: ImageShape,
    classes: usize,
    /// TOML up to `[device]`.
    experiment: String,
    batch_size: usize,
    seed: u64,
}

/// The inputs and labels of one epoch.
struct Rows {
    pixels: Vec<f32>,
    labels: Vec<u16>,
}

impl Case {
    /// An engine with these weights, by default the initial ones.
    fn engine(&self, choice: EngineChoice, weights: Option<&Weights>) -> (Engine, Declaration) {
        let text = format!("{}\n[device]\nengine = \"{choice}\"\n", self.experiment);
        let declaration = Declaration::parse("case.toml", &text, &[])
            .unwrap_or_else(|error| panic!("{text}\n{error}"));
        let architecture = declaration.architecture(self.image, self.classes).unwrap();
        let settings = declaration.engine_settings(&architecture).unwrap();
        let initial = architecture.initial_weights(&mut stream(self.seed, Purpose::Weights, 0));
        (Engine::new(&settings, weights.unwrap_or(&initial)).unwrap(), declaration)
    }

    /// Two full batches and a partial one. Inputs are positive and negative, so that the gradient of a unit differs
    /// between batches.
    fn rows(&self) -> Rows {
        let count = 2 * self.batch_size + self.batch_size.div_ceil(2);
        let mut rng = stream(self.seed, Purpose::Shuffle, 0);
        let mut uniform = || f64::from(rng.next_u32()) / 4_294_967_296.0;
        let pixels = (0..count * self.image.values()).map(|_| (2.0 * uniform() - 1.0) as f32);
        let pixels = pixels.collect();
        let labels = (0..count).map(|_| (uniform() * self.classes as f64) as u16).collect();
        Rows { pixels, labels }
    }

    /// Trains for [`STEPS`] steps, and returns the logits and labels of each.
    fn train(&self, engine: &mut Engine, rate: f64) -> Vec<(Vec<f32>, Vec<u16>)> {
        let rows = self.rows();
        let mut dropout_rng = stream(self.seed, Purpose::Dropout, 1);
        let pixels = rows.pixels.chunks(self.batch_size * self.image.values());
        let batches: Vec<_> = pixels.zip(rows.labels.chunks(self.batch_size)).collect();
        let steps = batches.into_iter().cycle().take(STEPS);
        steps
            .map(|(pixels, labels)| {
                (engine.step(pixels, labels, rate, &mut dropout_rng), labels.to_vec())
            })
            .collect()
    }
}

/// An activation that is supported inside a network.
fn activation() -> impl Strategy<Value = Activation> {
    let inside: Vec<Activation> =
        Activation::ALL.iter().copied().filter(|word| *word != Activation::Softmax).collect();
    prop::sample::select(inside)
}

/// A layer between flatten and the last layer.
fn hidden_layer() -> impl Strategy<Value = String> {
    let dense = (1..=40_usize, activation(), any::<bool>()).prop_map(|(units, word, bias)| {
        format!("{{ type = 'dense', units = {units}, activation = '{word}', use_bias = {bias} }},")
    });
    let separate =
        activation().prop_map(|word| format!("{{ type = 'activation', activation = '{word}' }},"));
    let dropout = prop::sample::select(vec![0.0, 0.1, 0.5])
        .prop_map(|rate| format!("{{ type = 'dropout', rate = {rate} }},"));
    let residual = (1..=20_usize, activation(), activation(), any::<bool>()).prop_map(
        |(units, inner, outer, is_identity)| {
            // Without a shortcut, the layers must keep the width, which is not known here.
            let (layers, shortcut) = if is_identity {
                (format!("{{ type = 'activation', activation = '{inner}' }}"), String::new())
            } else {
                let dense =
                    format!("{{ type = 'dense', units = {units}, activation = '{inner}' }}");
                let dropout = "{ type = 'dropout', rate = 0.2 }";
                (format!("{dense}, {dropout}"), format!(", shortcut = [{dense}]"))
            };
            format!(
                "{{ type = 'residual', activation = '{outer}', layers = [{layers}]{shortcut} }},"
            )
        },
    );
    prop_oneof![4 => dense, 1 => separate, 1 => dropout, 1 => residual]
}

/// An optimizer with constants that do not amplify rounding errors. ε is far above the rounding error of a zero
/// gradient, which some optimizers would otherwise divide by itself. The learning rate is so small that it does not
/// matter when rounding moves a value across the kink of an activation.
fn optimizer() -> impl Strategy<Value = String> {
    let rate = prop::sample::select(vec![1e-4, 1e-3]);
    let share = prop::sample::select(vec![0.0, 0.5, 0.9]);
    let decay = prop::sample::select(vec![0.0, 1e-2, 0.5]);
    let kind = prop_oneof![
        Just("type = 'sgd'".to_owned()),
        (share.clone(), any::<bool>()).prop_map(|(momentum, nesterov)| {
            let nesterov = nesterov && momentum > 0.0;
            format!("type = 'sgd'\nmomentum = {momentum}\nnesterov = {nesterov}")
        }),
        Just("type = 'adam'\nepsilon = 1e-3".to_owned()),
        Just("type = 'adam'\nbeta_1 = 0.5\nbeta_2 = 0.9\nepsilon = 1e-2".to_owned()),
        decay.clone().prop_map(|decay| {
            format!("type = 'adamw'\nepsilon = 1e-3\nweight_decay = {decay}")
        }),
        (share, any::<bool>()).prop_map(|(momentum, centered)| {
            format!(
                "type = 'rmsprop'\nepsilon = 1e-2\nmomentum = {momentum}\ncentered = {centered}"
            )
        }),
        Just("type = 'adagrad'\nepsilon = 1e-3".to_owned()),
        Just("type = 'nadam'\nepsilon = 1e-3".to_owned()),
    ];
    let clipping = prop_oneof![
        3 => Just(String::new()),
        1 => Just("global_clipnorm = 0.05".to_owned()),
        1 => Just("clipvalue = 0.005".to_owned()),
        1 => Just("global_clipnorm = 0.05\nclipvalue = 0.01".to_owned()),
    ];
    (kind, rate, decay, clipping).prop_map(|(kind, rate, decay, clipping)| {
        let decay =
            if kind.contains("sgd") { format!("weight_decay = {decay}") } else { String::new() };
        // The other optimizers divide by the size of the gradient, so their steps are longer.
        let rate = if kind.contains("sgd") { 10.0 * rate } else { rate };
        format!("[optimizer]\n{kind}\nlearning_rate = {rate}\n{decay}\n{clipping}\n")
    })
}

prop_compose! {
    fn case()(
        (channels, height, width) in (1..=2_usize, 1..=4_usize, 1..=5_usize),
        classes in 2..=10_usize,
        before in prop::option::weighted(0.2, activation()),
        hidden in prop::collection::vec(hidden_layer(), 0..=4),
        end in any::<bool>(),
        smoothing in prop::sample::select(vec![0.0, 0.1]),
        optimizer in optimizer(),
        batch_size in 1..=70_usize,
        seed in any::<u32>(),
    ) -> Case {
        let before = before.map_or_else(String::new, |word| {
            format!("{{ type = 'activation', activation = '{word}' }},")
        });
        let end = if end { "softmax" } else { "linear" };
        let layers = format!(
            "{before}{{ type = 'flatten' }},{}{{ type = 'dense', units = 'classes', activation = '{end}' }}",
            hidden.concat(),
        );
        Case {
            image: ImageShape { channels, height, width },
            classes,
            experiment: format!(
                "name = 'case'\n[data]\nsource = 'none'\n[model]\nlayers = [{layers}]\n\
                 [loss]\nlabel_smoothing = {smoothing}\n{optimizer}"
            ),
            batch_size,
            seed: u64::from(seed),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Compares the loss of every step, the final weights, and inference with the same weights.
    #[test]
    fn both_implementations_follow_the_same_trajectory(case in case()) {
        let (mut fused, declaration) = case.engine(EngineChoice::Fused, None);
        let (mut generic, _) = case.engine(EngineChoice::Generic, None);
        let start = fused.weights();
        let rate = declaration.experiment.optimizer.learning_rate;
        let steps = case.train(&mut fused, rate).into_iter().zip(case.train(&mut generic, rate));
        for (step, ((own, labels), (their, _))) in steps.enumerate() {
            let loss = |logits: &[f32]| {
                Metrics::new(&declaration.experiment, case.classes).add_batch(logits, &labels)
            };
            let (own, their) = (loss(&own), loss(&their));
            prop_assert!(
                (own - their).abs() <= LOSS * their.abs(),
                "step {}: fused {}, generic {}", step, own, their
            );
        }
        let (own, their) = (fused.weights(), generic.weights());
        for ((own, their), start) in own.tensors.iter().zip(&their.tensors).zip(&start.tensors) {
            prop_assert_eq!((&own.name, &own.shape), (&their.name, &their.shape));
            let difference = distance(&own.values, &their.values);
            let change = distance(&start.values, &their.values);
            prop_assert!(
                difference <= 2e-3 * change + 5e-6,
                "{}: they differ by {} after a change of {}", own.name, difference, change
            );
        }
        let pixels = case.rows().pixels;
        let (fused, _) = case.engine(EngineChoice::Fused, Some(&their));
        let (own, their) = (fused.infer(&pixels), generic.infer(&pixels));
        prop_assert_eq!(own.len(), their.len());
        for (own, their) in own.iter().zip(&their) {
            prop_assert!((own - their).abs() <= 1e-5 * their.abs().max(1.0), "{} {}", own, their);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Restores a second engine from the first one after some steps, and continues with both.
    #[test]
    fn a_restored_engine_continues_bit_for_bit(case in case(), steps in 0..40_usize) {
        for choice in [EngineChoice::Fused, EngineChoice::Generic] {
            let (mut original, declaration) = case.engine(choice, None);
            let rate = declaration.experiment.optimizer.learning_rate;
            let architecture = declaration.architecture(case.image, case.classes).unwrap();
            let settings = declaration.engine_settings(&architecture).unwrap();
            let rows = case.rows();
            let pixels = rows.pixels.chunks(case.batch_size * case.image.values());
            let batches = pixels.zip(rows.labels.chunks(case.batch_size)).cycle();
            let mut dropout_rng = stream(case.seed, Purpose::Dropout, 1);
            for (pixels, labels) in batches.clone().take(steps) {
                original.step(pixels, labels, rate, &mut dropout_rng);
            }
            let state = original.optimizer_state().unwrap();
            let mut restored = Engine::restore(&settings, &original.weights(), &state, None).unwrap();
            prop_assert_eq!(&restored.optimizer_state().unwrap(), &state);
            let mut same_dropout_rng = dropout_rng.clone();
            for (pixels, labels) in batches.skip(steps).take(5) {
                let own = restored.step(pixels, labels, rate, &mut dropout_rng);
                let their = original.step(pixels, labels, rate, &mut same_dropout_rng);
                prop_assert!(own == their, "{}: a step differs", choice);
            }
            prop_assert!(restored.weights() == original.weights(), "{}: weights differ", choice);
            prop_assert!(restored.optimizer_state() == original.optimizer_state());
        }
    }
}

#[test]
fn the_state_of_another_optimizer_or_network_is_rejected() {
    let layers = |units: usize| {
        format!(
            "name = 'case'\n[data]\nsource = 'none'\n[model]\nlayers = [{{ type = 'flatten' }}, \
             {{ type = 'dense', units = {units} }}, {{ type = 'dense', units = 'classes' }}]\n"
        )
    };
    let engine = |units: usize, optimizer: &str, choice: EngineChoice| {
        let text = format!(
            "{}[optimizer]\ntype = '{optimizer}'\n[device]\nengine = '{choice}'",
            layers(units)
        );
        let declaration = Declaration::parse("case.toml", &text, &[]).unwrap();
        let image = ImageShape { channels: 1, height: 2, width: 2 };
        let architecture = declaration.architecture(image, 3).unwrap();
        let settings = declaration.engine_settings(&architecture).unwrap();
        let weights = architecture.initial_weights(&mut stream(1, Purpose::Weights, 0));
        let mut engine = Engine::new(&settings, &weights).unwrap();
        engine.step(&[0.5; 8], &[0, 2], 0.1, &mut stream(1, Purpose::Dropout, 1));
        (settings, engine)
    };
    for choice in [EngineChoice::Fused, EngineChoice::Generic] {
        let (settings, adam) = engine(5, "adam", choice);
        for (units, optimizer) in [(5, "sgd"), (5, "rmsprop"), (6, "adam")] {
            let (_, other) = engine(units, optimizer, choice);
            let state = other.optimizer_state().unwrap();
            let restored = Engine::restore(&settings, &adam.weights(), &state, None);
            assert!(restored.is_err(), "{choice}: {optimizer} of {units} units");
        }
        let mut cut = adam.optimizer_state().unwrap();
        cut.tensors.pop();
        assert!(Engine::restore(&settings, &adam.weights(), &cut, None).is_err(), "{choice}");
    }
}

/// The root mean square of the differences.
fn distance(one: &[f32], other: &[f32]) -> f64 {
    let squares = one.iter().zip(other).map(|(one, other)| f64::from(one - other).powi(2));
    (squares.sum::<f64>() / one.len() as f64).sqrt()
}

#[test]
fn the_fused_engine_infers_an_image_independently_of_its_batch() {
    let case = Case {
        image: ImageShape { channels: 3, height: 20, width: 21 },
        classes: 10,
        experiment: "name = 'case'\ndata = { source = 'none' }\noptimizer = { type = 'sgd' }\n\
            model.layers = [{ type = 'flatten' }, \
            { type = 'dense', units = 33, activation = 'relu' }, { type = 'dense', units = 'classes', activation = 'softmax' }]"
            .to_owned(),
        batch_size: 103,
        seed: 5,
    };
    let (engine, _) = case.engine(EngineChoice::Fused, None);
    let pixels = case.rows().pixels;
    let together = engine.infer(&pixels);
    for images in [2, 16, 43, 96] {
        let some = &pixels[..images * case.image.values()];
        assert_eq!(engine.infer(some), together[..images * case.classes], "the first {images}");
    }
    let alone = engine.infer(&pixels[..case.image.values()]);
    for (alone, together) in alone.iter().zip(&together) {
        assert!((alone - together).abs() < 1e-5, "{alone} {together}");
    }
}

/// The step with mixed labels must equal that of the weighted mean of the losses. The gradient is linear in the targets,
/// so with plain gradient descent, the update is the weighted mean of two updates.
#[test]
fn mixed_labels_give_the_weighted_mean_of_the_updates() {
    for engine in ["fused", "generic"] {
        let text = format!(
            "name = \"case\"\ndata.source = \"none\"\noptimizer = {{ type = \"sgd\", learning_rate = 0.5 }}\n\
             loss.label_smoothing = 0.1\ndevice.engine = \"{engine}\"\n\
             model.layers = [{{ type = \"flatten\" }}, {{ type = \"dense\", units = \"classes\" }}]"
        );
        let declaration = Declaration::parse("case.toml", &text, &[]).expect("valid");
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        let architecture = declaration.architecture(shape, 3).expect("valid");
        let settings = declaration.engine_settings(&architecture).expect("valid");
        let weights = architecture.initial_weights(&mut stream(7, Purpose::Weights, 0));
        let pixels = [0.5, -0.25, 1.0, 0.0, -1.0, 0.75, 0.25, 0.5];
        let after = |targets: Targets<'_>| {
            let mut engine = Engine::new(&settings, &weights).expect("valid");
            engine.step(&pixels, targets, 0.5, &mut stream(1, Purpose::Dropout, 1));
            let tensors = engine.weights().tensors;
            tensors.into_iter().flat_map(|tensor| tensor.values).collect::<Vec<f32>>()
        };
        let first = after((&[0, 2]).into());
        let second = after((&[1, 2]).into());
        let mix = [Mix { label: 1, weight: 0.3 }, Mix { label: 2, weight: 0.6 }];
        let mixed = after(Targets { labels: &[0, 2], mix: &mix, class_weights: &[] });
        for ((mixed, first), second) in mixed.iter().zip(first).zip(second) {
            let expected = 0.7 * first + 0.3 * second;
            assert!((mixed - expected).abs() < 1e-6, "{engine}: {mixed}, expected {expected}");
        }
    }
}

/// The fused engine computes images in blocks of 32. Batches of several blocks, and a last one that is smaller, must give
/// the results of the generic engine for every layer of images, with the same dropout. Threads divide the blocks, and what
/// remains of them, and must not change a byte.
#[test]
fn batches_of_several_blocks_follow_the_generic_engine() {
    let layers = "model.layers=[{type='zero_padding2d', padding=1}, {type='spatial_dropout2d', rate=0.2}, \
        {type='conv2d', filters=24, kernel_size=3}, {type='batch_normalization', momentum=0.9}, \
        {type='activation', activation='relu'}, {type='dropout', rate=0.2}, \
        {type='residual', activation='relu', layers=[{type='conv2d', filters=24, kernel_size=3, padding='same'}, \
        {type='layer_normalization'}]}, \
        {type='conv2d', filters=32, kernel_size=3, padding='same', activation='relu'}, {type='max_pooling2d'}, \
        {type='depthwise_conv2d', kernel_size=3, activation='gelu', padding='same'}, \
        {type='group_normalization', groups=4}, \
        {type='average_pooling2d', pool_size=2, strides=1}, \
        {type='residual', layers=[{type='flatten'}, {type='dense', units=32}], shortcut=[{type='global_average_pooling2d'}]}, \
        {type='batch_normalization', momentum=0.9}, {type='dropout', rate=0.2}, \
        {type='dense', units='classes', activation='softmax'}]";
    let image = ImageShape { channels: 2, height: 8, width: 7 };
    for optimizer in
        ["optimizer={type='sgd', weight_decay=0.01}", "optimizer={type='sgd', momentum=0.9}"]
    {
        for count in [31, 32, 70] {
            let pixels: Vec<f32> = (0..count * image.values())
                .map(|index| (index * 37 % 101) as f32 / 101.0)
                .collect();
            let labels: Vec<u16> = (0..3).cycle().take(count).collect();
            let engines = [("generic", 1), ("fused", 1), ("fused", 2), ("fused", 3)];
            let results = engines.map(|(engine, threads)| {
                let device = [format!("engine={engine}"), format!("threads={threads}")];
                let declaration = declaration(&[&device[0], &device[1], layers, optimizer]);
                let architecture = declaration.architecture(image, 3).unwrap();
                let settings = declaration.engine_settings(&architecture).unwrap();
                // Not every seed: a value next to the kink of ReLU may have another sign in the other engine.
                let weights = architecture.initial_weights(&mut stream(2, Purpose::Weights, 0));
                let mut engine = Engine::new(&settings, &weights).unwrap();
                let mut dropout = stream(1, Purpose::Dropout, 1);
                let mut logits = Vec::new();
                for _ in 0..3 {
                    logits.extend(engine.step(&pixels, &labels, 0.01, &mut dropout));
                }
                logits.extend(engine.infer(&pixels));
                logits
            });
            let [generic, fused, others @ ..] = &results;
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for other in others {
                assert!(bits(fused) == bits(other), "{optimizer}, {count}: other threads");
            }
            let difference = distance(generic, fused);
            let size = distance(generic, &vec![0.0; generic.len()]);
            assert!(difference <= 1e-5 * size, "{optimizer}, {count}: {difference} of {size}");
        }
    }
}

/// Products of dense layers and updates of parameters that are large enough are divided among threads, and so is the average.
/// The results must be those of the generic engine, and the bytes those of one thread.
#[test]
fn threads_divide_dense_layers_and_updates_without_changing_a_byte() {
    let image = ImageShape { channels: 1, height: 28, width: 28 };
    let layers = "model.layers=[{type='flatten'}, {type='dense', units=300, activation='relu'}, \
        {type='dense', units=110, activation='tanh'}, {type='dense', units='classes', activation='softmax'}]";
    let average = ["training.weights=average", "training.average_decay=0.5"];
    for optimizer in [
        "optimizer={type='sgd'}",
        "optimizer={type='sgd', momentum=0.9, nesterov=true, weight_decay=0.01}",
        "optimizer={type='adamw', weight_decay=0.1, exclude_from_weight_decay=['bias']}",
        "optimizer={type='rmsprop', centered=true, momentum=0.5}",
    ] {
        // The second batch is not a whole number of registers, so that its products pack their right factors.
        for count in [128, 141] {
            let pixels: Vec<f32> = (0..count * image.values())
                .map(|index| (index * 37 % 101) as f32 / 101.0)
                .collect();
            let labels: Vec<u16> = (0..10).cycle().take(count).collect();
            let train = |engine: &str, threads: usize, steps: usize| {
                let device = [format!("engine={engine}"), format!("threads={threads}")];
                let [weights, decay] = average;
                let declaration =
                    declaration(&[&device[0], &device[1], weights, decay, layers, optimizer]);
                let architecture = declaration.architecture(image, 10).unwrap();
                let settings = declaration.engine_settings(&architecture).unwrap();
                let initial = architecture.initial_weights(&mut stream(2, Purpose::Weights, 0));
                let mut engine = Engine::new(&settings, &initial).unwrap();
                for _ in 0..steps {
                    engine.step(&pixels, &labels, 1e-3, &mut stream(1, Purpose::Dropout, 1));
                }
                let average = engine.average().unwrap_or(initial);
                let tensors = engine.weights().tensors.into_iter().chain(average.tensors);
                tensors.flat_map(|tensor| tensor.values).collect::<Vec<_>>()
            };
            let [before, generic, fused] = [("fused", 1, 0), ("generic", 1, 3), ("fused", 1, 3)]
                .map(|(engine, threads, steps)| train(engine, threads, steps));
            let difference = distance(&generic, &fused);
            let change = distance(&before, &fused);
            assert!(difference <= 1e-4 * change, "{optimizer}, {count}: {difference} of {change}");
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            for threads in [2, 3] {
                let other = train("fused", threads, 3);
                assert!(bits(&fused) == bits(&other), "{optimizer}, {count}: {threads} threads");
            }
        }
    }
}

/// The fused engine stores the place of a maximum in 16 bits.
#[test]
fn larger_windows_of_a_maximum_are_left_to_the_generic_engine() {
    for (side, engine) in [(256, "fused"), (257, "generic")] {
        let text = "name = \"case\"\ndata.source = \"none\"\noptimizer.type = \"sgd\"\nmodel.layers = [\
            { type = \"global_max_pooling2d\" }, { type = \"dense\", units = \"classes\" }]";
        let declaration = Declaration::parse("case.toml", text, &[]).expect("valid");
        let image = ImageShape { channels: 1, height: side, width: 256 };
        let architecture = declaration.architecture(image, 2).expect("valid");
        let settings = declaration.engine_settings(&architecture).expect("valid");
        assert_eq!(settings.implementation.as_str(), engine);
        let weights = architecture.initial_weights(&mut stream(1, Purpose::Weights, 0));
        let mut engine = Engine::new(&settings, &weights).expect("valid");
        let pixels = vec![0.5; image.values()];
        let logits = engine.step(&pixels, &[1], 0.1, &mut stream(1, Purpose::Dropout, 1));
        assert_eq!(logits.len(), 2);
    }
}

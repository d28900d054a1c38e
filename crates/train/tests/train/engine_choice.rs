//! Runs with each implementation of a training step, and how the configuration chooses between them.

use std::fs;

use kiln_data::ImageShape;
use kiln_store::RunDirectory;
use kiln_train::Run;

use crate::common::{World, declaration};

/// A network with all layers that the fused engine supports.
const EVERYTHING: &str = "model.layers=[{type='flatten'}, {type='dense', units=9, activation='gelu'}, \
    {type='dropout', rate=0.3}, {type='dense', units=7, use_bias=false}, \
    {type='activation', activation='relu'}, {type='dense', units='classes', activation='softmax'}]";

#[test]
fn a_fused_run_is_reproducible_byte_for_byte() {
    for optimizer in ["{type='sgd', learning_rate=0.1}", "{type='adam', global_clipnorm=1.0}"] {
        let world = World::new();
        let optimizer = format!("optimizer={optimizer}");
        let overrides = ["engine=fused", EVERYTHING, &optimizer];
        let [first, second] = [(); 2].map(|()| world.run(&overrides).0);
        for file in ["model.safetensors", "predictions.csv"] {
            let bytes = |run: &RunDirectory| fs::read(run.path().join(file)).unwrap();
            assert!(bytes(&first) == bytes(&second), "{file} differs");
        }
    }
}

#[test]
fn both_engines_give_the_same_run_up_to_rounding() {
    let world = World::new();
    let run = |engine: &str| {
        let engine_override = format!("engine={engine}");
        let (run, _) = world.run(&[&engine_override, EVERYTHING, "evaluate_training_set=true"]);
        assert_eq!(run.read_record().unwrap().engine, engine);
        run
    };
    let (fused, generic) = (run("fused"), run("generic"));

    let (own, their) = (fused.read_history().unwrap(), generic.read_history().unwrap());
    assert_eq!(own.rows.len(), 3);
    for (own, their) in own.rows.iter().zip(&their.rows) {
        for metric in ["loss", "accuracy", "val_loss", "val_accuracy", "train_loss"] {
            let (own, their) = (own.metric(metric).unwrap(), their.metric(metric).unwrap());
            assert!((own - their).abs() < 1e-5, "{metric}: fused {own}, generic {their}");
        }
    }
    let probabilities = |run: &RunDirectory| run.read_predictions().unwrap().probabilities;
    for (own, their) in probabilities(&fused).iter().zip(probabilities(&generic)) {
        assert!((own - their).abs() < 1e-5, "fused {own}, generic {their}");
    }
}

#[test]
fn the_default_engine_is_the_fused_one_if_it_supports_the_network() {
    let world = World::new();
    let engine = |overrides: &[&str]| world.run(overrides).0.read_record().unwrap().engine;
    assert_eq!(engine(&["epochs=1"]), "fused");
    assert_eq!(engine(&["epochs=1", EVERYTHING]), "fused");
    assert_eq!(engine(&["epochs=1", "backend=ndarray"]), "generic");
    assert_eq!(engine(&["epochs=1", "hidden.activation=softmax"]), "generic");
    assert_eq!(engine(&["epochs=1", "model.layers.1={type='batch_normalization'}"]), "fused");
}

#[test]
fn the_fused_engine_names_what_it_does_not_support() {
    let world = World::new();
    let data = world.runs().parent().unwrap().to_owned();
    let inside = "model.layers=[{type='flatten'}, {type='residual', layers=[{type='activation', \
        activation='softmax'}]}, {type='dense', units='classes'}]";
    for (change, unsupported) in [
        (inside, "the softmax inside the network, in layer \"residual.activation\" (activation)"),
        ("backend=ndarray", "does not support device.backend = \"ndarray\""),
        (
            "hidden.activation=softmax",
            "the softmax inside the network, in layer \"hidden\" (dense)",
        ),
    ] {
        let declaration = declaration(&[change, "engine=fused"]);
        let error = Run::prepare(declaration, &data, &world.runs(), None).err().unwrap();
        let error = error.to_string();
        assert!(error.contains(unsupported), "{error}");
        assert!(error.contains("engine=fused"), "the error shows the place: {error}");
        assert!(error.contains("set device.engine to \"auto\" or \"generic\""), "{error}");
    }
    assert!(!world.runs().exists());
}

/// Without `device.threads`, a run uses as many cores as it has work for.
#[test]
fn by_default_only_small_dense_networks_use_one_thread() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wide = "model.layers=[{type='flatten'}, {type='dense', units=300}, {type='dense', units='classes'}]";
    let narrow = "model.layers=[{type='flatten'}, {type='dense', units=30}, {type='dense', units='classes'}]";
    let convolution = "model.layers=[{type='conv2d', filters=2, kernel_size=3}, {type='flatten'}, \
        {type='dense', units='classes'}]";
    for (network, overrides, expected) in [
        (wide, &["batch_size=32"][..], cores.min(7)),
        (narrow, &["batch_size=32"], 1),
        (narrow, &["batch_size=32", "threads=3"], 3),
        (convolution, &["batch_size=32"], cores),
        (convolution, &["batch_size=32", "threads=1"], 1),
    ] {
        let declaration = declaration(&[&["engine=fused", network], overrides].concat());
        let image = ImageShape { channels: 1, height: 28, width: 28 };
        let architecture = declaration.architecture(image, 10).unwrap();
        let settings = declaration.engine_settings(&architecture).unwrap();
        assert_eq!(settings.threads, expected, "{network}, {overrides:?}");
    }
}

/// The bytes of a run must not depend on how many threads compute, nor on the vector instructions of the processor.
#[test]
fn threads_and_instructions_do_not_change_a_byte() {
    let layers = "model.layers=[{type='conv2d', filters=5, kernel_size=3, padding='same'}, \
        {type='batch_normalization', momentum=0.9}, {type='activation', activation='gelu'}, \
        {type='residual', activation='relu', layers=[{type='depthwise_conv2d', kernel_size=3, padding='same'}, \
        {type='conv2d', filters=5, kernel_size=1, activation='tanh'}, {type='group_normalization', groups=1}]}, \
        {type='max_pooling2d'}, {type='flatten'}, {type='dense', units=9, activation='elu'}, \
        {type='dense', units='classes', activation='softmax'}]";
    for (network, optimizer) in
        [(layers, "optimizer={type='adam'}"), (EVERYTHING, "optimizer={type='sgd', momentum=0.9}")]
    {
        let world = World::new();
        let bytes = |device: &[&str]| {
            let overrides = [&["engine=fused", network, optimizer, "epochs=2"], device].concat();
            let (run, _) = world.run(&overrides);
            let history = run.read_history().unwrap();
            let metrics: Vec<_> = history.rows.into_iter().map(|row| row.metrics).collect();
            (fs::read(run.model_path()).unwrap(), format!("{metrics:?}"))
        };
        let expected = bytes(&["threads=1"]);
        assert!(expected == bytes(&["threads=3"]), "{network}: three threads");
        for simd in ["avx2", "avx512"] {
            let device = format!("simd={simd}");
            let declared = declaration(&[&device]);
            let architecture =
                declared.architecture(ImageShape { channels: 1, height: 4, width: 4 }, 3).unwrap();
            // A processor without the instructions rejects the key.
            if declared.engine_settings(&architecture).is_ok() {
                assert!(expected == bytes(&[&device]), "{network}: {simd}");
            }
        }
    }
}

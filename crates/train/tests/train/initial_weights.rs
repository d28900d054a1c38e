//! `model.initial_weights`: training that starts from a file of weights.

use std::fs;
use std::path::Path;

use kiln_model::{WeightTensor, Weights};
use kiln_store::{RunDirectory, Status};
use kiln_train::{Run, RunLock, TrainError, Verifier, WeightsFile};

use crate::common::{World, declaration};

/// The same first layer as in the small experiment, and others after it.
const DEEPER: &str = "layers=[{type='flatten'},{type='dense',units=8,activation='relu',name='hidden'},{type='dense',units=5,activation='relu'},{type='dense',units='classes',activation='softmax'}]";

fn tensors(path: &Path) -> Vec<WeightTensor> {
    Weights::from_safetensors(&fs::read(path).unwrap()).unwrap().0.tensors
}

fn tensor<'a>(tensors: &'a [WeightTensor], name: &str) -> &'a WeightTensor {
    tensors.iter().find(|tensor| tensor.name == name).unwrap()
}

/// A run to start from, and the override that names it.
fn source(world: &World) -> (RunDirectory, String) {
    let (run, _) = world.run(&["epochs=1", "name=source", "hidden.activation=tanh"]);
    let key = format!("initial_weights={}", run.path().display());
    (run, key)
}

#[test]
fn tensors_that_fit_are_loaded_and_the_others_are_drawn() {
    let world = World::new();
    let (from, key) = source(&world);
    let (run, outcome) = world.run(&[DEEPER, &key, "hidden.trainable=false"]);
    assert_eq!(outcome.status, Status::Finished);
    let (drawn, _) = world.run(&[DEEPER, "save_initial=true"]);
    let [initial, drawn] = [&run, &drawn].map(|run| tensors(&run.initial_path()));
    let [trained, from] = [&run, &from].map(|run| tensors(&run.model_path()));
    for name in ["layers.0.weight", "layers.0.bias"] {
        assert_eq!(tensor(&initial, name), tensor(&from, name), "{name}");
        assert_eq!(tensor(&trained, name), tensor(&from, name), "{name} is frozen");
    }
    for name in ["layers.1.bias", "layers.1.weight", "layers.2.bias", "layers.2.weight"] {
        assert_eq!(tensor(&initial, name), tensor(&drawn, name), "{name}");
    }
    assert_ne!(tensor(&trained, "layers.2.weight"), tensor(&drawn, "layers.2.weight"));

    let record = run.read_record().unwrap().initial_weights.unwrap();
    assert!(record.file.ends_with("model.safetensors"), "{}", record.file);
    assert_eq!(record.loaded, ["layers.0.weight", "layers.0.bias"]);
    let kept = ["layers.1.weight", "layers.1.bias", "layers.2.weight", "layers.2.bias"];
    assert_eq!(record.kept, kept);
    // Both have the name of a tensor of the model, but another shape.
    assert_eq!(record.unused, ["layers.1.bias", "layers.1.weight"]);
    assert_eq!(record.initial.check(&run.initial_path()).ok(), Some(()));

    // The record says so, unless all were loaded.
    let [warning] = &run.read_record().unwrap().warnings[..] else { panic!("one warning") };
    assert!(warning.starts_with("initial weights: 2 tensors loaded from "), "{warning}");
    assert!(warning.contains("; drawn as without a file: layers.1.weight, "), "{warning}");
    let (whole, _) = world.run(&[&key]);
    assert_eq!(whole.read_record().unwrap().warnings, [""; 0]);
}

#[test]
fn a_file_without_a_matching_tensor_is_an_error_that_shows_names_and_shapes() {
    let world = World::new();
    let (_, key) = source(&world);
    let data = world.runs().parent().unwrap().to_owned();
    let wider = declaration(&[&key, "hidden.units=9", "layers.2.use_bias=false"]);
    let error = Run::prepare(wider, &data, &world.runs(), None).err().unwrap().to_string();
    for part in [
        "no tensor of ",
        "the file has `layers.0.bias` [8], `layers.0.weight` [16, 8], `layers.1.bias` [3], `layers.1.weight` [8, 3]",
        "the model needs `layers.0.weight` [16, 9], `layers.0.bias` [9], `layers.1.weight` [9, 3]",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_content_of_the_file_is_the_identity_and_not_its_path() {
    let world = World::new();
    let (from, key) = source(&world);
    let copy = world.runs().join("copy.safetensors");
    fs::copy(from.model_path(), &copy).unwrap();
    let identity = |path: &Path, overrides: &[&str]| {
        let mut declaration = declaration(&[&[key.as_str()], overrides].concat());
        declaration.set_initial_weights(&WeightsFile::find(path).unwrap()).unwrap();
        declaration.experiment.identity_on("data").unwrap()
    };
    let own = identity(from.path(), &[]);
    assert_eq!(own, identity(&from.model_path(), &[]));
    assert_eq!(own, identity(&copy, &[]));
    assert_ne!(own, declaration(&[]).experiment.identity_on("data").unwrap());
    assert_ne!(own, identity(&from.model_path(), &["seed=2"]));
    let other = world.run(&["epochs=1", "name=source"]).0;
    assert_ne!(own, identity(other.path(), &[]));

    // A checksum that is given must be the one of the file.
    let sha256 = WeightsFile::find(other.path()).unwrap().sha256;
    let given = declaration(&[&key, &format!("initial_weights_sha256={sha256}")]);
    let data = world.runs().parent().unwrap().to_owned();
    let error = Run::prepare(given, &data, &world.runs(), None).err().unwrap();
    let TrainError::Config(error) = error else { panic!("{error}") };
    assert!(error.to_string().contains("the file has changed"), "{error}");
}

/// The results of a run that starts from its own `initial.safetensors`.
fn restarted(world: &World, run: &RunDirectory) -> Result<Vec<u8>, TrainError> {
    let _ = fs::remove_dir_all(run.checkpoints_path());
    let mut record = run.read_record().unwrap();
    record.status = Status::Interrupted;
    run.write_record(&record).unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let resumed = Run::resume(run.clone(), &data, RunLock::Caller(None), None)?;
    assert_eq!(resumed.from, None);
    resumed.run.train(&mut ())?;
    Ok(fs::read(run.model_path()).unwrap())
}

#[test]
fn a_run_restarts_and_is_verified_without_the_file_that_it_started_from() {
    let world = World::new();
    let (from, key) = source(&world);
    let (run, _) = world.run(&[DEEPER, &key]);
    let expected = fs::read(run.model_path()).unwrap();
    fs::remove_file(from.model_path()).unwrap();
    assert!(restarted(&world, &run).unwrap() == expected);

    let scratch = tempfile::tempdir().unwrap();
    let data = world.runs().parent().unwrap().to_owned();
    let verifier = Verifier::prepare(run.clone(), &data, scratch.path()).unwrap();
    let verification = verifier.verify(&mut ()).unwrap();
    assert!(verification.identical.contains(&"initial.safetensors"), "{verification:?}");
    assert!(verification.identical.contains(&"model.safetensors"), "{verification:?}");

    // Without both, there is nothing to start from.
    let mut bytes = fs::read(run.initial_path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(run.initial_path(), bytes).unwrap();
    let error = restarted(&world, &run).unwrap_err().to_string();
    assert!(error.contains("initial.safetensors of the run is missing or damaged"), "{error}");
}

#[test]
fn a_damaged_copy_of_the_initial_weights_is_made_again_from_the_file() {
    let world = World::new();
    let (_, key) = source(&world);
    let (run, _) = world.run(&[DEEPER, &key]);
    let [expected, initial] =
        [run.model_path(), run.initial_path()].map(|path| fs::read(path).unwrap());
    let mut damaged = initial.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(run.initial_path(), damaged).unwrap();
    assert!(restarted(&world, &run).unwrap() == expected);
    assert!(fs::read(run.initial_path()).unwrap() == initial);
}

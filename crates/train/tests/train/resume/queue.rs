//! Runs whose logits are read several steps late, as on a GPU.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use kiln_store::{Checkpoints, Position, RunDirectory, Status};
use kiln_train::{EpochEnd, Observer, Progress, Stop};
use serde_json::Value;

use super::interrupted::{LAYERS, NORMALIZED};
use super::{At, Results, STEPS, resume};
use crate::common::World;

/// Stops the run at a step, as [`At`] does, with a queue of a certain length. Returns the run and how it ended.
fn queued(
    world: &World,
    queue: usize,
    overrides: &[&str],
    observer: &mut dyn Observer,
) -> (RunDirectory, kiln_train::TrainingOutcome) {
    let mut run = world.prepared(overrides);
    run.set_read_interval(NonZeroUsize::new(queue).unwrap());
    let directory = run.directory().clone();
    let outcome = run.train(observer).unwrap();
    (directory, outcome)
}

/// `state.json` without times, and the tensors of the newest checkpoint.
fn newest_checkpoint(run: &RunDirectory) -> (Position, Value, Vec<u8>) {
    let checkpoints = Checkpoints::of(run);
    let position = checkpoints.positions().unwrap()[0];
    let mut files = checkpoints.read(position, 1 << 20).unwrap();
    let mut state: Value = serde_json::from_slice(&files["state.json"]).unwrap();
    for times in ["/seconds", "/under_way/seconds", "/history"] {
        state.pointer_mut(times).map(Value::take);
    }
    (position, state, files.remove("tensors.safetensors").unwrap())
}

/// On a GPU, the logits of several steps are read at once. The queue must not change anything but when a divergence is
/// found.
#[test]
fn a_queue_of_steps_changes_no_byte() {
    let world = World::new();
    let cases: [&[&str]; 2] = [
        &[LAYERS, "engine=fused", "optimizer={type='adam'}", "class_weights=balanced"],
        &[NORMALIZED, "engine=generic", "weights=average", "augment=[{type='mix_up'}]"],
    ];
    let common = ["epochs=3", "batch_size=16", "validation=40", "metrics=['macro_f1']"];
    for case in cases {
        let overrides = [common.as_slice(), case].concat();
        let (run, _) = world.run(&overrides);
        let expected = Results::of(&run);
        let stops = [2, STEPS + 3, 2 * STEPS];
        let checkpoints = stops
            .map(|step| newest_checkpoint(&queued(&world, 1, &overrides, &mut At::stop(step)).0));
        // Also longer than an epoch.
        for queue in [2, 3, 7] {
            let (run, _) = queued(&world, queue, &overrides, &mut ());
            expected.assert_same(&Results::of(&run), &format!("a queue of {queue}"));
            for (step, checkpoint) in stops.iter().zip(&checkpoints) {
                let what = format!("a queue of {queue}, stopped after {step} steps");
                let (run, outcome) = queued(&world, queue, &overrides, &mut At::stop(*step));
                assert_eq!(outcome.status, Status::Interrupted, "{what}");
                let (position, state, tensors) = newest_checkpoint(&run);
                assert_eq!((position, &state), (checkpoint.0, &checkpoint.1), "{what}");
                assert!(tensors == checkpoint.2, "{what}: the tensors differ");
                let mut rest = resume(&world, &run).0.run;
                rest.set_read_interval(NonZeroUsize::new(queue).unwrap());
                rest.train(&mut ()).unwrap();
                expected.assert_same(&Results::of(&run), &what);
            }
        }
    }
}

/// Counts the steps of a run.
struct Steps(usize);

impl Observer for Steps {
    fn on_epoch_end(&mut self, _: EpochEnd<'_>) -> ControlFlow<Stop> {
        ControlFlow::Continue(())
    }

    fn on_step_end(&mut self, _: Progress<'_>) -> ControlFlow<Stop> {
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

#[test]
fn a_divergence_names_its_step_with_any_queue_but_is_found_later() {
    let world = World::new();
    // The rate grows from step to step, until the loss is not finite in the middle of an epoch.
    let overrides = [
        "epochs=3",
        "batch_size=16",
        "validation=40",
        "learning_rate=1e25",
        "schedule={type='constant',warmup_epochs=3.0}",
    ];
    let weights = |run: &RunDirectory| fs::read(run.model_path()).unwrap();
    let mut steps = Steps(0);
    let (run, immediately) = queued(&world, 1, &overrides, &mut steps);
    assert_eq!(immediately.status, Status::Diverged);
    assert!(immediately.reason.contains("the loss became"), "{}", immediately.reason);
    assert_ne!((steps.0 + 1) % STEPS, 0, "the queue could not be late at the end of an epoch");
    for queue in [2, 3, 16] {
        let mut late = Steps(0);
        let (other, outcome) = queued(&world, queue, &overrides, &mut late);
        assert_eq!(outcome.reason, immediately.reason, "a queue of {queue}");
        assert!((steps.0..steps.0 + queue).contains(&late.0), "{} steps", late.0);
        assert!(weights(&run) == weights(&other), "a queue of {queue}");
    }
    // An interruption that is requested after the divergence, before it is found, finds it.
    let stop = &mut At::stop(steps.0 + 1);
    assert_eq!(queued(&world, 16, &overrides, stop).1.reason, immediately.reason);
}

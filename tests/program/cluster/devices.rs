//! One run at a time on each device. Planning refuses GPUs that this build has no backend for, so the worker is called through
//! its crate, and a stand-in for the program takes the place of the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;

use kiln_sweep::{
    Event, JobSettings, LaunchOptions, Plan, Requests, Share, Sweep, SweepResult, Watcher,
    train_runs,
};
use kiln_train::MachineMemory;

use super::{SWEEP, project_with};
use crate::project::Project;

struct Unwatched;

impl Watcher for Unwatched {
    fn event(&mut self, _: Event<'_>) {}
}

/// Trains `sweep.toml` on devices, with a script in place of the program.
fn train(project: &Project, script: &str, devices: &[&str], share: Option<Share>) -> SweepResult {
    let program = project.path("program");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let sweep = Sweep::open(&project.path("sweep.toml"), &[]).unwrap();
    let (data, runs) = (project.path("data"), project.path("runs"));
    let plan = Plan::new(&sweep, &data, &runs, MachineMemory { bytes: None }).unwrap();
    plan.write_record().unwrap();
    let options = LaunchOptions {
        jobs: NonZeroUsize::new(devices.len()).unwrap(),
        threads: NonZeroUsize::MIN,
        devices: devices.iter().map(|device| (*device).to_owned()).collect(),
        fail_fast: false,
        retry_failed: false,
        reuse: false,
        program,
        share,
        job: JobSettings::default(),
    };
    train_runs(&plan, &options, &mut Unwatched, &Requests::default())
}

#[test]
fn a_worker_with_two_devices_trains_all_runs_with_the_same_training() {
    let project = project_with(
        "name = \"common\"\nexperiment = \"experiment.toml\"\n\
         [grid]\nepochs = [1, 2, 3]\ntraining.weights = [\"last\", \"best\"]\n",
    );
    let share = Share { group: "slurm1".to_owned(), index: 0, count: NonZeroUsize::MIN };
    let script = "#!/bin/sh\nread request\nsleep 0.7\nexit 1\n";
    let result = train(&project, script, &["0", "1"], Some(share));
    // While one of them is trained, the others wait.
    assert_eq!(result.outcomes.len(), 6);
    assert!(result.outcomes.iter().all(Option::is_some));
}

#[test]
fn each_device_has_one_run_at_a_time() {
    let project = project_with(SWEEP);
    let log = project.path("log");
    let script = format!(
        "#!/bin/sh\necho start $CUDA_VISIBLE_DEVICES >> '{log}'\nread request\nsleep 0.1\n\
         echo end $CUDA_VISIBLE_DEVICES >> '{log}'\nexit 1\n",
        log = log.display()
    );
    let result = train(&project, &script, &["1", "GPU-3", "7"], None);
    assert!(result.outcomes.iter().flatten().all(|(outcome, _)| outcome.is_failure()));

    let mut busy = BTreeSet::new();
    let mut runs_on: BTreeMap<String, usize> = BTreeMap::new();
    for line in project.read("log").lines() {
        let (what, device) = line.split_once(' ').unwrap();
        if what == "start" {
            assert!(busy.insert(device.to_owned()), "two runs on {device}");
            *runs_on.entry(device.to_owned()).or_default() += 1;
        } else {
            assert!(busy.remove(device));
        }
    }
    assert_eq!(runs_on.keys().collect::<Vec<_>>(), ["1", "7", "GPU-3"]);
    assert_eq!(runs_on.values().sum::<usize>(), 12);
}

#[test]
fn devices_are_for_runs_that_use_them() {
    let project = project_with(SWEEP);
    let output = project.kiln(&["sweep", "sweep.toml", "--devices=0,1"]);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(output.stderr.contains("--devices is for runs on a GPU"), "{}", output.stderr);
    assert!(output.stderr.contains("device.backend=cuda"), "{}", output.stderr);
}

//! One run at a time on each device. Planning refuses GPUs that this build has no backend for, so the worker is called through
//! its crate, and a stand-in for the program takes the place of the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;

use kiln_sweep::{Event, JobSettings, LaunchOptions, Plan, Requests, Sweep, Watcher, train_runs};
use kiln_train::MachineMemory;

use super::{SWEEP, project_with};

struct Unwatched;

impl Watcher for Unwatched {
    fn event(&mut self, _: Event<'_>) {}
}

#[test]
fn each_device_has_one_run_at_a_time() {
    let project = project_with(SWEEP);
    let (program, log) = (project.path("program"), project.path("log"));
    let script = format!(
        "#!/bin/sh\necho start $CUDA_VISIBLE_DEVICES >> '{log}'\nread request\nsleep 0.1\n\
         echo end $CUDA_VISIBLE_DEVICES >> '{log}'\nexit 1\n",
        log = log.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let sweep = Sweep::open(&project.path("sweep.toml"), &[]).unwrap();
    let (data, runs) = (project.path("data"), project.path("runs"));
    let plan = Plan::new(&sweep, &data, &runs, MachineMemory { bytes: None }).unwrap();
    plan.write_record().unwrap();
    let options = LaunchOptions {
        jobs: NonZeroUsize::new(3).unwrap(),
        threads: NonZeroUsize::MIN,
        devices: ["1", "GPU-3", "7"].map(str::to_owned).to_vec(),
        fail_fast: false,
        retry_failed: false,
        reuse: false,
        program,
        share: None,
        job: JobSettings::default(),
    };
    let result = train_runs(&plan, &options, &mut Unwatched, &Requests::default());
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

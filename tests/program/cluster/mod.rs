//! Sweeps on a cluster: `--launcher slurm`, its workers, `kiln status` and `kiln cancel`.
//!
//! [`devices`], [`submission`], [`workers`] and [`machines`] run everywhere, with stand-ins for the commands of Slurm. [`slurm`] starts a
//! real Slurm of several nodes on this machine, if it is installed.

mod devices;
#[cfg(target_os = "linux")]
mod machines;
#[cfg(target_os = "linux")]
mod slurm;
#[cfg(target_os = "linux")]
mod slurm_cluster;
mod stand_ins;
mod submission;
#[cfg(target_os = "linux")]
mod workers;

use crate::project::Project;

/// Twelve short runs.
const SWEEP: &str = "name = \"rates\"\nexperiment = \"experiment.toml\"\n\
     [grid]\nlearning_rate = [0.01, 0.03, 0.1, 0.3]\n[repeat]\nseed = [1, 2, 3]\n";

/// A project with a sweep file.
fn project_with(sweep: &str) -> Project {
    let project = Project::new();
    project.write("sweep.toml", sweep);
    project
}

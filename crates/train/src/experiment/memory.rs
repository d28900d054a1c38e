//! Whether a training step fits into memory.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_config::ConfigError;
use kiln_model::Architecture;
use kiln_store::grouped;
use kiln_store::number::bytes;

use super::{Backend, Declaration};

/// The limit where the memory is not known: that of a GPU, and of a machine that does not report it. No common accelerator
/// has more, so only a mistake exceeds it.
const UNKNOWN_MEMORY: u64 = 512 << 30;

/// The memory of a machine that trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineMemory {
    /// The bytes that a process may use for CPU backends; `None` if that is not known.
    pub bytes: Option<u64>,
}

impl MachineMemory {
    /// The memory of this machine, or of the control group that this process is in if that is less, as in a container or in
    /// a job of a cluster.
    #[must_use]
    pub fn of_this_machine() -> Self {
        // Both are files of Linux.
        let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = control_group_files(&groups)
            .into_iter()
            .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
            .min();
        Self { bytes: machine.into_iter().chain(group).min() }
    }

    /// The bytes for a backend, and where they are, for a message.
    fn of(self, backend: Backend) -> (u64, &'static str) {
        let is_on_cpu = matches!(backend, Backend::Flex | Backend::Ndarray);
        match self.bytes.filter(|_| is_on_cpu) {
            Some(bytes) => (bytes, "this machine has"),
            None => (UNKNOWN_MEMORY, "the limit is"),
        }
    }
}

/// The bytes in a text of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files with the limits of the control groups in a text of `/proc/self/cgroup`. A limit holds for all groups in a
/// group, so the ones above it count, too.
fn control_group_files(text: &str) -> Vec<PathBuf> {
    let files = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            return None;
        };
        let groups = Path::new(path).ancestors().map(Path::to_owned).collect::<Vec<_>>();
        let relative = |group: &PathBuf| group.strip_prefix("/").unwrap_or(group).to_owned();
        Some(groups.iter().map(|group| Path::new(root).join(relative(group)).join(file)).collect())
    };
    text.lines().filter_map(files).collect::<Vec<Vec<PathBuf>>>().concat()
}

impl Declaration {
    /// Checks that a training step on this number of training images fits into the memory of a machine. It needs more than
    /// what is counted, such as the intermediate results of a convolution, so this finds what cannot fit, and not all that
    /// will not.
    ///
    /// # Errors
    ///
    /// The weights, the gradients, the state of the optimizer and the activations of a batch need more. The message names
    /// the batch size that would fit.
    pub fn check_memory(
        &self,
        architecture: &Architecture,
        training_images: usize,
        machine: MachineMemory,
    ) -> Result<(), ConfigError> {
        let experiment = &self.experiment;
        // No batch has more images than there are.
        let batch = experiment.training.batch_size.get().min(training_images).max(1);
        let slots = experiment.optimizer.kind.slots();
        let summary = architecture.summary(batch, slots);
        let needed = summary.memory_bytes();
        let (limit, whose) = machine.of(experiment.device.backend);
        if needed <= limit {
            return Ok(());
        }
        let of_activations = summary.activation_bytes;
        let of_image = (of_activations / batch as u64).max(1);
        let fitting = limit.saturating_sub(needed.saturating_sub(of_activations)) / of_image;
        let message = format!(
            "a training step needs {} of memory, {} of it for the activations of {} images, but {whose} {}",
            bytes(needed),
            bytes(of_activations),
            grouped(batch as u64),
            bytes(limit)
        );
        let help = "`kiln summary` shows the memory of each layer";
        Err(if fitting == 0 {
            let message = format!("{message}; make the model smaller");
            self.error_at("model.layers", message).help(help)
        } else {
            let message = format!("{message}; batch_size = {fitting} would fit");
            self.error_at("training.batch_size", message).help(help)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_machine_is_read_in_kibibytes() {
        let text = "MemTotal:       24612345 kB\nMemFree:         1234 kB\n";
        assert_eq!(total(text), Some(24_612_345 * 1024));
        assert_eq!(total("MemTotal: many\n"), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn limits_of_control_groups_hold_for_the_groups_within() {
        let paths = |text| {
            let paths = control_group_files(text);
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            paths("0::/system.slice/job_7\n"),
            [
                "/sys/fs/cgroup/system.slice/job_7/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            paths("4:cpu,cpuacct:/a\n3:memory:/job\n"),
            [
                "/sys/fs/cgroup/memory/job/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert!(paths("nonsense\n").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_reports_the_memory() {
        let bytes = MachineMemory::of_this_machine().bytes.expect("/proc/meminfo can be read");
        assert!(bytes > 1 << 20, "{bytes}");
    }
}

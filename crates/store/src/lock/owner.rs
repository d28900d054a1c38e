//! The owner of a run's lock, stored in `<id>.claim`.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::now;
use crate::{files, versioned};

/// The version of the owner file that this build writes, and the newest that it reads.
const CLAIM_VERSION: u32 = 1;

/// The maximum size of an owner file; a typical one has a few hundred bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The name of the machine, if it is not its host name.
static MACHINE: OnceLock<String> = OnceLock::new();

/// Sets the name of this machine for the locks of this process: in a job, the one by which the cluster knows it.
pub fn name_this_machine(name: &str) {
    // The first name stays.
    let _ = MACHINE.set(name.to_owned());
}

/// The process that owns a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// The host name of its machine.
    pub machine: String,
    /// An id of the machine's current boot.
    boot: String,
    /// The process id on that machine.
    pub process: u32,
    /// When the process acquired the lock.
    pub since: Timestamp,
}

/// `process 4711 on ada, since 2026-11-24T…`
impl std::fmt::Display for LockOwner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = kiln_config::printable(&self.machine);
        write!(formatter, "process {} on {machine}, since {}", self.process, self.since)
    }
}

impl LockOwner {
    pub(super) fn this_process() -> Self {
        let machine = MACHINE.get().cloned().unwrap_or_else(|| kernel("hostname"));
        Self {
            machine: if machine.is_empty() { "this machine".to_owned() } else { machine },
            boot: boot(),
            process: std::process::id(),
            since: now(),
        }
    }

    /// Whether the owner runs on this machine, in its current boot.
    pub(super) fn is_here(&self) -> bool {
        self.boot == boot()
    }

    /// Whether the owner's process is known to have ended.
    pub(super) fn is_dead(&self) -> bool {
        let processes = Path::new("/proc");
        self.is_here()
            && processes.join("self").exists()
            && !processes.join(self.process.to_string()).exists()
    }

    /// Reads the owner of a lock; `None` if the file is missing or unreadable.
    pub(super) fn find(path: &Path) -> Option<Self> {
        Self::read(path).ok()
    }

    /// Reads an owner file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        versioned::parse(path, &files::read(path, MAX_BYTES)?, CLAIM_VERSION)
    }

    /// The text of an owner file.
    pub(super) fn to_json(&self) -> Result<String> {
        versioned::to_json(CLAIM_VERSION, self)
    }
}

/// An id of this machine's current boot, different from that of every other machine and boot.
pub(super) fn boot() -> String {
    kernel("random/boot_id")
}

/// A value from /proc, or an empty text on systems other than Linux. There, every machine counts as this one: its locks
/// are assumed to reach this machine.
fn kernel(name: &str) -> String {
    let read = fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
    read.unwrap_or_default().trim().to_owned()
}

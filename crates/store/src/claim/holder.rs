//! Who holds a claim: `<id>.claim`.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::now;
use crate::{files, versioned};

/// The version of a claim's file that this build writes, and the newest that it reads.
const CLAIM_VERSION: u32 = 1;

/// The largest claim that is read; one is some hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its machine's name.
    pub machine: String,
    /// What tells the machine, since it was started, from every other.
    boot: String,
    /// The number of its process there.
    pub process: u32,
    /// Since when.
    pub since: Timestamp,
}

/// `the process 4711 on machine "ada", since 2026-11-24T…`
impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = kiln_config::printable(&self.machine);
        write!(formatter, "process {} on {machine}, since {}", self.process, self.since)
    }
}

impl Holder {
    pub(super) fn this_process() -> Self {
        let machine = kernel("hostname");
        Self {
            machine: if machine.is_empty() { "this machine".to_owned() } else { machine },
            boot: boot(),
            process: std::process::id(),
            since: now(),
        }
    }

    /// Whether it is of this machine, since it was started.
    pub(super) fn is_here(&self) -> bool {
        self.boot == boot()
    }

    /// Whether its process is known to have ended.
    pub(super) fn is_dead(&self) -> bool {
        let processes = Path::new("/proc");
        self.is_here()
            && processes.join("self").exists()
            && !processes.join(self.process.to_string()).exists()
    }

    /// Who has a claim, by its file; `None` where nobody wrote, or nothing that can be read.
    pub(super) fn find(path: &Path) -> Option<Self> {
        Self::read(path).ok()
    }

    /// Reads a claim's file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        versioned::parse(path, &files::read(path, MOST_BYTES)?, CLAIM_VERSION)
    }

    /// The text of a claim's file.
    pub(super) fn to_json(&self) -> Result<String> {
        versioned::to_json(CLAIM_VERSION, self)
    }
}

/// What tells this machine, since it was started, from every other.
pub(super) fn boot() -> String {
    kernel("random/boot_id")
}

/// What Linux says of itself. Without its files every machine is taken for this one, as locks do.
fn kernel(name: &str) -> String {
    let read = fs::read_to_string(Path::new("/proc/sys/kernel").join(name));
    read.unwrap_or_default().trim().to_owned()
}

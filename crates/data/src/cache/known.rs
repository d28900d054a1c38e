//! `known.json`: which cache file belongs to which dataset. Without it, datasets are decoded again.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::write_atomically;
use super::stamp::{FileStamp, Stamp};

/// The version that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The largest number of datasets that are remembered.
const MAX_ENTRIES: usize = 256;

/// The largest file that is read.
const MAX_BYTES: u64 = 4 << 20;

pub(super) const FILE_NAME: &str = "known.json";

#[derive(Serialize, Deserialize)]
pub(super) struct KnownFiles {
    version: u32,
    /// The most recently decoded one is last.
    entries: Vec<KnownFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    /// The dataset.
    pub(super) stamp: Stamp,
    /// The name of its cache file.
    pub(super) file: String,
    /// The state of the cache file when its pixels were last written or checked; `None` if they must be checked.
    pub(super) content: Option<FileStamp>,
}

impl KnownFiles {
    /// Reads the file; nothing is known if it cannot be used.
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join(FILE_NAME);
        let known = kiln_config::read_text(&path, MAX_BYTES).ok();
        let known = known.and_then(|text| serde_json::from_str::<Self>(&text).ok());
        known
            .filter(|known| known.version == VERSION)
            .unwrap_or(Self { version: VERSION, entries: Vec::new() })
    }

    pub(super) fn find(&self, stamp: &Stamp) -> Option<&KnownFile> {
        self.entries.iter().find(|entry| entry.stamp == *stamp)
    }

    /// Remembers the cache file of a dataset, and forgets those that do not exist anymore. Errors are ignored: the dataset
    /// is then decoded again.
    pub(super) fn remember(directory: &Path, entry: KnownFile) {
        let mut known = Self::read(directory);
        let is_same = |other: &KnownFile| {
            other.stamp.source == entry.stamp.source && other.stamp.reading == entry.stamp.reading
        };
        known.entries.retain(|other| {
            !is_same(other) && fs::exists(directory.join(&other.file)).unwrap_or(false)
        });
        known.entries.push(entry);
        let surplus = known.entries.len().saturating_sub(MAX_ENTRIES);
        known.entries.drain(..surplus);
        if let Ok(text) = serde_json::to_vec_pretty(&known) {
            let _ = write_atomically(directory, FILE_NAME, &text);
        }
    }
}

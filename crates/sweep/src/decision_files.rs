//! `.kiln/decisions/KEY-NAME.json`: decisions that any worker of a sweep may take, and that hold for all of them.
//!
//! The first worker writes the file, once. All workers, and later sweeps with the same key, read the decision from the file, so it
//! does not matter who took it, nor whether the results change later. KEY is a hash of what is decided about.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{Checksum, StoreError, create_hidden, files, hidden, versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format version that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The largest file that is read: a race may stop thousands of combinations.
const MAX_BYTES: u64 = 16 << 20;

/// The decisions with one key.
#[derive(Debug, Clone)]
pub(crate) struct DecisionFiles {
    directory: PathBuf,
    key: String,
}

impl DecisionFiles {
    /// The decisions in the directory of a sweep about what `subject` describes.
    pub(crate) fn new(directory: &Path, subject: &str) -> Self {
        let key = Checksum::of(subject.as_bytes()).sha256[..12].to_owned();
        Self { directory: directory.to_owned(), key }
    }

    /// The hash of what is decided about.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn files(&self) -> PathBuf {
        hidden(&self.directory).join("decisions")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files().join(format!("{}-{name}.json", self.key))
    }

    /// The names of the decisions.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.files()).into_iter().flatten().flatten();
        let name = |file: String| {
            let name = file.strip_prefix(&self.key)?.strip_prefix('-')?.strip_suffix(".json")?;
            Some(name.to_owned())
        };
        entries.filter_map(|entry| name(entry.file_name().into_string().ok()?)).collect()
    }

    /// Reads a decision; `None` if there is none, or none that can be read.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        read(&self.path(name)).ok()
    }

    /// Writes a decision, unless another worker has. Returns the decision that holds.
    pub(crate) fn decide<T: Serialize + DeserializeOwned>(&self, name: &str, own: T) -> T {
        self.decide_valid(name, own, |_| true)
    }

    /// Like [`decide`](Self::decide); a decision in a file for which `is_valid` is false is replaced.
    pub(crate) fn decide_valid<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        own: T,
        is_valid: impl Fn(&T) -> bool,
    ) -> T {
        let path = self.path(name);
        match self.write_once(&path, &own) {
            Ok(false) => {}
            // If the file cannot be written, the other workers come to the same decision.
            Ok(true) | Err(_) => return own,
        }
        if let Some(decision) = read(&path).ok().filter(is_valid) {
            return decision;
        }
        // A damaged file decides nothing.
        if let Ok(text) = versioned::to_checked_json(VERSION, &own) {
            let _ = files::write(&path, text);
        }
        own
    }

    fn write_once(&self, path: &Path, decision: &impl Serialize) -> Result<bool, StoreError> {
        create_hidden(&self.directory)?;
        files::create_directories(&self.files())?;
        files::check_within(&self.directory, &self.files())?;
        files::write_once(path, versioned::to_checked_json(VERSION, decision)?)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    versioned::parse_checked(path, &files::read(path, MAX_BYTES)?, VERSION)
}

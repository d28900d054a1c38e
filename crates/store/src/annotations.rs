use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::name::check_name;
use crate::run::RunDirectory;
use crate::{files, versioned};

/// The version of `notes.json` that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The largest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 16 << 10;
/// The largest number of tags.
pub const MAX_TAGS: usize = 100;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How often the file is written before an error counts. A process that starts or ends the run removes temporary files in
/// its directory, among them the one that is being written.
const ATTEMPTS: usize = 5;

/// `notes.json`: the note and the tags that the user gave a run.
///
/// They are no part of the run: not of its identity, not of its checksums. So they can change at any time, also while the
/// run trains. A run without both has no such file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Annotations {
    /// The text of the note, which may have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The tags, in the order in which they were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Annotations {
    /// Whether there is neither a note nor a tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.note.is_none() && self.tags.is_empty()
    }

    /// Whether all of these tags are there.
    #[must_use]
    pub fn has_tags(&self, tags: &[String]) -> bool {
        tags.iter().all(|tag| self.tags.contains(tag))
    }

    /// Adds a tag; false if it is already there.
    pub fn add_tag(&mut self, tag: &str) -> bool {
        let is_new = !self.tags.iter().any(|known| known == tag);
        if is_new {
            self.tags.push(tag.to_owned());
        }
        is_new
    }

    /// Removes a tag; false if it is not there.
    pub fn remove_tag(&mut self, tag: &str) -> bool {
        let before = self.tags.len();
        self.tags.retain(|known| known != tag);
        self.tags.len() < before
    }

    /// What is wrong with the note or with a tag.
    fn problem(&self) -> Option<String> {
        if let Some(note) = &self.note {
            if note.trim().is_empty() {
                return Some("the note is empty".to_owned());
            }
            if note.len() > MAX_NOTE_BYTES {
                let length = note.len();
                return Some(format!(
                    "the note has {length} bytes; at most {MAX_NOTE_BYTES} are allowed"
                ));
            }
        }
        if self.tags.len() > MAX_TAGS {
            let tags = self.tags.len();
            return Some(format!("there are {tags} tags; at most {MAX_TAGS} are allowed"));
        }
        self.tags.iter().find_map(|tag| {
            let problem = check_name(tag).err()?;
            Some(format!("`{}` cannot be a tag: {problem}", crate::escape::control(tag)))
        })
    }
}

impl RunDirectory {
    /// `notes.json`, the [`Annotations`].
    #[must_use]
    pub fn annotations_path(&self) -> PathBuf {
        self.path().join("notes.json")
    }

    /// Reads the note and the tags of the run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::Unreadable`], [`StoreError::Malformed`] or [`StoreError::NewerFormat`];
    /// [`StoreError::Damaged`] if a tag is not valid.
    pub fn read_annotations(&self) -> Result<Annotations> {
        read(&self.annotations_path())
    }

    /// Writes the note and the tags of the run, or removes the file if there are none. The process that trains the run may
    /// be at work.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] if the note or a tag is not valid, [`StoreError::Io`] if the file cannot be written.
    pub fn write_annotations(&self, annotations: &Annotations) -> Result<()> {
        if let Some(problem) = annotations.problem() {
            return Err(StoreError::Inconsistent(problem));
        }
        let path = self.annotations_path();
        if annotations.is_empty() {
            return files::remove(&path);
        }
        let text = versioned::to_json(VERSION, annotations)?;
        let mut attempt = 1;
        loop {
            match files::write(&path, &text) {
                Err(StoreError::Io { cause, .. })
                    if cause.kind() == ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                written => return written,
            }
        }
    }
}

fn read(path: &Path) -> Result<Annotations> {
    let text = match files::read(path, MAX_FILE_BYTES) {
        Err(StoreError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
            return Ok(Annotations::default());
        }
        text => text?,
    };
    let annotations: Annotations = versioned::parse(path, &text, VERSION)?;
    match annotations.problem() {
        Some(problem) => Err(StoreError::damaged(path, problem)),
        None => Ok(annotations),
    }
}

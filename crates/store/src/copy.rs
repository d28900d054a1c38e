//! A second directory of a finished run.

use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::files;
use crate::record::{RunName, Status};
use crate::run::RunDirectory;

impl RunDirectory {
    /// Makes `target` a second directory of this finished run, under another name and id. It appears complete or not at
    /// all, and replaces an unfinished run there. The files except the log are hard links where the file system has them,
    /// and copies elsewhere. Only `run.json` is rewritten: with the other name and id, and with those of this run as `reused`.
    /// Checkpoints stay behind: a finished run does not need them. So does the note, which is about this run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the run is not finished, or a file is missing or was changed; [`StoreError::Io`] if the
    /// directory cannot be written.
    pub fn copy_to(&self, target: &Path, name: &str, id: &str) -> Result<()> {
        let mut record = self.read_record()?;
        if record.status != Status::Finished {
            return Err(StoreError::damaged(self.path(), "it is not finished"));
        }
        let mut linked = Vec::new();
        for file in RunDirectory::FILES {
            let path = self.path().join(file.name);
            if record.files.contains_key(file.name) {
                linked.push(path);
            } else if !file.optional && !matches!(file.name, "run.json" | "log.jsonl") {
                return Err(StoreError::damaged(&path, "its checksum was not recorded"));
            }
        }
        // The log is the only file that another attempt to train this run would append to.
        let log = self.log_path();
        // The user wrote it about the run that is replaced, and it stays with the name.
        let notes = RunDirectory::at(target).annotations_path();
        let is_file = |path: &PathBuf| path.is_file() && !path.is_symlink();
        let copied: Vec<PathBuf> = [log, notes].into_iter().filter(is_file).collect();
        let original = RunName { name: record.name, id: record.id };
        record.reused.get_or_insert(original);
        (record.name, record.id) = (name.to_owned(), id.to_owned());
        let names: Vec<&str> = record.files.keys().map(String::as_str).collect();
        let json = record.to_json()?;
        let written = [("run.json", json.as_bytes())];
        files::link_directory(target, &linked, &copied, &written, |partial| {
            // The links are checked and not the originals: they are what the directory will contain.
            RunDirectory::at(partial).check(&record, &names)
        })
    }
}

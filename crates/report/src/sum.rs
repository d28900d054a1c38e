//! What files were when they were written, so that a byte that changes later is found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::checkpoint::{Sum, hexadecimal};
use crate::{ReportError, Result, RunDirectory, files};

/// The most of a file that is in memory at a time.
const CHUNK: usize = 64 << 10;

impl Sum {
    /// The sum of a file, which is never in memory as a whole.
    ///
    /// # Errors
    ///
    /// [`ReportError::Io`] where it cannot be read, [`ReportError::Damaged`] where it is no file.
    pub fn of_file(path: &Path) -> Result<Self> {
        let refused = |cause| ReportError::io("read", path, cause);
        let metadata = path.symlink_metadata().map_err(refused)?;
        if !metadata.is_file() {
            return Err(ReportError::damaged(path, "it is not a file"));
        }
        let mut file = File::open(path).map_err(refused)?;
        let (mut digest, mut bytes) = (Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(Self { bytes, sha256: hexadecimal(&digest.finalize()) }),
                Ok(read) => {
                    digest.update(&chunk[..read]);
                    bytes += read as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(refused(cause)),
            }
        }
    }

    /// Holds a file to its sum.
    ///
    /// # Errors
    ///
    /// Those of [`of_file`](Self::of_file); [`ReportError::Damaged`] where the file is another than was written.
    pub fn check(&self, path: &Path) -> Result<()> {
        let metadata =
            path.symlink_metadata().map_err(|cause| ReportError::io("read", path, cause))?;
        if metadata.is_file() && metadata.len() != self.bytes {
            let problem =
                format!("it has {} bytes where {} were written", metadata.len(), self.bytes);
            return Err(ReportError::damaged(path, problem));
        }
        if Self::of_file(path)? != *self {
            let problem = "its content is not what was written (its SHA-256 differs)";
            return Err(ReportError::damaged(path, problem));
        }
        Ok(())
    }
}

/// The sums of all files of a run that are complete when its record is written, `report` being the text of the one
/// that comes after it. The log still grows.
pub(crate) fn of_run(run: &RunDirectory, report: Option<&str>) -> Result<BTreeMap<String, Sum>> {
    let mut sums = BTreeMap::new();
    for file in RunDirectory::FILES {
        let path = run.path().join(file.name);
        let is_to_come = matches!(file.name, "run.json" | "report.json" | "log.jsonl");
        if is_to_come || !files::exists(&path)? {
            continue;
        }
        sums.insert(file.name.to_owned(), Sum::of_file(&path)?);
    }
    if let Some(text) = report {
        sums.insert("report.json".to_owned(), Sum::of(text.as_bytes()));
    }
    Ok(sums)
}

/// Whether a name in a list of sums leads to a file beside the list, and nowhere else.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

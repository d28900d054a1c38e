use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use crate::error::{Result, StoreError};
use crate::run::RunDirectory;

/// The advice for a path that leads to no run.
const INSTEAD: &str = "give a run directory, a sweep directory, the directory of all runs, or a pattern such as 'runs/*/*'";

/// The depth at which runs are searched below a directory: `runs/<name>/<id>`.
const DEPTH: usize = 2;

/// The run directories found for some paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Directories with a `run.json`, sorted, without duplicates.
    pub runs: Vec<PathBuf>,
    /// Directories that look like runs but cannot be read, sorted.
    pub left_out: Vec<Skipped>,
}

/// A directory that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The directory.
    pub path: PathBuf,
    /// The reason.
    pub problem: String,
}

/// Finds the runs for `paths`: run directories, directories of runs up to two levels deep (a sweep, or `runs/`
/// itself), and patterns with `*`, `?`, `[…]` and `**`. Hidden names below a directory are ignored. Symbolic links
/// that leave the searched directory are skipped unless they are given directly.
///
/// # Errors
///
/// [`StoreError::NoRuns`] for a path that leads to no run.
pub fn find(paths: &[impl AsRef<Path>]) -> Result<Found> {
    let mut search = Search::default();
    for path in paths {
        // Remove `.` and doubled separators, which users type or complete.
        let path = &path.as_ref().components().collect::<PathBuf>();
        let before = search.count();
        if path.is_dir() {
            search.directory(path);
        } else if paths.len() > 1 && is_readme(path) {
            // A shell also expands `runs/*` to this file.
            continue;
        } else if path.exists() {
            return Err(no_runs(path, "it is a file"));
        } else {
            search.pattern(path)?;
        }
        if search.count() == before {
            return Err(no_runs(path, "it contains no run"));
        }
    }
    let mut found = search.found;
    found.runs.sort();
    found.left_out.sort_by(|left, right| left.path.cmp(&right.path));
    found.left_out.dedup();
    Ok(found)
}

fn no_runs(path: &Path, problem: &str) -> StoreError {
    StoreError::NoRuns { path: path.to_owned(), problem: format!("{problem}; {INSTEAD}") }
}

#[derive(Default)]
struct Search {
    found: Found,
    /// The runs' canonical paths, to detect duplicates.
    known: HashSet<PathBuf>,
    /// The number of duplicates.
    repeated: usize,
    /// The canonical path of the searched directory.
    root: PathBuf,
}

impl Search {
    fn count(&self) -> usize {
        self.found.runs.len() + self.found.left_out.len() + self.repeated
    }

    /// A directory that was given, directly or by a pattern.
    fn directory(&mut self, path: &Path) {
        // A path that cannot be resolved is identified by itself.
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.join("run.json").exists() {
            self.run(path.to_owned(), resolved);
        } else if path.join("config.toml").exists() {
            self.not_begun(path);
        } else {
            self.root.clone_from(&resolved);
            self.below(path, &resolved, DEPTH);
        }
    }

    fn pattern(&mut self, path: &Path) -> Result<()> {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let pattern = pattern.ok_or_else(|| no_runs(path, "it does not exist"))?;
        // As in a shell, `*` does not match hidden names.
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let matches = glob::glob_with(pattern, options).map_err(|error| {
            no_runs(
                path,
                &format!("the pattern is wrong at character {}: {}", error.pos + 1, error.msg),
            )
        })?;
        let mut matched = false;
        for entry in matches {
            matched = true;
            match entry {
                Ok(path) if path.is_dir() => self.directory(&path),
                // A pattern such as `runs/*` also matches files; only directories can be runs.
                Ok(_) => {}
                Err(error) => self.leave_out(error.path(), error.error().to_string()),
            }
        }
        if matched { Ok(()) } else { Err(no_runs(path, "the pattern matches nothing")) }
    }

    fn below(&mut self, path: &Path, resolved: &Path, depth: usize) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.leave_out(path, format!("it cannot be listed: {error}")),
        };
        for entry in entries {
            match entry {
                Ok(entry) if is_hidden(&entry) || !is_directory(&entry) => {}
                Ok(entry) => self.entry(&entry, resolved, depth),
                Err(error) => self.leave_out(path, format!("it cannot be listed: {error}")),
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry, above: &Path, depth: usize) {
        let path = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        // Resolving only links saves a system call for each of thousands of runs.
        let linked = if is_link { fs::canonicalize(&path).ok() } else { None };
        let resolved = linked.unwrap_or_else(|| above.join(entry.file_name()));
        if !resolved.starts_with(&self.root) {
            let problem =
                "it is a symbolic link that leaves the searched directory; give its path directly";
            return self.leave_out(&path, problem.to_owned());
        }
        if path.join("run.json").exists() {
            self.run(path, resolved);
        } else if path.join("config.toml").exists() {
            self.not_begun(&path);
        } else if is_cut_off(&path) {
            self.leave_out(&path, "it has no run.json: the run was killed at its start".to_owned());
        } else if depth > 1 {
            self.below(&path, &resolved, depth - 1);
        }
    }

    fn run(&mut self, path: PathBuf, resolved: PathBuf) {
        if self.known.insert(resolved) {
            self.found.runs.push(path);
        } else {
            self.repeated += 1;
        }
    }

    fn not_begun(&mut self, path: &Path) {
        let problem = "the run did not start: it has a config.toml but no run.json";
        self.leave_out(path, problem.to_owned());
    }

    fn leave_out(&mut self, path: &Path, problem: String) {
        self.found.left_out.push(Skipped { path: path.to_owned(), problem });
    }
}

/// Whether this is the README of the directory of all runs.
pub(crate) fn is_readme(path: &Path) -> bool {
    path.ends_with("README.md") && path.is_file()
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

/// Whether a directory without record and configuration was meant for a run: it is empty, or has some files of a run.
fn is_cut_off(path: &Path) -> bool {
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    is_empty || RunDirectory::FILES.iter().any(|file| path.join(file.name).exists())
}

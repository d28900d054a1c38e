//! `.kiln/sweep-HASH.json`: how a sweep was declared, so that `kiln resume` needs only the directory of the sweep.
//!
//! Several sweeps may share a directory, one for each set of values that was tried under a name. Every declaration stays
//! in its own file, named after a hash of it. `.kiln/sweep.json` is a copy of the one that was started last; it is the only
//! file of the first version of Kiln.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_config::ConfigError;
use kiln_store::{
    Checksum, StoreError, Timestamp, create_hidden, files, hidden, now, quoted, versioned,
};
use kiln_train::WeightsFile;
use serde::{Deserialize, Serialize};

use crate::declaration::sweep::Sweep;
use crate::launchers::queues;

/// The format version that this build writes, and the newest that it reads.
const SWEEP_VERSION: u32 = 1;

/// The largest record that is read: it holds two TOML files, the axes of a command line, and the settings of the runs that
/// were skipped.
const MAX_BYTES: u64 = 32 * kiln_config::MAX_BYTES;

/// The text of the files and the arguments that declared a sweep. Later edits of the files do not change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The path of the sweep file, or of the experiment that was given in its place, as on the command line.
    pub file: PathBuf,
    /// The content of `file`.
    pub(crate) text: String,
    /// The content of the experiment that the sweep file names; `None` if `file` is itself the experiment.
    pub(crate) experiment_text: Option<String>,
    /// The axes of the command line.
    pub axes: Vec<String>,
    /// Whether the command line makes the sweep a race.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) race: bool,
    /// How many of the best combinations race.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top: Option<usize>,
    /// The files that `model.initial_weights` names in the sweep, by its values. They are found when the sweep is declared:
    /// `NAME/best` may be another run later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) initial_weights: BTreeMap<String, WeightsFile>,
    /// The runs that cannot be trained and were skipped when the sweep was started last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRuns>,
    /// The absolute path of the directory of the named datasets.
    pub data: PathBuf,
    /// When the sweep was first started (RFC 3339, UTC); unknown if the first version of Kiln wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
}

/// Runs of a sweep that cannot be trained for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRuns {
    /// The settings that all of them have and that cause it, as arguments of the command line.
    pub cause: String,
    /// The reason for the first of them, in one line.
    pub reason: String,
    /// All settings of each of them, as arguments of the command line.
    pub runs: Vec<String>,
}

/// `conv.kernel_size=7 stage.repeat=4 (2 runs): layer "conv" (conv2d): …`
impl std::fmt::Display for SkippedRuns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cause, reason, runs } = self;
        let runs =
            if let [_] = runs.as_slice() { "1 run" } else { &format!("{} runs", runs.len()) };
        let cause = if cause.is_empty() { "every value" } else { cause };
        write!(formatter, "{cause} ({runs}): {reason}")
    }
}

/// The declarations in the directory of a sweep.
#[derive(Debug, Default)]
pub struct SweepRecords {
    /// In the order in which the sweeps were first started.
    pub records: Vec<SweepRecord>,
    /// The files that cannot be read, by their path in the directory.
    pub unreadable: Vec<(String, StoreError)>,
}

impl SweepRecord {
    pub(crate) fn new(
        file: &Path,
        text: String,
        experiment_text: Option<String>,
        axes: &[String],
    ) -> Self {
        Self {
            file: file.to_owned(),
            text,
            experiment_text,
            axes: axes.to_vec(),
            race: false,
            top: None,
            initial_weights: BTreeMap::new(),
            skipped: Vec::new(),
            // The plan sets it: the declaration of a sweep does not depend on the directory.
            data: PathBuf::new(),
            started: None,
        }
    }

    /// Whether the declaration may name initial weights.
    pub(crate) fn mentions_initial_weights(&self) -> bool {
        let texts = [&self.text].into_iter().chain(&self.experiment_text).chain(&self.axes);
        texts.into_iter().any(|text| text.contains("initial_weights"))
    }

    /// Whether the first version of Kiln wrote the record.
    pub(crate) fn is_of_first_version(&self) -> bool {
        self.started.is_none()
    }

    pub(crate) fn with_data(self, data: PathBuf) -> Self {
        Self { data, ..self }
    }

    /// The path of the record of the sweep that was started last in a directory.
    #[must_use]
    pub fn path(directory: &Path) -> PathBuf {
        hidden(directory).join("sweep.json")
    }

    /// The path of the record in the directory of its sweep.
    pub(crate) fn place(&self, directory: &Path) -> String {
        let own = self.file_name();
        // The first version of Kiln wrote only `sweep.json`.
        let name = if hidden(directory).join(&own).exists() { &own } else { "sweep.json" };
        format!(".kiln/{name}")
    }

    /// Whether both declare the same sweep. The place of its data does not matter.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.file_name() == other.file_name()
    }

    /// The name of the record's own file.
    #[must_use]
    pub fn file_name(&self) -> String {
        // The place of the data is no part of the declaration: a dataset may move.
        let text = without_jobs(&self.text);
        let declared = (&*text, &self.experiment_text, &self.axes);
        // JSON can represent any text.
        let mut text = serde_json::to_string(&declared).unwrap_or_default();
        text.extend(self.race_options());
        // The checksums identify them.
        text.extend(self.initial_weights.values().map(|file| file.sha256.as_str()));
        format!("sweep-{}.json", &Checksum::of(text.as_bytes()).sha256[..12])
    }

    /// The options that make the sweep a race.
    #[must_use]
    pub fn race_options(&self) -> Vec<String> {
        let top = self.top.map(|top| ["--top".to_owned(), top.to_string()]);
        let race = self.race.then(|| "--race".to_owned());
        race.into_iter().chain(top.into_iter().flatten()).collect()
    }

    /// The options that declare the sweep: those of a race, and that invalid runs are skipped.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let skips = (!self.skipped.is_empty()).then(|| "--skip-invalid".to_owned());
        self.race_options().into_iter().chain(skips).collect()
    }

    /// Whether an axis `seed` on the command line sets how many seeds the race of this sweep has. With `--top`, or if the
    /// table `[race]` has the number, it does not.
    #[must_use]
    pub fn race_takes_seeds(&self) -> bool {
        self.top.is_none()
            && Sweep::from_record(self)
                .is_ok_and(|sweep| sweep.race.as_ref().is_some_and(|race| !race.has_seeds()))
    }

    /// Writes the record into the directory of a sweep, next to the records of the other sweeps there.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let hidden = create_hidden(directory)?;
        // The first version of Kiln has only this file, which is replaced below.
        match Self::read(directory) {
            Ok(last) if !hidden.join(last.file_name()).exists() => last.write_own(&hidden)?,
            Err(error @ StoreError::NewerFormat { .. }) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let path = hidden.join(self.file_name());
        let known = Self::read_file(&path).ok();
        let started = known.as_ref().map_or_else(|| Some(now()), |known| known.started);
        let record = Self { started, ..self.clone() };
        if known.as_ref() != Some(&record) {
            record.write_own(&hidden)?;
        }
        if Self::read(directory).ok().as_ref() != Some(&record) {
            files::write(&Self::path(directory), record.to_json()?)?;
        }
        Ok(())
    }

    fn write_own(&self, hidden: &Path) -> Result<(), StoreError> {
        files::write(&hidden.join(self.file_name()), self.to_json()?)
    }

    fn to_json(&self) -> Result<String, StoreError> {
        versioned::to_checked_json(SWEEP_VERSION, self)
    }

    /// Reads the record of the sweep that was started last in a directory.
    ///
    /// # Errors
    ///
    /// The file is missing or damaged, or a newer version of Kiln wrote it.
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        Self::read_file(&Self::path(directory))
    }

    fn read_file(path: &Path) -> Result<Self, StoreError> {
        versioned::parse_checked(path, &files::read(path, MAX_BYTES)?, SWEEP_VERSION)
    }
}

/// A sweep file without the settings of jobs, such as `[slurm]`, which say where its runs are trained and not which.
fn without_jobs(text: &str) -> Cow<'_, str> {
    let is_header = |line: &&str| line.trim_start().starts_with('[');
    let headers: Vec<String> = queues().map(|queue| format!("[{}]", queue.name())).collect();
    let is_of_job = |line: &&str| headers.iter().any(|header| line.trim_end() == header);
    if !text.lines().any(|line| is_of_job(&line)) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut skips = false;
    for line in text.split_inclusive('\n') {
        // Within the table, a line of a list of strings may begin with a bracket, too. Then more of the text counts.
        if is_header(&line) {
            skips = is_of_job(&line);
        }
        if !skips {
            kept.push_str(line);
        }
    }
    Cow::Owned(kept.trim_end().to_owned() + "\n")
}

/// The command that declared the sweep.
impl std::fmt::Display for SweepRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display().to_string();
        let options = self.options();
        let arguments = std::iter::once(&file).chain(&self.axes).chain(&options);
        let arguments = arguments.map(|argument| quoted(argument));
        write!(formatter, "kiln sweep {}", arguments.collect::<Vec<_>>().join(" "))
    }
}

impl SweepRecords {
    /// Reads all declarations in the directory of a sweep.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let entries = fs::read_dir(hidden(directory)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let is_record = |name: &String| name.starts_with("sweep-") && name.ends_with(".json");
        let mut names: Vec<String> = names.filter(is_record).collect();
        names.sort();
        let mut found = Self::default();
        for name in &names {
            match SweepRecord::read_file(&hidden(directory).join(name)) {
                Ok(record) => found.records.push(record),
                Err(error) => found.unreadable.push((format!(".kiln/{name}"), error)),
            }
        }
        match SweepRecord::read(directory) {
            // A copy, unless the first version of Kiln wrote it.
            Ok(last) if names.contains(&last.file_name()) => {}
            Ok(last) => found.records.push(last),
            Err(error) => found.unreadable.push((".kiln/sweep.json".to_owned(), error)),
        }
        // The sort is stable. `None` comes first.
        found.records.sort_by_key(|record| record.started);
        found
    }

    /// The declaration with this number, counted from 1, or this file. If a file declared several sweeps, it is the last
    /// one.
    ///
    /// # Errors
    ///
    /// There is no such declaration. The error lists those that there are.
    pub fn select(records: &[SweepRecord], given: &str) -> Result<SweepRecord, ConfigError> {
        let by_number = given.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let is_file = |record: &&SweepRecord| {
            record.file == Path::new(given) || record.file.file_name() == Some(given.as_ref())
        };
        let by_file = || records.iter().rev().find(is_file);
        let found = by_number.and_then(|index| records.get(index)).or_else(by_file);
        found.cloned().ok_or_else(|| {
            let known = (1..).zip(records).map(|(number, record)| format!("{number}: {record}"));
            let known: Vec<String> = known.collect();
            ConfigError::new(format!("--sweep {given}: this directory has no such sweep"))
                .help(format!("give the number or the file of one of these: {}", known.join("; ")))
        })
    }

    /// Like [`read`](Self::read), but an unreadable declaration is an error.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read.
    pub fn read_intact(directory: &Path) -> Result<Vec<SweepRecord>, StoreError> {
        let Self { records, unreadable } = Self::read(directory);
        match unreadable.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_jobs;

    #[test]
    fn the_job_is_no_part_of_what_is_declared() {
        let grid = "[grid]\nseed = [1, 2]\n";
        assert_eq!(without_jobs(grid), grid);
        let with =
            |time: &str| format!("[slurm]\ntime = \"{time}\"\nsetup = [\n  \"a\",\n]\n{grid}");
        assert_eq!(without_jobs(&with("1:00")), without_jobs(&with("2:00")));
        assert!(without_jobs(&with("1:00")).ends_with(grid));
        assert_eq!(without_jobs(&format!("{grid}\n[slurm]\nworkers = 2\n")), grid);
        assert_eq!(without_jobs("[slurm.other]\n"), "[slurm.other]\n");
    }
}

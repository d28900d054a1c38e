use std::collections::HashSet;
use std::path::{Path, PathBuf};

use kiln_config::{ConfigError, Document, FromValue, Override, Table, Value};
use kiln_train::{Declaration, known_paths};

use crate::axis::Axis;
use crate::block::Block;
use crate::change::{Change, words};
use crate::prune::PruneConfig;
use crate::record::SweepRecord;

/// The most runs that one sweep may have. More are a slip of the hand rather than a plan.
pub const MOST_RUNS: usize = 10_000;

/// The most text of experiments, over all runs: as values it takes some twenty times as much memory.
const MOST_TEXT: usize = 128 << 20;

/// The keys that make a file a sweep rather than an experiment.
const SWEEP_KEYS: [&str; 8] =
    ["experiment", "grid", "zip", "random", "exclude", "block", "repeat", "prune"];

/// What a sweep file, or an experiment with axes on the command line, declares.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Its runs lie in `<runs>/<name>/`.
    pub name: String,
    /// The experiment that it changes, as a path that `kiln run` takes.
    pub experiment: PathBuf,
    /// How runs are ended early, where they are.
    pub prune: Option<PruneConfig>,
    document: Document,
    blocks: Vec<Block>,
    seeds: Option<Axis>,
    /// Whether the command line changed what the file says.
    is_changed: bool,
    /// How it was declared.
    pub(crate) record: SweepRecord,
}

/// One run of a sweep, as it is declared.
#[derive(Debug, Clone)]
pub struct Combination {
    /// What it changes in the sweep's experiment, the seed last.
    pub changes: Vec<Change>,
    /// The whole experiment.
    pub declaration: Declaration,
}

impl Sweep {
    /// Reads a sweep file or an experiment, and axes from the command line: `KEY=V1,V2,…`. Such an
    /// axis takes the place of the file's with the same key; otherwise it is combined with all that the
    /// file has. `name=…` names the sweep.
    ///
    /// # Errors
    ///
    /// A file cannot be read; a key is unknown, an axis empty, doubled or of the wrong form. The
    /// error shows where.
    pub fn open(path: &Path, axes: &[String]) -> Result<Self, ConfigError> {
        Self::declare(path, Document::open(path)?, axes, Document::open)
    }

    /// Declares a sweep again as it was declared, whatever has become of its files since then.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) but for reading files.
    pub fn again(record: &SweepRecord) -> Result<Self, ConfigError> {
        let file = Document::parse(&record.file.to_string_lossy(), &record.text)?;
        Self::declare(&record.file, file, &record.axes, |path| {
            let text = record.experiment_text.as_deref().unwrap_or_default();
            Document::parse(&path.to_string_lossy(), text)
        })
    }

    fn declare(
        path: &Path,
        file: Document,
        axes: &[String],
        open: impl Fn(&Path) -> Result<Document, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let text = file.text().to_owned();
        let record = |experiment| SweepRecord::new(path, text, experiment, axes);
        let mut sweep = if SWEEP_KEYS.iter().any(|key| file.get(key).is_some()) {
            file.read(|table| Self::read(table, path, record, open))?
        } else {
            let declaration = Declaration::new(file.clone(), &[])?;
            Self {
                name: declaration.experiment.name,
                experiment: path.to_owned(),
                prune: None,
                document: file,
                blocks: Vec::new(),
                seeds: None,
                is_changed: false,
                record: record(None),
            }
        };
        let known = known_paths(&sweep.document)?;
        let mut given = HashSet::new();
        for argument in axes {
            let values = Override::parse_list(argument)?;
            let is_name = values[0].key() == "name";
            if let ([name], true) = (values.as_slice(), is_name) {
                sweep.name = read_name(name.value())?;
                continue;
            }
            let axis = Axis::new(values, &sweep.document, &known)?;
            if !given.insert(axis.path.clone()) {
                let message = format!("`{}` is given twice", axis.path);
                return Err(axis.values[0]
                    .key_error(message)
                    .help(format!("one axis with all values: {}=V1,V2", axis.values[0].key())));
            }
            sweep.replace(axis);
        }
        Ok(sweep)
    }

    fn read(
        table: &mut Table<'_>,
        path: &Path,
        record: impl FnOnce(Option<String>) -> SweepRecord,
        open: impl Fn(&Path) -> Result<Document, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let name = match table.value("name") {
            Some(value) => read_name(value)?,
            None => table.required("name")?,
        };
        let written: String = table.required("experiment")?;
        let experiment = beside(path, &written);
        if experiment.exists() && !experiment.is_file() {
            // A file from anywhere may name a pipe that never ends.
            let named = table.value("experiment").map(|value| value.error("this is not a file"));
            return Err(named.unwrap_or_else(|| table.error("`experiment` is not a file")));
        }
        let document = open(&experiment)
            .map_err(|error| error.note(format!("it is the `experiment` of {}", path.display())))?;
        let known = known_paths(&document)?;
        let mut blocks = Vec::new();
        let own = Block::read(table, &document, &known)?;
        if let Some(value) = table.value("block") {
            for item in value.items()? {
                blocks.push(item.read_table(|table| Block::read(table, &document, &known))?);
            }
        }
        if !own.is_empty() || blocks.is_empty() {
            blocks.insert(0, own);
        }
        let seeds = table.optional_table("repeat", |table| read_seeds(table, &document, &known))?;
        if seeds.is_some() {
            blocks.iter().try_for_each(|block| block.refuse("seed", "`[repeat]`"))?;
        }
        let prune = table.optional_table("prune", PruneConfig::read)?;
        let record = record(Some(document.text().to_owned()));
        Ok(Self { name, experiment, prune, document, blocks, seeds, is_changed: false, record })
    }

    fn replace(&mut self, axis: Axis) {
        self.is_changed = true;
        if axis.path == "seed" {
            self.blocks.iter_mut().for_each(|block| block.remove("seed"));
            self.seeds = Some(axis);
            return;
        }
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        for block in &mut self.blocks {
            block.replace(&axis);
        }
    }

    /// How many combinations it declares, before any is excluded or met twice; `None` where no number holds them.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        let seeds = self.seeds.as_ref().map_or(1, |axis| axis.values.len());
        let blocks = self.blocks.iter().map(Block::size);
        let combinations = blocks.reduce(|sum, size| sum?.checked_add(size?)).unwrap_or(Some(1));
        combinations?.checked_mul(seeds)
    }

    /// Every run: each block's combinations, united, each once a seed. Every one of them is checked by
    /// the experiment's own rules.
    ///
    /// # Errors
    ///
    /// There are more than [`MOST_RUNS`]; a combination comes twice in one block; or the experiment
    /// refuses one, which the error names.
    pub fn expand(&self) -> Result<Vec<Combination>, ConfigError> {
        let runs = self.size();
        if runs.is_none_or(|runs| runs > MOST_RUNS) {
            let runs = runs
                .map_or("more runs than can be counted".to_owned(), |runs| format!("{runs} runs"));
            return Err(ConfigError::new(format!(
                "this sweep has {runs}; at most {MOST_RUNS} are allowed"
            ))
            .help("take fewer values, or draw from them with `[random]`"));
        }
        let text = runs.unwrap_or(usize::MAX).saturating_mul(self.document.text_length());
        if text > MOST_TEXT {
            let message = format!(
                "{} is {} bytes long, too long for so many runs, each of which has it in memory",
                self.experiment.display(),
                self.document.text_length()
            );
            return Err(
                ConfigError::new(message).help("take fewer values, or a shorter experiment")
            );
        }
        let nothing = [Block::default()];
        let blocks = if self.blocks.is_empty() { nothing.as_slice() } else { &self.blocks };
        let mut expanded = Vec::new();
        let mut seen = HashSet::new();
        for block in blocks {
            let mut seen_here = HashSet::new();
            let mut matched = vec![false; block.exclude.len()];
            for changes in block.combinations()? {
                for changes in self.repeated(&changes) {
                    let Some(combination) = self.combination(block, changes, &mut matched)? else {
                        continue;
                    };
                    let identity = combination.declaration.experiment.identity()?;
                    if !seen_here.insert(identity.clone()) {
                        let words = words(&combination.changes);
                        return Err(ConfigError::new(format!(
                            "the combination {words} comes twice"
                        ))
                        .help("two of its values mean the same; leave one out"));
                    }
                    if seen.insert(identity) {
                        expanded.push(combination);
                    }
                }
            }
            // Values from the command line may well leave a pattern of the file without a match.
            let idle = block.exclude.iter().zip(matched).find(|(_, matched)| !matched);
            if let Some((pattern, _)) = idle.filter(|_| !self.is_changed) {
                return Err(pattern.error());
            }
        }
        if expanded.is_empty() {
            return Err(ConfigError::new("every combination of this sweep is excluded"));
        }
        Ok(expanded)
    }

    /// A combination, once a seed.
    fn repeated(&self, changes: &[Change]) -> Vec<Vec<Change>> {
        let Some(seeds) = &self.seeds else { return vec![changes.to_vec()] };
        let with_seed = |seed| [changes, &[Change::new(&seeds.path, seed)]].concat();
        seeds.values.iter().map(with_seed).collect()
    }

    /// The run of these changes; `None` where the block excludes it, which `matched` is told of.
    fn combination(
        &self,
        block: &Block,
        changes: Vec<Change>,
        matched: &mut [bool],
    ) -> Result<Option<Combination>, ConfigError> {
        let named = Override::text("name", &self.name);
        let all: Vec<Override> =
            std::iter::once(named).chain(changes.iter().map(|it| it.value.clone())).collect();
        let declared = Declaration::new(self.document.clone(), &all);
        let resolved = match &declared {
            Ok(declaration) if !block.exclude.is_empty() => {
                Some(Document::parse("resolved", &declaration.experiment.to_toml()?)?)
            }
            _ => None,
        };
        let mut is_excluded = false;
        for (pattern, matched) in block.exclude.iter().zip(matched) {
            // What is excluded need not be possible.
            let matches = match &resolved {
                Some(resolved) => pattern.matches(resolved),
                None => pattern.matches_changes(&changes, &self.document),
            };
            *matched |= matches;
            is_excluded |= matches;
        }
        if is_excluded {
            return Ok(None);
        }
        let mut declaration = declared.map_err(|error| in_combination(error, &changes))?;
        if let Some(prune) = &self.prune {
            // Without its column in the history there would be nothing to prune by.
            declaration.experiment.compute(prune.metric);
        }
        Ok(Some(Combination { changes, declaration }))
    }
}

/// Names the combination that an error was found in.
pub(crate) fn in_combination(error: ConfigError, changes: &[Change]) -> ConfigError {
    if changes.is_empty() {
        return error;
    }
    let error = error.note(format!("in the combination {}", words(changes)));
    let is_list = |change: &Change| change.value.value().items().is_ok();
    if changes.iter().any(is_list) {
        return error.help("a list is one value; several stand between commas: seed=1,2,3, or in a file seed = [1, 2, 3]");
    }
    error
}

fn read_name(value: &Value) -> Result<String, ConfigError> {
    let name = String::from_value(value)?;
    kiln_store::check_name(&name)
        .map_err(|error| value.error(format!("this name cannot be used: {error}")))?;
    Ok(name)
}

/// `path` as seen from the directory of `file`.
fn beside(file: &Path, path: &str) -> PathBuf {
    let directory = file.parent().unwrap_or(Path::new(""));
    let mut joined = PathBuf::new();
    // `configs/sweeps/../x.toml` is `configs/x.toml`, as it is shown and given again.
    for part in directory.join(path).components() {
        match part {
            std::path::Component::ParentDir
                if joined.file_name().is_some_and(|last| last != "..") =>
            {
                joined.pop();
            }
            part => joined.push(part),
        }
    }
    joined
}

/// The seeds of `[repeat]`.
fn read_seeds(
    table: &mut Table<'_>,
    experiment: &Document,
    known: &[String],
) -> Result<Axis, ConfigError> {
    table.required::<Vec<u64>>("seed")?;
    let items = table.value("seed").map_or(Ok([].as_slice()), Value::items)?;
    if items.is_empty() {
        return Err(table.error("`seed` needs a list of seeds, such as [1, 2, 3]"));
    }
    let seeds = items.iter().map(|item| Override::new("seed", item.place(), item.clone()));
    Axis::new(seeds.collect(), experiment, known)
}

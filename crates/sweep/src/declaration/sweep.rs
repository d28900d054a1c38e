use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use kiln_config::{ConfigError, Document, FromValue, Kind, Override, Table, Value};
use kiln_train::{Declaration, WeightsFile, join_bases, known_paths, open_experiment};

use crate::declaration::axis::Axis;
use crate::declaration::block::Block;
use crate::declaration::expand::SweepPoint;
use crate::declaration::record::SweepRecord;
use crate::declaration::sampling::SearchEnd;
use crate::launchers::{JobTables, queues};
use crate::prune::{PruneConfig, PruneOrder};
use crate::race::top::best_combinations;
use crate::race::{RaceConfig, RaceResult, RaceTable};

/// A file with any of these keys, or with the settings of a job, is a sweep file; without them it is an experiment.
const SWEEP_KEYS: [&str; 9] =
    ["experiment", "grid", "zip", "random", "exclude", "block", "repeat", "prune", "race"];

/// Whether a file is a sweep file, and not an experiment or anything else.
#[must_use]
pub fn is_sweep_file(path: &Path) -> bool {
    Document::open(path).is_ok_and(|file| is_sweep(&file))
}

fn is_sweep(file: &Document) -> bool {
    let tables = queues().map(|queue| queue.name());
    SWEEP_KEYS.into_iter().chain(tables).any(|key| file.get(key).is_some())
}

/// The declaration of a sweep: a sweep file, or an experiment, with the axes of the command line.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The name of the sweep. Its runs are in `<runs>/<name>/`.
    pub name: String,
    /// The path of the experiment that the sweep changes. `kiln run` accepts it.
    pub experiment: PathBuf,
    /// The settings of jobs in the sweep file.
    pub jobs: JobTables,
    /// The rules by which runs are pruned, if they are.
    pub(crate) prune: Option<PruneConfig>,
    /// The `[race]` table, or its defaults, if the combinations race.
    pub(super) race: Option<RaceTable>,
    /// How many of the best combinations of a finished search race; `None` for all.
    pub(super) top: Option<usize>,
    /// The combinations that `top` has chosen.
    pub(super) chosen: Option<HashSet<String>>,
    /// The end of the search of a sweep with a budget.
    pub(super) search_end: Option<SearchEnd>,
    /// Whether runs that cannot be trained are skipped.
    pub(crate) skip_invalid: bool,
    /// Whether the fingerprints of the data are those that the sweep's directory has recorded.
    pub(crate) trusts_known_data: bool,
    /// The runs that were skipped when the sweep was started, as arguments of the command line.
    pub(super) skipped: HashSet<String>,
    /// The experiment.
    pub(super) document: Document,
    pub(super) blocks: Vec<Block>,
    pub(super) seeds: Option<Axis>,
    /// Whether axes of the command line replaced or extended those of the file.
    pub(super) has_command_line_axes: bool,
    pub(crate) record: SweepRecord,
    /// See [`with_command`](Self::with_command).
    pub(crate) command: Option<String>,
}

impl Sweep {
    /// Reads a sweep file or an experiment, and the axes of the command line, each as `KEY=V1,V2,…`. Such an axis
    /// replaces the file's axis with the same key; otherwise it is combined with all axes of the file. `name=…` sets
    /// the name of the sweep.
    ///
    /// # Errors
    ///
    /// A file cannot be read, a key is unknown, or an axis is empty, is given twice or has values of the wrong type.
    /// The error shows where.
    pub fn open(path: &Path, axes: &[String]) -> Result<Self, ConfigError> {
        let file = Document::open(path)?;
        // Only experiments extend others.
        let file = if is_sweep(&file) { file } else { join_bases(file, path)? };
        Self::declare(path, file, axes, open_experiment)
    }

    /// Declares the sweep of a record. The files that declared it may have changed since then, or may be gone.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), except that no file is read.
    pub fn from_record(record: &SweepRecord) -> Result<Self, ConfigError> {
        let file = Document::parse(&record.file.to_string_lossy(), &record.text)?;
        let mut sweep = Self::declare(&record.file, file, &record.axes, |path| {
            let text = record.experiment_text.as_deref().unwrap_or_default();
            Document::parse(&path.to_string_lossy(), text)
        })?;
        sweep.record.initial_weights.clone_from(&record.initial_weights);
        // The first version of Kiln had no other order. In another one, a completed sweep would prune other runs.
        if let Some(prune) = sweep.prune.as_mut().filter(|_| record.is_of_first_version()) {
            prune.order = PruneOrder::Arrival;
        }
        sweep.skipped = record.skipped.iter().flat_map(|group| &group.runs).cloned().collect();
        sweep.record.skipped.clone_from(&record.skipped);
        if record.race { sweep.with_race(record.top) } else { Ok(sweep) }
    }

    /// Sets the command that declares the sweep, for the commands that messages propose. By default, it is that of the
    /// [record](SweepRecord).
    #[must_use]
    pub fn with_command(self, command: String) -> Self {
        Self { command: Some(command), ..self }
    }

    /// Leaves out the runs that cannot be trained, instead of refusing the sweep.
    #[must_use]
    pub fn skipping_invalid(self) -> Self {
        Self { skip_invalid: true, ..self }
    }

    /// Plans the sweep with the fingerprints of the data that its directory has recorded, without looking at the data. Each run
    /// compares its own.
    #[must_use]
    pub fn trusting_known_data(self) -> Self {
        Self { trusts_known_data: true, ..self }
    }

    /// Makes the sweep a race, by the rules of its `[race]` table or else by the default ones. With `top`, only the best
    /// combinations race, which the results of the sweep without a race decide.
    ///
    /// # Errors
    ///
    /// The seed is an axis of a block, or `top` is less than 2.
    pub fn with_race(mut self, top: Option<usize>) -> Result<Self, ConfigError> {
        self.blocks.iter().try_for_each(|block| block.check_not_in("seed", "a race"))?;
        if top.is_some_and(|top| top < 2) {
            return Err(ConfigError::new(
                "a race needs at least two combinations: --top 2 or more",
            ));
        }
        self.race = Some(self.race.unwrap_or_default());
        self.top = top;
        self.check_sampling()?;
        (self.record.race, self.record.top) = (true, top);
        Ok(self)
    }

    /// Finds the files of weights that the sweep names as `model.initial_weights`. `find` gets each name once.
    ///
    /// # Errors
    ///
    /// Those of [`expand`](Self::expand), except about runs that cannot be trained, and those of `find`.
    pub fn find_initial_weights<E: From<ConfigError>>(
        &mut self,
        find: impl Fn(&str) -> Result<WeightsFile, E>,
    ) -> Result<(), E> {
        // Most sweeps name none, and expanding a sweep takes a while.
        if !self.record.mentions_initial_weights() {
            return Ok(());
        }
        // Invalid combinations are reported by the plan.
        let points = self.expand_all()?.points.into_iter();
        let names = points.filter_map(|it| it.declaration.experiment.model.initial_weights);
        let names: Vec<String> = names.chain(self.initial_weights_to_draw()).collect();
        for name in names {
            if let Entry::Vacant(entry) = self.record.initial_weights.entry(name) {
                let file = find(entry.key())?;
                entry.insert(file);
            }
        }
        Ok(())
    }

    /// The rules of the race, if the combinations race.
    pub(crate) fn race_config(&self) -> Option<RaceConfig> {
        // With `top`, the seeds of the sweep have chosen the combinations, so that the race has others.
        let listed = self.seeds.as_ref().filter(|_| self.top.is_none());
        let race = self.race.as_ref()?;
        Some(race.complete(listed.map_or(0, |axis| axis.values.len())))
    }

    /// Whether every combination is repeated with several seeds.
    pub(crate) fn has_seeds(&self) -> bool {
        self.seeds.is_some() || self.race.is_some()
    }

    /// The rules by which runs are pruned, if they are. The best combinations of a search are not: they have been selected
    /// already.
    pub(crate) fn pruning(&self) -> Option<PruneConfig> {
        self.prune.filter(|_| self.top.is_none())
    }

    /// The search whose best combinations race; `None` if all combinations do, or if there is no race.
    pub(crate) fn search(&self) -> Option<Self> {
        // The end of a search with a budget has chosen them.
        self.top.filter(|_| self.chosen.is_none())?;
        Some(Self { race: None, top: None, ..self.clone() })
    }

    /// Chooses the combinations that race, by the runs of the [`search`](Self::search) and their results.
    pub(crate) fn with_best_of(
        &self,
        search: &[SweepPoint],
        results: &[RaceResult],
    ) -> Result<Self, ConfigError> {
        if self.samples_left() > 0 {
            let message = format!(
                "`--top` chooses by the results of this sweep, but {} of its samples are not drawn yet",
                self.samples_left()
            );
            return Err(
                ConfigError::new(message).help("first run the sweep without --race and --top")
            );
        }
        let top = self.top.unwrap_or(usize::MAX);
        let chosen = Some(best_combinations(search, results, top)?);
        Ok(Self { chosen, ..self.clone() })
    }

    /// The seeds that each combination is trained with, if they are an axis. A race starts with those of the sweep and
    /// continues with the smallest numbers that are not among them.
    pub(super) fn seeds(&self) -> Result<Option<Cow<'_, Axis>>, ConfigError> {
        let Some(race) = self.race_config() else {
            return Ok(self.seeds.as_ref().map(Cow::Borrowed));
        };
        let listed = match &self.seeds {
            Some(axis) => axis.values.clone(),
            None => {
                let own = Declaration::new(self.document.clone(), &[]).ok();
                let own = own.map(|declaration| declaration.experiment.seed);
                own.map(seed_override).transpose()?.into_iter().collect()
            }
        };
        let numbers: HashSet<String> = listed.iter().map(Override::value_text).collect();
        let more = (1..).filter(|seed: &u64| !numbers.contains(&seed.to_string()));
        let listed = listed.into_iter().filter(|_| self.top.is_none()).map(Ok);
        let values = listed.chain(more.map(seed_override)).take(race.seeds);
        let values = values.collect::<Result<_, _>>()?;
        Ok(Some(Cow::Owned(Axis { path: "seed".to_owned(), values })))
    }

    fn declare(
        path: &Path,
        file: Document,
        axes: &[String],
        open: impl Fn(&Path) -> Result<Document, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let text = file.text().to_owned();
        let record = |experiment| SweepRecord::new(path, text, experiment, axes);
        let mut sweep = if is_sweep(&file) {
            file.read(|table| Self::read(table, path, record, open))?
        } else {
            let declaration = Declaration::new(file.clone(), &[])?;
            Self {
                name: declaration.experiment.name,
                experiment: path.to_owned(),
                jobs: JobTables::default(),
                prune: None,
                race: None,
                top: None,
                chosen: None,
                search_end: None,
                skip_invalid: false,
                trusts_known_data: false,
                skipped: HashSet::new(),
                document: file,
                blocks: Vec::new(),
                seeds: None,
                has_command_line_axes: false,
                record: record(None),
                command: None,
            }
        };
        sweep.add_axes(axes)?;
        sweep.check_sampling()?;
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
        let experiment = relative_to(path, &written);
        if experiment.exists() && !experiment.is_file() {
            // Reading a pipe could block forever, and a sweep file from elsewhere may name one.
            let named = table.value("experiment").map(|value| value.error("this is not a file"));
            return Err(named.unwrap_or_else(|| table.error("`experiment` is not a file")));
        }
        let document = open(&experiment).map_err(|error| {
            error.note(format!("{} names it as its `experiment`", path.display()))
        })?;
        if is_sweep(&document)
            && let Some(named) = table.value("experiment")
        {
            let message = format!("{} is a sweep, not an experiment", experiment.display());
            return Err(named.error(message).help("name the experiment that it changes"));
        }
        let known = known_paths(&document)?;
        let mut blocks = Vec::new();
        let top_level = Block::read(table, &document, &known)?;
        if let Some(value) = table.value("block") {
            for item in value.items()? {
                blocks.push(item.read_table(|table| Block::read(table, &document, &known))?);
            }
        }
        // An empty block is the experiment without changes. Next to other blocks, it would add a run that the file
        // does not declare.
        if !top_level.is_empty() || blocks.is_empty() {
            blocks.insert(0, top_level);
        }
        let seeds = table.optional_table("repeat", |table| read_seeds(table, &document, &known))?;
        if seeds.is_some() {
            blocks.iter().try_for_each(|block| block.check_not_in("seed", "`[repeat]`"))?;
        }
        let prune = table.optional_table("prune", PruneConfig::read)?;
        let race = table.optional_table("race", RaceTable::read)?;
        if race.is_some() {
            blocks.iter().try_for_each(|block| block.check_not_in("seed", "`[race]`"))?;
        }
        let jobs = JobTables::read(table)?;
        let record = record(Some(document.text().to_owned()));
        let has_command_line_axes = false;
        Ok(Self {
            name,
            experiment,
            jobs,
            prune,
            race,
            top: None,
            chosen: None,
            search_end: None,
            skip_invalid: false,
            trusts_known_data: false,
            skipped: HashSet::new(),
            document,
            blocks,
            seeds,
            has_command_line_axes,
            record,
            command: None,
        })
    }

    /// Adds the axes of the command line.
    fn add_axes(&mut self, axes: &[String]) -> Result<(), ConfigError> {
        let known = known_paths(&self.document)?;
        let mut given = HashSet::new();
        for argument in axes {
            let values = Override::parse_list(argument)?;
            let is_name = values[0].key() == "name";
            // With several names, it is an axis, which `Axis::new` rejects.
            if let ([name], true) = (values.as_slice(), is_name) {
                self.name = read_name(name.value())?;
                continue;
            }
            let axis = Axis::new(values, &self.document, &known)?;
            if !given.insert(axis.path.clone()) {
                let message = format!("`{}` is given twice", axis.path);
                let help =
                    format!("write one axis with all values: {}=V1,V2", axis.values[0].key());
                return Err(axis.values[0].key_error(message).help(help));
            }
            self.replace(axis);
        }
        Ok(())
    }

    /// Adds an axis to every block. It replaces the block's axis with the same key.
    fn replace(&mut self, axis: Axis) {
        self.has_command_line_axes = true;
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
}

fn seed_override(seed: u64) -> Result<Override, ConfigError> {
    Override::parse(&format!("seed={seed}"))
}

fn read_name(value: &Value) -> Result<String, ConfigError> {
    let name = String::from_value(value)?;
    kiln_store::check_name(&name)
        .map_err(|error| value.error(format!("this name cannot be used: {error}")))?;
    Ok(name)
}

/// Resolves `path` relative to the directory that contains `file`.
fn relative_to(file: &Path, path: &str) -> PathBuf {
    let directory = file.parent().unwrap_or(Path::new(""));
    let mut joined = PathBuf::new();
    // `configs/sweeps/../x.toml` is shortened to `configs/x.toml`, because messages show the path.
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

/// Reads the seeds of the `[repeat]` table.
fn read_seeds(
    table: &mut Table<'_>,
    experiment: &Document,
    known: &[String],
) -> Result<Axis, ConfigError> {
    let SeedList(items) = table.required("seed")?;
    if items.is_empty() {
        return Err(table.error("`seed` needs a list of seeds, such as [1, 2, 3]"));
    }
    let seeds = items.into_iter().map(|item| Override::new("seed", &item.place().clone(), item));
    Axis::new(seeds.collect(), experiment, known)
}

/// Seeds and ranges of seeds: `[1, 2, 3]`, `"1..5"`, `["1..5", 8]`.
struct SeedList(Vec<Value>);

impl FromValue for SeedList {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        if matches!(value.kind, Kind::String(_)) {
            return Ok(Self(vec![value.clone()]));
        }
        let items = value.items()?;
        for item in items.iter().filter(|item| !matches!(item.kind, Kind::String(_))) {
            u64::from_value(item)?;
        }
        Ok(Self(items.to_vec()))
    }
}

use kiln_config::{ConfigError, Document, Table};

use crate::declaration::axis::Axis;
use crate::declaration::pattern::Pattern;
use crate::declaration::random::Random;
use crate::declaration::setting::Setting;

/// The largest number of axes in one block. Each run stores a value for every axis.
const MAX_AXES: usize = 100;

/// A set of axes that are combined with each other: every row of the grid with every row of the zip and every draw,
/// except for the combinations that a pattern excludes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Axes whose values are all combined with each other.
    grid: Vec<Axis>,
    /// Axes of equal length whose values are paired: all first values, all second values, …
    zip: Vec<Axis>,
    pub(crate) random: Option<Random>,
    pub(crate) exclude: Vec<Pattern>,
}

impl Block {
    /// Reads the keys `grid`, `zip`, `random` and `exclude` of a table.
    pub(crate) fn read(
        table: &mut Table<'_>,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let mut axes = |key| match table.value(key) {
            Some(value) => Axis::read_all(value, experiment, known),
            None => Ok(Vec::new()),
        };
        let (grid, zip) = (axes("grid")?, axes("zip")?);
        let random = table.value("random");
        let random = random.map(|value| Random::read(value, experiment, known)).transpose()?;
        let exclude = match table.value("exclude") {
            Some(value) => value.items()?,
            None => &[],
        };
        let exclude = exclude
            .iter()
            .map(|pattern| Pattern::read(pattern, experiment, known))
            .collect::<Result<_, _>>()?;
        let block = Self { grid, zip, random, exclude };
        block.check()?;
        Ok(block)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if let Some((first, others)) = self.zip.split_first() {
            for axis in others {
                let (one, other) = (first.values.len(), axis.values.len());
                if one != other {
                    let message = format!(
                        "`[zip]` pairs values, but `{}` has {one} and `{}` has {other}",
                        first.path, axis.path
                    );
                    let help = "give every key of `[zip]` the same number of values";
                    return Err(axis.values[0].key_error(message).help(help));
                }
            }
        }
        let mut paths: Vec<&str> = self.paths().collect();
        if let Some(path) = paths.get(MAX_AXES) {
            return Err(self.error(path, format!("too many axes: at most {MAX_AXES} are allowed")));
        }
        // After sorting, equal paths are neighbors.
        paths.sort_unstable();
        match paths.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let path = pair[0];
                let message =
                    format!("`{path}` is in more than one of `[grid]`, `[zip]` and `[random]`");
                Err(self.error(path, message).help("keep it in one of them"))
            }
            None => Ok(()),
        }
    }

    /// The full paths of the keys that the block changes.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let drawn = self.random.iter().flat_map(|random| &random.axes).map(|axis| &axis.path);
        self.grid.iter().chain(&self.zip).map(|axis| &axis.path).chain(drawn).map(String::as_str)
    }

    /// An error at the axis with this path.
    fn error(&self, path: &str, message: String) -> ConfigError {
        match self.grid.iter().chain(&self.zip).find(|axis| axis.path == path) {
            Some(axis) => axis.values[0].key_error(message),
            None => ConfigError::new(message),
        }
    }

    /// Returns an error if the block has an axis with this path, because the table `other` has one, too.
    pub(crate) fn check_not_in(&self, path: &str, other: &str) -> Result<(), ConfigError> {
        match self.paths().find(|own| *own == path) {
            Some(own) => {
                let message = format!("`{own}` is an axis here and in {other}");
                Err(self.error(own, message).help("keep one of the two"))
            }
            None => Ok(()),
        }
    }

    /// Whether results decide which combinations the block has.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.random.as_ref().is_some_and(Random::is_adaptive)
    }

    /// The axes of the grid and the zip.
    pub(super) fn listed_axes(&self) -> impl Iterator<Item = &Axis> {
        self.grid.iter().chain(&self.zip)
    }

    /// Whether the block has no axis.
    pub(crate) fn is_empty(&self) -> bool {
        self.grid.is_empty() && self.zip.is_empty() && self.random.is_none()
    }

    /// Removes the axis with this path, if there is one.
    pub(crate) fn remove(&mut self, path: &str) {
        self.grid.retain(|axis| axis.path != path);
        self.zip.retain(|axis| axis.path != path);
        if let Some(random) = &mut self.random {
            random.axes.retain(|axis| axis.path != path);
        }
        // Without an axis, `count` draws would all be the same.
        self.random = self.random.take().filter(|random| !random.axes.is_empty());
    }

    /// Adds an axis of the command line to the grid. It replaces an axis with the same key.
    pub(crate) fn replace(&mut self, axis: &Axis) {
        let place = self.grid.iter().position(|other| other.path == axis.path);
        self.remove(&axis.path);
        self.grid.insert(place.unwrap_or(self.grid.len()), axis.clone());
    }

    /// The number of combinations, including the excluded ones; `None` if it overflows.
    pub(crate) fn size(&self) -> Option<usize> {
        let zip = self.zip.first().map_or(1, |axis| axis.values.len());
        let random = self.random.as_ref().map_or(1, Random::size);
        self.grid
            .iter()
            .map(|axis| axis.values.len())
            .chain([zip, random])
            .try_fold(1_usize, usize::checked_mul)
    }

    /// All combinations, including the excluded ones. The first axis of the grid changes slowest, the draws change
    /// fastest.
    pub(crate) fn combinations(&self) -> Result<Vec<Vec<Setting>>, ConfigError> {
        let mut combinations = vec![Vec::new()];
        for axis in &self.grid {
            let values = axis.values.iter().map(|value| vec![Setting::new(&axis.path, value)]);
            combinations = product(&combinations, &values.collect::<Vec<_>>());
        }
        if let Some(first) = self.zip.first() {
            let row = |row: usize| {
                self.zip.iter().map(|axis| Setting::new(&axis.path, &axis.values[row])).collect()
            };
            let rows: Vec<Vec<Setting>> = (0..first.values.len()).map(row).collect();
            combinations = product(&combinations, &rows);
        }
        if let Some(random) = &self.random {
            combinations = product(&combinations, &random.samples()?);
        }
        for combination in &mut combinations {
            // A table must be set before a key in it; otherwise the table would overwrite the key.
            combination.sort_by_key(Setting::depth);
        }
        Ok(combinations)
    }
}

/// Appends each of `rows` to each of `combinations`.
fn product(combinations: &[Vec<Setting>], rows: &[Vec<Setting>]) -> Vec<Vec<Setting>> {
    let with_rows = |combination: &Vec<Setting>| {
        let combination = combination.clone();
        rows.iter().map(move |row| [combination.as_slice(), row].concat())
    };
    combinations.iter().flat_map(with_rows).collect()
}

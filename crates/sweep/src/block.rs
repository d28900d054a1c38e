use kiln_config::{ConfigError, Document, Table};

use crate::axis::Axis;
use crate::change::Change;
use crate::pattern::Pattern;
use crate::random::Random;

/// More axes than anybody looks at. Each run has a value of each of them.
const MOST_AXES: usize = 100;

/// Axes that are combined with each other: every row of the grid with every row of the zip with
/// every draw, less what is excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Each value of one with each value of the others.
    grid: Vec<Axis>,
    /// The first values together, the second together, …; all of one length.
    zip: Vec<Axis>,
    random: Option<Random>,
    pub(crate) exclude: Vec<Pattern>,
}

impl Block {
    /// Reads `grid`, `zip`, `random` and `exclude` of a table.
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
                        "`[zip]` pairs values, and `{}` has {one}, `{}` {other}",
                        first.path, axis.path
                    );
                    return Err(axis.values[0].key_error(message));
                }
            }
        }
        let mut paths: Vec<&str> = self.paths().collect();
        if let Some(path) = paths.get(MOST_AXES) {
            return Err(self.error(path, format!("there are more than {MOST_AXES} axes")));
        }
        paths.sort_unstable();
        match paths.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(self
                    .error(pair[0], format!("`{}` stands in two of grid, zip and random", pair[0])))
            }
            None => Ok(()),
        }
    }

    /// The full path of every key that it changes.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let drawn = self.random.iter().flat_map(|random| &random.axes).map(|axis| &axis.path);
        self.grid.iter().chain(&self.zip).map(|axis| &axis.path).chain(drawn).map(String::as_str)
    }

    /// An error about the axis of this path.
    fn error(&self, path: &str, message: String) -> ConfigError {
        match self.grid.iter().chain(&self.zip).find(|axis| axis.path == path) {
            Some(axis) => axis.values[0].key_error(message),
            None => ConfigError::new(message),
        }
    }

    /// Refuses an axis over a key that is one of another's already.
    pub(crate) fn refuse(&self, path: &str, whose: &str) -> Result<(), ConfigError> {
        match self.paths().find(|own| *own == path) {
            Some(own) => Err(self.error(own, format!("`{own}` is an axis of {whose}, too"))),
            None => Ok(()),
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.grid.is_empty() && self.zip.is_empty() && self.random.is_none()
    }

    /// Takes the axis of this path out.
    pub(crate) fn remove(&mut self, path: &str) {
        self.grid.retain(|axis| axis.path != path);
        self.zip.retain(|axis| axis.path != path);
        if let Some(random) = &mut self.random {
            random.axes.retain(|axis| axis.path != path);
        }
        self.random = self.random.take().filter(|random| !random.axes.is_empty());
    }

    /// Puts an axis of the command line in the place of one with the same key, or beside the others.
    pub(crate) fn replace(&mut self, axis: &Axis) {
        let place = self.grid.iter().position(|other| other.path == axis.path);
        self.remove(&axis.path);
        self.grid.insert(place.unwrap_or(self.grid.len()), axis.clone());
    }

    /// How many combinations there are before any is excluded; `None` where no number holds them.
    pub(crate) fn size(&self) -> Option<usize> {
        let zip = self.zip.first().map_or(1, |axis| axis.values.len());
        let random = self.random.as_ref().map_or(1, |random| random.count);
        self.grid
            .iter()
            .map(|axis| axis.values.len())
            .chain([zip, random])
            .try_fold(1_usize, usize::checked_mul)
    }

    /// Every combination, also those to be excluded: the grid's first axis changes slowest, draws change fastest.
    pub(crate) fn combinations(&self) -> Result<Vec<Vec<Change>>, ConfigError> {
        let mut combinations = vec![Vec::new()];
        for axis in &self.grid {
            let values = axis.values.iter().map(|value| vec![Change::new(&axis.path, value)]);
            combinations = product(&combinations, &values.collect::<Vec<_>>());
        }
        if let Some(first) = self.zip.first() {
            let row = |row: usize| {
                self.zip.iter().map(|axis| Change::new(&axis.path, &axis.values[row])).collect()
            };
            let rows: Vec<Vec<Change>> = (0..first.values.len()).map(row).collect();
            combinations = product(&combinations, &rows);
        }
        if let Some(random) = &self.random {
            combinations = product(&combinations, &random.draw()?);
        }
        for combination in &mut combinations {
            // A whole table first, then the keys in it.
            combination.sort_by_key(Change::depth);
        }
        Ok(combinations)
    }
}

/// Each of `combinations` with each of `rows` behind it.
fn product(combinations: &[Vec<Change>], rows: &[Vec<Change>]) -> Vec<Vec<Change>> {
    let with_rows = |combination: &Vec<Change>| {
        let combination = combination.clone();
        rows.iter().map(move |row| [combination.as_slice(), row].concat())
    };
    combinations.iter().flat_map(with_rows).collect()
}

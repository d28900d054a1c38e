use kiln_config::{ConfigError, Document, Override, Table, Value};

use crate::axis::{Axis, leaves};
use crate::random::Random;

/// Axes that are combined with each other: every row of the grid with every row of the zip with
/// every draw, less what is excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Each value of one with each value of the others.
    pub(crate) grid: Vec<Axis>,
    /// The first values together, the second together, …; all of one length.
    zip: Vec<Axis>,
    random: Option<Random>,
    exclude: Vec<Pattern>,
}

/// What a combination must have to be left out: for each key one of the values.
#[derive(Debug, Clone)]
struct Pattern {
    keys: Vec<(String, Vec<Value>)>,
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
        let drawn = self.random.iter().flat_map(|random| &random.axes).map(|axis| &axis.path);
        let mut paths: Vec<&String> =
            self.grid.iter().chain(&self.zip).map(|axis| &axis.path).chain(drawn).collect();
        paths.sort_unstable();
        if let Some(pair) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("`{}` stands in two of grid, zip and random", pair[0]);
            let axis = self.grid.iter().chain(&self.zip).find(|axis| axis.path == *pair[0]);
            return Err(match axis {
                Some(axis) => axis.values[0].key_error(message),
                None => ConfigError::new(message),
            });
        }
        Ok(())
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.grid.is_empty() && self.zip.is_empty() && self.random.is_none()
    }

    /// Puts an axis of the command line in the place of one with the same key, or beside the others.
    pub(crate) fn replace(&mut self, axis: &Axis) {
        self.zip.retain(|other| other.path != axis.path);
        if let Some(random) = &mut self.random {
            random.remove(&axis.path);
        }
        self.random = self.random.take().filter(|random| !random.axes.is_empty());
        match self.grid.iter_mut().find(|other| other.path == axis.path) {
            Some(same) => *same = axis.clone(),
            None => self.grid.push(axis.clone()),
        }
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

    /// The combinations: the grid's first axis changes slowest, draws change fastest.
    pub(crate) fn combinations(
        &self,
        experiment: &Document,
    ) -> Result<Vec<Vec<Override>>, ConfigError> {
        let mut combinations = vec![Vec::new()];
        for axis in &self.grid {
            combinations = product(&combinations, axis.values.iter().map(std::slice::from_ref));
        }
        if let Some(first) = self.zip.first() {
            let rows: Vec<Vec<Override>> = (0..first.values.len())
                .map(|row| self.zip.iter().map(|axis| axis.values[row].clone()).collect())
                .collect();
            combinations = product(&combinations, rows.iter().map(Vec::as_slice));
        }
        if let Some(random) = &self.random {
            let draws = random.draw()?;
            combinations = product(&combinations, draws.iter().map(Vec::as_slice));
        }
        let paths = self.paths();
        for combination in &mut combinations {
            let mut changes: Vec<(usize, Override)> = std::mem::take(combination)
                .into_iter()
                .zip(&paths)
                .map(|(change, path)| (path.split('.').count(), change))
                .collect();
            // A whole table first, then the keys in it.
            changes.sort_by_key(|(depth, _)| *depth);
            *combination = changes.into_iter().map(|(_, change)| change).collect();
        }
        let mut order: Vec<(usize, &String)> =
            paths.iter().map(|path| (path.split('.').count(), path)).collect();
        order.sort_by_key(|(depth, _)| *depth);
        let paths: Vec<&String> = order.into_iter().map(|(_, path)| path).collect();
        combinations.retain(|combination| {
            !self.exclude.iter().any(|pattern| pattern.matches(&paths, combination, experiment))
        });
        Ok(combinations)
    }

    /// The full path of every change of a combination, in the order of grid, zip and random.
    fn paths(&self) -> Vec<String> {
        let drawn = self.random.iter().flat_map(|random| &random.axes).map(|axis| &axis.path);
        self.grid.iter().chain(&self.zip).map(|axis| &axis.path).chain(drawn).cloned().collect()
    }
}

/// Each of `combinations` with each of `rows` behind it.
fn product<'a>(
    combinations: &[Vec<Override>],
    rows: impl Iterator<Item = &'a [Override]> + Clone,
) -> Vec<Vec<Override>> {
    combinations
        .iter()
        .flat_map(|combination| rows.clone().map(|row| [combination.as_slice(), row].concat()))
        .collect()
}

impl Pattern {
    fn read(value: &Value, experiment: &Document, known: &[String]) -> Result<Self, ConfigError> {
        let mut keys = Vec::new();
        for leaf in leaves(value, &|_| false)? {
            let key = Override::new(&leaf.path, leaf.key.key_place(), leaf.value.clone());
            let path = experiment.complete(&key, known)?;
            let values = match leaf.value.items() {
                Ok(items) => items.to_vec(),
                Err(_) => vec![leaf.value.clone()],
            };
            keys.push((path, values));
        }
        if keys.is_empty() {
            return Err(value.error("an empty pattern would exclude everything"));
        }
        Ok(Self { keys })
    }

    /// Whether the combination has, for each key, one of the values. `paths` are those of its
    /// changes; what it does not change is as in the experiment.
    fn matches(&self, paths: &[&String], changes: &[Override], experiment: &Document) -> bool {
        self.keys.iter().all(|(key, values)| {
            // The last change that says something about the key is the one that holds.
            let changed = paths.iter().zip(changes).rev().find_map(|(path, change)| {
                match key.strip_prefix(path.as_str())? {
                    "" => Some(Some(change.value())),
                    below => Some(change.value().get(below.strip_prefix('.')?)),
                }
            });
            let found = changed.unwrap_or_else(|| experiment.get(key));
            found.is_some_and(|found| values.iter().any(|value| value.is_same(found)))
        })
    }
}

use std::collections::HashSet;

use kiln_config::{ConfigError, Document, FromValue, Override, Value};
use kiln_train::random::{Purpose, named_stream};
use rand_core::Rng;

use crate::declaration::axis::{check_affects_results, leaves};
use crate::declaration::distribution::{Distribution, is_distribution};
use crate::declaration::setting::{Setting, as_arguments};

/// The `[random]` table, which draws combinations at random.
///
/// ```toml
/// [random]
/// count = 20
/// seed = 7
/// "optimizer.learning_rate" = { log_uniform = [1e-4, 1e-1] }
/// "hidden.units" = { uniform = [50, 300] }           # integer bounds draw integers, both bounds included
/// "hidden.activation" = { choice = ["relu", "gelu"] }
/// ```
///
/// Raising `count` keeps the combinations that a smaller count draws and adds new ones. Each axis has its own random
/// stream, so adding or removing an axis does not change the values of the others. The exception is a duplicate
/// combination: skipping it shifts all later draws.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    pub(crate) count: usize,
    seed: u64,
    pub(crate) axes: Vec<RandomAxis>,
}

/// A key and the distribution of its values.
#[derive(Debug, Clone)]
pub(crate) struct RandomAxis {
    pub(crate) path: String,
    /// The key as it was written; the value is not used.
    key: Override,
    distribution: Distribution,
}

impl Random {
    pub(crate) fn read(
        table: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let (mut count, mut seed) = (None, 0);
        let mut axes: Vec<RandomAxis> = Vec::new();
        for leaf in leaves(table, &is_distribution)? {
            match leaf.path.as_str() {
                "count" => count = Some(usize::from_value(leaf.value)?),
                "seed" => seed = u64::from_value(leaf.value)?,
                path => {
                    let key = Override::new(path, leaf.key.key_place(), leaf.value.clone());
                    let full = experiment.complete(&key, known)?;
                    check_affects_results(&full, &key)?;
                    if axes.iter().any(|other| other.path == full) {
                        return Err(key.key_error(format!("two axes set `{full}`")));
                    }
                    if !is_distribution(leaf.value) {
                        return Err(leaf.value.expected(
                            "{ uniform = [LOW, HIGH] }, { log_uniform = [LOW, HIGH] } or { choice = [\u{2026}] }",
                        ));
                    }
                    let distribution = Distribution::read(leaf.value, &key)?;
                    axes.push(RandomAxis { path: full, key, distribution });
                }
            }
        }
        let Some(count) = count.filter(|count| *count > 0) else {
            return Err(table
                .error("`[random]` needs a `count` of 1 or more")
                .help("for example, count = 20 draws 20 combinations"));
        };
        if axes.is_empty() {
            return Err(table
                .error("`[random]` has no key to draw values for")
                .help("for example: learning_rate = { log_uniform = [1e-4, 1e-1] }"));
        }
        Ok(Self { count, seed, axes })
    }

    /// Draws `count` different combinations. Each has a value for every axis.
    ///
    /// # Errors
    ///
    /// The axes have fewer than `count` different combinations.
    pub(crate) fn draw(&self) -> Result<Vec<Vec<Setting>>, ConfigError> {
        /// The limit on draws, as a multiple of `count`. With this many draws, even axes that have only `count`
        /// combinations nearly always yield all of them.
        const MAX_DRAWS_PER_COMBINATION: usize = 100;
        let stream = |axis: &RandomAxis| named_stream(self.seed, Purpose::Search, &axis.path);
        let mut streams: Vec<_> = self.axes.iter().map(stream).collect();
        let mut drawn: Vec<Vec<Setting>> = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..self.count.saturating_mul(MAX_DRAWS_PER_COMBINATION) {
            let draw = self
                .axes
                .iter()
                .zip(&mut streams)
                .map(|(axis, stream)| axis.draw(unit_interval(stream.next_u64())))
                .collect::<Result<Vec<_>, _>>()?;
            if seen.insert(as_arguments(&draw)) {
                drawn.push(draw);
            }
            if drawn.len() == self.count {
                return Ok(drawn);
            }
        }
        let message = format!(
            "`count` asks for {} combinations, but only {} different ones can be drawn",
            self.count,
            drawn.len()
        );
        let help = "lower `count`, or give the keys wider bounds or more values";
        Err(self.axes[0].key.key_error(message).help(help))
    }
}

impl RandomAxis {
    /// The setting for a random number in [0, 1).
    fn draw(&self, random: f64) -> Result<Setting, ConfigError> {
        let value = self.distribution.value(self.key.key(), random)?;
        Ok(Setting::new(&self.path, &value))
    }
}

/// Maps a random number to [0, 1). An f64 has 53 bits of precision, so the upper 53 bits are used.
fn unit_interval(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

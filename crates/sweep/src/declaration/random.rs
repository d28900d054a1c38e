use std::collections::{BTreeMap, HashSet};

use kiln_config::{ConfigError, Document, FromValue, Kind, Override, Value, nearest};
use kiln_train::MetricName;
use kiln_train::random::{Purpose, named_stream};
use rand_core::Rng;

use crate::declaration::axis::{check_affects_results, leaves};
use crate::declaration::distribution::{Distribution, is_distribution};
use crate::declaration::setting::{Setting, as_arguments};
use crate::samplers::{Dimension, SAMPLERS, Sampler};

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
    pub(crate) sampler: &'static dyn Sampler,
    /// The key `sampler` as it was written.
    sampler_key: Option<Override>,
    /// The metric that the sampler maximizes or minimizes.
    pub(crate) metric: MetricName,
    /// The time that the sweep has, if that decides how many samples there are.
    pub(crate) budget: Option<TimeBudget>,
    /// The samples that a sampler has drawn from results, after those of [`startup`](Self::startup).
    drawn: Vec<Vec<f64>>,
}

/// With a budget, the number of samples that are drawn without results.
const BUDGET_STARTUP: usize = 10;

/// The time that a sweep has.
#[derive(Debug, Clone)]
pub(crate) struct TimeBudget {
    pub(crate) seconds: f64,
    /// The key as it was written.
    pub(crate) key: Override,
}

impl TimeBudget {
    fn read(value: &Value, key: Override) -> Result<Self, ConfigError> {
        let expected = || value.expected("a time such as \"20m\", \"90s\" or \"1h30m\"");
        let Kind::String(text) = &value.kind else { return Err(expected()) };
        let seconds = parse_time(text).filter(|seconds| *seconds > 0.0).ok_or_else(expected)?;
        Ok(Self { seconds, key })
    }
}

/// The seconds of a text such as `1h30m`.
fn parse_time(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    // Each unit may be written once, the largest first.
    let mut smallest = f64::INFINITY;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..end].parse().ok()?;
        let unit = match rest[end..].chars().next()? {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        if unit >= smallest {
            return None;
        }
        smallest = unit;
        seconds += f64::from(number) * unit;
        rest = &rest[end + 1..];
    }
    Some(seconds)
}

/// A key and the distribution of its values.
#[derive(Debug, Clone)]
pub(crate) struct RandomAxis {
    pub(crate) path: String,
    /// The key as it was written; the value is not used.
    pub(crate) key: Override,
    distribution: Distribution,
}

impl Random {
    pub(crate) fn read(
        table: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let (mut count, mut seed) = (None, 0);
        let mut sampler: (&dyn Sampler, Option<Override>) = (SAMPLERS[0], None);
        let mut metric: Option<(MetricName, Override)> = None;
        let mut budget: Option<TimeBudget> = None;
        let mut axes: Vec<RandomAxis> = Vec::new();
        for leaf in leaves(table, &is_distribution)? {
            let key = |path: &str| Override::new(path, leaf.key.key_place(), leaf.value.clone());
            match leaf.path.as_str() {
                "count" => count = Some(usize::from_value(leaf.value)?),
                "seed" => seed = u64::from_value(leaf.value)?,
                "budget" => budget = Some(TimeBudget::read(leaf.value, key(&leaf.path))?),
                "sampler" => sampler = (read_sampler(leaf.value)?, Some(key(&leaf.path))),
                "metric" => {
                    metric = Some((MetricName::from_value(leaf.value)?, key(&leaf.path)));
                }
                path => {
                    let key = key(path);
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
        if let (Some(budget), Some(_)) = (&budget, count) {
            let message = "`budget` decides how many combinations there are, and so does `count`";
            return Err(budget.key.key_error(message).help("remove one of the two"));
        }
        let count = count.or(budget.as_ref().map(|_| BUDGET_STARTUP));
        let Some(count) = count.filter(|count| *count > 0) else {
            return Err(table
                .error("`[random]` needs a `count` of 1 or more")
                .help("for example, count = 20 draws 20 combinations; budget = \"20m\" draws as many as fit"));
        };
        if axes.is_empty() {
            return Err(table
                .error("`[random]` has no key to draw values for")
                .help("for example: learning_rate = { log_uniform = [1e-4, 1e-1] }"));
        }
        let (sampler, sampler_key) = sampler;
        if let (Some((metric, key)), Some(_)) = (&metric, &budget)
            && *metric != MetricName::VAL_ACCURACY
        {
            let message = "with a `budget`, the best combinations race at the end, and a race compares `val_accuracy`";
            return Err(key.key_error(message).help("remove `metric`"));
        }
        if let (Some((_, key)), None) = (&metric, sampler.startup()) {
            let message =
                "`metric` is for a sampler that reads results, and this one draws at random";
            return Err(key.key_error(message).help("add sampler = \"tpe\", or remove it"));
        }
        let metric = metric.map_or(MetricName::VAL_ACCURACY, |(metric, _)| metric);
        Ok(Self { count, seed, axes, sampler, sampler_key, metric, budget, drawn: Vec::new() })
    }

    /// Whether results decide which samples are drawn.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.sampler.startup().is_some() || self.budget.is_some()
    }

    /// An error at the key `sampler`.
    pub(crate) fn sampler_error(&self, message: impl Into<String>) -> ConfigError {
        match &self.sampler_key {
            Some(key) => key.key_error(message),
            None => ConfigError::new(message),
        }
    }

    /// The number of combinations of the table, as far as it is known.
    pub(crate) fn size(&self) -> usize {
        if self.budget.is_some() { self.known() } else { self.count }
    }

    /// The number of samples that are drawn without results.
    pub(crate) fn startup(&self) -> usize {
        self.sampler.startup().map_or(self.count, |startup| startup.min(self.count))
    }

    /// The number of samples that are known.
    pub(crate) fn known(&self) -> usize {
        self.startup() + self.drawn.len()
    }

    /// The space that the sampler searches.
    pub(crate) fn space(&self) -> Vec<Dimension> {
        self.axes.iter().map(|axis| axis.distribution.dimension()).collect()
    }

    /// The random numbers for the sample with this index.
    pub(crate) fn random_for(&self, sample: usize) -> impl FnMut() -> f64 + use<> {
        // No axis has a name with a space.
        let mut stream = named_stream(self.seed, Purpose::Search, &format!("sample {sample}"));
        move || unit_interval(stream.next_u64())
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, point: Vec<f64>) {
        self.drawn.push(point);
    }

    /// The settings at a point of the space.
    pub(crate) fn settings(&self, point: &[f64]) -> Result<Vec<Setting>, ConfigError> {
        self.axes.iter().zip(point).map(|(axis, coordinate)| axis.at(*coordinate)).collect()
    }

    /// The values at a point by the paths of their keys, as [`point`](Self::point) reads them.
    pub(crate) fn values(&self, point: &[f64]) -> Result<BTreeMap<String, String>, ConfigError> {
        let settings = self.settings(point)?.into_iter();
        Ok(settings.map(|it| (it.path.clone(), it.value.value_text())).collect())
    }

    /// The point with these values; `None` if they are not in the space.
    pub(crate) fn point(&self, values: &BTreeMap<String, String>) -> Option<Vec<f64>> {
        let coordinate = |axis: &RandomAxis| axis.distribution.coordinate(values.get(&axis.path)?);
        self.axes.iter().map(coordinate).collect()
    }

    /// What the samples depend on besides the experiment. It does not include `count`, so that a larger one keeps the samples.
    pub(crate) fn subject(&self) -> String {
        let axis = |axis: &RandomAxis| {
            let choices = axis.choices().iter().map(Override::value_text);
            let choices: Vec<String> = choices.collect();
            format!("{} {:?} {choices:?}", axis.path, axis.distribution.dimension())
        };
        let axes: Vec<String> = self.axes.iter().map(axis).collect();
        format!("{} {} {} {}", self.sampler.name(), self.seed, self.metric, axes.join(" "))
    }

    /// The points of all known samples.
    pub(crate) fn points(&self) -> Result<Vec<Vec<f64>>, ConfigError> {
        let mut points = self.draw()?;
        points.truncate(self.startup());
        // The values are rounded, and observations are what was trained.
        let rounded = |point: Vec<f64>| {
            let values = self.values(&point)?;
            Ok(self.point(&values).unwrap_or(point))
        };
        points.into_iter().chain(self.drawn.iter().cloned()).map(rounded).collect()
    }

    /// The settings of all known samples: `count` different combinations, of which a sampler that reads results draws only the
    /// first at random.
    ///
    /// # Errors
    ///
    /// The axes have fewer than `count` different combinations.
    pub(crate) fn samples(&self) -> Result<Vec<Vec<Setting>>, ConfigError> {
        self.points()?.iter().map(|point| self.settings(point)).collect()
    }

    /// The points of `count` different combinations that are drawn at random.
    fn draw(&self) -> Result<Vec<Vec<f64>>, ConfigError> {
        /// The limit on draws, as a multiple of `count`. With this many draws, even axes that have only `count`
        /// combinations nearly always yield all of them.
        const MAX_DRAWS_PER_COMBINATION: usize = 100;
        let stream = |axis: &RandomAxis| named_stream(self.seed, Purpose::Search, &axis.path);
        let mut streams: Vec<_> = self.axes.iter().map(stream).collect();
        let space = self.space();
        let mut drawn: Vec<Vec<f64>> = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..self.count.saturating_mul(MAX_DRAWS_PER_COMBINATION) {
            let dimensions = space.iter().zip(&mut streams);
            let point: Vec<f64> = dimensions
                .map(|(dimension, stream)| dimension.at(unit_interval(stream.next_u64())))
                .collect();
            if seen.insert(as_arguments(&self.settings(&point)?)) {
                drawn.push(point);
            }
            if drawn.len() == self.count {
                return Ok(drawn);
            }
        }
        if let Some(budget) = &self.budget {
            let message = format!(
                "a search needs {} different combinations, but only {} can be drawn",
                self.count,
                drawn.len()
            );
            let help = "give the keys wider bounds or more values, or list them in `[grid]`";
            return Err(budget.key.key_error(message).help(help));
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

fn read_sampler(value: &Value) -> Result<&'static dyn Sampler, ConfigError> {
    let name = String::from_value(value)?;
    let found = SAMPLERS.into_iter().find(|sampler| sampler.name() == name);
    found.ok_or_else(|| {
        let names: Vec<String> =
            SAMPLERS.iter().map(|sampler| format!("\"{}\"", sampler.name())).collect();
        let near = nearest(&name, SAMPLERS.iter().map(|sampler| sampler.name()));
        let error = value.expected(&names.join(" or "));
        match near {
            Some(near) => error.help(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

impl RandomAxis {
    /// The listed values; none if the axis has numbers between bounds.
    pub(crate) fn choices(&self) -> &[Override] {
        match &self.distribution {
            Distribution::Choice(values) => values,
            Distribution::Uniform(_) | Distribution::LogUniform(_) => &[],
        }
    }

    /// The setting at a coordinate.
    fn at(&self, coordinate: f64) -> Result<Setting, ConfigError> {
        let value = self.distribution.value(self.key.key(), coordinate)?;
        Ok(Setting::new(&self.path, &value))
    }
}

/// Maps a random number to [0, 1). An f64 has 53 bits of precision, so the upper 53 bits are used.
fn unit_interval(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("20m", Some(1200.0)),
            ("1h30m", Some(5400.0)),
            ("90s", Some(90.0)),
            ("1h5s", Some(3605.0)),
        ] {
            assert_eq!(parse_time(text), seconds, "{text}");
        }
        for text in
            ["20", "m", "1.5h", "20 m", "5s1m", "1m1m", "-1m", "1d", "1\u{e9}", "99999999999s"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}

use kiln_config::{ConfigError, Document, FromValue, Kind, Override, Table, Value};
use kiln_train::random::{Purpose, named_stream};
use rand_core::Rng;

use crate::axis::leaves;
use crate::change::{Change, words};

/// The `[random]` table: combinations that are drawn.
///
/// ```toml
/// [random]
/// count = 20
/// seed = 7
/// "optimizer.learning_rate" = { log_uniform = [1e-4, 1e-1] }
/// "hidden.units" = { uniform = [50, 300] }           # whole bounds: whole numbers, both included
/// "hidden.activation" = { choice = ["relu", "gelu"] }
/// ```
///
/// A larger count goes on where the smaller one ended. Each axis has a stream of random numbers of its own, so that one
/// more or less leaves the draws of the others as they were, as long as no combination is drawn twice and passed over.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    pub(crate) count: usize,
    seed: u64,
    pub(crate) axes: Vec<RandomAxis>,
}

/// A key and what its values are drawn from.
#[derive(Debug, Clone)]
pub(crate) struct RandomAxis {
    pub(crate) path: String,
    /// The key as it was written, with any value.
    key: Override,
    distribution: Distribution,
}

#[derive(Debug, Clone)]
enum Distribution {
    /// Every number between the bounds as likely as any other.
    Uniform(Bounds),
    /// The logarithm uniform: every power of ten as likely as any other.
    LogUniform(Bounds),
    Choice(Vec<Override>),
}

#[derive(Debug, Clone, Copy)]
enum Bounds {
    Whole(i64, i64),
    Real(f64, f64),
}

const DISTRIBUTIONS: [&str; 3] = ["uniform", "log_uniform", "choice"];

impl Random {
    pub(crate) fn read(
        table: &Value,
        experiment: &Document,
        known: &[String],
    ) -> Result<Self, ConfigError> {
        let (mut count, mut seed) = (None, 0);
        let mut axes: Vec<RandomAxis> = Vec::new();
        let is_distribution = |value: &Value| {
            value.entries().is_ok_and(|entries| {
                entries.iter().any(|entry| DISTRIBUTIONS.contains(&entry.key()))
            })
        };
        for leaf in leaves(table, &is_distribution)? {
            match leaf.path.as_str() {
                "count" => {
                    count = Some(usize::from_value(leaf.value)?);
                }
                "seed" => seed = u64::from_value(leaf.value)?,
                path => {
                    let key = Override::new(path, leaf.key.key_place(), leaf.value.clone());
                    let full = experiment.complete(&key, known)?;
                    if full == "name" || axes.iter().any(|other| other.path == full) {
                        return Err(key.key_error(format!("`{full}` cannot be drawn here")));
                    }
                    if !is_distribution(leaf.value) {
                        return Err(leaf.value.expected(
                            "{ uniform = [LOW, HIGH] }, { log_uniform = [LOW, HIGH] } or { choice = [\u{2026}] }",
                        ));
                    }
                    let distribution =
                        leaf.value.read_table(|table| Distribution::read(table, &key))?;
                    axes.push(RandomAxis { path: full, key, distribution });
                }
            }
        }
        let Some(count) = count.filter(|count| *count > 0) else {
            return Err(table
                .error("`[random]` needs a `count` of 1 or more")
                .help("count = 20 draws twenty combinations"));
        };
        if axes.is_empty() {
            return Err(table.error("`[random]` has no key to draw values for"));
        }
        Ok(Self { count, seed, axes })
    }

    /// The first `count` different draws, each a value for every axis.
    ///
    /// # Errors
    ///
    /// The axes do not have so many.
    pub(crate) fn draw(&self) -> Result<Vec<Vec<Change>>, ConfigError> {
        /// So many times as many draws as asked for find nearly all of the few that there are.
        const MOST_REPETITIONS: usize = 100;
        let stream = |axis: &RandomAxis| named_stream(self.seed, Purpose::Search, &axis.path);
        let mut streams: Vec<_> = self.axes.iter().map(stream).collect();
        let mut drawn: Vec<Vec<Change>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..self.count.saturating_mul(MOST_REPETITIONS) {
            let draw = self
                .axes
                .iter()
                .zip(&mut streams)
                .map(|(axis, stream)| axis.draw(unit(stream.next_u64())))
                .collect::<Result<Vec<_>, _>>()?;
            if seen.insert(words(&draw)) {
                drawn.push(draw);
            }
            if drawn.len() == self.count {
                return Ok(drawn);
            }
        }
        let message = format!(
            "{} different combinations are asked for, and there are {} to draw",
            self.count,
            drawn.len()
        );
        Err(self.axes[0].key.key_error(message).help("lower `count`, or widen what is drawn from"))
    }
}

/// From 0 up to 1, without 1: the upper 53 bits of a random number, as many as an f64 holds.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

impl RandomAxis {
    fn draw(&self, share: f64) -> Result<Change, ConfigError> {
        let number = match &self.distribution {
            Distribution::Choice(values) => {
                let index = (share * values.len() as f64) as usize;
                return Ok(Change::new(&self.path, &values[index.min(values.len() - 1)]));
            }
            Distribution::Uniform(Bounds::Whole(low, high)) => {
                let numbers = (*high as f64) - (*low as f64) + 1.0;
                whole((share * numbers).floor() + *low as f64, *low, *high)
            }
            Distribution::LogUniform(Bounds::Whole(low, high)) => {
                // Half a step more at either end, so that the ends are as likely as their neighbours.
                let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
                whole((from + share * (to - from)).exp().round(), *low, *high)
            }
            Distribution::Uniform(Bounds::Real(low, high)) => {
                real(low + share * (high - low), *low, *high)
            }
            Distribution::LogUniform(Bounds::Real(low, high)) => {
                real((low.ln() + share * (high.ln() - low.ln())).exp(), *low, *high)
            }
        };
        let value = Override::parse(&format!("{}={number}", self.key.key()))?;
        Ok(Change::new(&self.path, &value))
    }
}

fn whole(number: f64, low: i64, high: i64) -> String {
    (number as i64).clamp(low, high).to_string()
}

/// Four significant digits: more cannot be told apart by training, and these can be read.
fn real(number: f64, low: f64, high: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    format!("{:?}", rounded.clamp(low, high))
}

impl Distribution {
    fn read(table: &mut Table<'_>, key: &Override) -> Result<Self, ConfigError> {
        let found: Vec<(&str, &Value)> = DISTRIBUTIONS
            .iter()
            .filter_map(|name| table.value(name).map(|value| (*name, value)))
            .collect();
        match found.as_slice() {
            [("choice", value)] => {
                let values: Vec<Override> = value
                    .items()?
                    .iter()
                    .map(|item| Override::new(key.key(), item.place(), item.clone()))
                    .collect();
                if values.is_empty() {
                    Err(value.error("nothing to choose from"))
                } else {
                    Ok(Self::Choice(values))
                }
            }
            [("uniform", value)] => Ok(Self::Uniform(Bounds::read(value)?)),
            [(_, value)] => {
                let bounds = Bounds::read(value)?;
                let positive = match bounds {
                    Bounds::Whole(low, _) => low > 0,
                    Bounds::Real(low, _) => low > 0.0,
                };
                if !positive {
                    return Err(value.expected("bounds above 0, which alone have a logarithm"));
                }
                Ok(Self::LogUniform(bounds))
            }
            _ => Err(table.error("one key is drawn in one way")),
        }
    }
}

impl Bounds {
    fn read(value: &Value) -> Result<Self, ConfigError> {
        let expected = || value.expected("[LOW, HIGH], the lower first");
        let [low, high] = value.items()? else { return Err(expected()) };
        let bounds = match (&low.kind, &high.kind) {
            (Kind::Integer(low), Kind::Integer(high)) if low < high => Self::Whole(*low, *high),
            (Kind::Integer(_), Kind::Integer(_)) => return Err(expected()),
            _ => Self::Real(f64::from_value(low)?, f64::from_value(high)?),
        };
        match bounds {
            Self::Real(low, high) if low >= high => Err(expected()),
            bounds => Ok(bounds),
        }
    }
}

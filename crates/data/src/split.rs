//! Divides rows into training, validation and test rows, and shuffles them.

use std::collections::HashSet;
use std::ops::Range;

use rand_core::Rng;

use crate::{DataConfig, DataError, Dataset, Part, Parts, SplitMethod, SplitSize};

/// The rows for each purpose. No row is in two lists, and all lists are in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The rows for training; never empty.
    pub training: Vec<u32>,
    /// The rows for validation; may be empty.
    pub validation: Vec<u32>,
    /// The rows for testing; never empty.
    pub test: Vec<u32>,
}

impl Split {
    /// The rows of a part.
    #[must_use]
    pub fn of(&self, part: Part) -> &[u32] {
        match part {
            Part::Training => &self.training,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }
}

/// The number of rows for each purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitCounts {
    /// Rows for training, at least 1.
    pub training: usize,
    /// Rows for validation.
    pub validation: usize,
    /// Rows for testing, at least 1.
    pub test: usize,
}

impl DataConfig {
    /// How many rows are for each purpose, however they are chosen, if the source provides these parts.
    ///
    /// # Errors
    ///
    /// Those of [`split`](Self::split).
    pub fn split_counts(&self, parts: &Parts) -> Result<SplitCounts, DataError> {
        let rows = parts.training.len();
        if self.validation == SplitSize::Source && parts.validation.is_empty() {
            return Err(DataError::NoPart { part: Part::Validation });
        }
        if self.test == SplitSize::Source && parts.test.is_empty() {
            return Err(DataError::NoPart { part: Part::Test });
        }
        let validation = self.validation.rows_of(Part::Validation, rows)?;
        let test = self.test.rows_of(Part::Test, rows)?;
        for (part, size, wanted) in
            [(Part::Validation, self.validation, validation), (Part::Test, self.test, test)]
        {
            if wanted > 0 && !parts.of(part).is_empty() {
                let provided = parts.of(part).len();
                return Err(DataError::PartProvided { part, size, provided });
            }
        }
        if validation + test >= rows {
            let (part, size) = if validation > 0 {
                (Part::Validation, self.validation)
            } else {
                (Part::Test, self.test)
            };
            let wanted = validation + test;
            return Err(DataError::SplitTooLarge { part, size, wanted, rows });
        }
        let counts = SplitCounts {
            training: rows - validation - test,
            validation: validation + parts.validation.len(),
            test: test + parts.test.len(),
        };
        if counts.test == 0 {
            return Err(DataError::NoTestRows);
        }
        Ok(counts)
    }

    /// Splits validation and test rows from the training part, and adds the parts that the source provides. The result
    /// depends only on the states of the two generators, not on the machine. `head` uses no generator.
    ///
    /// # Errors
    ///
    /// No rows would remain for training, there are no test rows, a fraction is out of range or rounds to zero rows, or
    /// rows are to be split for a part that the source provides.
    pub fn split(
        &self,
        dataset: &Dataset,
        validation_rng: &mut impl Rng,
        test_rng: &mut impl Rng,
    ) -> Result<Split, DataError> {
        let parts = &dataset.parts;
        let counts = self.split_counts(parts)?;
        let drawn_validation = counts.validation - parts.validation.len();
        let drawn_test = counts.test - parts.test.len();
        let labels = &dataset.images.labels;
        let rows: Vec<u32> = parts.training.clone().collect();
        // The test rows are drawn first, so that they do not depend on the number of validation rows.
        let (validation, test) = match self.split {
            SplitMethod::Head => {
                let test = rows[drawn_validation..][..drawn_test].to_vec();
                (rows[..drawn_validation].to_vec(), test)
            }
            SplitMethod::Shuffled => {
                let test = draw(rows.clone(), drawn_test, test_rng);
                let rest = without(rows.clone(), &test);
                (draw(rest, drawn_validation, validation_rng), test)
            }
            SplitMethod::Stratified => {
                let test = stratified(&rows, labels, drawn_test, test_rng);
                let rest = without(rows.clone(), &test);
                (stratified(&rest, labels, drawn_validation, validation_rng), test)
            }
        };
        let training = without(without(rows, &validation), &test);
        let sorted = |mut rows: Vec<u32>, provided: Range<u32>| {
            rows.sort_unstable();
            rows.extend(provided);
            rows
        };
        Ok(Split {
            training,
            validation: sorted(validation, parts.validation.clone()),
            test: sorted(test, parts.test.clone()),
        })
    }
}

/// The rows that are not among `removed`, in the same order.
fn without(mut rows: Vec<u32>, removed: &[u32]) -> Vec<u32> {
    let removed: HashSet<u32> = removed.iter().copied().collect();
    rows.retain(|row| !removed.contains(row));
    rows
}

impl SplitSize {
    /// The number of rows for `part` among `rows` rows. Fractions are rounded to the nearest row, and
    /// halves up.
    fn rows_of(self, part: Part, rows: usize) -> Result<usize, DataError> {
        let wanted = match self {
            Self::Rows(wanted) => wanted,
            Self::Source => 0,
            Self::Fraction(fraction) if !(0.0..1.0).contains(&fraction) => {
                return Err(DataError::SplitFraction { part, fraction });
            }
            Self::Fraction(fraction) => match (rows as f64 * fraction).round() as usize {
                0 if fraction > 0.0 => {
                    return Err(DataError::SplitTooSmall { part, fraction, rows });
                }
                wanted => wanted,
            },
        };
        if wanted >= rows {
            return Err(DataError::SplitTooLarge { part, size: self, wanted, rows });
        }
        Ok(wanted)
    }
}

/// Draws `count` of `rows`. All subsets are equally likely.
fn draw(mut rows: Vec<u32>, count: usize, rng: &mut impl Rng) -> Vec<u32> {
    shuffle(&mut rows, rng);
    rows.truncate(count);
    rows
}

/// Draws `count` of `rows`, from each class in proportion to its size.
///
/// The shares are rounded by the largest remainder method (Hamilton): all are rounded down, and the
/// classes with the largest remainders get one more row until the counts add up. For equal
/// remainders, the lower label comes first. Each count differs from its exact share by less than 1.
fn stratified(rows: &[u32], labels: &[u16], count: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut classes: Vec<Vec<u32>> = Vec::new();
    for &row in rows {
        let class = usize::from(labels[row as usize]);
        if classes.len() <= class {
            classes.resize(class + 1, Vec::new());
        }
        classes[class].push(row);
    }
    let total = rows.len().max(1) as u64;
    let share = |class: &Vec<u32>| class.len() as u64 * count as u64 / total;
    let remainder = |class: &Vec<u32>| class.len() as u64 * count as u64 % total;

    let mut counts: Vec<usize> = classes.iter().map(|class| share(class) as usize).collect();
    let remaining = count - counts.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..classes.len()).collect();
    // The sort is stable, which keeps the lower label first.
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(remainder(&classes[class])));
    for &class in &by_remainder[..remaining] {
        counts[class] += 1;
    }
    classes.into_iter().zip(counts).flat_map(|(rows, count)| draw(rows, count, rng)).collect()
}

/// Shuffles rows. All orders are equally likely.
///
/// Implemented here so that an order never changes with the version of a dependency: the shuffle of
/// Fisher and Yates in the form of R. Durstenfeld, "Algorithm 235: Random permutation",
/// Communications of the ACM 7 (1964).
pub fn shuffle(rows: &mut [u32], rng: &mut impl Rng) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A uniformly distributed number from 0 to `bound` − 1, by D. Lemire, "Fast Random Integer
/// Generation in an Interval", ACM Transactions on Modeling and Computer Simulation 29 (2019).
fn below(bound: u64, rng: &mut impl Rng) -> u64 {
    // The high half of a random 64-bit number times the bound is below the bound. Rejecting the
    // lowest 2^64 mod `bound` values of the low half removes the bias.
    let rejected = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= rejected {
            return (product >> 64) as u64;
        }
    }
}

//! Divides rows into training, validation and test rows, and shuffles them.

use std::collections::HashSet;
use std::ops::Range;

use rand_core::Rng;

use crate::group::Groups;
use crate::{
    DataConfig, DataError, Dataset, Group, Part, Parts, SplitError, SplitMethod, SplitSize,
};

/// The rows for each purpose. No row is in two lists, and all lists are in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The rows for training; never empty.
    pub training: Vec<u32>,
    /// The rows for validation; may be empty.
    pub validation: Vec<u32>,
    /// The rows for testing; never empty.
    pub test: Vec<u32>,
    /// Notes for the user about how the rows were chosen, as sentences without a final full stop.
    pub notes: Vec<String>,
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
    /// How many rows are for each purpose, however they are chosen, if the source provides these parts. With `group`, the
    /// numbers are those that the split comes near to.
    ///
    /// # Errors
    ///
    /// Those of [`split`](Self::split).
    pub fn split_counts(&self, parts: &Parts) -> Result<SplitCounts, DataError> {
        let rows = parts.training.len();
        if self.validation == SplitSize::Source && parts.validation.is_empty() {
            return Err(DataError::Split(SplitError::NoPart { part: Part::Validation }));
        }
        if self.test == SplitSize::Source && parts.test.is_empty() {
            return Err(DataError::Split(SplitError::NoPart { part: Part::Test }));
        }
        let validation = self.validation.rows_of(Part::Validation, rows)?;
        let test = self.test.rows_of(Part::Test, rows)?;
        for (part, size, wanted) in
            [(Part::Validation, self.validation, validation), (Part::Test, self.test, test)]
        {
            if wanted > 0 && !parts.of(part).is_empty() {
                let provided = parts.of(part).len();
                return Err(DataError::Split(SplitError::PartProvided { part, size, provided }));
            }
        }
        if validation + test >= rows {
            let (validation, test, wanted) = (self.validation, self.test, validation + test);
            return Err(DataError::Split(SplitError::SplitsTooLarge {
                validation,
                test,
                wanted,
                rows,
            }));
        }
        let counts = SplitCounts {
            training: rows - validation - test,
            validation: validation + parts.validation.len(),
            test: test + parts.test.len(),
        };
        if counts.test == 0 {
            return Err(DataError::Split(SplitError::NoTestRows));
        }
        Ok(counts)
    }

    /// Splits validation and test rows from the training part, and adds the parts that the source provides. The result
    /// depends only on the states of the two generators, not on the machine. `head` uses no generator.
    ///
    /// With `group`, whole groups are drawn, so the numbers of validation and test rows are only near to the wanted ones.
    ///
    /// # Errors
    ///
    /// No rows would remain for training, there are no test rows, a fraction is out of range or rounds to zero rows,
    /// rows are to be split for a part that the source provides, or there are no or too few groups.
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
        if let Some(group) = self.group.as_ref().filter(|_| drawn_validation + drawn_test > 0) {
            let drawn = (drawn_validation, drawn_test);
            return self.split_groups(group, dataset, drawn, (validation_rng, test_rng));
        }
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
        Ok(Split::new(parts, validation, test, Vec::new()))
    }

    /// Like [`split`](Self::split), of whole groups.
    fn split_groups(
        &self,
        group: &Group,
        dataset: &Dataset,
        (drawn_validation, drawn_test): (usize, usize),
        (validation_rng, test_rng): (&mut impl Rng, &mut impl Rng),
    ) -> Result<Split, DataError> {
        let Dataset { parts, images, .. } = dataset;
        let stratum = |row: u32| match self.split {
            SplitMethod::Stratified => usize::from(images.labels[row as usize]),
            SplitMethod::Head | SplitMethod::Shuffled => 0,
        };
        if self.split == SplitMethod::Head {
            return Err(DataError::Split(SplitError::GroupOfHead));
        }
        let rows: Vec<u32> = parts.training.clone().collect();
        let mut groups = Groups::new(group, &rows, dataset.file_names.as_deref())?;
        let mut notes = Vec::new();
        if groups.without_match > 0 {
            let (number, all) = (groups.without_match, rows.len());
            notes.push(format!(
                "{number} of {all} file names have no group of data.group = \"{group}\"; each is a group of its own"
            ));
        }
        // The groups that the later parts need.
        let left = 1 + usize::from(drawn_validation > 0);
        let test = groups.draw(Part::Test, drawn_test, left, stratum, test_rng)?;
        let validation =
            groups.draw(Part::Validation, drawn_validation, 1, stratum, validation_rng)?;
        Ok(Split::new(parts, validation, test, notes))
    }
}

impl Split {
    /// Adds the rows that the source provides; `validation` and `test` are those that were drawn from its training part.
    fn new(parts: &Parts, validation: Vec<u32>, test: Vec<u32>, notes: Vec<String>) -> Self {
        let training = without(without(parts.training.clone().collect(), &validation), &test);
        let sorted = |mut rows: Vec<u32>, provided: Range<u32>| {
            rows.sort_unstable();
            rows.extend(provided);
            rows
        };
        Self {
            training,
            validation: sorted(validation, parts.validation.clone()),
            test: sorted(test, parts.test.clone()),
            notes,
        }
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
                return Err(DataError::Split(SplitError::SplitFraction { part, fraction }));
            }
            Self::Fraction(fraction) => match (rows as f64 * fraction).round() as usize {
                0 if fraction > 0.0 => {
                    return Err(DataError::Split(SplitError::SplitTooSmall {
                        part,
                        fraction,
                        rows,
                    }));
                }
                wanted => wanted,
            },
        };
        if wanted >= rows {
            return Err(DataError::Split(SplitError::SplitTooLarge {
                part,
                size: self,
                wanted,
                rows,
            }));
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
    let classes = by_class(rows, labels);
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

/// Draws as many rows as there are, with replacement: each class that has rows is equally likely, and so is each row of the
/// class. `labels` are those of all rows of the dataset.
pub fn sample_balanced(rows: &[u32], labels: &[u16], rng: &mut impl Rng) -> Vec<u32> {
    let mut classes = by_class(rows, labels);
    classes.retain(|rows| !rows.is_empty());
    let mut place = |length: usize| below(length as u64, rng) as usize;
    let draw = |_: &u32| {
        let class = &classes[place(classes.len())];
        class[place(class.len())]
    };
    rows.iter().map(draw).collect()
}

/// The rows of each class, in their order. Classes without rows are empty.
fn by_class(rows: &[u32], labels: &[u16]) -> Vec<Vec<u32>> {
    let mut classes: Vec<Vec<u32>> = Vec::new();
    for &row in rows {
        let class = usize::from(labels[row as usize]);
        if classes.len() <= class {
            classes.resize(class + 1, Vec::new());
        }
        classes[class].push(row);
    }
    classes
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

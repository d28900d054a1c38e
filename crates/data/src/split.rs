//! Divides rows into training and validation rows, and shuffles them.

use rand_core::Rng;

use crate::{DataConfig, DataError, SplitMethod, Validation};

/// The rows of the training files, divided in two. Every row is in exactly one of the lists, and both
/// lists are in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The rows for training; never empty.
    pub training: Vec<u32>,
    /// The rows for validation; empty if `validation = 0`.
    pub validation: Vec<u32>,
}

impl DataConfig {
    /// How many of `rows` rows are for training, and how many for validation, however they are chosen.
    ///
    /// # Errors
    ///
    /// Those of [`split`](Self::split).
    pub fn split_rows(&self, rows: usize) -> Result<(usize, usize), DataError> {
        let validation = self.validation.rows_of(rows)?;
        Ok((rows - validation, validation))
    }

    /// Splits the rows with these labels. The result depends only on the state of the generator, not
    /// on the machine. `head` does not use the generator.
    ///
    /// # Errors
    ///
    /// No rows would remain for training, or a fraction is out of range or rounds to zero rows.
    pub fn split(&self, labels: &[u8], rng: &mut impl Rng) -> Result<Split, DataError> {
        let (_, wanted) = self.split_rows(labels.len())?;
        let rows: Vec<u32> = (0..).take(labels.len()).collect();
        let validation = match self.split {
            SplitMethod::Head => rows[..wanted].to_vec(),
            SplitMethod::Shuffled => draw(rows.clone(), wanted, rng),
            SplitMethod::Stratified => stratified(labels, wanted, rng),
        };
        // Partitioning by flags keeps both lists in ascending order, whatever the order of drawing.
        let mut chosen = vec![false; rows.len()];
        for &row in &validation {
            chosen[row as usize] = true;
        }
        let (validation, training) = rows.into_iter().partition(|&row| chosen[row as usize]);
        Ok(Split { training, validation })
    }
}

impl Validation {
    /// The number of validation rows among `rows` rows. Fractions are rounded to the nearest row, and
    /// halves up.
    fn rows_of(self, rows: usize) -> Result<usize, DataError> {
        let wanted = match self {
            Self::Rows(wanted) => wanted,
            Self::Fraction(fraction) if !(0.0..1.0).contains(&fraction) => {
                return Err(DataError::ValidationFraction { fraction });
            }
            Self::Fraction(fraction) => match (rows as f64 * fraction).round() as usize {
                0 if fraction > 0.0 => {
                    return Err(DataError::ValidationTooSmall { fraction, rows });
                }
                wanted => wanted,
            },
        };
        if wanted >= rows {
            return Err(DataError::ValidationTooLarge { validation: self, wanted, rows });
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

/// Draws `count` rows, from each class in proportion to its size.
///
/// The shares are rounded by the largest remainder method (Hamilton): all are rounded down, and the
/// classes with the largest remainders get one more row until the counts add up. For equal
/// remainders, the lower label comes first. Each count differs from its exact share by less than 1.
fn stratified(labels: &[u8], count: usize, rng: &mut impl Rng) -> Vec<u32> {
    // Labels are bytes, so there are at most 256 classes.
    let mut classes = vec![Vec::new(); 256];
    for (row, &label) in (0..).zip(labels) {
        classes[usize::from(label)].push(row);
    }
    let share = |class: &Vec<u32>| class.len() as u64 * count as u64 / labels.len() as u64;
    let remainder = |class: &Vec<u32>| class.len() as u64 * count as u64 % labels.len() as u64;

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

//! Which rows train and which validate.

use rand_core::Rng;

use crate::{DataConfig, DataError, SplitMethod, Validation};

/// The rows of the training files, parted in two: every row is in one list and in one only, and
/// each list ascends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The rows to train on; never empty.
    pub training: Vec<u32>,
    /// The rows to validate on; empty where `validation = 0`.
    pub validation: Vec<u32>,
}

impl DataConfig {
    /// Parts the rows that have these labels. The same generator state gives the same split on every
    /// machine; `head` draws nothing from it.
    ///
    /// # Errors
    ///
    /// The validation rows would leave none for training, or a fraction is out of range or comes to
    /// no row.
    pub fn split(&self, labels: &[u8], rng: &mut impl Rng) -> Result<Split, DataError> {
        let wanted = self.validation.rows_of(labels.len())?;
        let rows: Vec<u32> = (0..).take(labels.len()).collect();
        let validation = match self.split {
            SplitMethod::Head => rows[..wanted].to_vec(),
            SplitMethod::Shuffled => draw(rows.clone(), wanted, rng),
            SplitMethod::Stratified => stratified(labels, wanted, rng),
        };
        let mut chosen = vec![false; rows.len()];
        for &row in &validation {
            chosen[row as usize] = true;
        }
        let (validation, training) = rows.into_iter().partition(|&row| chosen[row as usize]);
        Ok(Split { training, validation })
    }
}

impl Validation {
    /// How many of `rows` rows validate. A fraction is rounded to the nearest whole number of rows,
    /// a half up.
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

/// `count` of `rows`, each subset as likely as any other.
fn draw(mut rows: Vec<u32>, count: usize, rng: &mut impl Rng) -> Vec<u32> {
    shuffle(&mut rows, rng);
    rows.truncate(count);
    rows
}

/// `count` rows, from each class in proportion to its size. What proportion leaves over goes to the
/// classes with the largest remainders, the lower label first (the method of Hamilton), so that the
/// counts are within one of proportional and add up.
fn stratified(labels: &[u8], count: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut classes = vec![Vec::new(); 256];
    for (row, &label) in (0..).zip(labels) {
        classes[usize::from(label)].push(row);
    }
    let share = |class: &Vec<u32>| class.len() as u64 * count as u64 / labels.len() as u64;
    let remainder = |class: &Vec<u32>| class.len() as u64 * count as u64 % labels.len() as u64;

    let mut counts: Vec<usize> = classes.iter().map(|class| share(class) as usize).collect();
    let left_over = count - counts.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..classes.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(remainder(&classes[class])));
    for &class in &by_remainder[..left_over] {
        counts[class] += 1;
    }
    classes.into_iter().zip(counts).flat_map(|(rows, count)| draw(rows, count, rng)).collect()
}

/// Puts rows in random order, every order as likely as any other.
///
/// The algorithm is spelled out here so that an order never changes with the version of a
/// dependency: the shuffle of Fisher and Yates in the form of R. Durstenfeld, "Algorithm 235: Random
/// permutation", Communications of the ACM 7 (1964).
pub fn shuffle(rows: &mut [u32], rng: &mut impl Rng) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, below(last as u64 + 1, rng) as usize);
    }
}

/// A number from 0 to `bound` − 1, each as likely as any other: D. Lemire, "Fast Random Integer
/// Generation in an Interval", ACM Transactions on Modeling and Computer Simulation 29 (2019).
fn below(bound: u64, rng: &mut impl Rng) -> u64 {
    // The high half of a random 64-bit number times the bound lies below the bound. It is biased
    // only through the lowest 2^64 mod `bound` values of the low half, which are drawn again.
    let rejected = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= rejected {
            return (product >> 64) as u64;
        }
    }
}

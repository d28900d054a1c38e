//! Which of several settings may be the best, and which are worse, from several seeds of each.
//!
//! The procedures are chosen for few seeds, many settings and unequal variances: a common variance would lose the best
//! setting if its results vary most, and separate variances of three seeds find almost nothing. So the variances are
//! moderated ([`moderate`]). If all settings have the same seeds, the mean of each seed is subtracted first, because a
//! seed that draws an easy validation set is easy for all settings.

use crate::moderation::moderate;
use crate::student;

/// The result of one run of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The run's seed. A setting has each seed once.
    pub seed: u64,
    /// The result; higher is better.
    pub value: f64,
}

/// The answer of [`compare_with_best`].
#[derive(Debug, Clone, PartialEq)]
pub struct BestComparison {
    /// One for each setting, in the order of the settings.
    pub settings: Vec<Standing>,
    /// The significance level that was asked for.
    pub level: f64,
    /// Whether all settings have the same seeds, so that the mean of each seed could be subtracted.
    pub centered: bool,
}

/// Where a setting stands among all settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The mean of its values.
    pub mean: f64,
    /// The p-value of "this setting is the best", corrected for all other settings.
    pub p_best: f64,
    /// Whether the setting may be the best: `p_best` is not below the level.
    pub may_be_best: bool,
    /// Hsu's simultaneous confidence interval for the difference between the best setting's true mean and this one's;
    /// not below 0.
    pub behind: (f64, f64),
    /// The p-value of "no setting is better than this one", corrected for all pairs of settings.
    pub p_worse: f64,
    /// Whether the setting is worse than the best: `p_worse` is below the level.
    pub worse: bool,
}

/// The difference between a setting and a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BaselineDifference {
    /// The setting's mean minus the baseline's.
    pub difference: f64,
    /// The simultaneous confidence interval at the level.
    pub interval: (f64, f64),
    /// The two-sided p-value, corrected for all settings other than the baseline.
    pub p_value: f64,
}

/// Finds the settings that may be the best at `level`, by how much the others are behind, and which are worse.
///
/// A setting may be the best unless another one is significantly better in a one-sided test at level / (k − 1), for k
/// settings. The set of all such settings contains the best one with probability 1 − `level`. The intervals are those
/// of J. C. Hsu, "Constrained simultaneous confidence intervals for multiple comparisons with the best", Annals of
/// Statistics 12 (1984), 1136–1144, with the critical values of these tests. Not to be in the set does not make a
/// setting worse than each one in it; [`Standing::worse`] corrects for all k (k − 1) ordered pairs and may be said.
///
/// The standard error of a difference is √(vᵢ/nᵢ + vⱼ/nⱼ) with moderated variances v, and its degrees of freedom are
/// those of F. E. Satterthwaite, Biometrics Bulletin 2 (1946), 110–114, but at most those of all values together. Two
/// settings are compared by Welch's test without moderation.
///
/// `resolution` is the smallest step between two values, such as 1 / images for an accuracy, or 0 if there is none. No
/// variance is taken to be smaller than resolution² / 12, the variance of rounding.
///
/// `None` if there are fewer than two settings, if one has fewer than two values, or if a value is not finite.
#[must_use]
pub fn compare_with_best(
    settings: &[Vec<Observation>],
    resolution: f64,
    level: f64,
) -> Option<BestComparison> {
    Some(with_best(&Estimates::of(settings, resolution)?, level))
}

/// Like [`compare_with_best`] for the levels of one factor of an experiment, such as the values of one setting. Each
/// `seed` is a block, such as a seed with one combination of the other settings, and has a value at every level.
///
/// Blocks differ by what the other settings do, so their means are always subtracted: two levels are compared by the
/// paired t test. `None` if the levels do not have the same blocks, and whenever [`compare_with_best`] is.
#[must_use]
pub fn compare_levels_with_best(
    levels: &[Vec<Observation>],
    resolution: f64,
    level: f64,
) -> Option<BestComparison> {
    let estimates = Estimates::centered_from(2, levels, resolution)?;
    estimates.centered.then(|| with_best(&estimates, level))
}

fn with_best(estimates: &Estimates, level: f64) -> BestComparison {
    let count = estimates.means.len();
    let others = (count - 1) as f64;
    let range = Range::of(estimates, level / others);
    let standings = (0..count).map(|own| {
        let differences = estimates.differences(own);
        let p = smallest_tail(&differences, &range);
        let (p_best, p_worse) = ((p * others).min(1.0), (p * others * (others + 1.0)).min(1.0));
        Standing {
            mean: estimates.means[own],
            p_best,
            may_be_best: p_best >= level,
            behind: behind(&differences, &range),
            p_worse,
            worse: p_worse < level,
        }
    });
    BestComparison { settings: standings.collect(), level, centered: estimates.centered }
}

/// Compares each setting with the one at `baseline`, with the variances and degrees of freedom of [`compare_with_best`]
/// and Bonferroni's correction for the k − 1 comparisons. The baseline's own entry is `None`.
///
/// `None` if [`compare_with_best`] is, or if there is no setting at `baseline`.
#[must_use]
pub fn compare_with_baseline(
    settings: &[Vec<Observation>],
    resolution: f64,
    level: f64,
    baseline: usize,
) -> Option<Vec<Option<BaselineDifference>>> {
    let estimates = Estimates::of(settings, resolution)?;
    estimates.means.get(baseline)?;
    let tails = 2.0 * (settings.len() - 1) as f64;
    let compare = |own: usize| {
        let Difference { lead, error, freedom } = estimates.difference(baseline, own);
        let margin = student::quantile_above(level / tails, freedom) * error;
        BaselineDifference {
            difference: lead,
            interval: (lead - margin, lead + margin),
            p_value: (student::upper_tail(lead.abs() / error, freedom) * tails).min(1.0),
        }
    };
    Some((0..settings.len()).map(|own| (own != baseline).then(|| compare(own))).collect())
}

/// The difference from the best setting that [`compare_with_best`] would find in about four of five cases if each setting
/// had `seeds` seeds: the critical value of the test plus the quantile of 80 % power, times the mean standard error.
/// It is an approximation for planning, because the spread with more seeds is not known.
///
/// `None` if [`compare_with_best`] is, or for fewer than two seeds.
#[must_use]
pub fn detectable_difference(
    settings: &[Vec<Observation>],
    resolution: f64,
    level: f64,
    seeds: usize,
) -> Option<f64> {
    const POWER: f64 = 0.8;
    let estimates = Estimates::of(settings, resolution)?;
    if seeds < 2 {
        return None;
    }
    let others = (settings.len() - 1) as f64;
    let groups = if estimates.centered { others } else { others + 1.0 };
    let own = (seeds - 1) as f64;
    let freedom = (2.0 * (estimates.prior_freedom + own)).min(groups * own);
    // The mean of the deviations, because a single setting whose results vary widely would dominate the variances.
    let deviations = estimates.variances.iter().map(|variance| variance.sqrt());
    let error = deviations.sum::<f64>() / (others + 1.0) * (2.0 / seeds as f64).sqrt();
    let critical = student::quantile_above(level / others, freedom);
    Some((critical + student::quantile_above(1.0 - POWER, freedom)) * error)
}

/// The statistics of the settings that the tests need.
struct Estimates {
    means: Vec<f64>,
    /// The moderated variance of a single value.
    variances: Vec<f64>,
    /// The squared standard error of each mean.
    squared_errors: Vec<f64>,
    /// The degrees of freedom of each variance; may be infinite.
    freedoms: Vec<f64>,
    /// The degrees of freedom that moderation added.
    prior_freedom: f64,
    /// The degrees of freedom of all values together, the most that a difference can have.
    max_freedom: f64,
    centered: bool,
}

/// The difference between a setting and another one.
#[derive(Clone, Copy)]
struct Difference {
    /// The other setting's mean minus the setting's own.
    lead: f64,
    /// The standard error; above 0.
    error: f64,
    freedom: f64,
}

impl Estimates {
    fn of(settings: &[Vec<Observation>], resolution: f64) -> Option<Self> {
        // Two settings would be left with a single difference per seed, and Welch's test is exact for them.
        Self::centered_from(3, settings, resolution)
    }

    /// Subtracts the means of the seeds if there are at least `fewest` settings and all have the same seeds.
    fn centered_from(
        fewest: usize,
        settings: &[Vec<Observation>],
        resolution: f64,
    ) -> Option<Self> {
        let values = || settings.iter().flatten().map(|observation| observation.value);
        let is_short = |setting: &Vec<Observation>| setting.len() < 2;
        if settings.len() < 2 || settings.iter().any(is_short) || !values().all(f64::is_finite) {
            return None;
        }
        let count = settings.len() as f64;
        let seeds_of_all = common_seeds(settings);
        let centered = seeds_of_all.is_some() && settings.len() >= fewest;
        let (mut samples, max_freedom) = match seeds_of_all {
            Some(seeds) if centered => {
                let freedom = (seeds.len() - 1) as f64;
                (centered_variances(settings, &seeds), (count - 1.0) * freedom)
            }
            _ => {
                let samples: Vec<_> =
                    settings.iter().map(|setting| sample(setting, |_| 0.0)).collect();
                let freedom = samples.iter().map(|(_, freedom)| freedom).sum();
                (samples, freedom)
            }
        };
        // Values are known only up to a step. Without a step, they are known up to the precision of f64.
        let largest = values().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let precision = (largest * f64::EPSILON).powi(2).max(f64::MIN_POSITIVE);
        let floor = (resolution * resolution / 12.0).max(precision);
        for (variance, _) in &mut samples {
            *variance = variance.max(floor);
        }
        let (variances, prior_freedom) = if settings.len() > 2 {
            let moderated = moderate(&samples);
            (moderated.variances, moderated.prior_freedom)
        } else {
            (samples.iter().map(|(variance, _)| *variance).collect(), 0.0)
        };
        let squared_errors =
            variances.iter().zip(settings).map(|(variance, runs)| variance / runs.len() as f64);
        Some(Self {
            means: settings.iter().map(|setting| mean(setting)).collect(),
            squared_errors: squared_errors.collect(),
            freedoms: samples.iter().map(|(_, own)| prior_freedom + own).collect(),
            variances,
            prior_freedom,
            max_freedom,
            centered,
        })
    }

    /// The lead of the setting at `other` over the one at `own`.
    fn difference(&self, own: usize, other: usize) -> Difference {
        let (first, second) = (self.squared_errors[own], self.squared_errors[other]);
        let squared = first + second;
        // Computed from shares, because the squares of the squares of tiny deviations would underflow to zero.
        let (first_share, second_share) = (first / squared, second / squared);
        let freedom = 1.0
            / (first_share.powi(2) / self.freedoms[own]
                + second_share.powi(2) / self.freedoms[other]);
        Difference {
            lead: self.means[other] - self.means[own],
            error: squared.sqrt(),
            freedom: freedom.min(self.max_freedom),
        }
    }

    /// The differences between the setting and each other one.
    fn differences(&self, own: usize) -> Vec<Difference> {
        let others = (0..self.means.len()).filter(|other| *other != own);
        others.map(|other| self.difference(own, other)).collect()
    }
}

/// The smallest one-sided p-value of "the other setting is not better".
fn smallest_tail(differences: &[Difference], range: &Range) -> f64 {
    let t = |one: &Difference| one.lead / one.error;
    let tail = |one: &Difference| student::upper_tail(t(one), one.freedom);
    let largest = differences.iter().max_by(|left, right| t(left).total_cmp(&t(right)));
    let smallest = largest.map_or(1.0, tail);
    // At 1/2 and above, no other setting leads, and the corrected p-value is 1 in any case. Near the
    // smallest numbers of f64, quantiles have no meaning, and no p-value can be smaller by an amount that matters.
    if !(1e-290..0.5).contains(&smallest) {
        return smallest;
    }
    // A smaller t has a smaller tail only with more degrees of freedom, and not below this one.
    let threshold = student::quantile_above(smallest, range.max);
    let candidates = differences.iter().filter(|one| t(one) >= threshold);
    candidates.map(tail).fold(smallest, f64::min)
}

/// Hsu's interval with tests at `level` each.
fn behind(differences: &[Difference], range: &Range) -> (f64, f64) {
    let margin = |one: &Difference| student::quantile_above(range.level, one.freedom) * one.error;
    let low = maximum(
        differences,
        |one| one.lead - range.critical_at_max * one.error,
        |one| one.lead - margin(one),
    );
    let high = maximum(
        differences,
        |one| one.lead + range.critical_at_min * one.error,
        |one| one.lead + margin(one),
    );
    (low.max(0.0), high.max(0.0))
}

/// The largest `value`, which is computed only where the cheaper `bound`, which is never below it, leaves a chance.
/// A comparison of a thousand settings has a million differences, and quantiles are slow.
fn maximum(
    differences: &[Difference],
    bound: impl Fn(&Difference) -> f64,
    value: impl Fn(&Difference) -> f64,
) -> f64 {
    let bounds: Vec<f64> = differences.iter().map(bound).collect();
    let most_promising =
        (0..bounds.len()).max_by(|left, right| bounds[*left].total_cmp(&bounds[*right]));
    let start = most_promising.map_or(f64::NEG_INFINITY, |place| value(&differences[place]));
    differences.iter().zip(bounds).fold(start, |largest, (one, bound)| {
        if bound > largest { largest.max(value(one)) } else { largest }
    })
}

/// The degrees of freedom among all differences, with the critical values that they give.
struct Range {
    max: f64,
    /// The level of each test.
    level: f64,
    critical_at_min: f64,
    critical_at_max: f64,
}

impl Range {
    fn of(estimates: &Estimates, level: f64) -> Self {
        // Satterthwaite's degrees of freedom lie between the smaller of the two and their sum.
        let smallest = estimates.freedoms.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = estimates.freedoms.iter().copied().fold(0.0, f64::max);
        let (min, max) =
            (smallest.min(estimates.max_freedom), (2.0 * largest).min(estimates.max_freedom));
        Self {
            max,
            level,
            critical_at_min: student::quantile_above(level, min),
            critical_at_max: student::quantile_above(level, max),
        }
    }
}

/// The seeds in ascending order, if all settings have the same ones.
fn common_seeds(settings: &[Vec<Observation>]) -> Option<Vec<u64>> {
    let sorted = |setting: &Vec<Observation>| {
        let mut seeds: Vec<u64> = setting.iter().map(|observation| observation.seed).collect();
        seeds.sort_unstable();
        seeds
    };
    let first = sorted(settings.first()?);
    settings.iter().all(|setting| sorted(setting) == first).then_some(first)
}

/// Sample variances after subtracting the mean of each seed. The subtraction takes 1/k of the variance of k settings
/// away, on average, which the factor k / (k − 1) returns.
fn centered_variances(settings: &[Vec<Observation>], seeds: &[u64]) -> Vec<(f64, f64)> {
    let count = settings.len() as f64;
    let mut means = vec![0.0; seeds.len()];
    let place = |seed| seeds.binary_search(&seed).unwrap_or_default();
    for observation in settings.iter().flatten() {
        means[place(observation.seed)] += observation.value / count;
    }
    let of_seed = |seed| means[place(seed)];
    settings
        .iter()
        .map(|setting| {
            let (variance, freedom) = sample(setting, of_seed);
            (variance * count / (count - 1.0), freedom)
        })
        .collect()
}

/// Sample variance and degrees of freedom of the values minus what their seed contributes.
fn sample(setting: &[Observation], of_seed: impl Fn(u64) -> f64) -> (f64, f64) {
    let values = || setting.iter().map(|one| one.value - of_seed(one.seed));
    let freedom = (setting.len() - 1) as f64;
    let mean = values().sum::<f64>() / setting.len() as f64;
    (values().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom, freedom)
}

fn mean(setting: &[Observation]) -> f64 {
    // Relative to the first value, so that equal values have that very value as their mean.
    let first = setting[0].value;
    first + setting.iter().map(|one| one.value - first).sum::<f64>() / setting.len() as f64
}

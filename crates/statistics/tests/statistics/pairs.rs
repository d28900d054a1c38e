use kiln_statistics::{AccuracyDifference, Discordant, Family, Spread, mcnemar, welch};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const ONE: Family = Family { level: 0.05, comparisons: 1 };

fn family(comparisons: usize) -> Family {
    Family { comparisons, ..ONE }
}

fn spread(values: &[f64]) -> Spread {
    Spread::of(values.iter().copied()).expect("values")
}

fn counts(only_first: usize, only_second: usize, images: usize) -> Discordant {
    Discordant { only_first, only_second, images }
}

/// Compares a result with a difference, a p-value and an interval.
fn assert_close(found: Option<AccuracyDifference>, expected: [f64; 4]) {
    let found = found.expect("a difference");
    let (low, high) = found.interval.expect("an interval");
    for (found, expected) in [found.difference, found.p_value, low, high].iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-6), "{found} {expected}");
    }
}

#[test]
fn spread_has_the_sample_standard_deviation() {
    // NumPy: numpy.std([2, 4, 4, 4, 5, 5, 7, 9], ddof=1)
    let of_eight = spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    assert_eq!((of_eight.mean, of_eight.count), (5.0, 8));
    assert!((of_eight.deviation.expect("of eight") - 2.138_089_935_299_395).abs() < 1e-14);
    let of_one = Spread { mean: 0.875, deviation: None, count: 1 };
    assert_eq!(Spread::of([0.875]), Some(of_one));
    // 0.1 + 0.1 + 0.1 is not 3 × 0.1 in binary, but the deviation of equal values must be 0.
    assert_eq!(spread(&[0.1, 0.1, 0.1]).deviation, Some(0.0));
}

#[test]
fn spread_of_no_finite_values_is_none() {
    assert_eq!(Spread::of([]), None);
    assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
    assert_eq!(Spread::of([f64::NAN, 0.5]), Spread::of([0.5]));
    assert_eq!(Spread::of([f64::MAX, -f64::MAX]), None);
}

// Expected values: SciPy 1.17, scipy.stats.ttest_ind(…, equal_var=False) and its confidence_interval. The p-values are
// multiplied by the number of comparisons.
#[test]
fn welch_agrees_with_scipy() {
    let (left, right) = (spread(&[0.91, 0.93, 0.92]), spread(&[0.88, 0.9, 0.89]));
    assert_close(
        welch(&left, &right, 0.0, ONE),
        [0.03, 0.021_311_641_128_756_7, 0.007_330_420_644_724_8, 0.052_669_579_355_275_2],
    );
    assert_close(
        welch(&left, &right, 0.0, family(10)),
        [0.03, 0.213_116_411_287_567, -0.015_703_954_332_263_1, 0.075_703_954_332_263_4],
    );
    assert_close(
        welch(&spread(&[0.85, 0.86]), &spread(&[0.84, 0.87, 0.80, 0.83]), 0.0, ONE),
        [0.02, 0.267_590_489_292_893, -0.024_294_948_069_463_4, 0.064_294_948_069_463_5],
    );
    // The values on one side are equal.
    assert_close(
        welch(&spread(&[0.9, 0.9]), &spread(&[0.8, 0.81, 0.82]), 0.0, ONE),
        [0.09, 0.004_089_996_689_521_34, 0.065_158_622_882_496_8, 0.114_841_377_117_503],
    );
    // Few degrees of freedom and many comparisons, in the tail where the inverse distribution is hard to compute.
    assert_close(
        welch(&spread(&[0.5, 0.6]), &spread(&[0.7, 0.9]), 0.0, family(1225)),
        [-0.25, 1.0, -88.513_754_207_038_5, 88.013_754_207_038_5],
    );
}

#[test]
fn welch_needs_two_values_and_some_variance() {
    let (one, equal, other) = (spread(&[0.9]), spread(&[0.9, 0.9]), spread(&[0.8, 0.8]));
    assert_eq!(welch(&one, &spread(&[0.8, 0.7]), 0.0, ONE), None);
    assert_eq!(welch(&spread(&[0.8, 0.7]), &one, 0.0, ONE), None);
    assert_eq!(welch(&equal, &other, 0.0, ONE), None);
    // SciPy 1.17: ttest_ind_from_stats(0.9, s, 2, 0.8, s, 2) with s = 0.01 / sqrt(12), as for steps of 0.01.
    let found = welch(&equal, &other, 0.01, ONE).expect("a difference");
    assert!((found.p_value - 0.000_832_293_111_319_229).abs() < 1e-9, "{found:?}");
}

// Expected p-values: SciPy 1.17, scipy.stats.binomtest(first, first + second).
#[test]
fn mcnemar_agrees_with_scipy() {
    // Expected values: SciPy 1.17. The p-values are from binomtest and norm.sf. Each interval is the hull of two: the exact
    // one from beta.ppf, and the score interval, whose bounds brentq finds with a numerically maximized nuisance parameter.
    let numerically = [
        (counts(15, 5, 1000), 1, [0.01, 0.041_389_465_332, 0.000_358_165_132, 0.020_183_808_994]),
        (counts(0, 7, 10), 1, [-0.7, 0.015_625, -0.892_208_750_222, -0.126_537_043_885]),
        (
            counts(121, 59, 1000),
            4950,
            [0.062, 0.021_950_523_856, 0.002_367_486_089, 0.123_734_460_772],
        ),
        (
            counts(400, 420, 10_000),
            1,
            [-0.002, 0.507_028_999_947, -0.007_694_977_567, 0.003_709_401_297],
        ),
        (
            counts(350, 290, 10_000),
            10,
            [0.006, 0.196_202_646_214, -0.001_197_980_939, 0.013_166_444_372],
        ),
        (counts(8, 72, 300), 1, [-64.0 / 300.0, 8.341_862_848e-13, -0.268_492_176_571, -0.161_458]),
        (
            counts(20, 0, 1000),
            4950,
            [0.02, 0.038_333_871_334, 0.000_498_068_514, 0.050_600_901_329],
        ),
    ];
    for (counts, comparisons, expected) in numerically {
        let found = mcnemar(counts, family(comparisons)).expect("a difference");
        let (low, high) = found.interval.expect("an interval");
        for (found, expected) in [found.difference, found.p_value, low, high].iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-7, "{counts:?}: {found} {expected}");
        }
    }
}

/// Counts how many of 2,000 simulated intervals contain the true difference. If the true rate is 0.95, the share is within
/// 0.02 of it, four standard errors.
#[test]
fn mcnemar_intervals_cover_the_true_difference() {
    for (images, first, second) in [
        (300, 0.24, 0.027),
        (1_000, 0.05, 0.01),
        (1_000, 0.02, 0.0),
        (1_000, 0.3, 0.02),
        (500, 0.06, 0.06),
    ] {
        let covers = |random: &mut ChaCha8Rng| {
            let (mut only_first, mut only_second) = (0, 0);
            for _ in 0..images {
                let draw = uniform(random);
                only_first += usize::from(draw < first);
                only_second += usize::from((first..first + second).contains(&draw));
            }
            let found = mcnemar(counts(only_first, only_second, images), ONE);
            let interval = found.and_then(|found| found.interval);
            interval.is_some_and(|(low, high)| (low..=high).contains(&(first - second)))
        };
        let covered = count_trials(covers) as f64 / TRIALS as f64;
        assert!(covered >= 0.93, "{images} {first} {second}: {covered}");
    }
}

#[test]
fn mcnemar_without_disagreement_has_no_interval() {
    let equal = AccuracyDifference { difference: 0.0, interval: None, p_value: 1.0 };
    assert_eq!(mcnemar(counts(0, 0, 10), ONE), Some(equal));
    assert_eq!(mcnemar(counts(0, 0, 0), ONE), None);
    assert_eq!(mcnemar(counts(7, 7, 10), ONE), None);
    assert_eq!(mcnemar(counts(usize::MAX, 1, 10), ONE), None);
    let balanced = mcnemar(counts(3, 3, 100), ONE).expect("a difference");
    assert_eq!((balanced.difference, balanced.p_value), (0.0, 1.0));
}

proptest! {
    #[test]
    fn interval_and_p_value_agree(
        first in 0..400_usize,
        second in 0..400_usize,
        left in prop::collection::vec(0.0..1.0, 2..6),
        right in prop::collection::vec(0.0..1.0, 2..6),
        comparisons in 1..5000_usize,
    ) {
        let family = family(comparisons);
        let results = [
            mcnemar(counts(first, second, 1000), family),
            welch(&spread(&left), &spread(&right), 0.0, family),
        ];
        for found in results.into_iter().flatten() {
            prop_assert!(found.difference.is_finite() && (0.0..=1.0).contains(&found.p_value));
            if let Some((low, high)) = found.interval {
                prop_assert!(low <= found.difference && found.difference <= high);
                prop_assert_eq!(low > 0.0 || high < 0.0, found.p_value < 0.05);
            }
        }
    }
}

/// A uniform number in (0, 1).
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u32() as f64 + 0.5) / 2.0_f64.powi(32)
}

/// A normal number with mean 0 and variance 1, by the method of Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * uniform(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(random)).cos()
}

fn accuracies(random: &mut ChaCha8Rng, mean: f64, seeds: usize) -> Spread {
    let values = (0..seeds).map(|_| mean + 0.004 * normal(random)).collect::<Vec<_>>();
    spread(&values)
}

/// Simulates two independent classifiers on 500 images, with the accuracies `first` and `second`.
fn classified(random: &mut ChaCha8Rng, first: f64, second: f64) -> Discordant {
    let mut counts = counts(0, 0, 500);
    for _ in 0..counts.images {
        match (uniform(random) < first, uniform(random) < second) {
            (true, false) => counts.only_first += 1,
            (false, true) => counts.only_second += 1,
            _ => {}
        }
    }
    counts
}

const TRIALS: usize = 2_000;

/// Counts the trials that return true.
fn count_trials(mut trial: impl FnMut(&mut ChaCha8Rng) -> bool) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    (0..TRIALS).filter(|_| trial(&mut random)).count()
}

fn is_significant(found: Option<AccuracyDifference>) -> bool {
    found.is_some_and(|found| found.p_value < 0.05)
}

#[test]
fn false_alarms_are_rare() {
    for seeds in [2, 3, 5] {
        let alarms = count_trials(|random| {
            let sides = [(); 2].map(|()| accuracies(random, 0.87, seeds));
            is_significant(welch(&sides[0], &sides[1], 0.0, ONE))
        });
        assert!(alarms <= TRIALS / 20, "{seeds} seeds: {alarms}");
        assert!(alarms > 0, "{seeds} seeds: a test without any false alarm has no power");
    }
    let alarms =
        count_trials(|random| is_significant(mcnemar(classified(random, 0.87, 0.87), ONE)));
    assert!((1..=TRIALS / 20).contains(&alarms), "{alarms}");
}

/// Compares the most accurate of equal combinations with all others. The corrected level must account for the selection.
#[test]
fn false_alarms_are_rare_in_families_compared_by_seeds() {
    let combinations = 6;
    let pairs = family(combinations * (combinations - 1) / 2);
    let alarms = count_trials(|random| {
        let mut all: Vec<_> = (0..combinations).map(|_| accuracies(random, 0.87, 3)).collect();
        all.sort_by(|left, right| right.mean.total_cmp(&left.mean));
        all[1..].iter().any(|other| is_significant(welch(other, &all[0], 0.0, pairs)))
    });
    assert!(alarms <= TRIALS / 20, "{alarms}");
}

/// The same for six classifiers that are compared image by image.
#[test]
fn false_alarms_are_rare_in_families_compared_by_images() {
    let pairs = family(15);
    let alarms = count_trials(|random| {
        let mut all: Vec<Vec<bool>> = Vec::new();
        for _ in 0..6 {
            all.push((0..300).map(|_| uniform(random) < 0.87).collect());
        }
        all.sort_by_key(|right| right.iter().filter(|right| !**right).count());
        let only = |one: &[bool], other: &[bool]| {
            one.iter().zip(other).filter(|(one, other)| **one && !**other).count()
        };
        all[1..].iter().any(|other| {
            let found = counts(only(other, &all[0]), only(&all[0], other), 300);
            is_significant(mcnemar(found, pairs))
        })
    });
    assert!(alarms <= TRIALS / 20, "{alarms}");
}

#[test]
fn real_differences_are_found() {
    let found = count_trials(|random| {
        let (better, worse) = (accuracies(random, 0.89, 3), accuracies(random, 0.87, 3));
        is_significant(welch(&better, &worse, 0.0, ONE))
    });
    // The means are five standard deviations apart, with three seeds each.
    assert!(found > TRIALS * 9 / 10, "{found}");
    let found = count_trials(|random| is_significant(mcnemar(classified(random, 0.92, 0.82), ONE)));
    assert!(found > TRIALS * 9 / 10, "{found}");
}

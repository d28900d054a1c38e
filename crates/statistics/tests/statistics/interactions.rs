use kiln_statistics::{Observation, compare_levels_with_best, interaction};

fn assert_close(found: f64, expected: f64) {
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
}

/// Two by three levels, two combinations of the other factors with three seeds each.
fn values() -> Vec<Vec<Vec<f64>>> {
    vec![
        vec![
            vec![0.8376, 0.8313, 0.8484, 0.8498, 0.8559, 0.852],
            vec![0.8501, 0.8467, 0.8684, 0.872, 0.8573, 0.8486],
            vec![0.8561, 0.8806, 0.8729, 0.8483, 0.8637, 0.8593],
        ],
        vec![
            vec![0.8593, 0.8597, 0.8638, 0.8712, 0.8639, 0.865],
            vec![0.8597, 0.8629, 0.8445, 0.8531, 0.8448, 0.8592],
            vec![0.8327, 0.8448, 0.8505, 0.8426, 0.8341, 0.8469],
        ],
    ]
}

#[test]
fn interaction_is_that_of_the_analysis_of_variance() {
    // statsmodels 0.15: anova_lm(ols("y ~ C(a)*C(b)*C(o) + C(s)").fit()), the row C(a):C(b)
    let found = interaction(&values(), 3, 0.0).expect("a test");
    assert_eq!(found.freedom, (2.0, 22.0));
    assert_close(found.f, 15.616_038_307_494_389);
    assert_close(found.p_value, 6.008_166_985_679_63e-5);
}

#[test]
fn interaction_needs_a_complete_design() {
    let mut missing = values();
    missing[1][2].pop();
    assert_eq!(interaction(&missing, 3, 0.0), None);
    let mut infinite = values();
    infinite[0][0][0] = f64::INFINITY;
    assert_eq!(interaction(&infinite, 3, 0.0), None);
    assert_eq!(interaction(&values(), 1, 0.0), None, "one seed leaves no residual");
    assert_eq!(interaction(&values()[..1], 3, 0.0), None);
    assert_eq!(interaction(&[], 3, 0.0), None);
}

#[test]
fn values_without_residuals_vary_by_rounding() {
    let equal = vec![vec![vec![0.5; 2]; 2]; 2];
    let found = interaction(&equal, 2, 0.01).expect("a test");
    assert_eq!((found.f, found.p_value), (0.0, 1.0));
    let mut crossed = equal;
    crossed[0][0] = vec![0.9; 2];
    let found = interaction(&crossed, 2, 0.01).expect("a test");
    assert!(found.f.is_finite() && found.p_value < 0.001);
}

#[test]
fn two_levels_are_compared_by_the_paired_t_test() {
    let level = |values: [f64; 5]| -> Vec<Observation> {
        (1..).zip(values).map(|(seed, value)| Observation { seed, value }).collect()
    };
    let levels =
        [level([0.871, 0.880, 0.866, 0.879, 0.872]), level([0.868, 0.879, 0.861, 0.877, 0.866])];
    let found = compare_levels_with_best(&levels, 0.0, 0.05).expect("a comparison");
    // SciPy 1.16: scipy.stats.ttest_rel(first, second, alternative="greater"), and its 90 % confidence interval
    let worse = found.settings[1];
    assert_close(worse.p_best, 0.010_730_317_188_446_142);
    assert_close(worse.behind.0, 0.001_423_006_621_258_11);
    assert_close(worse.behind.1, 0.005_376_993_378_724_19);
    assert!(found.centered && found.settings[0].may_be_best && !worse.may_be_best);
}

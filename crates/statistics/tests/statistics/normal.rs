//! The normal distribution, against SciPy.

use kiln_statistics::{log_normal_mass, normal_probability, normal_quantile};

#[test]
fn masses_are_those_of_scipy() {
    for (low, high, expected) in [
        (-1.0, 2.0, -0.200_166_294_324_462_62),
        (-0.1, 0.1, -2.530_042_001_547_238_2),
        (3.0, 3.5, -6.796_868_006_683_433),
        (-40.0, -39.0, -765.083_156_564_377_6),
        (25.0, 30.0, -316.639_408_008_020_27),
        (-100.0, -99.9, -4_995.528_253_976_992),
        (-6.0, -0.001, -0.693_945_385_441_716),
        (0.0, 1e-6, -14.734_449_091_368_331),
    ] {
        let mass = log_normal_mass(low, high);
        assert!((mass - expected).abs() < 1e-9 * expected.abs(), "{low} to {high}: {mass}");
        // The distribution is symmetric.
        assert!((mass - log_normal_mass(-high, -low)).abs() < 1e-9 * expected.abs());
    }
}

#[test]
fn quantiles_are_those_of_scipy() {
    for (probability, expected) in [
        (1e-12, -7.034_483_825_301_131),
        (0.01, -2.326_347_874_040_840_8),
        (0.3, -0.524_400_512_708_041),
        (0.5, 0.0),
        (0.999, 3.090_232_306_167_813),
    ] {
        let quantile = normal_quantile(probability);
        assert!((quantile - expected).abs() < 1e-10, "{probability}: {quantile}");
        assert!((normal_probability(quantile) / probability - 1.0).abs() < 1e-9);
    }
}

//! Axes with random values.

use crate::world::{refused, runs};

fn numbers(sweep: &str) -> Vec<f64> {
    let settings = runs(sweep).into_iter();
    settings.map(|setting| setting.split_once('=').unwrap().1.parse().unwrap()).collect()
}

fn uniform(range: &str, count: usize) -> Vec<f64> {
    numbers(&format!("[random]\ncount = {count}\nseed = 3\nlearning_rate = {range}\n"))
}

#[test]
fn a_larger_count_keeps_the_draws_of_a_smaller_one() {
    let range = "{ uniform = [0.5, 1.5] }";
    assert_eq!(uniform(range, 40)[..10], uniform(range, 10));
    let other =
        numbers("[random]\ncount = 10\nseed = 4\nlearning_rate = { uniform = [0.5, 1.5] }\n");
    assert_ne!(other, uniform(range, 10));
}

#[test]
fn adding_an_axis_does_not_change_the_draws_of_the_others() {
    let momentum = "optimizer.momentum = { uniform = [0.0, 0.9] }\n";
    let alone = runs(&format!("[random]\ncount = 5\n{momentum}"));
    let both = runs(&format!(
        "[random]\ncount = 5\nlearning_rate = {{ uniform = [0.1, 1.0] }}\n{momentum}"
    ));
    let momenta: Vec<&str> =
        both.iter().map(|settings| settings.split(' ').nth(1).unwrap()).collect();
    assert_eq!(alone, momenta);
}

#[test]
fn rounding_does_not_leave_the_bounds() {
    let drawn = uniform("{ uniform = [0.123_44, 0.123_46] }", 2);
    assert!(drawn.iter().all(|value| (0.12344..=0.12346).contains(value)), "{drawn:?}");
}

/// The mean of 1000 uniform numbers is within four standard errors of the middle. The standard deviation is 1/√12 of
/// the range, so four standard errors are 0.037 of it.
#[test]
fn draws_fill_their_range_evenly() {
    let drawn = uniform("{ uniform = [2.0, 4.0] }", 1000);
    assert!(drawn.iter().all(|value| (2.0..=4.0).contains(value)));
    let mean = drawn.iter().sum::<f64>() / 1000.0;
    assert!((mean - 3.0).abs() < 2.0 * 0.037, "{mean}");

    let drawn = uniform("{ log_uniform = [1e-4, 1e0] }", 1000);
    assert!(drawn.iter().all(|value| (1e-4..=1.0).contains(value)));
    let mean = drawn.iter().map(|value| value.log10()).sum::<f64>() / 1000.0;
    assert!((mean + 2.0).abs() < 4.0 * 0.037, "{mean}");
    // The numbers have at most four significant digits.
    assert!(drawn.iter().all(|value| format!("{value:.3e}").parse::<f64>() == Ok(*value)));
}

#[test]
fn integer_bounds_give_integers_including_both_bounds() {
    for kind in ["uniform", "log_uniform"] {
        let mut drawn =
            numbers(&format!("[random]\ncount = 6\nhidden.units = {{ {kind} = [3, 8] }}\n"));
        drawn.sort_by(f64::total_cmp);
        assert_eq!(drawn, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "all six integers");
    }
}

#[test]
fn draws_are_combined_with_the_grid_and_choices_may_be_tables() {
    let sweep = "[grid]\nepochs = [1, 2]\n[random]\ncount = 2\n\
                 optimizer = { choice = [{ type = \"sgd\" }, { type = \"adam\" }] }\n";
    let mut found = runs(sweep);
    found.sort();
    assert_eq!(
        found,
        [
            r#"optimizer={type = "adam"} epochs=1"#,
            r#"optimizer={type = "adam"} epochs=2"#,
            r#"optimizer={type = "sgd"} epochs=1"#,
            r#"optimizer={type = "sgd"} epochs=2"#,
        ]
    );
}

#[test]
fn invalid_random_tables_are_refused() {
    for (random, part) in [
        ("learning_rate = { uniform = [0.0, 1.0] }", "needs a `count`"),
        ("count = 3", "no key to draw"),
        ("count = 3\nlearning_rate = [0.1]", "{ uniform = [LOW, HIGH] }"),
        ("count = 3\nlearning_rate = { uniform = [1.0, 0.5] }", "with LOW below HIGH"),
        ("count = 3\nlearning_rate = { log_uniform = [0.0, 1.0] }", "above 0"),
        ("count = 3\nlearning_rate = { choice = [] }", "`choice` has no values"),
        (
            "count = 3\nlearning_rate = { uniform = [1, 2], choice = [3] }",
            "exactly one of uniform, log_uniform and choice",
        ),
        ("count = 3\nlearning_rate = { gaussian = [1, 2] }", "unknown distribution `gaussian`"),
        ("count = 3\nlearning_rate = { loguniform = [1, 2] }", "did you mean `log_uniform`?"),
        ("count = 3\n[random.optimizer]\nlearning_rate = { categorical = [1] }", "`choice`?"),
        ("count = 3\nlearning_rate = { uniform = [0.3, 0.01] }", "found [0.3, 0.01]"),
        (
            "count = 30\nlearning_rate = { choice = [0.1, 0.2] }",
            "only 2 different ones can be drawn",
        ),
        (
            "count = 3\nminutes = { uniform = [1.0, 2.0] }",
            "`checkpoint.minutes` cannot be an axis: no result depends on it",
        ),
        ("count = 3\nlerning_rate = { uniform = [1, 2] }", "did you mean `learning_rate`?"),
    ] {
        let refused = refused(&format!("[random]\n{random}\n"));
        assert!(refused.contains(part), "`{part}` is not in\n{refused}");
    }
}

use kiln_statistics::wilson;
use serde_json::Value;

#[test]
fn wilson_agrees_with_scipy() {
    let file: Value =
        serde_json::from_str(include_str!("../fixtures/intervals.json")).expect("JSON");
    for case in file["wilson"].as_array().expect("cases") {
        let count = |key: &str| usize::try_from(case[key].as_u64().expect(key)).expect(key);
        let level = case["level"].as_f64().expect("a level");
        let (low, high) = wilson(count("successes"), count("trials"), level).expect("an interval");
        for (found, key) in [(low, "low"), (high, "high")] {
            let expected = case[key].as_f64().expect(key);
            assert!((found - expected).abs() < 1e-12, "{case}: {found}");
        }
    }
}

#[test]
fn wilson_needs_trials() {
    assert_eq!(wilson(0, 0, 0.05), None);
    assert_eq!(wilson(2, 1, 0.05), None);
}

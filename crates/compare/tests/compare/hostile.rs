//! Run directories that no version of Kiln wrote.

use kiln_compare::Comparison;

use crate::directory;
use crate::tree::SampleRun;

#[test]
fn long_names_do_not_multiply_in_the_keys_of_settings() {
    let root = directory();
    let mut run = SampleRun::new(0.1, 1, 1);
    let long = "n".repeat(400_000);
    run.config = run.config.replace("\"hidden\"", &format!("\"{long}\""));
    run.write(root.path());
    let comparison = Comparison::ranked(&[root.path()]).expect("a comparison");
    let longest = comparison.shared.iter().map(|it| it.column.key.len()).max();
    assert!(longest.is_some_and(|longest| longest < 100), "{longest:?}");

    run.config.push_str(&format!("\n[{long}]\n"));
    run.id = "key".to_owned();
    run.write(root.path());
    let comparison = Comparison::ranked(&[root.path()]).expect("a comparison");
    assert_eq!(comparison.left_out.len(), 1);
    let problem = &comparison.left_out[0].problem;
    assert!(
        problem.starts_with("config.toml, line 28: the path of this key has 400000 bytes"),
        "{problem}"
    );
}

#[test]
fn number_of_different_settings_is_limited() {
    let root = directory();
    for seed in 0..4 {
        let mut run = SampleRun::new(0.1, 1, seed);
        run.config.push_str("\n[more]\n");
        for key in 0..3_000 {
            run.config.push_str(&format!("k{seed}_{key} = 1\n"));
        }
        run.write(root.path());
    }
    let comparison = Comparison::ranked(&[root.path()]).expect("a comparison");
    let left_out = &comparison.left_out;
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert_eq!(
        left_out[0].problem,
        "with this run, the runs would have more than 10000 different settings"
    );
}

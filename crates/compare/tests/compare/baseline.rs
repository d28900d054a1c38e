use kiln_compare::{CompareOptions, Comparison};
use kiln_store::Status;

use crate::tree::SampleRun;
use crate::{compared, directory};

fn against(baseline: &str) -> CompareOptions {
    CompareOptions { baseline: Some(baseline.to_owned()), ..CompareOptions::default() }
}

#[test]
fn baseline_is_a_directory_an_id_or_settings() {
    let sweep = directory();
    let runs = [(0.1, 1), (0.1, 2), (0.01, 2)].map(|(rate, depth)| SampleRun::new(rate, depth, 1));
    compared(sweep.path(), &runs);
    let directory = sweep.path().join("0.01-2-1/").display().to_string();
    let names = [
        directory.as_str(),
        "0.01-2-1",
        "learning_rate=0.01",
        "repeat = 2, optimizer.learning_rate=1e-2",
    ];
    for name in names {
        let comparison = Comparison::read(&[sweep.path()], &against(name)).expect(name);
        let baseline = comparison.baseline.expect("a baseline").combination;
        let label = comparison.combinations[baseline].label(&comparison.columns);
        assert_eq!(label, "repeat 2, learning_rate 0.01", "{name}");
    }
}

#[test]
fn errors_about_a_baseline_list_the_choices() {
    let sweep = directory();
    let runs = [(0.1, 1), (0.1, 2), (0.01, 2)].map(|(rate, depth)| SampleRun::new(rate, depth, 1));
    compared(sweep.path(), &runs);
    compared(sweep.path(), &[SampleRun::new(0.1, 3, 1).ended(Status::Diverged)]);
    let problem = |name| {
        Comparison::read(&[sweep.path()], &against(name)).expect_err("no baseline").to_string()
    };
    insta::assert_snapshot!(problem("nobody"), @"the baseline nobody is not one of the compared runs: give the directory or the id of one of them, or settings such as KEY=VALUE,KEY=VALUE");
    insta::assert_snapshot!(problem("hidden.repeat=7"), @"no combination has the settings hidden.repeat=7");
    insta::assert_snapshot!(problem("hidden.repeat=2"), @"the baseline hidden.repeat=2 matches 2 combinations (repeat 2, learning_rate 0.01; repeat 2, learning_rate 0.1): give more settings");
    insta::assert_snapshot!(problem("hidden.repeat=3"), @"the baseline hidden.repeat=3 did not finish (diverged): choose a combination that finished");
    insta::assert_snapshot!(problem("depth=3"), @"the runs have no setting `depth`; they differ in: repeat, learning_rate");
    insta::assert_snapshot!(problem("activation=relu"), @"`activation` is ambiguous: write model.layers.hidden.activation or model.layers.2.activation");
    insta::assert_snapshot!(problem("2,hidden.repeat=2"), @"`2` is not KEY=VALUE");
}

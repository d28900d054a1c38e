use kiln_compare::{Pair, TableOptions, csv, json, markdown, notes, show_pair, terminal};
use kiln_report::Terminal;
use kiln_store::Status;
use proptest::prelude::*;

use crate::tree::{SampleRun, right};
use crate::{compared, directory};

fn any_run() -> impl Strategy<Value = SampleRun> {
    let status = prop::sample::select(vec![
        Status::Finished,
        Status::Running,
        Status::Interrupted,
        Status::Failed,
        Status::Diverged,
        Status::Pruned,
    ]);
    let values = prop::collection::vec(prop::option::of(0.0..=1.0), 1..4);
    let (rates, right_ones) = (prop::sample::select(vec![0.1, 1e-9, 1e30]), 0..=20_usize);
    (status, values, rates, right_ones, 0..3_usize, 1..4_u64, any::<bool>()).prop_map(
        |(status, val_accuracies, rate, count, depth, seed, is_other)| {
            let run = SampleRun::new(rate, depth, seed);
            let run = SampleRun { val_accuracies, predictions: right(count, 20), ..run };
            let run =
                if is_other { SampleRun { fingerprint: "other".to_owned(), ..run } } else { run };
            if status == Status::Finished { run } else { run.ended(status) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_set_of_runs_can_be_shown(
        mut runs in prop::collection::vec(any_run(), 1..12),
        width in 0..150_u16,
        all_seeds in any::<bool>(),
    ) {
        // A second run with the same id would overwrite the first.
        let mut seen = std::collections::HashSet::new();
        runs.retain(|run| seen.insert(run.id.clone()));
        let sweep = directory();
        let comparison = compared(sweep.path(), &runs);
        let options = TableOptions { all_seeds, ..TableOptions::default() };
        let layout = Terminal { width, color: false };
        let texts = [
            terminal(&comparison, &options, layout),
            csv(&comparison, &options),
            markdown(&comparison, &options),
            json(&comparison, &options),
            Ok(notes(&comparison)),
            Ok(Pair::of(&comparison, &[sweep.path()]).map(|pair| show_pair(&pair, layout)).unwrap_or_default()),
        ];
        for text in texts {
            let text = text.expect("a text").replace(&sweep.path().display().to_string(), "");
            prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{}", text);
        }
        // Every run is in exactly one combination, as a run that counts or as a copy of one.
        let mut ids: Vec<_> = runs.iter().map(|run| run.id.clone()).collect();
        ids.sort();
        let datasets = || comparison.other_data.iter().chain([&comparison]);
        let combinations = || datasets().flat_map(|it| &it.combinations);
        let read = combinations().flat_map(|it| it.runs.iter().chain(&it.copies));
        let mut found: Vec<_> = read.map(|run| run.id.clone()).collect();
        found.extend(comparison.left_out.iter().filter_map(|it| Some(it.path.file_name()?.to_str()?.to_owned())));
        found.sort();
        prop_assert_eq!(found, ids);
        for standing in combinations().filter_map(|it| it.standing) {
            prop_assert!(!(standing.worse && standing.may_be_best));
            prop_assert_eq!(standing.may_be_best, standing.behind.0 == 0.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_key_and_value_stay_within_their_cell(
        values in prop::collection::vec(any::<String>(), 2..5),
        key in "[^\u{0}]{1,12}",
        width in 0..120_u16,
    ) {
        let sweep = directory();
        let escaped = |text: &str| -> String {
            text.chars().map(|character| format!("\\U{:08X}", u32::from(character))).collect()
        };
        let runs: Vec<_> = (1..).zip(&values).map(|(number, value)| SampleRun {
            id: format!("run-{number}"),
            config: format!("[odd]\n\"{}\" = \"{}\"\n", escaped(&key), escaped(value)),
            ..SampleRun::new(0.1, 1, number)
        }).collect();
        let comparison = compared(sweep.path(), &runs);
        prop_assert_eq!(&comparison.left_out, &[]);
        let options = TableOptions::default();
        let text = terminal(&comparison, &options, Terminal { width, color: false })
            .expect("a table") + &notes(&comparison);
        prop_assert!(!text.chars().any(|it| it.is_control() && it != '\n'), "{:?}", text);
        let table = csv(&comparison, &options).expect("CSV");
        let mut reader = ::csv::Reader::from_reader(table.as_bytes());
        // The reader fails if a record has another number of fields than the header.
        let rows = reader.records().collect::<Result<Vec<_>, _>>();
        prop_assert_eq!(rows.expect("rows").len(), comparison.combinations.len());
        let table = markdown(&comparison, &options).expect("Markdown");
        let borders = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        let columns = table.lines().next().map(borders);
        prop_assert!(table.lines().all(|line| Some(borders(line)) == columns), "{}", table);
        prop_assert_eq!(table.lines().count(), comparison.combinations.len() + 2);
        let text = json(&comparison, &options).expect("JSON");
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}

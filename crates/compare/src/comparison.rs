use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use kiln_statistics::{Spread, wilson};
use kiln_store::{Skipped, Status, StoreError, find};

use crate::answer::{Answer, NextStep};
use crate::column::{Column, SharedSetting};
use crate::columns::SettingsTable;
use crate::combination::{Combination, RunSummary};
use crate::effects::Effects;
use crate::error::Result;
use crate::judge::{Judgment, Judgments};
use crate::metric::AtEpoch;
use crate::ranking::{DEFAULT_METRIC, Ranking};
use crate::read::Read;
use crate::settings::FlatConfig;
use crate::verdict::Baseline;
use crate::{implied, judge, read};

/// How runs are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareOptions {
    /// The metric and epoch that rank the combinations.
    pub ranking: Ranking,
    /// The combination that the others are compared with: a run's directory, a run's id, or settings such as
    /// `learning_rate=0.01,hidden.repeat=2` that exactly one combination has.
    pub baseline: Option<String>,
    /// The significance level of the answer and the verdicts, above 0 and below 0.5.
    pub level: f64,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { ranking: Ranking::default(), baseline: None, level: 0.05 }
    }
}

/// The test accuracy of the best combination by validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectedTest {
    /// The mean over its seeds.
    pub accuracy: f64,
    /// Wilson's interval, which covers the choice of the test images, but not the variation between seeds.
    pub interval: (f64, f64),
    /// The number of test images.
    pub images: usize,
}

/// Runs on one dataset, grouped by their settings and ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The settings that differ between the runs, in the order of the configuration files.
    pub columns: Vec<Column>,
    /// The settings that are the same in all runs, in the same order.
    pub shared: Vec<SharedSetting>,
    /// The metric and epoch that rank the combinations.
    pub ranking: Ranking,
    /// The rows. Combinations whose runs all finished come first, then those with some finished runs, then the others.
    /// Each group is sorted by the mean of the metric that ranks, the best first.
    pub combinations: Vec<Combination>,
    /// The significance level of the answer and the verdicts.
    pub level: f64,
    /// Which combinations may be the best; `None` if fewer than two could be judged.
    pub answer: Option<Answer>,
    /// The next step that the caller proposes; see [`next_step`](Self::next_step). This crate sets none.
    pub proposal: Option<NextStep>,
    /// The effect of each setting, over all values of the others; empty if the combinations are no grid.
    pub effects: Effects,
    /// The baseline that was asked for.
    pub baseline: Option<Baseline>,
    /// The runs on other datasets: a comparison for each dataset, the one with the newest run first. `columns` and
    /// `combinations` are about the dataset of the newest run of all.
    pub other_data: Vec<Comparison>,
    /// The directories that could not be read, and why.
    pub left_out: Vec<Skipped>,
    /// Sentences that say which combinations were not judged and why.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Finds the runs below `paths` with [`find()`](find()), reads, ranks and judges them.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] if a path leads to no run or no run can be read,
    /// [`CompareError::Request`](crate::CompareError::Request) if no run has the metric that ranks, or if the baseline is
    /// not exactly one combination.
    pub fn read(paths: &[impl AsRef<Path>], options: &CompareOptions) -> Result<Self> {
        let mut comparison = Self::group_and_rank(paths, &options.ranking)?;
        comparison.check_metric()?;
        let baseline = options.baseline.as_deref();
        let baseline = baseline.map(|given| comparison.find_baseline(given)).transpose()?;
        for other in &mut comparison.other_data {
            other.level = options.level;
            judge::judge(other, None, &mut Judgment::default());
        }
        comparison.level = options.level;
        judge::judge(&mut comparison, baseline, &mut Judgment::default());
        Ok(comparison)
    }

    /// The runs below `paths` in the order of the default ranking, without the answer and the verdicts.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] if a path leads to no run or no run can be read.
    pub fn ranked(paths: &[impl AsRef<Path>]) -> Result<Self> {
        Self::group_and_rank(paths, &Ranking::default())
    }

    fn group_and_rank(paths: &[impl AsRef<Path>], ranking: &Ranking) -> Result<Self> {
        let found = find(paths)?;
        let read = read::read(&found.runs).without(found.left_out);
        if let (true, Some(first)) = (read.runs.is_empty(), read.left_out.first()) {
            let error = StoreError::NoRuns {
                path: first.path.clone(),
                problem: format!("no readable run: {}", first.problem),
            };
            return Err(error.into());
        }
        Ok(Self::group_by_dataset(read, ranking))
    }

    fn group_by_dataset(mut read: Read, ranking: &Ranking) -> Self {
        let left_out = std::mem::take(&mut read.left_out);
        let mut datasets = by_dataset(read).into_iter();
        let mut comparison = Self::group(datasets.next().unwrap_or_default(), ranking);
        comparison.other_data = datasets.map(|other| Self::group(other, ranking)).collect();
        comparison.left_out = left_out;
        comparison
    }

    /// Compares runs that were read; there may be none, and none may have the metric that ranks.
    pub(crate) fn of(read: Read, ranking: &Ranking, level: f64, known: &mut Judgments) -> Self {
        let mut comparison = Self::group_by_dataset(read, ranking);
        comparison.each_dataset(|dataset, each| {
            each.level = level;
            judge::judge(each, None, known.of_dataset(dataset));
        });
        comparison
    }

    /// Replaces the summaries of runs by new ones of the same runs, with the same settings, seeds and data. The result is that
    /// of [`of`](Self::of) with the new summaries. False, and no comparison any more, if a run is not there.
    pub(crate) fn replace(&mut self, runs: Vec<RunSummary>, known: &mut Judgments) -> bool {
        // By text: a path is hashed by its parts, which takes longer than everything else here.
        let text = |run: &RunSummary| run.directory.path().as_os_str().to_owned();
        let mut new: HashMap<OsString, RunSummary> =
            runs.into_iter().map(|run| (text(&run), run)).collect();
        self.each_dataset(|dataset, each| {
            for old in &mut each.combinations {
                let is_changed =
                    |run: &RunSummary| new.contains_key(run.directory.path().as_os_str());
                if !old.runs.iter().chain(&old.copies).any(is_changed) {
                    continue;
                }
                let runs = old.runs.drain(..).chain(old.copies.drain(..));
                let runs =
                    runs.map(|run| new.remove(run.directory.path().as_os_str()).unwrap_or(run));
                let runs = runs.collect();
                *old = combination(std::mem::take(&mut old.settings), runs);
            }
            let Self { ranking, combinations, .. } = each;
            ranking.read_direction(combinations.iter().flat_map(|one| &one.runs));
            ranking.sort(combinations);
            judge::judge(each, None, known.of_dataset(dataset));
        });
        new.is_empty()
    }

    /// Changes this comparison and those of the other datasets. Each has its number.
    fn each_dataset(&mut self, mut change: impl FnMut(usize, &mut Self)) {
        change(0, self);
        for (dataset, other) in (1..).zip(&mut self.other_data) {
            change(dataset, other);
        }
    }

    /// The combination to continue with: the best by validation among those whose runs all finished, else among those
    /// with some finished runs. Test results are not used. `None` if no finished run has the metric that ranks.
    #[must_use]
    pub fn selected(&self) -> Option<&Combination> {
        self.selected_index().map(|index| &self.combinations[index])
    }

    pub(crate) fn selected_index(&self) -> Option<usize> {
        // The combinations are already in the order of the ranking.
        self.combinations.iter().position(|combination| {
            combination.finished() > 0 && self.ranking.of(combination).is_some()
        })
    }

    /// The test accuracy of the [`selected`](Self::selected) combination. Only this one has an interval: it was selected
    /// without the test, and intervals of all would invite a selection with it. `None` if it was not tested.
    #[must_use]
    pub fn selected_test(&self) -> Option<SelectedTest> {
        let selected = self.selected()?;
        let mut tests = selected.runs.iter().filter_map(|run| run.test);
        let images = tests.next()?.examples;
        let accuracy = selected.spread(|run| Some(run.test?.accuracy))?.mean;
        // The same images test all seeds, so several seeds do not make them more.
        let right = (accuracy * images as f64).round() as usize;
        let interval = wilson(right, images, self.level)?;
        tests.all(|test| test.examples == images).then_some(SelectedTest {
            accuracy,
            interval,
            images,
        })
    }

    /// How much too high the ranked values of the finished runs are because each run's epoch was chosen by them, as the
    /// mean of [`Optimism::difference`](kiln_store::Optimism::difference). `None` unless the ranked values are accuracies
    /// of the kept epochs, and some run has measured it.
    #[must_use]
    pub fn optimism(&self) -> Option<Spread> {
        let is_measured =
            self.ranking.metric() == DEFAULT_METRIC && self.ranking.at() == AtEpoch::Kept;
        let finished = self.runs().filter(|run| is_measured && run.status == Status::Finished);
        Spread::of(finished.filter_map(|run| Some(run.optimism?.difference)))
    }

    /// The next step that would tell more about which combination is the best: the proposal of the caller, or else more
    /// seeds.
    #[must_use]
    pub fn next_step(&self) -> Option<NextStep> {
        let more_seeds = || {
            let more = self.answer.as_ref()?.more_seeds.as_ref()?;
            Some(NextStep { sentence: more.sentence(), command: more.command.clone() })
        };
        self.proposal.clone().or_else(more_seeds)
    }

    /// The run to continue with: the best finished run of the [`selected`](Self::selected) combination.
    #[must_use]
    pub fn best(&self) -> Option<&RunSummary> {
        let runs = self.selected()?.runs.iter().filter(|run| run.status == Status::Finished);
        let mut valued = runs.filter_map(|run| Some((run, self.ranking.of_run(run)?)));
        let first = valued.next()?;
        let better = |best: (_, f64), next: (_, f64)| {
            if self.ranking.better().improves(next.1, best.1, 0.0) { next } else { best }
        };
        Some(valued.fold(first, better).0)
    }

    /// Whether validation ranks the combinations. If no run has been validated, they are ordered by their settings.
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.ranking.has_values(&self.combinations)
    }

    /// The name of the dataset and the beginning of its fingerprint, which tells two versions of a dataset apart.
    #[must_use]
    pub fn data_name(&self) -> String {
        let name = |run: &RunSummary| {
            let start: String = run.fingerprint.chars().take(8).collect();
            format!("{} {start}", run.dataset)
        };
        self.runs().next().map(name).unwrap_or_default()
    }

    /// The metric that the answer and the verdicts compare.
    pub(crate) fn compared_metric(&self) -> &str {
        if self.is_ranked() { self.ranking.metric() } else { "test_accuracy" }
    }

    /// The runs that count, in the order of the combinations.
    pub fn runs(&self) -> impl Iterator<Item = &RunSummary> {
        self.combinations.iter().flat_map(|combination| &combination.runs)
    }

    /// A comparison without runs.
    pub(crate) fn empty() -> Self {
        Self::group(Read::default(), &Ranking::default())
    }

    /// Groups the runs on one dataset by their settings, and ranks them.
    fn group(read: Read, ranking: &Ranking) -> Self {
        let (runs, configurations): (Vec<_>, Vec<FlatConfig>) = read.runs.into_iter().unzip();
        let table = SettingsTable::new(&configurations);
        let differing = table.differing();
        let mut groups: HashMap<Vec<Option<&str>>, Vec<RunSummary>> = HashMap::new();
        for (run, row) in runs.into_iter().zip(&table.rows) {
            let settings = differing.iter().map(|column| row[*column].as_deref()).collect();
            groups.entry(settings).or_default().push(run);
        }
        let combinations = groups.into_iter().map(|(settings, runs)| {
            let settings = settings.into_iter().map(|value| value.map(str::to_owned)).collect();
            combination(settings, runs)
        });
        let combinations: Vec<_> = combinations.collect();
        let mut columns: Vec<_> =
            differing.iter().map(|column| table.columns[*column].clone()).collect();
        implied::mark(&mut columns, &combinations);
        let shared = table.shared().into_iter().filter_map(|column| {
            let value = table.rows.first()?[column].as_deref()?.to_owned();
            Some(SharedSetting { column: table.columns[column].clone(), value })
        });
        let mut comparison = Self {
            shared: shared.collect(),
            columns,
            ranking: ranking.clone(),
            combinations,
            level: CompareOptions::default().level,
            answer: None,
            proposal: None,
            effects: Effects::default(),
            baseline: None,
            other_data: Vec::new(),
            left_out: read.left_out,
            notes: Vec::new(),
        };
        let Self { ranking, combinations, .. } = &mut comparison;
        ranking.read_direction(combinations.iter().flat_map(|one| &one.runs));
        ranking.sort(combinations);
        comparison
    }
}

/// Splits the runs by their dataset, that of the newest run first.
fn by_dataset(read: Read) -> Vec<Read> {
    let mut datasets: Vec<Read> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (run, configuration) in read.runs {
        let place = *places.entry(run.fingerprint.clone()).or_insert(datasets.len());
        if place == datasets.len() {
            datasets.push(Read::default());
        }
        datasets[place].runs.push((run, configuration));
    }
    datasets.sort_by_key(|dataset| Reverse(dataset.runs.iter().map(|(run, _)| run.started).max()));
    datasets
}

/// The combination of these runs. Of several runs with the same seed, the one that got furthest counts.
fn combination(settings: Vec<Option<String>>, mut runs: Vec<RunSummary>) -> Combination {
    let rank = |run: &RunSummary| (run.seed, run.status != Status::Finished, Reverse(run.epochs));
    runs.sort_by(|left, right| {
        let by_path = || left.directory.path().cmp(right.directory.path());
        rank(left).cmp(&rank(right)).then_with(|| left.id.cmp(&right.id)).then_with(by_path)
    });
    let mut copies = Vec::new();
    let mut counting: Vec<RunSummary> = Vec::with_capacity(runs.len());
    for run in runs {
        match counting.last() {
            Some(last) if last.seed == run.seed => copies.push(run),
            _ => counting.push(run),
        }
    }
    Combination { settings, runs: counting, copies, standing: None, verdict: None }
}

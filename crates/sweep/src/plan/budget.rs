//! The time of a sweep with a budget: how much is used, and how it is divided.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_config::ConfigError;
use kiln_store::{duration, files, hidden, versioned};
use serde::{Deserialize, Serialize};

use crate::declaration::{SearchEnd, Sweep};
use crate::error::SweepError;
use crate::plan::{Plan, RunState};
use crate::race::{RaceResult, result_of, without_seed};

/// The format version that this build writes, and the newest that it reads.
const VERSION: u32 = 1;
/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 16;
/// The time between two writes of the file.
const WRITE: Duration = Duration::from_secs(3);

/// The largest share of the budget that is kept for the race.
const RACE_SHARE: f64 = 1.0 / 3.0;
/// The largest and the smallest number of samples that race.
const RACING: (usize, usize) = (10, 2);
/// The number of seeds of each at the first look of the race, and at the last.
const SEEDS: (usize, usize) = (3, 10);
/// If so many complete runs fit into the search, none is pruned.
const FULL_RUNS: f64 = 30.0;
/// A run takes up to this multiple of what is expected, because others share the machine.
const MARGIN: f64 = 1.15;

/// The time of a sweep with a budget.
#[derive(Debug)]
pub struct Budget {
    /// The seconds that the sweep has.
    pub seconds: f64,
    /// Whether the sweep is in its second stage, the race.
    pub is_race: bool,
    path: PathBuf,
    clock: Mutex<Clock>,
}

#[derive(Debug)]
struct Clock {
    /// The seconds that were used when this process began to work; after that, the clock of this process counts.
    before: f64,
    started: Option<Instant>,
    written: Option<Instant>,
}

/// `.kiln/budget-KEY.json`
#[derive(Debug, Serialize, Deserialize)]
struct UsedTime {
    seconds: f64,
}

/// What the runs of a search have cost so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunCost {
    /// The mean seconds of a complete run.
    pub(crate) mean: f64,
    /// The seconds of the cheapest one.
    pub(crate) least: f64,
}

impl Budget {
    pub(super) fn new(directory: &Path, key: &str, seconds: f64, is_race: bool) -> Self {
        let path = path(directory, key);
        let clock = Clock { before: read(&path), started: None, written: None };
        Self { seconds, is_race, path, clock: Mutex::new(clock) }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seconds that the workers of the sweep have used.
    #[must_use]
    pub fn used(&self) -> f64 {
        self.clock().used()
    }

    /// Whether no time is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used() >= self.seconds
    }

    /// Reads the time that the workers of the sweep have used, if this process is none of them.
    pub(crate) fn read_used(&self) {
        self.clock().before = read(&self.path);
    }

    /// Counts the time from now on as used.
    pub(crate) fn start(&self) {
        let mut clock = self.clock();
        if clock.started.is_none() {
            (clock.before, clock.started) = (read(&self.path), Some(Instant::now()));
        }
    }

    /// Writes the time that is used, now and then, and takes over what other workers have written.
    pub(crate) fn tick(&self) {
        let mut clock = self.clock();
        if clock.written.is_none_or(|written| written.elapsed() >= WRITE) {
            self.write(&mut clock);
        }
    }

    /// Stops counting.
    pub(crate) fn stop(&self) {
        let mut clock = self.clock();
        if clock.started.is_some() {
            self.write(&mut clock);
            (clock.before, clock.started) = (clock.used(), None);
        }
    }

    fn write(&self, clock: &mut Clock) {
        clock.written = Some(Instant::now());
        let (own, others) = (clock.used(), read(&self.path));
        if others > own {
            // Other workers began earlier.
            clock.before += others - own;
            return;
        }
        // Without the file, a resumed sweep has the time again.
        if let Ok(text) = versioned::to_checked_json(VERSION, &UsedTime { seconds: own }) {
            let _ = files::write(&self.path, text);
        }
    }

    /// The seconds after which the search ends, if its runs cost this and so many are trained at a time.
    pub(crate) fn search_seconds(&self, cost: Option<RunCost>, jobs: usize) -> f64 {
        let Some(RunCost { mean, .. }) = cost else { return self.seconds };
        let of_runs = |runs: usize| MARGIN * mean * runs.div_ceil(jobs.max(1)) as f64;
        let race = self.seconds * RACE_SHARE;
        if of_runs(RACING.1 * SEEDS.0) > race {
            return self.seconds;
        }
        self.seconds - race.min(of_runs(RACING.0 * SEEDS.1))
    }

    /// Whether so few complete runs fit into the search that runs are pruned.
    pub(crate) fn prunes(&self, cost: Option<RunCost>, jobs: usize) -> bool {
        let seconds = self.search_seconds(cost, jobs);
        cost.is_none_or(|cost| seconds * jobs as f64 / cost.mean < FULL_RUNS)
    }

    /// The number of samples that can race with the seeds of the first look in the time that is left; 0 if there is no time
    /// for a race. `seconds` are the costs of a run of each, the best one first.
    fn racing(&self, seconds: &[f64], jobs: usize) -> usize {
        let left = self.seconds - self.used();
        let fits = |samples: usize| {
            let mean = seconds[..samples].iter().sum::<f64>() / samples as f64;
            MARGIN * mean * (samples * SEEDS.0).div_ceil(jobs.max(1)) as f64 <= left
        };
        (RACING.1..=RACING.0.min(seconds.len())).rev().find(|it| fits(*it)).unwrap_or(0)
    }

    /// What the sweep does with its time, if its runs cost this.
    pub(crate) fn outlook(&self, cost: RunCost, jobs: usize) -> Outlook {
        let search = self.search_seconds(Some(cost), jobs);
        let race = self.seconds - search;
        let prunes = self.prunes(Some(cost), jobs);
        let fits = |samples: usize| {
            MARGIN * cost.mean * (samples * SEEDS.0).div_ceil(jobs.max(1)) as f64 <= race
        };
        Outlook {
            search_seconds: search,
            full_runs: (search * jobs as f64 / cost.mean) as usize,
            prunes,
            racing: (RACING.1..=RACING.0).rev().find(|it| fits(*it)).unwrap_or(0),
        }
    }
}

/// What a sweep with a budget expects to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The seconds of the search.
    pub search_seconds: f64,
    /// The complete runs that fit into it.
    pub full_runs: usize,
    /// Whether runs are pruned, so that more samples fit.
    pub prunes: bool,
    /// The samples that race in the rest of the time; 0 if there is no time for a race.
    pub racing: usize,
}

impl Clock {
    fn used(&self) -> f64 {
        self.before + self.started.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }
}

fn path(directory: &Path, key: &str) -> PathBuf {
    hidden(directory).join(format!("budget-{key}.json"))
}

fn read(path: &Path) -> f64 {
    let text = files::read(path, MAX_BYTES);
    let used = text.and_then(|text| versioned::parse_checked::<UsedTime>(path, &text, VERSION));
    used.map_or(0.0, |used| used.seconds).max(0.0)
}

impl Sweep {
    /// Whether the sweep has a budget and has used it up.
    pub(crate) fn is_out_of_time(&self, directory: &Path) -> Result<bool, ConfigError> {
        let (Some(budget), Some(files)) = (self.budget(), self.sample_files(directory)?) else {
            return Ok(false);
        };
        Ok(read(&path(directory, files.key())) >= budget.seconds)
    }
}

impl Plan {
    /// Whether the time decides how many runs there will be: the sweep has a budget, and its search is not over.
    pub(crate) fn is_searching_in_time(&self) -> bool {
        let has_time = |budget: &Budget| !budget.is_race && !budget.is_over();
        self.budget.as_ref().is_some_and(has_time) && self.samples_left() > 0
    }

    /// Ends the search of a sweep with a budget: decides which samples race, unless another worker has. Returns the plan of the
    /// race; `None` if there is none. `overhead` is the mean seconds that a process spends apart from its epochs.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::new`].
    pub fn next_stage(
        &self,
        jobs: NonZeroUsize,
        overhead: f64,
    ) -> Result<Option<Self>, SweepError> {
        let (Some(budget), Some(sampling)) = (&self.budget, &self.sampling) else {
            return Ok(None);
        };
        // Other workers may have drawn samples since this one had room for a run.
        self.read_samples()?;
        let sweep = sampling.sweep();
        let mut finished: Vec<(f64, f64, String)> = Vec::new();
        for point in sweep.expand_all()?.points {
            let identity = point.declaration.experiment.identity()?;
            let Some(run) = self.runs.iter().find(|run| run.experiment_hash == identity) else {
                continue;
            };
            let is_finished = RunState::read(self, run) == RunState::Finished;
            let seconds = self.run_record(run).and_then(|record| record.training_seconds);
            if let (true, Some(seconds), RaceResult::Value(value)) =
                (is_finished, seconds, result_of(&self.path_of(run)))
            {
                finished.push((value, seconds, without_seed(&point.declaration.experiment)?));
            }
        }
        // The sort is stable, so of equal samples the first ones are chosen.
        finished.sort_by(|(left, ..), (right, ..)| right.total_cmp(left));
        let seconds: Vec<f64> =
            finished.iter().map(|(_, seconds, _)| overhead + *seconds).collect();
        let racing = budget.racing(&seconds, jobs.get());
        let racing = finished.into_iter().take(racing).map(|(.., identity)| identity).collect();
        let samples = sweep.adaptive().map_or(0, |random| random.known());
        Sweep::end_search(sampling.files(), SearchEnd { samples, racing });
        let next = Self::new(
            &sweep.search_with_budget(),
            &self.data_directory,
            &self.runs_directory,
            sampling.memory(),
        )?;
        Ok(next.race.is_some().then_some(next))
    }

    /// The error about a budget in which no run can complete. `seconds` is what the cheapest run takes.
    #[must_use]
    pub fn budget_error(&self, seconds: f64) -> Option<ConfigError> {
        let sampling = self.sampling.as_ref()?;
        let sweep = sampling.sweep();
        let budget = sweep.budget()?;
        let message =
            format!("this budget is too short: one run takes about {}", duration(seconds));
        let fits = duration((FULL_RUNS * seconds / 60.0).ceil() * 60.0);
        let help =
            format!("for {FULL_RUNS} complete runs: {fits} or more; or lower training.epochs");
        Some(budget.key.key_error(message).help(help))
    }

    /// What a sweep with a budget expects to do with its time, if its runs take these seconds on average and at least.
    #[must_use]
    pub fn outlook(&self, mean: f64, least: f64, jobs: NonZeroUsize) -> Option<Outlook> {
        Some(self.budget.as_ref()?.outlook(RunCost { mean, least }, jobs.get()))
    }

    /// Whether a worker has ended the search of a sweep with a budget.
    pub(crate) fn has_ended_search(&self) -> bool {
        self.sampling.as_ref().is_some_and(|sampling| Sweep::has_ended_search(sampling.files()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(seconds: f64) -> Budget {
        let directory = Path::new("/nonexistent");
        Budget::new(directory, "key", seconds, false)
    }

    fn cost(mean: f64) -> Option<RunCost> {
        Some(RunCost { mean, least: mean })
    }

    #[test]
    fn a_third_is_for_the_race_unless_it_needs_less_or_does_not_fit() {
        let budget = budget(1200.0);
        // 10 samples with 10 seeds at 2 s in two jobs take 100 s.
        assert_eq!(budget.search_seconds(cost(2.0), 2), 1200.0 - 100.0 * MARGIN);
        assert_eq!(budget.search_seconds(cost(20.0), 2), 800.0);
        // Six runs in two jobs take the time of three.
        assert_eq!(budget.search_seconds(cost(140.0), 2), 1200.0);
        assert_eq!(budget.search_seconds(None, 2), 1200.0);
        assert!(!budget.prunes(cost(2.0), 2));
        assert!(budget.prunes(cost(60.0), 2) && budget.prunes(None, 2));
    }

    #[test]
    fn as_many_samples_race_as_have_time_for_the_first_look() {
        let budget = budget(100.0);
        assert_eq!(budget.racing(&[1.0; 30], 1), 10);
        assert_eq!(budget.racing(&[1.0; 4], 1), 4);
        // 3 · 3 runs of 9 s take 81 s, 4 · 3 take 108 s.
        assert_eq!(budget.racing(&[9.0; 30], 1), 3);
        assert_eq!(budget.racing(&[50.0; 30], 1), 0);
        assert_eq!(budget.racing(&[1.0], 1), 0);
    }
}

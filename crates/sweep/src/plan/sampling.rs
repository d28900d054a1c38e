//! The samples that are drawn from the results of earlier ones.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kiln_config::ConfigError;
use kiln_store::{Direction, RunDirectory, files, hidden};
use kiln_train::MachineMemory;

use crate::decision_files::DecisionFiles;
use crate::declaration::{DrawnSample, Expansion, Sweep, as_arguments};
use crate::error::SweepError;
use crate::plan::planner::Planner;
use crate::plan::{Plan, PlannedRun, RunState};
use crate::samplers::{Observation, SampleResult};

/// How often the sampler is asked for candidates before the space counts as exhausted.
const MAX_ASKED: usize = 100;

/// The samples of a plan.
#[derive(Debug)]
pub(crate) struct Sampling {
    files: DecisionFiles,
    memory: MachineMemory,
    state: Mutex<SamplingState>,
}

#[derive(Debug)]
struct SamplingState {
    /// The declaration with the samples that are in the plan.
    sweep: Sweep,
    /// The runs of each sample.
    runs: HashMap<usize, Vec<usize>>,
    /// The results of the samples that are done.
    results: HashMap<usize, SampleResult>,
}

impl Sampling {
    pub(super) fn new(
        sweep: &Sweep,
        files: DecisionFiles,
        runs: &[PlannedRun],
        memory: MachineMemory,
    ) -> Self {
        let mut of_samples: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, run) in runs.iter().enumerate() {
            of_samples.entry(run.sample.unwrap_or_default()).or_default().push(index);
        }
        let state =
            SamplingState { sweep: sweep.clone(), runs: of_samples, results: HashMap::new() };
        Self { files, memory, state: Mutex::new(state) }
    }

    pub(super) fn sweep(&self) -> Sweep {
        self.state().sweep.clone()
    }

    pub(super) fn files(&self) -> &DecisionFiles {
        &self.files
    }

    pub(super) fn memory(&self) -> MachineMemory {
        self.memory
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SamplingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    /// The number of samples that are not drawn yet, because they depend on results.
    #[must_use]
    pub fn samples_left(&self) -> usize {
        let Some(sampling) = &self.sampling else { return 0 };
        sampling.state().sweep.samples_left()
    }

    /// The number of runs that samples that are not drawn yet will have; 0 if a budget decides how many there are.
    #[must_use]
    pub fn runs_to_draw(&self) -> usize {
        // With a budget, the number of samples is not known.
        let Some(sampling) = self.sampling.as_ref().filter(|_| self.budget.is_none()) else {
            return 0;
        };
        self.samples_left() * sampling.state().sweep.runs_per_sample()
    }

    /// Adds the samples that other workers have drawn. Returns their runs.
    ///
    /// # Errors
    ///
    /// The data of a run cannot be read.
    pub(crate) fn read_samples(&self) -> Result<Vec<usize>, SweepError> {
        let Some(sampling) = &self.sampling else { return Ok(Vec::new()) };
        let mut state = sampling.state();
        let mut added = Vec::new();
        while state.sweep.samples_left() > 0 {
            if !state.sweep.read_sample(&sampling.files) {
                break;
            }
            added.extend(self.add_last_sample(sampling, &mut state)?);
        }
        Ok(added)
    }

    /// Draws the next sample from the results of those that are done. Returns its runs.
    ///
    /// # Errors
    ///
    /// No combination is left that can be trained, or the data of a run cannot be read.
    pub(crate) fn draw_sample(&self) -> Result<Vec<usize>, SweepError> {
        let Some(sampling) = &self.sampling else { return Ok(Vec::new()) };
        let mut state = sampling.state();
        if state.sweep.samples_left() == 0 {
            return Ok(Vec::new());
        }
        let observations = self.observations(&mut state)?;
        let own = self.choose(sampling, &state.sweep, &observations)?;
        files::create_directories(&hidden(&self.directory))?;
        state.sweep.add_sample(&sampling.files, own);
        self.add_last_sample(sampling, &mut state)
    }

    /// The known samples in their order, with their results.
    fn observations(&self, state: &mut SamplingState) -> Result<Vec<Observation>, ConfigError> {
        let points = state.sweep.adaptive().map_or(Ok(Vec::new()), |random| random.points())?;
        let mut observations = Vec::new();
        for (sample, point) in points.into_iter().enumerate() {
            // Its runs are excluded or cannot be trained, so nothing is known about it.
            let Some(runs) = state.runs.get(&sample) else { continue };
            let known = state.results.get(&sample).copied();
            let result = known.unwrap_or_else(|| self.result_of_sample(&state.sweep, runs));
            if result != SampleResult::Running {
                state.results.insert(sample, result);
            }
            observations.push(Observation { point, result });
        }
        Ok(observations)
    }

    /// The result of a sample: that of its worst run, or the mean if all have finished.
    fn result_of_sample(&self, sweep: &Sweep, runs: &[usize]) -> SampleResult {
        let results: Vec<SampleResult> =
            runs.iter().map(|run| self.result_of_run(sweep, &self.runs[*run])).collect();
        if results.contains(&SampleResult::Running) {
            return SampleResult::Running;
        }
        if results.contains(&SampleResult::Diverged) {
            return SampleResult::Diverged;
        }
        let pruned = results.iter().filter_map(|result| match result {
            SampleResult::Pruned(epochs, value) => Some((*epochs, *value)),
            _ => None,
        });
        if let Some((epochs, value)) = pruned.min_by_key(|(epochs, _)| *epochs) {
            return SampleResult::Pruned(epochs, value);
        }
        let values = results.iter().filter_map(|result| match result {
            SampleResult::Value(value) => Some(*value),
            _ => None,
        });
        SampleResult::Value(values.sum::<f64>() / results.len() as f64)
    }

    fn result_of_run(&self, sweep: &Sweep, run: &PlannedRun) -> SampleResult {
        let Some(metric) = sweep.adaptive().map(|random| random.metric) else {
            return SampleResult::Running;
        };
        let sign = match metric.better() {
            Direction::Higher => 1.0,
            Direction::Lower => -1.0,
        };
        let directory = RunDirectory::at(&self.path_of(run));
        let value_at = |epoch: usize| {
            let history = directory.read_history().ok()?;
            let row = history.rows.iter().find(|row| row.epoch == epoch)?;
            Some(sign * metric.of(row)?)
        };
        match RunState::read(self, run) {
            RunState::Finished => {
                // The epoch whose weights were kept.
                let kept = directory.read_report().ok().flatten().map(|report| report.epoch);
                kept.and_then(value_at).map_or(SampleResult::Diverged, SampleResult::Value)
            }
            RunState::Pruned(epoch) => SampleResult::Pruned(epoch, value_at(epoch)),
            RunState::Diverged => SampleResult::Diverged,
            RunState::Missing
            | RunState::Unfinished
            | RunState::Running
            | RunState::Unreadable(_) => SampleResult::Running,
        }
    }

    /// The best proposal of the sampler that is new, not excluded and can be trained.
    fn choose(
        &self,
        sampling: &Sampling,
        sweep: &Sweep,
        observations: &[Observation],
    ) -> Result<DrawnSample, SweepError> {
        let none = "no combination is left that can be trained and was not drawn before";
        let none = ConfigError::new(none)
            .help("lower `count`, or give the keys wider bounds or more values");
        let Some(random) = sweep.adaptive() else { return Err(none.into()) };
        let known: Vec<String> = random.samples()?.iter().map(|it| as_arguments(it)).collect();
        let mut planner = self.planner(sampling.memory);
        let space = random.space();
        let mut numbers = random.random_for(random.known());
        let running = observations.iter().filter(|it| it.result == SampleResult::Running).count();
        for _ in 0..MAX_ASKED {
            for point in random.sampler.propose(&space, observations, &mut numbers) {
                if known.contains(&as_arguments(&random.settings(&point)?)) {
                    continue;
                }
                let Some(expansion) = sweep.expand_sample(random.known(), &point)? else {
                    continue;
                };
                if expansion.invalid.is_empty() && planner.plan_all(expansion)?.invalid.is_empty() {
                    return Ok(DrawnSample {
                        sampler: random.sampler.name().to_owned(),
                        values: random.values(&point)?,
                        finished: observations.len() - running,
                        running,
                    });
                }
            }
        }
        Err(none.into())
    }

    /// Adds the runs of the last sample of the declaration to the plan.
    fn add_last_sample(
        &self,
        sampling: &Sampling,
        state: &mut SamplingState,
    ) -> Result<Vec<usize>, SweepError> {
        let Some(random) = state.sweep.adaptive() else { return Ok(Vec::new()) };
        let sample = random.known() - 1;
        let point = random.points()?.pop().unwrap_or_default();
        let expansion = state.sweep.expand_sample(sample, &point)?;
        // It was checked when it was drawn. What cannot be trained here, such as for lack of memory, another worker trains.
        let Some(Expansion { points, .. }) = expansion else { return Ok(Vec::new()) };
        let mut planner = self.planner(sampling.memory);
        let planned = planner.plan_all(Expansion { points, invalid: Vec::new() })?;
        let ids: Vec<&str> = self.runs.iter().map(|run| run.id.as_str()).collect();
        let is_new = |run: &PlannedRun| !ids.contains(&run.id.as_str());
        let new: Vec<PlannedRun> = planned.runs.into_iter().filter(is_new).collect();
        let added: Vec<usize> = new.into_iter().filter_map(|run| self.runs.push(run)).collect();
        state.runs.insert(sample, added.clone());
        Ok(added)
    }

    fn planner(&self, memory: MachineMemory) -> Planner<'_> {
        Planner::new(
            &self.directory,
            &self.data_directory,
            self.known_datasets.clone(),
            self.prune,
            false,
            memory,
        )
    }
}

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_data::Dataset;
use kiln_train::{Declaration, Speed, TrainError};

use crate::plan::{Plan, PlannedRun, Workload};

/// How long each measured workload is trained.
const MEASUREMENT: Duration = Duration::from_millis(250);
/// The largest number of workloads that are measured. The speed of the others is interpolated.
const MAX_MEASURED: usize = 8;

/// A prediction of how long the runs of a plan take on this machine.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Seconds of each run, in the order of the plan, if it trains all its epochs itself.
    pub runs: Vec<f64>,
    /// Seconds of the training steps of an epoch of each run.
    steps: Vec<f64>,
}

impl Estimate {
    /// Trains the plan's networks for a short time. It measures `jobs` of them at once, as the sweep trains them,
    /// because processes that share caches and memory are slower than one alone. A step has `threads` threads, unless
    /// `device.threads` is set.
    ///
    /// # Errors
    ///
    /// Those of [`Speed::measure`].
    pub fn measure(
        plan: &Plan,
        jobs: NonZeroUsize,
        threads: NonZeroUsize,
    ) -> Result<Self, TrainError> {
        let mut order: Vec<usize> = (0..plan.workloads.len()).collect();
        order.sort_by_key(|workload| plan.workloads[*workload].step_flops);
        let chosen = evenly_spaced(order.len(), MAX_MEASURED);
        // More threads than cores would only wait for each other and measure the same.
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = jobs.get().min(plan.runs.len()).min(cores);
        let mut datasets = Datasets::default();
        let mut measured = Vec::new();
        for place in chosen {
            let Workload { declaration, architecture, .. } = &plan.workloads[order[place]];
            let dataset = datasets.get(declaration, &plan.data_directory)?;
            let measure =
                || Speed::measure(declaration, &dataset, architecture, threads, MEASUREMENT);
            measured.push((place, mean_in_parallel(jobs, measure)?));
        }
        let mut speeds = vec![Speed { step: 0.0, evaluated_image: 0.0 }; plan.workloads.len()];
        for (place, workload) in order.iter().enumerate() {
            let flops = |place: usize| plan.workloads[order[place]].step_flops as f64;
            speeds[*workload] = interpolate(&measured, place, flops);
        }
        let seconds = |run: &PlannedRun| {
            let speed = speeds[run.workload];
            let evaluation = run.evaluated_images as f64 * speed.evaluated_image;
            let epoch = run.steps as f64 * speed.step + evaluation;
            let test = run.test_images as f64 * speed.evaluated_image;
            datasets.slowest_read + run.epochs as f64 * epoch + test
        };
        let steps = |run: &PlannedRun| run.steps as f64 * speeds[run.workload].step;
        Ok(Self {
            runs: plan.runs.iter().map(seconds).collect(),
            steps: plan.runs.iter().map(steps).collect(),
        })
    }

    /// Seconds until the runs of the plan with these indices are done, if `jobs` are trained at a time and the longest start
    /// first. Runs with the same training train their epochs once.
    #[must_use]
    pub fn total(&self, plan: &Plan, runs: &[usize], jobs: NonZeroUsize) -> f64 {
        let set: HashSet<usize> = runs.iter().copied().collect();
        let own = |run: &usize| {
            self.runs[*run] - self.steps[*run] * plan.epochs_of_others(*run, &set) as f64
        };
        let mut seconds: Vec<f64> = runs.iter().map(own).collect();
        seconds.sort_by(|left, right| right.total_cmp(left));
        // Each run starts as soon as a job is free. The heap holds the times at which jobs become free, in whole
        // microseconds, because f64 does not implement Ord.
        let mut free_at: BinaryHeap<Reverse<u64>> =
            std::iter::repeat_n(Reverse(0), jobs.get().min(seconds.len().max(1))).collect();
        let mut end = 0;
        for run in seconds {
            let Reverse(start) = free_at.pop().unwrap_or(Reverse(0));
            let done = u64::saturating_add(start, (run * 1e6) as u64);
            free_at.push(Reverse(done));
            end = end.max(done);
        }
        end as f64 / 1e6
    }
}

/// The datasets that the measurement has read.
#[derive(Default)]
struct Datasets {
    by_reading: HashMap<String, Arc<Dataset>>,
    /// Seconds that the slowest dataset took. Apart from training and testing, a run spends its time on reading its
    /// data.
    slowest_read: f64,
}

impl Datasets {
    fn get(&mut self, declaration: &Declaration, data: &Path) -> Result<Arc<Dataset>, TrainError> {
        let key = declaration.experiment.data.reading();
        if let Some(dataset) = self.by_reading.get(&key) {
            return Ok(Arc::clone(dataset));
        }
        let started = Instant::now();
        let dataset = Arc::new(declaration.dataset(data)?);
        self.slowest_read = self.slowest_read.max(started.elapsed().as_secs_f64());
        self.by_reading.insert(key, Arc::clone(&dataset));
        Ok(dataset)
    }
}

/// At most `max` evenly spaced indices below `count`, including the first and the last.
fn evenly_spaced(count: usize, max: usize) -> Vec<usize> {
    if count <= max {
        return (0..count).collect();
    }
    (0..max).map(|index| index * (count - 1) / (max - 1)).collect()
}

/// The speed of the workload at `place` in the order of costs, linear in `flops` between the measured places around it.
fn interpolate(measured: &[(usize, Speed)], place: usize, flops: impl Fn(usize) -> f64) -> Speed {
    let after = measured.partition_point(|(known, _)| *known < place).min(measured.len() - 1);
    let (upper, slower) = measured[after];
    let (lower, faster) = measured[after.saturating_sub(1)];
    let width = flops(upper) - flops(lower);
    // The width is 0 for the cheapest workload, which has no lower neighbor, and between workloads of equal cost.
    let share = if width > 0.0 { (flops(place) - flops(lower)) / width } else { 1.0 };
    Speed {
        step: faster.step + share * (slower.step - faster.step),
        evaluated_image: faster.evaluated_image
            + share * (slower.evaluated_image - faster.evaluated_image),
    }
}

/// The mean of `jobs` measurements that run at the same time.
fn mean_in_parallel(
    jobs: usize,
    measure: impl Fn() -> Result<Speed, TrainError> + Sync,
) -> Result<Speed, TrainError> {
    let speeds = std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, &measure);
        // If the system refuses another thread, the threads that started measure alone.
        let threads: Vec<_> = (1..jobs).map_while(|job| start(job).ok()).collect();
        let own = measure();
        let others = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).collect::<Result<Vec<Speed>, TrainError>>()
    })?;
    let mean =
        |value: fn(&Speed) -> f64| speeds.iter().map(value).sum::<f64>() / speeds.len() as f64;
    Ok(Speed {
        step: mean(|speed| speed.step),
        evaluated_image: mean(|speed| speed.evaluated_image),
    })
}

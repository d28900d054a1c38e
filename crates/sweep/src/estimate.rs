use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kiln_data::Dataset;
use kiln_train::{Declaration, Speed, TrainError};

use crate::plan::{Member, Plan, Workload};

/// How long the measurement trains each of the workloads that it tries.
const MEASURED: Duration = Duration::from_millis(250);
/// More different workloads than this are not all tried: the others lie between those that were.
const MOST_MEASURED: usize = 8;

/// How long the runs of a plan take here, from a short measurement.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Seconds of each member's run.
    pub runs: Vec<f64>,
}

impl Estimate {
    /// Trains the plan's networks for a moment, `jobs` at a time as the sweep will: cores that share
    /// caches and memory are slower than one alone.
    ///
    /// # Errors
    ///
    /// Those of [`Speed::measure`].
    pub fn measure(plan: &Plan, jobs: NonZeroUsize) -> Result<Self, TrainError> {
        let mut order: Vec<usize> = (0..plan.workloads.len()).collect();
        order.sort_by_key(|workload| plan.workloads[*workload].step_flops);
        let chosen = spread(order.len(), MOST_MEASURED);
        // As many as there will be; beyond the cores, more would tell nothing new.
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = jobs.get().min(plan.members.len()).min(cores);
        let mut datasets = Datasets::default();
        let mut known = Vec::new();
        for place in chosen {
            let Workload { declaration, architecture, .. } = &plan.workloads[order[place]];
            let dataset = datasets.get(declaration, &plan.data)?;
            let measure = || Speed::measure(declaration, &dataset, architecture, MEASURED);
            known.push((place, at_once(jobs, measure)?));
        }
        let mut speeds = vec![Speed { step: 0.0, evaluated_image: 0.0 }; plan.workloads.len()];
        for (place, workload) in order.iter().enumerate() {
            let flops = |place: usize| plan.workloads[order[place]].step_flops as f64;
            speeds[*workload] = between(&known, place, flops);
        }
        let seconds = |member: &Member| {
            let speed = speeds[member.workload];
            let epoch =
                member.steps as f64 * speed.step + member.evaluated as f64 * speed.evaluated_image;
            datasets.seconds
                + member.epochs as f64 * epoch
                + member.tested as f64 * speed.evaluated_image
        };
        Ok(Self { runs: plan.members.iter().map(seconds).collect() })
    }

    /// Seconds until all of these runs are done with `jobs` at a time, the longest begun first.
    #[must_use]
    pub fn total(&self, members: &[usize], jobs: NonZeroUsize) -> f64 {
        let mut seconds: Vec<f64> = members.iter().map(|member| self.runs[*member]).collect();
        seconds.sort_by(|left, right| right.total_cmp(left));
        // Each run goes to the core that is free first. Whole microseconds have an order, f64 has none.
        let mut cores: BinaryHeap<Reverse<u64>> =
            std::iter::repeat_n(Reverse(0), jobs.get().min(seconds.len().max(1))).collect();
        let mut end = 0;
        for run in seconds {
            let Reverse(free) = cores.pop().unwrap_or(Reverse(0));
            let done = u64::saturating_add(free, (run * 1e6) as u64);
            cores.push(Reverse(done));
            end = end.max(done);
        }
        end as f64 / 1e6
    }
}

/// The datasets that were read for the measurement, and how long the slowest took: reading its data is
/// nearly all that a run does beside training and testing.
#[derive(Default)]
struct Datasets {
    read: HashMap<String, Arc<Dataset>>,
    seconds: f64,
}

impl Datasets {
    fn get(&mut self, declaration: &Declaration, data: &Path) -> Result<Arc<Dataset>, TrainError> {
        let source = &declaration.experiment.data.source;
        if let Some(dataset) = self.read.get(source) {
            return Ok(Arc::clone(dataset));
        }
        let begun = Instant::now();
        let dataset = Arc::new(declaration.dataset(data)?);
        self.seconds = self.seconds.max(begun.elapsed().as_secs_f64());
        self.read.insert(source.clone(), Arc::clone(&dataset));
        Ok(dataset)
    }
}

/// At most `most` of the places from 0 to `count`, evenly, with both ends.
fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|index| index * (count - 1) / (most - 1)).collect()
}

/// The speed at a place, from those known at other places, in proportion to `flops` between them.
fn between(known: &[(usize, Speed)], place: usize, flops: impl Fn(usize) -> f64) -> Speed {
    let after = known.partition_point(|(known, _)| *known < place).min(known.len() - 1);
    let (upper, fast) = known[after];
    let (lower, slow) = known[after.saturating_sub(1)];
    let width = flops(upper) - flops(lower);
    let share = if width > 0.0 { (flops(place) - flops(lower)) / width } else { 1.0 };
    Speed {
        step: slow.step + share * (fast.step - slow.step),
        evaluated_image: slow.evaluated_image
            + share * (fast.evaluated_image - slow.evaluated_image),
    }
}

/// The mean of `jobs` measurements at the same time.
fn at_once(
    jobs: usize,
    measure: impl Fn() -> Result<Speed, TrainError> + Sync,
) -> Result<Speed, TrainError> {
    let speeds = std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, &measure);
        // Where the machine has no room for another thread, fewer measure.
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

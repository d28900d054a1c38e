use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use kiln_train::{Speed, TrainError};

use crate::plan::{Member, Plan};

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
        let mut known = Vec::new();
        for place in chosen {
            let workload = &plan.workloads[order[place]];
            let speed = at_once(jobs.get(), || {
                let (declaration, dataset) = (&workload.declaration, &workload.dataset);
                Speed::measure(declaration, dataset, &workload.architecture, MEASURED)
            })?;
            known.push((place, speed));
        }
        let startup = startup(plan)?;
        let mut speeds = vec![Speed { step: 0.0, evaluated_image: 0.0 }; plan.workloads.len()];
        for (place, workload) in order.iter().enumerate() {
            let flops = |place: usize| plan.workloads[order[place]].step_flops as f64;
            speeds[*workload] = between(&known, place, flops);
        }
        let seconds = |member: &Member| {
            let speed = speeds[member.workload];
            let test = plan.workloads[member.workload].dataset.test.len() as f64;
            let epoch =
                member.steps as f64 * speed.step + member.evaluated as f64 * speed.evaluated_image;
            startup + member.epochs as f64 * epoch + test * speed.evaluated_image
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
            let done = free + (run * 1e6) as u64;
            cores.push(Reverse(done));
            end = end.max(done);
        }
        end as f64 / 1e6
    }
}

/// Seconds from a run's start to its first step, and for its report: nearly all of it is reading data.
fn startup(plan: &Plan) -> Result<f64, TrainError> {
    let Some(workload) = plan.workloads.first() else { return Ok(0.0) };
    let begun = Instant::now();
    drop(workload.declaration.dataset(&plan.data)?);
    Ok(begun.elapsed().as_secs_f64())
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

/// The slowest of `jobs` measurements at the same time.
fn at_once(
    jobs: usize,
    measure: impl Fn() -> Result<Speed, TrainError> + Sync,
) -> Result<Speed, TrainError> {
    let speeds = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(&measure)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<Speed>, TrainError>>()
    })?;
    let mean = |value: fn(&Speed) -> f64| speeds.iter().map(value).sum::<f64>() / jobs as f64;
    Ok(Speed {
        step: mean(|speed| speed.step),
        evaluated_image: mean(|speed| speed.evaluated_image),
    })
}

use std::collections::{BTreeMap, HashMap};

use crate::prune::PruneConfig;

/// Successive halving by brackets: groups of runs that are compared with each other. A bracket holds the runs of the plan
/// with the same seed.
///
/// At each rung the best 1/`reduction` (rounded up) of all runs of the bracket that reach it continue. A run waits there
/// until the results that are missing cannot change whether it continues. So the decisions follow from the results of the
/// runs alone, in whatever order they arrive. See Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
/// Hyperparameter Optimization", AISTATS 2016.
#[derive(Debug)]
pub(crate) struct Brackets {
    pub(crate) config: PruneConfig,
    brackets: Vec<Bracket>,
    /// The bracket of each run.
    places: HashMap<usize, usize>,
}

/// The decision about a run, as far as the results determine it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It continues after the last rung that it has reached.
    Continue,
    /// It waits after this epoch, because results of other runs are missing.
    Wait(usize),
    /// It ends after this epoch.
    Prune(usize),
}

/// The runs that continue after a rung, and those that end there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RungSplit {
    pub(crate) continued: Vec<usize>,
    pub(crate) pruned: Vec<usize>,
}

#[derive(Debug, Default)]
struct Bracket {
    members: BTreeMap<usize, Member>,
    /// What was decided at the rungs whose results are complete. Results that come later change nothing.
    decided: BTreeMap<usize, RungSplit>,
    /// Whether a result was added since the last search for complete rungs.
    may_be_complete: bool,
    /// The decisions for the members; `None` after a result has been added.
    decisions: Option<HashMap<usize, Decision>>,
}

#[derive(Debug)]
struct Member {
    /// The largest number of epochs.
    epochs: usize,
    /// The metric by epoch; `None` if it was not finite.
    values: HashMap<usize, Option<f64>>,
    /// Whether the run has ended by itself and reaches no further rung.
    has_ended: bool,
}

impl Brackets {
    pub(crate) fn new(config: PruneConfig) -> Self {
        Self { config, brackets: Vec::new(), places: HashMap::new() }
    }

    /// Adds a bracket of runs, each with its number of epochs.
    pub(crate) fn add(&mut self, runs: impl IntoIterator<Item = (usize, usize)>) {
        let place = self.brackets.len();
        let mut bracket = Bracket::default();
        for (run, epochs) in runs {
            self.places.insert(run, place);
            let member = Member { epochs, values: HashMap::new(), has_ended: false };
            bracket.members.insert(run, member);
        }
        self.brackets.push(bracket);
    }

    /// The index of a run's bracket.
    pub(crate) fn bracket_of(&self, run: usize) -> usize {
        self.places.get(&run).copied().unwrap_or_default()
    }

    /// Records the metric of a run after an epoch.
    pub(crate) fn record(&mut self, run: usize, epoch: usize, value: Option<f64>) {
        let config = self.config;
        let value = value.filter(|value| value.is_finite());
        self.change(run, |member| {
            config.is_rung(epoch, member.epochs)
                && member.values.insert(epoch, value) != Some(value)
        });
    }

    /// Records that a run has ended by itself: it finished, stopped early or diverged.
    pub(crate) fn end(&mut self, run: usize) {
        self.change(run, |member| !std::mem::replace(&mut member.has_ended, true));
    }

    /// Changes a member. `change` returns whether decisions may depend on it.
    fn change(&mut self, run: usize, change: impl FnOnce(&mut Member) -> bool) {
        let bracket = self.places.get(&run).and_then(|place| self.brackets.get_mut(*place));
        let Some(bracket) = bracket else { return };
        if bracket.members.get_mut(&run).is_some_and(change) {
            bracket.decisions = None;
            bracket.may_be_complete = true;
        }
    }

    /// The number of rungs that a run has reached.
    pub(crate) fn rungs_of(&self, run: usize) -> usize {
        let member =
            self.places.get(&run).and_then(|place| self.brackets[*place].members.get(&run));
        member.map_or(0, |member| member.values.len())
    }

    /// The first rung whose results are complete and that is not [decided](Self::set_decided): its bracket, its epoch, and
    /// what the results say.
    pub(crate) fn next_complete(&mut self) -> Option<(usize, usize, RungSplit)> {
        let config = self.config;
        for (place, bracket) in self.brackets.iter_mut().enumerate() {
            if !bracket.may_be_complete {
                continue;
            }
            let epochs = bracket.members.values().map(|member| member.epochs).max();
            for rung in config.rungs(epochs.unwrap_or_default()) {
                if bracket.decided.contains_key(&rung) {
                    continue;
                }
                match bracket.split_at(&config, rung) {
                    Some(split) => return Some((place, rung, split)),
                    // Fewer runs reach the later ones.
                    None => break,
                }
            }
            bracket.may_be_complete = false;
        }
        None
    }

    /// Whether the decision about the runs of a bracket at a rung is known.
    pub(crate) fn is_decided(&self, bracket: usize, rung: usize) -> bool {
        self.brackets.get(bracket).is_none_or(|it| it.decided.contains_key(&rung))
    }

    /// Sets the decision about the runs of a bracket at a rung.
    pub(crate) fn set_decided(&mut self, bracket: usize, rung: usize, split: RungSplit) {
        if let Some(bracket) = self.brackets.get_mut(bracket) {
            bracket.decided.insert(rung, split);
            bracket.decisions = None;
            bracket.may_be_complete = true;
        }
    }

    pub(crate) fn decision(&mut self, run: usize) -> Decision {
        let config = self.config;
        let bracket = self.places.get(&run).and_then(|place| self.brackets.get_mut(*place));
        let Some(bracket) = bracket else { return Decision::Continue };
        bracket.decisions(&config).get(&run).copied().unwrap_or(Decision::Continue)
    }
}

impl Bracket {
    fn decisions(&mut self, config: &PruneConfig) -> &HashMap<usize, Decision> {
        let Self { members, decided, decisions, .. } = self;
        decisions.get_or_insert_with(|| decide(config, members, decided))
    }

    /// What the results at a rung say; `None` if they are not complete.
    fn split_at(&mut self, config: &PruneConfig, rung: usize) -> Option<RungSplit> {
        self.decisions(config);
        let decisions = self.decisions.as_ref()?;
        let mut split = RungSplit::default();
        for (run, member) in self.members.iter().filter(|(_, member)| rung < member.epochs) {
            match decisions.get(run)? {
                Decision::Prune(at) if *at == rung => split.pruned.push(*run),
                Decision::Prune(at) if *at < rung => {}
                Decision::Wait(at) if *at <= rung => return None,
                _ if member.values.contains_key(&rung) => split.continued.push(*run),
                _ if member.has_ended => {}
                _ => return None,
            }
        }
        let is_reached = !split.continued.is_empty() || !split.pruned.is_empty();
        is_reached.then_some(split)
    }
}

/// Goes through the rungs and decides about each run that is known to have passed the rungs before.
/// `decided` has the rungs about which it was decided before.
fn decide(
    config: &PruneConfig,
    members: &BTreeMap<usize, Member>,
    decided: &BTreeMap<usize, RungSplit>,
) -> HashMap<usize, Decision> {
    let better = config.metric.better();
    let mut decisions: HashMap<usize, Decision> =
        members.keys().map(|run| (*run, Decision::Continue)).collect();
    let epochs = members.values().map(|member| member.epochs).max().unwrap_or_default();
    for rung in config.rungs(epochs) {
        if let Some(RungSplit { pruned, .. }) = decided.get(&rung) {
            for run in pruned {
                if decisions.get(run) == Some(&Decision::Continue) {
                    decisions.insert(*run, Decision::Prune(rung));
                }
            }
            continue;
        }
        let mut reported: Vec<(usize, f64)> = Vec::new();
        // The runs that may still reach the rung.
        let mut missing = 0;
        for (run, member) in members.iter().filter(|(_, member)| rung < member.epochs) {
            match (decisions[run], member.values.get(&rung)) {
                (Decision::Prune(_), _) => {}
                (Decision::Wait(_), _) => missing += 1,
                (Decision::Continue, Some(Some(value))) => reported.push((*run, *value)),
                // Without a metric, the run is about to diverge and ends by itself.
                (Decision::Continue, Some(None)) => {}
                (Decision::Continue, None) => missing += usize::from(!member.has_ended),
            }
        }
        // The best first.
        reported.sort_by(|(_, left), (_, right)| {
            if better.improves(*left, *right, 0.0) {
                std::cmp::Ordering::Less
            } else if better.improves(*right, *left, 0.0) {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        });
        // Of as many runs as may be compared here, this many continue.
        let continuing = (reported.len() + missing).div_ceil(config.reduction);
        let mut better_runs = 0;
        for (index, (run, value)) in reported.iter().enumerate() {
            if index > 0 && better.improves(reported[index - 1].1, *value, 0.0) {
                better_runs = index;
            }
            // If fewer of the missing runs reach the rung, fewer continue. If more of them are better, the number that
            // continues grows by less. So the extreme cases are that all of them are better, and that none is.
            let decision = if better_runs >= continuing {
                Decision::Prune(rung)
            } else if better_runs + missing < continuing {
                Decision::Continue
            } else {
                Decision::Wait(rung)
            };
            decisions.insert(*run, decision);
        }
    }
    decisions
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use kiln_train::MetricName;

    use super::*;
    use crate::prune::PruneOrder;

    const EPOCHS: usize = 10;

    fn brackets(runs: usize) -> Brackets {
        let mut brackets = Brackets::new(PruneConfig {
            metric: MetricName::VAL_ACCURACY,
            min_epochs: NonZeroUsize::MIN,
            reduction: 3,
            order: PruneOrder::Fixed,
        });
        brackets.add((0..runs).map(|run| (run, EPOCHS)));
        brackets
    }

    #[test]
    fn the_best_third_of_all_continues() {
        let mut brackets = brackets(7);
        let values = [0.5, 0.4, 0.3, 0.45, 0.6, 0.1, 0.55];
        for (run, value) in values.into_iter().enumerate() {
            brackets.record(run, 1, Some(value));
        }
        let found: Vec<Decision> = (0..7).map(|run| brackets.decision(run)).collect();
        let (go, end) = (Decision::Continue, Decision::Prune(1));
        assert_eq!(found, [go, end, end, end, go, end, go]);
        // At the next rung, three of the seven are compared, and one continues.
        brackets.record(0, 3, Some(0.7));
        brackets.record(4, 3, Some(0.6));
        assert_eq!(brackets.decision(0), Decision::Wait(3));
        assert_eq!(brackets.decision(4), Decision::Prune(3));
        brackets.record(6, 3, Some(0.8));
        assert_eq!(
            [0, 4, 6].map(|run| brackets.decision(run)),
            [Decision::Prune(3), Decision::Prune(3), go]
        );
    }

    #[test]
    fn a_decision_comes_as_soon_as_missing_results_cannot_change_it() {
        let mut brackets = brackets(6);
        // Two of six continue.
        brackets.record(0, 1, Some(0.5));
        assert_eq!(brackets.decision(0), Decision::Wait(1));
        brackets.record(1, 1, Some(0.6));
        brackets.record(2, 1, Some(0.7));
        assert_eq!(
            [0, 1, 2].map(|run| brackets.decision(run)),
            [Decision::Prune(1), Decision::Wait(1), Decision::Wait(1)]
        );
        for run in [3, 4] {
            brackets.record(run, 1, Some(0.1));
        }
        assert_eq!(
            [1, 2, 3].map(|run| brackets.decision(run)),
            [Decision::Wait(1), Decision::Continue, Decision::Prune(1)]
        );
        // The last run diverges before the rung: two of five continue.
        brackets.end(5);
        assert_eq!(brackets.decision(1), Decision::Continue);
    }

    #[test]
    fn what_was_decided_at_a_rung_does_not_depend_on_later_results() {
        let mut brackets = brackets(3);
        assert_eq!(brackets.next_complete(), None);
        for (run, value) in [(0, 0.9), (1, 0.5)] {
            brackets.record(run, 1, Some(value));
        }
        assert_eq!(brackets.next_complete(), None, "the result of a run is missing");
        brackets.record(2, 1, Some(0.4));
        let split = RungSplit { continued: vec![0], pruned: vec![1, 2] };
        assert_eq!(brackets.next_complete(), Some((0, 1, split)));
        // Another worker has decided, by results that this one has not.
        let other = RungSplit { continued: vec![1], pruned: vec![0, 2] };
        brackets.set_decided(0, 1, other);
        assert!(brackets.is_decided(0, 1) && !brackets.is_decided(0, 3));
        let (go, end) = (Decision::Continue, Decision::Prune(1));
        assert_eq!([0, 1, 2].map(|run| brackets.decision(run)), [end, go, end]);
        brackets.record(2, 1, Some(1.0));
        assert_eq!([0, 1, 2].map(|run| brackets.decision(run)), [end, go, end]);
        // At the next rung, one run is left.
        brackets.record(1, 3, Some(0.1));
        let alone = RungSplit { continued: vec![1], pruned: vec![] };
        assert_eq!(brackets.next_complete(), Some((0, 3, alone)));
        brackets.set_decided(0, 3, RungSplit { continued: vec![1], pruned: vec![] });
        assert_eq!(brackets.next_complete(), None);
    }

    #[test]
    fn equal_runs_continue_together_and_a_run_without_a_metric_is_not_compared() {
        let mut brackets = brackets(4);
        for run in 0..3 {
            brackets.record(run, 1, Some(0.5));
        }
        brackets.record(3, 1, None);
        assert!((0..4).all(|run| brackets.decision(run) == Decision::Continue));
    }

    #[test]
    fn results_beyond_a_rung_at_which_a_run_is_pruned_do_not_count() {
        let mut brackets = brackets(3);
        for (run, value) in [(0, 0.9), (1, 0.5), (2, 0.4)] {
            brackets.record(run, 1, Some(value));
        }
        // Another sweep has trained this run to its end.
        brackets.record(1, 3, Some(0.99));
        brackets.end(1);
        brackets.record(0, 3, Some(0.9));
        assert_eq!(
            [0, 1].map(|run| brackets.decision(run)),
            [Decision::Continue, Decision::Prune(1)]
        );
    }

    /// Trains simulated runs with some jobs at a time in random order, as a sweep does, and returns where each was pruned.
    fn simulate(
        values: &[Vec<f64>],
        jobs: usize,
        mut random: impl FnMut() -> usize,
    ) -> Vec<Option<usize>> {
        let runs = values.len();
        let mut brackets = brackets(runs);
        let mut done = vec![0; runs];
        let mut active: Vec<usize> = Vec::new();
        loop {
            let has_work = |run: usize, brackets: &mut Brackets| {
                done[run] < EPOCHS && brackets.decision(run) == Decision::Continue
            };
            active.retain(|run| has_work(*run, &mut brackets));
            let idle: Vec<usize> = (0..runs).filter(|run| !active.contains(run)).collect();
            let mut idle: Vec<usize> =
                idle.into_iter().filter(|run| has_work(*run, &mut brackets)).collect();
            while active.len() < jobs && !idle.is_empty() {
                active.push(idle.swap_remove(random() % idle.len()));
            }
            if active.is_empty() {
                break;
            }
            let run = active[random() % active.len()];
            done[run] += 1;
            brackets.record(run, done[run], Some(values[run][done[run] - 1]));
            if done[run] == EPOCHS {
                brackets.end(run);
            }
        }
        let pruned = |run| match brackets.decision(run) {
            Decision::Prune(rung) => Some(rung),
            Decision::Continue => None,
            Decision::Wait(rung) => panic!("run {run} waits at {rung} forever"),
        };
        (0..runs).map(pruned).collect()
    }

    #[test]
    fn the_order_in_which_runs_arrive_does_not_matter() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for runs in [1, 2, 5, 13, 32] {
            // Few different values, so that some are equal.
            let values: Vec<Vec<f64>> = (0..runs)
                .map(|_| (0..EPOCHS).map(|_| (random() % 20) as f64 / 20.0).collect())
                .collect();
            let expected = simulate(&values, 1, &mut random);
            for jobs in [1, 2, 3, 8, 64] {
                assert_eq!(
                    simulate(&values, jobs, &mut random),
                    expected,
                    "{runs} runs, {jobs} jobs"
                );
            }
        }
    }
}

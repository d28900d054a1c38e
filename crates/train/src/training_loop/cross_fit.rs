use kiln_store::Optimism;
use serde::{Deserialize, Serialize};

use super::epoch::ValidationHalf;
use crate::metrics::{Monitor, MonitorState};

/// Measures how much too high the validation accuracy of the best epoch is, because the epoch was chosen with the same
/// rows: the best epoch by one half of the validation rows is evaluated on the other half. See [`Optimism`].
pub(crate) struct CrossFit {
    /// The rows at even places, and those at odd places.
    halves: [Half; 2],
}

struct Half {
    /// Follows the metric that chooses the best epoch, on this half only.
    monitor: Monitor,
    /// How many rows of the other half were classified correctly in the best epoch by this half.
    correct_in_other: usize,
}

/// The state of each half that a checkpoint stores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct HalfState {
    monitor: MonitorState,
    correct_in_other: usize,
}

impl CrossFit {
    /// `monitor` chooses the best epoch of the run; it has observed nothing.
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let half = || Half { monitor: monitor.clone(), correct_in_other: 0 };
        Self { halves: [half(), half()] }
    }

    /// Records an epoch.
    pub(crate) fn observe(&mut self, [even, odd]: &[ValidationHalf; 2]) {
        let [chosen_by_even, chosen_by_odd] = &mut self.halves;
        for (half, own, other) in [(chosen_by_even, even, odd), (chosen_by_odd, odd, even)] {
            if half.monitor.observe(&own.row) {
                half.correct_in_other = other.correct;
            }
        }
    }

    /// The result for a run that chose among this number of epochs, and keeps one with this `val_accuracy`. `None` if there
    /// was no choice, or a half has no value of the monitored metric.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    pub(crate) fn optimism(
        &self,
        epochs: usize,
        val_accuracy: f64,
        validation_rows: usize,
    ) -> Option<Optimism> {
        let is_measured = self.halves.iter().all(|half| half.monitor.state.has_best());
        let correct = self.halves.iter().map(|half| half.correct_in_other);
        // A checkpoint may have been made by anyone, so the sum may be wrong.
        let correct = correct.fold(0, usize::saturating_add);
        (epochs > 1 && is_measured && correct <= validation_rows).then(|| {
            let cross_fitted = correct as f64 / validation_rows as f64;
            let difference = val_accuracy - cross_fitted;
            Optimism { epochs, val_accuracy, cross_fitted, difference }
        })
    }

    pub(crate) fn state(&self) -> [HalfState; 2] {
        self.halves.each_ref().map(|half| HalfState {
            monitor: half.monitor.state,
            correct_in_other: half.correct_in_other,
        })
    }

    pub(crate) fn set_state(&mut self, state: [HalfState; 2]) {
        for (half, HalfState { monitor, correct_in_other }) in self.halves.iter_mut().zip(state) {
            half.monitor.state = monitor;
            half.correct_in_other = correct_in_other;
        }
    }
}

#[cfg(test)]
mod tests {
    use kiln_store::EpochRow;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::metrics::MetricName;

    const ROWS: usize = 400;

    /// An epoch in which these shares of the rows of each half are classified correctly.
    fn epoch(correct: [usize; 2]) -> [ValidationHalf; 2] {
        correct.map(|correct| {
            let accuracy = correct as f64 / (ROWS / 2) as f64;
            let metrics = vec![("val_accuracy".into(), accuracy)];
            ValidationHalf { row: EpochRow { metrics, ..EpochRow::default() }, correct }
        })
    }

    fn cross_fit() -> CrossFit {
        CrossFit::new(&Monitor::new(MetricName::VAL_ACCURACY, 0.0))
    }

    #[test]
    fn each_half_is_judged_at_the_best_epoch_of_the_other() {
        let mut cross_fit = cross_fit();
        // By the rows at even places, epoch 2 is the best, by the others epoch 3. The first of two equals counts.
        for correct in [[150, 140], [180, 150], [160, 170], [180, 170]] {
            cross_fit.observe(&epoch(correct));
        }
        let optimism = cross_fit.optimism(4, 350.0 / 400.0, ROWS).expect("a value");
        assert_eq!(optimism.epochs, 4);
        assert_eq!(optimism.cross_fitted, (150.0 + 160.0) / 400.0);
        assert_eq!(optimism.difference, optimism.val_accuracy - optimism.cross_fitted);
    }

    #[test]
    fn without_a_choice_there_is_no_number() {
        let mut cross_fit = cross_fit();
        assert_eq!(cross_fit.optimism(2, 0.5, ROWS), None);
        cross_fit.observe(&epoch([100, 100]));
        assert_eq!(cross_fit.optimism(1, 0.5, ROWS), None);
        assert_eq!(cross_fit.optimism(2, 0.5, ROWS).expect("a value").difference, 0.0);
        // More correct rows than rows: the state is not that of this run.
        assert_eq!(cross_fit.optimism(2, 0.5, 199), None);
    }

    #[test]
    fn a_restored_state_continues_with_the_same_numbers() {
        let mut whole = cross_fit();
        whole.observe(&epoch([150, 140]));
        let mut restored = cross_fit();
        let text = serde_json::to_string(&whole.state()).expect("a value");
        restored.set_state(serde_json::from_str(&text).expect("a value"));
        for cross_fit in [&mut whole, &mut restored] {
            cross_fit.observe(&epoch([140, 145]));
        }
        assert_eq!(restored.optimism(2, 0.7, ROWS), whole.optimism(2, 0.7, ROWS));
    }

    /// All epochs are equally good, so choosing the best of two is worth nothing: the expected maximum of two means of n
    /// draws is √(p (1 − p) / (π n)) above p, and cross-fitting must find p.
    #[test]
    fn the_optimism_of_epochs_that_do_not_differ_is_that_of_the_maximum() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let p = 0.8;
        let mut draw = |rows: usize| {
            (0..rows).filter(|_| f64::from(rng.next_u32()) < p * f64::from(u32::MAX)).count()
        };
        let repetitions = 20_000;
        let (mut cross_fitted, mut difference) = (0.0, 0.0);
        for _ in 0..repetitions {
            let epochs = [(); 2].map(|()| [(); 2].map(|()| draw(ROWS / 2)));
            let mut cross_fit = cross_fit();
            epochs.iter().for_each(|correct| cross_fit.observe(&epoch(*correct)));
            let best = epochs.iter().map(|[even, odd]| even + odd).max().expect("a value");
            let optimism = cross_fit.optimism(2, best as f64 / ROWS as f64, ROWS).expect("a value");
            cross_fitted += optimism.cross_fitted / f64::from(repetitions);
            difference += optimism.difference / f64::from(repetitions);
        }
        let expected = (p * (1.0 - p) / (std::f64::consts::PI * ROWS as f64)).sqrt();
        // Four standard errors.
        let error = 4.0 * (p * (1.0 - p) / ROWS as f64 / f64::from(repetitions)).sqrt();
        assert!((cross_fitted - p).abs() < error, "{cross_fitted}");
        assert!((difference - expected).abs() < 2.0 * error, "{difference}, expected {expected}");
    }
}

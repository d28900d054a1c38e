//! Notes and warnings about an experiment on a dataset of a certain size.

use super::Experiment;

/// The share of the first weights in their average above which a user is warned.
const MAX_FIRST_SHARE: f64 = 0.2;
/// The share that a proposed `average_decay` leaves.
const PROPOSED_SHARE: f64 = 0.01;

impl Experiment {
    /// Notes about training on this many rows, as sentences without a final full stop.
    #[must_use]
    pub fn notes_on(&self, rows: usize) -> Vec<String> {
        let batch = self.training.batch_size.get();
        let note = format!(
            "batch_size = {batch} is larger than the {rows} training images: each epoch is one step with all of them"
        );
        if batch > rows { vec![note] } else { Vec::new() }
    }

    /// Warnings about training on this many rows, as sentences without a final full stop.
    #[must_use]
    pub fn warnings_on(&self, rows: usize) -> Vec<String> {
        let steps_per_epoch = rows.div_ceil(self.training.batch_size.get());
        let steps = steps_per_epoch.saturating_mul(self.training.epochs.get());
        let warning = self.training.average_decay.and_then(|decay| average_warning(decay, steps));
        warning.into_iter().collect()
    }
}

/// The average starts with the weights after the first step. After n steps their share is decay^(n − 1).
fn average_warning(decay: f64, steps: usize) -> Option<String> {
    let later_steps = steps.checked_sub(1).filter(|steps| *steps > 0)? as f64;
    let share = decay.powf(later_steps);
    if share <= MAX_FIRST_SHARE {
        return None;
    }
    // Rounded down to one significant digit of 1 − decay.
    let rest = 1.0 - PROPOSED_SHARE.powf(1.0 / later_steps);
    let unit = 10.0_f64.powf(rest.log10().floor());
    let proposed = (1.0 - (rest / unit).ceil() * unit).max(0.0);
    let decimals = (-rest.log10().floor()).max(1.0) as usize;

    Some(format!(
        "after the {steps} steps of this run, the average of the weights still has {:.0} % of the weights after the first step; set average_decay = {proposed:.decimals$}, or train longer",
        100.0 * share
    ))
}

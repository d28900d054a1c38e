/// Maps numbers of `domain` linearly to pixels of `range`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) domain: (f64, f64),
    pub(super) range: (f64, f64),
}

impl Scale {
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.domain.0) / (self.domain.1 - self.domain.0);
        self.range.0 + share * (self.range.1 - self.range.0)
    }
}

/// A numeric axis: its ends and ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub(super) domain: (f64, f64),
    pub(super) ticks: Vec<f64>,
    /// The number of decimals that distinguishes the ticks.
    decimals: usize,
}

impl Axis {
    /// Between two round numbers around `low` and `high`, with four to ten round steps. It need not include zero.
    pub(super) fn between(low: f64, high: f64) -> Self {
        // Values that are equal, or closer than floating-point resolution, are placed between two steps.
        let least = high.abs().max(low.abs()).max(1e-3) * 1e-6;
        let (low, high) =
            if high - low > least { (low, high) } else { (low - least * 3.0, high + least * 3.0) };
        Self::with_steps(low, high, round_step((high - low) / 6.0))
    }

    fn with_steps(low: f64, high: f64, step: f64) -> Self {
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks: Vec<f64> =
            (0..=(last - first) as usize).map(|index| (first + index as f64) * step).collect();
        // A step of 2.5 or 0.25 needs one decimal more than a step of 1 or 0.1.
        let digits = -step.log10().floor() + if is_quarter(step) { 1.0 } else { 0.0 };
        let decimals = digits.clamp(0.0, 12.0) as usize;
        Self { domain: (first * step, last * step), ticks, decimals }
    }

    /// The label of a tick.
    pub(super) fn label(&self, tick: f64) -> String {
        let largest = self.domain.0.abs().max(self.domain.1.abs());
        // A zero computed as a multiple of a negative step has a sign.
        let tick = tick + 0.0;
        if !(1e-3..1e6).contains(&largest) {
            return if tick == 0.0 { "0".to_owned() } else { format!("{tick:.1e}") };
        }
        format!("{tick:.*}", self.decimals)
    }
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    factors.into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(power)
}

fn is_quarter(step: f64) -> bool {
    let leading = step / 10_f64.powf(step.log10().floor());
    (leading - 2.5).abs() < 1e-9
}

/// The epochs to label on an axis from 1 to `last`: all if there are at most 15, otherwise the first and round ones.
pub(super) fn epoch_ticks(last: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1_usize), |power| power.checked_mul(10));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|factor| power.saturating_mul(factor)));
    let step = steps.find(|step| *step != 2 && last / step <= 15).unwrap_or(last).max(1);
    let round = (1..=last / step).map(|index| index * step).filter(|epoch| *epoch > step / 2 + 1);
    std::iter::once(1).chain(round.filter(|epoch| *epoch > 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_between_values_does_not_reach_down_to_zero() {
        let labels = |low, high| -> Vec<String> {
            let axis = Axis::between(low, high);
            axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
        };
        assert_eq!(
            labels(0.752, 0.881),
            ["0.750", "0.775", "0.800", "0.825", "0.850", "0.875", "0.900"]
        );
        assert_eq!(
            labels(0.8, 2.3),
            ["0.75", "1.00", "1.25", "1.50", "1.75", "2.00", "2.25", "2.50"]
        );
        assert_eq!(labels(0.0, 3.0e9), ["0", "5.0e8", "1.0e9", "1.5e9", "2.0e9", "2.5e9", "3.0e9"]);
        assert_eq!(labels(-1.0, 3.5), ["-1", "0", "1", "2", "3", "4"]);
        let one = Axis::between(0.5, 0.5);
        assert!(one.domain.0 < 0.5 && 0.5 < one.domain.1, "{one:?}");
        let zero = Axis::between(0.0, 0.0);
        assert!(zero.domain.0 < 0.0 && 0.0 < zero.domain.1, "{zero:?}");
    }

    #[test]
    fn epochs_are_named_without_crowding() {
        assert_eq!(epoch_ticks(1), [1]);
        assert_eq!(epoch_ticks(2), [1, 2]);
        assert_eq!(epoch_ticks(10), (1..=10).collect::<Vec<_>>());
        assert_eq!(epoch_ticks(30), [1, 5, 10, 15, 20, 25, 30]);
        assert_eq!(epoch_ticks(100), [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(epoch_ticks(1000).len(), 11);
    }

    #[test]
    fn a_scale_maps_ends_to_ends() {
        let scale = Scale { domain: (1.0, 5.0), range: (100.0, 20.0) };
        assert_eq!([1.0, 3.0, 5.0].map(|value| scale.at(value)), [100.0, 60.0, 20.0]);
    }
}

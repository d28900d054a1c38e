//! The values that Kiln has to reach.

use crate::samples::{Quantity, Samples, Subject};

pub(crate) struct Target {
    pub(crate) quantity: Quantity,
    pub(crate) subject: Subject,
    /// The subject whose value is the divisor of the ratio. If `None`, the target is about the value itself.
    pub(crate) against: Option<Subject>,
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// The value of a target, with its smallest and largest value over the repetitions.
pub(crate) struct Reached {
    pub(crate) value: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) met: bool,
}

use Bound::{AtLeast, AtMost};

pub(crate) const TARGETS: [Target; 15] = [
    ratio(Quantity::Step, Subject::Kiln, Subject::Jax, AtMost(0.75)),
    ratio(Quantity::Step, Subject::Kiln, Subject::PyTorch, AtMost(0.40)),
    ratio(Quantity::Step, Subject::Kiln, Subject::Keras, AtMost(0.22)),
    ratio(Quantity::Run, Subject::Kiln, Subject::Jax, AtMost(0.45)),
    ratio(Quantity::Run, Subject::Kiln, Subject::PyTorch, AtMost(0.33)),
    ratio(Quantity::Run, Subject::Kiln, Subject::Keras, AtMost(0.15)),
    ratio(Quantity::RunsPerHour, Subject::Kiln, Subject::PyTorch, AtLeast(2.5)),
    ratio(Quantity::RunsPerHour, Subject::Kiln, Subject::Jax, AtLeast(2.0)),
    // The inverse ratio of the speeds is the ratio of the times: the sweep's time over that of single runs.
    ratio(Quantity::RunsPerHour, Subject::KilnOneByOne, Subject::Kiln, AtMost(0.55)),
    value(Quantity::PeakMemory, AtMost(150.0)),
    ratio(Quantity::PeakMemory, Subject::Kiln, Subject::PyTorch, AtMost(0.25)),
    value(Quantity::Help, AtMost(15.0)),
    value(Quantity::Summary, AtMost(40.0)),
    value(Quantity::ValidationShare, AtMost(5.0)),
    // A fast run is worthless if it does not learn.
    value(Quantity::ValidationAccuracy, AtLeast(0.85)),
];

const fn ratio(quantity: Quantity, subject: Subject, against: Subject, bound: Bound) -> Target {
    Target { quantity, subject, against: Some(against), bound }
}

const fn value(quantity: Quantity, bound: Bound) -> Target {
    Target { quantity, subject: Subject::Kiln, against: None, bound }
}

impl Target {
    /// Returns `None` if a value was not measured. A ratio is the ratio of the medians, and its range is the range of the
    /// ratios within the repetitions.
    pub(crate) fn reached(&self, samples: &Samples) -> Option<Reached> {
        let own = samples.get(self.quantity, self.subject)?;
        let (value, min, max) = match self.against {
            None => (own.median(), own.min(), own.max()),
            Some(against) => {
                let other = samples.get(self.quantity, against)?;
                let ratios = own.over(other);
                (own.median() / other.median(), ratios.min(), ratios.max())
            }
        };
        let met = match self.bound {
            AtMost(bound) => value <= bound,
            AtLeast(bound) => value >= bound,
        };
        Some(Reached { value, min, max, met })
    }
}

//! What a value that Kiln has to reach is. The targets themselves belong to each experiment.

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

/// A target for the ratio of two subjects.
pub(crate) const fn ratio(
    quantity: Quantity,
    subject: Subject,
    against: Subject,
    bound: Bound,
) -> Target {
    Target { quantity, subject, against: Some(against), bound }
}

/// A target for a value of Kiln.
pub(crate) const fn value(quantity: Quantity, bound: Bound) -> Target {
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
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
        };
        Some(Reached { value, min, max, met })
    }
}

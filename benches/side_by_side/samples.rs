//! The measured values, and how they are named and formatted.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Kiln,
    /// The runs of the sweep with `kiln run`, one after another.
    KilnOneByOne,
    Jax,
    PyTorch,
    Keras,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    Step,
    Run,
    PeakMemory,
    RunsPerHour,
    Help,
    Summary,
    ValidationShare,
    ValidationAccuracy,
    TestAccuracy,
}

/// A value that was measured in one turn.
pub(crate) type Value = (Quantity, f64);

/// The values of one quantity of one subject, one per repetition.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<f64>);

#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(Quantity, Subject), Series>);

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kiln => "Kiln",
            Self::KilnOneByOne => "Kiln, one run after another",
            Self::Jax => "JAX",
            Self::PyTorch => "PyTorch",
            Self::Keras => "Keras",
        }
    }
}

impl Quantity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "training step, one core",
            Self::Run => "run, start to report, one core",
            Self::PeakMemory => "peak memory of a run",
            Self::RunsPerHour => "sweep, two cores",
            Self::Help => "kiln --help",
            Self::Summary => "kiln summary",
            Self::ValidationShare => "validation's share of an epoch",
            Self::ValidationAccuracy => "validation accuracy of a run",
            Self::TestAccuracy => "test accuracy of a run",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Step | Self::Help | Self::Summary => " ms",
            Self::Run => " s",
            Self::PeakMemory => " MB",
            Self::RunsPerHour => " runs/h",
            Self::ValidationShare => " %",
            Self::ValidationAccuracy | Self::TestAccuracy => "",
        }
    }

    fn decimals(self) -> usize {
        match self {
            Self::Step => 3,
            Self::Run => 2,
            Self::PeakMemory | Self::RunsPerHour => 0,
            Self::Help | Self::Summary | Self::ValidationShare => 1,
            Self::ValidationAccuracy | Self::TestAccuracy => 4,
        }
    }

    pub(crate) fn format(self, value: f64) -> String {
        format!("{value:.*}{}", self.decimals(), self.unit())
    }

    pub(crate) fn format_range(self, min: f64, max: f64) -> String {
        let decimals = self.decimals();
        format!("{min:.decimals$}–{max:.decimals$}{}", self.unit())
    }
}

impl Series {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.0)
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The ratios of two series, repetition by repetition.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }
}

/// The median, or NaN if there are no values. If their number is even, it is the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

impl Samples {
    pub(crate) fn add(&mut self, subject: Subject, (quantity, value): Value) {
        self.0.entry((quantity, subject)).or_default().0.push(value);
    }

    pub(crate) fn get(&self, quantity: Quantity, subject: Subject) -> Option<&Series> {
        self.0.get(&(quantity, subject))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Quantity, Subject, &Series)> {
        self.0.iter().map(|((quantity, subject), series)| (*quantity, *subject, series))
    }
}

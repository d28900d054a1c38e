//! Random search: every combination is drawn independently of all others.

use crate::samplers::{Dimension, Observation, Sampler};

#[derive(Debug)]
pub(super) struct Random;

impl Sampler for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn startup(&self) -> Option<usize> {
        None
    }

    fn propose(
        &self,
        space: &[Dimension],
        _observations: &[Observation],
        random: &mut dyn FnMut() -> f64,
    ) -> Vec<Vec<f64>> {
        vec![space.iter().map(|dimension| dimension.at(random())).collect()]
    }
}

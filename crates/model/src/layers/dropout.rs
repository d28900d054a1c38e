//! Dropout.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Features, Layer, LayerModule, LayerRules, Mode};
use crate::activation::Activation;
use crate::shape::Shape;
use crate::weights::WeightTensor;

/// `{ type = "dropout", rate = 0.3 }`: in training, each value is set to 0 with probability `rate`
/// and the others are divided by 1 − `rate` (Srivastava et al. 2014, inverted).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropoutConfig {
    /// The share of values that is dropped.
    pub rate: f64,
}

impl DropoutConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let _: f64 = table.required("rate")?;
        let rate = table.checked("rate", 0.0, "a number from 0 up to, but not, 1", |rate| {
            (0.0..1.0).contains(rate)
        })?;
        Ok(Self { rate })
    }
}

impl LayerRules for DropoutConfig {
    fn output_shape(&self, input: Shape, _classes: usize) -> Result<Shape, String> {
        Ok(input)
    }

    // The output, and the mask.
    fn kept_values(&self, output: Shape) -> usize {
        2 * output.len()
    }

    fn module(&self, _: &[&WeightTensor], _: Activation, _: &Device) -> Layer {
        Layer::Dropout(Dropout { rate: self.rate })
    }
}

/// Fills a mask over a batch, value after value: 0 with probability `rate`, else 1 / (1 − `rate`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 ≤ rate < 1, so the threshold fits 32 bits"
)]
pub fn draw_mask(rate: f64, mask: &mut [f32], rng: &mut impl Rng) {
    let threshold = (rate * 4_294_967_296.0) as u32;
    let kept = (1.0 / (1.0 - rate)) as f32;
    mask.fill_with(|| if rng.next_u32() < threshold { 0.0 } else { kept });
}

/// Burn's own dropout draws from a generator that all runs of a process share; this one is given
/// the generator, so that a seed decides the masks.
#[derive(Module, Debug)]
pub(crate) struct Dropout {
    rate: f64,
}

impl LayerModule for Dropout {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
        match mode {
            Mode::Training(rng) if self.rate > 0.0 => match x {
                Features::Image(x) => Features::Image(self.drop(x, *rng)),
                Features::Flat(x) => Features::Flat(self.drop(x, *rng)),
            },
            _ => x,
        }
    }
}

impl Dropout {
    fn drop<const D: usize>(&self, x: Tensor<D>, rng: &mut impl Rng) -> Tensor<D> {
        let shape = x.dims();
        let mut mask = vec![0.0; shape.iter().product()];
        draw_mask(self.rate, &mut mask, rng);
        let mask = Tensor::from_data(TensorData::new(mask, shape), &x.device());
        x * mask
    }
}

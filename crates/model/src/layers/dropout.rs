//! Dropout.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kiln_config::{ConfigError, Table};
use rand_core::Rng;
use serde::Serialize;

use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "dropout", rate = 0.3 }`: in training, sets each value to 0 with probability `rate` and
/// divides the others by 1 − `rate` (Srivastava et al. 2014, in the inverted form). Off in inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropoutConfig {
    /// The probability of dropping a value: 0 ≤ rate < 1.
    pub rate: f64,
}

impl DropoutConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { rate: read_rate(table)? })
    }
}

/// Reads the probability of dropping a value: 0 ≤ rate < 1.
pub(super) fn read_rate(table: &mut Table<'_>) -> Result<f64, ConfigError> {
    // Reports a missing key, because `checked` would use its default.
    let _: f64 = table.required("rate")?;
    table.checked("rate", 0.0, "a number from 0 to below 1", |rate| (0.0..1.0).contains(rate))
}

impl LayerRules for DropoutConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        Ok(input)
    }

    fn saved_activations(&self, _: Shape, output: Shape) -> usize {
        // The output and the mask.
        2 * output.len()
    }

    fn passes_values(&self, _: Shape) -> bool {
        true
    }

    fn module(&self, _: ModuleParts<'_>) -> Layer {
        Layer::Dropout(Dropout { rate: self.rate })
    }
}

/// Fills `mask`, one value after the other, with 0 with probability `rate`, else with 1 / (1 − `rate`).
/// The factors for a batch: the output is the product of input and mask.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 ≤ rate < 1, so the threshold fits 32 bits"
)]
pub fn draw_mask(rate: f64, mask: &mut [f32], rng: &mut impl Rng) {
    // rate · 2³²: an integer comparison is faster than one of floats and exact.
    let threshold = (rate * 4_294_967_296.0) as u32;
    let scale = (1.0 / (1.0 - rate)) as f32;
    mask.fill_with(|| if rng.next_u32() < threshold { 0.0 } else { scale });
}

/// Draws its masks from the generator in [`Mode::Training`], so that the seed determines them. Burn's
/// dropout would use a global generator of the process.
#[derive(Module, Debug)]
pub(crate) struct Dropout {
    rate: f64,
}

impl LayerModule for Dropout {
    fn forward<R: Rng>(&self, x: Features, mode: &mut Mode<'_, R>) -> Features {
        match mode {
            // A rate of 0 does not advance the generator.
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

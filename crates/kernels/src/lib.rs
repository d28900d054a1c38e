//! Kernels of the fused engine: plain functions over slices, vectorized for the processor they run on.
//!
//! This crate knows neither Burn nor the layers of a network, so it compiles in seconds and each kernel can be measured
//! alone against the peak of the processor.
//!
//! A batch is `[channels][height][width][n]`: the images are innermost, so they are in the lanes of the registers, any
//! number of channels fills the registers, and to flatten is to change nothing.

mod addition;
mod batch_normalization;
mod convolution;
mod correlation;
mod depthwise;
mod group_normalization;
mod instructions;
mod kernel;
mod moments;
mod pooling;
mod product;
#[cfg(test)]
mod tests;
mod tile;
mod weight_gradient;
mod workspace;

pub use addition::{add_into, row_sums};
pub use batch_normalization::{
    GradientSums, Normalization, gather_moments, input_gradient, normalize, sum_gradients,
};
pub use convolution::{Convolution, Epilogue, Plane};
pub use group_normalization::{
    SetStatistics, Sets, normalize_sets, sets_input_gradient, sets_scale_gradient,
};
pub use instructions::Instructions;
pub use moments::Moments;
pub use pooling::{Pooling, global_average, global_average_gradient, global_max};
pub use product::{Blend, Matrix, multiply_into, transpose};
pub use workspace::Workspace;

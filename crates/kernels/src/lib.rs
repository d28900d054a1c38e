//! Kernels of the fused engine: plain functions over slices, vectorized for the processor they run on.
//!
//! This crate knows neither Burn nor the layers of a network, so it compiles in seconds and each kernel can be measured
//! alone against the peak of the processor (`cargo bench -p kiln-kernels`).
//!
//! # Layout
//!
//! A batch is `[channels][height][width][n]`, as it is `[features][n]` for dense layers, so flattening does not move
//! values, and the features have the order of the weights file. The images are in the lanes of the registers, so any number of
//! channels, strides, dilations and groups use whole registers. Batches of less than a register are correct but slow, and
//! those of much more than 32 images slower per image, because the neighbors of a pixel are far apart; the engine divides
//! them.
//!
//! `[row][column][channel]` in place of `[channel][row][column]` would avoid that the channels of a pixel compete for a few
//! lines of the caches, but flattened features would be in another order. A direct convolution therefore copies the rows
//! that it needs to a small buffer with a favorable layout, which takes one to three percent of a pass and makes the layout
//! of the batch irrelevant to the inner loop. For the weight gradient, this copy is the transposition that puts channels
//! into the lanes.
//!
//! Planes have no zeros around them. The direct form skips a tap outside the input, which saves products at the edges: 18
//! percent for a 3 × 3 kernel on 7 × 7 pixels, 9 percent on 14 × 14. Minimal filtering (Winograd) computes tiles that reach
//! over the edge with zeros.
//!
//! # The same bytes on every processor
//!
//! No sum depends on the width of the registers or on the number of threads. Sums over channels and kernel positions are
//! within a lane. Weight gradients, except depthwise ones, have channels in the lanes, so their sums over images and
//! positions are within a lane, too. Other sums over the batch are gathered in 16 virtual lanes and added in a fixed order.
//! Threads compute different blocks, channels, tiles or rows of a product, and sums of blocks are added in the order of the blocks
//! ([`Workspace::sum_blocks`]). Inner loops use fused multiply-add on every processor; processors without that instruction
//! compute it slowly. [`math`] replaces the functions of the platform.
mod addition;
mod batch_normalization;
mod convolution;
mod correlation;
mod depthwise;
mod finish;
mod group_normalization;
mod instructions;
mod kernel;
pub mod math;
mod moments;
mod peak;
mod pool;
mod pooling;
mod product;
#[cfg(test)]
mod tests;
mod tile;
mod weight_gradient;
mod winograd;
mod workspace;

pub use addition::{add, add_into, mask_and_copy, row_sums};
pub use batch_normalization::{
    BlockLayout, GradientSums, InputGradient, NextOperation, Normalization, Statistics,
    normalization_gradients, normalize, normalize_batch,
};
pub use convolution::{Convolution, Plane};
pub use group_normalization::{
    SetStatistics, Sets, normalize_sets, sets_input_gradient, sets_scale_gradient,
};
pub use instructions::Instructions;
pub use peak::multiply_add_on_registers;
pub use pooling::{Pooling, global_average, global_average_gradient, global_max};
pub use product::{Blend, Matrix, multiply_into, transpose};
pub use workspace::Workspace;

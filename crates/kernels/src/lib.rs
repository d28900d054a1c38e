//! Kernels of the fused engine: plain functions over slices, vectorized for the processor they run on.
//!
//! This crate knows neither Burn nor the layers of a network, so it compiles in seconds and each kernel can be measured
//! alone against the peak of the processor.

mod kernel;
mod product;

pub use product::{Blend, Matrix, Workspace, multiply_into, transpose};

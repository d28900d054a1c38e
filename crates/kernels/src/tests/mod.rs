//! The kernels compared with loops over 64-bit numbers, and with themselves on other vector instructions.
//!
//! They are inside the crate because emulated registers are compiled only for its tests.

mod batch_normalization;
mod convolution;
mod group_normalization;
mod math;
mod pooling;
mod product;
mod support;
mod workspace;

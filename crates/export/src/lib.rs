//! Finished runs in the formats of other programs.
//!
//! [`onnx`] turns the network of a run into one file that inference programs open, [`tensorboard`] the results of many runs
//! into files that TensorBoard shows. What a file contains is computed apart from writing it.
//!
//! To add a format: write its module, and a file in the program's `commands/export/`.

mod error;
pub mod onnx;
pub mod tensorboard;

pub use error::ExportError;

//! `kiln export`: runs in the formats of other programs, one module each.

mod onnx;
mod tensorboard;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::options::GlobalOptions;

#[derive(Debug, Args)]
#[group(id = "format", required = true, multiple = false, args = ["onnx", "tensorboard"])]
pub(crate) struct ExportArguments {
    /// For ONNX the run: its directory, its id or the beginning of it, NAME/last or NAME/best; for TensorBoard also several
    /// runs, sweeps and patterns
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    onnx: onnx::OnnxArguments,
    #[command(flatten)]
    tensorboard: tensorboard::TensorBoardArguments,
}

pub(crate) fn export(
    options: &GlobalOptions,
    ExportArguments { paths, onnx, tensorboard }: &ExportArguments,
) -> anyhow::Result<ExitCode> {
    // Clap has checked that it is one of them.
    match (onnx.file(), tensorboard.directory()) {
        (Some(file), _) => onnx::export(options, paths, onnx, file),
        (None, Some(directory)) => tensorboard::export(options, paths, directory),
        (None, None) => Ok(ExitCode::FAILURE),
    }
}

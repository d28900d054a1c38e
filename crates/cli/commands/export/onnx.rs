use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kiln_export::onnx::{OnnxInput, OnnxOptions, OnnxOutput, encode};
use kiln_store::files;

use crate::commands::predict::check_has_weights;
use crate::failure::Advised;
use crate::named_run;
use crate::options::GlobalOptions;
use crate::output::{print, status};

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct OnnxArguments {
    /// Write the network as ONNX, from pixels to probabilities
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// The input of the ONNX file is bytes [default: floats from 0 to 255]
    #[arg(long, requires = "onnx", conflicts_with = "normalized")]
    bytes: bool,
    /// The input of the ONNX file is normalized already
    #[arg(long, requires = "onnx")]
    normalized: bool,
    /// The output of the ONNX file is logits instead of probabilities
    #[arg(long, requires = "onnx")]
    logits: bool,
}

impl OnnxArguments {
    pub(super) fn file(&self) -> Option<&Path> {
        self.onnx.as_deref()
    }
}

pub(super) fn export(
    options: &GlobalOptions,
    paths: &[PathBuf],
    arguments: &OnnxArguments,
    file: &Path,
) -> anyhow::Result<ExitCode> {
    let [run] = paths else {
        let message = format!("an ONNX file has one network, but {} runs are named", paths.len());
        return Err(Advised::new(message, "name one run").into());
    };
    let run = named_run::open(options, run)?;
    check_has_weights(&run)?;
    let input = match arguments {
        OnnxArguments { bytes: true, .. } => OnnxInput::Bytes,
        OnnxArguments { normalized: true, .. } => OnnxInput::Normalized,
        _ => OnnxInput::Floats,
    };
    let output = if arguments.logits { OnnxOutput::Logits } else { OnnxOutput::Probabilities };
    let encoded = encode(&run, OnnxOptions { input, output })?;
    files::write(file, &encoded.bytes)?;
    let (shape, classes) = (encoded.image, encoded.classes);
    let values = match input {
        OnnxInput::Floats => "floats from 0 to 255",
        OnnxInput::Bytes => "bytes",
        OnnxInput::Normalized => "normalized floats",
    };
    if !options.quiet {
        status(format_args!(
            "input \"image\" [n, {}, {}, {}]: {values}; output \"{}\" [n, {classes}]; its results were compared with those of \
             the run",
            shape.channels,
            shape.height,
            shape.width,
            output.name(),
        ));
    }
    print(file.display())?;
    Ok(ExitCode::SUCCESS)
}

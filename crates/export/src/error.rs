use kiln_train::TrainError;
use thiserror::Error;

/// Why a run cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The network of the run cannot be read.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The runs cannot be read or compared.
    #[error(transparent)]
    Compare(#[from] kiln_compare::CompareError),
    /// A file of a run cannot be read, or a file cannot be written.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// A picture of a run cannot be read.
    #[error("cannot read {path}: {cause}")]
    Picture {
        /// The path of the file.
        path: String,
        /// The reason.
        cause: String,
    },
    /// A picture cannot be drawn.
    #[error(transparent)]
    Report(#[from] kiln_report::ReportError),
    /// The format has no form of a layer.
    #[error("{layer} cannot be written as ONNX yet")]
    Layer {
        /// The layer, as shown in messages: `layer "hidden_2" (dense)`.
        layer: String,
    },
    /// The file would be larger than the format allows.
    #[error("the file would have {bytes} bytes, and an ONNX file has at most {limit}")]
    TooLarge {
        /// The size of the file.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The exported network does not compute the predictions of the run. This is an error of Kiln.
    #[error(
        "the exported network does not compute what the run predicts, so no file was written: {problem}"
    )]
    Check {
        /// The difference, or why the file cannot be computed.
        problem: String,
    },
}

use std::process::ExitCode;

use clap::Args;
use kiln_store::versioned;
use serde::Serialize;

use crate::experiment;
use crate::options::{ExperimentArguments, GlobalOptions};
use crate::output::print;

/// The version of the JSON that `kiln summary --json` prints.
const SUMMARY_VERSION: u32 = 1;

#[derive(Debug, Args)]
pub(crate) struct SummaryArguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// Print JSON with every layer
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct SummaryJson<'a, Summary> {
    /// "fused" or "generic".
    engine: &'a str,
    /// The layer or setting that the fused engine does not support, if that is why the engine is generic.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsupported_by_fused: Option<&'a str>,
    /// The bytes that a training step stores.
    memory_bytes: u64,
    #[serde(flatten)]
    summary: &'a Summary,
}

pub(crate) fn summary(
    options: &GlobalOptions,
    arguments: &SummaryArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = experiment::open(options, &arguments.experiment)?;
    let architecture = declaration.architecture_without_data(options.data())?;
    let experiment = &declaration.experiment;
    let slots = experiment.optimizer.kind.slots();
    let summary = architecture.summary(experiment.training.batch_size.get(), slots);
    let engine = declaration.engine(&architecture)?.to_string();
    let unsupported = declaration.unsupported_by_fused(&architecture);
    if arguments.json {
        let body = SummaryJson {
            engine: &engine,
            unsupported_by_fused: unsupported.as_deref(),
            memory_bytes: summary.memory_bytes(),
            summary: &summary,
        };
        print(versioned::to_json(SUMMARY_VERSION, &body)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    print(summary)?;
    print(format_args!("Engine:          {engine}"))?;
    if let Some(unsupported) = unsupported {
        print(format_args!("  reason:        the fused engine does not support {unsupported}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

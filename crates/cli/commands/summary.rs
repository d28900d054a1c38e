use std::process::ExitCode;

use crate::experiment;
use crate::options::{ExperimentArguments, GlobalOptions};
use crate::output::print;

pub(crate) fn summary(
    options: &GlobalOptions,
    arguments: &ExperimentArguments,
) -> anyhow::Result<ExitCode> {
    let declaration = experiment::open(arguments)?;
    let architecture = declaration.architecture_without_data(options.data())?;
    let experiment = &declaration.experiment;
    let slots = experiment.optimizer.kind.slots();
    print(architecture.summary(experiment.training.batch_size.get(), slots))?;
    Ok(ExitCode::SUCCESS)
}

//! Finds the weights that an experiment names as `model.initial_weights`.

use std::path::Path;

use kiln_config::ConfigError;
use kiln_train::{Declaration, WeightsFile};

use crate::named_run;
use crate::options::GlobalOptions;

const HELP: &str = "give a safetensors file or a run: its directory, the beginning of its id, NAME/last or NAME/best";

/// The weights of a name in a sweep: a file, or a run as on the command line.
pub(crate) fn find(options: &GlobalOptions, name: &str) -> anyhow::Result<WeightsFile> {
    let path = named_run::path_of(options, Path::new(name))?;
    let error = |problem| ConfigError::new(format!("model.initial_weights: {problem}")).help(HELP);
    Ok(WeightsFile::find(&path).map_err(error)?)
}

/// Finds the weights of an experiment, if it names any.
pub(crate) fn find_for(
    options: &GlobalOptions,
    declaration: &mut Declaration,
) -> anyhow::Result<()> {
    if let Some(name) = &declaration.experiment.model.initial_weights {
        let path = named_run::path_of(options, Path::new(name))?;
        let error = |problem| declaration.error_at("model.initial_weights", problem).help(HELP);
        let file = WeightsFile::find(&path).map_err(error)?;
        declaration.set_initial_weights(&file)?;
    }
    Ok(())
}

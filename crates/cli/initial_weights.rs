//! Finds the weights that an experiment names as `model.initial_weights`.

use std::path::Path;

use kiln_train::{Declaration, WeightsFile};

use crate::failure::Advised;
use crate::named_run;
use crate::options::GlobalOptions;

/// The weights of a name: a file, or a run as on the command line.
pub(crate) fn find(options: &GlobalOptions, name: &str) -> anyhow::Result<WeightsFile> {
    let path = named_run::path_of(options, Path::new(name))?;
    WeightsFile::find(&path).map_err(|problem| {
        let help = "give a safetensors file or a run: its directory, the beginning of its id, NAME/last or NAME/best";
        Advised::new(format!("model.initial_weights: {problem}"), help).into()
    })
}

/// Finds the weights of an experiment, if it names any.
pub(crate) fn find_for(
    options: &GlobalOptions,
    declaration: &mut Declaration,
) -> anyhow::Result<()> {
    if let Some(name) = declaration.experiment.model.initial_weights.clone() {
        declaration.set_initial_weights(&find(options, &name)?)?;
    }
    Ok(())
}
